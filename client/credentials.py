"""Credentials: what ``docker login`` has noted for a registry of images."""

import json
import logging
import subprocess
from typing import Any

from aioenv.client.docker_config import docker_config

__all__ = ["credentials_of", "registry_of"]

# What Docker calls its own registry where it notes credentials.
_DOCKER_HUB = "https://index.docker.io/v1/"
_HELPER_TIMEOUT_S = 30.0

log = logging.getLogger(__name__)


def registry_of(image: str) -> str | None:
    """Return the host that an image's name begins with, by Docker's rule for telling one."""
    registry, slash, _ = image.partition("/")
    is_host = slash and ("." in registry or ":" in registry or registry == "localhost")
    return registry if is_host else None


def credentials_of(image: str) -> dict[str, str] | None:
    """Return what is noted for an image's registry, as aiodocker takes it; ``None`` for nothing.

    It may be noted in Docker's configuration, or be kept by a helper program that is named there,
    and is run then; so this may block.
    """
    registry = registry_of(image)
    if registry is None:
        return None  # aiodocker takes none for Docker Hub's short names
    keys = [registry, f"https://{registry}"]
    if registry in ("docker.io", "index.docker.io"):
        keys.append(_DOCKER_HUB)
    config = docker_config()
    accounts, helpers = (_section(config, name) for name in ("auths", "credHelpers"))
    for key in keys:
        account = accounts.get(key)
        if isinstance(account, dict) and account.get("auth"):
            return {"auth": str(account["auth"])}
        helper = helpers.get(key) or config.get("credsStore")
        if isinstance(helper, str) and (kept := _kept(helper, key)) is not None:
            return kept
    return None


def _section(config: dict[str, Any], name: str) -> dict[str, Any]:
    section = config.get(name)
    return section if isinstance(section, dict) else {}


def _kept(helper: str, registry: str) -> dict[str, str] | None:
    """Ask a helper program, as Docker does: the registry goes in, an account comes out as JSON."""
    command = [f"docker-credential-{helper}", "get"]
    try:
        asked = subprocess.run(  # noqa: S603 - Docker's configuration is the user's
            command, input=registry, capture_output=True, text=True, timeout=_HELPER_TIMEOUT_S
        )
        account = json.loads(asked.stdout) if asked.returncode == 0 else {}
        user, secret = account.get("Username"), account.get("Secret")
    except (OSError, ValueError, AttributeError, subprocess.SubprocessError) as error:
        log.debug("%s has nothing for %s: %s", command[0], registry, type(error).__name__)
        return None
    if not user or not secret:
        return None
    return (
        {"identitytoken": secret} if user == "<token>" else {"username": user, "password": secret}
    )
