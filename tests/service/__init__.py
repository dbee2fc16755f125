"""Tests of `aioenv.service`."""
