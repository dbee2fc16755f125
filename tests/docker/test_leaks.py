"""Leaks: whatever a client starts is gone in the end, however the client ends."""

import asyncio
import itertools
import os
import re
import signal
from collections.abc import Coroutine, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from aioenv import Closed
from aioenv.client import ContainerOptions, contexts, endings, launched_containers
from aioenv.client import containers as containers_module
from aioenv.client import engine as engine_module
from aioenv.client.engine import Engine
from aioenv.client.owners import Owner
from echo_env import EchoAction, EchoEnv
from tests.conftest import eventually
from tests.docker.images import docker
from tests.docker.launching import (
    SHORT_IDLE_S,
    Launch,
    Script,
    owned_by,
    wait_none_of,
    wait_some_of,
)
from tests.docker.proxy import Proxy

# The fixtures build an image: func_only.
pytestmark = pytest.mark.timeout(100, func_only=True)

PLAY = """
import asyncio
from echo_env import EchoEnv, EchoAction

async def play(env):
    await env.reset()
    print("playing", flush=True)
    while True:
        await env.step(EchoAction("x"))
        await asyncio.sleep(0.01)
"""
IN_A_CONTEXT = f"""{PLAY}
async def main():
    async with EchoEnv.from_docker_image(IMAGE) as env:
        await play(env)

asyncio.run(main())
"""
BLOCKING = """
import time
from echo_env import EchoEnv, EchoAction

with EchoEnv.from_docker_image(IMAGE) as env:
    env.reset()
    print("playing", flush=True)
    while True:
        env.step(EchoAction("x"))
        time.sleep(0.01)
"""
BLOCKING_UNCLOSED = """
import time
from echo_env import EchoEnv, EchoAction

env = EchoEnv.from_docker_image(IMAGE)
env.reset()
print("playing", flush=True)
while True:
    env.step(EchoAction("x"))
    time.sleep(0.01)
"""


class Interrupted:
    """Awaits a coroutine and cancels whoever awaits it when it suspends for the n-th time."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], at: int, times: int) -> None:
        self._coroutine = coroutine
        self._at = at
        self._times = times

    def __await__(self) -> Generator[Any, Any, Any]:
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()
        steps = self._coroutine.__await__()
        proceed, value = steps.send, None
        for count in itertools.count(1):
            try:
                future = proceed(value)
            except StopIteration as end:
                return end.value
            if self._at <= count < self._at + self._times:
                loop.call_soon(task.cancel)
            try:
                proceed, value = steps.send, (yield future)
            except BaseException as error:
                proceed, value = steps.throw, error
        raise AssertionError("counting never ends")


async def interrupt(coroutine: Coroutine[Any, Any, Any], at: int, times: int) -> bool:
    """Cancel a coroutine at its n-th suspension; return whether it was through before."""

    async def run() -> None:
        await Interrupted(coroutine, at, times)

    task = asyncio.create_task(run())
    await asyncio.wait([task])
    if task.cancelled():
        return False
    task.result()
    return True


# Cancellation and errors


@pytest.mark.timeout(300, func_only=True)
@pytest.mark.parametrize("times", [1, 2])
async def test_cancelled_at_every_await(launch: Launch, times: int) -> None:
    """Wherever a launch is cancelled, once or again while it tidies up, nothing is left."""
    for at in itertools.count(1):
        env = launch()
        through = await interrupt(env.connect(), at, times)
        if through:
            await env.close()
        elif times == 1:  # a clean-up that is cancelled itself goes on without anybody waiting
            assert await asyncio.to_thread(owned_by, os.getpid()) == []
        if through:
            break
    assert at > 10
    await wait_none_of(os.getpid())
    await _engine_is_closed()


@pytest.mark.parametrize("state", ["created", "running"])
async def test_cancelled_while_docker_works(
    launch: Launch, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """A launch that is cancelled while Docker starts its container leaves nothing either."""
    with _held_at(state, monkeypatch) as options:
        starting = asyncio.create_task(_connect(launch(**options)))
        await wait_some_of(os.getpid(), f"status={state}")
        starting.cancel()
        await asyncio.wait([starting])
        assert await asyncio.to_thread(owned_by, os.getpid()) == []


@contextmanager
def _held_at(state: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Let launches get no further than to a state of their containers; gives options for them."""
    with Proxy("POST .*/start " if state == "created" else "(?!)", holds=True) as proxy:
        monkeypatch.setenv("DOCKER_HOST", proxy.url)
        yield {"command": ["sleep", "600"], "stop_timeout_s": 0}


async def test_cancelled_while_it_closes(launch: Launch) -> None:
    """A close that is cancelled goes on by itself."""
    for at in itertools.count(1):
        env = launch()
        await env.connect()
        through = await interrupt(env.close(), at, 1)
        await wait_none_of(os.getpid())
        await _engine_is_closed()
        if through:
            break
    assert at > 1


def test_the_event_loop_ends_in_the_middle(launch: Launch) -> None:
    """A clean-up that nobody waits for any more is seen through before the event loop closes."""

    async def main() -> None:
        task = asyncio.create_task(_connect(launch()))
        await wait_some_of(os.getpid())
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0)

    asyncio.run(main())
    assert owned_by(os.getpid()) == []


def test_the_event_loop_ends_while_it_starts(launch: Launch) -> None:
    """So is the launch itself, which is cancelled with the loop."""

    async def main() -> None:
        main.task = asyncio.create_task(_connect(launch()))  # type: ignore[attr-defined]
        await wait_some_of(os.getpid())

    asyncio.run(main())
    assert owned_by(os.getpid()) == []


def test_the_event_loop_ends_while_docker_creates(
    launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So is what Docker creates after the request for it was cut off with the loop."""
    with Proxy("POST .*/containers/create") as proxy:
        monkeypatch.setenv("DOCKER_HOST", proxy.url)

        async def main() -> None:
            main.task = asyncio.create_task(_connect(launch()))  # type: ignore[attr-defined]
            await asyncio.to_thread(proxy.reached.wait)

        asyncio.run(main())
        assert owned_by(os.getpid()) == []


async def _connect(env: EchoEnv) -> None:
    await env.connect()


async def _engine_is_closed() -> None:
    """Wait until clean-ups in the background have closed what they used."""
    loop = asyncio.get_running_loop()
    await eventually(lambda: loop not in engine_module._engines)


async def test_an_exception_in_the_body(launch: Launch) -> None:
    """It comes through as it is, and the container is gone."""

    async def fail() -> None:
        async with launch() as env:
            await env.reset()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await asyncio.to_thread(owned_by, os.getpid()) == []


async def test_closed_while_it_starts(launch: Launch) -> None:
    """A client that is closed by somebody else gives up its start."""
    env = launch()
    starting = asyncio.ensure_future(env.connect())
    await wait_some_of(os.getpid())
    await env.close()
    assert await asyncio.to_thread(owned_by, os.getpid()) == []
    with pytest.raises(Closed):
        await starting


async def test_a_container_that_others_removed(launch: Launch) -> None:
    """Closing a client whose container is gone already is no error."""
    async with launch() as env:
        await env.reset()
        launcher: Any = env._launcher
        await asyncio.to_thread(docker, "rm", "--force", launcher.container_id)
    assert env.base_url is None


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("unix:///no/such/socket", r"Cannot connect to Docker Engine via .*"),
        ("", r"the Docker daemon does not answer [(]no socket of it .*"),
        (None, "Docker does not answer"),
    ],
    ids=["gone", "without a trace", "hangs"],
)
async def test_docker_is_gone_when_it_closes(
    launch: Launch,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    host: str | None,
    reason: str,
) -> None:
    """What cannot be removed is told, with the way to remove it; the close goes on."""
    env = await launch(stop_timeout_s=0)
    launcher: Any = env._launcher
    container = launcher.container_id
    await launcher._watch.close()
    with monkeypatch.context() as patch, Proxy("POST .*/stop", holds=True) as proxy:
        patch.setattr(contexts, "_SOCKETS", ())
        patch.setattr(endings, "ANSWER_S", 0.1)
        patch.setenv("DOCKER_HOST", proxy.url if host is None else host)
        await env.close()
    words = f"the container {container} may still run: {reason}; `aioenv prune` removes it"
    assert re.search(words, caplog.text)
    assert launcher.container_id is None
    await asyncio.to_thread(docker, "rm", "--force", container)


# Programs that end


@pytest.mark.parametrize(
    "source",
    [IN_A_CONTEXT, BLOCKING, BLOCKING_UNCLOSED],
    ids=["async with", "with", "blocking, never closed"],
)
def test_ctrl_c(script: Script, source: str) -> None:
    """A program that is interrupted while it plays removes its container before it ends."""
    process = script(source)
    process.wait_line("playing", 60)
    assert len(owned_by(process.pid)) == 1
    os.kill(process.pid, signal.SIGINT)
    process._process.wait(60)
    assert owned_by(process.pid) == []


@pytest.mark.parametrize("source", [IN_A_CONTEXT, BLOCKING], ids=["async with", "with"])
@pytest.mark.parametrize("state", ["created", "running"])
async def test_ctrl_c_while_it_starts(
    script: Script, monkeypatch: pytest.MonkeyPatch, source: str, state: str
) -> None:
    """So does one that is interrupted before it could play."""
    with _held_at(state, monkeypatch) as options:
        process = script(source.replace("(IMAGE)", f"(IMAGE, **{options})"))
        await wait_some_of(process.pid, f"status={state}")
        os.kill(process.pid, signal.SIGINT)
        process._process.wait(60)
        assert owned_by(process.pid) == []


def test_a_program_that_forgets_to_close(script: Script) -> None:
    """What was not closed is removed when the interpreter ends."""
    process = script(f"""{PLAY}
async def main():
    # The service waits so long for a session whose client does not answer any more.
    variables = {{"AIOENV_CLOSE_TIMEOUT_S": "0.1"}}
    env = await EchoEnv.from_docker_image(IMAGE, idle_exit_s=0, env_vars=variables)
    await env.reset()
    print("played", flush=True)

asyncio.run(main())
""")
    process.wait_line("played", 60)
    process._process.wait(60)
    assert owned_by(process.pid) == []


def test_a_fork_leaves_it_to_its_parent(script: Script) -> None:
    """A child process that closes the client, or ends, does not remove the parent's container."""
    process = script("""
import os
from echo_env import EchoEnv, EchoAction

env = EchoEnv.from_docker_image(IMAGE)
env.reset()
if not os.fork():
    env.close()
    raise SystemExit
os.wait()
print("still", env.step(EchoAction("here")).observation.echoed_message, flush=True)
env.close()
""")
    process.wait_line("still here", 60)
    process._process.wait(60)
    assert owned_by(process.pid) == []


# Programs that are killed


async def test_killed_while_it_plays(script: Script) -> None:
    """After SIGKILL the container notices that nobody uses it, ends by itself and is removed."""
    process = script(IN_A_CONTEXT.replace("(IMAGE)", f"(IMAGE, idle_exit_s={SHORT_IDLE_S})"))
    await asyncio.to_thread(process.wait_line, "playing", 60)
    assert len(owned_by(process.pid)) == 1
    os.kill(process.pid, signal.SIGKILL)
    await wait_none_of(process.pid)


async def test_killed_while_it_starts(script: Script) -> None:
    """So it does where nobody had used it yet."""
    process = script(IN_A_CONTEXT.replace("(IMAGE)", f"(IMAGE, idle_exit_s={SHORT_IDLE_S})"))
    await wait_some_of(process.pid, "status=running")
    os.kill(process.pid, signal.SIGKILL)
    await wait_none_of(process.pid)


async def test_killed_before_it_started_it(launch: Launch, echo_image: str) -> None:
    """What was created and never started is removed with the next launch on this machine."""
    other = await asyncio.create_subprocess_exec("true")
    await other.wait()
    its = Owner(Owner.this_process().place, other.pid, "12345")
    config = ContainerOptions().config(echo_image)
    config["Labels"] = its.labels()
    async with Engine.joined() as engine:
        await engine.docker.containers.create(config)
    async with launch() as env:
        await env.step(EchoAction("x"))
        assert owned_by(other.pid) == []
        pids = {container.owner.pid for container in await launched_containers()}
        assert os.getpid() in pids


def test_nothing_is_remembered_of_what_was_stopped(launch: Launch) -> None:
    """The list of what is to be stopped at the interpreter's end holds what runs, alone."""
    with launch() as env:
        assert env._launcher in containers_module._running
    assert env._launcher not in containers_module._running
