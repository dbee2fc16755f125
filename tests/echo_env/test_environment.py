"""Echo: the environment by itself, its models, and the ways to run it."""

import re
import signal
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import echo_env
from aioenv import State
from aioenv.service import SERVICE
from echo_env import EchoAction, EchoEnv, EchoObservation, environment
from echo_env.app import app
from echo_env.environment import EchoEnvironment, check
from tests.peer.process import LineProcess


async def test_reset_greets() -> None:
    """A reset greets, rewards nothing, and begins an episode by the name that was asked for."""
    env = EchoEnvironment()
    assert await env.reset(seed=7, episode_id="one") == EchoObservation(
        "Echo environment ready!", 0, reward=0.0, done=False, metadata={}
    )
    assert env.state == State(episode_id="one", step_count=0)


async def test_episodes_without_a_name_get_one() -> None:
    """Each reset without a name makes up a new one, and counts from 0 again."""
    env = EchoEnvironment()
    assert env.state == State(episode_id=None, step_count=0)
    names = set()
    for _ in range(3):
        await env.reset()
        await env.step(EchoAction("x"))
        assert env.state.step_count == 1
        names.add(env.state.episode_id)
    assert len(names) == 3
    assert None not in names


@pytest.mark.parametrize(
    ("message", "reward"),
    [("Hi", 0.2), ("Hello, World!", 1.3), ("", 0.0), ("x" * 100, 10.0)],
)
async def test_rewards(message: str, reward: float) -> None:
    """The reward is a tenth of the message's length, without a limit."""
    observation = await EchoEnvironment().step(EchoAction(message))
    assert observation.reward == pytest.approx(reward)
    assert observation.done is False


@pytest.mark.parametrize(
    ("message", "length"),
    [("äöü", 3), ("e\u0301", 2), ("🎈", 1), ("👩‍🚀", 3), ("🇦🇶", 2), ("\ud800", 1), ("a\u0000b", 3)],
)
async def test_length_counts_code_points(message: str, length: int) -> None:
    """The length counts Unicode code points, not bytes and not what a reader would count."""
    observation = await EchoEnvironment().step(EchoAction(message))
    assert (observation.echoed_message, observation.message_length) == (message, length)
    assert observation.reward == pytest.approx(length / 10)


@given(messages=st.lists(st.text(), max_size=5))
@settings(max_examples=50, deadline=None)
async def test_it_says_what_it_hears(messages: list[str]) -> None:
    """Every message comes back unchanged, with its length and the number of the step."""
    env = EchoEnvironment()
    await env.reset()
    for count, message in enumerate(messages, start=1):
        observation = await env.step(EchoAction(message))
        assert observation.echoed_message == message
        assert observation.message_length == len(message)
        assert observation.metadata == {"step_count": count}
        assert env.state.step_count == count


async def test_it_steps_before_the_first_reset() -> None:
    """A step before the first reset is answered, too, as in OpenEnv's."""
    env = EchoEnvironment()
    assert (await env.step(EchoAction("early"))).echoed_message == "early"
    assert env.state == State(episode_id=None, step_count=1)


def test_models_say_what_they_are() -> None:
    """The models are plain attrs classes: the message first, the rest by name."""
    assert EchoAction("Hi") == EchoAction(message="Hi")
    observation = EchoObservation("Hi", 2)
    assert (observation.reward, observation.done, observation.metadata) == (None, False, {})
    with pytest.raises(TypeError):
        EchoAction()  # type: ignore[call-arg]


def test_what_there_is_to_import() -> None:
    """The package offers the models and the client, and nothing of a server."""
    assert sorted(echo_env.__all__) == ["EchoAction", "EchoEnv", "EchoObservation"]
    assert EchoEnv.__name__ in echo_env.__all__
    script = (
        "import sys, echo_env\n"
        "print('aioenv.client' in sys.modules, 'aioenv.service' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "True False\n"


def test_the_application() -> None:
    """The application serves Echo under the name that its manifest has."""
    assert app[SERVICE].name == "echo_env"
    assert app[SERVICE].factory is EchoEnvironment


# Checking it


async def test_its_check_finds_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's own check passes, and fails where the environment does wrong."""
    lines = await check()
    assert len(lines) == len(set(lines)) == 8
    monkeypatch.setattr(environment, "REWARD_PER_CHARACTER", 0.2)
    with pytest.raises(AssertionError):
        await check()


@pytest.mark.parametrize("way", [["-m", "echo_env.environment"], [environment.__file__]])
def test_it_can_be_checked_from_the_command_line(way: list[str]) -> None:
    """Run as a module or as a file, it says what it checked, and exits with 0."""
    done = subprocess.run([sys.executable, *way], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    *checked, verdict = done.stdout.splitlines()
    assert verdict == "The Echo environment keeps its promises."
    assert all(line.startswith("ok  ") for line in checked)
    assert any("'Hello, World!' is echoed, length 13, reward 1.3" in line for line in checked)


def test_its_check_fails_in_an_optimised_interpreter_too() -> None:
    """``python -O`` leaves assertions out, and finds what is wrong nevertheless."""
    script = (
        "import asyncio\n"
        "from echo_env import environment\n"
        "environment.REWARD_PER_CHARACTER = 0.2\n"
        "asyncio.run(environment.check())\n"
    )
    command = [sys.executable, "-O", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "AssertionError: EchoObservation(" in done.stderr


# Serving it


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_serves_until_a_signal(number: signal.Signals) -> None:
    """``python -m echo_env`` serves, says where, and ends in good order when it is told to."""
    command = [sys.executable, "-m", "echo_env"]
    with LineProcess(command, environment={"AIOENV_PORT": "0"}) as process:
        pattern = re.compile(r"^Serving echo_env on (http://127\.0\.0\.1:\d+)$")
        url = process.wait_line(pattern, 30).group(1)
        async with EchoEnv(url) as env:
            assert (await env.step(EchoAction("Hi"))).observation.echoed_message == "Hi"
        process._process.send_signal(number)
        assert process._process.wait(30) == 0
