"""Policies: what chooses the actions of an episode."""

import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

from attrs import define, field

from aioenv import StepResult
from aioenv.client.sampling import CannotDraw, make_sampler

__all__ = ["Episode", "Policy", "RandomPolicy", "random_action"]

ActionT_co = TypeVar("ActionT_co", covariant=True)
ObservationT = TypeVar("ObservationT")


@define(eq=False)
class Episode:
    """The episode that a policy is asked about; one object from its reset to its end.

    Attributes:
        index: its place in the rollout, from 0.
        attempt: 1, and one more for each time that it began anew.
        seed: the seed that its reset was given, or ``None``.
        rng: random numbers of its own; the same for the same seed.
        step: how many steps were taken so far.
        memory: whatever the policy wants to keep until its next step, such as a conversation.
    """

    index: int
    attempt: int
    seed: int | None
    rng: random.Random
    step: int = 0
    memory: dict[str, Any] = field(factory=dict)


class Policy(Protocol[ActionT_co, ObservationT]):
    """Any callable, plain or ``async def``, that takes a result and returns the next action.

    One policy serves all episodes of a rollout at the same time, so what belongs to an episode
    goes into its `Episode`. A plain one must not block: every other episode waits for it.
    """

    def __call__(
        self, result: StepResult[ObservationT], episode: Episode, /
    ) -> ActionT_co | Awaitable[ActionT_co | None] | None:
        """Choose an action.

        Cancelling: an ``async def`` policy is cancelled when its rollout is closed.

        Args:
            result: what the last step, or at first the reset, returned.
            episode: the episode that it belongs to.

        Returns:
            A new action; ``None`` ends the episode.
        """


class RandomPolicy:
    """Takes random actions that fit a schema, and reads no observation.

    The actions of an episode depend on nothing but its seed.

    Args:
        schema: the action's JSON Schema, as ``/schema`` tells it.

    Raises:
        CannotDraw: the schema demands what cannot be made up; the sentence says what and where.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._draw = _action_sampler(schema)

    def __call__(self, result: StepResult[Any], episode: Episode, /) -> dict[str, Any]:
        """Draw an action's fields."""
        return self._draw(episode.rng)


def random_action(schema: Mapping[str, Any], rng: random.Random) -> dict[str, Any]:
    """Return one random action that fits a schema; `RandomPolicy` is faster for many.

    Raises:
        CannotDraw: as for `RandomPolicy`.
    """
    return _action_sampler(schema)(rng)


def _action_sampler(schema: Mapping[str, Any]) -> Callable[[random.Random], dict[str, Any]]:
    """Turn the schema of an action into a function that draws its fields."""
    draw = make_sampler(schema)
    if draw(random.Random(0)).__class__ is not dict:  # noqa: S311
        raise CannotDraw("$", "an action is an object")
    return draw
