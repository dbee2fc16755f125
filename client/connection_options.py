"""The options of a connection: how long to wait for what, how much to take, what to say first."""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen
from attrs.validators import gt, optional

__all__ = ["ConnectionOptions"]

_OPTIONAL_TIME: Any = optional(gt(0.0))


@frozen(kw_only=True)
class ConnectionOptions:
    """How to connect. Times are in seconds; ``None`` switches the time-out or the ping off.

    Attributes:
        connect_timeout_s: for the connection and the handshake.
        message_timeout_s: for the reply to a request.
        close_timeout_s: for the other side to agree to a close.
        ping_interval_s: silence after which the service is pinged.
        ping_timeout_s: further silence after which it counts as gone.
        max_message_size_bytes: the largest reply to take.
        headers: sent with the handshake.

    Raises:
        ValueError: a time or the size is not more than 0.
    """

    connect_timeout_s: float | None = field(default=10.0, validator=_OPTIONAL_TIME)
    message_timeout_s: float | None = field(default=60.0, validator=_OPTIONAL_TIME)
    close_timeout_s: float = field(default=10.0, validator=gt(0.0))
    ping_interval_s: float | None = field(default=20.0, validator=_OPTIONAL_TIME)
    ping_timeout_s: float | None = field(default=20.0, validator=_OPTIONAL_TIME)
    max_message_size_bytes: int = field(default=100 * 1024 * 1024, validator=gt(0))
    headers: Mapping[str, str] | None = None
