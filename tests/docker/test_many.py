"""Many containers at once: one Docker session, bounded starts, sessions spread over a fleet."""

import asyncio
import os
from collections import Counter
from typing import Any

import aiodocker
import pytest

from aioenv import Closed, LaunchFailed
from aioenv.client import ContainerLauncher, Fleet, rollout
from aioenv.client import engine as engine_module
from echo_env import EchoAction, EchoEnv
from tests.docker.images import docker
from tests.docker.launching import Launch, owned_by, wait_some_of

# The fixtures build an image: func_only.
pytestmark = pytest.mark.timeout(100, func_only=True)


def say(result: Any, episode: Any) -> EchoAction:
    """Say the same as ever."""
    return EchoAction("Hi")


async def test_sixteen_at_once(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    """All play; they share one Docker session, and no more than so many start at a time."""
    sessions: list[aiodocker.Docker] = []
    starting: list[int] = [0, 0]  # now, and the most there ever were

    class Counted(aiodocker.Docker):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            sessions.append(self)

    bring_up = ContainerLauncher._bring_up

    async def counted(self: Any, *args: Any) -> str:
        starting[0] += 1
        starting[1] = max(starting)
        try:
            return await bring_up(self, *args)
        finally:
            starting[0] -= 1

    monkeypatch.setattr(aiodocker, "Docker", Counted)
    monkeypatch.setattr(ContainerLauncher, "_bring_up", counted)

    async def play(number: int) -> tuple[str | None, str]:
        async with launch(memory="128m") as env:
            await all_of_them.wait()
            result = await env.step(EchoAction(f"I am {number}"))
            return env.base_url, result.observation.echoed_message

    all_of_them = asyncio.Barrier(16)
    outcomes = await asyncio.gather(*(play(number) for number in range(16)))
    assert [said for _, said in outcomes] == [f"I am {number}" for number in range(16)]
    assert len({url for url, _ in outcomes}) == 16
    assert len(sessions) == 1
    assert starting == [0, engine_module.PARALLEL_STARTS]
    assert await asyncio.to_thread(owned_by, os.getpid()) == []


async def test_one_of_many_fails(launch: Launch) -> None:
    """The others are not disturbed, and all are gone in the end."""
    good = [launch() for _ in range(2)]
    bad = launch(command=["false"])
    outcomes = await asyncio.gather(
        *(env.connect() for env in (*good, bad)), return_exceptions=True
    )
    assert isinstance(outcomes[2], LaunchFailed)
    for env in good:
        await env.step(EchoAction("x"))
        await env.close()


# Fleets


async def test_a_rollout_in_a_fleet(launch: Launch) -> None:
    """Episodes are played in all containers alike; the rollout closes none of them."""
    async with Fleet([launch() for _ in range(2)]) as fleet:
        assert repr(fleet) == "<Fleet of 2>"
        assert len(await asyncio.to_thread(owned_by, os.getpid())) == 2
        run = rollout(fleet, say, episodes=30, concurrency=6, steps=3)
        ended = [trajectory async for trajectory in run]
        assert [trajectory.failure for trajectory in ended] == [None] * 30
        sessions = [await fleet.new_session() for _ in range(4)]
        used = Counter(session.base_url for session in sessions)
        assert used == {member.base_url: 2 for member in fleet.members}
    with pytest.raises(Closed):
        await sessions[0].step(EchoAction("x"))


async def test_a_fleet_that_does_not_start(launch: Launch) -> None:
    """The first failure ends the start of all."""
    fleet = Fleet([launch(), launch(command=["false"]), launch()])
    with pytest.raises(LaunchFailed, match="exit code 1"):
        await fleet.start()
    assert await asyncio.to_thread(owned_by, os.getpid()) == []


async def test_a_fleet_that_is_cancelled(launch: Launch) -> None:
    """A start that is cancelled leaves nothing behind."""
    fleet = Fleet([launch() for _ in range(2)])
    starting = asyncio.create_task(fleet.start())
    await wait_some_of(os.getpid())
    starting.cancel()
    await asyncio.wait([starting])
    assert starting.cancelled()
    assert await asyncio.to_thread(owned_by, os.getpid()) == []


async def test_a_rollout_survives_a_container(launch: Launch) -> None:
    """Where a container of the fleet dies, its episodes begin anew in the one that follows."""
    playing, killed = asyncio.Semaphore(0), asyncio.Event()

    async def policy(result: Any, episode: Any) -> EchoAction:
        playing.release()
        await killed.wait()
        return EchoAction("Hi")

    async def kill(container_id: str) -> None:
        for _ in range(4):
            await playing.acquire()
        await asyncio.to_thread(docker, "kill", container_id)
        killed.set()

    async with Fleet([launch() for _ in range(2)]) as fleet:
        launcher: Any = fleet.members[0]._launcher
        first = launcher.container_id
        killing = asyncio.create_task(kill(first))
        run = rollout(fleet, policy, episodes=8, concurrency=4, steps=3)
        assert [trajectory.failure async for trajectory in run] == [None] * 8
        await killing
        assert run.statistics().retries == 2
        assert launcher.container_id not in (None, first)


def test_an_empty_fleet() -> None:
    """It has nowhere to play."""
    members: list[EchoEnv] = []
    with pytest.raises(ValueError, match="at least one member"):
        Fleet(members)
