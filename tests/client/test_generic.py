"""The client without models: plain dicts in, plain dicts out."""

from types import MappingProxyType
from typing import Any

import pytest

from aioenv import InvalidRequest, ProtocolViolation, StepResult
from aioenv.client import EnvClient, GenericEnvClient
from echo_env import EchoAction
from tests.client.scripted import Peer, scripted
from tests.conftest import Serve, Served
from tests.environments import AsyncWorld, Census, populate


async def test_an_episode(echo: Served) -> None:
    """Actions, observations and states are what stands on the wire."""
    async with GenericEnvClient(base_url=echo.url) as env:
        ready = {"echoed_message": "Echo environment ready!", "message_length": 0, "metadata": {}}
        assert await env.reset(seed=7, episode_id="one") == StepResult(ready, 0.0, False, None)
        result = await env.step({"message": "Hi"})
        assert result.observation == {
            "echoed_message": "Hi",
            "message_length": 2,
            "metadata": {"step_count": 1},
        }
        assert result.reward == pytest.approx(0.2)
        assert (result.done, result.metadata) == (False, {"step_count": 1})
        assert await env.state() == {"episode_id": "one", "step_count": 1}


async def test_any_environment(serve: Serve, census: Census) -> None:
    """It drives environments that it has never heard of, all their state included."""
    served = await serve(populate(census, AsyncWorld))
    async with GenericEnvClient(served.url) as env:
        assert (await env.reset(do="hello")).observation["text"] == "hello"
        assert (await env.step({"text": "x"})).observation["text"] == "x"
        assert (await env.state())["heard"] == ["x"]


@pytest.mark.parametrize(
    "action", [{"message": "Hi"}, MappingProxyType({"message": "Hi"}), EchoAction("Hi")]
)
async def test_forms_of_an_action(echo: Served, action: Any) -> None:
    """An action may be a dict, any mapping, or an instance of an attrs class."""
    async with GenericEnvClient(echo.url) as env:
        assert (await env.step(action)).observation["echoed_message"] == "Hi"


@pytest.mark.parametrize("action", ["Hi", None, 3, ["message"]])
async def test_what_is_no_action(echo: Served, action: Any) -> None:
    """Anything else is a `TypeError` that shows it; nothing is sent."""
    async with GenericEnvClient(echo.url) as env:
        with pytest.raises(TypeError, match=r"takes a dict of the action's fields, not"):
            await env.step(action)
        assert (await env.state())["step_count"] == 0


async def test_a_refused_action(echo: Served) -> None:
    """What does not fit the service's action comes back with its path."""
    async with GenericEnvClient(echo.url) as env:
        with pytest.raises(InvalidRequest, match=r"\$\.message: this field is required"):
            await env.step({})
        with pytest.raises(InvalidRequest, match=r"\$\.volume: this field is unknown"):
            await env.step({"message": "Hi", "volume": 11})


async def test_sparse_replies() -> None:
    """What a service leaves out has its default."""

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.reply({"type": "observation", "data": {"observation": {"x": [1, None]}}})
        await peer.request()
        peer.reply({"type": "observation", "data": {"observation": None}})
        await peer.wait_gone()

    async with scripted(script) as service, GenericEnvClient(service.url) as env:
        assert await env.reset() == StepResult({"x": [1, None]}, None, False, None)
        with pytest.raises(ProtocolViolation, match="an observation reply without an observation"):
            await env.step({})


async def test_a_subclass_of_dicts(echo: Served) -> None:
    """A client may say itself that its models are dicts."""

    class Mine(EnvClient[dict[str, Any], dict[str, Any], dict[str, Any]]):
        """Knows no models."""

    async with Mine(echo.url) as env:
        assert (await env.step({"message": "Hi"})).observation["message_length"] == 2
