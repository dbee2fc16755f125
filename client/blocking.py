"""Blocking code: the client's coroutines, called from where no event loop runs.

One background thread runs one event loop for all blocking clients of the process. A client belongs
to the loop that it first connected on; calls from anywhere else are carried there.
"""

import asyncio
import atexit
import functools
import logging
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from aioenv import Closed, SessionLost

__all__ = [
    "Homed",
    "anywhere",
    "anywhere_with_action",
    "background_loop",
    "close_at_exit",
    "forget",
    "home_of",
    "run_blocking",
]

P = ParamSpec("P")
A = TypeVar("A")
T = TypeVar("T")
log = logging.getLogger(__name__)

_running_loop = asyncio._get_running_loop  # the documented twin raises where none runs

# How often to look, in seconds, whether the loop that a blocking call waits for is still there: one
# that ends with a call on its way tells nobody.
_GLANCE_S = 1.0

# How long the interpreter's end waits for clients that nobody closed, in seconds. A container that
# a client started may take its ten seconds to stop.
FAREWELL_S = 15.0


class Homed(Protocol):
    """What belongs to an event loop, once it has one."""

    _home: asyncio.AbstractEventLoop | None

    def _leave_home(self, reason: str) -> None:
        """Give up what belongs to a loop that is no more."""

    def close(self) -> Coroutine[Any, Any, None]:
        """Give back everything."""


HomedT = TypeVar("HomedT", bound=Homed)


class _Background:
    """The thread and its loop."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner(loop_factory=_new_event_loop)
        self._is_over = asyncio.Event()
        self.loop = self._runner.get_loop()
        self._thread = threading.Thread(target=self._run, name="aioenv", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close the clients that nobody closed, and end the loop and its thread."""
        self.loop.call_soon_threadsafe(self._is_over.set)
        self._thread.join(FAREWELL_S)
        if self._thread.is_alive():
            log.warning("clients that nobody closed did not close in %g s", FAREWELL_S)

    def _run(self) -> None:
        with self._runner:
            self._runner.run(self._live())

    async def _live(self) -> None:
        await self._is_over.wait()
        farewells = [owner.close() for owner in tuple(_open)]
        for outcome in await asyncio.gather(*farewells, return_exceptions=True):
            if outcome is not None:
                log.warning("a client that nobody closed did not close: %r", outcome)


_lock = threading.Lock()
_background: _Background | None = None

# Those who live on the background loop and hold something that must be given back.
_open: set[Homed] = set()

# The loops that anybody was at home on, and those of them that a fork left with the parent. These
# are kept for ever: their destructors would act upon the parent's sockets.
_homes: "weakref.WeakSet[asyncio.AbstractEventLoop]" = weakref.WeakSet()
_left_behind: set[asyncio.AbstractEventLoop] = set()


def anywhere(
    method: Callable[Concatenate[HomedT, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[HomedT, P], Coroutine[Any, Any, T]]:
    """Make a coroutine method callable from anywhere.

    In a running event loop it returns an awaitable, as the type says. Where none runs, it blocks
    and returns the result itself.
    """

    @functools.wraps(method)
    def call(self: HomedT, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        home = self._home
        if home is not None and home is _running_loop():
            return method(self, *args, **kwargs)
        return _carried(self, method, *args, **kwargs)

    return call


def anywhere_with_action(
    method: Callable[[HomedT, A], Coroutine[Any, Any, T]],
) -> Callable[[HomedT, A], Coroutine[Any, Any, T]]:
    """Do what `anywhere` does, for a step: one argument is passed on sooner than any arguments."""

    @functools.wraps(method)
    def call(self: HomedT, action: A) -> Any:
        home = self._home
        if home is not None and home is _running_loop():
            return method(self, action)
        return _carried(self, method, action)

    return call


def run_blocking(
    owner: Homed, method: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run a method of `owner` on its loop and block until it is through, wherever it is called.

    Raises:
        RuntimeError: that loop runs in this very thread, so it would wait for itself.
    """
    running, home = _running_loop(), owner._home
    if running is not None and running is home:
        raise RuntimeError(
            "this client belongs to the event loop that runs here: await it instead of blocking"
        )

    async def there() -> T:
        return await method(*args, **kwargs)

    call = there()
    return _wait_for(call, _loop_for(home_of(owner), call))


def home_of(owner: Homed) -> asyncio.AbstractEventLoop | None:
    """Return the loop that an owner belongs to; it leaves one that is no more."""
    home = owner._home
    if home is not None and (reason := _end_of(home)):
        owner._leave_home(reason)
        return None
    return home


def background_loop() -> asyncio.AbstractEventLoop:
    """Return the loop that all blocking clients share; started when first asked for.

    A forked child has none of its parent's threads, so it gets a loop of its own.

    Raises:
        Closed: the interpreter is ending, and starts no thread any more (Python 3.12 and later).
    """
    global _background
    with _lock:
        if _background is None:
            try:
                _background = _Background()
            except RuntimeError as error:
                raise Closed("interpreter") from error
        return _background.loop


def close_at_exit(owner: Homed) -> None:
    """Have an owner closed before the interpreter ends, if its home is the background loop."""
    assert owner._home is not None
    _homes.add(owner._home)
    if _background is not None and owner._home is _background.loop:
        _open.add(owner)


def forget(owner: Homed) -> None:
    """Forget an owner that holds nothing any more."""
    _open.discard(owner)


def _carried(
    owner: HomedT,
    method: Callable[Concatenate[HomedT, P], Coroutine[Any, Any, T]],
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> Any:
    """Call a method from elsewhere than its owner's loop, or for an owner that has none yet."""
    running, home = _running_loop(), home_of(owner)
    call = method(owner, *args, **kwargs)
    if running is None:
        return _wait_for(call, _loop_for(home, call))
    return call if home is None else _awaited(call, _loop_for(home, call))


async def _awaited(call: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> T:
    """Run a coroutine on another loop, and await it on this one."""
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call, loop))


def _end_of(home: asyncio.AbstractEventLoop) -> str:
    """Return why a loop will never run again, or nothing if it may."""
    if home in _left_behind:
        return "its process was forked, and it stayed with the parent"
    return "the event loop that it lived on has ended" if home.is_closed() else ""


def _loop_for(
    home: asyncio.AbstractEventLoop | None, coroutine: Coroutine[Any, Any, Any]
) -> asyncio.AbstractEventLoop:
    """Return the loop to carry a coroutine to: its owner's, or the background loop."""
    if home is None:
        try:
            return background_loop()
        except Closed:
            coroutine.close()
            raise
    if not home.is_running():
        coroutine.close()
        raise RuntimeError(
            "this client belongs to an event loop that is not running now; use it from there, "
            "or make another client"
        )
    return home


def _wait_for(call: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> T:
    """Run a coroutine on a loop, and block until it is through or the loop is no more."""
    future = asyncio.run_coroutine_threadsafe(call, loop)
    try:
        while True:
            try:
                return future.result(_GLANCE_S)
            except TimeoutError:
                if future.done():
                    return future.result()
                if reason := _end_of(loop):
                    raise SessionLost(reason) from None
    except CancelledError as error:
        raise SessionLost("the event loop that it lived on is ending") from error
    except BaseException:
        future.cancel()  # Ctrl-C: what nobody waits for any more is cancelled
        raise


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


@atexit.register
def _stop() -> None:
    global _background
    with _lock:
        background, _background = _background, None
    if background is not None:
        background.stop()


def _forget_the_parent() -> None:
    """In a forked child, none of the parent's threads runs, and its loops are left alone."""
    global _background, _lock
    _background, _lock = None, threading.Lock()
    _left_behind.update(_homes)
    _open.clear()


os.register_at_fork(after_in_child=_forget_the_parent)
