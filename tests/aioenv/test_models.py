"""The models that every environment shares."""

from typing import Any

import attrs
import pytest

from aioenv import Observation, State, StepResult


@attrs.define
class Board(Observation):
    """An observation with a required field."""

    cells: list[int]


@attrs.define
class Match(State):
    """A state with a required field."""

    players: int


def test_observation_has_defaults() -> None:
    """An observation is not done, has no reward and tells nothing more unless it says so."""
    assert Observation() == Observation(done=False, reward=None, metadata={})


def test_state_has_defaults() -> None:
    """A state is that of no episode, before the first step."""
    assert State() == State(episode_id=None, step_count=0, extra={})


@pytest.mark.parametrize(("cls", "field"), [(Observation, "metadata"), (State, "extra")])
def test_dicts_are_not_shared(cls: type[Any], field: str) -> None:
    """Each instance has a dict of its own."""
    assert getattr(cls(), field) is not getattr(cls(), field)


def test_subclass_may_require_fields() -> None:
    """A subclass declares required fields, and takes them by position."""
    assert Board([1], done=True).cells == [1]
    assert Match(2, step_count=7).players == 2
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'cells'"):
        Board()  # type: ignore[call-arg]


@pytest.mark.parametrize("cls", [Observation, State])
def test_shared_fields_are_keyword_only(cls: type[Any]) -> None:
    """The shared fields are given by name alone."""
    with pytest.raises(TypeError, match="takes 1 positional argument but 2 were given"):
        cls(True)


@pytest.mark.parametrize(
    "field", [*attrs.fields(Observation), *attrs.fields(State)], ids=lambda field: field.name
)
def test_shared_fields_are_described(field: "attrs.Attribute[Any]") -> None:
    """Each shared field says what it is, for the published schema."""
    assert field.metadata["description"]


def test_observation_may_be_changed() -> None:
    """An environment may fill in an observation that it has made already."""
    board = Board([])
    board.reward = 1.5
    assert board == Board([], reward=1.5)


def test_step_result_holds_what_the_service_said() -> None:
    """A result has the observation, and its reward, end and metadata once more."""
    result = StepResult(Board([1]), 0.5, True, {"a": 1})
    assert result.observation == Board([1])
    assert (result.reward, result.done, result.metadata) == (0.5, True, {"a": 1})


def test_step_result_has_defaults() -> None:
    """A result without reward and metadata says so."""
    result = StepResult("seen")
    assert (result.reward, result.done, result.metadata) == (None, False, None)
