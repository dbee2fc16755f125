"""The usage: whether anybody uses a service, so that one that was forgotten can end by itself."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from aioenv.service.access import is_health
from aioenv.service.service import Service

__all__ = ["Usage", "count_usage"]


class Usage:
    """Tells how long a service has been without use: no request under way, no session open.

    Args:
        service: whose sessions count.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._under_way = 0
        self._change = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Usage {self._under_way} requests under way>"

    @contextmanager
    def request(self) -> Iterator[None]:
        """Count a request as long as the context lasts; a WebSocket lasts until it is closed."""
        self._under_way += 1
        self._change.set()
        try:
            yield
        finally:
            self._under_way -= 1
            self._change.set()

    async def wait_unused(self, idle_s: float) -> None:
        """Wait until there was no use at all for so many seconds; cancelling it costs nothing."""
        while True:
            # A session over plain HTTP lasts from one request to the next.
            await self._service.pool.wait_empty()
            self._change.clear()
            try:
                async with asyncio.timeout(idle_s):
                    await self._change.wait()
            except TimeoutError:
                if not self._under_way and not self._service.pool.statistics().active:
                    return

    async def wait_used(self) -> None:
        """Wait until the next request begins or ends; cancelling it costs nothing."""
        self._change.clear()
        await self._change.wait()


def count_usage(usage: Usage) -> Any:
    """Make the middleware that counts every request but those for ``/health``."""

    @web.middleware
    async def count(request: web.Request, handler: Any) -> web.StreamResponse:
        if is_health(request):
            return await handler(request)  # type: ignore[no-any-return]
        with usage.request():
            return await handler(request)  # type: ignore[no-any-return]

    return count
