"""The connection: one WebSocket, one session at the other end, requests and replies in order.

Frames are taken as they arrive, so that pings are answered and a loss is seen whether anybody waits
or not. A reply that nobody waits for any more is dropped by its place, so that none is ever taken
for another's. What comes unasked is kept if it is an error, such as a full pool's refusal; anything
else means that the two sides are out of step, and ends the session.
"""

import asyncio
import contextlib
import enum
import logging
from collections.abc import Awaitable

import aiohttp
from aiohttp import ClientWSTimeout, WebSocketError, WSCloseCode, WSMessage, WSMsgType

from aioenv import (
    AioEnvError,
    Closed,
    ConnectionFailed,
    ProtocolViolation,
    RequestTimeout,
    SessionLost,
)
from aioenv.client.address import without_password
from aioenv.client.connection_options import ConnectionOptions
from aioenv.client.frames import FrameSocket
from aioenv.client.replies import PendingReplies
from aioenv.client.transport import Transport, why_unreachable
from aioenv.messages import read_reply, write_request

__all__ = ["Connection"]

log = logging.getLogger(__name__)

# A client that cancels this many requests in a row, none of them answered, has lost its service.
_MOST_ABANDONED = 64

_MOST_UNREAD_PONGS = 64


class _Phase(enum.Enum):
    OPEN = "open"  # requests may be sent
    LOST = "lost"  # the other side, or the network, ended it
    CLOSED = "closed"  # this side ended it


# By their own names, since Python 3.11 takes a fifth of a microsecond to find a member of an enum.
_OPEN, _LOST, _CLOSED = _Phase
_TEXT = WSMsgType.TEXT


class Connection:
    """An open WebSocket to a service; made by `open`.

    Attributes:
        url: where it leads, as it may be shown.
        transport: what it shares with the other connections of its event loop.
    """

    __slots__ = (
        "__weakref__",
        "_farewell",
        "_heard_at",
        "_in_line",
        "_is_doubted",
        "_is_heard",
        "_line",
        "_loop",
        "_loss",
        "_options",
        "_phase",
        "_pinged_at",
        "_replies",
        "_socket",
        "_unasked",
        "_unread_pongs",
        "transport",
        "url",
    )

    def __init__(
        self,
        url: str,
        socket: FrameSocket,
        transport: Transport,
        options: ConnectionOptions,
    ) -> None:
        self.url = url
        self._socket = socket
        self.transport = transport
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._replies = PendingReplies(self._loop)
        self._line = asyncio.Lock()
        self._in_line = 0
        self._phase = _OPEN
        self._loss: Exception | None = None
        self._unasked: bytes | None = None
        self._unread_pongs = 0
        self._farewell: asyncio.Task[None] | None = None
        self._is_heard = False  # since the last beat, which knows the time
        self._heard_at = self._loop.time()
        self._pinged_at = 0.0
        self._is_doubted = False

    def __repr__(self) -> str:
        return (
            f"<Connection {self.url} {self._phase.value} unanswered={len(self._replies.pending)}>"
        )

    # Public attributes

    @property
    def is_open(self) -> bool:
        """Whether requests may be sent, as far as is known."""
        return self._phase is _OPEN

    # Public methods

    @classmethod
    async def open(cls, url: str, transport: Transport, options: ConnectionOptions) -> "Connection":
        """Connect to a service's ``/ws``.

        Cancelling it leaves nothing behind.

        Raises:
            ConnectionFailed: nobody listens there, or the handshake was refused.
            RequestTimeout: it took too long.
        """
        name = without_password(url)
        try:
            async with asyncio.timeout(options.connect_timeout_s):
                socket = await transport.http(options.max_message_size_bytes).ws_connect(
                    url,
                    autoping=False,
                    compress=0,
                    decode_text=False,
                    headers=options.headers,
                    timeout=ClientWSTimeout(ws_close=options.close_timeout_s),
                )
        except TimeoutError as error:
            raise RequestTimeout("connect", options.connect_timeout_s or 0.0) from error
        except aiohttp.WSServerHandshakeError as error:
            reason = _refusal(error.status, error.message)
            raise ConnectionFailed(name, reason, status=error.status) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ConnectionFailed(name, why_unreachable(error)) from error
        assert isinstance(socket, FrameSocket)
        connection = cls(name, socket, transport, options)
        transport.pulse.add(connection)
        socket.hand_over(connection)
        return connection

    def request(self, frame: bytes, operation: str, *, patience_s: float = 0.0) -> Awaitable[bytes]:
        """Send a request; await what is returned for its reply's text.

        It is sent at once, or where one is under way already, when its turn has come. Cancelling
        it costs only the reply: it is dropped when it comes, and the connection goes on in step.

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
        is_quiet = not (self._replies.pending or self._in_line) and self._unasked is None
        if is_quiet and self._phase is _OPEN:
            return self._send(frame, operation, patience_s)
        return self._request_with_care(frame, operation, patience_s)

    async def close(self) -> None:
        """Take leave and close; what waits for a reply gets `Closed`. Safe to call twice.

        Cancelling it costs nothing: the closing goes on by itself.
        """
        was_open, self._phase = self.is_open, _CLOSED
        self.transport.pulse.discard(self)
        if self._loop is not asyncio.get_running_loop():
            return  # the loop that it lived on is no more; nobody can say farewell on its socket
        self._replies.fail(Closed("client"))
        if self._farewell is None:
            self._farewell = self.transport.run(self._end(was_open))
        await asyncio.shield(self._farewell)

    def lose(self, reason: str) -> None:
        """Note that the connection is gone; every request raises `SessionLost` from now on."""
        self._fail(SessionLost(reason))

    def beat(self, now: float) -> None:
        """Ping a silent service; give up one that stays silent."""
        if self._is_heard:
            self._is_heard, self._heard_at = False, now
        interval_s, timeout_s = self._options.ping_interval_s, self._options.ping_timeout_s
        if self._pinged_at > self._heard_at:
            if timeout_s is not None and now - self._pinged_at >= timeout_s:
                self._doubt(f"no answer to a ping for {timeout_s:g} s")
        elif interval_s is not None and now - self._heard_at >= interval_s:
            self._pinged_at, self._is_doubted = now, False
            self._write_control(WSMsgType.PING, b"")

    # What the socket hands over

    def on_text(self, text: bytes) -> None:
        """Give a reply to the oldest request."""
        self._is_heard = True
        pending = self._replies.pending
        if pending:
            waiter = pending.popleft()[0]
            if not waiter.done():
                waiter.set_result(text)
        elif self._phase is _OPEN:
            self._keep_unasked(text)

    def on_other(self, kind: WSMsgType, data: bytes) -> None:
        """Answer a ping, note a pong; a binary frame has no place here."""
        self._is_heard = True
        if kind is WSMsgType.PING:
            self._answer_ping(data)
        elif kind is WSMsgType.BINARY:
            violation = ProtocolViolation("the service sent a binary frame")
            self._give_up(violation, WSCloseCode.UNSUPPORTED_DATA)

    def on_end(self, end: WSMessage | BaseException | None) -> None:
        """Tell whoever waits that no reply will come."""
        if isinstance(end, WSMessage):
            reason, code = end.extra or "the service closed it", end.data or None
        elif isinstance(end, WebSocketError):
            reason, code = str(end), end.code
        else:
            reason, code = "the connection broke", None
        if self._phase is _OPEN:
            self._give_up(SessionLost(reason, close_code=code), code or WSCloseCode.OK)

    # Private methods

    def _request_with_care(
        self, frame: bytes, operation: str, patience_s: float
    ) -> Awaitable[bytes]:
        """Send a request where there is something to heed: another one, or the connection's end."""
        if self._phase is _OPEN and (self._in_line or self._replies.is_awaited):
            return self._request_in_turn(frame, operation, patience_s)
        return self._request_next(frame, operation, patience_s)

    async def _request_in_turn(self, frame: bytes, operation: str, patience_s: float) -> bytes:
        """Wait, first come, first served, until no request is under way: the wire carries one."""
        self._in_line += 1
        try:
            async with self._line:
                while self._replies.is_awaited:
                    await asyncio.wait([self._replies.pending[-1][0]])
                reply = self._request_next(frame, operation, patience_s)
        finally:
            self._in_line -= 1
        return await reply

    def _request_next(
        self, frame: bytes, operation: str, patience_s: float
    ) -> "asyncio.Future[bytes]":
        if self._phase is not _OPEN or self._unasked is not None:
            return self._answer_unasked()
        if len(self._replies.pending) >= _MOST_ABANDONED:
            self._give_up(SessionLost(f"{_MOST_ABANDONED} requests in a row got no reply"))
            raise self._reason()
        return self._send(frame, operation, patience_s)

    def _send(self, frame: bytes, operation: str, patience_s: float) -> "asyncio.Future[bytes]":
        limit_s = self._options.message_timeout_s
        reply = self._replies.expect(operation, None if limit_s is None else limit_s + patience_s)
        try:
            self._socket.write_frame(_TEXT, frame)
        except ConnectionError:
            log.debug("%r ended before a request; what it still sent is read", self)
        return reply

    def _answer_unasked(self) -> "asyncio.Future[bytes]":
        """Answer with what came unasked, even when the connection is lost: it says why."""
        if self._unasked is None:
            raise self._reason()
        reply: asyncio.Future[bytes] = self._loop.create_future()
        reply.set_result(self._unasked)
        self._unasked = None
        return reply

    def _answer_ping(self, data: bytes) -> None:
        """Answer a ping, unless a service that reads nothing has so many unread pongs already."""
        self._unread_pongs = self._unread_pongs + 1 if self._socket.is_choked else 0
        if self._unread_pongs <= _MOST_UNREAD_PONGS:
            self._write_control(WSMsgType.PONG, data)

    def _write_control(self, kind: WSMsgType, data: bytes) -> None:
        with contextlib.suppress(ConnectionError):  # what was sent before the end is still read
            self._socket.write_frame(kind, data)

    def _keep_unasked(self, text: bytes) -> None:
        """Keep an error for the next request; give up a connection that is out of step."""
        try:
            read_reply(text)
        except ProtocolViolation:
            pass
        except AioEnvError:
            if self._unasked is None:
                self._unasked = text
                return
        violation = ProtocolViolation("the service sent what nobody asked for")
        self._give_up(violation, WSCloseCode.PROTOCOL_ERROR)

    def _reason(self) -> Exception:
        """Return the error for a connection that is not open."""
        loss = self._loss
        if loss is None:
            return Closed("client")
        if isinstance(loss, SessionLost):
            return SessionLost(loss.reason, close_code=loss.close_code)
        return SessionLost(str(loss))

    # Ending

    def _fail(self, loss: Exception) -> None:
        """Note what ended the connection, and have whoever waits raise it."""
        if self._phase is _OPEN:
            self._phase = _LOST
            self._loss = loss
            if self._loop is asyncio._get_running_loop():  # else it ended, with whoever waited
                self.transport.pulse.discard(self)
                self._replies.fail(loss)

    def _doubt(self, reason: str) -> None:
        """Give up a silent connection at the second beat that finds it silent for too long.

        Where the event loop itself was held up, its answer may be there and not be read yet.
        """
        if self._is_doubted:
            self.lose(reason)
            self._socket.abort()
        self._is_doubted = True

    def _give_up(self, loss: Exception, code: int = WSCloseCode.OK) -> None:
        """Lose the connection and close what is left of it."""
        self._fail(loss)
        if self._farewell is None:
            self._farewell = self.transport.run(self._end(False, code))

    async def _end(self, is_polite: bool, code: int = WSCloseCode.OK) -> None:
        """Say farewell within its time, and break off what is left of the connection."""
        try:
            async with asyncio.timeout(self._options.close_timeout_s):
                if is_polite:
                    with contextlib.suppress(ConnectionError):
                        self._socket.write_frame(_TEXT, write_request("close"))
                await self._socket.close(code=code)
                await asyncio.sleep(0)  # uvloop writes at the end of a turn
        except TimeoutError:
            log.debug("%r: the service did not agree to the close in time", self)
        finally:
            self._socket.abort()


def _refusal(status: int, message: str) -> str:
    hints = {
        401: "it asks for a bearer token; pass headers={'Authorization': 'Bearer …'}",
        403: "it does not let this origin in",
        404: "there is no /ws there; is it the address of an environment?",
        503: "it is stopping, or starting",
    }
    return hints.get(status, f"the handshake was answered with {status} {message}")
