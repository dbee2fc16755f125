"""Endings: how containers are stopped and starts undone, whatever becomes of the event loop."""

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Literal

import aiohttp

from aioenv import LaunchFailed
from aioenv.client.engine import ANSWER_S, Engine, remove_container
from aioenv.client.watch import Watch

if TYPE_CHECKING:
    import aiodocker
    from aiodocker.containers import DockerContainer

__all__ = ["persist", "stop_container", "undo_creation"]

log = logging.getLogger(__name__)

# How often, and after how many seconds each, a container is removed that may only be coming.
_LATE_REMOVALS = 50
_LATE_PAUSE_S = 0.1


async def persist(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do what must be done even where the event loop ends and cancels everything: begin anew."""
    try:
        await work()
    except asyncio.CancelledError:
        await work()


async def stop_container(watch: Watch, patience_s: float) -> None:
    """Have a container end in order, and remove it in any case."""
    watch.tells = False
    with _warned(watch.container_id):
        async with asyncio.timeout(patience_s + ANSWER_S), Engine.joined() as engine:
            container = engine.docker.containers.container(watch.container_id)
            with contextlib.suppress(aiohttp.ClientError):
                await _ask_to_stop(container, patience_s)
            await remove_container(engine.docker, watch.container_id)
    await watch.close()


async def _ask_to_stop(container: "DockerContainer", patience_s: float) -> None:
    import aiodocker

    try:
        await container.stop(t=math.ceil(patience_s))
    except aiodocker.DockerError as error:
        log.debug("the container %s was not stopped: %s", container.id[:12], error)


async def undo_creation(
    creating: "asyncio.Future[DockerContainer]", name: str, watch: Watch | None
) -> None:
    """Remove a container whose start failed, whatever had become of it by then."""
    async with Engine.joined() as engine:  # first: the creation needs it as well
        await asyncio.wait([creating])
        outcome = _outcome(creating)
        if outcome != "refused":
            with _warned(name):
                async with asyncio.timeout(ANSWER_S):
                    if outcome == "created":
                        await remove_container(engine.docker, name)
                    else:
                        await _remove_late(engine.docker, name)
        if watch is not None:
            await watch.close()


async def _remove_late(docker: "aiodocker.Docker", name: str) -> None:
    """Remove a container that Docker may be only about to create."""
    for _ in range(_LATE_REMOVALS):
        if await remove_container(docker, name):
            return
        await asyncio.sleep(_LATE_PAUSE_S)


def _outcome(
    creating: "asyncio.Future[DockerContainer]",
) -> Literal["created", "refused", "unknown"]:
    """Tell what Docker said to a creation; where its answer is lost, or never was awaited, nothing.

    The latter is so where the event loop ends, which cancels the request itself.
    """
    import aiodocker

    error = asyncio.CancelledError() if creating.cancelled() else creating.exception()
    if error is None:
        return "created"
    is_answer = isinstance(error, aiodocker.DockerError) and error.status != 900
    return "refused" if is_answer else "unknown"


@contextlib.contextmanager
def _warned(name: str) -> Iterator[None]:
    """Tell of a container that could not be removed; whoever asked has ends of its own to tie."""
    import aiodocker

    try:
        yield
    except LaunchFailed as error:
        reason = error.reason
    except TimeoutError:
        reason = "Docker does not answer"
    except aiodocker.DockerError as error:
        reason = error.message
    except (aiohttp.ClientError, OSError, RuntimeError) as error:
        reason = str(error)
    else:
        return
    log.warning("the container %s may still run: %s; `aioenv prune` removes it", name, reason)
