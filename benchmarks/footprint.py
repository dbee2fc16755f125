"""What a contender costs before it does anything: import time and installed size."""

import json
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import attrs

from benchmarks.contender import clean_environment
from benchmarks.lineup import Footprint

__all__ = ["ImportTime", "InstalledSize", "measure_imports", "measure_sizes"]


@attrs.frozen
class ImportTime:
    """How long a fresh interpreter takes from its start through the imports to its end."""

    name: str
    imports: str
    rounds_s: tuple[float, ...]

    @property
    def seconds(self) -> float:
        """The median over the rounds."""
        return statistics.median(self.rounds_s)


@attrs.frozen
class InstalledSize:
    """What a contender's distributions and all that they require weigh on disk."""

    name: str
    size_bytes: int
    distributions: int


def measure_imports(
    footprints: Sequence[Footprint], *, rounds: int, stage: Path
) -> list[ImportTime]:
    """Time the imports in turn, after one round that only warms the files' cache."""
    measured: list[list[float]] = [[] for _ in footprints]
    for number in range(rounds + 1):
        for footprint, seconds in zip(footprints, measured, strict=True):
            started = time.perf_counter()
            _run(footprint, ["-c", footprint.imports], stage)
            if number > 0:
                seconds.append(time.perf_counter() - started)
    return [
        ImportTime(footprint.name, footprint.imports, tuple(seconds))
        for footprint, seconds in zip(footprints, measured, strict=True)
    ]


def measure_sizes(footprints: Sequence[Footprint], *, stage: Path) -> list[InstalledSize]:
    """Weigh each footprint's distributions in their interpreter's site-packages."""
    sizes = []
    for footprint in footprints:
        argv = ["-m", "benchmarks.contenders.installed", *footprint.distributions]
        found = json.loads(_run(footprint, argv, stage))
        sizes.append(InstalledSize(footprint.name, found["bytes"], len(found["distributions"])))
    return sizes


def _run(footprint: Footprint, argv: Sequence[str], stage: Path) -> str:
    done = subprocess.run(
        [str(footprint.python), *argv],
        env=clean_environment(stage),
        cwd=stage,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout
