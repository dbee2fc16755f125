"""The Model Context Protocol: what a client may call, whichever way its messages come.

The server's half of the revisions in `REVISIONS` (https://modelcontextprotocol.io/specification),
as far as tools go, and OpenEnv's two calls for sessions of one's own.
"""

import functools
import logging
import reprlib
from collections.abc import Awaitable, Callable
from typing import Any

from aioenv import AioEnvError, __version__
from aioenv.messages import error_reply
from aioenv.service.jsonrpc import Call, ErrorCode, RpcError, failure, read_call, success, write
from aioenv.service.kept import KeptSessions, UnknownSession
from aioenv.service.seats import KeptSeat, NoSeat, OwnSeat, Seat, quoted, unknown_session
from aioenv.service.service import Service
from aioenv.service.tools import ERROR_KEY, TOOL_NAMES, Tools

__all__ = ["REVISIONS", "McpServer"]

log = logging.getLogger(__name__)

#: The protocol's revisions, oldest first. The one of 2026-07-28 knows no sessions, in which an
#: episode could live from call to call; its clients fall back to these.
REVISIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")

#: The wire's code for what is wrong with a call, by which it is counted.
_CODES = {
    ErrorCode.PARSE_ERROR: "INVALID_JSON",
    ErrorCode.INVALID_REQUEST: "VALIDATION_ERROR",
    ErrorCode.METHOD_NOT_FOUND: "UNKNOWN_TYPE",
    ErrorCode.INVALID_PARAMS: "VALIDATION_ERROR",
}

Result = dict[str, Any]


class McpServer:
    """Answers the calls of MCP clients.

    Args:
        service: whose environment they play.
        kept: the sessions that last from one request to the next.
    """

    def __init__(self, service: Service, kept: KeptSessions) -> None:
        self._service = service
        self._kept = kept
        self._methods: dict[str, Callable[[dict[str, Any], Seat], Awaitable[Result]]] = {
            "initialize": self._initialize,
            "ping": self._ping,
            "tools/list": self._list_tools,
            "tools/call": self._call_tool,
            "openenv/session/create": self._create_session,
            "openenv/session/close": self._close_session,
        }

    @functools.cached_property
    def tools(self) -> Tools:
        """The environment's tools; described when they are first asked for."""
        return Tools(self._service)

    # Public methods

    async def answer(self, message: Any, seat: Seat) -> dict[str, Any] | None:
        """Answer one message.

        Args:
            message: what came, as a JSON value.
            seat: where the client plays.

        Returns:
            The answer, which may be an error; ``None`` where nothing was asked.
        """
        call: Call | None = None
        try:
            call = read_call(message)
            if call is None or call.id is None:
                return None
            return success(call, await self._carry_out(call, seat))
        except RpcError as error:
            if call is not None:
                error.id = call.id
            return self.fail(error)
        except Exception:
            log.exception("a call of an MCP client failed")
            text = "the service failed; see its log"
            call_id = None if call is None else call.id
            return self.fail(RpcError(ErrorCode.INTERNAL_ERROR, text, id=call_id))

    def fail(self, error: RpcError) -> dict[str, Any]:
        """Return the answer that tells of an error, and count it."""
        code = error.data.get("code") if isinstance(error.data, dict) else None
        self._service.counts.error(code or _CODES.get(error.code))
        return failure(error)

    async def answer_frame(self, message: Any, seat: OwnSeat) -> bytes:
        """Answer the data of an ``mcp`` message on ``/ws``, where each message has one reply."""
        return write({"type": "mcp", "data": await self.answer(message, seat) or {}})

    # The methods

    async def _carry_out(self, call: Call, seat: Seat) -> Result:
        method = self._methods.get(call.method)
        if method is None:
            raise RpcError(ErrorCode.METHOD_NOT_FOUND, f"Method not found: {quoted(call.method)}")
        if isinstance(seat, NoSeat) and call.method.startswith("tools/"):
            session_id = call.params.get("session_id")  # as OpenEnv's clients name it
            if session_id is not None:
                seat = KeptSeat(self._kept, session_id)
        return await method(call.params, seat)

    async def _initialize(self, params: dict[str, Any], _: Seat) -> Result:
        asked = params.get("protocolVersion")
        if not isinstance(asked, str):
            raise RpcError(ErrorCode.INVALID_PARAMS, "initialize names a protocolVersion")
        about = self._service.metadata()
        how = (
            "Call reset to begin an episode, then step until its result says done. "
            "state tells where the episode stands."
        )
        return {
            "protocolVersion": asked if asked in REVISIONS else REVISIONS[-1],
            "capabilities": {"tools": {"listChanged": False}},
            "serverInfo": {"name": about.name, "version": about.version or __version__},
            "instructions": f"{about.description}\n\n{how}" if about.description else how,
        }

    async def _ping(self, _: dict[str, Any], __: Seat) -> Result:
        return {}

    async def _list_tools(self, params: dict[str, Any], _: Seat) -> Result:
        if params.get("cursor") is not None:
            raise RpcError(ErrorCode.INVALID_PARAMS, "there is no such page; the list is one page")
        return {"tools": self.tools.listed()}

    async def _call_tool(self, params: dict[str, Any], seat: Seat) -> Result:
        name, arguments = params.get("name"), params.get("arguments", {})
        if name not in TOOL_NAMES:
            known = ", ".join(TOOL_NAMES)
            text = f"Unknown tool: {reprlib.repr(name)}; known are {known}"
            raise RpcError(ErrorCode.INVALID_PARAMS, text)
        if arguments.__class__ is not dict:
            raise RpcError(ErrorCode.INVALID_PARAMS, "the arguments of a tool are an object")
        result = await self.tools.call(name, arguments, seat)
        if isinstance(seat, KeptSeat):
            return _for_openenv(result)
        if result["isError"]:
            self._service.counts.error(result["_meta"][ERROR_KEY]["code"])
        return result

    async def _create_session(self, _: dict[str, Any], seat: Seat) -> Result:
        if seat.session_id is not None:
            return {"session_id": seat.session_id}
        try:
            return {"session_id": await self._kept.open(wait_s=seat.wait_s)}
        except AioEnvError as error:
            reply = error_reply(error)
            data = {"code": reply.code, **reply.details}
            raise RpcError(ErrorCode.SERVER_ERROR, reply.message, data) from error

    async def _close_session(self, params: dict[str, Any], seat: Seat) -> Result:
        session_id = params.get("session_id")
        if not isinstance(session_id, str) or not session_id:
            raise RpcError(ErrorCode.INVALID_PARAMS, "openenv/session/close names a session_id")
        if session_id == seat.session_id:
            text = "a connection's own session ends with the connection"
            raise RpcError(ErrorCode.INVALID_REQUEST, text)
        try:
            has_ended = await self._kept.close(session_id, "the client closed")
        except UnknownSession:
            raise unknown_session(session_id) from None
        still = {} if has_ended else {"closing": True}
        return {"session_id": session_id, "closed": has_ended, **still}


def _for_openenv(result: Result) -> Result:
    """Return a tool's result as OpenEnv's clients expect it: an error raised, data in its place."""
    if result["isError"]:
        text = result["content"][0]["text"]
        raise RpcError(ErrorCode.INTERNAL_ERROR, text, result["_meta"][ERROR_KEY])
    return {**result, "data": result["structuredContent"]}
