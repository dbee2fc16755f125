"""`aioenv serve --workers`: several processes behind one port."""

import asyncio
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack

import aiohttp
import psutil
import pytest

from aioenv import CapacityReached, SessionLost
from aioenv.cli.worker import WORKER_HEADER, share_of
from aioenv.client import GenericEnvClient
from tests.cli.conftest import DEADLINE_S, Program, Start

Finish = Callable[..., "subprocess.CompletedProcess[str]"]


def workers_of(program: Program) -> list[psutil.Process]:
    """Return the processes of the workers."""
    return psutil.Process(program.pid).children()


async def test_connections_are_spread_evenly_and_the_limit_holds_in_total(start: Start) -> None:
    """Every session of the whole can be used, each worker has its share, and no one more fits."""
    program = start("serve", "worlds:app", "--port", 0, "--workers", 3, "--max-concurrent-envs", 7)
    url = program.wait_address(DEADLINE_S)
    program.wait_line("^3 workers, 2 or 3 sessions each, 7 in all$", DEADLINE_S)
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        met: Counter[str] = Counter()
        for _ in range(7):
            door = await stack.enter_async_context(http.ws_connect(f"{url}/ws"))
            await door.send_json({"type": "reset", "data": {}})
            assert (await door.receive_json())["type"] == "observation"
            met[door._response.headers[WORKER_HEADER]] += 1
        assert sorted(met.values()) == [2, 2, 3]
        async with GenericEnvClient(url) as client:
            with pytest.raises(CapacityReached):
                await client.reset()
    program.signal(signal.SIGTERM)
    assert program.wait() == 0


async def test_a_worker_that_died_is_replaced(start: Start) -> None:
    """Its death is told, its sessions are lost, the others go on, and another takes its place."""
    program = start("serve", "worlds:app", "--port", 0, "--workers", 2, "--max-concurrent-envs", 8)
    url = program.wait_address(DEADLINE_S)
    program.wait_line("^2 workers, 4 sessions each$", DEADLINE_S)
    victim, survivor = workers_of(program)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(GenericEnvClient(url)) for _ in range(4)]
        for client in clients:
            await client.reset()
        victim.kill()
        program.wait_line(rf"\(pid {victim.pid}\) was killed by SIGKILL; .* lost", DEADLINE_S)
        program.wait_line("is ready", DEADLINE_S)
        outcomes = await asyncio.gather(
            *(client.step({"do": "x"}) for client in clients), return_exceptions=True
        )
        assert sum(isinstance(outcome, SessionLost) for outcome in outcomes) == 2
        assert sum(getattr(outcome, "reward", None) == 1.0 for outcome in outcomes) == 2
        pids = {process.pid for process in workers_of(program)}
        assert survivor.pid in pids
        assert victim.pid not in pids
        assert len(pids) == 2
        async with AsyncExitStack() as more:
            for _ in range(4):
                client = await more.enter_async_context(GenericEnvClient(url))
                await client.reset()


async def test_signal_stops_all_within_the_grace(start: Start) -> None:
    """Sessions may go on for the grace; then they are closed, and every process has ended."""
    program = start("serve", "worlds:app", "--port", 0, "--workers", 2, "--shutdown-grace-s", 0.2)
    url = program.wait_address(DEADLINE_S)
    program.wait_line("2 workers", DEADLINE_S)
    workers = workers_of(program)
    async with GenericEnvClient(url) as client:
        await client.reset()
        program.signal(signal.SIGINT)
        with pytest.raises(SessionLost) as caught:
            await client.step({"do": "hang"})
        assert caught.value.close_code == 1001
    assert program.wait() == 0
    assert not any(worker.is_running() for worker in workers)


async def test_second_signal_ends_all_at_once(start: Start) -> None:
    """The second signal does not wait for the grace; exit code 130, and nothing is left."""
    program = start("serve", "worlds:app", "--port", 0, "--workers", 2, "--shutdown-grace-s", 1000)
    url = program.wait_address(DEADLINE_S)
    program.wait_line("2 workers", DEADLINE_S)
    workers = workers_of(program)
    async with GenericEnvClient(url) as client:
        await client.reset()
        program.signal(signal.SIGTERM)
        program.wait_line("sessions have 1000 s", DEADLINE_S)
        program.signal(signal.SIGTERM)
        assert program.wait() == 130
    _, alive = psutil.wait_procs(workers, DEADLINE_S)
    assert alive == []


async def test_they_end_by_themselves_when_nobody_uses_any(start: Start) -> None:
    """A session in one worker keeps all of them; after the last, all end with exit code 0."""
    program = start("serve", "worlds:app", "--port", 0, "--workers", 2, "--idle-exit-s", 2)
    url = program.wait_address(DEADLINE_S)
    async with GenericEnvClient(url) as client:
        for _ in range(5):
            await client.reset()
    program.wait_line("nobody has used it", DEADLINE_S)
    assert program.wait() == 0


async def test_a_session_over_http_lives_in_one_worker(start: Start) -> None:
    """Through another worker there is no such session, and the answer says why."""
    program = start("serve", "worlds:app", "--port", 0, "--workers", 2)
    url = program.wait_address(DEADLINE_S)
    # A connection is not used a second time, so the two workers take turns.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http:
        async with http.post(f"{url}/sessions") as response:
            home = response.headers[WORKER_HEADER]
            headers = {"X-Session-ID": (await response.json())["session_id"]}
        statuses = {}
        while len(statuses) < 2:
            async with http.get(f"{url}/state", headers=headers) as response:
                body = await response.json()
                statuses[response.headers[WORKER_HEADER]] = response.status
                if response.status == 404:
                    assert body["code"] == "SESSION_NOT_FOUND"
                    assert "lives in one of the 2 workers (--workers)" in body["detail"]
    assert statuses.pop(home) == 200
    assert set(statuses.values()) == {404}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["worlds:app", "--workers", 3, "--max-concurrent-envs", 2], 1, "3 workers cannot share 2"),
        (["worlds:nope", "--workers", 2], 1, "worlds has no 'nope'"),
        (["worlds:app", "--workers", 2, "--reload"], 2, "--reload serves with one worker"),
        (["worlds:app", "--workers", 0], 2, "0 is not in the range"),
        (["worlds:app", "--workers", 2, "--host", "192.0.2.1"], 1, "no address of this machine"),
    ],
    ids=["too many", "no application", "with reload", "none", "address"],
)
def test_what_cannot_be_is_one_clear_line(
    finish: Finish, arguments: list[object], code: int, message: str
) -> None:
    """It is told once, however many workers there are to be."""
    done = finish("serve", *arguments, "--port", 0)
    assert done.returncode == code
    assert message in done.stderr.splitlines()[-1]
    assert done.stderr.count("Error: ") == 1
    assert done.stdout == ""


@pytest.mark.parametrize(("whole", "total"), [(64, 4), (7, 3), (5, 5), (1, 1)])
def test_shares_add_up(whole: int, total: int) -> None:
    """They add up to the whole, and no two differ by more than one."""
    shares = [share_of(whole, total, number) for number in range(1, total + 1)]
    assert sum(shares) == whole
    assert max(shares) - min(shares) <= 1
