"""Targets: from what a user names to what it names, with a clear word where there is nothing."""

import difflib
import importlib
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web
from attrs import frozen

from aioenv.cli.errors import CommandFailed
from aioenv.cli.manifest import Manifest
from aioenv.service import SERVICE, Environment

__all__ = ["Target", "load_application", "load_attribute", "load_policy"]

_EXAMPLE = "echo_env.app:app"


@frozen
class Target:
    """What is to be served.

    Attributes:
        app: the application.
        port: the port that its manifest names, or ``None``.
        readme: the README of its folder, or ``None``.
    """

    app: web.Application
    port: int | None = None
    readme: Path | None = None


def load_application(target: str) -> Target:
    """Load an application.

    Args:
        target: ``module:attribute``, or a folder with an ``openenv.yaml`` that names one.

    Raises:
        CommandFailed: it cannot be found or loaded, or is no application.
    """
    folder = Path(target)
    if folder.is_dir():
        manifest = Manifest.of(
            folder,
            f"name a folder that has one, or an application, such as: aioenv serve {_EXAMPLE}",
        )
        reference = manifest.app
        readme = folder / "README.md"
        return Target(
            _application(load_attribute(reference, folder), reference),
            manifest.port,
            readme if readme.is_file() else None,
        )
    if ":" not in target and not target.endswith(".py"):
        raise CommandFailed(
            f"{target!r} is neither a folder nor module:attribute, such as {_EXAMPLE}"
        )
    return Target(_application(load_attribute(target, Path()), target))


def load_policy(reference: str) -> Callable[..., Any]:
    """Load a policy by ``module:function``.

    Raises:
        CommandFailed: it cannot be found or loaded, or cannot be called.
    """
    policy = load_attribute(reference, Path(), "agent:act")
    if not callable(policy):
        raise CommandFailed(
            f"{reference} is {_kind(policy)}, not a policy; that is a function of a result and an "
            "episode that returns an action"
        )
    return policy  # type: ignore[no-any-return]


def load_attribute(reference: str, folder: Path, example: str = _EXAMPLE) -> Any:
    """Import a module and return one of its attributes.

    Args:
        reference: ``module:attribute``; the attribute may have dots.
        folder: where to look for the module first.
        example: what could be meant, for the error.

    Raises:
        CommandFailed: the module is missing, cannot be imported or is another one of that name, or
            has no such attribute.
    """
    module_name, _, attribute = reference.partition(":")
    if module_name.endswith(".py"):
        module = f"{Path(module_name).stem}:{attribute or example.partition(':')[2]}"
        raise CommandFailed(f"{reference!r} names a file; name the module, in its folder: {module}")
    if not module_name or not attribute:
        raise CommandFailed(f"{reference!r} is not module:attribute, such as {example}")
    value = _import(module_name, folder)
    for name in attribute.split("."):
        try:
            value = getattr(value, name)
        except AttributeError as error:
            near = difflib.get_close_matches(name, dir(value), 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise CommandFailed(f"{module_name} has no {attribute!r}{hint}") from error
    return value


def _import(module_name: str, folder: Path) -> Any:
    place = str(folder.resolve())
    if place not in sys.path:
        sys.path.insert(0, place)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise CommandFailed(
                f"there is no module {error.name!r}, neither in {place} nor on Python's path"
            ) from error
        raise CommandFailed(
            f"{module_name} cannot be imported: {error}; is it installed?"
        ) from error
    except Exception as error:
        words = " ".join(f"{type(error).__name__}: {error}".split())
        raise CommandFailed(
            f"{module_name} cannot be imported: {words}{_place_of(error)}"
        ) from error
    _check_origin(module_name.partition(".")[0], folder)
    return module


def _check_origin(name: str, folder: Path) -> None:
    """Refuse a module from elsewhere where the folder holds one of its name."""
    own = next(filter(Path.is_file, (folder / name / "__init__.py", folder / f"{name}.py")), None)
    origin = getattr(sys.modules[name], "__file__", None)
    if own is not None and (origin is None or not own.samefile(origin)):
        raise CommandFailed(
            f"{name} is not {own}, but {origin or 'a part of Python'}, which is imported already "
            "or comes first on Python's path; give yours another name"
        )


def _place_of(error: Exception) -> str:
    """Tell where an error was raised, unless it says so itself, as a syntax error does."""
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError) or not frames:
        return ""
    return f" ({frames[-1].filename}, line {frames[-1].lineno})"


def _application(value: Any, reference: str) -> web.Application:
    """Check that a value is an application that `aioenv serve` can serve."""
    if isinstance(value, web.Application) and SERVICE in value:
        return value
    kind = "an environment" if _is_environment(value) else _kind(value)
    raise CommandFailed(
        f"{reference} is {kind}, not an application that aioenv.service.create_app() returned"
    )


def _is_environment(value: Any) -> bool:
    return isinstance(value, Environment) or (
        isinstance(value, type) and issubclass(value, Environment)
    )


def _kind(value: Any) -> str:
    return (
        f"the class {value.__name__}"
        if isinstance(value, type)
        else f"of type {type(value).__name__}"
    )
