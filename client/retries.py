"""Retries: whether to try again, and when."""

import random
from collections.abc import Iterator

from aioenv import CapacityReached, ConnectionFailed, SessionLost

__all__ = ["delays", "is_worth_retrying"]

FIRST_DELAY_S = 0.05
LONGEST_DELAY_S = 2.0


def delays(rng: random.Random | None = None) -> Iterator[float]:
    """Yield the seconds to wait before each further try: doubling, with full jitter.

    The jitter keeps clients that were turned away together from coming back together (M. Brooker,
    "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
    """
    draw = (rng or random).uniform
    ceiling_s = FIRST_DELAY_S
    while True:
        yield draw(0, ceiling_s)
        ceiling_s = min(ceiling_s * 2, LONGEST_DELAY_S)


def is_worth_retrying(error: BaseException) -> bool:
    """Whether an episode that ended with this error may do better from its beginning.

    A full pool, a lost session and a service that cannot be reached are weather. What the
    environment or the request did wrong, it will do wrong again, and a service that turns a
    client away (with an HTTP status of 4xx) does so again as well.
    """
    if isinstance(error, ConnectionFailed):
        return error.status is None or error.status >= 500
    return isinstance(error, CapacityReached | SessionLost)
