"""MCP over HTTP, byte for byte: what is malformed, the headers, the sessions."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest
from attrs import frozen

from aioenv import SessionLost
from aioenv.service import EnvironmentMetadata
from aioenv.service.app import _KEPT
from aioenv.service.kept import KeptSessions
from aioenv.service.mcp_http import McpDoor
from aioenv.service.seats import LazySeat
from tests.conftest import LoopErrors, Serve, Served, eventually
from tests.environments import AsyncWorld, Census, PlainWorld, populate
from tests.service.test_metrics import Scraper

INITIALIZE = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "test", "version": "1"},
}
REVISIONS = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"]


@frozen
class Reply:
    """What a request was answered with."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def code(self) -> int:
        """The code of the error that it is."""
        assert self.body["jsonrpc"] == "2.0"
        assert "result" not in self.body
        return self.body["error"]["code"]  # type: ignore[no-any-return]

    @property
    def result(self) -> dict[str, Any]:
        """The result that it is."""
        assert "error" not in self.body, self.body
        return self.body["result"]  # type: ignore[no-any-return]


def call(method: str, params: Any = None, call_id: Any = 1) -> dict[str, Any]:
    """Return a call, or a notification where there is no id."""
    message = {"jsonrpc": "2.0", "method": method, "id": call_id, "params": params or {}}
    return {name: value for name, value in message.items() if value is not None}


def tool(name: str, call_id: Any = 1, **arguments: Any) -> dict[str, Any]:
    """Return the call of a tool."""
    return call("tools/call", {"name": name, "arguments": arguments}, call_id)


class Peer:
    """A hand-made client."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self.http = http
        self.url = f"{url}/mcp"
        self.headers: dict[str, str] = {}

    async def send(self, message: Any = None, *, method: str = "POST", **headers: str) -> Reply:
        """Send a message, or the text of one."""
        text = message if isinstance(message, str | bytes) else json.dumps(message)
        sent = {**self.headers, **{name.replace("_", "-"): of for name, of in headers.items()}}
        async with self.http.request(method, self.url, data=text, headers=sent) as response:
            body = await response.read()
            if body:
                kind = "application/json"
                assert response.content_type == kind or response.status == 405, body
            value = json.loads(body) if response.content_type == "application/json" else None
            return Reply(response.status, value, response.headers)

    async def begin(self, version: str = "2025-06-18") -> "Peer":
        """Begin an MCP session."""
        reply = await self.send(call("initialize", {**INITIALIZE, "protocolVersion": version}))
        assert reply.status == 200
        self.headers["Mcp-Session-Id"] = reply.headers["Mcp-Session-Id"]
        assert (await self.send(call("notifications/initialized", call_id=None))).status == 202
        return self


@pytest.fixture
async def served(serve: Serve, census: Census) -> Served:
    """Serve an environment with room for two."""
    return await serve(populate(census, AsyncWorld), max_concurrent_envs=2)


@pytest.fixture
def peer(http: aiohttp.ClientSession, served: Served) -> Peer:
    """Give a client that has not begun a session."""
    return Peer(http, served.url)


MALFORMED: list[tuple[str, int, Any]] = [
    ("", -32700, None),
    ("{bad", -32700, None),
    ('{"jsonrpc":"2.0","id":1,"method":"ping"', -32700, None),
    ("{}", -32600, None),
    ("null", -32600, None),
    ("3", -32600, None),
    ('"ping"', -32600, None),
    ("[]", -32600, None),
    ('{"id":1,"method":"ping"}', -32600, 1),
    ('{"jsonrpc":"1.0","id":1,"method":"ping"}', -32600, 1),
    ('{"jsonrpc":2.0,"id":"a","method":"ping"}', -32600, "a"),
    ('{"jsonrpc":"2.0","id":1}', -32600, 1),
    ('{"jsonrpc":"2.0","id":1,"method":7}', -32600, 1),
    ('{"jsonrpc":"2.0","id":1,"method":null}', -32600, 1),
    ('{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600, None),
    ('{"jsonrpc":"2.0","id":1.5,"method":"ping"}', -32600, None),
    ('{"jsonrpc":"2.0","id":true,"method":"ping"}', -32600, None),
    ('{"jsonrpc":"2.0","id":[1],"method":"ping"}', -32600, None),
    ('{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}', -32602, 1),
    ('{"jsonrpc":"2.0","id":1,"method":"ping","params":null}', -32602, 1),
    ('{"jsonrpc":"2.0","id":1,"method":"ping","params":"x"}', -32602, 1),
    ('{"jsonrpc":"2.0","id":1,"method":"nope"}', -32601, 1),
    ('{"jsonrpc":"2.0","id":1,"method":""}', -32601, 1),
    ('{"jsonrpc":"2.0","id":1,"method":"resources/list"}', -32601, 1),
    ('{"jsonrpc":"2.0","id":1,"method":"server/discover"}', -32601, 1),
    ('{"jsonrpc":"2.0","id":1,"method":"initialize"}', -32602, 1),
    ('{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":1}}', -32602, 1),
    ('{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":"x"}}', -32602, 1),
    ('{"jsonrpc":"2.0","id":1,"method":"tools/call"}', -32602, 1),
    ('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":["step"]}}', -32602, 1),
    ('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"fly"}}', -32602, 1),
    (
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"step","arguments":[]}}',
        -32602,
        1,
    ),
]


@pytest.mark.parametrize(
    ("text", "code", "call_id"), MALFORMED, ids=[str(index) for index in range(len(MALFORMED))]
)
async def test_what_is_malformed_is_an_error(
    peer: Peer, served: Served, text: str, code: int, call_id: Any
) -> None:
    """Each has its code, and the call's id where it can be known, in a session or without."""
    for _ in range(2):
        reply = await peer.send(text)
        assert (reply.status, reply.code, reply.body["id"]) == (200, code, call_id)
        assert reply.body["error"]["message"]
        await peer.begin()
    assert served.service.pool.statistics().acquired == 0


@pytest.mark.parametrize("depth", [500, 1000, 5000, 100_000])
async def test_deep_nesting_is_an_error(peer: Peer, depth: int) -> None:
    """However deep it is; where Python can read it, it still is no call."""
    deep = '{"a":' * depth + "1" + "}" * depth
    assert (await peer.send(deep)).code in (-32700, -32600)
    await peer.begin()
    text = (
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"step","arguments":DEEP}}'
    )
    reply = await peer.send(text.replace("DEEP", deep))
    assert reply.status == 200
    assert "error" in reply.body or reply.result["isError"]
    assert (await peer.send(tool("step", text="Hi"))).result["isError"] is False


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('"method":"WHAT"', -32601),
        ('"method":"tools/call","params":{"name":"WHAT"}', -32602),
        ('"method":"tools/call","params":{"name":"step","session_id":"WHAT"}', -32602),
        ('"method":"openenv/session/close","params":{"session_id":"WHAT"}', -32602),
        ('"method":"tools/call","params":{"name":DEEP}', -32602),
        ('"method":"tools/call","params":{"name":"step","session_id":DEEP}', -32602),
    ],
)
async def test_an_error_quotes_little_of_a_call(peer: Peer, text: str, code: int) -> None:
    """However much was sent, and however deep."""
    text = text.replace("WHAT", "x" * 10_000).replace("DEEP", "[" * 900 + "]" * 900)
    reply = await peer.send(f'{{"jsonrpc":"2.0","id":1,{text}}}')
    assert (reply.status, reply.code) == (200, code)
    assert len(reply.body["error"]["message"]) < 200


@pytest.mark.parametrize("call_id", [0, -1, 2**63, 2**200, "", "a", "\ud800", "naïve 🌍"])
async def test_an_answer_repeats_the_id(peer: Peer, call_id: Any) -> None:
    """Whatever string or integer it is."""
    assert (await peer.send(call("ping", call_id=call_id))).body == {
        "jsonrpc": "2.0",
        "id": call_id,
        "result": {},
    }


@pytest.mark.parametrize(
    "message",
    [
        call("notifications/initialized", call_id=None),
        call("notifications/cancelled", {"requestId": 7}, None),
        call("notifications/cancelled", {"requestId": [7]}, None),
        {"jsonrpc": "2.0", "method": "notifications/cancelled"},
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": []},
        call("initialize", INITIALIZE, None),
        call("tools/call", {"name": "reset"}, None),
        call("nope", call_id=None),
        {"jsonrpc": "2.0", "id": 1, "result": {}},
        {"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "x"}},
    ],
    ids=str,
)
async def test_what_asks_nothing_gets_202(peer: Peer, served: Served, message: Any) -> None:
    """Notifications and responses have no answer, and play nothing."""
    for _ in range(2):
        reply = await peer.send(message)
        assert (reply.status, reply.body) == (202, None)
        await peer.begin()
    assert served.service.pool.statistics().acquired == 0


# Revisions


@pytest.mark.parametrize("version", REVISIONS)
async def test_a_known_revision_is_agreed_upon(peer: Peer, version: str) -> None:
    """The client's own, with every header that it may then send."""
    reply = await peer.send(call("initialize", {**INITIALIZE, "protocolVersion": version}))
    assert reply.result["protocolVersion"] == version
    assert reply.result["capabilities"] == {"tools": {"listChanged": False}}
    assert reply.result["serverInfo"]["name"] == "AsyncWorld"
    session = reply.headers["Mcp-Session-Id"]
    headers = {"Mcp_Session_Id": session, "MCP_Protocol_Version": version}
    assert (await peer.send(tool("reset"), **headers)).result["isError"] is False


async def test_an_unknown_revision_is_answered_with_the_newest(peer: Peer) -> None:
    """The client may then go on with that one, or leave."""
    reply = await peer.send(call("initialize", {**INITIALIZE, "protocolVersion": "1999-01-01"}))
    assert reply.result["protocolVersion"] == REVISIONS[-1]


async def test_a_header_with_another_revision_is_refused(peer: Peer) -> None:
    """It is 400 with the ones that are known, from which newer clients learn how to fall back."""
    reply = await peer.send(call("server/discover"), MCP_Protocol_Version="2026-07-28")
    assert (reply.status, reply.code) == (400, -32022)
    assert reply.body["error"]["data"] == {"supported": REVISIONS, "requested": "2026-07-28"}


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/json, text/event-stream", 200),
        ("application/json;q=0.5", 200),
        ("application/*", 200),
        ("*/*", 200),
        ("text/event-stream", 406),
        ("text/html", 406),
    ],
)
async def test_the_answer_is_json(peer: Peer, accept: str, status: int) -> None:
    """Who does not take that is told so."""
    assert (await peer.send(call("ping"), Accept=accept)).status == status


async def test_batches_are_of_one_revision(peer: Peer) -> None:
    """2025-03-26 has them: each call is answered, in order; what asks nothing is not."""
    await peer.begin("2025-03-26")
    parts = [
        tool("reset", "a"),
        call("notifications/initialized", call_id=None),
        tool("step", "b", text="Hi"),
        {"id": 3},
        7,
        call("initialize", INITIALIZE),
    ]
    reply = await peer.send(parts)
    assert [part["id"] for part in reply.body] == ["a", "b", 3, None, None]
    assert reply.body[1]["result"]["structuredContent"]["text"] == "Hi"
    assert [part["error"]["code"] for part in reply.body[2:]] == [-32600] * 3
    assert (await peer.send([call("nope", call_id=None)])).status == 202
    assert (await peer.send([call("ping")] * 64)).status == 200
    assert (await peer.send([call("ping")] * 65)).code == -32600
    assert (await (await peer.begin("2025-06-18")).send([call("ping")])).code == -32600


async def test_a_client_without_a_session_may_send_a_batch(peer: Peer) -> None:
    """Who says nothing of its revision is taken for one of 2025-03-26."""
    reply = await peer.send([call("ping"), tool("step", 2, text="Hi")])
    assert reply.body[0]["result"] == {}
    assert reply.body[1]["error"]["code"] == -32600
    assert (await peer.send([call("ping")], MCP_Protocol_Version="2025-06-18")).code == -32600


# Sessions


async def test_what_needs_no_session_is_answered_without(peer: Peer, served: Served) -> None:
    """The tools can be listed by anybody, as from OpenEnv's services."""
    tools = (await peer.send(call("tools/list"))).result["tools"]
    assert [tool["name"] for tool in tools] == ["reset", "step", "state"]
    assert served.service.pool.statistics().acquired == 0


async def test_a_tool_needs_a_session(peer: Peer, served: Served) -> None:
    """Without one it is 400, and says how to get one; no environment is thrown away for it."""
    reply = await peer.send(tool("reset"))
    assert (reply.status, reply.code) == (400, -32600)
    assert "call initialize first" in reply.body["error"]["message"]
    assert served.service.pool.statistics().acquired == 0


async def test_an_unknown_session_is_404(peer: Peer) -> None:
    """For every message; the client is to begin anew."""
    for message in (call("ping"), tool("reset"), call("notifications/initialized", call_id=None)):
        reply = await peer.send(message, Mcp_Session_Id="nobody")
        assert (reply.status, reply.code) == (404, -32600)
        assert "call initialize again" in reply.body["error"]["message"]
    reply = await peer.send(call("initialize", INITIALIZE), Mcp_Session_Id="nobody")
    assert reply.status == 200
    assert reply.headers["Mcp-Session-Id"] != "nobody"


async def test_delete_ends_a_session(peer: Peer, served: Served, census: Census) -> None:
    """Its environment is closed and its slot is free; afterwards it is unknown."""
    await peer.begin()
    await peer.send(tool("reset"))
    assert served.service.pool.statistics().active == 1
    reply = await peer.send(method="DELETE")
    assert (reply.status, reply.body) == (204, None)
    assert census.closed == 1
    assert served.service.pool.statistics().active == 0
    assert (await peer.send(tool("reset"))).status == 404
    assert (await peer.send(method="DELETE")).status == 404


async def test_delete_names_a_session(peer: Peer) -> None:
    """Without one it is 400."""
    reply = await peer.send(method="DELETE")
    assert (reply.status, reply.code) == (400, -32600)


def calls_of(peer: Peer, served: Served) -> dict[str | int, Any]:
    """Return the calls that the service is answering an MCP session at this moment."""
    (door,) = {
        route.handler.__self__
        for route in served.app.router.routes()
        if isinstance(getattr(route.handler, "__self__", None), McpDoor)
    }
    return door._clients[peer.headers["Mcp-Session-Id"]].calls


async def test_delete_waits_for_the_call_under_way(
    peer: Peer, served: Served, census: Census
) -> None:
    """That one is answered first; one that waits for its turn hears that the session is over."""
    await peer.begin()
    step = asyncio.create_task(peer.send(tool("step", 1, text="hang")))
    await eventually(lambda: census.hanging)
    late = asyncio.create_task(peer.send(tool("step", 2, text="late")))
    await eventually(lambda: calls_of(peer, served).keys() == {1, 2})  # the late one waits
    ending = asyncio.create_task(peer.send(method="DELETE"))
    while (await peer.send(call("ping"))).status != 404:
        pass
    assert not ending.done()
    census.open_gate()
    assert (await step).result["structuredContent"]["text"] == "hang"
    reply = (await late).result
    assert reply["isError"] is True
    assert "the client has ended it" in reply["content"][0]["text"]
    assert (await ending).status == 204
    assert census.closed == 1


async def test_delete_while_the_session_opens_leaves_none(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """The first call of a client that leaves meanwhile keeps no slot, and the second gets none."""
    served = await serve(populate(census, PlainWorld, on_make="hang"))
    peer = await Peer(http, served.url).begin()
    reset = asyncio.create_task(peer.send(tool("reset", 1)))
    await eventually(lambda: census.hanging)
    second = asyncio.create_task(peer.send(tool("step", 2, text="Hi")))
    await eventually(lambda: calls_of(peer, served).keys() == {1, 2})  # it waits for the opening
    ending = asyncio.create_task(peer.send(method="DELETE"))
    while (await peer.send(call("ping"))).status != 404:
        pass
    assert (await ending).status == 204
    for reply in (await reset, await second):
        assert "the client has ended it" in reply.result["content"][0]["text"]
    census.open_gate()
    await eventually(lambda: not served.service.pool.statistics().active)
    assert census.made == census.closed == 1


async def test_delete_ends_a_wait_for_a_session(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """The call that queues is told at once, and its place goes to the next."""
    served = await serve(populate(census, AsyncWorld), max_concurrent_envs=1)
    holder, peer = Peer(http, served.url), Peer(http, served.url)
    named = (await holder.send(call("openenv/session/create"))).result
    peer.url += "?wait_s=60"
    await peer.begin()
    reset = asyncio.create_task(peer.send(tool("reset")))
    await eventually(lambda: served.service.pool.statistics().waiting == 1)
    assert (await peer.send(method="DELETE")).status == 204
    assert "the client has ended it" in (await reset).result["content"][0]["text"]
    assert served.service.pool.statistics().waiting == 0
    assert (await holder.send(call("openenv/session/close", named))).result["closed"] is True
    assert census.made == 1


async def test_a_call_whose_session_opens_as_it_is_ended_is_not_played(
    serve: Serve, census: Census
) -> None:
    """There is nobody to play it for; what was opened is closed."""
    served = await serve(populate(census, AsyncWorld))
    endings: list[asyncio.Task[None]] = []

    class Kept(KeptSessions):
        async def open(self, *, wait_s: float = 0.0) -> str:
            session_id = await super().open(wait_s=wait_s)
            endings.append(asyncio.create_task(seat.close()))
            return session_id

    kept = Kept(served.service)
    seat = LazySeat(kept, 0)
    with pytest.raises(SessionLost, match="the client has ended it"):
        async with seat.lend(begins=True):
            raise AssertionError("the seat was given up")
    await endings[0]
    assert (len(kept), census.made, census.closed) == (0, 1, 1)


async def test_a_client_comes_back_to_its_episode(
    served: Served, http: aiohttp.ClientSession, peer: Peer
) -> None:
    """The session is not the connection's: with its id, another connection goes on."""
    await peer.begin()
    await peer.send(tool("step", text="Hi"))
    async with aiohttp.ClientSession() as other:
        again = Peer(other, served.url)
        again.headers = peer.headers
        reply = (await again.send(tool("step", text="Hi"))).result
    assert reply["structuredContent"]["metadata"] == {"step": 2}


async def test_calls_of_one_client_take_turns(peer: Peer, census: Census) -> None:
    """Also the first, which opens the session for all (see `Census.faults`)."""
    await peer.begin()
    steps = [peer.send(tool("step", number, text="pause")) for number in range(8)]
    replies = await asyncio.gather(*steps)
    counts = [reply.result["structuredContent"]["metadata"]["step"] for reply in replies]
    assert sorted(counts) == [*range(1, 9)]
    assert census.made == 1


async def test_a_call_is_cancelled_by_its_id(peer: Peer, census: Census) -> None:
    """Its answer says so, also where it was told twice; another client's of that id goes on."""
    other = await Peer(peer.http, peer.url.removesuffix("/mcp")).begin()
    await peer.begin("2025-03-26")  # which has batches
    steps = [
        asyncio.create_task(client.send(tool("step", "x", text="hang"))) for client in (peer, other)
    ]
    await eventually(lambda: census.hanging == 2)
    note = call("notifications/cancelled", {"requestId": "x", "reason": "no more"}, None)
    assert (await peer.send([note, note])).status == 202
    reply = await steps[0]
    assert (reply.status, reply.code, reply.body["id"]) == (200, -32000, "x")
    assert (await peer.send(note)).status == 202
    census.open_gate()
    assert (await steps[1]).result["isError"] is False
    assert census.cancelled == 1


async def test_clients_beyond_the_limit_are_forgotten(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """The one that was not heard of for longest goes first, but none that plays."""
    served = await serve(populate(census, AsyncWorld), max_mcp_clients=2)
    player, idle, newer, newest = [Peer(http, served.url) for _ in range(4)]
    await player.begin()
    await player.send(tool("reset"))
    await idle.begin()
    await newer.begin()
    assert (await idle.send(call("ping"))).status == 404
    assert (await player.send(call("ping"))).status == 200
    await newer.send(tool("reset"))
    await newest.begin()
    assert [(await client.send(call("ping"))).status for client in (player, newer, newest)] == [
        200
    ] * 3


async def test_there_is_no_stream_to_open(peer: Peer) -> None:
    """``GET /mcp`` is 405 and names what there is."""
    reply = await peer.send(method="GET", Accept="text/event-stream")
    assert reply.status == 405
    assert reply.headers["Allow"] == "DELETE,POST"


async def test_a_message_beyond_the_limit_is_413(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """It is not read to its end."""
    served = await serve(populate(census, AsyncWorld), max_message_size_mb=0.001)
    async with http.post(f"{served.url}/mcp", data=b" " * 2000) as response:
        assert response.status == 413


async def test_a_fault_of_the_service_is_an_internal_error(
    serve: Serve, http: aiohttp.ClientSession, census: Census, loop_errors: LoopErrors
) -> None:
    """Its details are in the log, not in the answer."""

    class Shy(AsyncWorld):
        @classmethod
        def metadata(cls) -> EnvironmentMetadata:
            raise LookupError("s3cret")

    served = await serve(populate(census, Shy))
    reply = await Peer(http, served.url).send(call("initialize", INITIALIZE))
    assert (reply.status, reply.code, reply.body["id"]) == (200, -32603, 1)
    assert reply.body["error"]["message"] == "the service failed; see its log"
    assert "Mcp-Session-Id" not in reply.headers
    (record,) = loop_errors.records
    assert "s3cret" in str(record.exc_info)
    loop_errors.records.clear()


# OpenEnv's sessions


async def test_openenvs_clients_open_and_close_a_session(
    peer: Peer, served: Served, census: Census
) -> None:
    """It is named in the params, and results are where those clients look for them."""
    session_id = (await peer.send(call("openenv/session/create"))).result["session_id"]
    assert served.service.pool.statistics().active == 1
    named = {"session_id": session_id}
    assert len((await peer.send(call("tools/list", named))).result["tools"]) == 3
    step = call("tools/call", {"name": "step", "arguments": {"text": "Hi"}, **named})
    result = (await peer.send(step)).result
    assert result["data"] == result["structuredContent"]
    assert result["data"]["metadata"] == {"step": 1}
    wrong = await peer.send(call("tools/call", {"name": "step", **named}))
    assert (wrong.status, wrong.code) == (200, -32603)
    assert "$.text: this field is required" in wrong.body["error"]["message"]
    assert wrong.body["error"]["data"] == {"code": "VALIDATION_ERROR"}
    closed = await peer.send(call("openenv/session/close", named))
    assert closed.result == {**named, "closed": True}
    assert census.closed == 1
    for message in (step, call("tools/list", named), call("openenv/session/close", named)):
        reply = await peer.send(message)
        assert (reply.status, reply.code) == (200, -32602)
        assert reply.body["error"]["message"] == f"Unknown session_id: {session_id}"


async def test_a_call_that_waits_when_its_session_is_closed_is_refused(
    peer: Peer, served: Served, census: Census
) -> None:
    """A place in the line is no right to an ended session."""
    named = {"session_id": (await peer.send(call("openenv/session/create"))).result["session_id"]}
    step = call("tools/call", {"name": "step", "arguments": {"text": "hang"}, **named})
    first = asyncio.create_task(peer.send(step))
    await eventually(lambda: census.hanging)
    second = asyncio.create_task(peer.send(step))
    (kept,) = served.app[_KEPT]._kept.values()
    await eventually(lambda: kept.users == 2)  # the second waits
    closing = asyncio.create_task(peer.send(call("openenv/session/close", named)))
    while "error" not in (await peer.send(call("tools/list", named))).body:
        pass
    census.open_gate()
    assert (await first).result["isError"] is False
    assert (await second).code == -32602
    assert (await closing).result["closed"] is True


async def test_a_service_that_stops_waits_for_no_call(peer: Peer, served: Served) -> None:
    """A step that hangs is cancelled with the connection, as on ``/ws``."""
    await peer.begin()
    step = asyncio.create_task(peer.send(tool("step", text="hang")))
    await eventually(lambda: served.service.pool.statistics().active)
    await served.server.stop()
    with pytest.raises(aiohttp.ClientError):
        await step


@pytest.mark.parametrize("params", [{}, {"session_id": ""}, {"session_id": 7}], ids=str)
async def test_a_close_names_its_session(peer: Peer, params: dict[str, Any]) -> None:
    """Without a name it is a bad parameter."""
    assert (await peer.send(call("openenv/session/close", params))).code == -32602


async def test_a_create_beyond_the_limit_is_an_error_with_counts(
    peer: Peer, served: Served
) -> None:
    """It is what OpenEnv's services answer."""
    for _ in range(2):
        assert (await peer.send(call("openenv/session/create"))).result
    reply = await peer.send(call("openenv/session/create"))
    assert (reply.status, reply.code) == (200, -32000)
    counts = {"active_sessions": 2, "max_sessions": 2}
    assert reply.body["error"]["data"] == {"code": "CAPACITY_REACHED", **counts}


async def test_errors_are_counted_once(
    peer: Peer, served: Served, http: aiohttp.ClientSession
) -> None:
    """Whether they are of the protocol or of a tool, by the wire's codes."""
    scraper = Scraper(http, served)
    await scraper.changes()
    await peer.send("{bad")
    await peer.send("{}")
    await peer.send(call("nope"))
    await peer.send(call("ping"), Mcp_Session_Id="nobody")
    await peer.begin()
    await peer.send(tool("step", text="raise"))
    session_id = (await peer.send(call("openenv/session/create"))).result["session_id"]
    await peer.send(call("openenv/session/create"))
    peer.headers.clear()
    step = {"name": "step", "arguments": {"text": "raise"}, "session_id": session_id}
    await peer.send(call("tools/call", step))
    changes = await scraper.changes()
    assert {name: value for name, value in changes.items() if "code=" in name} == {
        "aioenv_errors_total{code=INVALID_JSON}": 1,
        "aioenv_errors_total{code=VALIDATION_ERROR}": 1,
        "aioenv_errors_total{code=UNKNOWN_TYPE}": 1,
        "aioenv_errors_total{code=SESSION_NOT_FOUND}": 1,
        "aioenv_errors_total{code=EXECUTION_ERROR}": 2,
        "aioenv_errors_total{code=CAPACITY_REACHED}": 1,
    }
    assert changes["aioenv_sessions_refused_total{reason=full}"] == 1
    assert changes["aioenv_steps_total"] == 2
