"""A scripted service: a WebSocket server that does, frame by frame, what a test tells it to.

It speaks TCP and writes its frames by hand (RFC 6455), so that it can also do what no proper
server would: stay silent, answer late, answer twice, break off.
"""

import asyncio
import base64
import contextlib
import hashlib
import json
import socket as sockets
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, NamedTuple

from websockets.sync.server import ServerConnection, serve

__all__ = [
    "BINARY",
    "CLOSE",
    "PING",
    "PONG",
    "TEXT",
    "Frame",
    "Gone",
    "Peer",
    "ScriptedService",
    "error",
    "in_thread",
    "observation",
    "scripted",
    "state",
]

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Gone(Exception):
    """The client has closed the connection, or dropped it."""


class Frame(NamedTuple):
    """One WebSocket frame."""

    opcode: int
    payload: bytes


class Peer:
    """The service's end of one connection.

    Attributes:
        path: what the client asked for, with the query.
        headers: what it sent with the handshake; names in lower case.
        pongs: the payloads of the pongs that it sent.
        pings: the payloads of the pings that it sent; the script must answer them.
        is_ended: whether the connection is over at this end.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._transport: Any = writer.transport  # a transport in both directions, says asyncio
        self.path = ""
        self.headers: dict[str, str] = {}
        self.pings: list[bytes] = []
        self.pongs: list[bytes] = []
        self.is_ended = False

    # Reading

    async def read_handshake(self) -> None:
        """Read the client's opening request."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request, *lines = head.split("\r\n")
        self.path = request.split(" ")[1]
        for line in filter(None, lines):
            name, _, value = line.partition(":")
            self.headers[name.lower()] = value.strip()

    async def frame(self) -> Frame:
        """Read the next frame, whatever it is.

        Raises:
            Gone: there are no more.
        """
        try:
            first, second = await self._reader.readexactly(2)
            length = second & 0x7F
            if length == 126:
                (length,) = struct.unpack("!H", await self._reader.readexactly(2))
            elif length == 127:
                (length,) = struct.unpack("!Q", await self._reader.readexactly(8))
            mask = await self._reader.readexactly(4)
            masked = await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise Gone from None
        key = (mask * (length // 4 + 1))[:length]
        payload = (int.from_bytes(masked) ^ int.from_bytes(key)).to_bytes(length)
        return Frame(first & 0x0F, payload)

    async def request(self) -> dict[str, Any]:
        """Read up to the next request, noting pings and pongs on the way.

        Raises:
            Gone: the client has taken its leave.
        """
        while True:
            opcode, payload = await self.frame()
            if opcode == CLOSE:
                raise Gone
            if opcode == PING:
                self.pings.append(payload)
            elif opcode == PONG:
                self.pongs.append(payload)
            else:
                message: dict[str, Any] = json.loads(payload)
                if message == {"type": "close"}:
                    self.close()
                    raise Gone
                return message

    # Writing

    def send(self, opcode: int, payload: bytes = b"") -> None:
        """Send one frame."""
        length = len(payload)
        head = bytes([0x80 | opcode])
        if length < 126:
            head += bytes([length])
        elif length < 65536:
            head += struct.pack("!BH", 126, length)
        else:
            head += struct.pack("!BQ", 127, length)
        self.send_raw(head + payload)

    def send_raw(self, data: bytes) -> None:
        """Send bytes that need not be a frame."""
        self._writer.write(data)

    def reply(self, message: dict[str, Any]) -> None:
        """Send a message as text."""
        self.send(TEXT, json.dumps(message).encode())

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Send a close frame."""
        self.send(CLOSE, struct.pack("!H", code) + reason.encode())

    def accept(self) -> None:
        """Answer the handshake."""
        digest = hashlib.sha1((self.headers["sec-websocket-key"] + _GUID).encode()).digest()
        self.send_raw(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
        )

    # Ending

    def pause(self) -> None:
        """Take no more bytes from the network, as a process does that was stopped."""
        self._transport.pause_reading()

    def resume(self) -> None:
        """Take bytes from the network again."""
        self._transport.resume_reading()

    def end(self) -> None:
        """End the TCP connection in good order, without a word of WebSocket."""
        self._writer.close()

    def abort(self) -> None:
        """Reset the TCP connection, unless it has ended."""
        socket = self._writer.get_extra_info("socket")
        with contextlib.suppress(OSError):
            socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    async def wait_ended(self) -> None:
        """Wait until the TCP connection has ended at this end."""
        await self._writer.wait_closed()

    async def wait_gone(self) -> int | None:
        """Read and drop everything until the client is gone; return its close code."""
        while True:
            try:
                opcode, payload = await self.frame()
            except Gone:
                return None
            if opcode == CLOSE:
                return int.from_bytes(payload[:2]) if payload else None


Script = Callable[[Peer], Awaitable[None]]


class ScriptedService:
    """The server, and the connections it was asked for.

    Attributes:
        url: its address.
        peers: its connections so far, in order.
    """

    def __init__(self, script: Script, *, handshake: bool) -> None:
        self._script = script
        self._handshake = handshake
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: list[BaseException] = []
        self.url = ""
        self.peers: list[Peer] = []

    async def start(self, port: int = 0) -> None:
        """Listen on loopback."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port, limit=2**26)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Stop, break off what is left, and raise what a script raised."""
        assert self._server is not None
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for failure in self._failures:
            raise failure

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(Peer(reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, peer: Peer) -> None:
        try:
            await peer.read_handshake()
            if self._handshake:
                peer.accept()
            self.peers.append(peer)
            await self._script(peer)
            peer.end()
            await peer.wait_ended()
        except (Gone, ConnectionError, asyncio.IncompleteReadError):
            peer.end()
        except asyncio.CancelledError:
            peer.abort()
        except BaseException as failure:
            self._failures.append(failure)
            peer.abort()
        finally:
            peer.is_ended = True


@asynccontextmanager
async def scripted(script: Script, *, handshake: bool = True) -> AsyncIterator[ScriptedService]:
    """Run a scripted service.

    Args:
        script: is called with each connection; when it returns, the connection ends.
        handshake: accept the WebSocket first; otherwise that, too, is the script's to do.
    """
    service = ScriptedService(script, handshake=handshake)
    await service.start()
    try:
        yield service
    finally:
        await service.stop()


@contextmanager
def in_thread(handler: Callable[[ServerConnection], None]) -> Iterator[str]:
    """Serve in threads, which no event loop can hold up; returns the address."""
    with serve(handler, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join()


# Replies


def observation(message: str, length: int | None = None, **data: Any) -> dict[str, Any]:
    """Make the reply to a step of Echo."""
    fields = {
        "echoed_message": message,
        "message_length": len(message) if length is None else length,
    }
    return {
        "type": "observation",
        "data": {"observation": fields, "reward": 0.0, "done": False, **data},
    }


def state(**data: Any) -> dict[str, Any]:
    """Make the reply to a state request."""
    return {"type": "state", "data": {"episode_id": None, "step_count": 0, **data}}


def error(code: str, message: str = "so it is", **data: Any) -> dict[str, Any]:
    """Make an error reply."""
    return {"type": "error", "data": {"code": code, "message": message, **data}}
