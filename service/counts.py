"""The counts: what a service has done so far, as plain numbers that cost next to nothing to keep.

They are counted where the thing happens, on the event loop, and read when somebody asks
(`aioenv.service.metrics`). Every label is one of a fixed set.
"""

from bisect import bisect_left
from time import perf_counter
from typing import Any

__all__ = ["BOUNDS_S", "Counts", "Histogram"]

#: The upper bounds of a histogram's buckets, in seconds; one more bucket takes the rest.
BOUNDS_S = (
    *(0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005),
    *(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
)

_FIRST_BOUND_S = BOUNDS_S[0]

_OTHER = "other"

# The codes of our own errors, and those of HTTP's that our doors answer with. An environment may
# raise one of any other code.
_CODES = (
    "BAD_REQUEST",
    "CAPACITY_REACHED",
    "EXECUTION_ERROR",
    "EXECUTION_TIMEOUT",
    "FACTORY_ERROR",
    "FORBIDDEN_ORIGIN",
    "INTERNAL_ERROR",
    "INVALID_JSON",
    "METHOD_NOT_ALLOWED",
    "NOT_FOUND",
    "REQUEST_ENTITY_TOO_LARGE",
    "SESSION_ERROR",
    "SESSION_NOT_FOUND",
    "UNAUTHORIZED",
    "UNKNOWN_TYPE",
    "VALIDATION_ERROR",
    _OTHER,
)

_REASONS = ("full", "queue_full", "waited", "draining", "token", "origin")


class Histogram:
    """How long things took.

    Attributes:
        counts: how many took so long, one number for each of `BOUNDS_S` and one for the rest; not
            cumulative.
        sum_s: all their durations together, in seconds.
    """

    __slots__ = ("counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.sum_s = 0.0

    @property
    def count(self) -> int:
        """How many were counted."""
        return sum(self.counts)

    def since(self, started: float) -> None:
        """Count what began at `started`, by `time.perf_counter`, and ends now."""
        took_s = perf_counter() - started
        self.sum_s += took_s
        # Most steps are so short that the search would be a good part of them.
        self.counts[0 if took_s <= _FIRST_BOUND_S else bisect_left(BOUNDS_S, took_s)] += 1


class Counts:
    """What one service has done so far.

    Attributes:
        steps: how long steps took, from the action to the observation; failed ones count too.
        resets: the same of resets.
        episodes: resets that succeeded.
        opened: sessions that were opened.
        received_bytes: of WebSocket frames and HTTP bodies, without their headers.
        sent_bytes: the same of what was sent.
        errors: errors that clients were told of, by code.
        refused: those who were turned away, by reason: there was no slot (``full``), nor room to
            wait for one (``queue_full``), or none in time (``waited``); the service is stopping
            (``draining``); no valid ``token``, a foreign ``origin``.
    """

    __slots__ = (
        "episodes",
        "errors",
        "opened",
        "received_bytes",
        "refused",
        "resets",
        "sent_bytes",
        "steps",
    )

    def __init__(self) -> None:
        self.steps = Histogram()
        self.resets = Histogram()
        self.episodes = 0
        self.opened = 0
        self.received_bytes = 0
        self.sent_bytes = 0
        self.errors = dict.fromkeys(_CODES, 0)
        self.refused = dict.fromkeys(_REASONS, 0)

    def error(self, code: Any) -> None:
        """Count an error that a client is told of; a code that is none of ours as ``other``."""
        is_ours = isinstance(code, str) and code in self.errors
        self.errors[code if is_ours else _OTHER] += 1
