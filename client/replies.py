"""The replies that are still to come: one future for each request, in order, each with its time.

Replies carry no names; the oldest request gets the next one. A future that is done already (its
caller was cancelled, or its time was up) keeps its place and drops its reply.

One timer serves them all. A timer that is set and cancelled for every request costs more than the
rest of its bookkeeping, and nearly every request is answered long before its time; so a request
only notes when it is due, and the timer, when it fires, looks whether one really is.
"""

import asyncio
import math
from collections import deque

from aioenv import RequestTimeout

__all__ = ["PendingReplies"]


_NEVER = math.inf

# A request without its reply: who waits, for what, how long in seconds, and until when. A plain
# tuple, because one is made for every step.
_Pending = tuple["asyncio.Future[bytes]", str, float, float]


class PendingReplies:
    """Hands each reply to the request that it answers.

    Args:
        loop: the event loop of whoever waits.

    Attributes:
        pending: the requests without a reply, the oldest first; each begins with its future.
    """

    __slots__ = ("_loop", "_next_look_at", "_timer", "pending")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.pending: deque[_Pending] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._next_look_at = _NEVER

    @property
    def is_awaited(self) -> bool:
        """Whether somebody still waits for the newest request's reply."""
        return bool(self.pending) and not self.pending[-1][0].done()

    def expect(self, operation: str, limit_s: float | None) -> "asyncio.Future[bytes]":
        """Return the future of a request that is about to be sent.

        Args:
            operation: what is asked, for the error.
            limit_s: how long to wait before it raises `RequestTimeout`, in seconds, if ever.
        """
        waiter = self._loop.create_future()
        due_at = _NEVER if limit_s is None else self._loop.time() + limit_s
        if due_at < self._next_look_at:
            self._set(due_at)
        self.pending.append((waiter, operation, limit_s or 0.0, due_at))
        return waiter

    def fail(self, error: Exception) -> None:
        """Have every request raise an error; no reply is expected any more."""
        pending, self.pending = self.pending, deque()
        for waiter, *_ in pending:
            if not waiter.done():
                waiter.set_exception(error)
        self._set(_NEVER)

    def _set(self, due_at: float) -> None:
        """Look next at a time, in place of another that was set."""
        if self._timer is not None:
            self._timer.cancel()
        self._next_look_at = due_at
        self._timer = self._loop.call_at(due_at, self._look) if due_at < _NEVER else None

    def _look(self) -> None:
        """Fail what is late; wait on for what is not; rest when nobody waits."""
        now = self._loop.time()
        next_due_at = _NEVER
        for waiter, operation, limit_s, due_at in self.pending:
            if waiter.done():
                continue
            if due_at <= now:
                waiter.set_exception(RequestTimeout(operation, limit_s))
            else:
                next_due_at = min(next_due_at, due_at)
        self._set(next_due_at)
