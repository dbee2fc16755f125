"""JSON text: bytes to values and back, fast where JSON is plain, complete where it is not.

orjson does the work. What it refuses but other writers of JSON send (``NaN``, lone surrogates,
integers over 64 bits, deep nesting) takes the standard library's slower path instead of failing.

The one form of what JSON does not know:

=====================  =========================================
a non-finite number    ``null``
numpy scalar, array    a number, nested arrays of numbers
bytes                  a base64 string (RFC 4648, section 4)
date, time, datetime   an ISO 8601 string (RFC 3339)
an enum member         its value
UUID, path, Decimal    a string
a set                  an array, in no particular order
a named tuple          an array
attrs, dataclasses     an object of the fields that ``__init__`` takes
=====================  =========================================
"""

import base64
import dataclasses
import datetime
import decimal
import enum
import json
import math
import os
from collections.abc import Mapping
from types import NoneType
from typing import Any

import attrs
import orjson

__all__ = ["dumps", "is_exact", "loads"]

# Dates and times take Python's form: orjson 3.13 loses a digit of 01:00:00.010000, and writes an
# offset of -04:59:30 as -04:60.
_OPTIONS = (
    orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
)

# Every digit becomes a 0 and all that may stand before a number a comma, so that one search finds
# a number of many digits, and takes neither a fraction nor an exponent for one.
_OUTLINE = bytes(
    ord("0") if byte in b"0123456789" else ord(",") if byte in b"[,: \t\r\n" else byte
    for byte in range(256)
)
_EXACT = frozenset({str, int, bool, NoneType})
_MANY_DIGITS = b"0" * 19  # no integer of 64 bits, signed or unsigned, has more than 19 or 20


def dumps(value: Any) -> bytes:
    """Write a value as JSON.

    Args:
        value: JSON values, and those of the table above, at any depth.

    Returns:
        UTF-8 bytes without insignificant white space.

    Raises:
        TypeError: something in it has no JSON form.
        ValueError: it is nested too deeply, contains itself, or contains an integer of more digits
            than Python writes (`sys.get_int_max_str_digits`).
    """
    try:
        return orjson.dumps(value, default=_plain, option=_OPTIONS)
    except TypeError:
        return _dumps_slowly(value)


def loads(text: bytes | str) -> Any:
    """Read JSON text.

    Args:
        text: one JSON value, as UTF-8 bytes or as a string.

    Returns:
        dicts, lists, strings, numbers, booleans and ``None``.

    Raises:
        ValueError: it is not JSON; the sentence says what is wrong and where.
    """
    try:
        value = orjson.loads(text)
    except ValueError:
        return _loads_slowly(text)
    return _loads_slowly(text) if _has_big_integer(text) else value


def is_exact(value: Any, text: bytes) -> bool:
    """Whether orjson has read every integer of a value as it stands.

    It reads one over 64 bits as the nearest float, and does not say so.

    Args:
        value: what it has read.
        text: the text that the value was read from, or a longer one around it; looked through
            where the value itself does not tell.
    """
    if value.__class__ is dict:
        value = value.values()
    elif value.__class__ is not list:
        value = (value,)
    for part in value:
        if part.__class__ in _EXACT or (part.__class__ is float and -(2.0**63) < part < 2.0**64):
            continue
        return not _has_big_integer(text)
    return True


def _has_big_integer(text: bytes | str) -> bool:
    outline = (text if text.__class__ is bytes else text.encode()).translate(_OUTLINE)  # type: ignore[union-attr]
    if _MANY_DIGITS not in outline:
        return False
    unsigned = _MANY_DIGITS + b"0"
    return (
        b"-" + _MANY_DIGITS in outline or b"," + unsigned in outline or outline.startswith(unsigned)
    )


def _loads_slowly(text: bytes | str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8: {error.reason} at byte {error.start}") from None


def _dumps_slowly(value: Any) -> bytes:
    try:
        return json.dumps(_simplified(value), separators=(",", ":")).encode()
    except RecursionError:
        raise ValueError("it is nested too deeply, or contains itself") from None


def _simplified(value: Any) -> Any:
    """Return the value in the six types that the standard library writes."""
    if value is None or isinstance(value, str | bool):
        # `str` and `int` subclasses are dropped on purpose: a `str` enum is its value.
        return value.value if isinstance(value, enum.Enum) else value
    if isinstance(value, enum.Enum):
        return _simplified(value.value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_key(key): _simplified(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_simplified(item) for item in value]
    try:  # numpy and UUIDs: in the form that the fast path gives them
        return orjson.loads(orjson.dumps(value, option=_OPTIONS))
    except TypeError:
        return _simplified(_plain(value))


def _key(key: Any) -> str:
    simple = _simplified(key)
    if isinstance(simple, str):
        return simple
    if simple is None or isinstance(simple, bool | int | float):
        return json.dumps(simple)
    raise TypeError(f"{type(key).__name__} cannot be the key of a JSON object")


def _plain(value: Any) -> Any:
    """Turn what orjson does not know into what it knows; called for nothing else."""
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(bytes(value)).decode()
    if isinstance(value, set | frozenset):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return str(value)
    if attrs.has(type(value)):
        fields = attrs.fields(type(value))
        return {field.name: getattr(value, field.name) for field in fields if field.init}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if field.init]
        return {name: getattr(value, name) for name in names}
    if hasattr(value, "tolist"):  # numpy: arrays that are not contiguous, rare scalars
        simple = value.tolist()
        return float(simple) if simple.__class__ is value.__class__ else simple  # a longdouble
    raise TypeError(f"{type(value).__name__} has no JSON form")
