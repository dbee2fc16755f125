"""echo_env: the Echo environment, its models and its client.

What serves it, `EchoEnvironment` and the application, is imported from ``echo_env.environment``
and ``echo_env.app``, so that an agent's process does not carry a server.
"""

from echo_env.client import EchoEnv
from echo_env.models import EchoAction, EchoObservation

__all__ = ["EchoAction", "EchoEnv", "EchoObservation"]
