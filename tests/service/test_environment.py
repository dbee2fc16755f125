"""What an author may rely on: threads, turns, and what asyncio means inside a method."""

import asyncio
import contextvars
import re
import threading
from functools import partial
from typing import Any

import pytest

from aioenv.service import Environment, EnvironmentMetadata, create_app
from tests.conftest import Serve, eventually
from tests.environments import (
    AsyncWorld,
    Census,
    Heard,
    MixedWorld,
    PlainWorld,
    Tally,
    Word,
    World,
    populate,
)
from tests.service.conftest import Connect

on_both_loops = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])

VARIABLE = contextvars.ContextVar("VARIABLE", default="unset")


# Threads


async def test_coroutines_run_on_the_event_loop(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """Constructor, methods, state and close of an asynchronous environment share its thread."""
    talk = await connect(await serve(populate(census, AsyncWorld)))
    await talk.ask({"type": "reset"})
    await talk.echoes()
    (world,) = census.alive
    await talk.tell({"type": "close"})
    assert await talk.ended() == 1000
    assert set(world.threads) == {threading.get_ident()}


async def test_plain_methods_run_off_the_event_loop(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """Only the state is read on the loop."""
    talk = await connect(await serve(populate(census, PlainWorld)))
    await talk.ask({"type": "reset"})
    await talk.echoes()
    (world,) = census.alive
    assert threading.get_ident() not in world.threads
    await talk.ask({"type": "state"})
    assert world.threads[-1] == threading.get_ident()


async def test_a_plain_step_holds_nobody_else_up(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """While one session's step blocks its thread, others go on."""
    served = await serve(populate(census, PlainWorld))
    blocked, other = await connect(served), await connect(served)
    await blocked.tell({"type": "step", "data": {"text": "hang"}})
    await eventually(lambda: census.hanging)
    await other.echoes()
    census.open_gate()
    assert (await blocked.hear())["type"] == "observation"


async def test_plain_steps_beyond_the_threads_wait(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """No more run at a time than there are threads, and each is run in the end."""
    served = await serve(populate(census, PlainWorld), worker_threads=2, max_stragglers=0)
    talks = [await connect(served) for _ in range(5)]
    await eventually(lambda: census.made == 5)
    for talk in talks:
        await talk.tell({"type": "step", "data": {"text": "hang"}})
    await eventually(lambda: census.hanging == 2)
    census.open_gate()
    for talk in talks:
        assert (await talk.hear())["type"] == "observation"


def _class(world: type[World]) -> Any:
    return world


def _partial(world: type[World]) -> Any:
    return partial(world)


def _function(world: type[World]) -> Any:
    return lambda: world()


@pytest.mark.parametrize("factory", [_class, _partial, _function])
async def test_an_environment_may_have_a_thread_of_its_own(
    serve: Serve, connect: Connect, census: Census, factory: Any
) -> None:
    """Constructor, methods and close share one thread that no other environment has."""
    served = await serve(factory(populate(census, PlainWorld, own_thread=True)))
    talks = [await connect(served) for _ in range(2)]
    for _ in range(5):
        for talk in talks:
            await talk.echoes()
    one, two = census.alive
    for talk in talks:
        await talk.tell({"type": "close"})
        assert await talk.ended() == 1000
    assert (len(set(one.threads)), len(set(two.threads))) == (1, 1)
    assert set(one.threads) != set(two.threads)
    assert threading.get_ident() not in {*one.threads, *two.threads}


async def test_a_thread_of_its_own_ends_with_the_session(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """Sessions that come and go leave no threads."""
    served = await serve(populate(census, PlainWorld, own_thread=True))
    before = threading.active_count()
    for _ in range(5):
        talk = await connect(served)
        await talk.echoes()
        await talk.tell({"type": "close"})
        await talk.ended()
    await eventually(lambda: threading.active_count() <= before)


async def test_what_a_function_makes_shares_the_threads_unless_it_wants_its_own(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """A factory's environment without a thread of its own leaves none behind either."""
    world = populate(census, PlainWorld)
    served = await serve(lambda: world(), worker_threads=1, max_stragglers=0)
    talks = [await connect(served) for _ in range(4)]
    for talk in talks:
        await talk.echoes()
    step_threads = {made.threads[-1] for made in census.alive}
    assert len(step_threads) == 1


async def test_bound_arguments_change_nothing_else(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """A partial of a class is made where the class would be, and keeps its name and metadata."""

    class Configured(AsyncWorld):
        """Has a level."""

        def __init__(self, level: int) -> None:
            asyncio.get_running_loop()
            super().__init__()
            self.level = level

    world: Any = populate(census, Configured, __doc__=Configured.__doc__)
    served = await serve(partial(partial(world), level=3))
    await (await connect(served)).echoes()
    assert served.service.name == "Configured"
    assert served.service.metadata() == EnvironmentMetadata("Configured", "Has a level.")


async def test_an_async_factory_may_make_it(serve: Serve, connect: Connect, census: Census) -> None:
    """It is awaited on the event loop, and may take its time."""
    world = populate(census, AsyncWorld)

    async def factory() -> World:
        await asyncio.sleep(0)
        return world()

    await (await connect(await serve(factory))).echoes()


# What asyncio means inside a step


class Thoughtful(AsyncWorld):
    """Its steps use what asyncio offers."""

    async def step(self, action: Word) -> Heard:
        return Heard(str(await getattr(self, f"_{action.text}")()))

    async def _timeout(self) -> str:
        try:
            async with asyncio.timeout(0.001):
                await self.census.hang()
        except TimeoutError:
            return "timed out"
        return "not timed out"

    async def _timeout_at_once(self) -> str:
        async with asyncio.timeout(60):  # noqa: ASYNC100  # that it ends at once is the point
            return "in time"

    async def _wait_for(self) -> str:
        return await asyncio.wait_for(asyncio.sleep(0, "waited"), 60)

    async def _group(self) -> list[int]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(asyncio.sleep(0, number)) for number in range(3)]
        return [task.result() for task in tasks]

    async def _failing_group(self) -> str:
        async def fail() -> None:
            raise ValueError("one of three")

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                await self.census.hang()
        except ExceptionGroup as group_error:
            return str(group_error.exceptions[0])
        return "no failure"

    async def _task(self) -> bool:
        before = asyncio.current_task()
        await asyncio.sleep(0)
        return before is not None and asyncio.current_task() is before

    async def _task_at_once(self) -> bool:
        return asyncio.current_task() is not None

    async def _cancelling(self) -> int:
        task = asyncio.current_task()
        assert task is not None
        await asyncio.sleep(0)
        return task.cancelling()

    async def _set_variable(self) -> str:
        before = VARIABLE.get()
        VARIABLE.set("set")
        return before

    async def _get_variable(self) -> str:
        await asyncio.sleep(0)
        return VARIABLE.get()

    async def _shield(self) -> str:
        return await asyncio.shield(asyncio.sleep(0, "shielded"))

    async def _thread(self) -> str:
        return await asyncio.to_thread(lambda: "from a thread")


@on_both_loops
@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("timeout", "timed out"),
        ("timeout_at_once", "in time"),
        ("wait_for", "waited"),
        ("group", "[0, 1, 2]"),
        ("failing_group", "one of three"),
        ("task", "True"),
        ("task_at_once", "True"),
        ("cancelling", "0"),
        ("shield", "shielded"),
        ("thread", "from a thread"),
    ],
)
async def test_asyncio_means_in_a_step_what_it_always_does(
    serve: Serve, connect: Connect, census: Census, text: str, answer: str
) -> None:
    """Time-outs, task groups and the current task work, over and over, within a time limit too."""
    talk = await connect(await serve(populate(census, Thoughtful), step_timeout_s=60))
    for _ in range(3):
        reply = await talk.say(text)
        assert reply["data"]["observation"]["text"] == answer


@on_both_loops
async def test_context_variables_last_as_long_as_the_session(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """What one step sets, the next of the same session sees, and nobody else."""
    served = await serve(populate(census, Thoughtful))
    one, two = await connect(served), await connect(served)
    assert (await one.say("set_variable"))["data"]["observation"]["text"] == "unset"
    assert (await one.say("get_variable"))["data"]["observation"]["text"] == "set"
    assert (await two.say("get_variable"))["data"]["observation"]["text"] == "unset"
    assert VARIABLE.get() == "unset"


@on_both_loops
async def test_a_plain_step_sees_the_context_of_its_session(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """A context variable that is set around the service is there in the worker thread."""

    class Curious(PlainWorld):
        def step(self, action: Word) -> Heard:
            return Heard(VARIABLE.get())

    token = VARIABLE.set("outside")
    try:
        served = await serve(populate(census, Curious))
        talk = await connect(served)
        assert (await talk.say("?"))["data"]["observation"]["text"] == "outside"
    finally:
        VARIABLE.reset(token)


@on_both_loops
async def test_a_step_may_use_the_service_s_loop_for_itself(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """Tasks that a step starts go on after it, as in any asyncio program."""
    done = asyncio.Event()

    class Starter(AsyncWorld):
        async def step(self, action: Word) -> Heard:
            self.task = asyncio.create_task(self._later())
            return Heard("started")

        async def _later(self) -> None:
            await asyncio.sleep(0)
            done.set()

    talk = await connect(await serve(populate(census, Starter)))
    await talk.say("go")
    await asyncio.wait_for(done.wait(), 20)


# Declaring one


async def test_an_instance_is_no_factory(census: Census) -> None:
    """The error says what to pass instead, and why."""
    world: Any = populate(census, AsyncWorld)()
    with pytest.raises(TypeError, match=r"^pass the environment's class, not an instance: Async"):
        create_app(world, Word, Heard)
    await world.close()


class Unfinished(Environment[Word, Heard, Tally]):
    """Its author has still to write `step` and `state`."""

    async def reset(self, **options: Any) -> Heard:
        return Heard("")


class Stateful(Unfinished):
    """Its state is a method, not a property."""

    async def step(self, action: Word) -> Heard:
        return Heard(action.text)

    def state(self) -> Tally:  # type: ignore[override]
        return Tally()


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        (Unfinished, "the environment Unfinished lacks what it must define: state, step"),
        (partial(Unfinished), "the environment Unfinished lacks what it must define"),
        (Stateful, "Stateful.state is a method; make it a property, with @property"),
    ],
)
def test_what_cannot_be_an_environment_is_told_at_once(environment: Any, words: str) -> None:
    """What is missing is said where the application is made, not to the first client."""
    with pytest.raises(TypeError, match=f"^{re.escape(words)}"):
        create_app(environment, Word, Heard, state=Tally)


def test_an_environment_must_have_its_methods() -> None:
    """A class without them cannot be made, as with any abstract class."""

    class Empty(Environment[Any, Any, Any]):
        pass

    with pytest.raises(TypeError, match="abstract method"):
        Empty()  # type: ignore[abstract]


def test_a_class_without_a_docstring_has_an_empty_description() -> None:
    """Metadata never fails."""

    class Silent(MixedWorld):
        pass

    Silent.__doc__ = None
    assert Silent.metadata() == EnvironmentMetadata("Silent", "")
