"""The backlog: who takes nothing is stuck, and a loop that was held up accuses nobody."""

from aioenv.service.backlog import Backlog


def test_a_client_that_takes_nothing_is_stuck_at_the_second_look() -> None:
    """The first look after the limit only raises a doubt."""
    backlog = Backlog(limit_s=2.0, now=10.0)
    looks = [backlog.is_stuck(now, 500) for now in (11.0, 12.0, 12.5)]
    assert looks == [False, False, True]


def test_a_loop_that_was_held_up_is_no_proof() -> None:
    """What is written between two looks speaks for the client, however late the first one is."""
    backlog = Backlog(limit_s=2.0, now=10.0)
    looks = [backlog.is_stuck(now, size) for now, size in ((11.0, 500), (99.0, 500), (99.5, 400))]
    assert looks == [False, False, False]
    assert [backlog.is_stuck(now, 400) for now in (101.0, 101.5, 102.0)] == [False, False, True]


def test_a_client_for_whom_nothing_waits_is_not_stuck() -> None:
    """It may be silent for as long as its own requests are under way."""
    backlog = Backlog(limit_s=2.0, now=10.0)
    assert not any(backlog.is_stuck(now, 0) for now in (20.0, 30.0, 40.0))
