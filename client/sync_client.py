"""The blocking twin of the client, with the types that blocking code sees."""

from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from aioenv import StepResult
from aioenv.client.blocking import run_blocking

if TYPE_CHECKING:
    from aioenv.client.env_client import EnvClient

__all__ = ["SyncEnvClient"]

ActionT = TypeVar("ActionT")
ObservationT = TypeVar("ObservationT")
StateT = TypeVar("StateT")


class SyncEnvClient(Generic[ActionT, ObservationT, StateT]):
    """Drives the same session as its async client, and blocks until each answer is there.

    It may be used where an event loop runs, such as in a notebook; it then blocks that loop.
    Different threads may use different clients at the same time.

    Args:
        client: the async client whose session this drives.
    """

    def __init__(self, client: "EnvClient[ActionT, ObservationT, StateT]") -> None:
        self._client = client

    def __repr__(self) -> str:
        return f"<SyncEnvClient of {self._client!r}>"

    @property
    def base_url(self) -> str | None:
        """The service's address; ``None`` until a launcher has started it."""
        return self._client.base_url

    def connect(self) -> Self:
        """As `EnvClient.connect`."""
        run_blocking(self._client, self._client.connect)
        return self

    def reset(self, /, **options: Any) -> StepResult[ObservationT]:
        """As `EnvClient.reset`."""
        return run_blocking(self._client, self._client.reset, **options)

    def step(self, action: ActionT) -> StepResult[ObservationT]:
        """As `EnvClient.step`."""
        return run_blocking(self._client, self._client.step, action)

    def state(self) -> StateT:
        """As `EnvClient.state`."""
        return run_blocking(self._client, self._client.state)

    def new_session(self) -> "SyncEnvClient[ActionT, ObservationT, StateT]":
        """As `EnvClient.new_session`; the further client is a blocking one, too."""
        return SyncEnvClient(run_blocking(self._client, self._client.new_session))

    def close(self) -> None:
        """As `EnvClient.close`."""
        run_blocking(self._client, self._client.close)

    def __enter__(self) -> Self:
        return self.connect()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
