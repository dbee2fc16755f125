"""The options of a container: what they become, and what they refuse. No Docker needed."""

from typing import Any

import attrs
import pytest

from aioenv.client import ContainerLauncher, ContainerOptions
from aioenv.client.images import space_image
from aioenv.client.owners import Owner
from echo_env import EchoEnv


def test_what_docker_is_asked_for() -> None:
    """The defaults drop every capability, set limits, and publish on loopback alone."""
    assert ContainerOptions().config("echo") == {
        "Image": "echo",
        "Env": ["AIOENV_IDLE_EXIT_S=120"],
        "Labels": Owner.this_process().labels(),
        "ExposedPorts": {"8000/tcp": {}},
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": {
            "AutoRemove": True,
            "CapDrop": ["ALL"],
            "CapAdd": [],
            "SecurityOpt": ["no-new-privileges"],
            "ReadonlyRootfs": False,
            "Tmpfs": {},
            "Binds": [],
            "Memory": 2 << 30,
            "MemorySwap": 2 << 30,
            "PidsLimit": 512,
            "PortBindings": {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]},
        },
    }


@pytest.mark.parametrize(
    ("given", "size"),
    [
        (None, None),
        (64 << 20, 64 << 20),
        ("512m", 512 << 20),
        ("1.5G", 3 << 29),
        ("2gb", 2 << 30),
        (" 65536 k ", None),
        ("8388608", 8 << 20),
        ("8388608b", 8 << 20),
    ],
    ids=str,
)
def test_memory(given: Any, size: int | None) -> None:
    """A size is a number of bytes, or written as Docker's own commands take it."""
    if size is None and given is not None:
        with pytest.raises(ValueError, match="is no size of memory; expected such as '512m'"):
            ContainerOptions(memory=given)
    else:
        assert ContainerOptions(memory=given).memory == size


@pytest.mark.parametrize(
    ("option", "value", "error", "words"),
    [
        ("memory", "much", ValueError, "'much' is no size of memory"),
        ("memory", 2.5e9, TypeError, "'memory' must be an int or such as '512m', not 2500000000.0"),
        ("memory", 1, ValueError, "'memory' must be at least 6 MiB: 1 bytes"),
        ("cpus", 0, ValueError, "'cpus' must be > 0"),
        ("pids_limit", 0, ValueError, "'pids_limit' must be >= 1"),
        ("port", 0, ValueError, "'port' must be >= 1"),
        ("port", "80", TypeError, "'port' must be <class 'int'>"),
        ("host_port", 65_536, ValueError, "'host_port' must be <= 65535"),
        ("pull", "sometimes", ValueError, "'pull' must be in"),
        ("command", "sleep 5", TypeError, r"expected a list of words, such as \['sleep', '5'\]"),
        ("volumes", "/a:/b", TypeError, "expected a list of words"),
        ("ready_timeout_s", 0, ValueError, "'ready_timeout_s' must be > 0"),
        ("idle_exit_s", -1, ValueError, "'idle_exit_s' must be >= 0"),
        ("idle_exit_s", float("inf"), ValueError, "'idle_exit_s' must be <= "),
        ("stop_timeout_s", -1, ValueError, "'stop_timeout_s' must be >= 0"),
        ("env_vars", {"A=B": "x"}, ValueError, "'A=B' cannot be the name"),
        ("env_vars", ["A=b"], TypeError, "'env_vars' must be a mapping, .* not list"),
        ("env_vars", {"": "x"}, ValueError, "'' cannot be the name"),
        ("env_vars", {"TOKEN": None}, TypeError, "variable TOKEN must be a str, not NoneType"),
        ("image", "", TypeError, "image"),
        ("memroy", "1g", TypeError, "unexpected keyword argument 'memroy'"),
    ],
)
def test_what_does_not_fit(option: str, value: Any, error: type[Exception], words: str) -> None:
    """It is refused when the client is made, before anything is started."""
    with pytest.raises(error, match=words):
        EchoEnv.from_docker_image("echo", **{option: value})


@pytest.mark.parametrize("image", ["", "a b", "echo\n"])
def test_what_is_no_image(image: str) -> None:
    """So is a name that cannot be an image's."""
    with pytest.raises(ValueError, match="is not the name of an image"):
        EchoEnv.from_docker_image(image)


def test_options_do_not_show_secrets_nor_change() -> None:
    """Values of environment variables are not shown; options are frozen."""
    options = ContainerOptions(env_vars={"TOKEN": "s3cr3t"})
    assert "s3cr3t" not in repr(options)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        options.port = 1  # type: ignore[misc]


def test_an_own_idle_time_holds() -> None:
    """Whoever sets the service's variable by hand knows better."""
    options = ContainerOptions(env_vars={"AIOENV_IDLE_EXIT_S": "7"})
    assert options.config("echo")["Env"] == ["AIOENV_IDLE_EXIT_S=7"]


def test_the_clients_options_are_told_apart() -> None:
    """Those of the container go to the launcher, the rest to the client."""
    launcher, rest = ContainerLauncher.taking("echo", {"port": 1, "headers": {"A": "b"}})
    assert launcher.options == ContainerOptions(port=1)
    assert rest == {"headers": {"A": "b"}}


# Spaces


@pytest.mark.parametrize(
    ("repo_id", "image"),
    [
        ("openenv/echo_env", "registry.hf.space/openenv-echo-env:latest"),
        ("Org/My.Space", "registry.hf.space/org-my-space:latest"),
        ("org/café", "registry.hf.space/org-caf-:latest"),
    ],
)
def test_the_image_of_a_space(repo_id: str, image: str) -> None:
    """A Space's image has its name at the registry, as Hugging Face writes it."""
    env = EchoEnv.from_env(repo_id)
    assert isinstance(env._launcher, ContainerLauncher)
    assert env._launcher.image == image


def test_another_tag_of_a_space() -> None:
    """Another than the latest may be named; other options are the container's."""
    env = EchoEnv.from_env("org/space", tag="v2", env_vars={"A": "b"})
    assert isinstance(env._launcher, ContainerLauncher)
    assert env._launcher.image == "registry.hf.space/org-space:v2"
    assert env._launcher.options.env_vars == {"A": "b"}


@pytest.mark.parametrize("repo_id", ["space", "org/", "/space", "a/b/c", ""])
def test_what_is_no_space(repo_id: str) -> None:
    """A name without an owner, or with more than that, is refused."""
    with pytest.raises(ValueError, match="is not the name of a Space; expected such as"):
        space_image(repo_id)


def test_a_space_without_docker() -> None:
    """What only OpenEnv does is refused with what to do instead."""
    with pytest.raises(ValueError, match=r"a Space runs in a container here; .* base_url="):
        EchoEnv.from_env("org/space", use_docker=False)
