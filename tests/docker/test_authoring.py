"""The author's path, as the README has it: from nothing to a Space that is built and played."""

import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from aioenv.client import GenericEnvClient
from tests.docker.conftest import RunSpace
from tests.docker.images import (
    BUILD_TIMEOUT_S,
    ROOT,
    base_image,
    build_options,
    docker,
    network_options,
)
from tests.docker.validator import validate
from tests.hub.hub import Hub
from tests.hub.pushing import hub_variables
from tests.peer.provision import Peer

# It builds images, and its fixtures install OpenEnv: func_only.
pytestmark = pytest.mark.timeout(BUILD_TIMEOUT_S, func_only=True)

IMAGE_IN_TEXT = "word-game:latest"


def blocks(readme: Path, language: str) -> list[str]:
    """Return a README's blocks in a language."""
    text = readme.read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def tag(docker_daemon: str) -> Iterator[str]:
    """Give a name for images, which are removed with the test."""
    name = f"aioenv-test-authoring-{uuid.uuid4().hex[:12]}"
    yield name
    for image in docker("image", "ls", "--quiet", name).split():
        docker("image", "rm", "--force", image)


async def test_from_nothing_to_a_space(
    hub: Hub, tag: str, peer: Peer, run_space: RunSpace, tmp_path: Path
) -> None:
    """Every command of the README's path succeeds, without an edit in between.

    The image that it builds is played by the project's README and by OpenEnv's validator; what has
    arrived at the Hub is built as it stands there, and serves and plays.
    """
    (path,) = (block for block in blocks(ROOT / "README.md", "bash") if "aioenv init w" in block)
    over_base = " ".join(["--base-image", base_image(), *network_options(), "--tag", tag])
    script = path.replace(IMAGE_IN_TEXT, tag).replace("aioenv build", f"aioenv build {over_base}")
    variables = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        # The project's own virtual environment is for tests/cli/test_project.py.
        "MAKEFLAGS": f"STAMP= VENV={sys.prefix}",
        "PYTEST_ARGS": "-p no:cacheprovider -p pytest_asyncio.plugin",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    printed = run(script, tmp_path, hub_variables(hub, tmp_path / "home", **variables))
    assert printed.endswith(f"{hub.url}/spaces/ada/word_game\n")
    project = tmp_path / "word_game"
    quick_start = blocks(project / "README.md", "python")[0].replace(IMAGE_IN_TEXT, tag)
    (tmp_path / "quick_start.py").write_text(quick_start)
    played = run(
        f"{sys.executable} -W error {tmp_path / 'quick_start.py'}",
        tmp_path,
        {**os.environ, "PYTHONPATH": str(project)},
    )
    assert played == "5: higher, reward 0.0\n8: lower, reward 0.0\n6: found, reward 1.0\n"
    validate(peer, project, tmp_path / "report.json")

    clone = hub.spaces["ada/word_game"].clone(tmp_path / "clone")
    docker("build", "--tag", f"{tag}:space", *build_options(), clone, timeout_s=BUILD_TIMEOUT_S)
    space = await run_space(f"{tag}:space")
    async with GenericEnvClient(space.url) as client:
        await client.reset(seed=7)
        assert (await client.step({"guess": 6})).reward == 1.0
    async with aiohttp.ClientSession() as http, http.get(f"{space.url}/web") as page:
        assert page.status == 200


def run(script: str, folder: Path, environment: dict[str, str]) -> str:
    """Run a script in a folder to its end, and return what it printed."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
