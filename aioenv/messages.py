"""The wire's messages: what a client asks, what a service answers, and their JSON form.

One request, one reply, in order, each a JSON object in one WebSocket text frame. The shapes are
OpenEnv's (its 0.10 server and client), so that either side may be one of theirs.
"""

import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import field, frozen

from aioenv.errors import (
    AioEnvError,
    CapacityReached,
    EnvironmentFailed,
    InvalidRequest,
    ProtocolViolation,
    SessionLost,
)
from aioenv.faults import make_fault, some_faults
from aioenv.jsontext import dumps, loads

__all__ = [
    "ErrorReply",
    "error_reply",
    "read_reply",
    "read_request",
    "write_request",
]


@frozen
class ErrorReply:
    """A service's refusal, in the wire's terms."""

    code: str
    message: str
    errors: Sequence[Mapping[str, Any]] = ()
    details: Mapping[str, Any] = field(factory=dict)

    def to_exception(self) -> AioEnvError:
        """Return the error of our tree that this reply stands for."""
        match self.code:
            case "CAPACITY_REACHED":
                details = self.details
                return CapacityReached(details.get("active_sessions"), details.get("max_sessions"))
            case "INVALID_JSON" | "UNKNOWN_TYPE" | "VALIDATION_ERROR":
                return InvalidRequest(self.message, code=self.code, errors=self.errors)
            case "SESSION_ERROR":
                return SessionLost(self.message)
            case _:
                return EnvironmentFailed(self.message, code=self.code)

    def to_data(self) -> dict[str, Any]:
        """Return the ``data`` of the wire's error message."""
        data: dict[str, Any] = {"message": self.message, "code": self.code}
        if self.errors:
            data["errors"] = self.errors
        return {**data, **self.details}

    def to_bytes(self) -> bytes:
        """Return the frame's text."""
        return dumps({"type": "error", "data": self.to_data()})


def error_reply(error: AioEnvError) -> ErrorReply:
    """Return the reply that tells a client of an error."""
    match error:
        case CapacityReached(active=active, limit=limit):
            return ErrorReply(
                "CAPACITY_REACHED",
                f"every session is in use ({active} of {limit}); try again later, "
                "or connect with ?wait_s=30 to wait for one",
                details={"active_sessions": active, "max_sessions": limit},
            )
        case InvalidRequest():
            return ErrorReply(error.code, error.summary, errors=error.errors)
        case EnvironmentFailed():
            return ErrorReply(error.code, error.reason)
        case SessionLost():
            return ErrorReply("SESSION_ERROR", error.reason)
        case _:
            return ErrorReply("SESSION_ERROR", str(error))


def read_request(frame: bytes | str) -> tuple[str, dict[str, Any]]:
    """Read a client's frame.

    Args:
        frame: the text of one frame.

    Returns:
        The request's type and its data: ``step`` with the action's fields; ``reset`` with the
        seed, the episode's id and further options; ``mcp`` with a JSON-RPC message; ``state`` and
        ``close`` with nothing.

    Raises:
        InvalidRequest: it is no JSON (``INVALID_JSON``), of no known type (``UNKNOWN_TYPE``), or
            not shaped as its type demands (``VALIDATION_ERROR``).
    """
    try:
        message = loads(frame)
    except ValueError as error:
        raise InvalidRequest(f"Invalid JSON: {error}", code="INVALID_JSON") from None
    if message.__class__ is not dict:
        text = f"expected an object, got {_kind(message)}"
        raise InvalidRequest(
            f"a message is a JSON object with a type, not {_kind(message)}",
            errors=[make_fault("dict_type", [], text, message)],
        )
    kind = message.get("type")
    if kind == "step" and len(message) == 2:
        data = message.get("data")
        if data.__class__ is dict:
            return kind, data
    return _read_seldom(kind, message)


def _read_seldom(kind: Any, message: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Read any request but a well-formed step, or say what is wrong with it."""
    if kind not in ("reset", "step", "state", "mcp", "close"):
        raise InvalidRequest(
            f"Unknown message type: {reprlib.repr(kind)}; "
            "known are reset, step, state, mcp and close",
            code="UNKNOWN_TYPE",
        )
    takes_data = kind in ("reset", "step", "mcp")
    allowed = {"type", "data"} if takes_data else {"type"}
    errors = some_faults(
        make_fault("extra_forbidden", [name], "this key is unknown", message[name])
        for name in sorted(message.keys() - allowed)
    )
    data = message.get("data", {})
    if kind in ("step", "mcp") and "data" not in message:
        errors.append(make_fault("missing", ["data"], "this key is required", message))
    elif takes_data and data.__class__ is not dict:
        text = f"expected an object, got {_kind(data)}"
        errors.append(make_fault("dict_type", ["data"], text, data))
    if errors:
        raise InvalidRequest(f"this is not a valid {kind} message", errors=errors)
    return kind, data


def write_request(kind: str, data: dict[str, Any] | None = None) -> bytes:
    """Write a request as the text of a frame.

    Args:
        kind: ``step``, ``reset``, ``state`` or ``close``.
        data: what a step or a reset says.

    Raises:
        InvalidRequest: something in its data has no JSON form.
    """
    message = {"type": kind} if data is None else {"type": kind, "data": data}
    try:
        return dumps(message)
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"this {kind} cannot be written: {error}") from error


def read_reply(frame: bytes | str, expected: str | None = None) -> dict[str, Any]:
    """Read a service's frame.

    Args:
        frame: the text of one frame.
        expected: the type of reply that the request calls for; any, if none is given.

    Returns:
        The reply's data, when it is no error.

    Raises:
        ProtocolViolation: it is not a JSON object with a type and data, or not of that type.
        AioEnvError: the one that an error reply stands for.
    """
    try:
        message = loads(frame)
    except ValueError as error:
        raise ProtocolViolation(f"the service sent what is not JSON: {error}") from None
    if message.__class__ is dict:
        kind, data = message.get("type"), message.get("data")
        if data.__class__ is dict and kind.__class__ is str:
            if kind == expected or (expected is None and kind != "error"):
                return data
            if kind == "error":
                raise _read_error(data).to_exception()
            raise ProtocolViolation(f"the service answered with {kind!r}, not {expected!r}")
    raise ProtocolViolation("the service sent a frame that is not an object with a type and data")


def _read_error(data: dict[str, Any]) -> ErrorReply:
    details = {name: data[name] for name in data.keys() - {"code", "message", "errors"}}
    errors = data.get("errors")
    return ErrorReply(
        str(data.get("code", "UNKNOWN")),
        str(data.get("message", "the service gave no reason")),
        errors=[error for error in errors if isinstance(error, dict)]
        if isinstance(errors, list)
        else (),
        details=details,
    )


def _kind(value: Any) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
