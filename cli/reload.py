"""Reload: which files are the author's, and what has changed among them."""

import asyncio
import logging
from pathlib import Path
from typing import Self

from watchfiles import Change, DefaultFilter, awatch

from aioenv.cli.errors import CommandFailed

__all__ = ["Watch", "told"]

_SUFFIXES = {".py", ".yaml", ".yml", ".toml"}
# The first wherever they lie; the others, which a build makes, at the top: a package deeper down
# may be called so.
_FOLDERS = (".cache", ".eggs", ".nox", ".ruff_cache", ".tox")
_BUILT = ("build", "dist")
# What tells a virtual environment, whatever it is called.
_MARKS = ("pyvenv.cfg", "conda-meta")
_MOST_NAMES = 3

logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it tells of each change, as we do


class _AuthorsFiles(DefaultFilter):
    """Lets code, configuration and the README pass; not what tools keep and write."""

    def __init__(self) -> None:
        super().__init__(ignore_dirs=[*DefaultFilter.ignore_dirs, *_FOLDERS])

    def __call__(self, change: Change, path: str) -> bool:
        """Tell whether a file's change counts."""
        file = Path(path)
        is_authors = file.suffix in _SUFFIXES or file.stem.upper() == "README"
        return is_authors and super().__call__(change, path)


class Watch:
    """Watches the author's files as long as its context lasts.

    Args:
        folder: where they are; in the folders under it, too.
    """

    def __init__(self, folder: Path) -> None:
        self._place = folder.resolve()
        self._names = _AuthorsFiles()
        self._changed: set[Path] = set()
        self._change = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._watch())
        self._task.add_done_callback(lambda _: self._change.set())
        await asyncio.sleep(0)  # it begins at once: from now on nothing is overlooked
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def wait_change(self) -> list[Path]:
        """Wait until files have changed since the last call; cancelling it costs nothing.

        Returns:
            Their paths from the folder, in order.

        Raises:
            CommandFailed: the system does not tell of changes there.
        """
        await self._change.wait()
        if self._task.done() and (error := self._task.exception()) is not None:
            raise CommandFailed(
                f"{self._place} cannot be watched: {error}; serve from a smaller folder, or set "
                "WATCHFILES_FORCE_POLLING=1"
            ) from error
        self._change.clear()
        changed, self._changed = self._changed, set()
        return sorted(changed)

    async def _watch(self) -> None:
        async for found in awatch(self._place, watch_filter=self._counts, debounce=400):
            self._changed |= {Path(path).relative_to(self._place) for _, path in found}
            self._change.set()

    def _counts(self, change: Change, path: str) -> bool:
        # A folder above ours may be called `node_modules`.
        below = Path(path).relative_to(self._place)
        return (
            below.parts[0] not in _BUILT
            and self._names(change, str(below))
            and not any(self._is_venv(folder) for folder in below.parents[:-1])
        )

    def _is_venv(self, folder: Path) -> bool:
        return any((self._place / folder / mark).exists() for mark in _MARKS)


def told(paths: list[Path]) -> str:
    """Write which files have changed, in a few words."""
    names = [str(path) for path in paths[:_MOST_NAMES]]
    more = len(paths) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")
