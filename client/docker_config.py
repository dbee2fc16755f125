"""Docker's configuration: what its own command notes for whoever talks to the daemon."""

import json
import os
from pathlib import Path
from typing import Any

__all__ = ["config_folder", "docker_config"]


def config_folder() -> Path:
    """Return the folder of Docker's configuration."""
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")


def docker_config() -> dict[str, Any]:
    """Return Docker's configuration; empty where there is none that can be read."""
    try:
        config = json.loads((config_folder() / "config.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}
