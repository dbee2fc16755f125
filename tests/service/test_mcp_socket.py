"""MCP over WebSockets: ``/mcp``, the ``mcp`` message on ``/ws``, and kept sessions on ``/ws``."""

import asyncio
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType

from tests.conftest import Serve, Served, eventually
from tests.environments import AsyncWorld, Census, PlainWorld, World, populate
from tests.service.conftest import Connect, OpenRaw, Talk
from tests.service.test_mcp_http import MALFORMED, Peer, call, tool


@pytest.fixture
async def served(serve: Serve, census: Census) -> Served:
    """Serve an environment with room for two."""
    return await serve(populate(census, AsyncWorld), max_concurrent_envs=2)


@pytest.fixture
def peer(http: aiohttp.ClientSession, served: Served) -> Peer:
    """Give a client over HTTP."""
    return Peer(http, served.url)


async def open_mcp(http: aiohttp.ClientSession, served: Served, query: str = "") -> Talk:
    """Open a WebSocket whose frames are JSON-RPC messages; `http` closes it in the end."""
    return Talk(await http.ws_connect(f"{served.url}/mcp{query}"))


def structured(reply: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a tool's result."""
    return reply["result"]["structuredContent"]  # type: ignore[no-any-return]


# WebSocket /mcp


@pytest.mark.parametrize("world", [AsyncWorld, PlainWorld])
async def test_a_connection_is_a_session(
    serve: Serve, http: aiohttp.ClientSession, census: Census, world: type[World]
) -> None:
    """Calls are answered in order, notifications not at all, and the end frees the slot."""
    served = await serve(populate(census, world))
    talk = await open_mcp(http, served)
    reply = await talk.ask(call("initialize", {"protocolVersion": "2025-06-18"}))
    assert reply["result"]["protocolVersion"] == "2025-06-18"
    await talk.tell(call("notifications/initialized", call_id=None))
    assert structured(await talk.ask(tool("reset", 1)))["text"] == "ready"
    for number in range(3):
        await talk.tell(tool("step", f"step {number}", text="pause"))
    for number in range(3):
        reply = await talk.hear()
        assert reply["id"] == f"step {number}"
        assert structured(reply)["metadata"] == {"step": number + 1}
    assert len((await talk.ask(call("tools/list")))["result"]["tools"]) == 3
    assert served.service.pool.statistics().active == 1
    await talk.socket.close()
    await eventually(lambda: not served.service.pool.statistics().active)
    assert census.made == 1


@pytest.mark.parametrize(
    ("text", "code", "call_id"), MALFORMED, ids=[str(index) for index in range(len(MALFORMED))]
)
async def test_what_is_malformed_costs_no_session(
    http: aiohttp.ClientSession,
    served: Served,
    connect: Connect,
    text: str,
    code: int,
    call_id: Any,
) -> None:
    """Each has the same code as over HTTP, in the connection and in an ``mcp`` message."""
    talk = await open_mcp(http, served)
    reply = await talk.ask(text)
    assert (reply["error"]["code"], reply["id"]) == (code, call_id)
    assert (await talk.ask(call("ping")))["result"] == {}
    if code == -32700 or not text.startswith("{"):
        return  # nothing that an ``mcp`` message may carry
    talk = await connect(served)
    reply = (await talk.ask(f'{{"type": "mcp", "data": {text}}}'))["data"]
    assert (reply["error"]["code"], reply["id"]) == (code, call_id)
    await talk.echoes()


async def test_a_step_of_the_other_wire_is_no_call(
    http: aiohttp.ClientSession, served: Served
) -> None:
    """What would be a step on ``/ws`` is malformed on ``/mcp``, and nothing is played."""
    talk = await open_mcp(http, served)
    reply = await talk.ask({"type": "step", "data": {"text": "Hi"}})
    assert reply["error"]["code"] == -32600
    assert structured(await talk.ask(tool("state")))["step_count"] == 0


async def test_batches_and_binary_frames_are_refused(
    http: aiohttp.ClientSession, served: Served
) -> None:
    """The session goes on."""
    talk = await open_mcp(http, served)
    assert (await talk.ask([call("ping")]))["error"]["code"] == -32600
    await talk.socket.send_bytes(b"{}")
    assert (await talk.hear())["error"]["code"] == -32600
    assert (await talk.ask(call("ping")))["result"] == {}


async def test_a_full_pool_is_an_error_with_counts(
    http: aiohttp.ClientSession, served: Served
) -> None:
    """Then the connection is closed; one that wants to wait gets the slot that becomes free."""
    first, _ = await open_mcp(http, served), await open_mcp(http, served)
    refused = await open_mcp(http, served)
    reply = await refused.hear()
    assert (reply["id"], reply["error"]["code"]) == (None, -32000)
    counts = {"active_sessions": 2, "max_sessions": 2}
    assert reply["error"]["data"] == {"code": "CAPACITY_REACHED", **counts}
    assert await refused.ended() == 1013
    patient = await open_mcp(http, served, "?wait_s=60")
    await first.socket.close()
    assert (await patient.ask(call("ping")))["result"] == {}


async def test_a_connection_knows_its_session(
    http: aiohttp.ClientSession, served: Served, peer: Peer
) -> None:
    """OpenEnv's create names it, and its close refuses it but ends others."""
    talk = await open_mcp(http, served)
    own = (await talk.ask(call("openenv/session/create")))["result"]
    assert served.service.pool.statistics().active == 1
    assert (await talk.ask(call("openenv/session/close", own)))["error"]["code"] == -32600
    other = (await peer.send(call("openenv/session/create"))).result
    assert (await talk.ask(call("openenv/session/close", other)))["result"]["closed"] is True


# The mcp message on /ws


async def test_an_mcp_message_plays_in_the_connections_session(
    served: Served, connect: Connect
) -> None:
    """Steps of both kinds are one episode."""
    talk = await connect(served)
    assert (await talk.say("one"))["data"]["metadata"] == {"step": 1}
    reply = await talk.ask({"type": "mcp", "data": tool("step", 9, text="two")})
    assert reply["type"] == "mcp"
    assert reply["data"]["id"] == 9
    assert structured(reply["data"])["metadata"] == {"step": 2}
    assert (await talk.say("three"))["data"]["metadata"] == {"step": 3}
    reply = await talk.ask({"type": "mcp", "data": call("tools/list")})
    assert len(reply["data"]["result"]["tools"]) == 3


async def test_each_mcp_message_has_one_reply(served: Served, connect: Connect) -> None:
    """A notification's is empty: OpenEnv's clients take the next frame for the answer."""
    talk = await connect(served)
    note = call("notifications/initialized", call_id=None)
    assert await talk.ask({"type": "mcp", "data": note}) == {"type": "mcp", "data": {}}
    reply = await talk.ask({"type": "mcp", "data": {}})
    assert reply["data"]["error"]["code"] == -32600
    reply = await talk.ask({"type": "mcp", "data": call("nope")})
    assert reply["data"]["error"]["code"] == -32601
    await talk.echoes()


@pytest.mark.parametrize(
    ("message", "loc"),
    [
        ({"type": "mcp"}, ["data"]),
        ({"type": "mcp", "data": []}, ["data"]),
        ({"type": "mcp", "data": None}, ["data"]),
        ({"type": "mcp", "data": {}, "id": 1}, ["id"]),
    ],
    ids=str,
)
async def test_an_mcp_message_carries_an_object(
    served: Served, connect: Connect, message: dict[str, Any], loc: list[str]
) -> None:
    """Anything else is a VALIDATION_ERROR of the wire."""
    talk = await connect(served)
    error = await talk.refused(message)
    assert (error["code"], error["errors"][0]["loc"]) == ("VALIDATION_ERROR", loc)
    await talk.echoes()


# /ws?session_id=


async def created(peer: Peer) -> str:
    """Open a session as OpenEnv's clients do."""
    return (await peer.send(call("openenv/session/create"))).result["session_id"]  # type: ignore[no-any-return]


async def test_a_websocket_attaches_to_a_kept_session(
    served: Served, connect: Connect, peer: Peer, census: Census
) -> None:
    """Its steps and those of ``/mcp`` are one episode, which outlives the connection."""
    session_id = await created(peer)
    step = call(
        "tools/call", {"name": "step", "arguments": {"text": "x"}} | {"session_id": session_id}
    )
    for number in (1, 3):
        assert (await peer.send(step)).result["data"]["metadata"] == {"step": number}
        talk = await connect(served, f"?session_id={session_id}")
        assert (await talk.say("Hi"))["data"]["metadata"] == {"step": number + 1}
        await talk.tell({"type": "close"})
        assert await talk.ended() == 1000
    assert served.service.pool.statistics().active == census.made == 1
    assert (await peer.send(step)).result["data"]["metadata"] == {"step": 5}


async def test_a_session_takes_one_websocket_at_a_time(
    served: Served, connect: Connect, peer: Peer
) -> None:
    """A second hears so, and may attach once the first is gone."""
    query = f"?session_id={await created(peer)}"
    first, second = await connect(served, query), await connect(served, query)
    error = (await second.hear())["data"]
    assert error["code"] == "SESSION_ERROR"
    assert "already has an attached WebSocket" in error["message"]
    assert await second.ended() == 1008
    await first.echoes()
    await first.socket.close()
    third = await connect(served, query)
    await third.echoes()


async def test_a_websocket_attaches_to_no_unknown_session(served: Served, connect: Connect) -> None:
    """It hears so, and no environment is made for it."""
    talk = await connect(served, "?session_id=nobody")
    error = (await talk.hear())["data"]
    assert error["code"] == "SESSION_ERROR"
    assert error["message"].startswith("there is no session 'nobody'")
    assert await talk.ended() == 1008
    assert served.service.pool.statistics().acquired == 0


async def test_an_attached_session_ends_when_it_is_detached(
    served: Served, connect: Connect, peer: Peer, census: Census
) -> None:
    """A close says that it is closing, as OpenEnv's services do; the connection goes on."""
    session_id = await created(peer)
    talk = await connect(served, f"?session_id={session_id}")
    close = call("openenv/session/close", {"session_id": session_id})
    expected = {"session_id": session_id, "closed": False, "closing": True}
    assert (await peer.send(close)).result == expected
    assert (await peer.send(close)).result == expected
    await talk.echoes()
    assert census.closed == 0
    await talk.socket.close()
    await eventually(lambda: census.closed == 1)
    assert (await peer.send(close)).code == -32602
    await eventually(lambda: not served.service.pool.statistics().active)


async def test_an_attached_session_that_is_deleted_ends_when_it_is_detached(
    served: Served, http: aiohttp.ClientSession, connect: Connect, peer: Peer, census: Census
) -> None:
    """The answer says that it has not ended yet."""
    session_id = await created(peer)
    talk = await connect(served, f"?session_id={session_id}")
    address = f"{served.url}/sessions/{session_id}"
    for _ in range(2):
        async with http.delete(address) as response:
            assert response.status == 202
    await talk.echoes()
    assert census.closed == 0
    await talk.socket.close()
    await eventually(lambda: census.closed == 1)
    async with http.delete(address) as response:
        assert response.status == 404


async def test_an_attached_session_is_not_reclaimed(
    serve: Serve, http: aiohttp.ClientSession, connect: Connect, census: Census
) -> None:
    """While a connection holds it, it is in use; afterwards it ends when nobody uses it."""
    served = await serve(populate(census, AsyncWorld), http_idle_timeout_s=0.3, heartbeat_s=0.3)
    peer = Peer(http, served.url)
    held = await created(peer)
    talk = await connect(served, f"?session_id={held}")
    unused = await created(peer)
    reader = asyncio.create_task(talk.hear())  # which answers pings
    await eventually(lambda: census.closed == 1)
    await talk.tell({"type": "state"})
    assert (await reader)["type"] == "state"
    assert (await peer.send(call("tools/list", {"session_id": unused}))).code == -32602
    await talk.socket.close()
    await eventually(lambda: census.closed == 2)


async def test_requests_of_both_kinds_take_turns(
    served: Served, connect: Connect, peer: Peer, census: Census
) -> None:
    """Never do two run in one environment (see `Census.faults`), whoever came first."""
    session_id = await created(peer)
    talk = await connect(served, f"?session_id={session_id}")
    step = call(
        "tools/call", {"name": "step", "arguments": {"text": "hang"}, "session_id": session_id}
    )
    hanging = asyncio.create_task(peer.send(step))
    await eventually(lambda: census.hanging)
    await talk.tell({"type": "step", "data": {"text": "pause"}})
    await talk.tell({"type": "state"})
    await (await connect(served)).echoes()
    assert not hanging.done()
    census.open_gate()
    assert (await hanging).result["data"]["metadata"] == {"step": 1}
    assert (await talk.hear())["data"]["metadata"] == {"step": 2}
    assert (await talk.hear())["data"]["step_count"] == 2


async def test_a_client_that_breaks_off_in_mid_step_leaves_a_usable_session(
    served: Served, connect: Connect, open_raw: OpenRaw, peer: Peer, census: Census
) -> None:
    """Its step is cancelled, and the session is there for the next."""
    session_id = await created(peer)
    raw = await open_raw(served, f"?session_id={session_id}")
    raw.say("hang")
    await eventually(lambda: census.hanging)
    raw.abort()
    await eventually(lambda: census.cancelled == 1)
    again = await connect(served, f"?session_id={session_id}")
    assert (await again.say("Hi"))["data"]["metadata"] == {"step": 1}


async def test_a_stopping_service_takes_no_more_connections(
    served: Served, http: aiohttp.ClientSession
) -> None:
    """On ``/mcp`` as on ``/ws`` it is 503; those that are left are closed with 1001."""
    talk = await open_mcp(http, served)
    served.service.pool.close()
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await open_mcp(http, served)
    assert refusal.value.status == 503
    stopping = asyncio.create_task(served.server.stop())
    message = await talk.socket.receive(20)
    assert (message.type, message.data) == (WSMsgType.CLOSE, 1001)
    await stopping
