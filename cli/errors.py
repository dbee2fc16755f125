"""Errors: what a user is told, in one line with the way out; a traceback only with ``--debug``."""

import logging
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

import click
from attrs import define

from aioenv import AioEnvError, ConnectionFailed

__all__ = ["CommandFailed", "Diagnosis", "debug_option", "report_error", "way_out"]

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


class CommandFailed(click.ClickException):
    """A command cannot go on; its sentence says why, and what to do. Exit code 1."""


@define
class Diagnosis:
    """How much a user wants to know; one for each call of the command line.

    Attributes:
        is_debug: whether ``--debug`` was given.
    """

    is_debug: bool = False


def debug_option(command: CommandT) -> CommandT:
    """Give a command the option ``--debug``; it may stand before or after a subcommand."""

    def switch_on(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value:
            context.ensure_object(Diagnosis).is_debug = True
            logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
            logging.getLogger("aioenv").setLevel(logging.DEBUG)

    option = click.option(
        "--debug",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=switch_on,
        help="Log everything; show the traceback of an error.",
    )
    return option(command)


def report_error(error: BaseException, diagnosis: Diagnosis) -> int:
    """Tell of an error on standard error.

    Returns:
        The exit code.
    """
    if isinstance(error, click.Abort | KeyboardInterrupt):
        return 130
    if isinstance(error, BrokenPipeError):  # whoever read our output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if diagnosis.is_debug:
        traceback.print_exception(error)
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, AioEnvError):
        click.echo(f"Error: {error}", err=True)
        return 1
    words = " ".join(f"{type(error).__name__}: {error}".split())
    way_out = "report it with the above" if diagnosis.is_debug else "--debug shows what to report"
    click.echo(f"Error: unexpected {words}; this is a fault of aioenv: {way_out}", err=True)
    return 1


def way_out(error: ConnectionFailed) -> str:
    """Return what a user can do about a service that cannot be reached."""
    if error.status is None:
        return "is it running? `aioenv serve` starts one"
    if error.status == 401:
        return "pass its token with --header 'Authorization: Bearer …'"
    return "is it the address of an environment?"
