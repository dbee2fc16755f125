"""Calling an environment's methods: coroutines on the event loop, plain ones in a worker thread.

A plain call cannot be interrupted. One whose caller has given up is a *straggler*: it runs to its
end, nothing else touches its environment meanwhile, and only so many of them may exist.
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
    """The worker threads that all sessions of a service share, and the stragglers among them.

    Args:
        threads: how many plain calls may run at a time.
        max_stragglers: how many abandoned calls may run besides.
    """

    def __init__(self, threads: int, max_stragglers: int) -> None:
        self.max_stragglers = max_stragglers
        # Stragglers get threads of their own on top, so that they can starve nobody.
        self._size = threads + max_stragglers
        self._executor: ThreadPoolExecutor | None = None
        self._stragglers: set[asyncio.Future[None]] = set()
        self._calls: set[Future[Any]] = set()

    @property
    def stragglers(self) -> int:
        """How many abandoned calls still run."""
        return len(self._stragglers)

    @property
    def is_busy(self) -> bool:
        """Whether a plain call runs or is about to, in any thread."""
        return bool(self._calls)

    @property
    def executor(self) -> ThreadPoolExecutor:
        """The threads; none is started before the first plain call."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(self._size, thread_name_prefix="environment")
        return self._executor

    def watch(self, call: Future[Any]) -> None:
        """Count a plain call as running until it is done."""
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    def adopt(self, clean_up: "asyncio.Future[None]") -> bool:
        """Take over a clean-up that must wait for a straggler.

        Returns:
            Whether there was room for one more; if not, the caller must wait for it himself.
        """
        if len(self._stragglers) >= self.max_stragglers:
            return False
        self._stragglers.add(clean_up)
        clean_up.add_done_callback(self._stragglers.discard)
        return True

    async def close(self, timeout_s: float) -> None:
        """Wait for the stragglers, but not for longer than `timeout_s`; then let the threads be.

        Threads that still run keep the interpreter from ending by itself.
        """
        if self._stragglers:
            _, late = await asyncio.wait(self._stragglers, timeout=timeout_s)
            if late:
                log.warning("%d abandoned calls still run; leaving without them", len(late))
        # Whoever still runs needs a thread once more, to be closed in.
        if self._executor is not None and not self.is_busy:
            self._executor.shutdown(wait=False)


class Caller:
    """Calls the methods of one environment, one at a time.

    Args:
        workers: the service's worker threads.
        own_thread: use one thread of its own instead.
    """

    __slots__ = ("_own", "_running", "_workers")

    def __init__(self, workers: Workers, *, own_thread: bool = False) -> None:
        self._workers = workers
        self._own = ThreadPoolExecutor(1, thread_name_prefix="environment") if own_thread else None
        self._running: Future[Any] | None = None

    @property
    def is_straggling(self) -> bool:
        """Whether an abandoned plain call still runs."""
        return self._running is not None and not self._running.done()

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
        executor = self._own or self._workers.executor
        call = partial(contextvars.copy_context().run, _contained, method, *args, **kwargs)
        try:
            running = executor.submit(call)
        except RuntimeError:  # no thread takes work any more: the interpreter ends, all but this
            return call()
        self._running = running
        self._workers.watch(running)
        return await asyncio.wrap_future(running)

    async def _after_plain(self, method: AsyncCall, /, *args: Any, **kwargs: Any) -> Any:
        await self.wait_free()
        return await method(*args, **kwargs)


def _contained(method: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call a method, and let nothing out that would not arrive as what it is.

    A future refuses to carry a ``StopIteration``, so that its waiter would wait for ever; the rest
    would end the event loop, or pass for the waiter's own cancellation.
    """
    try:
        return method(*args, **kwargs)
    except (StopIteration, SystemExit, KeyboardInterrupt, asyncio.CancelledError) as error:
        raise RuntimeError(in_words(error)) from error
