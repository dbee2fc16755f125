"""The converter: JSON values to attrs instances and back, strictly.

Nothing is coerced: a field takes its own type and no other (an integer does for a ``float``),
unknown fields and missing fields are refused, and every fault is told with its path.

Reading happens in gears. A flat model is read in one look (`aioenv.flat`). What that leaves is read
by a function that cattrs generates, without bookkeeping: it only knows that something is wrong.
When it fails, a last gear collects every fault with its path.
"""

import functools
from collections.abc import Callable, Set
from typing import Any, TypeVar

import attrs
from cattrs import Converter, StructureHandlerNotFoundError
from cattrs.fns import identity

from aioenv import hooks
from aioenv.errors import InvalidRequest
from aioenv.faults import Refused, collect_faults
from aioenv.fields import (
    is_array,
    is_enum,
    is_free,
    is_literal,
    is_model,
    is_object,
    is_state,
    is_union,
    no_json_form,
)
from aioenv.flat import make_flat_reader

__all__ = ["make_converter", "make_reader", "make_writer"]

T = TypeVar("T")
Reader = Callable[[Any], T]
Writer = Callable[[T], dict[str, Any]]


def make_reader(cls: type[T]) -> Reader[T]:
    """Make the function that reads JSON values as `cls`.

    Args:
        cls: an attrs class.

    Returns:
        A function from a JSON value to an instance. It raises `InvalidRequest`, whose ``errors``
        name every fault with its path.

    Raises:
        TypeError: `cls` is not an attrs class, or has a field of a type without a JSON form.
    """
    if not (isinstance(cls, type) and attrs.has(cls)):
        raise TypeError(f"{cls!r} is not an attrs class; decorate it with attrs.define")
    try:
        read_fast = _converter(detailed=False).get_structure_hook(cls)
    except StructureHandlerNotFoundError as error:
        raise TypeError(f"{cls.__name__} cannot be read: {error}") from error
    explain = functools.partial(_explain, cls)

    def read(value: Any) -> T:
        if value.__class__ is dict:
            try:
                return read_fast(value, cls)  # type: ignore[no-any-return]
            except Exception as error:
                raise explain(value) from error
        raise explain(value)

    # A state is never flat: on the wire, `extra` is one more field that it does not declare.
    return read if is_state(cls) else make_flat_reader(cls, read)  # type: ignore[arg-type]


def make_writer(cls: type[T], *, omit: frozenset[str] = frozenset()) -> Writer[T]:
    """Make the function that turns an instance of `cls` into a dict ready for JSON.

    Args:
        cls: an attrs class.
        omit: fields to leave out.
    """
    converter = _converter(detailed=False)
    if omit:
        return hooks.partial_writer(cls, converter, omit)
    return converter.get_unstructure_hook(cls)


def make_converter(*, detailed: bool = True) -> Converter:
    """Make a converter with this project's rules.

    Args:
        detailed: collect every fault with its path, at about twice the cost.
    """
    converter = _StrictConverter(
        forbid_extra_keys=True,
        detailed_validation=detailed,
        unstruct_collection_overrides={Set: list},
    )
    configure_refusals(converter)
    configure_scalars(converter)
    configure_texts(converter)
    configure_containers(converter)
    configure_unions(converter)
    configure_models(converter)
    return converter


def configure_refusals(converter: Converter) -> None:
    """Refuse, while a reader is made, each type that nothing below knows.

    cattrs would read named tuples, dataclasses, deques and more, each by a leniency of its own.
    """
    converter.register_structure_hook_factory(lambda _: True, hooks.refusing_reader)


def configure_scalars(converter: Converter) -> None:
    """Take strings, numbers, booleans and choices as they are, and nothing in their place."""
    for cls, hook in (
        (str, hooks.exactly(str)),
        (int, hooks.exactly(int)),
        (bool, hooks.exactly(bool)),
        (float, hooks.take_float),
    ):
        converter.register_structure_hook(cls, hook)
        converter.register_unstructure_hook(cls, identity)
    converter.register_structure_hook_func(is_free, hooks.take_anything)
    converter.register_structure_hook_func(lambda cls: cls is type(None), hooks.take_none)
    converter.register_structure_hook_factory(is_literal, hooks.literal_reader)
    converter.register_structure_hook_factory(hooks.is_wrapped, hooks.wrapped_reader)
    for is_kind in (is_free, is_enum, is_literal):
        converter.register_unstructure_hook_func(is_kind, identity)


def configure_texts(converter: Converter) -> None:
    """Read what travels as a string: bytes, dates, times, UUIDs and paths."""
    for cls, parse in hooks.TEXTS.items():
        converter.register_structure_hook(cls, hooks.text_reader(cls, parse))
        converter.register_unstructure_hook(cls, identity)


def configure_containers(converter: Converter) -> None:
    """Take arrays and objects only; leave free-form ones untouched in both directions."""
    converter.register_structure_hook_factory(is_array, hooks.array_reader)
    converter.register_structure_hook_factory(is_object, hooks.object_reader)
    for is_kind, cls in ((hooks.is_free_array, list), (hooks.is_free_object, dict)):
        converter.register_structure_hook_func(is_kind, hooks.exactly(cls))
        converter.register_unstructure_hook_func(is_kind, identity)


def configure_unions(converter: Converter) -> None:
    """Try the members of a union in their order; the first that takes the value wins."""
    converter.register_structure_hook_factory(is_union, hooks.union_reader)


def configure_models(converter: Converter) -> None:
    """Read attrs classes; let a state carry fields that its class lacks, in `State.extra`."""
    converter.register_structure_hook_factory(is_model, hooks.model_reader)
    converter.register_unstructure_hook_factory(is_model, hooks.model_writer)
    converter.register_structure_hook_factory(is_state, hooks.state_reader)
    converter.register_unstructure_hook_factory(is_state, hooks.state_writer)


class _StrictConverter(Converter):
    """cattrs' converter without its habit of giving a subclass the hook of its base.

    To cattrs an enumeration that is also a ``str`` is a ``str``, before any predicate is asked.
    """

    def get_structure_hook(self, type: Any, cache_result: bool = True) -> hooks.Hook:  # noqa: A002
        if is_enum(type):
            return hooks.enum_reader(type)
        if hooks.is_scalar(type) and type not in hooks.SCALARS:
            raise no_json_form(type)
        return super().get_structure_hook(type, cache_result)


@functools.cache
def _converter(*, detailed: bool) -> Converter:
    return make_converter(detailed=detailed)


def _explain(cls: type[Any], value: Any) -> InvalidRequest:
    """Read once more in the second gear and tell everything that is wrong."""
    errors: list[dict[str, Any]] = []
    try:
        _converter(detailed=True).structure(value, cls)
    except Exception as error:
        try:
            errors = collect_faults(error, value)
        except RecursionError:
            errors = collect_faults(Refused("value_error", "it is nested too deeply", None), value)
    return InvalidRequest(f"this is not a valid {cls.__name__}", errors=errors)
