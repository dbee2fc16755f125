"""Echo's client."""

from aioenv import State
from aioenv.client import EnvClient
from echo_env.models import EchoAction, EchoObservation

__all__ = ["EchoEnv"]


class EchoEnv(EnvClient[EchoAction, EchoObservation, State]):
    """Plays Echo: ``async with EchoEnv(base_url="http://localhost:8000") as env``."""
