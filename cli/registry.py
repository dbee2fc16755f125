"""The registry: an environment's image, built by Docker and pushed to where images are kept."""

import asyncio
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aioenv import LaunchFailed
from aioenv.cli.building import Build
from aioenv.cli.errors import CommandFailed
from aioenv.cli.names import image_name
from aioenv.client.credentials import credentials_of
from aioenv.client.engine import Engine, docker_errors

__all__ = ["name_in", "push_image"]

_TAG = "latest"
_DONE = ("Pushed", "Layer already exists")


def name_in(registry: str, name: str) -> str:
    """Return what the image of an environment is called in a registry.

    Raises:
        CommandFailed: Docker would not take it.
    """
    place = registry.removeprefix("https://").removeprefix("http://").strip("/")
    image = f"{place}/{image_name(name)}"
    if not re.fullmatch(r"[\w.-]+(?::\d+)?(?:/[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*)+", image):
        raise CommandFailed(
            f"{image!r} cannot be the name of an image; --registry is a host and a path in small "
            "letters, such as ghcr.io/my-org"
        )
    return image


def push_image(
    image: str, files: Mapping[str, Path | bytes], *, report: Callable[[str], None]
) -> None:
    """Build an image of files, a ``Dockerfile`` among them, and push it.

    Args:
        image: its name, with the registry's host.
        files: what it is built of, by path.
        report: told of each stage.

    Raises:
        CommandFailed: Docker cannot be reached, the build fails, or the registry refuses.
    """
    try:
        asyncio.run(_push_image(image, files, report))
    except LaunchFailed as error:
        raise CommandFailed(error.reason) from error


async def _push_image(
    image: str, files: Mapping[str, Path | bytes], report: Callable[[str], None]
) -> None:
    auth = await asyncio.to_thread(credentials_of, image)
    with tempfile.TemporaryDirectory() as folder:
        _lay_out(files, Path(folder))
        report(f"building {image}:{_TAG}")
        build = Build(folder=Path(folder), dockerfile="Dockerfile", tag=f"{image}:{_TAG}", args={})
        await build.run()
    report(f"pushing {image}:{_TAG}")
    async with Engine.joined() as engine:
        refused = f"{image} cannot be pushed; `docker login` is what gives the right to"
        with docker_errors(refused), _shown(image, report) as show:
            async for told in engine.docker.images.push(image, auth=auth, tag=_TAG, stream=True):
                show(told)


def _lay_out(files: Mapping[str, Path | bytes], folder: Path) -> None:
    """Write files to a folder."""
    try:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                shutil.copy2(content, path)
    except OSError as error:
        raise CommandFailed(f"{name} cannot be copied for the build: {error.strerror}") from error


@contextmanager
def _shown(image: str, report: Callable[[str], None]) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Tell of each layer that has arrived; on a terminal, show how much of all layers has."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    with Progress(
        TextColumn("pushing {task.description}", markup=False),
        BarColumn(bar_width=12),
        DownloadColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    ) as progress:
        task = progress.add_task(image, total=None)
        layers: dict[str, tuple[int, int]] = {}

        def show(told: dict[str, Any]) -> None:
            layer, status = told.get("id", ""), told.get("status")
            if status in _DONE:
                report(f"  {layer}: {status}")
            detail = told.get("progressDetail") or {}
            if "current" in detail:
                layers[layer] = (detail["current"], detail.get("total", detail["current"]))
                done, total = map(sum, zip(*layers.values(), strict=True))
                progress.update(task, completed=done, total=max(done, total))

        yield show
