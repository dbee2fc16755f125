"""The engine: one aiodocker session for each event loop, shared by all that it starts there."""

import asyncio
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp

from aioenv import LaunchFailed
from aioenv.client.contexts import find_daemon
from aioenv.client.transport import see_through

if TYPE_CHECKING:
    import aiodocker

__all__ = [
    "ANSWER_S",
    "PARALLEL_STARTS",
    "Engine",
    "docker_errors",
    "open_docker",
    "remove_container",
    "wait_removed",
]

#: Most containers that one event loop has starting at a time; the next begins when one is ready.
PARALLEL_STARTS = 8

# How long the daemon may take to be reached, in seconds.
_CONNECT_S = 10.0
#: How long it may take to answer what does not take its time (as pulling, stopping and waiting do).
ANSWER_S = 60.0

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
        self.docker = open_docker()
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


def open_docker() -> "aiodocker.Docker":
    """Open a session with the daemon.

    Raises:
        LaunchFailed: nobody says where one is.
    """
    # Late, because a client that launches nothing need not carry it.
    import aiodocker

    with docker_errors("Docker cannot be used"):
        address, security = find_daemon()
        if address is None:
            raise LaunchFailed(_unreachable("no socket of it is where they are"))
        timeout = aiohttp.ClientTimeout(total=ANSWER_S, connect=_CONNECT_S)
        return aiodocker.Docker(address, timeout=timeout, ssl_context=security)


@contextmanager
def docker_errors(doing: str, container_id: str | None = None) -> Iterator[None]:
    """Raise what Docker and the way there raise as `LaunchFailed`, with what to do about it."""
    import aiodocker

    try:
        yield
    except aiodocker.DockerError as error:
        words = error.message or f"it answered with status {error.status}"
        reason = _unreachable(error.message) if error.status == 900 else f"{doing}: {words}"
        raise LaunchFailed(reason, container_id=container_id) from error
    except TimeoutError as error:
        reason = _unreachable(f"no answer came within {ANSWER_S:g} s")
        raise LaunchFailed(reason, container_id=container_id) from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        reason = f"{doing}: {str(error) or type(error).__name__}"
        raise LaunchFailed(reason, container_id=container_id) from error


async def remove_container(docker: "aiodocker.Docker", name: str) -> bool:
    """Kill and remove a container, whatever state it is in, and wait until it is gone.

    Safe to call twice, and where there is none.

    Returns:
        Whether there was one.

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
        elif error.status == 404:
            return False
        else:
            raise
    return True


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
