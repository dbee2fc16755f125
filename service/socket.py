"""The WebSocket door: one connection, one session, frames in, frames out.

A frame is answered where it arrives, inside the event loop's reading of the socket: most steps are
through before anything else could run. One that suspends goes on in the connection's task, and the
frames that come meanwhile are kept for it.
"""

import asyncio
import contextlib
import contextvars
import enum
import logging
from typing import Any, ClassVar

import attrs
from aiohttp import WebSocketError, WSCloseCode, WSMsgType, web

from aioenv import AioEnvError, CapacityReached, Closed, InvalidRequest, Observation
from aioenv.flat import recognise_nothing
from aioenv.messages import error_reply, read_request
from aioenv.service.access import PLAIN_PROTOCOL
from aioenv.service.backlog import Backlog
from aioenv.service.eager import Suspended, finish, start
from aioenv.service.frames import FrameSocket
from aioenv.service.inbox import Inbox
from aioenv.service.kept import AttachedSession, UnknownSession
from aioenv.service.logs import SESSION_ID
from aioenv.service.mcp import McpServer
from aioenv.service.seats import OwnSeat
from aioenv.service.service import Service
from aioenv.service.session import Session

__all__ = ["BINARY", "SocketDoor"]

log = logging.getLogger(__name__)

BINARY = b"(binary)"  # stands for a frame that is not text; told from a text by its identity


class _Phase(enum.Enum):
    QUEUEING = "queueing"  # no session yet; frames are kept
    IDLE = "idle"  # a frame is answered where it arrives
    BUSY = "busy"  # a request is under way in the connection's task; frames are kept
    CLOSING = "closing"  # the session is over; frames are dropped


# By their own names, since Python 3.11 takes a fifth of a microsecond to find a member of an enum.
_QUEUEING, _IDLE, _BUSY, _CLOSING = _Phase
_TEXT = WSMsgType.TEXT


class SocketDoor:
    """Serves one WebSocket connection from its first frame to its last.

    Args:
        service: whose sessions to open.
        request: the handshake.
        mcp: who answers ``mcp`` messages.
    """

    # Whether a plain step may be taken before anything is awaited for it.
    _takes_steps_at_once: ClassVar[bool] = True

    __slots__ = (
        "__weakref__",
        "_backlog",
        "_beats_unanswered",
        "_context",
        "_farewell",
        "_heard_at",
        "_inbox",
        "_is_gone",
        "_is_heard",
        "_is_over",
        "_loop",
        "_mcp",
        "_phase",
        "_pinged_at",
        "_recognise",
        "_request",
        "_requested_at",
        "_service",
        "_session",
        "_socket",
        "_task",
        "_wakeup",
        "peer",
    )

    def __init__(self, service: Service, request: web.Request, mcp: McpServer) -> None:
        settings = service.settings
        self.peer = request.remote
        self._service = service
        self._request = request
        self._mcp = mcp
        self._recognise = (
            service.contract.recognise_step if self._takes_steps_at_once else recognise_nothing
        )
        self._socket = FrameSocket(
            self,
            service.counts,
            max_message_size_bytes=settings.max_message_size_bytes,
            close_timeout_s=settings.close_timeout_s,
            protocols=(PLAIN_PROTOCOL,),
        )
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._task: asyncio.Task[None] | None = None
        self._session: Session | None = None
        self._inbox = Inbox(settings.max_message_size_bytes)
        self._wakeup: asyncio.Future[Suspended[None] | None] | None = None
        self._farewell: tuple[int, str] = (WSCloseCode.OK, "")
        self._phase = _QUEUEING
        self._is_over = False
        self._is_gone = False
        self._backlog: Backlog | None = None  # where the client is made to wait: no more is read
        self._is_heard = False  # by a request since the last beat, which knows the time
        self._heard_at = self._requested_at = self._loop.time()
        self._pinged_at = 0.0
        self._beats_unanswered = 0

    def __repr__(self) -> str:
        return f"<SocketDoor {self.peer} {self._phase.value}>"

    # Public methods

    async def serve(self, wait_s: float) -> web.StreamResponse:
        """Open a session, converse until either side ends it, and close the session.

        Args:
            wait_s: how long to queue for a slot, in seconds.
        """
        await self._socket.prepare(self._request)
        self._task = self._loop.create_task(self._live(wait_s), context=self._context)
        await self._task
        if self._session is not None:
            SESSION_ID.set(self._session.id)  # for the log of requests, in the handler's context
        return self._socket

    def leave(self, code: int, reason: str) -> "asyncio.Task[None] | None":
        """Cancel what is under way, end the session, and close the connection.

        Returns:
            The task that does it.
        """
        self._end(code, reason)
        return self._task

    def beat(self, now: float) -> None:
        """Ping a silent client, drop one that stays silent, end a session nobody uses."""
        settings = self._service.settings
        if self._is_heard:
            self._is_heard = False
            self._heard_at = self._requested_at = now
        if self._backlog is not None:
            # The client has sent so far ahead that its pongs are stuck behind its requests. Its
            # silence means nothing, but a ping that cannot be sent does: nothing else tells of the
            # end of a connection that is not read. Nor does it mean anything good for one that
            # takes no replies.
            if self._backlog.is_stuck(now, self._socket.unsent_bytes):
                self._end(WSCloseCode.OK, f"nothing was read for {2 * settings.heartbeat_s:g} s")
                self._drop()
            elif now - max(self._heard_at, self._pinged_at) >= settings.heartbeat_s:
                self._ping(now)
        elif self._pinged_at > self._heard_at:
            # Once the event loop has stalled, this may run before a pong that came meanwhile is
            # read. By the second beat it has been.
            self._beats_unanswered += 1
            if now - self._pinged_at >= settings.heartbeat_s and self._beats_unanswered > 1:
                self._end(WSCloseCode.OK, f"no ping was answered for {settings.heartbeat_s:g} s")
                self._drop()
        elif now - self._heard_at >= settings.heartbeat_s:
            self._ping(now)
        idle = settings.idle_timeout_s
        if idle and self._phase is _IDLE and now - self._requested_at >= idle:
            self._end(WSCloseCode.POLICY_VIOLATION, f"nothing was asked for {idle:g} s")

    # What the socket hands over

    def on_text(self, text: bytes) -> None:
        """Answer a frame at once, or keep it until its turn comes."""
        self._is_heard = True
        if self._phase is not _IDLE:
            self._keep(text)
            return
        # A request belongs to the connection's task and its context, whether it suspends or not:
        # time-outs, task groups and context variables of the environment see no difference.
        loop, task = self._loop, self._task
        assert task is not None
        asyncio._enter_task(loop, task)  # documented for those who drive coroutines themselves
        try:
            self._context.run(self._begin, text)
        finally:
            asyncio._leave_task(loop, task)

    def on_other(self, kind: WSMsgType, data: bytes) -> None:
        """Answer a ping, note a pong, and refuse what is not text."""
        if kind is WSMsgType.BINARY:
            self.on_text(BINARY)
            return
        self._heard_at = self._loop.time()
        if kind is WSMsgType.PING:
            is_taken = not self._write_control(WSMsgType.PONG, data)
            if not (is_taken or self._backlog):
                # A client that pings and does not read: pongs must not pile up for it.
                self._pause()
                self._service.run(self._resume_once_drained())

    def on_end(self, error: BaseException | None) -> None:
        """Cancel the request that is under way: nobody is left to hear of it."""
        if isinstance(error, WebSocketError):
            self._end(error.code, str(error))
        elif error is None:
            self._end(*self._farewell)
        else:
            self._end(WSCloseCode.OK, "the client is gone")

    # The connection's task

    async def _live(self, wait_s: float) -> None:
        self._service.pulse.add(self)
        try:
            await self._play(wait_s)
        except asyncio.CancelledError:
            if not (self._is_gone and self._task is not None and self._task.uncancel() == 0):
                raise
            log.debug("%r is gone", self)
        except ConnectionError:
            log.debug("%r is gone", self)
        except Exception:
            log.exception("%r failed", self)
            self._farewell = (WSCloseCode.INTERNAL_ERROR, "the service failed; see its log")
        finally:
            self._phase = _CLOSING
            self._service.pulse.discard(self)
            await self._close()

    async def _play(self, wait_s: float) -> None:
        """Open a session, or tell the client why there is none; converse; close it."""
        if self._is_over:
            return  # the client has left with its handshake
        try:
            session = await self._open(wait_s)
        except AioEnvError as error:
            self._farewell = (_close_code(error), error_reply(error).code)
            self._socket.write_frame(_TEXT, self._refusal(error))
            return
        self._session = session
        try:
            await self._converse()
        finally:
            self._phase = _CLOSING
            await self._release(session)

    async def _open(self, wait_s: float) -> Session:
        return await self._service.open_session(wait_s=wait_s)

    async def _release(self, session: Session) -> None:
        await self._service.close_session(session, self._why())

    async def _converse(self) -> None:
        """Answer what was kept, then wait for what does not finish where it arrives."""
        while not self._is_over:
            self._phase = _BUSY
            while self._inbox and not self._is_over:
                await self._respond(self._inbox.take())
            self._resume()
            if self._inbox or self._is_over:
                continue
            self._requested_at = self._loop.time()  # neither a queue nor a request is idleness
            self._phase = _IDLE
            self._wakeup = self._loop.create_future()
            await self._wait(self._wakeup)

    async def _wait(self, wakeup: "asyncio.Future[Suspended[None] | None]") -> None:
        """Wait for a request that suspends, and finish it."""
        try:
            request = await wakeup
        except asyncio.CancelledError as error:
            # It may have come between a request's beginning and our going on with it, or right
            # before, so that the request has a future of its own.
            assert self._wakeup is not None
            wakeup = self._wakeup
            if not wakeup.done() or wakeup.cancelled() or wakeup.exception() is not None:
                raise
            request = wakeup.result()
            if request is None:
                raise
            await finish(request, thrown=error)
        else:
            if request is not None:
                await finish(request)

    async def _respond(self, frame: bytes) -> None:
        """Carry out one request and send its reply."""
        contract, session = self._service.contract, self._session
        assert session is not None
        try:
            if frame is BINARY:
                raise InvalidRequest("binary frames are not understood; send JSON as text")
            kind, data = read_request(frame)
            if kind == "step":
                outcome = session.start_step(contract.read_action(data))
            elif kind == "reset":
                outcome = session.start_reset(data)
            elif kind == "state":
                reply = contract.write_state(await session.state())
                outcome = None
            elif kind == "mcp":
                reply = await self._mcp.answer_frame(data, OwnSeat(session))
                outcome = None
            else:
                self._end(WSCloseCode.OK, "")
                return
        except AioEnvError as error:
            reply, outcome = self._refusal(error), None
        if outcome is None:
            await self._send(reply)
        else:
            await self._answer(outcome)

    async def _answer(self, outcome: Observation | Suspended[Observation]) -> None:
        """Send what a reset or a step comes to."""
        try:
            if outcome.__class__ is Suspended:
                outcome = await finish(outcome)
            reply = self._service.contract.write_observation(outcome)
        except AioEnvError as error:
            reply = self._refusal(error)
        await self._send(reply)

    async def _send(self, reply: bytes) -> None:
        if self._socket.write_frame(_TEXT, reply):
            await self._socket.drain()

    # Private methods

    def _begin(self, text: bytes) -> None:
        """Begin to answer a frame; the connection's task goes on with what suspends."""
        action = self._recognise(text)
        try:
            rest = start(self._respond(text)) if action is None else self._step(action)
        except BaseException as error:
            self._hand_over(error)
        else:
            if rest is not None:
                self._hand_over(rest)

    def _step(self, action: Any) -> Suspended[None] | None:
        """Take an action and answer it, all at once where nothing suspends.

        Returns:
            What is left to do.
        """
        assert self._session is not None
        try:
            outcome = self._session.start_step(action)
            if outcome.__class__ is Suspended:
                return start(self._answer(outcome))
            reply = self._service.contract.write_observation(outcome)
        except AioEnvError as error:
            reply = self._refusal(error)
        if self._socket.write_frame(_TEXT, reply):
            return start(self._socket.drain())
        return None

    def _refusal(self, error: AioEnvError) -> bytes:
        """Return the reply that tells of an error, and count it."""
        reply = error_reply(error)
        self._service.counts.error(reply.code)
        try:
            return reply.to_bytes()
        except ValueError:  # what it quotes of the request can be read, but is too deep to write
            errors = [{**fault, "input": None} for fault in reply.errors]
            return attrs.evolve(reply, errors=errors).to_bytes()

    def _why(self) -> str:
        """Tell the log why the session ends."""
        return self._farewell[1] or ("the client closed" if self._is_over else "the service failed")

    def _hand_over(self, outcome: Suspended[None] | BaseException) -> None:
        """Have the connection's task go on with what did not finish where it arrived."""
        assert self._wakeup is not None
        self._phase = _BUSY
        if self._wakeup.done():  # the task was cancelled in this very turn; `_wait` hears of both
            self._wakeup = self._loop.create_future()
        if isinstance(outcome, BaseException):
            self._wakeup.set_exception(outcome)
        else:
            self._wakeup.set_result(outcome)

    def _keep(self, text: bytes) -> None:
        """Keep a frame for its turn; beyond so many, let the client wait with the next."""
        if self._phase is _CLOSING:
            return
        self._inbox.put(text)
        if self._inbox.is_full:
            self._pause()

    def _ping(self, now: float) -> None:
        self._pinged_at = now
        self._beats_unanswered = 0
        self._write_control(WSMsgType.PING, b"")

    def _pause(self) -> None:
        if self._backlog is None:
            limit_s = 2 * self._service.settings.heartbeat_s
            self._backlog = Backlog(limit_s, self._loop.time())
            self._request.protocol.pause_reading()

    async def _resume_once_drained(self) -> None:
        with contextlib.suppress(ConnectionError):
            await self._socket.drain()
        if not self._inbox.is_full:
            self._resume()

    def _resume(self) -> None:
        if self._backlog is not None:
            self._backlog = None
            self._heard_at = self._loop.time()  # its silence begins to count again
            self._request.protocol.resume_reading()

    def _end(self, code: int, reason: str) -> None:
        """Let the conversation end: at once while idle, by cancelling what is under way."""
        if self._is_over or self._phase is _CLOSING:
            return
        self._is_over = True
        self._farewell = (code, reason)
        if self._phase is _IDLE:
            assert self._wakeup is not None
            self._phase = _BUSY
            if not self._wakeup.done():  # else its task was cancelled, and ends by itself
                self._wakeup.set_result(None)
        elif self._task is not None and self._task is not asyncio.current_task():
            self._is_gone = True
            self._task.cancel()

    def _write_control(self, kind: WSMsgType, data: bytes) -> bool:
        try:
            return self._socket.write_frame(kind, data)
        except ConnectionError:
            return False

    def _drop(self) -> None:
        """Break off a connection whose client does not react."""
        transport = self._request.transport
        if transport is not None:
            transport.abort()

    async def _close(self) -> None:
        """Say that the connection is over, and wait for the client to agree."""
        code, reason = self._farewell
        self._resume()  # the client's agreement must be read
        try:
            async with asyncio.timeout(self._service.settings.close_timeout_s):
                await self._socket.close(code=code, message=reason.encode()[:123])
        except TimeoutError:
            self._drop()  # what is still to be sent is not taken


def _close_code(error: AioEnvError) -> int:
    match error:
        case CapacityReached():
            return WSCloseCode.TRY_AGAIN_LATER
        case Closed():
            return WSCloseCode.GOING_AWAY
        case UnknownSession() | AttachedSession():
            return WSCloseCode.POLICY_VIOLATION
        case _:
            return WSCloseCode.INTERNAL_ERROR
