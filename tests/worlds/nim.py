"""Nim: an environment with plain methods whose episodes end with ``done``."""

import random
from typing import Literal

from attrs import define, field
from attrs.validators import ge

from aioenv import Observation, State
from aioenv.service import Environment

__all__ = ["Heap", "NimEnvironment", "NimState", "Take"]

#: How many stones there are at first, unless a reset says otherwise.
STONES = 7


@define
class Take:
    """Take stones from the heap."""

    count: Literal[1, 2, 3] = field(metadata={"description": "How many to take"})


@define
class Heap(Observation):
    """What the opponent has left."""

    stones: int = field(validator=ge(0), metadata={"description": "Stones that are left"})
    taken: int | None = field(default=None, metadata={"description": "What the opponent took"})
    winner: Literal["you", "opponent"] | None = None


@define
class NimState(State):
    """Where the game stands."""

    stones: int = STONES
    is_over: bool = False


class NimEnvironment(Environment[Take, Heap, NimState]):
    """Take one to three stones in turns; whoever takes the last one wins, and the episode ends."""

    def __init__(self) -> None:
        self._random = random.Random(0)
        self._state = NimState()

    def reset(
        self, *, seed: int | None = None, episode_id: str | None = None, stones: int = STONES
    ) -> Heap:
        """Begin a game with so many stones; the seed decides how the opponent plays."""
        if stones.__class__ is not int or stones < 1:
            raise ValueError(f"a heap has one stone or more, not {stones!r}")
        self._random = random.Random(seed)
        self._state = NimState(episode_id=episode_id, stones=stones)
        return Heap(stones, reward=0.0)

    def step(self, action: Take) -> Heap:
        """Take stones, and let the opponent do so."""
        state = self._state
        if state.is_over:
            raise RuntimeError("the game is over; reset begins another")
        state.step_count += 1
        state.stones -= min(action.count, state.stones)
        if not state.stones:
            state.is_over = True
            return Heap(0, winner="you", reward=1.0, done=True)
        taken = self._random.randint(1, min(3, state.stones))
        state.stones -= taken
        if not state.stones:
            state.is_over = True
            return Heap(0, taken, "opponent", reward=-1.0, done=True)
        return Heap(state.stones, taken, reward=0.0)

    @property
    def state(self) -> NimState:
        """Where the game stands."""
        return self._state
