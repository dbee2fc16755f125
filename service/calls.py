"""Calling an environment's methods: coroutines on the event loop, plain ones in a worker thread.

A plain call cannot be interrupted. One that is given up, because its time is over or its client
gone, is a *straggler*: it runs to its end, in a thread that it takes from nobody, and nothing else
touches its environment meanwhile. It keeps its session's slot; only so many may do without one.
"""

import asyncio
import contextvars
import inspect
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

__all__ = ["FAILURES", "Caller", "Workers", "in_words", "is_async"]

log = logging.getLogger(__name__)

AsyncCall = Callable[..., Coroutine[Any, Any, Any]]

#: What an environment's code may raise and be itself to blame. Libraries call ``sys.exit()``; a
#: task that lets that through ends the event loop, and with it every other session.
FAILURES = (Exception, SystemExit)


def is_async(method: Any) -> bool:
    """Whether a callable is declared ``async def``."""
    while isinstance(method, partial):
        method = method.func
    return inspect.iscoroutinefunction(method) or inspect.iscoroutinefunction(
        getattr(type(method), "__call__", None)  # noqa: B004  # the method, not the question
    )


def in_words(error: BaseException) -> str:
    """Return what an exception says, or its class's name if that is nothing."""
    name = type(error).__name__
    try:
        words = str(error)
    except Exception:
        return name
    return f"{name}: {words}" if isinstance(error, SystemExit) else words or name


class Workers:
    """The worker threads that all sessions of a service share, and the stragglers in others.

    A straggler keeps its thread, and another may start in its place, so that it starves nobody. The
    threads have a bound nevertheless: each call is of a session that holds a slot of the pool, or
    of one of those clean-ups that may do without.

    Args:
        threads: how many plain calls may run at a time that somebody waits for.
        max_stragglers: how many clean-ups may wait for stragglers outside the pool's count.
    """

    def __init__(self, threads: int, max_stragglers: int) -> None:
        self.max_stragglers = max_stragglers
        self._places = asyncio.Semaphore(threads)
        self._idle: list[ThreadPoolExecutor] = []  # one thread each
        self._calls: set[Future[Any]] = set()
        self._stragglers: set[Future[Any]] = set()
        self._clean_ups: set[asyncio.Future[None]] = set()
        self._is_closed = False

    @property
    def stragglers(self) -> int:
        """How many abandoned calls still run, in sessions that are open and in those that ended."""
        return len(self._stragglers)

    @property
    def is_busy(self) -> bool:
        """Whether a plain call runs or is about to, in any thread."""
        return bool(self._calls)

    async def borrow(self) -> ThreadPoolExecutor:
        """Take a thread, first come, first served; cancelling it costs nothing."""
        await self._places.acquire()
        return self._idle.pop() if self._idle else _new_thread()

    def give_back(self, thread: ThreadPoolExecutor) -> None:
        """Let the next have a thread whose call is through."""
        if self._is_closed:
            thread.shutdown(wait=False)
        else:
            self._idle.append(thread)
        self._places.release()

    def replace(self, thread: ThreadPoolExecutor) -> None:
        """Let the next have another thread; this one ends with its call."""
        thread.shutdown(wait=False)
        self._places.release()

    def watch(self, call: Future[Any]) -> None:
        """Count a plain call as running until it is done."""
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    def count_straggler(self, call: Future[Any]) -> None:
        """Count a call as a straggler until it is done."""
        self._stragglers.add(call)
        call.add_done_callback(self._stragglers.discard)

    def adopt(self, clean_up: "asyncio.Future[None]") -> bool:
        """Take over a clean-up that must wait for a straggler.

        Returns:
            Whether there was room for one more; if not, the caller must wait for it himself.
        """
        if len(self._clean_ups) >= self.max_stragglers:
            return False
        self._clean_ups.add(clean_up)
        clean_up.add_done_callback(self._clean_ups.discard)
        return True

    async def close(self, timeout_s: float) -> None:
        """Wait for the stragglers, but not for longer than `timeout_s`; then let the threads be.

        Threads that still run keep the interpreter from ending by itself.
        """
        if self._clean_ups:
            _, late = await asyncio.wait(self._clean_ups, timeout=timeout_s)
            if late:
                log.warning("%d abandoned calls still run; leaving without them", len(late))
        self._is_closed = True
        while self._idle:
            self._idle.pop().shutdown(wait=False)


class Caller:
    """Calls the methods of one environment, one at a time.

    Args:
        workers: the service's worker threads.
        own_thread: use one thread of its own instead.
    """

    __slots__ = ("_borrowed", "_is_abandoned", "_is_waiting", "_own", "_running", "_workers")

    def __init__(self, workers: Workers, *, own_thread: bool = False) -> None:
        self._workers = workers
        self._own = _new_thread() if own_thread else None
        self._borrowed: ThreadPoolExecutor | None = None
        self._running: Future[Any] | None = None
        self._is_waiting = False
        self._is_abandoned = False

    @property
    def has_begun(self) -> bool:
        """Whether it has ever called anything in a thread."""
        return self._running is not None

    @property
    def is_straggling(self) -> bool:
        """Whether an abandoned plain call still runs."""
        return self._running is not None and not self._running.done()

    @property
    def is_at_work(self) -> bool:
        """Whether a plain call runs, or waits for its thread."""
        return self._is_waiting or self.is_straggling

    @property
    def has_own_thread(self) -> bool:
        """Whether it calls in one thread of its own."""
        return self._own is not None

    def bind(self, method: Callable[..., Any], *, beside_plain: bool = False) -> AsyncCall:
        """Return a method as a coroutine function: itself if it is one, else run in a thread.

        Args:
            method: a method of the environment.
            beside_plain: the environment has plain methods too, one of which may straggle; a
                coroutine waits for that as well.
        """
        if not is_async(method):
            return partial(self._in_thread, method)
        return partial(self._after_plain, method) if beside_plain else method

    async def wait_free(self) -> None:
        """Wait until no plain call runs any more; cancelling it costs nothing."""
        if self.is_straggling:
            assert self._running is not None
            straggler = asyncio.wrap_future(self._running)
            # Whoever made the call has given it up, and nobody else asks what it raised.
            straggler.add_done_callback(lambda done: done.cancelled() or done.exception())
            await asyncio.wait([straggler])

    def abandon(self) -> None:
        """Note that nobody waits for its calls any more, the one that runs and those to come."""
        self._is_abandoned = True
        self._let_go()

    def give_up_own_thread(self) -> None:
        """Call in the shared threads from now on."""
        self.close()
        self._own = None

    def close(self) -> None:
        """Let its own thread end once it is idle."""
        if self._own is not None:
            self._own.shutdown(wait=False)

    # The methods' own arguments may have any name, a client's options included: hence the slash.

    async def _in_thread(self, method: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a plain method in a thread; cancelling leaves a started call to its end."""
        await self.wait_free()
        thread = self._own or await self._borrow()
        call = partial(contextvars.copy_context().run, _contained, method, *args, **kwargs)
        try:
            return await self._run_in(thread, call)
        finally:
            self._let_go()
            if self._borrowed is not None:
                self._workers.give_back(self._borrowed)
                self._borrowed = None

    async def _run_in(self, thread: ThreadPoolExecutor, call: Callable[[], Any]) -> Any:
        try:
            running = thread.submit(call)
        except RuntimeError:  # no thread takes work any more: the interpreter ends, all but this
            return call()
        self._running = running
        self._workers.watch(running)
        if self._is_abandoned:
            self._let_go()
        return await asyncio.wrap_future(running)

    async def _borrow(self) -> ThreadPoolExecutor:
        self._is_waiting = True
        try:
            self._borrowed = await self._workers.borrow()
        finally:
            self._is_waiting = False
        return self._borrowed

    def _let_go(self) -> None:
        """Have the call that runs, if one does, be a straggler that keeps its thread."""
        if self._running is None or self._running.done():
            return
        self._workers.count_straggler(self._running)
        if self._borrowed is not None:
            self._workers.replace(self._borrowed)
            self._borrowed = None

    async def _after_plain(self, method: AsyncCall, /, *args: Any, **kwargs: Any) -> Any:
        await self.wait_free()
        return await method(*args, **kwargs)


def _new_thread() -> ThreadPoolExecutor:
    """Return a thread, which starts with its first call."""
    return ThreadPoolExecutor(1, thread_name_prefix="environment")


def _contained(method: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call a method, and let nothing out that would not arrive as what it is.

    A future refuses to carry a ``StopIteration``, so that its waiter would wait for ever; the rest
    would end the event loop, or pass for the waiter's own cancellation.
    """
    try:
        return method(*args, **kwargs)
    except (StopIteration, SystemExit, KeyboardInterrupt, asyncio.CancelledError) as error:
        raise RuntimeError(in_words(error)) from error
