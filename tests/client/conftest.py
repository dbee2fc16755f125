"""What the client's tests share: a quick pulse, and a watch on what clients leave behind."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from aioenv import State
from aioenv.client import transport
from echo_env import EchoAction, EchoObservation
from echo_env.environment import EchoEnvironment
from tests.conftest import Serve, Served
from tests.peer.process import LineProcess

#: The beat of a quick pulse, in seconds.
PULSE_S = 0.01


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    """Fail the test that leaves a transport open: each `join` has its one `leave`."""
    transport._transports.clear()  # those of event loops that tests elsewhere have ended
    yield
    left = list(transport._transports.values())
    transport._transports.clear()
    assert not left, f"left open: {left}"


@pytest.fixture
def quick_pulse(monkeypatch: pytest.MonkeyPatch) -> float:
    """Have pings be due within milliseconds; returns the beat in seconds."""
    monkeypatch.setattr(transport, "_PULSE_S", PULSE_S)
    return PULSE_S


@pytest.fixture
def unused_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class ServeEcho(Protocol):
    """The `serve_echo` fixture."""

    async def __call__(self, **settings: Any) -> Served:
        """Serve Echo until the test ends."""


@pytest.fixture
def serve_echo(serve: Serve) -> ServeEcho:
    """Serve Echo on a free port, with these settings."""

    async def start(**settings: Any) -> Served:
        return await serve(
            EchoEnvironment,
            action=EchoAction,
            observation=EchoObservation,
            state=State,
            **settings,
        )

    return start


@pytest.fixture
async def echo(serve_echo: ServeEcho) -> Served:
    """Serve Echo as it comes."""
    return await serve_echo()


class Launch:
    """A launcher that keeps a diary, and does on the way what a test wants.

    Attributes:
        diary: what happened, in order.
        may_start: lets `start` return.
        may_stop: lets `stop` return.
        url: what `start` returns.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.diary: list[str] = []
        self.may_start, self.may_stop = asyncio.Event(), asyncio.Event()
        self.may_start.set()
        self.may_stop.set()

    async def start(self) -> str:
        """Start, once it may."""
        self.diary.append("start")
        try:
            await self.may_start.wait()
        except asyncio.CancelledError:
            self.diary.append("cancelled")
            raise
        self.diary.append("started")
        return self.url

    async def stop(self) -> None:
        """Stop, once it may."""
        self.diary.append("stop")
        await self.may_stop.wait()
        self.diary.append("stopped")


@pytest.fixture(scope="session")
def echo_process() -> Iterator[str]:
    """Serve Echo in a process of its own, with room for everybody; returns its address."""
    environment = {"AIOENV_PORT": "0", "MAX_CONCURRENT_ENVS": "1000"}
    with LineProcess([sys.executable, "-m", "echo_env"], environment=environment) as process:
        yield process.wait_address(30)


class RunScript(Protocol):
    """The `run_script` fixture."""

    def __call__(self, script: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a script to its end."""


@pytest.fixture
def run_script(tmp_path: Path) -> RunScript:
    """Run a script in an interpreter of its own, with every warning shown."""

    def run(script: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        path = tmp_path / "script.py"
        path.write_text(script, "utf-8")
        command = [sys.executable, "-W", "always", str(path), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    return run
