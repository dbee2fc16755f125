"""The service: everything that one running service holds, from the factory to the open sessions."""

import asyncio
import functools
import logging
import time
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

import attrs

from aioenv import Closed, Contract, EnvironmentFailed
from aioenv.pulse import Pulse
from aioenv.service.calls import FAILURES, Caller, Workers, in_words, is_async
from aioenv.service.counts import Counts
from aioenv.service.environment import Environment, EnvironmentMetadata
from aioenv.service.logs import SESSION_ID
from aioenv.service.options import ResetOptions
from aioenv.service.pool import Refusal, SessionPool, Slot
from aioenv.service.session import Session
from aioenv.service.settings import Settings

__all__ = ["EnvironmentFactory", "Service", "maker_of"]

EnvironmentFactory = Callable[[], Any]
log = logging.getLogger(__name__)


def maker_of(factory: EnvironmentFactory) -> Any:
    """Return a factory without the arguments that were bound to it beforehand."""
    maker: Any = factory
    while isinstance(maker, functools.partial):
        maker = maker.func
    return maker


class Service:
    """Opens and closes sessions within the pool's limit. The doors talk to nothing else.

    Args:
        factory: the environment's class, or a callable (plain or ``async def``) that makes one.
        contract: the environment's models.
        name: what the environment is called.
        settings: how to run.

    Attributes:
        counts: what it has done so far.
        processes: how many processes share its address; each knows its own sessions only.
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
        self.counts = Counts()
        self.processes = 1
        self._slots: dict[Session, Slot] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._close_by: float | None = None
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
        maker = maker_of(self.factory)
        if isinstance(maker, type) and issubclass(maker, Environment):
            metadata = maker.metadata()
        else:
            metadata = EnvironmentMetadata(self.name, f"The environment {self.name}")
        path = self.settings.readme_path
        if metadata.readme_content is not None or path is None:
            return metadata
        try:
            readme = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            log.warning("/metadata shows no README: %s", error)
            return metadata
        return attrs.evolve(metadata, readme_content=readme)

    def reset_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of a reset's options, as far as they can be known beforehand."""
        return self._reset_schema

    # Public methods

    def configure(self, settings: Settings) -> None:
        """Run with other settings; only before the first session.

        Raises:
            RuntimeError: the service was used already.
        """
        if self._is_used():
            raise RuntimeError("a service cannot be configured once it was used")
        self.settings = settings
        self.pool = SessionPool(settings.max_concurrent_envs, max_waiting=settings.max_waiting)
        self.workers = Workers(settings.worker_threads, settings.max_stragglers)
        self.pulse = Pulse(min(1.0, settings.heartbeat_s / 4))

    async def open_session(self, *, wait_s: float = 0.0, log_level: int = logging.INFO) -> Session:
        """Take a slot and make an environment in it.

        Cancelling it gives the slot back and closes what was made.

        Args:
            wait_s: how long to queue for a slot, in seconds; the settings cap it.
            log_level: how important it is for the log.

        Raises:
            CapacityReached: there is no slot.
            EnvironmentFailed: the factory raised or took too long (``FACTORY_ERROR``).
            Closed: the service is about to stop.
        """
        try:
            slot = await self.pool.acquire(wait_s=min(wait_s, self.settings.max_wait_s))
        except Refusal as refusal:
            self.refuse(refusal.reason)
            raise
        except Closed:
            self.refuse("draining")
            raise Closed("service") from None
        session_id = uuid.uuid4().hex
        SESSION_ID.set(session_id)  # before the environment's constructor, which may log
        if self._is_made_on_loop:
            session = self._new_session_nowait(session_id, slot)
        else:
            session = await self._new_session(session_id, slot)
        self._slots[session] = slot
        self.counts.opened += 1
        log.log(log_level, "session opened", extra={"session_id": session_id})
        return session

    def refuse(self, reason: str) -> None:
        """Count and log that somebody was turned away.

        Args:
            reason: one of those that `Counts.refused` knows.
        """
        self.counts.refused[reason] += 1
        log.info("session refused", extra={"reason": reason})

    async def close_session(
        self, session: Session, why: str = "closed", *, log_level: int = logging.INFO
    ) -> None:
        """Close a session's environment, then give its slot back; the second call does nothing.

        Cancelling it costs nothing: the closing goes on by itself.

        Args:
            session: one that `open_session` has opened.
            why: what to log as the reason.
            log_level: how important it is for the log.
        """
        slot = self._slots.pop(session, None)
        if slot is None:
            return
        facts = {
            "session_id": session.id,
            "why": why,
            "episodes": session.episodes,
            "steps": session.steps,
            "duration_s": round(time.monotonic() - session.opened_at, 6),
        }
        log.log(log_level, "session closed", extra=facts)
        if session.is_closed_by_itself:
            slot.release()
        else:
            is_stuck = session.is_straggling
            closing = self.run(session.close())
            clean_up = self._clean_up(closing, session.caller, slot, is_stuck=is_stuck)
            await asyncio.shield(self.run(clean_up))

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

    def closing_time_left(self) -> float:
        """Return what is left of the time for closing, in seconds; the first call starts it.

        All that closing waits for shares this one time, so that their number does not matter.
        """
        now = asyncio.get_running_loop().time()
        if self._close_by is None:
            self._close_by = now + self.settings.close_timeout_s
        return max(0.0, self._close_by - now)

    async def close(self) -> None:
        """Close every session that is left, and wait for it within the time for closing."""
        self.pool.close()
        for session in tuple(self._slots):
            self.run(self.close_session(session, "the service is stopping"))
        # What ends here may begin something else: the closing of its session, a farewell.
        while self._tasks and (left := self.closing_time_left()):
            await asyncio.wait(self._tasks, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        await self.workers.close(self.closing_time_left())

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

    @functools.cached_property
    def _reset_schema(self) -> dict[str, Any]:
        # The classes and readers that it takes to make one are never forgotten.
        return ResetOptions(getattr(maker_of(self.factory), "reset", None)).schema()

    def _is_used(self) -> bool:
        pool: SessionPool | None = getattr(self, "pool", None)
        return pool is not None and pool.statistics().acquired > 0

    @property
    def _is_made_on_loop(self) -> bool:
        """Whether the factory is the class of an environment that lives on the event loop."""
        maker = maker_of(self.factory)
        return isinstance(maker, type) and is_async(getattr(maker, "reset", None))

    def _new_session_nowait(self, session_id: str, slot: Slot) -> Session:
        try:
            return self._session_of(session_id, self.factory(), self._new_caller())
        except BaseException as error:
            slot.release()
            self._raise_as_failure(error)
            raise

    async def _new_session(self, session_id: str, slot: Slot) -> Session:
        """Make an environment in a thread, or by a coroutine; neither can simply be dropped."""
        caller = self._new_caller()
        making = asyncio.ensure_future(self._make(caller))
        limit_s = self.settings.step_timeout_s or None
        try:
            async with asyncio.timeout(limit_s) as clock:
                environment = await asyncio.shield(making)
            return self._session_of(session_id, environment, caller)
        except BaseException as error:
            if making.done() and (making.cancelled() or making.exception() is not None):
                caller.close()
                slot.release()  # there is nothing to undo
            else:
                self.run(self._abandon(making, session_id, caller, slot))
            if isinstance(error, TimeoutError) and clock.expired():
                error = TimeoutError(f"it took longer than {limit_s:g} s")
            self._raise_as_failure(error)
            raise

    async def _make(self, caller: Caller) -> Any:
        try:
            environment = await caller.bind(self.factory)()
        except SystemExit as error:
            raise RuntimeError(in_words(error)) from error
        if caller.has_own_thread and not getattr(environment, "own_thread", False):
            caller.give_up_own_thread()
        return environment

    async def _abandon(
        self, making: asyncio.Future[Any], session_id: str, caller: Caller, slot: Slot
    ) -> None:
        """Give back the slot of a session that never came to be, once its maker is through."""
        if caller.has_begun:
            caller.abandon()  # a thread runs to its end, and what it makes must then be closed
        else:
            making.cancel()
        await asyncio.wait([making], timeout=self.settings.close_timeout_s)
        undoing = self.run(self._undo(making, session_id, caller))
        await self._clean_up(undoing, caller, slot, is_stuck=not making.done())

    async def _undo(self, making: asyncio.Future[Any], session_id: str, caller: Caller) -> None:
        try:
            await self._session_of(session_id, await making, caller).close()
        except (*FAILURES, asyncio.CancelledError) as error:
            log.debug("an environment that nobody waits for was not made: %r", error)
            caller.close()

    def _new_caller(self) -> Caller:
        # What a function makes may turn out to want a thread of its own, and its constructor has
        # to run there already.
        own_thread = getattr(maker_of(self.factory), "own_thread", True)
        return Caller(self.workers, own_thread=own_thread)

    def _session_of(self, session_id: str, environment: Any, caller: Caller) -> Session:
        if not isinstance(environment, Environment):
            raise TypeError(f"the factory returned {environment!r}, not an Environment")
        return Session(
            session_id,
            environment,
            self.contract,
            caller,
            self.counts,
            step_timeout_s=self.settings.step_timeout_s,
            log_actions=self.settings.log_actions,
        )

    async def _clean_up(
        self, work: "asyncio.Task[None]", caller: Caller, slot: Slot, *, is_stuck: bool
    ) -> None:
        """Free a slot once its environment is closed; what takes too long leaves the pool's count.

        There is room for so many stragglers. Those beyond keep their slots until they are through.
        """
        patience_s = self.settings.close_timeout_s
        try:
            if not is_stuck:
                await asyncio.wait([work], timeout=patience_s)
                if not work.done() and not caller.is_at_work:
                    work.cancel()  # a coroutine hangs, and unlike a thread it can be stopped
                    await asyncio.wait([work], timeout=patience_s)
            if not work.done():
                caller.abandon()
                if not self.workers.adopt(work):
                    await asyncio.wait([work])
        finally:
            slot.release()

    def _raise_as_failure(self, error: BaseException) -> None:
        """Raise what a client is to hear of a factory's failure; return if there was none.

        A cancellation is one when nobody cancels this task: the factory has cancelled itself.
        """
        task = asyncio.current_task()
        is_own = isinstance(error, asyncio.CancelledError) and task and not task.cancelling()
        if not isinstance(error, FAILURES) and not is_own:
            return
        log.warning("the environment %s cannot be made", self.name, exc_info=error)
        reason = f"{self.name} cannot be made: {in_words(error)}"
        raise EnvironmentFailed(reason, code="FACTORY_ERROR") from error
