"""aioenv: an async-native home for OpenEnv environments.

This package is the contract that a service and a client share: models, codec, JSON Schema,
messages and errors. `aioenv.service` serves environments, `aioenv.client` drives them.
"""

from pkgutil import extend_path

from aioenv._version import __version__
from aioenv.contract import Contract, PlainContract
from aioenv.converter import make_converter, make_reader, make_writer
from aioenv.errors import (
    AioEnvError,
    CapacityReached,
    Closed,
    ConnectionFailed,
    EnvironmentFailed,
    InvalidRequest,
    LaunchFailed,
    ProtocolViolation,
    RequestTimeout,
    SessionLost,
)
from aioenv.jsontext import dumps, loads
from aioenv.models import Observation, State, StepResult

__all__ = [
    "AioEnvError",
    "CapacityReached",
    "Closed",
    "ConnectionFailed",
    "Contract",
    "EnvironmentFailed",
    "InvalidRequest",
    "LaunchFailed",
    "Observation",
    "PlainContract",
    "ProtocolViolation",
    "RequestTimeout",
    "SessionLost",
    "State",
    "StepResult",
    "__version__",
    "dumps",
    "loads",
    "make_converter",
    "make_reader",
    "make_writer",
]

# In a checkout, Python run from the top level finds this folder before the installed package,
# whose `service`, `client` and `cli` lie elsewhere: look for them there too.
__path__ = extend_path(__path__, __name__)
