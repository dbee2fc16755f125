"""The child: a worker as its supervisor sees it, from its start to its awaited exit."""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import define, field

from aioenv import loads
from aioenv.cli.worker import CONNECTION, ENDED, UNUSED, USED

__all__ = ["Child"]

log = logging.getLogger(__name__)

_LONGEST_LINE = 65_536


@define(eq=False)
class Child:
    """A worker.

    Attributes:
        number: which it is, from 1.
        process: its process.
        facts: what it told when it was ready; ``None`` before.
        load: how many connections it has.
        turn: when it was handed the last one, in order among all workers.
        is_unused: whether nobody has used it for as long as it may be without use.
        ready_at: when it was ready, by `time.monotonic`.
        ready: is done once it is.
    """

    number: int
    process: asyncio.subprocess.Process
    _channel: socket.socket
    _on_change: Callable[[], None]
    facts: dict[str, Any] | None = None
    load: int = 0
    turn: int = 0
    is_unused: bool = False
    ready_at: float = 0.0
    ready: "asyncio.Future[None]" = field(init=False)
    _hearing: "asyncio.Task[None] | None" = None
    _ending: "asyncio.Task[None] | None" = field(default=None, init=False)

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        number: int,
        total: int,
        environ: Mapping[str, str],
        on_change: Callable[[], None],
    ) -> "Child":
        """Start a worker.

        Args:
            command: what starts one, but for its option ``--worker``.
            number: which it is, from 1.
            total: how many there are.
            environ: its environment variables, besides our own.
            on_change: is called when it is ready, used or unused.

        Raises:
            OSError: the system starts none now; cancelling it leaves none behind, either.
        """
        ours, its = socket.socketpair()
        try:
            with its:
                option = f"{its.fileno()}:{number}:{total}"
                process = await asyncio.create_subprocess_exec(
                    *command,
                    f"--worker={option}",
                    stdin=asyncio.subprocess.DEVNULL,
                    env={**os.environ, **environ},
                    pass_fds=[its.fileno()],
                    process_group=0,  # Ctrl-C is for the supervisor, which tells its workers
                )
        except BaseException:
            ours.close()
            raise
        ours.setblocking(False)
        child = cls(number, process, ours, on_change)
        child.ready = asyncio.get_running_loop().create_future()
        child._hearing = asyncio.create_task(child._hear())
        return child

    @property
    def age_s(self) -> float:
        """For how long it has been ready, in seconds."""
        return time.monotonic() - self.ready_at

    def take(self, connection: socket.socket, turn: int) -> bool:
        """Hand it a connection; return whether it could be handed over."""
        try:
            socket.send_fds(self._channel, [CONNECTION], [connection.fileno()])
        except OSError:  # it has gone, or has too many yet to take
            return False
        self.load += 1
        self.turn = turn
        return True

    async def end(self) -> None:
        """Have it stop, kill it if it takes too long, and wait until it is gone.

        Safe to call twice. Cancelling it costs nothing: the ending goes on by itself.
        """
        if self._ending is None:
            self._ending = asyncio.create_task(self._end())
        await asyncio.shield(self._ending)

    def kill(self) -> None:
        """End it at once."""
        if self.process.returncode is None:
            self.process.kill()

    async def _end(self) -> None:
        patience_s = 5.0 if self.facts is None else float(self.facts["patience_s"])
        try:
            if self.process.returncode is None:
                self.process.terminate()
            async with asyncio.timeout(patience_s):
                await self.process.wait()
        except TimeoutError:
            log.warning("worker %d has not stopped after %g s: killed", self.number, patience_s)
            self.kill()
            await self.process.wait()
        except ProcessLookupError:  # it ended in this very moment
            await self.process.wait()
        if self._hearing is not None:
            self._hearing.cancel()
            await asyncio.wait([self._hearing])
        self._channel.close()

    async def _hear(self) -> None:
        """Hear what it tells, until it is gone."""
        loop = asyncio.get_running_loop()
        line = b""
        while data := await self._receive(loop):
            if self.facts is None:
                line, newline, data = (line + data).partition(b"\n")
                if not newline:
                    continue
                self.facts = loads(line)
                self.ready_at = time.monotonic()
                self.ready.set_result(None)
            self.load -= data.count(ENDED)
            # Only the latest of the two counts.
            if data.count(USED) or data.count(UNUSED):
                self.is_unused = data.rfind(UNUSED) > data.rfind(USED)
            self._on_change()

    async def _receive(self, loop: asyncio.AbstractEventLoop) -> bytes:
        try:
            return await loop.sock_recv(self._channel, _LONGEST_LINE)
        except OSError:
            return b""
