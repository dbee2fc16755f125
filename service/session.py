"""The session: one environment, one request at a time, each within its time."""

import asyncio
import functools
import inspect
import logging
from collections.abc import Callable
from time import monotonic, perf_counter
from typing import Any

from aioenv import AioEnvError, Contract, EnvironmentFailed, InvalidRequest, Observation, State
from aioenv.faults import make_fault
from aioenv.service.calls import FAILURES, Caller, in_words, is_async
from aioenv.service.counts import Counts, Histogram
from aioenv.service.eager import Suspended, finish, finished, start
from aioenv.service.environment import Environment
from aioenv.service.logs import transcribed

__all__ = ["Session", "is_being_cancelled"]

log = logging.getLogger(__name__)


class Session:
    """Plays one environment for one client. Not for two tasks at a time.

    Attributes:
        id: its name, unique within the service.
        environment: what it plays.
        caller: what calls the environment's methods.
        episodes: resets that succeeded so far.
        steps: steps that were tried so far, over all episodes.
        opened_at: when it began, by `time.monotonic`.
    """

    __slots__ = (
        "_call_reset",
        "_call_step",
        "_contract",
        "_counts",
        "_is_closed",
        "_reset_options",
        "_step_timeout_s",
        "_under_way",
        "caller",
        "environment",
        "episodes",
        "id",
        "opened_at",
        "steps",
    )

    def __init__(
        self,
        id: str,  # noqa: A002  # what it is
        environment: Environment[Any, Any, Any],
        contract: Contract[Any, Any, Any],
        caller: Caller,
        counts: Counts,
        *,
        step_timeout_s: float = 0.0,
        log_actions: bool = False,
    ) -> None:
        self.id = id
        self.environment = environment
        self.episodes = 0
        self.steps = 0
        self.opened_at = monotonic()
        self._contract = contract
        self._counts = counts
        self.caller = caller
        self._step_timeout_s = step_timeout_s
        is_mixed = is_async(environment.reset) != is_async(environment.step)
        self._call_reset = caller.bind(environment.reset, beside_plain=is_mixed)
        self._call_step = caller.bind(environment.step, beside_plain=is_mixed)
        if log_actions:
            self._call_reset = transcribed("reset", self._call_reset, contract)
            self._call_step = transcribed("step", self._call_step, contract)
        self._under_way: asyncio.Future[None] | None = None
        self._reset_options = _names_taken(type(environment).reset)
        self._is_closed = False

    def __repr__(self) -> str:
        kind = type(self.environment).__name__
        return f"<Session {self.id} {kind} episodes={self.episodes} steps={self.steps}>"

    # Public methods

    def start_reset(self, data: dict[str, Any]) -> Observation | Suspended[Observation]:
        """Begin to begin an episode; what suspends must be given to `finish` at once.

        Args:
            data: ``seed`` (an integer), ``episode_id`` (a string) and further options. What the
                environment's ``reset`` does not take is dropped.

        Raises:
            InvalidRequest: the seed or the episode's id is of the wrong type.
            EnvironmentFailed: it raised, took too long, or returned no observation.
        """
        _check_reset(data)
        taken = self._reset_options
        if taken is not None:
            data = {name: value for name, value in data.items() if name in taken}
        elif "self" in data:
            data = {name: value for name, value in data.items() if name != "self"}
        started = perf_counter()
        try:
            outcome = start(self._call_reset(**data))
        except (*FAILURES, asyncio.CancelledError) as error:
            self._counts.resets.since(started)
            raise self._failure("reset", error) from _cause(error)
        return self._settled("reset", outcome, 0.0, started)

    def start_step(
        self, action: Any, timeout_s: float = 0.0
    ) -> Observation | Suspended[Observation]:
        """Begin to take an action; what suspends must be given to `finish` at once.

        Cancelling it cancels an ``async def`` step. A plain one runs to its end, and whatever
        comes next waits for that.

        Args:
            action: an instance of the action's class.
            timeout_s: a time limit of this step's own, in seconds, within the service's.

        Raises:
            InvalidRequest: it comes before a reset that must be first.
            EnvironmentFailed: it raised, took too long, or returned no observation.
        """
        if not self.episodes and self.environment.reset_first:
            raise InvalidRequest("this environment takes no step before the first reset")
        self.steps += 1
        started = perf_counter()
        try:
            outcome = start(self._call_step(action))
        except (*FAILURES, asyncio.CancelledError) as error:
            self._counts.steps.since(started)
            raise self._failure("step", error) from _cause(error)
        if isinstance(outcome, self._contract.observation):
            self._counts.steps.since(started)
            return outcome  # type: ignore[no-any-return]
        return self._settled("step", outcome, timeout_s, started)

    async def reset(self, data: dict[str, Any]) -> Observation:
        """Begin an episode, as `start_reset` does, and wait for its first observation."""
        return await finished(self.start_reset(data))

    async def step(self, action: Any, *, timeout_s: float = 0.0) -> Observation:
        """Take an action, as `start_step` does, and wait for its observation."""
        return await finished(self.start_step(action, timeout_s))

    async def state(self) -> State:
        """Return where the episode stands.

        Raises:
            EnvironmentFailed: the environment raised, or returned no state.
        """
        if self.caller.is_straggling:
            await self._wait_free()
        try:
            state = self.environment.state
        except (*FAILURES, asyncio.CancelledError) as error:
            raise self._failure("state", error) from _cause(error)
        if not isinstance(state, self._contract.state):
            raise self._misfit("state", self._contract.state, state)
        return state  # type: ignore[no-any-return]

    async def close(self) -> None:
        """Close the environment, once, after whatever still runs in it. Errors are logged."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if self._under_way is not None:
                await asyncio.shield(self._under_way)
            await self.caller.wait_free()
            if type(self.environment).close is not Environment.close:
                await self.caller.bind(self.environment.close)()
        except (*FAILURES, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and is_being_cancelled():
                raise
            log.exception("session %s: close() of %r failed", self.id, self.environment)
        finally:
            self.caller.close()

    @property
    def is_straggling(self) -> bool:
        """Whether an abandoned plain call still runs in the environment."""
        return self.caller.is_straggling

    @property
    def is_closed_by_itself(self) -> bool:
        """Whether there is nothing to close: no ``close()`` of the author's, no thread at work."""
        return (
            type(self.environment).close is Environment.close
            and not self.caller.has_own_thread
            and not self.is_straggling
            and self._under_way is None
        )

    # Private methods

    def _settled(
        self, operation: str, outcome: Any, own_limit_s: float, started: float
    ) -> Observation | Suspended[Observation]:
        """Return what a call came to; the clock is set only for one that suspends."""
        if outcome.__class__ is Suspended:
            return start(self._in_time(operation, outcome, own_limit_s, started))
        self._durations(operation).since(started)
        return self._checked(operation, outcome)

    def _durations(self, operation: str) -> Histogram:
        return self._counts.steps if operation == "step" else self._counts.resets

    async def _in_time(
        self, operation: str, call: Suspended[Any], own_limit_s: float, started: float
    ) -> Observation:
        limits = [limit for limit in (own_limit_s, self._step_timeout_s) if limit]
        limit_s = min(limits, default=None)
        self._under_way = under_way = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(limit_s) as clock:
                outcome = await finish(call)
        except TimeoutError as error:
            if clock.expired():
                reason = f"{operation} took longer than {limit_s:g} s"
                raise EnvironmentFailed(reason, code="EXECUTION_TIMEOUT") from None
            raise self._failure(operation, error) from error
        except asyncio.CancelledError as error:
            if is_being_cancelled():
                raise
            raise self._failure(operation, error) from error  # it has cancelled itself
        except FAILURES as error:
            raise self._failure(operation, error) from _cause(error)
        finally:
            self._under_way = None
            under_way.set_result(None)
            self._durations(operation).since(started)
        return self._checked(operation, outcome)

    async def _wait_free(self) -> None:
        """Wait for a plain call that was given up, within the time of a step."""
        limit_s = self._step_timeout_s or None
        try:
            async with asyncio.timeout(limit_s):
                await self.caller.wait_free()
        except TimeoutError:
            reason = f"an earlier call still runs in it, after another {limit_s:g} s"
            raise EnvironmentFailed(reason, code="EXECUTION_TIMEOUT") from None

    def _checked(self, operation: str, observation: Any) -> Observation:
        if isinstance(observation, self._contract.observation):
            if operation == "reset":
                self._count_episode()
            return observation  # type: ignore[no-any-return]
        raise self._misfit(operation, self._contract.observation, observation)

    def _count_episode(self) -> None:
        self.episodes += 1
        self._counts.episodes += 1
        log.debug("episode begun", extra={"session_id": self.id, "episode": self.episodes})

    def _failure(self, operation: str, error: BaseException) -> AioEnvError:
        """Return what to tell the client.

        Two errors of our own tree say it already. Any other (of a client that the environment
        uses itself, for one) is not about this session, and must not be taken for it.
        """
        if isinstance(error, InvalidRequest | EnvironmentFailed):
            return error
        log.warning("session %s: %s raised", self.id, operation, exc_info=error)
        return EnvironmentFailed(in_words(error))

    def _misfit(self, operation: str, expected: type, value: Any) -> EnvironmentFailed:
        got = type(value).__name__
        log.warning("session %s: %s returned %s", self.id, operation, got)
        return EnvironmentFailed(
            f"{operation} of {type(self.environment).__name__} returned {got}, "
            f"not {expected.__name__}"
        )


def _cause(error: BaseException) -> BaseException | None:
    """Return what to chain an error to: what it was made of, but nothing to itself."""
    return None if isinstance(error, InvalidRequest | EnvironmentFailed) else error


def is_being_cancelled() -> bool:
    """Whether somebody has cancelled this task and waits for it to end."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


@functools.lru_cache
def _names_taken(reset: Callable[..., Any]) -> frozenset[str] | None:
    """Return the keyword arguments that a method declares, or ``None`` if it takes any."""
    parameters = list(inspect.signature(reset).parameters.values())[1:]  # without self
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    keywords = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return frozenset(parameter.name for parameter in parameters if parameter.kind in keywords)


def _check_reset(data: dict[str, Any]) -> None:
    errors = [
        make_fault(f"{kind}_type", [name], f"expected {kind}", data[name])
        for name, cls, kind in (("seed", int, "int"), ("episode_id", str, "string"))
        if data.get(name) is not None and data[name].__class__ is not cls
    ]
    if errors:
        raise InvalidRequest("this is not a valid reset", errors=errors)
