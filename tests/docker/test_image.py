"""The image, as the Dockerfile builds it, in real containers."""

from __future__ import annotations

import asyncio
import json
import re
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType

from aioenv import CapacityReached
from echo_env import EchoAction, EchoEnv
from tests.conftest import DEADLINE_S
from tests.docker.conftest import Run, Running
from tests.docker.images import ROOT, docker, own_size_bytes

# The fixtures build an image: func_only.
pytestmark = pytest.mark.timeout(100, func_only=True)

HARDENED: dict[str, Any] = {
    "ReadonlyRootfs": True,
    "CapDrop": ["ALL"],
    "SecurityOpt": ["no-new-privileges"],
    "PidsLimit": 64,
    "Memory": 256 * 1024 * 1024,
}
HEALTH_CHECK = ["python", "-S", "/opt/aioenv/share/echo_env/healthcheck.py"]
NO_HEALTH_CHECK: dict[str, Any] = {"Test": ["NONE"]}
LARGEST_MB = 90
#: Longer than a stop may take, and shorter than a test: whoever is not through by then is killed,
#: with exit code 137.
KILL_AFTER_S = 30


async def play(url: str) -> None:
    """Play an episode."""
    async with EchoEnv(base_url=url) as env:
        await env.reset(episode_id="ep-1")
        for message in ("Hi", "Hello, World!", ""):
            result = await env.step(EchoAction(message))
            assert result.observation.echoed_message == message
        state = await env.state()
        assert (state.episode_id, state.step_count) == ("ep-1", 3)


async def get(url: str, **headers: str) -> tuple[int, Any]:
    """Ask a door; return the status and the JSON."""
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as reply:
        return reply.status, await reply.json()


async def status(url: str) -> int:
    """Ask a door; return the status."""
    async with aiohttp.ClientSession() as http, http.get(url) as reply:
        return reply.status


# Playing


async def test_plays_an_episode(run_image: Run) -> None:
    """A container plays an episode over its published port."""
    echo = await run_image()
    await echo.wait_healthy()
    await play(echo.url)


async def test_runs_hardened(run_image: Run) -> None:
    """An episode needs no root, no capability, no new privilege and no writable file system."""
    echo = await run_image(host=HARDENED)
    await echo.wait_healthy()
    assert await echo.execute("id", "-u") == (0, "1000\n")
    assert (await echo.execute("touch", "/tmp/file"))[0] != 0
    await play(echo.url)


async def test_runs_as_anybody(run_image: Run) -> None:
    """A container runs as a user that the image does not know, as OpenEnv's validator has it."""
    echo = await run_image(user="65532:65532", host=HARDENED)
    await echo.wait_healthy()
    await play(echo.url)


# Health


ELSEWHERE = {"AIOENV_PORT": 9000, "AIOENV_HOST": "127.0.0.1", "AIOENV_TOKEN": "let-me-in"}


@pytest.mark.parametrize("env", [{}, ELSEWHERE], ids=["by default", "elsewhere"])
async def test_docker_finds_it_healthy(run_image: Run, env: dict[str, object]) -> None:
    """Docker's own health check finds the service, wherever it listens and whomever it serves."""
    echo = await run_image(host=HARDENED, **env)
    health = await wait_health(echo)
    assert health["Status"] == "healthy", (health, await echo.log())


async def test_docker_finds_it_unhealthy(run_image: Run) -> None:
    """A container that serves nothing is unhealthy, and Docker's log says why."""
    soon = {"Test": ["CMD", *HEALTH_CHECK, "--watch", "0.1"]}  # the rest is as the image has it
    echo = await run_image(command=["sleep", "600"], health_check=soon)
    health = await wait_health(echo)
    assert health["Status"] == "unhealthy"
    assert re.search(r"0\.0\.0\.0, port 8000: .*refused", health["Log"][0]["Output"])


def test_docker_asks_from_the_start(echo_image: str) -> None:
    """There is no period for the start, in which Docker from 25 on asks but every five seconds."""
    health_check = docker(
        "image", "inspect", "--format", "{{json .Config.Healthcheck}}", echo_image
    )
    assert "StartPeriod" not in json.loads(health_check)


async def test_health_check_awaits_the_start(run_image: Run) -> None:
    """While the service starts the check asks on, and tells as soon as it is healthy."""
    go = "until [ -e /dev/shm/go ]; do sleep 0.05; done; exec aioenv serve echo_env.app:app"
    echo = await run_image(command=["sh", "-c", go], health_check=NO_HEALTH_CHECK)
    assert (await echo.execute(*HEALTH_CHECK, "--watch", "0"))[0] == 1
    watching = asyncio.create_task(echo.execute(*HEALTH_CHECK, "--watch", "600"))
    await echo.execute("touch", "/dev/shm/go")
    assert await watching == (0, "")


async def test_health_check_watches(run_image: Run) -> None:
    """Once the service was healthy, the check goes on asking, and tells as soon as it is gone."""
    serve = "aioenv serve echo_env.app:app & echo $! > /dev/shm/service; wait; exec sleep 600"
    echo = await run_image(command=["sh", "-c", serve], health_check=NO_HEALTH_CHECK)
    await echo.wait_healthy()
    assert await echo.execute(*HEALTH_CHECK, "--watch", "600") == (0, "")
    watching = asyncio.create_task(echo.execute(*HEALTH_CHECK, "--watch", "600"))
    await echo.execute("sh", "-c", "kill $(cat /dev/shm/service)")
    code, printed = await watching
    assert code == 1
    assert "port 8000" in printed


async def wait_health(echo: Running) -> dict[str, Any]:
    """Wait until Docker knows whether a container is healthy, and return what it says."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            health: dict[str, Any] = (await echo.state())["Health"]
            if health["Status"] != "starting":
                return health
            await asyncio.sleep(0.05)


# Settings


async def test_honours_settings(run_image: Run) -> None:
    """Environment variables say how many sessions, which README, whether /web, and to whom."""
    echo = await run_image(
        MAX_CONCURRENT_ENVS=1,
        ENV_README_PATH="/etc/os-release",
        ENABLE_WEB_INTERFACE="true",
        AIOENV_TOKEN="let-me-in",
    )
    await echo.wait_healthy()
    token = {"Authorization": "Bearer let-me-in"}
    assert (await get(f"{echo.url}/metadata"))[0] == 401
    _, metadata = await get(f"{echo.url}/metadata", **token)
    assert "NAME=" in metadata["readme_content"]
    assert await status(f"{echo.url}/web") == 200
    options: dict[str, Any] = {"base_url": echo.url, "headers": token}
    async with EchoEnv(**options) as first, EchoEnv(**options) as second:
        await first.reset()
        with pytest.raises(CapacityReached) as refused:
            await second.reset()
        assert refused.value.limit == 1


async def test_without_settings(run_image: Run) -> None:
    """By default ``/metadata`` shows the project's README, and there is no ``/web``."""
    echo = await run_image(ENABLE_WEB_INTERFACE="false")
    await echo.wait_healthy()
    _, metadata = await get(f"{echo.url}/metadata")
    assert metadata["readme_content"] == (ROOT / "README.md").read_text("utf-8")
    assert await status(f"{echo.url}/web") == 404


async def test_tells_what_does_not_fit(run_image: Run) -> None:
    """A setting that does not fit ends the container, and its log names the variable."""
    echo = await run_image(MAX_CONCURRENT_ENVS="many")
    assert await wait_end(echo) != 0
    assert "MAX_CONCURRENT_ENVS='many' does not fit" in await echo.log()


# Stopping


@pytest.mark.parametrize("signal", ["SIGTERM", "SIGINT"])
async def test_stops_with_a_live_session(run_image: Run, signal: str) -> None:
    """A signal ends an idle session with 1001 and the container with exit code 0."""
    echo = await run_image()
    await echo.wait_healthy()
    ws_url = f"ws{echo.url.removeprefix('http')}/ws"
    async with aiohttp.ClientSession() as http, http.ws_connect(ws_url) as session:
        await session.send_json({"type": "reset", "data": {}})
        assert (await session.receive_json())["type"] == "observation"
        await echo.container.kill(signal=signal)
        farewell = await session.receive(timeout=DEADLINE_S)
        assert farewell.type is WSMsgType.CLOSE
        assert farewell.data == 1001
    assert await wait_end(echo) == 0


async def test_stops_when_docker_says_so(run_image: Run) -> None:
    """``docker stop`` ends a container of its own accord, long before it would be killed."""
    echo = await run_image()
    await echo.wait_healthy()
    await echo.container.stop(t=KILL_AFTER_S)
    assert (await echo.state())["ExitCode"] == 0


async def test_stops_while_it_starts(run_image: Run) -> None:
    """``docker stop`` ends a container that does not serve yet; it need not be killed."""
    # So slow that it takes seconds to import the service.
    slow = {"NanoCpus": 100_000_000}
    echo = await run_image(host=slow, health_check=NO_HEALTH_CHECK)
    # The bit of SIGINT: Python handles it, long before it has imported the service.
    script = r"until grep -qE '^SigCgt:.*[2367abef]$' /proc/1/status; do sleep 0.05; done"
    assert (await echo.execute("sh", "-c", script))[0] == 0
    await echo.container.stop(t=KILL_AFTER_S)
    assert (await echo.state())["ExitCode"] == 130


async def wait_end(echo: Running) -> int:
    """Wait until a container has ended, and return its exit code."""
    async with asyncio.timeout(DEADLINE_S):
        code: int = (await echo.container.wait())["StatusCode"]
    return code


# What it is made of


def test_is_small(echo_image: str) -> None:
    """Our layers over the base are at most 90 MB."""
    assert 1 < own_size_bytes(echo_image) / 1e6 <= LARGEST_MB


async def test_holds_no_installer(run_image: Run) -> None:
    """The virtual environment holds neither pip nor setuptools."""
    echo = await run_image()
    for module in ("pip", "setuptools"):
        code, printed = await echo.execute("python", "-m", module, "--version")
        assert (code, "No module named" in printed) == (1, True), printed


async def test_starts_from_bytecode(run_image: Run) -> None:
    """A start compiles nothing: all that it imports was compiled when the image was built."""
    echo = await run_image(PYTHONVERBOSE=1)
    await echo.wait_healthy()
    log = await echo.log()
    assert "/site-packages/aioenv/service/__init__.py" in log
    assert re.findall(r"code object from '?(/[^']+\.py)'?$", log, re.MULTILINE) == []


def test_context_is_what_the_image_is_made_of(docker_daemon: str) -> None:
    """Nothing but what the image is made of gets into the context: no history, tests or caches."""
    with tempfile.TemporaryDirectory() as folder:
        dockerfile = Path(folder, "Dockerfile")
        dockerfile.write_text("FROM scratch\nCOPY . /\nCMD none\n")
        image = f"echo-env-context:{Path(folder).name.lower()}"
        docker("build", "--quiet", "--tag", image, "--file", dockerfile, ROOT)
        try:
            container = docker("create", image)
            try:
                docker("export", "--output", Path(folder, "context.tar"), container)
            finally:
                docker("rm", container)
        finally:
            docker("image", "rm", image)
        with tarfile.open(Path(folder, "context.tar")) as context:
            names = set(context.getnames())
    by_docker = {"dev", "etc", "proc", "sys", ".dockerenv"}
    assert {name.split("/")[0] for name in names} - by_docker == {
        *("aioenv", "service", "client", "cli", "echo_env"),
        *("setup.cfg", "pyproject.toml", "README.md", "LICENSE"),
    }
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
