"""The hooks that the converter is made of: how the values of each type are read and written.

A hook reads one value and raises when it does not take it. A factory, whose name ends in
``_reader`` or ``_writer``, makes the hook of one type.
"""

import base64
import binascii
import contextlib
import datetime
import functools
import pathlib
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any, get_args, get_origin

import attrs
from cattrs import ClassValidationError, Converter, ForbiddenExtraKeysError, override
from cattrs.cols import list_structure_factory, mapping_structure_factory
from cattrs.gen import make_dict_structure_fn_from_attrs, make_dict_unstructure_fn_from_attrs

from aioenv.faults import Refused, at_field, instantiate, read_items, type_name, wrong_type
from aioenv.fields import (
    WireField,
    array_class,
    declared_type,
    is_enum,
    is_fixed_tuple,
    is_free,
    is_literal,
    is_object,
    no_json_form,
    plain_value,
    type_arguments,
    wire_fields,
)

__all__ = [
    "SCALARS",
    "TEXTS",
    "Hook",
    "array_reader",
    "enum_reader",
    "exactly",
    "is_free_array",
    "is_free_object",
    "is_scalar",
    "is_wrapped",
    "literal_reader",
    "model_reader",
    "model_writer",
    "object_reader",
    "partial_writer",
    "refusing_reader",
    "state_reader",
    "state_writer",
    "take_anything",
    "take_float",
    "take_none",
    "text_reader",
    "union_reader",
    "wrapped_reader",
]

Hook = Callable[[Any, Any], Any]
Writer = Callable[[Any], dict[str, Any]]


def _decode_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from None


# What travels as a string. (Python's ISO 8601 is wider than RFC 3339.)
TEXTS: dict[Any, Callable[[str], Any]] = {
    bytes: _decode_base64,
    datetime.datetime: datetime.datetime.fromisoformat,
    datetime.date: datetime.date.fromisoformat,
    datetime.time: datetime.time.fromisoformat,
    uuid.UUID: uuid.UUID,
    pathlib.Path: pathlib.Path,
}
SCALARS: tuple[Any, ...] = (str, int, float, bool, *TEXTS)

_UNDERWAY: ContextVar[frozenset[Any]] = ContextVar("models in the making", default=frozenset())


# What a type is


def is_scalar(cls: Any) -> bool:
    """Tell whether it is one of `SCALARS` or derived from one."""
    return isinstance(cls, type) and issubclass(cls, SCALARS)


def is_wrapped(cls: Any) -> bool:
    """Tell whether it is ``Annotated``, ``Final``, a ``NewType`` or a type alias."""
    return declared_type(cls) is not cls


def is_free_array(cls: Any) -> bool:
    """Tell whether it is a list of anything."""
    return array_class(cls) is list and all(map(is_free, get_args(cls)))


def is_free_object(cls: Any) -> bool:
    """Tell whether it is a dict of anything."""
    if not is_object(cls):
        return False
    key, member = get_args(cls) or (str, Any)
    return (key is str or is_free(key)) and is_free(member)


def _is_text(cls: Any) -> bool:
    """Tell whether the values of a type are strings on the wire."""
    cls = declared_type(cls)
    if is_enum(cls) or is_literal(cls):
        choices = cls if is_enum(cls) else get_args(cls)
        return all(isinstance(plain_value(choice), str) for choice in choices)
    return cls is str or cls in TEXTS or is_free(cls)


# Scalars


def refusing_reader(cls: Any) -> Hook:
    """Refuse the type itself, not a value."""
    raise no_json_form(cls)


def take_anything(value: Any, _: Any) -> Any:
    """Take any value."""
    return value


def exactly(cls: type[Any]) -> Hook:
    """Take the instances of one class, and not of its subclasses."""

    def take(value: Any, _: Any) -> Any:
        if value.__class__ is cls:
            return value
        raise wrong_type(cls, value)

    return take


def take_float(value: Any, _: Any) -> float:
    """Take a float, or an integer for it."""
    if value.__class__ is float:
        return value
    if value.__class__ is int:
        return float(value)
    raise wrong_type(float, value)


def take_none(value: Any, _: Any) -> None:
    """Take ``None``."""
    if value is not None:
        raise wrong_type(type(None), value)


def literal_reader(cls: Any) -> Hook:
    """Take the choices of a ``Literal``, each with its own type."""
    return _choice_reader(cls, get_args(cls), "literal_error")


def enum_reader(cls: Any) -> Hook:
    """Take the values of an enumeration, each with its own type."""
    return _choice_reader(cls, list(cls), "enum")


def _choice_reader(cls: Any, choices: Iterable[Any], kind: str) -> Hook:
    plain = [(plain_value(choice), choice) for choice in choices]
    if not all(value is None or type(value) in (str, int, float, bool) for value, _ in plain):
        raise no_json_form(cls)
    known = {(type(value), value): choice for value, choice in plain}  # 1 is not True is not 1.0
    names = ", ".join(repr(value) for value, _ in plain)

    def take(value: Any, _: Any) -> Any:
        try:
            return known[value.__class__, value]
        except (KeyError, TypeError):  # a dict or a list cannot be looked up
            raise Refused(kind, f"expected one of {names}", value) from None

    return take


def text_reader(cls: type[Any], parse: Callable[[str], Any]) -> Hook:
    """Take a string that can be parsed."""

    def take(value: Any, _: Any) -> Any:
        if value.__class__ is not str:
            raise wrong_type(str, value)
        try:
            return parse(value)
        except ValueError as error:
            raise Refused(f"{cls.__name__}_parsing", str(error), value) from None

    return take


def wrapped_reader(cls: Any, converter: Converter) -> Hook:
    """Read the type inside."""
    inner = declared_type(cls)
    read = converter.get_structure_hook(inner)
    return lambda value, _: read(value, inner)


# Containers


def _only(expected: type[Any], read: Hook, cls: Any) -> Hook:
    """Put the check of the container's own type before the reading of its items."""

    def take(value: Any, _: Any) -> Any:
        if value.__class__ is not expected:
            raise wrong_type(expected, value)
        return read(value, cls)

    return take


def array_reader(cls: Any, converter: Converter) -> Hook:
    """Read an array as a list, tuple or set."""
    if is_fixed_tuple(cls):
        return _only(list, _fixed_reader(cls, converter), cls)
    kind = array_class(cls)
    member = (get_args(cls) or (Any,))[0]
    items: Any = list[member]  # type: ignore[valid-type]
    read = list_structure_factory(items, converter)
    if kind is list:
        return _only(list, read, items)
    return _only(list, lambda value, _: kind(read(value, items)), items)


def _fixed_reader(cls: Any, converter: Converter) -> Hook:
    readers = [(converter.get_structure_hook(member), member) for member in get_args(cls)]

    def read(value: list[Any], _: Any) -> tuple[Any, ...]:
        if len(value) != len(readers):
            message = f"expected {len(readers)} items, got {len(value)}"
            raise Refused("tuple_length", message, value)
        if converter.detailed_validation:
            return tuple(read_items(readers, value, cls))
        return tuple([read(item, to) for (read, to), item in zip(readers, value, strict=True)])

    return read


def object_reader(cls: Any, converter: Converter) -> Hook:
    """Read an object as a dict."""
    key, _ = get_args(cls)
    if not _is_text(key):
        raise TypeError(f"the keys of a JSON object are strings, which {type_name(key)} is not")
    return _only(dict, mapping_structure_factory(cls, converter), cls)


def union_reader(cls: Any, converter: Converter) -> Hook:
    """Try the members of a union in their order; the first that takes the value wins.

    A float takes integers, too, and rounds them: where both are members, the integer is first.
    """
    members = [member for member in get_args(cls) if member is not type(None)]
    if float in members and int in members:
        members.remove(float)
        members.insert(members.index(int) + 1, float)
    readers = [(converter.get_structure_hook(member), member) for member in members]
    optional = len(members) < len(get_args(cls))
    if optional and len(members) == 1:
        ((read_only, only),) = readers
        return lambda value, _: None if value is None else read_only(value, only)

    def take(value: Any, _: Any) -> Any:
        if value is None and optional:
            return None
        for read, member in readers:
            with contextlib.suppress(Exception):
                return read(value, member)
        names = " or ".join(map(type_name, members))
        raise Refused("union_error", f"expected {names}", value)

    return take


# Models


def model_reader(cls: Any, converter: Converter) -> Hook:
    """Read an attrs class from an object and from nothing else."""
    fields = wire_fields(cls)
    if converter.detailed_validation:
        return _explaining_reader(cls, converter, fields)
    variables = {variable.__name__: value for variable, value in type_arguments(cls).items()}
    with _making(cls):
        # What is no object has no keys() to compare: it fails by itself.
        return make_dict_structure_fn_from_attrs(
            [attribute.evolve(type=of) for attribute, of in fields],
            get_origin(cls) or cls,
            converter,
            variables,
            _cattrs_forbid_extra_keys=True,
        )


def _explaining_reader(cls: Any, converter: Converter, fields: list[WireField]) -> Hook:
    """Read an attrs class field by field, so that every fault is found."""
    origin = get_origin(cls) or cls
    names = {attribute.name for attribute, _ in fields}

    def take(value: Any, _: Any) -> Any:
        if value.__class__ is not dict:
            raise wrong_type(dict, value)
        arguments: dict[str, Any] = {}
        faults: list[Exception] = []
        for attribute, of in fields:
            try:
                if attribute.name in value:
                    read = converter.get_structure_hook(of)
                    arguments[attribute.alias or attribute.name] = read(value[attribute.name], of)
                elif attribute.default is attrs.NOTHING:
                    raise Refused("missing", "this field is required", value)
            except Exception as error:
                faults.append(at_field(error, attribute))
        if unknown := value.keys() - names:
            faults.append(ForbiddenExtraKeysError("", origin, unknown))
        if faults:
            raise ClassValidationError(f"while reading {origin.__name__}", faults, origin)
        return instantiate(origin, arguments)

    return take


def model_writer(cls: Any, converter: Converter) -> Writer:
    """Write an attrs class as a dict of its fields."""
    return partial_writer(cls, converter, frozenset())


def partial_writer(cls: Any, converter: Converter, omit: frozenset[str]) -> Writer:
    """Write an attrs class as a dict of its fields, but for some."""
    fields = [(attribute, of) for attribute, of in wire_fields(cls) if attribute.name not in omit]
    overrides = {}
    with _making(cls):
        for attribute, of in fields:
            try:
                write = converter.get_unstructure_hook(of)
            except RecursionError:
                write = functools.partial(converter.unstructure, unstructure_as=of)
            overrides[attribute.name] = override(unstruct_hook=write)
    return make_dict_unstructure_fn_from_attrs(
        [attribute for attribute, _ in fields],
        get_origin(cls) or cls,
        converter,
        **overrides,  # type: ignore[arg-type]
    )


@contextlib.contextmanager
def _making(cls: Any) -> Iterator[None]:
    """Make the hook of a model whose parts may contain it.

    Raises:
        RecursionError: they do; who asked must look the hook up later, as cattrs does.
    """
    underway = _UNDERWAY.get()
    if cls in underway:
        raise RecursionError(f"{cls} contains itself")
    token = _UNDERWAY.set(underway | {cls})
    try:
        yield
    finally:
        _UNDERWAY.reset(token)


def state_reader(cls: Any, converter: Converter) -> Hook:
    """Read a state; what its class does not declare goes into `State.extra`."""
    read = model_reader(cls, converter)
    declared = {attribute.name for attribute, _ in wire_fields(cls)} - {"extra"}

    def take(value: Any, _: Any) -> Any:
        if value.__class__ is not dict:
            raise wrong_type(dict, value)
        extra = {name: item for name, item in value.items() if name not in declared}
        known = {name: item for name, item in value.items() if name in declared}
        return read({**known, "extra": extra}, cls)

    return take


def state_writer(cls: Any, converter: Converter) -> Writer:
    """Write a state, with what is in `State.extra` beside its fields."""
    write = model_writer(cls, converter)

    def give(state: Any) -> dict[str, Any]:
        fields = write(state)
        return {**fields.pop("extra"), **fields}

    return give
