"""Sessions over plain HTTP: opened, used one request at a time, ended, and reclaimed."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from aioenv.service.kept import KeptSessions, UnknownSession
from tests.conftest import Serve, Served, eventually
from tests.environments import AsyncWorld, Census, PlainWorld, World, populate


class Caller:
    """A client over plain HTTP, in a session or without one."""

    def __init__(self, http: aiohttp.ClientSession, served: Served, session_id: str = "") -> None:
        self.http = http
        self.served = served
        self.headers = {"X-Session-ID": session_id} if session_id else {}

    async def ask(self, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
        """Send a request, and return the JSON of the reply."""
        url = f"{self.served.url}{path}"
        async with self.http.request(method, url, json=body, headers=self.headers) as response:
            assert response.status == status, await response.text()
            return await response.json() if response.status != 204 else None

    async def open(self) -> "Caller":
        """Open a session."""
        body = await self.ask("POST", "/sessions", status=201)
        return Caller(self.http, self.served, body["session_id"])

    async def close(self, *, status: int = 204) -> Any:
        """End the session."""
        path = f"/sessions/{self.headers['X-Session-ID']}"
        return await Caller(self.http, self.served).ask("DELETE", path, status=status)

    async def step(self, text: str, *, status: int = 200) -> Any:
        """Take a step."""
        return await self.ask("POST", "/step", {"action": {"text": text}}, status=status)


async def post(
    served: Served, target: str, body: Any = None, *headers: str
) -> asyncio.StreamWriter:
    """Send a POST, and wait for nothing."""
    host, _, port = served.url.removeprefix("http://").partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"POST {target} HTTP/1.1", "Host: x", f"Content-Length: {len(content)}", *headers]
    writer.write("\r\n".join([*lines, "", ""]).encode() + content)
    return writer


@pytest.mark.parametrize("world", [AsyncWorld, PlainWorld])
async def test_a_session_lasts_from_request_to_request(
    serve: Serve, http: aiohttp.ClientSession, census: Census, world: type[World]
) -> None:
    """Reset, steps and state of one session are one episode; another's is another."""
    served = await serve(populate(census, world))
    one, two = await Caller(http, served).open(), await Caller(http, served).open()
    await one.ask("POST", "/reset", {"episode_id": "ep-1"})
    for number in (1, 2):
        assert (await one.step("Hi"))["metadata"] == {"step": number}
    assert (await two.step("Ho"))["metadata"] == {"step": 1}
    state = {"episode_id": "ep-1", "step_count": 2, "heard": ["Hi", "Hi"]}
    assert await one.ask("GET", "/state") == state
    assert census.made == 2
    await one.close()
    await two.close()
    assert census.closed == 2


async def test_opening_tells_the_id_and_the_idle_limit(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """The reply is 201 with the session's address."""
    served = await serve(populate(census, AsyncWorld), http_idle_timeout_s=77)
    async with http.post(f"{served.url}/sessions") as response:
        body = await response.json()
        assert response.status == 201
        assert response.headers["Location"] == f"/sessions/{body['session_id']}"
    assert body == {"session_id": body["session_id"], "idle_timeout_s": 77}


async def test_an_unknown_session_is_404(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """Every door says which session it does not know, and no fresh environment is made for it."""
    served = await serve(populate(census, AsyncWorld))
    caller = Caller(http, served, "nobody")
    expected = {
        "detail": "there is no session 'nobody', or not any more; POST /sessions opens one",
        "code": "SESSION_NOT_FOUND",
    }
    assert await caller.ask("GET", "/state", status=404) == expected
    assert await caller.ask("POST", "/reset", {}, status=404) == expected
    assert await caller.step("x", status=404) == expected
    assert await caller.close(status=404) == expected
    assert census.made == 0


async def test_an_ended_session_is_404(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """After its end it is unknown, and a second end too."""
    served = await serve(populate(census, AsyncWorld))
    caller = await Caller(http, served).open()
    await caller.close()
    assert (await caller.step("x", status=404))["code"] == "SESSION_NOT_FOUND"
    await caller.close(status=404)


async def test_kept_sessions_count_against_the_limit(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """A full pool refuses the next, a wait gets it the slot of the one that ends."""
    served = await serve(populate(census, AsyncWorld), max_concurrent_envs=1)
    caller = Caller(http, served)
    first = await caller.open()
    assert (await caller.ask("POST", "/sessions", status=503))["code"] == "CAPACITY_REACHED"
    waiting = asyncio.create_task(caller.ask("POST", "/sessions?wait_s=60", status=201))
    await eventually(lambda: served.service.pool.statistics().waiting == 1)
    await first.close()
    assert (await waiting)["session_id"]
    assert (await caller.ask("POST", "/sessions?wait_s=x", status=422))["detail"]


async def test_a_wait_that_does_not_fit_is_422_in_a_session_too(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """Though nothing is waited for there; the session goes on."""
    caller = await Caller(http, await serve(populate(census, AsyncWorld))).open()
    refusal = await caller.ask("GET", "/state?wait_s=", status=422)
    assert refusal["detail"][0]["loc"] == ["query", "wait_s"]
    await caller.ask("GET", "/state")


async def test_requests_to_one_session_take_turns(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """Steps that are sent at a time run one after the other (see `Census.faults`)."""
    served = await serve(populate(census, AsyncWorld))
    caller = await Caller(http, served).open()
    first = asyncio.create_task(caller.step("hang"))
    await eventually(lambda: census.hanging)
    rest = [asyncio.create_task(caller.step("pause")) for _ in range(5)]
    state = asyncio.create_task(caller.ask("GET", "/state"))
    await Caller(http, served).step("elsewhere")
    assert not any(task.done() for task in [*rest, state])
    census.open_gate()
    assert (await first)["metadata"] == {"step": 1}
    counts = [(await task)["metadata"]["step"] for task in rest]
    assert sorted(counts) == [2, 3, 4, 5, 6]
    await state


async def test_an_end_waits_for_the_request_under_way(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """The step finishes first; what comes after the end is 404."""
    served = await serve(populate(census, AsyncWorld))
    caller = await Caller(http, served).open()
    step = asyncio.create_task(caller.step("hang"))
    await eventually(lambda: census.hanging)
    ending = asyncio.create_task(caller.close())
    late = asyncio.create_task(caller.step("late", status=404))
    assert (await late)["code"] == "SESSION_NOT_FOUND"
    assert not ending.done()
    census.open_gate()
    assert (await step)["observation"]["text"] == "hang"
    await ending
    assert census.closed == 1


async def test_who_waits_for_a_turn_when_the_session_ends_does_not_get_it(
    serve: Serve, census: Census
) -> None:
    """A place in the line is no right to an ended session."""
    served = await serve(populate(census, AsyncWorld))
    kept = KeptSessions(served.service)
    session_id = await kept.open()

    async def use() -> None:
        async with kept.use(session_id):
            raise AssertionError("the session had ended")

    async with kept.use(session_id):
        queued, ending = asyncio.create_task(use()), asyncio.create_task(kept.close(session_id))
        await eventually(lambda: not kept)
        assert not ending.done()
    with pytest.raises(UnknownSession):
        await queued
    await ending
    assert census.closed == 1


async def test_a_step_that_takes_too_long_costs_no_session(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """After 504 the next step is served."""
    served = await serve(populate(census, AsyncWorld), step_timeout_s=0.05)
    caller = await Caller(http, served).open()
    assert (await caller.step("hang", status=504))["code"] == "EXECUTION_TIMEOUT"
    assert (await caller.step("Hi"))["metadata"] == {"step": 1}


async def test_an_unused_session_is_reclaimed(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """After the idle time its environment is closed, its slot is free, and its id is unknown."""
    served = await serve(
        populate(census, AsyncWorld),
        http_idle_timeout_s=0.1,
        heartbeat_s=0.1,
        max_concurrent_envs=1,
    )
    caller = await Caller(http, served).open()
    await eventually(lambda: census.closed == 1)
    assert (await caller.step("x", status=404))["code"] == "SESSION_NOT_FOUND"
    assert served.service.pool.statistics().active == 0
    assert len(served.service.pulse) == 0
    await (await Caller(http, served).open()).step("Hi")


async def test_a_session_in_use_is_not_reclaimed(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """A step that takes longer than the idle time is no idleness."""
    served = await serve(populate(census, AsyncWorld), http_idle_timeout_s=0.2, heartbeat_s=0.1)
    used, unused = await Caller(http, served).open(), await Caller(http, served).open()
    step = asyncio.create_task(used.step("hang"))
    await eventually(lambda: census.hanging)
    await eventually(lambda: census.closed == 1)
    await unused.close(status=404)
    census.open_gate()
    assert (await step)["observation"]["text"] == "hang"
    assert (await used.step("Hi"))["metadata"] == {"step": 2}


async def test_a_session_that_ends_as_it_is_reclaimed_ends_once(
    serve: Serve, census: Census
) -> None:
    """Whoever comes second hears that it is unknown; nothing is left to the event loop."""
    served = await serve(populate(census, AsyncWorld), http_idle_timeout_s=0.1)
    kept = KeptSessions(served.service)
    session_id = await kept.open()
    kept.beat(asyncio.get_running_loop().time() + 1)
    with pytest.raises(UnknownSession, match=f"^there is no session '{session_id}', or not any"):
        await kept.close(session_id)
    await eventually(lambda: census.closed == 1)
    assert repr(kept) == "<KeptSessions 0>"


async def test_a_session_that_is_used_as_it_is_reclaimed_is_unknown(
    serve: Serve, census: Census
) -> None:
    """From the moment when it is too old nobody gets it."""
    served = await serve(populate(census, AsyncWorld), http_idle_timeout_s=0.1)
    kept = KeptSessions(served.service)
    session_id = await kept.open()
    kept.beat(asyncio.get_running_loop().time() + 1)
    with pytest.raises(UnknownSession):
        async with kept.use(session_id):
            pass


async def test_a_cancelled_end_goes_on(serve: Serve, census: Census) -> None:
    """Whoever asked for it may leave; the environment is closed nevertheless."""
    served = await serve(populate(census, AsyncWorld, on_close="hang"))
    kept = KeptSessions(served.service)
    ending = asyncio.create_task(kept.close(await kept.open()))
    await eventually(lambda: census.hanging)
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    assert served.service.pool.statistics().active == 1
    census.open_gate()
    await eventually(lambda: not served.service.pool.statistics().active)


CREATE = {"jsonrpc": "2.0", "id": 1, "method": "openenv/session/create"}
HANG = {"action": {"text": "hang"}}
QUICK_S = 0.04  # four beats of the pulse


@pytest.mark.parametrize(("target", "body"), [("/sessions", None), ("/mcp", CREATE)])
async def test_a_client_that_leaves_before_it_knows_its_session_leaves_none(
    serve: Serve, census: Census, target: str, body: Any
) -> None:
    """A session whose id nobody could be told ends at once."""
    served = await serve(populate(census, PlainWorld, on_make="hang"))
    client = await post(served, target, body)
    await eventually(lambda: census.hanging)
    client.transport.abort()
    census.open_gate()
    await eventually(lambda: census.closed == 1)
    await eventually(lambda: not served.service.pool.statistics().active)


@pytest.mark.parametrize(
    ("target", "body"), [("/step", HANG), ("/reset", {"do": "hang"})], ids=["step", "reset"]
)
async def test_a_client_that_leaves_takes_its_only_request_along(
    serve: Serve, census: Census, target: str, body: Any
) -> None:
    """What is done for one request alone is cancelled when nobody waits for it any more."""
    served = await serve(populate(census, AsyncWorld), max_concurrent_envs=1, heartbeat_s=QUICK_S)
    client = await post(served, target, body)
    await eventually(lambda: census.hanging)
    client.transport.abort()
    await eventually(lambda: not served.service.pool.statistics().active)
    assert (census.cancelled, census.closed) == (1, 1)


@pytest.mark.parametrize(
    ("target", "body"), [("/sessions", None), ("/step", HANG), ("/mcp", CREATE)]
)
async def test_a_client_that_leaves_the_queue_keeps_no_place(
    serve: Serve, http: aiohttp.ClientSession, census: Census, target: str, body: Any
) -> None:
    """Its place goes to the next, and nothing is opened for it."""
    served = await serve(populate(census, AsyncWorld), max_concurrent_envs=1, heartbeat_s=QUICK_S)
    pool = served.service.pool
    first = await Caller(http, served).open()
    client = await post(served, f"{target}?wait_s=60", body)
    await eventually(lambda: pool.statistics().waiting == 1)
    client.transport.abort()
    await eventually(lambda: pool.statistics().waiting == 0)
    await first.close()
    assert (pool.statistics().active, census.made) == (0, 1)


async def test_a_step_in_a_session_goes_on_without_its_client(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """It is done to its end, so that the session stays whole, and the next request follows it."""
    served = await serve(populate(census, AsyncWorld), heartbeat_s=QUICK_S)
    caller = await Caller(http, served).open()
    headers = [f"{name}: {value}" for name, value in caller.headers.items()]
    client = await post(served, "/step", HANG, *headers)
    await eventually(lambda: census.hanging)
    client.transport.abort()
    stranger = await post(served, "/step", HANG)
    await eventually(lambda: census.hanging == 2)
    stranger.transport.abort()
    await eventually(lambda: census.cancelled)  # by a beat that has seen both
    assert census.hanging == 1
    census.open_gate()
    assert (await caller.ask("GET", "/state"))["heard"] == ["hang"]
    await caller.close()
