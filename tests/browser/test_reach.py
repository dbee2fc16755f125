"""From where the page can be used: with a token, behind prefixes and proxies, in a frame."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import WSMsgType, web
from playwright.async_api import Route, expect

from aioenv.service import Settings, create_app
from tests.browser.conftest import OpenPage
from tests.conftest import Serve, eventually
from tests.environments import AsyncWorld, Census, Heard, Tally, Word, populate

# Tokens


async def test_a_token_is_asked_for_and_kept_for_the_tab(
    serve: Serve, open_page: OpenPage, census: Census
) -> None:
    """The page loads without it, refuses a wrong one, and puts the right one into no address."""
    served = await serve(populate(census, AsyncWorld), token="sécret/+ 1")
    playing = await open_page(served, wait=False)
    page = playing.page
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    page.on("websocket", lambda socket: addresses.append(socket.url))
    await expect(playing.field("Token")).to_be_focused()
    await expect(page.get_by_role("tab")).to_have_count(0)
    await playing.field("Token").fill("wrong")
    await playing.field("Token").press("Enter")
    await expect(page.locator("#token-error")).to_have_text("This is not the service's token.")
    await playing.field("Token").fill("sécret/+ 1")
    await playing.button("Continue").click()
    await playing.ready()
    await playing.reset()
    await playing.say("hello")
    await expect(playing.figure("steps")).to_have_text("1")
    await page.reload()
    await playing.ready()
    assert not any("cret" in address for address in addresses)
    assert any(address.startswith("ws:") for address in addresses)
    other = await page.context.new_page()
    await other.goto(f"{served.url}/web/")
    await expect(other.get_by_label("Token")).to_be_visible()


# Prefixes and proxies


class Proxy:
    """A reverse proxy of HTTP and WebSockets.

    Args:
        target: the service's address.
        prefix: the path below which everything lies, which it takes off.
        tells_host: whether it tells the service by what name it was asked.
    """

    def __init__(self, target: str, prefix: str = "", *, tells_host: bool = False) -> None:
        self._target = target
        self._prefix = prefix
        self._tells_host = tells_host
        self.requests: list[str] = []

    async def start(self, stack: AsyncExitStack) -> str:
        """Start until the stack ends, and return the address."""
        self._session = await stack.enter_async_context(aiohttp.ClientSession())
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._pass)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        return f"http://{host}:{port}"

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request.path)
        url = self._target + request.raw_path.removeprefix(self._prefix)
        headers = {
            name: value
            for name, value in request.headers.items()
            if name in ("Origin", "Authorization", "If-None-Match")
        }
        if self._tells_host:
            headers["X-Forwarded-Host"] = request.host
        if request.headers.get("Upgrade", "").lower() == "websocket":
            try:
                return await self._pass_socket(request, url, headers)
            except aiohttp.WSServerHandshakeError as error:
                return web.Response(status=error.status)
        async with self._session.request(
            request.method, url, headers=headers, data=await request.read(), allow_redirects=False
        ) as answer:
            kept = ("Content-Type", "Location", "Content-Security-Policy", "ETag")
            return web.Response(
                status=answer.status,
                body=await answer.read(),
                headers={name: answer.headers[name] for name in kept if name in answer.headers},
            )

    async def _pass_socket(
        self, request: web.Request, url: str, headers: dict[str, str]
    ) -> web.StreamResponse:
        inner = web.WebSocketResponse()
        async with self._session.ws_connect(url, headers=headers) as outer:
            await inner.prepare(request)

            async def forth() -> None:
                async for message in inner:
                    if message.type is WSMsgType.TEXT:
                        await outer.send_str(message.data)
                await outer.close()

            task = asyncio.create_task(forth())
            async for message in outer:
                await inner.send_str(message.data)
            await inner.close()
            await task
        return inner


@pytest_asyncio.fixture(loop_scope="session")
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Close what a test opens."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.mark.parametrize("path", ["", "/", "/web", "/web/", "/web?x=1", "/#schema"])
async def test_every_way_in_leads_to_the_page(
    serve: Serve, open_page: OpenPage, census: Census, path: str
) -> None:
    """With and without a slash at the end, from the root as well."""
    playing = await open_page(await serve(populate(census, AsyncWorld)), path)
    assert playing.page.url.partition("?")[0].partition("#")[0].endswith("/web/")
    selected = "Schema" if "#" in path else "Playground"
    tab = playing.page.get_by_role("tab", name=selected)
    await expect(tab).to_have_attribute("aria-selected", "true")


async def test_behind_a_proxy_that_takes_off_a_prefix(
    serve: Serve, stack: AsyncExitStack, open_page: OpenPage, census: Census
) -> None:
    """Every address is relative to the page, and the proxy's name is not taken for a stranger's."""
    served = await serve(populate(census, AsyncWorld))
    proxy = Proxy(served.url, "/envs/one", tells_host=True)
    url = await proxy.start(stack)
    playing = await open_page(url, "/envs/one/web")
    await plays(playing)
    await playing.show("Connect")
    program = playing.page.locator("#connect pre").first
    await expect(program).to_contain_text(f'base_url="{url}/envs/one"')
    assert all(path.startswith("/envs/one/") for path in proxy.requests)


async def test_mounted_in_a_bigger_application(
    stack: AsyncExitStack, open_page: OpenPage, census: Census
) -> None:
    """A service below a prefix of its own."""
    bigger = web.Application()
    world = populate(census, AsyncWorld)
    bigger.add_subapp("/deep/er", create_app(world, Word, Heard, state=Tally, settings=Settings()))
    runner = web.AppRunner(bigger, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    playing = await open_page(f"http://{host}:{port}", "/deep/er/")
    assert playing.page.url == f"http://{host}:{port}/deep/er/web/"
    await plays(playing)
    await playing.page.context.close()


async def test_behind_a_proxy_that_tells_nothing(
    serve: Serve, stack: AsyncExitStack, open_page: OpenPage, census: Census
) -> None:
    """The service takes its own page for a stranger's, and the page tells that it gets nowhere."""
    served = await serve(populate(census, AsyncWorld))
    url = await Proxy(served.url).start(stack)
    stranger = await open_page(url)
    stranger.watch.forgive("WebSocket connection to")
    await stranger.button("Reset").click()
    await expect(stranger.notice).to_contain_text("The service could not be reached")


async def plays(playing: Any) -> None:
    """Play a step."""
    await playing.reset()
    await playing.say("through")
    await expect(playing.observation).to_contain_text("through")


# Frames

FRAME = """<!doctype html><title>frame</title>
<iframe src="{url}/web" width="900" height="700" title="the space"
 sandbox="allow-scripts allow-same-origin allow-forms allow-downloads"></iframe>"""


@pytest.mark.parametrize(
    ("parent", "may"),
    [("https://huggingface.co/spaces/x/y", True), ("https://evil.test/", False)],
    ids=["hugging-face", "stranger"],
)
async def test_inside_a_frame(
    serve: Serve, open_page: OpenPage, census: Census, parent: str, may: bool
) -> None:
    """Hugging Face may show the page in a frame, where it plays; a stranger may not."""
    served = await serve(populate(census, AsyncWorld))
    playing = await open_page(served)
    playing.watch.forgive(f"request to another host: {parent}")

    async def answer(route: Route) -> None:
        await route.fulfill(body=FRAME.format(url=served.url), content_type="text/html")

    page = await playing.page.context.new_page()
    await page.route(parent, answer)
    await page.context.grant_permissions(["local-network-access"], origin=parent)
    if not may:
        playing.watch.forgive("frame-ancestors")
        await page.goto(parent)
        await eventually(lambda: any("frame-ancestors" in fault for fault in playing.watch.faults))
        return
    await page.goto(parent)
    frame = page.frame_locator("iframe")
    await frame.get_by_role("button", name="Reset", exact=True).click()
    await expect(frame.locator("#observation")).to_contain_text("ready")
