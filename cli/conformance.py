"""The conformance: every check of a running service."""

from typing import Any

from aioenv.cli.checklist import Checklist, Fault, Skipped
from aioenv.cli.doors import Doors, Seen
from aioenv.cli.probe import Probe
from aioenv.cli.schemas import Schemas
from aioenv.cli.sessions import Sessions

__all__ = ["check_service"]


async def check_service(
    probe: Probe, *, action: dict[str, Any] | None = None, is_full: bool = False
) -> Checklist:
    """Check a running service; no more than two sessions are open at a time, unless told to.

    Args:
        probe: asks it.
        action: the action to play, or ``None`` to make some up from the schema.
        is_full: whether to open sessions until the service refuses one.

    Raises:
        ConnectionFailed: nobody is there, or it wants a token.
    """
    checklist, seen = Checklist(probe.url), Seen(action=action)
    await Doors(probe, seen).check(checklist)
    await Sessions(probe, seen, is_full).check(checklist)
    for name, kept in (("observation-schema", seen.observations), ("state-schema", seen.states)):
        checklist.run(name, lambda kept=kept: _fit(seen.schemas, kept))  # type: ignore[misc]
    return checklist


def _fit(schemas: Schemas | None, kept: list[tuple[str, str, dict[str, Any]]]) -> str:
    """Hold what was kept of the replies against their schemas."""
    if schemas is None or not kept:
        raise Skipped("there is no schema" if schemas is None else "there was nothing to judge")
    for name, what, value in kept:
        misfit = schemas.misfit(name, value)
        if misfit:
            raise Fault(
                f"the {name} in the reply to {what} does not satisfy its schema: {misfit}",
                "publish the schema of what is sent",
            )
    return f"all {len(kept)} that were seen satisfy it"
