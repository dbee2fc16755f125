"""Raw conversations with a service, and a watch for tasks that nobody holds."""

import asyncio
import contextlib
import json
import socket as sockets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, NoReturn, Protocol

import aiohttp
import pytest
from aiohttp import WSMsgType

from aioenv.service import event_loop_factory
from tests.conftest import DEADLINE_S, Served, eventually

__all__ = ["AskRaw", "Connect", "OpenRaw", "RawPeer", "Talk", "limit_steps"]


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run the tests that name event loops on those, and all others on asyncio's own."""
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
        "asyncio": asyncio.SelectorEventLoop
    }
    marker = item.get_closest_marker("asyncio")
    if marker is not None and "loop_factories" in marker.kwargs:
        uvloop = event_loop_factory()
        if uvloop is not None:
            factories["uvloop"] = uvloop
    return factories


class Talk:
    """A raw WebSocket conversation, one JSON frame at a time. It answers pings while it reads."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse[Any]) -> None:
        self.socket = socket

    async def tell(self, message: Any) -> None:
        """Send a message and wait for nothing."""
        await self.socket.send_str(message if isinstance(message, str) else json.dumps(message))

    async def hear(self) -> dict[str, Any]:
        """Return the next message."""
        message = await self.socket.receive(DEADLINE_S)
        assert message.type is WSMsgType.TEXT, message
        return json.loads(message.data)  # type: ignore[no-any-return]

    async def ask(self, message: Any) -> dict[str, Any]:
        """Send a message, a dict or a frame's text, and return the next that comes."""
        await self.tell(message)
        return await self.hear()

    async def say(self, text: str) -> dict[str, Any]:
        """Take a step, and return the reply."""
        return await self.ask({"type": "step", "data": {"text": text}})

    async def refused(self, message: Any) -> dict[str, Any]:
        """Send what must be refused, and return the data of the error."""
        reply = await self.ask(message)
        assert reply["type"] == "error", reply
        return reply["data"]  # type: ignore[no-any-return]

    async def echoes(self) -> None:
        """Check that the session still answers what it is asked, and nothing else."""
        reply = await self.say("still here")
        assert reply["data"]["observation"]["text"] == "still here", reply

    async def ended(self) -> int | None:
        """Wait for the connection's end, with nothing before it, and return the close code."""
        message = await self.socket.receive(DEADLINE_S)
        assert message.type in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.ERROR), message
        return self.socket.close_code


class RawPeer:
    """A client made by hand: it reads nothing, answers nothing and ends nothing unless told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.response = ""
        self.file_number = -1

    @classmethod
    async def open(
        cls, served: Served, query: str = "", *headers: str, following: bytes = b""
    ) -> "RawPeer":
        """Connect with small buffers and shake hands (RFC 6455, section 4.1).

        What is following is sent in one piece with the handshake.
        """
        host, _, port = served.url.removeprefix("http://").partition(":")
        connection = sockets.socket()
        connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, (host, int(port)))
        peer = cls(*await asyncio.open_connection(sock=connection, limit=4096))
        peer.file_number = connection.fileno()
        lines = [
            f"GET /ws{query} HTTP/1.1",
            f"Host: {host}:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            *headers,
        ]
        peer.writer.write("\r\n".join([*lines, "", ""]).encode() + following)
        async with asyncio.timeout(DEADLINE_S):
            peer.response = (await peer.reader.readuntil(b"\r\n\r\n")).decode()
        return peer

    def send(self, kind: WSMsgType, payload: bytes = b"", *, fin: bool = True) -> None:
        """Send one frame, masked with zeros (RFC 6455, section 5.2)."""
        head = bytes([kind | (0x80 if fin else 0)])
        size = len(payload)
        if size < 126:
            head += bytes([0x80 | size])
        elif size < 1 << 16:
            head += bytes([0x80 | 126]) + size.to_bytes(2, "big")
        else:
            head += bytes([0x80 | 127]) + size.to_bytes(8, "big")
        self.writer.write(head + bytes(4) + payload)

    def say(self, text: str) -> None:
        """Ask for a step."""
        self.send(WSMsgType.TEXT, json.dumps({"type": "step", "data": {"text": text}}).encode())

    async def go_on_sending(self, payload: bytes) -> NoReturn:
        """Send the same text again and again, as long as the connection lasts."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                self.send(WSMsgType.TEXT, payload)
                await self.writer.drain()

    async def receive(self) -> tuple[WSMsgType, bytes]:
        """Return the next frame's kind and payload."""
        async with asyncio.timeout(DEADLINE_S):
            first, size = await self.reader.readexactly(2)
            if size >= 126:
                size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
            return WSMsgType(first & 0x0F), await self.reader.readexactly(size)

    async def hear(self) -> dict[str, Any]:
        """Return the next message, and disregard pings."""
        while True:
            kind, payload = await self.receive()
            if kind is not WSMsgType.PING:
                assert kind is WSMsgType.TEXT, (kind, payload)
                return json.loads(payload)  # type: ignore[no-any-return]

    async def hear_the_end(self) -> None:
        """Wait until the service has ended its side of the connection, and sent nothing more."""
        async with asyncio.timeout(DEADLINE_S):
            assert await self.reader.read() == b""

    async def wait_dropped(self) -> None:
        """Read, and answer nothing, until the connection breaks off."""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(DEADLINE_S):
                while await self.reader.read(65_536):
                    pass

    def abort(self) -> None:
        """Break the connection off."""
        self.writer.transport.abort()


def limit_steps(served: Served, limit_s: float) -> None:
    """Give the open sessions another time for each step; the making of others has its own."""
    assert served.service._slots
    for session in served.service._slots:
        session._step_timeout_s = limit_s


class Connect(Protocol):
    """The `connect` fixture."""

    async def __call__(self, served: Served, query: str = "", **options: Any) -> Talk:
        """Open a WebSocket; the test's end closes it."""


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """Send HTTP requests."""
    timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield session


@pytest.fixture
async def connect(http: aiohttp.ClientSession) -> AsyncIterator[Connect]:
    """Open WebSockets that the end of the test closes."""
    async with AsyncExitStack() as stack:

        async def open_socket(served: Served, query: str = "", **options: Any) -> Talk:
            socket = await http.ws_connect(served.ws_url + query, **options)
            stack.push_async_callback(socket.close)
            return Talk(socket)

        yield open_socket


class OpenRaw(Protocol):
    """The `open_raw` fixture."""

    async def __call__(self, served: Served, query: str = "", *headers: str) -> RawPeer:
        """Open a WebSocket by hand; the test's end breaks it off."""


@pytest.fixture
async def open_raw() -> AsyncIterator[OpenRaw]:
    """Open hand-made WebSockets that the end of the test breaks off."""
    peers: list[RawPeer] = []

    async def open_peer(served: Served, query: str = "", *headers: str) -> RawPeer:
        peers.append(await RawPeer.open(served, query, *headers))
        return peers[-1]

    yield open_peer
    for peer in peers:
        peer.abort()


class AskRaw(Protocol):
    """The `ask_raw` fixture."""

    async def __call__(self, served: Served, *lines: bytes) -> bytes:
        """Send the lines of a request, and return all that is answered."""


@pytest.fixture
def ask_raw() -> AskRaw:
    """Send HTTP requests that no client would write."""

    async def ask(served: Served, *lines: bytes) -> bytes:
        host, _, port = served.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            head = [*lines, b"Host: " + host.encode(), b"Connection: close", b"", b""]
            writer.write(b"\r\n".join(head))
            async with asyncio.timeout(DEADLINE_S):
                return await reader.read()
        finally:
            writer.close()

    return ask


@pytest.fixture(autouse=True)
async def no_task_left() -> AsyncIterator[None]:
    """Fail the test that leaves a task behind: all of ours end with what started them."""
    before = asyncio.all_tasks()
    yield
    expected = {*before, asyncio.current_task()}
    await eventually(lambda: asyncio.all_tasks() <= expected, "all tasks have ended")
