"""Fleets: however they are closed, every member is."""

import asyncio
from typing import Any

import pytest

from aioenv.client import Fleet, GenericEnvClient
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
