"""The transport: one aiohttp session for each event loop, shared by every client on it."""

import asyncio
import ssl
import weakref
from collections.abc import Coroutine
from typing import Any

import aiohttp

from aioenv.client.frames import frame_sockets
from aioenv.pulse import Pulse

__all__ = ["Transport", "see_through", "why_unreachable"]

# How precise pings and their time-outs are, in seconds.
_PULSE_S = 0.5

_transports: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Transport]" = (
    weakref.WeakKeyDictionary()
)


_clean_ups: set[asyncio.Task[Any]] = set()


async def see_through(clean_up: Coroutine[Any, Any, None]) -> None:
    """Do a clean-up; cancelling costs nothing, for it goes on by itself."""
    task = asyncio.get_running_loop().create_task(clean_up)
    _clean_ups.add(task)
    task.add_done_callback(_clean_ups.discard)
    await asyncio.shield(task)


def why_unreachable(error: Exception) -> str:
    """Return why a request got no answer, in the system's own words."""
    cause = getattr(error, "os_error", None)  # aiohttp's own words are about its connector
    if not isinstance(cause, OSError):
        return str(error) or type(error).__name__
    words = cause.strerror or str(cause)
    match cause:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {words}"
        case ssl.SSLError():
            return f"it does not speak TLS, perhaps http:// only: {words}"
    return f"no service answers there: {words}"


class Transport:
    """What the clients of one event loop share: connections' maker and pulse.

    It is opened by its first user and closed with its last.
    """

    def __init__(self) -> None:
        self._connector = aiohttp.TCPConnector(limit=0)
        self._sessions: dict[int, aiohttp.ClientSession] = {}
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

    def http(self, max_message_size_bytes: int) -> aiohttp.ClientSession:
        """Return the session for connections with this limit; all use the same connector."""
        session = self._sessions.get(max_message_size_bytes)
        if session is None:
            session = self._sessions[max_message_size_bytes] = aiohttp.ClientSession(
                connector=self._connector,
                connector_owner=False,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),  # one client's cookies are not another's
                timeout=aiohttp.ClientTimeout(total=None),  # each connection has its own
                ws_response_class=frame_sockets(max_message_size_bytes),
            )
        return session

    def run(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run something in the background; its task is held until it is done."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def leave(self) -> None:
        """Cease to be a user; the last one closes it."""
        self._users -= 1
        if not self._users:
            loop = asyncio.get_running_loop()
            if _transports.get(loop) is self:
                del _transports[loop]
            try:
                if self._tasks:
                    await asyncio.wait(self._tasks)
            finally:
                for session in self._sessions.values():
                    await session.close()
                await self._connector.close()
