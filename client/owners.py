"""Owners: the processes that containers were started for, written on labels and known again."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from attrs import frozen

__all__ = ["LABEL", "Owner"]

#: The label that every container of ours has, whatever its value.
LABEL = "aioenv.owner.place"

_PID_LABEL = "aioenv.owner.pid"
_BIRTH_LABEL = "aioenv.owner.birth"
_PROC = Path("/proc")


@frozen
class Owner:
    """A process, told apart from every other that there was or will be.

    Attributes:
        place: the machine since its last start, and where it has several spaces of process ids
            (as containers are), which of them.
        pid: the process id there.
        birth: when it began, in the kernel's count; empty where the kernel does not say.
    """

    place: str
    pid: int
    birth: str

    @classmethod
    def this_process(cls) -> "Owner":
        """Return the owner of whatever this process starts."""
        return cls(_here(), os.getpid(), _birth(os.getpid()) or "")

    @classmethod
    def of(cls, labels: Mapping[str, str]) -> "Owner":
        """Read an owner from a container's labels."""
        pid = labels.get(_PID_LABEL, "")
        return cls(
            labels.get(LABEL, ""), int(pid) if pid.isdecimal() else 0, labels.get(_BIRTH_LABEL, "")
        )

    def labels(self) -> dict[str, str]:
        """Return the labels that name this owner."""
        return {LABEL: self.place, _PID_LABEL: str(self.pid), _BIRTH_LABEL: self.birth}

    def standing(self) -> Literal["alive", "gone", "elsewhere"]:
        """Tell whether it lives; one that is elsewhere, or hidden, cannot be seen from here."""
        if self.place != _here():
            return "elsewhere"
        birth = _birth(self.pid) if self.pid else None
        if birth is None:
            return "gone"
        if birth == self.birth:
            return "alive"
        return "gone" if birth else "elsewhere"


def _here() -> str:
    """Return the place of this process."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()
        space = (_PROC / "self/ns/pid").readlink()
    except OSError:  # only Linux says
        return platform.node()
    return f"{platform.node()} {boot} {space}"


def _birth(pid: int) -> str | None:
    """Return when a process began: empty where the kernel does not say, ``None`` if it is over."""
    try:
        # The name in parentheses may hold anything; the state comes next (proc(5)).
        fields = (
            (_PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        )
    except (
        OSError
    ):  # there is none, or it is hidden: not only Linux says, nor to everybody (proc(5))
        return "" if _answers(pid) else None
    is_over = fields[0] in "ZX"  # dead, though its parent may not have asked for its exit code
    return None if is_over else fields[19]


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
