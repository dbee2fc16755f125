"""Pages that are watched, of environments that are served."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, async_playwright, expect

from aioenv import State
from tests.browser.chromium import launch
from tests.browser.watch import Watch
from tests.conftest import DEADLINE_S, Serve, Served, counting, serving
from tests.environments import Census
from tests.worlds.bazaar import Bazaar, Goods, Order
from tests.worlds.nim import Heap, NimEnvironment, NimState, Take
from tests.worlds.studio import Easel, Painting, Stroke, StudioEnvironment

__all__ = ["OpenPage", "Playing", "serve_bazaar", "serve_nim", "serve_studio"]

expect.set_options(timeout=DEADLINE_S * 1000)


class Playing:
    """A page of the web interface, by what a person finds on it.

    Attributes:
        page: Playwright's page.
        watch: what it must never do.
    """

    def __init__(self, page: Page, watch: Watch) -> None:
        self.page = page
        self.watch = watch

    @property
    def observation(self) -> Locator:
        """The observation's part of the page."""
        return self.page.locator("#observation")

    @property
    def notice(self) -> Locator:
        """The notice above everything."""
        return self.page.locator(".notice")

    def button(self, name: str) -> Locator:
        """Return a button by its whole name."""
        return self.page.get_by_role("button", name=name, exact=True)

    def field(self, label: str) -> Locator:
        """Return a field by its whole label."""
        return self.page.get_by_label(label, exact=True)

    def figure(self, name: str) -> Locator:
        """Return one of the figures: reward, return, steps or done."""
        return self.page.locator(f"#figure-{name}")

    async def ready(self) -> None:
        """Wait until the page has read what the environment is."""
        await self.page.locator("body[data-ready]").wait_for()

    async def reset(self) -> None:
        """Begin an episode, and wait for it; what was shown before is no sign of it."""
        await self.button("Reset").click()  # which makes it busy before anything else
        await self.page.locator("#reset:not(.busy)").wait_for()
        await expect(self.figure("steps")).to_have_text("0")

    async def say(self, text: str, label: str = "Text") -> None:
        """Send a text with Enter."""
        await self.field(label).fill(text)
        await self.field(label).press("Enter")

    async def show(self, tab: str) -> None:
        """Go to a tab."""
        await self.page.get_by_role("tab", name=tab).click()


class OpenPage(Protocol):
    """The `open_page` fixture."""

    async def __call__(
        self, served: Served | str, path: str = "/web/", *, wait: bool = True, **options: Any
    ) -> Playing:
        """Open a page in a browser context of its own; the end of the test looks at its watch."""


# A browser takes longer to start than most tests take. So it is shared, and with it the event loop
# that it belongs to; each page has a context of its own, without a trace of the pages before.


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have all tests of this folder share an event loop."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    """Run a browser."""
    async with async_playwright() as playwright:
        browser = await launch(playwright, tmp_path_factory.mktemp("browser"))
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def census() -> AsyncIterator[Census]:
    """Count environments as everywhere else, on the event loop of these tests."""
    async with counting() as census:
        yield census


@pytest_asyncio.fixture(loop_scope="session")
async def serve(census: Census) -> AsyncIterator[Serve]:
    """Serve them likewise."""
    async with serving(census) as start:
        yield start


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(serve: Serve, browser: Browser) -> AsyncIterator[OpenPage]:
    """Open pages; each must have kept to its own host, without an error, to the end."""
    watches: list[Watch] = []
    async with AsyncExitStack() as stack:

        async def open_watched(
            served: Served | str, path: str = "/web/", *, wait: bool = True, **options: Any
        ) -> Playing:
            url = served if isinstance(served, str) else served.url
            context = await browser.new_context(**options)
            stack.push_async_callback(context.close)
            context.set_default_timeout(DEADLINE_S * 1000)
            watch = Watch(url)
            watches.append(watch)
            await watch.over(context)
            playing = Playing(await context.new_page(), watch)
            await playing.page.goto(url + path)
            if wait:
                await playing.ready()
            return playing

        yield open_watched
    assert [watch.unforgiven() for watch in watches] == [[]] * len(watches)


async def serve_bazaar(serve: Serve, **settings: Any) -> Served:
    """Serve the bazaar, whose models hold one of everything."""
    return await serve(Bazaar, action=Order, observation=Goods, state=State, **settings)


async def serve_nim(serve: Serve, **settings: Any) -> Served:
    """Serve the game that ends."""
    return await serve(NimEnvironment, action=Take, observation=Heap, state=NimState, **settings)


async def serve_studio(serve: Serve, **settings: Any) -> Served:
    """Serve the studio, whose actions are nested and whose observations hold a picture."""
    return await serve(
        StudioEnvironment, action=Stroke, observation=Painting, state=Easel, **settings
    )
