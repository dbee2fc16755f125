"""Flat models: attrs classes whose every field is a plain JSON value, read by a made function.

Nearly every action and observation is flat. For these, as attrs and cattrs do, a function is
written and compiled that takes each field by its name, looks at its class, and calls the model: no
hook, no loop, no second look. What it does not recognise is not refused: it is left to the
converter, which knows everything.
"""

from collections.abc import Callable
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import attrs

__all__ = ["make_flat_reader"]

T = TypeVar("T")

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
    allowed = [_types_taken(field.type) for field in fields]
    if not fields or not all(allowed) or any(map(_is_special, fields)):
        return read_any
    names: dict[str, Any] = {"model": cls, "read_any": read_any}
    conditions = [f"len(value) == {len(fields)}"]
    for index, types in enumerate(allowed):
        names |= {f"type{index}_{place}": taken for place, taken in enumerate(types)}
        checks = [f"value{index}.__class__ is type{index}_{place}" for place in range(len(types))]
        conditions.append(f"({' or '.join(checks)})")
    values = "\n        ".join(
        f"value{index} = value[{field.name!r}]" for index, field in enumerate(fields)
    )
    arguments = ", ".join(
        f"{field.name}=value{index}" if field.kw_only else f"value{index}"
        for index, field in sorted(enumerate(fields), key=lambda pair: pair[1].kw_only)
    )
    source = _SOURCE.format(values=values, conditions=" and ".join(conditions), arguments=arguments)
    exec(compile(source, f"<aioenv: reader of {cls.__qualname__}>", "exec"), names)  # noqa: S102
    return names["read"]  # type: ignore[no-any-return]


_SOURCE = """
def read(value):
    try:
        {values}
        if {conditions}:
            return model({arguments})
    except Exception:
        pass
    return read_any(value)
"""


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
