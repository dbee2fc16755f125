"""The supervisor: one address, one worker or several behind it, and what becomes of them.

It accepts the connections itself and hands each to the worker that has the fewest. A kernel that
spreads them (``SO_REUSEPORT``) does so by chance, and workers that share a listening socket take
what they can get: either way some would be full while others have room. And while a worker is
replaced, who connects waits and is not refused.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from attrs import define, field

from aioenv.cli.child import Child
from aioenv.cli.errors import CommandFailed
from aioenv.cli.worker import share_of
from aioenv.service.running import url_of

__all__ = ["Supervisor", "pause_after"]

T = TypeVar("T")

log = logging.getLogger(__name__)

# How long until a worker that died is replaced, in seconds: at once the first time, then longer
# and longer, until one has lived long enough to count as healthy.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _HEALTHY_S = 0.25, 30.0, 10.0
_MOST_DOUBLINGS = 16  # beyond any that matters, and far from where numbers overflow


@define(eq=False)
class Supervisor:
    """Runs workers until SIGTERM or SIGINT; the second of them ends all at once.

    Args:
        command: what starts a worker, but for its option ``--worker``.
        total: how many workers.
        listen: makes the listening socket for a host and a port.
        folder: where a change of the author's files starts the worker anew, if anywhere; absolute.
    """

    command: Sequence[str]
    total: int
    listen: Callable[[str, int], socket.socket]
    folder: Path | None = None

    _children: set[Child] = field(factory=set, init=False)
    _ready: dict[int, Child] = field(factory=dict, init=False)
    _tasks: "set[asyncio.Task[Any]]" = field(factory=set, init=False)
    _begun: asyncio.Event = field(factory=asyncio.Event, init=False)
    _unused: asyncio.Event = field(factory=asyncio.Event, init=False)
    _room: asyncio.Event = field(factory=asyncio.Event, init=False)
    _socket: socket.socket | None = field(default=None, init=False)
    _accepting: "asyncio.Task[None] | None" = field(default=None, init=False)
    _is_announced: bool = field(default=False, init=False)
    _turns: int = field(default=0, init=False)

    async def run(self) -> int:
        """Run until a signal, or until nobody has used it for as long as the settings say.

        Returns:
            The exit code; that of a worker which cannot even begin.

        Raises:
            CommandFailed: the first worker cannot be started at all.
            click.ClickException: `listen` has raised it.
        """
        told = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, told)
        work = self._task(self._work() if self.folder is None else self._reload(self.folder))
        endings = [work, self._task(told.wait()), self._task(self._unused.wait())]
        try:
            await asyncio.wait(endings, return_when=asyncio.FIRST_COMPLETED)
            return work.result() if work.done() else 0
        finally:
            if self._socket is not None and self._accepting is not None:
                await _cancel([self._accepting])
                self._socket.close()
            await _cancel(self._tasks)
            await asyncio.gather(*(child.end() for child in self._children))

    # Workers

    async def _work(self) -> int:
        """Keep every worker running; return the exit code if one cannot even begin."""
        # The first alone, so that what is wrong with all of them is told once.
        keepers = [self._task(self._keep(1))]
        begun = self._task(self._begun.wait())
        await asyncio.wait([*keepers, begun], return_when=asyncio.FIRST_COMPLETED)
        if begun.done():
            keepers += [self._task(self._keep(number)) for number in range(2, self.total + 1)]
        done, _ = await asyncio.wait(keepers, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()

    async def _reload(self, folder: Path) -> int:
        """Keep the worker running, and start it anew whenever the author's files change."""
        from aioenv.cli.reload import Watch, told

        async with Watch(folder) as watch:
            while True:
                keeper = self._task(self._keep(1))
                change = self._task(watch.wait_change())
                await asyncio.wait([keeper, change], return_when=asyncio.FIRST_COMPLETED)
                if not change.done():
                    keeper.result()  # raises what no change of a file can mend
                    log.error("it cannot be served; waiting for a change in %s", folder)
                log.info("%s changed; starting anew", told(await change))
                await _cancel([keeper])

    async def _keep(self, number: int) -> int:
        """Keep a worker running, and replace it when it dies.

        Returns:
            The exit code of one that could not begin, where another could not either.

        Raises:
            CommandFailed: the first one cannot be started at all.
        """
        deaths = 0
        environ = {} if self.folder is None else {"PYTHONDONTWRITEBYTECODE": "1"}
        while True:
            try:
                child = await Child.start(self.command, number, self.total, environ, self._hear)
            except OSError as error:  # of processes, memory or open files there are too many
                if not self._is_announced:
                    raise CommandFailed(f"a worker cannot be started: {error}") from error
                deaths += 1
                end = f"cannot be started: {error}"
            else:
                code = await self._attend(child)
                is_new = self.folder is not None or not self._is_announced
                if child.facts is None and is_new:
                    if code < 0:
                        log.error("worker %d %s before it could serve", number, _how(code))
                    return code if code > 0 else 1
                is_healthy = child.facts is not None and child.age_s >= _HEALTHY_S
                deaths = 1 if is_healthy else deaths + 1
                loss = "" if child.facts is None else "; its sessions are lost"
                end = f"(pid {child.process.pid}) {_how(code)}{loss}"
            pause_s = pause_after(deaths)
            when = f" in {pause_s:g} s" if pause_s else ""
            log.error("worker %d %s; another comes%s", number, end, when)
            await asyncio.sleep(pause_s)

    async def _attend(self, child: Child) -> int:
        """Let a worker serve once it is ready; return its exit code once it has ended."""
        self._children.add(child)
        try:
            gone = self._task(child.process.wait())
            events: list[asyncio.Future[Any]] = [gone, child.ready]
            await asyncio.wait(events, return_when=asyncio.FIRST_COMPLETED)
            if child.ready.done():
                self._admit(child)
            return await gone
        finally:
            self._ready.pop(child.number, None)
            await child.end()
            self._children.discard(child)

    def _admit(self, child: Child) -> None:
        assert child.facts is not None
        if self._socket is None:
            self._socket = self.listen(child.facts["host"], child.facts["port"])
            self._socket.setblocking(False)
            self._accepting = asyncio.create_task(self._accept(self._socket))
        self._ready[child.number] = child
        self._begun.set()
        self._room.set()
        if self._is_announced:
            log.info("worker %d (pid %d) is ready", child.number, child.process.pid)
        elif len(self._ready) == self.total:
            self._is_announced = True
            self._announce(self._socket, child.facts)

    def _announce(self, listening: socket.socket, facts: dict[str, Any]) -> None:
        click.echo(f"Serving {facts['name']} on {url_of(listening)}")
        if self.folder is not None:
            click.echo(f"Watching {self.folder} for changes")
            return
        whole = facts["limit"]
        most, least = (share_of(whole, self.total, number) for number in (1, self.total))
        each = f"{most}" if most == least else f"{least} or {most}"
        all_told = "" if most == least else f", {whole} in all"
        click.echo(f"{self.total} workers, {each} sessions each{all_told}")

    # Connections

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
            except OSError as error:  # too many open files, or the peer has left again
                log.warning("a connection cannot be accepted: %s", error)
                await asyncio.sleep(0.1)
                continue
            with connection:  # the worker has its own
                await self._hand_over(connection)

    async def _hand_over(self, connection: socket.socket) -> None:
        """Hand a connection to the worker with the fewest; wait where none can take it."""
        while True:
            self._room.clear()
            for child in sorted(self._ready.values(), key=lambda child: (child.load, child.turn)):
                if child.take(connection, self._turns):
                    self._turns += 1
                    return
            with contextlib.suppress(TimeoutError):
                # A worker that is busy for a while does not tell when it takes one.
                async with asyncio.timeout(0.1):
                    await self._room.wait()

    # Callbacks

    def _hear(self) -> None:
        self._room.set()
        if len(self._ready) == self.total and all(
            child.is_unused for child in self._ready.values()
        ):
            log.info("nobody has used it for as long as it may be without use")
            self._unused.set()

    def _on_signal(self, told: asyncio.Event) -> None:
        if told.is_set():
            for child in self._children:
                child.kill()
            os._exit(130)
        told.set()

    def _task(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Start a task that ends with the supervisor."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _cancel(tasks: "Iterable[asyncio.Task[Any]]") -> None:
    """Cancel tasks, and wait until they have ended."""
    tasks = tuple(tasks)
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception):
            log.debug("a task of the supervisor failed: %r", outcome)


def pause_after(deaths: int) -> float:
    """Return how long to wait before a worker is replaced, in seconds.

    Args:
        deaths: how many have died in its place in a row, from 1.
    """
    if deaths == 1:
        return 0.0
    doublings = min(deaths - 2, _MOST_DOUBLINGS)
    return min(_FIRST_PAUSE_S * 2.0**doublings, _LONGEST_PAUSE_S)


def _how(code: int) -> str:
    """Tell how a process ended."""
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
