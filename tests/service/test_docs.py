"""The documentation pages, in a real browser."""

import aiohttp
import pytest
from aiohttp import web
from playwright.async_api import Page, expect

from aioenv.service import Server, Settings, create_app
from echo_env import EchoAction, EchoObservation
from echo_env.environment import EchoEnvironment
from tests.browser import DEADLINE_MS, open_page
from tests.conftest import Serve
from tests.worlds.nim import Heap, NimEnvironment, NimState, Take
from tests.worlds.studio import Easel, Painting, Stroke, StudioEnvironment

expect.set_options(timeout=DEADLINE_MS)


async def unfold(page: Page, name: str) -> None:
    """Unfold one door of ``/docs``."""
    await page.locator(f"[id$=-{name}] .opblock-summary-control").click()


async def execute(page: Page, name: str) -> str:
    """Send a door's example from ``/docs``, and return the answer's status."""
    door = page.locator(f"[id$=-{name}]")
    await door.locator("button.execute").click()
    return await door.locator(".live-responses-table .response .response-col_status").inner_text()


async def test_docs_let_one_play(serve: Serve) -> None:
    """The example of a step is sent as it stands, and the answer shown; nobody else is asked."""
    served = await serve(
        StudioEnvironment, action=Stroke, observation=Painting, state=Easel, max_concurrent_envs=1
    )
    async with open_page(f"{served.url}/docs") as (page, _):
        await expect(page.locator(".info .title")).to_contain_text("StudioEnvironment")
        await unfold(page, "step")
        assert await execute(page, "step") == "200"
        answer = page.locator("[id$=-step] .live-responses-table .highlight-code").first
        await expect(answer).to_contain_text('"painted"')
        await unfold(page, "health")
        assert await execute(page, "health") == "200"
        await expect(page.locator("[id$=-health] .request-url").first).to_contain_text(
            f"{served.url}/health"
        )


async def test_redoc_is_for_reading(serve: Serve) -> None:
    """Every model can be read without a click; a door can be unfolded, and not be sent anything."""
    served = await serve(NimEnvironment, action=Take, observation=Heap, state=NimState)
    async with open_page(f"{served.url}/redoc") as (page, _):
        models = page.locator(".models")
        await expect(models).to_contain_text("How many to take")
        await expect(models).to_contain_text("What the opponent took")
        await unfold(page, "step")
        await expect(page.locator("[id$=-step]")).to_contain_text("Take an action")
        await expect(page.locator("[id$=-step] .responses-table")).to_be_visible()
        await expect(page.locator("button.execute, button.try-out__btn")).to_have_count(0)


@pytest.mark.parametrize("path", ["docs", "redoc"])
async def test_a_person_gives_the_token(serve: Serve, path: str) -> None:
    """The page asks for it, says when it is wrong, and sends the right one with every request."""
    served = await serve(
        NimEnvironment, action=Take, observation=Heap, state=NimState, token="s3cret"
    )
    async with open_page(f"{served.url}/{path}") as (page, watch):
        field = page.get_by_label("This service asks for its token")
        await field.fill("wrong")
        await page.get_by_role("button", name="Open").click()
        await expect(page.get_by_role("alert")).to_have_text(
            "The service does not take this token."
        )
        assert "401" in watch.faults.pop()  # which Chromium's console tells of
        await field.fill("s3cret")
        await field.press("Enter")
        await expect(page.locator(".info .title")).to_contain_text("NimEnvironment")
        await expect(field).to_be_hidden()
        if path == "docs":
            await unfold(page, "step")
            assert await execute(page, "step") == "200"
        assert "s3cret" not in page.url
        assert await page.evaluate("localStorage.length + sessionStorage.length") == 0
        assert await page.evaluate("document.cookie") == ""


async def test_pages_hold_behind_a_prefix() -> None:
    """Mounted in a bigger application, the page finds its files, the document and the doors."""
    big = web.Application()
    small = create_app(
        EchoEnvironment, EchoAction, EchoObservation, name="echo_env", settings=Settings()
    )
    big.add_subapp("/some/where", small)
    runner = web.AppRunner(big)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/some/where"
    try:
        async with open_page(f"{url}/docs") as (page, _):
            await expect(page.locator(".info .title")).to_contain_text("echo_env")
            await unfold(page, "step")
            assert await execute(page, "step") == "200"
            sent = page.locator("[id$=-step] .request-url").first
            await expect(sent).to_contain_text(f"{url}/step")
    finally:
        await runner.cleanup()
