"""The session pool by itself: its bound, its queue, its figures."""

import asyncio
import itertools
from typing import Any

import pytest
from attrs import define
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from aioenv import CapacityReached, Closed
from aioenv.service import PoolStatistics, SessionPool, Slot
from tests.conftest import eventually

FOREVER_S = 1e6


async def waiting(pool: SessionPool, wait_s: float = FOREVER_S) -> "asyncio.Task[Slot]":
    """Start to wait for a slot, and return once the queue has it."""
    before = pool.statistics().waiting
    task = asyncio.create_task(pool.acquire(wait_s=wait_s))
    await eventually(lambda: pool.statistics().waiting > before)
    return task


def test_a_pool_without_slots_is_refused() -> None:
    """A limit below one is an error that names it."""
    with pytest.raises(ValueError, match=r"^the limit of a pool is at least 1, not 0$"):
        SessionPool(0)


async def test_acquire_gives_out_as_many_slots_as_the_limit_says() -> None:
    """The limit can be reached and not passed; the refusal tells both figures."""
    pool = SessionPool(2)
    slots = [await pool.acquire(), pool.acquire_nowait()]
    with pytest.raises(CapacityReached) as refusal:
        await pool.acquire()
    assert (refusal.value.active, refusal.value.limit) == (2, 2)
    with pytest.raises(CapacityReached, match="2 of 2 sessions are in use"):
        pool.acquire_nowait()
    assert [slot.is_held for slot in slots] == [True, True]


async def test_a_released_slot_is_free_at_once() -> None:
    """What one gives back, the next may take without a turn of the loop in between."""
    pool = SessionPool(1)
    for _ in range(3):
        pool.acquire_nowait().release()
    assert pool.statistics() == PoolStatistics(
        active=0, waiting=0, limit=1, peak=1, acquired=3, refused=0
    )


async def test_a_slot_is_released_once() -> None:
    """A slot is dead after its release, and says so."""
    pool = SessionPool(1)
    slot = pool.acquire_nowait()
    assert repr(slot) == "<Slot held>"
    slot.release()
    assert repr(slot) == "<Slot released>"
    assert not slot.is_held
    with pytest.raises(Closed, match=r"^the slot is closed$"):
        slot.release()
    with pytest.raises(Closed, match=r"^the slot is closed$"), slot:
        pass
    assert pool.statistics().active == 0


async def test_a_slot_is_a_context_manager() -> None:
    """The end of the block releases it, whatever happened inside."""
    pool = SessionPool(1)
    with pytest.raises(ZeroDivisionError), await pool.acquire():
        1 / 0  # noqa: B018
    with pool.acquire_nowait() as slot:
        slot.release()
    assert pool.statistics().active == 0


async def test_the_queue_is_first_come_first_served() -> None:
    """Released slots go to the waiters in the order in which they came."""
    pool = SessionPool(2)
    held = [pool.acquire_nowait(), pool.acquire_nowait()]
    waiters = [await waiting(pool) for _ in range(5)]
    for index, waiter in enumerate(waiters):
        held.pop(0).release()
        held.append(await waiter)
        assert [task.done() for task in waiters] == [number <= index for number in range(5)]
        assert pool.statistics().active == 2
    for slot in held:
        slot.release()


async def test_a_newcomer_cannot_overtake_the_queue() -> None:
    """A slot that is on its way to a waiter is not free for whoever asks in between."""
    pool = SessionPool(1)
    slot = pool.acquire_nowait()
    waiter = await waiting(pool)
    slot.release()
    assert not waiter.done()
    with pytest.raises(CapacityReached):
        pool.acquire_nowait()
    (await waiter).release()


async def test_a_cancelled_waiter_leaves_the_queue() -> None:
    """The slot goes to the next, and the cancelled one is not counted any more."""
    pool = SessionPool(1)
    slot = pool.acquire_nowait()
    first, second = await waiting(pool), await waiting(pool)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert pool.statistics().waiting == 1
    slot.release()
    (await second).release()
    assert pool.statistics().active == 0


async def test_a_waiter_cancelled_with_its_slot_on_the_way_passes_it_on() -> None:
    """A cancellation in the very turn of the release loses no slot."""
    pool = SessionPool(1)
    slot = pool.acquire_nowait()
    first, second = await waiting(pool), await waiting(pool)
    slot.release()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    (await second).release()
    assert pool.statistics().active == 0


async def test_a_waiter_cancelled_before_the_release_is_passed_over() -> None:
    """The release in the very turn of the cancellation goes to the next."""
    pool = SessionPool(1)
    slot = pool.acquire_nowait()
    first, second = await waiting(pool), await waiting(pool)
    first.cancel()
    slot.release()
    assert repr(pool) == "<SessionPool active=1 waiting=0 limit=1>"
    with pytest.raises(asyncio.CancelledError):
        await first
    (await second).release()


async def test_impatience_is_refused_with_the_figures() -> None:
    """A wait that is over is a refusal as at once, not a bare time-out."""
    pool = SessionPool(1)
    slot = pool.acquire_nowait()
    with pytest.raises(CapacityReached) as refusal:
        await pool.acquire(wait_s=0.001)
    assert (refusal.value.active, refusal.value.limit) == (1, 1)
    assert refusal.value.__cause__ is None
    assert pool.statistics().waiting == 0
    assert pool.statistics().refused == 1
    slot.release()


def test_a_slot_that_comes_as_patience_ends_is_taken() -> None:
    """Nobody is refused in the very turn that brings the slot, nor is the next preferred."""
    loop = SteeredLoop()
    pool = SessionPool(1)
    slot = pool.acquire_nowait()
    first = loop.create_task(pool.acquire(wait_s=1.0))
    second = loop.create_task(pool.acquire(wait_s=9.0))
    loop.run_until_complete(asyncio.sleep(0))
    loop.call_soon(slot.release)  # runs before the timer of the same turn
    loop.now += 2.0
    loop.run_until_complete(first).release()
    assert loop.run_until_complete(second).is_held
    assert pool.statistics().refused == 0
    loop.close()


def test_a_slot_that_becomes_free_as_patience_ends_is_taken() -> None:
    """Nobody is refused while a slot is free, not even in the turn after the time-out."""
    loop = SteeredLoop()
    pool = SessionPool(1)
    slot = pool.acquire_nowait()
    waiter = loop.create_task(pool.acquire(wait_s=1.0))
    loop.run_until_complete(asyncio.sleep(0))
    loop.call_at(1.5, slot.release)  # runs after the time-out of the same turn
    loop.now += 2.0
    assert loop.run_until_complete(waiter).is_held
    assert pool.statistics().refused == 0
    loop.close()


@pytest.mark.parametrize("wait_s", [0.0, -1.0])
async def test_no_wait_is_refused_at_once(wait_s: float) -> None:
    """Without time to wait nobody enters the queue."""
    pool = SessionPool(1)
    slot = pool.acquire_nowait()
    acquiring = pool.acquire(wait_s=wait_s)
    with pytest.raises(CapacityReached):
        acquiring.send(None)
    slot.release()


async def test_the_queue_has_a_bound() -> None:
    """Whoever comes to a full queue is refused at once; those in it keep their places."""
    pool = SessionPool(1, max_waiting=2)
    slot = pool.acquire_nowait()
    first, second = await waiting(pool), await waiting(pool)
    with pytest.raises(CapacityReached):
        await pool.acquire(wait_s=FOREVER_S)
    slot.release()
    (await first).release()
    (await second).release()


async def test_closing_refuses_the_queue_and_newcomers() -> None:
    """Waiters and newcomers hear that the pool is closed; a slot in use stays valid."""
    pool = SessionPool(1)
    slot = pool.acquire_nowait()
    waiter = await waiting(pool)
    pool.close()
    pool.close()
    assert pool.is_closed
    for acquiring in (waiter, pool.acquire(), pool.acquire(wait_s=FOREVER_S)):
        with pytest.raises(Closed, match=r"^the pool is closed$"):
            await acquiring
    with pytest.raises(Closed, match=r"^the pool is closed$"):
        pool.acquire_nowait()
    assert slot.is_held
    slot.release()
    assert pool.statistics().active == 0


async def test_a_waiter_cancelled_as_the_pool_closes_is_only_cancelled() -> None:
    """The refusal that nobody receives is not reported to the event loop."""
    pool = SessionPool(1)
    pool.acquire_nowait()
    waiter = await waiting(pool)
    pool.close()
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert pool.statistics().waiting == 0


async def test_a_slot_on_its_way_survives_the_closing() -> None:
    """A waiter whose slot was given before the pool closed gets it."""
    pool = SessionPool(1)
    slot = pool.acquire_nowait()
    waiter = await waiting(pool)
    slot.release()
    pool.close()
    (await waiter).release()
    assert pool.statistics().active == 0


async def test_wait_empty_waits_for_the_last_slot() -> None:
    """Everybody who waits for an empty pool is told; an empty one is not waited for."""
    pool = SessionPool(2)
    await pool.wait_empty()
    slots = [pool.acquire_nowait(), pool.acquire_nowait()]
    tasks = [asyncio.create_task(pool.wait_empty()) for _ in range(2)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    slots[0].release()
    await asyncio.sleep(0)
    assert not tasks[1].done()
    slots[1].release()
    await tasks[1]
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]


# Interleavings


class SteeredLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock is set by hand."""

    now = 0.0

    def time(self) -> float:
        return self.now


@define(eq=False)
class Waiter:
    """Somebody who asked for a slot, and what came of it."""

    number: int
    task: "asyncio.Task[Slot]"
    is_cancelled: bool = False


class PoolMachine(RuleBasedStateMachine):
    """Any interleaving of what a pool's users do, with and without turns of the loop between."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = SteeredLoop()
        self.pool = SessionPool(2, max_waiting=4)
        self.asked: list[Waiter] = []
        self.held: list[Slot] = []
        self.is_settled = True
        self.numbers = itertools.count()
        self.granted_up_to = -1

    # What its users do

    @rule(wait_s=st.sampled_from([0.0, 1.0, 2.0, 5.0]))
    def acquire(self, wait_s: float) -> None:
        """Somebody asks for a slot."""
        task = self.loop.create_task(self.pool.acquire(wait_s=wait_s))
        self.asked.append(Waiter(next(self.numbers), task))
        self.is_settled = False

    @rule()
    def acquire_nowait(self) -> None:
        """Somebody takes a slot, or hears at once that there is none."""
        statistics = self.pool.statistics()
        if self.pool.is_closed:
            with pytest.raises(Closed):
                self.pool.acquire_nowait()
        elif statistics.active == statistics.limit:
            with pytest.raises(CapacityReached):
                self.pool.acquire_nowait()
        else:
            self.held.append(self.pool.acquire_nowait())

    @precondition(lambda self: self.held)
    @rule(choice=st.randoms(use_true_random=False))
    def release(self, choice: Any) -> None:
        """Somebody gives a slot back."""
        self.held.pop(choice.randrange(len(self.held))).release()
        self.is_settled = False

    @precondition(lambda self: self.held)
    @rule(seconds=st.sampled_from([0.0, 1.0, 3.0]))
    def release_in_the_next_turn(self, seconds: float) -> None:
        """Somebody gives a slot back in the turn in which somebody else's patience may end."""
        self.loop.call_soon(self.held.pop().release)
        self.loop.now += seconds
        self.is_settled = False

    @precondition(lambda self: self.asked)
    @rule(choice=st.randoms(use_true_random=False))
    def cancel(self, choice: Any) -> None:
        """Somebody who waits is cancelled."""
        waiter = choice.choice(self.asked)
        waiter.is_cancelled = True
        waiter.task.cancel()
        self.is_settled = False

    @rule(seconds=st.sampled_from([0.5, 1.0, 3.0]))
    def pass_time(self, seconds: float) -> None:
        """Move the clock on, which may end somebody's patience."""
        self.loop.now += seconds
        self.is_settled = False

    @rule()
    def one_turn(self) -> None:
        """Have the event loop turn once."""
        self.loop.run_until_complete(asyncio.sleep(0))

    @rule()
    def settle(self) -> None:
        """Have the event loop turn until nothing moves any more."""
        for _ in range(8):
            self.loop.run_until_complete(asyncio.sleep(0))
        self._take_stock()
        self.is_settled = True

    @precondition(lambda self: len(self.asked) > 3)
    @rule()
    def close(self) -> None:
        """Close the pool."""
        self.pool.close()
        self.is_settled = False

    # What holds

    @invariant()
    def never_more_than_the_limit(self) -> None:
        """Check that the figures are within the limit."""
        statistics = self.pool.statistics()
        assert len(self.held) <= statistics.active <= statistics.peak <= statistics.limit

    @invariant()
    def nothing_lost(self) -> None:
        """Check that every quiet slot is held or free, and nobody waits beside a free one."""
        if not self.is_settled:
            return
        statistics = self.pool.statistics()
        assert statistics.active == len(self.held)
        assert statistics.waiting == len(self.asked)
        assert not statistics.waiting or statistics.active == statistics.limit
        assert not (statistics.waiting and self.pool.is_closed)

    def teardown(self) -> None:
        """In the end, whatever happened before, every slot comes back."""
        self.settle()
        for waiter in self.asked:
            waiter.is_cancelled = True
            waiter.task.cancel()
        while self.held:
            self.held.pop().release()
            self.settle()
        self.settle()
        assert (self.pool.statistics().active, self.pool.statistics().waiting) == (0, 0)
        self.loop.run_until_complete(self.pool.wait_empty())
        self.loop.close()

    def _take_stock(self) -> None:
        """Collect what came of those who asked; none of them was overtaken."""
        for waiter in [waiter for waiter in self.asked if waiter.task.done()]:
            self.asked.remove(waiter)
            if waiter.task.cancelled():
                assert waiter.is_cancelled
            elif waiter.task.exception() is None:
                self.held.append(waiter.task.result())
                assert waiter.number > self.granted_up_to, "somebody was overtaken"
                self.granted_up_to = waiter.number
            else:
                refusal = waiter.task.exception()
                assert isinstance(refusal, CapacityReached | Closed)
                assert isinstance(refusal, Closed) or refusal.active == refusal.limit


PoolMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestInterleavings = PoolMachine.TestCase
