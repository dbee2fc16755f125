"""Starting coroutines in place: `start`, `finish` and `finished` by themselves."""

import asyncio
import gc
import weakref
from typing import Any

import pytest

from aioenv.service.eager import Suspended, finish, finished, start


async def at_once(value: Any) -> Any:
    """Return without waiting."""
    return value


async def fail(error: BaseException) -> None:
    """Raise without waiting."""
    raise error


def suspended(call: Any) -> Suspended[Any]:
    """Start a coroutine that must suspend."""
    outcome = start(call)
    assert isinstance(outcome, Suspended)
    return outcome


@pytest.mark.parametrize("value", [None, 7, ValueError("as a value"), StopIteration(3)])
async def test_what_finishes_is_returned_at_once(value: Any) -> None:
    """Any value at all may be a result."""
    assert start(at_once(value)) is value
    assert await finished(start(at_once(value))) is value


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), GeneratorExit()])
async def test_what_fails_raises_at_once(error: BaseException) -> None:
    """The exception is the coroutine's own."""
    with pytest.raises(type(error)) as caught:
        start(fail(error))
    assert caught.value is error


async def test_what_suspends_is_finished_where_it_was_left() -> None:
    """Each suspension is waited for, be it on a future or a bare turn of the loop."""
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    steps = []

    async def work() -> int:
        steps.append("begun")
        await asyncio.sleep(0)
        steps.append("turned")
        value = await future
        steps.append("heard")
        await asyncio.sleep(0)
        return value + 1

    outcome = suspended(work())
    assert steps == ["begun"]
    asyncio.get_running_loop().call_soon(future.set_result, 1)
    assert await finished(outcome) == 2
    assert steps == ["begun", "turned", "heard"]


async def test_what_fails_later_raises_where_it_is_finished() -> None:
    """With the traceback of the coroutine, and no exception chained to it by us."""

    async def work() -> None:
        await asyncio.sleep(0)
        raise ValueError("later")

    with pytest.raises(ValueError, match=r"^later$") as caught:
        await finish(suspended(work()))
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert caught.traceback[-1].name == "work"


async def test_a_future_s_error_arrives_inside() -> None:
    """What the awaited raises can be handled by the coroutine."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def work() -> str:
        try:
            await future
        except ValueError as error:
            return f"handled {error}"
        return "nothing came"

    outcome = suspended(work())
    future.set_exception(ValueError("it"))
    assert await finish(outcome) == "handled it"


async def test_cancelling_arrives_inside() -> None:
    """The coroutine may clean up, even wait while it does, and the task is cancelled then."""
    cleaned = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    async def run() -> None:
        await finish(suspended(work()))

    task = asyncio.create_task(run())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (cleaned, task.cancelled()) == ([True], True)


async def test_a_cancellation_may_be_defied() -> None:
    """A coroutine that swallows it returns its value, as anywhere in asyncio."""

    async def work() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
        return "still here"

    async def run() -> str:
        return await finish(suspended(work()))

    task = asyncio.create_task(run())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "still here"


@pytest.mark.parametrize("is_defied", [False, True])
async def test_an_exception_may_be_thrown_before_it_is_awaited(is_defied: bool) -> None:
    """`thrown` arrives where the coroutine waits; what it does with it is its own affair."""

    async def work() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if not is_defied:
                raise
        await asyncio.sleep(0)
        return "defied"

    error = asyncio.CancelledError()
    if is_defied:
        assert await finish(suspended(work()), thrown=error) == "defied"
    else:
        with pytest.raises(asyncio.CancelledError):
            await finish(suspended(work()), thrown=error)


async def test_a_thrown_exception_may_end_it_at_once() -> None:
    """A coroutine that returns on it has its value returned."""

    async def work() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "at once"
        return "never"

    outcome = suspended(work())
    assert await finish(outcome, thrown=asyncio.CancelledError()) == "at once"


async def test_being_dropped_closes_the_coroutine() -> None:
    """A task that is thrown away runs the coroutine's own clean-up."""
    cleaned = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)

    runner = finish(suspended(work()))
    runner.send(None)
    runner.close()
    assert cleaned == [True]


async def test_one_task_runs_it_from_its_beginning_to_its_end() -> None:
    """The current task is the same before and after the suspension."""

    async def work() -> bool:
        before = asyncio.current_task()
        await asyncio.sleep(0)
        return asyncio.current_task() is before is not None

    assert await finished(start(work()))


async def test_nothing_is_kept_alive_afterwards() -> None:
    """A coroutine's locals go with its end; no reference cycle keeps them."""

    class Thing:
        pass

    async def work() -> "weakref.ref[Thing]":
        thing = Thing()
        await asyncio.sleep(0)
        return weakref.ref(thing)

    gc.disable()
    try:
        reference = await finished(start(work()))
        assert reference() is None
    finally:
        gc.enable()


async def test_a_cancellation_reaches_what_is_waited_for() -> None:
    """One that is thrown before anything is awaited cancels children, as in any task."""
    children: list[asyncio.Task[bool]] = []

    async def work() -> None:
        loop = asyncio.get_running_loop()
        children.extend(loop.create_task(asyncio.Event().wait()) for _ in range(2))
        await asyncio.gather(*children)

    async def run() -> None:
        await finish(suspended(work()), thrown=asyncio.CancelledError())

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(run())
    assert [child.cancelled() for child in children] == [True, True]
