"""What tests of ``push`` use: a Hub, an environment's folder, and the command as a process.

A pytest plug-in, for whichever tests push.
"""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import coverage
import pytest
from attrs import frozen

from tests.hub.hub import Hub
from tests.hub.state import Account

__all__ = ["READER", "TOKEN", "Push", "Pushed", "hub_variables", "script_path"]

#: Tokens as the Hub knows them, put together so that no file of ours looks as if it held one.
TOKEN = "hf_" + "w" * 34
READER = "hf_" + "r" * 34
PUSH_TIMEOUT_S = 90.0
ROOT = Path(__file__).parents[2]


@frozen
class Pushed:
    """What a command that has ended came to."""

    code: int
    out: str
    err: str


class Push(Protocol):
    """The `push` fixture."""

    def __call__(self, *arguments: object, **environment: str | None) -> Pushed:
        """Run ``aioenv push`` against the Hub, to its end.

        Args:
            arguments: the command's.
            environment: further variables; those that are ``None`` are not set.
        """


def script_path(name: str) -> str:
    """Return the path of a script that is installed beside this interpreter."""
    return str(Path(sys.executable).with_name(name))


@pytest.fixture
def hub() -> Iterator[Hub]:
    """Run a Hub in a thread of its own; Ada may write there, for herself and her organization."""
    hub = Hub()
    hub.accounts[TOKEN] = Account("ada", ("my-org",))
    hub.accounts[READER] = Account("ada", can_write=False)
    with _in_a_thread(hub):
        yield hub


@pytest.fixture
def environment_folder(tmp_path: Path) -> Path:
    """Make an environment's folder: the least that one needs."""
    folder = tmp_path / "my_env"
    folder.mkdir()
    (folder / "openenv.yaml").write_text("spec_version: 1\nname: my_env\n")
    (folder / "Dockerfile").write_text("FROM python:3.13-slim\nCMD python app.py\n")
    (folder / "README.md").write_text("# Mine\n")
    (folder / "app.py").write_text("print('Hi')\n")
    return folder


@pytest.fixture
def push(hub: Hub, environment_folder: Path, tmp_path: Path) -> Iterator[Push]:
    """Run the command in the environment's folder; whatever it prints, it prints no secret."""
    printed = ""

    def run(*arguments: object, **environment: str | None) -> Pushed:
        nonlocal printed
        done = subprocess.run(
            [sys.executable, "-m", "aioenv.cli", "push", *map(str, arguments)],
            cwd=environment_folder,
            env=hub_variables(hub, tmp_path, **environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PUSH_TIMEOUT_S,
        )
        printed += done.stdout + done.stderr
        return Pushed(done.returncode, done.stdout, done.stderr)

    yield run
    secrets = {value for space in hub.spaces.values() for value in space.secrets.values()}
    assert [secret for secret in {*secrets, *hub.accounts} if secret in printed] == []


def hub_variables(hub: Hub, home: Path, **environment: str | None) -> dict[str, str]:
    """Return the environment variables of a process that talks to a Hub, and to no other."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    wanted = {
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(home / ".hf"),
        "HOME": str(home),
        "NO_COLOR": "1",
        **environment,
    }
    wanted.update(_coverage_variables())
    return {**kept, **{name: value for name, value in wanted.items() if value is not None}}


def _coverage_variables() -> dict[str, str | None]:
    """Have a process measure what it covers, where this one does: most of ``push`` runs there."""
    measured = coverage.Coverage.current()
    if measured is None:
        return {}
    data_file = Path(str(measured.get_option("run:data_file"))).name
    return {
        "COVERAGE_PROCESS_START": str(ROOT / "setup.cfg"),
        "COVERAGE_FILE": str(ROOT / data_file.partition(".coverage.")[0]),
    }


@contextmanager
def _in_a_thread(hub: Hub) -> Iterator[None]:
    """Run a Hub as long as the context lasts."""
    ready, stop = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def run() -> None:
        async with hub.running():
            loops.append(asyncio.get_running_loop())
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    ready.wait()
    try:
        yield
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join()
