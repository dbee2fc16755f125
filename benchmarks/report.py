"""The figures of one run: as tables to read, as JSON, and held against the goals."""

import os
import platform
import statistics
from collections.abc import Callable, Iterable
from typing import Any

import attrs

from benchmarks.containers import ImageSize, Launches, Life
from benchmarks.contender import Block
from benchmarks.footprint import ImportTime, InstalledSize
from benchmarks.lineup import BARE, OPENENV, OURS
from benchmarks.memory import SessionMemory
from benchmarks.pairs import Comparison

__all__ = ["PROOF_TOLERANCE", "Goal", "Proof", "Report"]

PROOF_TOLERANCE = 0.05
LIMIT_GOAL = 0.85
OPENENV_GOALS = {1: 5.0, 64: 8.0, 512: 8.0}
MEMORY_GOAL_KIB = 30.0
IMPORT_GOAL_S = 0.8
LAYERS_GOAL_MB = 90.0
HEALTH_GOAL_S = 2.0
END_GOAL_S = 1.0
#: Stands in a cell of which nothing was measured.
MISSING = "-"


@attrs.frozen
class Goal:
    """One goal and what was measured."""

    name: str
    wanted: str
    measured: float
    met: bool


@attrs.frozen
class Proof:
    """Two identical programs side by side: the comparison that shows them alike."""

    comparison: Comparison
    #: The ratios of the attempts before it, which did not.
    failed: tuple[float, ...] = ()


@attrs.define
class Report:
    """Everything measured in one run; what was left out is empty."""

    pairs: int
    proof: list[Proof] = attrs.Factory(list)
    steps: list[Comparison] = attrs.Factory(list)
    cycles: list[Comparison] = attrs.Factory(list)
    memory: list[SessionMemory] = attrs.Factory(list)
    imports: list[ImportTime] = attrs.Factory(list)
    sizes: list[InstalledSize] = attrs.Factory(list)
    image: ImageSize | None = None
    life: Life | None = None
    launches: list[Launches] = attrs.Factory(list)

    def goals(self) -> list[Goal]:
        """Return the goals for which something was measured."""
        found = []
        for comparison in self.steps:
            sessions, ratio = comparison.sessions, comparison.rate_ratio
            if comparison.second == BARE and sessions > 1:
                name = f"rate beside the bare echo, {sessions} sessions"
                found.append(_at_least(name, ratio, LIMIT_GOAL))
            elif comparison.second == OPENENV and sessions in OPENENV_GOALS:
                name = f"rate beside {OPENENV}, {_sessions(sessions)}"
                found.append(_at_least(name, ratio, OPENENV_GOALS[sessions]))
        beyond = self._memory_beyond_bare_kib()
        if beyond is not None:
            name = "server memory of an idle session beyond the bare echo's, KiB"
            found.append(_at_most(name, beyond, MEMORY_GOAL_KIB))
        for row in self.imports:
            if row.name == OURS:
                wanted, met = f"< {IMPORT_GOAL_S:g}", row.seconds < IMPORT_GOAL_S
                name = "import of client and service in a fresh interpreter, s"
                found.append(Goal(name, wanted, row.seconds, met))
        if self.image is not None:
            name = "the image's layers over its base, MB"
            found.append(_at_most(name, self.image.own_bytes / 1e6, LAYERS_GOAL_MB))
        if self.life is not None:
            name = "from a container's start until it is healthy, s"
            found.append(_at_most(name, self.life.health_s, HEALTH_GOAL_S))
            name = "from SIGTERM, with a session open, until it has ended, s"
            found.append(_at_most(name, self.life.end_s, END_GOAL_S))
        return found

    def as_json(self) -> dict[str, Any]:
        """Return the figures as a JSON object."""
        return {
            "machine": {"cores": _cores(), "system": platform.system().lower()},
            "python": platform.python_version(),
            "pairs": self.pairs,
            "proof": [
                {**_comparison_json(proof.comparison), "failed": list(proof.failed)}
                for proof in self.proof
            ],
            "steps": [_comparison_json(c) for c in self.steps],
            "cycles": [_comparison_json(c) for c in self.cycles],
            "memory": [
                {**attrs.asdict(m), "bytes_a_session": m.bytes_a_session} for m in self.memory
            ],
            "memory_beyond_bare_kib": self._memory_beyond_bare_kib(),
            "imports": [{**attrs.asdict(row), "seconds": row.seconds} for row in self.imports],
            "sizes": [attrs.asdict(row) for row in self.sizes],
            "image": None if self.image is None else attrs.asdict(self.image),
            "life": None
            if self.life is None
            else {
                **attrs.asdict(self.life),
                "health_s": self.life.health_s,
                "end_s": self.life.end_s,
            },
            "launches": [
                {**attrs.asdict(row), "start_s": row.start_s, "stop_s": row.stop_s}
                for row in self.launches
            ],
            "goals": [attrs.asdict(goal) for goal in self.goals()],
        }

    def as_markdown(self) -> str:
        """Return the figures as Markdown tables."""
        heading = (
            f"{_cores()} cores, Python {platform.python_version()}, one run, medians of "
            f"{self.pairs} pairs; ratios are of steps per second of wall clock, within each pair."
        )
        if any(comparison.second == BARE for comparison in self.steps):
            heading += f" {OURS}'s own rates and times are those beside the bare echo."
        if not (self.steps or self.cycles):
            heading = f"{_cores()} cores, Python {platform.python_version()}, one run."
        tables = [heading, self._steps_table(), self._other_table(), self._containers_table()]
        tables.append(self._goals_table())
        return "\n\n".join(table for table in tables if table)

    def _steps_table(self) -> str:
        proof = {p.comparison.sessions: p for p in self.proof}
        levels = sorted({*proof, *(c.sessions for c in self.steps)})
        if not levels:
            return ""
        rows = [["", *(_sessions(level) for level in levels)]]

        def add(title: str, cells: Iterable[str]) -> None:
            row = list(cells)
            if any(cell != MISSING for cell in row):
                rows.append([title, *row])

        add("two identical programs", (_proof_cell(proof.get(level)) for level in levels))
        for title, rival in (("the bare echo", BARE), (OPENENV, OPENENV)):
            chosen = {c.sessions: c for c in self.steps if c.second == rival}
            add(f"**{OURS} ÷ {title}**", (_ratio(chosen.get(level)) for level in levels))
        for name in (OURS, BARE, OPENENV):
            rates = (_median_of(self.steps, name, level, _rate) for level in levels)
            add(f"{name}: steps per second", (_cell(rate, "{:,.0f}") for rate in rates))
        for name in (OURS, BARE, OPENENV):
            cells = (_cpu_cell(self.steps, name, level) for level in levels)
            add(f"{name}: CPU µs a step (client + server)", cells)
        return _table(rows)

    def _other_table(self) -> str:
        rows = [["", OURS, BARE, OPENENV]]
        names = (OURS, BARE, OPENENV)

        def add(title: str, values: dict[str, str]) -> None:
            if values:
                rows.append([title, *(values.get(name, MISSING) for name in names)])

        if self.cycles:
            at_once = self.cycles[0].sessions
            rates = {n: _median_of(self.cycles, n, at_once, _rate) for n in names}
            title = f"connect + reset + close per second, {at_once} at a time"
            add(title, {name: _cell(rate, "{:,.0f}") for name, rate in rates.items()})
            ratios = {c.second: f"÷ {c.rate_ratio:.2f}" for c in self.cycles}
            add(f"the same, {OURS} ÷ this", {n: r.removeprefix("÷ ") for n, r in ratios.items()})
        add(
            "server memory of an idle session, KiB",
            {m.name: f"{m.bytes_a_session / 1024:.1f}" for m in self.memory},
        )
        add("import, fresh interpreter, s", {r.name: f"{r.seconds:.2f}" for r in self.imports})
        add(
            "installed, MB (distributions)",
            {s.name: f"{s.size_bytes / 1e6:.1f} ({s.distributions})" for s in self.sizes},
        )
        return _table(rows) if len(rows) > 1 else ""

    def _containers_table(self) -> str:
        if self.image is None:
            return ""
        rows = [["", OURS, OPENENV]]
        for count in sorted({row.starts for row in self.launches}):
            of = {row.name: row for row in self.launches if row.starts == count}
            what = "a container" if count == 1 else f"{count} containers at a time"
            title = f"{what}: from the call to the first reply, s"
            rows.append([title, *(f"{of[name].start_s:.2f}" for name in (OURS, OPENENV))])
            if count == 1:
                title = f"{what}: from the call of `close` until it is gone, s"
                rows.append([title, *(f"{of[name].stop_s:.2f}" for name in (OURS, OPENENV))])
        own, size = self.image.own_bytes / 1e6, self.image.size_bytes / 1e6
        weight = f"Image: {size:.0f} MB, {own:.0f} MB of it over its base. Medians of "
        rounds = max(len(row.rounds_start_s) for row in self.launches)
        return f"{weight}{rounds} rounds in turn.\n\n{_table(rows)}"

    def _goals_table(self) -> str:
        goals = self.goals()
        if not goals:
            return ""
        rows = [["goal", "wanted", "measured", ""]]
        for goal in goals:
            verdict = "met" if goal.met else "**not met**"
            rows.append([goal.name, goal.wanted, f"{goal.measured:.2f}", verdict])
        return _table(rows)

    def _memory_beyond_bare_kib(self) -> float | None:
        measured = {memory.name: memory.bytes_a_session for memory in self.memory}
        if OURS not in measured or BARE not in measured:
            return None
        return (measured[OURS] - measured[BARE]) / 1024


def _at_least(name: str, measured: float, wanted: float) -> Goal:
    return Goal(name, f"≥ {wanted:g}", measured, measured >= wanted)


def _at_most(name: str, measured: float, wanted: float) -> Goal:
    return Goal(name, f"≤ {wanted:g}", measured, measured <= wanted)


def _sessions(number: int) -> str:
    return "1 session" if number == 1 else f"{number} sessions"


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _ratio(comparison: Comparison | None) -> str:
    return MISSING if comparison is None else f"{comparison.rate_ratio:.2f}"


def _proof_cell(proof: Proof | None) -> str:
    if proof is None:
        return MISSING
    failed = ", ".join(f"{ratio:.2f}" for ratio in proof.failed)
    return _ratio(proof.comparison) + (f" (after {failed})" if failed else "")


def _cell(value: float | None, form: str) -> str:
    return MISSING if value is None else form.format(value)


def _rate(block: Block) -> float:
    return block.rate


def _cpu_cell(comparisons: list[Comparison], name: str, sessions: int) -> str:
    both = _median_of(comparisons, name, sessions, lambda block: block.cpu_us)
    client = _median_of(comparisons, name, sessions, lambda block: block.client_cpu_us)
    server = _median_of(comparisons, name, sessions, lambda block: block.server_cpu_us)
    if both is None:
        return MISSING
    return f"{both:.0f} ({client:.0f} + {server:.0f})"


def _median_of(
    comparisons: list[Comparison], name: str, sessions: int, figure: Callable[[Block], float]
) -> float | None:
    """Return the median of a figure over a contender's blocks at so many sessions.

    They are of one comparison, the first: the one with the bare echo where that was measured. Those
    of different comparisons saw different weather, and their rates would not agree with the ratios.
    """
    for comparison in comparisons:
        if comparison.sessions == sessions and (blocks := comparison.blocks_of(name)):
            return statistics.median(map(figure, blocks))
    return None


def _comparison_json(comparison: Comparison) -> dict[str, Any]:
    def contender(name: str) -> dict[str, float]:
        blocks = comparison.blocks_of(name)
        return {
            "per_second": statistics.median(b.rate for b in blocks),
            "cpu_us": statistics.median(b.cpu_us for b in blocks),
            "server_cpu_us": statistics.median(b.server_cpu_us for b in blocks),
            "client_cpu_us": statistics.median(b.client_cpu_us for b in blocks),
        }

    return {
        "first": comparison.first,
        "second": comparison.second,
        "sessions": comparison.sessions,
        "rate_ratio": comparison.rate_ratio,
        "rate_ratios": list(comparison.rate_ratios),
        "cpu_ratio": comparison.cpu_ratio,
        "contenders": {name: contender(name) for name in (comparison.first, comparison.second)},
    }


def _table(rows: list[list[str]]) -> str:
    head, *body = rows
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
