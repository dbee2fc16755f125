"""The other tabs: the README, made harmless; the schemas; programs that run as they stand."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.browser.conftest import OpenPage, serve_nim, serve_studio
from tests.conftest import DEADLINE_S, Serve
from tests.environments import AsyncWorld, Census, populate

README = """---
title: A card that is not shown
---
# The world

<script>document.title = "taken"</script>
<img src="https://evil.test/pixel.png" onerror="document.title = 'taken'">
<!-- a remark -->

Hello <b onclick="x()">bold</b> [bad](javascript:alert(1)) [there](https://example.test/a?b=1&c=2),
[inside](docs/more.md), [below](#the-end).

![remote](https://evil.test/picture.png) ![local](docs/picture.png)
![own](data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==)

| left | right |
| ---- | ----: |
| 1    | 2     |

## The end
"""

FORBID_CLIPBOARD = "() => { navigator.clipboard.writeText = () => Promise.reject(); }"


async def test_the_readme_is_rendered_safely(
    serve: Serve, open_page: OpenPage, census: Census, tmp_path: Path
) -> None:
    """Its text is there; nothing of it runs, loads or looks like the page's own."""
    path = tmp_path / "README.md"
    path.write_text(README, "utf-8")
    playing = await open_page(await serve(populate(census, AsyncWorld), readme_path=path))
    await playing.show("README")
    body = playing.page.locator("#readme-body")
    await expect(body.get_by_role("heading", name="The world", level=2)).to_be_visible()
    await expect(body).not_to_contain_text("A card that is not shown")
    for hidden in ("a remark", "taken", "<", "onclick"):
        await expect(body).not_to_contain_text(hidden)
    await expect(body.get_by_role("link")).to_have_count(3)
    there = body.get_by_role("link", name="there")
    assert await there.get_attribute("href") == "https://example.test/a?b=1&c=2"
    assert await there.get_attribute("rel") == "noopener noreferrer nofollow"
    remote = body.get_by_role("link", name="remote")
    assert await remote.get_attribute("href") == "https://evil.test/picture.png"
    await expect(body.get_by_role("img", name="own")).to_have_js_property("naturalWidth", 1)
    await body.get_by_role("link", name="below").click()
    await expect(playing.page.locator("#readme-the-end")).to_be_in_viewport()
    await expect(playing.page).to_have_title("AsyncWorld")


async def test_without_a_readme_it_says_so(serve: Serve, open_page: OpenPage) -> None:
    """And names the variable that helps."""
    playing = await open_page(await serve_nim(serve), "/web/#readme")
    await expect(playing.page.locator("#readme-body")).to_contain_text("ENV_README_PATH names one")


async def test_a_readme_that_could_not_be_loaded_is_asked_for_again(
    serve: Serve, open_page: OpenPage
) -> None:
    """When its tab is shown the next time."""
    playing = await open_page(await serve_nim(serve))
    playing.watch.forgive("ERR_FAILED")
    await playing.page.route("**/web/readme", lambda route: route.abort(), times=1)
    await playing.show("README")
    body = playing.page.locator("#readme-body")
    await expect(body).to_contain_text("The README could not be loaded.")
    await playing.show("Schema")
    await playing.show("README")
    await expect(body).to_contain_text("ENV_README_PATH names one")


async def test_the_schemas_are_tables_and_json(serve: Serve, open_page: OpenPage) -> None:
    """Fields, types, bounds, defaults and descriptions; nested models by themselves."""
    playing = await open_page(await serve_studio(serve))
    await playing.show("Schema")
    part = playing.page.locator("#schema")
    await expect(part.get_by_role("heading", name="Point").first).to_be_visible()
    await expect(part).to_contain_text("whole number, 0 to 255")
    await expect(part).to_contain_text("one of pen, eraser, fill")
    await expect(part).to_contain_text("What to paint with")
    await part.get_by_text("JSON Schema").first.click()
    await expect(part.locator("details[open] pre")).to_contain_text('"title": "Stroke"')


@pytest.mark.parametrize("token", [None, "s3cret"], ids=["open", "token"])
async def test_the_programs_run_as_they_stand(
    serve: Serve, open_page: OpenPage, token: str | None
) -> None:
    """Python in two ways and curl play the forms' options and action at this very address."""
    served = await serve_nim(serve, token=token)
    playing = await open_page(served, wait=False)
    if token:
        await playing.field("Token").fill(token)
        await playing.button("Continue").click()
    await playing.ready()
    await playing.field("Stones").fill("41")
    await playing.field("3").check()
    await playing.show("Connect")
    programs = playing.page.locator("#connect pre code")
    await expect(programs).to_have_count(3)
    asynchronous, blocking, curl = await programs.all_text_contents()
    for program in (asynchronous, blocking):
        assert '"count": 3' in program
        assert "'stones': 41" in await run(sys.executable, "-W", "error", "-c", program)
    assert '"stones":41' in await run("bash", "-euo", "pipefail", "-c", curl)
    assert token is None or token not in asynchronous + blocking + curl
    assert not served.service.pool.statistics().active


async def test_a_program_is_copied(serve: Serve, open_page: OpenPage) -> None:
    """The button says that it did; without the clipboard's permission it copies the old way."""
    playing = await open_page(await serve_nim(serve))
    await playing.show("Connect")
    await playing.page.evaluate(FORBID_CLIPBOARD)
    await playing.button("Copy").first.click()
    await expect(playing.button("Copied")).to_be_visible()
    await playing.page.context.grant_permissions(["clipboard-read"])
    copied = await playing.page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("import asyncio")


async def test_the_watch_sees(serve: Serve, open_page: OpenPage) -> None:
    """What watches over every page here notices what it must."""
    playing = await open_page(await serve_nim(serve))
    await playing.page.evaluate(
        """async () => {
          console.warn("beware");
          await fetch("http://127.0.0.1:9/").catch(() => {});
          document.body.setAttribute("style", "color: red");
          setTimeout(() => { throw new Error("thrown"); });
          await new Promise((done) => setTimeout(done, 50));
        }"""
    )
    faults = "\n".join(playing.watch.faults)
    parts = ("warning: beware", "connect-src forbids", "style-src-attr forbids", "uncaught: thrown")
    for part in parts:
        assert part in faults, faults
    assert playing.watch.unforgiven()
    playing.watch.forgive("")


async def run(*command: str) -> str:
    """Run a program to its end, and return what it prints."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "AIOENV_TOKEN": "s3cret"},
    )
    async with asyncio.timeout(3 * DEADLINE_S):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()
