"""``aioenv ps``, ``aioenv prune`` and ``aioenv rollout --image``, with real Docker."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aioenv.cli import main
from aioenv.client import leftovers
from tests.cli.conftest import Start
from tests.cli.test_progress import run_on_terminal
from tests.conftest import eventually
from tests.docker.launching import Launch, Script, owned_by
from tests.docker.proxy import Proxy

# The fixtures build an image: func_only.
pytestmark = pytest.mark.timeout(100, func_only=True)

Finish = Callable[..., Any]

LAUNCH = """
import time
from echo_env import EchoEnv

env = EchoEnv.from_docker_image(IMAGE, idle_exit_s=0)
env.connect()
print("up", flush=True)
time.sleep(600)
"""


def listed(finish: Finish, owner: int) -> list[dict[str, Any]]:
    """Return what ``aioenv ps --json`` lists of an owner's."""
    done = finish("ps", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return [one for one in json.loads(done.stdout) if one["owner"]["pid"] == owner]


def test_ps(launch: Launch, finish: Finish, echo_image: str) -> None:
    """It lists what runs, whose it is, and where it is reached."""
    with launch() as env:
        (container,) = owned_by(os.getpid())
        (told,) = listed(finish, os.getpid())
        assert told["id"] == container
        assert (told["image"], told["state"]) == (echo_image, "running")
        assert f"http://{told['address']}" == env.base_url
        assert told["owner"] == {"pid": os.getpid(), "standing": "alive"}
        done = finish("ps")
        (line,) = [text for text in done.stdout.splitlines() if text.startswith(container[:12])]
        words = line.split()
        assert words[1:4] == [echo_image, "running", told["address"]]
        assert line.endswith(f"pid {os.getpid()}, alive")
        assert done.stdout.splitlines()[0].split()[:3] == ["CONTAINER", "IMAGE", "STATE"]
    assert listed(finish, os.getpid()) == []


@pytest.fixture
def only_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have the command see the containers of some owners alone: other tests keep theirs."""
    everything = leftovers._list

    def choose(*owners: int) -> None:
        async def chosen(engine: Any, **filters: Any) -> Any:
            found = await everything(engine, **filters)
            return [container for container in found if container.owner.pid in owners]

        monkeypatch.setattr(leftovers, "_list", chosen)

    return choose


def test_prune(
    script: Script, launch: Launch, only_of: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """It removes what a killed process left behind, and leaves alone what has an owner."""
    process = script(LAUNCH)
    process.wait_line("up", 60)
    (orphan,) = owned_by(process.pid)
    only_of(process.pid, os.getpid())
    with launch() as env:
        assert main(["prune"]) == 0
        assert capsys.readouterr().out == "Nothing to remove; `aioenv ps` lists what there is.\n"
        os.kill(process.pid, signal.SIGKILL)
        process._process.wait(30)
        assert main(["ps"]) == 0
        line = next(line for line in capsys.readouterr().out.splitlines() if orphan[:12] in line)
        assert line.endswith(f"pid {process.pid}, gone")
        assert main(["prune"]) == 0
        assert capsys.readouterr().out.startswith(f"removed {orphan[:12]}  ")
        assert owned_by(process.pid) == []
        env.reset()  # type: ignore[unused-coroutine]
        assert main(["prune", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"removed": []}


def test_prune_all(script: Script, only_of: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """With ``--all`` it removes what has an owner, too; that hears of it as of any loss."""
    process = script(LAUNCH)
    process.wait_line("up", 60)
    (container,) = owned_by(process.pid)
    only_of(process.pid)
    assert main(["prune", "--all", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"removed": [container]}
    assert owned_by(process.pid) == []


@pytest.mark.parametrize("command", ["ps", "prune"])
def test_without_docker(finish: Finish, command: str) -> None:
    """One line says that Docker does not answer, and what to do; exit code 1."""
    done = finish(command, DOCKER_HOST="unix:///no/such/socket")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: the Docker daemon does not answer")
    assert len(done.stderr.splitlines()) == 1


def test_a_rollout_in_containers(start: Start, echo_image: str) -> None:
    """Episodes are played in so many containers, which are gone afterwards."""
    arguments = ["--episodes", 12, "--concurrency", 6, "--steps", 3, "--env", "A=b", "--json"]
    with Proxy("POST .*/containers/[0-9a-f]+/start ") as proxy:
        options = ["--image", echo_image, "--containers", 2, *arguments]
        program = start("rollout", *options, DOCKER_HOST=proxy.url)
        report = json.loads(program.wait_line(r"^\{.*\}$", 60).group())
        assert (report["episodes"], report["steps"], report["errors"]) == (12, 36, {})
        assert program.wait() == 0
        assert proxy.passed == 2
    assert owned_by(program.pid) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_rollout_that_is_interrupted(
    start: Start, echo_image: str, tmp_path: Path, number: signal.Signals
) -> None:
    """Ctrl-C ends the episodes and removes the containers, and so does what else ends programs."""
    out = tmp_path / "trajectories.jsonl"
    arguments = ["--episodes", 1_000_000, "--concurrency", 6, "--steps", 3, "--out", out]
    program = start("rollout", "--image", echo_image, *arguments)
    await eventually(lambda: out.exists() and out.stat().st_size)
    program.signal(number)
    if number == signal.SIGTERM:  # as `timeout` does, which tells its whole group
        program.signal(number)
    assert program.wait() == 130
    assert owned_by(program.pid) == []


def test_starts_are_seen_on_a_terminal(echo_image: str, tmp_path: Path) -> None:
    """There, a line tells how many containers are up."""
    arguments = ["--image", echo_image, "--containers", "2", "--episodes", "2"]
    shown, done = run_on_terminal(tmp_path, ("stderr",), *arguments)
    assert done.returncode == 0
    assert "2 of 2 containers up" in shown


def test_a_rollout_of_what_does_not_start(finish: Finish, echo_image: str) -> None:
    """One line says why, with the log; exit code 1."""
    done = finish("rollout", "--image", echo_image, "--env", "MAX_CONCURRENT_ENVS=many")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: the service did not start (container ")
    assert "MAX_CONCURRENT_ENVS='many' does not fit" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--image", "x", "--url", "http://x"], "--url and --image name two services"),
        (["--containers", "2"], "--containers and --env go with --image"),
        (["--env", "A=b"], "--containers and --env go with --image"),
        (["--image", "x", "--env", "A"], "expected NAME=VALUE"),
        (["--image", "a b"], "'a b' is not the name of an image"),
    ],
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    """What does not go together is refused with exit code 2."""
    assert main(["rollout", *arguments]) == 2
    assert words in capsys.readouterr().err
