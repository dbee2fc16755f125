"""Rollouts: many episodes at a bounded concurrency, each handed over as it ends."""

from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from aioenv.client.course import Course, Limits, RolloutStatistics
from aioenv.client.env_client import EnvClient
from aioenv.client.fleet import Fleet
from aioenv.client.policies import Policy
from aioenv.client.trajectories import Trajectory

__all__ = ["Rollout", "rollout"]

ActionT = TypeVar("ActionT")
ObservationT = TypeVar("ObservationT")


def rollout(
    client: EnvClient[ActionT, ObservationT, Any] | Fleet[ActionT, ObservationT, Any],
    policy: Policy[ActionT, ObservationT],
    *,
    episodes: int,
    concurrency: int = 64,
    steps: int = 100,
    retries: int = 2,
    # What episodes begin with
    seed: int | None = None,
    reset_options: Callable[[int], Mapping[str, Any]] | None = None,
    # Memory
    keep_steps: bool = True,
) -> "Rollout[ActionT, ObservationT]":
    """Play episodes, many at a time, and hand each over as it ends.

    ::

        async with EchoEnv(base_url=…) as env, rollout(env, policy, episodes=1000) as run:
            async for trajectory in run:
                …

    Up to `concurrency` sessions are opened beside the client's own, and each plays one episode
    after the other. Where the service has fewer to give, those that there are play all episodes.
    A consumer that is slow slows the rollout down; nothing piles up.

    An episode that fails is handed over with its `Failure`, and the others go on. It begins anew
    first if the service was full, gone or out of reach (`is_worth_retrying`).

    Args:
        client: where to play: a client, or a `Fleet` of them. It is not closed in the end, only
            what was opened for the rollout.
        policy: chooses the actions; see `Policy`.
        episodes: how many to play.
        concurrency: the most that are played at a time.
        steps: the most steps of an episode.
        retries: how often an episode may begin anew.
        seed: episode ``i`` is reset with the seed ``seed + i``; ``None`` leaves the choice to the
            environment.
        reset_options: given an episode's index, returns further options of its reset; they outdo
            the seed.
        keep_steps: whether trajectories hold their steps, or only what they came to.

    Raises:
        TypeError: that is no client, such as the class of one, or no policy.
        ValueError: a number is too small.
    """
    if not isinstance(client, EnvClient | Fleet):
        raise TypeError(f"rollout() takes a client, or a Fleet of clients, not {client!r}")
    if not callable(policy):
        raise TypeError(f"a policy is a function of a result and an episode, not {policy!r}")
    for name, value, least in (
        ("episodes", episodes, 0),
        ("concurrency", concurrency, 1),
        ("steps", steps, 0),
        ("retries", retries, 0),
    ):
        if value < least:
            raise ValueError(f"{name} is at least {least}, not {value}")
    limits = Limits(episodes, concurrency, steps, retries, keep_steps)

    def options_of(index: int) -> dict[str, Any]:
        options: dict[str, Any] = {} if seed is None else {"seed": seed + index}
        return options if reset_options is None else {**options, **reset_options(index)}

    return Rollout(Course(client, policy, limits, options_of))


class Rollout(AsyncIterator[Trajectory[ActionT, ObservationT]]):
    """A rollout under way; iterate over its trajectories, once. Made by `rollout`.

    Leaving it early ends every episode and session that it opened: at once where it is used with
    ``async with`` or `contextlib.aclosing`, soon where the iteration is only broken off. It raises
    `Closed` where its client was closed in the meantime.
    """

    def __init__(self, course: Course[ActionT, ObservationT]) -> None:
        # Workers know the course, never this object: when nobody holds it any more, the event
        # loop closes the generator, and with it the workers.
        self._course = course
        self._trajectories = course.run()

    def __repr__(self) -> str:
        return f"<{self.statistics()!r}>".replace("RolloutStatistics", "Rollout")

    def statistics(self) -> RolloutStatistics:
        """Return the figures of this moment."""
        return self._course.statistics()

    async def aclose(self) -> None:
        """End the rollout: cancel what is played, and close every session. Safe to call twice.

        Whoever iterates meanwhile, in another task, comes to the end of the iteration. Cancelling
        it leaves the sessions to close by themselves.
        """
        await self._course.end()
        if not self._trajectories.ag_running:  # type: ignore[attr-defined]  # else it ends itself
            await self._trajectories.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Trajectory[ActionT, ObservationT]:
        """Return the next trajectory; cancelling it ends the rollout."""
        return await anext(self._trajectories)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
