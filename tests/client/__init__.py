"""Tests of `aioenv.client`."""
