"""The pulse: one timer that beats for many, in place of a timer for each.

A timer that is moved with every message costs more than the message's own bookkeeping. Here a
member only notes when it was last heard of; the pulse looks at all of them, seldom.
"""

import asyncio
import contextvars
import logging
from typing import Protocol

__all__ = ["Pulse", "Pulsed"]

log = logging.getLogger(__name__)


class Pulsed(Protocol):
    """What a pulse can beat for."""

    def beat(self, now: float) -> None:
        """Look whether something is due. Must not block.

        Args:
            now: the event loop's time, in seconds.
        """


class Pulse:
    """Calls ``beat(now)`` on each of its members every `interval_s`; idle when it has none.

    Args:
        interval_s: seconds between two beats, the precision of everything that hangs on it.
    """

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self._members: set[Pulsed] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Pulse every {self.interval_s:g} s for {len(self._members)}>"

    def __len__(self) -> int:
        return len(self._members)

    def add(self, member: Pulsed) -> None:
        """Begin to beat for a member. Call it on the event loop."""
        self._members.add(member)
        if self._timer is None:
            self._schedule()

    def discard(self, member: Pulsed) -> None:
        """Cease to beat for a member; one that is not there is no error."""
        self._members.discard(member)
        if not self._members and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self) -> None:
        # Otherwise it would beat for all in the context of whoever came first.
        nobodys = contextvars.Context()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self.interval_s, self._beat, context=nobodys)

    def _beat(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for member in tuple(self._members):
            try:
                member.beat(now)
            except Exception:  # one member's failure must not stop the others' pulse
                log.exception("the beat of %r failed", member)
        if self._members and self._timer is None:
            self._schedule()
