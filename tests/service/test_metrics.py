"""The metrics: each figure moves as it should, by exactly as much."""

import json
import subprocess
import sys
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from aioenv import EnvironmentFailed
from aioenv.service import Settings, create_app
from tests.conftest import Serve, Served, eventually
from tests.environments import AsyncWorld, Census, Heard, PlainWorld, Tally, Word, populate
from tests.service.conftest import AskRaw, Connect, OpenRaw, Talk, limit_steps

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
HANG = {"type": "step", "data": {"text": "hang"}}

Figures = dict[str, float]


class Scraper:
    """Asks a service for its metrics, and tells what has changed since it asked before."""

    def __init__(self, http: aiohttp.ClientSession, served: Served, **headers: str) -> None:
        self.url = f"{served.url}/metrics"
        self.bytes = 0
        self._http = http
        self._headers = headers
        self._before: Figures = {}

    async def figures(self) -> Figures:
        """Return every sample, as ``name`` or ``name{label=value}``."""
        async with self._http.get(self.url, headers=self._headers) as response:
            assert response.status == 200
            text = await response.text()
        self.bytes = len(text.encode())
        return {
            _name(sample.name, sample.labels): sample.value
            for family in parse_text(text)
            for sample in family.samples
        }

    async def changes(self) -> Figures:
        """Return by how much our own samples have changed, without those that have not.

        The times themselves are left out; how many there are stays in.
        """
        before, now = self._before, await self.figures()
        self._before = now
        return {
            name: value - before.get(name, 0)
            for name, value in now.items()
            if name.startswith("aioenv_")
            and value != before.get(name, 0)
            and not name.endswith("_sum")
            and "_bucket" not in name
            and "_bytes" not in name
        }


def _name(name: str, labels: dict[str, str]) -> str:
    shown = ",".join(f"{label}={value}" for label, value in labels.items())
    return f"{name}{{{shown}}}" if shown else name


# What moves, and by how much


async def test_a_new_service_tells_every_series_at_zero(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """Nothing appears late: rates are right from the first error on."""
    served = await serve(populate(census, AsyncWorld), max_concurrent_envs=7)
    figures = await Scraper(http, served).figures()
    ours = {name: value for name, value in figures.items() if name.startswith("aioenv_")}
    assert {name for name, value in ours.items() if value} == {"aioenv_sessions_limit"}
    assert ours["aioenv_sessions_limit"] == 7
    assert {
        "aioenv_sessions_active",
        "aioenv_sessions_waiting",
        "aioenv_sessions_parked",
        "aioenv_sessions_peak",
        "aioenv_sessions_opened_total",
        "aioenv_sessions_refused_total{reason=queue_full}",
        "aioenv_episodes_total",
        "aioenv_steps_total",
        "aioenv_step_seconds_bucket{le=+Inf}",
        "aioenv_reset_seconds_sum",
        "aioenv_errors_total{code=EXECUTION_ERROR}",
        "aioenv_errors_total{code=other}",
        "aioenv_received_bytes_total",
        "aioenv_sent_bytes_total",
        "aioenv_stragglers",
    } <= ours.keys()
    assert figures["process_resident_memory_bytes"] > 0


@pytest.mark.parametrize("world", [AsyncWorld, PlainWorld])
async def test_a_websocket_session_is_counted(
    serve: Serve,
    connect: Connect,
    http: aiohttp.ClientSession,
    census: Census,
    world: type[Any],
) -> None:
    """Each episode and step once, failed steps included; the session while it lasts."""
    served = await serve(populate(census, world))
    scraper = Scraper(http, served)
    await scraper.changes()
    talk = await connect(served)
    for episode in range(2):
        await talk.ask({"type": "reset", "data": {"seed": episode}})
        for text in ("a", "pause", "b"):
            await talk.say(text)
    await talk.refused({"type": "step", "data": {"text": "raise"}})
    await talk.refused({"type": "reset", "data": {"do": "raise"}})
    await talk.refused({"type": "step", "data": {"text": 1}})
    await talk.ask({"type": "state"})
    assert await scraper.changes() == {
        "aioenv_sessions_active": 1,
        "aioenv_sessions_peak": 1,
        "aioenv_sessions_opened_total": 1,
        "aioenv_episodes_total": 2,
        "aioenv_steps_total": 7,
        "aioenv_step_seconds_count": 7,
        "aioenv_reset_seconds_count": 3,
        "aioenv_errors_total{code=EXECUTION_ERROR}": 2,
        "aioenv_errors_total{code=VALIDATION_ERROR}": 1,
    }
    await talk.tell({"type": "close"})
    assert await talk.ended() == 1000
    await eventually(lambda: not served.service.pool.statistics().active)
    assert await scraper.changes() == {"aioenv_sessions_active": -1}


async def test_http_sessions_and_stateless_calls_are_counted(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """A call without a session opens one for itself alone."""
    served = await serve(populate(census, AsyncWorld))
    scraper = Scraper(http, served)
    await scraper.changes()
    step = {"json": {"action": {"text": "x"}}}
    async with http.post(f"{served.url}/sessions") as response:
        headers = {"X-Session-ID": (await response.json())["session_id"]}
    await http.post(f"{served.url}/reset", headers=headers)
    await http.post(f"{served.url}/step", headers=headers, **step)
    await http.post(f"{served.url}/step", **step)
    await http.post(f"{served.url}/step", headers={"X-Session-ID": "gone"}, **step)
    await http.post(f"{served.url}/step", data="[")
    await http.get(f"{served.url}/state?wait_s=soon")
    assert await scraper.changes() == {
        "aioenv_sessions_active": 1,
        "aioenv_sessions_peak": 2,
        "aioenv_sessions_opened_total": 2,
        "aioenv_episodes_total": 1,
        "aioenv_steps_total": 2,
        "aioenv_step_seconds_count": 2,
        "aioenv_reset_seconds_count": 1,
        "aioenv_errors_total{code=SESSION_NOT_FOUND}": 1,
        "aioenv_errors_total{code=INVALID_JSON}": 1,
        "aioenv_errors_total{code=VALIDATION_ERROR}": 1,
    }


async def test_a_step_that_is_cut_off_is_counted(
    serve: Serve, open_raw: OpenRaw, http: aiohttp.ClientSession, census: Census
) -> None:
    """It counts when it ends, because its client is gone, and the session with it."""
    served = await serve(populate(census, AsyncWorld))
    scraper = Scraper(http, served)
    await scraper.changes()
    peer = await open_raw(served)
    peer.send(WSMsgType.TEXT, json.dumps(HANG).encode())
    await eventually(lambda: census.hanging)
    assert "aioenv_steps_total" not in await scraper.changes()
    peer.abort()
    await eventually(lambda: not served.service.pool.statistics().active)
    changes = await scraper.changes()
    assert changes == {
        "aioenv_sessions_active": -1,
        "aioenv_steps_total": 1,
        "aioenv_step_seconds_count": 1,
    }


async def test_a_straggler_is_seen_while_it_runs(
    serve: Serve, connect: Connect, http: aiohttp.ClientSession, census: Census
) -> None:
    """A plain call that was given up counts until it is through."""
    served = await serve(populate(census, PlainWorld))
    scraper = Scraper(http, served)
    talk = await connect(served)
    await talk.echoes()
    limit_steps(served, 0.2)
    assert (await talk.refused(HANG))["code"] == "EXECUTION_TIMEOUT"
    figures = await scraper.figures()
    assert figures["aioenv_stragglers"] == 1
    assert figures["aioenv_errors_total{code=EXECUTION_TIMEOUT}"] == 1
    census.open_gate()
    await eventually(lambda: not served.service.workers.stragglers)
    assert (await scraper.figures())["aioenv_stragglers"] == 0


async def test_histograms_are_whole(
    serve: Serve, connect: Connect, http: aiohttp.ClientSession, census: Census
) -> None:
    """Buckets grow, the last holds all, and the sum is what was spent, at most the time it took."""
    served = await serve(populate(census, AsyncWorld), step_timeout_s=0.02)
    talk = await connect(served)
    for _ in range(5):
        await talk.echoes()
    await talk.refused(HANG)
    figures = await Scraper(http, served).figures()
    buckets = [
        value for name, value in figures.items() if name.startswith("aioenv_step_seconds_bucket")
    ]
    assert buckets == sorted(buckets)
    assert buckets[-1] == figures["aioenv_step_seconds_count"] == 6
    assert figures["aioenv_step_seconds_bucket{le=0.01}"] <= 5  # the one that hung is not in it
    assert figures["aioenv_step_seconds_sum"] >= 0.02


async def test_bytes_are_counted_exactly(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """Those of frames and bodies, in and out; a frame of 4 MB as well as a ping's."""
    served = await serve(populate(census, AsyncWorld))
    scraper = Scraper(http, served)
    before = await scraper.figures()
    received, sent = 0, scraper.bytes
    async with http.ws_connect(served.ws_url, max_msg_size=0) as socket:
        for text in ('{"type":"step","data":{"text":"ä"}}', "{bad", _step("return a lot")):
            await socket.send_str(text)
            received += len(text.encode())
            sent += len((await socket.receive_str()).encode())
        await socket.send_bytes(b"\x00" * 70_000)
        received += 70_000
        sent += len((await socket.receive_str()).encode())
    body = '{"action": {"text": "Ω"}}'.encode()
    for path, data in (("/step", body), ("/nowhere", b""), ("/step", b"["), ("/health", b"")):
        method = "POST" if data else "GET"
        async with http.request(method, served.url + path, data=data or None) as response:
            received += len(data)
            sent += len(await response.read())
    async with http.head(f"{served.url}/schema") as response:
        assert response.status == 200
    after = await scraper.figures()
    assert after["aioenv_received_bytes_total"] - before["aioenv_received_bytes_total"] == received
    assert after["aioenv_sent_bytes_total"] - before["aioenv_sent_bytes_total"] == sent


def _step(text: str) -> str:
    return json.dumps({"type": "step", "data": {"text": text}})


async def test_a_ping_s_payload_is_counted_both_ways(
    serve: Serve, open_raw: OpenRaw, http: aiohttp.ClientSession, census: Census
) -> None:
    """It comes back as it came."""
    served = await serve(populate(census, AsyncWorld))
    peer = await open_raw(served)
    peer.send(WSMsgType.PING, b"12345")
    assert await peer.receive() == (WSMsgType.PONG, b"12345")
    figures = await Scraper(http, served).figures()
    assert figures["aioenv_received_bytes_total"] == figures["aioenv_sent_bytes_total"] == 5


# Refusals


async def test_refusals_are_counted_by_reason(
    serve: Serve, connect: Connect, open_raw: OpenRaw, http: aiohttp.ClientSession, census: Census
) -> None:
    """No slot, no room to wait, no slot in time: three reasons, over every door."""
    served = await serve(populate(census, AsyncWorld), max_concurrent_envs=1, max_waiting=1)
    scraper = Scraper(http, served)
    await connect(served)
    await scraper.changes()

    async def refused(query: str) -> None:
        talk = await connect(served, query)
        assert (await talk.hear())["data"]["code"] == "CAPACITY_REACHED"

    await refused("")
    async with http.get(f"{served.url}/state") as response:
        assert response.status == 503
    await refused("?wait_s=0.01")
    await open_raw(served, "?wait_s=60")
    await eventually(lambda: served.service.pool.statistics().waiting)
    await refused("?wait_s=60")
    assert await scraper.changes() == {
        "aioenv_sessions_waiting": 1,
        "aioenv_sessions_refused_total{reason=full}": 2,
        "aioenv_sessions_refused_total{reason=waited}": 1,
        "aioenv_sessions_refused_total{reason=queue_full}": 1,
        "aioenv_errors_total{code=CAPACITY_REACHED}": 4,
    }
    assert served.service.pool.statistics().refused == 4


async def test_refusals_of_a_service_that_stops_are_counted(
    serve: Serve, connect: Connect, open_raw: OpenRaw, http: aiohttp.ClientSession, census: Census
) -> None:
    """Newcomers at both doors, who hear the same, and whoever queues at that moment."""
    served = await serve(populate(census, AsyncWorld), max_concurrent_envs=1)
    scraper = Scraper(http, served)
    await connect(served)
    waiting = await open_raw(served, "?wait_s=60")
    await eventually(lambda: served.service.pool.statistics().waiting)
    await scraper.changes()
    served.service.pool.close()
    assert (await waiting.hear())["type"] == "error"
    for method, path in (("GET", "/ws"), ("POST", "/sessions")):
        async with http.request(method, served.url + path) as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "1")
            body = {"detail": "the service is closed", "code": "SESSION_ERROR"}
            assert await response.json() == body
    assert await scraper.changes() == {
        "aioenv_sessions_waiting": -1,
        "aioenv_sessions_refused_total{reason=draining}": 3,
        "aioenv_errors_total{code=SESSION_ERROR}": 3,
    }


async def test_errors_of_http_are_counted(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """By the code that the body has, whatever a client asks for."""
    served = await serve(populate(census, AsyncWorld), max_message_size_mb=0.001)
    scraper = Scraper(http, served)
    await scraper.changes()
    codes = []
    for method, path, body in (
        ("GET", "/nowhere", b""),
        ("GET", "/web/nothing.js", b""),
        ("PATCH", "/step", b""),
        ("POST", "/reset", b"x" * 2000),
        ("GET", "/ws", b""),
    ):
        async with http.request(method, served.url + path, data=body) as response:
            codes.append((await response.json())["code"])
    assert await scraper.changes() == {
        f"aioenv_errors_total{{code={code}}}": codes.count(code) for code in codes
    }
    assert len(set(codes)) == 4


async def test_strangers_are_counted(
    serve: Serve, connect: Connect, http: aiohttp.ClientSession, census: Census
) -> None:
    """A missing or wrong token, at any door, and a page from elsewhere."""
    served = await serve(populate(census, AsyncWorld), token="s3cret")
    scraper = Scraper(http, served, Authorization="Bearer s3cret")
    await scraper.changes()
    for door in ("/state", "/metrics"):
        async with http.get(served.url + door) as response:
            assert response.status == 401
    headers = {"Origin": "https://evil.test", "Authorization": "Bearer s3cret"}
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await connect(served, headers=headers)
    assert await scraper.changes() == {
        "aioenv_sessions_refused_total{reason=token}": 2,
        "aioenv_sessions_refused_total{reason=origin}": 1,
        "aioenv_errors_total{code=UNAUTHORIZED}": 2,
        "aioenv_errors_total{code=FORBIDDEN_ORIGIN}": 1,
    }


async def test_a_factory_that_fails_is_counted(
    serve: Serve, connect: Connect, http: aiohttp.ClientSession, census: Census
) -> None:
    """No session was opened, and the client was told an error."""
    served = await serve(populate(census, AsyncWorld, on_make="raise"))
    talk = await connect(served)
    assert (await talk.hear())["data"]["code"] == "FACTORY_ERROR"
    figures = await Scraper(http, served).figures()
    assert figures["aioenv_errors_total{code=FACTORY_ERROR}"] == 1
    assert figures["aioenv_sessions_opened_total"] == figures["aioenv_sessions_active"] == 0


# Bounds


class Inventive(AsyncWorld):
    """An environment whose errors have codes of its own."""

    async def step(self, action: Word) -> Heard:
        """Fail with what the action says for a code."""
        code: Any = {"number": 7, "list": []}.get(action.text, action.text)
        raise EnvironmentFailed("so it is", code=code)


async def test_labels_are_bounded_whatever_an_environment_calls_its_errors(
    serve: Serve, connect: Connect, http: aiohttp.ClientSession, census: Census
) -> None:
    """Codes of its own come together in one series; ours stay apart."""
    served = await serve(populate(census, Inventive))
    scraper = Scraper(http, served)
    before = (await scraper.figures()).keys()
    await scraper.changes()
    talk = await connect(served)
    codes = [*(f"code {number}" for number in range(20)), 'a"b\\c\n', "", "other", "Ω" * 10_000]
    for code in (*codes, "number", "list", "EXECUTION_TIMEOUT"):
        await talk.refused({"type": "step", "data": {"text": code}})
    changes = await scraper.changes()
    assert changes["aioenv_errors_total{code=other}"] == len(codes) + 2
    assert changes["aioenv_errors_total{code=EXECUTION_TIMEOUT}"] == 1
    assert (await scraper.figures()).keys() == before


async def test_two_services_of_one_process_count_apart(
    serve: Serve, connect: Connect, http: aiohttp.ClientSession, census: Census
) -> None:
    """Each tells of its own sessions only."""
    first = await serve(populate(census, AsyncWorld))
    second = await serve(populate(census, AsyncWorld))
    await (await connect(first)).echoes()
    assert (await Scraper(http, first).figures())["aioenv_steps_total"] == 1
    assert (await Scraper(http, second).figures())["aioenv_steps_total"] == 0


async def test_a_mounted_service_tells_its_metrics_too(
    http: aiohttp.ClientSession, census: Census
) -> None:
    """Under its own path, in an application that is not ours."""
    outer = web.Application()
    world = populate(census, AsyncWorld)
    outer.add_subapp("/world", create_app(world, Word, Heard, state=Tally, settings=Settings()))
    runner = web.AppRunner(outer, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        async with http.ws_connect(f"http://127.0.0.1:{port}/world/ws") as socket:
            await Talk(socket).echoes()
        async with http.get(f"http://127.0.0.1:{port}/world/metrics") as response:
            assert "aioenv_steps_total 1.0\n" in await response.text()
            assert response.headers["X-Request-ID"]
    finally:
        await runner.cleanup()


# Formats


async def test_the_text_format_is_the_default(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """With every series' type and meaning, and units in the names."""
    served = await serve(populate(census, AsyncWorld))
    async with http.get(f"{served.url}/metrics") as response:
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        families = {family.name: family for family in parse_text(await response.text())}
    ours = {name: family for name, family in families.items() if name.startswith("aioenv_")}
    assert all(family.documentation for family in ours.values())
    assert {name: ours[name].type for name in ("aioenv_steps", "aioenv_step_seconds")} == {
        "aioenv_steps": "counter",
        "aioenv_step_seconds": "histogram",
    }


async def test_openmetrics_is_told_to_whoever_asks(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """Its own, stricter parser reads every family."""
    served = await serve(populate(census, AsyncWorld))
    async with http.get(f"{served.url}/metrics", headers={"Accept": OPENMETRICS}) as response:
        assert response.headers["Content-Type"].startswith(OPENMETRICS)
        text = await response.text()
    assert text.endswith("# EOF\n")
    assert "aioenv_reset_seconds" in {family.name for family in parse_openmetrics(text)}


@pytest.mark.parametrize(
    "accept",
    [
        b"*/*",
        b"text/plain; version=x",
        b"application/openmetrics-text; version=1.x",
        b"application/openmetrics-text; version=1.0.0.\xff",
        b"text/html;q=0.9, */*;q=0.1",
        b"\xff",
        b"",
    ],
)
async def test_whatever_a_scraper_accepts_it_gets_its_figures(
    serve: Serve, ask_raw: AskRaw, census: Census, accept: bytes
) -> None:
    """A version that does not exist is no reason to fail."""
    served = await serve(populate(census, AsyncWorld))
    reply = await ask_raw(served, b"GET /metrics HTTP/1.1", b"Accept: " + accept)
    assert reply.startswith(b"HTTP/1.1 200 ")
    assert b"aioenv_steps_total 0.0\n" in reply


# Cost


@pytest.mark.parametrize("module", ["aioenv.service", "aioenv.client", "aioenv.cli"])
def test_nothing_of_it_is_imported_before_it_is_asked_for(module: str) -> None:
    """Whoever never asks does not pay for it."""
    code = (
        f"import sys, {module}; "
        "sys.exit('prometheus_client' in sys.modules or 'aioenv.service.metrics' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_client_has_nothing_of_it() -> None:
    """Neither the counts nor the logs of a service are the client's."""
    code = "import sys, aioenv.client; sys.exit(any('service' in name for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
