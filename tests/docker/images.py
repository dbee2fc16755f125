"""Owns the image that the tests run: built once for all processes of a run, removed at its end.

A pytest plug-in, for whichever tests need a container. The environment says how to build:

``AIOENV_TEST_BASE_IMAGE``  the base image; by default the Dockerfile's own
``CI``                      without a daemon tests fail; elsewhere they skip
"""

import fcntl
import os
import subprocess
import tempfile
import uuid
from pathlib import Path

import pytest

__all__ = ["ROOT", "build_options", "docker", "docker_daemon", "echo_image", "own_size_bytes"]

ROOT = Path(__file__).parent.parent.parent
BUILD_TIMEOUT_S = 900.0
COMMAND_TIMEOUT_S = 60.0
#: Names the test run; its processes inherit it.
RUN = "AIOENV_TEST_RUN"


def docker(*arguments: object, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
    """Run a command of Docker's to its end and return what it printed.

    Raises:
        RuntimeError: it failed; with its last words.
    """
    command = ["docker", *map(str, arguments)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeError(f"{' '.join(command)}: {error}") from error
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
        raise RuntimeError(f"{' '.join(command)}:\n{tail}")
    return done.stdout.strip()


def build_options() -> list[str]:
    """Return what `docker build` is told here besides, as the environment says."""
    base = os.environ.get("AIOENV_TEST_BASE_IMAGE")
    return ["--network", "host", "--build-arg", f"BASE_IMAGE={base}"] if base else []


def own_size_bytes(image: str) -> int:
    """Return what an image of the Dockerfile weighs over its base."""
    template = "{{.Size}} {{.CreatedBy}}"
    layers = docker("history", "--no-trunc", "--human=false", "--format", template, image)
    sizes = []
    for layer in layers.splitlines():
        sizes.append(int(layer.split()[0]))
        if "getent passwd" in layer:  # the first that is not its base's
            return sum(sizes)
    raise RuntimeError(f"{image} was not built from this Dockerfile:\n{layers}")


@pytest.fixture(scope="session")
def docker_daemon() -> str:
    """Give the version of the Docker daemon; where none answers, skip, but fail in CI."""
    try:
        return docker("version", "--format", "{{.Server.Version}}")
    except RuntimeError as error:
        reason = f"no Docker daemon answers here: {error}"
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def echo_image(docker_daemon: str) -> str:
    """Give the name of the image that the Dockerfile builds."""
    final, stage = _names()
    # Whoever comes first builds; the others wait and find it.
    with Path(tempfile.gettempdir(), f"{_run()}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not docker("image", "ls", "--quiet", final):
            # The first stage gets a name, by which it can be removed in the end.
            for name, target in ((stage, ["--target", "build"]), (final, [])):
                build = ["build", "--quiet", *build_options(), *target, "--tag", name, ROOT]
                docker(*build, timeout_s=BUILD_TIMEOUT_S)
    return final


# The run


def pytest_configure() -> None:
    """Name the run before it starts its other processes."""
    os.environ.setdefault(RUN, f"aioenv-test-{uuid.uuid4().hex[:12]}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Remove what the run built, once all its processes are through."""
    if hasattr(session.config, "workerinput"):
        return
    lock = Path(tempfile.gettempdir(), f"{_run()}.lock")
    if lock.exists():
        lock.unlink()
        for name in _names():
            if docker("image", "ls", "--quiet", name):  # not where its build failed
                docker("image", "rm", "--force", name)


def _run() -> str:
    return os.environ[RUN]


def _names() -> tuple[str, str]:
    """Return the names of the image and of its first stage."""
    return f"echo-env:{_run()}", f"echo-env-build:{_run()}"
