"""``aioenv ps`` and ``aioenv prune``: the containers that clients have started, and their end."""

import asyncio
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from aioenv import LaunchFailed, dumps
from aioenv.cli.errors import CommandFailed, debug_option
from aioenv.client import LaunchedContainer, launched_containers, prune_containers

__all__ = ["prune", "ps"]

T = TypeVar("T")

_HEADINGS = ("CONTAINER", "IMAGE", "STATE", "ADDRESS", "AGE", "OWNER")


@click.command(
    epilog="""\b
An owner is the process that a container was started for: "alive", "gone", or
"elsewhere": on another machine, in a container, or hidden by this one.
--json prints a list of objects: id, name, image, state, address, created_at,
owner {pid, standing}.
\b
Exit codes: 0 success, 1 Docker cannot be reached, 2 wrong usage.
Examples:
  aioenv ps
  aioenv ps --json | jq -r '.[] | select(.owner.standing == "gone") | .id'
"""
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, not a table.")
@debug_option
def ps(as_json: bool) -> None:
    """List the containers that clients have started.

    They are found by their labels, on the Docker daemon that is used here.
    """
    containers = _asked(launched_containers())
    if as_json:
        click.echo(dumps([_as_dict(container) for container in containers]).decode())
    else:
        _print_table([_row(container) for container in containers])


@click.command(
    epilog="""\b
--json prints one object: removed [id, …].
\b
Exit codes: 0 success, 1 Docker cannot be reached or does not remove one of
them, 2 wrong usage.
Examples:
  aioenv prune        what was left behind by processes that were killed
  aioenv prune --all  everything that `aioenv ps` lists
"""
)
@click.option(
    "--all", "everything", is_flag=True, help="Also those whose owners live or are elsewhere."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, not a sentence.")
@debug_option
def prune(everything: bool, as_json: bool) -> None:
    """Remove the containers whose owners are gone."""
    removed = _asked(prune_containers(everything=everything))
    if as_json:
        click.echo(dumps({"removed": [container.id for container in removed]}).decode())
        return
    for container in removed:
        click.echo(f"removed {container.id[:12]}  {container.image}")
    if not removed:
        click.echo("Nothing to remove; `aioenv ps` lists what there is.")


def _asked(question: Coroutine[Any, Any, T]) -> T:
    """Ask Docker something; where that fails, say why."""
    try:
        return asyncio.run(question)
    except LaunchFailed as error:
        raise CommandFailed(error.reason) from error


def _as_dict(container: LaunchedContainer) -> dict[str, Any]:
    return {
        "id": container.id,
        "name": container.name,
        "image": container.image,
        "state": container.state,
        "address": container.address,
        "created_at": container.created_at,
        "owner": {"pid": container.owner.pid, "standing": container.owner.standing()},
    }


def _row(container: LaunchedContainer) -> tuple[str, ...]:
    return (
        container.id[:12],
        container.image,
        container.state,
        container.address or "-",
        _in_words(datetime.now(UTC) - container.created_at),
        f"pid {container.owner.pid}, {container.owner.standing()}",
    )


def _in_words(age: Any) -> str:
    seconds = max(0, int(age.total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def _print_table(rows: list[tuple[str, ...]]) -> None:
    """Print rows under their headings; on a terminal, those without an owner stand out."""
    widths = [max(map(len, column)) for column in zip(_HEADINGS, *rows, strict=True)]
    for row in (_HEADINGS, *rows):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        is_orphan = row[-1].endswith(", gone") and sys.stdout.isatty()
        click.secho(line.rstrip(), fg="red" if is_orphan else None, bold=row is _HEADINGS)
