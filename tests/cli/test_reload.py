"""`aioenv serve --reload`: a change of the author's files, and what clients see of it."""

import signal
import urllib.request
from pathlib import Path

import psutil
import pytest

from aioenv import SessionLost, loads
from aioenv.cli.errors import CommandFailed
from aioenv.cli.reload import Watch, told
from aioenv.client import GenericEnvClient
from tests.cli.conftest import DEADLINE_S, WORLDS, Start


def names_at(url: str) -> object:
    """Ask which environments are served."""
    with urllib.request.urlopen(f"{url}/list_environments", timeout=DEADLINE_S) as response:
        return loads(response.read())


async def play_on(client: GenericEnvClient) -> None:
    """Play for ever."""
    while True:
        await client.step({"do": "x"})


async def test_a_change_starts_it_anew_on_the_same_port(start: Start, folder: Path) -> None:
    """It says what has changed; sessions end with 1001; the next ones meet the new code."""
    program = start("serve", "worlds:app", "--port", 0, "--reload")
    url = program.wait_address(DEADLINE_S)
    program.wait_line("^Watching .* for changes$", DEADLINE_S)
    async with GenericEnvClient(url) as client:
        await client.reset()
        (folder / "worlds.py").write_text(WORLDS.replace("reward=1.0", "reward=2.0"), "utf-8")
        program.wait_line(r"worlds\.py changed; starting anew", DEADLINE_S)
        with pytest.raises(SessionLost) as caught:
            await play_on(client)
        assert caught.value.close_code == 1001
    # Nobody waits for it to be ready: a connection is not refused in between.
    async with GenericEnvClient(url) as client:
        await client.reset()
        assert (await client.step({"do": "x"})).reward == 2.0
    program.wait_line("is ready", DEADLINE_S)
    program.signal(signal.SIGTERM)
    assert program.wait() == 0


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("app = create_app(\n", r"SyntaxError: .*worlds\.py, line 1"),
        ("\nimport nothing_of_this_name\n", "No module named 'nothing_of_this_name'"),
        ("\nnumber = 1 / 0\n", r"ZeroDivisionError: .*worlds\.py, line 2"),
        ("app = 3\n", "not an application"),
    ],
    ids=["syntax", "import", "exception", "no application"],
)
def test_it_keeps_running_through_an_error(
    start: Start, folder: Path, text: str, fault: str
) -> None:
    """An error is one line that says where; who connects meanwhile waits until it is mended."""
    program = start("serve", "worlds:app", "--port", 0, "--reload")
    url = program.wait_address(DEADLINE_S)
    program.wait_line("Watching", DEADLINE_S)
    (folder / "worlds.py").write_text(text, "utf-8")
    program.wait_line(f"^Error: .*{fault}", DEADLINE_S)
    program.wait_line("waiting for a change in ", DEADLINE_S)
    (folder / "worlds.py").write_text(WORLDS.replace('"world"', '"mended"'), "utf-8")
    assert names_at(url) == ["mended"]
    assert "Traceback" not in program.output


def test_it_waits_for_what_cannot_be_served_yet(start: Start, folder: Path) -> None:
    """It may begin with an error; the port is told once there is something to serve."""
    (folder / "openenv.yaml").write_text("app: worlds\n", "utf-8")
    program = start("serve", "--port", 0, "--reload")
    program.wait_line("waiting for a change in ", DEADLINE_S)
    (folder / "openenv.yaml").write_text("app: worlds:app\n", "utf-8")
    program.wait_line(r"openenv\.yaml changed", DEADLINE_S)
    assert names_at(program.wait_address(DEADLINE_S)) == ["world"]
    program.signal(signal.SIGINT)
    assert program.wait() == 0


def test_nothing_outlives_a_supervisor_that_was_killed(start: Start) -> None:
    """SIGKILL of the supervisor ends its worker, too."""
    program = start("serve", "worlds:app", "--port", 0, "--reload")
    program.wait_address(DEADLINE_S)
    (worker,) = psutil.Process(program.pid).children()
    program.signal(signal.SIGKILL)
    assert program.wait() == -signal.SIGKILL
    gone, alive = psutil.wait_procs([worker], DEADLINE_S)
    assert (len(gone), alive) == (1, [])


async def test_only_the_authors_files_count(tmp_path: Path) -> None:
    """What tools and programs write is no change; code, configuration and the README are."""
    place = tmp_path / "build" / "project"
    tools = (".git/x.py", ".venv/x.py", "__pycache__/x.py", "build/x.py", "python/lib/x.py")
    authors = {"README.md", "deep/er/module.py", "game/env/world.py", "game/build/houses.py"}
    for name in (*tools, *authors):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
    (place / "python/pyvenv.cfg").touch()
    async with Watch(place) as watch:
        for name in (*tools, "episode.log", *authors):
            (place / name).write_text("x")
        found = set(await watch.wait_change())
        while len(found) < len(authors):
            found |= set(await watch.wait_change())
        assert found == set(map(Path, authors))


async def test_a_folder_that_cannot_be_watched_is_told(tmp_path: Path) -> None:
    """What the system says is passed on, with a way out, and nobody waits for ever."""
    async with Watch(tmp_path / "nowhere") as watch:
        with pytest.raises(CommandFailed, match=r"nowhere cannot be watched: .*POLLING=1"):
            await watch.wait_change()


def test_many_changes_are_told_in_few_words() -> None:
    """The first three are named."""
    assert told([Path("a.py")]) == "a.py"
    assert told([Path(name) for name in "abcde"]) == "a, b, c and 2 more"
