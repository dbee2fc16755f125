"""MCP as an agent's program uses it: the official SDK's client over Streamable HTTP."""

import asyncio
import base64
from typing import Any

import aiohttp
import httpx2
import jsonschema
import pytest
from attrs import define
from mcp import MCPError
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, ImageContent, TextContent

from aioenv import Observation, State
from aioenv.service import Environment
from tests.conftest import Serve, Served, eventually
from tests.environments import AsyncWorld, Census, PlainWorld, Word, World, populate
from tests.worlds.nim import Heap, NimEnvironment, NimState, Take
from tests.worlds.studio import Easel, Painting, Stroke, StudioEnvironment


def client_of(served: Served, query: str = "") -> Client:
    """Return the SDK's client, which finds out by itself which revision to speak."""
    return Client(f"{served.url}/mcp{query}")


def said(result: CallToolResult) -> str:
    """Return the text of a result."""
    first = result.content[0]
    assert isinstance(first, TextContent)
    return first.text


def shown(result: CallToolResult) -> dict[str, Any]:
    """Return the values of a result that is no error."""
    assert not result.is_error, result
    assert isinstance(result.structured_content, dict)
    return result.structured_content


def error_of(result: CallToolResult) -> dict[str, Any]:
    """Return what a result that is an error says in the wire's terms."""
    assert result.is_error, result
    assert result.structured_content is None
    assert result.meta is not None
    return result.meta["aioenv/error"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("world", [AsyncWorld, PlainWorld])
async def test_a_client_plays_an_episode(serve: Serve, census: Census, world: type[World]) -> None:
    """It lists three tools, and its calls are one episode in one session of the pool."""
    served = await serve(populate(census, world))
    async with client_of(served) as client:
        tools = (await client.list_tools()).tools
        assert [tool.name for tool in tools] == ["reset", "step", "state"]
        first = shown(await client.call_tool("reset", {"seed": 7, "episode_id": "ep-7"}))
        assert first == {"text": "ready", "reward": None, "done": False, "metadata": {}}
        for number in (1, 2):
            result = await client.call_tool("step", {"text": "Hi"})
            expected = {"text": "Hi", "reward": 2.0, "done": False, "metadata": {"step": number}}
            assert shown(result) == expected
        state = {"episode_id": "ep-7", "step_count": 2, "heard": ["Hi", "Hi"]}
        assert shown(await client.call_tool("state", {})) == state
        assert [env.options["seed"] for env in census.alive] == [7]
        assert served.service.pool.statistics().active == 1
    await eventually(lambda: not served.service.pool.statistics().active)
    assert census.made == census.closed == 1


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_client_agrees_upon_a_revision(serve: Serve, census: Census, mode: str) -> None:
    """A client of 2026-07-28 falls back to the newest revision that knows sessions."""
    served = await serve(populate(census, AsyncWorld))
    async with Client(f"{served.url}/mcp", mode=mode) as client:
        assert client.protocol_version == "2025-11-25"
        assert client.server_info is not None
        assert client.server_info.name == "AsyncWorld"
        assert str(client.instructions).startswith("Call reset to begin an episode")
        assert census.made == 0


async def test_the_schemas_are_the_environments(serve: Serve, http: aiohttp.ClientSession) -> None:
    """A step's arguments are the published action, what comes back the published observation."""
    served = await serve(NimEnvironment, action=Take, observation=Heap, state=NimState)
    async with http.get(f"{served.url}/schema") as response:
        published = await response.json()
    async with client_of(served) as client:
        assert str(client.instructions).startswith("Take one to three stones in turns")
        reset, step, state = (await client.list_tools()).tools
    assert step.input_schema == published["action"]
    assert step.output_schema == reset.output_schema == published["observation"]
    assert state.output_schema == published["state"]
    for tool in (reset, step, state):
        jsonschema.Draft202012Validator.check_schema(tool.input_schema)
        assert tool.input_schema["type"] == "object"
    options = reset.input_schema["properties"]
    assert list(options) == ["seed", "episode_id", "stones"]
    assert (options["stones"]["type"], options["stones"]["default"]) == ("integer", 7)
    assert reset.input_schema["additionalProperties"] is False


async def test_an_episode_ends_and_the_next_begins(serve: Serve) -> None:
    """Nim is played until it is done; a step beyond is an error that the agent can read."""
    served = await serve(NimEnvironment, action=Take, observation=Heap, state=NimState)
    async with client_of(served) as client:
        heap = shown(await client.call_tool("reset", {"seed": 3, "stones": 9}))
        assert heap["stones"] == 9
        while not heap["done"]:
            heap = shown(await client.call_tool("step", {"count": 1}))
        assert heap["reward"] == (1.0 if heap["winner"] == "you" else -1.0)
        over = await client.call_tool("step", {"count": 1})
        assert error_of(over) == {"code": "EXECUTION_ERROR"}
        assert said(over).endswith("the game is over; reset begins another")
        assert shown(await client.call_tool("reset", {}))["stones"] == 7


async def test_a_picture_is_seen(serve: Serve) -> None:
    """It is image content of its own, and burdens neither the text nor the values with base64."""
    served = await serve(StudioEnvironment, action=Stroke, observation=Painting, state=Easel)
    async with client_of(served) as client:
        step = {"start": {"x": 0, "y": 0}, "end": {"x": 9, "y": 9}, "brush": {"tool": "fill"}}
        result = await client.call_tool("step", step)
        schema = (await client.list_tools()).tools[1].output_schema
    text, image = result.content
    assert isinstance(text, TextContent)
    assert isinstance(image, ImageContent)
    assert image.mime_type == "image/png"
    assert image.meta == {"aioenv/path": "$.image"}
    assert base64.b64decode(image.data).startswith(b"\x89PNG\r\n\x1a\n")
    assert "image" not in shown(result)
    assert image.data not in text.text
    jsonschema.Draft202012Validator(schema).validate(shown(result))
    assert shown(result)["last_tool"] == "fill"


PNG, JPEG, GIF, WEBP = b"\x89PNG\r\n\x1a\n.", b"\xff\xd8\xff.", b"GIF89a.", b"RIFF....WEBP."


@define
class Wing:
    """A part of an exhibition."""

    name: str
    picture: bytes


@define
class Exhibition(Observation):
    """Pictures wherever they can be."""

    frames: list[bytes]
    wing: Wing
    wings: list[Wing]
    halls: tuple[str, dict[str, list[Wing]]]
    by_name: dict[str, bytes]
    noise: bytes
    maybe: bytes | None = None


class Gallery(Environment[Word, Exhibition, State]):
    """An environment that shows pictures, or what cannot be shown."""

    async def reset(self) -> Exhibition:
        """Show all that there is."""
        by_name = {"a": WEBP, "b": b"no picture"}
        wings = [Wing("north", PNG), Wing("south", b"noise")]
        halls = ("great", {"old": [Wing("east", GIF)]})
        return Exhibition([GIF, JPEG], Wing("west", PNG), wings, halls, by_name, b"noise")

    async def step(self, action: Word) -> Exhibition:
        """Show what contains itself."""
        shown = await self.reset()
        shown.metadata["self"] = shown.metadata
        return shown

    @property
    def state(self) -> State:
        """Where it stands."""
        return State()


async def test_pictures_are_found_wherever_they_are(serve: Serve) -> None:
    """In lists and nested fields, of lists of objects too, each with its place; not other bytes."""
    served = await serve(Gallery, observation=Exhibition, state=State)
    async with client_of(served) as client:
        result = await client.call_tool("reset", {})
        schema = (await client.list_tools()).tools[0].output_schema
        looping = await client.call_tool("step", {"text": "Hi"})
    assert error_of(looping) == {"code": "EXECUTION_ERROR"}
    assert said(looping).endswith("its observation is nested too deeply")
    images = [image for image in result.content if isinstance(image, ImageContent)]
    assert [((image.meta or {})["aioenv/path"], image.mime_type) for image in images] == [
        ("$.frames[0]", "image/gif"),
        ("$.frames[1]", "image/jpeg"),
        ("$.wing.picture", "image/png"),
        ("$.wings[0].picture", "image/png"),
        ("$.halls[1].old[0].picture", "image/gif"),
        ("$.by_name.a", "image/webp"),
    ]
    values = shown(result)
    jsonschema.Draft202012Validator(schema).validate(values)
    assert "frames" not in values
    assert values["wing"] == {"name": "west"}
    assert values["wings"] == [
        {"name": "north"},
        {"name": "south", "picture": base64.b64encode(b"noise").decode()},
    ]
    assert values["halls"] == ["great", {"old": [{"name": "east"}]}]
    assert values["by_name"] == {"b": base64.b64encode(b"no picture").decode()}
    assert values["noise"] == base64.b64encode(b"noise").decode()


async def test_bad_arguments_say_what_is_wrong_and_where(serve: Serve) -> None:
    """Each fault is told with its path, nothing is played, and the episode goes on."""
    served = await serve(StudioEnvironment, action=Stroke, observation=Painting, state=Easel)
    async with client_of(served) as client:
        step = {"start": {"x": 1, "y": 99}, "end": {"x": 3}, "brush": {"tool": "saw"}}
        result = await client.call_tool("step", step)
        assert error_of(result) == {"code": "VALIDATION_ERROR"}
        assert "$.start.y: 'y' must be <= 31" in said(result)
        assert "$.end.y: this field is required" in said(result)
        assert "$.brush.tool" in said(result)
        assert served.service.pool.statistics().acquired == 0
        refused = await client.call_tool("reset", {"seed": "x", "colour": "red"})
        assert "$.seed: " in said(refused)
        assert "$.colour: this field is unknown" in said(refused)
        refused = await client.call_tool("state", {"of": "mind"})
        assert said(refused) == "state takes no arguments: $.of: this argument is unknown"
        assert shown(await client.call_tool("state", {}))["step_count"] == 0


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("raise", "EXECUTION_ERROR", "it broke"),
        ("exit", "EXECUTION_ERROR", "SystemExit: 3"),
        ("cancel", "EXECUTION_ERROR", "CancelledError"),
        ("return nothing", "EXECUTION_ERROR", "step of AsyncWorld returned NoneType, not Heard"),
        ("return the unwritable", "EXECUTION_ERROR", "cannot be written"),
        ("hang", "EXECUTION_TIMEOUT", "step took longer than 0.05 s"),
    ],
)
async def test_a_failing_environment_is_a_result(
    serve: Serve, census: Census, text: str, code: str, words: str
) -> None:
    """The agent reads what happened, and may go on in its session."""
    served = await serve(populate(census, AsyncWorld), step_timeout_s=0.05)
    async with client_of(served) as client:
        result = await client.call_tool("step", {"text": text})
        assert error_of(result) == {"code": code}
        assert words in said(result)
        assert shown(await client.call_tool("step", {"text": "Hi"}))["metadata"] == {"step": 1}
    assert census.made == 1


async def test_a_factory_that_raises_is_a_result(serve: Serve, census: Census) -> None:
    """The agent reads why there is no environment."""
    served = await serve(populate(census, AsyncWorld, on_make="raise"))
    async with client_of(served) as client:
        result = await client.call_tool("reset", {})
        assert error_of(result) == {"code": "FACTORY_ERROR"}
        assert "AsyncWorld cannot be made: it broke" in said(result)


async def test_two_clients_never_share_an_episode(serve: Serve, census: Census) -> None:
    """Each has an environment of its own, whatever the order of their calls."""
    served = await serve(populate(census, AsyncWorld))
    async with client_of(served) as one, client_of(served) as two:
        await one.call_tool("reset", {"episode_id": "one"})
        await two.call_tool("reset", {"episode_id": "two"})
        steps = [client.call_tool("step", {"text": "pause"}) for client in (one, two, one, one)]
        counts = [shown(result)["metadata"]["step"] for result in await asyncio.gather(*steps)]
        assert sorted(counts) == [1, 1, 2, 3]
        assert shown(await one.call_tool("state", {}))["episode_id"] == "one"
        assert shown(await two.call_tool("state", {}))["step_count"] == 1
    assert census.made == 2


async def test_a_client_that_does_not_play_takes_no_slot(serve: Serve, census: Census) -> None:
    """Programs that connect when they start leave the pool to those that play."""
    served = await serve(populate(census, AsyncWorld), max_concurrent_envs=1)
    async with client_of(served) as idle, client_of(served) as player:
        await idle.list_tools()
        shown(await player.call_tool("reset", {}))
        full = await idle.call_tool("reset", {})
        counts = {"active_sessions": 1, "max_sessions": 1}
        assert error_of(full) == {"code": "CAPACITY_REACHED", **counts}
        assert said(full).startswith("every session is in use (1 of 1); try again later")


async def test_a_client_may_wait_for_a_session(serve: Serve, census: Census) -> None:
    """With ``?wait_s=`` in its address, its first call queues for the slot that becomes free."""
    served = await serve(populate(census, AsyncWorld), max_concurrent_envs=1)
    async with client_of(served, "?wait_s=60") as patient:
        async with client_of(served) as player:
            await player.call_tool("reset", {})
            reset = asyncio.create_task(patient.call_tool("reset", {}))
            await eventually(lambda: served.service.pool.statistics().waiting == 1)
        assert shown(await reset)["text"] == "ready"


async def test_a_session_that_was_not_used_is_lost_until_a_reset(
    serve: Serve, census: Census
) -> None:
    """No step goes on in a fresh environment behind the agent's back; a reset gets one."""
    served = await serve(populate(census, AsyncWorld), http_idle_timeout_s=0.1, heartbeat_s=0.1)
    async with client_of(served) as client:
        shown(await client.call_tool("step", {"text": "Hi"}))
        await eventually(lambda: census.closed == 1)
        for name, arguments in [("step", {"text": "Hi"}), ("state", {})]:
            lost = await client.call_tool(name, arguments)
            assert error_of(lost) == {"code": "SESSION_ERROR"}
            assert "it was not used for a while" in said(lost)
            assert "call reset() to begin a new one" in said(lost)
        assert census.made == 1
        shown(await client.call_tool("reset", {}))
        assert census.made == 2


async def test_a_cancelled_call_is_cancelled_there(serve: Serve, census: Census) -> None:
    """An agent that gives a step up does not have to wait for it in the next."""
    served = await serve(populate(census, AsyncWorld))
    async with client_of(served) as client:
        step = asyncio.create_task(client.call_tool("step", {"text": "hang"}))
        await eventually(lambda: census.hanging)
        step.cancel()
        with pytest.raises(asyncio.CancelledError):
            await step
        assert shown(await client.call_tool("step", {"text": "Hi"}))["metadata"] == {"step": 1}
    assert census.cancelled == 1


async def test_an_unknown_tool_is_an_error_of_the_protocol(serve: Serve, census: Census) -> None:
    """It is no result, because no agent can do better than its program here."""
    served = await serve(populate(census, AsyncWorld))
    async with client_of(served) as client:
        with pytest.raises(MCPError, match="Unknown tool: 'fly'; known are reset, step, state"):
            await client.call_tool("fly", {})


async def test_a_token_is_asked_for(serve: Serve, census: Census) -> None:
    """A client without it does not get in; one that sends it plays."""
    served = await serve(populate(census, AsyncWorld), token="s3cret")
    with pytest.raises(BaseExceptionGroup) as refusal:
        async with client_of(served):
            pass
    assert refusal.group_contains(MCPError)
    headers = {"Authorization": "Bearer s3cret"}
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(f"{served.url}/mcp", http_client=http)) as client,
    ):
        assert shown(await client.call_tool("reset", {}))["text"] == "ready"


def _unheard(world: type[World]) -> Any:
    def make() -> "Unheard":  # type: ignore[name-defined]  # noqa: F821  # nowhere defined
        return world()

    return make


def _elsewhere(world: type[World]) -> Any:
    def make() -> "pytest.Unheard":  # type: ignore[name-defined]  # not in that module
        return world()

    return make


@pytest.mark.parametrize("maker", [_unheard, _elsewhere])
async def test_it_plays_what_a_function_makes(serve: Serve, census: Census, maker: Any) -> None:
    """Where only the function knows the class, a reset takes any option."""
    make = maker(populate(census, AsyncWorld))
    served = await serve(make)
    async with client_of(served) as client:
        assert client.server_info is not None
        assert client.server_info.name == "make"
        reset = (await client.list_tools()).tools[0].input_schema
        assert list(reset["properties"]) == ["seed", "episode_id"]
        assert reset["additionalProperties"] is True
        assert shown(await client.call_tool("reset", {"do": "sing"}))["text"] == "sing"
        refused = await client.call_tool("reset", {"seed": "x", "do": "sing"})
        assert error_of(refused) == {"code": "VALIDATION_ERROR"}


async def test_the_end_of_the_service_ends_its_sessions(serve: Serve, census: Census) -> None:
    """A client's environment is closed with the service, though the client is still there."""
    served = await serve(populate(census, AsyncWorld))
    client = client_of(served)
    await client.__aenter__()
    await client.call_tool("reset", {})
    await served.server.stop()
    assert census.closed == 1
    await client.__aexit__(None, None, None)
