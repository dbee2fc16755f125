"""What holds for models of every kind: the round trip, exact paths, a truthful schema."""

import contextlib
import dataclasses
import datetime
import enum
import functools
import math
import operator
import pathlib
import uuid
from random import Random
from typing import Any, Literal, NamedTuple

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from aioenv import InvalidRequest, dumps, loads, make_reader, make_writer
from aioenv.schema import json_schema

modest = settings(max_examples=200, deadline=None)


class Color(enum.Enum):
    """An enumeration of values of several types."""

    RED = "red"
    ONE = 1


class Word(enum.StrEnum):
    """An enumeration whose members are strings themselves."""

    YES = "yes"
    NO = "no"


@attrs.define
class Tree:
    """A model that contains itself."""

    leaf: int | None = None
    left: "Tree | None" = None
    branches: list["Tree"] = attrs.field(factory=list)


@dataclasses.dataclass(frozen=True)
class Kind:
    """A type that a field may have, the values that it holds, and its kind of JSON value."""

    annotation: Any
    values: st.SearchStrategy[Any]
    json: str

    def __repr__(self) -> str:
        return repr(self.annotation)


texts = st.text(st.characters(), max_size=5)  # lone surrogates are among them
integers = st.integers(-(2**70), 2**70)
floats = st.floats(allow_nan=False, allow_infinity=False)
zones = st.integers(-23 * 60, 23 * 60).map(
    lambda minutes: datetime.timezone(datetime.timedelta(minutes=minutes))
)
json_values = st.recursive(
    st.none() | st.booleans() | integers | floats | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
trees = st.recursive(
    st.builds(Tree, leaf=st.none() | integers),
    lambda inner: st.builds(Tree, left=st.none() | inner, branches=st.lists(inner, max_size=2)),
    max_leaves=4,
)

SIMPLE = [
    Kind(str, texts, "string"),
    Kind(int, integers, "number"),
    Kind(float, floats, "number"),
    Kind(bool, st.booleans(), "boolean"),
    Kind(type(None), st.none(), "null"),
    Kind(Color, st.sampled_from(Color), "string or number"),
    Kind(Word, st.sampled_from(Word), "string"),
    Kind(Literal["a", 1, True, None], st.sampled_from(["a", 1, True, None]), "any"),
    Kind(Literal["x", "y"], st.sampled_from(["x", "y"]), "string"),
    Kind(set[int], st.sets(integers, max_size=3), "array"),
    Kind(frozenset[Word], st.frozensets(st.sampled_from(Word)), "array"),
    Kind(dict[str, Any], st.dictionaries(texts, json_values, max_size=2), "object"),
    Kind(dict[Word, int], st.dictionaries(st.sampled_from(Word), integers), "object"),
    Kind(list[Any], st.lists(json_values, max_size=2), "array"),
    Kind(Any, json_values, "any"),
    Kind(Tree, trees, "object"),
]
TEXTS = [  # a schema cannot say which strings they take
    Kind(bytes, st.binary(), "string"),
    Kind(datetime.datetime, st.datetimes(timezones=st.none() | zones), "string"),
    Kind(datetime.date, st.dates(), "string"),
    Kind(datetime.time, st.times(timezones=st.none() | zones), "string"),
    Kind(uuid.UUID, st.uuids(), "string"),
    Kind(pathlib.Path, texts.map(pathlib.Path), "string"),
]


def list_of(kind: Kind) -> Kind:
    """Make the list of a kind."""
    return Kind(list[kind.annotation], st.lists(kind.values, max_size=3), "array")


def tuple_of(kind: Kind) -> Kind:
    """Make the tuple of any number of a kind."""
    return Kind(tuple[kind.annotation, ...], st.lists(kind.values, max_size=3).map(tuple), "array")


def dict_of(kind: Kind) -> Kind:
    """Make the dict of a kind."""
    values = st.dictionaries(texts, kind.values, max_size=3)
    return Kind(dict[str, kind.annotation], values, "object")


def optional_of(kind: Kind) -> Kind:
    """Make what is of a kind or null."""
    return Kind(kind.annotation | None, st.none() | kind.values, "any")


def fixed_tuple_of(*kinds: Kind) -> Kind:
    """Make the tuple of one of each kind."""
    values = st.tuples(*(kind.values for kind in kinds))
    return Kind(tuple[tuple(kind.annotation for kind in kinds)], values, "array")


def union_of(*kinds: Kind) -> Kind:
    """Make the union of kinds that JSON tells apart, or a tuple of those that it does not."""
    names = {kind.json for kind in kinds}
    if len(names) < len(kinds) or "any" in names:
        return fixed_tuple_of(*kinds)
    annotation = functools.reduce(operator.or_, (kind.annotation for kind in kinds))
    return Kind(annotation, st.one_of(*(kind.values for kind in kinds)), "any")


def model_of(*kinds: Kind) -> Kind:
    """Make a model with a field of each kind, of which every third is optional."""
    fields: dict[str, Any] = {}
    for index, kind in enumerate(kinds):
        default = "unset" if index % 3 == 2 else attrs.NOTHING
        fields[f"field_{index}"] = attrs.field(type=kind.annotation, default=default, kw_only=True)
    cls = attrs.make_class("Model", fields)
    values = {name: kind.values for name, kind in zip(fields, kinds, strict=True)}
    return Kind(cls, st.builds(cls, **values), "object")


def random_models(count: int, simple: list[Kind]) -> list[Kind]:
    """Make models whose fields are of these kinds and of all that is built from them.

    They are made beforehand: a strategy that makes classes takes minutes.
    """
    random = Random(20260504)
    makers = [list_of, tuple_of, dict_of, optional_of, fixed_tuple_of, union_of, model_of]

    def some_kind(depth: int) -> Kind:
        if depth == 0 or random.random() < 0.3:
            return random.choice(simple)
        make = random.choice(makers)
        many = 1 if make in makers[:4] else random.randint(1, 3)
        return make(*(some_kind(depth - 1) for _ in range(many)))

    return [
        *(model_of(kind) for kind in simple),
        *(model_of(*(some_kind(3) for _ in range(random.randint(0, 4)))) for _ in range(count)),
    ]


MODELS = random_models(60, SIMPLE + TEXTS)
SAYABLE_MODELS = random_models(60, SIMPLE)


@modest
@given(st.sampled_from(MODELS), st.data())
def test_what_goes_in_comes_out(model: Kind, data: st.DataObject) -> None:
    """An instance of any model survives being written and read."""
    instance = data.draw(model.values)
    written = dumps(make_writer(model.annotation)(instance))
    assert make_reader(model.annotation)(loads(written)) == instance


@modest
@given(st.sampled_from(SAYABLE_MODELS), st.data())
def test_schema_says_what_the_reader_does(model: Kind, data: st.DataObject) -> None:
    """A JSON value is valid by a model's schema exactly if the model's reader takes it."""
    value = loads(dumps(make_writer(model.annotation)(data.draw(model.values))))
    value = without_whole_floats(data.draw(st.just(value) | broken(value)))
    try:
        make_reader(model.annotation)(value)
    except InvalidRequest as error:
        faults = error.errors
    else:
        faults = None
    complaints = list(Draft202012Validator(json_schema(model.annotation)).iter_errors(value))
    assert bool(complaints) == bool(faults), (complaints, faults)


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_schema_is_a_schema(model: Kind) -> None:
    """The schema of any model is JSON, and one by the rules of its dialect."""
    schema = json_schema(model.annotation)
    assert loads(dumps(schema)) == schema
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    Draft202012Validator.check_schema(schema)


def without_whole_floats(value: Any) -> Any:
    """Return a value without what JSON Schema cannot tell from an integer."""
    match value:
        case float() if value.is_integer():
            return int(value) % 2**70
        case list():
            return [without_whole_floats(item) for item in value]
        case dict():
            return {name: without_whole_floats(item) for name, item in value.items()}
    return value


@st.composite
def broken(draw: st.DrawFn, value: Any) -> Any:
    """Put any JSON value into the place of any part of one, or take a part away."""
    how = draw(st.sampled_from(["deeper", "deeper", "replace", "remove", "add"]))
    if isinstance(value, dict) and value:
        name = draw(st.sampled_from(list(value)))
        if how == "deeper":
            return {**value, name: draw(broken(value[name]))}
        if how == "remove":
            return {other: item for other, item in value.items() if other != name}
    if isinstance(value, list) and value:
        at = draw(st.integers(0, len(value) - 1))
        if how == "deeper":
            return [*value[:at], draw(broken(value[at])), *value[at + 1 :]]
        if how == "remove":
            return [*value[:at], *value[at + 1 :]]
    if isinstance(value, dict) and how == "add":
        return {**value, draw(texts): draw(json_values)}
    if isinstance(value, list) and how == "add":
        return [*value, draw(json_values)]
    return draw(json_values)


@modest
@given(st.sampled_from(MODELS), json_values)
def test_no_value_crashes_a_reader(model: Kind, value: Any) -> None:
    """A reader takes any value, or refuses it with InvalidRequest and a sentence."""
    with contextlib.suppress(InvalidRequest):
        make_reader(model.annotation)(value)


class Chain(NamedTuple):
    """A type, a value that it takes, one that it does not, and the path to what is wrong there."""

    annotation: Any
    good: Any
    bad: Any
    path: list[Any]


def in_list(chain: Chain, before: int, after: int) -> Chain:
    """Put a chain into a list, between good items."""
    bad = [*[chain.good] * before, chain.bad, *[chain.good] * after]
    return Chain(list[chain.annotation], [chain.good], bad, [before, *chain.path])


def in_tuple(chain: Chain, before: int, after: int) -> Chain:
    """Put a chain into a tuple of integers."""
    annotation = tuple[(*[int] * before, chain.annotation, *[int] * after)]
    good = [*[0] * before, chain.good, *[0] * after]
    bad = [*[0] * before, chain.bad, *[0] * after]
    return Chain(annotation, good, bad, [before, *chain.path])


def in_dict(chain: Chain, key: str) -> Chain:
    """Put a chain into a dict, beside a good item."""
    bad = {"good": chain.good, f"_{key}": chain.bad}
    return Chain(dict[str, chain.annotation], {}, bad, [f"_{key}", *chain.path])


def in_optional(chain: Chain) -> Chain:
    """Make a chain optional, which leaves the path as it is."""
    return chain._replace(annotation=chain.annotation | None, good=None)


def in_model(chain: Chain) -> Chain:
    """Put a chain into a field of a model."""
    cls = attrs.make_class(
        "Model", {"a": attrs.field(type=int), "b": attrs.field(type=chain.annotation)}
    )
    return Chain(cls, {"a": 0, "b": chain.good}, {"a": 0, "b": chain.bad}, ["b", *chain.path])


few = st.integers(0, 2)
chains = st.recursive(
    st.just(Chain(int, 0, "wrong", [])),
    lambda inner: st.one_of(
        st.builds(in_list, inner, few, few),
        st.builds(in_tuple, inner, few, few),
        st.builds(in_dict, inner, texts),
        inner.map(in_optional),
        inner.map(in_model),
    ),
    max_leaves=6,
).map(in_model)


@modest
@given(chains)
def test_fault_has_its_exact_path(chain: Chain) -> None:
    """A single wrong leaf is told once, by its exact path, however deep it lies."""
    read = make_reader(chain.annotation)
    read(chain.good)
    with pytest.raises(InvalidRequest) as caught:
        read(chain.bad)
    fault = {
        "type": "int_type",
        "loc": chain.path,
        "msg": "expected int, got string",
        "input": "wrong",
    }
    assert caught.value.errors == [fault]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_non_finite_number_becomes_null(number: float) -> None:
    """A non-finite number goes out as null, which only an optional field takes back."""
    for annotation, expected in ((float | None, None), (Any, None)):
        cls = attrs.make_class("Model", {"x": attrs.field(type=annotation)})
        assert make_reader(cls)(loads(dumps(make_writer(cls)(cls(number))))).x is expected
    strict = attrs.make_class("Model", {"x": attrs.field(type=float)})
    with pytest.raises(InvalidRequest, match=r"\$\.x: expected float, got none$"):
        make_reader(strict)(loads(dumps(make_writer(strict)(strict(number)))))


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, 1.0),
        (Literal[1], 1.0),
        (Color, 1.0),
        (float, 10**400),
        (datetime.date, "soon"),
        (bytes, "!"),
        (uuid.UUID, "x"),
    ],
    ids=repr,
)
def test_reader_is_stricter_where_a_schema_has_no_words(annotation: Any, value: Any) -> None:
    """The documented exceptions are valid by the schema, and refused by the reader."""
    cls = attrs.make_class("Model", {"x": attrs.field(type=annotation)})
    Draft202012Validator(json_schema(cls)).validate({"x": value})
    with pytest.raises(InvalidRequest):
        make_reader(cls)({"x": value})
