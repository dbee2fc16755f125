"""The contenders: what runs, under which interpreter, and what it needs installed."""

import sys
from pathlib import Path

import attrs

from benchmarks.contender import Contender
from tests.peer.provision import OPENENV_VERSION, provide

__all__ = ["BARE", "OPENENV", "OURS", "TWIN", "Footprint", "contender", "footprint", "launcher"]

OURS = "aioenv"
BARE = "bare aiohttp"
#: A second instance of the bare contender, for the proof.
TWIN = "bare aiohttp, again"
OPENENV = f"OpenEnv {OPENENV_VERSION}"


@attrs.frozen
class Footprint:
    """What a contender is before it does anything."""

    name: str
    python: Path
    #: The imports that make its client and its server usable.
    imports: str
    #: The distributions that a user asks for.
    distributions: tuple[str, ...]


def contender(name: str) -> Contender:
    """Return the contender of a name; OpenEnv is installed first where it is missing."""
    python = sys.executable
    if name == OURS:
        return Contender(name, _program(python, "ours_server"), _program(python, "echo_client"))
    if name == OPENENV:
        python = str(provide().python)
        return Contender(name, _program(python, "openenv_server"), _program(python, "echo_client"))
    return Contender(name, _program(python, "bare_server"), _program(python, "bare_client"))


def footprint(name: str) -> Footprint:
    """Return what to import and to weigh for a contender."""
    if name == OURS:
        imports = "from aioenv.client import EnvClient; from aioenv.service import create_app"
        return Footprint(name, Path(sys.executable), imports, ("aioenv",))
    if name == OPENENV:
        imports = (
            "from openenv.core import EnvClient; "
            "from openenv.core.env_server.http_server import create_app"
        )
        return Footprint(name, provide().python, imports, ("openenv",))
    imports = "import aiohttp, aiohttp.web, orjson, uvloop"
    return Footprint(name, Path(sys.executable), imports, ("aiohttp", "orjson", "uvloop"))


def launcher(name: str, image: str) -> tuple[str, ...]:
    """Return the program that starts an image's containers with a contender's launcher."""
    if name == OPENENV:
        return (*_program(str(provide().python), "launches"), image, "threads")
    return (*_program(sys.executable, "launches"), image, "loop")


def _program(python: str, module: str) -> tuple[str, ...]:
    return (python, "-m", f"benchmarks.contenders.{module}")
