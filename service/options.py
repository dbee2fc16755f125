"""The options of a reset: what an environment's signature tells of them, as a JSON Schema."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from attrs import NOTHING, field, make_class

from aioenv.schema import json_schema

__all__ = ["reset_schema"]

_SEED = {"title": "Seed", "description": "Makes chance repeatable", "default": None}
_EPISODE_ID = {"title": "Episode Id", "description": "A name for the episode", "default": None}

_KNOWN: dict[str, dict[str, Any]] = {
    "seed": {**_SEED, "anyOf": [{"type": "integer"}, {"type": "null"}]},
    "episode_id": {**_EPISODE_ID, "anyOf": [{"type": "string"}, {"type": "null"}]},
}


@functools.lru_cache(maxsize=64)
def reset_schema(reset: Callable[..., Any] | None) -> dict[str, Any]:
    """Return the schema of what a client may say with a reset.

    An option of a type without a JSON form is there without a type. Whatever else a client sends
    is dropped, or, where the environment takes ``**options``, handed over.

    Args:
        reset: the environment's method, or ``None`` where nothing is known of it.
    """
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Reset",
        "type": "object",
        "properties": dict(_KNOWN),
        "required": [],
        "additionalProperties": True,
    }
    if reset is None:
        return schema
    parameters = _parameters(reset)
    schema["additionalProperties"] = any(
        parameter.kind is parameter.VAR_KEYWORD for parameter in parameters
    )
    for parameter in parameters:
        if parameter.name in _KNOWN or parameter.kind not in (
            parameter.KEYWORD_ONLY,
            parameter.POSITIONAL_OR_KEYWORD,
        ):
            continue
        described = _option(parameter)
        schema["properties"][parameter.name] = described["properties"][parameter.name]
        schema["required"] += described.get("required", [])
        schema.setdefault("$defs", {}).update(described.get("$defs", {}))
    return schema


def _parameters(reset: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return a method's parameters but for ``self``, their annotations as types where they can."""
    try:
        signature = inspect.signature(reset, eval_str=True)
    except Exception:  # an annotation names what only type checkers know
        signature = inspect.signature(reset)
    return list(signature.parameters.values())[1:]


def _option(parameter: inspect.Parameter) -> dict[str, Any]:
    """Return the schema of an object with one option, by the rules of a model's fields."""
    is_bare = parameter.annotation is parameter.empty
    default = NOTHING if parameter.default is parameter.empty else parameter.default
    for annotation in (Any if is_bare else parameter.annotation, Any):
        attribute = field(default=default, kw_only=True, type=annotation)
        model = make_class("Reset", {parameter.name: attribute})
        try:
            return json_schema(model)
        except Exception:  # noqa: PERF203, S112  # it has no JSON form; then as one of any type
            continue
    raise AssertionError("a field of any type has a schema")
