"""A WebSocket in a session that was opened before it and outlives it: ``/ws?session_id=…``."""

import asyncio

from aiohttp import web

from aioenv.service.kept import KeptSessions
from aioenv.service.logs import SESSION_ID
from aioenv.service.mcp import McpServer
from aioenv.service.service import Service
from aioenv.service.session import Session
from aioenv.service.socket import SocketDoor

__all__ = ["AttachedDoor"]


class AttachedDoor(SocketDoor):
    """Serves one WebSocket connection in a kept session, in turns with whoever else uses it.

    Args:
        service: whose session it is.
        request: the handshake.
        mcp: who answers ``mcp`` messages.
        kept: where the session is kept.
        session_id: its id.
    """

    __slots__ = ("_kept", "_session_id", "_turn")

    _takes_steps_at_once = False

    def __init__(
        self,
        service: Service,
        request: web.Request,
        mcp: McpServer,
        kept: KeptSessions,
        session_id: str,
    ) -> None:
        super().__init__(service, request, mcp)
        self._kept = kept
        self._session_id = session_id
        self._turn: asyncio.Lock | None = None

    async def _open(self, wait_s: float) -> Session:
        session, self._turn = self._kept.attach(self._session_id)
        SESSION_ID.set(self._session_id)
        return session

    async def _release(self, session: Session) -> None:
        self._kept.detach(self._session_id)

    async def _respond(self, frame: bytes) -> None:
        assert self._turn is not None
        async with self._turn:
            await super()._respond(frame)
