"""What a service says of itself over HTTP, and each way in which it may not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from aioenv import Closed, ConnectionFailed, ProtocolViolation, RequestTimeout
from aioenv.client import GenericEnvClient, fetch_schemas
from tests.conftest import DEADLINE_S, Serve
from tests.environments import AsyncWorld, Census, populate

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def say(text: str) -> Answer:
    """Answer with a text."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(text=text)

    return answer


async def refuse(request: web.Request) -> web.StreamResponse:
    """Answer that there is nothing."""
    raise web.HTTPNotFound


async def break_off(request: web.Request) -> web.StreamResponse:
    """Do not answer at all."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def hang(request: web.Request) -> web.StreamResponse:
    """Never answer."""
    await asyncio.Event().wait()
    raise AssertionError


@pytest.fixture
async def answering() -> AsyncIterator[Callable[[Answer], Awaitable[str]]]:
    """Serve one answer to whatever is asked."""
    runners: list[web.AppRunner] = []

    async def start(answer: Answer) -> str:
        app = web.Application()
        app.router.add_get("/{path:.*}", answer)
        runners.append(web.AppRunner(app, access_log=None, shutdown_timeout=0.01))
        await runners[-1].setup()
        await web.TCPSite(runners[-1], "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runners[-1].addresses[0][1]}"

    yield start
    for runner in runners:
        await runner.cleanup()


async def test_schemas_are_fetched(serve: Serve, census: Census) -> None:
    """The schemas come as the service publishes them, token and all."""
    served = await serve(populate(census, AsyncWorld), token="sesame")
    client = GenericEnvClient(served.url, headers={"Authorization": "Bearer sesame"})
    schemas = await fetch_schemas(client)
    assert schemas.pop("reset")["type"] == "object"
    assert schemas == served.service.contract.schemas()
    assert census.made == 0
    stranger = GenericEnvClient(served.url)
    with pytest.raises(ConnectionFailed, match="401 Unauthorized") as caught:
        await fetch_schemas(stranger)
    assert caught.value.status == 401
    await client.close()
    await stranger.close()


async def test_launched_service_is_asked(census: Census) -> None:
    """A client with a launcher starts its service first."""
    async with GenericEnvClient.from_environment(populate(census, AsyncWorld)) as client:
        assert (await fetch_schemas(client))["action"]["title"] == "Word"


async def test_nobody_there(unused_port: int) -> None:
    """Where nobody listens, `ConnectionFailed` tells the address."""
    client = GenericEnvClient(f"http://127.0.0.1:{unused_port}")
    with pytest.raises(ConnectionFailed, match=f":{unused_port}/schema") as caught:
        await fetch_schemas(client)
    assert caught.value.status is None
    assert caught.value.__cause__ is not None
    await client.close()


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (refuse, ConnectionFailed, "404 Not Found"),
        (break_off, ConnectionFailed, "Server disconnected"),
        (hang, RequestTimeout, "no reply to connect within 0.2 s"),
        (say("<html>"), ProtocolViolation, "/schema is not JSON"),
        (say("[]"), ProtocolViolation, "/schema is not a JSON object"),
        (say("{}"), ProtocolViolation, "has no schema of the action"),
        (say(" " * 9000), ProtocolViolation, "is longer than 8192 bytes"),
    ],
)
async def test_answer_that_is_none(
    answering: Callable[[Answer], Awaitable[str]],
    answer: Answer,
    kind: type[Exception],
    words: str,
) -> None:
    """Whatever is not a set of schemas is refused with what it is instead."""
    url = await answering(answer)
    patience_s = 0.2 if answer is hang else DEADLINE_S
    client = GenericEnvClient(url, connect_timeout_s=patience_s, max_message_size_mb=8 / 1024)
    with pytest.raises(kind, match=words):
        await fetch_schemas(client)
    await client.close()


async def test_no_session_is_opened_for_it(census: Census) -> None:
    """Asking a launched service takes none of its sessions, and revives no closed client."""
    world = populate(census, AsyncWorld)
    env = GenericEnvClient.from_environment(world, max_concurrent_envs=1)
    await fetch_schemas(env)
    async with await env.new_session() as session:
        await session.reset()
    await env.close()
    with pytest.raises(Closed):
        await fetch_schemas(env)
