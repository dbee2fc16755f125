"""What of a model crosses the wire: its fields, and what their types are to JSON.

The converter and the schema both build on this, so that one says what the other does.
"""

import enum
import functools
import operator
import types
import typing
from collections import abc
from inspect import get_annotations
from typing import (
    Annotated,
    Any,
    Final,
    Generic,
    Literal,
    Protocol,
    Self,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

import attrs

from aioenv.models import State

__all__ = [
    "WireField",
    "array_class",
    "declared_type",
    "is_array",
    "is_enum",
    "is_fixed_tuple",
    "is_free",
    "is_literal",
    "is_model",
    "is_object",
    "is_state",
    "is_union",
    "no_json_form",
    "plain_value",
    "type_arguments",
    "wire_fields",
]

WireField: TypeAlias = tuple["attrs.Attribute[Any]", Any]

# What a JSON array is read as, by the type that a field declares.
_ARRAYS: dict[Any, type[Any]] = {
    list: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    abc.Sequence: tuple,
    abc.Set: frozenset,
}
_OBJECTS = (dict, abc.Mapping, abc.MutableMapping)
_ALIASES = getattr(typing, "TypeAliasType", ())  # ``type X = …``, from Python 3.12


def wire_fields(cls: Any) -> list[WireField]:
    """Return the fields of an attrs class that cross the wire, each with its type.

    Those are the fields that ``__init__`` takes, under their attribute names. Forward references
    are resolved, type variables and ``Self`` filled in.

    Raises:
        TypeError: an annotation names what does not exist.
    """
    origin = get_origin(cls) or cls
    try:
        attrs.resolve_types(origin)
    except NameError as error:
        raise TypeError(
            f"an annotation of {origin.__name__} cannot be resolved: {error}"
        ) from error
    scopes = _scopes(cls)
    return [
        (attribute, _filled_type(attribute, cls, scopes))
        for attribute in attrs.fields(origin)
        if attribute.init
    ]


def declared_type(cls: Any) -> Any:
    """Return the type inside ``Annotated``, ``Final``, ``NewType`` and type aliases."""
    while True:
        if get_origin(cls) in (Annotated, Final):
            cls = get_args(cls)[0]
        elif isinstance(cls, typing.NewType):
            cls = cls.__supertype__
        elif isinstance(cls, _ALIASES):
            cls = cls.__value__
        else:
            return cls


def is_free(cls: Any) -> bool:
    """Tell whether a field takes any JSON value: ``Any``, ``object``, or no annotation at all."""
    return cls is Any or cls is object or cls is None


def is_enum(cls: Any) -> bool:
    """Tell whether it is an enumeration."""
    return isinstance(cls, type) and issubclass(cls, enum.Enum)


def is_literal(cls: Any) -> bool:
    """Tell whether it is a ``Literal``."""
    return get_origin(cls) is Literal


def is_union(cls: Any) -> bool:
    """Tell whether it is a union; ``Optional`` is one."""
    return get_origin(cls) in (Union, types.UnionType)


def is_model(cls: Any) -> bool:
    """Tell whether it is an attrs class, with or without type arguments."""
    return attrs.has(get_origin(cls) or cls)


def is_state(cls: Any) -> bool:
    """Tell whether it is `State` or derived from it."""
    origin = get_origin(cls) or cls
    return isinstance(origin, type) and issubclass(origin, State)


def is_object(cls: Any) -> bool:
    """Tell whether it is a dict or a mapping."""
    return (get_origin(cls) or cls) in _OBJECTS


def array_class(cls: Any) -> Any:
    """Return the class that a JSON array is read as, or ``None`` for a type that is no array."""
    return _ARRAYS.get(get_origin(cls) or cls)


def is_array(cls: Any) -> bool:
    """Tell whether it is a list, tuple, set or sequence."""
    return array_class(cls) is not None


def is_fixed_tuple(cls: Any) -> bool:
    """Tell whether it is a tuple of so many items, each with its own type."""
    if get_origin(cls) is not tuple or cls is typing.Tuple:  # noqa: UP006
        return False
    return Ellipsis not in get_args(cls)


def plain_value(choice: Any) -> Any:
    """Return what stands on the wire for a member of an enumeration, or for any other value."""
    return choice.value if isinstance(choice, enum.Enum) else choice


def no_json_form(cls: Any) -> TypeError:
    """Return the error for a type that a field cannot have."""
    name = cls.__qualname__ if isinstance(cls, type) else str(cls)
    return TypeError(
        f"a field of type {name} has no JSON form; it may be None, a bool, int, float, str, bytes, "
        "date, time, UUID, Path, enum, Literal, attrs class, Any, or a list, tuple, set, dict "
        "(with keys that are strings) or union of these"
    )


def type_arguments(cls: Any) -> dict[Any, Any]:
    """Map the type variables of a generic class to what is given for them."""
    variables = getattr(get_origin(cls) or cls, "__parameters__", ())
    return dict(zip(variables, get_args(cls), strict=False))


def _scopes(cls: Any) -> dict[Any, dict[Any, Any]]:
    """Map a class and its bases to what stands for type variables within each."""
    origin = get_origin(cls) or cls
    filling = type_arguments(cls)
    scopes: dict[Any, dict[Any, Any]] = {}
    for base in vars(origin).get("__orig_bases__", origin.__bases__):
        if get_origin(base) not in (Generic, Protocol):
            scopes |= _scopes(_filled(base, filling))
    return {**scopes, origin: filling}


def _filled_type(attribute: "attrs.Attribute[Any]", cls: Any, scopes: dict[Any, Any]) -> Any:
    origin = get_origin(cls) or cls
    declaring = (base for base in origin.__mro__ if attribute.name in get_annotations(base))
    return _filled(attribute.type, {**scopes.get(next(declaring, origin), {}), Self: cls})


def _filled(cls: Any, filling: dict[Any, Any]) -> Any:
    """Put types in the place of type variables and of ``Self``, at any depth."""
    if isinstance(cls, TypeVar) or cls is Self:
        return filling.get(cls, cls)
    arguments = () if is_literal(cls) else get_args(cls)
    filled = tuple(_filled(argument, filling) for argument in arguments)
    if filled == arguments:
        return cls
    if is_union(cls):
        return functools.reduce(operator.or_, filled)
    return get_origin(cls)[filled if len(filled) > 1 else filled[0]]
