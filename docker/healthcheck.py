"""Asks the service of this container whether it is healthy: exit code 0 if so, else 1.

Docker runs it over and over. It needs no package, and imports little, so that it costs little.
"""

import os
import socket
import sys

# On Linux, an address that stands for all of them (0.0.0.0, ::) can be connected to as well.
host = os.environ.get("AIOENV_HOST") or "127.0.0.1"
port = int(os.environ.get("AIOENV_PORT") or 8000)
try:
    with socket.create_connection((host, port), timeout=4) as connection:
        connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        with connection.makefile("rb") as reply:
            status = reply.readline().decode("latin-1").strip()
except OSError as error:
    sys.exit(f"{host}, port {port}: {error}")
if " 200 " not in f"{status} ":
    sys.exit(f"{host}, port {port}: {status or 'no reply'}")
