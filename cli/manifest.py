"""The manifest: what an environment's folder says of itself in its ``openenv.yaml``."""

from pathlib import Path
from typing import Any

from aioenv.cli.errors import CommandFailed

__all__ = ["MANIFEST", "read_manifest"]

MANIFEST = "openenv.yaml"


def read_manifest(folder: Path, *, remedy: str) -> dict[str, Any]:
    """Return the entries of a folder's manifest.

    Args:
        folder: the environment's folder.
        remedy: what to do where there is no manifest, for the error.

    Raises:
        CommandFailed: there is none, or it cannot be read, or is no mapping.
    """
    import yaml

    path = folder / MANIFEST
    try:
        manifest = yaml.safe_load(path.read_bytes())
    except FileNotFoundError:
        raise CommandFailed(f"there is no {MANIFEST} in {folder.resolve()}; {remedy}") from None
    except (OSError, yaml.YAMLError) as error:
        words = " ".join(str(error).split())
        raise CommandFailed(f"{path} cannot be read: {words}") from error
    if not isinstance(manifest, dict):
        raise CommandFailed(f"{path} holds no entries, such as: name: my_env")
    return manifest
