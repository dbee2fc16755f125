"""What validators demand, as JSON Schema: each kind, and its agreement with the reader."""

import datetime
import math
import re
from typing import Any

import attrs
import pytest
from attrs import field, validators
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from aioenv import InvalidRequest, make_reader
from aioenv.schema import json_schema


def model(annotation: Any, **options: Any) -> type[Any]:
    """Make a model with one field, `x`."""
    return attrs.make_class("Model", {"x": field(type=annotation, **options)})


def property_of(annotation: Any, **options: Any) -> dict[str, Any]:
    """Return the schema of a field."""
    schema: dict[str, Any] = json_schema(model(annotation, **options))["properties"]["x"]
    return schema


# Type, validator, the keywords that it adds.
VALIDATORS: list[tuple[Any, Any, dict[str, Any]]] = [
    (int, validators.ge(1), {"minimum": 1}),
    (int, validators.gt(1), {"exclusiveMinimum": 1}),
    (float, validators.le(1.5), {"maximum": 1.5}),
    (float, validators.lt(1.5), {"exclusiveMaximum": 1.5}),
    (float, validators.le(math.inf), {}),
    (datetime.date, validators.ge(datetime.date(2026, 1, 1)), {}),
    (str, validators.min_len(1), {"minLength": 1}),
    (str, validators.max_len(9), {"maxLength": 9}),
    (list[int], validators.min_len(1), {"minItems": 1}),
    (tuple[int, ...], validators.max_len(9), {"maxItems": 9}),
    (dict[str, int], validators.max_len(9), {"maxProperties": 9}),
    (str | list[int], validators.min_len(1), {"minLength": 1, "minItems": 1}),
    (Any, validators.min_len(1), {"minLength": 1, "minItems": 1, "minProperties": 1}),
    (bytes, validators.max_len(9), {}),
    (set[int], validators.max_len(9), {}),
    (str, validators.matches_re("[a-z]+|b"), {"pattern": "^(?:[a-z]+|b)$"}),
    (str, validators.matches_re("a", func=re.match), {"pattern": "^(?:a)"}),
    (str, validators.matches_re("a", func=re.search), {"pattern": "a"}),
    (str, validators.matches_re("a", flags=re.IGNORECASE), {}),
    (str, validators.matches_re("(?P<name>a)"), {}),
    (str, validators.matches_re(r"a\Z"), {}),
    (str, validators.in_(["b", "a"]), {"enum": ["b", "a"]}),
    (str, validators.in_({"b", "a"}), {"enum": ["a", "b"]}),
    (str, validators.in_({"b": 1, "a": 2}), {"enum": ["b", "a"]}),
    (str, validators.in_("ab"), {}),
    (int, validators.in_(range(3)), {"enum": [0, 1, 2]}),
    (int, validators.in_(range(10**6)), {}),
    (int, validators.in_([(1, 2)]), {}),
    (int, validators.instance_of(int), {}),
    (int, validators.not_(validators.ge(1)), {}),
    (int, lambda *_: None, {}),
    (int, [validators.ge(1), validators.le(2)], {"minimum": 1, "maximum": 2}),
    (int, validators.and_(validators.ge(1), validators.instance_of(int)), {"minimum": 1}),
    (int, [validators.ge(1), validators.ge(2)], {"minimum": 1, "allOf": [{"minimum": 2}]}),
    (
        int,
        [validators.ge(1), validators.ge(2), validators.ge(3)],
        {"minimum": 1, "allOf": [{"minimum": 2}, {"minimum": 3}]},
    ),
    (int | None, validators.optional(validators.ge(1)), {"minimum": 1}),
    (
        str | None,
        validators.optional(validators.in_(["a"])),
        {"allOf": [{"anyOf": [{"type": "null"}, {"enum": ["a"]}]}]},
    ),
    (
        list[str],
        validators.deep_iterable(validators.min_len(1), validators.max_len(2)),
        {"maxItems": 2, "items": {"type": "string", "minLength": 1}},
    ),
    (
        list[list[int]] | None,
        validators.optional(validators.deep_iterable(validators.deep_iterable(validators.ge(0)))),
        {"items": {"items": {"minimum": 0}}},
    ),
    (
        tuple[int, int],
        validators.deep_iterable(validators.ge(0)),
        {"allOf": [{"items": {"minimum": 0}}]},
    ),
    (
        tuple[str, list[int]],
        validators.deep_iterable(validators.min_len(1)),
        {"allOf": [{"items": {"minLength": 1, "minItems": 1, "minProperties": 1}}]},
    ),
    (
        dict[str, int],
        validators.deep_mapping(validators.max_len(3), validators.ge(0), validators.min_len(1)),
        {
            "minProperties": 1,
            "propertyNames": {"maxLength": 3},
            "additionalProperties": {"type": "integer", "minimum": 0},
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize(("annotation", "validator", "keywords"), VALIDATORS)
def test_validator(annotation: Any, validator: Any, keywords: dict[str, Any]) -> None:
    """A validator adds what it demands to the schema of the field's type."""
    schema = property_of(annotation, validator=validator)
    assert schema == {**property_of(annotation), **keywords}
    Draft202012Validator.check_schema(json_schema(model(annotation, validator=validator)))


NUMBERS = st.integers(-5, 5) | st.sampled_from([-0.5, 0.5, 1.5, 2.5])
WORDS = st.text("abc\n1é", max_size=4).filter(lambda word: not word.endswith("\n"))
PARTS = st.none() | st.booleans() | NUMBERS | WORDS
ANYTHING = PARTS | st.lists(PARTS, max_size=3) | st.dictionaries(WORDS, PARTS, max_size=3)
EXACT = [
    (annotation, validator)
    for annotation, validator, keywords in VALIDATORS
    if keywords and annotation is not Any and not {"allOf"} & keywords.keys()
]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(EXACT), ANYTHING)
def test_validators_agree(case: tuple[Any, Any], value: Any) -> None:
    """With the validators that a schema can express, it says what the reader does."""
    annotation, validator = case
    cls = model(annotation, validator=validator)
    valid = Draft202012Validator(json_schema(cls)).is_valid({"x": value})
    try:
        make_reader(cls)({"x": value})
    except InvalidRequest as error:
        refusal = str(error)
    else:
        refusal = ""
    assert valid == (refusal == ""), refusal
