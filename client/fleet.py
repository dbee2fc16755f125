"""The fleet: several services as one place to play, such as many containers of one image."""

import asyncio
import logging
from collections.abc import Iterable
from itertools import cycle
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from aioenv.client.env_client import EnvClient
from aioenv.client.transport import see_through

__all__ = ["Fleet"]

log = logging.getLogger(__name__)

ActionT = TypeVar("ActionT")
ObservationT = TypeVar("ObservationT")
StateT = TypeVar("StateT")


class Fleet(Generic[ActionT, ObservationT, StateT]):
    """Clients with a service each; further sessions are opened at one after the other.

    ::

        members = [EchoEnv.from_docker_image("echo-env:latest") for _ in range(4)]
        async with Fleet(members) as fleet, rollout(fleet, policy, episodes=1000) as run:
            …

    Args:
        members: the clients; they are closed with the fleet.

    Raises:
        ValueError: there are none.
    """

    def __init__(self, members: Iterable[EnvClient[ActionT, ObservationT, StateT]]) -> None:
        self.members = tuple(members)
        if not self.members:
            raise ValueError("a fleet needs at least one member")
        self._turns = cycle(self.members)

    def __repr__(self) -> str:
        return f"<Fleet of {len(self.members)}>"

    async def start(self) -> None:
        """Start what the members launch, all at once; the first failure ends all.

        Cancelling it, or a failure, leaves nothing behind.

        Raises:
            LaunchFailed: a service did not start.
        """
        # No session of their own is opened: it would take up a slot and play nothing.
        starts = [asyncio.ensure_future(member._start()) for member in self.members]
        try:
            done, _ = await asyncio.wait(starts, return_when=asyncio.FIRST_EXCEPTION)
            for start in done:
                start.result()
        except BaseException:
            # Each is cancelled once: a second time would cut short its waiting for the clean-up.
            for start in starts:
                start.cancel()
            await see_through(self._give_up(starts))
            raise

    async def new_session(self) -> EnvClient[ActionT, ObservationT, StateT]:
        """Open a session at the member whose turn it is; raises as `EnvClient.new_session` does."""
        return await next(self._turns).new_session()

    async def close(self) -> None:
        """Close every member. Cancelling it costs nothing: the closing goes on by itself."""
        await see_through(self._close_all())

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _give_up(self, starts: "list[asyncio.Task[None]]") -> None:
        await asyncio.gather(*starts, return_exceptions=True)
        await self._close_all()

    async def _close_all(self) -> None:
        endings = [_close(member) for member in self.members]
        for ending in await asyncio.gather(*endings, return_exceptions=True):
            if isinstance(ending, BaseException):
                log.warning("a member of %r was not closed: %r", self, ending)


async def _close(member: EnvClient[Any, Any, Any]) -> None:
    await member.close()  # a subclass's own may raise as soon as it is called
