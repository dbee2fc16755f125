"""Plays scenarios against a service with OpenEnv's own client, and reports what it saw.

Run by the peer's interpreter, never ours::

    play.py URL SCENARIO      play one and print its report; or IMAGE from_docker_image
    play.py                   read lines "URL SCENARIO" and print a report for each

A report is one line of JSON: ``{"scenario": …, "saw": {…}}``, or ``{"scenario": …, "failure":
traceback}``. It holds raw values only; what they ought to be is the business of the tests.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

# Not import statements: our type checker knows none of these, or takes `echo_env` for our own.
core: Any = importlib.import_module("openenv.core")
mcp_client: Any = importlib.import_module("openenv.core.mcp_client")
echo_env: Any = importlib.import_module("echo_env")
EchoAction: Any = echo_env.EchoAction
EchoEnv: Any = echo_env.EchoEnv
GenericEnvClient: Any = core.GenericEnvClient

Report = dict[str, Any]

MESSAGES = ["Hi", "Hello, World!", "", "naïve 🌍 e\u0301", 'a "quoted" \\ line\n\t\x00']
SESSIONS = 16
STEPS = 5
CAPACITY = 20
SCENARIO_TIMEOUT_S = 60.0
MESSAGE_TIMEOUT_S = 20.0


def connect(client: Any, url: str) -> Any:
    """Return a client of the given class for the service at url."""
    return client(base_url=url, message_timeout_s=MESSAGE_TIMEOUT_S)


# What was seen, as JSON


def seen(result: Any) -> Report:
    """Return everything that a typed result says."""
    observation = result.observation
    return {
        "class": type(observation).__name__,
        "echoed_message": observation.echoed_message,
        "message_length": observation.message_length,
        "reward": result.reward,
        "done": result.done,
        "metadata": result.metadata,
        "observation_reward": observation.reward,
        "observation_done": observation.done,
        "observation_metadata": observation.metadata,
    }


def seen_generic(result: Any) -> Report:
    """Return everything that a generic result says."""
    return {
        "observation": result.observation,
        "reward": result.reward,
        "done": result.done,
        "metadata": result.metadata,
    }


def seen_error(exc: BaseException) -> Report:
    """Return what an exception says."""
    return {"class": type(exc).__name__, "text": str(exc)}


def seen_state(state: Any) -> Report:
    """Return everything that a typed state says."""
    dumped: Report = state.model_dump()
    return dumped


# One session, typed and generic, in every style that OpenEnv offers


async def typed_async(url: str) -> Report:
    """Play an episode and begin the next: ``async with``, ``await``."""
    async with connect(EchoEnv, url) as env:
        return {
            "reset": seen(await env.reset(seed=7, episode_id="ep-7")),
            "steps": [seen(await env.step(EchoAction(message=text))) for text in MESSAGES],
            "state": seen_state(await env.state()),
            "second_reset": seen(await env.reset()),
            "second_state": seen_state(await env.state()),
        }


def typed_sync(url: str) -> Report:
    """Play an episode through ``.sync()``."""
    with connect(EchoEnv, url).sync() as env:
        return {
            "reset": seen(env.reset(seed=7, episode_id="ep-7")),
            "steps": [seen(env.step(EchoAction(message=text))) for text in MESSAGES],
            "state": seen_state(env.state()),
        }


def typed_blocking(url: str) -> Report:
    """Play an episode with plain calls where no loop runs; neither ``with`` nor ``.sync()``."""
    env = connect(EchoEnv, url)
    try:
        return {
            "reset": seen(env.reset(seed=7, episode_id="ep-7")),
            "steps": [seen(env.step(EchoAction(message=text))) for text in MESSAGES],
            "state": seen_state(env.state()),
        }
    finally:
        env.close()


def typed_blocking_with(url: str) -> Report:
    """Play an episode in a plain ``with`` where no loop runs."""
    with connect(EchoEnv, url) as env:
        return {
            "reset": seen(env.reset(seed=7, episode_id="ep-7")),
            "steps": [seen(env.step(EchoAction(message=text))) for text in MESSAGES],
            "state": seen_state(env.state()),
        }


async def generic_async(url: str) -> Report:
    """Play an episode with dictionaries."""
    async with connect(GenericEnvClient, url) as env:
        return {
            "reset": seen_generic(await env.reset(seed=7, episode_id="ep-7")),
            "steps": [seen_generic(await env.step({"message": text})) for text in MESSAGES],
            "state": await env.state(),
        }


def generic_blocking(url: str) -> Report:
    """Play an episode with dictionaries and plain calls."""
    env = connect(GenericEnvClient, url)
    try:
        return {
            "reset": seen_generic(env.reset(seed=7, episode_id="ep-7")),
            "steps": [seen_generic(env.step({"message": text})) for text in MESSAGES],
            "state": env.state(),
        }
    finally:
        env.close()


# Many sessions


async def concurrent(url: str) -> Report:
    """Play one episode in each of many sessions at the same time."""

    async def episode(number: int) -> Report:
        async with connect(EchoEnv, url) as env:
            await env.reset(episode_id=f"ep-{number}")
            texts = [f"session {number}, step {step}" for step in range(STEPS)]
            return {
                "sent": texts,
                "steps": [seen(await env.step(EchoAction(message=text))) for text in texts],
                "state": seen_state(await env.state()),
            }

    return {"episodes": await asyncio.gather(*map(episode, range(SESSIONS)))}


async def new_session(url: str) -> Report:
    """Open a second session from a first, and have the first one's close end both."""
    async with connect(EchoEnv, url) as parent:
        await parent.reset(episode_id="parent")
        child = await parent.new_session()
        await child.reset(episode_id="child")
        step = seen(await child.step(EchoAction(message="from the child")))
        return {
            "class": type(child).__name__,
            "step": step,
            "parent_state": seen_state(await parent.state()),
            "child_state": seen_state(await child.state()),
        }


def new_session_sync(url: str) -> Report:
    """Open a second session from a first through ``.sync()``."""
    with connect(EchoEnv, url).sync() as parent:
        parent.reset(episode_id="parent")
        child = parent.new_session()
        child.reset(episode_id="child")
        return {
            "step": seen(child.step(EchoAction(message="from the child"))),
            "parent_state": seen_state(parent.state()),
            "child_state": seen_state(child.state()),
        }


async def capacity(url: str) -> Report:
    """Fill a service of CAPACITY sessions, ask for one more, then free one and ask again."""
    clients = [connect(EchoEnv, url) for _ in range(CAPACITY)]
    refused, admitted = connect(EchoEnv, url), connect(EchoEnv, url)
    report: Report = {"limit": CAPACITY}
    try:
        for client in clients:
            await client.reset()
        report["opened"] = len(clients)
        try:
            await refused.reset()
        except Exception as exc:
            report["refusal"] = seen_error(exc)
        report["others"] = seen(await clients[0].step(EchoAction(message="still here")))
        await clients[1].close()
        report["admitted"] = seen(await admitted.reset())
    finally:
        for client in (*clients, refused, admitted):
            await client.close()
    return report


# Containers


async def from_docker_image(image: str) -> Report:
    """Have OpenEnv's own launcher start a container of an image, and play an episode there."""
    env = await EchoEnv.from_docker_image(image)
    try:
        return {
            "reset": seen(await env.reset(seed=7, episode_id="ep-7")),
            "steps": [seen(await env.step(EchoAction(message=text))) for text in MESSAGES],
            "state": seen_state(await env.state()),
        }
    finally:
        await env.close()


# Things that go wrong


async def errors(url: str) -> Report:
    """Send actions that the schema refuses, then go on in the same session."""
    bad_actions: dict[str, Report] = {
        "unknown field": {"message": "Hi", "volume": 11},
        "missing field": {},
        "wrong type": {"message": 3},
        "null": {"message": None},
    }
    report: Report = {"errors": {}}
    async with connect(GenericEnvClient, url) as env:
        await env.reset(episode_id="ep-errors")
        for name, action in bad_actions.items():
            try:
                report["errors"][name] = {"result": seen_generic(await env.step(action))}
            except Exception as exc:
                report["errors"][name] = seen_error(exc)
        report["step"] = seen_generic(await env.step({"message": "Hi"}))
        report["state"] = await env.state()
    return report


async def failed_reset(url: str) -> Report:
    """Reset where no environment can be made."""
    async with connect(EchoEnv, url) as env:
        try:
            return {"reset": seen(await env.reset())}
        except Exception as exc:
            return {"error": seen_error(exc)}


async def _failed_step(url: str, message: str) -> Report:
    """Take a step that fails, then go on in the same session."""
    async with connect(EchoEnv, url) as env:
        await env.reset(episode_id="ep-failed")
        report: Report = {}
        try:
            report["result"] = seen(await env.step(EchoAction(message=message)))
        except Exception as exc:
            report["error"] = seen_error(exc)
        report["step"] = seen(await env.step(EchoAction(message="Hi")))
        report["state"] = seen_state(await env.state())
        return report


async def step_that_raises(url: str) -> Report:
    """Take a step that raises there."""
    return await _failed_step(url, "fault: raise")


async def step_that_hangs(url: str) -> Report:
    """Take a step that takes too long there."""
    return await _failed_step(url, "fault: hang")


async def before_reset(url: str) -> Report:
    """Ask for the state and take a step in a session that was never reset."""
    async with connect(EchoEnv, url) as env:
        return {
            "state": seen_state(await env.state()),
            "step": seen(await env.step(EchoAction(message="Hi"))),
            "state_after": seen_state(await env.state()),
        }


async def unknown_reset_option(url: str) -> Report:
    """Reset with an option that no environment takes."""
    async with connect(EchoEnv, url) as env:
        return {"reset": seen(await env.reset(seed=7, no_such_option=[1, 2]))}


async def large(url: str) -> Report:
    """Echo a message of two million characters, half of them outside ASCII."""
    text = "aé" * 1_000_000
    async with connect(EchoEnv, url) as env:
        result = await env.step(EchoAction(message=text))
    return {
        "sent": len(text),
        "equal": result.observation.echoed_message == text,
        "message_length": result.observation.message_length,
    }


async def cancelled(url: str) -> Report:
    """Cancel a step after it was sent; OpenEnv's client then opens a new session by itself."""
    async with connect(EchoEnv, url) as env:
        await env.reset(episode_id="ep-cancelled")
        step = asyncio.ensure_future(env.step(EchoAction(message="never read")))
        await asyncio.sleep(0)
        step.cancel()
        outcome = (await asyncio.gather(step, return_exceptions=True))[0]
        return {
            "outcome": type(outcome).__name__,
            "reset": seen(await env.reset(episode_id="ep-next")),
            "step": seen(await env.step(EchoAction(message="read"))),
            "state": seen_state(await env.state()),
        }


# The Model Context Protocol


def connect_mcp(url: str) -> Any:
    """Return the client that opens a session through /mcp and attaches its WebSocket to it."""
    return mcp_client.MCPToolClient(base_url=url, message_timeout_s=MESSAGE_TIMEOUT_S)


async def mcp_session(url: str) -> Report:
    """Play by the WebSocket in a session that was opened through /mcp, and close it there."""
    async with connect_mcp(url) as env:
        result = await env.reset(episode_id="ep-mcp")
        return {
            "observation": result.observation.model_dump(),
            "state": seen_state(await env.state()),
        }


async def mcp_tools(url: str) -> Report:
    """List and call tools beside the WebSocket, in the one session of both."""
    async with connect_mcp(url) as env:
        report: Report = {"tools": [tool.name for tool in await env.list_tools()]}
        await env.reset(episode_id="ep-mcp")
        report["call"] = await env.call_tool("step", message="Hi")
        report["state"] = seen_state(await env.state())
        try:
            await env.call_tool("step", volume=11)
        except Exception as exc:
            report["error"] = seen_error(exc)
        return report


# Running them

SCENARIOS: dict[str, Callable[[str], Any]] = {
    scenario.__name__: scenario
    for scenario in (
        typed_async,
        typed_sync,
        typed_blocking,
        typed_blocking_with,
        generic_async,
        generic_blocking,
        concurrent,
        new_session,
        new_session_sync,
        capacity,
        errors,
        failed_reset,
        step_that_raises,
        step_that_hangs,
        before_reset,
        unknown_reset_option,
        large,
        cancelled,
        mcp_session,
        mcp_tools,
        from_docker_image,
    )
}


def play(url: str, name: str) -> Report:
    """Play one scenario and return its report; a failure is a report too."""
    try:
        scenario = SCENARIOS[name]
        if inspect.iscoroutinefunction(scenario):
            saw = asyncio.run(asyncio.wait_for(scenario(url), SCENARIO_TIMEOUT_S))
        else:
            saw = scenario(url)
    except Exception:
        return {"scenario": name, "failure": traceback.format_exc()}
    return {"scenario": name, "saw": saw}


def main(argv: Sequence[str] | None = None) -> int:
    """Play what the command line, or else each line of the standard input, asks for."""
    arguments = sys.argv[1:] if argv is None else argv
    if len(arguments) == 2:
        report = play(*arguments)
        print(json.dumps(report), flush=True)
        return 1 if "failure" in report else 0
    if arguments:
        print(f"usage: play.py [URL SCENARIO]; scenarios: {' '.join(SCENARIOS)}", file=sys.stderr)
        return 2
    print("READY", flush=True)
    for line in sys.stdin:
        url, name = line.split()
        print(json.dumps(play(url, name)), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
