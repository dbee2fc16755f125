"""Conjunction: two JSON Schemas made into one that allows what both allow."""

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

__all__ = ["Contradiction", "conjunction", "exact", "is_of_type"]

Schema = dict[str, Any]


class Contradiction(ValueError):
    """Nothing fits both schemas, or it cannot be said in one."""


def conjunction(one: Mapping[str, Any] | bool, other: Mapping[str, Any] | bool) -> Schema:
    """Return a schema of what two schemas both allow.

    Raises:
        Contradiction: nothing does, or their keywords cannot be brought together.
    """
    if one is False or other is False:
        raise Contradiction("no value is allowed")
    one, other = ({} if schema is True else schema for schema in (one, other))
    if _is_torn(one, other) or _is_torn(other, one):
        raise Contradiction("'prefixItems' and 'items' are demanded apart")
    both: Schema = {**one, **_properties(one, other)}
    for keyword, value in other.items():
        if keyword == "properties":
            continue
        if keyword not in both or both[keyword] == value:
            both[keyword] = value
        elif keyword in _MERGERS:
            both[keyword] = _MERGERS[keyword](both[keyword], value)
        elif keyword == "allOf":
            both["allOf"] = [*both["allOf"], *value]
        elif keyword in ("$ref", "anyOf", "oneOf"):
            both["allOf"] = [*both.get("allOf", ()), {keyword: value}]
        elif keyword in _INDIVISIBLE:
            raise Contradiction(f"{keyword!r} is demanded twice")
    return both


def is_of_type(value: Any, kind: str) -> bool:
    """Whether a JSON value is of a type, as schemas name it."""
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _CLASSES[kind]) if kind in _CLASSES else False


def exact(number: float) -> Fraction:
    """Return a number as its digits say it: 0.1 is a tenth, not the float next to it.

    Raises:
        ValueError: it is no finite number.
    """
    return Fraction(repr(number))


_INDIVISIBLE = frozenset(
    {"const", "contentEncoding", "format", "pattern", "patternProperties", "prefixItems"}
)
_CLASSES: dict[str, Any] = {
    "array": list,
    "integer": int,
    "null": type(None),
    "number": (int, float),
    "object": dict,
    "string": str,
}


def _types(one: Any, other: Any) -> list[str]:
    sets = [{kinds} if isinstance(kinds, str) else set(kinds) for kinds in (one, other)]
    for kinds in sets:
        if "number" in kinds:
            kinds.add("integer")
    common = sets[0] & sets[1]
    if "number" in common:
        common.discard("integer")
    if not common:
        raise Contradiction(f"nothing is of type {one!r} and {other!r}")
    return sorted(common)


def _choices(one: list[Any], other: list[Any]) -> list[Any]:
    return [
        value
        for value in one
        if any(value == twin and (value is twin or not _is_flag(value, twin)) for twin in other)
    ]


def _is_torn(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether one schema speaks of the first items and the other of all items."""
    return "prefixItems" in one and "items" in other and "prefixItems" not in other


def _is_flag(*values: Any) -> bool:
    """Whether one of the values is a boolean; in JSON it then equals no number."""
    return any(isinstance(value, bool) for value in values)


def _properties(one: Mapping[str, Any], other: Mapping[str, Any]) -> Schema:
    """Return the properties of both; each must suit the other schema's rule for other names."""
    names = dict.fromkeys([*one.get("properties", ()), *other.get("properties", ())])
    if not names:
        return {}
    return {
        "properties": {name: _parts(_member(one, name), _member(other, name)) for name in names}
    }


def _member(schema: Mapping[str, Any], name: str) -> Any:
    return schema.get("properties", {}).get(name, schema.get("additionalProperties", True))


def _parts(one: Any, other: Any) -> Schema | bool:
    """Return the conjunction of what parts of a value must be; a part need not be there."""
    try:
        return conjunction(one, other)
    except Contradiction:
        return False


def _common_multiple(one: float, other: float) -> float:
    """Return the least number that is a multiple of both."""
    (top, bottom), (twin_top, twin_bottom) = (exact(x).as_integer_ratio() for x in (one, other))
    multiple = Fraction(math.lcm(top, twin_top), math.gcd(bottom, twin_bottom))
    return int(multiple) if multiple.denominator == 1 else float(multiple)


_MERGERS: dict[str, Callable[[Any, Any], Any]] = {
    "type": _types,
    "enum": _choices,
    "required": lambda one, other: [*one, *other],
    "items": _parts,
    "additionalProperties": _parts,
    "propertyNames": _parts,
    "uniqueItems": lambda one, other: one or other,
    "multipleOf": _common_multiple,
    "minimum": max,
    "exclusiveMinimum": max,
    "minLength": max,
    "minItems": max,
    "minProperties": max,
    "maximum": min,
    "exclusiveMaximum": min,
    "maxLength": min,
    "maxItems": min,
    "maxProperties": min,
}
