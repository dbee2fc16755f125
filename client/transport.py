"""The transport: one aiohttp session for each event loop, shared by every client on it."""

import asyncio
import weakref
from collections.abc import Coroutine
from typing import Any

import aiohttp

from aioenv.pulse import Pulse

__all__ = ["Transport"]

# How soon an idle connection gets a reader, and how precise its pings are, in seconds.
_PULSE_S = 0.5

_transports: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Transport]" = (
    weakref.WeakKeyDictionary()
)


class Transport:
    """What the clients of one event loop share: connections' maker and pulse.

    It is opened by its first user and closed with its last.
    """

    def __init__(self) -> None:
        connector = aiohttp.TCPConnector(limit=0)
        self.http = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        self.pulse = Pulse(_PULSE_S)
        self._users = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    def __repr__(self) -> str:
        return f"<Transport users={self._users}>"

    @classmethod
    def join(cls) -> "Transport":
        """Become a user of the running loop's transport."""
        loop = asyncio.get_running_loop()
        transport = _transports.get(loop)
        if transport is None:
            transport = _transports[loop] = cls()
        transport._users += 1
        return transport

    def run(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run something in the background, held until it is done."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def leave(self) -> None:
        """Cease to be a user; the last one closes it."""
        self._users -= 1
        if not self._users:
            loop = asyncio.get_running_loop()
            if _transports.get(loop) is self:
                del _transports[loop]
            if self._tasks:
                await asyncio.wait(self._tasks)
            await self.http.close()
