"""`aioenv serve`: where it listens, what it prints, how it ends."""

import signal
import socket
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from aioenv import CapacityReached, SessionLost, loads
from aioenv.client import GenericEnvClient
from tests.cli.conftest import DEADLINE_S, Start

Finish = Callable[..., "subprocess.CompletedProcess[str]"]


def get(url: str) -> object:
    """Fetch a JSON document."""
    with urllib.request.urlopen(url, timeout=DEADLINE_S) as response:
        return loads(response.read())


def test_first_line_is_the_address(start: Start) -> None:
    """The first line tells the name and the address, at once even into a pipe; port 0 is free."""
    program = start("serve", "worlds:app", "--port", 0)
    line = program.wait_line("", DEADLINE_S).string
    name, _, url = line.removeprefix("Serving ").partition(" on ")
    assert name == "world"
    assert get(f"{url}/health") == {"status": "healthy"}
    assert get(f"{url}/list_environments") == ["world"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_stops_it_within_the_grace(start: Start, number: signal.Signals) -> None:
    """A signal ends it with exit code 0; a session that goes on is closed after the grace."""
    program = start("serve", "worlds:app", "--port", 0, "--shutdown-grace-s", 0.2)
    async with GenericEnvClient(program.wait_address(DEADLINE_S)) as client:
        await client.reset()
        program.signal(number)
        with pytest.raises(SessionLost) as caught:
            await client.step({"do": "hang"})
        assert caught.value.close_code == 1001
    assert program.wait() == 0


async def test_second_signal_ends_it_at_once(start: Start) -> None:
    """The second signal does not wait for the grace; exit code 130."""
    program = start("serve", "worlds:app", "--port", 0, "--shutdown-grace-s", 1000)
    async with GenericEnvClient(program.wait_address(DEADLINE_S)) as client:
        await client.reset()
        program.signal(signal.SIGTERM)
        program.wait_line("sessions have 1000 s", DEADLINE_S)
        program.signal(signal.SIGTERM)
        assert program.wait() == 130


async def test_option_outdoes_variable(start: Start) -> None:
    """An option on the command line outdoes its environment variable, which outdoes the default."""
    program = start(
        "serve", "worlds:app", "--max-concurrent-envs", 2, MAX_CONCURRENT_ENVS="1", AIOENV_PORT="0"
    )
    async with GenericEnvClient(program.wait_address(DEADLINE_S)) as client:
        await client.reset()
        async with await client.new_session() as second, await client.new_session() as third:
            await second.reset()
            with pytest.raises(CapacityReached) as caught:
                await third.reset()
    assert caught.value.limit == 2


def test_port_of_the_manifest_is_a_default(start: Start, folder: Path, unused_port: int) -> None:
    """The manifest's port comes after the variable's and the command line's."""
    (folder / "openenv.yaml").write_text(f"app: worlds:app\nport: {unused_port}\n")
    url = f"http://127.0.0.1:{unused_port}"
    assert start("serve").wait_address(DEADLINE_S) == url
    assert start("serve", AIOENV_PORT="0").wait_address(DEADLINE_S) != url
    assert start("serve", ".", "--port", 0).wait_address(DEADLINE_S) != url


def test_readme_of_the_folder_is_a_default(start: Start, folder: Path) -> None:
    """A folder's own README is shown, unless the settings name another."""
    (folder / "openenv.yaml").write_text("app: worlds:app\n")
    (folder / "README.md").write_text("# The world\n")
    (folder / "other.md").write_text("# Another\n")
    for options, readme in [((), "# The world\n"), (("--readme-path", "other.md"), "# Another\n")]:
        url = start("serve", ".", "--port", 0, *options).wait_address(DEADLINE_S)
        metadata = get(f"{url}/metadata")
        assert isinstance(metadata, dict)
        assert metadata["readme_content"] == readme


def test_address_in_use_is_one_clear_line(finish: Finish) -> None:
    """A port that is taken is told in one line, with the way out and exit code 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = finish("serve", "worlds:app", "--port", port)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        f"Error: 127.0.0.1, port {port} is in use already; "
        "choose another port with --port, or 0 for a free one\n"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--host", "192.0.2.1"], "192.0.2.1 is no address of this machine"),
        (["--host", "no.such.host.invalid"], "cannot listen on no.such.host.invalid, port 0"),
    ],
)
def test_impossible_address_is_one_clear_line(
    finish: Finish, options: list[str], message: str
) -> None:
    """An address that cannot be listened on is told in one line, with exit code 1."""
    done = finish("serve", "worlds:app", "--port", 0, *options)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(("level", "is_told"), [("info", True), ("error", False)])
def test_log_goes_to_standard_error(
    start: Start, finish: Finish, level: str, is_told: bool
) -> None:
    """The log is on standard error, as verbose as asked; the address alone on standard output."""
    program = start(
        "serve", "worlds:app", "--port", 0, "--shutdown-grace-s", 0, "--log-level", level
    )
    program.wait_address(DEADLINE_S)
    assert program.stop() == 0
    assert ("INFO aioenv.service.running: stopping" in program.output) is is_told


async def test_token_and_message_size_reach_the_service(start: Start) -> None:
    """Options of other kinds, texts and sizes, take effect, too."""
    program = start(
        "serve", "worlds:app", "--port", 0, "--token", "sesame", "--max-message-size-mb", 0.001
    )
    url = program.wait_address(DEADLINE_S)
    headers = {"Authorization": "Bearer sesame"}
    async with GenericEnvClient(url, headers=headers) as client:
        assert (await client.step({"do": "x"})).reward == 1.0
        with pytest.raises(SessionLost) as caught:
            await client.step({"do": "x" * 2000})
        assert caught.value.close_code == 1009
    assert "sesame" not in program.output


async def play(url: str) -> None:
    """Play two steps in a session whose request has a name."""
    headers = {"X-Request-ID": "mine"}
    async with GenericEnvClient(url, headers=headers) as client:
        await client.reset()
        await client.step({"do": "one"})
        await client.step({"do": "end"})


@pytest.mark.parametrize(
    ("options", "variables"),
    [
        (["--log-format", "json", "--log-actions"], {}),
        ([], {"AIOENV_LOG_FORMAT": "json", "AIOENV_LOG_ACTIONS": "yes"}),
        (["--log-actions"], {"AIOENV_LOG_FORMAT": "json", "AIOENV_LOG_ACTIONS": "no"}),
    ],
    ids=["options", "variables", "both"],
)
async def test_the_log_is_one_json_object_a_line(
    start: Start, folder: Path, options: list[str], variables: dict[str, str]
) -> None:
    """From the loading of the application to the stop; contents only where they are asked for."""
    with (folder / "worlds.py").open("a", encoding="utf-8") as file:
        file.write("import logging\nlogging.getLogger('worlds').warning('loading')\n")
    program = start("serve", "worlds:app", "--port", 0, *options, **variables)
    await play(program.wait_address(DEADLINE_S))
    assert program.stop() == 0
    lines = [line for line in program.output.splitlines() if not line.startswith("Serving ")]
    records = [loads(line) for line in lines]
    assert [record["message"] for record in records] == [
        "loading",
        "session opened",
        "reset",
        "step",
        "step",
        "session closed",
        "request",
        records[-1]["message"],
    ]
    assert records[-1]["message"].startswith("stopping")
    assert {record["request_id"] for record in records[1:-1]} == {"mine"}
    assert [record["asked"] for record in records[2:5]] == [{}, {"do": "one"}, {"do": "end"}]


async def test_the_log_is_text_without_contents_by_default(start: Start) -> None:
    """A line for each session's opening and end, none for a step."""
    program = start("serve", "worlds:app", "--port", 0, "--no-log-actions")
    await play(program.wait_address(DEADLINE_S))
    assert program.stop() == 0
    assert ": session opened session_id=" in program.output
    assert ' why="the client closed" episodes=1 steps=2 duration_s=' in program.output
    assert ": request method=GET path=/ws status=101 duration_s=" in program.output
    assert " step " not in program.output
