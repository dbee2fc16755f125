"""The JSON Schema (2020-12) of a model: what its reader takes, said in public.

A value is valid exactly if the reader of the same class takes it, but for what JSON Schema has no
words for. There the reader is the stricter one:

- To JSON Schema ``1.0`` is the integer 1, and equal to 1. To the reader it is a float, which no
  ``int`` takes and which is no choice of an enumeration of integers.
- ``format`` and ``contentEncoding`` only tell what a string means; the reader parses it.
- An integer too large for a double is a number, but no ``float``.
- Attrs' own validators are translated, except `not_`, `or_` and the types that they check. Those
  which JSON Schema cannot express are left out: other callables, regular expressions with flags or
  with Python's own syntax, the length of bytes and of sets, and all validators of a field with an
  attrs converter, because they see what the converter returns.
"""

import datetime
import inspect
import math
import pathlib
import uuid
from collections.abc import Callable, Iterable
from typing import Any, get_args, get_origin
from urllib.parse import quote

import attrs

from aioenv.converter import make_reader
from aioenv.fields import (
    array_class,
    declared_type,
    is_array,
    is_enum,
    is_fixed_tuple,
    is_free,
    is_literal,
    is_model,
    is_object,
    is_state,
    is_union,
    no_json_form,
    plain_value,
    wire_fields,
)
from aioenv.jsontext import dumps, loads
from aioenv.restrictions import restrict, restriction

__all__ = ["action_schema", "json_schema", "observation_schema", "state_schema"]

Schema = dict[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"

_SCALARS: dict[Any, Schema] = {
    type(None): {"type": "null"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    bytes: {"type": "string", "contentEncoding": "base64"},
    datetime.datetime: {"type": "string", "format": "date-time"},
    datetime.date: {"type": "string", "format": "date"},
    datetime.time: {"type": "string", "format": "time"},
    uuid.UUID: {"type": "string", "format": "uuid"},
    pathlib.Path: {"type": "string"},
}
_HASHABLE: Schema = {"type": ["boolean", "null", "number", "string"]}


def json_schema(cls: type[Any]) -> Schema:
    """Return the JSON Schema of what the reader of `cls` takes.

    Args:
        cls: an attrs class.

    Raises:
        TypeError: `cls` is not an attrs class, or has a field of a type without a JSON form.
    """
    make_reader(cls)  # refuses what has no JSON form
    builder = _Builder()
    schema = {"$schema": _DIALECT, **builder.model(cls)}
    if builder.definitions:
        schema["$defs"] = builder.definitions
    return schema


def action_schema(cls: type[Any]) -> Schema:
    """Return the schema of an action, which may carry ``metadata`` beside its own fields."""
    schema = json_schema(cls)
    schema["properties"].setdefault(
        "metadata",
        {
            "title": "Metadata",
            "description": "Anything else worth telling; the environment does not see it",
            "type": "object",
            "additionalProperties": True,
            "default": {},
        },
    )
    return schema


def observation_schema(cls: type[Any]) -> Schema:
    """Return the schema of an observation, with its ``reward`` and ``done`` inside."""
    return json_schema(cls)


def state_schema(cls: type[Any]) -> Schema:
    """Return the schema of a state, which may carry fields that its class does not declare."""
    return json_schema(cls)


class _Builder:
    """Builds the schema of one class, and the definitions that it refers to.

    Attributes:
        definitions: the schemas of nested attrs classes, by name.
    """

    def __init__(self) -> None:
        self.definitions: dict[str, Schema] = {}
        self._names: dict[Any, str] = {}
        self._kinds: tuple[tuple[Callable[[Any], bool], Callable[[Any], Schema]], ...] = (
            (is_free, lambda _: {}),
            (is_enum, _choice),
            (is_literal, lambda cls: _choice(get_args(cls))),
            (is_union, lambda cls: {"anyOf": [self.of(member) for member in get_args(cls)]}),
            (is_model, self._reference),
            (is_object, self._object),
            (is_fixed_tuple, self._fixed_tuple),
            (is_array, self._array),
        )

    def of(self, cls: Any) -> Schema:
        """Return the schema of a field's type."""
        cls = declared_type(cls)
        if cls in _SCALARS:
            return dict(_SCALARS[cls])
        for is_kind, describe in self._kinds:
            if is_kind(cls):
                return describe(cls)
        raise no_json_form(cls)

    def model(self, cls: Any) -> Schema:
        """Return the schema of an attrs class."""
        origin = get_origin(cls) or cls
        is_open = is_state(cls)
        fields = [
            (attribute, of)
            for attribute, of in wire_fields(cls)
            if not (is_open and attribute.name == "extra")
        ]
        schema: Schema = {"title": origin.__name__}
        if origin.__doc__:
            schema["description"] = inspect.cleandoc(origin.__doc__).partition("\n")[0]
        schema["type"] = "object"
        schema["properties"] = {
            attribute.name: self._field(attribute, of) for attribute, of in fields
        }
        if required := [field.name for field, _ in fields if field.default is attrs.NOTHING]:
            schema["required"] = required
        schema["additionalProperties"] = is_open
        return schema

    def _field(self, attribute: "attrs.Attribute[Any]", cls: Any) -> Schema:
        schema: Schema = {"title": attribute.name.replace("_", " ").strip().title()}
        if description := attribute.metadata.get("description"):
            schema["description"] = str(description)
        if examples := attribute.metadata.get("examples"):
            schema["examples"] = loads(dumps(list(examples)))
        schema |= self.of(cls)
        if attribute.converter is None:
            restrict(schema, restriction(attribute.validator, cls))
            schema |= _default(attribute.default)
        return schema

    def _reference(self, cls: Any) -> Schema:
        if cls not in self._names:
            name = base = (get_origin(cls) or cls).__name__
            count = 1
            while name in self.definitions:
                count += 1
                name = f"{base}{count}"
            self._names[cls] = name
            self.definitions[name] = {}  # holds the place: the class may refer to itself
            self.definitions[name] = self.model(cls)
        return {"$ref": f"#/$defs/{quote(self._names[cls])}"}

    def _object(self, cls: Any) -> Schema:
        key, member = get_args(cls) or (str, Any)
        schema = {"type": "object", "additionalProperties": self.of(member) or True}
        names = self.of(key)
        return schema if names in ({}, _SCALARS[str]) else {**schema, "propertyNames": names}

    def _fixed_tuple(self, cls: Any) -> Schema:
        members = [self.of(member) for member in get_args(cls)]
        if not members:
            return {"type": "array", "maxItems": 0}
        size = len(members)
        items = {"prefixItems": members, "items": False, "minItems": size, "maxItems": size}
        return {"type": "array", **items}

    def _array(self, cls: Any) -> Schema:
        items = self.of((get_args(cls) or (Any,))[0])
        if not items and array_class(cls) in (set, frozenset):
            items = dict(_HASHABLE)
        return {"type": "array", "items": items}


def _choice(choices: Iterable[Any]) -> Schema:
    values = [plain_value(choice) for choice in choices]
    kinds = {_SCALARS[type(value)]["type"] for value in values}
    return {"type": kinds.pop(), "enum": values} if len(kinds) == 1 else {"enum": values}


def _default(default: Any) -> Schema:
    """Return the ``default`` of a field, unless it is none or has no JSON form."""
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        if default.factory in (list, tuple, set, frozenset):
            return {"default": []}
        return {"default": {}} if default.factory is dict else {}
    if default is attrs.NOTHING or (isinstance(default, float) and not math.isfinite(default)):
        return {}
    try:
        return {"default": loads(dumps(default))}
    except (TypeError, ValueError):
        return {}
