"""One measured program: a child process that speaks lines, and its resources."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

__all__ = ["Program", "ProgramError"]

STOP_GRACE_S = 3.0


class ProgramError(Exception):
    """A measured program ended, or fell silent, when an answer was due."""


class Program:
    """A running child process: lines out, lines in, CPU time, memory, a certain end.

    It gets a session of its own, so a Ctrl-C in the terminal reaches only the driver, which
    then stops every program in order.
    """

    def __init__(
        self, name: str, argv: Sequence[str], *, environment: Mapping[str, str], folder: Path
    ) -> None:
        self.name = name
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as this
        self._process = subprocess.Popen(
            argv,
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,
        )
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._pump = threading.Thread(target=self._pump_lines, daemon=True)
        self._pump.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def cpu_s(self) -> float:
        """CPU seconds that the process, all its threads, has used so far."""
        # The clock of another process, to the nanosecond: what clock_getcpuclockid(3) returns.
        return time.clock_gettime((~self.pid << 3) | 2)

    def resident_bytes(self) -> int:
        """Resident memory of the process."""
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Rss:"):
                return int(line.split()[1]) * 1024
        raise ProgramError(f"{self.name}: the system does not say its resident memory")

    def wait_line(self, *, timeout_s: float) -> str:
        """Return the next line of output."""
        try:
            line = self._lines.get(timeout=timeout_s)
        except queue.Empty:
            raise ProgramError(f"{self.name}: silent for {timeout_s:g} s") from None
        if line is None:
            self._process.wait(STOP_GRACE_S)
            raise ProgramError(f"{self.name}: ended ({self._process.poll()})\n{self._log_tail()}")
        return line

    def request(self, command: Mapping[str, Any], *, timeout_s: float = 120.0) -> dict[str, Any]:
        """Send a command, return its answer."""
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(BrokenPipeError):  # wait_line says why it ended
            stdin.write(json.dumps(command).encode() + b"\n")
            stdin.flush()
        answer: dict[str, Any] = json.loads(self.wait_line(timeout_s=timeout_s))
        return answer

    def stop(self) -> None:
        """End the process and whatever it started; returns when it is gone."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_GRACE_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._pump.join(STOP_GRACE_S)
            self._errors.close()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def _pump_lines(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        with stdout:
            for line in stdout:
                self._lines.put(line.decode(errors="replace").rstrip("\n"))
        self._lines.put(None)

    def _log_tail(self) -> str:
        self._errors.seek(0)
        return self._errors.read()[-2000:].decode(errors="replace")
