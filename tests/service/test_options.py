"""A reset's options: the schema and the check that a signature makes."""

from collections.abc import Callable
from typing import Any, Literal

import pytest
from attrs import define

from aioenv import InvalidRequest
from aioenv.service.options import ResetOptions


@define
class Board:
    """A nested option."""

    width: int


class Opaque:
    """Something without a JSON form."""


class Resets:
    """What authors declare."""

    def plain(self, seed=None, *, level=3):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """Annotate nothing."""

    def typed(
        self,
        *,
        seed: int | None = None,
        episode_id: str | None = None,
        level: Literal["easy", "hard"],
        board: Board | None = None,
        loose: int = None,  # type: ignore[assignment]  # noqa: RUF013
    ) -> None:
        """Annotate everything."""

    def open(self, *args: int, level: int = 1, **options: Any) -> None:
        """Take anything."""

    def odd(self, *, thing: Opaque | None = None, later: "Unheard" = 7) -> None:  # type: ignore[name-defined]  # noqa: F821
        """Annotate what is nowhere defined."""

    def elsewhere(self, *, thing: "pytest.Unheard") -> None:  # type: ignore[name-defined]
        """Annotate what a module does not have."""

    def opaque(self, *, thing: Opaque | None = None, _private: int = 0) -> None:
        """Annotate what has no JSON form."""

    def nothing(self) -> None:
        """Take nothing."""


def faults(reset: Callable[..., Any] | None, **options: Any) -> set[str]:
    """Return the names of the options that are refused."""
    try:
        ResetOptions(reset).check(options)
    except InvalidRequest as error:
        return {".".join(map(str, fault["loc"])) for fault in error.errors}
    return set()


def test_annotations_become_types() -> None:
    """With defaults, requirements and descriptions of what every reset knows."""
    schema = ResetOptions(Resets.typed).schema()
    assert schema["type"] == "object"
    assert schema["required"] == ["level"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["level"]["enum"] == ["easy", "hard"]
    assert schema["properties"]["seed"]["description"] == "Seed of the episode's chance"
    assert schema["properties"]["board"]["anyOf"][0] == {"$ref": "#/$defs/Board"}
    assert {"type": "null"} in schema["properties"]["loose"]["anyOf"]


def test_every_fault_is_told() -> None:
    """What is missing, mistyped and unknown, with the path into what is nested."""
    assert faults(Resets.typed, level="easy", board={"width": 3}, loose=None) == set()
    given = {"seed": "x", "level": "odd", "board": {"width": "x"}, "colour": 1}
    assert faults(Resets.typed, **given) == {"seed", "level", "board.width", "colour"}
    assert faults(Resets.typed) == {"level"}


def test_without_annotations_only_what_every_reset_knows_is_typed() -> None:
    """An option of the author's takes anything."""
    schema = ResetOptions(Resets.plain).schema()
    assert list(schema["properties"]) == ["seed", "level"]
    assert schema["properties"]["level"] == {"title": "Level", "default": 3}
    assert faults(Resets.plain, seed="x", level=["anything"]) == {"seed"}


def test_who_takes_anything_says_so() -> None:
    """The common options are offered beside the declared ones, and still checked."""
    schema = ResetOptions(Resets.open).schema()
    assert list(schema["properties"]) == ["seed", "episode_id", "level"]
    assert schema["additionalProperties"] is True
    assert faults(Resets.open, seed=1.5, level="x", more=1) == {"seed", "level"}


def test_an_unknown_reset_takes_anything() -> None:
    """There the environment itself refuses what it does not want."""
    assert ResetOptions(None).schema()["additionalProperties"] is True
    assert faults(None, more=1) == set()


@pytest.mark.parametrize("reset", [Resets.odd, Resets.elsewhere, Resets.opaque])
def test_what_has_no_json_form_takes_anything(reset: Callable[..., Any]) -> None:
    """The schema does not fail for it."""
    assert "type" not in ResetOptions(reset).schema()["properties"]["thing"]
    assert faults(reset, thing={"x": 1}) == set()


def test_a_reset_without_options_takes_none() -> None:
    """Not even a seed."""
    assert ResetOptions(Resets.nothing).schema()["properties"] == {}
    assert faults(Resets.nothing, seed=1) == {"seed"}
