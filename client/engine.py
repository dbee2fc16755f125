"""The engine: one aiodocker session for each event loop, shared by all that it starts there."""

import asyncio
import os
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp

from aioenv import LaunchFailed
from aioenv.client.transport import see_through

if TYPE_CHECKING:
    import aiodocker

__all__ = ["PARALLEL_STARTS", "Engine", "docker_errors", "remove_container", "wait_removed"]

#: Most containers that one event loop has starting at a time; the next begins when one is ready.
PARALLEL_STARTS = 8

# What is done without a limit of its own takes at most so long to connect, in seconds.
_CONNECT_S = 10.0

_engines: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Engine]" = (
    weakref.WeakKeyDictionary()
)


class Engine:
    """A Docker daemon, as one event loop talks to it. It is left by its last user, and closed.

    Attributes:
        docker: the aiodocker session.
        starts: bounds how many containers start at a time.
        pulling: held by whoever pulls an image, so that many who want one pull it once.
        is_swept: whether leftovers of others were looked for.
    """

    def __init__(self) -> None:
        # Late, because a client that launches nothing need not carry it.
        import aiodocker

        # DOCKER_HOST outdoes a context, as it does for the `docker` command; aiodocker lets the
        # context win, and takes an empty variable for an address.
        url = os.environ.get("DOCKER_HOST") or None
        timeout = aiohttp.ClientTimeout(total=None, connect=_CONNECT_S)
        try:
            self.docker = aiodocker.Docker(url, timeout=timeout)
        except AssertionError as error:  # aiodocker's way to say that it found no socket
            raise LaunchFailed(_unreachable("no socket of it is where they are")) from error
        # Each container holds two connections as long as it runs, and aiohttp would allow for 100
        # in all: whoever comes then would wait for ever.
        self.docker.connector._limit = 0
        self.starts = asyncio.Semaphore(PARALLEL_STARTS)
        self.pulling = asyncio.Lock()
        self.is_swept = False
        self._users = 0

    def __repr__(self) -> str:
        return f"<Engine users={self._users}>"

    @classmethod
    @asynccontextmanager
    async def joined(cls) -> AsyncIterator["Engine"]:
        """Use the running loop's engine as long as the context lasts.

        Raises:
            LaunchFailed: nobody says where a Docker daemon is.
        """
        loop = asyncio.get_running_loop()
        engine = _engines.get(loop)
        if engine is None:
            with docker_errors("Docker cannot be used"):
                engine = _engines[loop] = cls()
        engine._users += 1
        try:
            yield engine
        finally:
            engine._users -= 1
            if not engine._users:
                del _engines[loop]
                await see_through(engine.docker.close())

    # Public attributes

    @property
    def address(self) -> str:
        """Where the daemon is, as ``DOCKER_HOST`` or the context says."""
        return self.docker._connection_info

    @property
    def host(self) -> str | None:
        """The machine of a daemon that is reached over the network, or ``None``."""
        parts = urlsplit(self.address)
        return parts.hostname if parts.scheme in ("tcp", "http", "https", "ssh") else None


@contextmanager
def docker_errors(doing: str, container_id: str | None = None) -> Iterator[None]:
    """Raise what Docker and the way there raise as `LaunchFailed`, with what to do about it."""
    import aiodocker

    try:
        yield
    except aiodocker.DockerError as error:
        reason = _unreachable(error.message) if error.status == 900 else f"{doing}: {error.message}"
        raise LaunchFailed(reason, container_id=container_id) from error
    except TimeoutError as error:
        reason = _unreachable(f"there was no connection within {_CONNECT_S:g} s")
        raise LaunchFailed(reason, container_id=container_id) from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        reason = f"{doing}: {error or type(error).__name__}"
        raise LaunchFailed(reason, container_id=container_id) from error


async def remove_container(docker: "aiodocker.Docker", name: str) -> None:
    """Kill and remove a container, whatever state it is in, and wait until it is gone.

    Safe to call twice, and where there is none.

    Raises:
        aiodocker.DockerError: the daemon cannot be reached, or does not do it.
    """
    import aiodocker

    container = docker.containers.container(name)
    try:
        await container.delete(force=True, v=True)
    except aiodocker.DockerError as error:
        if error.status == 409:  # it is being removed already
            await wait_removed(docker, name)
        elif error.status != 404:
            raise


async def wait_removed(docker: "aiodocker.Docker", name: str) -> int | None:
    """Wait until a container is removed, and return its exit code where Docker still knows it.

    Raises:
        aiodocker.DockerError: the daemon cannot be reached.
    """
    import aiodocker

    try:
        outcome = await docker.containers.container(name).wait(condition="removed")
    except aiodocker.DockerError as error:
        if error.status != 404:
            raise
        return None
    return int(outcome["StatusCode"])


def _unreachable(error: object) -> str:
    return (
        f"the Docker daemon does not answer ({error}); start Docker, or say where it is with "
        "DOCKER_HOST or `docker context use`, or do without it: from_environment(…) embeds the "
        "service in this process"
    )
