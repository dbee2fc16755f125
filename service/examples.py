"""Examples: one value that a JSON Schema (2020-12) allows, as a reader would write it.

What the author has given as ``examples`` comes first, then constants, choices and defaults; the
rest is the plainest value within its bounds. It is no proof: a pattern, for one, is beyond this, so
whoever shows an example has it read first.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

__all__ = ["NoExample", "example_of"]

Schema = Mapping[str, Any]

_MOST_DEPTH = 12

_FORMATS = {
    "date-time": "2026-01-31T12:00:00+00:00",
    "date": "2026-01-31",
    "time": "12:00:00",
    "uuid": "123e4567-e89b-42d3-a456-426614174000",
}
_BASE64 = "aGVsbG8="


class NoExample(ValueError):
    """No example can be made of a schema: it contains itself, or demands what is not known here."""


def example_of(schema: Any, root: Schema, depth: int = 0) -> Any:
    """Return a value of a schema.

    Args:
        schema: the schema, or a part of one.
        root: the document in which its references lead.
        depth: how deep in the value it stands.

    Raises:
        NoExample: there is none.
    """
    if depth > _MOST_DEPTH:
        raise NoExample("it contains itself")
    if not isinstance(schema, Mapping):
        return None
    given = _given(schema)
    if given:
        return given[0]
    for keyword, make in _COMPOUNDS.items():
        if keyword in schema:
            rest = {name: value for name, value in schema.items() if name != keyword}
            return make(schema[keyword], rest, root, depth)
    kind = schema.get("type", "null")
    return _MAKERS[kind if isinstance(kind, str) else kind[0]](schema, root, depth)


def _given(schema: Schema) -> Sequence[Any]:
    """Return the values that a schema names itself."""
    for keyword in ("examples", "enum"):
        if schema.get(keyword):
            return schema[keyword]  # type: ignore[no-any-return]
    return [schema[keyword] for keyword in ("const", "default") if keyword in schema]


def _reference(reference: str, rest: Schema, root: Schema, depth: int) -> Any:
    target: Any = root
    for step in reference.removeprefix("#/").split("/"):
        target = target[unquote(step)]
    return example_of({**target, **rest}, root, depth)


def _any_of(alternatives: Sequence[Schema], rest: Schema, root: Schema, depth: int) -> Any:
    """Return a value of the first alternative that has one."""
    for alternative in alternatives:
        try:
            return example_of({**rest, **alternative}, root, depth + 1)
        except NoExample:
            continue
    raise NoExample("none of its alternatives has an example")


def _all_of(parts: Sequence[Schema], rest: Schema, root: Schema, depth: int) -> Any:
    merged = dict(rest)
    for part in parts:
        merged |= part
    return example_of(merged, root, depth)


def _object(schema: Schema, root: Schema, depth: int) -> dict[str, Any]:
    value = {}
    required = schema.get("required", ())
    for name, member in schema.get("properties", {}).items():
        try:
            value[name] = example_of(member, root, depth + 1)
        except NoExample:
            if name in required:
                raise
    for number in range(len(value), schema.get("minProperties", 0)):
        value[f"key{number}"] = example_of(schema.get("additionalProperties"), root, depth + 1)
    return value


def _array(schema: Schema, root: Schema, depth: int) -> list[Any]:
    value = [example_of(member, root, depth + 1) for member in schema.get("prefixItems", ())]
    least = schema.get("minItems", 0)
    wanted = max(least, min(1, schema.get("maxItems", 1)) if "items" in schema else 0)
    try:
        while len(value) < wanted:
            value.append(example_of(schema.get("items"), root, depth + 1))
    except NoExample:
        if len(value) < least:
            raise
    return value


def _string(schema: Schema, root: Schema, depth: int) -> str:
    if schema.get("contentEncoding") == "base64":
        return _BASE64
    text: str = _FORMATS.get(schema.get("format", ""), "text")
    least: int = schema.get("minLength", 0)
    if least > len(text):
        text = (text * least)[:least]
    text = text[: schema.get("maxLength", len(text))]
    if not re.search(schema.get("pattern", ""), text):
        raise NoExample(f"nothing is known that matches {schema['pattern']}")
    return text


def _integer(schema: Schema, root: Schema, depth: int) -> int:
    low: int | None = max(_bounds(schema, "minimum", math.ceil, 1), default=None)
    high: int | None = min(_bounds(schema, "maximum", math.floor, -1), default=None)
    value = 0 if low is None or low <= 0 else low
    return value if high is None or value <= high else high


def _number(schema: Schema, root: Schema, depth: int) -> float:
    low: float | None = max(_bounds(schema, "minimum", float, 0.0), default=None)
    high: float | None = min(_bounds(schema, "maximum", float, 0.0), default=None)
    if low is not None and high is not None:
        return low if low == high else (low + high) / 2
    if low is not None and low >= 0:
        return low + 1.0
    return 0.0 if high is None or high > 0 else high - 1.0


def _bounds(schema: Schema, keyword: str, rounded: Callable[[Any], Any], step: float) -> list[Any]:
    """Return the bounds on one side; an exclusive one is moved inwards by a step."""
    exclusive = f"exclusive{keyword.title()}"
    found = [rounded(schema[keyword])] if keyword in schema else []
    if exclusive in schema:
        bound = schema[exclusive]
        # An integer next to a bound that is one itself; the next is already within any other.
        found.append(rounded(bound) + (step if rounded(bound) == bound else 0))
    return found


_COMPOUNDS: Mapping[str, Callable[[Any, Schema, Schema, int], Any]] = {
    "$ref": _reference,
    "anyOf": _any_of,
    "oneOf": _any_of,
    "allOf": _all_of,
}
_MAKERS: Mapping[str, Callable[[Schema, Schema, int], Any]] = {
    "object": _object,
    "array": _array,
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": lambda *_: False,
    "null": lambda *_: None,
}
