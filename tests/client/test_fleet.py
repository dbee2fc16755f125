"""Fleets: however they are closed, every member is."""

import asyncio
from typing import Any

import pytest

from aioenv.client import Fleet, GenericEnvClient
from tests.client.conftest import RunScript
from tests.conftest import Serve, eventually
from tests.environments import AsyncWorld, Census, populate


class Stubborn(GenericEnvClient):
    """Cannot be closed; it holds nothing."""

    def close(self) -> Any:
        """Raise at once, before there is anything to await."""
        raise LookupError("not today")


async def test_cancelled_closing_goes_on(serve: Serve, census: Census) -> None:
    """A fleet whose closing is cancelled closes every member all the same."""
    served = await serve(populate(census, AsyncWorld))
    members = [GenericEnvClient(served.url) for _ in range(3)]
    for member in members:
        await member.reset()
    fleet = Fleet(members)
    closing = asyncio.create_task(fleet.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await eventually(lambda: census.closed == 3)
    await fleet.close()  # the second closing waits for the first one's end


async def test_member_that_does_not_close(
    serve: Serve, census: Census, caplog: pytest.LogCaptureFixture
) -> None:
    """A member whose closing raises is told in the log, and the others are closed."""
    served = await serve(populate(census, AsyncWorld))
    members = [GenericEnvClient(served.url), Stubborn(served.url), GenericEnvClient(served.url)]
    await members[0].reset()
    await members[2].reset()
    await Fleet(members).close()
    await eventually(lambda: census.closed == 2)
    assert "a member of <Fleet of 3> was not closed: LookupError('not today')" in caplog.text


async def test_member_at_home_elsewhere(serve: Serve, census: Census) -> None:
    """A client that blocking code uses can be a member: its calls are carried to its loop."""
    served = await serve(populate(census, AsyncWorld))
    member = GenericEnvClient(served.url)
    await asyncio.to_thread(member.sync().connect)
    async with Fleet([member]) as fleet:
        session = await fleet.new_session()
        assert (await session.reset()).observation["text"] == "ready"
    await eventually(lambda: census.closed == 2)


def test_member_of_an_earlier_loop(run_script: RunScript) -> None:
    """A client that was left open on a loop that has ended begins anew on the next."""
    done = run_script(
        """
import asyncio
from aioenv.client import Fleet, GenericEnvClient
from echo_env.environment import EchoEnvironment

member = GenericEnvClient.from_environment(EchoEnvironment)

async def leave_open():
    await member.connect()

async def play():
    async with Fleet([member]) as fleet, await fleet.new_session() as session:
        print((await session.reset()).observation["echoed_message"])

asyncio.run(leave_open())
asyncio.run(play())
"""
    )
    assert done.stdout == "Echo environment ready!\n", done.stderr
