"""Flat models: attrs classes whose every field is a plain JSON value, read in one look.

Nearly every action and observation is flat. For these, the types of all fields are compared with
the allowed ones at once, in C, and the class is called with the object itself as its keywords. What
this look does not recognise is not refused: it is left to the converter, which knows everything.
"""

import itertools
from collections.abc import Callable
from operator import itemgetter
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import attrs

__all__ = ["make_flat_reader"]

T = TypeVar("T")

# More combinations than this are not worth their memory; no such model is "nearly every" one.
_MOST_SHAPES = 256

_PLAIN: dict[Any, tuple[type, ...]] = {
    str: (str,),
    int: (int,),
    float: (float,),
    bool: (bool,),
    dict: (dict,),
    list: (list,),
    dict[str, Any]: (dict,),
    list[Any]: (list,),
    NoneType: (NoneType,),
}


def make_flat_reader(cls: type[T], read_any: Callable[[Any], T]) -> Callable[[Any], T]:
    """Make a function that reads an object with exactly the fields of `cls`, each of its type.

    Args:
        cls: an attrs class whose annotations are resolved.
        read_any: reads, or refuses in words, whatever this look does not recognise.

    Returns:
        The function, or `read_any` itself where the class is not flat.
    """
    fields = attrs.fields(cls)  # type: ignore[arg-type]
    names = [field.name for field in fields]
    allowed = [_types_taken(field.type) for field in fields]
    if len(names) < 1 or not all(allowed) or any(map(_is_special, fields)):
        return read_any
    shapes = frozenset(itertools.islice(itertools.product(*allowed), _MOST_SHAPES + 1))
    if len(shapes) > _MOST_SHAPES:
        return read_any
    if len(names) == 1:
        return _reader_of_one(cls, names[0], frozenset(allowed[0]), read_any)
    return _reader_of_many(cls, itemgetter(*names), shapes, read_any)


def _reader_of_one(
    cls: type[T], name: str, types: frozenset[type], read_any: Callable[[Any], T]
) -> Callable[[Any], T]:
    def read(value: Any) -> T:
        try:
            if type(value[name]) in types and len(value) == 1:
                return cls(**value)
        except Exception:
            return read_any(value)
        return read_any(value)

    return read


def _reader_of_many(
    cls: type[T],
    values_of: Callable[[Any], tuple[Any, ...]],
    shapes: frozenset[tuple[type, ...]],
    read_any: Callable[[Any], T],
) -> Callable[[Any], T]:
    def read(value: Any) -> T:
        try:
            types = (*map(type, values_of(value)),)
            if types in shapes and len(value) == len(types):
                return cls(**value)
        except Exception:
            return read_any(value)
        return read_any(value)

    return read


def _types_taken(annotation: Any) -> tuple[type, ...]:
    """Return the classes whose instances a field takes as they are; none if it is not plain."""
    if get_origin(annotation) in (Union, UnionType):
        members = [_types_taken(member) for member in get_args(annotation)]
        return tuple({cls: None for member in members for cls in member}) if all(members) else ()
    try:
        return _PLAIN.get(annotation, ())
    except TypeError:  # an annotation that cannot be hashed
        return ()


def _is_special(field: "attrs.Attribute[Any]") -> bool:
    """Whether a field's name or value on the wire is not simply its own."""
    return not field.init or field.alias != field.name or field.converter is not None
