"""``aioenv validate``: is it an environment, and does it speak OpenEnv's wire: a report."""

import asyncio
import json
from pathlib import Path
from typing import Any

import click

from aioenv import ConnectionFailed, dumps
from aioenv.cli.checklist import Checklist
from aioenv.cli.conformance import check_service
from aioenv.cli.errors import CommandFailed, debug_option, way_out
from aioenv.cli.options import headers
from aioenv.cli.probe import Probe
from aioenv.cli.schemas import check_installed
from aioenv.cli.structure import check_folder
from aioenv.client.address import normalized

__all__ = ["validate"]

_LONGEST_S = 86_400.0


def _action(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    if value is None:
        return None
    try:
        action = json.loads(value)
    except ValueError as error:
        raise click.BadParameter(f"this is not JSON: {error}") from None
    if not isinstance(action, dict):
        raise click.BadParameter('expected a JSON object, such as {"message": "Hi"}')
    return action


@click.command(
    epilog="""\b
A service is held to what OpenEnv's own does. It is played with, in at most two
sessions at a time, but not filled up unless --full asks for it. Its actions are
made up from its schema. That needs: pip install 'aioenv[validate]'
--json prints one object: target, verdict, checks [{name, verdict, detail,
advice}]; a verdict is "pass", "fail" or, of a check, "skip".
\b
Exit codes: 0 nothing failed, 1 something did, or the service cannot be reached,
2 wrong usage, 130 Ctrl-C.
Examples:
  aioenv validate                           the folder that you are in
  aioenv validate envs/chess                another
  aioenv validate http://localhost:8000     a running service
  aioenv validate https://org-space.hf.space --json
""",
)
@click.argument("target", default=".", metavar="[FOLDER | URL]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, not lines.")
@click.option(
    "--action",
    callback=_action,
    metavar="JSON",
    help="Play this action.  [default: random ones]",
)
@click.option(
    "--full", "is_full", is_flag=True, help="Open sessions until the service refuses one."
)
@click.option(
    "--message-timeout-s",
    "timeout_s",
    type=click.FloatRange(0, _LONGEST_S, min_open=True),
    default=30.0,
    show_default=True,
    help="How long to wait for an answer.",
)
@click.option(
    "--capacity-timeout-s",
    type=click.FloatRange(0, _LONGEST_S),
    default=10.0,
    show_default=True,
    help="How long to wait for a free session.",
)
@click.option(
    "--header",
    "headers",
    multiple=True,
    callback=headers,
    metavar="'NAME: VALUE'",
    help="Send this header. May be repeated.",
)
@click.option(
    "--token",
    envvar="AIOENV_TOKEN",
    help="Bearer token of the service; better given as AIOENV_TOKEN.",
)
@debug_option
def validate(
    target: str,
    as_json: bool,
    action: dict[str, Any] | None,
    is_full: bool,
    token: str | None,
    headers: dict[str, str],
    **times: float,
) -> int:
    """Check an environment's folder, or a running service.

    By default it is the current folder. A folder's application is imported, so check only code
    that you would run.
    """
    if Path(target).is_dir():
        checklist = check_folder(Path(target))
    else:
        if token:
            headers = {"Authorization": f"Bearer {token}", **headers}
        checklist = asyncio.run(
            _check(_address(target), headers, times, action=action, is_full=is_full)
        )
    if as_json:
        click.echo(dumps(checklist.as_dict()).decode())
    else:
        checklist.print_lines()
    return 0 if checklist.verdict == "pass" else 1


def _address(target: str) -> str:
    """Return the address that a target is.

    Raises:
        click.BadParameter: it is none.
    """
    is_host = target.startswith("localhost") or ":" in target
    if is_host and not Path(target).exists():
        try:
            return normalized(target)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None
    raise click.BadParameter(
        f"{target!r} is neither a folder nor an address, such as http://localhost:8000"
    )


async def _check(
    url: str, headers: dict[str, str], times: dict[str, float], **options: Any
) -> Checklist:
    check_installed()
    try:
        async with Probe.open(url, headers=headers, **times) as probe:
            return await check_service(probe, **options)
    except ConnectionFailed as error:
        raise CommandFailed(f"{error}; {way_out(error)}") from error
