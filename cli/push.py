"""``aioenv push``: an environment's folder becomes a Space of Hugging Face's, or an image."""

import os
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click
from attrs import frozen

from aioenv.cli.errors import CommandFailed, Diagnosis, debug_option
from aioenv.cli.options import variables
from aioenv.cli.space import Space, prepare_space

__all__ = ["push"]

#: What the command needs besides what is always installed, as the extra `push` has it: packages,
#: and the first major version of each that will do.
PACKAGES = {"huggingface_hub": 2, "pathspec": 1}
_YOU = "<you>"


@frozen(kw_only=True)
class _Plan:
    """What was asked for on the command line."""

    repo_id: str | None
    namespace: str | None
    is_private: bool
    create_pr: bool
    hardware: str | None
    variables: dict[str, str]
    secrets: dict[str, str]
    delete: tuple[str, ...]


def _secrets(context: click.Context, parameter: click.Parameter, value: Any) -> dict[str, str]:
    """Read NAME=VALUE, or NAME of a variable that is set here; what is wrong is not repeated."""
    texts = [f"{text}={os.environ[text]}" if text in os.environ else text for text in value]
    try:
        return variables(context, parameter, texts)
    except click.BadParameter as error:
        message = f"{error.message}, or NAME of a variable that is set here"
        raise click.BadParameter(message) from None


@click.command(
    epilog="""\b
What never leaves the folder: .git, virtual environments, caches, .env, keys,
and files that hold tokens; hidden files but .dockerignore; and what .gitignore
names. A file of patterns, for --exclude, keeps more back, or with a ! brings
something along. What is left out is told.
The last line on standard output is the address of the Space, of the pull
request, or the name of the image.
\b
Exit codes: 0 pushed, 1 it cannot be pushed, 2 wrong usage, 130 Ctrl-C.
Examples:
  aioenv push                             this folder, as <you>/<its name>
  aioenv push --dry-run                   only tell what would be uploaded
  aioenv push envs/chess --repo-id my-org/chess --private
  aioenv push --secret OPENAI_API_KEY     with the value that is set here
  aioenv push --registry ghcr.io/my-org   as an image
""",
)
@click.argument(
    "folder",
    metavar="[DIRECTORY]",
    required=False,
    type=click.Path(path_type=Path),
)
@click.option(
    "--directory",
    "-d",
    type=click.Path(path_type=Path),
    help="The environment's folder, the same as the argument.  [default: .]",
)
@click.option(
    "--repo-id",
    "-r",
    metavar="USER/NAME",
    help="The Space.  [default: you, and the manifest's name]",
)
@click.option("--namespace", help="The Space's owner: you, or an organization.")
@click.option("--base-image", "-b", help="Build upon this image, not the Dockerfile's.")
@click.option(
    "--private", "is_private", is_flag=True, help="Show the Space to its owner only. Stays so."
)
@click.option(
    "--interface/--no-interface",
    default=None,
    help="Switch the web interface on or off.  [default: on; off with --registry]",
)
@click.option("--create-pr", is_flag=True, help="Propose the files in a pull request.")
@click.option("--hardware", "-H", help="What to run on, such as cpu-basic or t4-medium.")
@click.option(
    "--env-var",
    "-e",
    "variables",
    multiple=True,
    metavar="NAME=VALUE",
    callback=variables,
    help="A public variable of the Space; outdoes the manifest's. May be repeated.",
)
@click.option(
    "--secret",
    "secrets",
    multiple=True,
    metavar="NAME[=VALUE]",
    callback=_secrets,
    help="A secret of the Space; never printed. May be repeated.",
)
@click.option(
    "--exclude",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A file of patterns, as in .gitignore, of what to leave out.",
)
@click.option(
    "--delete",
    multiple=True,
    metavar="PATTERN",
    help="Delete such files of the Space that are not uploaded again. May be repeated.",
)
@click.option("--registry", metavar="HOST/PATH", help="Push an image to here, and no Space.")
@click.option("--dry-run", is_flag=True, help="Tell what would be uploaded, and do nothing.")
@debug_option
@click.pass_context
def push(
    context: click.Context,
    /,
    folder: Path | None,
    directory: Path | None,
    base_image: str | None,
    interface: bool | None,
    exclude: Path | None,
    registry: str | None,
    dry_run: bool,
    **options: Any,
) -> None:
    """Deploy an environment to a Space of Hugging Face's.

    DIRECTORY is a folder with an openenv.yaml and a Dockerfile, by default the current one; it is
    only read. Pushing again updates the Space.
    """
    plan = _Plan(**options)
    diagnosis = context.ensure_object(Diagnosis)
    diagnosis.keep_secret(*plan.secrets.values())
    _refuse_contradictions(plan, registry)
    path = _folder(folder, directory)
    _require_packages()
    space = prepare_space(
        path,
        base_image=base_image,
        has_interface=registry is None if interface is None else interface,
        exclude=exclude,
    )
    image = None if registry is None else _image(registry, space)
    _tell_left_out(space)
    if dry_run:
        _tell_all(space, plan, image)
    elif image is not None:
        _push_image(space, image)
    else:
        _push_space(space, plan, diagnosis)


# What was asked for


def _folder(folder: Path | None, directory: Path | None) -> Path:
    """Return the environment's folder."""
    if folder is not None and directory is not None and folder != directory:
        raise click.UsageError(f"name one folder, not both {folder} and {directory}")
    path = folder or directory or Path()
    if not path.is_dir():
        hint = "; a Space is named with --repo-id" if len(path.parts) == 2 else ""
        raise click.UsageError(f"there is no folder {str(path)!r}{hint}")
    return path


def _refuse_contradictions(plan: _Plan, registry: str | None) -> None:
    """Refuse options that would have no effect together."""
    settings = {
        "--private": plan.is_private,
        "--hardware": plan.hardware,
        "--env-var": plan.variables,
        "--secret": plan.secrets,
    }
    target = {"--repo-id": plan.repo_id, "--namespace": plan.namespace}
    files = {"--create-pr": plan.create_pr, "--delete": plan.delete}
    if registry is not None:
        _refuse({**target, **files, **settings}, "--registry pushes an image, and no Space")
    if plan.create_pr:
        _refuse(settings, "--create-pr proposes files, and leaves the Space's settings alone")
    owner, slash, _ = (plan.repo_id or "").partition("/")
    if slash and plan.namespace not in (None, owner):
        raise click.UsageError(
            f"--repo-id and --namespace name two owners, {owner} and {plan.namespace}"
        )


def _refuse(options: dict[str, Any], why: str) -> None:
    for option, value in options.items():
        if value:
            raise click.UsageError(f"{option} cannot be used: {why}")


def _require_packages() -> None:
    lacking = []
    for name, least in PACKAGES.items():
        try:
            here = version(name)
        except PackageNotFoundError:
            lacking.append(f"{name}>={least}")
        else:
            if int(here.partition(".")[0]) < least:
                lacking.append(f"{name}>={least} (and finds {here})")
    if lacking:
        raise CommandFailed(
            f"`push` needs {' and '.join(lacking)}; install what it needs with: "
            "pip install 'aioenv[push]'"
        )


def _repo_id(plan: _Plan, space: Space, you: Callable[[], str]) -> str:
    """Return the Space's name; whose it is, is asked for only where nobody said so."""
    if plan.repo_id and "/" in plan.repo_id:
        return plan.repo_id
    return f"{plan.namespace or you()}/{plan.repo_id or space.name}"


def _image(registry: str, space: Space) -> str:
    from aioenv.cli.registry import name_in

    return name_in(registry, space.name)


# Pushing


def _push_space(space: Space, plan: _Plan, diagnosis: Diagnosis) -> None:
    from aioenv.cli.hub import Hub, Settings

    hub = Hub(diagnosis)
    user = hub.user()
    repo_id = _repo_id(plan, space, lambda: user)
    if plan.create_pr:
        if space.variables:
            _tell("the variables of the manifest are set when you push without --create-pr")
        address = ""
    else:
        _tell(f"making the Space {repo_id} ready, as {user}")
        settings = Settings(
            plan.is_private, plan.hardware, {**space.variables, **plan.variables}, plan.secrets
        )
        address = hub.ready_space(repo_id, settings)
        for kind, names in (("variable", settings.variables), ("secret", settings.secrets)):
            if names:
                _tell(f"set the {kind}{'s' * (len(names) > 1)} {', '.join(names)}")
    for change in space.changes:
        _tell(f"changed for the Space: {change}")
    _tell(f"uploading {_amount(space)} to {repo_id}")
    pull_request = hub.upload(
        repo_id,
        space.files,
        delete=plan.delete,
        as_pull_request=plan.create_pr,
        message=f"Push {space.name} with aioenv",
    )
    click.echo(pull_request if plan.create_pr else address)


def _push_image(space: Space, image: str) -> None:
    from aioenv.cli.registry import push_image

    if space.variables:
        _tell("the variables of the manifest belong to a Space; set them where the image is run")
    push_image(image, space.files, report=_tell)
    click.echo(f"{image}:latest")


# Telling


def _tell(text: str) -> None:
    click.echo(text, err=True)


def _tell_left_out(space: Space) -> None:
    """Tell what stays at home, the reasons one by one."""
    for why in dict.fromkeys(space.left_out.values()):
        names = [name for name, reason in space.left_out.items() if reason == why]
        _tell(f"left out: {', '.join(names)} ({why})")


def _tell_all(space: Space, plan: _Plan, image: str | None) -> None:
    """Print every file and change."""
    for name, content in sorted(space.files.items()):
        click.echo(f"{'changed ' if isinstance(content, bytes) else 'as it is'}  {name}")
    for change in space.changes:
        click.echo(f"change    {change}")
    for name in {**space.variables, **plan.variables} if image is None else ():
        click.echo(f"variable  {name}")
    for name in plan.secrets:
        click.echo(f"secret    {name}")
    target = (
        f"the Space {_repo_id(plan, space, lambda: _YOU)}"
        if image is None
        else f"the image {image}:latest"
    )
    click.echo(f"{_amount(space)} would go to {target}; nothing was uploaded")


def _amount(space: Space) -> str:
    return f"{len(space.files)} files ({space.size_bytes / 1000:,.1f} kB)"
