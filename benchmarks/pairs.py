"""Pairs of contenders, measured side by side: blocks of work in turn, one ratio a pair."""

import functools
import operator
import statistics
from collections.abc import Callable

import attrs

from benchmarks.contender import Block, RunningContender

__all__ = ["Comparison", "Effort", "compare_cycles", "compare_steps"]

CALIBRATION_S = 0.15
#: Whose turn it is, block by block, within one pair: neither always first, a drift cancels.
ORDER = (1, 2, 2, 1, 2, 1, 1, 2)


@attrs.frozen
class Effort:
    """How long and how often to measure."""

    pairs: int
    block_s: float


@attrs.frozen
class Pair:
    """One pair: what each contender did in its blocks, which alternated."""

    first: Block
    second: Block

    @property
    def rate_ratio(self) -> float:
        """How many times the second's rate the first reached."""
        return self.first.rate / self.second.rate

    @property
    def cpu_ratio(self) -> float:
        """How many times the first's CPU time the second spent on a unit of work."""
        return self.second.cpu_us / self.first.cpu_us


@attrs.frozen
class Comparison:
    """Medians over the pairs of two contenders."""

    first: str
    second: str
    #: Sessions open, or cycles at a time.
    sessions: int
    pairs: tuple[Pair, ...]

    @property
    def rate_ratios(self) -> tuple[float, ...]:
        """Each pair's ratio of rates, first to second."""
        return tuple(pair.rate_ratio for pair in self.pairs)

    @property
    def rate_ratio(self) -> float:
        """The ratio of rates, first to second: the figure that the goals speak of."""
        return statistics.median(self.rate_ratios)

    @property
    def cpu_ratio(self) -> float:
        """The ratio of CPU times, second to first, so that more is better here too."""
        return statistics.median(pair.cpu_ratio for pair in self.pairs)

    def blocks_of(self, name: str) -> list[Block]:
        """Return what a contender did, one block a pair."""
        if name == self.first:
            return [pair.first for pair in self.pairs]
        return [pair.second for pair in self.pairs] if name == self.second else []


def compare_steps(
    first: RunningContender, second: RunningContender, *, sessions: int, effort: Effort
) -> Comparison:
    """Compare the rates of steps over so many sessions."""
    for contender in (first, second):
        contender.open(sessions)
    return _compare(
        first, second, first.steps, second.steps, sessions=sessions, unit=sessions, effort=effort
    )


def compare_cycles(
    first: RunningContender, second: RunningContender, *, concurrency: int, effort: Effort
) -> Comparison:
    """Compare the rates of connecting, resetting and closing, with no session else open."""
    for contender in (first, second):
        contender.open(0)
    return _compare(
        first,
        second,
        lambda count: first.cycles(count, concurrency=concurrency),
        lambda count: second.cycles(count, concurrency=concurrency),
        sessions=concurrency,
        unit=concurrency,
        effort=effort,
    )


def _compare(
    first: RunningContender,
    second: RunningContender,
    run_first: Callable[[int], Block],
    run_second: Callable[[int], Block],
    *,
    sessions: int,
    unit: int,
    effort: Effort,
) -> Comparison:
    """Alternate blocks of both, so that each pair sees the same weather."""
    work_first = _calibrate(run_first, unit, effort.block_s)
    work_second = _calibrate(run_second, unit, effort.block_s)
    pairs = []
    for _ in range(effort.pairs):
        blocks_first, blocks_second = [], []
        for turn in ORDER:
            if turn == 1:
                blocks_first.append(run_first(work_first))
            else:
                blocks_second.append(run_second(work_second))
        pairs.append(Pair(_total(blocks_first), _total(blocks_second)))
    return Comparison(first.name, second.name, sessions, tuple(pairs))


def _total(blocks: list[Block]) -> Block:
    return functools.reduce(operator.add, blocks)


def _calibrate(run: Callable[[int], Block], unit: int, block_s: float) -> int:
    """Return the multiple of `unit` that takes about `block_s`; warms the contender up."""
    work = unit
    while (block := run(work)).wall_s < CALIBRATION_S:
        work *= 4
    block = run(work)
    return max(1, round(block.rate * block_s / unit)) * unit
