"""``aioenv build``: the image of an environment's folder."""

import asyncio
import shlex
from pathlib import Path

import click

from aioenv import LaunchFailed
from aioenv.cli.building import Build
from aioenv.cli.errors import CommandFailed, debug_option
from aioenv.cli.manifest import DOCKERFILES, MANIFEST, Manifest
from aioenv.cli.names import image_name
from aioenv.cli.options import variables

__all__ = ["build"]


@click.command(
    epilog="""\b
What goes to Docker is the folder without what its .dockerignore names. The
build's log goes to standard error; the image's id, its size and what to do
next to standard output. Ctrl-C stops the build.
\b
Exit codes: 0 built, 1 it failed, 2 wrong usage, 130 Ctrl-C.
Examples:
  aioenv build                                the environment of this folder
  aioenv build word_game --tag word-game:2    that of another, by a name
  aioenv build --base-image python:3.12-slim  over another base
""",
)
@click.argument(
    "folder", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option(
    "--tag", "-t", help="What to call the image.  [default: as openenv.yaml is named, :latest]"
)
@click.option(
    "--base-image", "-b", metavar="IMAGE", help="What to build upon.  [default: the Dockerfile's]"
)
@click.option(
    "--build-arg",
    "build_args",
    multiple=True,
    callback=variables,
    metavar="NAME=VALUE",
    help="Set this ARG of the Dockerfile. May be repeated.",
)
@click.option("--no-cache", is_flag=True, help="Take no step from an earlier build.")
@click.option("--network", help='The network of the build, such as "host".')
@debug_option
def build(
    folder: Path,
    tag: str | None,
    base_image: str | None,
    build_args: dict[str, str],
    no_cache: bool,
    network: str | None,
) -> None:
    """Build the image of an environment.

    FOLDER has its Dockerfile and openenv.yaml; by default it is the current one.
    """
    places = DOCKERFILES
    if tag is None or (folder / MANIFEST).is_file():
        manifest = Manifest.of(folder, "name a folder that has one, or the image with --tag")
        places = manifest.dockerfiles
        tag = tag or f"{image_name(manifest.name)}:latest"
    plan = Build(
        folder=folder,
        dockerfile=_dockerfile(folder, places),
        tag=tag,
        base_image=base_image,
        args=build_args,
        network=network,
        uses_cache=not no_cache,
    )
    try:
        built = asyncio.run(plan.run())
    except LaunchFailed as error:
        raise CommandFailed(error.reason) from error
    quoted = shlex.quote(plan.tag)
    click.echo(f"Built {plan.tag}, {built.size / 1e6:.0f} MB, {built.id}")
    click.echo(f"  aioenv rollout --image {quoted}              plays episodes in it")
    click.echo(f"  docker run --rm -p 8000:8000 {quoted}        serves it on port 8000")


def _dockerfile(folder: Path, places: tuple[str, ...]) -> str:
    for name in places:
        if (folder / name).is_file():
            return name
    raise CommandFailed(
        f"there is no {' or '.join(places)} in {folder.resolve()}; name a folder that has one, or "
        "make one with `aioenv init`"
    )
