"""Blocking code: the client's coroutines, called from where no event loop runs.

One background thread runs one event loop for all blocking clients of the process. A client belongs
to the loop that it first connected on; calls from anywhere else are carried there.
"""

import asyncio
import atexit
import functools
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

__all__ = ["Homed", "anywhere", "at_exit", "background_loop", "run_blocking"]

P = ParamSpec("P")
T = TypeVar("T")


class Homed(Protocol):
    """What belongs to an event loop, once it has one."""

    _home: asyncio.AbstractEventLoop | None

    def _leave_home(self) -> None:
        """Give up what belongs to a loop that has ended."""


HomedT = TypeVar("HomedT", bound=Homed)


class _Background:
    """The thread and its loop."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.loop = _new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="aioenv", daemon=True)
        self._thread.start()

    def stop(self, farewell: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run the last coroutine and end the loop."""
        asyncio.run_coroutine_threadsafe(farewell(), self.loop).result(timeout=5)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout=1)


_lock = threading.Lock()
_background: _Background | None = None
_farewells: list[Callable[[asyncio.AbstractEventLoop], Coroutine[Any, Any, None]]] = []


def anywhere(
    method: Callable[Concatenate[HomedT, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[HomedT, P], Coroutine[Any, Any, T]]:
    """Make a coroutine method callable from anywhere.

    In a running event loop it returns an awaitable, as the type says. Where none runs, it blocks
    and returns the result itself.
    """

    @functools.wraps(method)
    def call(self: HomedT, *args: P.args, **kwargs: P.kwargs) -> Any:
        running = asyncio._get_running_loop()  # the documented twin raises where none runs
        home = self._home
        if home is not running and home is not None and home.is_closed():
            self._leave_home()
            home = None
        if running is not None and (home is running or home is None):
            return method(self, *args, **kwargs)
        coroutine = method(self, *args, **kwargs)
        future = asyncio.run_coroutine_threadsafe(coroutine, _loop_for(home, coroutine))
        return _wait(future) if running is None else asyncio.wrap_future(future)

    return call


def run_blocking(
    owner: Homed, method: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run a method of `owner` on its loop and block until it is through, wherever it is called.

    Raises:
        RuntimeError: that loop runs in this very thread, so it would wait for itself.
    """
    running, home = asyncio._get_running_loop(), owner._home
    if running is not None and running is home:
        raise RuntimeError(
            "this client belongs to the event loop that runs here: await it instead of blocking"
        )
    if home is not None and home.is_closed():
        owner._leave_home()
        home = None
    plain = getattr(method, "__wrapped__", None)  # what `anywhere` wraps
    coroutine = method(*args, **kwargs) if plain is None else plain(owner, *args, **kwargs)
    return _wait(asyncio.run_coroutine_threadsafe(coroutine, _loop_for(home, coroutine)))


def background_loop() -> asyncio.AbstractEventLoop:
    """Return the loop that all blocking clients share; started when first asked for.

    A forked child has none of its parent's threads, so it gets a loop of its own.
    """
    global _background
    with _lock:
        if _background is None or _background.pid != os.getpid():
            _background = _Background()
        return _background.loop


def at_exit(farewell: Callable[[asyncio.AbstractEventLoop], Coroutine[Any, Any, None]]) -> None:
    """Have a coroutine run on the background loop before the interpreter ends."""
    _farewells.append(farewell)


def _loop_for(
    home: asyncio.AbstractEventLoop | None, coroutine: Coroutine[Any, Any, Any]
) -> asyncio.AbstractEventLoop:
    """Return the loop to carry a coroutine to: its owner's, or the background loop."""
    if home is None:
        return background_loop()
    if not home.is_running():
        coroutine.close()
        raise RuntimeError(
            "this client belongs to an event loop that is not running now; use it from there, "
            "or make another client"
        )
    return home


def _wait(future: "Future[T]") -> T:
    try:
        return future.result()
    except BaseException:
        future.cancel()  # Ctrl-C: what nobody waits for any more is cancelled
        raise


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


async def _say_farewell() -> None:
    loop = asyncio.get_running_loop()
    for farewell in _farewells:
        await farewell(loop)


@atexit.register
def _stop() -> None:
    if _background is not None and _background.pid == os.getpid():
        _background.stop(_say_farewell)
