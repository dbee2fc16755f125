"""The progress: seen on a terminal, and nowhere else."""

import contextlib
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import DEADLINE_S

ROLLOUT = [sys.executable, "-m", "aioenv.cli", "rollout"]
LONG = ("--episodes", "40", "--steps", "20")
COLOUR = re.compile(r"\x1b\[(?:[0-9;]*;)?(?:3[0-8]|9[0-7])[0-9;]*m")


def run_on_terminal(
    folder: Path, streams: tuple[str, ...], *arguments: str, **environment: str
) -> tuple[str, "subprocess.CompletedProcess[bytes]"]:
    """Run a rollout with some of its streams on a pseudo-terminal.

    Returns:
        What the terminal showed, and what went elsewhere.
    """
    master, slave = pty.openpty()
    with subprocess.Popen(
        [*ROLLOUT, *(arguments or LONG)],
        cwd=folder,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", **environment},
        stdin=subprocess.DEVNULL,
        stdout=slave if "stdout" in streams else subprocess.PIPE,
        stderr=slave if "stderr" in streams else subprocess.PIPE,
    ) as process:
        os.close(slave)
        shown = b""
        with contextlib.suppress(OSError):  # Linux's way to say that the other side is closed
            while part := os.read(master, 65536):
                shown += part
        out, err = process.communicate(timeout=DEADLINE_S)
    os.close(master)
    done = subprocess.CompletedProcess(ROLLOUT, process.returncode, out, err)
    return shown.decode(), done


def test_progress_is_live_on_a_terminal(tmp_path: Path) -> None:
    """On a terminal, a line tells of episodes, steps per second and open sessions."""
    shown, done = run_on_terminal(tmp_path, ("stdout", "stderr"))
    assert done.returncode == 0
    assert re.search(r"0 of 40 episodes", shown)
    assert re.search(r"40 of 40 episodes", shown)
    assert re.search(r"[\d,]+ steps/s", shown)
    assert re.search(r"\d+ sessions open", shown)
    assert COLOUR.search(shown)
    assert shown.index("sessions open") < shown.index("mean return")


def test_table_can_be_piped_while_progress_shows(tmp_path: Path) -> None:
    """The progress is on standard error, so the table can go into a pipe, plain."""
    shown, done = run_on_terminal(tmp_path, ("stderr",))
    assert "sessions open" in shown
    assert "mean return" not in shown
    assert b"mean return" in done.stdout
    assert b"\x1b" not in done.stdout


def test_no_progress_elsewhere(tmp_path: Path) -> None:
    """Where standard error is no terminal, nothing is shown on it."""
    shown, done = run_on_terminal(tmp_path, ("stdout",))
    assert "mean return" in shown
    assert "sessions open" not in shown
    assert done.stderr == b""


@pytest.mark.parametrize("value", ["1", "anything"])
def test_no_color_is_respected(tmp_path: Path, value: str) -> None:
    """With ``NO_COLOR`` there is progress, and no colour in it."""
    shown, done = run_on_terminal(tmp_path, ("stdout", "stderr"), NO_COLOR=value)
    assert done.returncode == 0
    assert "sessions open" in shown
    assert not COLOUR.search(shown)
