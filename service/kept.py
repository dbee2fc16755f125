"""Kept sessions: those that live from one HTTP request to the next, under a name.

A connection that ends takes its session with it. A session over plain HTTP has no connection, so
it ends when it is told to, or when nobody has used it for a while.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aioenv import AioEnvError
from aioenv.service.logs import SESSION_ID
from aioenv.service.service import Service
from aioenv.service.session import Session

__all__ = ["AttachedSession", "KeptSessions", "UnknownSession"]


class UnknownSession(AioEnvError):
    """No session has this id, or none any more."""

    def __init__(self, session_id: str, processes: int = 1) -> None:
        super().__init__(session_id, processes)
        self.session_id = session_id
        self.processes = processes

    def __str__(self) -> str:
        text = f"there is no session {self.session_id!r}, or not any more"
        if self.processes == 1:
            return text
        return (
            f"{text}, in the worker that this connection reached: a session that is not a "
            f"WebSocket's lives in one of the {self.processes} workers (--workers); keep to one "
            "connection, use /ws, or serve with one worker"
        )


class AttachedSession(AioEnvError):
    """A connection holds this session, and no other may."""

    def __init__(self, session_id: str) -> None:
        super().__init__(session_id)
        self.session_id = session_id

    def __str__(self) -> str:
        return f"session {self.session_id!r} already has an attached WebSocket"


class _Kept:
    """A session, the turn to use it, and when it was last used."""

    def __init__(self, session: Session, now: float) -> None:
        self.session = session
        self.turn = asyncio.Lock()
        self.users = 0
        self.used_at = now
        self.is_attached = False
        self.is_ending = False


class KeptSessions:
    """Opens, lends and ends sessions by their ids.

    Args:
        service: whose sessions they are.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._kept: dict[str, _Kept] = {}

    def __repr__(self) -> str:
        return f"<KeptSessions {len(self._kept)}>"

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, session_id: object) -> bool:
        return session_id in self._kept

    async def open(self, *, wait_s: float = 0.0) -> str:
        """Open a session and return its id; raises as `Service.open_session` does."""
        session = await self._service.open_session(wait_s=wait_s)
        self._kept[session.id] = _Kept(session, asyncio.get_running_loop().time())
        self._service.pulse.add(self)
        return session.id

    @asynccontextmanager
    async def use(self, session_id: str) -> AsyncIterator[Session]:
        """Lend a session; requests to one session take their turns in order.

        Raises:
            UnknownSession: there is no such session, or not any more.
        """
        kept = self._get(session_id)
        kept.users += 1
        try:
            async with kept.turn:
                if self._kept.get(session_id) is not kept:
                    raise UnknownSession(session_id, self._service.processes)
                SESSION_ID.set(session_id)
                yield kept.session
        finally:
            kept.users -= 1
            kept.used_at = asyncio.get_running_loop().time()

    def attach(self, session_id: str) -> tuple[Session, asyncio.Lock]:
        """Give a session to a connection until it is detached; it does not end for want of use.

        Returns:
            The session, and the turn to take for each request, because others may use it too.

        Raises:
            AttachedSession: another connection has it.
            UnknownSession: there is no such session, or not any more.
        """
        kept = self._get(session_id)
        if kept.is_attached:
            raise AttachedSession(session_id)
        kept.is_attached = True
        kept.users += 1
        return kept.session, kept.turn

    def detach(self, session_id: str) -> None:
        """Take a session back from its connection; one that was to be ended meanwhile ends now."""
        kept = self._get(session_id)
        kept.is_attached = False
        kept.users -= 1
        kept.used_at = asyncio.get_running_loop().time()
        if kept.is_ending:
            self._service.run(self._end(self._withdraw(session_id), "the client closed"))

    async def close(self, session_id: str, why: str = "closed") -> bool:
        """End a session; a request that is under way in it ends first.

        Args:
            session_id: its id.
            why: what to log as the reason.

        Returns:
            Whether it has ended. One that a connection holds ends when it is detached.

        Raises:
            UnknownSession: there is no such session, or not any more.
        """
        kept = self._get(session_id)
        if kept.is_attached:
            kept.is_ending = True
            return False
        await asyncio.shield(self._service.run(self._end(self._withdraw(session_id), why)))
        return True

    def close_all(self, why: str) -> None:
        """Begin to end every session; a request under way ends first, a connection detaches it."""
        for session_id, kept in tuple(self._kept.items()):
            if kept.is_attached:
                kept.is_ending = True
            else:
                self._service.run(self._end(self._withdraw(session_id), why))

    def beat(self, now: float) -> None:
        """End the sessions that nobody has used for too long."""
        limit_s = self._service.settings.http_idle_timeout_s
        for session_id, kept in tuple(self._kept.items()):
            if not kept.users and now - kept.used_at >= limit_s:
                # Withdrawn at once, it cannot be ended or used by a request in between.
                kept = self._withdraw(session_id)
                self._service.run(self._end(kept, f"nobody used it for {limit_s:g} s"))

    def _get(self, session_id: str) -> _Kept:
        kept = self._kept.get(session_id)
        if kept is None:
            raise UnknownSession(session_id, self._service.processes)
        return kept

    def _withdraw(self, session_id: str) -> _Kept:
        kept = self._get(session_id)
        del self._kept[session_id]
        if not self._kept:
            self._service.pulse.discard(self)
        return kept

    async def _end(self, kept: _Kept, why: str) -> None:
        async with kept.turn:
            await self._service.close_session(kept.session, why)
