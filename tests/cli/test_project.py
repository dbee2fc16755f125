"""Fresh projects, without an edit: their tests, their service, their README."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aioenv.cli import main as cli
from tests.peer.process import LineProcess
from tests.peer.provision import Peer

TIMEOUT_S = 280.0
ADDRESS_IN_TEXT = "http://localhost:8000"

# One of them installs itself: func_only.
pytestmark = pytest.mark.timeout(TIMEOUT_S, func_only=True)


def make_project(name: str, folder: Path) -> Path:
    """Make a project in a folder, and return where it is."""
    command = [sys.executable, "-m", "aioenv.cli", "init", name]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / name


def run(project: Path, *command: object, **environment: str) -> str:
    """Run a command in a project to its end, and return what it printed."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=project,
        # What a `make` that runs the tests was given is not for the project's own.
        env={
            name: value
            for name, value in {**os.environ, **environment}.items()
            if name not in ("MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "PYTEST_ARGS", "COVERAGE")
        },
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_project_stands_on_its_own(peer: Peer, tmp_path: Path) -> None:
    """``make test`` installs it with the wheel beside it; what it serves, OpenEnv's client plays.

    Nothing of this installation is used: the project has a virtual environment of its own.
    """
    project = make_project("word_game", tmp_path)
    made_by = {"PYTHON": sys.executable, "PYTHONPATH": ""}
    assert re.search(r"\b30 passed\b", run(project, "make", "test", **made_by))

    serve = ["make", "serve", "SERVE_ARGS=--port 0"]
    with LineProcess(serve, cwd=project, environment=made_by) as server:
        url = server.wait_address(TIMEOUT_S)
        saw = json.loads(run(project, *peer.command("guess.py", url)))
        assert saw == {
            "seen": [
                [{"hint": "begin", "guesses_left": 4, "metadata": {}}, 0.0, False],
                [{"hint": "higher", "guesses_left": 3, "metadata": {}}, 0.0, False],
                [{"hint": "lower", "guesses_left": 2, "metadata": {}}, 0.0, False],
                [{"hint": "found", "guesses_left": 1, "metadata": {}}, 1.0, True],
            ],
            "state": {"episode_id": "ep-7", "step_count": 3},
        }
        command = project / ".venv/bin/aioenv"
        report = run(project, command, "rollout", "--url", url, "--episodes", 64, "--json")
        assert json.loads(report)["errors"] == {}
        # Whoever guesses at random finds one number in ten, four times.
        assert 0.0 < json.loads(report)["mean_return"] < 1.0


@pytest.mark.parametrize("name", ["maze_env", f"{'long_' * 12}2048"])
def test_every_name_makes_a_project_that_passes(name: str, tmp_path: Path) -> None:
    """Whatever it is called, a project's tests pass, and its manifest's application is served."""
    project = make_project(name, tmp_path)
    # With no plug-in but the one that the project asks for, which is a good deal faster here.
    pytest_here = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(project)}
    assert "30 passed" in run(project, *pytest_here, "-p", "pytest_asyncio.plugin", **alone)
    serve = [sys.executable, "-m", "aioenv.cli", "serve", str(project), "--port", "0"]
    with LineProcess(serve, cwd=tmp_path) as server:
        url = server.wait_address(TIMEOUT_S)
        assert cli(["rollout", "--url", url, "--episodes", "8"]) == 0
    main = [sys.executable, "-m", name]
    with LineProcess(main, cwd=project, environment={"AIOENV_PORT": "0"}) as server:
        server.wait_address(TIMEOUT_S)


# Its README


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a project whose README can be followed."""
    return make_project("word_game", tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def url(project: Path) -> Iterator[str]:
    """Serve the project on a free port."""
    command = [sys.executable, "-m", "aioenv.cli", "serve", "--port", "0"]
    with LineProcess(command, cwd=project) as server:
        yield server.wait_address(TIMEOUT_S)


# The first plays in a container: see tests/docker/test_authoring.py.
@pytest.mark.parametrize(
    ("number", "printed"),
    [
        (1, "higher\n"),
        (2, "(higher|lower|found)\n"),
        (3, "5 .+\n"),
        (4, r"\[\(0, '\w+'\), .+\]\n"),
        (5, r"\d+\.0 of 32 found at once\n"),
    ],
)
def test_readme_block_runs(project: Path, url: str, number: int, printed: str) -> None:
    """A Python block of the project's README runs as it stands, but for the server's address."""
    readme = (project / "README.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 6
    block = blocks[number].replace(ADDRESS_IN_TEXT, url)
    out = run(project, sys.executable, "-W", "error", "-c", block)
    assert re.match(printed, out), out
