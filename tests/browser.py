"""A real browser, and a watch on what it does: whom it asks, and what it complains about."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from playwright.async_api import ConsoleMessage, Error, Page, Request, async_playwright

__all__ = ["Watch", "open_page"]

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

#: How long anything may take in the browser, in milliseconds. No test depends on it being met.
DEADLINE_MS = 30_000

_INTERRUPTION = "ERR_NETWORK_CHANGED"
_LOCAL = ("data", "blob", "about")


class Watch:
    """What must never happen in a page, and did.

    Attributes:
        host: the only host that the page may ask.
        faults: requests to others, console errors and warnings, violations of the page's policy
            (which Chromium reports as console errors), and errors that no script has caught.
    """

    def __init__(self, page: Page, host: str) -> None:
        self.host = host
        self.faults: list[str] = []
        self._page = page
        self._was_interrupted = False
        page.on("request", self._on_request)
        page.on("requestfailed", self._on_failure)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.faults.append(f"uncaught: {error}"))

    async def load(self, url: str) -> None:
        """Open an address; once more where this machine's network was changed meanwhile.

        Chromium breaks off every request then, as when a container starts beside it.
        """
        while True:
            self.faults.clear()
            self._was_interrupted = False
            try:
                await self._page.goto(url, wait_until="networkidle")
            except Error as error:
                self._was_interrupted = _INTERRUPTION in error.message
                if not self._was_interrupted:
                    raise
            if not self._was_interrupted:
                return

    def _on_failure(self, request: Request) -> None:
        self._was_interrupted |= _INTERRUPTION in (request.failure or "")

    def _on_request(self, request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme not in _LOCAL and url.netloc != self.host:
            self.faults.append(f"asked another host: {request.url}")

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"{message.type}: {message.text}")


@asynccontextmanager
async def open_page(url: str) -> AsyncIterator[tuple[Page, Watch]]:
    """Start a browser and open a page; in the end nothing that must not happen has.

    A test that provokes a fault takes it out of the watch's list.
    """
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            page = await browser.new_page()
            page.set_default_timeout(DEADLINE_MS)
            watch = Watch(page, urlsplit(url).netloc)
            await watch.load(url)
            yield page, watch
            assert watch.faults == []
        finally:
            await browser.close()
