"""The script ``openenv``: OpenEnv's own command line where that is installed, ours elsewhere.

Both packages install a script of this name, and the one that came last has it. If that is
OpenEnv's, it is as it should be; if it is ours, we hand over. ``aioenv`` is always ours.
"""

import re
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click

from aioenv.cli.command import main as aioenv

__all__ = ["main"]

_NAME = "openenv"
_DISTRIBUTIONS = ("openenv", "openenv-core")


def main(argv: Sequence[str] | None = None) -> Any:
    """Run the command line that the name belongs to here.

    Args:
        argv: the arguments for ours; by default the program's own. OpenEnv's reads the latter.

    Returns:
        The exit code, or ``None``.
    """
    theirs = _openenvs_own()
    if theirs is None:
        return aioenv(argv, name=_NAME)
    try:
        run = theirs.load()
    except ImportError as error:
        distribution = theirs.dist.name if theirs.dist is not None else _NAME
        click.echo(
            f"Error: the command line of the package {distribution} cannot be imported ({error}); "
            "install it anew, or use `aioenv`",
            err=True,
        )
        return 1
    return run()


def _openenvs_own() -> EntryPoint | None:
    """Return the script of a distribution of OpenEnv's, or ``None`` where there is none."""
    for script in entry_points(group="console_scripts", name=_NAME):
        if script.dist is not None:
            name = re.sub(r"[-_.]+", "-", script.dist.name).lower()
            if name in _DISTRIBUTIONS:
                return script
    return None
