"""Containers: a launcher that runs an image with Docker and leaves nothing behind.

Docker removes a container when it ends (``AutoRemove``), whoever is left to ask for it. What ends
it: `ContainerLauncher.stop`; a start that fails or is cancelled, which is undone; the interpreter's
end; and where the client was killed, the service itself, once nobody has used it for `idle_exit_s`.
"""

import asyncio
import atexit
import os
import re
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs

from aioenv import LaunchFailed
from aioenv.client.container_options import ContainerOptions
from aioenv.client.endings import persist, stop_container, undo_creation
from aioenv.client.engine import Engine, docker_errors
from aioenv.client.images import ensure_image
from aioenv.client.leftovers import remove_unstarted
from aioenv.client.readiness import Readiness
from aioenv.client.transport import see_through
from aioenv.client.watch import Watch

if TYPE_CHECKING:
    from aiodocker.containers import DockerContainer

__all__ = ["ContainerLauncher"]

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_CONNECT_S = 5.0
_PORT_IS_TAKEN = re.compile("already (in use|allocated)")

# What was started and not stopped, with the event loop that it was started on.
_running: "dict[ContainerLauncher, asyncio.AbstractEventLoop]" = {}


class ContainerLauncher:
    """A launcher: `start` runs an image in a container of its own, `stop` removes it.

    Up to `PARALLEL_STARTS` of an event loop start at a time; the others wait for their turn.

    Args:
        image: the image's name.
        options: how to run it.

    Raises:
        ValueError: that cannot be the name of an image.
    """

    def __init__(self, image: str, options: ContainerOptions | None = None) -> None:
        if not image or re.search(r"\s", image):
            raise ValueError(f"{image!r} is not the name of an image")
        self.image = image
        self.options = options or ContainerOptions()
        self._watch: Watch | None = None
        self._process = 0

    def __repr__(self) -> str:
        container_id = self.container_id
        return f"<ContainerLauncher {self.image} {container_id[:12] if container_id else 'idle'}>"

    @classmethod
    def taking(
        cls, image: str, options: Mapping[str, Any]
    ) -> "tuple[ContainerLauncher, dict[str, Any]]":
        """Make one with those of the options that are a container's; return the rest beside it."""
        names = {attribute.name for attribute in attrs.fields(ContainerOptions)}
        own = {name: value for name, value in options.items() if name in names}
        rest = {name: value for name, value in options.items() if name not in names}
        return cls(image, ContainerOptions(**own)), rest

    # Public attributes

    @property
    def container_id(self) -> str | None:
        """The container's id, from its creation until it is stopped."""
        return None if self._watch is None else self._watch.container_id

    @property
    def log_tail(self) -> str:
        """The last lines that the container has written."""
        return "" if self._watch is None else str(self._watch.log_tail)

    # Public methods

    async def start(self) -> str:
        """Create and start a container, and return the service's address once it is healthy.

        An image that is missing is pulled first. Cancelling it, or a failure, leaves nothing
        behind.

        Raises:
            LaunchFailed: Docker cannot be reached, there is no image, or the container could not
                be started, ended or did not become healthy in time.
        """
        async with Engine.joined() as engine:
            self._check_reach(engine)
            await remove_unstarted(engine)
            await ensure_image(engine, self.image, self.options.pull)
            async with engine.starts:
                await self._check_port(engine)
                return await self._launch(engine)

    async def stop(self) -> None:
        """Stop the container and wait until it is removed.

        Safe to call twice, and where it never started. Cancelling it costs nothing: the stopping
        goes on by itself.
        """
        watch, self._watch = self._watch, None
        _running.pop(self, None)
        if watch is not None and self._process == os.getpid():  # a fork leaves it to the parent
            await see_through(persist(partial(stop_container, watch, self.options.stop_timeout_s)))

    async def has_ended(self, patience_s: float = 0.0) -> bool:
        """Whether the container that was started is gone.

        Args:
            patience_s: how long to wait for that, in seconds.

        Raises:
            LaunchFailed: Docker has to be asked, and cannot be.
        """
        watch = self._watch
        if watch is None:
            return True
        if patience_s and not watch.ended.done():
            await asyncio.wait([watch.ended], timeout=patience_s)
        if watch.has_ended is not None:
            return watch.has_ended
        # Nobody watches it any more: the event loop that it was started on has ended.
        async with Engine.joined() as engine:
            container = engine.docker.containers.container(watch.container_id)
            return await _inspect(container) is None

    # Private methods

    def _check_reach(self, engine: Engine) -> None:
        """Refuse what cannot work: to publish on the loopback of another machine."""
        is_published = self.options.network is None and self.options.host_ip in _LOOPBACK
        if is_published and engine.host not in (None, *_LOOPBACK):
            raise LaunchFailed(
                f"Docker runs on another machine ({engine.address}), and what is published on its "
                f"{self.options.host_ip} cannot be reached from here; pass host_ip='0.0.0.0' to "
                "publish it on every address of that machine"
            )

    async def _check_port(self, engine: Engine) -> None:
        """Refuse a port of the host's own where another answers, who would be taken for ours."""
        if self.options.network != "host":
            return
        host, port = engine.host or "127.0.0.1", self.options.port
        try:
            async with asyncio.timeout(_CONNECT_S):
                _, writer = await asyncio.open_connection(host, port)
        except OSError:
            return
        writer.close()
        raise LaunchFailed(
            f"port {port} of the host is taken; pass another as port=…, and tell the service "
            "(env_vars={'AIOENV_PORT': …})"
        )

    async def _launch(self, engine: Engine) -> str:
        """Bring one container to health, or undo it."""
        name = _name_for(self.image)
        config = self.options.config(self.image)
        # Docker goes on with a creation whose request is cancelled: it is seen to its end.
        creating = asyncio.ensure_future(engine.docker.containers.create(config, name=name))
        try:
            url = await self._bring_up(engine, creating)
        except BaseException:
            watch, self._watch = self._watch, None
            await see_through(persist(partial(undo_creation, creating, name, watch)))
            raise
        assert self._watch is not None
        self._watch.tells = True
        self._process = os.getpid()
        _running[self] = asyncio.get_running_loop()
        return url

    async def _bring_up(self, engine: Engine, creating: "asyncio.Future[DockerContainer]") -> str:
        """Start a container that is being created, and wait until its service is healthy."""
        readiness = Readiness()
        limit_s = self.options.ready_timeout_s
        try:
            async with asyncio.timeout(limit_s) as limit:
                with docker_errors("the container cannot be created"):
                    container = await asyncio.shield(creating)
                self._watch = watch = Watch(container.id)
                await watch.wait_attached()
                await self._set_going(container)
                url = await self._url(engine, container, watch)
                await _wait_healthy(readiness, url, watch)
        except TimeoutError as error:
            if not limit.expired():
                raise
            reason = f"it was not healthy within {limit_s:g} s: {readiness.last}"
            raise LaunchFailed(
                reason, container_id=self.container_id, log_tail=self.log_tail
            ) from error
        return url

    async def _set_going(self, container: "DockerContainer") -> None:
        try:
            with docker_errors("the container cannot be started", container.id):
                await container.start()
        except LaunchFailed as failure:
            if self.options.host_port is None or not _PORT_IS_TAKEN.search(failure.reason):
                raise
            reason = f"{failure.reason}; without host_port={self.options.host_port}, Docker takes"
            raise LaunchFailed(
                f"{reason} a free one", container_id=container.id
            ) from failure.__cause__

    async def _url(self, engine: Engine, container: "DockerContainer", watch: Watch) -> str:
        """Return where a container that was started is reached."""
        options = self.options
        with docker_errors("the container cannot be inspected", container.id):
            facts = await _inspect(container)
        if facts is None:
            raise await watch.wait_death()
        network = facts["NetworkSettings"]
        host, port = options.host_ip, options.port
        if options.network == "host":
            host = engine.host or "127.0.0.1"
        elif options.network is not None:
            addresses = (joined["IPAddress"] for joined in network["Networks"].values())
            host = next(filter(None, addresses), "")
            if not host:
                reason = f"in the network {options.network!r} it has no address to be reached at"
                raise LaunchFailed(reason, container_id=container.id)
        else:
            port = int(network["Ports"][f"{port}/tcp"][0]["HostPort"])
            if host not in _LOOPBACK:
                host = engine.host or {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"


async def _wait_healthy(readiness: Readiness, url: str, watch: Watch) -> None:
    """Wait until a service is healthy, or its container ends."""
    asking = asyncio.ensure_future(readiness.wait(url))
    try:
        await asyncio.wait([asking, watch.ended], return_when=asyncio.FIRST_COMPLETED)
        if not asking.done():
            raise await watch.wait_death()
        await asking
    finally:
        asking.cancel()
        await asyncio.wait([asking])


async def _inspect(container: "DockerContainer") -> dict[str, Any] | None:
    """Return Docker's facts about a container that runs, or ``None`` if it does not (any more)."""
    import aiodocker

    try:
        facts = await container.show()
    except aiodocker.DockerError as error:
        if error.status != 404:
            raise
        return None
    return facts if facts["State"]["Running"] else None


def _name_for(image: str) -> str:
    """Return a name for a container, by which it can be removed before its id is known."""
    last = image.rpartition("/")[2].partition("@")[0].partition(":")[0]
    return f"aioenv-{re.sub(r'[^a-zA-Z0-9_.-]', '-', last)}-{os.urandom(4).hex()}"


@atexit.register
def _stop_at_exit() -> None:
    """Stop what was started on event loops that have ended without stopping it.

    Those that still run have clients of their own to close (`aioenv.client.blocking`).
    """
    left = [launcher for launcher, loop in _running.items() if not loop.is_running()]

    async def stop_all() -> None:
        await asyncio.gather(*(launcher.stop() for launcher in left))

    if left:
        asyncio.run(stop_all())


os.register_at_fork(after_in_child=_running.clear)
