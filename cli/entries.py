"""The entries of a manifest: which there are, and what each has to be."""

import re
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from aioenv.cli.manifest import Manifest

__all__ = ["KNOWN", "faults_of_entries", "faults_of_validation"]

Fault: TypeAlias = tuple[str, Any, str]
_Rule: TypeAlias = tuple[bool, Callable[[Any], bool], str]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_port(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 65535


def _is_mapping_of_scalars(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(name, str) and isinstance(content, str | int | float)
        for name, content in value.items()
    )


# Whether it must be there, what it must be, and how to write it.
_RULES: dict[str, _Rule] = {
    "spec_version": (
        True,
        lambda value: value == 1 and not isinstance(value, bool),
        "spec_version: 1",
    ),
    "name": (True, lambda value: _is_text(value) and bool(_NAME.match(value)), "name: my_env"),
    "app": (
        True,
        lambda value: _is_text(value) and all(value.partition(":")),
        "app: my_env.app:app",
    ),
    "type": (False, lambda value: value == "space", "type: space"),
    "runtime": (False, _is_text, "runtime: aiohttp"),
    "version": (False, _is_text, 'version: "0.1.0"'),
    "description": (False, _is_text, "description: what it is"),
    "port": (False, _is_port, "port: 8000"),
    "dockerfile": (False, _is_text, "dockerfile: Dockerfile"),
    "variables": (False, _is_mapping_of_scalars, "variables: {NAME: value}"),
    "validation": (False, lambda value: True, ""),  # it has rules of its own
}
KNOWN = tuple(_RULES)


def faults_of_entries(manifest: Manifest) -> Iterator[Fault]:
    """Find what is wrong: the entry, what it is (``None`` if missing), and how to write it."""
    for key, (is_needed, is_right, how) in _RULES.items():
        value = manifest.fields.get(key)
        if (value is None and is_needed) or (value is not None and not is_right(value)):
            yield key, value, how


def faults_of_validation(section: Any) -> Iterator[Fault]:
    """Find what is wrong with the entry ``validation``, in the same form."""
    if not isinstance(section, dict):
        yield "validation", section if section is not None else "", "validation: {reward: {…}, …}"
        return
    for key, is_right, how in _VALIDATION:
        value: Any = section
        for name in key.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if value is not None and not is_right(value):
            yield f"validation.{key}", value, how


def _is_range(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(map(_is_number, value))
        and value[0] <= value[1]
    )


def _is_positive(value: Any) -> bool:
    return _is_number(value) and value > 0


_VALIDATION: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("reward", lambda value: isinstance(value, dict), "reward: {range: [0.0, 1.0]}"),
    ("reward.range", _is_range, "range: [0.0, 1.0], the lower first"),
    ("reward.oracle_tolerance", _is_number, "oracle_tolerance: 0.0"),
    ("reward.floor_margin", _is_number, "floor_margin: 0.1"),
    ("resources", lambda value: isinstance(value, dict), "resources: {cpu: 1.0, …}"),
    ("resources.cpu", _is_positive, "cpu: 1.0"),
    ("resources.memory_mb", _is_positive, "memory_mb: 256"),
    ("resources.disk_mb", _is_positive, "disk_mb: 64"),
    ("resources.episode_timeout_s", _is_positive, "episode_timeout_s: 60"),
    ("capabilities", lambda value: isinstance(value, dict), "capabilities: {verifier: {…}}"),
    ("types.tags", lambda value: isinstance(value, list), "tags: [game]"),
    ("execution", lambda value: isinstance(value, dict), "execution: {kind: openenv_ws, …}"),
    ("execution.kind", _is_text, "kind: openenv_ws"),
    ("execution.probe_path", _is_text, "probe_path: validation/runtime.json"),
    ("execution.dockerfile", _is_text, "dockerfile: Dockerfile"),
)
