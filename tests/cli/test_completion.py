"""Completion: the scripts for the shells, in a real bash, and what the program tells them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aioenv.cli import main
from tests.cli.conftest import DEADLINE_S

SCRIPTS = Path(sys.executable).parent


def run(command: list[str], **environment: str) -> str:
    """Run a command that finds our scripts, and return what it prints."""
    path = f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        env={**os.environ, "PATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("name", ["aioenv", "openenv"])
@pytest.mark.parametrize(
    ("shell", "words"),
    [
        ("bash", ["complete -o nosort -F", "_COMPLETE=bash_complete $1"]),
        ("zsh", ["#compdef {name}", "_COMPLETE=zsh_complete {name}"]),
        ("fish", ["complete --no-files --command {name}", "_COMPLETE=fish_complete"]),
    ],
    ids=["bash", "zsh", "fish"],
)
def test_each_shell_has_a_script(
    name: str, shell: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The script is for the name by which the program was called."""
    assert main(["completion", shell], name=name) == 0
    script = capsys.readouterr().out
    assert f"_{name.upper()}_COMPLETE={shell}_complete" in script
    for word in words:
        assert word.format(name=name) in script


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("aioenv ser", ["serve"]),
        ("aioenv serve --rel", ["--reload"]),
        ("aioenv serve --log-level w", ["warning"]),
        ("aioenv completion ", ["bash", "zsh", "fish"]),
        ("aioenv serve --worker", ["--workers", "--worker-threads"]),
    ],
    ids=["command", "option", "choice", "argument", "not the hidden"],
)
def test_bash_completes(line: str, completed: list[str]) -> None:
    """A bash that has read the script completes commands, options and their values."""
    script = f"""
    eval "$(aioenv completion bash)"
    COMP_LINE="{line}"
    COMP_WORDS=({line}{" ''" if line.endswith(" ") else ""})
    COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
    _aioenv_completion aioenv
    printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    assert sorted(run(["bash", "-euc", script]).split()) == sorted(completed)


@pytest.mark.parametrize(
    ("shell", "variables", "answer"),
    [
        ("zsh", {"COMP_WORDS": "aioenv ro", "COMP_CWORD": "1"}, "plain\nrollout\nPlay episodes"),
        ("fish", {"COMP_WORDS": "aioenv ro", "COMP_CWORD": "ro"}, "plain\nrollout\nPlay episodes"),
    ],
    ids=["zsh", "fish"],
)
def test_other_shells_are_answered(shell: str, variables: dict[str, str], answer: str) -> None:
    """What the scripts of zsh and fish ask for has the form that they read."""
    told = run(["aioenv"], _AIOENV_COMPLETE=f"{shell}_complete", **variables)
    assert told.replace("plain,rollout\t", "plain\nrollout\n").startswith(answer)


def test_another_shell_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """Others are refused, with those that there are."""
    assert main(["completion", "tcsh"]) == 2
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in capsys.readouterr().err
