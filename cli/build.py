"""``aioenv build``: the image of an environment's folder."""

import asyncio
import shlex
from pathlib import Path

import click

from aioenv import LaunchFailed
from aioenv.cli.building import Build
from aioenv.cli.errors import CommandFailed, debug_option
from aioenv.cli.manifest import Manifest
from aioenv.cli.names import image_name
from aioenv.cli.options import variables

__all__ = ["build"]

_BASE_IMAGE = "BASE_IMAGE"
#: Where a Dockerfile is looked for; the second place is that of OpenEnv's own projects.
_DOCKERFILES = ("Dockerfile", "server/Dockerfile")


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
    dockerfile = _dockerfile(folder)
    if base_image is not None:
        _check_takes_base(folder / dockerfile)
        build_args = {**build_args, _BASE_IMAGE: base_image}
    plan = Build(
        folder=folder,
        dockerfile=dockerfile,
        tag=tag or _default_tag(folder),
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


def _default_tag(folder: Path) -> str:
    manifest = Manifest.of(folder, "name a folder that has one, or the image with --tag")
    return f"{image_name(manifest.name)}:latest"


def _dockerfile(folder: Path) -> str:
    for name in _DOCKERFILES:
        if (folder / name).is_file():
            return name
    raise CommandFailed(
        f"there is no Dockerfile in {folder.resolve()}; name a folder that has one, or make one "
        "with `aioenv init`"
    )


def _check_takes_base(dockerfile: Path) -> None:
    """Refuse a base image that a Dockerfile would not build upon."""
    from e2b_dockerfile_utils import DockerfileSyntaxError, parse_dockerfile_ast

    try:
        instructions = parse_dockerfile_ast(dockerfile.read_text("utf-8")).instructions
    except (OSError, UnicodeDecodeError, DockerfileSyntaxError) as error:
        raise CommandFailed(f"{dockerfile} cannot be read: {error}") from error
    for instruction in instructions:
        if instruction.name.upper() == "FROM":
            break
        names = (argument.partition("=")[0] for argument in instruction.args)
        if instruction.name.upper() == "ARG" and _BASE_IMAGE in names:
            return
    raise click.BadParameter(
        f"{dockerfile} takes no base image; begin it with ARG {_BASE_IMAGE}=…, then "
        f"FROM ${{{_BASE_IMAGE}}}",
        param_hint="'--base-image'",
    )
