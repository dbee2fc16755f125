"""`aioenv build` with real Docker: what goes in, its options, and what goes wrong."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import signal
import subprocess
import sys
import tarfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aioenv.cli.context import context_paths
from tests.docker.images import base_image, docker
from tests.peer.process import LineProcess

TIMEOUT_S = 700.0
COMMAND = [sys.executable, "-m", "aioenv.cli"]

# They build images: func_only.
pytestmark = pytest.mark.timeout(TIMEOUT_S, func_only=True)

BASE_IMAGE = base_image()

Finish = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def tag(docker_daemon: str) -> Iterator[str]:
    """Give a name for an image, which is removed with the test."""
    name = f"aioenv-test-build-{uuid.uuid4().hex[:12]}"
    yield name
    if docker("image", "ls", "--quiet", name):
        docker("image", "rm", "--force", name)


@pytest.fixture
def finish(docker_daemon: str, tmp_path: Path) -> Finish:
    """Run commands to their ends, in a folder of the test's."""

    def run(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(word) for word in words],
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    return run


def write(folder: Path, **files: str) -> None:
    """Write a small project: a manifest, and what is given."""
    (folder / "openenv.yaml").write_text("name: small\n")
    for name, text in files.items():
        (folder / name).write_text(text)


# What goes into it


def built_files(finish: Finish, tag: str, *command: object) -> set[str]:
    """Build an image of a folder in which all of the context lies in `/context`; list its files."""
    build = finish(*command)
    assert build.returncode == 0, build.stderr
    container = docker("create", tag)
    try:
        export = subprocess.run(["docker", "export", container], capture_output=True, check=True)
    finally:
        docker("rm", container)
    with tarfile.open(fileobj=io.BytesIO(export.stdout)) as archive:
        names = {entry.name for entry in archive if not entry.isdir()}
    return {name.removeprefix("context/") for name in names if name.startswith("context/")}


@pytest.mark.parametrize(
    "rules",
    [
        "",
        "*\n!keep",
        "*\n!x/y/z\n!docs",
        "**/*.md\n!README.md",
        "*.md\n!README*.md\nREADME.md",
        "# no rule\n .env \n/.git\n\nkeep/../x/./y/",
        "**/a\n!keep/deep/a",
        "a\n!a",
        "x/*\n!x/keep/**",
        "[^a-k]*",
        "\\[odd\\]\nsp ace\n?",
        "Dockerfile\n.dockerignore",
    ],
    ids=range(12),
)
def test_context_is_what_docker_takes(finish: Finish, tag: str, tmp_path: Path, rules: str) -> None:
    """By any .dockerignore, the same files get into the image as with ``docker build``."""
    for name in (
        *("a", "b.py", "README.md", ".env", ".git/HEAD", "docs/README.md", "[odd]/a", "sp ace/a"),
        *("keep/a", "keep/b.py", "keep/.hidden", "keep/deep/a", "keep/deep/b.md"),
        *("x/y/z", "x/keep/a", "x/__pycache__/c.pyc"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "keep/link").symlink_to("b.py")
    (tmp_path / ".dockerignore").write_text(rules)
    # Its own label: nothing is taken from the cache that another test's end could remove meanwhile.
    dockerfile = f"FROM scratch\nLABEL test={tag}\nCOPY . /context\nCMD none\n"
    (tmp_path / "Dockerfile").write_text(dockerfile)
    theirs = built_files(finish, tag, "docker", "build", "--quiet", "--tag", tag, ".")
    assert theirs
    assert built_files(finish, tag, *COMMAND, "build", "--tag", tag) == theirs
    kept = {path for path in context_paths(tmp_path) if not (tmp_path / path).is_dir()}
    assert kept == theirs


# Options


def test_default_name_and_build_args(finish: Finish, tmp_path: Path) -> None:
    """The image is named by the manifest; a build argument gets to the Dockerfile."""
    name = f"aioenv-test-{uuid.uuid4().hex[:8]}"
    (tmp_path / "Dockerfile").write_text("FROM scratch\nARG WORD=none\nLABEL word=${WORD}\n")
    (tmp_path / "openenv.yaml").write_text(f"name: {name.replace('-', '_')}\n")
    try:
        build = finish(*COMMAND, "build", "--build-arg", "WORD=a=b c")
        assert build.returncode == 0, build.stderr
        label = docker("image", "inspect", "--format", "{{.Config.Labels.word}}", f"{name}:latest")
        assert label == "a=b c"
    finally:
        docker("image", "rm", "--force", f"{name}:latest")


def test_base_image_of_any_dockerfile(finish: Finish, tag: str, tmp_path: Path) -> None:
    """``--base-image`` takes the place of what the Dockerfile builds upon; the file stays."""
    write(tmp_path, Dockerfile="FROM nowhere.invalid/none:1\nLABEL word=here\n")
    build = finish(*COMMAND, "build", "--tag", tag, "--base-image", BASE_IMAGE)
    assert build.returncode == 0, build.stderr
    assert f"Step 1/2 : FROM {BASE_IMAGE}\n" in build.stderr
    assert "nowhere.invalid" in (tmp_path / "Dockerfile").read_text()


def test_cache_is_used_or_not(finish: Finish, tag: str, tmp_path: Path) -> None:
    """A second build takes its steps from the first, unless told not to."""
    write(tmp_path, Dockerfile=f"FROM {BASE_IMAGE}\nRUN echo {tag}\n")
    build = (*COMMAND, "build", "--tag", tag)
    assert "Using cache" not in finish(*build).stderr
    assert "Using cache" in finish(*build).stderr
    assert "Using cache" not in finish(*build, "--no-cache").stderr


def test_dockerfile_of_openenvs_own_projects(finish: Finish, tag: str, tmp_path: Path) -> None:
    """Where there is no other, it is ``server/Dockerfile``, with the whole folder as context."""
    write(tmp_path, word="here")
    (tmp_path / "server").mkdir()
    (tmp_path / "server/Dockerfile").write_text("FROM scratch\nCOPY word /\n")
    build = finish(*COMMAND, "build", "--tag", tag)
    assert build.returncode == 0, build.stderr


# What goes wrong


def test_failing_step_is_told(finish: Finish, tag: str, tmp_path: Path) -> None:
    """The step that failed is named, with its last lines and the exit code; nothing is left."""
    # All on one stream: Docker gives what two streams say in any order.
    step = "RUN (seq 100 && echo no luck && exit 3) >&2"
    write(tmp_path, Dockerfile=f"FROM {BASE_IMAGE}\nENV X=1\n{step}\nENV Y=2\n")
    build = finish(*COMMAND, "build", "--tag", tag, "--no-cache")
    assert build.returncode == 1
    assert build.stdout == ""
    error = build.stderr[build.stderr.index("Error: ") :]
    assert error.startswith(f"Error: step 3 of 4 failed: {step}\n")
    assert "\n  100\n" in error
    assert "\n  no luck\n" in error
    assert "\n  50\n" not in error
    assert error.rstrip().endswith("returned a non-zero code: 3")
    container = re.findall(r"Running in ([0-9a-f]+)", build.stderr)[-1]
    assert docker("ps", "--all", "--quiet", "--filter", f"id={container}") == ""


@pytest.mark.parametrize(
    ("arguments", "dockerfile", "reason"),
    [
        (["--tag", "UPPER CASE"], "FROM scratch\nENV X=1\n", "invalid"),
        ([], "FROM nowhere.invalid/none:1\n", "nowhere.invalid"),
        ([], "NONSENSE\n", "NONSENSE"),
        (["--network", "no-such-network"], f"FROM {BASE_IMAGE}\nRUN echo\n", "no-such-network"),
    ],
    ids=["tag", "base", "syntax", "network"],
)
def test_what_docker_refuses_is_told(
    finish: Finish, tmp_path: Path, arguments: list[str], dockerfile: str, reason: str
) -> None:
    """Docker's reason for refusing is told; exit code 1, no traceback."""
    write(tmp_path, Dockerfile=dockerfile)
    build = finish(*COMMAND, "build", "--no-cache", *arguments)
    assert build.returncode == 1
    error = build.stderr[build.stderr.index("Error: ") :]
    assert reason in error
    assert "unexpected" not in error


def test_ctrl_c_stops_the_build(tag: str, tmp_path: Path) -> None:
    """Ctrl-C ends the command with exit code 130, and Docker's work on the step with it."""
    write(tmp_path, Dockerfile=f"FROM {BASE_IMAGE}\nRUN echo {tag} && sleep 600\n")
    program = LineProcess([*COMMAND, "build", "--tag", tag], cwd=tmp_path)
    try:
        container = program.wait_line(r"Running in ([0-9a-f]+)", TIMEOUT_S)[1]
        program.wait_line(f"^{tag}$", TIMEOUT_S)
        os.kill(program.pid, signal.SIGINT)
        assert program._process.wait(TIMEOUT_S) == 130
    finally:
        program.stop()
    waiting = ["docker", "wait", container]
    subprocess.run(waiting, capture_output=True, timeout=TIMEOUT_S, check=False)
    assert docker("ps", "--quiet", "--filter", f"id={container}") == ""
    assert docker("image", "ls", "--quiet", tag) == ""


def test_progress_is_live_on_a_terminal(tag: str, tmp_path: Path) -> None:
    """On a terminal the log goes by above a line that tells the step."""
    write(tmp_path, Dockerfile="FROM scratch\nENV X=1\nENV Y=2\n")
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    command = [*COMMAND, "build", "--no-cache", "--tag", tag]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=slave
    ) as process:
        os.close(slave)
        shown = b""
        with contextlib.suppress(OSError):  # Linux's way to say that the other side is closed
            while part := os.read(master, 65536):
                shown += part
        out, _ = process.communicate(timeout=TIMEOUT_S)
    os.close(master)
    assert out.startswith(f"Built {tag}, 0 MB, sha256:".encode())
    assert b"Step 2/3 : ENV X=1" in shown
    assert re.search(rf"building {tag}.* step [123] of 3", shown.decode())
