"""Examples: values of schemas, judged by jsonschema."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from aioenv.service.examples import NoExample, example_of

NODE = {
    "$defs": {
        "Node": {
            "type": "object",
            "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}},
            "required": ["next"],
        },
        "Branch": {
            "type": "object",
            "properties": {"twigs": {"type": "array", "items": {"$ref": "#/$defs/Branch"}}},
        },
        "Ring": {
            "type": "object",
            "properties": {"ring": {"$ref": "#/$defs/Ring"}},
            "required": ["ring"],
        },
    }
}


@pytest.mark.parametrize(
    ("schema", "example"),
    [
        ({}, None),
        (True, None),
        ({"type": "null"}, None),
        ({"type": "boolean"}, False),
        ({"type": ["integer", "null"]}, 0),
        ({"type": "string"}, "text"),
        ({"type": "string", "minLength": 6}, "textte"),
        ({"type": "string", "maxLength": 2}, "te"),
        ({"type": "string", "pattern": "^t"}, "text"),
        ({"type": "string", "format": "date"}, "2026-01-31"),
        ({"type": "string", "contentEncoding": "base64"}, "aGVsbG8="),
        ({"type": "integer", "minimum": 3}, 3),
        ({"type": "integer", "minimum": 2.5}, 3),
        ({"type": "integer", "exclusiveMinimum": 3}, 4),
        ({"type": "integer", "exclusiveMinimum": 2.5}, 3),
        ({"type": "integer", "maximum": -2}, -2),
        ({"type": "integer", "exclusiveMaximum": 0}, -1),
        ({"type": "number"}, 0.0),
        ({"type": "number", "exclusiveMinimum": 0}, 1.0),
        ({"type": "number", "exclusiveMaximum": 0}, -1.0),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, 0.5),
        ({"type": "number", "minimum": 2, "maximum": 2}, 2.0),
        ({"const": 5}, 5),
        ({"enum": ["a", "b"]}, "a"),
        ({"type": "string", "default": "b"}, "b"),
        ({"type": "string", "default": "b", "examples": ["c"]}, "c"),
        ({"type": "array", "items": {"type": "integer"}}, [0]),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [0, 0]),
        ({"type": "array", "items": {"type": "integer"}, "maxItems": 0}, []),
        ({"type": "array", "prefixItems": [{"type": "integer"}], "items": False}, [0]),
        ({"type": "array"}, []),
        ({"type": "object", "minProperties": 1, "additionalProperties": True}, {"key0": None}),
        ({"allOf": [{"type": "integer"}, {"minimum": 7}]}, 7),
        ({"oneOf": [{"type": "string", "pattern": "^[0-9]$"}, {"type": "integer"}]}, 0),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "string", "pattern": "^[0-9]$"}, "b": {"const": 1}},
            },
            {"b": 1},
        ),
    ],
    ids=repr,
)
def test_example_is_the_plainest_value(schema: Any, example: Any) -> None:
    """It is what the author names, else the plainest within the bounds; jsonschema agrees."""
    assert example_of(schema, {}) == example
    Draft202012Validator(schema).validate(example)


@pytest.mark.parametrize("name", ["Node", "Branch"])
def test_what_contains_itself_ends(name: str) -> None:
    """As soon as it may."""
    schema = {**NODE, "$ref": f"#/$defs/{name}"}
    Draft202012Validator(schema).validate(example_of(schema, schema))


@pytest.mark.parametrize(
    "schema",
    [
        {**NODE, "$ref": "#/$defs/Ring"},
        {"type": "string", "pattern": "^[0-9]$"},
        {"anyOf": [{"type": "string", "pattern": "^[0-9]$"}]},
        {"type": "array", "items": {"type": "string", "pattern": "^[0-9]$"}, "minItems": 1},
    ],
    ids=repr,
)
def test_there_may_be_no_example(schema: Any) -> None:
    """Where a value would be without end, or have to match a pattern."""
    with pytest.raises(NoExample):
        example_of(schema, schema)
