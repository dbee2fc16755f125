"""`aioenv build`, as far as it goes without Docker: what it refuses, and what it would send."""

import io
import os
import socket
import tarfile
from pathlib import Path

import pytest

from aioenv.cli import main
from aioenv.cli.context import context_paths, write_context
from aioenv.cli.errors import CommandFailed

DOCKERFILE = "ARG OTHER=1\nARG BASE_IMAGE=scratch\nFROM ${BASE_IMAGE}\nCOPY . /\n"


@pytest.fixture
def project(folder: Path) -> Path:
    """Work in a folder with a Dockerfile and a manifest."""
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "openenv.yaml").write_text("name: my_world\n")
    return folder


@pytest.mark.parametrize(
    ("files", "arguments", "message"),
    [
        ({"Dockerfile": None}, [], "there is no Dockerfile or server/Dockerfile in "),
        ({"openenv.yaml": "name: a\ndockerfile: b\n"}, [], "there is no b in "),
        ({"openenv.yaml": None}, [], "name a folder that has one, or the image with --tag"),
        ({"openenv.yaml": "app: a:b\n"}, [], "does not say what it is called; add: name: my_env"),
        ({"openenv.yaml": "name: 3\n"}, [], "does not say what it is called"),
        ({".dockerignore": "a[\n"}, [], ".dockerignore cannot be used: Invalid ignore pattern"),
        ({".dockerignore": "!\n"}, [], ".dockerignore cannot be used: Invalid ignore pattern"),
        ({".dockerignore": b"\xff"}, [], ".dockerignore cannot be read: it is not UTF-8"),
        ({"Dockerfile": b"\xff"}, ["-b", "x"], "Dockerfile cannot be read: "),
        ({"Dockerfile": "ARG BASE\n"}, ["-b", "x"], "the Dockerfile has no FROM"),
    ],
)
def test_what_cannot_be_built_is_one_clear_line(
    project: Path,
    capsys: pytest.CaptureFixture[str],
    files: dict[str, str | bytes | None],
    arguments: list[str],
    message: str,
) -> None:
    """A folder that is no project, or a broken one, is told in one line; exit code 1."""
    for name, content in files.items():
        if content is None:
            (project / name).unlink()
        else:
            data = content if isinstance(content, bytes) else content.encode()
            (project / name).write_bytes(data)
    assert main(["build", *arguments]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Error: ")
    assert message in err
    assert len(err.splitlines()) == 1


def test_without_docker_it_says_so(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no daemon answers, it says how to have one; exit code 1."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    assert main(["build", "--base-image", "python:3.12-slim"]) == 1
    err = capsys.readouterr().err
    assert "the Docker daemon does not answer" in err
    assert "DOCKER_HOST" in err


def test_bad_build_arg(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``--build-arg`` takes a name and a value."""
    assert main(["build", "--build-arg", "nonsense"]) == 2
    assert "'--build-arg': expected NAME=VALUE" in capsys.readouterr().err


# The context


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """Return a folder with files, a link out of it, a socket and a fifo."""
    for name in ("a.py", "keep/b.py", "keep/c.txt", "drop/d.txt", ".git/HEAD", "Dockerfile"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "keep/run").write_text("#!/bin/sh\n")
    (tmp_path / "keep/run").chmod(0o755)
    (tmp_path / "keep/link").symlink_to("/etc/hostname")
    (tmp_path / "keep/away").symlink_to("/etc", target_is_directory=True)
    os.mkfifo(tmp_path / "keep/fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(tmp_path / "keep")  # a socket's path may not be long
        listener.bind("socket")
        os.chdir(here)
    return tmp_path


def sent(folder: Path) -> dict[str, tarfile.TarInfo]:
    """Return what would be sent of a folder, by path."""
    archive = io.BytesIO()
    write_context(folder, "Dockerfile", archive)
    archive.seek(0)
    with tarfile.open(fileobj=archive) as tar:
        return {entry.name: entry for entry in tar}


def test_everything_is_sent_that_is_not_ignored(context: Path) -> None:
    """Without a .dockerignore, all files go, hidden ones too; links as links, no sockets."""
    entries = sent(context)
    assert set(entries) == {
        *("a.py", "Dockerfile", ".git", ".git/HEAD", "drop", "drop/d.txt", "keep"),
        *(f"keep/{name}" for name in ("b.py", "c.txt", "run", "link", "away")),
    }
    assert entries["keep/link"].linkname == "/etc/hostname"
    assert entries["keep/away"].linkname == "/etc"
    assert entries["keep/run"].mode == 0o755
    assert {(entry.uid, entry.gid, entry.uname) for entry in entries.values()} == {(0, 0, "")}


def test_what_is_ignored_stays_here(context: Path) -> None:
    """Ignored files do not leave the machine, but the Dockerfile and the .dockerignore do."""
    (context / ".dockerignore").write_text("# all but\n*\n!keep\nkeep/c.txt\n")
    assert set(sent(context)) == {
        *("Dockerfile", ".dockerignore", "keep"),
        *(f"keep/{name}" for name in ("b.py", "run", "link", "away")),
    }
    (context / ".dockerignore").write_text("**\n!**/b.py\n")
    assert list(context_paths(context)) == ["keep/b.py"]


def test_changed_dockerfile_is_sent_in_place_of_the_one_there(context: Path) -> None:
    """What is changed for a build goes as the Dockerfile, and the one there stays as it is."""
    archive = io.BytesIO()
    write_context(context, "Dockerfile", archive, b"FROM other\n")
    archive.seek(0)
    with tarfile.open(fileobj=archive) as tar:
        (entry,) = (entry for entry in tar if entry.name == "Dockerfile")
        file = tar.extractfile(entry)
        assert file is not None
        assert file.read() == b"FROM other\n"
    assert (context / "Dockerfile").read_text() == "Dockerfile"


def test_full_disk_is_told(context: Path) -> None:
    """Where there is no room for the context, that is told, and not that a file was at fault."""
    with (
        open("/dev/full", "wb", buffering=0) as full,  # noqa: PTH123
        pytest.raises(CommandFailed, match="the context of the build cannot be written: No space"),
    ):
        write_context(context, "Dockerfile", full)


def test_what_cannot_be_read_is_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that cannot be read is named, with the way out; exit code 1."""
    (project / "loop").mkdir()
    (project / ".dockerignore").mkdir()
    assert main(["build"]) == 1
    assert capsys.readouterr().err == (
        "Error: cannot read .dockerignore: Is a directory; if the image does not need it, add it "
        "to .dockerignore\n"
    )
