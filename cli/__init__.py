"""aioenv.cli: the command line."""

from aioenv.cli.command import main

__all__ = ["main"]
