"""The probe: a service's doors as they are, frame by frame, with a word for each way to misbehave.

The client would hide what is looked for here: it heals, reads leniently, and raises errors that
speak to its users. Hence plain aiohttp.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import aiohttp
from aiohttp import WSMsgType
from attrs import define, field, frozen

from aioenv import ConnectionFailed, loads
from aioenv.cli.checklist import Fault, Skipped, shown
from aioenv.client.address import socket_url

__all__ = ["FULL", "Answer", "Lost", "Probe", "Talk", "is_refusal"]

_LIMIT_BYTES = 16 * 1024 * 1024
_RETRY_S = 0.1
FULL = "CAPACITY_REACHED"


class Lost(Fault):
    """The service ended the connection."""


@frozen
class Answer:
    """What a door answered over HTTP.

    Attributes:
        door: the request, such as ``GET /health``.
        status: the status.
        content_type: the media type, without parameters.
        text: the body.
    """

    door: str
    status: int
    content_type: str
    text: bytes

    def object(self, status: int = 200) -> dict[str, Any]:
        """Return the JSON object that it is.

        Raises:
            Fault: it is none, or has another status or media type.
        """
        if self.status != status:
            raise Fault(
                f"{self.door} answered with {self.status}, not {status}: "
                f"{shown(self.text[:100].decode(errors='replace'))}"
            )
        if self.content_type != "application/json":
            raise Fault(
                f"{self.door} has the Content-Type {shown(self.content_type)}",
                "answer with Content-Type: application/json",
            )
        return parse(self.text, f"the body of {self.door}")


@define
class Probe:
    """Asks one service.

    Attributes:
        url: its address, normalized.
        timeout_s: how long to wait for an answer, in seconds.
        capacity_timeout_s: how long to wait for a free session, in seconds.
    """

    url: str
    timeout_s: float
    capacity_timeout_s: float
    _http: aiohttp.ClientSession = field(repr=False)
    _is_heard: bool = field(default=False, init=False)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, *, headers: dict[str, str], timeout_s: float, capacity_timeout_s: float
    ) -> "AsyncIterator[Probe]":
        """Make a probe; what it opened is closed with the context."""
        async with aiohttp.ClientSession(
            headers={"Accept-Encoding": "identity", **headers},
            timeout=aiohttp.ClientTimeout(total=timeout_s),
        ) as http:
            yield cls(url, timeout_s, capacity_timeout_s, http)

    async def get(self, path: str) -> Answer:
        """Send ``GET``; raises as `post` does."""
        return await self._ask("GET", path)

    async def post(self, path: str, body: Any) -> Answer:
        """Send ``POST`` with JSON, or with bytes as they are.

        A full service is asked again until the time for that has passed.

        Raises:
            Fault: no answer came in time, or it broke off.
            Skipped: it stayed full.
            ConnectionFailed: nobody is there, or it wants a token.
        """
        text = body if isinstance(body, bytes) else _text(body).encode()
        return await self._ask("POST", path, text)

    @asynccontextmanager
    async def talk(self) -> "AsyncIterator[Talk]":
        """Open a WebSocket that has a session: a full service is asked again for a while.

        Raises:
            Fault: the handshake failed, or it broke off.
            Skipped: the service stayed full.
            ConnectionFailed: nobody is there, or it wants a token.
        """
        deadline = asyncio.get_running_loop().time() + self.capacity_timeout_s
        while True:
            async with self.connect() as talk:
                talk.first = await talk.ask("state")
                if not is_refusal(talk.first):
                    yield talk
                    return
            await self._wait_until_free(deadline)

    @asynccontextmanager
    async def connect(self) -> "AsyncIterator[Talk]":
        """Open a WebSocket, and ask it nothing; raises as `talk` does."""
        url = socket_url(self.url)
        try:
            async with asyncio.timeout(self.timeout_s):
                socket = await self._http.ws_connect(url, max_msg_size=_LIMIT_BYTES)
        except aiohttp.WSServerHandshakeError as error:
            self._check_access(url, error.status)
            raise Fault(
                f"the handshake of a WebSocket at /ws was refused with {error.status}",
                "serve OpenEnv's WebSocket at /ws",
            ) from error
        except TimeoutError as error:
            raise Fault(f"no handshake of a WebSocket within {self.timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            self._raise_broken(error, url, "the handshake of a WebSocket at /ws")
        try:
            yield Talk(socket, self.timeout_s)
        finally:
            await socket.close()

    # Private methods

    async def _ask(self, method: str, path: str, body: bytes | None = None) -> Answer:
        deadline = asyncio.get_running_loop().time() + self.capacity_timeout_s
        while True:
            answer = await self._ask_once(method, path, body)
            if answer.status != 503 or FULL.encode() not in answer.text:
                return answer
            await self._wait_until_free(deadline)

    async def _ask_once(self, method: str, path: str, body: bytes | None) -> Answer:
        door, url = f"{method} {path}", f"{self.url}{path}"
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            async with self._http.request(method, url, data=body, headers=headers) as response:
                self._check_access(url, response.status)
                self._is_heard = True
                text = await _read(response, door)
                return Answer(door, response.status, response.content_type, text)
        except TimeoutError as error:
            words = f"{door} was not answered within {self.timeout_s:g} s"
            if not self._is_heard:
                raise ConnectionFailed(self.url, words) from error
            raise Fault(words) from error
        except ConnectionFailed:
            raise
        except (aiohttp.ClientError, OSError) as error:
            self._raise_broken(error, self.url, door)

    async def _wait_until_free(self, deadline: float) -> None:
        if asyncio.get_running_loop().time() >= deadline:
            raise Skipped(
                f"every session was in use for {self.capacity_timeout_s:g} s",
                "try again when one is free, or wait longer with --capacity-timeout-s",
            )
        await asyncio.sleep(_RETRY_S)

    def _raise_broken(self, error: Exception, url: str, what: str) -> NoReturn:
        """Tell a service that breaks off from one that is not there."""
        words = str(error) or type(error).__name__
        if not self._is_heard or isinstance(error, aiohttp.ClientConnectorError):
            raise ConnectionFailed(url, words) from error
        raise Fault(f"{what} broke off: {shown(words)}") from error

    def _check_access(self, url: str, status: int) -> None:
        if status in (401, 403):
            reason = f"it answered with {status}"
            raise ConnectionFailed(url, reason, status=status)


class Talk:
    """A WebSocket to a service.

    Attributes:
        first: the reply to the first request, where one was sent already.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse[Any], timeout_s: float) -> None:
        self.first: dict[str, Any] = {}
        self._socket = socket
        self._timeout_s = timeout_s

    async def ask(self, kind: str, data: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send a request and return the frame that comes next.

        Raises:
            Fault: none came in time, or it is no message.
            Lost: the connection ended.
        """
        request = {"type": kind} if data is None else {"type": kind, "data": data}
        return await self.ask_raw(_text(request), f"a {kind}")

    async def ask_raw(self, frame: str | bytes, what: str) -> dict[str, Any]:
        """Send a frame, a text or bytes, and return the frame that comes next; raises as `ask`."""
        await self._send(frame)
        reply = await self.hear(f"the reply to {what}")
        if reply is None:
            raise Lost(f"{what} ended the connection with code {self._socket.close_code}")
        return reply

    async def leave(self) -> tuple[list[dict[str, Any]], int | None]:
        """Send a close; return what came until the connection's end, and its code."""
        await self._send(_text({"type": "close"}))
        late = []
        while (frame := await self.hear("the close")) is not None:
            late.append(frame)
        return late, self._socket.close_code

    async def hear(self, what: str) -> dict[str, Any] | None:
        """Return the next frame, or ``None`` at the connection's end; raises as `ask`."""
        try:
            message = await self._socket.receive(self._timeout_s)
        except TimeoutError as error:
            raise Fault(f"{what} did not come within {self._timeout_s:g} s") from error
        if message.type is WSMsgType.BINARY:
            raise Fault(f"{what} is a binary frame", "send JSON in text frames")
        if message.type is not WSMsgType.TEXT:
            return None
        return parse(message.data, what)

    async def _send(self, frame: str | bytes) -> None:
        try:
            if isinstance(frame, str):
                await self._socket.send_str(frame)
            else:
                await self._socket.send_bytes(frame)
        except ConnectionError:
            return  # what the other side still said is read next, and then the end


def is_refusal(reply: dict[str, Any]) -> bool:
    """Whether a reply says that every session is in use."""
    data = reply.get("data")
    return reply.get("type") == "error" and isinstance(data, dict) and data.get("code") == FULL


def parse(text: str | bytes, what: str) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        Fault: it is none.
    """
    try:
        value = loads(text)
    except ValueError as error:
        words = text if isinstance(text, str) else text.decode(errors="replace")
        raise Fault(f"{what} is not JSON ({error}): {shown(words)}", "answer with JSON") from error
    if not isinstance(value, dict):
        raise Fault(f"{what} is no JSON object: {shown(value)}")
    return value


def _text(value: Any) -> str:
    return json.dumps(value)


async def _read(response: aiohttp.ClientResponse, door: str) -> bytes:
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > _LIMIT_BYTES:
            raise Fault(f"{door} answered with more than {_LIMIT_BYTES} bytes")
    return bytes(body)
