"""The usage of a service: what counts as use, and an end that comes when there is none."""

import asyncio
import sys

import aiohttp
import pytest

from aioenv.service import SERVICE, Settings
from aioenv.service.app import USAGE
from tests.conftest import Serve, Served
from tests.environments import AsyncWorld, Census, populate
from tests.peer.process import LineProcess
from tests.service.conftest import Connect

IDLE_S = 0.05


@pytest.fixture
async def served(serve: Serve, census: Census) -> Served:
    """Serve an environment."""
    return await serve(populate(census, AsyncWorld))


def unused(served: Served) -> "asyncio.Task[None]":
    """Begin to wait until a service was not used for a while."""
    return asyncio.create_task(served.app[USAGE].wait_unused(IDLE_S))


async def get(served: Served, path: str, method: str = "GET") -> int:
    """Make a request and return the status."""
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, f"{served.url}{path}") as response,
    ):
        await response.read()
        return response.status


async def test_nobody_came(served: Served) -> None:
    """A service that nobody ever used has been without use since it began to wait."""
    await unused(served)


async def test_an_open_session_is_use(served: Served, connect: Connect) -> None:
    """However long it is silent; the time begins when the last is closed."""
    first, second = await connect(served), await connect(served)
    waiting = unused(served)
    for talk in (first, second):
        await asyncio.sleep(2 * IDLE_S)
        assert not waiting.done()
        await talk.echoes()
        await talk.socket.close()
    await waiting


async def test_a_session_over_http_is_use(served: Served) -> None:
    """So is one that lasts from one request to the next."""
    assert await get(served, "/sessions", "POST") == 201
    waiting = unused(served)
    await asyncio.sleep(2 * IDLE_S)
    assert not waiting.done()
    waiting.cancel()


@pytest.mark.parametrize(("path", "is_use"), [("/health", False), ("/metadata", True)])
async def test_requests(served: Served, path: str, is_use: bool) -> None:
    """Each begins the time anew, but for the question whether the service is healthy."""
    usage = served.app[USAGE]
    assert await get(served, path) == 200
    assert usage._change.is_set() is is_use


async def test_a_request_under_way_is_use(served: Served, census: Census) -> None:
    """It counts from its beginning to its end."""
    usage = served.app[USAGE]
    with usage.request():
        assert repr(usage) == "<Usage 1 requests under way>"
        waiting = unused(served)
        await asyncio.sleep(2 * IDLE_S)
        assert not waiting.done()
    await waiting


async def test_whoever_is_turned_away_does_not_count(serve: Serve, census: Census) -> None:
    """Without the token nobody keeps a service up."""
    served = await serve(populate(census, AsyncWorld), token="s3cr3t")
    waiting = unused(served)
    while not waiting.done():
        assert await get(served, "/metadata") == 401


def test_the_setting_is_the_applications_own(served: Served) -> None:
    """By default a service never ends by itself."""
    assert served.app[SERVICE].settings.idle_exit_s == Settings().idle_exit_s == 0


@pytest.mark.parametrize(
    "program", [["-m", "echo_env"], ["-m", "aioenv.cli", "serve", "echo_env.app:app"]]
)
def test_a_service_that_is_forgotten_ends(program: list[str]) -> None:
    """Served with a time for that, it ends in order and by itself."""
    environment = {"AIOENV_PORT": "0", "AIOENV_IDLE_EXIT_S": "0.2"}
    with LineProcess([sys.executable, *program], environment=environment) as process:
        process.wait_address(30)
        assert process._process.wait(30) == 0
