"""MCP over Streamable HTTP: ``POST /mcp`` and ``DELETE /mcp``.

Every request is answered with one JSON body; the service never begins a conversation, so there is
no stream of events to open. What is wrong with a call is a JSON-RPC error with status 200, as in
OpenEnv's services; what is wrong with the headers has the status that the protocol names.
"""

import asyncio
import logging
import uuid
from typing import Any

from aiohttp import web

from aioenv.service.http import read_body, read_wait
from aioenv.service.jsonrpc import ErrorCode, RpcError, parse, write
from aioenv.service.kept import KeptSessions
from aioenv.service.mcp import REVISIONS, McpServer
from aioenv.service.presence import is_gone, while_connected
from aioenv.service.seats import LazySeat, NoSeat, Seat
from aioenv.service.service import Service

__all__ = ["McpDoor"]

log = logging.getLogger(__name__)

SESSION = "Mcp-Session-Id"
VERSION = "MCP-Protocol-Version"

# A client that says nothing of its revision speaks this, the only one with batches.
_WITH_BATCHES = "2025-03-26"
_LONGEST_BATCH = 64


class _UnderWay:
    """A call that is being answered, in the task of its request."""

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.task = task
        self.is_cancelled = False


class _Client:
    """An MCP session: what was agreed upon, where the client plays, and what is under way."""

    def __init__(self, version: str, seat: LazySeat) -> None:
        self.version = version
        self.seat = seat
        self.calls: dict[str | int, _UnderWay] = {}

    def cancel(self, message: dict[str, Any]) -> None:
        """Cancel what a ``notifications/cancelled`` names, if it is still under way."""
        params = message.get("params")
        call_id = params.get("requestId") if isinstance(params, dict) else None
        call = self.calls.get(call_id) if isinstance(call_id, str | int) else None
        if call is not None and not call.is_cancelled:  # `McpDoor._call` takes back but one
            call.is_cancelled = True
            call.task.cancel()


class McpDoor:
    """The handlers of ``/mcp``.

    Args:
        service: whose environment is played.
        kept: the sessions that last from one request to the next.
        server: who answers the calls.
    """

    def __init__(self, service: Service, kept: KeptSessions, server: McpServer) -> None:
        self._service = service
        self._kept = kept
        self._server = server
        self._clients: dict[str, _Client] = {}  # the one that was heard of last stands last

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the door."""
        return [web.post("/mcp", self.post), web.delete("/mcp", self.delete)]

    async def post(self, request: web.Request) -> web.Response:
        """``POST /mcp``: one message, or a batch where the client's revision has them."""
        if not _takes_json(request):
            return self._fault(406, "the answer is application/json, which Accept leaves out")
        wait_s = read_wait(request)
        body = await read_body(request, self._service.settings.max_message_size_bytes)
        try:
            message = parse(body)
        except RpcError as error:
            return _json(self._server.fail(error))
        if isinstance(message, dict) and message.get("method") == "initialize":
            return await self._welcome(message, wait_s)
        version = request.headers.get(VERSION, REVISIONS[-1])
        if version not in REVISIONS:
            data = {"supported": list(REVISIONS), "requested": version}
            text = f"{VERSION} {version!r} is not among {', '.join(REVISIONS)}"
            return self._fault(400, text, ErrorCode.UNSUPPORTED_VERSION, data)
        session_id = request.headers.get(SESSION)
        client = None if session_id is None else self._find(session_id)
        if session_id is not None and client is None:
            return self._refuse_session(session_id)
        return await self._converse(request, message, client, NoSeat(wait_s))

    async def delete(self, request: web.Request) -> web.Response:
        """``DELETE /mcp``: end an MCP session, and the environment's with it."""
        session_id = request.headers.get(SESSION)
        if session_id is None:
            return self._fault(400, f"{SESSION} says which session to end")
        client = self._clients.pop(session_id, None)
        if client is None:
            return self._refuse_session(session_id)
        await asyncio.shield(self._service.run(client.seat.close()))
        return web.Response(status=204)

    # Private methods

    async def _welcome(self, message: dict[str, Any], wait_s: float) -> web.Response:
        """Answer an ``initialize``, and begin a session if it is one."""
        answer = await self._server.answer(message, NoSeat(wait_s))
        if answer is None:
            return web.Response(status=202)
        if "result" not in answer:
            return _json(answer)
        self._forget_one()
        session_id = uuid.uuid4().hex
        seat = LazySeat(self._kept, wait_s)
        self._clients[session_id] = _Client(answer["result"]["protocolVersion"], seat)
        return _json(answer, headers={SESSION: session_id})

    async def _converse(
        self, request: web.Request, message: Any, client: _Client | None, stranger: NoSeat
    ) -> web.Response:
        if not isinstance(message, list):
            answer = await self._answer(request, message, client, stranger)
            if answer is None:
                return web.Response(status=202)
            return _json(answer, status=400 if stranger.was_asked_for else 200)
        version = client.version if client else request.headers.get(VERSION, _WITH_BATCHES)
        if version != _WITH_BATCHES or not 0 < len(message) <= _LONGEST_BATCH:
            text = f"a batch has 1 to {_LONGEST_BATCH} messages, and only {_WITH_BATCHES} has them"
            return _json(self._server.fail(RpcError(ErrorCode.INVALID_REQUEST, text)))
        answers = [
            answer
            for part in message
            if (answer := await self._answer(request, part, client, stranger)) is not None
        ]
        return _json(answers) if answers else web.Response(status=202)

    async def _answer(
        self, request: web.Request, message: Any, client: _Client | None, stranger: NoSeat
    ) -> dict[str, Any] | None:
        if not isinstance(message, dict):
            return await self._server.answer(message, stranger)
        method, call_id = message.get("method"), message.get("id")
        if method == "initialize":  # in a batch, which the protocol forbids
            text = "initialize comes by itself"
            return self._server.fail(RpcError(ErrorCode.INVALID_REQUEST, text))
        if method == "openenv/session/create":
            return await self._create(request, message, stranger if client is None else client.seat)
        if client is None:
            return await self._server.answer(message, stranger)
        if method == "notifications/cancelled":
            client.cancel(message)
        if method != "tools/call" or not isinstance(call_id, str | int):
            return await self._server.answer(message, client.seat)
        return await self._call(message, call_id, client)

    async def _create(
        self, request: web.Request, message: dict[str, Any], seat: Seat
    ) -> dict[str, Any] | None:
        """Answer a call that opens a session, and keep none whose id nobody learns."""
        with while_connected(request, self._service.pulse):
            answer = await self._server.answer(message, seat)
        if is_gone(request) and answer is not None and "result" in answer:
            await self._kept.close(answer["result"]["session_id"], "the client is gone")
        return answer

    async def _call(
        self, message: dict[str, Any], call_id: str | int, client: _Client
    ) -> dict[str, Any] | None:
        """Answer a call that may be cancelled by its id."""
        client.calls[call_id] = call = _UnderWay()
        try:
            return await self._server.answer(message, client.seat)
        except asyncio.CancelledError:
            if not call.is_cancelled or call.task.uncancel():
                raise  # somebody else has cancelled it: the service stops
            text = "the call was cancelled"
            return self._server.fail(RpcError(ErrorCode.SERVER_ERROR, text, id=call_id))
        finally:
            if client.calls.get(call_id) is call:
                del client.calls[call_id]

    def _find(self, session_id: str) -> _Client | None:
        client = self._clients.pop(session_id, None)
        if client is not None:
            self._clients[session_id] = client
        return client

    def _forget_one(self) -> None:
        """Make room: forget who was not heard of for longest and holds no environment."""
        if len(self._clients) < self._service.settings.max_mcp_clients:
            return
        for session_id, client in self._clients.items():
            if not client.seat.is_taken and not client.calls:
                del self._clients[session_id]
                return

    def _refuse_session(self, session_id: str) -> web.Response:
        text = f"there is no session {session_id!r}, or not any more; call initialize again"
        return self._fault(404, text, data={"code": "SESSION_NOT_FOUND"})

    def _fault(
        self,
        status: int,
        text: str,
        code: ErrorCode = ErrorCode.INVALID_REQUEST,
        data: Any = None,
    ) -> web.Response:
        return _json(self._server.fail(RpcError(code, text, data)), status=status)


def _takes_json(request: web.Request) -> bool:
    accepted = ",".join(request.headers.getall("Accept", ["*/*"])).lower()
    kinds = {part.partition(";")[0].strip() for part in accepted.split(",")}
    return bool(kinds & {"application/json", "application/*", "*/*"})


def _json(body: Any, **kwargs: Any) -> web.Response:
    return web.Response(body=write(body), content_type="application/json", **kwargs)
