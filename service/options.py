"""A reset's options: what an environment's ``reset`` takes, as a model with a schema."""

import inspect
import typing
from collections.abc import Callable
from typing import Any

import attrs

from aioenv import make_reader
from aioenv.schema import json_schema

__all__ = ["ResetOptions"]

#: What every reset may be told; an environment that declares otherwise is asked otherwise.
_COMMON: dict[str, tuple[Any, str]] = {
    "seed": (int | None, "Seed of the episode's chance"),
    "episode_id": (str | None, "Name of the episode"),
}


class ResetOptions:
    """The options that a reset takes.

    A parameter whose annotation has no JSON form, or that has none, takes anything.

    Args:
        reset: the function of an environment's class; ``None`` where it is not known, which
            counts as one that takes anything.
    """

    def __init__(self, reset: Callable[..., Any] | None) -> None:
        parameters = _parameters(reset)
        kinds = inspect.Parameter
        self._is_open = any(item.kind is kinds.VAR_KEYWORD for item in parameters)
        taken = {
            item.name: item.default
            for item in parameters
            if item.kind in (kinds.KEYWORD_ONLY, kinds.POSITIONAL_OR_KEYWORD)
        }
        if self._is_open:
            taken = {**dict.fromkeys(_COMMON), **taken}
        self._names = frozenset(taken)
        types = _types(reset)
        fields = {name: _field(name, default, types) for name, default in taken.items()}
        self._model = attrs.make_class("Reset", fields)
        self._read: Callable[[Any], Any] = make_reader(self._model)

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the options."""
        schema = json_schema(self._model)
        schema.pop("description", None)  # attrs' own
        schema["additionalProperties"] = self._is_open
        return schema

    def check(self, options: dict[str, Any]) -> None:
        """Check options against the schema.

        Raises:
            InvalidRequest: with every fault and its path.
        """
        if self._is_open:
            options = {name: value for name, value in options.items() if name in self._names}
        self._read(options)


def _parameters(reset: Callable[..., Any] | None) -> list[inspect.Parameter]:
    if reset is None:
        return [inspect.Parameter("options", inspect.Parameter.VAR_KEYWORD)]
    return list(inspect.signature(reset).parameters.values())[1:]  # without self


def _types(reset: Callable[..., Any] | None) -> dict[str, Any]:
    try:
        return typing.get_type_hints(reset, include_extras=True)
    except Exception:  # no function, or an annotation that is none: it may raise whatever it likes
        return {}


def _field(name: str, default: Any, types: dict[str, Any]) -> Any:
    common, description = _COMMON.get(name, (Any, None))
    cls = types.get(name, common)
    if default is None and cls is not Any:
        cls = cls | None
    return attrs.field(
        default=attrs.NOTHING if default is inspect.Parameter.empty else default,
        type=cls if _has_json_form(cls) else Any,
        kw_only=True,
        metadata={"description": description} if description else {},
    )


def _has_json_form(cls: Any) -> bool:
    try:
        make_reader(attrs.make_class("Option", {"value": attrs.field(type=cls)}))
    except TypeError:
        return False
    return True
