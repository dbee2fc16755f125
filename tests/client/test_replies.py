"""The pending replies: one timer for all of them, at the earliest time that one is due."""

import asyncio

import pytest

from aioenv import RequestTimeout
from aioenv.client.replies import PendingReplies

FAR_S, NEAR_S = 1000.0, 0.01


async def test_one_timer_serves_all() -> None:
    """A request that is due later than another sets no timer of its own."""
    replies = PendingReplies(asyncio.get_running_loop())
    waiters = [replies.expect("step", FAR_S)]
    timer = replies._timer
    assert timer is not None
    waiters += [replies.expect("step", limit_s) for limit_s in (FAR_S + 1, None)]
    assert replies._timer is timer
    replies.fail(LookupError("over"))
    assert timer.cancelled()
    assert replies._timer is None
    outcomes = await asyncio.gather(*waiters, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [LookupError] * 3


async def test_a_request_with_less_time_is_not_late() -> None:
    """The timer is brought forward for whoever is due earlier, and set again for the rest."""
    replies = PendingReplies(asyncio.get_running_loop())
    patient = replies.expect("reset", FAR_S)
    hasty = replies.expect("step", NEAR_S)
    with pytest.raises(RequestTimeout, match=r"no reply to step within 0\.01 s"):
        await hasty
    assert not patient.done()
    assert replies._timer is not None
    replies.fail(LookupError("over"))
    with pytest.raises(LookupError):
        await patient


async def test_without_a_limit_there_is_no_timer() -> None:
    """Whoever waits for ever needs none; nor do those whose replies came, once it has fired."""
    replies = PendingReplies(asyncio.get_running_loop())
    replies.expect("step", None).cancel()
    assert replies._timer is None
    replies.expect("step", FAR_S).set_result(b"{}")
    replies._look()
    assert replies._timer is None
