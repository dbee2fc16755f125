"""The tests' own environments, and the census that counts them.

An environment does what its action's text says (`PERFORMANCES`), and echoes any other text. Each
is made by a class of its own test, `populate(census, AsyncWorld, ...)`, so that no test counts
another's.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, TypeVar

from attrs import define, field

from aioenv import Observation, State
from aioenv.service import Environment

__all__ = [
    "AsyncWorld",
    "Census",
    "Heard",
    "MixedWorld",
    "PlainWorld",
    "Tally",
    "Word",
    "World",
    "populate",
]

#: Longest that a plain method waits for its test to open the gate; only a broken test meets it.
DEADLINE_S = 60.0


@define
class Word:
    """An action."""

    text: str


@define
class Heard(Observation):
    """What was heard: the action's text."""

    text: str


@define
class Tally(State):
    """A state with fields of its own."""

    heard: list[str] = field(factory=list)


class Census:
    """Counts a test's environments and notes whatever must never happen to them.

    Attributes:
        limit: the most that may be alive; more is a fault.
        alive: those that were made and not closed.
        made: how many were made.
        closed: how many were closed.
        peak: the most that were alive at a time.
        hanging: calls that wait at the gate at this moment.
        cancelled: calls that were cancelled there.
        faults: what must never happen, and did.
    """

    def __init__(self) -> None:
        self.limit: int | None = None
        self.alive: set[World] = set()
        self.made = 0
        self.closed = 0
        self.peak = 0
        self.hanging = 0
        self.cancelled = 0
        self.faults: list[str] = []
        self._gate = asyncio.Event()
        self._plain_gate = threading.Event()
        self._lock = threading.Lock()

    def open_gate(self) -> None:
        """Let every call go on that hangs now or later. Call it on the event loop."""
        self._gate.set()
        self._plain_gate.set()

    def close_gate(self) -> None:
        """Have calls hang again."""
        self._gate.clear()
        self._plain_gate.clear()

    def free_plain_calls(self) -> None:
        """Let those plain calls go on that hang now."""
        self._plain_gate.set()
        self._plain_gate.clear()

    async def hang(self) -> None:
        """Wait for the gate as a coroutine."""
        with self._hanging():
            try:
                await self._gate.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise

    def hang_plainly(self) -> None:
        """Wait for the gate and block the thread."""
        with self._hanging():
            if not self._plain_gate.wait(DEADLINE_S):
                self.faults.append("nobody opened the gate")

    def birth(self, world: "World") -> None:
        """Count an environment that is made."""
        with self._lock:
            self.alive.add(world)
            self.made += 1
            self.peak = max(self.peak, len(self.alive))
            if self.limit is not None and len(self.alive) > self.limit:
                self.faults.append(f"{len(self.alive)} environments alive, limit {self.limit}")

    def burial(self, world: "World") -> None:
        """Count an environment that is closed."""
        with self._lock:
            if world in self.alive:
                self.alive.remove(world)
                self.closed += 1
            else:
                self.faults.append("an environment was closed twice")

    @contextlib.contextmanager
    def _hanging(self) -> Iterator[None]:
        with self._lock:
            self.hanging += 1
        try:
            yield
        finally:
            with self._lock:
                self.hanging -= 1


def _fail() -> Heard:
    raise ValueError("it broke")


def _fail_silently() -> Heard:
    raise ValueError


class OddError(Exception):
    """An exception without words, because its words fail."""

    def __str__(self) -> str:
        raise TypeError("it cannot even say why")


def _fail_oddly() -> Heard:
    raise OddError


def _cancel() -> Heard:
    raise asyncio.CancelledError


def _exit() -> Heard:
    raise SystemExit(3)


def _stop_iteration() -> Heard:
    return next(iter(()))


#: What each text makes an environment do, beside ``hang``; `Any` because some of it is wrong.
PERFORMANCES: dict[str, Callable[[], Any]] = {
    "raise": _fail,
    "raise without words": _fail_silently,
    "raise oddly": _fail_oddly,
    "cancel": _cancel,
    "exit": _exit,
    "stop iteration": _stop_iteration,
    "return a number": lambda: 42,
    "return nothing": lambda: None,
    "return the unwritable": lambda: Heard("odd", metadata={"thing": object()}),
    "return a wrong field": lambda: Heard([object()]),  # type: ignore[arg-type]
    "return not a number": lambda: Heard("odd", reward=float("nan")),
    "return a lot": lambda: Heard("x" * 4_000_000),
}


class World(Environment[Word, Heard, Tally]):
    """What all these environments share.

    Attributes:
        census: who counts it.
        on_make: what its constructor does.
        on_close: what its ``close`` does.
        on_state: what its ``state`` does.
    """

    census: ClassVar[Census]
    on_make: ClassVar[str] = ""
    on_close: ClassVar[str] = ""
    on_state: ClassVar[str] = ""

    def __init__(self) -> None:
        self.threads: list[int] = [threading.get_ident()]
        self.options: dict[str, Any] = {}
        self._state = Tally()
        self._calls = 0
        if self.on_make == "hang":
            self.census.hang_plainly()
        elif self.on_make:
            PERFORMANCES[self.on_make]()
        self.census.birth(self)

    @property
    def state(self) -> Tally:
        """The tally."""
        with self._alone():
            if self.on_state:
                return PERFORMANCES[self.on_state]()  # type: ignore[no-any-return]
            return self._state

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Note a fault if another call runs in this environment, or if it is closed."""
        if self._calls:
            self.census.faults.append("two calls at a time in one environment")
        if self not in self.census.alive:
            self.census.faults.append("a call in an environment that is closed")
        self._calls += 1
        self.threads.append(threading.get_ident())
        try:
            yield
        finally:
            self._calls -= 1

    def _begin(self, seed: int | None, episode_id: str | None) -> None:
        self.options = {"seed": seed, "episode_id": episode_id}
        self._state = Tally(episode_id=episode_id)

    def _play(self, text: str) -> Heard:
        performance = PERFORMANCES.get(text)
        if performance is not None:
            return performance()  # type: ignore[no-any-return]
        self._state.step_count += 1
        self._state.heard.append(text)
        return Heard(text, reward=float(len(text)), metadata={"step": self._state.step_count})


class AsyncWorld(World):
    """All its methods are coroutines."""

    async def reset(
        self, *, seed: int | None = None, episode_id: str | None = None, do: str = "ready"
    ) -> Heard:
        """Begin; `do` is performed as a step's text would be."""
        with self._alone():
            self._begin(seed, episode_id)
            if do == "hang":
                await self.census.hang()
            return self._play(do) if do in PERFORMANCES else Heard(do)

    async def step(self, action: Word) -> Heard:
        """Do what the action says."""
        with self._alone():
            if action.text == "hang":
                await self.census.hang()
            elif action.text == "pause":
                await asyncio.sleep(0)
            return self._play(action.text)

    async def close(self) -> None:
        """Be counted out, and do what the test wants."""
        with self._alone():
            self.census.burial(self)
            if self.on_close == "hang":
                await self.census.hang()
            elif self.on_close:
                PERFORMANCES[self.on_close]()


class PlainWorld(World):
    """All its methods are plain."""

    def reset(
        self, *, seed: int | None = None, episode_id: str | None = None, do: str = "ready"
    ) -> Heard:
        """Begin; `do` is performed as a step's text would be."""
        with self._alone():
            self._begin(seed, episode_id)
            if do == "hang":
                self.census.hang_plainly()
            return self._play(do) if do in PERFORMANCES else Heard(do)

    def step(self, action: Word) -> Heard:
        """Do what the action says."""
        with self._alone():
            if action.text == "hang":
                self.census.hang_plainly()
            elif action.text == "hang, then raise":
                self.census.hang_plainly()
                _fail()
            return self._play(action.text)

    def close(self) -> None:
        """Be counted out, and do what the test wants."""
        with self._alone():
            self.census.burial(self)
            if self.on_close == "hang":
                self.census.hang_plainly()
            elif self.on_close:
                PERFORMANCES[self.on_close]()


class MixedWorld(AsyncWorld):
    """Its reset and close are coroutines, its step is plain."""

    step = PlainWorld.step  # type: ignore[assignment]


WorldT = TypeVar("WorldT", bound=World)


def populate(census: Census, base: type[WorldT], **attributes: Any) -> type[WorldT]:
    """Return a class of environments that a census counts, with class attributes of its own."""
    return type(base.__name__, (base,), {"census": census, **attributes})
