"""Plays against the real OpenEnv: its client on our service, our clients on its server.

The first half also runs OpenEnv's client on OpenEnv's own server, with the same asserts: what we
demand of our service is then what OpenEnv does, and not what we believe it to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import pytest
from attrs import frozen

from aioenv import (
    AioEnvError,
    CapacityReached,
    EnvironmentFailed,
    InvalidRequest,
    RequestTimeout,
    SessionLost,
    State,
)
from aioenv.client import GenericEnvClient
from echo_env import EchoAction, EchoEnv, EchoObservation
from echo_env.environment import EchoEnvironment
from tests.conftest import Serve, limit_replies
from tests.peer.process import LineProcess, ProcessFailed
from tests.peer.provision import TAIL_LINES, Peer, PeerUnavailable, provide, run

# The fixtures install a hundred packages and start servers that import for seconds: func_only.
pytestmark = [
    pytest.mark.timeout(100, func_only=True),
    pytest.mark.xdist_group("peer"),  # OpenEnv's server takes long to start: once is enough
]

Report = dict[str, Any]

#: How long anything may take here before it counts as hung.
DEADLINE_S = 60.0

MESSAGES = ["Hi", "Hello, World!", "", "naïve 🌍 e\u0301", 'a "quoted" \\ line\n\t\x00']
LENGTHS = [2, 13, 0, 10, 20]
SERVICE_LIMIT = 20
CROWDED_LIMIT = 2

HOLD = "fault: hold"
HANG = "fault: hang"
RAISE = "fault: raise"
END_THE_SESSION = "fault: end the session"


# Servers and players


@frozen
class Host:
    """A running server, and the reward that its Echo gives for a message's length."""

    url: str
    process: LineProcess
    reward: Callable[[int], float]


@frozen
class Player:
    """A process of the peer's interpreter that plays scenarios with OpenEnv's client."""

    process: LineProcess

    def play(self, host: Host, scenario: str) -> Report:
        """Play a scenario of `tests/peer/play.py` and return what it saw."""
        self.process.write_line(f"{host.url} {scenario}")
        line = self.process.wait_line(r'^\{"scenario": ', DEADLINE_S).string
        report: Report = json.loads(line)
        assert report["scenario"] == scenario
        assert "failure" not in report, report["failure"]
        saw: Report = report["saw"]
        return saw


@contextlib.contextmanager
def openenv_host(peer: Peer, limit: int) -> Iterator[Host]:
    """Run OpenEnv's server."""
    command = peer.command("serve.py", "--max-concurrent-envs", limit, "--with-faults")
    with LineProcess(command, cwd=peer.folder) as process:
        url = process.wait_line(r"^READY (http://\S+)$", DEADLINE_S)[1]
        yield Host(url=url, process=process, reward=lambda length: min(length * 0.1, 1.0))


@pytest.fixture(scope="session")
def openenv_server(peer: Peer) -> Iterator[Host]:
    """Give OpenEnv's server with room for everybody."""
    with openenv_host(peer, SERVICE_LIMIT) as host:
        yield host


@pytest.fixture(scope="session")
def crowded_openenv_server(peer: Peer) -> Iterator[Host]:
    """Give OpenEnv's server with room for two sessions."""
    with openenv_host(peer, CROWDED_LIMIT) as host:
        yield host


@pytest.fixture(scope="session")
def aioenv_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Give our service, started as a user starts it, in a folder that isn't the checkout."""
    command = [sys.executable, "-m", "aioenv.cli", "serve", "echo_env.app:app"]
    command += ["--port", "0", "--max-concurrent-envs", str(SERVICE_LIMIT)]
    with LineProcess(command, cwd=tmp_path_factory.mktemp("service")) as process:
        url = process.wait_address(DEADLINE_S)
        yield Host(url=url, process=process, reward=lambda length: length * 0.1)


@pytest.fixture(params=["aioenv", "openenv"])
def host(request: pytest.FixtureRequest) -> Host:
    """Give each server in turn; OpenEnv's is the control."""
    fixture = {"aioenv": "aioenv_service", "openenv": "openenv_server"}[request.param]
    host: Host = request.getfixturevalue(fixture)
    return host


@pytest.fixture(scope="session")
def player(peer: Peer) -> Iterator[Player]:
    """Give a player; importing OpenEnv takes seconds, so one plays every scenario."""
    with LineProcess(peer.command("play.py"), cwd=peer.folder) as process:
        process.wait_line("^READY$", DEADLINE_S)
        yield Player(process)


# OpenEnv's client on our service


def assert_ready(result: Report) -> None:
    """Check what OpenEnv's typed client made of the reply to a reset."""
    assert result["class"] == "EchoObservation"
    assert "ready" in result["echoed_message"]
    assert result["message_length"] == 0
    assert result["reward"] == result["observation_reward"] == 0.0
    assert result["done"] is result["observation_done"] is False
    assert result["observation_metadata"] is not None


def assert_echo(result: Report, message: str, reward: float) -> None:
    """Check what OpenEnv's typed client made of the reply to a step."""
    assert result["class"] == "EchoObservation"
    assert result["echoed_message"] == message
    assert result["message_length"] == len(message)
    assert result["reward"] == result["observation_reward"] == pytest.approx(reward)
    assert result["done"] is result["observation_done"] is False
    assert isinstance(result["observation_metadata"], dict)


@pytest.mark.parametrize(
    "style", ["typed_async", "typed_sync", "typed_blocking", "typed_blocking_with"]
)
def test_its_typed_client_plays_an_episode(player: Player, host: Host, style: str) -> None:
    """OpenEnv's generated client plays a whole episode, in each of its calling styles."""
    saw = player.play(host, style)
    assert_ready(saw["reset"])
    assert [step["message_length"] for step in saw["steps"]] == LENGTHS
    for step, message in zip(saw["steps"], MESSAGES, strict=True):
        assert_echo(step, message, host.reward(len(message)))
    assert saw["state"] == {"episode_id": "ep-7", "step_count": len(MESSAGES)}


def test_its_typed_client_begins_a_second_episode(player: Player, host: Host) -> None:
    """A second reset of OpenEnv's client begins an episode with another id and no steps."""
    saw = player.play(host, "typed_async")
    assert_ready(saw["second_reset"])
    assert saw["second_state"]["episode_id"] not in {None, "", "ep-7"}
    assert saw["second_state"]["step_count"] == 0


@pytest.mark.parametrize("style", ["generic_async", "generic_blocking"])
def test_its_generic_client_plays_an_episode(player: Player, host: Host, style: str) -> None:
    """OpenEnv's generic client plays a whole episode with dictionaries."""
    saw = player.play(host, style)
    assert "ready" in saw["reset"]["observation"]["echoed_message"]
    assert saw["reset"]["reward"] == 0.0
    for step, message in zip(saw["steps"], MESSAGES, strict=True):
        assert step["observation"]["echoed_message"] == message
        assert step["observation"]["message_length"] == len(message)
        assert step["reward"] == pytest.approx(host.reward(len(message)))
        assert step["done"] is False
        # They travel beside the observation, never in it.
        assert not {"reward", "done"} & set(step["observation"])
    assert saw["state"] == {"episode_id": "ep-7", "step_count": len(MESSAGES)}


def test_its_concurrent_sessions_stay_apart(player: Player, host: Host) -> None:
    """Sixteen sessions of OpenEnv's client run at once, each with its own environment."""
    episodes = player.play(host, "concurrent")["episodes"]
    assert len(episodes) == 16
    for number, episode in enumerate(episodes):
        for step, message in zip(episode["steps"], episode["sent"], strict=True):
            assert_echo(step, message, host.reward(len(message)))
        expected = {"episode_id": f"ep-{number}", "step_count": len(episode["sent"])}
        assert episode["state"] == expected


@pytest.mark.parametrize("style", ["new_session", "new_session_sync"])
def test_its_new_session_has_its_own_environment(player: Player, host: Host, style: str) -> None:
    """A session that OpenEnv's client opens from another one has an environment of its own."""
    saw = player.play(host, style)
    assert_echo(saw["step"], "from the child", host.reward(14))
    assert saw["parent_state"] == {"episode_id": "parent", "step_count": 0}
    assert saw["child_state"] == {"episode_id": "child", "step_count": 1}


def test_its_client_is_told_of_the_capacity(player: Player, host: Host) -> None:
    """At the limit OpenEnv's client gets CAPACITY_REACHED, and a slot that it frees at once."""
    saw = player.play(host, "capacity")
    assert saw["opened"] == saw["limit"] == SERVICE_LIMIT
    assert saw["refusal"]["class"] == "RuntimeError"
    assert saw["refusal"]["text"].startswith("Server error: ")
    assert saw["refusal"]["text"].endswith("(code: CAPACITY_REACHED)")
    assert_echo(saw["others"], "still here", host.reward(10))
    assert_ready(saw["admitted"])


def test_its_session_survives_refused_actions(player: Player, host: Host) -> None:
    """An action that the schema refuses is a VALIDATION_ERROR, counts no step, ends nothing."""
    saw = player.play(host, "errors")
    assert set(saw["errors"]) == {"unknown field", "missing field", "wrong type", "null"}
    for error in saw["errors"].values():
        assert error["class"] == "RuntimeError"
        assert error["text"].startswith("Server error: ")
        assert error["text"].endswith("(code: VALIDATION_ERROR)")
    assert saw["step"]["observation"]["echoed_message"] == "Hi"
    assert saw["step"]["reward"] == pytest.approx(0.2)
    assert saw["state"] == {"episode_id": "ep-errors", "step_count": 1}


class FaultyEcho(EchoEnvironment):
    """Our Echo, plus one message for each way in which a step goes wrong."""

    async def step(self, action: EchoAction) -> EchoObservation:
        """Echo the message unless it names a fault."""
        if action.message == RAISE:
            raise LookupError("the step was asked to fail")
        if action.message == HANG:
            await asyncio.Event().wait()
        return await super().step(action)


def no_echo() -> EchoEnvironment:
    """Fail to make an environment."""
    raise LookupError("there is no echo here")


class PlayOurs(Protocol):
    """The `play_ours` fixture."""

    async def __call__(self, environment: Any, scenario: str) -> Report:
        """Play a scenario in an environment of ours."""


@pytest.fixture
def play_ours(serve: Serve, player: Player) -> PlayOurs:
    """Have OpenEnv's client play in environments that this process serves."""

    async def play(environment: Any, scenario: str) -> Report:
        served = await serve(
            environment,
            action=EchoAction,
            observation=EchoObservation,
            state=State,
            step_timeout_s=0.2,
        )
        host = Host(served.url, player.process, lambda length: length * 0.1)
        return await asyncio.to_thread(player.play, host, scenario)

    return play


def assert_failed_step(saw: Report, text: str, reward: float) -> None:
    """Check that a step failed with these words, and that the session went on."""
    assert saw["error"] == {"class": "RuntimeError", "text": text}
    assert_echo(saw["step"], "Hi", reward)
    assert saw["state"] == {"episode_id": "ep-failed", "step_count": 1}


async def test_its_session_survives_a_failed_step(
    player: Player, play_ours: PlayOurs, openenv_server: Host
) -> None:
    """A step that raises is an EXECUTION_ERROR with its words, here as on OpenEnv's server."""
    text = "Server error: the step was asked to fail (code: EXECUTION_ERROR)"
    assert_failed_step(await play_ours(FaultyEcho, "step_that_raises"), text, 0.2)
    assert_failed_step(player.play(openenv_server, "step_that_raises"), text, 0.2)


async def test_its_session_survives_a_step_that_hangs(play_ours: PlayOurs) -> None:
    """A step that takes too long is an EXECUTION_TIMEOUT, a code that its client did not know."""
    text = "Server error: step took longer than 0.2 s (code: EXECUTION_TIMEOUT)"
    assert_failed_step(await play_ours(FaultyEcho, "step_that_hangs"), text, 0.2)


async def test_its_client_is_told_that_no_environment_can_be_made(play_ours: PlayOurs) -> None:
    """A factory that raises is a FACTORY_ERROR with its words."""
    saw = await play_ours(no_echo, "failed_reset")
    assert saw["error"] == {
        "class": "RuntimeError",
        "text": "Server error: no_echo cannot be made: there is no echo here (code: FACTORY_ERROR)",
    }


def test_its_client_may_begin_without_a_reset(player: Player, host: Host) -> None:
    """State and step are answered in a session that was never reset."""
    saw = player.play(host, "before_reset")
    assert saw["state"]["step_count"] == 0
    assert_echo(saw["step"], "Hi", host.reward(2))
    assert saw["state_after"] == {"episode_id": saw["state"]["episode_id"], "step_count": 1}


def test_its_unknown_reset_options_are_dropped(player: Player, host: Host) -> None:
    """A reset option that the environment doesn't take is dropped without an error."""
    assert_ready(player.play(host, "unknown_reset_option")["reset"])


def test_its_client_echoes_a_large_message(player: Player, host: Host) -> None:
    """A message of some megabytes goes there and back unharmed, compressed as its client asks."""
    saw = player.play(host, "large")
    assert saw["equal"] is True
    assert saw["message_length"] == saw["sent"] == 2_000_000


def test_its_client_cancels_a_step(player: Player, host: Host) -> None:
    """After a cancelled step OpenEnv's client opens a new session, which works."""
    saw = player.play(host, "cancelled")
    assert saw["outcome"] == "CancelledError"
    assert_ready(saw["reset"])
    assert_echo(saw["step"], "read", host.reward(4))
    assert saw["state"] == {"episode_id": "ep-next", "step_count": 1}


# The Model Context Protocol


def test_its_mcp_client_shares_a_session_with_its_websocket(player: Player, host: Host) -> None:
    """OpenEnv's MCP client opens a session through /mcp, plays in it by WebSocket, closes it."""
    saw = player.play(host, "mcp_session")
    assert "ready" in saw["observation"]["echoed_message"]
    assert saw["state"] == {"episode_id": "ep-mcp", "step_count": 0}


def test_its_mcp_client_plays_with_our_tools(player: Player, aioenv_service: Host) -> None:
    """OpenEnv's MCP client lists and calls the tools, in the session of its WebSocket.

    Its own server has no tools for an environment that does not bring any, such as Echo.
    """
    saw = player.play(aioenv_service, "mcp_tools")
    assert saw["tools"] == ["reset", "step", "state"]
    assert saw["call"]["echoed_message"] == "Hi"
    assert saw["call"]["reward"] == pytest.approx(0.2)
    assert saw["state"] == {"episode_id": "ep-mcp", "step_count": 1}
    assert saw["error"]["class"] == "RuntimeError"
    assert "$.message: this field is required" in saw["error"]["text"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("{}", -32600),
        ("{bad", -32700),
        ("", -32700),
        ('{"jsonrpc":"2.0","id":"a","method":"nope"}', -32601),
        ('{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{}}', -32602),
        ('{"jsonrpc":"2.0","id":"a","method":"tools/list","params":{"session_id":"x"}}', -32602),
        ('{"jsonrpc":"2.0","id":"a","method":"openenv/session/close"}', -32602),
        (
            '{"jsonrpc":"2.0","id":"a","method":"openenv/session/close",'
            '"params":{"session_id":"x"}}',
            -32602,
        ),
    ],
)
async def test_a_refused_call_has_its_code(host: Host, body: str, code: int) -> None:
    """What cannot be answered at /mcp is a JSON-RPC error with OpenEnv's code and status."""
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{host.url}/mcp", data=body) as response,
    ):
        assert response.status == 200
        reply = await response.json()
    assert reply["jsonrpc"] == "2.0"
    assert reply["error"]["code"] == code
    assert reply["id"] == ("a" if '"a"' in body else None)


async def test_a_session_that_is_attached_closes_when_it_is_detached(host: Host) -> None:
    """Sessions are created, attached and closed with the same replies as OpenEnv's."""
    async with aiohttp.ClientSession() as http:

        async def rpc(method: str, **params: str) -> Any:
            body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            async with http.post(f"{host.url}/mcp", json=body) as response:
                return await response.json()

        session_id = (await rpc("openenv/session/create"))["result"]["session_id"]
        async with http.ws_connect(f"{host.url}/ws?session_id={session_id}") as socket:
            await socket.send_str('{"type":"reset","data":{"episode_id":"ep-1"}}')
            assert (await socket.receive_json())["type"] == "observation"
            own = {"jsonrpc": "2.0", "id": 2, "method": "openenv/session/create"}
            await socket.send_json({"type": "mcp", "data": own})
            reply = await socket.receive_json()
            assert reply["data"]["result"] == {"session_id": session_id}
            closing = (await rpc("openenv/session/close", session_id=session_id))["result"]
            assert closing == {"session_id": session_id, "closed": False, "closing": True}
        while "error" not in (ended := await rpc("openenv/session/close", session_id=session_id)):
            assert ended["result"]["closing"]  # the end of the connection is on its way
        assert ended["error"]["code"] == -32602


@pytest.mark.parametrize(
    ("message", "code"),
    [("{}", -32600), ("{bad", -32700), ('{"jsonrpc":"2.0","id":1,"method":"nope"}', -32601)],
)
async def test_a_websocket_at_mcp_answers_like_openenvs(
    host: Host, message: str, code: int
) -> None:
    """A frame that cannot be answered is a JSON-RPC error, and the connection goes on."""
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{host.url}/mcp") as socket:
        for _ in range(2):
            await socket.send_str(message)
            assert (await socket.receive_json())["error"]["code"] == code
        create = {"jsonrpc": "2.0", "id": 1, "method": "openenv/session/create"}
        await socket.send_json(create)
        assert (await socket.receive_json())["result"]["session_id"]


# Its validator


def test_its_validator_passes_the_service(peer: Peer, aioenv_service: Host) -> None:
    """``openenv validate --url`` finds every criterion met, the required ones and the others."""
    command = [str(peer.python), "-I", "-m", "openenv.cli", "validate", "--json"]
    outcome = subprocess.run(
        [*command, "--url", aioenv_service.url, "--timeout", "30"],
        cwd=peer.folder,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    report = json.loads(outcome.stdout)
    failed = [criterion for criterion in report["criteria"] if not criterion["passed"]]
    assert failed == []
    assert len(report["criteria"]) == 6
    assert (report["passed"], report["mode"]) == (True, "simulation")
    assert report["standard_profile"] == "openenv-http/1.x"
    assert outcome.returncode == 0, outcome.stderr


# Our clients on OpenEnv's server


async def test_our_client_plays_an_episode(openenv_server: Host) -> None:
    """Our typed client plays a whole episode on OpenEnv's server."""
    async with EchoEnv(base_url=openenv_server.url) as env:
        result = await env.reset(seed=7, episode_id="ep-7")
        assert "ready" in result.observation.echoed_message
        assert (result.reward, result.done) == (0.0, False)
        for number, message in enumerate(MESSAGES, start=1):
            result = await env.step(EchoAction(message=message))
            assert result.observation.echoed_message == message
            assert result.observation.message_length == len(message)
            assert result.reward == pytest.approx(openenv_server.reward(len(message)))
            assert result.done is False
            metadata = {"original_message": message, "step": number}
            assert result.observation.metadata == result.metadata == metadata
        state = await env.state()
        assert (state.episode_id, state.step_count) == ("ep-7", len(MESSAGES))
        await env.reset()
        state = await env.state()
        assert state.episode_id != "ep-7"
        assert state.step_count == 0


async def test_our_client_may_begin_without_a_reset(openenv_server: Host) -> None:
    """State and step need no reset on OpenEnv's server, and no ``async with`` on our side."""
    env = EchoEnv(base_url=openenv_server.url)
    try:
        assert (await env.state()).step_count == 0
        assert (await env.step(EchoAction(message="Hi"))).reward == pytest.approx(0.2)
        assert (await env.state()).step_count == 1
    finally:
        await env.close()


async def test_our_generic_client_plays_an_episode(openenv_server: Host) -> None:
    """Our generic client takes and gives dictionaries on OpenEnv's server."""
    async with GenericEnvClient(base_url=openenv_server.url) as env:
        result = await env.reset(seed=7, episode_id="ep-7")
        assert "ready" in result.observation["echoed_message"]
        result = await env.step({"message": "Hi"})
        assert result.observation["echoed_message"] == "Hi"
        assert result.observation["message_length"] == 2
        assert result.observation["metadata"] == {"original_message": "Hi", "step": 1}
        assert result.reward == pytest.approx(0.2)
        assert result.done is False
        assert await env.state() == {"episode_id": "ep-7", "step_count": 1}


async def test_our_concurrent_sessions_stay_apart(openenv_server: Host) -> None:
    """Sixteen sessions of our client run at once, each with its own environment."""

    async def episode(number: int) -> None:
        async with EchoEnv(base_url=openenv_server.url) as env:
            await env.reset(episode_id=f"ep-{number}")
            for step in range(5):
                message = f"session {number}, step {step}"
                result = await env.step(EchoAction(message=message))
                assert result.observation.echoed_message == message
            state = await env.state()
            assert (state.episode_id, state.step_count) == (f"ep-{number}", 5)

    await asyncio.gather(*map(episode, range(16)))


async def test_our_new_session_has_its_own_environment(openenv_server: Host) -> None:
    """A session that our client opens from another one has an environment of its own."""
    async with EchoEnv(base_url=openenv_server.url) as parent:
        await parent.reset(episode_id="parent")
        child = await parent.new_session()
        await child.reset(episode_id="child")
        result = await child.step(EchoAction(message="from the child"))
        assert result.observation.echoed_message == "from the child"
        parent_state, child_state = await parent.state(), await child.state()
        assert (parent_state.episode_id, parent_state.step_count) == ("parent", 0)
        assert (child_state.episode_id, child_state.step_count) == ("child", 1)


async def test_our_client_echoes_a_large_message(openenv_server: Host) -> None:
    """A message of some megabytes goes there and back unharmed."""
    message = "aé" * 1_000_000
    async with EchoEnv(base_url=openenv_server.url) as env:
        result = await env.step(EchoAction(message=message))
    assert result.observation.echoed_message == message


# The same, blocking


def untyped(client: Any) -> Any:
    """Return a client as Any: its types say what `await` gives, these calls block instead."""
    return client


def test_our_blocking_calls_play_an_episode(openenv_server: Host) -> None:
    """Called where no loop runs, our client's methods block and return results."""
    env = untyped(EchoEnv(base_url=openenv_server.url))
    try:
        assert "ready" in env.reset(seed=7, episode_id="ep-7").observation.echoed_message
        result = env.step(EchoAction(message="Hi"))
        assert result.observation.echoed_message == "Hi"
        assert result.observation.message_length == 2
        assert result.reward == pytest.approx(0.2)
        assert result.done is False
        state = env.state()
        assert (state.episode_id, state.step_count) == ("ep-7", 1)
    finally:
        env.close()


def test_our_blocking_context_manager_plays_an_episode(openenv_server: Host) -> None:
    """Where no loop runs, a plain ``with`` connects and closes our client."""
    with untyped(EchoEnv(base_url=openenv_server.url)) as env:
        env.reset(episode_id="ep-with")
        assert env.step(EchoAction(message="Hello, World!")).reward == pytest.approx(1.0)
        assert env.state().step_count == 1


def test_our_sync_twin_plays_an_episode(openenv_server: Host) -> None:
    """The blocking twin that ``.sync()`` gives plays an episode."""
    with EchoEnv(base_url=openenv_server.url).sync() as env:
        env.reset(episode_id="ep-sync")
        assert env.step(EchoAction(message="")).reward == 0.0
        state = env.state()
        assert (state.episode_id, state.step_count) == ("ep-sync", 1)


def test_our_blocking_generic_client_plays_an_episode(openenv_server: Host) -> None:
    """Our generic client connects, plays and closes with plain calls."""
    env = untyped(GenericEnvClient(base_url=openenv_server.url))
    try:
        env.connect()
        env.reset(seed=7)
        assert env.step({"message": "Hi"}).observation["echoed_message"] == "Hi"
        assert env.state()["step_count"] == 1
    finally:
        env.close()


def test_our_blocking_clients_work_from_threads(openenv_server: Host) -> None:
    """Blocking clients in four threads at once play their own episodes."""

    def episode(number: int) -> tuple[int, int]:
        with untyped(EchoEnv(base_url=openenv_server.url)) as env:
            env.reset()
            for step in range(10):
                result = env.step(EchoAction(message=f"Client {number}, step {step}"))
            return result.observation.message_length, env.state().step_count

    with ThreadPoolExecutor(max_workers=4) as executor:
        assert list(executor.map(episode, range(4))) == [(len("Client 0, step 9"), 10)] * 4


# What goes wrong there


async def test_our_session_survives_refused_actions(openenv_server: Host) -> None:
    """An action that OpenEnv's server refuses is an InvalidRequest, and the session goes on."""
    async with GenericEnvClient(base_url=openenv_server.url) as env:
        await env.reset(episode_id="ep-errors")
        with pytest.raises(InvalidRequest, match="volume") as unknown:
            await env.step({"message": "Hi", "volume": 11})
        assert unknown.value.code == "VALIDATION_ERROR"
        assert [list(error["loc"]) for error in unknown.value.errors] == [["volume"]]
        assert [error["type"] for error in unknown.value.errors] == ["extra_forbidden"]
        with pytest.raises(InvalidRequest, match="message") as missing:
            await env.step({})
        assert [error["type"] for error in missing.value.errors] == ["missing"]
        result = await env.step({"message": "Hi"})
        assert result.observation["echoed_message"] == "Hi"
        assert await env.state() == {"episode_id": "ep-errors", "step_count": 1}


async def test_our_session_survives_a_failed_step(openenv_server: Host) -> None:
    """A step that raises there is an EnvironmentFailed with its words; the session goes on."""
    async with EchoEnv(base_url=openenv_server.url) as env:
        await env.reset(episode_id="ep-raise")
        with pytest.raises(EnvironmentFailed, match="the step was asked to fail") as failed:
            await env.step(EchoAction(message=RAISE))
        assert failed.value.code == "EXECUTION_ERROR"
        result = await env.step(EchoAction(message="Hi"))
        assert result.observation.echoed_message == "Hi"
        assert (await env.state()).episode_id == "ep-raise"


def test_our_blocking_client_raises_the_same_errors(openenv_server: Host) -> None:
    """Blocking calls raise the errors that awaiting them raises, and the session goes on."""
    with untyped(GenericEnvClient(base_url=openenv_server.url)) as env:
        env.reset(episode_id="ep-errors")
        with pytest.raises(InvalidRequest, match="volume"):
            env.step({"message": "Hi", "volume": 11})
        with pytest.raises(EnvironmentFailed, match="asked to fail"):
            env.step({"message": RAISE})
        assert env.step({"message": "Hi"}).observation["echoed_message"] == "Hi"


async def test_our_client_never_re_enters_a_lost_session(openenv_server: Host) -> None:
    """When OpenEnv's server drops the session, only a reset begins a new one."""
    async with EchoEnv(base_url=openenv_server.url) as env:
        await env.reset(episode_id="ep-lost")
        with pytest.raises(AioEnvError):
            await env.step(EchoAction(message=END_THE_SESSION))
        with pytest.raises(SessionLost):
            await env.step(EchoAction(message="Hi"))
        with pytest.raises(SessionLost):
            await env.state()
        await env.reset(episode_id="ep-new")
        await env.step(EchoAction(message="Hi"))
        state = await env.state()
        assert (state.episode_id, state.step_count) == ("ep-new", 1)


@pytest.mark.parametrize("how", ["cancel", "wait_for", "message_timeout_s"])
async def test_our_client_never_shifts_replies(openenv_server: Host, how: str) -> None:
    """A step that is given up while it runs leaves the session in step: no reply shifts."""
    timeout_s = 0.2
    expected: type[BaseException] = {
        "cancel": asyncio.CancelledError,
        "wait_for": TimeoutError,
        "message_timeout_s": RequestTimeout,
    }[how]
    async with EchoEnv(base_url=openenv_server.url, message_timeout_s=DEADLINE_S) as env:
        await env.reset(episode_id="ep-held")
        if how == "message_timeout_s":
            limit_replies(env, timeout_s)
        limit_s = timeout_s if how == "wait_for" else None
        step = env.step(EchoAction(message=HOLD))
        held = asyncio.ensure_future(asyncio.wait_for(step, limit_s))
        process = openenv_server.process
        try:
            await asyncio.to_thread(process.wait_line, "^HOLDING$", DEADLINE_S)
            if how == "cancel":
                held.cancel()
            with pytest.raises(expected):
                await held
            limit_replies(env, DEADLINE_S)
            following = asyncio.ensure_future(env.step(EchoAction(message="after")))
            await asyncio.sleep(0)
        finally:
            process.write_line("go on")
        assert (await following).observation.echoed_message == "after"
        result = await env.step(EchoAction(message="and after that"))
        assert result.observation.echoed_message == "and after that"
        # The same session all along: the step that was given up has run there, too.
        state = await env.state()
        assert (state.episode_id, state.step_count) == ("ep-held", 3)


# Its capacity


@pytest.fixture
async def occupants(crowded_openenv_server: Host) -> AsyncIterator[list[EchoEnv]]:
    """Fill the crowded server with sessions of ours."""
    url = crowded_openenv_server.url
    async with contextlib.AsyncExitStack() as stack:
        clients = []
        for _ in range(CROWDED_LIMIT):
            # Waits, for the sessions of the test before may still be ending there.
            client = EchoEnv(base_url=url, capacity_timeout_s=DEADLINE_S)
            clients.append(await stack.enter_async_context(client))
            await client.reset()
        yield clients


async def test_our_client_is_refused_at_the_limit(
    crowded_openenv_server: Host, occupants: list[EchoEnv]
) -> None:
    """At the limit our client raises CapacityReached with the numbers, and others go on."""
    with pytest.raises(CapacityReached) as refused:
        async with EchoEnv(base_url=crowded_openenv_server.url) as env:
            await env.reset()
    assert (refused.value.active, refused.value.limit) == (CROWDED_LIMIT, CROWDED_LIMIT)
    for client in occupants:
        result = await client.step(EchoAction(message="still here"))
        assert result.observation.echoed_message == "still here"


async def test_our_client_waits_for_a_slot(
    crowded_openenv_server: Host, occupants: list[EchoEnv]
) -> None:
    """With a capacity time-out our client waits until a session ends, then takes its slot."""
    env = EchoEnv(base_url=crowded_openenv_server.url, capacity_timeout_s=10)
    waiting = asyncio.ensure_future(env.reset(episode_id="ep-waited"))
    try:
        done, _ = await asyncio.wait({waiting}, timeout=0.3)
        assert not done
        await occupants[0].close()
        assert "ready" in (await waiting).observation.echoed_message
        assert (await env.state()).episode_id == "ep-waited"
    finally:
        waiting.cancel()
        await env.close()


async def test_our_client_gives_up_waiting_for_a_slot(
    crowded_openenv_server: Host, occupants: list[EchoEnv]
) -> None:
    """When no session ends within its capacity time-out, our client raises CapacityReached."""
    env = EchoEnv(base_url=crowded_openenv_server.url, capacity_timeout_s=0.3)
    try:
        with pytest.raises(CapacityReached) as refused:
            await env.reset()
        assert refused.value.limit == CROWDED_LIMIT
    finally:
        await env.close()


# The harness itself


def test_a_process_that_ends_is_noticed() -> None:
    """Waiting for a line of a process that has ended fails at once and shows its last lines."""
    with LineProcess([sys.executable, "-c", "print('first'); print('last')"]) as process:
        with pytest.raises(ProcessFailed, match="last") as failed:
            process.wait_line("never", DEADLINE_S)
        assert "ended without printing 'never'" in failed.value.reason
        with pytest.raises(ProcessFailed):
            process.wait_line("never", DEADLINE_S)


def test_a_silent_process_is_given_up() -> None:
    """Waiting for a line of a process that stays silent fails at its deadline."""
    silent = LineProcess([sys.executable, "-c", "input()"])
    with silent, pytest.raises(ProcessFailed, match=r"within 0\.1 s"):
        silent.wait_line("never", 0.1)


def test_a_process_that_ignores_sigterm_is_killed() -> None:
    """A process that doesn't end when asked is killed and waited for."""
    program = (
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('DEAF')\n"
        "while True: time.sleep(60)"
    )
    with LineProcess([sys.executable, "-c", program], stop_timeout_s=0.2) as process:
        process.wait_line("DEAF", DEADLINE_S)
        assert process.stop() == -9


def test_a_failed_command_shows_its_last_lines() -> None:
    """A command of the installation that fails is quoted with its stage and its last lines."""
    program = "import sys; print(*range(1000), sep='\\n'); sys.exit('no such distribution')"
    with pytest.raises(PeerUnavailable) as failed:
        run("install it", [sys.executable, "-c", program])
    assert "could not install it:\n" in str(failed.value)
    lines = failed.value.detail.splitlines()
    assert "no such distribution" in lines
    assert len(lines) == TAIL_LINES


def test_a_slow_command_is_given_up() -> None:
    """A command of the installation that takes too long is killed."""
    program = "import threading; threading.Event().wait()"
    with pytest.raises(PeerUnavailable, match=r"gave up after 0\.1 s"):
        run("install it", [sys.executable, "-c", program], timeout_s=0.1)


def test_a_failed_installation_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installation that fails leaves nothing but its lock, also of a half-made one."""
    (tmp_path / "lock").touch()
    (tmp_path / "venv").mkdir()
    (tmp_path / "complete.json").write_text("{}")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    stages: list[str] = []
    with pytest.raises(PeerUnavailable, match="could not make a virtual environment"):
        provide(tmp_path, report=stages.append)
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
    assert len(stages) == 1


def test_a_stranger_folder_is_left_alone(tmp_path: Path) -> None:
    """A folder that holds somebody else's virtual environment is refused, not emptied."""
    (tmp_path / "venv").mkdir()
    with pytest.raises(PeerUnavailable, match="venv from somewhere else"):
        provide(tmp_path)
    assert (tmp_path / "venv").is_dir()
