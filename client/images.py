"""Images: where they come from when they are not here yet, and what is shown meanwhile."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, Literal, Protocol

from aioenv import LaunchFailed
from aioenv.client.credentials import credentials_of, registry_of
from aioenv.client.engine import Engine, docker_errors, open_docker
from aioenv.client.transport import see_through

__all__ = ["PullPolicy", "ensure_image", "space_image"]

PullPolicy = Literal["missing", "always", "never"]

log = logging.getLogger(__name__)


def space_image(repo_id: str, tag: str = "latest") -> str:
    """Return the name under which Hugging Face's registry has the image of a Space.

    Raises:
        ValueError: it is not the name of a Space.
    """
    owner, slash, name = repo_id.partition("/")
    if not (owner and slash and name) or "/" in name:
        raise ValueError(f"{repo_id!r} is not the name of a Space; expected such as 'org/space'")
    subdomain = "".join(
        letter if letter.isascii() and letter.isalnum() else "-" for letter in repo_id.lower()
    )
    return f"registry.hf.space/{subdomain}:{tag}"


async def ensure_image(engine: Engine, image: str, policy: PullPolicy) -> None:
    """Have an image here: pull it where the policy says so, with progress on a terminal.

    Many who want it at the same time pull it once. Cancelling it stops the pull; what was pulled
    so far, Docker keeps for the next time.

    Raises:
        LaunchFailed: it is not here and cannot be pulled.
    """
    if policy != "always" and await _is_here(engine, image):
        return
    if policy == "never":
        raise LaunchFailed(f"there is no image {image!r} here, and pull='never'; {_remedy(image)}")
    async with engine.pulling:
        if policy == "always" or not await _is_here(engine, image):
            await _pull(image)


async def _is_here(engine: Engine, image: str) -> bool:
    import aiodocker

    with docker_errors(f"the image {image!r} cannot be looked up"):
        try:
            await engine.docker.images.inspect(image)
        except aiodocker.DockerError as error:
            if error.status != 404:
                raise
            return False
    return True


async def _pull(image: str) -> None:
    log.info("pulling the image %s", image)
    auth = await asyncio.to_thread(credentials_of, image)
    # Docker pulls on until the connection ends, which aiodocker would keep: hence one of its own.
    docker = open_docker()
    try:
        with docker_errors(f"there is no image {image!r} here, and it cannot be pulled"):
            reports: AsyncIterator[dict[str, Any]] = docker.images.pull(
                image, auth=auth, stream=True
            )
            with _shown(image) as shown:
                async for report in reports:
                    shown.note(report)
    except LaunchFailed as failure:
        if getattr(failure.__cause__, "status", None) == 900:
            raise
        raise LaunchFailed(f"{failure.reason}; {_remedy(image)}") from failure.__cause__
    finally:
        await see_through(docker.close())


def _remedy(image: str) -> str:
    build = "" if registry_of(image) else f"build it (docker build -t {image} .), or "
    return (
        f"{build}check its name, and pull it yourself (docker pull {image}, after docker login "
        "where it is private)"
    )


# Progress


class _Shown(Protocol):
    """What is told of a pull as it comes along."""

    def note(self, report: dict[str, Any]) -> None:
        """Take in one report of the daemon's."""


class _Nothing:
    """Shows nothing: nobody could see it."""

    def note(self, report: dict[str, Any]) -> None:
        """Let it pass."""


class _Line:
    """A live line on a terminal: how much of an image is here."""

    def __init__(self, progress: Any, task: Any) -> None:
        self._progress = progress
        self._task = task
        self._layers: dict[str, tuple[int, int]] = {}

    def note(self, report: dict[str, Any]) -> None:
        """Count what was downloaded of a layer."""
        detail = report.get("progressDetail") or {}
        if report.get("status") != "Downloading" or "total" not in detail:
            return
        self._layers[report["id"]] = (detail["current"], detail["total"])
        done, total = (sum(sizes) for sizes in zip(*self._layers.values(), strict=True))
        self._progress.update(self._task, completed=done, total=total)


@contextmanager
def _shown(image: str) -> Iterator[_Shown]:
    """Show the progress of a pull as long as the context lasts, if anybody can see it."""
    if not sys.stderr.isatty():
        yield _Nothing()
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn

    with Progress(
        SpinnerColumn(),
        TextColumn("pulling {task.description}"),
        BarColumn(bar_width=12),
        DownloadColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,  # what a program prints meanwhile is its own
        redirect_stderr=False,
    ) as progress:
        yield _Line(progress, progress.add_task(image, total=None))
