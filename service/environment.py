"""The environment: the one class that an author writes."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable
from typing import Any, ClassVar, Generic, TypeVar

from attrs import frozen

from aioenv import Observation, State

__all__ = ["Environment", "EnvironmentMetadata"]

ActionT = TypeVar("ActionT")
ObservationT = TypeVar("ObservationT", bound=Observation)
StateT = TypeVar("StateT", bound=State)


@frozen
class EnvironmentMetadata:
    """What ``GET /metadata`` tells of an environment."""

    name: str
    description: str
    readme_content: str | None = None
    version: str | None = None
    author: str | None = None
    documentation_url: str | None = None


class Environment(ABC, Generic[ActionT, ObservationT, StateT]):
    """A world in which one agent acts; the service makes one for every session.

    ``reset``, ``step`` and ``close`` may each be ``async def``, which runs on the event loop and
    must not block it, or plain ``def``, which runs in a worker thread. The service never calls
    two methods of one environment at a time. The constructor runs where ``reset`` does.

    Attributes:
        own_thread: plain methods run in one thread of the environment's own instead of any
            worker, for libraries that are bound to a thread.
        reset_first: refuse a step before the first reset with a clear error. OpenEnv's services
            pass such a step on to the environment, so by default this one does too.
    """

    own_thread: ClassVar[bool] = False
    reset_first: ClassVar[bool] = False

    @abstractmethod
    def reset(self, *args: Any, **options: Any) -> ObservationT | Awaitable[ObservationT]:
        """Begin a new episode.

        Declare the keyword arguments that you take: ``seed: int | None = None``,
        ``episode_id: str | None = None`` and options of your own. What a client sends beside
        these is dropped, unless you take ``**options``.

        Returns:
            The first observation.
        """

    @abstractmethod
    def step(self, action: ActionT) -> ObservationT | Awaitable[ObservationT]:
        """Take one action.

        Cancelling: an ``async def`` step is cancelled when its client is gone or its time is up,
        as any coroutine is; a plain one runs to its end and its result is dropped.

        Args:
            action: as the client sent it, checked.

        Returns:
            The observation; its ``reward`` and ``done`` are set where they apply.
        """

    @property
    @abstractmethod
    def state(self) -> StateT:
        """Where the episode stands; read on the event loop, so it must not block."""

    def close(self) -> Awaitable[None] | None:  # optional, not forgotten
        """Give back what the environment holds. Called exactly once, after everything else."""

    @classmethod
    def metadata(cls) -> EnvironmentMetadata:
        """Tell what this environment is; by default its name and the docstring's first lines."""
        summary = inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0]
        return EnvironmentMetadata(name=cls.__name__, description=" ".join(summary.split()))
