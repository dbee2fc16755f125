"""The project that `aioenv init` makes: the template, filled in and written to a folder."""

import re
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from aioenv.cli.errors import CommandFailed
from aioenv.cli.names import ProjectName
from aioenv.cli.wheel import Wheel

__all__ = ["WHEELS", "render", "write"]

#: The folder of a project that pip looks into besides the index.
WHEELS = "wheels"

# What a file of the template ends with, so that nothing takes it for what it will be.
_SUFFIX = ".template"
_PLACEHOLDER = re.compile(r"__([A-Z]+(?:_[A-Z]+)*)__")
# What may lie in a folder that counts as empty.
_UNSEEN = frozenset({".git"})


def render(name: ProjectName, wheel: Wheel) -> dict[str, bytes]:
    """Return the files of a project by their paths in it."""
    words = {
        "ENV_NAME": name.package,
        "ENV_CLASS_NAME": name.class_prefix,
        "ENV_TITLE_NAME": name.title,
        "ENV_IMAGE_NAME": name.image,
        "AIOENV_REQUIREMENT": wheel.requirement,
    }

    def filled(text: str) -> str:
        return _PLACEHOLDER.sub(lambda found: words[found[1]], text)

    project = {
        filled(path.removesuffix(_SUFFIX)): filled(file.read_text("utf-8")).encode()
        for path, file in _template(files("aioenv.cli") / "template")
    }
    return {**project, f"{WHEELS}/{wheel.filename}": wheel.content}


def write(project: dict[str, bytes], folder: Path) -> None:
    """Write a project to a folder that is empty or not there yet: all of it, or nothing.

    Raises:
        CommandFailed: the folder holds something, or cannot be written to.
    """
    made: list[Path] = []
    path = folder
    try:
        _check_empty(folder)
        for name, content in project.items():
            path = folder / name
            _make_folder(path.parent, made)
            made.append(path)
            path.write_bytes(content)
    except OSError as error:
        _remove(made)
        raise CommandFailed(f"cannot write {error.filename or path}: {error.strerror}") from error
    except BaseException:
        _remove(made)
        raise


def _template(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    """Find every file of the template, with its path."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        path = f"{prefix}{entry.name}"
        if entry.is_dir():
            yield from _template(entry, f"{path}/")
        elif path.endswith(_SUFFIX):
            yield path, entry


def _check_empty(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise CommandFailed(f"{folder} is there already, and no folder; choose another --directory")
    if folder.is_dir():
        held = sorted({path.name for path in folder.iterdir()} - _UNSEEN)
        if held:
            raise CommandFailed(
                f"the folder {folder} is not empty (it holds {held[0]}); choose another name, or "
                "another --directory"
            )


def _make_folder(folder: Path, made: list[Path]) -> None:
    """Make a folder and those above it, and note each."""
    if not folder.is_dir():
        _make_folder(folder.parent, made)
        folder.mkdir()
        made.append(folder)


def _remove(made: list[Path]) -> None:
    for path in reversed(made):
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
