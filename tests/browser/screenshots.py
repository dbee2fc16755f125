"""``python -m tests.browser.screenshots``: pictures of the web interface in ``docs/screenshots``.

They look best where the fonts Inter and JetBrains Mono are installed.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright, expect

from aioenv.client import GenericEnvClient
from aioenv.service import Server, Settings, create_app
from echo_env import EchoAction, EchoObservation
from echo_env.environment import EchoEnvironment
from tests.browser.chromium import launch
from tests.browser.conftest import Playing
from tests.browser.watch import Watch
from tests.worlds.studio import Easel, Painting, Stroke, StudioEnvironment

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "screenshots"

MESSAGES = (
    "Hi",
    "Hello, World!",
    "Attention is all you need",
    "Reward is enough",
    "The bitter lesson",
    "Playing Atari with deep reinforcement learning",
    "Ok.",
    "Mastering the game of Go",
)
STROKES = (
    ((4, 27), (14, 7), (58, 79, 184), 2.0),
    ((14, 7), (20, 19), (58, 79, 184), 2.0),
    ((20, 19), (24, 12), (58, 79, 184), 2.0),
    ((24, 12), (29, 27), (58, 79, 184), 2.0),
    ((25, 4), (27, 4), (236, 176, 60), 4.0),
)


class Studio:
    """Takes the pictures.

    Args:
        browser: what shows the pages.
    """

    def __init__(self, browser: Browser) -> None:
        self._browser = browser

    @asynccontextmanager
    async def page(
        self, url: str, *, scheme: str = "light", width: int = 1240, height: int = 880
    ) -> AsyncIterator[Playing]:
        """Open a page; a small one as a phone does, by touch and with more pixels."""
        options: dict[str, Any] = {"color_scheme": scheme}
        if width <= 800:
            options |= {"device_scale_factor": 1.5, "is_mobile": True, "has_touch": True}
        context = await self._browser.new_context(
            viewport={"width": width, "height": height}, reduced_motion="reduce", **options
        )
        playing = Playing(await context.new_page(), Watch(url))
        await playing.page.goto(f"{url}/web/")
        await playing.ready()
        yield playing
        await context.close()

    async def echo(self, url: str) -> None:
        """Show an episode of Echo, in the light, and the other tabs."""
        async with self.page(url) as playing:
            await playing.field("Seed").fill("7")
            await playing.reset()
            for count, message in enumerate(MESSAGES, start=1):
                await playing.say(message, "Message")
                await expect(playing.figure("steps")).to_have_text(str(count))
            await take(playing.page, "playground")
            for tab in ("Schema", "Connect"):
                await playing.show(tab)
                await take(playing.page, tab.lower())

    async def phone(self, url: str) -> None:
        """Show Echo at a phone's width."""
        async with self.page(url, width=390, height=844) as playing:
            await playing.reset()
            for count, message in enumerate(MESSAGES[:4], start=1):
                await playing.say(message, "Message")
                await expect(playing.figure("steps")).to_have_text(str(count))
            await take(playing.page, "phone")

    async def paint(self, url: str) -> None:
        """Show a picture of the studio, in the dark."""
        async with self.page(url, scheme="dark") as playing:
            await playing.reset()
            await playing.button("JSON").click()
            for count, (start, end, light, width) in enumerate(STROKES, start=1):
                red, green, blue = light
                await playing.field("Action as JSON").fill(
                    f'{{"start": {{"x": {start[0]}, "y": {start[1]}}}, '
                    f'"end": {{"x": {end[0]}, "y": {end[1]}}}, "brush": {{"width": {width}, '
                    f'"colour": {{"red": {red}, "green": {green}, "blue": {blue}}}}}}}'
                )
                await playing.button("Step").click()
                await expect(playing.figure("steps")).to_have_text(str(count))
            await playing.button("Form").click()
            await take(playing.page, "dark")

    async def wait(self, url: str) -> None:
        """Show a page for which there is no session yet."""
        async with self.page(url, height=620) as playing:
            await playing.button("Reset").click()
            hint = playing.page.locator("#reset-hint")
            await expect(hint).to_contain_text("in use, waiting…")
            await take(playing.page, "waiting")


async def take(page: Page, name: str) -> None:
    """Take a picture of what is seen, once it stands still."""
    await page.evaluate("scrollTo(0, 0); document.activeElement?.blur()")
    await page.mouse.move(0, 0)
    await page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 100)))")
    path = FOLDER / f"{name}.png"
    await page.screenshot(path=path)
    print(f"{path.relative_to(ROOT)}  {path.stat().st_size // 1024} KB")


async def main() -> None:
    """Serve, look, and take pictures."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        playwright = await stack.enter_async_context(async_playwright())
        studio = Studio(await launch(playwright, folder))

        async def serve(*models: Any, state: Any = None, **settings: Any) -> str:
            kinds = {} if state is None else {"state": state}
            app = create_app(*models, settings=Settings(**settings), **kinds)
            server = Server(app, "127.0.0.1", 0)
            url = await server.start()
            stack.push_async_callback(server.stop)
            return url

        echo = (EchoEnvironment, EchoAction, EchoObservation)
        url = await serve(*echo, readme_path=ROOT / "README.md")
        await studio.echo(url)
        await studio.phone(url)
        await studio.paint(await serve(StudioEnvironment, Stroke, Painting, state=Easel))
        url = await serve(*echo)
        for _ in range(64):
            other = await stack.enter_async_context(GenericEnvClient(base_url=url))
            await other.reset()
        await studio.wait(url)


if __name__ == "__main__":
    asyncio.run(main())
