"""The context: what of a folder goes to Docker for a build, by the rules of its .dockerignore."""

import io
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from aioenv.cli.errors import CommandFailed

if TYPE_CHECKING:
    from e2b_dockerfile_utils import PatternMatcher

__all__ = ["context_paths", "write_context"]

IGNORE_FILE = ".dockerignore"

_KINDS = (stat.S_ISREG, stat.S_ISDIR, stat.S_ISLNK)


def write_context(
    folder: Path, dockerfile: str, file: BinaryIO, changed: bytes | None = None
) -> None:
    """Write the context to a file, as the tar archive that Docker takes.

    Args:
        folder: whose context.
        dockerfile: where the Dockerfile lies in it. It is sent in any case, and so is the
            .dockerignore, by which Docker keeps both out of the image where they are ignored.
        file: where to.
        changed: what the Dockerfile says instead of what is written there, if anything.

    Raises:
        CommandFailed: something cannot be read, the disk is full, or the .dockerignore does not
            make sense.
    """
    paths = dict.fromkeys(context_paths(folder))
    for name in (dockerfile, IGNORE_FILE):
        if (folder / name).is_file():
            paths[name] = None
    try:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
            if changed is not None:
                del paths[dockerfile]
                entry = tarfile.TarInfo(dockerfile)
                entry.size = len(changed)
                archive.addfile(entry, io.BytesIO(changed))
            for name in paths:
                archive.add(folder / name, name, recursive=False, filter=_owned_by_root)
        file.flush()
    except OSError as error:
        raise _unreadable(error) from error


def context_paths(folder: Path) -> Iterator[str]:
    """Find the folders, files and symbolic links that are not ignored; the others hold no data."""
    matcher = _matcher(folder)

    def fail(error: OSError) -> None:
        raise _unreadable(error)

    for place, folders, files in os.walk(folder, onerror=fail):
        above = Path(place).relative_to(folder)
        names = {name: (above / name).as_posix() for name in sorted([*folders, *files])}
        ignored = {name for name, path in names.items() if matcher.matches(path)}
        folders[:] = [
            name
            for name in sorted(folders)
            if name not in ignored or matcher.may_match_under(names[name])
        ]
        for name, path in names.items():
            mode = Path(place, name).lstat().st_mode
            if name not in ignored and any(is_kind(mode) for is_kind in _KINDS):
                yield path


def _matcher(folder: Path) -> "PatternMatcher":
    # Late, because only this command needs it.
    from e2b_dockerfile_utils import PatternMatcher

    path = folder / IGNORE_FILE
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except FileNotFoundError:
        lines = []
    except OSError as error:
        raise _unreadable(error) from error
    except UnicodeDecodeError as error:
        raise CommandFailed(f"{path} cannot be read: it is not UTF-8") from error
    try:
        return PatternMatcher(lines)
    except ValueError as error:
        raise CommandFailed(f"{path} cannot be used: {error}") from error


def _owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Forget whose files they are here: in the image that means nobody, or somebody else."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _unreadable(error: OSError) -> CommandFailed:
    if error.filename is None:  # what is written has no name
        return CommandFailed(f"the context of the build cannot be written: {error.strerror}")
    return CommandFailed(
        f"cannot read {error.filename}: {error.strerror}; if the image does not need it, add it to "
        f"{IGNORE_FILE}"
    )
