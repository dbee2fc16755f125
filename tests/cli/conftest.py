"""What the command line's tests share: folders to serve from, and programs to run."""

import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from aioenv.service import Settings
from tests.peer.process import LineProcess

__all__ = ["DEADLINE_S", "Program", "Start"]

#: How long a program may take to start or to end before it counts as hung.
DEADLINE_S = 60.0

WORLDS = '''
"""An environment that does what its actions say, in four ways to be served."""

import asyncio
from attrs import define
from aioenv import Observation, State
from aioenv.service import Environment, create_app


@define
class Act:
    do: str


class World(Environment[Act, Observation, State]):
    """Rewards every step with 1, fails when told to."""

    def __init__(self):
        self.count = State()

    async def reset(self, *, seed=None, episode_id=None):
        self.count = State(episode_id=episode_id)
        return Observation()

    async def step(self, action):
        self.count.step_count += 1
        if action.do == "fail":
            raise ValueError("it broke")
        if action.do == "hang":
            await asyncio.Event().wait()
        return Observation(reward=1.0, done=action.do == "end")

    @property
    def state(self):
        return self.count


app = create_app(World, Act, Observation, name="world")
number = 3
instance = World()


class nested:
    app = app
'''


class Program(LineProcess):
    """A program that runs: ``python -m aioenv.cli`` with arguments."""

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Wait until it ends by itself, and return its exit code."""
        return self._process.wait(DEADLINE_S)


Start = Callable[..., Program]


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Undo what a command that runs in this process does to logging."""
    loggers = [logging.getLogger(), logging.getLogger("aioenv")]
    before = [(logger, logger.level, [*logger.handlers]) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        for handler in {*logger.handlers}.difference(handlers):
            logger.removeHandler(handler)


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take no settings from outside, and leave no module of a test's folder behind."""
    for attribute in attrs.fields(Settings):
        monkeypatch.delenv(attribute.metadata["variable"], raising=False)
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        origin = getattr(sys.modules[name], "__file__", None) or ""
        if "pytest-of" in origin:
            del sys.modules[name]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with `worlds.py` in it."""
    (tmp_path / "worlds.py").write_text(WORLDS, "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def unused_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Start programs in the folder; all end with the test."""
    programs: list[Program] = []

    def run(*arguments: Any, **environment: str) -> Program:
        command = [sys.executable, "-m", "aioenv.cli", *map(str, arguments)]
        programs.append(Program(command, cwd=folder, environment=environment))
        return programs[-1]

    yield run
    for program in programs:
        program.stop()


@pytest.fixture
def finish(folder: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run programs in the folder to their ends."""

    def run(*arguments: Any, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "aioenv.cli", *map(str, arguments)],
            cwd=folder,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    return run
