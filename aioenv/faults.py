"""The faults of a value that a model does not take: what is wrong, and where.

The wire tells each as ``type``, ``loc``, ``msg`` and ``input``, which are pydantic's words, because
OpenEnv's clients know those. What is told has a bound, whatever was sent: a refusal that outgrew
the request could be more than its sender takes, and end the session.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import attrs
from cattrs import (
    AttributeValidationNote,
    BaseValidationError,
    ClassValidationError,
    ForbiddenExtraKeysError,
    IterableValidationError,
    IterableValidationNote,
)

__all__ = [
    "Refused",
    "at_field",
    "collect_faults",
    "instantiate",
    "make_fault",
    "read_items",
    "some_faults",
    "type_name",
    "wrong_type",
]

_NAMES: dict[Any, str] = {
    str: "string",
    int: "int",
    float: "float",
    bool: "bool",
    dict: "dict",
    list: "list",
    type(None): "none",
}


_MOST_FAULTS = 50
_MOST_CHARACTERS = 2000  # of a fault's input, its message, or one step of its path


class Refused(ValueError):
    """A value that a field does not take.

    Attributes:
        kind: the wire's word for the fault.
        value: the value.
    """

    def __init__(self, kind: str, message: str, value: Any) -> None:
        super().__init__(message)
        self.kind = kind
        self.value = value


def make_fault(kind: str, path: Iterable[Any], message: str, value: Any) -> dict[str, Any]:
    """Return a fault in the wire's terms; an input that is long is told as ``None``."""
    return {
        "type": kind,
        "loc": [_shortened(step) if isinstance(step, str) else step for step in path],
        "msg": _shortened(message),
        "input": None if _is_long(value) else value,
    }


def some_faults(faults: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the first faults, and where there are very many a last one that says so."""
    every = iter(faults)
    told = list(islice(every, _MOST_FAULTS))
    if next(every, None) is not None:
        told.append(make_fault("too_many_faults", [], "there are more faults than these", None))
    return told


def wrong_type(expected: Any, value: Any) -> Refused:
    """Return the refusal of a value whose type is another than the expected one."""
    name = type_name(expected)
    return Refused(f"{name}_type", f"expected {name}, got {type_name(type(value))}", value)


def type_name(cls: Any) -> str:
    """Return what faults call a type."""
    return _NAMES.get(cls) or str(getattr(cls, "__name__", cls))


def at_field(error: Exception, attribute: "attrs.Attribute[Any]") -> Exception:
    """Note on an exception which field it is about, the way cattrs does."""
    error.add_note(AttributeValidationNote(attribute.name, attribute.name, attribute.type))
    return error


def read_items(
    readers: Iterable[tuple[Callable[[Any, Any], Any], Any]], items: Iterable[Any], cls: Any
) -> list[Any]:
    """Read each item of an array by its own hook.

    Raises:
        IterableValidationError: with the faults of all.
    """
    results: list[Any] = []
    faults: list[Exception] = []
    for index, ((read, of), item) in enumerate(zip(readers, items, strict=True)):
        try:
            results.append(read(item, of))
        except Exception as error:
            error.add_note(IterableValidationNote(str(index), index, of))
            faults.append(error)
    if faults:
        raise IterableValidationError(f"while reading {cls}", faults, cls)
    return results


def instantiate(cls: Any, arguments: dict[str, Any]) -> Any:
    """Make an instance of an attrs class.

    Raises:
        ClassValidationError: with what each validator says, or else with what stopped it. (attrs
            stops at the first refusal, but sets every field before it validates any, so that each
            validator can then be asked by itself.)
    """
    instance = cls.__new__(cls)
    try:
        instance.__init__(**arguments)
    except Exception as error:
        faults = _refusals(instance) or [error]
        raise ClassValidationError(f"while making a {cls.__name__}", faults, cls) from error
    return instance


def _refusals(instance: Any) -> list[Exception]:
    faults: list[Exception] = []
    for attribute in attrs.fields(type(instance)):
        value = getattr(instance, attribute.name, attrs.NOTHING)
        if attribute.validator is None or value is attrs.NOTHING:
            continue
        try:
            attribute.validator(instance, attribute, value)
        except Exception as error:
            faults.append(at_field(error, attribute))
    return faults


def collect_faults(error: BaseException, value: Any) -> list[dict[str, Any]]:
    """Flatten cattrs' tree of exceptions into one entry for each fault.

    Args:
        error: what the reading of `value` raised.
        value: the whole input.

    Raises:
        RecursionError: that is what went wrong, or the tree itself is too deep.
    """
    return some_faults(_walk(error, [], value))


def _walk(error: BaseException, path: list[Any], value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(error, RecursionError):
        raise error
    if isinstance(error, BaseValidationError):
        for part in error.exceptions:
            step = _step_of(part)
            if step is None:
                yield from _walk(part, path, value)
            else:
                yield from _walk(part, [*path, step], _at(value, step))
    elif isinstance(error, ForbiddenExtraKeysError):
        for name in sorted(error.extra_fields, key=str):
            yield make_fault("extra_forbidden", [*path, name], "this field is unknown", value[name])
    elif isinstance(error, Refused):
        yield make_fault(error.kind, path, str(error), error.value)
    else:
        yield make_fault("value_error", path, _words(error), value)


def _step_of(error: BaseException) -> Any:
    for note in reversed(getattr(error, "__notes__", ())):
        if isinstance(note, AttributeValidationNote):
            return note.name
        if isinstance(note, IterableValidationNote):
            return note.index
    return None


def _at(value: Any, step: Any) -> Any:
    """Return the part of the input that a step leads to, or the input where the part is absent."""
    try:
        return value[step]
    except (KeyError, IndexError, TypeError):
        return value


def _words(error: BaseException) -> str:
    """Return the sentence of an exception; attrs' validators put further facts behind theirs."""
    match error.args:
        case (str(words), attrs.Attribute(), *_):
            return words
    return str(error) or type(error).__name__


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"


def _is_long(value: Any) -> bool:
    """Whether a JSON value is long to quote; looks at no more of it than that takes."""
    room, parts = _MOST_CHARACTERS, [value]
    while parts and room >= 0:
        part = parts.pop()
        room -= len(part) if isinstance(part, str | list | dict) else 1
        if room >= 0 and isinstance(part, list | dict):
            parts.extend(part)
            if isinstance(part, dict):
                parts.extend(part.values())
    return room < 0
