"""The converter: what each type takes and gives, what it refuses, and how it says so."""

import datetime
import enum
import pathlib
import uuid
from collections import OrderedDict, abc, deque
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import (
    Annotated,
    Any,
    Final,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    TypedDict,
    TypeVar,
)

import attrs
import pytest
from attrs import define, field, frozen

from aioenv import InvalidRequest, State, dumps, loads, make_converter, make_reader, make_writer

T = TypeVar("T")
UserId = NewType("UserId", int)
ID = uuid.UUID("12345678-1234-5678-1234-567812345678")
UTC = datetime.UTC


class Color(enum.Enum):
    """An enumeration of values of several types."""

    RED = "red"
    ONE = 1


class Word(enum.StrEnum):
    """An enumeration whose members are strings themselves."""

    YES = "yes"
    NO = "no"


class Level(enum.IntEnum):
    """An enumeration whose members are integers themselves."""

    LOW = 1


class Tuples(enum.Enum):
    """An enumeration whose values are no JSON scalars."""

    PAIR = (1, 2)


class Name(str):
    """A string of a class of its own."""

    __slots__ = ()


@frozen
class Card:
    """A nested model."""

    rank: int
    suit: str = "♠"


@define
class Box(Generic[T]):
    """A generic model."""

    content: T


@define
class Match(State):
    """A state with a field of its own."""

    score: int = 0


@define
class GenericMatch(State, Generic[T]):
    """A generic state."""

    score: T | None = None


@dataclass
class Plain:
    """A dataclass."""

    x: int


class Row(NamedTuple):
    """A named tuple."""

    x: int


class Options(TypedDict):
    """A typed dict."""

    x: int


def model(annotation: Any, **options: Any) -> type[Any]:
    """Make a model with one field, `x`."""
    return attrs.make_class("Model", {"x": field(type=annotation, **options)})


def faults_of(cls: type[Any], value: Any) -> list[tuple[list[Any], str, str]]:
    """Return where, of which kind and in which words a reader refuses a value."""
    with pytest.raises(InvalidRequest) as caught:
        make_reader(cls)(value)
    assert caught.value.code == "VALIDATION_ERROR"
    assert caught.value.summary == f"this is not a valid {cls.__name__}"
    assert all(set(fault) == {"type", "loc", "msg", "input"} for fault in caught.value.errors)
    return [(fault["loc"], fault["type"], fault["msg"]) for fault in caught.value.errors]


# Annotation, what stands on the wire, the value that it is read as.
TAKEN: list[tuple[Any, Any, Any]] = [
    (str, "a\ud800", "a\ud800"),
    (int, 10**400, 10**400),
    (float, 1.5, 1.5),
    (float, 2, 2.0),
    (bool, True, True),
    (type(None), None, None),
    (Any, [{"a": None}], [{"a": None}]),
    (object, "x", "x"),
    (bytes, "aGk=", b"hi"),
    (datetime.datetime, "2026-05-04T03:00:00+00:00", datetime.datetime(2026, 5, 4, 3, tzinfo=UTC)),
    (datetime.datetime, "2026-05-04T03:02:01", datetime.datetime(2026, 5, 4, 3, 2, 1)),
    (datetime.date, "2026-05-04", datetime.date(2026, 5, 4)),
    (datetime.time, "03:02:01", datetime.time(3, 2, 1)),
    (uuid.UUID, str(ID), ID),
    (pathlib.Path, "a/b", pathlib.Path("a/b")),
    (Color, "red", Color.RED),
    (Color, 1, Color.ONE),
    (Word, "yes", Word.YES),
    (Level, 1, Level.LOW),
    (Literal["a", 1, None], 1, 1),
    (Literal["a", 1, None], None, None),
    (Literal[Color.RED, Level.LOW], "red", Color.RED),
    (UserId, 7, 7),
    (Annotated[int, "a note"], 7, 7),
    (Final[int], 7, 7),
    (list, [1, "a"], [1, "a"]),
    (list[Any], [1, "a"], [1, "a"]),
    (list[int], [1], [1]),
    (list[list[Card]], [[{"rank": 1, "suit": "x"}]], [[Card(1, "x")]]),
    (tuple, [1, "a"], (1, "a")),
    (tuple[()], [], ()),
    (tuple[int, str], [1, "a"], (1, "a")),
    (tuple[int, ...], [1, 2], (1, 2)),
    (set[int], [1], {1}),
    (set, [1], {1}),
    (frozenset[Card], [{"rank": 1, "suit": "x"}], frozenset({Card(1, "x")})),
    (abc.Sequence[int], [1], (1,)),
    (abc.Set[int], [1], frozenset({1})),
    (dict, {"a": [1]}, {"a": [1]}),
    (dict[str, Any], {"a": [1]}, {"a": [1]}),
    (dict[str, int], {"a": 1}, {"a": 1}),
    (dict[Word, int], {"yes": 1}, {Word.YES: 1}),
    (dict[uuid.UUID, Any], {str(ID): 1}, {ID: 1}),
    (abc.Mapping[str, Card], {"a": {"rank": 1, "suit": "x"}}, {"a": Card(1, "x")}),
    (abc.MutableMapping[str, Any], {"a": 1}, {"a": 1}),
    (int | None, None, None),
    (int | str | None, "a", "a"),
    (int | str | None, None, None),
    (Card | Word, {"rank": 1, "suit": "x"}, Card(1, "x")),
    (Card | Word, "no", Word.NO),
    (list[int] | dict[str, int], {"a": 1}, {"a": 1}),
    (Card, {"rank": 1, "suit": "x"}, Card(1, "x")),
    (Box[int], {"content": 1}, Box(1)),
    (Match, {"left": [1], "episode_id": "e", "step_count": 2, "score": 3},
     Match(episode_id="e", step_count=2, score=3, extra={"left": [1]})),
    (GenericMatch[int], {"left": 1, "episode_id": None, "step_count": 0, "score": 3},
     GenericMatch(score=3, extra={"left": 1})),
]  # fmt: skip


@pytest.mark.parametrize(("annotation", "wire", "value"), TAKEN, ids=repr)
def test_takes(annotation: Any, wire: Any, value: Any) -> None:
    """A field takes its own type from the wire, and gives it back the same."""
    cls = model(annotation)
    instance = make_reader(cls)({"x": wire})
    assert instance.x == value
    assert type(instance.x) is type(value)
    assert loads(dumps(make_writer(cls)(instance))) == {"x": wire}


# Annotation, what stands on the wire; path, kind and words of the fault.
REFUSED: list[tuple[Any, Any, list[Any], str, str]] = [
    (str, 3, [], "string_type", "expected string, got int"),
    (str, None, [], "string_type", "expected string, got none"),
    (int, "3", [], "int_type", "expected int, got string"),
    (int, 1.0, [], "int_type", "expected int, got float"),
    (int, True, [], "int_type", "expected int, got bool"),
    (float, True, [], "float_type", "expected float, got bool"),
    (float, "1", [], "float_type", "expected float, got string"),
    (float, 10**400, [], "value_error", "int too large to convert to float"),
    (bool, 1, [], "bool_type", "expected bool, got int"),
    (type(None), 0, [], "none_type", "expected none, got int"),
    (bytes, 3, [], "string_type", "expected string, got int"),
    (bytes, "a", [], "bytes_parsing", "not base64: Invalid base64-encoded string: number of data "
     "characters (1) cannot be 1 more than a multiple of 4"),
    (bytes, "!!!!", [], "bytes_parsing", "not base64: Only base64 data is allowed"),
    (bytes, "é", [], "bytes_parsing", "string argument should contain only ASCII characters"),
    (datetime.datetime, "noon", [], "datetime_parsing", "Invalid isoformat string: 'noon'"),
    (datetime.date, "2026-02-30", [], "date_parsing", "day is out of range for month"),
    (datetime.time, 3, [], "string_type", "expected string, got int"),
    (uuid.UUID, "x", [], "UUID_parsing", "badly formed hexadecimal UUID string"),
    (Color, "blue", [], "enum", "expected one of 'red', 1"),
    (Color, True, [], "enum", "expected one of 'red', 1"),
    (Color, 1.0, [], "enum", "expected one of 'red', 1"),
    (Color, ["red"], [], "enum", "expected one of 'red', 1"),
    (Word, "maybe", [], "enum", "expected one of 'yes', 'no'"),
    (Level, 2, [], "enum", "expected one of 1"),
    (Literal["a", 1], True, [], "literal_error", "expected one of 'a', 1"),
    (Literal[Color.RED], "RED", [], "literal_error", "expected one of 'red'"),
    (list, "ab", [], "list_type", "expected list, got string"),
    (list[str], "ab", [], "list_type", "expected list, got string"),
    (list[str], {"a": 1}, [], "list_type", "expected list, got dict"),
    (list[int], [1, "a"], [1], "int_type", "expected int, got string"),
    (tuple, "ab", [], "list_type", "expected list, got string"),
    (tuple[str, str], "ab", [], "list_type", "expected list, got string"),
    (tuple[str, ...], "ab", [], "list_type", "expected list, got string"),
    (tuple[int, str], [1], [], "tuple_length", "expected 2 items, got 1"),
    (tuple[int, str], [1, 2], [1], "string_type", "expected string, got int"),
    (tuple[()], [1], [], "tuple_length", "expected 0 items, got 1"),
    (set[str], "ab", [], "list_type", "expected list, got string"),
    (set[Any], [[]], [], "value_error", "unhashable type: 'list'"),
    (abc.Sequence[str], "ab", [], "list_type", "expected list, got string"),
    (dict, [], [], "dict_type", "expected dict, got list"),
    (dict[str, Any], [["a", 1]], [], "dict_type", "expected dict, got list"),
    (dict[str, int], [["a", 1]], [], "dict_type", "expected dict, got list"),
    (dict[str, int], {"a": "b"}, ["a"], "int_type", "expected int, got string"),
    (dict[Word, int], {"maybe": 1}, ["maybe"], "enum", "expected one of 'yes', 'no'"),
    (int | None, "a", [], "int_type", "expected int, got string"),
    (int | Card | None, "a", [], "union_error", "expected int or Card"),
    (list[Card] | None, [{"rank": "a"}], [0, "rank"], "int_type", "expected int, got string"),
    (Card, [], [], "dict_type", "expected dict, got list"),
    (Card, {}, ["rank"], "missing", "this field is required"),
    (Card, {"rank": 1, "z": 2}, ["z"], "extra_forbidden", "this field is unknown"),
    (Box[int], {"content": "a"}, ["content"], "int_type", "expected int, got string"),
    (Match, [], [], "dict_type", "expected dict, got list"),
    (Match, {"score": "a", "z": 1}, ["score"], "int_type", "expected int, got string"),
]  # fmt: skip


@pytest.mark.parametrize(("annotation", "wire", "path", "kind", "words"), REFUSED, ids=repr)
def test_refuses(annotation: Any, wire: Any, path: list[Any], kind: str, words: str) -> None:
    """A field takes nothing but its type, and the fault says where, of which kind and why."""
    assert faults_of(model(annotation), {"x": wire}) == [(["x", *path], kind, words)]


@pytest.mark.parametrize("value", [None, 3, "x", [], [["message", "x"]]], ids=repr)
def test_takes_objects_only(value: Any) -> None:
    """What is no object is no model."""
    ((path, kind, words),) = faults_of(Card, value)
    assert (path, kind) == ([], "dict_type")
    assert words.startswith("expected dict, got ")


def test_attrs_converter_sees_what_the_field_takes() -> None:
    """A field's attrs converter comes after the check of its type."""
    cls = model(int, converter=lambda value: value + 1)
    assert make_reader(cls)({"x": 1}).x == 2
    assert faults_of(cls, {"x": "1"}) == [(["x"], "int_type", "expected int, got string")]


@pytest.mark.parametrize("field_of", [list, set, tuple], ids=lambda cls: cls.__name__)
def test_types_are_checked_in_every_model(field_of: Any) -> None:
    """The second model with a field of some type is as strict as the first."""
    for _ in range(2):
        assert faults_of(
            model(field_of[str, ...] if field_of is tuple else field_of[str]), {"x": "ab"}
        )
        assert faults_of(model(tuple[str, str]), {"x": "ab"})[0][1] == "list_type"
        assert faults_of(model(dict[str, str]), {"x": []})[0][1] == "dict_type"


WITHOUT_A_FORM: list[tuple[Any, str]] = [
    (Decimal, "Decimal"),
    (complex, "complex"),
    (Name, "Name"),
    (Plain, "Plain"),
    (Row, "Row"),
    (Options, "Options"),
    (Tuples, "Tuples"),
    (deque[int], "collections.deque[int]"),
    (OrderedDict[str, int], "collections.OrderedDict[str, int]"),
    (Callable[[], int], "collections.abc.Callable[[], int]"),
    (Literal[b"x"], "typing.Literal[b'x']"),
    (list[Decimal], "Decimal"),
    (Decimal | None, "Decimal"),
    (Box[Decimal], "Decimal"),
]


@pytest.mark.parametrize(("annotation", "name"), WITHOUT_A_FORM, ids=repr)
def test_type_without_a_form_is_refused(annotation: Any, name: str) -> None:
    """A model with a field that has no JSON form is refused at once, and told what may be."""
    with pytest.raises(TypeError) as caught:
        make_reader(model(annotation))
    assert str(caught.value) == (
        f"a field of type {name} has no JSON form; it may be None, a bool, int, float, str, bytes, "
        "date, time, UUID, Path, enum, Literal, attrs class, Any, or a list, tuple, set, dict "
        "(with keys that are strings) or union of these"
    )


@pytest.mark.parametrize(
    ("annotation", "name"), [(dict[int, str], "int"), (dict[Level, str], "Level")], ids=repr
)
def test_keys_are_strings(annotation: Any, name: str) -> None:
    """A dict whose keys are no strings on the wire is refused at once."""
    words = f"the keys of a JSON object are strings, which {name} is not"
    with pytest.raises(TypeError, match=words):
        make_reader(model(annotation))


@pytest.mark.parametrize("cls", [int, dict, Plain, Box[int], Card(1)], ids=repr)
def test_reads_attrs_classes_only(cls: Any) -> None:
    """What is no attrs class is refused, and told what to do."""
    with pytest.raises(TypeError) as caught:
        make_reader(cls)
    assert str(caught.value) == f"{cls!r} is not an attrs class; decorate it with attrs.define"


def test_state_keeps_what_it_does_not_declare() -> None:
    """A state's unknown fields, also one named `extra`, travel through a class without them."""
    wire = {"episode_id": "e", "step_count": 1, "extra": {"a": 1}, "score": [2]}
    for value in (wire, {"episode_id": None, "step_count": 0, "extra": {"a": 1}}):
        state = make_reader(State)(value)
        assert state.extra == {name: value[name] for name in ("extra", "score") if name in value}
        assert make_writer(State)(state) == value


def test_state_prefers_its_own_fields() -> None:
    """A declared field wins over one of the same name in `extra`."""
    state = State(step_count=3, extra={"step_count": 7, "a": 1})
    assert make_writer(State)(state) == {"episode_id": None, "step_count": 3, "a": 1}


def test_writer_may_leave_fields_out() -> None:
    """Fields that stand elsewhere on the wire are left out."""
    assert make_writer(Card, omit=frozenset({"suit"}))(Card(3)) == {"rank": 3}


def test_writer_writes_the_form_of_the_declared_class() -> None:
    """Nested models are written inside unions, sets and free-form fields alike."""
    cls = attrs.make_class("Many", ["a", "b", "c"], frozen=False)
    for name, annotation in {"a": Card | int, "b": set[Card], "c": Any}.items():
        getattr(attrs.fields(cls), name)
        one = model(annotation)
        value = {Card(1)} if name == "b" else Card(1)
        wire = {"rank": 1, "suit": "♠"}
        assert loads(dumps(make_writer(one)(one(value)))) == {"x": [wire] if name == "b" else wire}


def test_free_form_values_are_not_copied() -> None:
    """A dict or list of anything is the very object that was read."""
    payload = {"a": [1]}
    assert make_reader(model(dict[str, Any]))({"x": payload}).x is payload
    assert make_reader(model(list[Any]))({"x": payload["a"]}).x is payload["a"]


def test_converter_is_for_others_too() -> None:
    """The project's converter is an ordinary cattrs one with these rules."""
    converter = make_converter()
    assert converter.structure([{"rank": 1}], list[Card]) == [Card(1)]
    assert converter.unstructure(Card(1)) == {"rank": 1, "suit": "♠"}
    with pytest.raises(Exception, match="while reading Card"):
        converter.structure({"rank": "1"}, Card)
    with pytest.raises(ValueError, match=r"^expected int, got string$"):
        make_converter(detailed=False).structure({"rank": "1"}, Card)
