"""What tests of the launcher use: clients with containers, and a watch on what they leave behind.

A pytest plug-in, for whichever tests launch.
"""

import asyncio
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from aioenv.client.engine import Engine
from echo_env import EchoEnv
from tests.conftest import DEADLINE_S
from tests.docker.images import docker
from tests.peer.process import LineProcess

__all__ = [
    "SHORT_IDLE_S",
    "Launch",
    "Script",
    "facts_of",
    "make_context",
    "owned_by",
    "wait_none_of",
    "wait_some_of",
]

# Short to wait for, and long enough for a client to connect after the container is healthy.
SHORT_IDLE_S = 3.0


class Launch(Protocol):
    """The `launch` fixture."""

    def __call__(self, **options: Any) -> EchoEnv:
        """Return a client with a container of the image, not yet started."""


class Script(Protocol):
    """The `script` fixture."""

    def __call__(self, source: str) -> LineProcess:
        """Run a script, in which ``IMAGE`` is the image's name, in a process of its own."""


@pytest.fixture
def launch(echo_image: str, nothing_left: None) -> Launch:
    """Make clients with containers of the image; the test fails if it leaves one behind."""

    def make(**options: Any) -> EchoEnv:
        return EchoEnv.from_docker_image(echo_image, **options)

    return make


@pytest.fixture
def script(echo_image: str, tmp_path: Path) -> Iterator[Script]:
    """Run scripts; none of them, and no container of theirs, outlives the test."""
    processes: list[LineProcess] = []

    def run(source: str) -> LineProcess:
        path = tmp_path / f"script{len(processes)}.py"
        path.write_text(f"IMAGE = {echo_image!r}\n{source}", "utf-8")
        processes.append(LineProcess([sys.executable, "-W", "always", str(path)]))
        return processes[-1]

    yield run
    for process in processes:
        process.stop()
        left = owned_by(process.pid)
        if left:
            docker("rm", "--force", "--volumes", *left)
        assert left == []


@pytest.fixture
def nothing_left(docker_daemon: str) -> Iterator[None]:
    """Fail the test that leaves a container of this process behind, or an engine open."""
    from aioenv.client import engine

    yield
    open_engines = list(engine._engines.values())
    engine._engines.clear()
    left = owned_by(os.getpid())
    if left:
        docker("rm", "--force", "--volumes", *left)
    assert left == []
    assert open_engines == []


def owned_by(pid: int, *filters: str) -> list[str]:
    """Return the ids of the containers that were started for a process."""
    label = f"label=aioenv.owner.pid={pid}"
    more = [word for text in filters for word in ("--filter", text)]
    return docker("ps", "--all", "--quiet", "--no-trunc", "--filter", label, *more).split()


def make_context(folder: Path, url: str, name: str = "far") -> str:
    """Have a context in a folder of Docker's configuration, as ``docker context create`` does."""
    context = folder / "contexts/meta" / hashlib.sha256(name.encode()).hexdigest()
    context.mkdir(parents=True)
    facts = {"Name": name, "Endpoints": {"docker": {"Host": url}}}
    (context / "meta.json").write_text(json.dumps(facts), "utf-8")
    return name


async def facts_of(env: EchoEnv) -> dict[str, Any]:
    """Return what Docker says of a client's container."""
    launcher: Any = env._launcher
    async with Engine.joined() as engine:
        return await engine.docker.containers.container(launcher.container_id).show()


async def wait_none_of(pid: int) -> None:
    """Wait until no container of a process is there any more."""
    await _wait(lambda: not owned_by(pid))


async def wait_some_of(pid: int, *filters: str) -> None:
    """Wait until Docker has a container of a process."""
    await _wait(lambda: owned_by(pid, *filters))


async def _wait(condition: Callable[[], object]) -> None:
    """Wait until Docker, asked in a thread, says that a condition holds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 2 * DEADLINE_S  # a process may start first
    while not await asyncio.to_thread(condition):
        assert loop.time() < deadline, docker("ps", "--all")
        await asyncio.sleep(0.03)
