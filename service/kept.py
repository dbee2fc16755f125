"""Kept sessions: those that live from one HTTP request to the next, under a name.

A connection that ends takes its session with it. A session over plain HTTP has no connection, so
it ends when it is told to, or when nobody has used it for a while.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aioenv.service.service import Service
from aioenv.service.session import Session

__all__ = ["KeptSessions"]

log = logging.getLogger(__name__)


class _Kept:
    """A session, the turn to use it, and when it was last used."""

    def __init__(self, session: Session, now: float) -> None:
        self.session = session
        self.turn = asyncio.Lock()
        self.users = 0
        self.used_at = now


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
            KeyError: there is no such session, or not any more.
        """
        kept = self._kept[session_id]
        kept.users += 1
        try:
            async with kept.turn:
                if self._kept.get(session_id) is not kept:
                    raise KeyError(session_id)
                yield kept.session
        finally:
            kept.users -= 1
            kept.used_at = asyncio.get_running_loop().time()

    async def close(self, session_id: str) -> None:
        """End a session; a request that is under way in it ends first.

        Raises:
            KeyError: there is no such session, or not any more.
        """
        kept = self._kept.pop(session_id)
        if not self._kept:
            self._service.pulse.discard(self)
        await asyncio.shield(self._service.run(self._end(kept)))

    def beat(self, now: float) -> None:
        """End the sessions that nobody has used for too long."""
        limit_s = self._service.settings.http_idle_timeout_s
        for session_id, kept in tuple(self._kept.items()):
            if not kept.users and now - kept.used_at >= limit_s:
                log.info("session %s was not used for %g s; it ends", session_id, limit_s)
                self._service.run(self.close(session_id))

    async def _end(self, kept: _Kept) -> None:
        async with kept.turn:
            await self._service.close_session(kept.session)
