"""OpenEnv's server: its own application on uvicorn with uvloop and httptools.

Runs under the peer interpreter, where `echo_env` is the project that `openenv init` made.
"""

import importlib
import socket
from typing import Any

from benchmarks.contenders.lifeline import follow_driver

__all__ = ["main"]


def main() -> None:
    """Serve on a free port of 127.0.0.1 until terminated."""
    follow_driver()
    models: Any = importlib.import_module("echo_env.models")
    environment: Any = importlib.import_module("echo_env.server.echo_env_environment")
    http_server: Any = importlib.import_module("openenv.core.env_server.http_server")
    uvicorn: Any = importlib.import_module("uvicorn")
    app = http_server.create_app(
        environment.EchoEnvironment,
        models.EchoAction,
        models.EchoObservation,
        env_name="echo_env",
        max_concurrent_envs=4096,
    )
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    config = uvicorn.Config(app, loop="uvloop", http="httptools", log_level="warning", backlog=1024)
    print(f"Listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
