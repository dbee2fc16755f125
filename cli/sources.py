"""The sources: what a folder's application is, by its code, and by importing it where it can be.

An application of OpenEnv's own kind (FastAPI, made by its ``create_app``) is told by its code
alone: what it needs may not be installed here, and it is not for us to serve.
"""

import ast
from pathlib import Path

from aioenv.cli.checklist import Fault
from aioenv.cli.errors import CommandFailed
from aioenv.cli.manifest import Manifest
from aioenv.cli.targets import load_application

__all__ = ["check_application"]

_FOREIGN = frozenset({"fastapi", "openenv", "openenv_core"})


def check_application(manifest: Manifest, folder: Path) -> str:
    """Check that a manifest's application can be served.

    Raises:
        Fault: it cannot.
    """
    try:
        reference = manifest.app
        module, _, attribute = reference.partition(":")
        source = _find(folder, module)
        if source is not None and _is_foreign(tree := _parse(source)):
            _check_defines(tree, attribute.partition(".")[0], source)
            return f"{reference} is an application of OpenEnv's, read in {source.name} and not run"
        load_application(str(folder))
    except CommandFailed as error:
        words, _, advice = error.message.partition("; ")
        raise Fault(
            words, advice or f"see what the entry 'app' of {manifest.path} names"
        ) from error
    return f"{reference} can be imported and served"


def _find(folder: Path, module: str) -> Path | None:
    """Return the file of a module; the folder may be the package itself, as OpenEnv has it."""
    parts = module.split(".")
    places = [folder.joinpath(*parts)]
    if parts[0] == folder.resolve().name and parts[1:]:
        places.append(folder.joinpath(*parts[1:]))
    for place in places:
        for path in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
            if path.is_file():
                return path
    return None


def _parse(source: Path) -> ast.Module:
    try:
        return ast.parse(source.read_bytes(), str(source))
    except (OSError, SyntaxError, ValueError) as error:
        raise Fault(f"{source} cannot be read: {error}", "mend it") from error


def _is_foreign(tree: ast.Module) -> bool:
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        if any(name.partition(".")[0] in _FOREIGN for name in names):
            return True
    return False


def _check_defines(tree: ast.Module, name: str, source: Path) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == name:
            return
        if isinstance(node, ast.alias) and (node.asname or node.name) == name:
            return
    raise Fault(f"{source} defines no {name!r}", f"write there: {name} = create_app(…)")
