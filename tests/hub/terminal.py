"""A terminal, for what a command does only where somebody looks on."""

import os
import pty
import subprocess
import termios
import time
from pathlib import Path

__all__ = ["Terminal"]

#: How long a terminal may take to do what it is about to do, before it counts as hung.
DEADLINE_S = 30.0


class Terminal:
    """A process on a terminal of its own."""

    def __init__(self, command: list[str], cwd: Path, env: dict[str, str]) -> None:
        self._master, slave = pty.openpty()
        self._process = subprocess.Popen(
            command, cwd=cwd, env=env, stdin=slave, stdout=slave, stderr=slave,
            start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self.printed = ""

    def wait_text(self, text: str) -> None:
        """Read until it has printed a text."""
        while text not in self.printed:
            assert self._read(), self.printed

    def wait_keys(self) -> None:
        """Wait until it takes single keys; it throws away what was typed before."""
        deadline = time.monotonic() + DEADLINE_S
        while termios.tcgetattr(self._master)[3] & termios.ICANON:
            assert time.monotonic() < deadline, self.printed
            time.sleep(0.01)

    def write(self, text: str) -> None:
        """Type something."""
        os.write(self._master, text.encode())

    def wait(self) -> int:
        """Read to its end, and return its exit code."""
        while self._read():
            pass
        os.close(self._master)
        return self._process.wait()

    def _read(self) -> bool:
        try:
            part = os.read(self._master, 4096)
        except OSError:  # how a terminal says on Linux that nobody is there any more
            return False
        self.printed += part.decode(errors="replace")
        return bool(part)
