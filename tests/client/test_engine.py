"""The engine where there is no Docker daemon: what is told, and where it is looked for."""

import asyncio
from pathlib import Path

import pytest

from aioenv import LaunchFailed
from aioenv.client import Fleet, launched_containers, prune_containers
from aioenv.client import engine as engine_module
from echo_env import EchoEnv


@pytest.fixture(autouse=True)
def _closed() -> object:
    """Fail the test that leaves an engine open."""
    yield
    assert not engine_module._engines


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Have a home folder where nothing is said of Docker."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("unix:///no/such/socket", r"via unix:///no/such/socket .*No such file"),
        ("tcp://127.0.0.1:9", r"via tcp://127\.0\.0\.1:9 .*Connect call failed"),
    ],
)
async def test_no_daemon(
    home: Path, monkeypatch: pytest.MonkeyPatch, address: str, words: str
) -> None:
    """The error names the address that was tried, and what to do."""
    monkeypatch.setenv("DOCKER_HOST", address)
    for call in (EchoEnv.from_docker_image("echo").reset, launched_containers, prune_containers):
        with pytest.raises(LaunchFailed, match=f"does not answer .*{words}") as failure:
            await call()
        for remedy in ("start Docker", "DOCKER_HOST", "docker context use", "from_environment"):
            assert remedy in str(failure.value)


async def test_an_address_that_is_none(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be an address is told as that."""
    monkeypatch.setenv("DOCKER_HOST", "somewhere")
    with pytest.raises(LaunchFailed, match="Docker cannot be used: Missing protocol scheme"):
        await launched_containers()


async def test_a_context_that_is_not_there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A context that is named and was never made is told with its name."""
    monkeypatch.setenv("DOCKER_CONTEXT", "far")
    with pytest.raises(LaunchFailed, match=r"Docker cannot be used: .*(?s:.)*meta\.json"):
        await launched_containers()


async def test_no_socket_anywhere(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Docker has never been, the error says so."""
    import aiodocker.docker

    monkeypatch.setattr(aiodocker.docker, "_sock_search_paths", [home / "docker.sock"])
    with pytest.raises(LaunchFailed, match=r"does not answer [(]no socket of it is where they are"):
        await launched_containers()


async def test_a_daemon_that_hangs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that does not answer is given up after a time."""
    monkeypatch.setattr(engine_module, "_CONNECT_S", 0.01)
    monkeypatch.setenv("DOCKER_HOST", "tcp://198.51.100.1:2375")  # RFC 5737: nobody's
    with pytest.raises(LaunchFailed, match="the Docker daemon does not answer"):
        await launched_containers()


async def test_what_cannot_be_reached_from_here(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another machine publishes on its loopback is refused before anything is started."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://198.51.100.1:2375")
    with pytest.raises(LaunchFailed, match=r"on another machine .*host_ip='0\.0\.0\.0'"):
        await EchoEnv.from_docker_image("echo").reset()


async def test_a_fleet_without_docker(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All members fail alike; one of them tells."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/such/socket")
    with pytest.raises(LaunchFailed, match="does not answer"):
        await Fleet([EchoEnv.from_docker_image("echo") for _ in range(3)]).start()


def test_aiodocker_is_imported_when_it_is_needed(run_script: object) -> None:
    """A client that launches nothing does not carry it."""
    script = "import sys, aioenv.client; sys.exit('aiodocker' in sys.modules)"
    done = run_script(script)  # type: ignore[operator]
    assert (done.returncode, done.stderr) == (0, "")


async def test_cancelled_while_nobody_answers(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Giving up on a daemon that hangs costs nothing."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://198.51.100.1:2375")
    asking = asyncio.create_task(launched_containers())
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait([asking])
    assert asking.cancelled()
