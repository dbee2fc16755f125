"""Serves the generated project's Echo environment with OpenEnv's own server.

Run by the peer's interpreter, never ours. Prints ``READY http://127.0.0.1:PORT`` when it
accepts connections. ``--with-faults`` adds messages that make a step misbehave on purpose.
"""

from __future__ import annotations

import argparse
import importlib
import socket
import sys
from collections.abc import Sequence
from typing import Any

# Not import statements: our type checker knows none of these, or takes `echo_env` for our own.
uvicorn: Any = importlib.import_module("uvicorn")
http_server: Any = importlib.import_module("openenv.core.env_server.http_server")
models: Any = importlib.import_module("echo_env.models")
environment: Any = importlib.import_module("echo_env.server.echo_env_environment")


class FaultyEcho(environment.EchoEnvironment):  # type: ignore[misc]
    """The generated Echo, plus one message for each way in which a step goes wrong."""

    def step(self, action: Any) -> Any:
        """Echo the message unless it names a fault."""
        if action.message == "fault: hold":
            # The test decides how long the step takes: until it writes a line.
            print("HOLDING", flush=True)
            sys.stdin.readline()
        elif action.message == "fault: raise":
            raise LookupError("the step was asked to fail")
        elif action.message == "fault: end the session":
            # OpenEnv can't serialize the error, which costs it the session: SESSION_ERROR.
            models.EchoAction.model_validate({"message": "", "\ud800": 1})
        return super().step(action)


class AnnouncingServer(uvicorn.Server):  # type: ignore[misc]
    """A uvicorn server that says when it listens."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then print the address."""
        await super().startup(sockets=sockets)
        if self.started and sockets:
            host, port = sockets[0].getsockname()
            print(f"READY http://{host}:{port}", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--max-concurrent-envs", type=int, default=1, metavar="N")
    parser.add_argument("--with-faults", action="store_true")
    options = parser.parse_args(argv)

    app = http_server.create_app(
        FaultyEcho if options.with_faults else environment.EchoEnvironment,
        models.EchoAction,
        models.EchoObservation,
        env_name="echo_env",
        max_concurrent_envs=options.max_concurrent_envs,
    )
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=5,
    )
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind(("127.0.0.1", 0))
        AnnouncingServer(config).run(sockets=[listener])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
