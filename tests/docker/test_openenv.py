"""The image and the real OpenEnv: its launcher, and its validator."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.docker.images import ROOT, docker
from tests.docker.validator import validate
from tests.peer.provision import Peer

# The fixtures install OpenEnv and build an image: func_only.
pytestmark = pytest.mark.timeout(300, func_only=True)

COMMAND_TIMEOUT_S = 240.0
MESSAGES = ["Hi", "Hello, World!", "", "naïve 🌍 e\u0301", 'a "quoted" \\ line\n\t\x00']


def test_openenv_launches_the_image(peer: Peer, echo_image: str) -> None:
    """OpenEnv's own launcher starts a container, its client plays an episode, and both end."""
    # Its launcher looks for a free port and hopes that it stays so: it may take another turn.
    for _ in range(3):
        done = subprocess.run(
            peer.command("play.py", echo_image, "from_docker_image"),
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
        )
        report = json.loads(done.stdout)
        if "port is already allocated" not in report.get("failure", ""):
            break
    assert "failure" not in report, report["failure"]
    saw = report["saw"]
    assert [step["echoed_message"] for step in saw["steps"]] == MESSAGES
    assert [step["message_length"] for step in saw["steps"]] == [2, 13, 0, 10, 20]
    assert saw["state"] == {"episode_id": "ep-7", "step_count": 5}
    its_own = ["--filter", f"ancestor={echo_image}", "--filter", "name=^echo-env-[0-9]+$"]
    assert docker("ps", "--all", "--quiet", *its_own) == ""


def test_openenv_validates_the_project(peer: Peer, echo_image: str, tmp_path: Path) -> None:
    """OpenEnv's validator passes the project on every check of its runtime level that it has."""
    # It refuses symbolic links, which virtual environments beside the project hold.
    project = tmp_path / "project"
    shutil.copytree(ROOT, project, ignore=_not_of_the_project)
    validate(peer, project, tmp_path / "report.json")


def _not_of_the_project(folder: str, names: list[str]) -> set[str]:
    hidden = {name for name in names if name.startswith(".") and name != ".dockerignore"}
    return hidden | ({"build", "__pycache__"} & set(names))
