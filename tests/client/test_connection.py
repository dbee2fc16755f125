"""The connection, against services that answer late, twice, wrongly, or not at all."""

import asyncio
import itertools
import os
import random
import re
import signal
import socket
import ssl
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trustme
from aiohttp import ClientConnectorError, WSServerHandshakeError, web
from websockets.sync.server import ServerConnection

from aioenv import (
    Closed,
    ConnectionFailed,
    ProtocolViolation,
    RequestTimeout,
    SessionLost,
    dumps,
    loads,
)
from aioenv.client.connection import Connection
from aioenv.client.connection_options import ConnectionOptions
from aioenv.client.transport import Transport
from aioenv.service import create_app
from echo_env import EchoAction, EchoObservation
from echo_env.environment import EchoEnvironment
from tests.client.scripted import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Frame,
    Gone,
    Peer,
    error,
    in_thread,
    scripted,
)
from tests.conftest import DEADLINE_S, Served, eventually
from tests.peer.process import LineProcess

#: Longer than any reply takes here, short enough to wait for.
PATIENCE_S = 0.5


@asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncIterator[Connection]:
    """Open a connection, and close it in the end."""
    transport = Transport.join()
    try:
        connection = await open_connection(url, transport, **options)
        try:
            yield connection
        finally:
            await connection.close()
    finally:
        await transport.leave()


async def open_connection(url: str, transport: Transport, **options: Any) -> Connection:
    """Open a connection."""
    url = f"ws{url.removeprefix('http')}/ws"
    return await Connection.open(url, transport, ConnectionOptions(**options))


async def ask(connection: Connection, number: int) -> None:
    """Ask one numbered question, and check that the answer is its own."""
    reply = await connection.request(dumps({"number": number}), "step")
    assert loads(reply) == {"number": number}


async def cancelled(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait for its end."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def answer(peer: Peer) -> None:
    """Answer every request with itself."""
    while True:
        peer.reply(await peer.request())


class Holding:
    """A script that answers every request with itself, but only when it is let."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.may_answer = asyncio.Event()

    async def __call__(self, peer: Peer) -> None:
        reading = asyncio.create_task(self._read(peer))
        answered = 0
        try:
            while not reading.done():
                await self.may_answer.wait()
                for request in self.received[answered:]:
                    peer.reply(request)
                answered = len(self.received)
                self.may_answer.clear()
        finally:
            reading.cancel()

    async def wait_received(self, count: int) -> None:
        """Wait until so many requests have come."""
        await eventually(lambda: len(self.received) >= count, f"{count} requests came")

    async def _read(self, peer: Peer) -> None:
        try:
            while True:
                self.received.append(await peer.request())
        except Gone:
            pass
        finally:
            self.may_answer.set()


# Requests and replies in step


async def test_each_request_gets_its_reply() -> None:
    """Requests of concurrent callers take their turns, and each gets its own reply."""
    async with scripted(answer) as service, connected(service.url) as connection:
        await asyncio.gather(*(ask(connection, number) for number in range(100)))


async def test_a_late_reply_after_a_time_out_is_dropped() -> None:
    """A request that ran out of time raises; its reply, coming later, goes to nobody."""
    script = Holding()
    async with (
        scripted(script) as service,
        connected(service.url, message_timeout_s=PATIENCE_S) as connection,
    ):
        with pytest.raises(RequestTimeout, match=f"step.*{PATIENCE_S:g} s") as caught:
            await ask(connection, 1)
        assert (caught.value.operation, caught.value.timeout_s) == ("step", PATIENCE_S)
        second = asyncio.create_task(ask(connection, 2))
        await script.wait_received(2)
        script.may_answer.set()
        await second
        assert "unanswered=0" in repr(connection)


async def test_late_replies_are_dropped_before_the_next_request() -> None:
    """Replies that come while nobody waits are dropped, each in its request's place."""
    script = Holding()
    async with scripted(script) as service, connected(service.url) as connection:
        for number in range(3):
            asking = asyncio.create_task(ask(connection, number))
            await script.wait_received(number + 1)
            await cancelled(asking)
        assert "unanswered=3" in repr(connection)
        script.may_answer.set()
        await eventually(lambda: "unanswered=0" in repr(connection))
        asking = asyncio.create_task(ask(connection, 9))
        await script.wait_received(4)
        script.may_answer.set()
        await asking


async def test_late_replies_arrive_while_a_request_waits() -> None:
    """Older replies pass by the request that waits, which takes its own."""
    script = Holding()
    async with scripted(script) as service, connected(service.url) as connection:
        for number in range(3):
            asking = asyncio.create_task(ask(connection, number))
            await script.wait_received(number + 1)
            await cancelled(asking)
        asking = asyncio.create_task(ask(connection, 9))
        await script.wait_received(4)
        script.may_answer.set()
        await asking
        assert "unanswered=0" in repr(connection)


async def test_a_cancelled_send() -> None:
    """A request that is cancelled while it is being sent leaves the connection read and in step."""
    received: list[int] = []

    async def script(peer: Peer) -> None:
        peer.reply(await peer.request())
        peer.pause()
        await sending.wait()
        peer.reply({"number": 1})  # the reply to the request before, which was cancelled
        await cancelling.wait()
        peer.resume()
        while True:
            request = await peer.request()
            received.append(request["number"])
            if request["number"] != 1:
                peer.reply({"number": request["number"]})

    sending, cancelling = asyncio.Event(), asyncio.Event()
    async with scripted(script) as service, connected(service.url) as connection:
        await ask(connection, 0)
        first = asyncio.create_task(ask(connection, 1))
        await asyncio.sleep(0)
        await cancelled(first)
        second = asyncio.ensure_future(
            connection.request(dumps({"number": 2, "padding": "x" * 8_000_000}), "step")
        )
        await asyncio.sleep(0)
        sending.set()
        for _ in range(20):
            await asyncio.sleep(0)
        await cancelled(second)
        cancelling.set()
        await wait_read(service.peers[0])
        await ask(connection, 3)
        assert received == [1, 2, 3]


async def wait_read(peer: Peer) -> None:
    """Wait until somebody reads at the client's end: it answers a ping."""
    seen = len(peer.pongs)
    peer.send(PING, b"are you there")
    await eventually(lambda: len(peer.pongs) > seen, "the ping is answered")


async def test_nobody_starves() -> None:
    """A caller that asks without a pause lets others have their turns."""
    async with scripted(answer) as service, connected(service.url) as connection:

        async def ask_on() -> int:
            for number in itertools.count(1):
                await ask(connection, number)
                if all(task.done() for task in others) or number > 1000:
                    return number
            raise AssertionError

        busy = asyncio.create_task(ask_on())
        await asyncio.sleep(0)
        others = [asyncio.create_task(ask(connection, -number)) for number in range(3)]
        assert await busy <= 5
        await asyncio.gather(*others)


@pytest.mark.parametrize("seed", range(3))
async def test_a_storm_of_cancellations(seed: int) -> None:
    """Whatever is cancelled whenever, the replies that are waited for go to their requests."""
    rng = random.Random(seed)

    async def script(peer: Peer) -> None:
        while True:
            request = await peer.request()
            for _ in range(rng.choice([0, 0, 1, 5, 30])):
                await asyncio.sleep(0)
            peer.reply(request)

    async with scripted(script) as service, connected(service.url) as connection:
        answered = 0
        tasks: list[asyncio.Task[None]] = []
        for number in range(400):
            tasks.append(asyncio.create_task(ask(connection, number)))
            for _ in range(rng.choice([0, 0, 1, 2, 5, 20])):
                await asyncio.sleep(0)
            if rng.random() < 0.3:
                await asyncio.sleep(rng.choice([0.001, 0.01]))
            if rng.random() < 0.7:
                rng.choice(tasks[-5:]).cancel()
        for task in tasks:
            try:
                await task
                answered += 1
            except asyncio.CancelledError:
                pass
        assert 50 < answered < 350
        await ask(connection, -1)
        assert "unanswered=0" in repr(connection)


async def test_a_loss_and_a_cancellation_at_a_time() -> None:
    """A request that is cancelled just as the connection is lost leaves no error unheard."""

    async def script(peer: Peer) -> None:
        peer.reply(await peer.request())
        await peer.request()
        peer.close(1012, "restarting")
        await peer.wait_gone()

    async with scripted(script) as service:
        for turns in itertools.count():
            async with connected(service.url) as connection:
                await ask(connection, 1)
                asking = asyncio.create_task(ask(connection, 2))
                for _ in range(turns):
                    await asyncio.sleep(0)
                asking.cancel()
                await asyncio.wait([asking])
                if not asking.cancelled():
                    assert isinstance(asking.exception(), SessionLost)
                    break
        assert turns > 3


async def test_too_many_abandoned_requests() -> None:
    """A service that leaves request after request unanswered counts as gone; nothing piles up."""
    script = Holding()
    async with scripted(script) as service, connected(service.url) as connection:
        for number in itertools.count():
            asking = asyncio.create_task(ask(connection, number))
            await asyncio.sleep(0)
            if asking.done():
                break
            await cancelled(asking)
        assert number == 64
        with lost("64 requests in a row got no reply", None):
            await asking
        assert not connection.is_open


# What comes unasked

REFUSAL = error("CAPACITY_REACHED", active_sessions=2, max_sessions=2)


async def refuse(peer: Peer) -> None:
    """Do as a full service does: refuse, close, and end the connection."""
    peer.reply(REFUSAL)
    peer.close(1013, "CAPACITY_REACHED")


async def test_a_refusal_is_read_before_the_first_request() -> None:
    """The error of a full service is the reply to the first request, though all is over by then."""
    async with scripted(refuse) as service, connected(service.url) as connection:
        await eventually(lambda: not connection.is_open)
        assert loads(await connection.request(b"{}", "reset")) == REFUSAL
        with pytest.raises(SessionLost, match=r"CAPACITY_REACHED \(close code 1013\)"):
            await connection.request(b"{}", "reset")


async def test_a_refusal_is_read_by_the_first_request() -> None:
    """The same where the request itself reads it, and finds the socket closed for sending."""
    async with scripted(refuse) as service, connected(service.url) as connection:
        peer = service.peers[0]
        await eventually(lambda: peer.is_ended)
        assert loads(await connection.request(b"{}", "reset")) == REFUSAL
        with pytest.raises(SessionLost, match="CAPACITY_REACHED"):
            await connection.request(b"{}", "reset")


async def test_a_refusal_comes_while_the_first_request_is_sent() -> None:
    """A refusal that comes while a long request is still being sent is its reply."""

    async def script(peer: Peer) -> None:
        peer.pause()
        await sending.wait()
        peer.reply(REFUSAL)
        await refused.wait()
        peer.resume()
        await peer.wait_gone()

    sending, refused = asyncio.Event(), asyncio.Event()
    async with scripted(script) as service, connected(service.url) as connection:
        asking = asyncio.ensure_future(connection.request(b'"%s"' % (b"x" * 8_000_000), "step"))
        await asyncio.sleep(0)
        sending.set()
        assert loads(await asking) == REFUSAL
        refused.set()


@pytest.mark.parametrize(
    "frame", [b'{"type":"state","data":{}}', b"what is this?"], ids=["reply", "rubbish"]
)
async def test_an_unasked_reply_ends_the_session(frame: bytes) -> None:
    """A reply without a request is never taken for the next one's: the session is given up."""

    async def script(peer: Peer) -> None:
        peer.reply(await peer.request())
        peer.send(TEXT, frame)
        closed.append(await peer.wait_gone())

    closed: list[int | None] = []
    async with scripted(script) as service, connected(service.url) as connection:
        await ask(connection, 1)
        await eventually(lambda: not connection.is_open)
        with pytest.raises(SessionLost, match="the service sent what nobody asked for; call reset"):
            await ask(connection, 2)
        await eventually(lambda: closed == [1002])


async def test_unasked_errors_do_not_pile_up() -> None:
    """One error is kept for the next request; with the second the connection is given up."""

    async def script(peer: Peer) -> None:
        peer.reply(error("EXECUTION_ERROR", "first"))
        peer.reply(error("EXECUTION_ERROR", "second"))
        await peer.wait_gone()

    async with scripted(script) as service, connected(service.url) as connection:
        await eventually(lambda: not connection.is_open)
        assert b"first" in await connection.request(b"{}", "step")
        with pytest.raises(SessionLost, match="what nobody asked for"):
            await connection.request(b"{}", "step")


# How it ends


def lost(reason: str, close_code: int | None) -> "pytest.RaisesExc[SessionLost]":
    """Expect a `SessionLost` with this reason and close code, in these words."""

    def check(error: SessionLost) -> bool:
        assert (error.reason, error.close_code) == (reason, close_code)
        code = "" if close_code is None else f" (close code {close_code})"
        expected = f"the session is lost: {reason}{code}; call reset() to begin a new one"
        assert str(error) == expected
        return True

    return pytest.raises(SessionLost, check=check)


ENDINGS: dict[str, tuple[Callable[[Peer], None], str, int | None]] = {
    "close with a reason": (
        lambda peer: peer.close(1001, "the service is stopping"),
        "the service is stopping",
        1001,
    ),
    "close without a reason": (lambda peer: peer.close(1011), "the service closed it", 1011),
    "close without a code": (lambda peer: peer.send(CLOSE), "the service closed it", None),
    "end of TCP": (lambda peer: peer.end(), "the connection broke", None),
    "reset of TCP": (lambda peer: peer.abort(), "the connection broke", None),
    "broken frame": (
        lambda peer: peer.send_raw(b"\xff\x00"),
        "Received frame with non-zero reserved bits",
        1002,
    ),
    "message too big": (
        lambda peer: peer.send(TEXT, b" " * 1001),
        "Message size 1001 exceeds limit 1001",
        1009,
    ),
}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_a_loss_while_a_request_waits(ending: str) -> None:
    """The request that waits tells the reason and the close code; later ones say the same."""
    end, reason, close_code = ENDINGS[ending]

    async def script(peer: Peer) -> None:
        await peer.request()
        end(peer)
        await peer.wait_gone()

    async with (
        scripted(script) as service,
        connected(service.url, max_message_size_bytes=1000) as connection,
    ):
        for number in range(3):
            with lost(reason, close_code):
                await ask(connection, number)
        assert not connection.is_open


@pytest.mark.parametrize("parts", [1, 3])
async def test_a_reply_of_exactly_the_limit_is_taken(parts: int) -> None:
    """The limit is the size of the largest message that is taken, in one frame or in several."""
    reply = b"x" * 1000

    async def script(peer: Peer) -> None:
        await peer.request()
        if parts == 1:
            peer.send(TEXT, reply)
        else:  # a text frame without its FIN bit, a continuation, and the last one
            for first, part in ((0x01, reply[:400]), (0x00, reply[400:800]), (0x80, reply[800:])):
                peer.send_raw(struct.pack("!BBH", first, 126, len(part)) + part)
        await peer.wait_gone()

    async with (
        scripted(script) as service,
        connected(service.url, max_message_size_bytes=len(reply)) as connection,
    ):
        assert await connection.request(b"{}", "step") == reply


@pytest.mark.parametrize("ending", ENDINGS)
async def test_a_loss_while_nobody_waits(ending: str) -> None:
    """The loss is noticed at once, and the next request tells the reason and the close code."""
    end, reason, close_code = ENDINGS[ending]

    async def script(peer: Peer) -> None:
        peer.reply(await peer.request())
        end(peer)
        await peer.wait_gone()

    async with (
        scripted(script) as service,
        connected(service.url, max_message_size_bytes=1000) as connection,
    ):
        await ask(connection, 1)
        await eventually(lambda: not connection.is_open)
        for number in range(3):
            with lost(reason, close_code):
                await ask(connection, number)


@pytest.mark.parametrize("ending", ENDINGS)
async def test_a_loss_that_nobody_has_noticed_yet(ending: str) -> None:
    """A request on a connection that is gone tells the reason, though it could not be sent."""
    end, reason, close_code = ENDINGS[ending]

    async def script(peer: Peer) -> None:
        peer.reply(await peer.request())
        end(peer)

    async with (
        scripted(script) as service,
        connected(service.url, max_message_size_bytes=1000) as connection,
    ):
        await ask(connection, 1)
        peer = service.peers[0]
        await eventually(lambda: peer.is_ended)
        with lost(reason, close_code):
            await ask(connection, 2)


async def test_a_ping_before_the_end_hides_nothing() -> None:
    """A ping that can no longer be answered does not hide what came with it."""

    async def script(peer: Peer) -> None:
        peer.send(PING)
        peer.reply(REFUSAL)
        peer.send(PING)

    async with scripted(script) as service, connected(service.url) as connection:
        peer = service.peers[0]
        await eventually(lambda: peer.is_ended)
        assert loads(await connection.request(b"{}", "reset")) == REFUSAL
        with lost("the connection broke", None):
            await connection.request(b"{}", "reset")


@pytest.mark.parametrize("waits", [True, False], ids=["a request waits", "nobody waits"])
async def test_a_binary_frame(waits: bool) -> None:
    """A binary frame is a violation: whoever waits is told so, and the connection is given up."""

    async def script(peer: Peer) -> None:
        await peer.request()
        if not waits:
            peer.reply({"number": 1})
        peer.send(BINARY, b"{}")
        closed.append(await peer.wait_gone())

    closed: list[int | None] = []
    async with scripted(script) as service, connected(service.url) as connection:
        if waits:
            with pytest.raises(ProtocolViolation) as caught:
                await ask(connection, 1)
            assert str(caught.value) == "the service sent a binary frame"
        else:
            await ask(connection, 1)
        await eventually(lambda: not connection.is_open)
        with lost("the service sent a binary frame", None):
            await ask(connection, 2)
        await eventually(lambda: closed == [1003])


async def test_the_reply_before_a_close_is_not_lost() -> None:
    """A reply that comes together with the close is returned; the loss shows afterwards."""

    async def script(peer: Peer) -> None:
        peer.reply(await peer.request())
        peer.close(1001, "done")

    async with scripted(script) as service, connected(service.url) as connection:
        await ask(connection, 1)
        with lost("done", 1001):
            await ask(connection, 2)


# Pings


async def test_pings_are_answered_while_nobody_waits() -> None:
    """The service's pings are answered with their payloads while an agent thinks."""

    async def script(peer: Peer) -> None:
        for number in range(3):
            peer.send(PING, b"%d" % number)
        await peer.request()

    async with scripted(script) as service, connected(service.url):
        await eventually(lambda: service.peers[0].pongs == [b"0", b"1", b"2"])


async def test_pongs_do_not_pile_up() -> None:
    """A service that pings and reads nothing has a bounded number of pongs to read in the end."""
    payload = b"x" * 125
    may_read = asyncio.Event()

    async def script(peer: Peer) -> None:
        request = await peer.request()
        peer.pause()
        for _ in range(count):
            peer.send(PING, payload)
        peer.reply(request)
        await may_read.wait()
        peer.resume()
        await peer.request()

    count = 20_000
    async with scripted(script) as service, connected(service.url) as connection:
        transport = connection._socket._writer.transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        await ask(connection, 1)  # by its reply the client has read every ping
        most = transport.get_write_buffer_limits()[1] + 65 * len(payload) * 2
        assert transport.get_write_buffer_size() <= most
        may_read.set()
        await eventually(lambda: not transport.get_write_buffer_size())
        await wait_read(service.peers[0])


async def test_pings_are_answered_while_a_request_waits() -> None:
    """So does the request that waits for its reply."""

    async def script(peer: Peer) -> None:
        request = await peer.request()
        peer.send(PING, b"still there?")
        assert await peer.frame() == (PONG, b"still there?")
        peer.reply(request)
        await peer.wait_gone()

    async with scripted(script) as service, connected(service.url) as connection:
        await ask(connection, 1)


QUICK_PINGS = {"ping_interval_s": 0.05, "ping_timeout_s": 0.05}


async def test_a_silent_service_is_pinged_and_kept(quick_pulse: float) -> None:
    """As long as a silent service answers the pings, it is not given up."""

    async def script(peer: Peer) -> None:
        while len(pings) < 5:
            opcode, payload = await peer.frame()
            assert opcode == PING
            pings.append(payload)
            peer.send(PONG, payload)
        await answer(peer)

    pings: list[bytes] = []
    async with scripted(script) as service, connected(service.url, **QUICK_PINGS) as connection:
        await eventually(lambda: len(pings) == 5)
        assert connection.is_open


GONE = "no answer to a ping for 0.05 s"


@pytest.mark.parametrize("waits", [True, False], ids=["a request waits", "nobody waits"])
async def test_a_service_that_answers_no_ping(waits: bool, quick_pulse: float) -> None:
    """A service that is silent even when pinged counts as gone, and the reason says so."""

    async def script(peer: Peer) -> None:
        await peer.frame()
        peer.pause()  # the network is there, the service takes nothing from it any more
        await ended.wait()

    ended = asyncio.Event()
    async with scripted(script) as service, connected(service.url, **QUICK_PINGS) as connection:
        if not waits:
            await eventually(lambda: not connection.is_open)
        for number in range(2):
            with lost(GONE, None):
                await ask(connection, number)
        ended.set()


async def test_a_service_that_stalls_while_a_request_is_sent(quick_pulse: float) -> None:
    """A request that is stuck in the sending is freed when the service counts as gone."""

    async def script(peer: Peer) -> None:
        peer.pause()
        await ended.wait()

    ended = asyncio.Event()
    options = {**QUICK_PINGS, "message_timeout_s": None}
    async with scripted(script) as service, connected(service.url, **options) as connection:
        with lost(GONE, None):
            await connection.request(b"x" * 8_000_000, "step")
        ended.set()


async def test_a_service_whose_process_is_stopped(quick_pulse: float) -> None:
    """A process that was stopped keeps its connections open and answers nothing: it is gone."""
    with LineProcess(
        [sys.executable, "-m", "echo_env"], environment={"AIOENV_PORT": "0"}
    ) as process:
        url = process.wait_address(30)
        options = {"close_timeout_s": 0.1, "ping_interval_s": 0.05}
        async with connected(url, ping_timeout_s=DEADLINE_S, **options) as connection:
            assert b"episode_id" in await connection.request(b'{"type":"state"}', "state")
            connection._options = attrs.evolve(connection._options, ping_timeout_s=0.05)
            os.kill(process.pid, signal.SIGSTOP)
            try:
                with lost(GONE, None):
                    await connection.request(b'{"type":"state"}', "state")
                with pytest.raises(RequestTimeout, match="no reply to connect"):
                    await open_connection(url, connection.transport, connect_timeout_s=0.1)
            finally:
                os.kill(process.pid, signal.SIGCONT)


async def test_a_loop_that_was_held_up_is_no_loss(quick_pulse: float) -> None:
    """An answer that came while the event loop was held up counts, though it was not read yet."""
    with in_thread(answer_pings) as url:
        async with connected(url, **QUICK_PINGS) as connection:
            for _ in range(3):
                pinged_at = connection._pinged_at
                await eventually(lambda at=pinged_at: connection._pinged_at > at)  # type: ignore[misc]
                time.sleep(0.2)  # noqa: ASYNC251  # the fault: code that holds up its event loop
                await asyncio.sleep(quick_pulse * 2)
            await ask(connection, 1)


def answer_pings(connection: ServerConnection) -> None:
    """Answer as websockets' own server does, in a thread of its own."""
    for message in connection:
        connection.send(message)


async def test_without_pings_silence_is_no_loss(quick_pulse: float) -> None:
    """With pings switched off, a silent service is left alone."""
    script = Holding()
    async with (
        scripted(script) as service,
        connected(service.url, ping_interval_s=None) as connection,
    ):
        connection.beat(connection._heard_at + 1e6)
        await wait_read(service.peers[0])
        assert service.peers[0].pings == []
        script.may_answer.set()


# Closing


async def test_closing_takes_leave() -> None:
    """Closing sends the wire's close request, then the WebSocket's close frame."""

    async def script(peer: Peer) -> None:
        frames.append(await peer.frame())
        frames.append(await peer.frame())
        peer.close(1000)

    frames: list[Frame] = []
    async with scripted(script) as service, connected(service.url):
        pass
    assert frames == [(TEXT, b'{"type":"close"}'), (CLOSE, b"\x03\xe8")]


async def test_closing_ends_the_requests_that_wait() -> None:
    """The request that waits for its reply, and those that wait for their turn, get `Closed`."""
    script = Holding()
    async with scripted(script) as service, connected(service.url) as connection:
        asking = [asyncio.create_task(ask(connection, number)) for number in range(3)]
        await script.wait_received(1)
        await connection.close()
        for task in asking:
            with pytest.raises(Closed, match="the client is closed"):
                await task
        with pytest.raises(Closed, match="the client is closed"):
            await ask(connection, 4)
        await connection.close()
        assert len(script.received) == 1


async def test_closing_does_not_wait_for_ever() -> None:
    """A service that never agrees to the close is left after the close time-out."""

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.pause()
        await ended.wait()

    ended = asyncio.Event()
    async with (
        scripted(script) as service,
        connected(service.url, close_timeout_s=0.1, message_timeout_s=0.1) as connection,
    ):
        for _ in range(3):  # more than the network takes
            with pytest.raises(RequestTimeout):
                await connection.request(dumps("x" * 4_000_000), "step")
        socket = connection._socket.get_extra_info("socket")
        await asyncio.gather(connection.close(), connection.close())
        await eventually(lambda: socket.fileno() == -1, "what could not be sent is dropped")
        ended.set()


async def test_cancelling_a_close_leaves_nothing_behind() -> None:
    """A close that is cancelled at any point still closes the connection, by itself."""
    for turns in range(1, 12):
        transport = Transport.join()
        async with scripted(answer) as service:
            connection = await open_connection(service.url, transport)
            await ask(connection, 1)
            closing = asyncio.create_task(connection.close())
            for _ in range(turns):
                await asyncio.sleep(0)
            closing.cancel()
            await asyncio.wait([closing])
            with pytest.raises(Closed, match="the client is closed"):
                await ask(connection, 2)
            peer = service.peers[0]
            await eventually(lambda peer=peer: peer.is_ended)  # type: ignore[misc]
            await transport.leave()


# Opening


@pytest.mark.parametrize(
    ("scheme", "words"),
    [
        ("https", "it does not speak TLS, perhaps http:// only: "),
        ("http", "there is no /ws there; is it the address of an environment?"),
    ],
)
async def test_somebody_else_listens(echo: Served, scheme: str, words: str) -> None:
    """An address of something else is told as that."""
    transport = Transport.join()
    with pytest.raises(ConnectionFailed, match=re.escape(words)):
        await open_connection(echo.url.replace("http", scheme) + "/other", transport)
    await transport.leave()


async def test_certificate_of_nobody() -> None:
    """A certificate that nobody has vouched for is not taken, and told as that."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    runner = web.AppRunner(create_app(EchoEnvironment, EchoAction, EchoObservation))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    _, port = runner.addresses[0]
    transport = Transport.join()
    with pytest.raises(ConnectionFailed, match="its certificate is not trusted: "):
        await open_connection(f"https://127.0.0.1:{port}", transport)
    await transport.leave()
    await runner.cleanup()


async def test_nobody_listens(unused_port: int) -> None:
    """An address where nobody listens is `ConnectionFailed`, with the system's own reason."""
    transport = Transport.join()
    reason = "no service answers there: .*Connect call failed"
    with pytest.raises(ConnectionFailed, match=reason) as caught:
        await open_connection(f"http://127.0.0.1:{unused_port}", transport)
    assert isinstance(caught.value, ConnectionError)
    assert caught.value.url == f"ws://127.0.0.1:{unused_port}/ws"
    assert caught.value.status is None
    assert isinstance(caught.value.__cause__, ClientConnectorError)
    await transport.leave()


async def test_an_address_that_is_not_encrypted(echo: Served) -> None:
    """``https`` at a service that speaks plain HTTP is `ConnectionFailed`, with TLS's reason."""
    transport = Transport.join()
    with pytest.raises(ConnectionFailed, match="SSL") as caught:
        await Connection.open(echo.ws_url.replace("ws:", "wss:"), transport, ConnectionOptions())
    assert isinstance(caught.value.__cause__, ClientConnectorError)
    await transport.leave()


async def test_a_name_that_nobody_has() -> None:
    """An address whose name cannot be resolved is `ConnectionFailed`."""
    transport = Transport.join()
    with pytest.raises(ConnectionFailed, match=r"ws://nowhere\.invalid:80/ws") as caught:
        await open_connection("http://nowhere.invalid:80", transport)
    assert isinstance(caught.value.__cause__, ClientConnectorError)
    await transport.leave()


REFUSALS = {
    401: "it asks for a bearer token; pass headers={'Authorization': 'Bearer …'}",
    403: "it does not let this origin in",
    404: "there is no /ws there; is it the address of an environment?",
    503: "it is stopping, or starting",
    500: "the handshake was answered with 500 Invalid response status",
    200: "the handshake was answered with 200 Invalid response status",
}


@pytest.mark.parametrize("status", REFUSALS)
async def test_a_handshake_is_refused(status: int) -> None:
    """A refused handshake is `ConnectionFailed`, with the status and what to do about it."""

    async def script(peer: Peer) -> None:
        peer.send_raw(b"HTTP/1.1 %d Whatever\r\nContent-Length: 0\r\n\r\n" % status)

    transport = Transport.join()
    async with scripted(script, handshake=False) as service:
        with pytest.raises(ConnectionFailed) as caught:
            await open_connection(service.url, transport)
        url = f"ws{service.url.removeprefix('http')}/ws"
        assert str(caught.value) == f"cannot connect to {url}: {REFUSALS[status]}"
        assert caught.value.status == status
        assert isinstance(caught.value.__cause__, WSServerHandshakeError)
    await transport.leave()


@pytest.mark.parametrize(
    ("answered", "reason"),
    [
        (b"", "Server disconnected"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "Expected HTTP"),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: bm8=\r\n\r\n",
            "the handshake was answered with 101 Invalid challenge response",
        ),
    ],
    ids=["nothing", "another protocol", "the wrong key"],
)
async def test_a_handshake_goes_wrong(answered: bytes, reason: str) -> None:
    """What is no WebSocket service is `ConnectionFailed`, with what came instead."""

    async def script(peer: Peer) -> None:
        peer.send_raw(answered)

    transport = Transport.join()
    async with scripted(script, handshake=False) as service:
        with pytest.raises(ConnectionFailed, match=reason):
            await open_connection(service.url, transport)
    await transport.leave()


async def test_a_handshake_takes_too_long() -> None:
    """A service that accepts the connection and says nothing is a time-out of the connecting."""

    async def script(peer: Peer) -> None:
        await peer.frame()

    transport = Transport.join()
    async with scripted(script, handshake=False) as service:
        with pytest.raises(RequestTimeout) as caught:
            await open_connection(service.url, transport, connect_timeout_s=0.1)
        assert str(caught.value) == "no reply to connect within 0.1 s"
        assert isinstance(caught.value, TimeoutError)
        assert isinstance(caught.value.__cause__, TimeoutError)
    await transport.leave()


async def test_without_a_time_out_the_handshake_may_take_long() -> None:
    """Switched off, the time-out of the connecting is not replaced by one of aiohttp's own."""
    transport = Transport.join()
    timeout = transport.http(1000).timeout
    assert {timeout.total, timeout.connect, timeout.sock_connect, timeout.sock_read} == {None}
    await transport.leave()


async def test_an_open_that_is_cancelled_leaves_nothing_behind() -> None:
    """Cancelled at any point, opening a connection either ends it or never began it."""
    transport = Transport.join()
    async with scripted(answer) as service:
        for turns in range(1000):
            opening = asyncio.create_task(open_connection(service.url, transport))
            for _ in range(turns):
                await asyncio.sleep(0)
            opening.cancel()
            await asyncio.wait([opening])
            if not opening.cancelled():
                break
        assert turns > 3
        await opening.result().close()
        assert len(transport.pulse) == 0
        await eventually(lambda: all(peer.is_ended for peer in service.peers))
    await transport.leave()


@pytest.mark.parametrize(
    "name",
    [
        "connect_timeout_s",
        "message_timeout_s",
        "close_timeout_s",
        "ping_interval_s",
        "ping_timeout_s",
        "max_message_size_bytes",
    ],
)
@pytest.mark.parametrize("value", [0, -1])
def test_options_are_more_than_nothing(name: str, value: int) -> None:
    """A time or a size that is not more than 0 is refused, by its name."""
    options: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=rf"'{name}' must be > 0.*: {value}"):
        ConnectionOptions(**options)


# The transport


async def test_a_transport_is_shared_and_closed_with_its_last_user() -> None:
    """All users on a loop share one HTTP session; the last that leaves closes it."""
    first, second = Transport.join(), Transport.join()
    assert first is second
    assert repr(first) == "<Transport users=2>"
    http = first.http(1000)
    assert second.http(1000) is http
    closed = []
    for user in (first, second):
        await user.leave()
        closed.append(http.closed)
    assert closed == [False, True]
    third = Transport.join()
    assert third is not first
    await third.leave()
