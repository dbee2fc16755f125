"""Our server: the Echo environment behind `aioenv.service`, as `aioenv serve` runs it."""

from aioenv.service import Settings, create_app, serve
from benchmarks.contenders.lifeline import follow_driver
from echo_env import EchoAction, EchoObservation
from echo_env.environment import EchoEnvironment

__all__ = ["main"]


def main() -> None:
    """Serve on a free port of 127.0.0.1 until terminated."""
    follow_driver()
    # Like the others it logs nothing of connections.
    settings = Settings(port=0, max_concurrent_envs=4096, shutdown_grace_s=0.0, log_level="warning")
    app = create_app(EchoEnvironment, EchoAction, EchoObservation, settings=settings)
    serve(app)


if __name__ == "__main__":
    main()
