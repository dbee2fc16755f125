"""What ``docker login`` has noted for a registry, in a file or with a helper program."""

import json
from pathlib import Path
from typing import Any

import pytest

from aioenv.client.credentials import credentials_of, registry_of


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use a configuration of Docker's, and programs, of the test's own."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path / "config.json"


def helper(config: Path, name: str, script: str) -> None:
    """Make a helper program, which keeps credentials."""
    program = config.with_name(f"docker-credential-{name}")
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ("echo-env", None),
        ("ada/echo-env", None),
        ("localhost/x", "localhost"),
        ("127.0.0.1:5000/x", "127.0.0.1:5000"),
        ("ghcr.io/ada/x:1", "ghcr.io"),
    ],
)
def test_registry_of(image: str, registry: str | None) -> None:
    """A host is told from a user by a dot, a port, or being this machine."""
    assert registry_of(image) == registry


@pytest.mark.parametrize(
    ("noted", "image", "found"),
    [
        ({"auths": {"ghcr.io": {"auth": "YTpi"}}}, "ghcr.io/x", {"auth": "YTpi"}),
        ({"auths": {"https://ghcr.io": {"auth": "YTpi"}}}, "ghcr.io/x", {"auth": "YTpi"}),
        (
            {"auths": {"https://index.docker.io/v1/": {"auth": "YTpi"}}},
            "docker.io/ada/x",
            {"auth": "YTpi"},
        ),
        ({"auths": {"ghcr.io": {"auth": "YTpi"}}}, "quay.io/x", None),
        ({"auths": {"ghcr.io": {"auth": "YTpi"}}}, "ada/x", None),
        ({"auths": {"ghcr.io": {}}}, "ghcr.io/x", None),
        ({"auths": []}, "ghcr.io/x", None),
        ([], "ghcr.io/x", None),
    ],
    ids=range(8),
)
def test_noted_in_the_file(
    config: Path, noted: Any, image: str, found: dict[str, str] | None
) -> None:
    """An account is found under the registry's name, in each of its forms."""
    config.write_text(json.dumps(noted))
    assert credentials_of(image) == found


def test_nothing_is_noted(config: Path) -> None:
    """A configuration that is missing or broken holds no account."""
    assert credentials_of("ghcr.io/x") is None
    config.write_text("{")
    assert credentials_of("ghcr.io/x") is None


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ({"Username": "ada", "Secret": "s3"}, {"username": "ada", "password": "s3"}),
        ({"Username": "<token>", "Secret": "s3"}, {"identitytoken": "s3"}),
        ({}, None),
    ],
    ids=["password", "token", "nothing"],
)
@pytest.mark.parametrize("noted", [{"credsStore": "box"}, {"credHelpers": {"ghcr.io": "box"}}])
def test_kept_by_a_helper(
    config: Path, noted: dict[str, Any], answer: dict[str, str], found: dict[str, str] | None
) -> None:
    """A helper program is asked for the registry; what it answers is the account."""
    config.write_text(json.dumps(noted))
    helper(config, "box", f"test \"$1 $(cat)\" = 'get ghcr.io' && echo '{json.dumps(answer)}'")
    assert credentials_of("ghcr.io/x") == found


@pytest.mark.parametrize("script", ["echo no such account; exit 1", "echo nonsense", None])
def test_helper_that_fails(config: Path, script: str | None) -> None:
    """A helper program that fails, talks nonsense or is missing has no account."""
    config.write_text(json.dumps({"credsStore": "box"}))
    if script is not None:
        helper(config, "box", script)
    assert credentials_of("ghcr.io/x") is None
