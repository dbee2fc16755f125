"""The connection: one WebSocket, one session at the other end, requests and replies in order.

Whoever waits for a reply reads the socket himself; no queue and no second task lie between. While
nobody waits, a watcher reads, so that pings are answered and a loss is seen. It starts with the
next pulse, not at once: an agent that steps without a pause never pays for it.

A reply that nobody waits for any more (its caller was cancelled, or lost patience) is known by its
place: replies come in the order of the requests, so the newest request's reply is the last.
"""

import asyncio
import enum
import logging
from collections import deque
from collections.abc import Mapping
from typing import Any

import aiohttp
from aiohttp import ClientWSTimeout, WSCloseCode, WSMsgType
from attrs import frozen

from aioenv import Closed, ConnectionFailed, ProtocolViolation, RequestTimeout, SessionLost
from aioenv.client.transport import Transport
from aioenv.messages import CloseRequest, write_request

__all__ = ["Connection", "ConnectionOptions"]

log = logging.getLogger(__name__)


@frozen(kw_only=True)
class ConnectionOptions:
    """How to connect. Times are in seconds; ``None`` switches the time-out or the ping off.

    Attributes:
        connect_timeout_s: for the connection and the handshake.
        message_timeout_s: for the reply to a request.
        close_timeout_s: for the other side to agree to a close.
        ping_interval_s: silence after which the service is pinged.
        ping_timeout_s: further silence after which it counts as gone.
        max_message_size_bytes: the largest reply to take.
        headers: sent with the handshake.
    """

    connect_timeout_s: float | None = 10.0
    message_timeout_s: float | None = 60.0
    close_timeout_s: float = 10.0
    ping_interval_s: float | None = 20.0
    ping_timeout_s: float | None = 20.0
    max_message_size_bytes: int = 100 * 1024 * 1024
    headers: Mapping[str, str] | None = None


class _Phase(enum.Enum):
    OPEN = "open"  # requests may be sent
    LOST = "lost"  # the other side, or the network, ended it
    CLOSED = "closed"  # this side ended it


class Connection:
    """An open WebSocket to a service; made by `open`.

    Attributes:
        url: where it leads.
        transport: what it shares with the other connections of its event loop.
    """

    __slots__ = (
        "__weakref__",
        "_heard_at",
        "_inbox",
        "_loop",
        "_loss",
        "_options",
        "_phase",
        "_pinged_at",
        "_socket",
        "_turn",
        "_unanswered",
        "_watcher",
        "transport",
        "url",
    )

    def __init__(
        self,
        url: str,
        socket: "aiohttp.ClientWebSocketResponse[Any]",
        transport: Transport,
        options: ConnectionOptions,
    ) -> None:
        self.url = url
        self._socket = socket
        self.transport = transport
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._turn = asyncio.Lock()
        self._phase = _Phase.OPEN
        self._loss: SessionLost | None = None
        self._unanswered = 0
        self._inbox: deque[bytes] = deque()
        self._watcher: asyncio.Task[bytes | None] | None = None
        self._heard_at = self._loop.time()
        self._pinged_at = 0.0

    def __repr__(self) -> str:
        return f"<Connection {self.url} {self._phase.value} unanswered={self._unanswered}>"

    # Public attributes

    @property
    def is_open(self) -> bool:
        """Whether requests may be sent, as far as is known."""
        return self._phase is _Phase.OPEN

    # Public methods

    @classmethod
    async def open(
        cls, url: str, transport: Transport, options: ConnectionOptions
    ) -> "Connection":
        """Connect to a service's ``/ws``.

        Cancelling it leaves nothing behind.

        Raises:
            ConnectionFailed: nobody listens there, or the handshake was refused.
            RequestTimeout: it took too long.
        """
        try:
            async with asyncio.timeout(options.connect_timeout_s):
                socket = await transport.http.ws_connect(
                    url,
                    autoping=False,
                    compress=0,
                    decode_text=False,
                    headers=options.headers,
                    max_msg_size=options.max_message_size_bytes,
                    timeout=ClientWSTimeout(ws_close=options.close_timeout_s),
                )
        except TimeoutError as error:
            raise RequestTimeout("connect", options.connect_timeout_s or 0.0) from error
        except aiohttp.WSServerHandshakeError as error:
            reason = _refusal(error.status, error.message)
            raise ConnectionFailed(url, reason, status=error.status) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ConnectionFailed(url, str(error) or type(error).__name__) from error
        connection = cls(url, socket, transport, options)
        transport.pulse.add(connection)
        return connection

    async def request(self, frame: bytes, operation: str, *, patience_s: float = 0.0) -> bytes:
        """Send a request and return its reply's text. Concurrent calls take their turns in order.

        Cancelling it costs only the reply: it is dropped when it comes, and the connection goes
        on in step.

        Args:
            frame: the request's text.
            operation: what it is, for the error.
            patience_s: how much longer than the message time-out to wait, in seconds.

        Raises:
            SessionLost: the connection is gone.
            RequestTimeout: no reply came in time.
            ProtocolViolation: a binary frame came; the connection is given up.
            Closed: it was closed on this side.
        """
        async with self._turn:
            limit_s = self._options.message_timeout_s
            try:
                async with asyncio.timeout(None if limit_s is None else limit_s + patience_s):
                    return await self._exchange(frame)
            except TimeoutError as error:
                raise RequestTimeout(operation, (limit_s or 0.0) + patience_s) from error

    async def close(self) -> None:
        """Take leave and close; what waits for a reply gets `Closed`. Safe to call twice.

        Cancelling it cuts the farewell short, and the connection is closed all the same.
        """
        was_open, self._phase = self.is_open, _Phase.CLOSED
        self.transport.pulse.discard(self)
        if was_open:
            try:
                await self._socket.send_frame(write_request(CloseRequest()), WSMsgType.TEXT)
            except ConnectionError:
                log.debug("%r was gone before it was closed", self)
        await self._socket.close()
        if self._watcher is not None:
            await asyncio.wait([self._watcher])
            self._watcher = None

    def beat(self, now: float) -> None:
        """Have a silent connection read and pinged; give up one that stays silent."""
        if self._watcher is None and not self._turn.locked():
            self._watcher = self._loop.create_task(self._watch())
        interval_s, timeout_s = self._options.ping_interval_s, self._options.ping_timeout_s
        if self._pinged_at > self._heard_at:
            if timeout_s is not None and now - self._pinged_at >= timeout_s:
                self.lose(f"no answer to a ping for {timeout_s:g} s")
                self.transport.run(self._socket.close(code=WSCloseCode.GOING_AWAY))
        elif interval_s is not None and now - self._heard_at >= interval_s:
            self._pinged_at = now
            self.transport.run(self._ping())

    # Private methods

    async def _exchange(self, frame: bytes) -> bytes:
        """Send a frame and read on until its reply comes."""
        if self._phase is not _Phase.OPEN:
            raise self._reason()
        if self._inbox:  # an error that nobody asked for, such as a full pool's refusal
            return self._inbox.popleft()
        self._unanswered += 1
        try:
            await self._socket.send_frame(frame, WSMsgType.TEXT)
        except ConnectionError:
            log.debug("%r ended before a request; what it still sent is read", self)
        while True:
            reply = await self._next_frame()
            self._unanswered -= 1
            if not self._unanswered:
                return reply

    async def _next_frame(self) -> bytes:
        """Return the next frame, from the watcher where it reads already."""
        watcher = self._watcher
        if watcher is None:
            return await self._receive()
        try:
            frame = await watcher
        except BaseException:
            if watcher.done() and not watcher.cancelled() and watcher.result() is not None:
                self._unanswered -= 1  # the frame was on its way to a caller who is leaving
            raise
        finally:
            self._watcher = None
        if frame is None:
            raise self._reason()
        return frame

    async def _receive(self) -> bytes:
        """Read the socket up to the next text frame, answering pings on the way."""
        socket = self._socket
        while True:
            message = await socket.receive()
            self._heard_at = self._loop.time()
            kind = message.type
            if kind is WSMsgType.TEXT:
                return message.data  # type: ignore[no-any-return]
            if kind is WSMsgType.PING:
                await socket.pong(message.data)
            elif kind is not WSMsgType.PONG:
                raise self._end(message)

    def _end(self, message: aiohttp.WSMessage) -> Exception:
        """Note the end that a message means, and return the error that tells of it."""
        if message.type is WSMsgType.BINARY:
            self.lose("the service sent a binary frame")
            self.transport.run(self._socket.close(code=WSCloseCode.UNSUPPORTED_DATA))
            return ProtocolViolation("the service sent a binary frame")
        if message.type is WSMsgType.CLOSE:
            reason = message.extra or "the service closed it"
        elif message.type is WSMsgType.ERROR:
            reason = str(message.data) or "the connection broke"
        else:
            reason = "the connection broke"
        self.lose(reason)
        return self._reason()

    def lose(self, reason: str) -> None:
        """Note that the connection is gone; every later request raises `SessionLost`."""
        if self._phase is _Phase.OPEN:
            self._phase = _Phase.LOST
            self._loss = SessionLost(reason, close_code=self._socket.close_code)
            self.transport.pulse.discard(self)

    def _reason(self) -> Exception:
        """Return the error for a connection that is not open."""
        if self._loss is None:
            return Closed("client")
        return SessionLost(self._loss.reason, close_code=self._loss.close_code)

    # The watcher

    async def _watch(self) -> bytes | None:
        """Read while nobody waits; hand the first frame that somebody waits for to him.

        Returns:
            The frame, or ``None`` when the connection ended.
        """
        while True:
            try:
                frame = await self._receive()
            except (ProtocolViolation, SessionLost, Closed, ConnectionError) as error:
                log.debug("%r: %s", self, error)
                return None
            if self._turn.locked():
                return frame
            if self._unanswered:
                self._unanswered -= 1
            else:
                self._inbox.append(frame)

    async def _ping(self) -> None:
        try:
            await self._socket.ping()
        except ConnectionError:
            self.lose("the connection broke")


def _refusal(status: int, message: str) -> str:
    hints = {
        401: "it asks for a bearer token; pass headers={'Authorization': 'Bearer …'}",
        403: "it does not let this origin in",
        404: "there is no /ws there; is it the address of an environment?",
        503: "it is stopping, or starting",
    }
    return hints.get(status, f"the handshake was answered with {status} {message}")
