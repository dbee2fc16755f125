"""Starting a coroutine in place, and noticing whether it suspends.

Most steps finish without waiting for anything. A task for each of them would cost more than the
step; so would a time-out or a watcher that is never needed. Here a coroutine runs up to its first
suspension in the task that called it, and only what suspends is given the rest.

It stays in that one task for its whole life, so that ``asyncio.timeout()``, ``TaskGroup`` and
``current_task()`` inside it mean what they always do. (A coroutine that is begun in one task and
continued in another, as a hand-made eager task would do it before Python 3.12, breaks all three.)
"""

import asyncio
import types
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

__all__ = ["Suspended", "finish", "finished", "start"]

T = TypeVar("T")


class Suspended(Generic[T]):
    """A coroutine that waits for something. Await `finish` on it at once, in the same task."""

    __slots__ = ("call", "waits_for")

    def __init__(self, call: Coroutine[Any, Any, T], waits_for: Any) -> None:
        self.call = call
        self.waits_for = waits_for


def start(call: Coroutine[Any, Any, T]) -> T | Suspended[T]:
    """Run a coroutine up to its first suspension.

    Args:
        call: a coroutine that was not started yet.

    Returns:
        Its result if it finished; otherwise what is left of it, to be given to `finish` before
        anything else is awaited.

    Raises:
        BaseException: whatever the coroutine raises.
    """
    try:
        waits_for = call.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    return Suspended(call, waits_for)


@types.coroutine
def finish(
    suspended: Suspended[T], *, thrown: BaseException | None = None
) -> Generator[Any, Any, T]:
    """Run the rest of a coroutine that was started in this task.

    Cancelling it cancels the coroutine, as awaiting it would.

    Args:
        suspended: what `start` returned.
        thrown: an exception, such as a cancellation, that came before this could be awaited; it
            is raised where the coroutine waits.
    """
    call, waits_for = suspended.call, suspended.waits_for
    is_cancelled = isinstance(thrown, asyncio.CancelledError) and waits_for is not None
    if is_cancelled and waits_for.cancel():
        thrown = None  # it comes from what is waited for, as in any task
    if thrown is not None:
        try:
            waits_for = call.throw(thrown)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
    while True:
        try:
            sent = yield waits_for
        except GeneratorExit:
            call.close()
            raise
        except BaseException as error:
            resume: Any = call.throw
            argument: Any = error
        else:
            resume, argument = call.send, sent
        try:
            waits_for = resume(argument)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]


async def finished(outcome: T | Suspended[T]) -> T:
    """Return what `start` returned, or run the rest of it."""
    if isinstance(outcome, Suspended):
        return await finish(outcome)
    return outcome
