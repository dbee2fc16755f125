"""The WebSocket door: the wire's table row by row, and a socket that somebody always reads."""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
import websockets.asyncio.client as foreign
from aiohttp import WSMsgType, web
from websockets.exceptions import ConnectionClosedOK

from aioenv.service import create_app
from aioenv.service.app import _DOORS
from tests.conftest import LoopErrors, Serve, Served, eventually
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
from tests.service.conftest import Connect, OpenRaw, RawPeer

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])

STEP = '{"type":"step","data":{"text":"%s"}}'
HEARTBEAT_S = 0.1
HANDSHAKE = (
    "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def outlast_the_silent(open_raw: OpenRaw, served: Served, times: int = 2) -> None:
    """Wait until the service has dropped a client that answers no ping, one after the other.

    Whoever was connected before and is connected afterwards has been spared on purpose.
    """
    for _ in range(times):
        await (await open_raw(served)).wait_dropped()


# The wire's table


async def test_reset_is_answered_with_an_observation(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """A reset's reply has the observation's own fields inside and reward and done beside it."""
    talk = await connect(await serve(populate(census, AsyncWorld)))
    assert await talk.ask({"type": "reset", "data": {}}) == {
        "type": "observation",
        "data": {
            "observation": {"metadata": {}, "text": "ready"},
            "reward": None,
            "done": False,
        },
    }
    assert await talk.ask({"type": "reset"}) == await talk.ask('{"type":"reset","data":{}}')


async def test_reset_passes_on_the_options_that_the_environment_takes(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """Declared options arrive, all others are dropped, and state tells the episode's id."""
    talk = await connect(await serve(populate(census, AsyncWorld)))
    data = {"seed": 7, "episode_id": "ep-7", "do": "greet", "self": 1, "method": 2, "more": 3}
    reply = await talk.ask({"type": "reset", "data": data})
    assert reply["data"]["observation"]["text"] == "greet", reply
    assert [world.options for world in census.alive] == [{"seed": 7, "episode_id": "ep-7"}]
    assert (await talk.ask({"type": "state"}))["data"]["episode_id"] == "ep-7"


async def test_step_is_answered_with_metadata_twice(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """Metadata stands in the observation, and beside it because it is not empty."""
    talk = await connect(await serve(populate(census, AsyncWorld)))
    assert await talk.say("Hi") == {
        "type": "observation",
        "data": {
            "observation": {"metadata": {"step": 1}, "text": "Hi"},
            "reward": 2.0,
            "done": False,
            "metadata": {"step": 1},
        },
    }


async def test_an_action_may_carry_metadata(serve: Serve, connect: Connect, census: Census) -> None:
    """Metadata beside the action's own fields is taken, although its class declares none."""
    talk = await connect(await serve(populate(census, AsyncWorld)))
    data = {"text": "Hi", "metadata": {"from": "me"}}
    reply = await talk.ask({"type": "step", "data": data})
    assert reply["data"]["observation"]["text"] == "Hi"


@pytest.mark.parametrize("world", [AsyncWorld, PlainWorld, MixedWorld])
async def test_state_tells_every_field(
    serve: Serve, connect: Connect, census: Census, world: type[World]
) -> None:
    """State is answered before the first reset too, with the class's own fields."""
    talk = await connect(await serve(populate(census, world)))
    empty: dict[str, Any] = {"episode_id": None, "step_count": 0, "heard": []}
    assert await talk.ask({"type": "state"}) == {"type": "state", "data": empty}
    await talk.say("one")
    await talk.say("two")
    full = {"episode_id": None, "step_count": 2, "heard": ["one", "two"]}
    assert await talk.ask({"type": "state"}) == {"type": "state", "data": full}


async def test_non_finite_numbers_go_out_as_null(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """A reward that is not a number is null on the wire."""
    talk = await connect(await serve(populate(census, AsyncWorld)))
    assert (await talk.say("return not a number"))["data"]["reward"] is None


async def test_close_is_answered_with_a_normal_closure(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """The close message has no reply but close code 1000, and the session is over by then."""
    talk = await connect(await serve(populate(census, AsyncWorld)))
    await talk.echoes()
    await talk.tell({"type": "close"})
    assert await talk.ended() == 1000
    assert census.closed == 1


async def test_one_connection_over_the_limit_is_told_the_figures(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """It is accepted, told why, and closed with 1013; what it sent first does not matter."""
    served = await serve(populate(census, AsyncWorld), max_concurrent_envs=2)
    for _ in range(2):
        await (await connect(served)).echoes()
    talk = await connect(served)
    await talk.tell({"type": "reset"})
    reply = await talk.hear()
    assert reply["type"] == "error"
    message = reply["data"].pop("message")
    assert message.startswith("every session is in use (2 of 2)"), message
    figures = {"code": "CAPACITY_REACHED", "active_sessions": 2, "max_sessions": 2}
    assert reply["data"] == figures
    assert await talk.ended() == 1013


async def test_a_waiting_connection_gets_the_next_slot(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """Connections that ask to wait are served in the order in which they came."""
    served = await serve(populate(census, AsyncWorld), max_concurrent_envs=1)
    first = await connect(served)
    await first.echoes()
    second, third = await connect(served, "?wait_s=60"), await connect(served, "?wait_s=60")
    await third.tell(STEP % "third")
    await second.tell(STEP % "second")
    await eventually(lambda: served.service.pool.statistics().waiting == 2)
    await first.socket.close()
    assert (await second.hear())["data"]["observation"]["text"] == "second"
    await second.socket.close()
    assert (await third.hear())["data"]["observation"]["text"] == "third"


async def test_a_wait_in_vain_is_told(serve: Serve, connect: Connect, census: Census) -> None:
    """A connection whose patience is over is refused as at once."""
    served = await serve(populate(census, AsyncWorld), max_concurrent_envs=1)
    await (await connect(served)).echoes()
    talk = await connect(served, "?wait_s=0.01")
    assert (await talk.hear())["data"]["code"] == "CAPACITY_REACHED"
    assert await talk.ended() == 1013


@pytest.mark.parametrize("wait_s", ["soon", "-1", "nan", "inf", ""])
async def test_a_wait_that_is_no_number_is_refused_before_the_handshake(
    serve: Serve, http: aiohttp.ClientSession, census: Census, wait_s: str
) -> None:
    """The handshake fails with 422 and names the parameter."""
    served = await serve(populate(census, AsyncWorld))
    async with http.get(f"{served.url}/ws?wait_s={wait_s}") as response:
        assert response.status == 422
        (fault,) = (await response.json())["detail"]
    assert fault == {
        "type": "float_parsing",
        "loc": ["query", "wait_s"],
        "msg": "expected a number of seconds, 0 or more",
        "input": wait_s,
    }


async def test_a_client_in_the_queue_may_leave(
    serve: Serve, connect: Connect, open_raw: OpenRaw, census: Census
) -> None:
    """Its place is given up the moment its connection breaks, and it can ping until then."""
    served = await serve(populate(census, AsyncWorld), max_concurrent_envs=1)
    first = await connect(served)
    await first.echoes()
    waiting = await open_raw(served, "?wait_s=60")
    await eventually(lambda: served.service.pool.statistics().waiting == 1)
    waiting.send(WSMsgType.PING, b"there?")
    assert await waiting.receive() == (WSMsgType.PONG, b"there?")
    waiting.abort()
    await eventually(lambda: served.service.pool.statistics().waiting == 0)
    await first.echoes()
    assert census.made == 1


async def test_a_request_sent_from_the_queue_is_answered(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """What a client asks while it waits for a slot is kept for its session."""
    served = await serve(populate(census, AsyncWorld), max_concurrent_envs=1)
    first = await connect(served)
    await first.echoes()
    second = await connect(served, "?wait_s=60")
    for text in ("one", "two"):
        await second.tell(STEP % text)
    await eventually(lambda: served.service.pool.statistics().waiting == 1)
    await first.tell({"type": "close"})
    replies = [await second.hear() for _ in range(2)]
    assert [reply["data"]["observation"]["text"] for reply in replies] == ["one", "two"]


async def test_there_is_no_frame_that_was_not_asked_for(
    serve: Serve, open_raw: OpenRaw, census: Census
) -> None:
    """A stranger's client gets one frame for each of its own, from the first to the last."""
    peer = await open_raw(await serve(populate(census, AsyncWorld)))
    peer.say("pause")
    peer.say("raise")
    peer.send(WSMsgType.TEXT, b'{"type":"state"}')
    peer.send(WSMsgType.TEXT, b'{"type":"close"}')
    kinds = [(await peer.receive())[0] for _ in range(4)]
    assert kinds == [WSMsgType.TEXT, WSMsgType.TEXT, WSMsgType.TEXT, WSMsgType.CLOSE]
    peer.send(WSMsgType.CLOSE, (1000).to_bytes(2, "big"))
    assert await peer.reader.read() == b""


async def test_a_client_that_leaves_before_the_handshake_is_through_is_no_error(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """Its connection is let go in silence (an error in the server's log would fail this test)."""
    served = await serve(populate(census, AsyncWorld))
    host, _, port = served.url.removeprefix("http://").partition(":")
    for turns in range(12):  # in one of these turns of the loop it has read, and not answered yet
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(HANDSHAKE.encode())
        for _ in range(turns):
            await asyncio.sleep(0)
        writer.transport.abort()
    async with http.get(f"{served.url}/health") as response:
        assert response.status == 200
    await eventually(lambda: not served.service.pool.statistics().active)


# A peer that is not aiohttp


async def test_no_extension_is_agreed_to(serve: Serve, open_raw: OpenRaw, census: Census) -> None:
    """A client that offers permessage-deflate gets a plain connection."""
    served = await serve(populate(census, AsyncWorld))
    offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
    peer = await open_raw(served, "", offer)
    assert peer.response.startswith("HTTP/1.1 101 ")
    assert "extensions" not in peer.response.lower()


async def test_websockets_converses(serve: Serve, census: Census) -> None:
    """The library that OpenEnv's client uses, with all its defaults, is served."""
    served = await serve(populate(census, AsyncWorld))
    async with foreign.connect(served.ws_url) as socket:
        for text in ("Hi", "ß" * 100_000):
            await socket.send(STEP % text)
            assert json.loads(await socket.recv())["data"]["observation"]["text"] == text
        await socket.send('{"type":"close"}')
        with pytest.raises(ConnectionClosedOK):
            await socket.recv()


async def test_a_fragmented_message_is_put_together(serve: Serve, census: Census) -> None:
    """A message may come in as many frames as its sender likes (RFC 6455, section 5.4)."""
    served = await serve(populate(census, AsyncWorld))
    async with foreign.connect(served.ws_url) as socket:
        await socket.send(list(STEP % "bit by bit"))
        assert json.loads(await socket.recv())["data"]["observation"]["text"] == "bit by bit"


async def test_a_ping_between_fragments_is_answered(
    serve: Serve, open_raw: OpenRaw, census: Census
) -> None:
    """A control frame may come in the middle of a message (RFC 6455, section 5.4)."""
    peer = await open_raw(await serve(populate(census, AsyncWorld)))
    whole = (STEP % "halves").encode()
    peer.send(WSMsgType.TEXT, whole[:9], fin=False)
    peer.send(WSMsgType.PING, b"now?")
    assert await peer.receive() == (WSMsgType.PONG, b"now?")
    peer.send(WSMsgType.CONTINUATION, whole[9:])
    assert (await peer.hear())["data"]["observation"]["text"] == "halves"


async def test_frames_that_break_the_protocol_end_the_connection(
    serve: Serve, open_raw: OpenRaw, census: Census
) -> None:
    """A reserved opcode is answered with close code 1002, and the slot is free again."""
    served = await serve(populate(census, AsyncWorld))
    peer = await open_raw(served)
    peer.writer.write(b"\x83\x80\x00\x00\x00\x00")
    kind, payload = await peer.receive()
    assert (kind, int.from_bytes(payload[:2], "big")) == (WSMsgType.CLOSE, 1002)
    await eventually(lambda: not served.service.pool.statistics().active)


# Somebody always reads


@pytest.mark.parametrize("world", [AsyncWorld, PlainWorld])
async def test_pings_are_answered_in_the_middle_of_a_step(
    serve: Serve, census: Census, world: type[World]
) -> None:
    """A client that pings during a long step gets its pongs, and then the observation."""
    served = await serve(populate(census, world))
    async with foreign.connect(served.ws_url) as socket:
        await socket.send(STEP % "hang")
        await eventually(lambda: census.hanging)
        for _ in range(3):
            await asyncio.wait_for(await socket.ping(), 20)
        assert census.hanging == 1
        census.open_gate()
        assert json.loads(await socket.recv())["data"]["observation"]["text"] == "hang"


def _abort(peer: RawPeer) -> None:
    peer.abort()


def _close_politely(peer: RawPeer) -> None:
    peer.send(WSMsgType.CLOSE, (1001).to_bytes(2, "big"))


def _hang_up(peer: RawPeer) -> None:
    peer.writer.close()


def _stop_sending(peer: RawPeer) -> None:
    peer.writer.write_eof()


def _break_the_protocol(peer: RawPeer) -> None:
    peer.writer.write(b"\xff\xff")


LEAVINGS = [_abort, _close_politely, _hang_up, _stop_sending, _break_the_protocol]


@pytest.mark.parametrize("leave", LEAVINGS)
@pytest.mark.parametrize("pipelined", [0, 3])
async def test_a_client_that_leaves_in_mid_step_cancels_it(
    serve: Serve,
    open_raw: OpenRaw,
    census: Census,
    leave: Callable[[RawPeer], None],
    pipelined: int,
) -> None:
    """The step is cancelled, the environment closed and the slot free, however the client left."""
    served = await serve(populate(census, AsyncWorld), max_concurrent_envs=1)
    peer = await open_raw(served)
    peer.say("hang")
    for number in range(pipelined):
        peer.say(f"later {number}")
    await eventually(lambda: census.hanging)
    leave(peer)
    await eventually(lambda: census.closed == 1)
    await eventually(lambda: not served.service.pool.statistics().active)
    assert census.cancelled == 1


@pytest.mark.parametrize("leave", LEAVINGS)
async def test_an_idle_client_that_leaves_frees_its_slot(
    serve: Serve, open_raw: OpenRaw, census: Census, leave: Callable[[RawPeer], None]
) -> None:
    """Between two requests the loss is noticed as well."""
    served = await serve(populate(census, AsyncWorld), max_concurrent_envs=1)
    peer = await open_raw(served)
    peer.say("pause")
    assert (await peer.hear())["type"] == "observation"
    leave(peer)
    await eventually(lambda: census.closed == 1)
    await eventually(lambda: not served.service.pool.statistics().active)


@pytest.mark.parametrize("text", ["hang", "Hi"])
async def test_a_request_and_the_farewell_may_come_in_one_packet(
    serve: Serve, open_raw: OpenRaw, census: Census, text: str
) -> None:
    """What suspends is cancelled before it goes on, what does not is answered before the end."""
    served = await serve(populate(census, AsyncWorld))
    peer = await open_raw(served)
    await eventually(lambda: served.service.pool.statistics().active)
    step = (STEP % text).encode()
    frames = bytes([0x81, 0x80 | len(step)]) + bytes(4) + step + b"\x88\x80" + bytes(4)
    peer.writer.write(frames)
    if text == "Hi":
        assert (await peer.hear())["data"]["observation"]["text"] == "Hi"
    assert (await peer.receive())[0] is WSMsgType.CLOSE
    assert (census.cancelled, census.closed) == (int(text == "hang"), 1)


async def test_a_fault_of_the_service_s_own_is_told_and_logged(
    serve: Serve, connect: Connect, census: Census, loop_errors: LoopErrors
) -> None:
    """The client is closed with 1011, the log has the traceback, and the slot is free."""

    class Broken(AsyncWorld):
        reset_first = property(lambda self: 1 / 0)

    served = await serve(populate(census, Broken))
    talk = await connect(served)
    await talk.tell(STEP % "Hi")
    message = await talk.socket.receive(20)
    assert (message.data, message.extra) == (1011, "the service failed; see its log")
    await eventually(lambda: not served.service.pool.statistics().active)
    (record,) = loop_errors.records
    loop_errors.records.clear()
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


async def test_a_step_that_defies_its_cancellation_harms_nobody(
    serve: Serve, open_raw: OpenRaw, census: Census
) -> None:
    """It may finish after its client has left; then its session ends as every other."""
    defied = asyncio.Event()

    class Stubborn(AsyncWorld):
        async def step(self, action: Any) -> Any:
            try:
                await self.census.hang()
            except asyncio.CancelledError:
                defied.set()
            return self._play("done")

    served = await serve(populate(census, Stubborn))
    peer = await open_raw(served)
    peer.say("hang")
    await eventually(lambda: census.hanging)
    peer.abort()
    await defied.wait()
    await eventually(lambda: census.closed == 1)


async def test_pipelined_requests_are_answered_in_order(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """Requests that come while one is under way wait for their turn."""
    talk = await connect(await serve(populate(census, AsyncWorld)))
    texts = ["hang", "a", "pause", "b", "raise", "c"]
    for text in texts:
        await talk.tell(STEP % text)
    await eventually(lambda: census.hanging)
    census.open_gate()
    heard = []
    for _ in texts:
        data = (await talk.hear())["data"]
        heard.append(data["observation"]["text"] if "observation" in data else data["message"])
    assert heard == ["hang", "a", "pause", "b", "it broke", "c"]


@pytest.mark.parametrize("text", ["a", "pause"])
async def test_a_flood_of_requests_is_answered_in_order(
    serve: Serve, connect: Connect, census: Census, text: str
) -> None:
    """Far more requests than the reader runs ahead are made to wait, and none is lost."""
    talk = await connect(await serve(populate(census, AsyncWorld)))
    await talk.tell(STEP % "hang")
    for _ in range(200):
        await talk.tell(STEP % text)
    await eventually(lambda: census.hanging)
    census.open_gate()
    counts = [(await talk.hear())["data"]["metadata"]["step"] for _ in range(201)]
    assert counts == list(range(1, 202))


@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_a_client_that_sends_far_ahead_is_made_to_wait(
    serve: Serve, connect: Connect, open_raw: OpenRaw, census: Census
) -> None:
    """The service does not read more than a few frames for a busy session; memory has a bound."""
    served = await serve(populate(census, AsyncWorld))
    bystander, peer = await connect(served), await open_raw(served)
    peer.say("hang")
    await eventually(lambda: census.hanging)
    for _ in range(100):
        peer.say("x" * 500_000)
    for _ in range(100):
        await bystander.echoes()  # turns in which the service could read on
    assert peer.writer.transport.get_write_buffer_size() > 10_000_000
    census.open_gate()
    assert (await peer.hear())["data"]["observation"]["text"] == "hang"
    for _ in range(100):
        assert (await peer.hear())["data"]["reward"] == 500_000


async def test_a_few_large_messages_fill_the_queue_of_a_client_too(
    serve: Serve, connect: Connect, open_raw: OpenRaw, census: Census
) -> None:
    """The service keeps little more than the largest message, for whoever queues for a slot too."""
    served = await serve(
        populate(census, AsyncWorld), max_concurrent_envs=1, max_message_size_mb=1.0
    )
    first = await connect(served)
    await first.echoes()
    before = set(served.app[_DOORS])
    peer = await open_raw(served, "?wait_s=60")
    (door,) = served.app[_DOORS] - before
    count = 12
    for _ in range(count):
        peer.say("x" * 600_000)
    await eventually(lambda: door._backlog is not None)
    assert len(door._inbox) < 4
    await first.socket.close()
    for _ in range(count):
        assert (await peer.hear())["data"]["reward"] == 600_000
    assert not door._inbox.is_full


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_a_client_that_pings_and_does_not_read_is_made_to_wait(
    serve: Serve, connect: Connect, open_raw: OpenRaw, census: Census
) -> None:
    """Pongs that nobody takes do not pile up; each is sent in the end."""
    served = await serve(populate(census, AsyncWorld))
    bystander, peer = await connect(served), await open_raw(served)
    ping = b"\x89\xfd" + bytes(4) + b"x" * 125
    count = 200_000
    peer.writer.write(ping * count)
    for _ in range(100):
        await bystander.echoes()  # turns in which the service could read on
    assert peer.writer.transport.get_write_buffer_size() > 5_000_000
    assert len(served.service._tasks) == 1  # which waits for the client to read
    left = count * 127
    async with asyncio.timeout(60):
        while left:
            left -= len(await peer.reader.read(left))
    peer.say("Hi")
    assert (await peer.hear())["data"]["observation"]["text"] == "Hi"


# Heartbeat


async def _be_idle(peer: RawPeer, census: Census) -> None:
    peer.say("Hi")
    assert (await peer.hear())["type"] == "observation"


async def _be_new(peer: RawPeer, census: Census) -> None:
    await eventually(lambda: census.made)


async def _be_busy(peer: RawPeer, census: Census) -> None:
    peer.say("hang")
    await eventually(lambda: census.hanging)


@pytest.mark.parametrize("be", [_be_idle, _be_new, _be_busy])
async def test_a_half_open_connection_is_noticed(
    serve: Serve,
    open_raw: OpenRaw,
    census: Census,
    be: Callable[[RawPeer, Census], Awaitable[None]],
) -> None:
    """A client that answers no ping any more is dropped, and its slot is free again."""
    served = await serve(populate(census, AsyncWorld), heartbeat_s=HEARTBEAT_S)
    peer = await open_raw(served)
    await be(peer, census)
    await eventually(lambda: census.closed == 1)
    await eventually(lambda: not served.service.pool.statistics().active)
    await peer.wait_dropped()


async def test_a_half_open_connection_in_the_queue_is_noticed(
    serve: Serve, connect: Connect, open_raw: OpenRaw, census: Census
) -> None:
    """A client that waits for a slot and has vanished meanwhile does not get it."""
    served = await serve(
        populate(census, AsyncWorld), max_concurrent_envs=1, heartbeat_s=HEARTBEAT_S
    )
    first = await connect(served)
    reading = asyncio.create_task(first.hear())  # reading, it answers pings
    await open_raw(served, "?wait_s=60")
    await eventually(lambda: served.service.pool.statistics().waiting == 1)
    await eventually(lambda: served.service.pool.statistics().waiting == 0)
    await first.tell({"type": "state"})
    assert (await reading)["type"] == "state"
    assert census.made == 1


@pytest.mark.parametrize("world", [AsyncWorld, PlainWorld])
@pytest.mark.parametrize("text", ["Hi", "hang"])
async def test_a_client_that_answers_pings_stays(
    serve: Serve, open_raw: OpenRaw, census: Census, world: type[World], text: str
) -> None:
    """Pongs are enough of a sign of life, in the middle of a step as well as between two."""
    served = await serve(populate(census, world), heartbeat_s=HEARTBEAT_S)
    async with foreign.connect(served.ws_url, ping_interval=None) as socket:
        await socket.send(STEP % text)
        await outlast_the_silent(open_raw, served)
        census.open_gate()
        assert json.loads(await socket.recv())["data"]["observation"]["text"] == text


async def test_a_client_that_pings_us_stays(
    serve: Serve, open_raw: OpenRaw, census: Census
) -> None:
    """Whatever a client sends counts as a sign of life, not only pongs."""
    served = await serve(populate(census, AsyncWorld), heartbeat_s=HEARTBEAT_S)
    peer = await open_raw(served)
    silent = asyncio.create_task(outlast_the_silent(open_raw, served))
    while not silent.done():
        peer.send(WSMsgType.PING, b"still there")
        kind = WSMsgType.PING
        while kind is not WSMsgType.PONG:
            kind, _ = await peer.receive()
    await silent
    peer.say("Hi")
    assert (await peer.hear())["type"] == "observation"


async def test_a_stalled_service_does_not_take_its_clients_for_dead(
    serve: Serve, connect: Connect, open_raw: OpenRaw, census: Census
) -> None:
    """A pong that came while a careless step blocked the loop is read before anybody is dropped."""

    class Careless(AsyncWorld):
        async def step(self, action: Word) -> Heard:
            if action.text == "stall":
                time.sleep(HEARTBEAT_S * 3)  # noqa: ASYNC251  # the stall is the point
                os.write(peer.file_number, b"\x8a\x80\x00\x00\x00\x00")  # an empty pong
            return Heard(action.text)

    served = await serve(populate(census, Careless), heartbeat_s=HEARTBEAT_S)
    talk, peer = await connect(served), await open_raw(served)
    assert (await peer.receive())[0] is WSMsgType.PING
    await talk.say("stall")
    peer.say("Hi")
    assert (await peer.hear())["data"]["observation"]["text"] == "Hi"


async def test_a_client_that_sends_far_ahead_is_not_taken_for_dead(
    serve: Serve, open_raw: OpenRaw, census: Census
) -> None:
    """While its own requests keep the service from reading on, its silence is no sign of death."""
    served = await serve(populate(census, AsyncWorld), heartbeat_s=HEARTBEAT_S)
    async with foreign.connect(served.ws_url, ping_interval=None) as socket:
        await socket.send(STEP % "hang")
        for _ in range(40):
            await socket.send(STEP % "a")
        await eventually(lambda: census.hanging)
        await outlast_the_silent(open_raw, served)
        census.open_gate()
        counts = [json.loads(await socket.recv())["data"]["metadata"]["step"] for _ in range(41)]
    assert counts == list(range(1, 42))


async def test_a_client_that_sent_far_ahead_and_left_is_noticed(
    serve: Serve, open_raw: OpenRaw, census: Census
) -> None:
    """Its broken connection cancels the step although there is more to read before the end."""
    served = await serve(populate(census, AsyncWorld), heartbeat_s=HEARTBEAT_S)
    peer = await open_raw(served)
    peer.say("hang")
    for _ in range(40):
        peer.say("a")
    await eventually(lambda: census.hanging)
    peer.abort()
    await eventually(lambda: census.closed == 1)
    assert census.cancelled == 1


async def test_a_client_that_does_not_read_may_take_its_time(
    serve: Serve, open_raw: OpenRaw, census: Census
) -> None:
    """Its pongs are heard while a reply waits for it, so it keeps its session and the reply."""
    served = await serve(populate(census, AsyncWorld), heartbeat_s=HEARTBEAT_S)
    peer = await open_raw(served)

    async def show_life() -> None:
        while True:
            peer.send(WSMsgType.PONG)
            await asyncio.sleep(HEARTBEAT_S / 4)

    peer.say("return a lot")
    living = asyncio.create_task(show_life())
    await outlast_the_silent(open_raw, served)
    assert len((await peer.hear())["data"]["observation"]["text"]) == 4_000_000
    peer.say("Hi")
    assert (await peer.hear())["data"]["observation"]["text"] == "Hi"
    living.cancel()


async def test_a_client_that_neither_reads_nor_answers_is_dropped(
    serve: Serve, open_raw: OpenRaw, census: Census
) -> None:
    """A reply that nobody takes holds no slot."""
    served = await serve(populate(census, AsyncWorld), heartbeat_s=HEARTBEAT_S)
    peer = await open_raw(served)
    for _ in range(10):
        peer.say("return a lot")
    await eventually(lambda: census.closed == 1)
    await eventually(lambda: not served.service.pool.statistics().active)


async def test_a_client_that_sends_far_ahead_and_never_reads_is_dropped(
    serve: Serve, open_raw: OpenRaw, census: Census
) -> None:
    """While replies wait for it to read on, its silence is its own, and holds no slot."""
    served = await serve(populate(census, AsyncWorld), heartbeat_s=HEARTBEAT_S)
    peer = await open_raw(served)
    for _ in range(40):
        peer.say("return a lot")
    await eventually(lambda: not served.service.pool.statistics().active)
    await peer.wait_dropped()


async def test_a_client_that_leaves_with_its_handshake_does_not_queue(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """A close frame in one piece with the handshake ends its wait for a slot before it begins."""
    served = await serve(populate(census, AsyncWorld), max_concurrent_envs=1)
    talk = await connect(served)
    await talk.echoes()
    close = bytes([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8])  # 1000, masked with zeros
    peer = await RawPeer.open(served, "?wait_s=600", following=close)
    await peer.wait_dropped()
    await eventually(lambda: not served.service.pool.statistics().waiting)
    await talk.echoes()
    peer.abort()


@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_a_request_in_the_turn_of_a_cancellation_is_cancelled_with_it(
    serve: Serve, open_raw: OpenRaw, census: Census
) -> None:
    """A step that begins when its connection's task is cancelled already hears of that."""
    served = await serve(populate(census, AsyncWorld), close_timeout_s=0.5)
    peer = await open_raw(served)
    peer.say("Hi")
    await peer.hear()
    (door,) = served.app[_DOORS]
    assert door._task is not None
    step = (STEP % "hang").encode()
    os.write(peer.file_number, bytes([0x81, 0x80 | len(step)]) + bytes(4) + step)
    asyncio.get_running_loop().call_soon(door._task.cancel)  # before the loop reads the step
    await peer.wait_dropped()
    await eventually(lambda: census.closed == 1)
    assert census.cancelled == 1


async def test_a_handler_that_is_cancelled_with_its_connection(census: Census) -> None:
    """A user's own application may have handlers cancelled; the session ends all the same."""
    app = create_app(populate(census, AsyncWorld), Word, Heard, state=Tally)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    async with foreign.connect(f"ws://{host}:{port}/ws") as socket:
        await socket.send(STEP % "Hi")
        await socket.recv()
        socket.transport.abort()
    await eventually(lambda: census.closed == 1)
    await runner.cleanup()
