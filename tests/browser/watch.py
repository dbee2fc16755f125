"""The watch: whatever a page must never do, noted while it is open."""

from urllib.parse import urlsplit

from playwright.async_api import BrowserContext, ConsoleMessage, Page, Request

__all__ = ["Watch"]

_REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  reportViolation(`${event.violatedDirective} forbids ${event.blockedURI}`));
"""


class Watch:
    """Notes requests to other hosts, errors and warnings in the console, and policy violations.

    Attributes:
        faults: what was noted, in order.
    """

    def __init__(self, origin: str) -> None:
        self._host = urlsplit(origin).netloc
        self._forgiven: list[str] = []
        self.faults: list[str] = []

    def forgive(self, *parts: str) -> None:
        """Expect faults that contain one of these, before and after."""
        self._forgiven += parts

    def unforgiven(self) -> list[str]:
        """Return the faults that nobody expected."""
        return [fault for fault in self.faults if not any(part in fault for part in self._forgiven)]

    async def over(self, context: BrowserContext) -> None:
        """Watch over every page of a context, from its first request on."""
        await context.expose_function("reportViolation", self._on_violation)
        await context.add_init_script(_REPORT_VIOLATIONS)
        context.on("request", self._on_request)
        context.on("page", self._on_page)

    def _on_page(self, page: Page) -> None:
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.faults.append(f"uncaught: {error}"))
        page.on("websocket", lambda socket: self._on_address(socket.url))

    def _on_request(self, request: Request) -> None:
        self._on_address(request.url)

    def _on_address(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob") and parts.netloc != self._host:
            self.faults.append(f"request to another host: {url}")

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"console {message.type}: {message.text}")

    def _on_violation(self, words: str) -> None:
        self.faults.append(f"policy: {words}")
