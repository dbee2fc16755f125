"""Leftovers: the containers that clients have started and that are still there, whoever they were.

They are found by their labels, on the Docker daemon that is used here.
"""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any

from attrs import frozen

from aioenv import LaunchFailed
from aioenv.client.engine import Engine, docker_errors, remove_container
from aioenv.client.owners import LABEL, Owner

__all__ = [
    "LaunchedContainer",
    "launched_containers",
    "prune_containers",
    "remove_unstarted",
]

log = logging.getLogger(__name__)


@frozen
class LaunchedContainer:
    """A container that a client has started.

    Attributes:
        id: Docker's id of it.
        name: its name.
        image: what it runs.
        state: Docker's word: ``created``, ``running``, ``exited`` …
        address: where it is published, or ``None``.
        created_at: when it was created.
        owner: the process that it was started for.
    """

    id: str
    name: str
    image: str
    state: str
    address: str | None
    created_at: datetime
    owner: Owner

    @classmethod
    def of(cls, facts: dict[str, Any]) -> "LaunchedContainer":
        """Read what Docker lists of a container."""
        ports = [port for port in facts.get("Ports") or () if "PublicPort" in port]
        return cls(
            id=facts["Id"],
            name=facts["Names"][0].lstrip("/") if facts.get("Names") else "",
            image=facts["Image"],
            state=facts["State"],
            address=f"{ports[0]['IP']}:{ports[0]['PublicPort']}" if ports else None,
            created_at=datetime.fromtimestamp(facts["Created"], UTC),
            owner=Owner.of(facts["Labels"]),
        )


async def launched_containers() -> list[LaunchedContainer]:
    """Return the containers that clients have started, the oldest first.

    Raises:
        LaunchFailed: the Docker daemon cannot be reached.
    """
    async with Engine.joined() as engine:
        return await _list(engine)


async def prune_containers(*, everything: bool = False) -> list[LaunchedContainer]:
    """Remove the containers whose owners are gone; one that cannot be removed keeps no other.

    Cancelling it leaves those that were not reached yet.

    Args:
        everything: whether to remove also those whose owners live, or cannot be seen from here.

    Returns:
        What was removed.

    Raises:
        LaunchFailed: the Docker daemon cannot be reached, or does not remove some of them; it says
            which.
    """
    async with Engine.joined() as engine:
        doomed = [
            container
            for container in await _list(engine)
            if everything or container.owner.standing() == "gone"
        ]
        removals = (_remove(engine, container) for container in doomed)
        outcomes = await asyncio.gather(*removals, return_exceptions=True)
    failures = [outcome for outcome in outcomes if outcome is not None]
    if failures:
        told = "; ".join(getattr(failure, "reason", repr(failure)) for failure in failures)
        reason = f"{len(failures)} of {len(doomed)} containers are left: {told}"
        raise LaunchFailed(reason) from failures[0]
    return doomed


async def _remove(engine: Engine, container: LaunchedContainer) -> None:
    with docker_errors(f"the container {container.id[:12]} cannot be removed", container.id):
        await remove_container(engine.docker, container.id)


async def remove_unstarted(engine: Engine) -> None:
    """Remove what was created for processes that were killed before they could start it.

    Such a container never ends, so that Docker would never remove it. Once for each engine.
    """
    if engine.is_swept:
        return
    engine.is_swept = True
    try:
        for container in await _list(engine, status=["created"]):
            if container.owner.standing() == "gone":
                log.info("removing the container %s, which was never started", container.id[:12])
                await _remove(engine, container)
    except LaunchFailed as error:
        log.debug("leftovers were not removed: %s", error)


async def _list(engine: Engine, **filters: list[str]) -> list[LaunchedContainer]:
    with docker_errors("the containers cannot be listed"):
        found = await engine.docker.containers.list(all=True, filters={"label": [LABEL], **filters})
    containers = [LaunchedContainer.of(container._container) for container in found]
    return sorted(containers, key=lambda container: (container.created_at, container.id))
