"""Trajectories: what is recorded of an episode, and the playing of one."""

import asyncio
import random
import time
import uuid
from array import array
from collections.abc import Mapping
from typing import Any, Generic, Literal, TypeVar

from attrs import field, frozen

from aioenv import StepResult
from aioenv.client.env_client import EnvClient
from aioenv.client.policies import Episode, Policy

__all__ = ["Attempt", "Failure", "PolicyFailed", "Trajectory", "Transition"]

ActionT = TypeVar("ActionT")
ObservationT = TypeVar("ObservationT")


@frozen
class Transition(Generic[ActionT, ObservationT]):
    """One step: what was done, and what came of it."""

    action: ActionT
    observation: ObservationT
    reward: float | None
    done: bool


@frozen
class Failure:
    """Why an episode failed.

    Attributes:
        kind: the class of the error, such as ``SessionLost``; ``PolicyFailed`` where the policy
            raised.
        message: its sentence.
    """

    kind: str
    message: str


@frozen(kw_only=True)
class Trajectory(Generic[ActionT, ObservationT]):
    """One episode, from its reset to its end. `aioenv.dumps` writes it as a JSON object.

    Attributes:
        episode: its place in the rollout, from 0.
        episode_id: the name that its reset asked for.
        seed: the seed that its reset was given, or ``None``.
        attempts: how often it began; what earlier attempts saw is not in here.
        ending: ``done`` (the environment ended it), ``steps`` (it was cut off at the most steps),
            ``policy`` (the policy ended it) or ``failed``.
        failure: why it failed, or ``None``.
        length: how many steps it took.
        total_reward: the sum of its rewards, undiscounted; a step without one counts 0.
        observation: what the reset showed; ``None`` where it failed.
        steps: every step, unless the rollout was told not to keep them.
        step_latencies_s: how long each step's answer took, in seconds.
    """

    episode: int
    episode_id: str
    seed: int | None
    attempts: int
    ending: Literal["done", "steps", "policy", "failed"]
    failure: Failure | None
    length: int
    total_reward: float
    observation: ObservationT | None
    steps: list[Transition[ActionT, ObservationT]]
    step_latencies_s: "array[float]" = field(repr=False)


class PolicyFailed(Exception):
    """The policy raised; its own error is the cause."""

    def __str__(self) -> str:
        kind = type(self.__cause__).__name__
        try:
            return f"the policy raised {kind}: {self.__cause__}"
        except Exception:  # its words are the user's code, too
            return f"the policy raised {kind}"


class Attempt(Generic[ActionT, ObservationT]):
    """One try at an episode, as far as it has come.

    Args:
        index: the episode's place in the rollout.
        number: 1 for the first try.
        options: of the reset; the episode gets a random id where they hold none.
        keep_steps: whether to record each step.

    Attributes:
        episode: what the policy is told of it.
        has_begun: whether its reset was answered.
    """

    __slots__ = (
        "_ending",
        "_keep_steps",
        "_latencies_s",
        "_observation",
        "_options",
        "_steps",
        "_total_reward",
        "episode",
        "has_begun",
    )

    def __init__(
        self, index: int, number: int, options: Mapping[str, Any], *, keep_steps: bool
    ) -> None:
        seed = options.get("seed")
        # Not of the seed alone: environments draw from `Random(seed)`, and whoever draws the same
        # as they do knows their secrets.
        rng = random.Random(None if seed is None else f"policy {seed}")  # noqa: S311
        self.episode = Episode(index, number, seed, rng)
        self.has_begun = False
        self._options = {"episode_id": uuid.uuid4().hex, **options}
        self._keep_steps = keep_steps
        self._observation: ObservationT | None = None
        self._steps: list[Transition[ActionT, ObservationT]] = []
        self._total_reward = 0.0
        self._latencies_s = array("d")
        self._ending: Literal["done", "steps", "policy", "failed"] = "failed"

    async def begin(
        self, session: EnvClient[ActionT, ObservationT, Any]
    ) -> StepResult[ObservationT]:
        """Reset the session; raises as `EnvClient.reset` does."""
        result = await session.reset(**self._options)
        self.has_begun = True
        self._observation = result.observation
        return result

    async def play(
        self,
        session: EnvClient[ActionT, ObservationT, Any],
        policy: Policy[ActionT, ObservationT],
        result: StepResult[ObservationT],
        most_steps: int,
    ) -> None:
        """Step on until the episode is over.

        Cancelling it leaves what was recorded so far.

        Args:
            session: where `begin` was called.
            policy: chooses the actions.
            result: what `begin` returned.
            most_steps: how many to take at the most.

        Raises:
            PolicyFailed: the policy raised.
            AioEnvError: as `EnvClient.step` does.
        """
        episode = self.episode
        while not result.done:
            if episode.step >= most_steps:
                self._ending = "steps"
                return
            action = await self._choose(policy, result)
            if action is None:
                self._ending = "policy"
                return
            began_at = time.perf_counter()
            result = await session.step(action)
            self._latencies_s.append(time.perf_counter() - began_at)
            episode.step += 1
            self._total_reward += result.reward or 0.0
            if self._keep_steps:
                self._steps.append(
                    Transition(action, result.observation, result.reward, result.done)
                )
        self._ending = "done"

    def trajectory(self, error: Exception | None = None) -> Trajectory[ActionT, ObservationT]:
        """Return what was recorded.

        Args:
            error: what the attempt failed of.
        """
        failure = None if error is None else Failure(type(error).__name__, str(error))
        return Trajectory(
            episode=self.episode.index,
            episode_id=self._options["episode_id"],
            seed=self.episode.seed,
            attempts=self.episode.attempt,
            ending=self._ending,
            failure=failure,
            length=self.episode.step,
            total_reward=self._total_reward,
            observation=self._observation,
            steps=self._steps,
            step_latencies_s=self._latencies_s,
        )

    async def _choose(
        self, policy: Policy[ActionT, ObservationT], result: StepResult[ObservationT]
    ) -> ActionT | None:
        try:
            action: Any = policy(result, self.episode)
            if hasattr(action, "__await__"):
                action = await action
        except Exception as error:
            raise PolicyFailed from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise PolicyFailed from error  # something inside the policy was cancelled, not we
        return action  # type: ignore[no-any-return]
