"""The backlog: what waits to be sent to a client, and whether the client takes any of it."""

__all__ = ["Backlog"]


class Backlog:
    """Watches one backlog, as often as it is looked at.

    Args:
        limit_s: how long a client may take nothing, in seconds.
        now: the time of the event loop, in seconds.
    """

    __slots__ = ("_is_doubted", "_limit_s", "_moved_at", "_unsent_bytes")

    def __init__(self, limit_s: float, now: float) -> None:
        self._limit_s = limit_s
        self._moved_at = now
        self._unsent_bytes = 0
        self._is_doubted = False

    def is_stuck(self, now: float, unsent_bytes: int) -> bool:
        """Look at it, and say whether the client has taken nothing for too long.

        It is said at the second look that finds it so: where the event loop itself was held up,
        the first may come before what the client does take is written.

        Args:
            now: the time of the event loop, in seconds.
            unsent_bytes: how much waits; 0 where nothing has to wait.
        """
        if not unsent_bytes or unsent_bytes < self._unsent_bytes:
            self._moved_at, self._is_doubted = now, False
        self._unsent_bytes = unsent_bytes
        was_doubted, self._is_doubted = self._is_doubted, now - self._moved_at >= self._limit_s
        return was_doubted and self._is_doubted
