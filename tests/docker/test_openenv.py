"""The image and the real OpenEnv: its launcher, and its validator."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.docker.images import ROOT, docker
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
    command = [str(peer.python), "-I", "-m", "openenv.cli", "validate", str(project)]
    command += ["--level", "runtime", "--output", str(tmp_path / "report.json")]
    outcome = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    results = {result["check_id"]: result for result in report["results"]}
    _remove(results["runtime.startup"]["measured"]["image_ref"])
    passed = {check for check, result in results.items() if result["status"] == "pass"}
    to_pass = {
        "static.manifest",
        "runtime.startup",
        "runtime.observation_schema",
        "runtime.reward_well_formed",
        "runtime.state_contract",
    }
    if _has_network_helper(peer):
        to_pass.add("runtime.network_policy")
    assert passed == to_pass, outcome.stdout
    # What it has no check for yet, it says so.
    evidence = {check: results[check]["evidence"] for check in results.keys() - passed}
    evidence.pop("runtime.network_policy", None)
    for check, words in evidence.items():
        assert words == ["grader not implemented in this build"], check


def _not_of_the_project(folder: str, names: list[str]) -> set[str]:
    hidden = {name for name in names if name.startswith(".") and name != ".dockerignore"}
    return hidden | ({"build", "__pycache__"} & set(names))


def _has_network_helper(peer: Peer) -> bool:
    """Ask whether this machine has the image with which it measures the network.

    It names one of a public registry by its digest, and skips the check where it cannot be had.
    """
    program = "from openenv.validation.providers._netns import HELPER_IMAGE; print(HELPER_IMAGE)"
    helper = subprocess.run(
        [str(peer.python), "-I", "-c", program], capture_output=True, text=True, check=True
    ).stdout.strip()
    try:
        docker("image", "inspect", helper)
    except RuntimeError:
        return False
    return True


def _remove(image: str) -> None:
    """Remove an image that the validator built, unless it is the tests' own by another name."""
    details: list[dict[str, Any]] = json.loads(docker("image", "inspect", image))
    if not details[0]["RepoTags"]:
        docker("image", "rm", image)
