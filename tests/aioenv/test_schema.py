"""The JSON Schema of the models: each type, each validator, each of the three models."""

import datetime
import enum
import math
import pathlib
import uuid
from collections import abc
from decimal import Decimal
from typing import Annotated, Any, Final, Generic, Literal, NewType, Self, TypeVar

import attrs
import pytest
from attrs import define, field, frozen, validators
from jsonschema import Draft202012Validator

from aioenv import Contract, InvalidRequest, Observation, State, make_reader
from aioenv.schema import action_schema, json_schema, observation_schema, state_schema

T = TypeVar("T")
UserId = NewType("UserId", int)
DIALECT = "https://json-schema.org/draft/2020-12/schema"


class Color(enum.Enum):
    """An enumeration of values of several types."""

    RED = "red"
    ONE = 1


class Word(enum.StrEnum):
    """An enumeration of strings."""

    YES = "yes"
    NO = "no"


@frozen
class Card:
    """One card.

    More about it, which is not for the schema.
    """

    rank: int


@define
class Box(Generic[T]):
    """A generic model that contains itself."""

    content: T
    inner: "Box[T] | None" = None


@define
class Node:
    """A node of a tree."""

    children: list["Node"] = field(factory=list)
    twin: Self | None = None


@define
class Größe:
    """A model whose name is no ASCII."""

    value: int


def model(annotation: Any, **options: Any) -> type[Any]:
    """Make a model with one field, `x`."""
    return attrs.make_class("Model", {"x": field(type=annotation, **options)})


def property_of(annotation: Any, **options: Any) -> dict[str, Any]:
    """Return the schema of a field, but for its title."""
    schema: dict[str, Any] = json_schema(model(annotation, **options))["properties"]["x"]
    assert schema.pop("title") == "X"
    return schema


def test_whole_schema() -> None:
    """A model becomes an object with titles, descriptions, defaults and required fields."""

    @define
    class MoveAction:
        """Move a piece.

        The rest of the docstring is for people.
        """

        from_square: str = field(metadata={"description": "Where it stands"})
        steps: int = field(default=1, validator=validators.ge(1))
        path: list[Card] = field(factory=list)
        note: str | None = None

    assert json_schema(MoveAction) == {
        "$schema": DIALECT,
        "title": "MoveAction",
        "description": "Move a piece.",
        "type": "object",
        "properties": {
            "from_square": {
                "title": "From Square",
                "description": "Where it stands",
                "type": "string",
            },
            "steps": {"title": "Steps", "type": "integer", "minimum": 1, "default": 1},
            "path": {
                "title": "Path",
                "type": "array",
                "items": {"$ref": "#/$defs/Card"},
                "default": [],
            },
            "note": {
                "title": "Note",
                "anyOf": [{"type": "string"}, {"type": "null"}],
                "default": None,
            },
        },
        "required": ["from_square"],
        "additionalProperties": False,
        "$defs": {
            "Card": {
                "title": "Card",
                "description": "One card.",
                "type": "object",
                "properties": {"rank": {"title": "Rank", "type": "integer"}},
                "required": ["rank"],
                "additionalProperties": False,
            }
        },
    }


TYPES: list[tuple[Any, dict[str, Any]]] = [
    (str, {"type": "string"}),
    (int, {"type": "integer"}),
    (float, {"type": "number"}),
    (bool, {"type": "boolean"}),
    (type(None), {"type": "null"}),
    (Any, {}),
    (object, {}),
    (None, {}),
    (bytes, {"type": "string", "contentEncoding": "base64"}),
    (datetime.datetime, {"type": "string", "format": "date-time"}),
    (datetime.date, {"type": "string", "format": "date"}),
    (datetime.time, {"type": "string", "format": "time"}),
    (uuid.UUID, {"type": "string", "format": "uuid"}),
    (pathlib.Path, {"type": "string"}),
    (Color, {"enum": ["red", 1]}),
    (Word, {"type": "string", "enum": ["yes", "no"]}),
    (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
    (Literal["a", 1, True, None], {"enum": ["a", 1, True, None]}),
    (Literal[Word.YES], {"type": "string", "enum": ["yes"]}),
    (UserId, {"type": "integer"}),
    (Annotated[int, "a note"], {"type": "integer"}),
    (Final[int], {"type": "integer"}),
    (list, {"type": "array", "items": {}}),
    (list[int], {"type": "array", "items": {"type": "integer"}}),
    (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
    (abc.Sequence[int], {"type": "array", "items": {"type": "integer"}}),
    (set[int], {"type": "array", "items": {"type": "integer"}}),
    (set, {"type": "array", "items": {"type": ["boolean", "null", "number", "string"]}}),
    (tuple[()], {"type": "array", "maxItems": 0}),
    (
        tuple[int, str],
        {
            "type": "array",
            "prefixItems": [{"type": "integer"}, {"type": "string"}],
            "items": False,
            "minItems": 2,
            "maxItems": 2,
        },
    ),
    (dict, {"type": "object", "additionalProperties": True}),
    (dict[str, Any], {"type": "object", "additionalProperties": True}),
    (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
    (abc.Mapping[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
    (
        dict[Word, Any],
        {
            "type": "object",
            "additionalProperties": True,
            "propertyNames": {"type": "string", "enum": ["yes", "no"]},
        },
    ),
    (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
    (int | str, {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
    (Card | None, {"anyOf": [{"$ref": "#/$defs/Card"}, {"type": "null"}]}),
    (Card, {"$ref": "#/$defs/Card"}),
]


@pytest.mark.parametrize(("annotation", "schema"), TYPES)
def test_type(annotation: Any, schema: dict[str, Any]) -> None:
    """A field's type has its schema."""
    assert property_of(annotation) == schema


# Options of a field, its default in the schema, if any.
DEFAULTS: list[tuple[Any, dict[str, Any], dict[str, Any]]] = [
    (int, {"default": 3}, {"default": 3}),
    (int | None, {"default": None}, {"default": None}),
    (Word, {"default": Word.NO}, {"default": "no"}),
    (datetime.date, {"default": datetime.date(2026, 5, 4)}, {"default": "2026-05-04"}),
    (bytes, {"default": b"hi"}, {"default": "aGk="}),
    (tuple[int, ...], {"default": (1, 2)}, {"default": [1, 2]}),
    (Card, {"default": Card(3)}, {"default": {"rank": 3}}),
    (list[int], {"factory": list}, {"default": []}),
    (set[int], {"factory": set}, {"default": []}),
    (dict[str, int], {"factory": dict}, {"default": {}}),
    (list[int], {"factory": lambda: [1]}, {}),
    (int, {"default": attrs.Factory(lambda self: 1, takes_self=True)}, {}),
    (float, {"default": math.inf}, {}),
    (Any, {"default": object()}, {}),
    (int, {"default": "3", "converter": int}, {}),
]


@pytest.mark.parametrize(("annotation", "options", "default"), DEFAULTS)
def test_default(annotation: Any, options: dict[str, Any], default: dict[str, Any]) -> None:
    """A field with a default is not required, and shows the default where it has a JSON form."""
    schema = json_schema(model(annotation, **options))
    assert "required" not in schema
    assert {k: v for k, v in schema["properties"]["x"].items() if k == "default"} == default


def test_attrs_converter_hides_validators() -> None:
    """What a validator demands of a converted value is not demanded of the value sent."""
    assert property_of(int, converter=abs, validator=validators.ge(0)) == {"type": "integer"}


def test_names_are_those_of_the_wire() -> None:
    """Private and aliased fields go by their attribute names; those without init are left out."""

    @define
    class Odd:
        _private: int
        renamed_one: int = field(alias="other")
        derived: int = field(init=False, default=1)

    schema = json_schema(Odd)
    titles = {name: part["title"] for name, part in schema["properties"].items()}
    assert titles == {"_private": "Private", "renamed_one": "Renamed One"}
    assert schema["required"] == ["_private", "renamed_one"]


def test_class_without_docstring_has_no_description() -> None:
    """Nothing is said where nothing is written, and the docstring of a base is not borrowed."""

    @define
    class Bare(Observation):
        pass

    assert "description" not in json_schema(Bare)


def test_model_that_contains_itself() -> None:
    """A recursive model refers to its own definition, which the root repeats."""
    schema = json_schema(Node)
    assert schema["properties"]["children"]["items"] == {"$ref": "#/$defs/Node"}
    assert schema["properties"]["twin"]["anyOf"] == [{"$ref": "#/$defs/Node"}, {"type": "null"}]
    assert schema["$defs"]["Node"] == {
        key: value for key, value in schema.items() if key not in ("$schema", "$defs")
    }
    check = Draft202012Validator(schema)
    assert check.is_valid({"children": [{"twin": {"children": []}}]})
    assert not check.is_valid({"children": [{"twin": {"children": [3]}}]})


def test_generic_models_have_a_definition_for_each_use() -> None:
    """A generic model is defined once for each type that fills it in."""

    @define
    class Both:
        one: Box[int]
        two: Box[str]
        three: Box[int]

    schema = json_schema(Both)
    references = {name: part["$ref"] for name, part in schema["properties"].items()}
    assert references == {"one": "#/$defs/Box", "two": "#/$defs/Box2", "three": "#/$defs/Box"}
    assert schema["$defs"]["Box"]["properties"]["content"]["type"] == "integer"
    assert schema["$defs"]["Box"]["properties"]["inner"]["anyOf"][0] == {"$ref": "#/$defs/Box"}
    assert schema["$defs"]["Box2"]["properties"]["content"]["type"] == "string"


def test_models_of_the_same_name_are_told_apart() -> None:
    """Two classes of one name have a definition each, and a name that is no ASCII is quoted."""
    first, second = model(int), model(str)
    schema = json_schema(model(tuple[first, second, Größe]))
    assert schema["properties"]["x"]["prefixItems"] == [
        {"$ref": "#/$defs/Model"},
        {"$ref": "#/$defs/Model2"},
        {"$ref": "#/$defs/Gr%C3%B6%C3%9Fe"},
    ]
    assert list(schema["$defs"]) == ["Model", "Model2", "Größe"]
    check = Draft202012Validator(schema)
    assert check.is_valid({"x": [{"x": 1}, {"x": "a"}, {"value": 1}]})
    assert not check.is_valid({"x": [{"x": 1}, {"x": "a"}, {"value": "a"}]})


@pytest.mark.parametrize("make", [json_schema, action_schema, observation_schema, state_schema])
def test_what_cannot_be_read_has_no_schema(make: Any) -> None:
    """A class that has no reader has no schema, for the same reason."""
    with pytest.raises(TypeError, match=r"^a field of type Decimal has no JSON form"):
        make(model(Decimal))
    with pytest.raises(
        TypeError, match=r"int'> is not an attrs class; decorate it with attrs.define$"
    ):
        make(int)


def test_action_may_carry_metadata() -> None:
    """An action's schema allows the wire's metadata, unless the class has such a field itself."""
    schema = action_schema(Card)
    assert list(schema["properties"]) == ["rank", "metadata"]
    assert schema["required"] == ["rank"]
    own = attrs.make_class("Own", {"metadata": field(type=int)})
    assert action_schema(own)["properties"]["metadata"] == {"title": "Metadata", "type": "integer"}


@pytest.mark.parametrize(
    ("value", "valid"),
    [
        ({"rank": 1}, True),
        ({"rank": 1, "metadata": {"a": [None]}}, True),
        ({"rank": 1, "metadata": []}, False),
        ({"rank": 1, "other": {}}, False),
    ],
)
def test_action_schema_says_what_the_service_does(value: Any, valid: bool) -> None:
    """The published schema of an action agrees with how a contract reads it."""
    contract = Contract(Card, Observation, State)
    assert Draft202012Validator(contract.schemas()["action"]).is_valid(value) is valid
    if valid:
        assert contract.read_action(dict(value)) == Card(1)
    else:
        with pytest.raises(InvalidRequest):
            contract.read_action(dict(value))


def test_examples_take_their_json_form() -> None:
    """What an author gives as examples stands in the schema as it would cross the wire."""

    class Suit(enum.Enum):
        HEARTS = "hearts"

    @define
    class Card:
        suit: Suit = field(metadata={"examples": [Suit.HEARTS]})
        face: bytes = field(metadata={"examples": (b"hello",)})
        plain: int = field(metadata={"examples": []})

    properties = json_schema(Card)["properties"]
    assert properties["suit"]["examples"] == ["hearts"]
    assert properties["face"]["examples"] == ["aGVsbG8="]
    assert "examples" not in properties["plain"]


def test_observation_has_reward_and_end() -> None:
    """An observation's schema has the shared fields beside its own, all described."""

    @define
    class Board(Observation):
        cells: list[int]

    schema = observation_schema(Board)
    assert set(schema["properties"]) == {"cells", "done", "reward", "metadata"}
    assert schema["required"] == ["cells"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["reward"] == {
        "title": "Reward",
        "description": "Reward of the last action",
        "examples": [1.0],
        "anyOf": [{"type": "number"}, {"type": "null"}],
        "default": None,
    }


def test_state_allows_further_fields() -> None:
    """A state's schema allows what its class does not declare, and is silent about `extra`."""

    @define
    class Match(State):
        score: int = 0

    schema = state_schema(Match)
    assert set(schema["properties"]) == {"episode_id", "step_count", "score"}
    assert schema["additionalProperties"] is True
    check = Draft202012Validator(schema)
    for value in ({"score": 1, "extra": 3, "z": []}, {"score": "a"}):
        read = make_reader(Match)
        if check.is_valid(value):
            assert read(value).extra == {"extra": 3, "z": []}
        else:
            with pytest.raises(InvalidRequest, match=r"\$\.score: expected int, got string$"):
                read(value)


def test_schemas_are_the_callers_own() -> None:
    """A schema may be changed without changing the next one."""
    action_schema(Card)["properties"].clear()
    json_schema(Card)["properties"]["rank"]["type"] = "string"
    assert json_schema(Card)["properties"] == {"rank": {"title": "Rank", "type": "integer"}}
