"""The driver: starts the contenders, proves the harness, measures, reports."""

import argparse
import contextlib
import json
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

import attrs

from benchmarks.containers import measure_image, measure_launches, measure_life
from benchmarks.contender import RunningContender, open_stage
from benchmarks.footprint import measure_imports, measure_sizes
from benchmarks.lineup import BARE, OPENENV, OURS, TWIN, contender, footprint
from benchmarks.memory import measure_memory
from benchmarks.pairs import Comparison, Effort, compare_cycles, compare_steps
from benchmarks.program import ProgramError
from benchmarks.report import PROOF_TOLERANCE, Proof, Report
from tests.peer.provision import PeerUnavailable

__all__ = ["TooNoisyError", "main"]

PARTS = ("limit", "openenv", "cycle", "memory", "imports", "size")
#: Needs Docker and the image, and is measured only when asked for.
CONTAINERS = "containers"
STARTS = (1, 16)
PROOF_ATTEMPTS = 3
CYCLES_AT_ONCE = 64
IDLE_SESSIONS = {OURS: 2000, BARE: 2000, OPENENV: 400}
OPEN_FILES = 16384


class TooNoisyError(Exception):
    """Two identical programs did not measure alike, so nothing else would mean anything."""


class FramesDifferError(Exception):
    """The limit does other work than our service, so their ratio would mean nothing."""


@attrs.frozen
class Plan:
    """What to measure, and how hard to try."""

    parts: frozenset[str]
    levels: tuple[int, ...]
    effort: Effort
    rounds: int
    prove: bool
    image: str

    @property
    def rivals(self) -> tuple[str, ...]:
        """The contenders that ours is measured beside."""
        rivals = []
        if self.parts & {"limit", "cycle"}:
            rivals.append(BARE)
        if self.parts & {"openenv", "cycle"}:
            rivals.append(OPENENV)
        return tuple(rivals)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; returns 1 when it could not be done, 130 when interrupted."""
    options = _parse(argv)
    _raise_file_limit()
    signal.signal(signal.SIGTERM, _leave)
    plan = _plan(options)
    try:
        report = measure(plan)
    except (
        TooNoisyError,
        FramesDifferError,
        ProgramError,
        PeerUnavailable,
        subprocess.SubprocessError,
    ) as exc:
        print(f"benchmarks: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(json.dumps(report.as_json(), indent=2) if options.json else report.as_markdown())
    return 0


def measure(plan: Plan) -> Report:
    """Run every part of the plan."""
    report = Report(pairs=plan.effort.pairs)
    with open_stage() as stage:
        if plan.rivals:
            _measure_rates(plan, report, stage)
        names = (OURS, BARE, OPENENV)
        if "memory" in plan.parts:
            _say("memory of idle sessions")
            counts = {contender(name): IDLE_SESSIONS[name] for name in names}
            report.memory = measure_memory(counts, rounds=plan.rounds, stage=stage)
        if "imports" in plan.parts:
            _say("imports")
            rounds = max(plan.rounds, plan.effort.pairs)
            report.imports = measure_imports(
                [footprint(name) for name in names], rounds=rounds, stage=stage
            )
        if "size" in plan.parts:
            report.sizes = measure_sizes([footprint(name) for name in names], stage=stage)
        if CONTAINERS in plan.parts:
            _say("containers")
            report.image = measure_image(plan.image)
            report.life = measure_life(plan.image, rounds=plan.rounds)
            report.launches = measure_launches(
                (OURS, OPENENV), plan.image, starts=STARTS, rounds=plan.rounds, stage=stage
            )
    return report


def prove(
    first: RunningContender, second: RunningContender, *, levels: Sequence[int], effort: Effort
) -> list[Proof]:
    """Prove that two identical programs measure alike; raise `TooNoisyError` where they don't."""
    proof = []
    for level in levels:
        failed: list[float] = []
        while True:
            comparison = compare_steps(first, second, sessions=level, effort=effort)
            _say_ratio(comparison)
            if abs(comparison.rate_ratio - 1) <= PROOF_TOLERANCE:
                break
            failed.append(comparison.rate_ratio)
            if len(failed) == PROOF_ATTEMPTS:
                raise TooNoisyError(
                    f"two identical programs at {level} sessions read "
                    f"{comparison.rate_ratio:.2f}, not 1.00 ± {PROOF_TOLERANCE:g}: this machine "
                    "is too noisy now, try again later"
                )
        proof.append(Proof(comparison, tuple(failed)))
        first.open(0)
        second.open(0)
    return proof


def check_frames(bare: RunningContender, ours: RunningContender) -> None:
    """Check that the limit echoes the same frames as our service, to the byte."""
    limit, service = bare.probe(bare.url), bare.probe(ours.url)
    if limit != service:
        raise FramesDifferError(f"the limit's frames {limit} are not the service's {service}")


def _measure_rates(plan: Plan, report: Report, stage: Path) -> None:
    names = [OURS, *plan.rivals]
    if plan.prove:
        names += [name for name in (BARE, TWIN) if name not in names]
    with _running(names, stage) as running:
        if BARE in running:
            check_frames(running[BARE], running[OURS])
        if plan.prove:
            report.proof = prove(
                running[BARE], running[TWIN], levels=plan.levels, effort=plan.effort
            )
        ours = running[OURS]
        for level in plan.levels:
            for part, rival in (("limit", BARE), ("openenv", OPENENV)):
                if part in plan.parts:
                    comparison = compare_steps(
                        ours, running[rival], sessions=level, effort=plan.effort
                    )
                    _say_ratio(comparison)
                    report.steps.append(comparison)
                    running[rival].open(0)
        if "cycle" in plan.parts:
            for rival in plan.rivals:
                comparison = compare_cycles(
                    ours, running[rival], concurrency=CYCLES_AT_ONCE, effort=plan.effort
                )
                _say_ratio(comparison)
                report.cycles.append(comparison)


@contextlib.contextmanager
def _running(names: Sequence[str], stage: Path) -> Iterator[dict[str, RunningContender]]:
    """Start all contenders before anything is measured: a start would disturb a pair."""
    with contextlib.ExitStack() as stack:
        running = {}
        for name in names:
            _say(f"starting {name}")
            running[name] = stack.enter_context(RunningContender(contender(name), stage=stage))
        yield running


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only",
        action="append",
        choices=(*PARTS, CONTAINERS),
        help=f"measure this part; may be given more than once (default: all but {CONTAINERS})",
    )
    parser.add_argument(
        "--image",
        default="echo-env:latest",
        help=f"Echo's image, for {CONTAINERS} (default: %(default)s)",
    )
    parser.add_argument(
        "--sessions",
        default="1,64,512",
        type=lambda text: tuple(int(number) for number in text.split(",")),
        help="numbers of concurrent sessions (default: %(default)s)",
    )
    parser.add_argument(
        "--pairs", type=int, help="pairs for each comparison (default: 7, quick: 5)"
    )
    parser.add_argument("--quick", action="store_true", help="fewer and shorter measurements")
    parser.add_argument(
        "--skip-proof", action="store_true", help="don't first measure two identical programs"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser.parse_args(argv)


def _plan(options: argparse.Namespace) -> Plan:
    quick = options.quick
    pairs = options.pairs or (5 if quick else 7)
    return Plan(
        parts=frozenset(options.only or PARTS),
        levels=options.sessions,
        effort=Effort(pairs=pairs, block_s=0.1 if quick else 0.25),
        rounds=1 if quick else 3,
        prove=not options.skip_proof,
        image=options.image,
    )


def _raise_file_limit() -> None:
    """Let the programs, which inherit it, open thousands of sockets."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if most == resource.RLIM_INFINITY else min(OPEN_FILES, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _leave(number: int, frame: FrameType | None) -> None:
    """Unwind, which ends every program."""
    raise KeyboardInterrupt


def _say_ratio(comparison: Comparison) -> None:
    _say(
        f"{comparison.first} ÷ {comparison.second}, {comparison.sessions} at a time: "
        f"rate {comparison.rate_ratio:.3f}, CPU {comparison.cpu_ratio:.3f} "
        f"(pairs {min(comparison.rate_ratios):.2f}…{max(comparison.rate_ratios):.2f})"
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
