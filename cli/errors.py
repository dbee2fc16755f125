"""Errors: what a user is told, in one line with the way out; a traceback only with ``--debug``."""

import io
import logging
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

import click
from attrs import define, field

from aioenv import AioEnvError, ConnectionFailed
from aioenv.service import Settings
from aioenv.service.logs import configure_logging

__all__ = ["CommandFailed", "Diagnosis", "debug_option", "report_error", "way_out"]

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


class CommandFailed(click.ClickException):
    """A command cannot go on; its sentence says why, and what to do. Exit code 1."""


@define
class Diagnosis:
    """How much a user wants to know, and must not; one for each call of the command line.

    Attributes:
        is_debug: whether ``--debug`` was given.
    """

    is_debug: bool = False
    _secrets: set[str] = field(factory=set, init=False)

    def keep_secret(self, *values: str | None) -> None:
        """Have no report of an error repeat these texts, whoever else does."""
        for value in filter(None, values):
            self._secrets |= {value, repr(value)[1:-1]}

    def redacted(self, text: str) -> str:
        """Return a text without the secrets."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text


def debug_option(command: CommandT) -> CommandT:
    """Give a command the option ``--debug``; it may stand before or after a subcommand."""

    def switch_on(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value:
            context.ensure_object(Diagnosis).is_debug = True
            configure_logging(Settings(log_level="warning"))  # `serve` does it again, as told
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
    if isinstance(error, click.Abort):
        return 130
    report = io.StringIO()
    if diagnosis.is_debug:
        traceback.print_exception(error, file=report)
    code = 1
    if isinstance(error, click.ClickException):
        error.show(report)
        code = error.exit_code
    elif isinstance(error, AioEnvError):
        report.write(f"Error: {error}\n")
    else:
        words = " ".join(f"{type(error).__name__}: {error}".split())
        remedy = (
            "report it with the above" if diagnosis.is_debug else "--debug shows what to report"
        )
        report.write(f"Error: unexpected {words}; this is a fault of aioenv: {remedy}\n")
    click.echo(diagnosis.redacted(report.getvalue()), err=True, nl=False)
    return code


def way_out(error: ConnectionFailed) -> str:
    """Return what a user can do about a service that cannot be reached."""
    if error.status is None:
        return "is it running? `aioenv serve` in its folder starts one"
    if error.status == 401:
        return "pass its token with --header 'Authorization: Bearer …'"
    return "is it the address of an environment?"
