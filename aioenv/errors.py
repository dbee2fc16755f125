"""The errors that both sides raise, as one tree.

::

    AioEnvError
    ├── ConnectionFailed      (also a ConnectionError)  the service could not be reached
    ├── SessionLost           the peer ended the session; only reset() begins a new one
    ├── CapacityReached       every session of the service is in use
    ├── RequestTimeout        (also a TimeoutError)     no reply in time
    ├── InvalidRequest        (also a ValueError)       you sent what the other side cannot take
    ├── EnvironmentFailed     the environment raised, hung or returned the wrong thing
    ├── ProtocolViolation     the peer sent what the wire does not allow
    ├── LaunchFailed          a service that was to be started for you did not start
    └── Closed                you closed it, and used it afterwards

Each stores its facts as attributes; the sentence is built in ``__str__``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = [
    "AioEnvError",
    "CapacityReached",
    "Closed",
    "ConnectionFailed",
    "EnvironmentFailed",
    "InvalidRequest",
    "LaunchFailed",
    "ProtocolViolation",
    "RequestTimeout",
    "SessionLost",
]


class AioEnvError(Exception):
    """The root: whatever this project raises on purpose is one of these."""


class ConnectionFailed(AioEnvError, ConnectionError):
    """The service could not be reached, or refused the WebSocket.

    Attributes:
        url: the address that was tried.
        reason: what went wrong, in words.
        status: the HTTP status of a refused handshake, or ``None``.
    """

    def __init__(self, url: str, reason: str, *, status: int | None = None) -> None:
        super().__init__(url, reason)
        self.url = url
        self.reason = reason
        self.status = status

    def __str__(self) -> str:
        return f"cannot connect to {self.url}: {self.reason}"


class SessionLost(AioEnvError):
    """The session ended without this side closing it; its environment is gone.

    Attributes:
        reason: what ended it, in words.
        close_code: the WebSocket close code (RFC 6455, section 7.4), or ``None``.
    """

    def __init__(self, reason: str, *, close_code: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.close_code = close_code

    def __str__(self) -> str:
        code = "" if self.close_code is None else f" (close code {self.close_code})"
        return f"the session is lost: {self.reason}{code}; call reset() to begin a new one"


class CapacityReached(AioEnvError):
    """Every session of the service is in use.

    Attributes:
        active: sessions in use when the service refused, or ``None`` where it did not say.
        limit: the most that it allows, or ``None`` where it did not say.
    """

    def __init__(self, active: int | None = None, limit: int | None = None) -> None:
        super().__init__(active, limit)
        self.active = active
        self.limit = limit

    def __str__(self) -> str:
        if self.active is None or self.limit is None:
            used = "every session is in use"
        else:
            used = f"{self.active} of {self.limit} sessions are in use"
        return (
            f"{used}; wait with a longer capacity_timeout_s=…, or raise MAX_CONCURRENT_ENVS there"
        )


class RequestTimeout(AioEnvError, TimeoutError):
    """No reply came in time. The session goes on: a late reply is dropped, never mistaken.

    Attributes:
        operation: what was asked: ``"reset"``, ``"step"``, ``"state"`` or ``"connect"``.
        timeout_s: how long it was waited for, in seconds.
    """

    def __init__(self, operation: str, timeout_s: float) -> None:
        super().__init__(operation, timeout_s)
        self.operation = operation
        self.timeout_s = timeout_s

    def __str__(self) -> str:
        return f"no reply to {self.operation} within {self.timeout_s:g} s"


class InvalidRequest(AioEnvError, ValueError):
    """What was sent cannot be taken: broken JSON, an unknown message, a bad or missing field.

    Attributes:
        summary: what was wrong, in one sentence.
        code: the wire's code: ``INVALID_JSON``, ``UNKNOWN_TYPE`` or ``VALIDATION_ERROR``.
        errors: one mapping for each fault, with ``type``, ``loc`` (the path, as a list),
            ``msg`` and ``input``.
    """

    def __init__(
        self,
        summary: str,
        *,
        code: str = "VALIDATION_ERROR",
        errors: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(summary)
        self.summary = summary
        self.code = code
        self.errors = list(errors)

    def __str__(self) -> str:
        if not self.errors:
            return self.summary
        return f"{self.summary}: " + "; ".join(map(_fault, self.errors))


class EnvironmentFailed(AioEnvError):
    """The environment itself failed; the session goes on unless it could not be made at all.

    Attributes:
        reason: the environment's own words.
        code: the wire's code: ``EXECUTION_ERROR``, ``FACTORY_ERROR`` or another that a
            service sends.
    """

    def __init__(self, reason: str, *, code: str = "EXECUTION_ERROR") -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code

    def __str__(self) -> str:
        return f"the environment failed ({self.code}): {self.reason}"


class ProtocolViolation(AioEnvError):
    """The peer sent what the wire does not allow.

    Attributes:
        reason: what it was, in words.
        errors: the faults of a reply that does not fit the models, as in `InvalidRequest`.
    """

    def __init__(self, reason: str, *, errors: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.errors = list(errors)

    def __str__(self) -> str:
        if not self.errors:
            return self.reason
        return f"{self.reason}: " + "; ".join(map(_fault, self.errors))


class LaunchFailed(AioEnvError):
    """A service that was to be started for a client did not start, or died.

    Attributes:
        reason: what went wrong, in words.
        container_id: the container's id, where there was one.
        log_tail: the last lines that it wrote.
    """

    def __init__(self, reason: str, *, container_id: str | None = None, log_tail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.container_id = container_id
        self.log_tail = log_tail

    def __str__(self) -> str:
        where = "" if self.container_id is None else f" (container {self.container_id[:12]})"
        log = f"\n{self.log_tail}" if self.log_tail else ""
        return f"the service did not start{where}: {self.reason}{log}"


class Closed(AioEnvError):
    """It was closed on this side and used afterwards.

    Attributes:
        what: what had been closed: the client, the pool, the session.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"the {self.what} is closed"


def _fault(error: Mapping[str, Any]) -> str:
    steps = error.get("loc")
    if not isinstance(steps, list | tuple):  # a service may send anything
        steps = ()
    path = "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return f"{path}: {error.get('msg', 'invalid')}"
