"""The embedded service: `from_environment`, on loopback in the client's own process."""

import asyncio
import threading
from typing import Any

import aiohttp
import pytest

from aioenv import (
    CapacityReached,
    ConnectionFailed,
    EnvironmentFailed,
    Observation,
    SessionLost,
    State,
)
from aioenv.client import GenericEnvClient
from aioenv.service import EmbeddedService, Environment, Settings
from echo_env import EchoAction, EchoEnv
from echo_env.environment import EchoEnvironment
from tests.client.conftest import RunScript
from tests.client.test_env_client import WorldEnv
from tests.environments import AsyncWorld, Census, PlainWorld, Word, populate


async def test_an_episode() -> None:
    """No service need run: the client brings its own, on loopback."""
    async with EchoEnv.from_environment(EchoEnvironment) as env:
        assert env.base_url is not None
        assert env.base_url.startswith("http://127.0.0.1:")
        await env.reset(episode_id="one")
        result = await env.step(EchoAction("Hello, World!"))
        assert result.observation.message_length == 13
        assert result.reward == pytest.approx(1.3)
        assert await env.state() == State(episode_id="one", step_count=1)


@pytest.mark.parametrize("kind", [AsyncWorld, PlainWorld])
async def test_it_ends_with_its_client(census: Census, kind: type[Any]) -> None:
    """Every environment is closed, and the port is free again, when the client is closed."""
    env = WorldEnv.from_environment(populate(census, kind))
    further = await env.new_session()
    await asyncio.gather(env.reset(), further.step(Word("x")))
    assert census.made == 2
    url = env.base_url
    assert url is not None
    await env.close()
    assert (census.closed, env.base_url) == (2, None)
    with pytest.raises(ConnectionFailed, match="Connect call failed"):
        await WorldEnv(url).reset()


async def test_it_was_never_used() -> None:
    """A client that nobody used starts nothing."""
    env = EchoEnv.from_environment(EchoEnvironment)
    await env.close()
    assert env.base_url is None


async def test_it_can_be_started_anew() -> None:
    """A client that was closed and is connected anew has a new service."""
    env = EchoEnv.from_environment(EchoEnvironment, max_concurrent_envs=1)
    for _ in range(3):
        await env.connect()
        await env.step(EchoAction("x"))
        assert (await env.state()).step_count == 1
        await env.close()


async def test_it_runs_on_the_clients_loop(census: Census) -> None:
    """Coroutine environments run on the event loop of their client; plain ones beside it."""
    here = threading.get_ident()
    for kind, is_here in ((AsyncWorld, True), (PlainWorld, False)):
        worlds: list[Any] = []

        class Kept(populate(census, kind)):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                worlds.append(self)  # noqa: B023  # it is of this turn

        async with WorldEnv.from_environment(Kept) as env:
            await env.step(Word("x"))
        assert (worlds[0].threads[1] == here) is is_here


async def test_others_may_come_in() -> None:
    """Other clients, and plain HTTP, reach the service at its address; they end with it."""
    async with EchoEnv.from_environment(EchoEnvironment) as env:
        assert env.base_url is not None
        other = EchoEnv(env.base_url)
        await other.reset()
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{env.base_url}/health") as response,
        ):
            assert await response.json() == {"status": "healthy"}
    with pytest.raises(SessionLost, match=r"the service is stopping \(close code 1001\)"):
        await other.step(EchoAction("x"))
    await other.close()


async def test_two_of_them_are_apart() -> None:
    """Each embedded client has a service of its own."""
    async with (
        EchoEnv.from_environment(EchoEnvironment, max_concurrent_envs=1) as one,
        EchoEnv.from_environment(EchoEnvironment, max_concurrent_envs=1) as two,
    ):
        assert one.base_url != two.base_url
        await asyncio.gather(one.reset(), two.reset())


# How many


async def test_as_many_as_one_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default there is no limit worth the name, whatever the environment variables say."""
    monkeypatch.setenv("MAX_CONCURRENT_ENVS", "1")
    async with EchoEnv.from_environment(EchoEnvironment) as env:
        further = [await env.new_session() for _ in range(100)]
        await asyncio.gather(*(child.reset() for child in further))


@pytest.mark.parametrize(
    "options",
    [
        {"max_concurrent_envs": 2},
        {"settings": Settings(max_concurrent_envs=2)},
        {"settings": Settings(max_concurrent_envs=1), "max_concurrent_envs": 2},
    ],
)
async def test_no_more_than_one_allows(options: dict[str, Any]) -> None:
    """A limit may be given, by itself or among all settings."""
    async with EchoEnv.from_environment(EchoEnvironment, **options) as env:
        await env.reset()
        second, third = await env.new_session(), await env.new_session()
        await second.reset()
        with pytest.raises(CapacityReached, match="2 of 2 sessions are in use"):
            await third.reset()


async def test_the_clients_options() -> None:
    """Options of the constructor go to the client, such as its patience."""
    async with EchoEnv.from_environment(
        EchoEnvironment, max_concurrent_envs=1, capacity_timeout_s=0.05
    ) as env:
        await env.reset()
        with pytest.raises(CapacityReached):
            await env.new_session()


# What is served


class Counted(EchoEnvironment):
    """An Echo that inherits its models."""


def make_echo() -> EchoEnvironment:
    """Make an Echo, as a factory does."""
    return EchoEnvironment()


async def make_echo_slowly() -> EchoEnvironment:
    """Make an Echo, as a factory does that has to wait for something."""
    await asyncio.sleep(0)
    return EchoEnvironment()


@pytest.mark.parametrize("factory", [EchoEnvironment, Counted, make_echo, make_echo_slowly])
async def test_what_makes_an_environment(factory: Any) -> None:
    """A class or a function, plain or a coroutine, may make the environments."""
    async with EchoEnv.from_environment(factory) as env:
        assert (await env.step(EchoAction("Hi"))).observation.echoed_message == "Hi"


@pytest.mark.parametrize("environment", [EchoEnvironment, Counted])
async def test_models_of_the_environment(environment: Any) -> None:
    """A client without models serves those that the environment was declared with."""
    async with GenericEnvClient.from_environment(environment) as env:
        result = await env.step({"message": "Hi"})
        assert result.observation["echoed_message"] == "Hi"


class Undeclared(Environment):  # type: ignore[type-arg]
    """Does not say what its models are."""

    def reset(self) -> Observation:
        """Begin."""
        return Observation()

    def step(self, action: Any) -> Observation:
        """Do nothing."""
        return Observation()

    @property
    def state(self) -> State:
        """Nothing to tell."""
        return State()


@pytest.mark.parametrize("environment", [Undeclared, make_echo])
def test_models_that_nobody_knows(environment: Any) -> None:
    """Where neither side knows the models, the client is refused when it is made."""
    with pytest.raises(
        TypeError, match=r"the models of .* are not known; derive it from Environment"
    ):
        GenericEnvClient.from_environment(environment)


def test_an_instance_is_no_factory() -> None:
    """An instance is refused when the client is made: every session has one of its own."""
    with pytest.raises(TypeError, match="pass the environment's class, not an instance"):
        EchoEnv.from_environment(EchoEnvironment())


async def test_an_environment_that_cannot_be_made() -> None:
    """A factory that raises is told as it is by any service."""

    def broken() -> EchoEnvironment:
        raise OSError("no display")

    async with EchoEnv.from_environment(broken) as env:
        with pytest.raises(
            EnvironmentFailed, match=r"\(FACTORY_ERROR\): broken cannot be made: no"
        ):
            await env.reset()


# The launcher by itself


async def test_the_launcher() -> None:
    """It starts, stops, starts anew, and may be stopped twice or without a start."""
    service = EmbeddedService(EchoEnvironment)
    await service.stop()
    for _ in range(2):
        async with EchoEnv(await service.start()) as env:
            assert (await env.step(EchoAction("Hi"))).observation.message_length == 2
        await service.stop()
        await service.stop()


def test_a_further_session_on_the_next_loop(run_script: RunScript) -> None:
    """It has the embedded service started anew, which ended with the loop that it lived on."""
    done = run_script(
        """
import asyncio
from echo_env import EchoEnv
from echo_env.environment import EchoEnvironment

env = EchoEnv.from_environment(EchoEnvironment)

async def open_further():
    await env.connect()
    return await env.new_session()

async def play(further):
    print((await further.reset()).observation.echoed_message)
    await env.close()

further = asyncio.run(open_further())
asyncio.run(play(further))
"""
    )
    assert done.stdout == "Echo environment ready!\n", done.stderr
