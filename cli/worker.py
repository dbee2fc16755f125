"""The worker: a process of a supervisor's, which serves the connections that it is handed.

A socket pair joins the two. The supervisor sends each connection as a byte with a file descriptor;
the worker sends one line of JSON when it is ready, then a byte for each event. When either end
closes, the process at the other end has gone.
"""

import asyncio
import logging
import os
import select
import signal
import socket
import threading
import time
from typing import Any

import attrs
import click
from aiohttp import web
from attrs import define

from aioenv import dumps
from aioenv.cli.errors import CommandFailed
from aioenv.service import SERVICE, Settings
from aioenv.service import serve as run_service
from aioenv.service.app import USAGE

__all__ = ["CONNECTION", "ENDED", "UNUSED", "USED", "WORKER_HEADER", "Worker", "share_of"]

#: The bytes: here is a connection; one has ended; nobody has used me for so long; somebody does.
CONNECTION, ENDED, UNUSED, USED = b"c", b"e", b"u", b"!"

WORKER_HEADER = "X-Aioenv-Worker"

log = logging.getLogger(__name__)

# What a worker may take for its end beyond the times that its settings name, in seconds.
_FAREWELL_S = 5.0


@define(eq=False)
class Worker:
    """One of a supervisor's processes: the one that runs this.

    Attributes:
        channel: the socket that joins it to its supervisor.
        number: which it is, from 1.
        total: how many there are.
        patience_s: how long it may take to stop once its supervisor has gone.
    """

    channel: socket.socket
    number: int
    total: int
    patience_s: float = _FAREWELL_S
    _ended: int = 0
    _telling: asyncio.TimerHandle | None = None

    @classmethod
    def of(
        cls, context: click.Context, parameter: click.Parameter, value: str | None
    ) -> "Worker | None":
        """Read the option that a supervisor gives its workers: ``DESCRIPTOR:NUMBER:TOTAL``."""
        if value is None:
            return None
        descriptor, number, total = map(int, value.split(":"))
        channel = socket.socket(fileno=descriptor)
        channel.set_inheritable(False)  # what an environment starts does not hold it open
        worker = cls(channel, number, total)
        threading.Thread(target=worker._outlive_nobody, daemon=True).start()
        return worker

    def serve(self, app: web.Application, settings: Settings) -> None:
        """Serve until the supervisor says, or has gone.

        Raises:
            CommandFailed: there are fewer sessions than workers.
        """
        whole = settings.max_concurrent_envs
        if whole < self.total:
            raise CommandFailed(
                f"{self.total} workers cannot share {whole} sessions; ask for fewer --workers, or "
                "allow more with --max-concurrent-envs"
            )
        self.patience_s = settings.shutdown_grace_s + settings.close_timeout_s + _FAREWELL_S
        share = share_of(whole, self.total, self.number)
        # Whether nobody uses the service is known only to who knows all workers.
        own = attrs.evolve(settings, max_concurrent_envs=share, idle_exit_s=0.0)
        service = app[SERVICE]
        service.configure(own)
        service.processes = self.total
        if self.total > 1:
            app.on_response_prepare.append(self._sign)
        if settings.idle_exit_s:
            app.cleanup_ctx.append(self._tell_usage(settings.idle_exit_s))
        ready = {
            "name": service.name,
            "host": settings.host,
            "port": settings.port,
            "limit": whole,
            "patience_s": self.patience_s,
        }

        def announce(_: str) -> None:
            self.channel.send(dumps(ready) + b"\n")

        run_service(app, announce=announce, site=lambda runner: _Handed(runner, self))

    def tell_nowait(self, event: bytes) -> None:
        """Tell the supervisor of an event; one that is too busy to listen is told later."""
        if event == ENDED:
            self._ended += 1
            if self._telling is None:
                self._tell_ended()
        else:
            self._send(event)

    def _tell_ended(self) -> None:
        self._telling = None
        self._ended -= self._send(ENDED * self._ended)
        if self._ended:
            self._telling = asyncio.get_running_loop().call_later(0.05, self._tell_ended)

    def _send(self, events: bytes) -> int:
        try:
            return self.channel.send(events)
        except BlockingIOError:
            return 0
        except OSError:  # the supervisor has gone, and so shall we
            return len(events)

    async def _sign(self, _: web.Request, response: web.StreamResponse) -> None:
        response.headers[WORKER_HEADER] = f"{self.number}/{self.total}"

    def _tell_usage(self, idle_exit_s: float) -> Any:
        async def tell(app: web.Application) -> Any:
            async def watch() -> None:
                while True:
                    await app[USAGE].wait_unused(idle_exit_s)
                    self.tell_nowait(UNUSED)
                    await app[USAGE].wait_used()
                    self.tell_nowait(USED)

            task = asyncio.create_task(watch())
            yield
            task.cancel()
            await asyncio.wait([task])

        return tell

    def _outlive_nobody(self) -> None:
        """End when the supervisor does, however it ends and whatever this process is at."""
        poll = select.poll()
        poll.register(self.channel, select.POLLHUP)
        while not any(events & select.POLLHUP for _, events in poll.poll()):
            pass  # pragma: no cover
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(self.patience_s)
        os._exit(1)


class _Handed(web.BaseSite):
    """Where a worker's connections come from: the supervisor hands them over, one by one."""

    __slots__ = ("_tasks", "_worker")

    def __init__(self, runner: web.AppRunner, worker: Worker) -> None:
        super().__init__(runner)
        self._worker = worker
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def name(self) -> str:
        """What is logged; the address is the supervisor's."""
        return f"worker {self._worker.number} of {self._worker.total}"

    async def start(self) -> None:
        """Begin to take connections, and to tell of their ends."""
        await super().start()
        server = self._runner.server
        assert isinstance(server, web.Server)
        forget = server.connection_lost

        def connection_lost(handler: Any, error: BaseException | None = None) -> None:
            forget(handler, error)
            self._worker.tell_nowait(ENDED)

        server.connection_lost = connection_lost  # type: ignore[method-assign,assignment]
        self._worker.channel.setblocking(False)
        asyncio.get_running_loop().add_reader(self._worker.channel, self._take)

    async def stop(self) -> None:
        """Take no more connections."""
        asyncio.get_running_loop().remove_reader(self._worker.channel)
        await super().stop()

    def _take(self) -> None:
        flags = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
        try:
            data, descriptors, *_ = socket.recv_fds(self._worker.channel, 1, 1, flags)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        if not data:
            asyncio.get_running_loop().remove_reader(self._worker.channel)
        elif not descriptors:  # the system has closed what it had no number for
            log.warning("a connection cannot be taken: too many open files")
            self._worker.tell_nowait(ENDED)
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
            connection = socket.socket(fileno=descriptor)
            connection.setblocking(False)
            task = asyncio.get_running_loop().create_task(self._connect(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect(self, connection: socket.socket) -> None:
        loop, server = asyncio.get_running_loop(), self._runner.server
        try:
            assert server is not None
            await loop.connect_accepted_socket(server, connection)
        except OSError:  # it was gone before it came here
            connection.close()
            self._worker.tell_nowait(ENDED)


def share_of(whole: int, total: int, number: int) -> int:
    """Return how much of something one of several gets; the first get what is left over.

    Args:
        whole: what there is.
        total: how many share it.
        number: which of them it is, from 1.
    """
    each, left_over = divmod(whole, total)
    return each + (number <= left_over)
