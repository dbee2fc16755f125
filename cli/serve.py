"""``aioenv serve``: an environment as a service, until SIGTERM or Ctrl-C."""

import asyncio
import errno
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import attrs
import click

from aioenv.cli.errors import CommandFailed, Diagnosis, debug_option
from aioenv.cli.targets import Target, load_application
from aioenv.cli.worker import Worker
from aioenv.service import SERVICE, Settings
from aioenv.service import serve as run_service
from aioenv.service.logs import configure_logging
from aioenv.service.running import listen

__all__ = ["serve"]

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


def texts(value: str) -> tuple[str, ...]:
    """Read texts that are separated by commas; click shows this function's name."""
    return tuple(part.strip() for part in value.split(",") if part.strip())


_TYPES: dict[Any, Any] = {
    bool: click.BOOL,
    int: click.INT,
    float: click.FLOAT,
    str: click.STRING,
    str | None: click.STRING,
    Path | None: click.Path(exists=True, dir_okay=False, path_type=Path),
    tuple[str, ...]: texts,
}


def _option(attribute: "attrs.Attribute[Any]") -> Callable[[CommandT], CommandT]:
    """Make the option of one setting."""

    def check(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        if value is not None and attribute.validator is not None:
            try:
                attribute.validator(Settings, attribute, value)
            except ValueError as error:
                raise click.BadParameter(str(error)) from None
        return value

    notes = [f"env: {attribute.metadata['variable']}"]
    if attribute.type is bool:
        notes.append(f"default: {'yes' if attribute.default else 'no'}")
    elif attribute.default not in (None, ()):
        is_number = isinstance(attribute.default, int | float)
        notes.append(f"default: {format(attribute.default, 'g' if is_number else '')}")
    choices = attribute.metadata.get("choices")
    name = attribute.name.replace("_", "-")
    return click.option(
        f"--{name}/--no-{name}" if attribute.type is bool else f"--{name}",
        attribute.name,
        default=None,
        type=click.Choice(choices) if choices else _TYPES[attribute.type],
        callback=check,
        help=f"{attribute.metadata['help']}.  [{'; '.join(notes)}]",
    )


def _setting_options(command: CommandT) -> CommandT:
    """Give a command one option for each setting of a service."""
    for attribute in reversed(attrs.fields(Settings)):
        command = _option(attribute)(command)
    return command


@click.command(
    epilog="""\b
A port is taken from the command line, else from AIOENV_PORT, else from the
manifest. SIGTERM and Ctrl-C let live sessions go on for the grace; the second
of them ends at once.
--reload gives sessions no grace at a restart unless --shutdown-grace-s does.
Who connects meanwhile waits. It watches *.py, *.yaml, *.toml and the README.
--workers: a connection goes to the worker with the fewest. A WebSocket stays
with its worker; sessions over plain HTTP and MCP are known to one worker only,
and each worker answers /capacity and /metrics for itself.
\b
Exit codes: 0 stopped, 1 it cannot be served, 2 wrong usage, 130 ended at once.
Examples:
  aioenv serve                            the environment of this folder
  aioenv serve echo_env.app:app --port 0  Echo, on a free port
  aioenv serve envs/chess --host 0.0.0.0 --max-concurrent-envs 512
  aioenv serve --reload                   and anew after each change
  aioenv serve --workers 4                on four processors
""",
)
@click.argument("target", default=".")
@click.option("--reload", is_flag=True, help="Start anew whenever the author's files change.")
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=1,
    help="Processes to serve with; they share the port and divide the sessions.  [default: 1]",
)
@click.option("--worker", callback=Worker.of, hidden=True)
@_setting_options
@debug_option
@click.pass_context
def serve(
    context: click.Context,
    /,
    target: str,
    reload: bool,
    workers: int,
    worker: Worker | None,
    **options: Any,
) -> int:
    """Serve an environment.

    TARGET is an application, as module:attribute, or a folder with an openenv.yaml that names one;
    by default the current folder. An option outdoes an environment variable, which outdoes the
    default.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if reload and workers > 1:
        raise click.UsageError("--reload serves with one worker; leave out --workers or --reload")
    try:
        configure_logging(Settings.from_environ(**given))  # loading the application may log already
    except ValueError as error:
        raise CommandFailed(str(error)) from error
    if reload or workers > 1:
        if reload:
            given.setdefault("shutdown_grace_s", 0.0)
        command = _command(target, given, is_debug=context.ensure_object(Diagnosis).is_debug)
        return _supervise(command, workers, _folder_of(target) if reload else None)
    loaded = load_application(target)
    service = loaded.app[SERVICE]
    settings = attrs.evolve(_settings_of(loaded), **given)
    if worker is not None:
        worker.serve(loaded.app, settings)
        return 0
    service.configure(settings)
    try:
        run_service(loaded.app, announce=click.echo)
    except OSError as error:
        raise CommandFailed(_cannot_listen(settings.host, settings.port, error)) from error
    return 0


def _supervise(command: list[str], workers: int, folder: Path | None) -> int:
    from aioenv.cli.supervisor import Supervisor

    async def run() -> int:
        return await Supervisor(command, workers, _listen, folder).run()

    return asyncio.run(run())


def _command(target: str, given: dict[str, Any], *, is_debug: bool) -> list[str]:
    """Return the command that serves the same in another process."""
    # Without -P, a file of the author's would come before a module of Python's of that name.
    command = [sys.executable, "-P", "-m", "aioenv.cli", "serve"]
    for name, value in given.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            command.append(f"--{option}" if value else f"--no-{option}")
        else:
            text = ",".join(value) if isinstance(value, tuple) else str(value)
            command.append(f"--{option}={text}")
    return [*command, *(["--debug"] if is_debug else []), target]


def _folder_of(target: str) -> Path:
    """Return where the author's files are: the target, or where its module is looked for."""
    return (Path(target) if Path(target).is_dir() else Path()).resolve()


def _listen(host: str, port: int) -> socket.socket:
    try:
        return listen(host, port)
    except OSError as error:
        raise CommandFailed(_cannot_listen(host, port, error)) from error


def _settings_of(target: Target) -> Settings:
    """Return an application's settings; what its folder says comes in place of the defaults."""
    settings = target.app[SERVICE].settings
    if settings.readme_path is None:
        settings = attrs.evolve(settings, readme_path=target.readme)
    is_default = settings.port == attrs.fields(Settings).port.default
    if target.port is None or not is_default or os.environ.get("AIOENV_PORT"):
        return settings
    return attrs.evolve(settings, port=target.port)


def _cannot_listen(host: str, port: int, error: OSError) -> str:
    address = f"{host}, port {port}"
    match error.errno:
        case errno.EADDRINUSE:
            return (
                f"{address} is in use already; choose another port with --port, or 0 for a free one"
            )
        case errno.EACCES:
            return f"{address} may not be used by you; choose a --port from 1024 upwards"
        case errno.EADDRNOTAVAIL:
            return f"{host} is no address of this machine; choose another --host"
    return f"cannot listen on {address}: {error}"
