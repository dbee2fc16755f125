"""Owners: a process is known again, alive or gone, and mistaken for no other."""

import os
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from aioenv.client import owners
from aioenv.client.owners import LABEL, Owner


def test_this_process() -> None:
    """It is alive, and its labels say who it is."""
    me = Owner.this_process()
    assert me.pid == os.getpid()
    assert Owner.of(me.labels()) == me
    assert me.standing() == "alive"


def test_another_process() -> None:
    """It is alive until it ends, and gone even before its parent has asked how."""
    command = [sys.executable, "-c", "input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as other:
        birth = owners._birth(other.pid)
        assert birth is not None
        its = Owner(Owner.this_process().place, other.pid, birth)
        assert its.standing() == "alive"
        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        assert its.standing() == "gone"
    assert its.standing() == "gone"


def test_a_successor_under_the_same_number() -> None:
    """A process that has got an owner's id since is not taken for it."""
    assert attrs.evolve(Owner.this_process(), birth="1").standing() == "gone"


def test_hidden(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A process that ``/proc`` hides, as it can other users', is not gone before it ends."""
    for shown in ("sys", "self"):
        (tmp_path / shown).symlink_to(Path("/proc", shown))
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        its = Owner(Owner.this_process().place, other.pid, owners._birth(other.pid) or "")
        monkeypatch.setattr(owners, "_PROC", tmp_path)
        assert its.standing() == "elsewhere"
        other.kill()
    assert its.standing() == "gone"


def test_elsewhere() -> None:
    """What was started on another machine, or before this one's last start, cannot be seen."""
    assert attrs.evolve(Owner.this_process(), place="far away").standing() == "elsewhere"


@pytest.mark.parametrize(
    "labels",
    [
        {LABEL: Owner.this_process().place},
        {LABEL: Owner.this_process().place, owners._PID_LABEL: "x"},
        {LABEL: Owner.this_process().place, owners._PID_LABEL: "9" * 30},
    ],
    ids=["no id", "no number", "no process id"],
)
def test_labels_that_say_too_little(labels: dict[str, str]) -> None:
    """An owner that is not named lives nowhere."""
    assert Owner.of(labels).standing() == "gone"


def test_where_the_kernel_tells_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ``/proc`` a process counts as alive while there is one of its id."""
    monkeypatch.setattr(owners, "_PROC", Path("/no/such/folder"))
    me = Owner.this_process()
    assert me.birth == ""
    assert me.standing() == "alive"
    assert attrs.evolve(me, pid=1).standing() == "alive"
    with subprocess.Popen([sys.executable, "-c", ""]) as other:
        pass
    assert attrs.evolve(me, pid=other.pid).standing() == "gone"
