"""JSON-RPC 2.0: calls and notifications in, results and errors out.

The rules are those of https://www.jsonrpc.org/specification, as the Model Context Protocol narrows
them: parameters are objects, and the id of a call is a string or an integer.
"""

import enum
from typing import Any

from attrs import frozen

from aioenv import dumps, loads

__all__ = ["Call", "ErrorCode", "RpcError", "failure", "parse", "read_call", "success", "write"]


class ErrorCode(enum.IntEnum):
    """What can be wrong with a call."""

    PARSE_ERROR = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL_ERROR = -32603
    SERVER_ERROR = -32000  # every session is in use, the environment cannot be made, …
    UNSUPPORTED_VERSION = -32022  # MCP 2026-07-28


class RpcError(Exception):
    """A call that gets an error for an answer.

    Attributes:
        code: what is wrong.
        message: the same in words.
        data: further facts, as JSON values; ``None`` where there are none.
        id: of the call, where it is known.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        data: Any = None,
        *,
        id: str | int | None = None,  # noqa: A002
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.data = data
        self.id = id


@frozen
class Call:
    """A call, or a notification, which has no id and gets no answer."""

    method: str
    params: dict[str, Any]
    id: str | int | None = None


def parse(text: bytes | str) -> Any:
    """Read JSON text.

    Raises:
        RpcError: it is not JSON (-32700).
    """
    try:
        return loads(text)
    except ValueError as error:
        raise RpcError(ErrorCode.PARSE_ERROR, f"this is not JSON: {error}") from None


def read_call(message: Any) -> Call | None:
    """Read one message of a client.

    Returns:
        What it calls for; ``None`` where nothing was asked, as in a response.

    Raises:
        RpcError: it is no call (-32600), or its parameters are not an object (-32602).
    """
    if message.__class__ is not dict:
        raise RpcError(ErrorCode.INVALID_REQUEST, "a message is a JSON object")
    call_id = message.get("id")
    if "id" in message and call_id.__class__ not in (str, int):
        raise RpcError(ErrorCode.INVALID_REQUEST, "the id of a call is a string or an integer")
    if message.get("jsonrpc") != "2.0":
        raise RpcError(ErrorCode.INVALID_REQUEST, 'expected "jsonrpc": "2.0"', id=call_id)
    method = message.get("method")
    if "method" not in message and ("result" in message or "error" in message):
        return None
    if method.__class__ is not str:
        raise RpcError(ErrorCode.INVALID_REQUEST, "the method is a string", id=call_id)
    params = message.get("params", {})
    if params.__class__ is not dict:
        if call_id is None:
            return None  # nobody waits to hear what is wrong with a notification
        raise RpcError(ErrorCode.INVALID_PARAMS, "the params are an object", id=call_id)
    return Call(method, params, call_id)


def success(call: Call, result: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to a call that has a result."""
    return {"jsonrpc": "2.0", "id": call.id, "result": result}


def failure(error: RpcError) -> dict[str, Any]:
    """Return the answer to a call that has failed."""
    details: dict[str, Any] = {"code": int(error.code), "message": error.message}
    if error.data is not None:
        details["data"] = error.data
    return {"jsonrpc": "2.0", "id": error.id, "error": details}


def write(answer: Any) -> bytes:
    """Write an answer, or a batch of them, as JSON text."""
    return dumps(answer)
