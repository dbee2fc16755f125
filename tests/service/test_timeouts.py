"""Time limits: of steps, of silence, of making and of closing; and the calls that outlast them."""

import asyncio
import json
import logging
from typing import Any

import aiohttp
import pytest
import websockets.asyncio.client as foreign

from aioenv.service.app import _DOORS
from tests.conftest import DEADLINE_S, Serve, Served, eventually
from tests.environments import AsyncWorld, Census, MixedWorld, PlainWorld, World, populate
from tests.service.conftest import Connect, OpenRaw, RawPeer, limit_steps

HANG = {"type": "step", "data": {"text": "hang"}}
SHORT_S = 0.05
THREAD_S = 0.2  # short, but long enough for a thread to have begun


def active(served: Served) -> int:
    """Return how many slots are in use."""
    return served.service.pool.statistics().active


async def abandon(peer: RawPeer, census: Census) -> None:
    """Leave in the middle of a step."""
    hanging = census.hanging
    peer.say("hang")
    await eventually(lambda: census.hanging > hanging)
    peer.abort()


# Steps


@pytest.mark.parametrize("operation", ["reset", "step"])
async def test_an_async_call_that_takes_too_long_is_cancelled(
    serve: Serve, connect: Connect, census: Census, operation: str
) -> None:
    """The client is told the limit, and the session goes on at once."""
    served = await serve(populate(census, AsyncWorld), step_timeout_s=SHORT_S)
    talk = await connect(served)
    data = {"text": "hang"} if operation == "step" else {"do": "hang"}
    error = await talk.refused({"type": operation, "data": data})
    message = f"{operation} took longer than {SHORT_S:g} s"
    assert error == {"message": message, "code": "EXECUTION_TIMEOUT"}
    assert (census.hanging, census.cancelled) == (0, 1)
    await talk.echoes()


async def test_a_time_out_of_the_environment_s_own_is_its_failure(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """What raises TimeoutError by itself is not taken for our limit."""

    class Impatient(AsyncWorld):
        async def step(self, action: Any) -> Any:
            async with asyncio.timeout(0.001):
                await self.census.hang()

    talk = await connect(await serve(populate(census, Impatient), step_timeout_s=60))
    error = await talk.refused(HANG)
    assert error == {"message": "TimeoutError", "code": "EXECUTION_ERROR"}


async def test_an_error_while_a_call_is_cancelled_is_told(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """A step that fails as its time is up fails in its own words."""

    class Clumsy(AsyncWorld):
        async def step(self, action: Any) -> Any:
            try:
                await self.census.hang()
            finally:
                raise RuntimeError("it stumbled")

    talk = await connect(await serve(populate(census, Clumsy), step_timeout_s=SHORT_S))
    error = await talk.refused(HANG)
    assert error == {"message": "it stumbled", "code": "EXECUTION_ERROR"}


async def test_a_plain_step_that_takes_too_long_runs_to_its_end(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """The client is told in time; what it asks next waits for the step, and never overlaps it."""
    served = await serve(populate(census, PlainWorld))
    talk = await connect(served)
    await talk.echoes()
    limit_steps(served, THREAD_S)
    assert (await talk.refused(HANG))["code"] == "EXECUTION_TIMEOUT"
    assert census.hanging == 1
    assert (await talk.refused({"type": "reset"}))["code"] == "EXECUTION_TIMEOUT"
    limit_steps(served, DEADLINE_S)
    census.open_gate()
    await eventually(lambda: not census.hanging)
    state = (await talk.ask({"type": "state"}))["data"]
    assert state["heard"] == ["still here", "hang"]
    await talk.echoes()


async def test_state_waits_for_a_plain_step_within_the_time_of_a_step(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """State behind a call that hangs is refused in time too."""
    served = await serve(populate(census, PlainWorld))
    talk = await connect(served)
    await talk.echoes()
    limit_steps(served, THREAD_S)
    await talk.refused(HANG)
    assert await talk.refused({"type": "state"}) == {
        "message": f"an earlier call still runs in it, after another {THREAD_S:g} s",
        "code": "EXECUTION_TIMEOUT",
    }


async def test_what_an_abandoned_step_raises_is_nobody_s_surprise(
    serve: Serve, census: Census
) -> None:
    """A late failure is not reported to the event loop as never retrieved."""
    served = await serve(populate(census, PlainWorld))
    async with foreign.connect(served.ws_url) as socket:
        await eventually(lambda: served.service._slots)
        limit_steps(served, THREAD_S)
        await socket.send('{"type":"step","data":{"text":"hang, then raise"}}')
        assert json.loads(await socket.recv())["data"]["code"] == "EXECUTION_TIMEOUT"
        await socket.send('{"type":"state"}')
        await (await socket.ping())  # by the pong it has read the request
        limit_steps(served, DEADLINE_S)
        census.open_gate()
        await socket.recv()


@pytest.mark.parametrize("operation", ["reset", "state", "step", "close"])
async def test_a_mixed_environment_is_never_called_twice_at_a_time(
    serve: Serve, census: Census, operation: str
) -> None:
    """A coroutine waits for a plain step that outlasted its time, as a plain method does."""
    served = await serve(populate(census, MixedWorld), step_timeout_s=0.2)
    async with foreign.connect(served.ws_url) as socket:
        await socket.send(json.dumps(HANG))
        assert json.loads(await socket.recv())["data"]["code"] == "EXECUTION_TIMEOUT"
        data = {"data": {"text": "next"}} if operation == "step" else {}
        await socket.send(json.dumps({"type": operation, **data}))
        if operation == "close":
            await eventually(lambda: served.service.workers.stragglers)
        else:
            await (await socket.ping())  # by the pong it has read the request
        census.open_gate()  # the census notes two calls at a time
        if operation == "close":
            await socket.wait_closed()
            assert socket.close_code == 1000
        else:
            await socket.recv()


# Calls that outlast their sessions


async def test_an_abandoned_plain_step_leaves_the_pool_s_count(
    serve: Serve, connect: Connect, open_raw: OpenRaw, census: Census
) -> None:
    """Its slot is free while it still runs, it is counted as a straggler, and closed at its end."""
    served = await serve(populate(census, PlainWorld), max_concurrent_envs=1)
    await abandon(await open_raw(served), census)
    await eventually(lambda: active(served) == 0)
    assert (census.hanging, served.service.workers.stragglers) == (1, 1)
    await (await connect(served)).echoes()
    assert len(census.alive) == 2
    census.open_gate()
    await eventually(lambda: served.service.workers.stragglers == 0)
    await eventually(lambda: census.closed == 1)


async def test_stragglers_are_bounded(
    serve: Serve, connect: Connect, open_raw: OpenRaw, census: Census
) -> None:
    """Beyond the bound an abandoned step keeps its slot, so that hanging cannot spread."""
    served = await serve(populate(census, PlainWorld), max_concurrent_envs=2, max_stragglers=1)
    first, second = await open_raw(served), await open_raw(served)
    await abandon(first, census)
    await eventually(lambda: active(served) == 1)
    await abandon(second, census)
    third = await connect(served)
    await third.echoes()
    refused = await connect(served)
    assert (await refused.hear())["data"]["active_sessions"] == 2
    assert served.service.workers.stragglers == 2
    census.open_gate()
    await eventually(lambda: active(served) == 1)
    await third.echoes()


async def test_an_abandoned_async_step_is_no_straggler(
    serve: Serve, open_raw: OpenRaw, census: Census
) -> None:
    """A coroutine is cancelled, so that nothing is left of it."""
    served = await serve(populate(census, AsyncWorld), max_concurrent_envs=1)
    await abandon(await open_raw(served), census)
    await eventually(lambda: active(served) == 0)
    assert (census.hanging, served.service.workers.stragglers) == (0, 0)


async def test_calls_that_are_given_up_starve_nobody(
    serve: Serve, connect: Connect, http: aiohttp.ClientSession, census: Census
) -> None:
    """However many outlast their time in sessions that stay open, others find a thread."""
    served = await serve(populate(census, PlainWorld), worker_threads=1, max_stragglers=0)
    body = {"action": {"text": "hang"}, "timeout_s": SHORT_S}
    while census.hanging < 3:  # one whose thread did not begin in time is no straggler
        async with http.post(f"{served.url}/sessions") as response:
            headers = {"X-Session-ID": (await response.json())["session_id"]}
        async with http.post(f"{served.url}/step", json=body, headers=headers) as response:
            assert (await response.json())["code"] == "EXECUTION_TIMEOUT"
    assert served.service.workers.stragglers == 3
    assert active(served) >= 3
    await (await connect(served)).echoes()


@pytest.mark.parametrize("call", ["make", "step", "close"])
async def test_calls_that_outlast_their_sessions_starve_nobody(
    serve: Serve, connect: Connect, open_raw: OpenRaw, census: Census, call: str
) -> None:
    """Constructors, steps and closes that hang for clients that are gone leave the threads."""
    world = populate(census, PlainWorld, **({f"on_{call}": "hang"} if call != "step" else {}))
    served = await serve(world, worker_threads=1, max_stragglers=2, close_timeout_s=SHORT_S)
    for count in (1, 2):
        peer = await open_raw(served)
        if call == "step":
            peer.say("hang")
        elif call == "close":
            await eventually(lambda count=count: census.made == count)  # type: ignore[misc]
            peer.abort()
        await eventually(lambda count=count: census.hanging == count)  # type: ignore[misc]
        peer.abort()
        await eventually(lambda: active(served) == 0)
    assert served.service.workers.stragglers == 2
    world.on_make = ""
    await (await connect(served)).echoes()
    census.open_gate()


async def test_nothing_is_made_for_a_client_that_left_before_there_was_a_thread(
    serve: Serve, connect: Connect, open_raw: OpenRaw, census: Census
) -> None:
    """A constructor that waits for a thread is not called any more, and its slot is free."""
    served = await serve(populate(census, PlainWorld), worker_threads=1)
    busy = await connect(served)
    await busy.tell(HANG)
    await eventually(lambda: census.hanging)
    peer = await open_raw(served)
    await eventually(lambda: active(served) == 2)
    peer.abort()
    await eventually(lambda: active(served) == 1)
    census.open_gate()
    assert (await busy.hear())["type"] == "observation"
    await busy.echoes()
    assert census.made == 1


async def test_a_close_waits_for_its_thread(
    serve: Serve, connect: Connect, open_raw: OpenRaw, census: Census
) -> None:
    """One that finds none within the time for closing gives its slot back, and is called later."""
    served = await serve(populate(census, PlainWorld), worker_threads=1, close_timeout_s=SHORT_S)
    busy, peer = await connect(served), await open_raw(served)
    await eventually(lambda: census.made == 2)
    await busy.tell(HANG)
    await eventually(lambda: census.hanging)
    peer.abort()
    await eventually(lambda: active(served) == 1)
    assert census.closed == 0
    census.open_gate()
    assert (await busy.hear())["type"] == "observation"
    await eventually(lambda: census.closed == 1)


# Silence


MCP_HANG = {
    "type": "mcp",
    "data": {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "step", "arguments": {"text": "hang"}},
    },
}


class Beats:
    """Counts the beats of a service's pulse."""

    def __init__(self, served: Served) -> None:
        self.count = 0
        served.service.pulse.add(self)

    def beat(self, now: float) -> None:
        self.count += 1


async def test_an_idle_session_is_closed(
    serve: Serve, connect: Connect, open_raw: OpenRaw, census: Census
) -> None:
    """After the limit the client is told so with 1008, although it answers pings."""
    served = await serve(
        populate(census, AsyncWorld), idle_timeout_s=0.2, heartbeat_s=0.1, max_concurrent_envs=1
    )
    talk = await connect(served)
    await talk.echoes()
    message = await talk.socket.receive(20)
    assert (message.data, message.extra) == (1008, "nothing was asked for 0.2 s")
    await eventually(lambda: active(served) == 0)


async def test_a_busy_session_is_not_idle(serve: Serve, connect: Connect, census: Census) -> None:
    """A long step is no silence; the limit counts from its answer."""
    served = await serve(populate(census, AsyncWorld), idle_timeout_s=0.5, heartbeat_s=0.1)
    busy, idle = await connect(served), await connect(served)
    await idle.echoes()
    await busy.tell(HANG)
    waiting = asyncio.create_task(busy.hear())  # reading, it answers pings
    assert await idle.ended() == 1008
    census.open_gate()
    assert (await waiting)["type"] == "observation"
    beats = Beats(served)
    await eventually(lambda: beats.count >= 2)
    served.service.pulse.discard(beats)
    await busy.echoes()


@pytest.mark.parametrize(
    ("world", "request_"),
    [
        (PlainWorld, {"type": "step", "data": {"text": "hang, then raise"}}),
        (AsyncWorld, MCP_HANG),
    ],
)
async def test_a_busy_session_is_not_idle_whatever_comes_of_it(
    serve: Serve,
    connect: Connect,
    census: Census,
    world: type[World],
    request_: dict[str, Any],
) -> None:
    """The limit counts from the answer to a step that failed, and to one that came as MCP, too."""
    served = await serve(populate(census, world), idle_timeout_s=0.5, heartbeat_s=0.1)
    busy, idle = await connect(served), await connect(served)
    await idle.echoes()
    await busy.tell(request_)
    waiting = asyncio.create_task(busy.hear())  # reading, it answers pings
    assert await idle.ended() == 1008
    census.open_gate()
    await waiting
    beats = Beats(served)
    await eventually(lambda: beats.count >= 2)
    served.service.pulse.discard(beats)
    await busy.echoes()


async def test_a_wait_in_the_queue_is_not_idleness(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """The limit counts from the moment when the session is there."""
    served = await serve(
        populate(census, AsyncWorld), idle_timeout_s=0.5, heartbeat_s=0.1, max_concurrent_envs=1
    )
    first = await connect(served)
    second = await connect(served, "?wait_s=60")
    reading = asyncio.create_task(second.hear())
    assert await first.ended() == 1008
    await eventually(lambda: census.made == 2)
    beats = Beats(served)
    await eventually(lambda: beats.count >= 2)
    served.service.pulse.discard(beats)
    await second.tell({"type": "state"})
    assert (await reading)["type"] == "state"


# Making


async def test_a_constructor_that_takes_too_long_is_given_up(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """The client is told, the slot comes back, and what is made in the end is closed."""
    served = await serve(
        populate(census, PlainWorld, on_make="hang"),
        step_timeout_s=SHORT_S,
        close_timeout_s=SHORT_S,
        max_concurrent_envs=1,
    )
    talk = await connect(served)
    assert (await talk.hear())["data"] == {
        "message": f"PlainWorld cannot be made: it took longer than {SHORT_S:g} s",
        "code": "FACTORY_ERROR",
    }
    assert await talk.ended() == 1011
    await eventually(lambda: active(served) == 0)
    assert (census.hanging, served.service.workers.stragglers) == (1, 1)
    census.open_gate()
    await eventually(lambda: census.closed == 1)


async def test_a_client_that_leaves_while_its_environment_is_made_loses_no_slot(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """What the constructor makes after all is closed, once."""
    served = await serve(populate(census, PlainWorld, on_make="hang"), max_concurrent_envs=1)
    talk = await connect(served)
    await eventually(lambda: census.hanging)
    await talk.socket.close()
    census.open_gate()
    await eventually(lambda: census.closed == 1)
    await eventually(lambda: active(served) == 0)


async def test_an_async_factory_is_cancelled_when_its_client_leaves(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """Nobody waits for it, and its slot is free."""

    async def factory() -> World:
        await census.hang()
        raise AssertionError("it was not cancelled")

    served = await serve(factory, max_concurrent_envs=1)
    talk = await connect(served)
    await eventually(lambda: census.hanging)
    await talk.socket.close()
    await eventually(lambda: active(served) == 0)
    assert census.cancelled == 1


@pytest.mark.parametrize("on_close", ["raise", "exit", "hang"])
async def test_what_was_made_in_vain_may_fail_to_close(
    serve: Serve, connect: Connect, census: Census, on_close: str
) -> None:
    """Not even then is the slot lost."""
    environment = populate(census, PlainWorld, on_close=on_close)

    async def factory() -> World:
        world = environment()
        try:
            await census.hang()
        except asyncio.CancelledError:
            return world  # it defies its cancellation
        raise AssertionError("it was not cancelled")

    served = await serve(factory, max_concurrent_envs=1, close_timeout_s=SHORT_S)
    talk = await connect(served)
    await eventually(lambda: census.hanging)
    await talk.socket.close()
    await eventually(lambda: active(served) == 0)
    assert census.closed == 1


# Closing


@pytest.mark.parametrize("world", [AsyncWorld, PlainWorld])
@pytest.mark.parametrize("on_close", ["raise", "exit", "cancel"])
async def test_a_close_that_fails_is_logged_and_frees_the_slot(
    serve: Serve,
    connect: Connect,
    census: Census,
    caplog: pytest.LogCaptureFixture,
    world: type[World],
    on_close: str,
) -> None:
    """What ``close`` raises is the author's to read, and nobody else's."""
    served = await serve(populate(census, world, on_close=on_close), max_concurrent_envs=1)
    talk = await connect(served)
    await talk.echoes()
    with caplog.at_level(logging.ERROR, "aioenv.service.session"):
        await talk.tell({"type": "close"})
        assert await talk.ended() == 1000
    assert active(served) == 0
    assert "close() of" in caplog.text


async def test_an_async_close_that_hangs_is_cancelled(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """After the time for closing it is stopped, so that it neither holds a slot nor straggles."""
    served = await serve(
        populate(census, AsyncWorld, on_close="hang"),
        max_concurrent_envs=1,
        close_timeout_s=SHORT_S,
        max_stragglers=0,
    )
    for count in (1, 2):
        talk = await connect(served, "?wait_s=60")
        await talk.echoes()
        await talk.socket.close()
        await eventually(lambda: active(served) == 0)
        assert (census.cancelled, census.hanging) == (count, 0)


async def test_a_plain_close_that_hangs_leaves_the_pool_s_count(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """It becomes a straggler after the time for closing."""
    served = await serve(
        populate(census, PlainWorld, on_close="hang"),
        max_concurrent_envs=1,
        close_timeout_s=SHORT_S,
        max_stragglers=1,
    )
    await (await connect(served)).socket.close()
    await eventually(lambda: active(served) == 0)
    assert (census.hanging, served.service.workers.stragglers) == (1, 1)
    await (await connect(served)).socket.close()
    await eventually(lambda: census.hanging == 2)
    census.open_gate()
    await eventually(lambda: active(served) == 0)


async def test_a_session_may_end_while_its_environment_is_closed_already(
    serve: Serve, open_raw: OpenRaw, census: Census
) -> None:
    """Two ends at a time, the client's and the service's, close it once."""
    served = await serve(populate(census, AsyncWorld, on_close="hang"))
    peer = await open_raw(served)
    await eventually(lambda: census.made)
    peer.abort()
    await eventually(lambda: census.hanging)
    stopping = asyncio.create_task(served.server.stop())
    await asyncio.sleep(0)
    census.open_gate()
    await stopping
    assert census.closed == 1


async def test_an_unchanged_close_is_no_work(serve: Serve, connect: Connect) -> None:
    """An environment without a ``close`` of its own gives its slot back at once."""

    class Careless(AsyncWorld):
        close = World.close  # type: ignore[assignment]

    census = Census()
    served = await serve(populate(census, Careless), max_concurrent_envs=1)
    talk = await connect(served)
    await talk.echoes()
    await talk.tell({"type": "close"})
    assert await talk.ended() == 1000
    assert active(served) == 0


async def test_a_step_is_heard(serve: Serve, http: aiohttp.ClientSession, census: Census) -> None:
    """A client that steps is neither idle nor silent; the beats' times are given, not awaited."""
    served = await serve(populate(census, AsyncWorld), idle_timeout_s=1000.0, heartbeat_s=1000.0)
    async with http.ws_connect(f"{served.url}/ws", autoping=False) as socket:
        await socket.send_json({"type": "reset", "data": {}})
        await socket.receive_json()
        (door,) = served.app[_DOORS]
        served.service.pulse.discard(door)
        await socket.send_json({"type": "step", "data": {"text": "Hi"}})
        assert (await socket.receive_json())["type"] == "observation"
        now = asyncio.get_running_loop().time()
        door.beat(now + 900)
        door.beat(now + 1500)
        await socket.send_json({"type": "state"})
        answer = await socket.receive()
        assert answer.type is aiohttp.WSMsgType.TEXT
        assert answer.json()["type"] == "state"
