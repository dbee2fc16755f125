"""Readiness: asking a service that was just started for its health until it answers."""

import asyncio

import aiohttp

__all__ = ["Readiness"]

_FIRST_DELAY_S = 0.02
_LONGEST_DELAY_S = 0.25
_PATIENCE_S = 5.0  # for one answer


class Readiness:
    """Asks for ``/health`` until it is healthy.

    Attributes:
        last: what came of the last question, in words.
    """

    def __init__(self) -> None:
        self.last = "Docker was still about to start it"

    async def wait(self, url: str) -> None:
        """Return once the service at an address is healthy; cancelling it costs nothing."""
        delay_s = _FIRST_DELAY_S
        connector = aiohttp.TCPConnector(force_close=True)
        patience = aiohttp.ClientTimeout(total=_PATIENCE_S)
        async with aiohttp.ClientSession(connector=connector, timeout=patience) as session:
            while not await self._is_healthy(session, f"{url}/health"):
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, _LONGEST_DELAY_S)

    async def _is_healthy(self, session: aiohttp.ClientSession, url: str) -> bool:
        try:
            async with session.get(url) as response:
                self.last = f"{url} answers with {response.status} {response.reason}"
                return response.status == 200
        except TimeoutError:
            self.last = f"{url} takes the question and does not answer"
        except (aiohttp.ClientError, OSError) as error:
            self.last = f"nobody answers at {url} ({str(error) or type(error).__name__})"
        return False
