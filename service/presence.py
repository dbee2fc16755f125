"""Presence: whether the client of an HTTP request still waits for the answer.

aiohttp runs a handler to its end although nobody is left to hear of it. That suits what must be
done anyway; what only holds a place or a slot for that client ends with the connection instead.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from aioenv.pulse import Pulse

__all__ = ["is_gone", "while_connected"]


@contextmanager
def while_connected(request: web.Request, pulse: Pulse) -> Iterator[None]:
    """Cancel what the current task does in this block once the request's connection is lost.

    Args:
        request: the request that this task answers.
        pulse: looks after the connection, as often as it beats.

    Raises:
        ConnectionResetError: the client is gone.
    """
    watch = _Watch(request)
    pulse.add(watch)
    try:
        yield
    except asyncio.CancelledError:
        if watch.has_cancelled and not watch.task.uncancel():
            raise ConnectionResetError("the client is gone") from None
        raise
    finally:
        pulse.discard(watch)


def is_gone(request: web.Request) -> bool:
    """Whether the connection of a request is lost."""
    return request.transport is None or request.transport.is_closing()


class _Watch:
    """Looks whether a client is there, and cancels the task that works for it, once."""

    def __init__(self, request: web.Request) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.task = task
        self.has_cancelled = False
        self._request = request

    def beat(self, now: float) -> None:
        if not self.has_cancelled and is_gone(self._request):
            self.has_cancelled = True
            self.task.cancel()
