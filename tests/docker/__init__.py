"""Tests against a real Docker daemon."""
