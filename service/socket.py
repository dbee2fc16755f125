"""The WebSocket door: one connection, one session, frames in, frames out.

Somebody always reads the socket. While the session is idle that is the conversation itself; while
a request suspends, a reader takes over, answers pings, keeps what comes for later, and cancels
the request when the client is gone.
"""

import asyncio
import enum
import logging
from collections import deque
from collections.abc import Coroutine
from typing import Any, TypeVar

from aiohttp import WSCloseCode, WSMsgType, web

from aioenv import AioEnvError, CapacityReached, EnvironmentFailed, InvalidRequest, Observation
from aioenv.messages import (
    CloseRequest,
    ErrorReply,
    ResetRequest,
    StateRequest,
    StepRequest,
    error_reply,
    read_request,
    write_reply,
)
from aioenv.service.eager import Suspended, finish, start
from aioenv.service.service import Service
from aioenv.service.session import Session

__all__ = ["SocketDoor"]

T = TypeVar("T")
log = logging.getLogger(__name__)

# How far the reader runs ahead of a busy session. A client that sends more is made to wait.
_FRAMES_AHEAD = 16


class _Gone(Exception):
    """The client is gone in the middle of a request."""


class _Binary:
    """Stands in the inbox for a frame that is not text."""


class _Phase(enum.Enum):
    QUEUEING = "queueing"  # no session yet
    IDLE = "idle"  # the conversation itself reads the socket
    BUSY = "busy"  # a request is under way, the reader reads
    CLOSING = "closing"  # the session is over


class SocketDoor:
    """Serves one WebSocket connection from its first frame to its last.

    Args:
        service: whose sessions to open.
        socket: the connection, prepared, with neither pings nor text handled by aiohttp.
        peer: the client's address, for the log.
    """

    __slots__ = (
        "__weakref__",
        "_heard_at",
        "_inbox",
        "_is_gone",
        "_loop",
        "_phase",
        "_pinged_at",
        "_reader",
        "_requested_at",
        "_service",
        "_socket",
        "_task",
        "_transport",
        "peer",
    )

    def __init__(
        self, service: Service, socket: web.WebSocketResponse[Any], request: web.Request
    ) -> None:
        self.peer = request.remote
        self._service = service
        self._socket = socket
        self._transport = request.transport
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[Any] | None = asyncio.current_task()
        self._inbox: deque[Any] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._phase = _Phase.QUEUEING
        self._is_gone = False
        self._heard_at = self._requested_at = self._loop.time()
        self._pinged_at = 0.0

    def __repr__(self) -> str:
        return f"<SocketDoor {self.peer} {self._phase.value}>"

    # Public methods

    async def serve(self, wait_s: float) -> None:
        """Open a session, converse until either side ends it, and close the session.

        Args:
            wait_s: how long to queue for a slot, in seconds.
        """
        self._service.pulse.add(self)
        try:
            session = await self._open(wait_s)
            if session is None:
                return
            try:
                await self._converse(session)
            finally:
                self._phase = _Phase.CLOSING
                await self._service.close_session(session)
        except (_Gone, ConnectionError):
            log.debug("%r is gone", self)
        except Exception:
            log.exception("%r failed", self)
            await self.close(WSCloseCode.INTERNAL_ERROR, "the service failed; see its log")
        finally:
            self._service.pulse.discard(self)
            await self._end()

    def beat(self, now: float) -> None:
        """Ping a silent client, drop one that stays silent, close a session nobody uses."""
        settings = self._service.settings
        silence = now - self._heard_at
        if self._pinged_at > self._heard_at:
            if now - self._pinged_at >= settings.heartbeat_s:
                log.info("%r did not answer a ping for %g s", self, settings.heartbeat_s)
                self._drop()
        elif silence >= settings.heartbeat_s:
            self._pinged_at = now
            self._service.run(self._ping())
        idle = settings.idle_timeout_s
        if idle and self._phase is _Phase.IDLE and now - self._requested_at >= idle:
            self._requested_at = now
            reason = f"nothing was asked for {idle:g} s"
            self._service.run(self.close(WSCloseCode.POLICY_VIOLATION, reason))

    async def close(self, code: int, reason: str) -> None:
        """Say that the connection is over, and wait for the client to agree."""
        await self._socket.close(code=code, message=reason.encode()[:123])

    # The conversation

    async def _open(self, wait_s: float) -> Session | None:
        """Open a session, or tell the client why there is none."""
        try:
            session = await self._attended(self._service.open_session(wait_s=wait_s))
        except AioEnvError as error:
            await self._socket.send_frame(error_reply(error).to_bytes(), WSMsgType.TEXT)
            code = WSCloseCode.INTERNAL_ERROR
            if isinstance(error, CapacityReached):
                code = WSCloseCode.TRY_AGAIN_LATER
            await self.close(code, error_reply(error).code)
            return None
        self._phase = _Phase.IDLE
        return session

    async def _converse(self, session: Session) -> None:
        """Answer one frame after the other, until there are no more."""
        send = self._socket.send_frame
        while (frame := await self._next_frame()) is not None:
            self._requested_at = self._heard_at
            try:
                reply = await self._attended(self._answer(session, frame))
            except AioEnvError as error:
                reply = error_reply(error).to_bytes()
            if reply is None:
                return
            await self._attended(send(reply, WSMsgType.TEXT))

    async def _answer(self, session: Session, frame: Any) -> bytes | None:
        """Carry out one request; ``None`` when the client takes its leave."""
        if frame.__class__ is _Binary:
            raise InvalidRequest("binary frames are not understood; send JSON as text")
        request = read_request(frame)
        contract = self._service.contract
        observation: Observation
        match request:
            case StepRequest(data):
                observation = await session.step(data)
            case ResetRequest(data):
                observation = await session.reset(data)
            case StateRequest():
                return _written("state", contract.state_data(await session.state()))
            case CloseRequest():
                return None
        return _written("observation", contract.observation_data(observation))

    # Reading

    async def _next_frame(self) -> Any:
        """Return the next frame, ``None`` after the last."""
        if self._inbox is None:
            return await self._receive()
        while not self._inbox:
            if self._reader is None:
                return await self._receive()
            await self._reader
            self._reader = None
        return self._inbox.popleft()

    async def _receive(self) -> Any:
        """Read the socket up to the next frame, answering pings on the way."""
        socket = self._socket
        while True:
            message = await socket.receive()
            self._heard_at = self._loop.time()
            kind = message.type
            if kind is WSMsgType.TEXT:
                return message.data
            if kind is WSMsgType.PING:
                await socket.pong(message.data)
            elif kind is WSMsgType.BINARY:
                return _Binary()
            elif kind is not WSMsgType.PONG:
                return None

    async def _attended(self, call: Coroutine[Any, Any, T]) -> T:
        """Run a call; should it suspend, have the socket read meanwhile.

        Raises:
            _Gone: the client left before the call was through; the call was cancelled.
        """
        result = start(call)
        if result.__class__ is not Suspended:
            return result  # type: ignore[return-value]
        phase, self._phase = self._phase, _Phase.BUSY
        self._read_ahead()
        try:
            return await finish(result)  # type: ignore[arg-type]
        except asyncio.CancelledError:
            if self._is_gone and self._task is not None and self._task.uncancel() == 0:
                raise _Gone from None
            raise
        finally:
            self._phase = phase

    def _read_ahead(self) -> None:
        if self._inbox is None:
            self._inbox = deque()
        if self._reader is None or self._reader.done():
            self._reader = self._loop.create_task(self._fill_inbox())

    async def _fill_inbox(self) -> None:
        """Read until the session is idle again and has a frame to go on with."""
        inbox = self._inbox
        assert inbox is not None
        while len(inbox) < _FRAMES_AHEAD:
            try:
                frame = await self._receive()
            except ConnectionError:
                frame = None
            inbox.append(frame)
            if frame is None:
                self._leave()
            if frame is None or self._phase is not _Phase.BUSY:
                return

    def _leave(self) -> None:
        """The client is gone: cancel the request that is under way."""
        self._is_gone = True
        if self._phase is _Phase.BUSY and self._task is not None:
            self._task.cancel()

    # Ending

    async def _ping(self) -> None:
        try:
            await self._socket.ping()
        except ConnectionError:
            self._drop()

    def _drop(self) -> None:
        """Break off a connection whose client does not react; its reader sees the end of it."""
        if self._transport is not None:
            self._transport.abort()

    async def _end(self) -> None:
        """Leave no reader behind and close the connection, if it is not closed yet."""
        reader, self._reader = self._reader, None
        if reader is not None and not reader.done():
            reader.cancel()
            await asyncio.wait([reader])
        self._task = None
        if not self._socket.closed:
            await self.close(WSCloseCode.OK, "")


def _written(kind: str, data: dict[str, Any]) -> bytes:
    try:
        return write_reply(kind, data)
    except (TypeError, ValueError) as error:
        reason = f"the environment's {kind} cannot be written: {error}"
        raise EnvironmentFailed(reason) from error
