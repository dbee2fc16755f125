"""The public names: every module lists its own, every package is a table of contents."""

import ast
import importlib
import inspect
import pkgutil
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = {
    "aioenv": "aioenv",
    "aioenv.service": "service",
    "aioenv.client": "client",
    "aioenv.cli": "cli",
    "echo_env": "echo_env",
}
PACKAGES = {
    package: folder
    for package, folder in FOLDERS.items()
    if (ROOT / folder / "__init__.py").exists()
}
MODULES = [
    *PACKAGES,
    *(
        module.name
        for package, folder in PACKAGES.items()
        for module in pkgutil.iter_modules([str(ROOT / folder)], f"{package}.")
        if not module.ispkg and not module.name.endswith(".__main__")
    ),
]


def imported_names(package: ModuleType) -> dict[str, str]:
    """Return the names that a package's __init__ imports from ours, each with its module."""
    tree = ast.parse(inspect.getsource(package))
    return {
        alias.asname or alias.name: node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module
        if node.module.partition(".")[0] in {"aioenv", "echo_env"}
        for alias in node.names
    }


@pytest.mark.parametrize("name", MODULES)
def test_module_lists_its_names(name: str) -> None:
    """A module lists in `__all__` names that it has, each once."""
    module = importlib.import_module(name)
    assert isinstance(module.__all__, list)
    assert len(set(module.__all__)) == len(module.__all__)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


@pytest.mark.parametrize("name", MODULES)
def test_module_says_what_it_owns(name: str) -> None:
    """A module begins with a docstring whose first line is a sentence or a title of its own."""
    first, *rest = inspect.cleandoc(importlib.import_module(name).__doc__ or "").splitlines()
    assert first.endswith((".", ":"))
    assert rest[:1] in ([], [""])


@pytest.mark.parametrize("name", PACKAGES)
def test_package_is_a_table_of_contents(name: str) -> None:
    """A package exports what its __init__ imports from its modules, and their `__all__` agree."""
    package = importlib.import_module(name)
    imported = imported_names(package)
    assert set(package.__all__) == set(imported)
    unlisted = {
        f"{module}.{public}"
        for public, module in imported.items()
        if public not in importlib.import_module(module).__all__
    }
    assert unlisted == set()
