"""aioenv.service: serving any environment to any number of clients."""

from aioenv.service.app import SERVICE, create_app
from aioenv.service.embedded import EmbeddedService
from aioenv.service.environment import Environment, EnvironmentMetadata
from aioenv.service.pool import PoolStatistics, SessionPool, Slot
from aioenv.service.running import Server, event_loop_factory, serve
from aioenv.service.service import Service
from aioenv.service.session import Session
from aioenv.service.settings import Settings

__all__ = [
    "SERVICE",
    "EmbeddedService",
    "Environment",
    "EnvironmentMetadata",
    "PoolStatistics",
    "Server",
    "Service",
    "Session",
    "SessionPool",
    "Settings",
    "Slot",
    "create_app",
    "event_loop_factory",
    "serve",
]
