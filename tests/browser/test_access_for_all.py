"""For everybody: axe's rules, the keyboard alone, a phone's width, light and dark."""

from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import Page, expect

from tests.browser.conftest import OpenPage, Playing, serve_nim, serve_studio
from tests.conftest import Serve
from tests.environments import AsyncWorld, Census, populate

TABS = ("Playground", "README", "Schema", "Connect")
README = """# World

Text, a [link](https://example.test), `code`.

| a | b |
|---|--:|
| 1 | 2 |

```
code
```
"""

UNFOLD = "document.querySelectorAll('details').forEach((one) => (one.open = true))"
GROUND = "getComputedStyle(document.documentElement).backgroundColor"
TOO_LOW = """() => {
  const tapped = "#playground :is(button, input:not([type=checkbox]), select, textarea)";
  return [...document.querySelectorAll(tapped)]
    .filter((one) => one.checkVisibility() && one.getBoundingClientRect().height < 24)
    .map((one) => one.outerHTML);
}"""


async def findings(page: Page) -> list[str]:
    """Return what axe finds, with the rule and the first place of each."""
    results: dict[str, Any] = (await Axe().run(page)).response
    assert results["passes"], "axe has checked nothing"
    return [
        f"{found['impact']}: {found['id']} at {found['nodes'][0]['html'][:200]}"
        for found in results["violations"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390], ids=["desktop", "phone"])
async def test_axe_finds_nothing(
    serve: Serve, open_page: OpenPage, tmp_path: Any, scheme: str, width: int
) -> None:
    """On every tab: before an episode, within one, with faults, with everything unfolded."""
    readme = tmp_path / "README.md"
    readme.write_text(README, "utf-8")
    served = await serve_studio(serve, readme_path=readme)
    playing = await open_page(served, color_scheme=scheme, viewport={"width": width, "height": 844})
    page = playing.page
    assert await findings(page) == []
    await playing.reset()
    await playing.field("Brush").check()
    await playing.field("Colour").check()
    await page.get_by_role("button", name="Add an item").click()
    await playing.button("Step").click()
    await expect(page.get_by_text("a number is needed here").first).to_be_visible()
    assert await findings(page) == []
    await playing.button("JSON").click()
    await playing.button("Raw JSON").click()
    assert await findings(page) == []
    for tab in TABS[1:]:
        await playing.show(tab)
        await expect(page.locator(f"#{tab.lower()}")).to_be_visible()
        await page.evaluate(UNFOLD)
        assert await findings(page) == []


async def test_axe_finds_nothing_when_all_is_over(serve: Serve, open_page: OpenPage) -> None:
    """The end of an episode, a notice, and the question for a token."""
    playing = await open_page(await serve_nim(serve))
    await playing.field("Stones").fill("1")
    await playing.reset()
    await playing.button("Step").click()
    await expect(playing.figure("done")).to_have_text("yes")
    await playing.field("Stones").fill("0")
    await playing.button("Reset").click()
    await expect(playing.notice).to_be_visible()
    assert await findings(playing.page) == []
    locked = await open_page(await serve_nim(serve, token="t"), wait=False)
    await expect(locked.field("Token")).to_be_visible()
    assert await findings(locked.page) == []


async def focused(page: Page) -> str:
    """Return the id, or else the text, of what has the focus."""
    return str(
        await page.evaluate("document.activeElement.id || document.activeElement.textContent")
    )


async def press(page: Page, *keys: str) -> None:
    """Press keys, one after the other."""
    for key in keys:
        await page.keyboard.press(key)


async def test_with_the_keyboard_alone(serve: Serve, open_page: OpenPage, census: Census) -> None:
    """From the first Tab to the last step nothing else is needed, and the focus is always seen."""
    playing = await open_page(await serve(populate(census, AsyncWorld)))
    page = playing.page
    await press(page, "Tab")
    assert await focused(page) == "Skip to the content"
    await press(page, "Tab", "Tab")
    assert await focused(page) == "tab-playground"
    await press(page, "ArrowRight", "ArrowRight")
    assert await focused(page) == "tab-schema"
    await expect(page.locator("#schema")).to_be_visible()
    await press(page, "End", "ArrowRight")
    assert await focused(page) == "tab-playground"
    await expect(page.locator("#connect")).to_be_hidden()
    while await focused(page) != "reset":
        await press(page, "Tab")
        outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", await focused(page)
    await press(page, "Enter")
    await expect(playing.figure("steps")).to_have_text("0")
    await expect(page.locator("#announcer")).to_have_text("A new episode. ready")
    while not await page.evaluate("document.activeElement.matches('#step-fields textarea')"):
        await press(page, "Tab")
    await page.keyboard.type("one")
    await press(page, "Enter")
    await expect(playing.figure("steps")).to_have_text("1")
    await expect(page.locator("#announcer")).to_have_text("Step 1. Reward 3, return 3. one")
    await expect(playing.field("Text")).to_be_focused()
    await page.keyboard.type("two")  # in place of the one before, which is selected
    await press(page, "Shift+Enter")
    await page.keyboard.type("lines")
    await press(page, "Enter")  # one more line, because it has several
    await expect(playing.field("Text")).to_have_value("two\nlines\n")
    await expect(playing.figure("steps")).to_have_text("1")
    await press(page, "Control+Enter")
    await expect(playing.figure("steps")).to_have_text("2")
    while await focused(page) != "step":
        await press(page, "Tab")
    await press(page, "Enter")
    await expect(playing.figure("steps")).to_have_text("3")
    assert await focused(page) == "step"


@pytest.mark.parametrize("width", [320, 390, 768])
async def test_it_fits_a_phone(serve: Serve, open_page: OpenPage, width: int) -> None:
    """Nothing sticks out sideways on any tab, and what is tapped is large enough."""
    served = await serve_studio(serve)
    playing = await open_page(served, viewport={"width": width, "height": 700}, has_touch=True)
    page = playing.page
    await playing.button("Reset").tap()
    await expect(playing.figure("steps")).to_have_text("0")
    await playing.field("Brush").check()
    for tab in TABS:
        await playing.show(tab)
        await expect(page.locator(f"#{tab.lower()}")).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth") == width, tab
    await playing.show("Playground")
    assert await page.evaluate(TOO_LOW) == []


async def test_the_theme_is_kept(serve: Serve, open_page: OpenPage) -> None:
    """It follows the device until somebody chooses, and stays as chosen."""
    playing = await open_page(await serve_nim(serve), color_scheme="dark")
    page = playing.page
    dark = await page.evaluate(GROUND)
    await page.get_by_role("button", name="Theme: system").click()
    light = await page.evaluate(GROUND)
    assert light != dark
    await page.reload()
    await playing.ready()
    assert await page.evaluate(GROUND) == light
    await page.get_by_role("button", name="Theme: light").click()
    assert await page.evaluate(GROUND) == dark


async def test_motion_is_reduced_where_asked(
    serve: Serve, open_page: OpenPage, census: Census
) -> None:
    """The waiting dot stands still."""
    served = await serve(populate(census, AsyncWorld), max_concurrent_envs=1)
    first = await open_page(served)
    await first.reset()
    second: Playing = await open_page(served, reduced_motion="reduce")
    await second.button("Reset").click()
    await expect(second.page.locator("#connection-text")).to_have_text("Waiting for a session")
    animation = "getComputedStyle(document.querySelector('.dot')).animationName"
    assert await second.page.evaluate(animation) == "none"
    await second.button("Cancel").click()
