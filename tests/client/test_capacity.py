"""Capacity: waiting for a session of a service that has none to give."""

import asyncio
import itertools
import random
from urllib.parse import parse_qs, urlsplit

import pytest

from aioenv import CapacityReached, ConnectionFailed, EnvironmentFailed, SessionLost
from aioenv.client.retries import FIRST_DELAY_S, LONGEST_DELAY_S, delays, is_worth_retrying
from echo_env import EchoAction, EchoEnv
from tests.client.conftest import ServeEcho
from tests.client.scripted import Peer, error, observation, scripted, state
from tests.client.test_env_client import WorldEnv
from tests.conftest import Serve, eventually
from tests.environments import AsyncWorld, Census, Word, populate

LONG_S = 3600.0


def wait_of(peer: Peer) -> float | None:
    """Return how long a client asked to be queued, in seconds."""
    texts = parse_qs(urlsplit(peer.path).query).get("wait_s")
    return None if texts is None else float(texts[0])


# A service that queues


async def test_a_client_waits_for_a_slot(serve_echo: ServeEcho) -> None:
    """With patience, a first call waits in the service's queue until a session ends."""
    served = await serve_echo(max_concurrent_envs=1)
    for first_call in ("reset", "state", "connect"):
        async with EchoEnv(served.url) as holder:
            await holder.reset()
            env = EchoEnv(served.url, capacity_timeout_s=LONG_S)
            waiting = asyncio.create_task(getattr(env, first_call)())
            await eventually(lambda: served.service.pool.statistics().waiting == 1)
            assert not waiting.done()
        await waiting
        assert (await env.step(EchoAction("x"))).observation.echoed_message == "x"
        await env.close()
    assert served.service.pool.statistics().refused == 0


async def test_first_come_first_served(serve_echo: ServeEcho) -> None:
    """Clients get their sessions in the order in which they came."""
    served = await serve_echo(max_concurrent_envs=1)
    order: list[int] = []

    async def play(number: int) -> None:
        async with EchoEnv(served.url, capacity_timeout_s=LONG_S) as env:
            await env.reset()
            order.append(number)

    async with EchoEnv(served.url) as holder:
        await holder.reset()
        tasks = []
        for number in range(5):
            tasks.append(asyncio.create_task(play(number)))
            count = number + 1
            await eventually(lambda n=count: served.service.pool.statistics().waiting == n)  # type: ignore[misc]
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3, 4]


async def test_a_further_session_waits_too(serve_echo: ServeEcho) -> None:
    """A further session has the patience of its parent."""
    served = await serve_echo(max_concurrent_envs=1)
    async with EchoEnv(served.url, capacity_timeout_s=LONG_S) as env:
        opening = asyncio.create_task(env.new_session())
        await eventually(lambda: served.service.pool.statistics().waiting == 1)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await eventually(lambda: served.service.pool.statistics().waiting == 0)


async def test_patience_ends(serve_echo: ServeEcho) -> None:
    """A client whose patience ends raises the service's figures."""
    served = await serve_echo(max_concurrent_envs=2)
    async with EchoEnv(served.url) as one, EchoEnv(served.url) as two:
        await one.reset()
        await two.reset()
        for call in ("reset", "connect"):
            with pytest.raises(CapacityReached) as caught:
                await getattr(EchoEnv(served.url, capacity_timeout_s=0.1), call)()
            assert (caught.value.active, caught.value.limit) == (2, 2)
            assert str(caught.value).startswith("2 of 2 sessions are in use; wait with")
        await one.step(EchoAction("x"))


async def test_a_queue_that_is_less_patient(serve_echo: ServeEcho) -> None:
    """Where the service queues for a shorter time than the client has, the client comes again."""
    served = await serve_echo(max_concurrent_envs=1, max_wait_s=0.01)
    async with EchoEnv(served.url) as holder:
        await holder.reset()
        env = EchoEnv(served.url, capacity_timeout_s=LONG_S)
        waiting = asyncio.create_task(env.reset())
        await eventually(lambda: served.service.pool.statistics().refused > 2)
    await waiting
    await env.close()


async def test_a_queue_that_is_full(serve_echo: ServeEcho) -> None:
    """A client for which there is no room in the queue either comes again."""
    served = await serve_echo(max_concurrent_envs=1, max_waiting=1)
    async with EchoEnv(served.url) as holder:
        await holder.reset()
        queue = [EchoEnv(served.url, capacity_timeout_s=LONG_S) for _ in range(3)]
        waiting = [asyncio.create_task(env.reset()) for env in queue]
        await eventually(lambda: served.service.pool.statistics().refused > 2)
    for finished in asyncio.as_completed(waiting):
        await finished
        for env, task in zip(queue, waiting, strict=True):
            if task.done():
                await env.close()


async def test_a_service_that_stops_ends_the_queue(serve_echo: ServeEcho) -> None:
    """A client that queues at a service that stops is told so."""
    served = await serve_echo(max_concurrent_envs=1)
    async with EchoEnv(served.url) as holder:
        await holder.reset()
        waiting = asyncio.create_task(EchoEnv(served.url, capacity_timeout_s=LONG_S).connect())
        await eventually(lambda: served.service.pool.statistics().waiting == 1)
        await served.server.stop()
        with pytest.raises(SessionLost, match=r"the service is (closed|stopping)"):
            await waiting


async def test_a_state_that_fails_is_a_session(serve: Serve, census: Census) -> None:
    """A session whose environment cannot tell its state yet is a session all the same."""
    served = await serve(populate(census, AsyncWorld, on_state="raise"))
    async with WorldEnv(served.url, capacity_timeout_s=1) as env:
        assert (await env.step(Word("x"))).observation.text == "x"


# A service that cannot queue


async def test_coming_back_to_a_service_that_cannot_queue() -> None:
    """Refused at once, a client comes back until there is a session; its patience only shrinks."""

    async def script(peer: Peer) -> None:
        assert (await peer.request()) == {"type": "state"}
        if len(service.peers) < 5:
            peer.reply(error("CAPACITY_REACHED", active_sessions=1, max_sessions=1))
            peer.close(1013)
        else:
            peer.reply(state())
            assert (await peer.request())["type"] == "reset"
            peer.reply(observation("at last"))
        await peer.wait_gone()

    async with (
        scripted(script) as service,
        EchoEnv(service.url, capacity_timeout_s=LONG_S) as env,
    ):
        assert (await env.reset()).observation.echoed_message == "at last"
        waits = [wait_of(peer) for peer in service.peers]
        assert len(waits) == 5
        assert all(wait is not None and LONG_S - 60 < wait <= LONG_S for wait in waits)
        assert waits == sorted(waits, key=float, reverse=True)  # type: ignore[arg-type]
        await eventually(lambda: sum(not peer.is_ended for peer in service.peers) == 1)


async def test_refused_until_patience_ends() -> None:
    """The last refusal is raised once there is no time for another try."""

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.reply(error("CAPACITY_REACHED", "busy"))
        peer.close(1013)
        await peer.wait_gone()

    async with scripted(script) as service:
        for patience_s in (0.3, 3.0, 30.0):  # the first will do, where the machine is not busy
            before = len(service.peers)
            with pytest.raises(CapacityReached) as caught:
                await EchoEnv(service.url, capacity_timeout_s=patience_s).reset()
            assert (caught.value.active, caught.value.limit) == (None, None)
            assert str(caught.value).startswith("every session is in use; wait with")
            if len(service.peers) - before > 1:
                break
        else:
            pytest.fail("it never tried again")


async def test_without_patience_nobody_is_asked_to_wait() -> None:
    """A client without patience asks the service for nothing that OpenEnv's does not know."""

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.reply(error("CAPACITY_REACHED"))
        peer.close(1013)
        await peer.wait_gone()

    async with scripted(script) as service:
        env = EchoEnv(service.url)
        with pytest.raises(CapacityReached):
            await env.reset()
        assert [peer.path for peer in service.peers] == ["/ws"]
        await env.close()


async def test_what_is_not_worth_waiting_for(
    serve: Serve, census: Census, unused_port: int
) -> None:
    """An environment that cannot be made, or a service that is not there, is not tried again."""
    served = await serve(populate(census, AsyncWorld, on_make="raise"))
    with pytest.raises(EnvironmentFailed, match="FACTORY_ERROR"):
        await WorldEnv(served.url, capacity_timeout_s=LONG_S).reset()
    assert served.service.pool.statistics().acquired == 1
    with pytest.raises(ConnectionFailed, match="Connect call failed"):
        await WorldEnv(f"http://127.0.0.1:{unused_port}", capacity_timeout_s=LONG_S).reset()


async def test_a_service_that_hangs_up_on_the_queue() -> None:
    """A client whose connection ends while it waits does not wait on."""

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.close(1012, "restarting")

    async with scripted(script) as service:
        with pytest.raises(SessionLost, match="restarting"):
            await EchoEnv(service.url, capacity_timeout_s=LONG_S).reset()
        assert len(service.peers) == 1


# The delays


def test_delays_double_with_full_jitter() -> None:
    """Each delay is drawn from nothing up to a ceiling that doubles, to a limit."""
    ceilings = [FIRST_DELAY_S * 2**n for n in range(10)]
    drawn = [list(itertools.islice(delays(random.Random(seed)), 10)) for seed in range(200)]
    for column, ceiling_s in enumerate(ceilings):
        values = [row[column] for row in drawn]
        ceiling_s = min(ceiling_s, LONGEST_DELAY_S)
        assert 0 <= min(values) < 0.1 * ceiling_s
        assert 0.9 * ceiling_s < max(values) <= ceiling_s


def test_what_is_worth_retrying() -> None:
    """A full pool, a lost session and a service out of reach may be better next time."""
    assert is_worth_retrying(CapacityReached(1, 1))
    assert is_worth_retrying(SessionLost("gone"))
    assert is_worth_retrying(ConnectionFailed("ws://x", "nobody"))
    assert not is_worth_retrying(EnvironmentFailed("it broke"))
    assert not is_worth_retrying(TypeError("wrong"))
