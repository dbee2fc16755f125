"""The service by itself: sessions opened and closed, and cancelled at every turn of doing so."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from aioenv import CapacityReached, Closed, Contract, EnvironmentFailed
from aioenv.service import Service, Session, Settings
from tests.conftest import DEADLINE_S, eventually
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

Make = Callable[..., Service]


@pytest.fixture
async def make(census: Census) -> AsyncIterator[Make]:
    """Make services, which are closed in the end with nothing left in use."""
    services: list[Service] = []

    def make_service(factory: Any, **settings: Any) -> Service:
        name = getattr(factory, "__name__", "factory")
        services.append(Service(factory, Contract(Word, Heard, Tally), name, Settings(**settings)))
        return services[-1]

    yield make_service
    census.open_gate()
    for service in services:
        await service.close()
    await eventually(lambda: not any(made.pool.statistics().active for made in services))


def _class(world: type[World]) -> Any:
    return world


def _function(world: type[World]) -> Any:
    return lambda: world()


def _coroutine(world: type[World]) -> Any:
    async def factory() -> World:
        await asyncio.sleep(0)
        return world()

    return factory


async def cancelled_at(turn: int, call: Callable[[], Awaitable[Any]]) -> bool:
    """Cancel a call after so many turns of the loop; tell whether it was still running."""

    async def run() -> Any:
        return await call()

    task = asyncio.create_task(run())
    for _ in range(turn):
        await asyncio.sleep(0)
    was_running = not task.done()
    task.cancel()
    await asyncio.wait([task])
    return was_running


@pytest.mark.parametrize("factory", [_class, _function, _coroutine])
@pytest.mark.parametrize("world", [AsyncWorld, PlainWorld, MixedWorld])
async def test_opening_can_be_cancelled_at_any_turn(
    make: Make, census: Census, world: type[World], factory: Any
) -> None:
    """No slot and no environment is lost, whenever it comes."""
    service = make(factory(populate(census, world)), max_concurrent_envs=1)
    opened: list[Session] = []

    async def open_session() -> None:
        opened.append(await service.open_session())

    for turn in range(30):
        await cancelled_at(turn, open_session)
        while opened:
            await service.close_session(opened.pop())
        await eventually(lambda: not service.pool.statistics().active)
        await eventually(lambda: not census.alive)
    assert census.made == census.closed > 0


@pytest.mark.parametrize("world", [AsyncWorld, PlainWorld, MixedWorld])
async def test_closing_can_be_cancelled_at_any_turn(
    make: Make, census: Census, world: type[World]
) -> None:
    """It goes on by itself, whenever the cancellation comes."""
    service = make(populate(census, world), max_concurrent_envs=1)
    for turn in range(15):
        session = await service.open_session()
        await cancelled_at(turn, partial(service.close_session, session))
        await service.close_session(session)
        await eventually(lambda: not service.pool.statistics().active)
    assert census.made == census.closed == 15


@pytest.mark.parametrize("world", [AsyncWorld, PlainWorld, MixedWorld])
@pytest.mark.parametrize("operation", ["reset", "step", "state"])
async def test_a_call_can_be_cancelled_at_any_turn(
    make: Make, census: Census, world: type[World], operation: str
) -> None:
    """The session goes on, and no two calls overlap (see `Census.faults`)."""
    service = make(populate(census, world))
    session = await service.open_session()
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "reset": lambda: session.reset({"do": "again"}),
        "step": lambda: session.step(Word("pause")),
        "state": session.state,
    }
    for turn in range(10):
        await cancelled_at(turn, calls[operation])
        assert (await session.step(Word(f"turn {turn}"))).text == f"turn {turn}"  # type: ignore[attr-defined]
    await service.close_session(session)


async def test_two_cancellations_of_an_opening_lose_nothing(make: Make, census: Census) -> None:
    """Not even when the first is still being dealt with."""
    service = make(populate(census, PlainWorld, on_make="hang"), max_concurrent_envs=1)
    task = asyncio.create_task(service.open_session())
    await eventually(lambda: census.hanging)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    census.open_gate()
    await eventually(lambda: not service.pool.statistics().active)
    await eventually(lambda: census.closed == 1)


async def test_a_cancelled_closing_keeps_its_slot_until_it_is_through(
    make: Make, census: Census
) -> None:
    """The slot is not free while the environment is still being closed."""
    service = make(populate(census, AsyncWorld, on_close="hang"))
    closing = asyncio.create_task(service.close_session(await service.open_session()))
    await eventually(lambda: census.hanging)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert (census.hanging, service.pool.statistics().active) == (1, 1)
    census.open_gate()
    await eventually(lambda: not service.pool.statistics().active)
    assert census.cancelled == 0


async def test_closing_twice_at_a_time_closes_once(make: Make, census: Census) -> None:
    """The second call has nothing to do."""
    service = make(populate(census, AsyncWorld, on_close="hang"))
    session = await service.open_session()
    first = asyncio.create_task(service.close_session(session))
    await eventually(lambda: census.hanging)
    await service.close_session(session)
    assert not first.done()
    census.open_gate()
    await first
    assert (census.closed, service.pool.statistics().active) == (1, 0)


async def test_a_session_may_be_closed_in_the_middle_of_a_step(make: Make, census: Census) -> None:
    """The environment is closed once the step has ended, not before."""
    service = make(populate(census, AsyncWorld), max_concurrent_envs=1)
    session = await service.open_session()
    step = asyncio.create_task(session.step(Word("hang")))
    await eventually(lambda: census.hanging)
    closing = asyncio.create_task(service.close_session(session))
    await asyncio.sleep(0)
    assert census.closed == 0
    census.open_gate()
    await asyncio.gather(step, closing)
    assert census.closed == 1


async def test_a_service_without_a_close_of_the_author_s_waits_for_the_step_too(
    make: Make, census: Census
) -> None:
    """The slot of a session in the middle of a step is not given to another."""

    class Careless(AsyncWorld):
        close = World.close  # type: ignore[assignment]

    uncounted = Census()
    service = make(populate(uncounted, Careless), max_concurrent_envs=1)
    session = await service.open_session()
    step = asyncio.create_task(session.step(Word("hang")))
    await eventually(lambda: uncounted.hanging)
    closing = asyncio.create_task(service.close_session(session))
    await asyncio.sleep(0)
    with pytest.raises(CapacityReached):
        await service.open_session()
    uncounted.open_gate()
    await asyncio.gather(step, closing)
    assert service.pool.statistics().active == 0


async def test_a_closed_service_opens_no_session(make: Make, census: Census) -> None:
    """The error says that the service is closed, not which part of it."""
    service = make(populate(census, AsyncWorld))
    await service.close()
    assert service.is_draining
    with pytest.raises(Closed, match=r"^the service is closed$"):
        await service.open_session(wait_s=5)


async def test_the_wait_is_capped_by_the_settings(make: Make, census: Census) -> None:
    """Nobody queues for longer than the service allows."""
    service = make(populate(census, AsyncWorld), max_concurrent_envs=1, max_wait_s=0.01)
    session = await service.open_session()
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(CapacityReached):
            await service.open_session(wait_s=1e9)
    await service.close_session(session)


async def test_a_failed_constructor_is_chained_to_its_error(make: Make, census: Census) -> None:
    """`EnvironmentFailed` has the constructor's exception as its cause."""
    for world in (AsyncWorld, PlainWorld):
        service = make(populate(census, world, on_make="raise"))
        with pytest.raises(EnvironmentFailed, match=r"cannot be made: it broke$") as failure:
            await service.open_session()
        assert failure.value.code == "FACTORY_ERROR"
        assert repr(failure.value.__cause__) == "ValueError('it broke')"


@pytest.mark.parametrize("world", [AsyncWorld, PlainWorld])
async def test_a_failed_step_is_chained_to_its_error(
    make: Make, census: Census, world: type[World]
) -> None:
    """`EnvironmentFailed` has the step's exception as its cause, and the session goes on."""
    service = make(populate(census, world))
    session = await service.open_session()
    with pytest.raises(EnvironmentFailed) as failure:
        await session.step(Word("raise"))
    assert repr(failure.value.__cause__) == "ValueError('it broke')"
    with pytest.raises(EnvironmentFailed) as failure:
        await session.reset({"do": "exit"})
    cause = failure.value.__cause__
    assert isinstance(cause, SystemExit) or isinstance(cause.__cause__, SystemExit)  # type: ignore[union-attr]
    await session.reset({})
    assert (session.episodes, session.steps) == (1, 1)
    assert repr(session) == f"<Session {session.id} {world.__name__} episodes=1 steps=1>"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (EnvironmentFailed("out of lives", code="GAME_OVER"), "GAME_OVER"),
        (CapacityReached(1, 1), "EXECUTION_ERROR"),
        (Closed("client"), "EXECUTION_ERROR"),
    ],
)
async def test_an_error_of_our_own_tree_may_come_from_an_environment(
    make: Make, census: Census, error: Exception, code: str
) -> None:
    """Its own failure keeps its code; another service's refusal is not taken for ours."""

    class Nested(AsyncWorld):
        async def step(self, action: Word) -> Heard:
            if action.text == "later":
                await asyncio.sleep(0)
            raise error

    service = make(populate(census, Nested))
    session = await service.open_session()
    for text in ("now", "later"):
        with pytest.raises(EnvironmentFailed) as failure:
            await session.step(Word(text))
        assert failure.value.code == code
        assert failure.value.__cause__ is not failure.value


async def test_what_a_service_runs_survives_whoever_asked(make: Make, census: Census) -> None:
    """A task that nobody else holds is held by the service until it is done."""
    service = make(populate(census, AsyncWorld))
    task = service.run(census.hang())
    await eventually(lambda: census.hanging)
    closing = asyncio.create_task(service.close())
    await asyncio.sleep(0)
    assert not closing.done()
    census.open_gate()
    await closing
    assert task.done()


async def test_closing_waits_for_what_begins_meanwhile(make: Make, census: Census) -> None:
    """A clean-up that one clean-up begins is waited for as well."""
    service = make(populate(census, AsyncWorld))
    ended = []

    async def second() -> None:
        await census.hang()
        ended.append("second")

    async def first() -> None:
        await census.hang()
        service.run(second())

    service.run(first())
    await eventually(lambda: census.hanging)
    census.open_gate()
    await service.close()
    assert ended == ["second"]


async def test_a_session_closes_its_environment_once(make: Make, census: Census) -> None:
    """However often it is asked."""
    service = make(populate(census, AsyncWorld))
    session = await service.open_session()
    await session.close()
    await session.close()
    await service.close_session(session)
    assert census.closed == 1


def test_the_schema_of_a_reset_is_made_once(make: Make) -> None:
    """What is made for it stays in memory for good, however often it is asked for."""
    service = make(AsyncWorld)
    assert service.reset_schema() is service.reset_schema()
