"""The load program: sessions held open, and the commands that make them work.

One command is one JSON object on a line of standard input, its answer one JSON object on a
line of standard output. The event loop keeps running between commands, so idle sessions are
looked after the way they are in anybody's program. The end of standard input ends it.

| command | answer |
|---|---|
| `{"op": "open", "sessions": N}` | holds exactly N sessions open, each connected and reset |
| `{"op": "steps", "steps": S}` | S steps, spread evenly over the open sessions |
| `{"op": "cycle", "cycles": C, "concurrency": K}` | connect, reset, close: C times, K at a time |
| `{"op": "probe", "url": U}` | the frames with which the server at U answers a reset and a step |

Each answer carries `wall_s`.
"""

import asyncio
import json
import os
import sys
import time
from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

__all__ = ["MESSAGE", "Load", "run_load"]

S = TypeVar("S")

MESSAGE = "Hello, World!"
CONNECTS_AT_ONCE = 64


class Load(ABC, Generic[S]):
    """One contender's client, as the load program uses it."""

    @abstractmethod
    async def start(self, url: str) -> None:
        """Prepare whatever all sessions share."""

    @abstractmethod
    async def connect(self) -> S:
        """Return a new session, connected and reset."""

    @abstractmethod
    async def steps(self, session: S, count: int) -> str:
        """Send `MESSAGE` `count` times, one after the other; return the last echo."""

    @abstractmethod
    async def disconnect(self, session: S) -> None:
        """Close the session."""

    async def probe(self, url: str) -> list[str]:
        """Return the raw replies of the server at `url` to a reset and to a step."""
        raise NotImplementedError


class Commands(Generic[S]):
    """The sessions of one load program and the commands on them."""

    def __init__(self, load: Load[S]) -> None:
        self.load = load
        self.sessions: list[S] = []

    async def handle(self, command: dict[str, Any]) -> dict[str, Any]:
        """Run one command; return its answer."""
        operation = getattr(self, f"on_{command.pop('op')}")
        answer: dict[str, Any] = await operation(**command)
        return answer

    async def on_open(self, sessions: int) -> dict[str, Any]:
        """Open or close sessions until exactly so many are open."""
        started = time.perf_counter()
        while len(self.sessions) > sessions:
            leaving = self.sessions[max(sessions, len(self.sessions) - CONNECTS_AT_ONCE) :]
            del self.sessions[-len(leaving) :]
            await asyncio.gather(*(self.load.disconnect(session) for session in leaving))
        while len(self.sessions) < sessions:
            wanted = min(sessions - len(self.sessions), CONNECTS_AT_ONCE)
            self.sessions += await asyncio.gather(*(self.load.connect() for _ in range(wanted)))
        return {"wall_s": time.perf_counter() - started, "sessions": len(self.sessions)}

    async def on_steps(self, steps: int) -> dict[str, Any]:
        """Spread the steps evenly over the open sessions, all sessions at once."""
        each, rest = divmod(steps, len(self.sessions))
        if rest:
            raise ValueError(f"{steps} steps do not spread over {len(self.sessions)} sessions")
        started = time.perf_counter()
        echoes = await asyncio.gather(*(self.load.steps(s, each) for s in self.sessions))
        wall_s = time.perf_counter() - started
        if set(echoes) != {MESSAGE}:
            raise ValueError(f"not an echo of {MESSAGE!r}: {set(echoes)}")
        return {"wall_s": wall_s, "steps": steps}

    async def on_cycle(self, cycles: int, concurrency: int) -> dict[str, Any]:
        """Connect, reset and close sessions, so many at a time."""
        left = iter(range(cycles))

        async def work() -> None:
            for _ in left:
                await self.load.disconnect(await self.load.connect())

        started = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(concurrency)))
        return {"wall_s": time.perf_counter() - started, "cycles": cycles}

    async def on_probe(self, url: str) -> dict[str, Any]:
        """Say what a new session's first replies look like on the wire."""
        started = time.perf_counter()
        replies = await self.load.probe(url)
        return {"wall_s": time.perf_counter() - started, "replies": replies}


async def _serve_commands(load: Load[S], url: str) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await load.start(url)
    commands = Commands(load)
    print(json.dumps({"ready": True, "loop": type(loop).__module__}), flush=True)
    async for line in reader:
        answer = await commands.handle(json.loads(line))
        print(json.dumps(answer), flush=True)


def run_load(load: Load[S]) -> None:
    """Run the load program on the server whose URL is the only argument, then leave at once.

    The driver ends a program by closing its standard input. Hundreds of sessions that may
    still be open then are dropped, not closed one by one.
    """
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve_commands(load, sys.argv[1]))
        os._exit(0)
