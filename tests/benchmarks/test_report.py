"""The benchmark's report: figures that agree with each other, and nothing left out."""

from benchmarks.containers import ImageSize, Launches, Life
from benchmarks.contender import Block
from benchmarks.lineup import BARE, OPENENV, OURS, TWIN
from benchmarks.pairs import Comparison, Pair
from benchmarks.report import Proof, Report


def comparison(first: str, second: str, *rates: tuple[int, int]) -> Comparison:
    """Make a comparison at 64 sessions of pairs with these rates, each over one second."""
    pairs = [Pair(Block(one, 1.0, 0.5, 0.25), Block(two, 1.0, 0.5, 0.25)) for one, two in rates]
    return Comparison(first, second, 64, tuple(pairs))


def row(report: Report, title: str) -> str:
    """Return a cell of the report's first table."""
    (cell,) = [
        line.split("|")[2].strip()
        for line in report.as_markdown().splitlines()
        if line.split("|")[1:2] == [f" {title} "]
    ]
    return cell


BESIDE_BARE = comparison(OURS, BARE, (900, 1000), (880, 1000), (890, 1000))
BESIDE_OPENENV = comparison(OURS, OPENENV, (500, 50), (510, 50), (520, 50))


def test_rates_agree_with_the_ratio_beside_them() -> None:
    """Our rates and times are of one comparison: the bare echo's, where there is one."""
    report = Report(pairs=3, steps=[BESIDE_BARE, BESIDE_OPENENV])
    assert row(report, f"**{OURS} ÷ the bare echo**") == "0.89"
    assert row(report, f"{OURS}: steps per second") == "890"
    assert row(report, f"{BARE}: steps per second") == "1,000"
    assert row(report, f"{OPENENV}: steps per second") == "50"
    assert row(report, f"{OURS}: CPU µs a step (client + server)") == "843 (281 + 562)"
    assert f"{OURS}'s own rates and times are those beside the bare echo" in report.as_markdown()
    report = Report(pairs=3, steps=[BESIDE_OPENENV])
    assert row(report, f"{OURS}: steps per second") == "510"
    assert "bare" not in report.as_markdown()


def test_attempts_that_failed_are_told() -> None:
    """A proof that took more than one attempt says what the others read."""
    alike = comparison(BARE, TWIN, (100, 100))
    title = "two identical programs"
    assert row(Report(pairs=1, proof=[Proof(alike)]), title) == "1.00"
    report = Report(pairs=1, proof=[Proof(alike, (1.071, 0.9))])
    assert row(report, title) == "1.00 (after 1.07, 0.90)"
    assert report.as_json()["proof"][0]["failed"] == [1.071, 0.9]


def test_what_the_image_promises_is_held_against_its_goals() -> None:
    """Its layers, its start and its end are goals, each by the median of its rounds."""
    report = Report(
        pairs=1,
        image=ImageSize("echo-env", 150_000_000, 91_000_000),
        life=Life((1.5, 9.0, 1.9), (0.4, 0.6, 0.5)),
        launches=[Launches(OURS, 16, (9.0,), (1.0,)), Launches(OPENENV, 16, (12.0,), (2.0,))],
    )
    assert [(goal.measured, goal.wanted, goal.met) for goal in report.goals()] == [
        (91.0, "≤ 90", False),
        (1.9, "≤ 2", True),
        (0.5, "≤ 1", True),
    ]
    assert "| from a container's start until it is healthy, s | ≤ 2 | 1.90 | met |" in (
        report.as_markdown()
    )
    assert report.as_json()["life"]["end_s"] == 0.5
