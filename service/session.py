"""The session: one environment, one request at a time, each within its time."""

import asyncio
import functools
import inspect
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from aioenv import AioEnvError, Contract, EnvironmentFailed, InvalidRequest, Observation, State
from aioenv.service.calls import Caller
from aioenv.service.eager import Suspended, finish, start
from aioenv.service.environment import Environment

__all__ = ["Session"]

T = TypeVar("T")
log = logging.getLogger(__name__)


class Session:
    """Plays one environment for one client. Not for two tasks at a time.

    Attributes:
        id: its name, unique within the service.
        environment: what it plays.
        episodes: resets so far.
        steps: steps so far, over all episodes.
    """

    __slots__ = (
        "_call_reset",
        "_call_step",
        "_caller",
        "_contract",
        "_is_closed",
        "_reset_options",
        "_step_timeout_s",
        "environment",
        "episodes",
        "id",
        "steps",
    )

    def __init__(
        self,
        id: str,  # noqa: A002  # what it is
        environment: Environment[Any, Any, Any],
        contract: Contract[Any, Any, Any],
        caller: Caller,
        *,
        step_timeout_s: float = 0.0,
    ) -> None:
        self.id = id
        self.environment = environment
        self.episodes = 0
        self.steps = 0
        self._contract = contract
        self._caller = caller
        self._step_timeout_s = step_timeout_s
        self._call_reset = caller.bind(environment.reset)
        self._call_step = caller.bind(environment.step)
        self._reset_options = _names_taken(type(environment).reset)
        self._is_closed = False

    def __repr__(self) -> str:
        kind = type(self.environment).__name__
        return f"<Session {self.id} {kind} episodes={self.episodes} steps={self.steps}>"

    # Public methods

    async def reset(self, data: dict[str, Any]) -> Observation:
        """Begin an episode.

        Args:
            data: ``seed`` (an integer), ``episode_id`` (a string) and further options. What the
                environment's ``reset`` does not take is dropped.

        Raises:
            InvalidRequest: the seed or the episode's id is of the wrong type.
            EnvironmentFailed: it raised, took too long, or returned no observation.
        """
        _check_reset(data)
        options = data
        if self._reset_options is not None:
            taken = self._reset_options
            options = {name: value for name, value in data.items() if name in taken}
        observation = await self._in_time("reset", self._call_reset(**options))
        self.episodes += 1
        return self._checked("reset", observation)

    async def step(self, data: dict[str, Any], *, timeout_s: float = 0.0) -> Observation:
        """Take an action.

        Cancelling it cancels an ``async def`` step. A plain one runs to its end, and whatever
        comes next waits for that.

        Args:
            data: the action's fields.
            timeout_s: a time limit of this step's own, in seconds, within the service's.

        Raises:
            InvalidRequest: the action does not fit, or comes before a reset that must be first.
            EnvironmentFailed: it raised, took too long, or returned no observation.
        """
        action = self._contract.read_action(data)
        if self.environment.reset_first and not self.episodes:
            raise InvalidRequest("this environment takes no step before the first reset")
        observation = await self._in_time("step", self._call_step(action), timeout_s)
        self.steps += 1
        return self._checked("step", observation)

    async def state(self) -> State:
        """Return where the episode stands.

        Raises:
            EnvironmentFailed: the environment raised, or returned no state.
        """
        await self._caller.wait_free()
        try:
            state = self.environment.state
        except Exception as error:
            raise self._failure("state", error) from error
        if not isinstance(state, self._contract.state):
            raise self._misfit("state", self._contract.state, state)
        return state

    async def close(self) -> None:
        """Close the environment, once, after whatever still runs in it. Errors are logged."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            await self._caller.wait_free()
            if type(self.environment).close is not Environment.close:
                await self._caller.bind(self.environment.close)()
        except Exception:
            log.exception("session %s: close() of %r failed", self.id, self.environment)
        finally:
            self._caller.close()

    @property
    def is_straggling(self) -> bool:
        """Whether an abandoned plain call still runs in the environment."""
        return self._caller.is_straggling

    @property
    def is_closed_by_itself(self) -> bool:
        """Whether there is nothing to close: no ``close()`` of the author's, no thread at work."""
        return (
            type(self.environment).close is Environment.close
            and not self._caller.has_own_thread
            and not self.is_straggling
        )

    # Private methods

    async def _in_time(
        self, operation: str, call: Coroutine[Any, Any, T], own_limit_s: float = 0.0
    ) -> T:
        """Run a call of the environment; the clock is set only for one that suspends."""
        try:
            result = start(call)
            if result.__class__ is Suspended:
                result = await self._wait(result, own_limit_s)
            return result  # type: ignore[return-value]
        except AioEnvError:
            raise
        except Exception as error:
            raise self._failure(operation, error) from error

    async def _wait(self, call: Suspended[T], own_limit_s: float) -> T:
        limits = [limit for limit in (own_limit_s, self._step_timeout_s) if limit]
        limit_s = min(limits, default=None)
        try:
            async with asyncio.timeout(limit_s) as clock:
                return await finish(call)
        except TimeoutError:
            if not clock.expired():
                raise
            raise EnvironmentFailed(
                f"it took longer than {limit_s:g} s", code="EXECUTION_TIMEOUT"
            ) from None

    def _checked(self, operation: str, observation: Any) -> Observation:
        if not isinstance(observation, self._contract.observation):
            raise self._misfit(operation, self._contract.observation, observation)
        return observation  # type: ignore[no-any-return]

    def _failure(self, operation: str, error: Exception) -> EnvironmentFailed:
        log.warning("session %s: %s raised", self.id, operation, exc_info=error)
        return EnvironmentFailed(str(error) or type(error).__name__)

    def _misfit(self, operation: str, expected: type, value: Any) -> EnvironmentFailed:
        got = type(value).__name__
        log.warning("session %s: %s returned %s", self.id, operation, got)
        return EnvironmentFailed(
            f"{operation} of {type(self.environment).__name__} returned {got}, "
            f"not {expected.__name__}"
        )


@functools.lru_cache
def _names_taken(reset: Callable[..., Any]) -> frozenset[str] | None:
    """Return the keyword arguments that a method declares, or ``None`` if it takes any."""
    parameters = inspect.signature(reset).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    keywords = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return frozenset(parameter.name for parameter in parameters if parameter.kind in keywords)


def _check_reset(data: dict[str, Any]) -> None:
    errors = [
        {"type": f"{kind}_type", "loc": [name], "msg": f"expected {kind}", "input": data[name]}
        for name, cls, kind in (("seed", int, "int"), ("episode_id", str, "string"))
        if data.get(name) is not None and data[name].__class__ is not cls
    ]
    if errors:
        raise InvalidRequest("this is not a valid reset", errors=errors)
