"""The import table of the design: what each folder may import, proved from the sources."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]

# Folder, import name, and what of ours it may import besides itself.
TABLE = {
    "aioenv": ("aioenv", set[str]()),
    "service": ("aioenv.service", {"aioenv"}),
    "client": ("aioenv.client", {"aioenv"}),
    "cli": ("aioenv.cli", {"aioenv", "aioenv.service", "aioenv.client", "echo_env"}),
    "echo_env": ("echo_env", {"aioenv", "aioenv.service", "aioenv.client"}),
}
OURS = [name for name, _ in TABLE.values()]
NO_WEB = {"aiohttp", "aiodocker", "uvloop", "socket", "ssl"}  # the contract does no I/O
LATE_EXCEPTION = ("client", "aioenv.service.embedded")


class Import(NamedTuple):
    """An import statement: what it names, where it stands, and whether in a function."""

    module: str
    line: int
    late: bool


def imports_in(source: str, package: str) -> Iterator[Import]:
    """Find every import of a module of a package, wherever it stands."""
    tree = ast.parse(source)
    late = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = parts[: len(parts) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (Import(name, node.lineno, id(node) in late) for name in names)


def owner_of(module: str) -> str | None:
    """Return which of our packages a module belongs to: the longest name that it begins with."""
    owners = [name for name in OURS if module == name or module.startswith(f"{name}.")]
    return max(owners, key=len, default=None)


def trespasses(folder: str, source: str) -> list[str]:
    """Return what a source file of a folder imports against the table."""
    package, allowed = TABLE[folder]
    found = []
    for module, line, late in imports_in(source, package):
        if folder == LATE_EXCEPTION[0] and late and module.startswith(LATE_EXCEPTION[1]):
            continue
        owner = owner_of(module)
        foreign = owner is not None and owner != package and owner not in allowed
        if foreign or (folder == "aioenv" and module.partition(".")[0] in NO_WEB):
            found.append(f"line {line} imports {module}")
    return found


@pytest.mark.parametrize("folder", TABLE)
def test_sources_keep_to_the_table(folder: str) -> None:
    """No source file imports what the design does not allow its folder."""
    sources = sorted((ROOT / folder).rglob("*.py"))
    found = {
        str(path.relative_to(ROOT)): wrong
        for path in sources
        if (wrong := trespasses(folder, path.read_text(encoding="utf-8")))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("folder", "source", "wrong"),
    [
        ("aioenv", "from aioenv.models import State\nimport attrs", None),
        ("aioenv", "import aiohttp.web", "line 1 imports aiohttp.web"),
        ("aioenv", "def f():\n    from aiohttp import web", "line 2 imports aiohttp.web"),
        ("aioenv", "from aioenv import service", "line 1 imports aioenv.service"),
        ("aioenv", "from . import client", "line 1 imports aioenv.client"),
        ("aioenv", "import echo_env", "line 1 imports echo_env"),
        ("service", "from aioenv.service.pool import SessionPool", None),
        ("service", "from .pool import SessionPool\nimport aioenv", None),
        ("service", "from ..client import EnvClient", "line 1 imports aioenv.client.EnvClient"),
        ("service", "import aioenv.client.rollout", "line 1 imports aioenv.client.rollout"),
        ("service", "from echo_env import app", "line 1 imports echo_env.app"),
        ("client", "from aioenv import Contract", None),
        ("client", "async def f():\n    from aioenv.service.embedded import serve", None),
        (
            "client",
            "from aioenv.service.embedded import serve",
            "line 1 imports aioenv.service.embedded.serve",
        ),
        (
            "client",
            "def f():\n    from aioenv.service import pool",
            "line 2 imports aioenv.service.pool",
        ),
        ("cli", "import aioenv.service, aioenv.client, echo_env", None),
        ("echo_env", "from aioenv.service import create_app", None),
        ("echo_env", "if True:\n    import aioenv.cli", "line 2 imports aioenv.cli"),
    ],
)
def test_trespass_is_found(folder: str, source: str, wrong: str | None) -> None:
    """An import is found wherever and however it is written."""
    assert trespasses(folder, source) == ([] if wrong is None else [wrong])
