"""The launcher: `from_docker_image`, from a container's start to its removal, with real Docker."""

import asyncio
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aioenv import Closed, ConnectionFailed, LaunchFailed, SessionLost
from aioenv.client import ContainerLauncher, ContainerOptions, GenericEnvClient
from aioenv.client.engine import Engine
from echo_env import EchoAction, EchoEnv
from tests.docker.images import docker
from tests.docker.launching import SHORT_IDLE_S, Launch, facts_of, make_context, owned_by
from tests.docker.proxy import Proxy

# The fixtures build an image: func_only.
pytestmark = pytest.mark.timeout(100, func_only=True)


async def check(env: EchoEnv) -> None:
    """Check that a client plays."""
    result = await env.step(EchoAction("Hi"))
    assert result.observation.echoed_message == "Hi"


async def execute(env: EchoEnv, *command: str) -> tuple[int, str]:
    """Run a command in a client's container; return its exit code and what it printed."""
    launcher: Any = env._launcher
    async with Engine.joined() as engine:
        container = engine.docker.containers.container(launcher.container_id)
        execution = await container.exec(list(command))
        printed = b""
        async with execution.start(detach=False) as stream:
            while (message := await stream.read_out()) is not None:
                printed += message.data
        return (await execution.inspect())["ExitCode"], printed.decode()


# Ways to use it


async def test_a_context(launch: Launch) -> None:
    """``async with`` starts a container and removes it; it is reached on loopback alone."""
    async with launch() as env:
        await env.reset(episode_id="one")
        await check(env)
        assert (await env.state()).episode_id == "one"
        ports = (await facts_of(env))["NetworkSettings"]["Ports"]["8000/tcp"]
        assert [port["HostIp"] for port in ports] == ["127.0.0.1"]
        assert env.base_url == f"http://127.0.0.1:{ports[0]['HostPort']}"
    assert env.base_url is None


async def test_awaiting_it(launch: Launch) -> None:
    """OpenEnv's own style: await it, play, close it."""
    env = await launch()
    await check(env)
    await env.close()


def test_blocking(launch: Launch) -> None:
    """Where no event loop runs, the same methods block."""
    env = launch()
    assert env.reset().observation.message_length == 0  # type: ignore[attr-defined]
    assert env.step(EchoAction("Hi")).reward == pytest.approx(0.2)  # type: ignore[attr-defined]
    env.close()  # type: ignore[unused-coroutine]


def test_blocking_contexts(launch: Launch) -> None:
    """``with`` works on the client, and on its typed blocking twin."""
    with launch() as env:
        assert env.step(EchoAction("Hi")).reward == pytest.approx(0.2)  # type: ignore[attr-defined]
    with launch().sync() as twin:
        assert twin.step(EchoAction("Hi")).reward == pytest.approx(0.2)


async def test_it_starts_when_it_is_first_used(launch: Launch) -> None:
    """A client that nobody used has started nothing, and can be closed."""
    env = launch()
    assert env.base_url is None
    await env.close()
    assert repr(env._launcher) == f"<ContainerLauncher {env._launcher.image} idle>"  # type: ignore[union-attr]


async def test_it_can_be_started_anew(launch: Launch) -> None:
    """A client that was closed and is used again has a new container."""
    env = launch()
    seen = set()
    for _ in range(2):
        await env.connect()
        await check(env)
        seen.add((await facts_of(env))["Id"])
        await env.close()
    assert len(seen) == 2


async def test_further_sessions_share_the_container(launch: Launch) -> None:
    """They need no session of the owner's, and end with it at the latest."""
    env = launch()
    one, two = await asyncio.gather(env.new_session(), env.new_session())
    await asyncio.gather(check(one), check(two))
    assert len(await asyncio.to_thread(owned_by, os.getpid())) == 1
    assert one.base_url == two.base_url == env.base_url
    await env.close()
    with pytest.raises(Closed):
        await check(one)


async def test_without_models(launch: Launch, echo_image: str) -> None:
    """The client that knows no models launches as well."""
    async with GenericEnvClient.from_docker_image(echo_image, message_timeout_s=20.0) as env:
        result = await env.step({"message": "Hi"})
        assert result.observation["echoed_message"] == "Hi"


async def test_a_space(echo_image: str, nothing_left: None) -> None:
    """A Space's image is launched by the Space's name."""
    name = f"aioenv-test-{os.getpid()}"
    image = f"registry.hf.space/{name}-echo:latest"
    docker("tag", echo_image, image)
    try:
        async with EchoEnv.from_env(f"{name}/echo") as env:
            await check(env)
            assert (await facts_of(env))["Config"]["Image"] == image
    finally:
        docker("rmi", image)


# How it runs


async def test_it_is_hardened(launch: Launch) -> None:
    """It has no capability, gains none, and may not take more than so much."""
    async with launch() as env:
        facts = await facts_of(env)
        host = facts["HostConfig"]
        assert (host["CapDrop"], host["CapAdd"]) == (["ALL"], [])
        assert host["SecurityOpt"] == ["no-new-privileges"]
        assert (host["Memory"], host["PidsLimit"]) == (2 << 30, 512)
        assert host["AutoRemove"] is True
        assert "AIOENV_IDLE_EXIT_S=120" in facts["Config"]["Env"]
        _, status = await execute(env, "cat", "/proc/1/status")
        told = dict(line.split(":\t", 1) for line in status.splitlines())
        assert {int(told[f"Cap{which}"], 16) for which in ("Prm", "Eff", "Bnd")} == {0}
        assert told["NoNewPrivs"] == "1"


async def test_it_can_be_relaxed(launch: Launch, tmp_path: Path) -> None:
    """Each limit can be moved or lifted."""
    (tmp_path / "note").write_text("from outside", "utf-8")
    options: dict[str, Any] = {
        "memory": None,
        "pids_limit": None,
        "cpus": 1.5,
        "cap_drop": ["NET_RAW"],
        "cap_add": ["SYS_PTRACE"],
        "no_new_privileges": False,
        "volumes": [f"{tmp_path}:/data:ro"],
        "idle_exit_s": 0,
        "user": "0:0",
    }
    async with launch(**options) as env:
        facts = await facts_of(env)
        host = facts["HostConfig"]
        assert (host["CapDrop"], host["CapAdd"]) == (["NET_RAW"], ["SYS_PTRACE"])
        assert not host["SecurityOpt"]
        assert (host["Memory"], host["PidsLimit"], host["NanoCpus"]) == (0, None, 1_500_000_000)
        assert "AIOENV_IDLE_EXIT_S=0" in facts["Config"]["Env"]
        assert await execute(env, "cat", "/data/note") == (0, "from outside")


async def test_read_only_and_without_root(launch: Launch) -> None:
    """A whole episode is played where no file can be written but in ``/tmp``."""
    async with launch(read_only=True, user="1234:1234", memory="256m") as env:
        await env.reset()
        await check(env)
        assert await execute(env, "id", "-u") == (0, "1234\n")
        code, words = await execute(env, "touch", "/opt/aioenv/x")
        assert code != 0
        assert "Read-only file system" in words
        assert await execute(env, "touch", "/tmp/x") == (0, "")


async def test_environment_variables(launch: Launch, caplog: pytest.LogCaptureFixture) -> None:
    """They reach the service, and are shown nowhere."""
    caplog.set_level(logging.DEBUG)
    async with launch(env_vars={"MAX_CONCURRENT_ENVS": 3, "SECRET": "s3cr3t"}) as env:
        assert await execute(env, "printenv", "MAX_CONCURRENT_ENVS", "SECRET") == (0, "3\ns3cr3t\n")
        launcher: Any = env._launcher
        assert "s3cr3t" not in f"{env!r} {launcher!r} {launcher.options!r} {caplog.text}"


async def test_another_port(launch: Launch) -> None:
    """The service may listen elsewhere in the container, and be published where one wants."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host_port = probe.getsockname()[1]
    async with launch(port=9000, host_port=host_port, env_vars={"AIOENV_PORT": "9000"}) as env:
        assert env.base_url == f"http://127.0.0.1:{host_port}"
        await check(env)


async def test_published_on_every_address(launch: Launch) -> None:
    """What listens on every address of this machine is reached on loopback."""
    async with launch(host_ip="0.0.0.0") as env:
        assert env.base_url is not None
        assert env.base_url.startswith("http://127.0.0.1:")
        await check(env)


@pytest.fixture
def network(docker_daemon: str) -> Iterator[str]:
    """Make a Docker network, until the test ends."""
    name = f"aioenv-test-{os.getpid()}"
    docker("network", "create", name)
    yield name
    docker("network", "rm", name)


async def test_a_network(launch: Launch, network: str) -> None:
    """In a network the container is reached at its own address, and nothing is published."""
    async with launch(network=network) as env:
        facts = (await facts_of(env))["NetworkSettings"]
        assert env.base_url == f"http://{facts['Networks'][network]['IPAddress']}:8000"
        assert not facts["Ports"]["8000/tcp"]
        await check(env)


async def test_the_hosts_network(launch: Launch) -> None:
    """In the host's network it listens on the host itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    variables = {"AIOENV_PORT": port, "AIOENV_HOST": "127.0.0.1"}
    async with launch(network="host", port=port, env_vars=variables) as env:
        assert env.base_url == f"http://127.0.0.1:{port}"
        await check(env)
        # Another one would find the first at its address, and take it for its own.
        with pytest.raises(LaunchFailed, match=f"port {port} of the host is taken"):
            await launch(network="host", port=port, env_vars=variables)


async def test_no_network(launch: Launch) -> None:
    """Where the container has no address, that is told at once."""
    with pytest.raises(LaunchFailed, match="in the network 'none' it has no address"):
        await launch(network="none")


# Starts that fail


async def test_a_crash_at_the_start(launch: Launch) -> None:
    """The error carries the container's id, its exit code and its last words, on either stream."""
    program = "import sys; print('first'); print('no model', file=sys.stderr); sys.exit(3)"
    env = launch(command=["python", "-c", program])
    with pytest.raises(LaunchFailed, match="ended by itself with exit code 3") as failure:
        await env.reset()
    assert sorted(failure.value.log_tail.splitlines()) == ["first", "no model"]
    assert failure.value.container_id is not None
    assert len(failure.value.container_id) == 64
    assert failure.value.container_id[:12] in str(failure.value)
    assert env.base_url is None


async def test_a_crash_with_much_to_say(launch: Launch) -> None:
    """Of a long log the error has the last lines, and of a long line its beginning."""
    program = "print('x' * 100_000); [print(n) for n in range(9999)]; print('y' * 9999, end='')"
    with pytest.raises(LaunchFailed, match="exit code 0") as failure:
        await launch(command=["python", "-c", program])
    lines = failure.value.log_tail.splitlines()
    assert lines[-2] == "9998"
    assert set(lines[-1]) == {"y"}
    assert len(lines) < 30
    assert len(failure.value.log_tail) < 10_000


async def test_out_of_memory(launch: Launch) -> None:
    """What was killed for want of memory is told as that."""
    program = "x = [b'x' * 1_000_000 for _ in range(1000)]"
    with pytest.raises(LaunchFailed, match="exit code 137, killed, perhaps for want of memory"):
        await launch(command=["python", "-c", program], memory="32m")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["sleep", "600"], r"nobody answers at http://127\.0\.0\.1:\d+/health"),
        (["python", "-m", "http.server", "8000"], r"/health answers with 404 File not found"),
    ],
    ids=["silent", "another service"],
)
async def test_it_never_becomes_healthy(launch: Launch, command: list[str], words: str) -> None:
    """After its time the error says what was last seen."""
    env = launch(command=command, ready_timeout_s=2.0, stop_timeout_s=0)
    with pytest.raises(LaunchFailed, match=f"not healthy within 2 s: .*{words}") as failure:
        await env.reset()
    assert failure.value.container_id is not None
    assert isinstance(failure.value.__cause__, TimeoutError)


async def test_a_port_that_is_taken(launch: Launch) -> None:
    """The error says whose fault it is, and the way out."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(LaunchFailed, match=f"without host_port={port}, Docker") as failure:
            await launch(host_port=port)
    assert "address already in use" in str(failure.value)


async def test_a_command_that_is_not_there(launch: Launch) -> None:
    """What Docker cannot execute is told in its own words."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(LaunchFailed, match=r"cannot be started: .*no-such-program") as failure:
        await launch(command=["no-such-program"], host_port=port)
    assert "without host_port" not in str(failure.value)


async def test_what_docker_does_not_take(launch: Launch) -> None:
    """A container that Docker does not create is told in its own words."""
    with pytest.raises(LaunchFailed, match=r"cannot be created: .*invalid volume specification"):
        await launch(volumes=["a:b:c:d"])


async def test_after_a_failure_it_may_be_tried_again(launch: Launch) -> None:
    """A start that failed holds nothing; once its cause is gone, the next works."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        env = launch(host_port=other.getsockname()[1])
        with pytest.raises(LaunchFailed):
            await env.reset()
    await env.reset()
    await env.close()


# Containers that end before their clients


async def test_killed_in_the_middle(launch: Launch, caplog: pytest.LogCaptureFixture) -> None:
    """A step says that the session is lost, the log says why, and a reset starts anew."""
    async with launch() as env:
        await env.reset()
        first = (await facts_of(env))["Id"]
        await asyncio.to_thread(docker, "kill", first)
        with pytest.raises(SessionLost):
            await env.step(EchoAction("x"))
        with pytest.raises(SessionLost):
            await env.state()
        await env.reset()
        await check(env)
        assert (await facts_of(env))["Id"] != first
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) == 1
    assert f"container {first[:12]} ended by itself with exit code 137" in told[0]
    assert "Serving echo_env" in told[0]


async def test_killed_under_further_sessions(launch: Launch) -> None:
    """Those that reset themselves find the new container; it is started once."""
    async with launch() as env:
        sessions = [await env.new_session() for _ in range(4)]
        await asyncio.gather(*(check(session) for session in sessions))
        await asyncio.to_thread(docker, "kill", (await facts_of(env))["Id"])
        await asyncio.gather(*(session.reset() for session in sessions))
        await asyncio.gather(*(check(session) for session in sessions))
        await check(await env.new_session())
        assert len(await asyncio.to_thread(owned_by, os.getpid())) == 1


async def test_unused_it_ends_and_a_reset_starts_it_anew(launch: Launch) -> None:
    """With no session open for so long the container ends; the client may go on all the same."""
    env = launch(idle_exit_s=SHORT_IDLE_S)
    session = await env.new_session()
    first = (await facts_of(env))["Id"]
    await session.close()
    launcher: Any = env._launcher
    assert await launcher.has_ended(20.0)
    assert f"nobody has used it for {SHORT_IDLE_S:g} s" in launcher.log_tail
    await env.reset()
    await check(env)
    assert (await facts_of(env))["Id"] != first
    await env.close()


async def test_a_session_that_thinks_keeps_it(launch: Launch) -> None:
    """As long as a session is open, however silent, the container stays."""
    async with launch(idle_exit_s=SHORT_IDLE_S) as env:
        await env.reset()
        launcher: Any = env._launcher
        assert not await launcher.has_ended(SHORT_IDLE_S + 1)
        await check(env)


async def test_one_that_refuses_and_stays(launch: Launch) -> None:
    """A container that lives and does not take sessions is no reason for another."""
    async with launch() as env:
        launcher: Any = env._launcher
        await env.reset()
        env._base_url = "http://127.0.0.1:9"
        assert env._connection is not None
        env._connection.lose("for the test")
        launcher.has_ended = _never
        with pytest.raises(ConnectionFailed):
            await env.reset()


async def _never(patience_s: float = 0.0) -> bool:
    return False


# The Docker daemon


async def test_docker_host(launch: Launch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The variable says where the daemon is, and outdoes a context."""
    with Proxy() as proxy:
        monkeypatch.setenv("DOCKER_HOST", proxy.url)
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        monkeypatch.setenv("DOCKER_CONTEXT", make_context(tmp_path, "unix:///no/such/socket"))
        async with launch() as env, Engine.joined() as engine:
            assert engine.address == proxy.url
            await check(env)


async def test_a_context_of_docker(
    launch: Launch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """So does a context."""
    with Proxy() as proxy:
        monkeypatch.delenv("DOCKER_HOST", raising=False)
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        monkeypatch.setenv("DOCKER_CONTEXT", make_context(tmp_path, proxy.url))
        async with launch() as env, Engine.joined() as engine:
            assert engine.address == proxy.url
            await check(env)


async def test_the_launcher_by_itself(echo_image: str, nothing_left: None) -> None:
    """It starts, stops, starts anew, and may be stopped twice or without a start."""
    launcher = ContainerLauncher(echo_image, ContainerOptions(memory="256m"))
    await launcher.stop()
    assert await launcher.has_ended()
    assert (launcher.container_id, launcher.log_tail) == (None, "")
    for _ in range(2):
        async with EchoEnv(await launcher.start()) as env:
            await check(env)
        assert launcher.container_id is not None
        assert launcher.container_id[:12] in repr(launcher)
        await launcher.stop()
        await launcher.stop()


def test_from_one_event_loop_to_the_next(launch: Launch) -> None:
    """A client may outlive its event loop; its container is found again, or started anew."""
    # The service waits so long for sessions of event loops that have ended.
    env = launch(env_vars={"AIOENV_CLOSE_TIMEOUT_S": "0.1"})

    async def first() -> str:
        await env.reset()
        return str((await facts_of(env))["Id"])

    async def second() -> str:
        await env.reset()
        await check(env)
        return str((await facts_of(env))["Id"])

    container = asyncio.run(first())
    assert asyncio.run(second()) == container
    docker("kill", container)
    other = asyncio.run(second())
    assert other != container
    asyncio.run(_close(env))


async def _close(env: EchoEnv) -> None:
    await env.close()
