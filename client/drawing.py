"""Drawing: random strings, numbers and choices, within the bounds of a JSON Schema."""

import base64
import math
import random
import re
import string
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from aioenv.client.conjunction import exact, is_of_type

__all__ = [
    "KEYWORDS_BY_TYPE",
    "MOST_TRIES",
    "CannotDraw",
    "Sampler",
    "draw_choice",
    "scalar_sampler",
]

Sampler = Callable[[random.Random, int], Any]
"""Draws a value; the integer says how deep within the whole value."""

_SPAN = 100  # how far from zero, or from the one bound, a number lies where nothing else is said
_MOST_CHARACTERS = 32
MOST_TRIES = 200  # to hit upon a length, or upon an item that a list does not hold yet
_ALPHABET = (string.ascii_letters + string.digits + " .").encode()
_LETTERS = _ALPHABET * 4  # one for each byte, all as likely


#: The keywords that speak of one type only. A schema that names no type but one of these means it.
KEYWORDS_BY_TYPE: dict[str, set[str]] = {
    "object": {
        "properties",
        "required",
        "minProperties",
        "maxProperties",
        "additionalProperties",
        "patternProperties",
        "propertyNames",
    },
    "array": {"items", "prefixItems", "minItems", "maxItems", "uniqueItems"},
    "string": {"minLength", "maxLength", "format", "contentEncoding"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
}


class CannotDraw(ValueError):
    """No random value can be made up for a schema.

    Attributes:
        path: where in the value, such as ``$.move.direction``.
        reason: why, in words.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"no random value can be drawn for {self.path}: {self.reason}"


def draw_choice(schema: Mapping[str, Any], path: str) -> Sampler:
    """Return a sampler of a schema's ``enum``."""
    values = [value for value in schema["enum"] if _is_allowed(value, schema)]
    if not values:
        raise CannotDraw(path, "no value is allowed")
    return lambda rng, depth: rng.choice(values)


def scalar_sampler(kind: str, schema: Mapping[str, Any], path: str) -> Sampler:
    """Return a sampler of a type that holds no other values.

    Raises:
        CannotDraw: nothing lies within the bounds, or there is no such type.
    """
    match kind:
        case "string":
            return _string(schema, path)
        case "integer":
            return _integer(schema, path)
        case "number":
            return _number(schema, path)
        case "boolean":
            return lambda rng, depth: rng.random() < 0.5
        case "null":
            return lambda rng, depth: None
    raise CannotDraw(path, f"there is no type {kind!r}")


def _string(schema: Mapping[str, Any], path: str) -> Sampler:
    formatted = _FORMATS.get(schema.get("contentEncoding") or schema.get("format"))
    if formatted is not None:
        return _formatted(formatted, schema, path)
    least = schema.get("minLength", 0)
    most = min(schema.get("maxLength", math.inf), max(least, _MOST_CHARACTERS))
    if least > most:
        raise CannotDraw(path, "'minLength' is above 'maxLength'")

    def draw(rng: random.Random, depth: int) -> str:
        return rng.randbytes(rng.randint(least, most)).translate(_LETTERS).decode()

    return draw


def _formatted(
    draw_any: Callable[[random.Random], str], schema: Mapping[str, Any], path: str
) -> Sampler:
    """Return a sampler of those strings of a format whose length the schema allows."""

    def draw(rng: random.Random, depth: int) -> str:
        for _ in range(MOST_TRIES):
            text = draw_any(rng)
            if _is_within_length(text, schema):
                return text
        raise CannotDraw(path, "its format and its length do not go together")

    draw(random.Random(0), 0)  # noqa: S311  # what nothing fulfils shows now
    return draw


def _is_allowed(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether a value of an ``enum`` fits what else its schema says, as far as can be told."""
    kinds = schema.get("type", ())
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(is_of_type(value, kind) for kind in kinds):
        return False
    if isinstance(value, str):
        pattern = schema.get("pattern")
        is_matched = pattern is None or re.search(pattern, value) is not None
        return is_matched and _is_within_length(value, schema)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _is_within_bounds(value, schema)
    if isinstance(value, list | dict):
        kind = "array" if isinstance(value, list) else "object"
        return not KEYWORDS_BY_TYPE[kind] & schema.keys()
    return True


def _is_within_length(text: str, schema: Mapping[str, Any]) -> bool:
    least, most = schema.get("minLength", 0), schema.get("maxLength", math.inf)
    return bool(least <= len(text) <= most)


def _is_within_bounds(number: float, schema: Mapping[str, Any]) -> bool:
    return bool(
        schema.get("minimum", -math.inf) <= number <= schema.get("maximum", math.inf)
        and schema.get("exclusiveMinimum", -math.inf) < number
        and number < schema.get("exclusiveMaximum", math.inf)
        and ("multipleOf" not in schema or exact(number) % exact(schema["multipleOf"]) == 0)
    )


def _integer(schema: Mapping[str, Any], path: str) -> Sampler:
    factor = schema.get("multipleOf", 1)
    if factor != int(factor):
        raise CannotDraw(path, f"an integer that is a multiple of {factor!r} is not known here")
    factor = int(factor)
    least = max(
        math.ceil(schema.get("minimum", -math.inf)) if "minimum" in schema else -math.inf,
        math.floor(schema["exclusiveMinimum"]) + 1 if "exclusiveMinimum" in schema else -math.inf,
    )
    most = min(
        math.floor(schema["maximum"]) if "maximum" in schema else math.inf,
        math.ceil(schema["exclusiveMaximum"]) - 1 if "exclusiveMaximum" in schema else math.inf,
    )
    least, most = _bounded(least, most, _SPAN * factor)
    low, high = -(-least // factor), most // factor
    if low > high:
        raise CannotDraw(path, "no integer lies within its bounds")
    return lambda rng, depth: rng.randint(low, high) * factor


def _number(schema: Mapping[str, Any], path: str) -> Sampler:
    if "multipleOf" in schema:
        return _multiple(schema, path)
    least: float = float(schema.get("minimum", -math.inf))
    most: float = float(schema.get("maximum", math.inf))
    if "exclusiveMinimum" in schema:
        least = max(least, math.nextafter(schema["exclusiveMinimum"], math.inf))
    if "exclusiveMaximum" in schema:
        most = min(most, math.nextafter(schema["exclusiveMaximum"], -math.inf))
    least, most = _bounded(least, most, float(_SPAN))
    if least > most:
        raise CannotDraw(path, "no number lies within its bounds")

    def draw(rng: random.Random, depth: int) -> float:
        share = rng.random()  # the sum of two shares: a difference of the bounds may overflow
        return min(max(least * (1 - share) + most * share, least), most)

    return draw


def _multiple(schema: Mapping[str, Any], path: str) -> Sampler:
    """Return a sampler of multiples, each the float nearest to the decimal number that is meant."""
    factor = exact(schema["multipleOf"])
    counts = {key: exact(schema[key]) / factor for key in _BOUNDS if key in schema}
    draw_count = _integer(counts, path)
    top, bottom = factor.as_integer_ratio()
    if bottom == 1:
        return lambda rng, depth: draw_count(rng, depth) * top
    return lambda rng, depth: draw_count(rng, depth) * top / bottom  # rounded only once


_BOUNDS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")


def _bounded(least: Any, most: Any, span: Any) -> tuple[Any, Any]:
    """Make up a bound where there is none."""
    if least == -math.inf and most == math.inf:
        return -span, span
    if least == -math.inf:
        return most - 2 * span, most
    if most == math.inf:
        return least, least + 2 * span
    return least, most


def _moment(rng: random.Random) -> datetime:
    return datetime(2000, 1, 1, tzinfo=UTC) + timedelta(seconds=rng.randrange(10**9))


_FORMATS: dict[str | None, Callable[[random.Random], str]] = {
    "base64": lambda rng: base64.b64encode(rng.randbytes(rng.randint(0, 16))).decode(),
    "date-time": lambda rng: _moment(rng).isoformat(),
    "date": lambda rng: _moment(rng).date().isoformat(),
    "time": lambda rng: _moment(rng).time().isoformat(),
    "uuid": lambda rng: str(uuid.UUID(int=rng.getrandbits(128), version=4)),
    "email": lambda rng: f"agent{rng.randrange(1000)}@example.com",
    "uri": lambda rng: f"https://example.com/{rng.randrange(1000)}",
}
