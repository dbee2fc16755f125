"""The wheel of the aioenv that runs here, made from its own installation, however that was made."""

import base64
import hashlib
import importlib
import io
import zipfile
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from pathlib import Path

from attrs import frozen

from aioenv.cli.errors import CommandFailed

__all__ = ["Wheel"]

_PROJECT = "aioenv"
#: The packages of the distribution; a folder within one belongs to it unless it is listed itself.
_PACKAGES = ("aioenv", "aioenv.service", "aioenv.client", "aioenv.cli", "echo_env")
_METADATA = ("METADATA", "entry_points.txt", "top_level.txt")
_TIMESTAMP = (1980, 1, 1, 0, 0, 0)  # the first that a zip archive knows: equal content, equal bytes
_MODE = 0o100644 << 16


@frozen
class Wheel:
    """A wheel: one installable file.

    Attributes:
        version: of what it installs.
        content: its bytes; the same installation makes the same.
    """

    version: str
    content: bytes

    @classmethod
    def of_this(cls) -> "Wheel":
        """Make the wheel of the aioenv that runs here.

        An editable installation's holds the code as it is now.

        Raises:
            CommandFailed: nothing is known of how it was installed.
        """
        distribution = _distribution()
        files = {**_modules(), **_metadata(distribution)}
        return cls(distribution.version, _archive(files, _info(distribution)))

    @property
    def filename(self) -> str:
        """What a wheel of this content has to be called."""
        return f"{_PROJECT}-{_escaped(self.version)}-py3-none-any.whl"

    @property
    def requirement(self) -> str:
        """The line that asks for this version, or a later one of its kind."""
        return f"{_PROJECT}~={self.version.partition('+')[0]}"


def _distribution() -> Distribution:
    """Return the installed distribution, and not the leavings of a build in this folder."""
    for distribution in distributions(name=_PROJECT):
        if distribution.read_text("METADATA"):
            return distribution
    raise CommandFailed(
        f"{_PROJECT} runs here without having been installed; install it with pip, then try again"
    )


def _modules() -> dict[str, bytes]:
    """Return every file of the packages by its place in the archive."""
    folders = {name: _folder(name) for name in _PACKAGES}
    return {
        f"{name.replace('.', '/')}/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for name, folder in folders.items()
        for path in folder.rglob("*")
        if path.is_file() and _owner(path, folders.values()) == folder
        if "__pycache__" not in path.parts
    }


def _folder(package: str) -> Path:
    file = importlib.import_module(package).__file__
    assert file is not None, package
    return Path(file).parent


def _owner(path: Path, folders: Iterable[Path]) -> Path:
    return max((folder for folder in folders if path.is_relative_to(folder)), key=_depth)


def _depth(folder: Path) -> int:
    return len(folder.parts)


def _metadata(distribution: Distribution) -> dict[str, bytes]:
    """Return what the installer keeps of the wheel's own metadata."""
    info = _info(distribution)
    files = {f"{info}/{name}": distribution.read_text(name) for name in _METADATA}
    for file in distribution.files or []:
        if file.parent.name == "licenses" and file.parent.parent.name.endswith(".dist-info"):
            files[f"{info}/licenses/{file.name}"] = file.read_text("utf-8")
    files[f"{info}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: {_PROJECT} ({distribution.version})\n"
        "Root-Is-Purelib: true\nTag: py3-none-any\n"
    )
    return {name: text.encode() for name, text in files.items() if text is not None}


def _info(distribution: Distribution) -> str:
    return f"{_PROJECT}-{_escaped(distribution.version)}.dist-info"


def _escaped(version: str) -> str:
    return version.replace("-", "_")


def _archive(files: dict[str, bytes], info: str) -> bytes:
    """Pack files with the record of them, which a wheel has to hold at its end."""
    record = "".join(
        f"{name},{_digest(files[name])},{len(files[name])}\n" for name in sorted(files)
    )
    record += f"{info}/RECORD,,\n"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, content in [*sorted(files.items()), (f"{info}/RECORD", record.encode())]:
            entry = zipfile.ZipInfo(name, _TIMESTAMP)
            entry.external_attr = _MODE
            entry.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(entry, content)
    return archive.getvalue()


def _digest(content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest())
    return f"sha256={digest.rstrip(b'=').decode()}"
