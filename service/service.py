"""The service: everything that one running service holds, from the factory to the open sessions."""

import asyncio
import logging
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

import attrs

from aioenv import Contract, EnvironmentFailed
from aioenv.pulse import Pulse
from aioenv.service.calls import Caller, Workers, is_async
from aioenv.service.environment import Environment, EnvironmentMetadata
from aioenv.service.pool import SessionPool, Slot
from aioenv.service.session import Session
from aioenv.service.settings import Settings

__all__ = ["EnvironmentFactory", "Service"]

EnvironmentFactory = Callable[[], Any]
log = logging.getLogger(__name__)


class Service:
    """Opens and closes sessions within the pool's limit. The doors talk to nothing else.

    Args:
        factory: the environment's class, or a callable (plain or ``async def``) that makes one.
        contract: the environment's models.
        name: what the environment is called.
        settings: how to run.
    """

    def __init__(
        self,
        factory: EnvironmentFactory,
        contract: Contract[Any, Any, Any],
        name: str,
        settings: Settings,
    ) -> None:
        self.factory = factory
        self.contract = contract
        self.name = name
        self._slots: dict[Session, Slot] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.configure(settings)

    def __repr__(self) -> str:
        return f"<Service {self.name} {self.pool!r}>"

    # Public attributes

    @property
    def is_draining(self) -> bool:
        """Whether newcomers are refused because the service is about to stop."""
        return self.pool.is_closed

    def metadata(self) -> EnvironmentMetadata:
        """Tell what the environment is, with the README where the settings name one."""
        if isinstance(self.factory, type) and issubclass(self.factory, Environment):
            metadata = self.factory.metadata()
        else:
            metadata = EnvironmentMetadata(self.name, f"The environment {self.name}")
        path = self.settings.readme_path
        if metadata.readme_content is not None or path is None:
            return metadata
        return _with_readme(metadata, path.read_text("utf-8"))

    # Public methods

    def configure(self, settings: Settings) -> None:
        """Run with other settings; only before the first session.

        Raises:
            RuntimeError: the service was used already.
        """
        if getattr(self, "pool", None) is not None and self.pool.statistics().acquired:
            raise RuntimeError("a service cannot be configured once it was used")
        self.settings = settings
        self.pool = SessionPool(settings.max_concurrent_envs, max_waiting=settings.max_waiting)
        self.workers = Workers(settings.worker_threads, settings.max_stragglers)
        self.pulse = Pulse(min(1.0, settings.heartbeat_s / 4))

    async def open_session(self, *, wait_s: float = 0.0) -> Session:
        """Take a slot and make an environment in it.

        Cancelling it gives the slot back and closes what was made.

        Args:
            wait_s: how long to queue for a slot, in seconds; the settings cap it.

        Raises:
            CapacityReached: there is no slot.
            EnvironmentFailed: the factory raised (``FACTORY_ERROR``).
            Closed: the service is about to stop.
        """
        slot = await self.pool.acquire(wait_s=min(wait_s, self.settings.max_wait_s))
        if self._is_made_on_loop:
            session = self._new_session_nowait(slot)
        else:
            session = await self._new_session(slot)
        self._slots[session] = slot
        return session

    async def close_session(self, session: Session) -> None:
        """Close a session's environment, then give its slot back; the second call does nothing.

        Cancelling it costs nothing: the closing goes on by itself.
        """
        slot = self._slots.pop(session, None)
        if slot is None:
            return
        if session.is_closed_by_itself:
            slot.release()
        else:
            await asyncio.shield(self.run(self._close(session, slot)))

    async def drain(self, grace_s: float) -> None:
        """Refuse newcomers, and wait until every session has ended or the grace is over.

        Args:
            grace_s: how long to wait, in seconds.
        """
        self.pool.close()
        try:
            async with asyncio.timeout(grace_s):
                await self.pool.wait_empty()
        except TimeoutError:
            active = self.pool.statistics().active
            log.warning("%d sessions are still open after %g s of grace", active, grace_s)

    async def close(self) -> None:
        """Close every session that is left, and wait for it within the time for closing."""
        self.pool.close()
        for session in tuple(self._slots):
            self.run(self.close_session(session))
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self.settings.close_timeout_s)
        await self.workers.close(self.settings.close_timeout_s)

    def run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something that must survive whoever asked for it, such as a clean-up.

        Returns:
            Its task, which the service holds until it is done.
        """
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # Private methods

    @property
    def _is_made_on_loop(self) -> bool:
        """Whether the factory is the class of an environment that lives on the event loop."""
        return not is_async(self.factory) and is_async(getattr(self.factory, "reset", None))

    def _new_session_nowait(self, slot: Slot) -> Session:
        try:
            return self._session_of(self.factory(), self._new_caller())
        except BaseException as error:
            slot.release()
            raise self._factory_failure(error) from error

    async def _new_session(self, slot: Slot) -> Session:
        """Make an environment in a thread, or by a coroutine; neither can simply be dropped."""
        caller = self._new_caller()
        making = asyncio.ensure_future(caller.bind(self.factory)())
        try:
            return self._session_of(await asyncio.shield(making), caller)
        except BaseException as error:
            self.run(self._abandon(making, caller, slot))
            raise self._factory_failure(error) from error

    async def _abandon(self, making: asyncio.Future[Any], caller: Caller, slot: Slot) -> None:
        """Give back the slot of a session that never came to be, once its maker is through."""
        try:
            environment = await making
            if isinstance(environment, Environment):
                await caller.bind(environment.close)()
        except Exception as error:
            log.debug("an environment that nobody waits for failed: %r", error)
        finally:
            caller.close()
            slot.release()

    def _new_caller(self) -> Caller:
        return Caller(self.workers, own_thread=getattr(self.factory, "own_thread", False))

    def _session_of(self, environment: Any, caller: Caller) -> Session:
        if not isinstance(environment, Environment):
            raise TypeError(f"the factory returned {environment!r}, not an Environment")
        limit_s = self.settings.step_timeout_s
        return Session(
            uuid.uuid4().hex, environment, self.contract, caller, step_timeout_s=limit_s
        )

    async def _close(self, session: Session, slot: Slot) -> None:
        """Close an environment within its time; one that takes longer leaves the pool's count."""
        closing = asyncio.ensure_future(session.close())
        try:
            if not session.is_straggling:
                await asyncio.wait([closing], timeout=self.settings.close_timeout_s)
            if not closing.done() and not self.workers.adopt(_outcome(closing)):
                await closing
        finally:
            slot.release()

    def _factory_failure(self, error: BaseException) -> BaseException:
        """Return what to raise for a failed factory: a cancellation stays one."""
        if not isinstance(error, Exception):
            return error
        log.warning("the environment %s cannot be made", self.name, exc_info=error)
        reason = f"{self.name} cannot be made: {str(error) or type(error).__name__}"
        return EnvironmentFailed(reason, code="FACTORY_ERROR")


async def _outcome(closing: asyncio.Future[None]) -> None:
    await closing


def _with_readme(metadata: EnvironmentMetadata, text: str) -> EnvironmentMetadata:
    return attrs.evolve(metadata, readme_content=text)
