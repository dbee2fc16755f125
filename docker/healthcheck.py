"""Asks the service of this container whether it is healthy: exit code 0 if so, else 1.

``healthcheck.py`` asks once. ``healthcheck.py --watch SECONDS`` watches for so long: it ends as
soon as the service is healthy, if it was ill or about to start, or else as soon as it falls ill.
Docker starts it anew a second after its end. So Docker knows at once when the service changes, and
yet starts a process only now and then; in a container, that costs a thousand times more
than asking.

It needs no package and imports little.
"""

import contextlib
import os
import socket
import sys
import time
from pathlib import Path

REPLY_TIMEOUT_S = 4.0
#: Between two questions while the service is ill or starts, and while it is healthy.
PAUSE_ILL_S = 0.1
PAUSE_S = 2.0
#: How many bad replies in a row it takes for a service that was healthy to count as ill.
PATIENCE = 3
#: Says that the service was healthy when it was last asked. It lies in memory, is writable also
#: where the root file system is read-only, and goes when the container stops.
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
    """Ask until the service changes between ill and healthy, or the time is over."""
    deadline = time.monotonic() + duration_s
    if not MARK.exists():
        while (found := fault()) and time.monotonic() < deadline:
            time.sleep(PAUSE_ILL_S)
        if not found:
            with contextlib.suppress(OSError):  # then every time is the first
                MARK.touch()
        return found
    left = PATIENCE
    while left and time.monotonic() < deadline:
        found = fault()
        left = left - 1 if found else PATIENCE
        time.sleep(PAUSE_S if left else 0)
    if not left:
        MARK.unlink(missing_ok=True)
    return "" if left else found


if __name__ == "__main__":
    found = watch(float(sys.argv[2])) if sys.argv[1:2] == ["--watch"] else fault()
    sys.exit(found or 0)
