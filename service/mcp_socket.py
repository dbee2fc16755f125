"""MCP over a WebSocket, as OpenEnv's services have it: one connection, one session."""

from aioenv import AioEnvError
from aioenv.messages import error_reply
from aioenv.service.jsonrpc import ErrorCode, RpcError, failure, parse, write
from aioenv.service.seats import OwnSeat
from aioenv.service.socket import BINARY, SocketDoor

__all__ = ["McpSocketDoor"]


class McpSocketDoor(SocketDoor):
    """Serves one WebSocket connection whose frames are JSON-RPC messages."""

    __slots__ = ()

    _takes_steps_at_once = False

    async def _respond(self, frame: bytes) -> None:
        assert self._session is not None
        try:
            if frame is BINARY:
                raise RpcError(ErrorCode.INVALID_REQUEST, "send JSON as text, not as binary frames")
            answer = await self._mcp.answer(parse(frame), OwnSeat(self._session))
        except RpcError as error:
            answer = self._mcp.fail(error)
        if answer is not None:
            await self._send(write(answer))

    def _refusal(self, error: AioEnvError) -> bytes:
        reply = error_reply(error)
        self._service.counts.error(reply.code)
        data = {"code": reply.code, **reply.details}
        return write(failure(RpcError(ErrorCode.SERVER_ERROR, reply.message, data)))
