"""Stopping: the grace, the farewell, and an end that nothing holds up."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import websockets.asyncio.client as foreign
from aiohttp import web

from aioenv.service import SERVICE, EmbeddedService, Server, Settings, create_app
from tests.conftest import DEADLINE_S, Serve, Served, eventually
from tests.environments import AsyncWorld, Census, Heard, MixedWorld, PlainWorld, Word, populate
from tests.service.conftest import Connect, OpenRaw

ROOT = Path(__file__).parents[2]
FOREVER_S = 1e5
HANG = {"type": "step", "data": {"text": "hang"}}


@asynccontextmanager
async def stopping(served: Served, grace_s: float = 0.0) -> AsyncIterator["asyncio.Task[None]"]:
    """Stop a server meanwhile, and wait for the end of it."""
    task = asyncio.create_task(served.server.stop(grace_s))
    await eventually(lambda: served.service.is_draining)
    yield task
    async with asyncio.timeout(DEADLINE_S):
        await task


# Without a grace


async def test_idle_sessions_are_closed_with_1001(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """Each client is told that the service is going away, and each environment is closed."""
    served = await serve(populate(census, AsyncWorld))
    talks = [await connect(served) for _ in range(3)]
    for talk in talks:
        await talk.echoes()
    async with stopping(served):
        for talk in talks:
            message = await talk.socket.receive(DEADLINE_S)
            assert (message.data, message.extra) == (1001, "the service is stopping")
    assert census.closed == 3


async def test_a_silent_client_does_not_hold_up_kept_sessions(
    serve: Serve, open_raw: OpenRaw, http: aiohttp.ClientSession, census: Census
) -> None:
    """Sessions of plain HTTP are closed although a WebSocket's client agrees to no close."""
    served = await serve(populate(census, AsyncWorld, on_close="hang"), close_timeout_s=1.0)
    await open_raw(served)
    for _ in range(3):
        async with http.post(f"{served.url}/sessions") as response:
            assert response.status == 201
    await eventually(lambda: census.made == 4)
    async with stopping(served):
        await eventually(lambda: census.hanging == 4)  # each close has begun, and takes its time
        census.open_gate()
    assert census.closed == 4


async def test_a_kept_session_ends_with_the_connection_that_holds_it(
    serve: Serve, open_raw: OpenRaw, http: aiohttp.ClientSession, census: Census
) -> None:
    """At a stop it is closed at once, although the connection's client agrees to no close."""
    served = await serve(populate(census, AsyncWorld), close_timeout_s=1000.0)
    async with http.post(f"{served.url}/sessions") as response:
        session_id = (await response.json())["session_id"]
    peer = await open_raw(served, f"?session_id={session_id}")
    peer.say("Hi")
    await peer.hear()
    async with stopping(served) as stop:
        await eventually(lambda: census.closed == 1)
        assert not stop.done()
        peer.abort()


async def test_stop_may_be_called_twice(serve: Serve, census: Census) -> None:
    """The second call returns at once; nobody can connect any more."""
    served = await serve(populate(census, AsyncWorld))
    await served.server.stop()
    await served.server.stop()
    with pytest.raises(ConnectionRefusedError):
        await foreign.connect(served.ws_url)


@pytest.mark.parametrize("world", [AsyncWorld, PlainWorld])
@pytest.mark.parametrize("pipelined", [0, 40])
async def test_a_step_under_way_is_broken_off(
    serve: Serve,
    connect: Connect,
    census: Census,
    world: type[AsyncWorld] | type[PlainWorld],
    pipelined: int,
) -> None:
    """Its client gets 1001 instead of an answer, however many requests it has sent ahead."""
    served = await serve(populate(census, world))
    talk = await connect(served)
    await talk.tell(HANG)
    for _ in range(pipelined):
        await talk.tell({"type": "state"})
    await eventually(lambda: census.hanging)
    async with stopping(served):
        assert await talk.ended() == 1001
        if world is AsyncWorld:
            await eventually(lambda: census.cancelled == 1)
        census.open_gate()
    assert census.closed == 1


async def test_the_queue_is_turned_away(serve: Serve, connect: Connect, census: Census) -> None:
    """Who waits for a slot hears that there will be none, with 1001."""
    served = await serve(populate(census, AsyncWorld), max_concurrent_envs=1)
    first, waiting = await connect(served), await connect(served, "?wait_s=60")
    await eventually(lambda: served.service.pool.statistics().waiting == 1)
    async with stopping(served):
        error = (await waiting.hear())["data"]
        assert error == {"message": "the service is closed", "code": "SESSION_ERROR"}
        assert await waiting.ended() == 1001
        assert await first.ended() == 1001
    assert census.made == 1


async def test_a_client_that_does_not_agree_to_the_close_holds_nothing_up(
    serve: Serve, open_raw: OpenRaw, census: Census
) -> None:
    """The connection is broken off after the time for closing at the latest."""
    served = await serve(populate(census, AsyncWorld), close_timeout_s=0.2)
    peer = await open_raw(served)
    peer.say("Hi")
    await peer.hear()
    async with stopping(served):
        pass
    await peer.wait_dropped()
    assert census.closed == 1


async def test_a_client_that_does_not_read_holds_nothing_up(
    serve: Serve, open_raw: OpenRaw, census: Census
) -> None:
    """A reply and a farewell that nobody takes are dropped after the time for closing."""
    served = await serve(populate(census, AsyncWorld), close_timeout_s=0.2)
    peer = await open_raw(served)
    for _ in range(5):
        peer.say("return a lot")
    await eventually(lambda: census.made)
    async with stopping(served):
        pass
    assert census.closed == 1
    await peer.wait_dropped()


@pytest.mark.parametrize("world", [AsyncWorld, PlainWorld, MixedWorld])
async def test_a_close_that_hangs_holds_nothing_up(
    serve: Serve,
    connect: Connect,
    census: Census,
    world: type[AsyncWorld] | type[PlainWorld],
) -> None:
    """An environment that does not close in time is left to itself."""
    environment = populate(census, world, on_close="hang")
    served = await serve(environment, close_timeout_s=0.1)
    for _ in range(3):
        await (await connect(served)).echoes()
    async with stopping(served):
        pass
    assert census.closed == 3


@pytest.mark.parametrize("with_session", [False, True])
async def test_a_request_under_way_ends_before_its_environment_is_closed(
    serve: Serve, http: aiohttp.ClientSession, census: Census, with_session: bool
) -> None:
    """Over HTTP too no environment is closed while a method runs in it (see `Census.faults`)."""
    served = await serve(populate(census, AsyncWorld))
    headers = {}
    if with_session:
        async with http.post(f"{served.url}/sessions") as response:
            headers = {"X-Session-ID": (await response.json())["session_id"]}

    async def step() -> None:
        body = {"action": {"text": "hang"}}
        async with http.post(f"{served.url}/step", json=body, headers=headers) as response:
            await response.read()

    stepping = asyncio.create_task(step())
    await eventually(lambda: census.hanging)
    async with stopping(served):
        with pytest.raises(aiohttp.ClientConnectionError):
            await stepping
    assert (census.closed, census.cancelled) == (1, 1)


async def test_kept_sessions_end_with_the_service(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """Sessions over plain HTTP are closed like all others."""
    served = await serve(populate(census, AsyncWorld))
    for _ in range(2):
        async with http.post(f"{served.url}/sessions") as response:
            assert response.status == 201
    await served.server.stop()
    assert census.closed == 2


async def test_a_constructor_that_hangs_holds_nothing_up(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """What is made after the end is closed nevertheless."""
    served = await serve(populate(census, PlainWorld, on_make="hang"), close_timeout_s=0.1)
    await connect(served)
    await eventually(lambda: census.hanging)
    async with stopping(served):
        pass
    assert census.made == 0
    census.open_gate()
    await eventually(lambda: census.closed == 1)


# With a grace


async def test_live_sessions_go_on_during_the_grace(
    serve: Serve, connect: Connect, http: aiohttp.ClientSession, census: Census
) -> None:
    """Newcomers are refused and health says so; the stop is over once the last session is."""
    served = await serve(populate(census, AsyncWorld))
    talk = await connect(served)
    async with stopping(served, FOREVER_S) as stop:
        await talk.echoes()
        async with http.get(f"{served.url}/health") as response:
            assert (response.status, await response.json()) == (503, {"status": "unhealthy"})
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await connect(served)
        assert refusal.value.status == 503
        async with http.post(f"{served.url}/sessions") as response:
            assert response.status == 503
            assert response.headers["Retry-After"]
            assert (await response.json())["detail"] == "the service is closed"
        await talk.echoes()
        assert not stop.done()
        await talk.tell({"type": "close"})
        assert await talk.ended() == 1000


async def test_kept_sessions_go_on_during_the_grace(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """They can be used, and their end is the end of the grace."""
    served = await serve(populate(census, AsyncWorld))
    async with http.post(f"{served.url}/sessions") as response:
        session_id = (await response.json())["session_id"]
    async with stopping(served, FOREVER_S):
        async with http.get(
            f"{served.url}/state", headers={"X-Session-ID": session_id}
        ) as response:
            assert response.status == 200
        async with http.delete(f"{served.url}/sessions/{session_id}") as response:
            assert response.status == 204


async def test_what_is_left_after_the_grace_is_closed_with_1001(
    serve: Serve, connect: Connect, census: Census, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says how many were left."""
    served = await serve(populate(census, AsyncWorld))
    talk = await connect(served)
    await talk.tell(HANG)
    await eventually(lambda: census.hanging)
    async with stopping(served, 0.05):
        assert await talk.ended() == 1001
    assert census.cancelled == 1
    assert "1 sessions are still open after 0.05 s of grace" in caplog.text


async def test_a_stop_that_is_cancelled_in_its_grace_stops_nevertheless(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """Cancelling costs the grace, and leaves nothing running."""
    served = await serve(populate(census, AsyncWorld))
    talk = await connect(served)
    await talk.echoes()
    stop = asyncio.create_task(served.server.stop(FOREVER_S))
    await eventually(lambda: served.service.is_draining)
    stop.cancel()
    assert await talk.ended() == 1001
    with pytest.raises(asyncio.CancelledError):
        await stop
    assert census.closed == 1
    with pytest.raises(ConnectionRefusedError):
        await foreign.connect(served.ws_url)


# Started otherwise


async def test_a_service_may_be_a_part_of_a_bigger_application(
    http: aiohttp.ClientSession, census: Census
) -> None:
    """Mounted below a path, under aiohttp's own runner, all doors work and the end is the same."""
    inner = create_app(populate(census, AsyncWorld), Word, Heard, settings=Settings())
    outer = web.Application()
    outer.add_subapp("/envs/one/", inner)
    runner = web.AppRunner(outer, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    url = f"http://{host}:{port}/envs/one"

    async with http.get(f"{url}/health") as response:
        assert response.status == 200
    async with http.get(f"{url}/state") as response:
        assert response.status == 200
    async with http.post(f"{url}/sessions") as response:
        body = await response.json()
        assert response.headers["Location"] == f"/envs/one/sessions/{body['session_id']}"
    async with http.delete(f"{url}/sessions/{body['session_id']}") as response:
        assert response.status == 204
    async with http.ws_connect(f"{url}/ws") as socket:
        await socket.send_json({"type": "reset"})
        assert (await socket.receive_json())["type"] == "observation"
        cleaning = asyncio.create_task(runner.cleanup())
        message = await socket.receive(DEADLINE_S)
        assert message.data == 1001
    await cleaning
    assert inner[SERVICE].pool.statistics().active == 0
    assert census.closed == census.made == 3


async def test_an_address_in_use_is_an_error_that_leaves_nothing(
    serve: Serve, census: Census
) -> None:
    """The port's owner is not disturbed, and the second server can be started elsewhere."""
    served = await serve(populate(census, AsyncWorld))
    port = int(served.url.rpartition(":")[2])
    app = create_app(populate(census, AsyncWorld), Word, Heard, settings=Settings())
    server = Server(app, "127.0.0.1", port)
    with pytest.raises(OSError, match="Address already in use"):
        await server.start()
    with pytest.raises(RuntimeError, match=r"^the server has not started$"):
        server.url  # noqa: B018
    await server.stop()
    socket = await foreign.connect(served.ws_url)
    await socket.close()


@pytest.mark.parametrize(
    ("host", "prefix"), [("0.0.0.0", "http://127.0.0.1:"), ("::1", "http://[::1]:")]
)
async def test_the_address_is_one_to_connect_to(
    http: aiohttp.ClientSession, census: Census, host: str, prefix: str
) -> None:
    """Whatever the address to listen on is, the one that is told can be reached."""
    app = create_app(populate(census, AsyncWorld), Word, Heard, settings=Settings())
    server = Server(app, host, 0)
    url = await server.start()
    try:
        assert url.startswith(prefix)
        async with http.get(f"{url}/health") as response:
            assert response.status == 200
    finally:
        await server.stop()


async def test_an_embedded_service_is_started_and_stopped(
    http: aiohttp.ClientSession, census: Census
) -> None:
    """Its models are those that the environment's class was declared with."""
    embedded = EmbeddedService(populate(census, AsyncWorld))
    url = await embedded.start()
    async with http.get(f"{url}/state") as response:
        assert await response.json() == {"episode_id": None, "step_count": 0, "heard": []}
    await embedded.stop()
    await embedded.stop()
    assert census.closed == 1


def test_an_embedded_service_asks_for_models_that_it_cannot_find() -> None:
    """A bare callable tells no models, and the error says what to do."""
    with pytest.raises(TypeError, match="are not known; derive it from"):
        EmbeddedService(lambda: None)


# In a process of its own


PROGRAM = """
import logging, sys
from aioenv.service import Settings, create_app, serve
from tests.environments import *
census = Census()
worlds = {"async": AsyncWorld, "plain": PlainWorld}
world = populate(census, worlds[sys.argv[1]], on_make=sys.argv[2], on_close=sys.argv[3])
settings = Settings(port=0, shutdown_grace_s=float(sys.argv[4]), close_timeout_s=0.2)
app = create_app(world, Word, Heard, state=Tally, settings=settings)
serve(app, announce=lambda line: print(line, flush=True))
print("faults:", census.faults, flush=True)
"""


class Program:
    """A service that runs in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url

    async def ended(self) -> tuple[int, str]:
        """Wait for its end, and return its exit code and what else it said."""
        async with asyncio.timeout(DEADLINE_S):
            output, _ = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, output.decode()


@asynccontextmanager
async def program(
    world: str, *, on_make: str = "", on_close: str = "", grace_s: float = 0.05
) -> AsyncIterator[Program]:
    """Serve an environment in a process, which is gone afterwards in any case."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        *(world, on_make, on_close, str(grace_s)),
        cwd=ROOT,
        env={**os.environ, "PYTHONFAULTHANDLER": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            line = (await process.stdout.readline()).decode()
        assert line.startswith("Serving PlainWorld on " if world == "plain" else "Serving Async")
        yield Program(process, line.split()[-1])
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def converse(url: str, text: str) -> foreign.ClientConnection:
    """Connect and ask for a step."""
    socket = await foreign.connect(f"ws{url.removeprefix('http')}/ws")
    await socket.send(json.dumps({"type": "step", "data": {"text": text}}))
    return socket


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_the_service(number: signal.Signals) -> None:
    """Live sessions are closed with 1001 after the grace, and the process ends with 0."""
    async with program("async") as running:
        socket = await converse(running.url, "Hi")
        await socket.recv()
        running.process.send_signal(number)
        await socket.wait_closed()
        assert (socket.close_code, socket.close_reason) == (1001, "the service is stopping")
        code, output = await running.ended()
    assert (code, output.splitlines()[-1]) == (0, "faults: []")


@pytest.mark.parametrize("world", ["async", "plain"])
async def test_a_step_that_hangs_does_not_hold_the_process(world: str) -> None:
    """Not even a thread that cannot be interrupted keeps it from ending with 0."""
    async with program(world) as running:
        socket = await converse(running.url, "hang")
        await socket.ping()
        running.process.terminate()
        await socket.wait_closed()
        assert socket.close_code == 1001
        code, _ = await running.ended()
    assert code == 0


@pytest.mark.parametrize(("on_make", "on_close"), [("hang", ""), ("", "hang")])
async def test_a_constructor_or_close_that_hangs_does_not_hold_the_process(
    on_make: str, on_close: str
) -> None:
    """Threads that run in vain are left to themselves."""
    async with program("plain", on_make=on_make, on_close=on_close) as running:
        socket = await converse(running.url, "Hi")
        if not on_make:
            await socket.recv()
        running.process.terminate()
        await socket.wait_closed()
        code, _ = await running.ended()
    assert code == 0


async def test_a_second_signal_ends_the_process_at_once() -> None:
    """Whoever asks twice does not wait for the grace."""
    async with program("async", grace_s=FOREVER_S) as running, aiohttp.ClientSession() as http:
        socket = await converse(running.url, "Hi")
        await socket.recv()
        running.process.terminate()
        status = 200
        async with asyncio.timeout(DEADLINE_S):
            while status == 200:
                async with http.get(f"{running.url}/health") as response:
                    status = response.status
        assert status == 503
        running.process.terminate()
        code, _ = await running.ended()
        await socket.wait_closed()
    assert code == 130


async def test_a_stop_ends_as_soon_as_the_last_session_does() -> None:
    """A long grace is no delay for a service that nobody uses any more."""
    async with program("async", grace_s=FOREVER_S) as running:
        socket = await converse(running.url, "Hi")
        await socket.recv()
        running.process.terminate()
        await socket.close()
        code, output = await running.ended()
    assert (code, output.splitlines()[-1]) == (0, "faults: []")
