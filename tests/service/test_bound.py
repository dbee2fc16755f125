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


class Client:
    """One who comes back a few times, and never leaves in the same way."""

    def __init__(self, served: Served, seed: int, *, may_hang: bool) -> None:
        self.served = served
        self.random = random.Random(seed)
        self.may_hang = may_hang
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
        if self.random.random() < 0.1:
            await self._break_off_the_handshake()
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
            text = "hang" if self.may_hang else "pause"
            await socket.send(json.dumps({"type": "step", "data": {"text": text}}))
            for _ in range(self.random.randrange(20)):
                await asyncio.sleep(0)
            socket.transport.abort()
        elif ending == "crash":
            socket.transport.close()  # as the system does it for a process that died
        return ending

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
        populate(census, world), max_concurrent_envs=LIMIT, max_stragglers=0, heartbeat_s=5.0
    )
    may_hang = world is AsyncWorld
    clients = [Client(served, seed * 1000 + number, may_hang=may_hang) for number in range(CLIENTS)]
    await asyncio.gather(*(client.live() for client in clients))

    fates = sum((client.fates for client in clients), Counter())
    assert fates.keys() >= {*ENDINGS, "cancelled", "refused", "broken handshake"}, fates
    await eventually(lambda: not served.service.pool.statistics().active)
    await eventually(lambda: not census.alive)
    statistics = served.service.pool.statistics()
    assert (statistics.waiting, statistics.peak, census.peak) == (0, LIMIT, LIMIT)
    assert census.made == census.closed > LIMIT
    assert census.faults == []

    talks = [await connect(served) for _ in range(LIMIT)]  # every slot is there again
    for talk in talks:
        await talk.echoes()
    newcomer = await connect(served)
    assert (await newcomer.hear())["data"]["code"] == "CAPACITY_REACHED"
