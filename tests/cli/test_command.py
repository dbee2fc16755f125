"""The command itself: help, usage, and what becomes of errors."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import attrs
import click
import pytest

import aioenv
from aioenv.cli import main
from aioenv.cli.command import aioenv as program
from aioenv.service import Settings
from tests.cli.conftest import DEADLINE_S, Start


@pytest.mark.parametrize("command", [[], *([name] for name in sorted(program.commands))], ids=str)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_has_examples(
    command: list[str], flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Help goes to standard output, tells the exit codes and shows examples; exit code 0."""
    assert main([*command, flag]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"Usage: {' '.join(['aioenv', *command])} ")
    assert "Examples:\n" in out
    assert "Exit codes: 0" in out
    assert err == ""


def test_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """The version is the package's."""
    assert main(["--version"]) == 0
    assert aioenv.__version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["nope"], "No such command 'nope'"),
        (["serve", "--nope"], "No such option"),
        (["serve", "a", "b"], "unexpected extra argument"),
        (["serve", "--port", "x"], "'x' is not a valid integer"),
        (["serve", "--port", "-1"], "'--port': 'port' must be >= 0: -1"),
        (["serve", "--port", "70000"], "'--port': 'port' must be <= 65535: 70000"),
        (["serve", "--max-concurrent-envs", "0"], "'max_concurrent_envs' must be > 0"),
        (["serve", "--heartbeat-s", "nan"], "'--heartbeat-s'"),
        (["serve", "--readme-path", "nowhere.md"], "'nowhere.md' does not exist"),
        (["serve", "--log-level", "loud"], "'loud' is not one of"),
        (["rollout", "--episodes", "0"], "0 is not in the range"),
        (["rollout", "--url", "ftp://x"], "'--url': 'ftp://x' is not an address"),
        (["rollout", "--header", "nonsense"], "'nonsense' is not 'Name: value'"),
        (["rollout", "--out", "."], "is a directory"),
    ],
)
def test_wrong_usage(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage is told in one line on standard error, with exit code 2."""
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Usage: aioenv")
    assert message in err.splitlines()[-1]


def test_no_command_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a command, help is shown, and it counts as wrong usage."""
    assert main([]) == 2
    assert "Commands:" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["--debug", "serve", "nope"], ["serve", "nope", "--debug"]])
def test_debug_shows_the_traceback(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """An error has a traceback with ``--debug``, wherever that stands, and none without."""
    assert main(argv) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("Error: 'nope' is neither")
    assert main(["serve", "nope"]) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_debug_logs_in_the_format_asked_for(start: Start) -> None:
    """What ``--debug`` logs with besides is as ``--log-format`` has it, wherever it stands."""
    program = start("--debug", "serve", "worlds:app", "--port", 0, "--log-format", "json")
    with urllib.request.urlopen(f"{program.wait_address(DEADLINE_S)}/health") as response:
        assert response.status == 200
    line = program.wait_line("/health", DEADLINE_S).string
    assert json.loads(line)["level"] == "INFO"


def test_unexpected_error_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Even a defect is one line, which tells whose it is and what to do; exit code 1."""

    def fail(target: str) -> None:
        raise RuntimeError(f"{target}\nand more")

    monkeypatch.setattr("aioenv.cli.serve.load_application", fail)
    assert main(["serve", "x"]) == 1
    assert capsys.readouterr().err == (
        "Error: unexpected RuntimeError: x and more; this is a fault of aioenv: "
        "--debug shows what to report\n"
    )
    assert main(["--debug", "serve", "x"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert err.splitlines()[-1].endswith("report it with the above")


@pytest.mark.parametrize(
    ("variables", "colour"),
    [({}, None), ({"NO_COLOR": ""}, None), ({"NO_COLOR": "1"}, False)],
    ids=["unset", "empty", "set"],
)
def test_no_color_is_respected(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], colour: bool | None
) -> None:
    """Where ``NO_COLOR`` is set to anything, click takes the colours out of what is printed."""
    seen: list[bool | None] = []

    @click.command()
    def look() -> None:
        seen.append(click.get_current_context().color)

    monkeypatch.setitem(program.commands, "look", look)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert main(["look"]) == 0
    assert seen == [colour]


def test_every_setting_is_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    """`serve` has an option for each setting, with its meaning, variable and default."""
    main(["serve", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for attribute in attrs.fields(Settings):
        assert f"--{attribute.name.replace('_', '-')} " in text
        assert attribute.metadata["help"] in text
        assert f"[env: {attribute.metadata['variable']}" in text
    assert "default: 64]" in text


def test_console_script_is_main() -> None:
    """The installed script ``aioenv`` calls the same function."""
    (script,) = entry_points(group="console_scripts", name="aioenv")
    assert script.load() is main


def test_rich_is_imported_only_to_print(tmp_path: Path) -> None:
    """The command line comes up without rich, which `serve` never needs."""
    code = "import sys, aioenv.cli; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0


def test_closed_pipe_is_no_traceback(
    finish: Callable[..., "subprocess.CompletedProcess[str]"], folder: Path
) -> None:
    """A reader that leaves early, such as ``head``, gets no traceback from us."""
    command = f"'{sys.executable}' -m aioenv.cli rollout --episodes 1 --steps 1 --json"
    done = subprocess.run(
        ["/bin/sh", "-c", f"{command} | true"],
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
    )
    assert done.stderr == ""
