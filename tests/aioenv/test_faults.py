"""The faults of a value: all at once, each with its path and its words."""

from typing import Any

import attrs
import pytest
from attrs import define, field, validators

from aioenv import InvalidRequest, make_reader


@attrs.frozen
class Card:
    """A nested model."""

    rank: int
    suit: str = "♠"


@define
class Node:
    """A model that contains itself."""

    name: str
    following: "Node | None" = None


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


def test_tells_every_fault_at_once() -> None:
    """All faults of a value are told in one sentence, each with its path and its input."""
    cls = attrs.make_class("Hand", {"cards": field(type=list[Card]), "owner": field(type=str)})
    value = {"cards": [{"rank": 1}, {"rank": "2", "suit": 3}, 4], "oner": "x"}
    with pytest.raises(InvalidRequest) as caught:
        make_reader(cls)(value)
    assert str(caught.value) == (
        "this is not a valid Hand: $.cards[1].rank: expected int, got string; "
        "$.cards[1].suit: expected string, got int; $.cards[2]: expected dict, got int; "
        "$.owner: this field is required; $.oner: this field is unknown"
    )
    assert [fault["input"] for fault in caught.value.errors] == ["2", 3, 4, value, "x"]


def test_cause_is_what_the_first_gear_raised() -> None:
    """The error is chained to the exception that stopped the fast reading."""
    with pytest.raises(InvalidRequest) as caught:
        make_reader(Card)({"rank": 1, "suit": 3})
    assert isinstance(caught.value.__cause__, ValueError)
    assert str(caught.value.__cause__) == "expected string, got int"


@define
class Guarded:
    """A model with validators of every kind."""

    count: int = field(default=0, validator=validators.ge(0))
    code: str = field(default="a", validator=[validators.max_len(3), validators.matches_re("a+")])
    choice: str = field(default="k")
    low: int = 0
    high: int = field(default=9)

    @choice.validator
    def _known(self, _: "attrs.Attribute[str]", value: str) -> None:
        assert {"k": True}[value]

    @high.validator
    def _in_order(self, _: "attrs.Attribute[int]", value: int) -> None:
        if value < self.low:
            raise ValueError("it must not be below low")


@pytest.mark.parametrize(
    ("value", "faults"),
    [
        ({"count": -1}, [("count", "'count' must be >= 0: -1")]),
        ({"code": "aaaa"}, [("code", "Length of 'code' must be <= 3: 4")]),
        ({"code": "b"}, [("code", "'code' must match regex 'a+' ('b' doesn't)")]),
        ({"choice": "z"}, [("choice", "'z'")]),
        ({"low": 5, "high": 4}, [("high", "it must not be below low")]),
        (
            {"count": -1, "low": 5, "high": 4},
            [("count", "'count' must be >= 0: -1"), ("high", "it must not be below low")],
        ),
    ],
    ids=repr,
)
def test_validators_faults_have_paths(value: Any, faults: list[tuple[str, str]]) -> None:
    """What a validator refuses is told with the path of its field, for all validators at once."""
    expected = [(["x", 0, name], "value_error", words) for name, words in faults]
    assert faults_of(model(list[Guarded]), {"x": [value]}) == expected


def test_exception_that_is_raised_again_has_its_own_path() -> None:
    """A validator that raises one exception every time is told with the path of each time."""
    unlucky = ValueError("unlucky")

    def refuse(_: Any, __: Any, value: int) -> None:
        if value == 13:
            raise unlucky

    cls = model(dict[str, model(int, validator=refuse)])
    for key in "ab":
        found = faults_of(cls, {"x": {key: {"x": 13}}})
        assert found == [(["x", key, "x"], "value_error", "unlucky")]


def test_fault_of_the_whole_object_has_its_path() -> None:
    """What an attrs class refuses as a whole is told with the path of the object."""

    @define
    class Range:
        low: int
        high: int

        def __attrs_post_init__(self) -> None:
            if self.low > self.high:
                raise ValueError("low is above high")

    found = faults_of(model(Range), {"x": {"low": 2, "high": 1}})
    assert found == [(["x"], "value_error", "low is above high")]


@pytest.mark.parametrize("innermost", [{"name": "a"}, {"name": 3}], ids=["good", "bad"])
def test_nesting_too_deep_is_refused(innermost: dict[str, Any]) -> None:
    """Nesting beyond Python's stack is a fault like any other."""
    value = innermost
    for _ in range(5000):
        value = {"name": "a", "following": value}
    assert faults_of(Node, value) == [([], "value_error", "it is nested too deeply")]


# What is told has a bound


@pytest.mark.parametrize(
    "value",
    ["x" * 2001, ["x"] * 2000, {"x": "y" * 2000}, [["x" * 100] for _ in range(20)]],
    ids=["text", "array", "object", "nested"],
)
def test_a_long_input_is_left_out(value: Any) -> None:
    """A fault tells what is wrong with a long value, and where, without the value."""
    with pytest.raises(InvalidRequest) as caught:
        make_reader(Card)({"rank": value})
    name = {str: "string", list: "list", dict: "dict"}[type(value)]
    message = f"expected int, got {name}"
    assert caught.value.errors == [
        {"type": "int_type", "loc": ["rank"], "msg": message, "input": None}
    ]


@pytest.mark.parametrize("value", ["x" * 2000, ["x"] * 999, {"x": ["y" * 1900]}, None, False])
def test_an_input_of_ordinary_size_is_told(value: Any) -> None:
    """A fault tells the value itself."""
    with pytest.raises(InvalidRequest) as caught:
        make_reader(Card)({"rank": value})
    assert [fault["input"] for fault in caught.value.errors] == [value]


def test_names_and_words_are_cut() -> None:
    """A long name in the path and a message that quotes a long value are told in part."""
    long, words = "b" * 5000, "'x' must match regex 'a' ('"
    fitting = model(str, validator=validators.matches_re("a"))
    assert faults_of(fitting, {"x": long, long: 1}) == [
        (["b" * 2000 + "…"], "extra_forbidden", "this field is unknown")
    ]
    assert faults_of(fitting, {"x": long}) == [
        (["x"], "value_error", words + "b" * (2000 - len(words)) + "…")
    ]


def test_of_very_many_faults_the_first_are_told() -> None:
    """A value that is wrong all over is refused in few words; the last fault says that it was."""
    for count in (50, 51, 10_000):
        found = faults_of(model(list[int]), {"x": ["1"] * count})
        assert found[:50] == [(["x", n], "int_type", "expected int, got string") for n in range(50)]
        more = [([], "too_many_faults", "there are more faults than these")]
        assert found[50:] == (more if count > 50 else [])
