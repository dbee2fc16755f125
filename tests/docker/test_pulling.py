"""Pulling: an image that is not here yet, from a registry on loopback, with real Docker."""

import asyncio
import base64
import json
import os
import pty
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from aioenv import LaunchFailed
from aioenv.client import ContainerLauncher, ContainerOptions, GenericEnvClient
from aioenv.client.engine import Engine
from tests.docker.images import docker
from tests.docker.registry import Registry

pytestmark = pytest.mark.usefixtures("nothing_left")


@asynccontextmanager
async def serving(login: str | None = None) -> AsyncIterator[tuple[Registry, str]]:
    """Serve an image that nobody has seen before; Docker forgets it in the end."""
    registry = Registry(os.urandom(4_000_000), login)
    async with registry.serve() as image:
        try:
            yield registry, image
        finally:
            registry.may_send.set()
            if await asyncio.to_thread(is_here, image):
                await asyncio.to_thread(docker, "rmi", image)


def is_here(image: str) -> bool:
    """Whether Docker has an image."""
    return bool(docker("image", "ls", "--quiet", image))


async def start(image: str, **options: object) -> None:
    """Launch an image; this one has nothing to run, so it never gets further than the pull."""
    launcher = ContainerLauncher(image, ContainerOptions(**options))  # type: ignore[arg-type]
    with pytest.raises(LaunchFailed, match=r"cannot be started: .*/nothing"):
        await launcher.start()


async def test_a_missing_image_is_pulled() -> None:
    """It is pulled once, however many want it, and not again until that is asked for."""
    async with serving() as (registry, image):
        await start(image)
        await start(image)
        await start(image, pull="never")
        assert registry.questions == 1
        await start(image, pull="always")
        assert registry.questions == 2
        await asyncio.to_thread(docker, "rmi", image)
        await asyncio.gather(*(start(image) for _ in range(3)))
        assert registry.questions == 3


async def test_an_image_that_may_not_be_pulled() -> None:
    """With ``pull='never'`` the error says so, and nobody is asked."""
    async with serving() as (registry, image):
        words = f"there is no image '{image}' here, and pull='never'; .*docker pull {image}"
        with pytest.raises(LaunchFailed, match=words):
            await ContainerLauncher(image, ContainerOptions(pull="never")).start()
        assert registry.questions == 0


async def test_an_image_that_does_not_exist() -> None:
    """The error has Docker's words, and what to do."""
    with pytest.raises(LaunchFailed) as failure:
        await GenericEnvClient.from_docker_image("127.0.0.1:9/no/such:1").connect()
    words = r"no image '127\.0\.0\.1:9/no/such:1' here, and it cannot be pulled: .*refused"
    assert re.search(words, str(failure.value))
    assert "docker login" in str(failure.value)


async def test_cancelled_while_it_pulls() -> None:
    """A launch that is cancelled then stops the pull; the next begins anew."""
    async with serving() as (registry, image):
        registry.may_send.clear()
        async with Engine.joined():  # by others of this event loop, too
            starting = asyncio.create_task(start(image))
            await registry.asked.wait()
            starting.cancel()
            await asyncio.wait([starting])
            assert starting.cancelled()
            await registry.left.wait()
        registry.may_send.set()
        await start(image)


async def test_a_private_image(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What ``docker login`` has noted in plain is shown to the registry."""
    account = base64.b64encode(b"somebody:s3cr3t").decode()
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    async with serving(f"Basic {account}") as (_, image):
        with pytest.raises(LaunchFailed, match=r"cannot be pulled: .*no basic auth credentials"):
            await ContainerLauncher(image).start()
        config = {"auths": {image.partition("/")[0]: {"auth": account}}}
        (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
        await start(image)


async def test_progress_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Where standard error is a terminal, it shows how far the pull has come."""
    above, below = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with os.fdopen(above, "rb", buffering=0) as screen, os.fdopen(below, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        async with serving() as (_, image):
            await start(image)
        shown = screen.read(65_536).decode()
    assert f"pulling {image}" in shown
    assert re.search(r"\d\.\d/4\.0 MB", shown)
    assert capfd.readouterr().out == ""


async def test_nothing_is_shown_elsewhere(capfd: pytest.CaptureFixture[str]) -> None:
    """Anywhere else nothing is."""
    async with serving() as (_, image):
        await start(image)
    assert capfd.readouterr() == ("", "")
