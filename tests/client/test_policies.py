"""Random actions: whatever is drawn fits its schema, and what cannot be drawn is said at once."""

import enum
import random
import uuid
from datetime import datetime
from typing import Any, Literal

import pytest
from attrs import define, field
from attrs.validators import ge, in_, instance_of, le, max_len, min_len, optional
from jsonschema import Draft202012Validator

from aioenv import StepResult
from aioenv.client import CannotDraw, Episode, RandomPolicy, random_action
from aioenv.client.sampling import make_sampler
from aioenv.converter import make_reader
from aioenv.schema import action_schema

TREE = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}},
        "other": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]},
    },
    "required": ["name", "children", "other"],
}

DRAWABLE: dict[str, Any] = {
    "anything": True,
    "nothing said": {},
    "null": {"type": "null"},
    "boolean": {"type": "boolean"},
    "text": {"type": "string"},
    "text of one length": {"type": "string", "minLength": 40, "maxLength": 40},
    "short text": {"minLength": 1, "maxLength": 2},
    "empty text": {"type": "string", "maxLength": 0},
    "uuid": {"type": "string", "format": "uuid"},
    "moment": {"type": "string", "format": "date-time"},
    "bytes": {"type": "string", "contentEncoding": "base64"},
    "integer": {"type": "integer"},
    "small integer": {"type": "integer", "minimum": -1, "maximum": 1},
    "open integer": {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5},
    "integer between fractions": {"type": "integer", "minimum": 0.5, "maximum": 1.5},
    "integer from": {"type": "integer", "minimum": 10**20},
    "integer up to": {"type": "integer", "maximum": -(10**20)},
    "multiple": {"type": "integer", "multipleOf": 7, "minimum": 1, "maximum": 20},
    "number": {"type": "number"},
    "share": {"type": "number", "minimum": 0, "maximum": 1},
    "open share": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    "one number": {"minimum": 2.5, "maximum": 2.5},
    "any number": {"type": "number", "minimum": -1.7e308, "maximum": 1.7e308},
    "halves": {"type": "number", "multipleOf": 0.5, "minimum": 0.2, "maximum": 2},
    "all of multiples": {"allOf": [{"multipleOf": 0.5}, {"multipleOf": 1}, {"multipleOf": 3}]},
    "all of fractions": {"allOf": [{"multipleOf": 0.5}, {"multipleOf": 0.75}], "type": "number"},
    "choice": {"enum": ["up", "down", None, 3, [1], {"a": 1}]},
    "choice of a type": {"type": "string", "enum": ["up", 3]},
    "constant": {"const": {"x": [1, None]}},
    "types": {"type": ["integer", "null"], "minimum": 5},
    "list": {"type": "array", "items": {"type": "boolean"}},
    "list of anything": {"type": "array", "minItems": 9},
    "tuple": {
        "type": "array",
        "prefixItems": [{"type": "string"}, {"type": "integer"}],
        "items": False,
        "minItems": 2,
        "maxItems": 2,
    },
    "set": {"type": "array", "items": {"enum": [1, 2, 3]}, "uniqueItems": True, "maxItems": 3},
    "set of digits": {
        "items": {"type": "integer", "minimum": 0, "maximum": 9},
        "uniqueItems": True,
        "minItems": 3,
    },
    "set of three of four": {"items": {"enum": list("abcd")}, "uniqueItems": True, "minItems": 3},
    "set of all": {
        "items": {"type": "integer", "minimum": 1, "maximum": 20},
        "uniqueItems": True,
        "minItems": 20,
    },
    "set of flags": {"items": {"type": "boolean"}, "uniqueItems": True, "minItems": 2},
    "set of alternatives": {
        "items": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
        "uniqueItems": True,
        "minItems": 3,
    },
    "set after first items": {
        "prefixItems": [{"enum": [1, 2, 3]}, {"enum": [1, 2]}, {"const": 1}],
        "items": {"type": "string"},
        "uniqueItems": True,
        "minItems": 3,
    },
    "object": {
        "type": "object",
        "properties": {"x": {"type": "integer"}, "y": {"type": "string"}},
        "required": ["x"],
        "additionalProperties": False,
    },
    "object of anything": {"type": "object", "required": ["a", "b"]},
    "object of numbers": {"required": ["a"], "additionalProperties": {"type": "number"}},
    "hopeless option": {
        "type": "object",
        "properties": {"x": {"type": "string", "pattern": "^a+$"}},
    },
    "patterns of other names": {
        "properties": {"a": {"type": "null"}, "x1": True},
        "required": ["a"],
        "patternProperties": {"^x": {"type": "integer"}},
        "additionalProperties": False,
    },
    "names of a pattern": {
        "properties": {"ab": {"type": "null"}, "x": True, "abc": True},
        "required": ["ab"],
        "propertyNames": {"pattern": "^a"},
        "allOf": [{"propertyNames": {"maxLength": 2}}],
    },
    "names of a reference": {
        "properties": {"a": True, "b": True},
        "propertyNames": {"$ref": "#/$defs/name"},
        "$defs": {"name": {"enum": ["a"]}},
    },
    "alternatives": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
    "one of": {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "null"}}]},
    "one hopeless": {"anyOf": [{"type": "string", "pattern": "a"}, {"type": "integer"}]},
    "alternatives and bound": {"anyOf": [{"type": "integer"}, {"type": "null"}], "minimum": 9},
    "alternatives twice": {
        "anyOf": [{"minimum": 1}, {"type": "null"}],
        "allOf": [{"anyOf": [{"type": "integer", "maximum": 9}, {"type": "null"}]}],
    },
    "all of": {"allOf": [{"type": "number", "minimum": 1}, {"type": "integer", "maximum": 2}]},
    "all of objects": {
        "allOf": [
            {"properties": {"x": {"type": "integer"}}, "required": ["x"]},
            {"properties": {"x": {"minimum": 5}, "y": True}, "required": ["y"]},
        ]
    },
    "all of lists": {
        "allOf": [
            {"type": "array", "items": {"type": "number", "multipleOf": 2}, "maxItems": 3},
            {"items": {"type": "integer", "multipleOf": 3}, "minItems": 1},
            {"items": {"minimum": 0}, "uniqueItems": False},
            {"uniqueItems": True},
        ]
    },
    "all of closed objects": {
        "properties": {"x": {"type": "null"}},
        "required": ["x"],
        "additionalProperties": {"type": "number"},
        "allOf": [
            True,
            {"properties": {"x": {}, "y": {"maximum": 5}}, "additionalProperties": False},
            {"additionalProperties": {"minimum": 1}},
            {"properties": {"y": True, "z": {}}},
        ],
    },
    "choice within bounds": {"enum": [1, 5, 9, 9.5, "5"], "minimum": 5, "exclusiveMaximum": 9.5},
    "choice of multiples": {"enum": [1, 4, 6], "multipleOf": 2, "exclusiveMinimum": 4},
    "choice of a length": {"enum": ["a", "bb", "ccc"], "minLength": 2, "maxLength": 2},
    "choice of a pattern": {"enum": ["a", "bb"], "pattern": "^b+$", "minLength": 1},
    "choice of flags": {"enum": [True, 0, None], "minimum": 3},
    "choice of lists": {"enum": [[1], {"a": 1}, 3], "items": {"type": "string"}, "required": ["b"]},
    "const in parts": {"allOf": [{"enum": ["a", "b"]}, {"pattern": "b"}]},
    "format of a length": {"contentEncoding": "base64", "minLength": 4, "maxLength": 8},
    "email of a length": {"type": "string", "format": "email", "minLength": 19},
    "few options": {
        "type": "object",
        "properties": {name: {"type": "integer"} for name in "abcdef"},
        "required": ["a"],
        "maxProperties": 2,
    },
    "choices of both": {"enum": [1, 2, 3, True], "allOf": [{"enum": [1, 3]}]},
    "reference": {"$ref": "#/$defs/a~1b%20c", "$defs": {"a/b c": {"type": "integer"}}},
    "reference and bound": {
        "properties": {"x": {"$ref": "#/$defs/n", "minimum": 7, "title": "X"}},
        "required": ["x"],
        "$defs": {"n": {"type": "integer", "maximum": 8}},
    },
    "tree": {"$ref": "#/$defs/tree", "$defs": {"tree": TREE}},
}

HOPELESS: list[tuple[Any, str]] = [
    (False, r"\$: no value is allowed"),
    ({"type": "string", "pattern": "a"}, r"\$: its 'pattern' is not known here"),
    ({"type": "thing"}, r"\$: there is no type 'thing'"),
    ({"properties": {"a": {"not": {}}}, "required": ["a"]}, r"\$\.a: its 'not'"),
    ({"type": "array", "items": {"if": {}}, "minItems": 1}, r"\$\[0\]: its 'if'"),
    ({"type": "array", "minItems": 2, "maxItems": 1}, "'minItems' is above its 'maxItems'"),
    ({"type": "string", "minLength": 2, "maxLength": 1}, "'minLength' is above 'maxLength'"),
    ({"type": "integer", "minimum": 2, "maximum": 1}, "no integer lies within"),
    ({"type": "integer", "multipleOf": 0.5}, "not known here"),
    ({"type": "number", "exclusiveMinimum": 1, "maximum": 1}, "no number lies within"),
    ({"type": "object", "minProperties": 1}, "'minProperties'"),
    (
        {"required": ["x1"], "patternProperties": {"^x": {"type": "integer"}}},
        r"\$\.x1: 'patternProperties', which its name fits, is not known here",
    ),
    (
        {"allOf": [{"patternProperties": {"a": {}}}, {"patternProperties": {"b": {}}}]},
        "'patternProperties' is demanded twice",
    ),
    (
        {"required": ["bc"], "propertyNames": {"maxLength": 1}},
        r"\$\.bc: its name does not fit 'propertyNames': no value is allowed",
    ),
    ({"required": ["a"], "propertyNames": False}, r"\$\.a: its name does not fit"),
    ({"enum": [1], "type": "string"}, "no value is allowed"),
    ({"enum": [1, 2], "minimum": 3}, "no value is allowed"),
    ({"enum": ["a"], "pattern": "b"}, "no value is allowed"),
    ({"enum": ["a"], "pattern": "("}, "not valid, or not known here"),
    ({"enum": [1, 2], "not": {"const": 2}}, "its 'not' is not known here"),
    ({"const": [1], "minItems": 2}, "no value is allowed"),
    ({"allOf": [{"enum": ["a"], "pattern": "a"}, {"pattern": "b"}]}, "'pattern' is demanded twice"),
    ({"type": "string", "format": "email", "maxLength": 5}, "format and its length"),
    ({"required": ["a", "b"], "maxProperties": 1}, "'maxProperties'"),
    ({"allOf": [{"type": "string"}, {"type": "null"}]}, "nothing is of type"),
    ({"allOf": [{"type": "null"}, False]}, "no value is allowed"),
    (
        {"properties": {"x": {}}, "required": ["x"], "allOf": [{"additionalProperties": False}]},
        r"\$\.x: no value is allowed",
    ),
    ({"allOf": [{"format": "date"}, {"format": "uuid"}]}, "'format' is demanded twice"),
    (
        {"allOf": [{"prefixItems": [True]}, {"items": {"type": "null"}}]},
        "'prefixItems' and 'items' are demanded apart",
    ),
    ({"type": "integer", "minimum": "3"}, "not valid, or not known here"),
    ({"type": "object", "properties": [1]}, "not valid, or not known here"),
    ({"type": "number", "multipleOf": 0, "minimum": 1}, "not valid, or not known here"),
    ({"anyOf": []}, "no alternative"),
    ({"$ref": "#/nowhere"}, "leads nowhere"),
    ({"$ref": "other.json"}, "leads out of the schema"),
    (
        {
            "properties": {"x": {"$ref": "#foo"}},
            "required": ["x"],
            "$defs": {"foo": {"$anchor": "foo", "type": "integer"}},
        },
        r"\$\.x: the reference '#foo' is no JSON pointer",
    ),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, "without end"),
    ({"type": "array", "items": {"const": 1}, "minItems": 2, "uniqueItems": True}, "too few"),
    ({"prefixItems": [{"const": 1}] * 2, "minItems": 2, "uniqueItems": True}, "too few"),
    (
        {"properties": {"me": {"$ref": "#"}}, "required": ["me"]},
        "without end",
    ),
    ({"properties": {"a": 3}, "required": ["a"]}, "3 is no schema"),
]


class Turn(enum.Enum):
    """A choice."""

    LEFT = "left"
    RIGHT = "right"


@define
class Place:
    """A nested model that contains itself."""

    x: float = field(validator=[ge(0), le(1)])
    near: "list[Place]" = field(validator=max_len(3))
    beyond: "Place | None" = None


@define
class Elaborate:
    """An action with everything."""

    turn: Turn
    count: int = field(validator=[ge(1), le(6)])
    name: str = field(validator=[min_len(1), max_len(8)])
    place: Place
    maybe: int | None = field(validator=optional(ge(3)))
    level: str = field(validator=in_(["low", "high"]))
    mode: Literal["a", 1] = "a"
    when: datetime | None = None
    key: uuid.UUID | None = None
    blob: bytes = b""
    pair: tuple[int, str] = (0, "")
    flags: dict[str, bool] = field(factory=dict)
    free: Any = field(default=None, validator=instance_of(object))


def drawn(schema: Any, count: int = 100) -> list[Any]:
    """Draw many values of a schema."""
    draw, rng = make_sampler(schema), random.Random(1)
    return [draw(rng) for _ in range(count)]


@pytest.mark.parametrize("name", DRAWABLE)
def test_draws_fit_their_schema(name: str) -> None:
    """Whatever is drawn is valid."""
    validator = Draft202012Validator(DRAWABLE[name])
    for value in drawn(DRAWABLE[name]):
        validator.validate(value)


@pytest.mark.parametrize(("schema", "reason"), HOPELESS)
def test_hopeless_schema_is_refused_at_once(schema: Any, reason: str) -> None:
    """A schema that demands the impossible or the unknown is refused before anything is drawn."""
    with pytest.raises(CannotDraw, match=reason):
        make_sampler(schema)


def test_draws_fit_our_own_models() -> None:
    """Actions drawn from the schema of a model are taken by its reader, and differ."""
    policy, read = RandomPolicy(action_schema(Elaborate)), make_reader(Elaborate)
    result: StepResult[Any] = StepResult({})
    actions = [policy(result, Episode(i, 1, i, random.Random(i))) for i in range(200)]
    read_back = [read(action) for action in actions]
    assert {action.turn for action in read_back} == set(Turn)
    assert {action.count for action in read_back} == set(range(1, 7))
    assert any(action.place.near for action in read_back)
    assert {None, *range(3, 10)} & {action.maybe for action in read_back} != {None}
    assert any("blob" in action for action in actions)
    assert not all("blob" in action for action in actions)
    assert not any("metadata" in action for action in actions)


def test_alternatives_all_occur() -> None:
    """Each alternative, optional property and length of a list is drawn now and then."""
    assert {type(value) for value in drawn(DRAWABLE["alternatives"])} == {str, int}
    assert {tuple(value) for value in drawn(DRAWABLE["object"])} == {("x",), ("x", "y")}
    assert {len(value) for value in drawn(DRAWABLE["list"])} == set(range(5))


def test_sets_have_every_length() -> None:
    """A list of different items is as long as a list may be, as far as there are values for it."""
    assert {len(value) for value in drawn(DRAWABLE["set"])} == set(range(4))
    assert {len(value) for value in drawn(DRAWABLE["set of three of four"])} == {3, 4}
    assert {len(value) for value in drawn(DRAWABLE["set of flags"])} == {2}


def test_multiples_are_as_decimal_numbers_say() -> None:
    """A multiple of a decimal fraction is the float that is written with its digits."""
    tenths = {"type": "number", "multipleOf": 0.1, "minimum": 0, "maximum": 0.7}
    assert set(drawn(tenths)) == {0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7}
    assert set(drawn({"enum": [0.3, 0.35], "multipleOf": 0.1})) == {0.3}
    assert set(drawn({"allOf": [{"multipleOf": 0.1}, tenths, {"multipleOf": 0.3}]})) == {
        0.0,
        0.3,
        0.6,
    }


def test_random_action_depends_on_its_rng() -> None:
    """The same random numbers give the same action."""
    schema = action_schema(Elaborate)
    first, again = (random_action(schema, random.Random(5)) for _ in range(2))
    assert first == again
    assert first != random_action(schema, random.Random(6))


def test_action_is_an_object() -> None:
    """A schema of anything but an object is no schema of an action."""
    with pytest.raises(CannotDraw, match="an action is an object"):
        RandomPolicy({"type": "string"})
    with pytest.raises(CannotDraw, match="an action is an object"):
        random_action({"type": "string"}, random.Random(1))
