"""Flat models: the short cut gives what the converter gives, or leaves it to the converter."""

import functools
import json
from typing import Annotated, Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioenv import (
    AioEnvError,
    Contract,
    InvalidRequest,
    Observation,
    State,
    StepResult,
    make_converter,
    make_reader,
)
from aioenv.flat import (
    _is_made_by_stores,
    make_flat_reader,
    make_result_reader,
    make_step_reader,
)
from aioenv.messages import read_reply, read_request
from echo_env import EchoAction, EchoObservation

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


@attrs.define
class Free:
    """A model of fields that may hold anything of their kind."""

    number: int | float
    items: list[Any]
    anything: dict[str, Any]


@attrs.define
class Nested:
    """A model that is not flat."""

    singles: list[Single]


@attrs.define
class Bare(Observation):
    """A model whose ``__init__`` only stores."""

    text: str
    number: float | None
    anything: dict[str, Any]
    count: int = 1


LEFT: Any = object()  # what stands for "this is for the converter"
SHARED = {"done": False, "reward": None, "metadata": {}}


def leave(_: Any) -> Any:
    """Stand in for the converter."""
    return LEFT


@pytest.mark.parametrize("cls", [Flat, Bare, Single])
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


# How an instance is made

RAN: list[object] = []  # what the author's own code was called for


class Meta(type):
    """Takes part in the making of its classes' instances."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        RAN.append(cls)
        return super().__call__(*args, **kwargs)


def note(self: Any, *_: Any) -> None:
    """Stand for whatever an author does while an instance is made."""
    RAN.append(self)


def with_wrapped_init() -> type:
    """Return a model whose ``__init__`` something has wrapped since."""
    cls = attrs.make_class("Model", {"text": attrs.field(type=str)})
    plain = cls.__init__

    @functools.wraps(plain)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        note(self)
        plain(self, *args, **kwargs)

    cls.__init__ = init  # type: ignore[misc]
    return cls


@attrs.define
class WithInit:
    """An author's own ``__init__``."""

    text: str

    def __init__(self, text: str) -> None:
        note(self)
        self.text = text


@attrs.define(init=False)
class WithInheritedInit(WithInit):
    """An ``__init__`` of its base's."""


@attrs.define
class WithGeneratedInit:
    """What attrs writes for it checks its field."""

    text: str = attrs.field(validator=note)


@attrs.define(init=False)
class WithTheInitOfItsBase(WithGeneratedInit):
    """A class for which attrs writes none, and whose field has no validator any more."""

    text: str


class UndecoratedWithInit(Single):
    """The same, in a class that attrs has not seen."""

    def __init__(self, text: str) -> None:
        note(self)
        super().__init__(text)


@attrs.define
class WithNew:
    """An author's own ``__new__``."""

    text: str

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        note(cls)
        return super().__new__(cls)


@attrs.define
class WithSetattr:
    """An author's own ``__setattr__``."""

    text: str

    def __setattr__(self, name: str, value: Any) -> None:
        note(self)
        object.__setattr__(self, name, value)


@attrs.define
class WithPre:
    """A call before the fields are stored."""

    text: str

    def __attrs_pre_init__(self) -> None:
        note(self)


@attrs.define
class WithPost:
    """A call after the fields are stored."""

    text: str

    def __attrs_post_init__(self) -> None:
        note(self)


@attrs.define(slots=False)
class WithMeta(metaclass=Meta):
    """A metaclass that takes part."""

    text: str


@attrs.define(on_setattr=attrs.setters.NO_OP)
class WithValidator:
    """A validator, which is heard when an instance is made and not later."""

    text: str = attrs.field(validator=note)


@pytest.mark.parametrize(
    "cls",
    [
        WithInit,
        WithInheritedInit,
        WithTheInitOfItsBase,
        UndecoratedWithInit,
        WithNew,
        WithSetattr,
        WithPre,
        WithPost,
        WithMeta,
        WithValidator,
        with_wrapped_init(),
    ],
)
def test_authors_code_runs(cls: Any) -> None:
    """Whatever an author has run while an instance is made runs on the short cut, too."""
    RAN.clear()
    expected = cls("a")
    times, _ = len(RAN), RAN.clear()
    read = make_flat_reader(cls, leave)({"text": "a"})
    assert read == expected
    assert len(RAN) == times > 0


@attrs.frozen
class Frozen:
    """A model that does not change."""

    text: str


@attrs.define(unsafe_hash=True, cache_hash=True)
class Cached:
    """A model that keeps its hash."""

    text: str


@attrs.define(slots=False)
class Open:
    """A model whose instances have a ``__dict__``."""

    text: str


class Undecorated(Single):
    """A class that attrs has not seen."""


@pytest.mark.parametrize("cls", [Single, Frozen, Cached, Open, Undecorated])
def test_made_alike(cls: Any) -> None:
    """What is made by the short cut is what a call of the class makes."""
    read, made = make_flat_reader(cls, leave)({"text": "a"}), cls("a")
    assert read == made
    assert type(read) is type(made)
    assert getattr(read, "__dict__", None) == getattr(made, "__dict__", None)
    assert cls.__hash__ is None or hash(read) == hash(made)


@pytest.mark.parametrize("cls", [Bare, Single, EchoAction, EchoObservation, StepResult])
def test_plain_models_are_only_stored(cls: Any) -> None:
    """The common models cost no call; a later attrs that is not recognised would be seen here."""
    assert _is_made_by_stores(cls)


@pytest.mark.parametrize("union", [float | int, int | float, float | int | None])
def test_an_integer_is_never_rounded(union: Any) -> None:
    """Where a float and an integer will do, an integer stays one, on either way to read it."""
    cls = attrs.make_class("Model", {"number": attrs.field(type=union)})
    for value in (2**53 + 1, 7, 0.5):
        for read in (make_flat_reader(cls, leave), make_reader(cls)):
            number = read({"number": value}).number
            assert number == value
            assert type(number) is type(value)


# Whole frames

BIG = [2**63, 2**64 - 1, 2**64 + 1, 2**70 + 1, -(2**63), -(2**63) - 1, -(2**70) - 1, 10**400]
NUMBERS = st.sampled_from(BIG) | st.integers(-3, 3) | st.floats(allow_nan=False)
VALUES = st.recursive(
    NUMBERS | st.none() | st.booleans() | st.text(max_size=2),
    lambda values: (
        st.lists(values, max_size=2) | st.dictionaries(st.text(max_size=1), values, max_size=2)
    ),
    max_leaves=4,
)
OBJECTS = st.dictionaries(st.text(max_size=2), VALUES, max_size=2)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_step_frame_agrees(data: st.DataObject) -> None:
    """A step's frame is read as the messages and the converter read it, or left to them."""
    cls = data.draw(st.sampled_from([Free, Single]))
    fields = {"number": NUMBERS, "items": st.lists(VALUES, max_size=2), "anything": OBJECTS}
    value = data.draw(
        st.fixed_dictionaries({"text": st.text()} if cls is Single else fields) | OBJECTS | VALUES
    )
    kind = data.draw(st.sampled_from(["step", "step", "reset", None]))
    frame = json.dumps({"type": kind, "data": value, **data.draw(st.just({}) | OBJECTS)}).encode()
    short = make_step_reader(cls)(frame)
    if short is not None:
        long = Contract(cls, Flat).read_action(read_request(frame)[1])
        assert repr(short) == repr(long)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_result_frame_agrees(data: st.DataObject) -> None:
    """A reply's frame is read as the messages and the converter read it, or left to them."""
    cls = data.draw(st.sampled_from([Flat, Bare]))
    own = {"text": st.text(), "number": NUMBERS | st.none(), "anything": OBJECTS}
    observation = data.draw(
        st.fixed_dictionaries(
            {**own, "count": st.integers(-1, 3)}, optional={"metadata": OBJECTS, "done": VALUES}
        )
        | OBJECTS
    )
    beside = {"reward": NUMBERS | st.none(), "done": st.booleans() | VALUES, "metadata": VALUES}
    payload = data.draw(st.fixed_dictionaries({}, optional=beside)) | {"observation": observation}
    kind = data.draw(st.sampled_from(["observation", "observation", "state"]))
    frame = json.dumps({"type": kind, "data": payload}).encode()
    short = make_result_reader(cls)(frame)
    if short is not None:
        long = Contract(Single, cls).read_result(read_reply(frame, "observation"))
        assert repr(short) == repr(long)


@settings(max_examples=100, deadline=None)
@given(
    st.builds(
        Flat,
        st.text(),
        st.none() | st.floats(),
        OBJECTS,
        st.integers(0),
        done=st.booleans(),
        reward=st.none() | st.floats(),
        metadata=OBJECTS,
    )
)
def test_frames_are_written_alike(observation: Flat) -> None:
    """A frame that is written as a whole is what the writer of any class makes of it."""
    contract = Contract(Single, Flat)
    try:
        expected: object = contract._write_result(observation)
    except AioEnvError as error:
        expected = str(error)
    try:
        written: object = contract.write_observation(observation)
    except AioEnvError as error:
        written = str(error)
    assert written == expected


@given(st.text(), st.none() | st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 9))
def test_frames_take_the_short_cut(text: str, number: float | None, count: int) -> None:
    """The frames of flat models are recognised, as they are written."""
    contract = Contract(Single, Flat)
    assert contract.recognise_step(contract.write_step(Single(text))) == Single(text)
    metadata = {"count": count, "number": number, "items": [text]}
    observation = Flat(text, number, {}, count, reward=number, metadata=metadata)
    result = contract.recognise_result(contract.write_observation(observation))
    assert result is not None
    assert result.observation == observation
    assert (result.reward, result.done, result.metadata) == (number, False, metadata)


@pytest.mark.parametrize("value", BIG, ids=[f"{value.bit_length()}-{value > 0}" for value in BIG])
def test_no_integer_is_rounded(value: int) -> None:
    """Free-form fields keep integers of any size, at any depth."""
    contract = Contract(Free, Flat)
    for free in ({"a": value}, {"a": {"b": [value]}}):
        frame = json.dumps({"type": "step", "data": {"number": 1, "items": [], "anything": free}})
        read = contract.recognise_step(frame.encode())
        assert read is None or read.anything == free


def test_no_integer_beside_the_observation_is_rounded() -> None:
    """Metadata stand twice in a reply; those beside the observation are looked at, too."""
    observation = {"text": "", "number": None, "anything": {}, "count": 0, "metadata": {}}
    data = {"observation": observation, "reward": None, "done": False, "metadata": {"n": 2**70 + 1}}
    frame = json.dumps({"type": "observation", "data": data}).encode()
    result = Contract(Single, Flat).recognise_result(frame)
    assert result is None or result.metadata == {"n": 2**70 + 1}
    data["metadata"] = {"n": 7}
    frame = json.dumps({"type": "observation", "data": data}).encode()
    result = Contract(Single, Flat).recognise_result(frame)
    assert result is not None
    assert result.metadata == {"n": 7}


def test_what_is_not_flat_has_no_frame_of_its_own() -> None:
    """Frames of models that are not flat are left to the messages and the converter."""
    contract = Contract(Nested, Flat)
    frame = contract.write_step(Nested([Single("a")]))
    assert json.loads(frame) == {"type": "step", "data": {"singles": [{"text": "a"}]}}
    assert contract.recognise_step(frame) is None


def test_subclasses_are_written_whole() -> None:
    """An instance of a subclass is not taken for one of its base."""

    @attrs.define
    class More(Flat):
        more: int = 0

    written = json.loads(Contract(Single, Flat).write_observation(More("a", None, {})))
    assert written["data"]["observation"]["text"] == "a"
