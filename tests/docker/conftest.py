"""What tests with containers may use: a client of the daemon, and containers that end with them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Protocol

import aiohttp
import pytest
from aiodocker import Docker
from aiodocker.containers import DockerContainer
from attrs import frozen

from tests.conftest import DEADLINE_S

__all__ = ["Run", "RunSpace", "Running"]


@frozen
class Running:
    """A container of the image, and the address that it is published at."""

    container: DockerContainer
    url: str

    async def wait_healthy(self) -> None:
        """Wait until the service answers.

        Raises:
            AssertionError: the container has ended, or does not answer in time; with its log.
        """
        async with aiohttp.ClientSession() as http, asyncio.timeout(DEADLINE_S):
            while not await _is_healthy(http, f"{self.url}/health"):
                state = await self.state()
                assert state["Running"], await self.log()
                await asyncio.sleep(0.02)

    async def state(self) -> dict[str, Any]:
        """Return what Docker says of its state."""
        state: dict[str, Any] = (await self.container.show())["State"]
        return state

    async def log(self) -> str:
        """Return what it has printed so far."""
        return "".join(await self.container.log(stdout=True, stderr=True))

    async def execute(self, *command: str) -> tuple[int, str]:
        """Run a command in it; return the exit code and what it printed."""
        execution = await self.container.exec(list(command))
        printed = b""
        async with asyncio.timeout(DEADLINE_S), execution.start(detach=False) as stream:
            while (message := await stream.read_out()) is not None:
                printed += message.data
            # Docker knows the exit code a moment after the streams have ended.
            while True:
                code: int | None = (await execution.inspect())["ExitCode"]
                if code is not None:
                    return code, printed.decode()
                await asyncio.sleep(0.01)


class Run(Protocol):
    """The `run_image` fixture."""

    async def __call__(
        self,
        *,
        command: list[str] | None = ...,
        user: str | None = ...,
        health_check: dict[str, Any] | None = ...,
        host: dict[str, Any] | None = ...,
        **env: object,
    ) -> Running:
        """Run the image until the test ends.

        Args:
            command: what to run instead of the image's own command.
            user: whose processes they are, instead of the image's own.
            health_check: Docker's health check, where it differs from the image's.
            host: further entries of the engine's ``HostConfig``.
            env: environment variables.
        """


class RunSpace(Protocol):
    """The `run_space` fixture."""

    async def __call__(self, image: str) -> Running:
        """Run an image as a Space is run, and wait until it is healthy."""


@pytest.fixture
async def run_space(engine: Docker) -> AsyncIterator[RunSpace]:
    """Run images as Spaces: as user 1000, with the port published; all end with the test."""
    containers: list[DockerContainer] = []

    async def run(image: str) -> Running:
        publish = {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}
        config = {"Image": image, "User": "1000", "HostConfig": {"PortBindings": publish}}
        container = await engine.containers.create(config)
        containers.append(container)
        await container.start()
        ports = (await container.show())["NetworkSettings"]["Ports"]["8000/tcp"]
        space = Running(container, f"http://127.0.0.1:{ports[0]['HostPort']}")
        await space.wait_healthy()
        return space

    yield run
    for container in containers:
        await container.delete(force=True, v=True)


@pytest.fixture
async def engine(docker_daemon: str) -> AsyncIterator[Docker]:
    """Give a client of the daemon."""
    async with Docker() as engine:
        yield engine


@pytest.fixture
async def run_image(engine: Docker, echo_image: str) -> AsyncIterator[Run]:
    """Run containers of the image; all are removed with the test."""
    containers: list[DockerContainer] = []

    async def run(
        *,
        command: list[str] | None = None,
        user: str | None = None,
        health_check: dict[str, Any] | None = None,
        host: dict[str, Any] | None = None,
        **env: object,
    ) -> Running:
        publish = {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}
        config: dict[str, Any] = {
            "Image": echo_image,
            "Env": [f"{name}={value}" for name, value in env.items()],
            "HostConfig": {"PortBindings": publish, **(host or {})},
        }
        config |= {"Cmd": command} if command else {}
        config |= {"User": user} if user else {}
        config |= {"Healthcheck": health_check} if health_check else {}
        container = await engine.containers.create(config)
        containers.append(container)
        await container.start()
        ports = (await container.show())["NetworkSettings"]["Ports"]["8000/tcp"]
        return Running(container, f"http://127.0.0.1:{ports[0]['HostPort']}")

    yield run
    for container in containers:
        await container.delete(force=True, v=True)


async def _is_healthy(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(url) as reply:
            return reply.status == 200
    except aiohttp.ClientError:
        return False
