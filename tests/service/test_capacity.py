"""The capacity door: what it tells of the pool, moment by moment."""

import aiohttp

from tests.conftest import Serve, eventually
from tests.environments import AsyncWorld, Census, populate
from tests.service.conftest import Connect, OpenRaw
from tests.service.test_http import get


async def test_capacity_follows_the_pool(
    serve: Serve,
    connect: Connect,
    open_raw: OpenRaw,
    http: aiohttp.ClientSession,
    census: Census,
) -> None:
    """Sessions of both kinds count while they live, and those who queue count apart."""
    served = await serve(populate(census, AsyncWorld), max_concurrent_envs=2)
    url = f"{served.url}/capacity"
    assert await get(http, url) == {"active": 0, "waiting": 0, "limit": 2}
    await connect(served)
    async with http.post(f"{served.url}/sessions") as response:
        session_id = (await response.json())["session_id"]
    assert await get(http, url) == {"active": 2, "waiting": 0, "limit": 2}
    await open_raw(served, "?wait_s=60")
    await eventually(lambda: served.service.pool.statistics().waiting)
    assert await get(http, url) == {"active": 2, "waiting": 1, "limit": 2}
    async with http.delete(f"{served.url}/sessions/{session_id}") as response:
        assert response.status == 204
    assert await get(http, url) == {"active": 2, "waiting": 0, "limit": 2}


async def test_capacity_is_never_stored(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """It is told anew each time, and still while the service stops."""
    served = await serve(populate(census, AsyncWorld))
    served.service.pool.close()
    async with http.get(f"{served.url}/capacity") as response:
        assert response.headers["Cache-Control"] == "no-store"
        assert (await response.json())["active"] == 0
