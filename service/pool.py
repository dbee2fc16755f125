"""The session pool: at most so many sessions at a time, and a fair queue for the rest.

The invariant, in any interleaving of acquires, releases, time-outs and cancellations: every slot
is either free, or held by exactly one `Slot`, or on its way to exactly one waiter; nobody waits
while a slot is free. All bookkeeping is synchronous; nothing is awaited in the middle of it.
"""

import asyncio
from collections import deque
from types import TracebackType

from attrs import frozen

from aioenv import CapacityReached, Closed

__all__ = ["PoolStatistics", "Refusal", "SessionPool", "Slot"]


class Refusal(CapacityReached):
    """Somebody gets no slot.

    Attributes:
        reason: ``full`` if there was none, and no wish to wait; ``queue_full`` if there was no
            room to wait either; ``waited`` if none became free in time.
    """

    def __init__(self, active: int, limit: int, reason: str) -> None:
        super().__init__(active, limit)
        self.reason = reason


@frozen
class PoolStatistics:
    """A pool's figures at one moment.

    Attributes:
        active: slots in use.
        waiting: those in the queue.
        limit: the most slots that may be in use.
        peak: the most that ever were.
        acquired: slots given out so far.
        refused: requests turned away so far, for want of a slot or of patience.
    """

    active: int
    waiting: int
    limit: int
    peak: int
    acquired: int
    refused: int


class Slot:
    """The right to one session. Release it once; after that it is dead and says so."""

    __slots__ = ("_pool",)

    def __init__(self, pool: "SessionPool") -> None:
        self._pool: SessionPool | None = pool

    def __repr__(self) -> str:
        return f"<Slot {'released' if self._pool is None else 'held'}>"

    def __enter__(self) -> "Slot":
        if self._pool is None:
            raise Closed("slot")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self.release()

    @property
    def is_held(self) -> bool:
        """Whether it has not been released yet."""
        return self._pool is not None

    def release(self) -> None:
        """Give the slot back; the first in the queue gets it. Never blocks.

        Raises:
            Closed: it was released before.
        """
        pool, self._pool = self._pool, None
        if pool is None:
            raise Closed("slot")
        pool._give_back()


class SessionPool:
    """Gives out at most `limit` slots at a time, first come, first served.

    Args:
        limit: the most slots that may be in use.
        max_waiting: the most that may queue; whoever comes then is refused at once.
    """

    def __init__(self, limit: int, *, max_waiting: int = 1024) -> None:
        if limit < 1:
            raise ValueError(f"the limit of a pool is at least 1, not {limit}")
        self.limit = limit
        self.max_waiting = max_waiting
        self._active = 0
        self._peak = 0
        self._acquired = 0
        self._refused = 0
        self._waiters: deque[asyncio.Future[Slot]] = deque()
        self._closed = False
        self._empty: asyncio.Event | None = None

    def __repr__(self) -> str:
        return (
            f"<SessionPool active={self._active} waiting={len(self._waiters)} limit={self.limit}>"
        )

    # Public attributes

    @property
    def is_closed(self) -> bool:
        """Whether newcomers are refused."""
        return self._closed

    def statistics(self) -> PoolStatistics:
        """Return the figures of this moment."""
        return PoolStatistics(
            active=self._active,
            waiting=len(self._waiters),
            limit=self.limit,
            peak=self._peak,
            acquired=self._acquired,
            refused=self._refused,
        )

    # Public methods

    def acquire_nowait(self) -> Slot:
        """Take a slot if one is free.

        Raises:
            CapacityReached: all are in use.
            Closed: the pool is closed.
        """
        return self._take("full")

    async def acquire(self, *, wait_s: float = 0.0) -> Slot:
        """Take a slot, waiting in the queue if need be.

        Cancelling it costs nothing: its place in the queue, or the slot that was already on its
        way, goes to the next.

        Args:
            wait_s: the longest wait, in seconds.

        Raises:
            CapacityReached: none became free in time, or the queue is full.
            Closed: the pool is closed, or was closed in the meantime.
        """
        if self._active < self.limit or self._closed or wait_s <= 0:
            return self.acquire_nowait()
        if len(self._waiters) >= self.max_waiting:
            raise self._refusal("queue_full")
        waiter: asyncio.Future[Slot] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(wait_s):
                return await waiter
        except TimeoutError:
            # A slot may have come, or become free, in the turn in which the patience ended.
            if _has_slot(waiter):
                return waiter.result()
            self._leave_queue(waiter)
        except BaseException:
            self._leave_queue(waiter)
            raise
        return self._take("waited")

    def close(self) -> None:
        """Refuse newcomers from now on, and everybody in the queue. Slots in use stay valid."""
        self._closed = True
        waiters, self._waiters = self._waiters, deque()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(Closed("pool"))

    async def wait_empty(self) -> None:
        """Wait until no slot is in use; cancelling it costs nothing."""
        if self._active:
            if self._empty is None:
                self._empty = asyncio.Event()
            await self._empty.wait()

    # Private methods

    def _take(self, reason: str) -> Slot:
        """Take a slot if one is free; else refuse for a reason."""
        if self._closed:
            raise Closed("pool")
        if self._active >= self.limit:
            raise self._refusal(reason)
        self._active += 1
        return self._given_out()

    def _given_out(self) -> Slot:
        self._acquired += 1
        self._peak = max(self._peak, self._active)
        return Slot(self)

    def _give_back(self) -> None:
        """Pass a slot on to the first who still waits, or make it free."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(self._given_out())
                return
        self._active -= 1
        if not self._active and self._empty is not None:
            self._empty.set()
            self._empty = None

    def _leave_queue(self, waiter: "asyncio.Future[Slot]") -> None:
        """Undo a wait that ended without its slot, even where the slot was already on its way."""
        if _has_slot(waiter):
            waiter.result().release()
        elif waiter in self._waiters:
            self._waiters.remove(waiter)

    def _refusal(self, reason: str) -> Refusal:
        self._refused += 1
        return Refusal(self._active, self.limit, reason)


def _has_slot(waiter: "asyncio.Future[Slot]") -> bool:
    return waiter.done() and not waiter.cancelled() and waiter.exception() is None
