"""The course of a rollout: workers, each in a session of its own, and the episodes they play."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any, Generic, TypeAlias, TypeVar

from attrs import frozen

from aioenv import AioEnvError, CapacityReached, Closed, InvalidRequest
from aioenv.client.env_client import EnvClient
from aioenv.client.fleet import Fleet
from aioenv.client.policies import Policy
from aioenv.client.retries import delays, is_worth_retrying
from aioenv.client.trajectories import Attempt, PolicyFailed, Trajectory

__all__ = ["Course", "Limits", "RolloutStatistics"]

ActionT = TypeVar("ActionT")
ObservationT = TypeVar("ObservationT")
_Finished: TypeAlias = tuple[Trajectory[ActionT, ObservationT], "asyncio.Future[None]"]
log = logging.getLogger(__name__)


@frozen
class RolloutStatistics:
    """The figures of a rollout at one moment.

    Attributes:
        episodes: how many there will be.
        ended: how many have ended, well or not.
        failed: how many of these failed.
        retries: how many attempts were begun anew.
        steps: how many steps were answered, those of abandoned attempts included.
        sessions: how many sessions are open.
    """

    episodes: int
    ended: int
    failed: int
    retries: int
    steps: int
    sessions: int


@frozen
class Limits:
    """How much a rollout plays, and how: as `rollout` is told."""

    episodes: int
    concurrency: int
    steps: int
    retries: int
    keep_steps: bool


class Course(Generic[ActionT, ObservationT]):
    """What the workers of a rollout share: the episodes to play, and those that have ended."""

    def __init__(
        self,
        client: EnvClient[ActionT, ObservationT, Any] | Fleet[ActionT, ObservationT, Any],
        policy: Policy[ActionT, ObservationT],
        limits: Limits,
        options_of: Callable[[int], dict[str, Any]],
    ) -> None:
        self.client = client
        self.sessions = 0
        self._policy = policy
        self._limits = limits
        self._options_of = options_of
        self._ended = 0
        self._failed = 0
        self._retries = 0
        self._steps = 0  # of attempts that are over
        self._attempts: set[Attempt[ActionT, ObservationT]] = set()  # those that are not
        self._next = 0
        self._handed_back: deque[tuple[int, int]] = deque()
        self._finished: deque[_Finished[ActionT, ObservationT]] = deque()
        self._news = asyncio.Event()
        self._line = asyncio.Lock()
        self._closings: set[asyncio.Task[None]] = set()
        self._defect: BaseException | None = None
        self._workers: tuple[asyncio.Task[None], ...] = ()
        self._ending: asyncio.Task[None] | None = None

    # What the consumer calls

    def statistics(self) -> RolloutStatistics:
        """Return the figures of this moment."""
        return RolloutStatistics(
            episodes=self._limits.episodes,
            ended=self._ended,
            failed=self._failed,
            retries=self._retries,
            steps=self._steps + sum(attempt.episode.step for attempt in self._attempts),
            sessions=self.sessions,
        )

    async def run(self) -> AsyncGenerator[Trajectory[ActionT, ObservationT], None]:
        """Yield each trajectory as it ends; leave no task and no session behind."""
        if self._ending is None:
            self._start_workers()
        try:
            for _ in range(self._limits.episodes):
                trajectory = await self._next_finished()
                if trajectory is None:
                    return
                yield trajectory
        finally:
            await self.end()

    async def end(self) -> None:
        """End every worker and its session, and the iteration; later calls wait for the same end.

        Cancelling it costs nothing: the ending goes on by itself.
        """
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._end())
            self._news.set()
        if asyncio.current_task() not in self._workers:  # a policy would wait for itself
            await asyncio.shield(self._ending)

    def _start_workers(self) -> None:
        loop = asyncio.get_running_loop()
        count = min(self._limits.concurrency, self._limits.episodes)
        self._workers = tuple(loop.create_task(self._work()) for _ in range(count))
        for task in self._workers:
            task.add_done_callback(self._on_leaving)

    async def _end(self) -> None:
        for task in self._workers:
            task.cancel()
        if self._workers:
            await asyncio.wait(self._workers)
        if self._closings:
            await asyncio.wait(self._closings)

    async def _next_finished(self) -> Trajectory[ActionT, ObservationT] | None:
        """Wait for the next trajectory; return ``None`` where the rollout is ended instead."""
        while self._ending is None and not self._finished:
            if self._defect is not None:
                raise self._defect
            self._news.clear()
            await self._news.wait()
        if self._ending is not None:
            return None
        trajectory, taken = self._finished.popleft()
        if not taken.done():
            taken.set_result(None)
        return trajectory

    def _on_leaving(self, task: "asyncio.Task[None]") -> None:
        """Note what a worker died of, so that nobody waits for it in vain."""
        if self._ending is not None:
            return
        if task.cancelled():
            self._defect = RuntimeError("a worker of the rollout was cancelled by somebody else")
        else:
            self._defect = task.exception() or self._defect
        self._news.set()

    # The workers

    async def _work(self) -> None:
        """Play one episode after the other, in one session as long as it lasts."""
        seat = _Seat(self)
        knocks = delays()
        try:
            while self._has_work():
                # The session comes first: whoever has to wait for it holds up no episode.
                trouble = await seat.take()
                if not (isinstance(trouble, CapacityReached) and self.sessions):
                    taken = self._take()
                    if taken is None:
                        return
                    trajectory = await self._episode(seat, *taken, trouble)
                    if trajectory is not None:
                        await self._hand_over(trajectory)
                        continue
                # The service is full. Whoever has a session plays on; of the others only the
                # first in line knocks again, so that a full service is not run over.
                async with self._line:
                    await asyncio.sleep(next(knocks))
        finally:
            await seat.leave()

    def _has_work(self) -> bool:
        is_left = bool(self._handed_back) or self._next < self._limits.episodes
        return is_left and self._ending is None

    def _take(self) -> tuple[int, int] | None:
        """Return an episode that waits to be played and its attempts so far, if there is one."""
        if self._handed_back:
            return self._handed_back.popleft()
        if self._next == self._limits.episodes:
            return None
        self._next += 1
        return self._next - 1, 0

    async def _hand_over(self, trajectory: Trajectory[ActionT, ObservationT]) -> None:
        """Offer a trajectory to the consumer, and wait until it is taken."""
        if self._ending is not None:
            return  # a policy that swallowed its cancellation
        self._ended += 1
        self._failed += trajectory.failure is not None
        taken = asyncio.get_running_loop().create_future()
        self._finished.append((trajectory, taken))
        self._news.set()
        await taken

    async def _episode(
        self,
        seat: "_Seat[ActionT, ObservationT]",
        index: int,
        number: int,
        trouble: Exception | None,
    ) -> Trajectory[ActionT, ObservationT] | None:
        """Play an episode, anew as often as it may help.

        Args:
            seat: where to play.
            index: which episode.
            number: how many attempts at it there were.
            trouble: why there is no session for the next attempt, if there is none.

        Returns:
            Its trajectory, or ``None`` where it waits again for a worker with a session.
        """
        options = self._options_of(index)
        pauses = delays()
        while True:
            number += 1
            attempt: Attempt[ActionT, ObservationT]
            attempt = Attempt(index, number, options, keep_steps=self._limits.keep_steps)
            try:
                if trouble is not None:
                    raise trouble
                await self._try(attempt, seat)
                return attempt.trajectory()
            except Closed:
                raise  # the client's owner closed it
            except Exception as error:
                log.debug("episode %d, attempt %d failed", index, number, exc_info=error)
                if not isinstance(error, PolicyFailed | InvalidRequest):
                    await seat.leave()  # nothing of what went wrong reaches the next episode
                is_turned_away = isinstance(error, CapacityReached) and not attempt.has_begun
                if is_turned_away and self.sessions:
                    self._handed_back.append((index, number - 1))  # it was none: nothing began
                    return None
                if number > self._limits.retries or not is_worth_retrying(error):
                    return attempt.trajectory(error)
            trouble = None
            self._retries += 1
            await asyncio.sleep(next(pauses))

    async def _try(
        self, attempt: Attempt[ActionT, ObservationT], seat: "_Seat[ActionT, ObservationT]"
    ) -> None:
        self._attempts.add(attempt)
        try:
            session = await seat.session()
            result = await attempt.begin(session)
            seat.confirm()
            await attempt.play(session, self._policy, result, self._limits.steps)
        finally:
            self._attempts.discard(attempt)
            self._steps += attempt.episode.step

    async def close(self, session: EnvClient[ActionT, ObservationT, Any]) -> None:
        """Close a session; cancelling it leaves that to `end`."""
        closing = asyncio.get_running_loop().create_task(_close(session))
        self._closings.add(closing)
        closing.add_done_callback(self._closings.discard)
        await asyncio.shield(closing)


class _Seat(Generic[ActionT, ObservationT]):
    """A worker's place at the service: its session, when it has one."""

    __slots__ = ("_course", "_is_confirmed", "_session")

    def __init__(self, course: Course[ActionT, ObservationT]) -> None:
        self._course = course
        self._session: EnvClient[ActionT, ObservationT, Any] | None = None
        self._is_confirmed = False

    async def take(self) -> Exception | None:
        """Open a session, if there is none.

        Returns:
            Why there is still none, or ``None``.
        """
        try:
            await self.session()
        except Closed:
            raise  # the client's owner closed it
        except Exception as error:
            return error
        return None

    async def session(self) -> EnvClient[ActionT, ObservationT, Any]:
        """Return the session, opened first where there is none."""
        if self._session is None:
            self._session = await self._course.client.new_session()
        return self._session

    def confirm(self) -> None:
        """Note that the service did let it in: only its first answer tells."""
        if not self._is_confirmed:
            self._is_confirmed = True
            self._course.sessions += 1

    async def leave(self) -> None:
        """Close the session, if there is one."""
        session, self._session = self._session, None
        self._course.sessions -= self._is_confirmed
        self._is_confirmed = False
        if session is not None:
            await self._course.close(session)


async def _close(session: EnvClient[Any, Any, Any]) -> None:
    try:
        await session.close()
    except (AioEnvError, OSError) as error:
        log.debug("%r did not close in order: %s", session, error)
