"""The README: every code block runs, and every table that is made from the code is up to date."""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from aioenv.service.settings import settings_table
from tests.docker.images import base_image, build_options, docker, network_options
from tests.hub.hub import Hub
from tests.hub.pushing import hub_variables
from tests.peer.process import LineProcess

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
ADDRESS_IN_TEXT = "http://localhost:8000"
IMAGE_IN_TEXT = "echo-env:latest"
CONTAINER_IN_TEXT = "my-echo"
TIMEOUT_S = 90


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def _needs_docker(block: str) -> bool:
    return "docker " in block or IMAGE_IN_TEXT in block


PYTHON_BLOCKS = [block for block in _blocks("python") if not _needs_docker(block)]
LAUNCHING_BLOCKS = [block for block in _blocks("python") if _needs_docker(block)]
DOCKER_BLOCKS = [block for block in _blocks("bash") if _needs_docker(block)]
# The path of an author goes on to Docker and the Hub: see tests/docker/test_authoring.py.
AUTHORING_BLOCKS = [block for block in _blocks("bash") if "aioenv init word_game" in block]
DEPLOY_BLOCKS = [
    block for block in _blocks("bash") if "openenv push" in block and block not in AUTHORING_BLOCKS
]
SHELL_BLOCKS = [
    block
    for block in _blocks("bash")
    if block not in (*DOCKER_BLOCKS, *AUTHORING_BLOCKS, *DEPLOY_BLOCKS)
]


@pytest.fixture(scope="module")
def echo_url() -> Iterator[str]:
    """Serve Echo as the README says, on a free port."""
    command = [sys.executable, "-m", "aioenv.cli", "serve", "echo_env.app:app", "--port", "0"]
    with LineProcess(command) as server:
        yield server.wait_address(TIMEOUT_S)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Find the commands of the interpreter that runs the tests first, as in an activated venv."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    settings = os.environ.get("DOCKER_CONFIG") or str(Path.home() / ".docker")
    return {**os.environ, "PATH": path, "HOME": str(tmp_path), "DOCKER_CONFIG": settings}


@pytest.mark.parametrize("block", PYTHON_BLOCKS, ids=range(len(PYTHON_BLOCKS)))
def test_python_block_runs(block: str, echo_url: str, tmp_path: Path) -> None:
    """A Python block runs as it stands, but for the server's address, and prints something."""
    _check_python(block.replace(ADDRESS_IN_TEXT, echo_url), tmp_path)


@pytest.mark.timeout(TIMEOUT_S * 2, func_only=True)
@pytest.mark.parametrize("block", LAUNCHING_BLOCKS, ids=range(len(LAUNCHING_BLOCKS)))
def test_launching_block_runs(block: str, echo_image: str, tmp_path: Path) -> None:
    """So does one that launches containers, but for the image's name."""
    _check_python(block.replace(IMAGE_IN_TEXT, echo_image), tmp_path)


def _check_python(block: str, tmp_path: Path) -> None:
    script = tmp_path / "block.py"
    script.write_text(block, "utf-8")
    outcome = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        cwd=tmp_path,
    )
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stderr == ""
    assert outcome.stdout.strip()


@pytest.mark.parametrize("block", SHELL_BLOCKS, ids=range(len(SHELL_BLOCKS)))
def test_shell_block_runs(
    block: str, echo_url: str, environment: dict[str, str], tmp_path: Path
) -> None:
    """A shell block's commands succeed; what serves does so until it is told to stop.

    What is made in this repository is there to be made: `make test` is what runs here.
    """
    lines = block.replace(ADDRESS_IN_TEXT, echo_url).splitlines()
    served = [line for line in lines if line.startswith("aioenv serve") and "--help" not in line]
    made = [line for line in lines if line.startswith("make ")]
    script = "\n".join(line for line in lines if line not in (*served, *made))
    outcome = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        cwd=tmp_path,
        env=environment,
    )
    assert outcome.returncode == 0, outcome.stderr
    for line in served:
        _, *arguments = line.split()
        with LineProcess([sys.executable, "-m", "aioenv.cli", *arguments]) as server:
            server.wait_address(TIMEOUT_S)
    for line in made:
        target = line.split()[1]
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target


@pytest.mark.timeout(TIMEOUT_S * 2, func_only=True)
@pytest.mark.parametrize("block", DOCKER_BLOCKS, ids=range(len(DOCKER_BLOCKS)))
def test_docker_block_runs(block: str, echo_image: str, environment: dict[str, str]) -> None:
    """A block's containers run as it stands, but for the names of image and container, the port.

    Its image is built as in the other tests: over their base, and by a name of theirs.
    """
    name = f"{CONTAINER_IN_TEXT}-{uuid.uuid4().hex[:8]}"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = block.replace(CONTAINER_IN_TEXT, name).replace(IMAGE_IN_TEXT, echo_image)
    script = script.replace(ADDRESS_IN_TEXT, f"http://localhost:{port}")
    script = re.sub(r"-p (127\.0\.0\.1:)?8000:8000", f"-p 127.0.0.1:{port}:8000", script)
    script = script.replace("docker build", shlex.join(["docker", "build", *build_options()]))
    over_base = ["--base-image", base_image(), *network_options()]
    script = script.replace("aioenv build", shlex.join(["aioenv", "build", *over_base]))
    try:
        outcome = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            cwd=ROOT,
            env=environment,
        )
        assert outcome.returncode == 0, outcome.stdout + outcome.stderr
        # Each cleans up after itself.
        assert docker("ps", "--all", "--quiet", "--filter", f"name={name}") == ""
    finally:
        docker("rm", "--force", name)


@pytest.mark.timeout(TIMEOUT_S * 2, func_only=True)
@pytest.mark.parametrize("block", DEPLOY_BLOCKS, ids=range(len(DEPLOY_BLOCKS)))
def test_deploy_block_runs(
    block: str,
    hub: Hub,
    environment: dict[str, str],
    environment_folder: Path,
    tmp_path: Path,
) -> None:
    """A block's pushes, from an environment's folder, make Spaces of a Hub on loopback."""
    keys = {"PATH": environment["PATH"], "OPENAI_API_KEY": "key-of-the-readme"}
    outcome = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S * 2,
        cwd=environment_folder,
        env=hub_variables(hub, tmp_path, **keys),
    )
    assert outcome.returncode == 0, outcome.stderr
    assert set(hub.spaces) == {"ada/my_env", "my-org/my_env", "my-org/my-env"}
    assert hub.spaces["my-org/my_env"].is_private
    assert len(hub.spaces["my-org/my-env"].pull_requests) == 1
    assert hub.spaces["ada/my_env"].secrets == {"OPENAI_API_KEY": "key-of-the-readme"}
    assert "key-of-the-readme" not in outcome.stdout + outcome.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_make_demo_plays_256_episodes_at_once(environment: dict[str, str]) -> None:
    """``make demo`` plays 256 concurrent episodes and prints their table."""
    outcome = subprocess.run(
        ["make", "demo", "STAMP=", f"VENV={sys.prefix}"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        cwd=ROOT,
        env=environment,
    )
    assert outcome.returncode == 0, outcome.stderr
    assert re.search(r"episodes\W+256\b", outcome.stdout), outcome.stdout
    assert re.search(r"steps\W+5[, ]?120\b", outcome.stdout), outcome.stdout


def test_settings_table_is_up_to_date() -> None:
    """The README's table of settings is the one that the settings make."""
    assert _between("settings") == settings_table()


def test_echo_tables_tell_the_models() -> None:
    """The README's tables of Echo name exactly the fields of its models."""
    from attrs import fields

    from echo_env import EchoAction, EchoObservation

    for model in (EchoAction, EchoObservation):
        table = re.search(rf"^\| `{model.__name__}` \|.*?\n\n", README, re.MULTILINE | re.DOTALL)
        assert table is not None, model
        named = set(re.findall(r"^\| `(\w+)` \|", table.group(), re.MULTILINE)) - {model.__name__}
        assert named == {field.name for field in fields(model)}


def test_metrics_table_names_every_metric() -> None:
    """The README's table of metrics has the names and types that a service exposes."""
    from prometheus_client.parser import text_string_to_metric_families

    from aioenv.service import SERVICE
    from aioenv.service.metrics import Metrics
    from echo_env.app import app

    text, _ = Metrics(app[SERVICE]).render("")
    families = list(text_string_to_metric_families(text.decode()))
    exposed = {
        (family.name + ("_total" if family.type == "counter" else ""), family.type)
        for family in families
        if family.name.startswith("aioenv_")
    }
    assert set(re.findall(r"^\| `(aioenv_\w+)` \| (\w+) \|", README, re.MULTILINE)) == exposed


@pytest.mark.parametrize("block", _blocks("json"), ids=range(len(_blocks("json"))))
def test_json_block_is_json(block: str) -> None:
    """A block that is called JSON can be read as such."""
    assert isinstance(json.loads(block), dict)


def _between(name: str) -> str:
    found = re.search(rf"^<!-- {name}: .*? -->\n(.*?)<!-- end of {name} -->$", README, re.M | re.S)
    assert found is not None, f"the README has no part called {name}"
    return found.group(1).strip()
