"""The faults of a value that a model does not take: what is wrong, and where.

The wire tells each as ``type``, ``loc``, ``msg`` and ``input``, which are pydantic's words, because
OpenEnv's clients know those.
"""

from collections.abc import Callable, Iterable, Iterator
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
    "read_items",
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
    return list(_walk(error, [], value))


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
            yield _entry("extra_forbidden", [*path, name], "this field is unknown", value[name])
    elif isinstance(error, Refused):
        yield _entry(error.kind, path, str(error), error.value)
    else:
        yield _entry("value_error", path, _words(error), value)


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


def _entry(kind: str, path: list[Any], message: str, value: Any) -> dict[str, Any]:
    return {"type": kind, "loc": path, "msg": message, "input": value}
