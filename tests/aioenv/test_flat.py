"""Flat models: the short cut gives what the converter gives, or leaves it to the converter."""

from typing import Annotated, Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioenv import InvalidRequest, Observation, State, make_converter, make_reader
from aioenv.flat import make_flat_reader

FIELDS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.floats(allow_nan=False),
    st.text(max_size=2),
    st.lists(st.integers(), max_size=1),
    st.dictionaries(st.text(max_size=1), st.integers(), max_size=1),
)
CONVERTER = make_converter(detailed=False)


@attrs.define
class Flat(Observation):
    """A model of plain fields."""

    text: str
    number: float | None
    anything: dict[str, Any]
    count: int = attrs.field(default=1, validator=attrs.validators.ge(0))


@attrs.define
class Single:
    """A model of one plain field."""

    text: str


LEFT: Any = object()  # what stands for "this is for the converter"
SHARED = {"done": False, "reward": None, "metadata": {}}


def leave(_: Any) -> Any:
    """Stand in for the converter."""
    return LEFT


@pytest.mark.parametrize("cls", [Flat, Single])
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_short_cut_agrees(cls: type[Any], data: st.DataObject) -> None:
    """What the short cut reads is what the converter reads; it reads nothing that is refused."""
    names = [*attrs.fields_dict(cls), "other"]
    value = data.draw(st.dictionaries(st.sampled_from(names), FIELDS) | FIELDS)
    short = make_flat_reader(cls, leave)(value)
    if short is not LEFT:
        assert repr(short) == repr(CONVERTER.structure(value, cls))


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=3), st.none() | st.floats(allow_nan=False), st.integers(0, 9))
def test_short_cut_is_taken(text: str, number: float | None, count: int) -> None:
    """An object with every field, each of its own type, is read by the short cut."""
    value = {"text": text, "number": number, "anything": {}, "count": count, **SHARED}
    assert make_flat_reader(Flat, leave)(value) == Flat(text, number, {}, count)
    assert make_flat_reader(Single, leave)({"text": text}) == Single(text)


def test_validators_are_heard() -> None:
    """What a validator refuses on the short cut is told like any other fault."""
    value = {"text": "", "number": None, "anything": {}, "count": -1, **SHARED}
    with pytest.raises(InvalidRequest) as caught:
        make_reader(Flat)(value)
    assert str(caught.value) == "this is not a valid Flat: $.count: 'count' must be >= 0: -1"
    assert str(caught.value.__cause__) == "'count' must be >= 0: -1"


@pytest.mark.parametrize(
    "field",
    [
        attrs.field(type=list[int]),
        attrs.field(type=int, init=False),
        attrs.field(type=int, alias="other"),
        attrs.field(type=int, converter=abs),
        attrs.field(type=Annotated[int, []]),  # cannot be hashed
        attrs.field(),
    ],
)
def test_what_is_not_flat_is_left(field: Any) -> None:
    """A model with a field that is not plain has no short cut."""
    assert make_flat_reader(attrs.make_class("Model", {"x": field}), leave) is leave


def test_model_of_many_shapes_takes_the_short_cut() -> None:
    """A model whose fields may combine in very many ways is read without the converter."""
    fields = {f"field_{index}": attrs.field(type=int | str | None) for index in range(6)}
    cls = attrs.make_class("Model", fields)
    assert make_flat_reader(cls, leave)(dict.fromkeys(fields, 1)) == cls(*[1] * 6)
    assert make_reader(cls)(dict.fromkeys(fields, 1)) == cls(*[1] * 6)


def test_state_takes_no_short_cut() -> None:
    """A field of the wire that is called `extra` is one more undeclared field of a state."""
    value = {"episode_id": None, "step_count": 0, "extra": {"a": 1}}
    assert make_reader(State)(value).extra == {"extra": {"a": 1}}
