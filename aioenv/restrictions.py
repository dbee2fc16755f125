"""What attrs' validators demand of a field, as keywords of JSON Schema.

Each keyword speaks of one JSON type and passes over the others, so that it can stand beside
whatever describes the field's type, be that a union or a reference.
"""

import math
import re
from collections.abc import Callable, Collection
from typing import Any, get_args

from attrs import validators

from aioenv.fields import (
    array_class,
    declared_type,
    is_array,
    is_fixed_tuple,
    is_free,
    is_object,
    is_union,
    plain_value,
)

__all__ = ["restrict", "restriction"]

Schema = dict[str, Any]

_BOUNDS = {">=": "minimum", ">": "exclusiveMinimum", "<=": "maximum", "<": "exclusiveMaximum"}
# Named groups, \A and \Z, atomic groups, possessive repeats: JSON Schema's dialect is ECMA-262.
_PYTHON_ONLY = re.compile(r"\(\?P|\(\?\(|\(\?>|\\[AZ]|[*+?}]\+")
_MOST_CHOICES = 1000


def restriction(validator: Any, cls: Any) -> Schema:
    """Return what a validator demands, or nothing where JSON Schema cannot say it.

    Args:
        validator: the validator of a field, or ``None``.
        cls: the field's type.
    """
    translate = _TRANSLATIONS.get(type(validator))
    return translate(validator, cls) if translate else {}


def restrict(schema: Schema, demands: Schema) -> None:
    """Add keywords to a schema; where it has another word on the same, both apply."""
    for keyword, value in demands.items():
        held = schema.setdefault(keyword, value)
        if held == value:
            continue
        if isinstance(held, dict) and isinstance(value, dict):
            schema[keyword] = dict(held)
            restrict(schema[keyword], value)
        elif keyword == "allOf":
            schema[keyword] = held + value
        else:
            restrict(schema, {"allOf": [{keyword: value}]})


# One function for each kind of validator


def _and(validator: Any, cls: Any) -> Schema:
    schema: Schema = {}
    for part in validator._validators:
        restrict(schema, restriction(part, cls))
    return schema


def _optional(validator: Any, cls: Any) -> Schema:
    demands = restriction(validator.validator, cls)
    if demands.keys() & {"enum", "allOf"}:  # these do speak of null
        return {"anyOf": [{"type": "null"}, demands]}
    return demands


def _bound(validator: Any, _: Any) -> Schema:
    bound = validator.bound
    if isinstance(bound, bool) or not isinstance(bound, int | float) or not math.isfinite(bound):
        return {}
    return {_BOUNDS[validator.compare_op]: bound}


def _min_length(validator: Any, cls: Any) -> Schema:
    return {f"min{counted}": validator.min_length for counted in _counted(cls)}


def _max_length(validator: Any, cls: Any) -> Schema:
    return {f"max{counted}": validator.max_length for counted in _counted(cls)}


def _pattern(validator: Any, _: Any) -> Schema:
    pattern, function = validator.pattern, validator.match_func.__name__
    if pattern.flags != re.UNICODE or _PYTHON_ONLY.search(pattern.pattern):
        return {}
    if function == "search":
        return {"pattern": pattern.pattern}
    return {"pattern": f"^(?:{pattern.pattern})" + ("$" if function == "fullmatch" else "")}


def _choice(validator: Any, _: Any) -> Schema:
    options = validator._original_options
    if isinstance(options, str) or not isinstance(options, Collection):
        return {}
    if len(options) > _MOST_CHOICES:
        return {}
    values = [plain_value(option) for option in options]
    if not all(value is None or isinstance(value, str | int | float) for value in values):
        return {}
    return {"enum": sorted(values, key=repr) if isinstance(options, set | frozenset) else values}


def _deep_iterable(validator: Any, cls: Any) -> Schema:
    schema = restriction(validator.iterable_validator, cls)
    _restrict_parts(schema, "items", validator.member_validator, _part(cls, is_array, 0))
    return schema


def _deep_mapping(validator: Any, cls: Any) -> Schema:
    schema = restriction(validator.mapping_validator, cls)
    _restrict_parts(schema, "propertyNames", validator.key_validator, _part(cls, is_object, 0))
    member = _part(cls, is_object, 1)
    _restrict_parts(schema, "additionalProperties", validator.value_validator, member)
    return schema


def _restrict_parts(schema: Schema, keyword: str, validator: Any, cls: Any) -> None:
    if demands := restriction(validator, cls):
        restrict(schema, {keyword: demands})


# What the field's type adds


def _alternatives(cls: Any) -> list[Any]:
    """Return the members of a union, or the type itself."""
    cls = declared_type(cls)
    return [declared_type(member) for member in get_args(cls)] if is_union(cls) else [cls]


def _part(cls: Any, is_kind: Callable[[Any], bool], place: int) -> Any:
    """Return the type of what a container of a kind holds."""
    for alternative in filter(is_kind, _alternatives(cls)):
        if get_args(alternative) and not is_fixed_tuple(alternative):
            return get_args(alternative)[place]
    return Any


def _counted(cls: Any) -> list[str]:
    """Return what the length of a value of this type counts, in JSON Schema's words."""
    found = []
    for alternative in _alternatives(cls):
        if alternative is str or is_free(alternative):
            found.append("Length")
        if array_class(alternative) in (list, tuple) or is_free(alternative):
            found.append("Items")
        if is_object(alternative) or is_free(alternative):
            found.append("Properties")
    return found


# attrs keeps the classes of its validators private, but not what they are told apart by.
_TRANSLATIONS: dict[type[Any], Callable[[Any, Any], Schema]] = {
    type(validators.and_(validators.ge(0))): _and,
    type(validators.deep_iterable(validators.ge(0))): _deep_iterable,
    type(validators.deep_mapping(validators.ge(0))): _deep_mapping,
    type(validators.ge(0)): _bound,
    type(validators.in_(())): _choice,
    type(validators.matches_re("")): _pattern,
    type(validators.max_len(0)): _max_length,
    type(validators.min_len(0)): _min_length,
    type(validators.optional(validators.ge(0))): _optional,
}
