"""The options of a container: what may be asked of it, and how Docker is asked for it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import field, frozen
from attrs.validators import ge, gt, in_, instance_of, le, optional

from aioenv.client.images import PullPolicy
from aioenv.client.owners import Owner

__all__ = ["ContainerOptions"]

_LEAST_MEMORY = 6 << 20  # Docker takes no less
_MEMORY: int | str | None = "2g"
_PIDS: int | None = 512
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def _variables(given: Any) -> dict[str, str]:
    """Return environment variables as texts; an error names the variable, never its value."""
    if given is not None and not isinstance(given, Mapping):
        kind = type(given).__name__
        raise TypeError(f"'env_vars' must be a mapping, such as {{'NAME': 'value'}}, not {kind}")
    for name, value in (given or {}).items():
        if not name or "=" in name:
            raise ValueError(f"{name!r} cannot be the name of an environment variable")
        if not isinstance(value, str | int | float):
            kind = type(value).__name__
            raise TypeError(f"the environment variable {name} must be a str, not {kind}")
    return {name: str(value) for name, value in (given or {}).items()}


def _size_in_bytes(given: Any) -> int | None:
    """Return a size in bytes: a number, or such as ``"512m"`` or ``"2g"``."""
    if given is None or isinstance(given, int):
        return given
    if not isinstance(given, str):
        raise TypeError(f"'memory' must be an int or such as '512m', not {given!r}")
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([bkmg]?)b?", given.strip().lower())
    if match is None:
        raise ValueError(f"{given!r} is no size of memory; expected such as '512m' or '2g'")
    return int(float(match[1]) * _UNITS[match[2]])


def _check_memory(options: Any, attribute: Any, value: Any) -> None:
    if value is not None and value < _LEAST_MEMORY:
        raise ValueError(f"'memory' must be at least 6 MiB: {value} bytes")


def _words(given: Sequence[str] | None) -> tuple[str, ...] | None:
    if isinstance(given, str):
        raise TypeError(f"expected a list of words, such as {given.split()!r}, not {given!r}")
    return None if given is None else tuple(given)


def _texts(given: Sequence[str] | None) -> tuple[str, ...]:
    return _words(given) or ()


@frozen(kw_only=True)
class ContainerOptions:
    """How a container is run. What can be dangerous is off until it is asked for.

    The image's health check does not run, for the client asks for the service's health itself.

    Attributes:
        env_vars: environment variables; their values are neither logged nor shown.
        command: what to run, in place of the image's own command.
        user: whom to run it as, such as ``"1000:1000"``; by default as the image says.
        port: where the service listens in the container.
        pull: ``"missing"`` pulls an image that is not here, ``"always"`` each time, ``"never"``
            never.
        host_ip: the address of the Docker machine on which the port is published.
        host_port: the port there; by default Docker takes a free one.
        network: a Docker network to be in. The container is then reached at its address there,
            and no port is published.
        memory: the most memory, in bytes or such as ``"512m"``, swap included; ``None`` for no
            limit.
        cpus: the most processors, such as 1.5; ``None`` for no limit.
        pids_limit: the most processes and threads; ``None`` for no limit.
        read_only: whether the image's files cannot be written; ``/tmp`` can, in memory.
        volumes: folders of the Docker machine to see, as ``"/there:/here:ro"``.
        cap_drop: Linux capabilities to drop; by default all.
        cap_add: those to keep all the same, such as ``["NET_BIND_SERVICE"]``.
        no_new_privileges: whether no process in it may gain privileges (by setuid files).
        ready_timeout_s: seconds from the container's creation until its service is healthy.
        idle_exit_s: seconds without use after which the service ends by itself, so that a client
            that was killed leaves nothing behind; 0 for never. Services of aioenv take it (it is
            their setting ``AIOENV_IDLE_EXIT_S``), others do not know it.
        stop_timeout_s: seconds that the service has to end in order before it is killed; Docker
            counts whole ones, to which it is rounded up.
    """

    # What runs
    env_vars: Mapping[str, str] = field(factory=dict, converter=_variables, repr=False)
    command: Sequence[str] | None = field(default=None, converter=_words)
    user: str | None = field(default=None, validator=optional(instance_of(str)))
    port: int = field(default=8000, validator=[instance_of(int), ge(1), le(65_535)])
    pull: PullPolicy = field(default="missing", validator=in_(("missing", "always", "never")))

    # Where it is reached
    host_ip: str = field(default="127.0.0.1", validator=instance_of(str))
    host_port: int | None = field(default=None, validator=optional([ge(1), le(65_535)]))
    network: str | None = field(default=None, validator=optional(instance_of(str)))

    # How much it may take
    memory: int | str | None = field(
        default=_MEMORY, converter=_size_in_bytes, validator=_check_memory
    )
    cpus: float | None = field(default=None, validator=optional(gt(0)))
    pids_limit: int | None = field(default=_PIDS, validator=optional(ge(1)))

    # What it may do
    read_only: bool = False
    volumes: Sequence[str] = field(default=(), converter=_texts)
    cap_drop: Sequence[str] = field(default=("ALL",), converter=_texts)
    cap_add: Sequence[str] = field(default=(), converter=_texts)
    no_new_privileges: bool = True

    # How long it may take
    ready_timeout_s: float = field(default=60.0, validator=gt(0))
    idle_exit_s: float = field(default=120.0, validator=[ge(0), le(1e9)])
    stop_timeout_s: float = field(default=10.0, validator=ge(0))

    def config(self, image: str) -> dict[str, Any]:
        """Return what the Docker API is asked to create."""
        port = f"{self.port}/tcp"
        variables = {"AIOENV_IDLE_EXIT_S": f"{self.idle_exit_s:g}", **self.env_vars}
        limits: dict[str, Any] = {}
        if self.memory is not None:
            limits.update(Memory=self.memory, MemorySwap=self.memory)
        if self.cpus is not None:
            limits["NanoCpus"] = int(self.cpus * 1e9)
        if self.pids_limit is not None:
            limits["PidsLimit"] = self.pids_limit
        if self.network is None:
            host_port = "" if self.host_port is None else str(self.host_port)
            binding = {"HostIp": self.host_ip, "HostPort": host_port}
            limits["PortBindings"] = {port: [binding]}
        else:
            limits["NetworkMode"] = self.network
        config: dict[str, Any] = {
            "Image": image,
            "Env": [f"{name}={value}" for name, value in variables.items()],
            "Labels": Owner.this_process().labels(),
            "ExposedPorts": {port: {}},
            "Healthcheck": {"Test": ["NONE"]},
            "HostConfig": {
                "AutoRemove": True,
                "CapDrop": list(self.cap_drop),
                "CapAdd": list(self.cap_add),
                "SecurityOpt": ["no-new-privileges"] if self.no_new_privileges else [],
                "ReadonlyRootfs": self.read_only,
                "Tmpfs": {"/tmp": "nosuid,nodev"} if self.read_only else {},  # noqa: S108
                "Binds": list(self.volumes),
                **limits,
            },
        }
        if self.command is not None:
            config["Cmd"] = list(self.command)
        if self.user is not None:
            config["User"] = self.user
        return config
