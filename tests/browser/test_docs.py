"""The documentation pages, in a real browser."""

import pytest
from aiohttp import web
from playwright.async_api import Page, expect

from aioenv.service import Settings, create_app
from echo_env import EchoAction, EchoObservation
from echo_env.environment import EchoEnvironment
from tests.browser.conftest import OpenPage, serve_nim, serve_studio
from tests.conftest import Serve


async def unfold(page: Page, name: str) -> None:
    """Unfold one door of ``/docs``."""
    await page.locator(f"[id$=-{name}] .opblock-summary-control").click()


async def execute(page: Page, name: str) -> str:
    """Send a door's example from ``/docs``, and return the answer's status."""
    door = page.locator(f"[id$=-{name}]")
    await door.locator("button.execute").click()
    return await door.locator(".live-responses-table .response .response-col_status").inner_text()


async def test_docs_let_one_play(serve: Serve, open_page: OpenPage) -> None:
    """The example of a step is sent as it stands, and the answer shown."""
    served = await serve_studio(serve)
    page = (await open_page(served, "/docs", wait=False)).page
    await expect(page.locator(".info .title")).to_contain_text("StudioEnvironment")
    await unfold(page, "step")
    assert await execute(page, "step") == "200"
    answer = page.locator("[id$=-step] .live-responses-table .highlight-code").first
    await expect(answer).to_contain_text('"painted"')
    await unfold(page, "health")
    assert await execute(page, "health") == "200"
    sent = page.locator("[id$=-health] .request-url")
    await expect(sent).to_contain_text(f"{served.url}/health")


async def test_redoc_is_for_reading(serve: Serve, open_page: OpenPage) -> None:
    """Every model can be read without a click; a door can be unfolded, and not be sent anything."""
    page = (await open_page(await serve_nim(serve), "/redoc", wait=False)).page
    models = page.locator(".models")
    await expect(models).to_contain_text("How many to take")
    await expect(models).to_contain_text("What the opponent took")
    await unfold(page, "step")
    await expect(page.locator("[id$=-step] .responses-table")).to_be_visible()
    await expect(page.locator("button.execute, button.try-out__btn")).to_have_count(0)


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_a_person_gives_the_token(serve: Serve, open_page: OpenPage, path: str) -> None:
    """The page asks for it, says when it is wrong, and sends the right one with every request."""
    served = await serve_nim(serve, token="s3cret")
    opened = await open_page(served, path, wait=False)
    page = opened.page
    field = page.get_by_label("This service asks for its token")
    await field.fill("wrong")
    await page.get_by_role("button", name="Open").click()
    await expect(page.get_by_role("alert")).to_have_text("The service does not take this token.")
    opened.watch.forgive("401 (Unauthorized)")  # which Chromium's console tells of
    await field.fill("s3cret")
    await field.press("Enter")
    await expect(page.locator(".info .title")).to_contain_text("NimEnvironment")
    await expect(field).to_be_hidden()
    if path == "/docs":
        await unfold(page, "step")
        assert await execute(page, "step") == "200"
    assert "s3cret" not in page.url
    assert await page.evaluate("localStorage.length + sessionStorage.length") == 0
    assert await page.evaluate("document.cookie") == ""


async def test_a_service_that_is_gone_is_told(serve: Serve, open_page: OpenPage) -> None:
    """The form stays, and says why."""
    served = await serve_nim(serve, token="s3cret")
    opened = await open_page(served, "/docs", wait=False)
    await served.server.stop()
    await opened.page.get_by_label("This service asks for its token").fill("s3cret")
    await opened.page.get_by_role("button", name="Open").click()
    await expect(opened.page.get_by_role("alert")).to_contain_text("The service cannot be asked: ")
    opened.watch.forgive("ERR_CONNECTION_REFUSED")


async def test_pages_hold_behind_a_prefix(open_page: OpenPage) -> None:
    """Mounted in a bigger application, the page finds its files, the document and the doors."""
    big = web.Application()
    small = create_app(
        EchoEnvironment, EchoAction, EchoObservation, name="echo_env", settings=Settings()
    )
    big.add_subapp("/some/where", small)
    runner = web.AppRunner(big)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/some/where"
    try:
        page = (await open_page(url, "/docs", wait=False)).page
        await expect(page.locator(".info .title")).to_contain_text("echo_env")
        await unfold(page, "step")
        assert await execute(page, "step") == "200"
        await expect(page.locator("[id$=-step] .request-url")).to_contain_text(f"{url}/step")
    finally:
        await runner.cleanup()
