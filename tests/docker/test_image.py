"""The image, as the Dockerfile builds it, in real containers."""

from __future__ import annotations

import pytest

from echo_env import EchoAction, EchoEnv
from tests.docker.conftest import Run

# The fixtures build an image: func_only.
pytestmark = pytest.mark.timeout(100, func_only=True)


async def test_plays_an_episode(run_image: Run) -> None:
    """A container plays an episode over its published port."""
    echo = await run_image()
    await echo.wait_healthy()
    async with EchoEnv(base_url=echo.url) as env:
        await env.reset(episode_id="ep-1")
        result = await env.step(EchoAction("Hello, World!"))
        assert result.observation.echoed_message == "Hello, World!"
        assert (await env.state()).episode_id == "ep-1"
