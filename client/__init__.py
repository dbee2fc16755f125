"""aioenv.client: driving any service, from one episode to thousands at a time."""

from aioenv.client.container_options import ContainerOptions
from aioenv.client.containers import ContainerLauncher
from aioenv.client.course import RolloutStatistics
from aioenv.client.drawing import CannotDraw
from aioenv.client.env_client import EnvClient, GenericEnvClient
from aioenv.client.fleet import Fleet
from aioenv.client.http import fetch_schemas
from aioenv.client.launchers import Launcher
from aioenv.client.leftovers import LaunchedContainer, launched_containers, prune_containers
from aioenv.client.policies import Episode, Policy, RandomPolicy, random_action
from aioenv.client.rollouts import Rollout, rollout
from aioenv.client.sync_client import SyncEnvClient
from aioenv.client.trajectories import Failure, Trajectory, Transition

__all__ = [
    "CannotDraw",
    "ContainerLauncher",
    "ContainerOptions",
    "EnvClient",
    "Episode",
    "Failure",
    "Fleet",
    "GenericEnvClient",
    "LaunchedContainer",
    "Launcher",
    "Policy",
    "RandomPolicy",
    "Rollout",
    "RolloutStatistics",
    "SyncEnvClient",
    "Trajectory",
    "Transition",
    "fetch_schemas",
    "launched_containers",
    "prune_containers",
    "random_action",
    "rollout",
]
