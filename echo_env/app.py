"""Echo's application, as ``openenv.yaml`` names it: ``aioenv serve echo_env.app:app``."""

from aioenv.service import create_app
from echo_env.environment import EchoEnvironment
from echo_env.models import EchoAction, EchoObservation

__all__ = ["app"]

app = create_app(EchoEnvironment, EchoAction, EchoObservation, name="echo_env")
