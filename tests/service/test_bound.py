"""The bound under fire: ten times as many clients as slots, which crash, vanish and are cancelled.

What happens is random and seeded; what must hold is checked at every construction of an
environment (`Census.birth`) and once everybody is gone.
"""

import asyncio
import contextlib
import json
import random
from collections import Counter
from typing import Any

import aiohttp
import pytest
import websockets.asyncio.client as foreign
from websockets.exceptions import ConnectionClosed

from tests.conftest import Serve, Served, eventually
from tests.environments import AsyncWorld, Census, MixedWorld, PlainWorld, World, populate
from tests.service.conftest import Connect

LIMIT = 6
CLIENTS = 10 * LIMIT
LIVES = 3  # connections of each client, one after the other

ENDINGS = ["close frame", "close message", "abort idle", "abort in mid-step", "crash"]
HTTP_FATES = ["one request", "broken request", "ended session", "left session"]


class Client:
    """One who comes back a few times, and never leaves in the same way."""

    def __init__(self, served: Served, seed: int) -> None:
        self.served = served
        self.random = random.Random(seed)
        self.fates: Counter[str] = Counter()

    async def live(self) -> None:
        """Connect again and again; be cancelled at some turn of the event loop in a third of it."""
        for _ in range(LIVES):
            life = asyncio.create_task(self._one_life())
            if self.random.random() < 1 / 3:
                for _ in range(self.random.randrange(200)):
                    await asyncio.sleep(0)
                life.cancel()
            await asyncio.wait([life])
            if life.cancelled():
                self.fates["cancelled"] += 1
            elif life.exception() is not None:
                raise AssertionError("a client met what no client may meet") from life.exception()

    async def _one_life(self) -> None:
        lot = self.random.random()
        if lot < 0.1:
            await self._break_off_the_handshake()
            return
        if lot < 0.4:
            async with aiohttp.ClientSession(self.served.url) as http:
                self.fates[await self._play_over_http(http)] += 1
            return
        wait_s = self.random.choice(["", "?wait_s=0.05", "?wait_s=30", "?wait_s=30"])
        socket = await foreign.connect(
            self.served.ws_url + wait_s, open_timeout=None, ping_interval=None, close_timeout=5
        )
        try:
            fate = await self._play(socket)
        except ConnectionClosed:
            fate = "closed by the service"
        except asyncio.CancelledError:
            socket.transport.abort()
            raise
        self.fates[fate] += 1
        await socket.close()

    async def _play(self, socket: foreign.ClientConnection) -> str:
        ending = self.random.choice(ENDINGS)
        reply = await self._ask(socket, {"type": "reset"})
        if reply["type"] == "error":
            assert reply["data"]["code"] == "CAPACITY_REACHED", reply
            assert reply["data"]["active_sessions"] == LIMIT, reply
            return "refused"
        for _ in range(self.random.randrange(4)):
            text = self.random.choice(["word", "pause", "raise"])
            reply = await self._ask(socket, {"type": "step", "data": {"text": text}})
        if ending == "close message":
            await socket.send('{"type":"close"}')
            await socket.wait_closed()
        elif ending == "abort idle":
            socket.transport.abort()
        elif ending == "abort in mid-step":
            await socket.send('{"type":"step","data":{"text":"hang"}}')
            for _ in range(self.random.randrange(20)):
                await asyncio.sleep(0)
            socket.transport.abort()
        elif ending == "crash":
            socket.transport.close()  # as the system does it for a process that died
        return ending

    async def _play_over_http(self, http: aiohttp.ClientSession) -> str:
        fate = self.random.choice(HTTP_FATES)
        query = self.random.choice(["", "?wait_s=0.05", "?wait_s=30", "?wait_s=30"])
        if fate == "broken request":
            asking = asyncio.create_task(self._post(http, f"/step{query}", "hang"))
            try:
                for _ in range(self.random.randrange(100)):
                    await asyncio.sleep(0)
            finally:
                asking.cancel()
                await asyncio.wait([asking])
            return fate
        if fate == "one request":
            status, _ = await self._post(http, f"/step{query}", "word")
            return fate if status == 200 else "refused over HTTP"
        status, session = await self._post(http, f"/sessions{query}")
        if status == 503:
            return "refused over HTTP"
        headers = {"X-Session-ID": session["session_id"]}
        for _ in range(self.random.randrange(4)):
            status, _ = await self._post(http, "/step", "word", headers)
            assert status in (200, 404), status  # it may be too slow for its session
        if fate == "ended session":
            async with http.delete(f"/sessions/{session['session_id']}") as response:
                assert response.status in (204, 404), response.status
        return fate

    async def _post(
        self,
        http: aiohttp.ClientSession,
        target: str,
        text: str = "",
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any]:
        body = {"action": {"text": text}}
        async with http.post(target, json=body, headers=headers) as response:
            return response.status, await response.json()

    async def _ask(self, socket: foreign.ClientConnection, message: Any) -> Any:
        await socket.send(json.dumps(message))
        return json.loads(await socket.recv())

    async def _break_off_the_handshake(self) -> None:
        host, _, port = self.served.url.removeprefix("http://").partition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upg")
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.transport.abort()
        self.fates["broken handshake"] += 1


async def free_plain_calls(census: Census) -> None:
    """Let plain calls hang for some milliseconds, long enough to be abandoned; until cancelled."""
    while True:
        await asyncio.sleep(0.05)
        census.free_plain_calls()


@pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])
@pytest.mark.parametrize(
    ("world", "seed"), [(AsyncWorld, 1), (AsyncWorld, 2), (PlainWorld, 3), (MixedWorld, 4)]
)
async def test_the_bound_holds(
    serve: Serve, connect: Connect, census: Census, world: type[World], seed: int
) -> None:
    """Never more than the limit alive, no slot lost, each environment closed once."""
    census.limit = LIMIT
    # A plain call in its thread cannot be interrupted. Nobody may be left to finish outside the
    # pool's count here, or the limit would not be exact.
    served = await serve(
        populate(census, world),
        max_concurrent_envs=LIMIT,
        max_stragglers=0,
        heartbeat_s=5.0,
        http_idle_timeout_s=0.1,
    )
    served.service.pulse.interval_s = 0.01
    freeing = asyncio.create_task(free_plain_calls(census))
    clients = [Client(served, seed * 1000 + number) for number in range(CLIENTS)]
    await asyncio.gather(*(client.live() for client in clients))

    fates = sum((client.fates for client in clients), Counter())
    known = {*ENDINGS, *HTTP_FATES, "cancelled", "refused", "broken handshake"}
    assert fates.keys() >= known, fates
    await eventually(lambda: not served.service.pool.statistics().active)
    await eventually(lambda: not census.alive)
    freeing.cancel()
    statistics = served.service.pool.statistics()
    assert (statistics.waiting, statistics.peak, census.peak) == (0, LIMIT, LIMIT)
    assert census.made == census.closed > LIMIT
    assert census.faults == []

    talks = [await connect(served) for _ in range(LIMIT)]  # every slot is there again
    for talk in talks:
        await talk.echoes()
    newcomer = await connect(served)
    assert (await newcomer.hear())["data"]["code"] == "CAPACITY_REACHED"
