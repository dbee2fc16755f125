"""JSON text: the table of forms row by row, the slow path, and what is refused."""

import collections
import contextlib
import dataclasses
import datetime
import decimal
import enum
import json
import math
import pathlib
import re
import types
import uuid
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aioenv import dumps, jsontext, loads

modest = settings(max_examples=200, deadline=None)

texts = st.text(st.characters())  # lone surrogates are among them
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=20,
)

LONE_SURROGATE = "\ud800"  # orjson does not write it, so whatever stands beside takes the slow path
UTC = datetime.UTC
AWARE = datetime.datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
LOCAL_MEAN_TIME = datetime.timezone(-datetime.timedelta(hours=4, minutes=59, seconds=30))
ID = uuid.UUID("12345678-1234-5678-1234-567812345678")


class Color(enum.Enum):
    """An enumeration."""

    RED = "red"


class Level(enum.IntEnum):
    """An enumeration of integers."""

    HIGH = 3


class Word(enum.StrEnum):
    """An enumeration of strings, which are strings themselves."""

    YES = "yes"


class Stamp(datetime.datetime):
    """A subclass of a class that orjson knows."""


@attrs.define
class Point:
    """An attrs class with a field that its __init__ does not take."""

    x: int
    y: Any = None
    norm: int = attrs.field(init=False, default=0)


@dataclasses.dataclass
class Pair:
    """A dataclass with a field that its __init__ does not take."""

    left: int
    total: int = dataclasses.field(init=False, default=0)


Named = collections.namedtuple("Named", "a b")

# The first column of the table in jsontext's docstring, and values of that kind with their form.
ROWS: dict[str, list[tuple[Any, str]]] = {
    "a non-finite number": [
        (math.nan, "null"),
        (math.inf, "null"),
        (-math.inf, "null"),
        (np.float32("nan"), "null"),
        (np.array([1.5, math.nan]), "[1.5,null]"),
        (np.datetime64("NaT", "s"), "null"),
    ],
    "numpy scalar, array": [
        (np.int8(-3), "-3"),
        (np.uint64(2**64 - 1), "18446744073709551615"),
        (np.float16(1.5), "1.5"),
        (np.float64(0.1), "0.1"),
        (np.longdouble(1.5), "1.5"),
        (np.bool_(True), "true"),
        (np.array(5), "5"),
        (np.array([[1, 2], [3, 4]]), "[[1,2],[3,4]]"),
        (np.array([[1, 2], [3, 4]]).T, "[[1,3],[2,4]]"),
        (np.arange(6)[::2], "[0,2,4]"),
        (np.array([1], dtype=">i4"), "[1]"),
        (np.zeros((2, 0)), "[[],[]]"),
        (np.array(["a"]), '["a"]'),
        (np.array([True]), "[true]"),
        (np.array([np.longdouble(1.5)]), "[1.5]"),
    ],
    "bytes": [
        (b"", '""'),
        (b"hi", '"aGk="'),
        (b"\xfb\xff", '"+/8="'),
        (bytearray(b"hi"), '"aGk="'),
        (memoryview(b"h_i_")[::2], '"aGk="'),
        (np.bytes_(b"hi"), '"aGk="'),
    ],
    "date, time, datetime": [
        (datetime.date(2026, 5, 4), '"2026-05-04"'),
        (datetime.time(3, 2, 1, 5), '"03:02:01.000005"'),
        (datetime.time(3, 2, 1, 10_000), '"03:02:01.010000"'),
        (datetime.time(3, 2, tzinfo=UTC), '"03:02:00+00:00"'),
        (datetime.datetime(2026, 5, 4), '"2026-05-04T00:00:00"'),
        (AWARE, '"2026-05-04T03:02:01+00:00"'),
        (AWARE.astimezone(LOCAL_MEAN_TIME), '"2026-05-03T22:02:31-04:59:30"'),
        (Stamp(2026, 5, 4, tzinfo=UTC), '"2026-05-04T00:00:00+00:00"'),
        (np.datetime64("2026-05-04"), '"2026-05-04T00:00:00"'),
    ],
    "an enum member": [
        (Color.RED, '"red"'),
        (Level.HIGH, "3"),
        (Word.YES, '"yes"'),
    ],
    "UUID, path, Decimal": [
        (ID, f'"{ID}"'),
        (pathlib.PurePosixPath("/a/b"), '"/a/b"'),
        (decimal.Decimal("1.10"), '"1.10"'),
    ],
    "a set": [
        ({7}, "[7]"),
        (frozenset({"a"}), '["a"]'),
        (set(), "[]"),
    ],
    "a named tuple": [
        (Named(1, [2]), "[1,[2]]"),
    ],
    "attrs, dataclasses": [
        (Point(1, Point(2)), '{"x":1,"y":{"x":2,"y":null}}'),
        (Pair(1), '{"left":1}'),
    ],
}
FORMS = [(value, form) for row in ROWS.values() for value, form in row]
# Beyond the table: what JSON knows under another class.
KIN = [
    (types.MappingProxyType({"a": (1, 2)}), '{"a":[1,2]}'),
    (collections.OrderedDict(a=1), '{"a":1}'),
    ({7: "a", None: "b", True: "c", 2.5: "d"}, '{"7":"a","null":"b","true":"c","2.5":"d"}'),
    ({Word.YES: 1, Color.RED: 2}, '{"yes":1,"red":2}'),
    ({ID: 1, np.int64(4): 2}, f'{{"{ID}":1,"4":2}}'),
    (np.str_("a"), '"a"'),
    (2**64, "18446744073709551616"),
]


def test_table_is_exercised_row_by_row() -> None:
    """Each row of the documented table has its examples here."""
    assert jsontext.__doc__ is not None
    _, table, _ = re.split(r"^=+  =+$", jsontext.__doc__, flags=re.MULTILINE, maxsplit=2)
    assert [re.split(r"\s{2,}", row)[0] for row in table.strip().splitlines()] == list(ROWS)


@pytest.mark.parametrize(("value", "form"), FORMS + KIN)
def test_form(value: Any, form: str) -> None:
    """A value that JSON does not know has its one documented form."""
    assert dumps(value) == form.encode()


@pytest.mark.parametrize(("value", "form"), FORMS + KIN)
def test_form_inside(value: Any, form: str) -> None:
    """The form is the same at any depth, and on the slow path."""
    assert dumps({"a": [value]}) == f'{{"a":[{form}]}}'.encode()
    assert dumps([value, LONE_SURROGATE]) == f'[{form},"\\ud800"]'.encode()


@modest
@given(values)
@example([2**63, 2**64, -(2**63), -(2**63) - 1, 10**400])
@example({"\ud800": "\udfff\ud800", "\0": "\x7f"})
@example([-0.0, 5e-324, 1.7976931348623157e308])
def test_what_goes_in_comes_out(value: Any) -> None:
    """Any JSON value survives being written and read, to the type and the last bit."""
    assert repr(loads(dumps(value))) == repr(value)


@modest
@given(values)
def test_standard_library_reads_the_same(value: Any) -> None:
    """What is written is JSON to the standard library too, in UTF-8 without white space."""
    text = dumps(value).decode()
    assert repr(json.loads(text)) == repr(value)
    assert not re.search(r"\s", re.sub(r'"(?:[^"\\]|\\.)*"', "", text, flags=re.DOTALL))


@modest
@given(values, st.sampled_from([None, 1]))
def test_reads_what_the_standard_library_writes(value: Any, indent: int | None) -> None:
    """What the standard library writes is read, be it bytes or a string, spaced or not."""
    text = json.dumps(value, indent=indent)
    assert repr(loads(text)) == repr(loads(text.encode())) == repr(value)


@modest
@given(st.binary() | values.map(dumps).flatmap(lambda text: st.just(text[:-1])))
@example(b"")
@example(b"\xff")
@example(b'"\xed\xa0\x80"')
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
@example(b"1" * 5000)
@example(b"\x00\x00\xfe\xff\x00")
@example(b"\xff\xfe1")
def test_no_bytes_crash_the_reader(text: bytes) -> None:
    """Bytes are read or refused with a ValueError, whatever they are."""
    with contextlib.suppress(ValueError):
        loads(text)


@modest
@given(texts)
@example("[" * 100_000)
@example("\ufeff1")
def test_no_string_crashes_the_reader(text: str) -> None:
    """Strings are read or refused with a ValueError, whatever they are."""
    with contextlib.suppress(ValueError):
        loads(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[NaN,Infinity,-Infinity]", [math.nan, math.inf, -math.inf]),
        ('"\\ud800"', "\ud800"),
        ("18446744073709551615", 2**64 - 1),
        ("18446744073709551616", 2**64),
        (" \n18446744073709551616", 2**64),
        ("-9223372036854775808", -(2**63)),
        ("-9223372036854775809", -(2**63) - 1),
        ('{"a":[0,  123456789012345678901234567890]}', {"a": [0, 123456789012345678901234567890]}),
        ("[0.0012345678901234567890123,1e3]", [0.0012345678901234567890123, 1000.0]),
        ('"12345678901234567890123"', "12345678901234567890123"),
        ("1e400", math.inf),
    ],
)
def test_slow_path_reads_what_orjson_does_not(text: str, value: Any) -> None:
    """NaN, lone surrogates and integers over 64 bits are read as they are."""
    assert repr(loads(text)) == repr(loads(text.encode())) == repr(value)


@modest
@given(st.lists(st.integers(min_value=-(10**25), max_value=10**25), max_size=3))
def test_no_integer_is_rounded(integers: list[int]) -> None:
    """An integer stays one, wherever it stands and however many digits it has."""
    text = " : , ".join(map(str, integers))
    for document in (f"[{', '.join(map(str, integers))}]", json.dumps({text: integers}), text):
        if document != text or len(integers) == 1:
            assert repr(loads(document)) == repr(json.loads(document))


def test_deep_nesting_is_read() -> None:
    """Nesting that no schema has, but a test may, is read and written."""
    value: Any = 1
    for _ in range(200):
        value = [{"a": value}]
    assert loads(dumps(value)) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{bad", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b"", "Expecting value: line 1 column 1 (char 0)"),
        (b"[1] 2", "Extra data: line 1 column 5 (char 4)"),
        (b'"\xff"', "it is not UTF-8: invalid start byte at byte 1"),
        (b"[" * 100_000, "it is nested too deeply"),
    ],
)
def test_refusal_says_what_and_where(text: bytes, message: str) -> None:
    """The error of broken JSON says what is wrong and where, and hides how it was found out."""
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        loads(text)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (object(), "object"),
        (1j, "complex"),
        (np.complex64(1), "complex"),
        (Point, "type"),
        (Pair, "type"),
        (len, "builtin_function_or_method"),
    ],
)
def test_value_without_a_form_is_refused(value: Any, name: str) -> None:
    """A value without a JSON form is refused by the name of its type."""
    for holder in (value, [{"a": value}], [value, LONE_SURROGATE]):
        with pytest.raises(TypeError, match=rf"^{name} has no JSON form$"):
            dumps(holder)


def test_key_without_a_form_is_refused() -> None:
    """A key that is no string and has no form as one is refused by the name of its type."""
    with pytest.raises(TypeError, match=r"^tuple cannot be the key of a JSON object$"):
        dumps({(1, 2): 3})


def test_value_that_contains_itself_is_refused() -> None:
    """A circle is refused with a ValueError, and not with a RecursionError."""
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(
        ValueError, match=r"^it is nested too deeply, or contains itself$"
    ) as caught:
        dumps(circle)
    assert caught.value.__cause__ is None


def test_integer_of_too_many_digits_is_refused() -> None:
    """An integer of more digits than Python writes is refused with Python's own words."""
    with pytest.raises(ValueError, match="Exceeds the limit"):
        dumps(10**5000)
