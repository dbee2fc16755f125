"""The engine where there is no Docker daemon: what is told, and where it is looked for."""

import asyncio
import hashlib
import json
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from aioenv import LaunchFailed
from aioenv.client import Fleet, contexts, launched_containers, prune_containers
from aioenv.client import engine as engine_module
from aioenv.client.contexts import find_daemon
from aioenv.client.owners import Owner
from echo_env import EchoEnv
from tests.docker.launching import make_context


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


@pytest.mark.parametrize("where", ["DOCKER_CONTEXT", "config.json"])
@pytest.mark.parametrize("has_folder", [False, True], ids=["home", "DOCKER_CONFIG"])
def test_a_context(
    home: Path, monkeypatch: pytest.MonkeyPatch, where: str, has_folder: bool
) -> None:
    """A context is found wherever Docker's configuration is; the variable outdoes ``use``."""
    folder = home / ("elsewhere" if has_folder else ".docker")
    if has_folder:
        monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    make_context(folder, "unix:///near.sock", "near")
    make_context(folder, "unix:///far.sock", "far")
    in_use = "near" if where == "DOCKER_CONTEXT" else "far"
    (folder / "config.json").write_text(json.dumps({"currentContext": in_use}), "utf-8")
    monkeypatch.setenv("DOCKER_CONTEXT", "far" if where == "DOCKER_CONTEXT" else "")
    assert find_daemon() == ("unix:///far.sock", None)


def test_a_context_with_certificates(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a context says of certificates makes the way there a secure one."""
    name = make_context(home / ".docker", "tcp://far:2376")
    certificates = home / ".docker/contexts/tls" / hashlib.sha256(name.encode()).hexdigest()
    (certificates / "docker").mkdir(parents=True)
    authority = ssl.create_default_context().get_ca_certs(binary_form=True)[0]
    pem = ssl.DER_cert_to_PEM_cert(authority)
    (certificates / "docker/ca.pem").write_text(pem, "ascii")
    monkeypatch.setenv("DOCKER_CONTEXT", name)
    address, security = find_daemon()
    assert address == "https://far:2376"
    assert security is not None
    assert authority in security.get_ca_certs(binary_form=True)


def test_what_is_empty_says_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that are empty, and the context ``default``, leave it to the socket."""
    monkeypatch.setattr(contexts, "_SOCKETS", ["~/docker.sock"])
    monkeypatch.setenv("DOCKER_HOST", "")
    with socket.socket(socket.AF_UNIX) as daemon:
        daemon.bind(str(home / "docker.sock"))
        for name in ("", "default"):
            monkeypatch.setenv("DOCKER_CONTEXT", name)
            assert find_daemon() == (f"unix://{home}/docker.sock", None)


async def test_a_context_that_says_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A context without an address is told with its name."""
    meta = home / ".docker/contexts/meta" / hashlib.sha256(b"far").hexdigest() / "meta.json"
    meta.parent.mkdir(parents=True)
    meta.write_text("{}", "utf-8")
    monkeypatch.setenv("DOCKER_CONTEXT", "far")
    with pytest.raises(LaunchFailed, match="Docker cannot be used: the context 'far' names no"):
        await launched_containers()


async def test_no_socket_anywhere(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Docker has never been, the error says so."""
    monkeypatch.setattr(contexts, "_SOCKETS", ["~/docker.sock"])
    with pytest.raises(LaunchFailed, match=r"does not answer [(]no socket of it is where they are"):
        await launched_containers()


@pytest.fixture
async def silent(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[asyncio.Event]:
    """Have a daemon that takes questions and never answers; gives what tells of the first."""
    asked = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        asked.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{port}")
        yield asked


async def test_a_daemon_that_hangs(silent: asyncio.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that does not answer is given up after a time."""
    monkeypatch.setattr(engine_module, "ANSWER_S", 0.05)
    with pytest.raises(LaunchFailed, match="the Docker daemon does not answer") as failure:
        await EchoEnv.from_docker_image("echo").reset()
    assert isinstance(failure.value.__cause__, TimeoutError)


async def test_cancelled_while_nobody_answers(silent: asyncio.Event) -> None:
    """Giving up on a daemon that hangs costs nothing."""
    asking = asyncio.create_task(_ask())
    await silent.wait()
    asking.cancel()
    await asyncio.wait([asking])
    assert asking.cancelled()


async def _ask() -> None:
    await launched_containers()


async def test_what_is_no_daemon(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else listens at the address is told by the status that it answers with."""

    async def teapot(request: web.Request) -> web.Response:
        return web.Response(status=418)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", teapot)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{runner.addresses[0][1]}")
    with pytest.raises(LaunchFailed, match="cannot be listed: it answered with status 418"):
        await launched_containers()
    await runner.cleanup()


async def test_one_that_cannot_be_removed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those beside it are removed all the same, and the error says which is left."""
    removed = []

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/version":
            return web.json_response({"ApiVersion": "1.41"})
        if request.method == "GET":
            its = {"Image": "echo", "State": "running", "Created": 0}
            labels = Owner("far away", 1, "").labels()
            return web.json_response([{"Id": one, "Labels": labels, **its} for one in "abc"])
        if request.path.endswith("/a"):
            return web.json_response({"message": "device or resource busy"}, status=500)
        removed.append(request.path[-1])
        return web.Response(status=204)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{runner.addresses[0][1]}")
    words = (
        "1 of 3 containers are left: the container a cannot be removed: .*device or resource busy"
    )
    with pytest.raises(LaunchFailed, match=words):
        await prune_containers(everything=True)
    assert sorted(removed) == ["b", "c"]
    await runner.cleanup()


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
