"""The health check of containers, outside of one."""

import asyncio
import runpy
import sys
from pathlib import Path

import pytest

from aioenv.service import healthcheck
from aioenv.service.healthcheck import fault, watch
from tests.conftest import Serve, Served
from tests.environments import AsyncWorld


@pytest.fixture
async def served(serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Served:
    """Serve something, where the check looks for it."""
    served = await serve(AsyncWorld)
    host, _, port = served.url.removeprefix("http://").partition(":")
    monkeypatch.setenv("AIOENV_HOST", host)
    monkeypatch.setenv("AIOENV_PORT", port)
    monkeypatch.setattr(healthcheck, "MARK", tmp_path / "mark")
    monkeypatch.setattr(healthcheck, "PAUSE_S", 0.01)
    return served


async def test_waits_until_it_is_healthy(served: Served) -> None:
    """The first watch ends as soon as the service is healthy, and leaves the mark."""
    assert await asyncio.to_thread(fault) == ""
    assert await asyncio.to_thread(watch, 600.0) == ""
    assert healthcheck.MARK.exists()


async def test_gives_up_on_what_never_starts(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first watch tells what is wrong when its time is over."""
    await served.server.stop()
    assert "port" in await asyncio.to_thread(watch, 0.05)
    assert not healthcheck.MARK.exists()


async def test_watches_from_then_on(served: Served) -> None:
    """The next watch lasts, and ends with the fault as soon as the service is gone."""
    healthcheck.MARK.touch()
    assert await asyncio.to_thread(watch, 0.05) == ""
    watching = asyncio.create_task(asyncio.to_thread(watch, 600.0))
    await served.server.stop()
    assert "port" in await watching
    assert not healthcheck.MARK.exists()


async def test_program_tells_by_its_exit_code(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a program, it exits with nothing to say, or with what is wrong."""

    def run(*arguments: str) -> object:
        monkeypatch.setattr(sys, "argv", ["healthcheck.py", *arguments])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(healthcheck.__file__, run_name="__main__")
        return end.value.code

    assert await asyncio.to_thread(run) == 0
    monkeypatch.setenv("AIOENV_PORT", "nonsense")
    assert "nonsense" in str(await asyncio.to_thread(run))
