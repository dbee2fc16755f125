"""Seats: in which session the tools of an MCP client play."""

import asyncio
import reprlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

from aioenv import SessionLost
from aioenv.service.jsonrpc import ErrorCode, RpcError
from aioenv.service.kept import KeptSessions, UnknownSession
from aioenv.service.session import Session, is_being_cancelled

__all__ = ["KeptSeat", "LazySeat", "NoSeat", "OwnSeat", "Seat", "quoted", "unknown_session"]

_LONGEST_NAME = 64


class Seat(Protocol):
    """Where an MCP client plays.

    Attributes:
        wait_s: how long the client wants to queue for a session, in seconds.
        session_id: of the session that the connection itself holds, or ``None``.
    """

    @property
    def wait_s(self) -> float:
        """How long the client wants to queue for a session, in seconds."""

    @property
    def session_id(self) -> str | None:
        """The id of the session that the client's connection holds by itself, if it does."""

    def lend(self, *, begins: bool = False) -> AbstractAsyncContextManager[Session]:
        """Lend the session for one call.

        Args:
            begins: the call begins an episode, so that a session which ended may be replaced.
        """


class OwnSeat:
    """The session of the client's own connection, which makes its calls one at a time."""

    wait_s = 0.0

    def __init__(self, session: Session) -> None:
        self._session = session
        self.session_id: str | None = session.id

    @asynccontextmanager
    async def lend(self, *, begins: bool = False) -> AsyncIterator[Session]:
        """Lend the session."""
        yield self._session


class KeptSeat:
    """A session that was opened by itself, and is named with every call."""

    wait_s = 0.0
    session_id = None

    def __init__(self, kept: KeptSessions, session_id: Any) -> None:
        if not isinstance(session_id, str) or session_id not in kept:
            raise unknown_session(session_id)
        self._kept = kept
        self._id = session_id

    @asynccontextmanager
    async def lend(self, *, begins: bool = False) -> AsyncIterator[Session]:
        """Lend the session, in turn.

        Raises:
            RpcError: it has ended.
        """
        try:
            async with self._kept.use(self._id) as session:
                yield session
        except UnknownSession:
            raise unknown_session(self._id) from None


class NoSeat:
    """A client that has opened no session.

    Attributes:
        wait_s: how long it wants to queue for one, in seconds.
        was_asked_for: whether it has tried to play nevertheless.
    """

    session_id = None

    def __init__(self, wait_s: float) -> None:
        self.wait_s = wait_s
        self.was_asked_for = False

    def lend(self, *, begins: bool = False) -> AbstractAsyncContextManager[Session]:
        """Refuse.

        Raises:
            RpcError: always.
        """
        self.was_asked_for = True
        raise RpcError(
            ErrorCode.INVALID_REQUEST,
            "tools are called in a session: call initialize first and send its Mcp-Session-Id, "
            "or openenv/session/create and name its session_id in the params",
        )


class LazySeat:
    """The session of an MCP session: opened by the first call that plays, kept for the next.

    An agent's program connects to all its servers when it starts, and may never play. A session
    that ended for want of use is not replaced behind the agent's back, except by a reset.
    """

    session_id = None

    def __init__(self, kept: KeptSessions, wait_s: float) -> None:
        self.wait_s = wait_s
        self._kept = kept
        self._id: str | None = None
        self._is_over = False
        self._opening = asyncio.Lock()
        self._queued: asyncio.Task[None] | None = None

    @property
    def is_taken(self) -> bool:
        """Whether a session is open."""
        return self._id in self._kept or self._opening.locked()

    @asynccontextmanager
    async def lend(self, *, begins: bool = False) -> AsyncIterator[Session]:
        """Lend the session, in turn; the first time, open it.

        Raises:
            CapacityReached: there is no slot.
            EnvironmentFailed: the environment cannot be made.
            SessionLost: the session has ended, and only a reset begins another.
        """
        session_id = await self._open(begins=begins)
        try:
            async with self._kept.use(session_id) as session:
                yield session
        except UnknownSession:
            raise self._lost() from None

    async def close(self) -> None:
        """End the session, if there is one; a call that is under way ends first.

        One that waits for its session to be opened waits no longer.
        """
        self._is_over = True
        if self._queued is not None:
            self._queued.cancel()
        async with self._opening:
            if self._id in self._kept:
                assert self._id is not None
                await self._kept.close(self._id, "the client closed")

    async def _open(self, *, begins: bool) -> str:
        async with self._opening:
            if self._is_over:
                raise self._lost()
            if self._id is None or (begins and self._id not in self._kept):
                await self._queue()
            if self._is_over:  # meanwhile, and `close` waits to end what was opened
                raise self._lost()
            assert self._id is not None
            return self._id

    async def _queue(self) -> None:
        """Open a session, in a task that `close` may cancel."""
        self._queued = task = asyncio.create_task(self._open_new())
        try:
            await task
        except asyncio.CancelledError:
            if not self._is_over or not task.cancelled() or is_being_cancelled():
                raise
        finally:
            self._queued = None

    async def _open_new(self) -> None:
        self._id = await self._kept.open(wait_s=self.wait_s)

    def _lost(self) -> SessionLost:
        if self._is_over:
            return SessionLost("the client has ended it")
        return SessionLost("it was not used for a while, and its environment is gone")


def unknown_session(session_id: Any) -> RpcError:
    """Return the refusal of what names no session, or none any more."""
    return RpcError(ErrorCode.INVALID_PARAMS, f"Unknown session_id: {quoted(session_id)}")


def quoted(value: Any) -> str:
    """Return what a client sent, to be named in an error: a name as it is, all else in brief."""
    is_name = isinstance(value, str) and len(value) <= _LONGEST_NAME
    return value if is_name else reprlib.repr(value)
