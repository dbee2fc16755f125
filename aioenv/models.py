"""The models that every environment shares: observation, state and the result of a step.

An *action* is any attrs class. An *observation* derives from `Observation`, a *state* from
`State`. Field descriptions go into ``attrs.field(metadata={"description": …})``, example values
beside them as ``"examples": […]``, and constraints into attrs' validators; all of these appear in
the published JSON Schema.
"""

from typing import Any, Generic, TypeVar

from attrs import define, field

__all__ = ["Observation", "State", "StepResult"]

ObservationT = TypeVar("ObservationT")


def _described(description: str, *examples: Any) -> dict[str, Any]:
    return {"description": description, "examples": examples}


@define
class Observation:
    """What the environment shows after a reset or a step; derive yours from it.

    The three fields are keyword-only, so a subclass may declare required fields of its own.

    Attributes:
        done: whether the episode has ended.
        reward: the reward of the last action; ``None`` where there is none.
        metadata: anything else worth telling, as JSON values.
    """

    done: bool = field(
        default=False, kw_only=True, metadata=_described("Whether the episode has ended")
    )
    reward: float | None = field(
        default=None, kw_only=True, metadata=_described("Reward of the last action", 1.0)
    )
    metadata: dict[str, Any] = field(
        factory=dict, kw_only=True, metadata=_described("Anything else worth telling")
    )


@define
class State:
    """Where an episode stands. Derive from it to add fields.

    Attributes:
        episode_id: the episode's name; ``None`` before the first reset.
        step_count: steps taken since the reset.
        extra: fields of the wire that this class does not declare. They travel beside the
            declared ones, so that a client without the author's class loses nothing.
    """

    episode_id: str | None = field(
        default=None, kw_only=True, metadata=_described("Name of the current episode", "episode-7")
    )
    step_count: int = field(
        default=0, kw_only=True, metadata=_described("Steps taken in the current episode")
    )
    extra: dict[str, Any] = field(
        factory=dict, kw_only=True, metadata=_described("Fields that the class does not declare")
    )


@define
class StepResult(Generic[ObservationT]):
    """What a client's ``reset()`` and ``step()`` return.

    Attributes:
        observation: the environment's observation.
        reward: the reward of the last action; ``None`` where there is none.
        done: whether the episode has ended.
        metadata: the observation's metadata once more, or ``None`` where there is none.
    """

    observation: ObservationT
    reward: float | None = None
    done: bool = False
    metadata: dict[str, Any] | None = None
