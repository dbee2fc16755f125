"""What can go wrong, in words: full pools, errors, ends of sessions."""

import pytest
from playwright.async_api import expect

from aioenv.client import GenericEnvClient
from aioenv.service import EnvironmentMetadata
from aioenv.service.app import _DOORS
from tests.browser.conftest import OpenPage
from tests.conftest import LoopErrors, Serve, eventually
from tests.environments import AsyncWorld, Census, Heard, PlainWorld, Tally, Word, populate

#: What Chromium itself says of a service that is not there; no page can help it.
UNREACHABLE = ("ERR_CONNECTION_REFUSED", "WebSocket connection to", "ERR_CONNECTION_RESET")


@pytest.mark.parametrize(
    ("limit", "words"),
    [(1, "The only session is in use, waiting…"), (2, "All 2 sessions are in use, waiting…")],
)
async def test_a_full_pool_reads_as_a_wait(
    serve: Serve, open_page: OpenPage, census: Census, limit: int, words: str
) -> None:
    """The page queues, says so, and goes on by itself once a session is free."""
    served = await serve(populate(census, AsyncWorld), max_concurrent_envs=limit)
    others = [GenericEnvClient(base_url=served.url) for _ in range(limit)]
    for other in others:
        await other.reset()
    playing = await open_page(served)
    await playing.button("Reset").click()
    await expect(playing.page.locator("#reset-hint")).to_contain_text(words)
    await expect(playing.page.locator("#announcer")).to_contain_text(words)
    await expect(playing.page.locator("#connection-text")).to_have_text("Waiting for a session")
    await expect(playing.notice).to_have_count(0)
    await others.pop().close()
    await expect(playing.observation).to_contain_text("ready")
    await expect(playing.page.locator("#connection-text")).to_have_text("Session open")
    for other in others:
        await other.close()


async def test_a_wait_can_be_given_up(serve: Serve, open_page: OpenPage, census: Census) -> None:
    """Cancel leaves the queue, and nothing is told as an error."""
    served = await serve(populate(census, AsyncWorld), max_concurrent_envs=1)
    async with GenericEnvClient(base_url=served.url) as other:
        await other.reset()
        playing = await open_page(served)
        await playing.button("Reset").click()
        await eventually(lambda: served.service.pool.statistics().waiting == 1)
        await playing.button("Cancel").click()
        await eventually(lambda: not served.service.pool.statistics().waiting)
        await expect(playing.page.locator("#connection-text")).to_have_text("No session")
        await expect(playing.notice).to_have_count(0)
        await expect(playing.button("Reset")).to_have_attribute("aria-disabled", "false")


async def test_a_wait_that_is_too_long_is_told(
    serve: Serve, open_page: OpenPage, census: Census
) -> None:
    """The service ends it, the page says so, and the next reset asks again."""
    served = await serve(populate(census, AsyncWorld), max_concurrent_envs=1, max_wait_s=0.2)
    async with GenericEnvClient(base_url=served.url) as other:
        await other.reset()
        playing = await open_page(served)
        await playing.button("Reset").click()
        await expect(playing.notice).to_contain_text("Every session is in use")
        await expect(playing.notice).to_contain_text("None of 1 became free in time.")
    await playing.reset()
    await expect(playing.notice).to_have_count(0)


async def test_an_environment_s_error_is_told_and_the_session_goes_on(
    serve: Serve, open_page: OpenPage, census: Census
) -> None:
    """Its own words are shown; the next step is taken as if nothing had been."""
    playing = await open_page(await serve(populate(census, AsyncWorld)))
    await playing.reset()
    await playing.say("raise")
    await expect(playing.notice).to_have_attribute("role", "alert")
    await expect(playing.notice).to_have_text(
        "The environment raised an error It broke. The session goes on.Dismiss"
    )
    await playing.say("on")
    await expect(playing.figure("steps")).to_have_text("1")
    await expect(playing.notice).to_have_count(0)


async def test_a_reset_that_fails_in_a_new_session(
    serve: Serve, open_page: OpenPage, census: Census
) -> None:
    """The episode that is shown was another session's: it cannot be played on."""
    playing = await open_page(await serve(populate(census, AsyncWorld)))
    await playing.reset()
    await playing.say("first")
    await expect(playing.figure("steps")).to_have_text("1")
    await playing.button("End session").click()
    await playing.field("Do").fill("raise")
    await playing.button("Reset").click()
    await expect(playing.notice).to_contain_text("It broke.")
    await expect(playing.button("Step")).to_have_attribute("aria-disabled", "true")
    await playing.field("Do").fill("ready")
    await playing.reset()
    await expect(playing.button("Step")).to_have_attribute("aria-disabled", "false")


async def test_an_environment_that_cannot_be_made(
    serve: Serve, open_page: OpenPage, census: Census
) -> None:
    """The page says so, with the reason."""
    playing = await open_page(await serve(populate(census, AsyncWorld, on_make="raise")))
    await playing.button("Reset").click()
    await expect(playing.notice).to_contain_text("The environment could not be made")
    await expect(playing.notice).to_contain_text("cannot be made: it broke.")
    await expect(playing.page.locator("#connection-text")).to_have_text("Session ended")


async def test_an_environment_without_a_state(
    serve: Serve, open_page: OpenPage, census: Census
) -> None:
    """It can be played all the same."""
    playing = await open_page(await serve(populate(census, AsyncWorld, on_state="raise")))
    await playing.reset()
    await expect(playing.page.locator("#state")).to_contain_text("It broke.")
    await playing.say("on")
    await expect(playing.figure("steps")).to_have_text("1")


async def test_a_state_is_not_asked_for_before_there_is_an_episode(
    serve: Serve, open_page: OpenPage, census: Census
) -> None:
    """Many an environment has none before its first reset, and would log an error."""

    class Fresh(AsyncWorld):
        @property
        def state(self) -> Tally:
            assert self.options, "there was no reset yet"
            return super().state

    served = await serve(populate(census, Fresh))
    playing = await open_page(served)
    await playing.field("Seed").fill("7")
    await playing.reset()
    await expect(playing.page.locator("#state")).to_contain_text("Step count")
    assert not any(served.service.counts.errors.values())


async def test_a_service_that_fails_is_told_apart_from_one_that_is_gone(
    serve: Serve, open_page: OpenPage, census: Census, loop_errors: LoopErrors
) -> None:
    """The page says what was answered, and goes on by itself once that is mended."""

    class Shy(AsyncWorld):
        is_shy = True

        @classmethod
        def metadata(cls) -> EnvironmentMetadata:
            if cls.is_shy:
                raise LookupError("it is shy")
            return super().metadata()

    world = populate(census, Shy)
    playing = await open_page(await serve(world), wait=False)
    playing.watch.forgive("500 (Internal Server Error)")
    await expect(playing.notice).to_contain_text("The service fails.")
    await expect(playing.notice).to_contain_text(
        "/metadata answered 500: the service failed; see its log. This page keeps trying."
    )
    world.is_shy = False
    await playing.ready()
    await expect(playing.notice).to_have_count(0)
    loop_errors.records.clear()


async def test_a_step_that_takes_its_time(
    serve: Serve, open_page: OpenPage, census: Census
) -> None:
    """The button says that it works, a second send does nothing, and leaving cancels the step."""
    served = await serve(populate(census, AsyncWorld))
    playing = await open_page(served)
    await playing.reset()
    await playing.say("hang")
    await eventually(lambda: census.hanging == 1)
    await expect(playing.page.locator("#step")).to_contain_class("busy")
    await expect(playing.page.locator("#step-hint")).to_contain_text("Stepping…")
    await playing.field("Text").press("Enter")
    await playing.button("End session").click()
    await eventually(lambda: census.cancelled == 1)
    await expect(playing.page.locator("#connection-text")).to_have_text("No session")
    await expect(playing.notice).to_have_count(0)
    await playing.reset()
    await expect(playing.page.locator("#step-hint")).to_contain_text("Enter steps")


async def test_a_step_out_of_time_is_told(
    serve: Serve, open_page: OpenPage, census: Census
) -> None:
    """The service gives it up; the session goes on."""
    served = await serve(populate(census, AsyncWorld), step_timeout_s=0.2)
    playing = await open_page(served)
    await playing.reset()
    await playing.say("hang")
    await expect(playing.notice).to_contain_text("The environment took too long")
    await expect(playing.notice).to_contain_text("Step took longer than 0.2 s.")


async def test_idleness_ends_the_session(serve: Serve, open_page: OpenPage, census: Census) -> None:
    """The page tells why; a reset opens another session."""
    served = await serve(populate(census, AsyncWorld), idle_timeout_s=1, heartbeat_s=0.4)
    playing = await open_page(served)
    await playing.reset()
    await expect(playing.notice).to_contain_text("The session was ended")
    await expect(playing.notice).to_contain_text("Nothing was asked for 1 s. Reset opens another.")
    await expect(playing.button("Step")).to_have_attribute("aria-disabled", "true")
    await expect(playing.button("End session")).to_have_count(0)
    await playing.reset()
    assert served.service.pool.statistics().acquired == 2


async def test_a_message_that_is_too_large(
    serve: Serve, open_page: OpenPage, census: Census
) -> None:
    """It ends the session, and is told as what it is, wherever the page is scrolled to."""
    served = await serve(populate(census, AsyncWorld), max_message_size_mb=0.01)
    playing = await open_page(served)
    await playing.reset()
    await playing.say("x" * 20_000)
    await expect(playing.notice).to_contain_text("The message was too large")
    await expect(playing.notice).to_be_in_viewport()


class Talkative(PlainWorld):
    """Fails, with very many words."""

    def step(self, action: Word) -> Heard:
        """Raise."""
        raise ValueError("many words " * 1000)


async def test_many_words_leave_room_for_the_page(
    serve: Serve, open_page: OpenPage, census: Census
) -> None:
    """On a phone as well, a long error does not cover the page, and can be dismissed."""
    served = await serve(populate(census, Talkative))
    playing = await open_page(served, viewport={"width": 360, "height": 640})
    await playing.reset()
    await playing.say("Hi")
    await expect(playing.notice).to_contain_text("many words many words")
    box = await playing.notice.bounding_box()
    assert box is not None
    assert box["height"] <= 640 / 2
    await expect(playing.notice).to_be_in_viewport(ratio=1)
    await expect(playing.button("Dismiss")).to_be_in_viewport(ratio=1)
    await playing.button("Dismiss").click()
    await expect(playing.notice).to_have_count(0)


async def test_a_service_that_stops(serve: Serve, open_page: OpenPage, census: Census) -> None:
    """The end is told in words, and so is a reset that finds nobody."""
    served = await serve(populate(census, AsyncWorld))
    playing = await open_page(served)
    playing.watch.forgive(*UNREACHABLE)
    await playing.reset()
    await served.server.stop()
    await expect(playing.notice).to_contain_text("The service is stopping")
    await playing.button("Reset").click()
    await expect(playing.notice).to_contain_text("The service could not be reached")
    await expect(playing.page.locator("#connection-text")).to_have_text("Service unreachable")


async def test_a_client_that_is_cut_off(serve: Serve, open_page: OpenPage, census: Census) -> None:
    """A connection that breaks off is told as lost, also in the middle of a step."""
    served = await serve(populate(census, PlainWorld))
    playing = await open_page(served)
    await playing.reset()
    await playing.say("hang")
    await eventually(lambda: census.hanging == 1)
    (door,) = served.app[_DOORS]
    door._drop()
    await expect(playing.notice).to_contain_text("The session is gone")
    census.open_gate()
