"""The registry: an environment's image, built by Docker and pushed to where images are kept."""

import asyncio
import io
import re
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from aiodocker import DockerError

from aioenv import LaunchFailed
from aioenv.cli.errors import CommandFailed
from aioenv.client.credentials import credentials_of
from aioenv.client.engine import Engine, docker_errors

__all__ = ["image_name", "push_image"]

_TAG = "latest"
_IGNORE = ".dockerignore"
# What Docker reads although a pattern may name it.
_ALWAYS = ("Dockerfile", _IGNORE)


def image_name(registry: str, name: str) -> str:
    """Return the name of an environment's image in a registry.

    Raises:
        CommandFailed: Docker would not take it.
    """
    place = registry.removeprefix("https://").removeprefix("http://").strip("/")
    image = f"{place}/{name.lower()}"
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
        report: told of each stage, and of what the build prints.

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
    async with Engine.joined() as engine:
        with tempfile.TemporaryFile() as context:
            _write_context(context, files)
            report(f"building {image}:{_TAG}")
            with docker_errors(f"{image} cannot be built"), _buildkit_explained():
                async for told in engine.docker.images.build(
                    fileobj=context, encoding="identity", tag=f"{image}:{_TAG}", stream=True
                ):
                    for line in str(told.get("stream", "")).splitlines():
                        if line.strip():
                            report(f"  {line.rstrip()}")
        report(f"pushing {image}:{_TAG}")
        pushed: set[Any] = set()
        with docker_errors(f"{image} cannot be pushed; `docker login` is what gives the right to"):
            async for told in engine.docker.images.push(image, auth=auth, tag=_TAG, stream=True):
                if told.get("status") in ("Pushed", "Layer already exists"):
                    pushed.add(told.get("id"))
        report(f"pushed {len(pushed)} layers")


@contextmanager
def _buildkit_explained() -> Iterator[None]:
    """Say what to do where a Dockerfile needs what only BuildKit builds."""
    try:
        yield
    except DockerError as error:
        if "BuildKit" not in str(error):
            raise
        raise CommandFailed(
            "the Dockerfile needs BuildKit, which Docker offers to its own command only; build it "
            "and push it with: docker buildx build --push"
        ) from error


def _write_context(context: IO[bytes], files: Mapping[str, Path | bytes]) -> None:
    """Write a tar archive of what the build may see, and go back to its beginning."""
    ignored = _ignored(files)
    with tarfile.open(fileobj=context, mode="w") as archive:
        for name, content in files.items():
            if name not in _ALWAYS and ignored(name):
                continue
            if isinstance(content, bytes):
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
            else:
                entry = archive.gettarinfo(content.resolve(), name)
                # As Docker's own command writes them, so that its cache knows files again.
                entry.uid = entry.gid = 0
                entry.uname = entry.gname = ""
                with content.open("rb") as file:
                    archive.addfile(entry, file)
    context.seek(0)


def _ignored(files: Mapping[str, Path | bytes]) -> Callable[[str], bool]:
    """Return what tells whether ``.dockerignore`` keeps a file from the build.

    Its patterns are those of ``.gitignore``, but each counts from the top, and a later one may
    bring back what is below a folder that an earlier one has left out.
    """
    from pathspec import PathSpec

    content = files.get(_IGNORE, b"")
    text = (content if isinstance(content, bytes) else content.read_bytes()).decode()
    lines = [line.strip() for line in text.splitlines()]
    patterns = [
        f"{'!' * line.startswith('!')}/{line.removeprefix('!').strip().lstrip('/')}"
        for line in lines
        if line and not line.startswith("#")
    ]
    return PathSpec.from_lines("gitwildmatch", patterns).match_file
