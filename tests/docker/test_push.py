"""What ``push`` deploys, by Docker's hand: a Space that works, and an image in a registry."""

import base64
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from echo_env import EchoAction, EchoEnv
from tests.docker.conftest import RunSpace
from tests.docker.images import BUILD_TIMEOUT_S, ROOT, docker
from tests.hub.hub import Hub
from tests.hub.pushing import Push
from tests.hub.registry import USER, Registry
from tests.hub.terminal import Terminal

# They build images: func_only.
pytestmark = pytest.mark.timeout(600, func_only=True)


@pytest.fixture
def base() -> list[object]:
    """Give the option for the base image of the tests, where there is one."""
    image = os.environ.get("AIOENV_TEST_BASE_IMAGE")
    return ["--base-image", image] if image else []


@pytest.fixture
def space_image(docker_daemon: str) -> Iterator[str]:
    """Give the name of an image; it is removed with the test."""
    name = f"aioenv-test-space:{os.getpid()}"
    yield name
    if docker("image", "ls", "--quiet", name):
        docker("image", "rm", "--force", name)


async def test_our_own_repository_is_a_working_space(
    hub: Hub,
    push: Push,
    base: list[object],
    space_image: str,
    run_space: RunSpace,
    tmp_path: Path,
) -> None:
    """What arrives of this repository is built as it stands, as the Hub does it, and plays."""
    pushed = push(ROOT, *base)
    assert pushed.code == 0, pushed.err
    clone = hub.spaces["ada/echo_env"].clone(tmp_path / "clone")
    build = ["build", "--quiet", "--network", "host", "--tag", space_image, clone]
    docker(*build, timeout_s=BUILD_TIMEOUT_S)
    echo = await run_space(space_image)
    async with EchoEnv(base_url=echo.url) as env:
        await env.reset()
        assert (await env.step(EchoAction("Hi"))).observation.echoed_message == "Hi"
    facts = await echo.container.show()
    assert "ENABLE_WEB_INTERFACE=true" in facts["Config"]["Env"]


# The registry


@pytest.fixture
def registry() -> Iterator[Registry]:
    """Run a registry that Ada may push to."""
    with Registry().running() as registry:
        yield registry


@pytest.fixture
def image(registry: Registry, docker_daemon: str) -> Iterator[str]:
    """Give the name that is pushed; the image is removed with the test."""
    name = f"{registry.address}/lab/my-env"
    yield name
    if docker("image", "ls", "--quiet", name):
        docker("image", "rm", "--force", f"{name}:latest")


@pytest.fixture
def account(registry: Registry, tmp_path: Path) -> Path:
    """Note credentials where ``docker login`` does; return the folder."""
    auth = base64.b64encode(":".join(USER).encode()).decode()
    config = {"auths": {registry.address: {"auth": auth}}}
    folder = tmp_path / "docker"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def scratch(environment_folder: Path) -> Path:
    """Make an environment that needs no base image; some of it is not for the build."""
    (environment_folder / "Dockerfile").write_text('FROM scratch\nCOPY . /app/\nCMD ["/app"]\n')
    (environment_folder / ".dockerignore").write_text("*\n!app.py\n!data\ndata/raw\n")
    (environment_folder / ".env").write_text("KEY=1\n")
    for name in ("data/a.txt", "data/raw/b.txt"):
        (environment_folder / name).parent.mkdir(parents=True, exist_ok=True)
        (environment_folder / name).write_text("x")
    return environment_folder


def test_registry(
    push: Push, scratch: Path, registry: Registry, image: str, account: Path, tmp_path: Path
) -> None:
    """An image is built of what the build may see, and pushed with the credentials noted."""
    place = f"{registry.address}/lab"
    pushed = push("--registry", place, "--interface", DOCKER_CONFIG=str(account))
    assert pushed.code == 0, pushed.err
    assert pushed.out == f"{image}:latest\n"
    assert f"pushing {image}:latest" in pushed.err
    assert pushed.err.endswith(": Pushed\n")
    assert USER[1] not in pushed.err
    manifest = json.loads(registry.manifests["lab/my-env:latest"])
    config = json.loads(registry.blobs[manifest["config"]["digest"]])
    assert "ENABLE_WEB_INTERFACE=true" in config["config"]["Env"]
    assert all(layer["digest"] in registry.blobs for layer in manifest["layers"])
    assert _files_of(image, tmp_path) == ["app/app.py", "app/data/a.txt"]


def test_registry_shows_progress_on_a_terminal(
    scratch: Path, registry: Registry, image: str, account: Path
) -> None:
    """On a terminal, how much of all layers has been pushed is shown."""
    (scratch / "data/large.bin").write_bytes(os.urandom(2_000_000))
    command = [sys.executable, "-m", "aioenv.cli", "push", "--registry", f"{registry.address}/lab"]
    variables = {"DOCKER_CONFIG": str(account), "TERM": "xterm", "COLUMNS": "120"}
    terminal = Terminal(command, scratch, {**os.environ, **variables})
    assert terminal.wait() == 0, terminal.printed
    assert re.search(rf"pushing {image} .* MB", terminal.printed)


def test_registry_refuses(push: Push, scratch: Path, registry: Registry, image: str) -> None:
    """Without credentials the registry's refusal is told, with what gives the right to push."""
    pushed = push("--registry", f"{registry.address}/lab", DOCKER_CONFIG="/nonexistent")
    assert (pushed.code, pushed.out) == (1, "")
    line = pushed.err.splitlines()[-1]
    assert line.startswith(f"Error: {image} cannot be pushed; `docker login` is what gives")
    assert registry.manifests == {}


def test_build_fails(push: Push, scratch: Path, registry: Registry, image: str) -> None:
    """A build that fails is told with Docker's words, and nothing is pushed."""
    (scratch / "Dockerfile").write_text("FROM scratch\nCOPY nothing /\n")
    pushed = push("--registry", f"{registry.address}/lab")
    assert pushed.code == 1
    assert "Error: step 2 of 2 failed: COPY nothing /\n" in pushed.err
    (scratch / "Dockerfile").write_text("FROM scratch\nRUN --mount=type=cache,target=/x true\n")
    pushed = push("--registry", f"{registry.address}/lab")
    assert "docker buildx build --push" in pushed.err.splitlines()[-1]


def _files_of(image: str, folder: Path) -> list[str]:
    """Return the files that an image adds, by a container that is never started."""
    container = docker("create", f"{image}:latest")
    try:
        docker("cp", f"{container}:/app", folder / "app")
    finally:
        docker("rm", container)
    there = (path for path in (folder / "app").rglob("*") if path.is_file())
    return sorted(str(path.relative_to(folder)) for path in there)
