"""``aioenv init``: an environment project of one's own."""

from pathlib import Path

import click

from aioenv.cli.errors import debug_option
from aioenv.cli.names import ProjectName
from aioenv.cli.project import render, write
from aioenv.cli.wheel import Wheel

__all__ = ["init"]


def _name(context: click.Context, parameter: click.Parameter, value: str) -> ProjectName:
    try:
        return ProjectName(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command(
    epilog="""\b
The project plays a small game until you put your own in its place: models,
environment, typed client, application, tests, openenv.yaml, Dockerfile,
setup.cfg, Makefile, README. A wheel of this aioenv lies beside them, for as
long as aioenv is on no package index.
\b
Exit codes: 0 made, 1 it cannot be written, 2 wrong usage.
Examples:
  aioenv init word_game                 the project word_game, in ./word_game
  aioenv init word_game -d envs/words   the same, in another folder
""",
)
@click.argument("name", callback=_name)
@click.option(
    "--directory",
    "-d",
    type=click.Path(path_type=Path),
    help="The folder to make, or an empty one.  [default: ./NAME]",
)
@debug_option
def init(name: ProjectName, directory: Path | None) -> None:
    """Make the project of an environment.

    NAME is that of its Python package, such as word_game.
    """
    folder = Path(name.package) if directory is None else directory
    project = render(name, Wheel.of_this())
    write(project, folder)
    package = folder / name.package
    click.echo(f"Made {folder}, {len(project)} files. Put your own rules into")
    click.echo(f"  {package / 'models.py'}       what an agent does, and what it sees")
    click.echo(f"  {package / 'environment.py'}  what comes of it")
    click.echo("Then, or at once:")
    if folder.resolve() != Path.cwd():
        click.echo(f"  cd {folder}")
    click.echo("  make test      passes its tests, in a virtual environment of its own")
    click.echo("  make serve     serves it on http://127.0.0.1:8000")
    click.echo("  make validate  checks what serving, building and deploying it need")
    click.echo(f"  make image     builds its image, {name.image}:latest")
    click.echo("  aioenv push    deploys it to a Space of Hugging Face's")
