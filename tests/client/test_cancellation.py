"""Cancellation: every public awaitable of the client, cancelled after each turn of the event loop.

A call is cancelled after 0, 1, 2 … turns until it is through before the cancellation comes, so
that each of its awaits is hit. After each, the client must be usable, in step, and hold no more
than it should.
"""

import asyncio
import itertools
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from aioenv import CapacityReached, RequestTimeout, SessionLost
from aioenv.client import transport
from aioenv.client.connection_options import ConnectionOptions
from echo_env import EchoAction, EchoEnv
from echo_env.environment import EchoEnvironment
from tests.client.conftest import Launch, ServeEcho
from tests.client.scripted import Peer, observation, scripted
from tests.client.test_connection import connected
from tests.client.test_env_client import WorldEnv
from tests.conftest import Serve, Served, eventually
from tests.environments import AsyncWorld, Census, Word, populate

#: How often a cancellation is repeated, turn after turn: a clean-up may be cancelled, too.
REPEATED = pytest.mark.parametrize("times", [1, 2, 3])


async def interrupt(call: Callable[[], Awaitable[Any]], turns: int, times: int = 1) -> bool:
    """Cancel a call after so many turns of the loop; return whether it was through before."""

    async def run() -> None:
        await call()

    task = asyncio.create_task(run())
    for _ in range(turns):
        await asyncio.sleep(0)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    await asyncio.wait([task])
    if task.cancelled():
        return False
    task.result()
    return True


async def check(env: EchoEnv, marker: str) -> None:
    """Check that a client is in session and in step: what it hears is what it said."""
    result = await env.step(EchoAction(marker))
    assert result.observation.echoed_message == marker
    assert result.metadata == {"step_count": (await env.state()).step_count}
    assert "unanswered=0" in repr(env)


async def all_given_back(served: Served) -> None:
    """Wait until the service has every slot back."""
    await eventually(lambda: not served.service.pool.statistics().active)


@REPEATED
@pytest.mark.parametrize("operation", ["step", "state", "reset"])
async def test_a_request(echo: Served, operation: str, times: int) -> None:
    """A request that is cancelled leaves the client in its session and in step."""
    calls: dict[str, Callable[[EchoEnv], Awaitable[Any]]] = {
        "step": lambda env: env.step(EchoAction("cancelled")),
        "state": lambda env: env.state(),
        "reset": lambda env: env.reset(),
    }
    async with EchoEnv(echo.url) as env:
        await env.reset()
        for turns in itertools.count():
            through = await interrupt(lambda: calls[operation](env), turns, times)
            await check(env, f"after {turns}")
            if through:
                break
        assert turns > 3
        assert echo.service.pool.statistics().acquired == 1


@REPEATED
async def test_a_request_among_others(echo: Served, times: int) -> None:
    """Of three requests that take their turns, each may be cancelled; the others get their own."""
    async with EchoEnv(echo.url) as env:
        for turns in range(30):
            for victim in range(3):
                calls = [
                    asyncio.create_task(env.step(EchoAction(f"{turns}/{number}")))
                    for number in range(3)
                ]
                for _ in range(turns):
                    await asyncio.sleep(0)
                for _ in range(times):
                    calls[victim].cancel()
                    await asyncio.sleep(0)
                for number, call in enumerate(calls):
                    if number == victim:
                        await asyncio.wait([call])
                    else:
                        result = await call
                        assert result.observation.echoed_message == f"{turns}/{number}"
        await check(env, "last")


async def test_a_request_whose_reply_is_late(serve: Serve, census: Census) -> None:
    """The late reply of a cancelled step is dropped, whenever the next request is made."""
    served = await serve(populate(census, AsyncWorld))
    async with WorldEnv(served.url) as env:
        for turns in range(12):
            census.close_gate()
            stepping = asyncio.create_task(env.step(Word("hang")))
            await eventually(lambda: census.hanging)
            stepping.cancel()
            await asyncio.wait([stepping])
            census.open_gate()
            for _ in range(turns):
                await asyncio.sleep(0)
            result = await env.step(Word(f"{turns}"))
            assert result.observation.text == f"{turns}"
            heard = (await env.state()).heard
            assert heard[-2:] == ["hang", f"{turns}"]


@REPEATED
@pytest.mark.parametrize("operation", ["step", "state", "reset", "connect"])
async def test_a_first_call(echo: Served, operation: str, times: int) -> None:
    """A first call that is cancelled while it connects holds nothing; the next connects."""
    for turns in itertools.count():
        env = EchoEnv(echo.url)
        calls: dict[str, Callable[[], Awaitable[Any]]] = {
            "step": lambda env=env: env.step(EchoAction("x")),  # type: ignore[misc]
            "state": env.state,
            "reset": env.reset,
            "connect": env.connect,
        }
        through = await interrupt(calls[operation], turns, times)
        if env._connection is None:
            await eventually(lambda env=env: env._transport is None)  # type: ignore[misc]
            await all_given_back(echo)
        await check(env, f"after {turns}")
        await env.close()
        await all_given_back(echo)
        if through:
            break
    assert turns >= 10


@REPEATED
async def test_entering(echo: Served, times: int) -> None:
    """An ``async with`` that is cancelled while it connects leaves nothing behind."""

    async def play() -> None:
        async with EchoEnv(echo.url) as env:
            await env.reset()

    loop = asyncio.get_running_loop()
    for turns in itertools.count():
        through = await interrupt(play, turns, times)
        await all_given_back(echo)
        await eventually(lambda: loop not in transport._transports)
        if through:
            break
    assert turns > 20


@REPEATED
async def test_a_reset_after_a_loss(times: int) -> None:
    """A reset that is cancelled while it replaces a lost session leaves it lost, or replaced."""

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.reply(observation("ready"))
        if (await peer.request())["type"] == "step":
            peer.close(1012, "restarting")
            return
        peer.reply(observation("again"))
        await peer.wait_gone()

    async with scripted(script) as service:
        for turns in itertools.count():
            async with EchoEnv(service.url) as env:
                await env.reset()
                with pytest.raises(SessionLost, match="restarting"):
                    await env.step(EchoAction("x"))
                through = await interrupt(env.reset, turns, times)
                if env._connection is None or not env._connection.is_open:
                    with pytest.raises(SessionLost, match="restarting"):
                        await env.step(EchoAction("x"))
                assert (await env.reset()).observation.echoed_message in ("ready", "again")
                if through:
                    break
        assert turns >= 10


@REPEATED
async def test_waiting_for_a_slot(serve_echo: ServeEcho, times: int) -> None:
    """A client that queues for a slot and is cancelled gives up its place, or the slot."""
    served = await serve_echo(max_concurrent_envs=1)
    second = EchoEnv(served.url, capacity_timeout_s=60)
    async with EchoEnv(served.url) as first:
        await first.reset()
        for turns in range(40):
            assert not await interrupt(second.reset, turns, times)
            await eventually(lambda: not served.service.pool.statistics().waiting)
            await check(first, f"after {turns}")
        waiting = asyncio.create_task(second.reset())
        await eventually(lambda: served.service.pool.statistics().waiting)
        await first.close()
        await waiting
        await check(second, "last")
        await second.close()


@REPEATED
async def test_a_slot_that_comes_as_its_client_leaves(serve_echo: ServeEcho, times: int) -> None:
    """A slot that is on its way to a client that is cancelled is not lost."""
    served = await serve_echo(max_concurrent_envs=1)
    for turns in range(0, 40, 2):
        first, second = EchoEnv(served.url), EchoEnv(served.url, capacity_timeout_s=60)
        await first.reset()
        waiting = asyncio.create_task(second.reset())
        await eventually(lambda: served.service.pool.statistics().waiting)
        closing = asyncio.create_task(first.close())
        for _ in range(turns):
            await asyncio.sleep(0)
        for _ in range(times):
            waiting.cancel()
            await asyncio.sleep(0)
        await asyncio.wait([waiting, closing])
        await second.close()
        await all_given_back(served)


async def test_coming_back_to_a_full_service() -> None:
    """A client that tries again and again may be cancelled between the tries."""

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.reply({"type": "error", "data": {"code": "CAPACITY_REACHED", "message": "full"}})
        peer.close(1013)
        await peer.wait_gone()

    async with scripted(script) as service:
        env = EchoEnv(service.url, capacity_timeout_s=3600)
        for tries in range(1, 5):
            service.peers.clear()
            waiting = asyncio.create_task(env.reset())
            await eventually(lambda tries=tries: len(service.peers) > tries)  # type: ignore[misc]
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert env._transport is None
            peers = tuple(service.peers)
            await eventually(lambda peers=peers: all(p.is_ended for p in peers))  # type: ignore[misc]


@REPEATED
async def test_a_close(echo: Served, times: int) -> None:
    """A close that is cancelled goes on by itself, and a second close waits for its end."""
    for turns in itertools.count():
        launch = Launch(echo.url)
        env = EchoEnv(launcher=launch)
        further = await env.new_session()
        await env.reset()
        through = await interrupt(env.close, turns, times)
        await env.close()
        assert launch.diary == ["start", "started", "stop", "stopped"]
        assert (env._connection, env._transport, further._connection) == (None, None, None)
        assert echo.service.pool.statistics().active == 0
        if through:
            break
    assert turns >= 10


@REPEATED
async def test_a_further_session(echo: Served, times: int) -> None:
    """A further session whose opening is cancelled leaves its parent as it was."""
    async with EchoEnv(echo.url) as env:
        await env.reset()
        for turns in itertools.count():
            through = await interrupt(env.new_session, turns, times)
            await check(env, f"after {turns}")
            if through:
                break
            await eventually(lambda: not env._children)
            await eventually(lambda: echo.service.pool.statistics().active == 1)
        assert turns >= 10
        assert len(env._children) == 1
    await all_given_back(echo)


# asyncio loses a connection that it accepts as its server closes (python/cpython#109564).
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@REPEATED
async def test_an_embedded_service(times: int, caplog: pytest.LogCaptureFixture) -> None:
    """An embedded service whose start or first session is cancelled is stopped again."""
    for turns in itertools.count():
        env = EchoEnv.from_environment(EchoEnvironment)
        through = await interrupt(env.reset, turns, times)
        if env._connection is None:
            await eventually(lambda env=env: env._transport is None)  # type: ignore[misc]
            assert env.base_url is None
        await check(env, f"after {turns}")
        await env.close()
        assert (env.base_url, env._connection, env._transport) == (None, None, None)
        if through:
            break
    assert turns > 12
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("seed", range(3))
async def test_a_storm_of_time_outs(seed: int) -> None:
    """Requests that run out of time at any point never shift the replies."""
    rng = random.Random(seed)

    async def script(peer: Peer) -> None:
        while True:
            request = await peer.request()
            await asyncio.sleep(rng.choice([0, 0.001, 0.002, 0.003]))
            peer.reply(request)

    outcomes = {"answered": 0, "late": 0}
    async with scripted(script) as service, connected(service.url) as connection:
        for number in itertools.count():
            limit_s = rng.choice([0.0002, 0.001, 0.002, 0.004, 0.05])
            connection._options = ConnectionOptions(message_timeout_s=limit_s)
            text = b'{"number": %d}' % number
            try:
                assert await connection.request(text, "step") == text
                outcomes["answered"] += 1
            except RequestTimeout:
                outcomes["late"] += 1
            if number > 100 and min(outcomes.values()) > 20:
                break
        connection._options = ConnectionOptions()
        assert await connection.request(b'{"number": -1}', "step") == b'{"number": -1}'
        assert "unanswered=0" in repr(connection)


async def test_a_refused_client_that_is_cancelled(serve_echo: ServeEcho) -> None:
    """Cancelling a reset as it is refused leaves the client ready for the next try."""
    served = await serve_echo(max_concurrent_envs=1)
    async with EchoEnv(served.url) as first:
        await first.reset()
        for turns in itertools.count():
            env = EchoEnv(served.url)
            try:
                assert not await interrupt(env.reset, turns)
                refused = False
            except CapacityReached:
                refused = True
            with pytest.raises(CapacityReached):
                await env.reset()
            await env.close()
            if refused:
                break
        assert turns >= 10
        await check(first, "last")
