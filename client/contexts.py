"""Contexts: where the Docker daemon is, by the rules of Docker's own command."""

import hashlib
import json
import os
import ssl
from pathlib import Path

from aioenv.client.docker_config import config_folder, docker_config

__all__ = ["find_daemon"]

_SOCKETS = ("/run/docker.sock", "/var/run/docker.sock", "~/.docker/run/docker.sock")


def find_daemon() -> tuple[str | None, ssl.SSLContext | None]:
    """Return the daemon's address, and how to be sure of it where a context says that.

    ``DOCKER_HOST`` outdoes ``DOCKER_CONTEXT``, and that the context in use. A variable that is
    empty says nothing. The address is ``None`` where there is no context and no socket.

    Raises:
        aiodocker.DockerError: the certificates of a context cannot be used.
        OSError: the context is not there.
        ValueError: it names no daemon.
    """
    address = os.environ.get("DOCKER_HOST")
    if address:
        return address, None
    name = os.environ.get("DOCKER_CONTEXT") or docker_config().get("currentContext")
    if name and name != "default":
        return _read_context(str(name))
    sockets = (Path(path).expanduser() for path in _SOCKETS)
    return next((f"unix://{path}" for path in sockets if path.is_socket()), None), None


def _read_context(name: str) -> tuple[str, ssl.SSLContext | None]:
    from aiodocker.docker import Docker, DockerContextEndpoint

    folder = config_folder() / "contexts"
    digest = hashlib.sha256(name.encode()).hexdigest()
    try:
        facts = json.loads((folder / "meta" / digest / "meta.json").read_bytes())
        docker = facts["Endpoints"]["docker"]
        address = str(docker["Host"])
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(f"the context {name!r} names no daemon") from error
    certificates = Docker._load_context_tls(folder / "tls" / digest / "docker", context_name=name)
    is_unchecked = bool(docker.get("SkipTLSVerify"))
    endpoint = DockerContextEndpoint(address, name, is_unchecked, *certificates)
    security = Docker._create_context_ssl_context(endpoint, context_name=name)
    if security is not None:
        address = address.replace("tcp://", "https://", 1)
    return address, security
