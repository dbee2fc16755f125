"""The report: what a rollout came to, as a table or as JSON."""

import math
from array import array
from collections import Counter
from typing import Any

from attrs import define, field

from aioenv.client import RolloutStatistics, Trajectory

__all__ = ["Latencies", "Report"]

_BUCKETS = 100  # to a factor of e: each is 1 % wide


class Latencies:
    """Counts latencies in buckets of 1 %, so that no number of them takes up memory."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def __len__(self) -> int:
        return self._counts.total()

    def add(self, latencies_s: "array[float]") -> None:
        """Count some latencies, in seconds."""
        self._counts.update(
            math.floor(math.log(max(latency_s, 1e-9)) * _BUCKETS) for latency_s in latencies_s
        )

    def percentile_s(self, percent: float) -> float | None:
        """Return the latency that so many percent do not exceed, or ``None`` if there are none."""
        rank = percent / 100 * len(self)
        passed = 0
        for bucket in sorted(self._counts):
            passed += self._counts[bucket]
            if passed >= rank:
                return math.exp((bucket + 0.5) / _BUCKETS)
        return None


@define
class Report:
    """What a rollout came to, put together trajectory by trajectory.

    Attributes:
        service: what was played, for the reader.
        wall_s: how long it took, in seconds.
        ended: how many episodes ended, well or not.
        steps: how many steps were answered.
        retries: how many episodes began anew.
        endings: how many episodes ended so, by the ending.
        errors: how many episodes failed, by the kind of error.
        examples: the first message of each kind.
    """

    service: str
    wall_s: float = 0.0
    ended: int = 0
    steps: int = 0
    retries: int = 0
    endings: Counter[str] = field(factory=Counter)
    errors: Counter[str] = field(factory=Counter)
    examples: dict[str, str] = field(factory=dict)
    _total_return: float = 0.0
    _latencies: Latencies = field(factory=Latencies)

    def add(self, trajectory: Trajectory[Any, Any]) -> None:
        """Take in an episode that has ended."""
        self.ended += 1
        self.endings[trajectory.ending] += 1
        self._latencies.add(trajectory.step_latencies_s)
        if trajectory.failure is None:
            self._total_return += trajectory.total_reward
        else:
            self.errors[trajectory.failure.kind] += 1
            self.examples.setdefault(trajectory.failure.kind, trajectory.failure.message)

    def conclude(self, statistics: RolloutStatistics, wall_s: float) -> None:
        """Take in the figures of the whole."""
        self.steps = statistics.steps
        self.retries = statistics.retries
        self.wall_s = wall_s

    @property
    def mean_return(self) -> float | None:
        """The mean total reward of the episodes that did not fail; ``None`` if all did."""
        good = self.ended - self.errors.total()
        return self._total_return / good if good else None

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        latencies_s = {f"p{p}": self._latencies.percentile_s(p) for p in (50, 95, 99)}
        return {
            "episodes": self.ended,
            "steps": self.steps,
            "wall_s": round(self.wall_s, 6),
            "steps_per_s": round(self.steps / self.wall_s, 3) if self.wall_s else 0.0,
            "step_latency_ms": {
                name: None if value is None else round(value * 1000, 4)
                for name, value in latencies_s.items()
            },
            "mean_return": self.mean_return,
            "endings": dict(self.endings.most_common()),
            "errors": dict(self.errors.most_common()),
            "retries": self.retries,
        }

    def print_table(self) -> None:
        """Print the report as a table on standard output."""
        from rich.console import Console
        from rich.text import Text

        console = Console()
        width = max(len(name) for name, _ in self._rows()) + 2
        for name, value in self._rows():
            style = "red" if name == "errors" and self.errors else ""
            # Line by line, because a table of rich's would break long messages in a pipe, too.
            row = Text.assemble((name.ljust(width), "bold"), (value, style))
            console.print(row, soft_wrap=True)

    def _rows(self) -> list[tuple[str, str]]:
        figures = self.as_dict()
        latency = "   ".join(
            f"{name} {'-' if value is None else f'{value:.3g} ms'}"
            for name, value in figures["step_latency_ms"].items()
        )
        mean = self.mean_return
        endings = ", ".join(f"{name} {count:,}" for name, count in self.endings.most_common())
        rows = [
            ("service", self.service),
            ("episodes", f"{self.ended:,}"),
            ("endings", endings or "-"),
            ("steps", f"{self.steps:,} in {self.wall_s:.2f} s"),
            ("steps/s", f"{figures['steps_per_s']:,.0f}"),
            ("step latency", latency),
            ("mean return", "-" if mean is None else f"{mean:.6g}"),
        ]
        if self.retries:
            rows.append(("retries", f"{self.retries:,}"))
        failures = [
            ("errors", f"{count:,} {kind}: {self.examples[kind]}")
            for kind, count in self.errors.most_common()
        ]
        return rows + (failures or [("errors", "none")])
