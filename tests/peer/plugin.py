"""Gives tests the real OpenEnv: a pytest plug-in."""

from __future__ import annotations

import os

import pytest

from tests.peer.provision import Peer, PeerUnavailable, provide

__all__ = ["peer"]


@pytest.fixture(scope="session")
def peer() -> Peer:
    """Give the real OpenEnv; where it can't be had, skip, but fail in continuous integration."""
    try:
        return provide()
    except PeerUnavailable as exc:
        reason = str(exc)
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
