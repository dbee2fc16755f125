"""The resident memory that a server spends on each idle session."""

import statistics
import time
from collections.abc import Mapping
from pathlib import Path

import attrs

from benchmarks.contender import Contender, RunningContender

__all__ = ["SessionMemory", "measure_memory"]

#: Open before the first reading, so that what is loaded or allocated once isn't counted.
FIRST_SESSIONS = 50
SETTLE_S = 0.5


@attrs.frozen
class SessionMemory:
    """What one contender's server spends."""

    name: str
    sessions: int
    #: For each session, one figure a round; every round has a server of its own.
    rounds_bytes: tuple[float, ...]

    @property
    def bytes_a_session(self) -> float:
        """The median over the rounds."""
        return statistics.median(self.rounds_bytes)


def measure_memory(
    contenders: Mapping[Contender, int], *, rounds: int, stage: Path
) -> list[SessionMemory]:
    """Open so many sessions on fresh servers; return what each session took."""
    measured: dict[Contender, list[float]] = {contender: [] for contender in contenders}
    for _ in range(rounds):
        for contender, sessions in contenders.items():
            measured[contender].append(_measure_once(contender, sessions, stage))
    return [
        SessionMemory(contender.name, sessions, tuple(measured[contender]))
        for contender, sessions in contenders.items()
    ]


def _measure_once(contender: Contender, sessions: int, stage: Path) -> float:
    with RunningContender(contender, stage=stage) as running:
        before = _resident_with(running, FIRST_SESSIONS)
        after = _resident_with(running, FIRST_SESSIONS + sessions)
        running.open(0)
    return (after - before) / sessions


def _resident_with(running: RunningContender, sessions: int) -> int:
    """Return the server's resident memory with so many sessions that have stepped and idle."""
    running.open(sessions)
    running.steps(sessions)
    time.sleep(SETTLE_S)
    return running.server.resident_bytes()
