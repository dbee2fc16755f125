"""Playing in the browser: episodes, forms, what is seen of them."""

import re

import pytest
from playwright.async_api import expect

from tests.browser.conftest import OpenPage, serve_nim, serve_studio
from tests.conftest import Serve, eventually
from tests.environments import AsyncWorld, Census, populate


async def test_a_whole_episode(serve: Serve, open_page: OpenPage) -> None:
    """From the reset to the end: every step is seen, and after the last there is only a reset."""
    served = await serve_nim(serve)
    playing = await open_page(served)
    page = playing.page
    await expect(page).to_have_title("NimEnvironment")
    await expect(playing.button("Step")).to_have_attribute("aria-disabled", "true")
    await expect(page.locator("#step-hint")).to_have_text(
        "Reset begins an episode; then you can step."
    )
    await playing.field("Seed").fill("3")
    await playing.field("Episode id").fill("ep-7")
    await playing.reset()
    await expect(page.locator("#state")).to_contain_text("ep-7")
    await expect(playing.observation).to_contain_text("Stones")
    steps = 0
    while await playing.figure("done").text_content() == "no":
        await playing.button("Step").click()
        steps += 1
        await expect(playing.figure("steps")).to_have_text(str(steps))
    assert await playing.figure("reward").text_content() in ("1", "-1")
    await expect(playing.observation).to_contain_text("Winner")
    await expect(page.locator("#step-hint")).to_have_text(
        "The episode is done. Reset begins another."
    )
    await playing.button("Step").press("Enter")  # it keeps the focus, and says why it does nothing
    await expect(page.locator("#announcer")).to_have_text(
        "The episode is done. Reset begins another."
    )
    await expect(page.locator("#timeline tbody tr")).to_have_count(steps + 1)
    won = await playing.figure("reward").text_content() == "1"
    rewards = "0 to 1, return 1" if won else "-1 to 0, return -1"
    plot = page.get_by_role("img", name=f"Plot of {steps} steps: rewards from {rewards}")
    await expect(plot).to_be_visible()
    await playing.reset()
    await expect(page.locator("#timeline tbody tr")).to_have_count(1)
    assert served.service.pool.statistics().acquired == 1


async def test_options_of_a_reset_come_from_its_signature(
    serve: Serve, open_page: OpenPage
) -> None:
    """Nim's heap may be as large as one likes; what it refuses is told in words."""
    playing = await open_page(await serve_nim(serve))
    await expect(playing.field("Stones")).to_have_value("7")
    await playing.field("Stones").fill("41")
    await playing.reset()
    await expect(playing.observation).to_contain_text("41")
    await playing.field("Stones").fill("0")
    await playing.button("Reset").click()
    await expect(playing.notice).to_contain_text("The environment raised an error")
    await expect(playing.notice).to_contain_text("A heap has one stone or more, not 0.")


async def test_a_nested_action_and_a_picture(serve: Serve, open_page: OpenPage) -> None:
    """Points, choices and bounded numbers are filled in; the picture that comes of it is shown."""
    served = await serve_studio(serve)
    playing = await open_page(served)
    page = playing.page
    await playing.reset()
    picture = page.get_by_role("img", name="Image")
    await expect(picture).to_have_js_property("naturalWidth", 32)
    blank = await picture.get_attribute("src")
    start, end = page.get_by_role("group", name="Start"), page.get_by_role("group", name="End")
    for point, x, y in ((start, "1", "2"), (end, "30", "28")):
        await point.get_by_label("X", exact=True).fill(x)
        await point.get_by_label("Y", exact=True).fill(y)
    await playing.field("Brush").check()
    await playing.field("fill").check()
    await playing.field("Colour").check()
    await playing.field("Red").fill("200")
    await page.get_by_role("button", name="Add an item").click()
    via = page.get_by_role("group", name="Item 1")
    await via.get_by_label("X", exact=True).fill("5")
    await via.get_by_label("Y", exact=True).fill("6")
    await playing.button("Step").click()
    await expect(playing.figure("reward")).to_have_text("1")
    await expect(picture).not_to_have_attribute("src", str(blank))
    await expect(page.locator("#state")).to_contain_text("fill")
    (session,) = served.service._slots
    (painted,) = session.environment.state.strokes
    assert (painted.start.x, painted.end.y, painted.via[0].y) == (1, 28, 6)
    assert (painted.brush.tool.value, painted.brush.colour.red) == ("fill", 200)
    assert painted.title is None


async def test_what_is_wrong_is_told_at_its_field(serve: Serve, open_page: OpenPage) -> None:
    """The service's own words stand below the field; the focus is there; mending it is enough."""
    playing = await open_page(await serve_studio(serve))
    page = playing.page
    await playing.reset()
    await playing.button("Step").click()  # nothing is filled in
    first = page.get_by_role("group", name="Start").get_by_label("X", exact=True)
    await expect(first).to_be_focused()
    await expect(page.get_by_text("a number is needed here")).to_have_count(4)
    for name, x, y in (("Start", "1", "90"), ("End", "3", "4")):
        group = page.get_by_role("group", name=name)
        await group.get_by_label("X", exact=True).fill(x)
        await group.get_by_label("Y", exact=True).fill(y)
    await playing.button("Step").click()
    wrong = page.get_by_role("group", name="Start").get_by_label("Y", exact=True)
    await expect(wrong).to_be_focused()
    await expect(wrong).to_have_attribute("aria-invalid", "true")
    await expect(wrong).to_have_accessible_description(
        "whole number, 0 to 31 Downwards 'y' must be <= 31: 90"
    )
    await expect(playing.figure("steps")).to_have_text("0")
    await wrong.fill("9")
    await expect(wrong).not_to_have_attribute("aria-invalid", "true")
    await playing.button("Step").click()
    await expect(playing.figure("steps")).to_have_text("1")


async def test_the_action_as_json(serve: Serve, open_page: OpenPage) -> None:
    """The form and its JSON are two views of one action, and what is no JSON is told."""
    playing = await open_page(await serve_nim(serve))
    await playing.reset()
    await playing.field("2").check()
    await playing.button("JSON").click()
    text = playing.field("Action as JSON")
    await expect(text).to_have_value('{\n  "count": 2\n}')
    await text.fill('{"count": ')
    await playing.button("Step").click()
    await expect(playing.page.locator("#step-json-error")).to_contain_text("This is not JSON")
    await text.fill('{"count": 9, "more": 1}')
    await playing.button("Step").click()
    error = playing.page.locator("#step-json-error")
    await expect(error).to_contain_text("more: this field is unknown")
    await expect(error).to_contain_text("count: ")
    await text.fill('{"count": 3}')
    await text.press("Control+Enter")
    await expect(playing.figure("steps")).to_have_text("1")
    await playing.button("Form").click()
    await expect(playing.field("3")).to_be_checked()


async def test_json_of_an_unfinished_form(serve: Serve, open_page: OpenPage) -> None:
    """What is filled in so far is there; what is missing can be added."""
    playing = await open_page(await serve_studio(serve))
    await playing.page.get_by_role("group", name="Start").get_by_label("X", exact=True).fill("4")
    await playing.button("JSON").click()
    text = playing.field("Action as JSON")
    await expect(text).to_have_value(re.compile(r'^{\s*"start": {\s*"x": 4\s*},\s*"end": {}'))


async def test_raw_json_is_one_click_away(serve: Serve, open_page: OpenPage) -> None:
    """It is the whole reply, as it came."""
    playing = await open_page(await serve_nim(serve))
    await playing.reset()
    await playing.button("Raw JSON").click()
    await expect(playing.observation.locator("pre")).to_contain_text('"stones": 7')
    await expect(playing.observation.locator("pre")).to_contain_text('"reward": 0')


async def test_an_earlier_step_can_be_looked_at(
    serve: Serve, open_page: OpenPage, census: Census
) -> None:
    """The timeline leads back to each step, and its action can be taken again."""
    playing = await open_page(await serve(populate(census, AsyncWorld)))
    await playing.reset()
    for text in ("one", "two", "three"):
        await playing.say(text)
        await expect(playing.observation).to_contain_text(text)
    await playing.page.get_by_role("button", name="Show step 2").click()
    await expect(playing.observation).to_contain_text("two")
    await expect(playing.figure("steps")).to_have_text("2 of 3")
    await playing.button("Use its action again").click()
    await expect(playing.field("Text")).to_have_value("two")
    await playing.button("Back to the latest").click()
    await expect(playing.observation).to_contain_text("three")
    await expect(playing.figure("return")).to_have_text("11")


@pytest.mark.parametrize(
    "text",
    ["åß∂ƒ 🎈 العربية 日本語", "<b>bold</b> & <script>alert(1)</script>"],
    ids=["unicode", "markup"],
)
async def test_any_text_is_shown_as_it_is(
    serve: Serve, open_page: OpenPage, census: Census, text: str
) -> None:
    """Unicode and markup come back as text."""
    playing = await open_page(await serve(populate(census, AsyncWorld)))
    await playing.reset()
    await playing.say(text)
    await expect(playing.observation.get_by_text(text, exact=True)).to_be_visible()


async def test_a_long_observation_is_folded(
    serve: Serve, open_page: OpenPage, census: Census
) -> None:
    """Its beginning is shown, the rest at a click, within bounds even at 4 million characters."""
    playing = await open_page(await serve(populate(census, AsyncWorld)))
    await playing.reset()
    await playing.say("return a lot")
    more = playing.page.get_by_role("button", name="Show all 4,000,000 characters")
    text = playing.observation.locator(".text")
    assert len(await text.text_content() or "") < 2_000
    await more.click()
    await expect(playing.button("Show less")).to_be_visible()
    assert 400_000 <= len(await text.text_content() or "") < 401_000


async def test_a_thousand_steps(serve: Serve, open_page: OpenPage, census: Census) -> None:
    """The page stays small, the table turns its pages, the plot tells all of them in words."""
    playing = await open_page(await serve(populate(census, AsyncWorld)))
    page = playing.page
    await playing.reset()
    await playing.say("ab")
    await expect(playing.figure("steps")).to_have_text("1")
    before = await page.evaluate("document.getElementsByTagName('*').length")
    await playing.show("Schema")  # nothing of it is painted meanwhile
    await page.evaluate(
        """async () => {
          const form = document.getElementById("step-form");
          const steps = document.getElementById("figure-steps");
          let tell;
          new MutationObserver(() => tell()).observe(steps, { childList: true });
          for (let count = 1; count < 1000; count += 1) {
            const told = new Promise((done) => (tell = done));
            form.requestSubmit();
            await told;
          }
        }"""
    )
    await playing.show("Playground")
    await expect(playing.figure("return")).to_have_text("2000")
    assert await page.evaluate("document.getElementsByTagName('*').length") < before + 250
    await expect(page.locator("#timeline tbody tr")).to_have_count(20)
    words = "Plot of 1000 steps: rewards from 2 to 2, return 2000"
    await expect(page.get_by_role("img", name=words)).to_be_visible()
    await playing.button("Older").click()
    await playing.button("Older").click()
    await expect(page.get_by_text("941 to 960 of 1000")).to_be_visible()
    await expect(playing.button("Older")).to_be_focused()


async def test_two_tabs_never_share_an_episode(
    serve: Serve, open_page: OpenPage, census: Census
) -> None:
    """Each has a session of its own, also within one browser window; leaving gives it back."""
    served = await serve(populate(census, AsyncWorld))
    first = await open_page(served)
    second = type(first)(await first.page.context.new_page(), first.watch)
    await second.page.goto(f"{served.url}/web/")
    await second.ready()
    await first.reset()
    await second.reset()
    await first.say("mine")
    await expect(first.figure("steps")).to_have_text("1")
    await second.say("yours")
    await expect(second.figure("steps")).to_have_text("1")
    await expect(second.page.locator("#state")).to_contain_text("yours")
    await expect(second.page.locator("#state")).not_to_contain_text("mine")
    assert served.service.pool.statistics().active == 2
    await second.page.close()
    await eventually(lambda: served.service.pool.statistics().active == 1)
    await first.button("End session").click()
    await eventually(lambda: not served.service.pool.statistics().active)
    await expect(first.page.locator("#connection-text")).to_have_text("No session")
    await expect(first.page.locator("#step-hint")).to_contain_text("The session has ended.")


async def test_a_reload_says_that_it_begins_anew(
    serve: Serve, open_page: OpenPage, census: Census
) -> None:
    """The session ends with the page; the next load says so, once, and holds no session."""
    served = await serve(populate(census, AsyncWorld))
    playing = await open_page(served)
    await playing.reset()
    await playing.say("hello")
    await expect(playing.figure("steps")).to_have_text("1")
    await playing.page.reload()
    await playing.ready()
    await expect(playing.notice).to_contain_text("The page was loaded anew.")
    await expect(playing.notice).to_contain_text("Its session ended after 1 step")
    await eventually(lambda: not served.service.pool.statistics().active)
    await playing.page.reload()
    await playing.ready()
    await expect(playing.notice).to_have_count(0)
