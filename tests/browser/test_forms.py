"""The forms and what is shown of values, with one of everything that a model may hold."""

import re

from playwright.async_api import expect

from tests.browser.conftest import OpenPage, serve_bazaar
from tests.browser.test_access_for_all import findings
from tests.conftest import Serve, Served
from tests.worlds.bazaar import SPARE, Bazaar, Dish, Order, Spice

LARGE = 2**53 + 1
PLAIN = Order("plain", False, Spice.ANISE, Dish("blue"), (1, "left"))
PLAIN_JSON = (
    '{"note": "plain", "is_gift": false, "spice": "anise", "ware": {"glaze": "blue"},'
    ' "place": [1, "left"]}'
)


def bazaar(served: Served) -> Bazaar:
    """Return the environment of the only session."""
    (session,) = served.service._slots
    assert isinstance(session.environment, Bazaar)
    return session.environment


async def test_every_kind_of_field_and_of_value(serve: Serve, open_page: OpenPage) -> None:
    """What is filled in arrives, to the last digit, and what comes back is shown as what it is."""
    served = await serve_bazaar(serve)
    playing = await open_page(served)
    page = playing.page
    await playing.field("Stall").fill("3")
    await page.locator("#reset-fields").get_by_text("More", exact=True).click()
    await playing.field("Further options").fill('{"extra": [1]}')
    await playing.reset()
    await expect(playing.observation).to_contain_text("Extra")

    note = playing.field("Note")
    low = (await note.bounding_box() or {})["height"]
    await note.fill("one\ntwo\nthree")
    assert (await note.bounding_box() or {})["height"] > low
    await playing.field("Is gift").check()
    await playing.field("Spice").select_option("saffron")
    await playing.field("Kind of Ware").select_option("Dish")
    await playing.field("Glaze").fill("blue")
    place = page.get_by_role("group", name="Place")
    await place.get_by_label("Item 1", exact=True).fill("2")
    await place.get_by_label("Item 2", exact=True).fill("left")
    await playing.button("Add an entry").click()
    await playing.field("Name").fill("rug")
    await playing.field("Value").fill("1.5")
    tags = page.get_by_role("group", name="Tags")
    for number in (1, 2):
        await playing.button("Add an item").click()
        await tags.get_by_label(f"Item {number}", exact=True).fill(f"tag {number}")
    await page.get_by_role("button", name="Remove item 1 of Tags").click()
    await expect(tags.get_by_label("Item 1", exact=True)).to_have_value("tag 2")
    await playing.field("Serial").fill(f"000{LARGE}")
    await playing.field("Spare").check()
    spare = page.get_by_role("group", name="Spare")
    await spare.get_by_label("Glaze", exact=True).fill("red")
    await spare.get_by_label("Is deep", exact=True).check()
    await playing.field("Stall").press("Control+Enter")  # it steps from anywhere
    await expect(playing.figure("steps")).to_have_text("1")
    assert bazaar(served).orders == [
        Order(
            "one\ntwo\nthree",
            True,
            Spice.SAFFRON,
            Dish("blue"),
            (2, "left"),
            {"rug": 1.5},
            ["tag 2"],
            LARGE,
            Dish("red", is_deep=True),
        )
    ]

    shown = playing.observation
    await expect(shown).to_contain_text(str(LARGE))
    for name in ("Colours", "Greys"):
        await expect(shown.get_by_role("img", name=name)).to_have_js_property("width", 16)
    await expect(shown.get_by_role("region", name="Board").locator("td")).to_have_count(4)
    items = shown.locator("ol.list > li")
    await expect(items).to_have_count(40)
    await playing.button("Show 40 of 90 more items").click()
    await expect(items).to_have_count(80)
    assert await findings(page) == []


async def test_an_action_is_taken_again_as_it_was(serve: Serve, open_page: OpenPage) -> None:
    """Nothing that was filled in since stays; what the form cannot hold is taken as JSON."""
    served = await serve_bazaar(serve)
    playing = await open_page(served)
    await playing.field("Stall").fill("3")
    await playing.reset()
    text = playing.field("Action as JSON")
    odd = PLAIN_JSON.replace("plain", r"a\r\nb")
    for count, action in enumerate((PLAIN_JSON, odd), start=1):
        await playing.button("JSON").click()
        await text.fill(action)
        await text.press("Control+Enter")
        await expect(playing.figure("steps")).to_have_text(str(count))
    await text.fill(PLAIN_JSON)
    await playing.button("Form").click()
    await playing.field("Is gift").check()
    await playing.field("Spare").check()
    await playing.button("Add an item").click()
    await playing.field("Serial").fill("7")
    await playing.page.get_by_role("button", name="Show step 1").click()
    await playing.button("Use its action again").click()
    await expect(playing.field("Note")).to_have_value("plain")
    await expect(playing.button("Form")).to_have_attribute("aria-pressed", "true")
    await playing.button("Step").click()
    await expect(playing.figure("steps")).to_have_text("3")
    await playing.page.get_by_role("button", name="Show step 2").click()
    await playing.button("Use its action again").click()
    await expect(text).to_have_value(re.compile(r'"note": "a\\r\\nb"'))
    await playing.button("Step").click()
    await expect(playing.figure("steps")).to_have_text("4")
    orders = bazaar(served).orders
    assert (orders[2], orders[3]) == (orders[0], orders[1])
    assert orders[0] == PLAIN


async def test_json_that_the_form_cannot_hold_stays_json(serve: Serve, open_page: OpenPage) -> None:
    """Rather than be changed without a word; each place is named."""
    playing = await open_page(await serve_bazaar(serve))
    await playing.button("JSON").click()
    text = playing.field("Action as JSON")
    error = playing.page.locator("#step-json-error")
    for wrong, words in (
        (PLAIN_JSON.replace("anise", "salt"), "spice: the form cannot show this"),
        (PLAIN_JSON[:-1] + ', "more": 1}', "more: the form cannot show this"),
        (PLAIN_JSON.replace('"left"', '"left", 3'), "place: the form cannot show this"),
        ("[1]", "the form cannot show this"),
    ):
        await text.fill(wrong)
        await playing.button("Form").click()
        await expect(error).to_have_text(words)
        await expect(text).to_have_value(wrong)
    await text.fill(PLAIN_JSON)
    await playing.button("Form").click()
    await expect(playing.field("Note")).to_have_value("plain")


async def test_a_fault_of_what_is_left_out_is_told(serve: Serve, open_page: OpenPage) -> None:
    """Below the form, as long as the part that it is about is closed."""
    playing = await open_page(await serve_bazaar(serve))
    await playing.field("Stall").fill("3")
    await playing.reset()
    await playing.button("JSON").click()
    await playing.field("Action as JSON").fill(PLAIN_JSON.replace("plain", SPARE))
    await playing.button("Form").click()
    await playing.button("Step").click()
    await expect(playing.page.locator("#step-error")).to_have_text("spare: which one?")


async def test_large_values_make_few_elements(serve: Serve, open_page: OpenPage) -> None:
    """What is a click away is not made before; a grey picture is one, a board of pieces none."""
    page = (await open_page(await serve_bazaar(serve))).page
    counts = await page.evaluate(
        """async () => {
          const { shown } = await import("/web/values.js");
          const many = (count, make) => Array.from({ length: count }, (_, index) => make(index));
          const shapes = {
            grey: many(210, () => many(160, (x) => x)),
            depth: many(84, () => many(84, (x) => [x])),
            board: many(16, () => many(16, (x) => x)),
            sound: many(1_000_000, (x) => x / 7),
            volume: many(60, () => many(60, () => many(60, (x) => x / 7))),
          };
          return Object.fromEntries(Object.entries(shapes).map(([name, value]) => {
            const node = shown(value, {}, {}, name);
            const [canvases, all] = ["canvas", "*"].map((tag) => node.getElementsByTagName(tag));
            return [name, [canvases.length, all.length]];
          }));
        }"""
    )
    assert {name for name, (canvases, _) in counts.items() if canvases} == {"grey", "depth"}
    assert counts["board"][1] == 1 + 1 + 16 + 256  # a table
    assert all(elements < 5000 for _, elements in counts.values()), counts
