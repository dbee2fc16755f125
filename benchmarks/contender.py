"""A contender: a server program and a load program that are always measured together."""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import attrs

from benchmarks.program import Program, ProgramError

__all__ = ["Block", "Contender", "RunningContender", "clean_environment", "open_stage"]

START_TIMEOUT_S = 60.0
# What a shell may hold that would make one contender's programs differ from another's.
LEFT_OUT = ("PYTHON", "OPENENV_", "AIOENV_", "ENABLE_WEB_INTERFACE", "MAX_CONCURRENT_ENVS")


@attrs.frozen
class Block:
    """One uninterrupted stretch of work and what it cost."""

    work: int
    wall_s: float
    server_cpu_s: float
    client_cpu_s: float

    def __add__(self, other: "Block") -> "Block":
        return Block(
            self.work + other.work,
            self.wall_s + other.wall_s,
            self.server_cpu_s + other.server_cpu_s,
            self.client_cpu_s + other.client_cpu_s,
        )

    @property
    def rate(self) -> float:
        """Units of work in a second of wall clock."""
        return self.work / self.wall_s

    @property
    def cpu_us(self) -> float:
        """CPU microseconds for a unit of work, both processes."""
        return self.server_cpu_us + self.client_cpu_us

    @property
    def server_cpu_us(self) -> float:
        """The server's part of it."""
        return self.server_cpu_s / self.work * 1e6

    @property
    def client_cpu_us(self) -> float:
        """The client's part of it."""
        return self.client_cpu_s / self.work * 1e6


@attrs.frozen
class Contender:
    """How to start one contender."""

    name: str
    server: tuple[str, ...]
    client: tuple[str, ...]


class RunningContender:
    """Both programs of a contender, alive until `stop()`. Also a context manager."""

    def __init__(self, contender: Contender, *, stage: Path) -> None:
        self.name = contender.name
        self._programs: list[Program] = []
        self._sessions = 0
        environment = clean_environment(stage)

        def start(role: str, argv: Sequence[str]) -> Program:
            name = f"{contender.name} {role}"
            with _pinned(role):
                program = Program(name, argv, environment=environment, folder=stage)
            self._programs.append(program)
            return program

        try:
            self.server = start("server", contender.server)
            self.url = _wait_url(self.server)
            self.client = start("client", [*contender.client, self.url])
            self.client.wait_line(timeout_s=START_TIMEOUT_S)
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> "RunningContender":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def open(self, sessions: int) -> None:
        """Hold exactly so many sessions open."""
        self._sessions = sessions
        self.client.request({"op": "open", "sessions": sessions})

    def probe(self, url: str) -> list[str]:
        """Return the raw frames with which any server greets and echoes (the bare client only)."""
        return list(self.client.request({"op": "probe", "url": url})["replies"])

    def steps(self, count: int) -> Block:
        """Run so many steps, spread over the open sessions.

        One more of each session comes first and does not count: it pays for what a pause leaves
        behind, a cold cache or a task that watched the idle socket.
        """
        self.client.request({"op": "steps", "steps": self._sessions})
        return self._measured({"op": "steps", "steps": count}, count)

    def cycles(self, count: int, *, concurrency: int) -> Block:
        """Connect, reset and close so many sessions."""
        command = {"op": "cycle", "cycles": count, "concurrency": concurrency}
        return self._measured(command, count)

    def stop(self) -> None:
        """End both programs, the client first."""
        with contextlib.ExitStack() as stack:
            for program in self._programs:
                stack.callback(program.stop)
            self._programs = []

    def _measured(self, command: dict[str, object], work: int) -> Block:
        server_cpu_s, client_cpu_s = self.server.cpu_s(), self.client.cpu_s()
        answer = self.client.request(command)
        return Block(
            work=work,
            wall_s=answer["wall_s"],
            server_cpu_s=self.server.cpu_s() - server_cpu_s,
            client_cpu_s=self.client.cpu_s() - client_cpu_s,
        )


def clean_environment(stage: Path) -> dict[str, str]:
    """Return the environment variables that every measured program gets."""
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith(LEFT_OUT)},
        "PYTHONPATH": str(stage),
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
    }


@contextlib.contextmanager
def open_stage() -> Iterator[Path]:
    """Yield a folder that holds this package and nothing else.

    The programs run from there, so that what they import is what is installed, not what
    happens to lie beside this package.
    """
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        stage = Path(folder)
        package = Path(__file__).resolve().parent
        (stage / package.name).symlink_to(package, target_is_directory=True)
        yield stage


@contextlib.contextmanager
def _pinned(role: str) -> Iterator[None]:
    """Let what starts meanwhile inherit the processor of its role.

    Left alone, the scheduler sometimes puts both programs of a contender on one processor
    and sometimes not, which at one session alone makes a third of the rate.
    """
    processors = os.sched_getaffinity(0)
    if len(processors) < 2:
        yield
        return
    os.sched_setaffinity(0, {sorted(processors)[0 if role == "server" else 1]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, processors)


def _wait_url(server: Program) -> str:
    while True:
        line = server.wait_line(timeout_s=START_TIMEOUT_S)
        if found := re.search(r"http://127\.0\.0\.1:\d+", line):
            return found[0]
        if "Traceback" in line:
            raise ProgramError(f"{server.name}: {line}")
