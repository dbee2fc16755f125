"""Owns the peer: a cached virtual environment with the real OpenEnv and a project that it made.

OpenEnv brings about a hundred packages, so it never shares an environment with ours. It is
installed once, into a folder that outlives the test run, together with the project that its
own ``openenv init`` generates; later runs find it there.

Standard library only: the benchmarks import this module too. POSIX only.

The folder is ``$AIOENV_PEER_CACHE`` or else one under ``~/.cache/aioenv``. Inside it::

    lock            held while somebody looks or builds, so that parallel runs share one build
    venv/           the virtual environment, in its final place from the start (it can't be moved)
    proj/echo_env/  the generated project
    complete.json   says what they were made from; written last, atomically

Without a ``complete.json`` that fits, the rest counts as half-made and is made anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "OPENENV_VERSION",
    "PROJECT_NAME",
    "Peer",
    "PeerUnavailable",
    "cache_folder",
    "find_complete",
    "main",
    "provide",
]

OPENENV_VERSION = "0.10.0"
PROJECT_NAME = "echo_env"

REQUIREMENTS = (f"openenv=={OPENENV_VERSION}", "uvloop", "httptools")
RECIPE = {
    "layout": 2,
    "requirements": list(REQUIREMENTS),
    "project": PROJECT_NAME,
}

INSTALL_TIMEOUT_S = 1800.0
COMMAND_TIMEOUT_S = 180.0
TAIL_LINES = 15

OWN_FOLDERS = frozenset({"venv", "proj"})
PROJECT_FILES = (
    "__init__.py",
    "client.py",
    "models.py",
    f"server/{PROJECT_NAME}_environment.py",
)

# Quick (no import of openenv, which takes seconds) yet it notices an interpreter that is gone,
# a gutted site-packages and a project that can't be found.
HEALTH_CHECK = f"""\
import importlib.metadata, importlib.util
assert importlib.metadata.version("openenv") == {OPENENV_VERSION!r}
for name in ("openenv", "uvloop", "httptools", {PROJECT_NAME!r}):
    assert importlib.util.find_spec(name) is not None, name
"""

Reporter = Callable[[str], None]


class PeerUnavailable(Exception):
    """The real OpenEnv could not be installed here.

    Attributes:
        stage: What was being done, for example ``"install openenv==0.10.0"``.
        detail: The last lines that the failing command printed.
    """

    def __init__(self, stage: str, detail: str) -> None:
        super().__init__(stage, detail)
        self.stage = stage
        self.detail = detail

    def __str__(self) -> str:
        return f"the OpenEnv peer is unavailable: could not {self.stage}:\n{self.detail}"


@dataclass(frozen=True)
class Peer:
    """An installation of the real OpenEnv in a folder."""

    folder: Path

    @property
    def python(self) -> Path:
        """The interpreter that can import ``openenv`` and the generated ``echo_env``."""
        return self.folder / "venv" / "bin" / "python"

    @property
    def project(self) -> Path:
        """The folder that ``openenv init`` generated."""
        return self.folder / "proj" / PROJECT_NAME

    def command(self, script: str, *arguments: object) -> list[str]:
        """Return the command that runs a script of this folder under the peer's interpreter.

        The interpreter is isolated (``-I``): neither the caller's working folder nor its
        ``PYTHONPATH`` can put our own ``echo_env`` in the place of the generated one.
        """
        path = Path(__file__).with_name(script)
        return [str(self.python), "-I", "-X", "utf8", "-u", str(path), *map(str, arguments)]


def cache_folder() -> Path:
    """Return the folder that holds the peer, whether or not it exists yet."""
    if chosen := os.environ.get("AIOENV_PEER_CACHE"):
        return Path(chosen).expanduser().resolve()
    return Path.home() / ".cache" / "aioenv" / f"peer-openenv-{OPENENV_VERSION}"


def provide(folder: Path | None = None, *, report: Reporter | None = None) -> Peer:
    """Return the peer, installing it first where there is none.

    Args:
        folder: Where it is kept; `cache_folder()` by default. Only the entries that the module's
            docstring names are ever touched in it.
        report: Told about each long-running stage; by default a line on standard error.

    Raises:
        PeerUnavailable: The installation failed (no network, no wheel for this machine, …).
            Nothing half-made is left behind.
    """
    folder = cache_folder() if folder is None else folder.expanduser().resolve()
    report = report_to_stderr if report is None else report
    with locked(folder, report) as lock:
        peer = find_complete(folder)
        return build(folder, report, lock) if peer is None else peer


def find_complete(folder: Path | None = None) -> Peer | None:
    """Return the peer that a finished build left behind and that still works, or None.

    It installs nothing and takes no lock.
    """
    peer = Peer(cache_folder() if folder is None else folder.expanduser().resolve())
    try:
        recipe = json.loads((peer.folder / "complete.json").read_bytes())
    except (OSError, ValueError):
        return None
    return peer if recipe == RECIPE and is_healthy(peer) else None


def main(argv: Sequence[str] | None = None) -> int:
    """Install the peer if need be and print its folder: ``python -m tests.peer.provision``."""
    if arguments := (sys.argv[1:] if argv is None else argv):
        print(f"takes no arguments, not {' '.join(arguments)!r}", file=sys.stderr)
        return 2
    try:
        peer = provide()
    except PeerUnavailable as exc:
        print(exc, file=sys.stderr)
        return 1
    print(peer.folder)
    return 0


# The cache


@contextlib.contextmanager
def locked(folder: Path, report: Reporter) -> Iterator[int]:
    """Hold the folder's lock and give its descriptor; the system drops it should we die."""
    path = folder / "lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        strangers = [name for name in sorted(OWN_FOLDERS) if (folder / name).exists()]
        if strangers and not path.exists():
            detail = f"it holds {', '.join(strangers)} from somewhere else; name another folder"
            raise PeerUnavailable(f"use the folder {folder}", detail)
        file = path.open("a")
    except OSError as exc:
        raise PeerUnavailable(f"use the folder {folder}", str(exc)) from exc
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report(f"waiting for another run that holds {path}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def is_healthy(peer: Peer) -> bool:
    """Ask whether a build is still whole."""
    if not all((peer.project / name).is_file() for name in PROJECT_FILES):
        return False
    try:
        run("check the peer", [str(peer.python), "-I", "-c", HEALTH_CHECK])
    except PeerUnavailable:
        return False
    return True


def build(folder: Path, report: Reporter, lock: int) -> Peer:
    """Make everything anew and record that it is complete; leave nothing behind on failure."""
    peer = Peer(folder)
    complete, draft = folder / "complete.json", folder / "complete.json.draft"
    try:
        complete.unlink(missing_ok=True)
        remove(peer)
        fill(peer, report, lock)
        if not is_healthy(peer):
            raise PeerUnavailable("find everything in its place", f"the build in {folder}")
        draft.write_text(json.dumps(RECIPE))
        draft.replace(complete)
    except OSError as exc:
        remove(peer)
        raise PeerUnavailable(f"write to {folder}", str(exc)) from exc
    except BaseException:
        remove(peer)
        raise
    report(f"the OpenEnv peer is ready in {folder}")
    return peer


def remove(peer: Peer) -> None:
    """Remove what a build made."""
    for name in OWN_FOLDERS:
        shutil.rmtree(peer.folder / name, ignore_errors=True)


def fill(peer: Peer, report: Reporter, lock: int) -> None:
    """Install OpenEnv into the peer's folder and have it generate its project there."""
    venv, projects = peer.folder / "venv", peer.project.parent
    python = [str(peer.python), "-I"]

    report(f"making a virtual environment in {venv}")
    make_venv = [sys.executable, "-I", "-m", "venv", "--clear", str(venv)]
    run("make a virtual environment", make_venv, lock=lock)

    names = " ".join(REQUIREMENTS)
    report(f"installing {names} (about 500 MB, once)")
    # With the pip that is here: the one that Python brings takes twice as long to resolve them.
    pip = [sys.executable, "-m", "pip", "--python", str(peer.python), "install"]
    options = ["--disable-pip-version-check", "--no-input"]
    install = [*pip, *options, *REQUIREMENTS]
    run(f"install {names}", install, lock=lock, timeout_s=INSTALL_TIMEOUT_S)

    report(f"generating {PROJECT_NAME} with openenv init")
    projects.mkdir()
    init = [*python, "-m", "openenv.cli", "init", PROJECT_NAME, "--output-dir", str(projects)]
    # With this PATH it finds no `uv`, whose lock file would take the network and isn't needed.
    path = str(peer.python.parent)
    run(f"run openenv init {PROJECT_NAME}", init, lock=lock, path=path)

    # Importable from everywhere: a .pth file works in isolated mode, where PYTHONPATH doesn't.
    where = [*python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site_packages = Path(run("find site-packages", where, lock=lock).strip())
    (site_packages / "generated_project.pth").write_text(f"{projects}\n")


# Commands


def run(
    stage: str,
    command: Sequence[str],
    *,
    lock: int | None = None,
    path: str | None = None,
    timeout_s: float = COMMAND_TIMEOUT_S,
) -> str:
    """Run a command to its end and return what it printed.

    Args:
        stage: What it does, for the error: "could not <stage>".
        command: The command and its arguments.
        lock: A lock's descriptor that it inherits, so that should we be killed, the lock is held
            for as long as the orphan still writes.
        path: Its PATH, if not ours.
        timeout_s: When it is killed, in seconds.

    Raises:
        PeerUnavailable: It couldn't start, failed or took too long.
    """
    environment = dict(os.environ)
    if path is not None:
        environment["PATH"] = path
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_s,
            pass_fds=() if lock is None else (lock,),
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        printed = exc.output or b""
        text = printed if isinstance(printed, str) else printed.decode("utf-8", "replace")
        raise PeerUnavailable(stage, f"{tail(text)}\n(gave up after {timeout_s:g} s)") from exc
    except OSError as exc:
        raise PeerUnavailable(stage, str(exc)) from exc
    if done.returncode != 0:
        raise PeerUnavailable(stage, tail(done.stdout) or f"exit code {done.returncode}")
    return done.stdout


def tail(text: str) -> str:
    """Return the last lines of a command's output."""
    return "\n".join(text.strip().splitlines()[-TAIL_LINES:])


def report_to_stderr(line: str) -> None:
    """Print one line of progress on standard error."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
