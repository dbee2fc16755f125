"""The supervisor by itself, over workers that do as they are told: starts, deaths and signals."""

import asyncio
import contextlib
import os
import re
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path

import psutil
import pytest
from aiohttp import web

from aioenv.cli.errors import CommandFailed
from aioenv.cli.supervisor import Supervisor, pause_after
from aioenv.cli.worker import CONNECTION, ENDED, Worker, _Handed
from aioenv.service.running import listen
from tests.conftest import eventually

# It is ready, unless the file `ill` is there: then it ends, or waits where that holds a text.
WORKER = f"""#!{sys.executable} -SE
import json, os, socket, sys, time
option = sys.argv[-1].partition("=")[2]
channel = socket.socket(fileno=int(option.partition(":")[0]))
here = os.path.dirname(__file__)
ill = os.path.join(here, "ill")
if os.path.exists(ill):
    if not open(ill).read():
        sys.exit(3)
    open(os.path.join(here, "waits"), "w").close()
else:
    facts = {{"name": "x", "host": "127.0.0.1", "port": 0, "limit": 4, "patience_s": 60}}
    channel.send(json.dumps(facts).encode() + b"\\n")
time.sleep(600)
"""

WaitTold = Callable[[str], Awaitable[None]]
Supervise = Callable[..., "AbstractAsyncContextManager[asyncio.Task[int]]"]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """Write what a worker runs."""
    script = tmp_path / "worker"
    script.write_text(WORKER)
    script.chmod(0o755)
    return script


@pytest.fixture
def supervise(script: Path) -> Supervise:
    """Give what runs a supervisor as long as a context lasts; it leaves no process behind."""

    @asynccontextmanager
    async def run(folder: Path | None = None) -> AsyncIterator["asyncio.Task[int]"]:
        supervisor = Supervisor([str(script)], 1, listen, folder)
        task = asyncio.create_task(supervisor.run())
        try:
            yield task
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, CommandFailed):
                await task
        assert workers() == []

    return run


def workers() -> list[psutil.Process]:
    """Return the processes of the workers."""
    found = []
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            found += [process] * any("--worker=" in word for word in process.cmdline())
    return found


@pytest.fixture
def wait_told(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> Callable[[str], Awaitable[None]]:
    """Give what waits until a line is printed or logged, after those that it has waited for."""
    caplog.set_level("INFO")
    out, position = "", {"out": 0, "log": 0}

    async def wait(pattern: str) -> None:
        def is_told() -> bool:
            nonlocal out
            out += capsys.readouterr().out
            for name, text in (("out", out), ("log", caplog.text)):
                if found := re.compile(pattern).search(text, position[name]):
                    position[name] = found.end()
                    return True
            return False

        await eventually(is_told, pattern)

    return wait


@pytest.mark.parametrize(
    ("deaths", "pause_s"), [(1, 0.0), (2, 0.25), (3, 0.5), (9, 30.0), (100_000, 30.0)]
)
def test_the_more_have_died_the_later_comes_another(deaths: int, pause_s: float) -> None:
    """The first is replaced at once; the waiting doubles, and stays bounded for ever."""
    assert pause_after(deaths) == pause_s


async def test_one_that_cannot_be_started_at_first_is_an_error(
    tmp_path: Path, supervise: Supervise
) -> None:
    """Where not even the first can be started, that is told, and it ends."""
    (tmp_path / "worker").unlink()
    async with supervise() as run:
        with pytest.raises(CommandFailed, match=r"a worker cannot be started: .*No such file"):
            await run


async def test_one_that_cannot_be_started_later_is_tried_again(
    tmp_path: Path, supervise: Supervise, wait_told: WaitTold
) -> None:
    """What the system cannot start now, it may later; until then the supervisor goes on."""
    async with supervise() as run:
        await wait_told("Serving x on ")
        (tmp_path / "worker").rename(tmp_path / "away")
        workers()[0].kill()
        await wait_told(r"was killed by SIGKILL; its sessions are lost; another comes\n")
        await wait_told(r"worker 1 cannot be started: .*; another comes in 0\.25 s")
        assert not run.done()
        (tmp_path / "away").rename(tmp_path / "worker")
        await wait_told("is ready")


async def test_one_that_ends_before_it_serves_loses_no_sessions(
    tmp_path: Path, supervise: Supervise, wait_told: WaitTold
) -> None:
    """In the place of one that served, it is replaced as well, after longer and longer pauses."""
    async with supervise():
        await wait_told("Serving x on ")
        (tmp_path / "ill").touch()
        workers()[0].kill()
        await wait_told("its sessions are lost; another comes\n")
        await wait_told(r"worker 1 \(pid \d+\) ended with exit code 3; another comes in 0\.25 s")
        await wait_told(r"worker 1 \(pid \d+\) ended with exit code 3; another comes in 0\.5 s")
        (tmp_path / "ill").unlink()
        await wait_told("is ready")


@pytest.mark.parametrize("is_reloading", [False, True])
async def test_a_signal_ends_one_that_is_not_ready_yet(
    tmp_path: Path, supervise: Supervise, is_reloading: bool
) -> None:
    """Nobody waits for it to be ready, and the exit code is 0."""
    (tmp_path / "ill").write_text("wait")
    async with supervise(tmp_path if is_reloading else None) as run:
        await eventually((tmp_path / "waits").exists)
        os.kill(os.getpid(), signal.SIGTERM)
        assert await run == 0
        assert workers() == []


async def test_a_change_ends_one_that_is_not_ready_yet(
    tmp_path: Path, supervise: Supervise, wait_told: WaitTold
) -> None:
    """What would be served is out of date already: another is started in its place."""
    (tmp_path / "ill").write_text("wait")
    async with supervise(tmp_path):
        await eventually((tmp_path / "waits").exists)
        (late,) = workers()
        (tmp_path / "ill").unlink()
        (tmp_path / "environment.py").touch()
        await wait_told(r"environment\.py changed; starting anew")
        await wait_told("Serving x on ")
        assert not late.is_running()


async def test_one_that_dies_is_replaced_while_changes_are_watched(
    tmp_path: Path, supervise: Supervise, wait_told: WaitTold
) -> None:
    """A crash needs no change of the author's files to be got over."""
    async with supervise(tmp_path):
        await wait_told("Watching ")
        workers()[0].kill()
        await wait_told("was killed by SIGKILL; its sessions are lost; another comes\n")
        await wait_told("is ready")


async def test_a_connection_without_a_descriptor_counts_as_ended() -> None:
    """A worker with too many open files tells that a connection is gone, so that none is counted.

    The system closes what it cannot give the worker a number for.
    """
    supervisors, its = socket.socketpair()
    runner = web.AppRunner(web.Application())
    await runner.setup()
    with supervisors, its, socket.socket() as connection:
        site = _Handed(runner, Worker(its, 1, 1))
        await site.start()
        supervisors.setblocking(False)
        with _no_more_files():
            socket.send_fds(supervisors, [CONNECTION], [connection.fileno()])
            assert await asyncio.get_running_loop().sock_recv(supervisors, 10) == ENDED
        await runner.cleanup()


@contextmanager
def _no_more_files() -> Iterator[None]:
    """Let this process open no more files as long as the context lasts."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
