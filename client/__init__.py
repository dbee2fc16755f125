"""aioenv.client: driving any service, from one episode to thousands at a time."""

from aioenv.client.env_client import EnvClient, GenericEnvClient
from aioenv.client.launchers import Launcher
from aioenv.client.sync_client import SyncEnvClient

__all__ = ["EnvClient", "GenericEnvClient", "Launcher", "SyncEnvClient"]
