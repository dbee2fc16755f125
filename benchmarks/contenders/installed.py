"""Prints what a distribution and everything it requires weigh on disk, as JSON.

    python -m benchmarks.contenders.installed NAME...

Runs under the interpreter that they are installed for; standard library only. A requirement
counts when it is installed, an extra's when the extra is asked for. Compiled bytecode is left
out, for whether it exists depends on the installer.
"""

import configparser
import importlib.metadata
import json
import re
import sys
import urllib.parse
from pathlib import Path

__all__ = ["closure", "main", "size_bytes"]


def closure(names: list[str]) -> dict[str, importlib.metadata.Distribution]:
    """Return the distributions of these names and of all that they require."""
    found: dict[str, importlib.metadata.Distribution] = {}
    seen: set[tuple[str, str]] = set()
    waiting = list(names)
    while waiting:
        name, extras = _parsed(waiting.pop())
        try:
            distribution = found.setdefault(name, importlib.metadata.distribution(name))
        except importlib.metadata.PackageNotFoundError:
            if name in names:
                raise
            continue  # required on another platform or Python
        for extra in {"", *extras}:
            if (name, extra) not in seen:
                seen.add((name, extra))
                waiting += _required(distribution, extra)
    return found


def size_bytes(distribution: importlib.metadata.Distribution) -> int:
    """Return the size of an installed distribution's files."""
    source = _editable_source(distribution)
    if source is not None:
        files = _package_files(source)
    else:
        files = [Path(str(distribution.locate_file(f))) for f in distribution.files or ()]
    return sum(f.stat().st_size for f in files if f.suffix != ".pyc" and f.is_file())


def main() -> None:
    """Print the size and the number of distributions."""
    distributions = closure(sys.argv[1:])
    sizes = {name: size_bytes(distribution) for name, distribution in distributions.items()}
    print(json.dumps({"bytes": sum(sizes.values()), "distributions": sizes}))


def _editable_source(distribution: importlib.metadata.Distribution) -> Path | None:
    """Return the project's folder if the installation only points to it."""
    recorded = json.loads(distribution.read_text("direct_url.json") or "{}")
    if not recorded.get("dir_info", {}).get("editable"):
        return None
    return Path(urllib.parse.unquote(urllib.parse.urlsplit(recorded["url"]).path))


def _package_files(source: Path) -> list[Path]:
    """Return the files that a project's setup.cfg would have installed."""
    settings = configparser.ConfigParser()
    settings.read(source / "setup.cfg")
    lines = settings["options"]["package_dir"].splitlines()
    folders = [line.partition("=")[2].strip() for line in lines if "=" in line]
    return [file for folder in folders for file in (source / folder).rglob("*")]


def _required(distribution: importlib.metadata.Distribution, extra: str) -> list[str]:
    """Return what a distribution requires for an extra, or of itself when there is no extra."""
    required = []
    for requirement in distribution.requires or ():
        wanted, _, marker = requirement.partition(";")
        named = re.search(r"extra\s*==\s*[\"']([^\"']+)", marker)
        if _normal(named[1] if named else "") == extra:
            required.append(wanted)
    return required


def _parsed(requirement: str) -> tuple[str, list[str]]:
    """Return the name and the extras of a requirement."""
    found = re.match(r"\s*([\w.-]+)\s*(?:\[([^\]]*)\])?", requirement)
    if found is None:
        raise ValueError(f"not a requirement: {requirement!r}")
    extras = [_normal(extra.strip()) for extra in (found[2] or "").split(",") if extra.strip()]
    return _normal(found[1]), extras


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main()
