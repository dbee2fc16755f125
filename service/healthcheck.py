"""The health check of a container: asks its service; exit code 0 where it is healthy, else 1.

``healthcheck.py`` asks once. ``healthcheck.py --watch SECONDS`` asks once the first time, and from
then on for that long, ending at the first bad reply. Docker starts it anew a second after its end:
so Docker knows within a second or two that the service is up, or no longer is, and yet starts a
process only now and then. Starting one in a container costs a thousand times more than asking.

An image runs a copy of this file: it needs no package and imports little.
"""

import contextlib
import os
import socket
import sys
import time
from pathlib import Path

__all__ = ["fault", "watch"]

REPLY_TIMEOUT_S = 4.0
PAUSE_S = 2.0
#: Says that the service was healthy before. It lies in memory, is writable also where the root
#: file system is read-only, and goes when the container stops.
MARK = Path("/dev/shm/aioenv-healthy")  # noqa: S108  # only its existence is asked for


def fault() -> str:
    """Ask the service; return what is wrong, or nothing."""
    # On Linux, an address that stands for all of them (0.0.0.0, ::) can be connected to as well.
    host = os.environ.get("AIOENV_HOST") or "127.0.0.1"
    port = os.environ.get("AIOENV_PORT") or "8000"
    try:
        with socket.create_connection((host, int(port)), timeout=REPLY_TIMEOUT_S) as connection:
            connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            with connection.makefile("rb") as reply:
                status = reply.readline().decode("latin-1").strip()
    except (OSError, ValueError) as error:
        return f"{host}, port {port}: {error}"
    return "" if " 200 " in f"{status} " else f"{host}, port {port}: {status or 'no reply'}"


def watch(duration_s: float) -> str:
    """Ask until something is wrong or the time is over; only once if it is the first time."""
    deadline = time.monotonic() + duration_s if MARK.exists() else 0.0
    while not (found := fault()) and time.monotonic() < deadline:
        time.sleep(PAUSE_S)
    if not found:
        with contextlib.suppress(OSError):  # then every time is the first
            MARK.touch()
    return found


if __name__ == "__main__":
    found = watch(float(sys.argv[2])) if sys.argv[1:2] == ["--watch"] else fault()
    sys.exit(found or 0)
