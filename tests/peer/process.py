"""Owns subprocesses that are talked to by lines: servers that say when they are ready, players.

Standard library only: the benchmarks import this module too.
"""

from __future__ import annotations

import collections
import contextlib
import os
import queue
import re
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

__all__ = ["ADDRESS", "LineProcess", "ProcessFailed"]

ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")
"""How a server tells its address, wherever in its line."""


class ProcessFailed(Exception):
    """A subprocess ended, or stayed silent, while something was expected of it.

    Attributes:
        reason: What was expected and what came instead.
        output: The last lines that it printed.
    """

    def __init__(self, reason: str, output: str) -> None:
        super().__init__(reason, output)
        self.reason = reason
        self.output = output

    def __str__(self) -> str:
        return f"{self.reason}; its last lines:\n{self.output or '(none)'}"


class LineProcess:
    """A subprocess, from its start to its awaited exit. Use it as a context manager.

    Standard output and standard error are read by two threads all the time, so that the
    subprocess never blocks on a full pipe, and are searched line by line.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: Path | None = None,
        environment: dict[str, str] | None = None,
        stop_timeout_s: float = 15.0,
        tail_lines: int = 50,
    ) -> None:
        self.command = list(command)
        self._stop_timeout_s = stop_timeout_s
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._tail: collections.deque[str] = collections.deque(maxlen=tail_lines)
        self._process = subprocess.Popen(
            self.command,
            cwd=cwd,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        self._threads = [
            threading.Thread(target=self._read, args=(stream,), daemon=True)
            for stream in (self._process.stdout, self._process.stderr)
        ]
        self._open_streams = len(self._threads)
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> LineProcess:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<LineProcess pid={self._process.pid} returncode={self._process.poll()}>"

    # Public attributes

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def output(self) -> str:
        """The last lines printed so far, from both streams."""
        return "\n".join(self._tail)

    # Public methods

    def wait_line(self, pattern: str | re.Pattern[str], timeout_s: float) -> re.Match[str]:
        """Wait for the next printed line in which pattern is found, and return the match.

        Lines before it are consumed.

        Raises:
            ProcessFailed: It ended first, or timeout_s seconds passed.
        """
        wanted = re.compile(pattern)
        deadline = time.monotonic() + timeout_s
        while self._open_streams:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                reason = f"{self!r} printed no {wanted.pattern!r} within {timeout_s:g} s"
                raise ProcessFailed(reason, self.output) from None
            if line is None:
                self._open_streams -= 1
            elif match := wanted.search(line):
                return match
        reason = f"{self!r} ended without printing {wanted.pattern!r}"
        raise ProcessFailed(reason, self.output)

    def wait_address(self, timeout_s: float) -> str:
        """Wait until a server tells its address, and return it."""
        return self.wait_line(ADDRESS, timeout_s).group()

    def write_line(self, line: str) -> None:
        """Send one line to its standard input.

        Raises:
            ProcessFailed: It no longer listens.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except (OSError, ValueError) as exc:
            raise ProcessFailed(f"{self!r} takes no input any more", self.output) from exc

    def stop(self) -> int:
        """Ask it to end, kill it if it doesn't, wait for its exit; safe to call twice.

        Returns:
            Its exit code, negative for a signal.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.terminate()
        try:
            self._process.wait(self._stop_timeout_s)
        except subprocess.TimeoutExpired:
            # Its own children too: it leads a process group (start_new_session).
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        returncode = self._process.wait()
        for thread in self._threads:
            thread.join(self._stop_timeout_s)
        return returncode

    # Private methods

    def _read(self, stream: IO[str] | None) -> None:
        assert stream is not None
        with stream:
            for line in stream:
                self._tail.append(line.rstrip("\n"))
                self._lines.put(line.rstrip("\n"))
        self._lines.put(None)
