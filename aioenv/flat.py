"""Flat models: those whose fields are plain JSON values, read in one look.

Most actions and observations are a handful of strings, numbers and free-form objects. For these, as
attrs and cattrs do, a function is written and compiled that takes each field by its name, looks at
its class, and calls the model: no hook, no loop, no second look. The two frames of a step, the
request and its reply, are read and written so as a whole. What such a function does not recognise
is not refused: it is left to the messages and the converter, which know everything.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import attrs
import orjson
from attrs import ClassProps
from attrs.exceptions import NotAnAttrsClassError

from aioenv.jsontext import dumps, is_exact
from aioenv.models import StepResult

__all__ = [
    "make_flat_reader",
    "make_result_reader",
    "make_result_writer",
    "make_step_reader",
    "make_step_writer",
    "recognise_nothing",
]

T = TypeVar("T")

_PLAIN: dict[Any, tuple[type, ...]] = {
    str: (str,),
    int: (int,),
    float: (float,),
    bool: (bool,),
    dict: (dict,),
    list: (list,),
    dict[str, Any]: (dict,),
    list[Any]: (list,),
    NoneType: (NoneType,),
}


def make_flat_reader(cls: type[T], read_any: Callable[[Any], T]) -> Callable[[Any], T]:
    """Make a function that reads an object with exactly the fields of `cls`, each of its type.

    Args:
        cls: an attrs class whose annotations are resolved.
        read_any: reads, or refuses in words, whatever this look does not recognise.

    Returns:
        The function, or `read_any` itself where the class is not flat.
    """
    return _compiled(_VALUE, cls, {"read_any": read_any}) or read_any


def make_step_reader(cls: type[T]) -> Callable[[bytes], T | None]:
    """Make a function that reads a step's frame: an action with exactly the fields of `cls`.

    Returns:
        A function from a frame's text to the action; ``None`` if it does not recognise it.
    """
    return _compiled(_STEP, cls, _EXACTLY) or recognise_nothing


def make_result_reader(cls: type[T]) -> Callable[[bytes], StepResult[T] | None]:
    """Make a function that reads the frame of an observation with exactly the fields of `cls`.

    Returns:
        A function from a frame's text to the result of a step; ``None`` if it does not recognise
        it.
    """
    return _compiled(_RESULT, cls, _EXACTLY, _BESIDE) or recognise_nothing


def make_step_writer(cls: type[T], write_any: Callable[[T], bytes]) -> Callable[[T], bytes]:
    """Make a function that writes an action of exactly the class `cls` as a step's frame.

    Args:
        cls: the action's class.
        write_any: writes whatever else it is given, and what has no JSON form, or refuses it.
    """
    return _writer(_WRITE_STEP, cls, write_any)  # type: ignore[no-any-return]


def make_result_writer(cls: type[T], write_any: Callable[[T], bytes]) -> Callable[[T], bytes]:
    """Make a function that writes an observation of exactly the class `cls` as its frame.

    Args:
        cls: the observation's class.
        write_any: as for `make_step_writer`.
    """
    return _writer(_WRITE_RESULT, cls, write_any, _BESIDE)  # type: ignore[no-any-return]


_VALUE = """
def read(value):
    try:
        {values}
        if {conditions}:
            {making_it}
            return it
    except Exception:
        pass
    return read_any(value)
"""

_STEP = """
def read(frame):
    try:
        message = loads(frame)
        value = message["data"]
        {values}
        if message["type"] == "step" and len(message) == 2 and {conditions}:
            {making_it}
            return it
    except Exception:
        pass
    return None
"""

_RESULT = """
def read(frame):
    try:
        message = loads(frame)
        data = message["data"]
        value = data["observation"]
        done, reward = data.get("done", False), data.get("reward")
        metadata = data.get("metadata")
        {values}
        if message["type"] == "observation" and {conditions}:
            if metadata != {metadata} and not is_exact(metadata, frame):
                return None
            {making_it}
            {making_result}
            return result
    except Exception:
        pass
    return None
"""

_WRITE_STEP = """
def write(value):
    if value.__class__ is model:
        try:
            return dumps({{"type": "step", "data": {fields}}})
        except Exception:
            pass
    return write_any(value)
"""

_WRITE_RESULT = """
def write(value):
    if value.__class__ is model:
        try:
            data = {{"observation": {fields}, "reward": value.reward, "done": value.done}}
            if value.metadata:
                data["metadata"] = value.metadata
            return dumps({{"type": "observation", "data": data}})
        except Exception:
            pass
    return write_any(value)
"""

# What the reply to a step has beside the observation's fields, and what its result is made of, as
# the source above calls it.
_BESIDE = {"done": "done", "reward": "reward"}
_OF_RESULT = {"observation": "it", **_BESIDE, "metadata": "metadata"}

# orjson reads some integers as floats. A field that takes an integer does not take these; what is
# free-form is looked at.
_EXACTLY = {"loads": orjson.loads, "is_exact": is_exact, "StepResult": StepResult}


def recognise_nothing(_: bytes) -> None:
    """Stand for a reader of frames where each has to be looked at closely."""


def _compiled(
    template: str, cls: Any, names: Mapping[str, Any], beside: Mapping[str, str] | None = None
) -> Any:
    """Write and compile a reader of a flat class.

    Args:
        template: its source, with gaps for what depends on the class.
        cls: the class.
        names: what else the source calls by name.
        beside: where the values of some fields are, if not in the object of the fields.

    Returns:
        The function; ``None`` where the class is not flat.
    """
    fields, beside = attrs.fields(cls), beside or {}
    allowed = [_types_taken(field.type) for field in fields]
    if not _is_flat(fields):
        return None
    scope: dict[str, Any] = {"model": cls, "new": object.__new__, **names}
    values, places = [], {}
    conditions = [f"len(value) == {sum(field.name not in beside for field in fields)}"]
    for index, (field, types) in enumerate(zip(fields, allowed, strict=True)):
        place = places[field.name] = f"value{index}"
        scope |= {f"type{index}_{number}": taken for number, taken in enumerate(types)}
        checks = [f"{place}.__class__ is type{index}_{number}" for number in range(len(types))]
        conditions.append(f"({' or '.join(checks)})")
        if "is_exact" in scope and (not {dict, list}.isdisjoint(types) or {int, float} <= {*types}):
            conditions.append(f"is_exact({place}, frame)")
        values.append(f"{place} = {beside.get(field.name, f'value[{field.name!r}]')}")
    source = template.format(
        values=_lines(values, 8),
        conditions=" and ".join(conditions),
        making_it=_lines(_making("it", "model", cls, places), 12),
        making_result=_lines(_making("result", "StepResult", StepResult, _OF_RESULT), 12),
        metadata=places.get("metadata"),
    )
    return _run(source, cls, scope)["read"]


def _making(it: str, model: str, cls: Any, values: Mapping[str, str]) -> list[str]:
    """Write the statements that make an instance of a class.

    An ``__init__`` that only stores the fields takes longer to call than they take to store, so
    that they are stored without it.

    Args:
        it: the name to give it.
        model: the name of its class.
        cls: the class.
        values: the expression of each field's value, by the field's name.
    """
    names = [field.name for field in attrs.fields(cls)]
    if _is_made_by_stores(cls):
        return [f"{it} = new({model})", *(f"{it}.{name} = {values[name]}" for name in names)]
    return [f"{it} = {model}({', '.join(f'{name}={values[name]}' for name in names)})"]


def _is_made_by_stores(cls: Any) -> bool:
    """Whether making an instance is nothing but storing its fields, with no code of the author's.

    An ``__init__`` of attrs' own is known by the name of its source. Were that another one day,
    this would be false: slower, and still right.
    """
    try:
        made = attrs.inspect(cls)
    except NotAnAttrsClassError:  # derived from one
        return False
    code = getattr(cls.__init__, "__code__", None)
    return (
        made.added_init
        and code is not None
        and code.co_filename.startswith("<attrs generated")
        and type(cls).__call__ is type.__call__
        and cls.__new__ is object.__new__
        and cls.__setattr__ is object.__setattr__
        and not any(hasattr(cls, f"__attrs_{when}_init__") for when in ("pre", "post"))
        and all(field.validator is None for field in attrs.fields(cls))
        and made.hashability is not ClassProps.Hashability.HASHABLE_CACHED
    )


def _lines(statements: Sequence[str], indent: int) -> str:
    return f"\n{' ' * indent}".join(statements)


def _writer(
    template: str, cls: Any, write_any: Callable[[Any], bytes], beside: Container[str] = ()
) -> Any:
    """Write and compile a writer of a flat class; `write_any` itself where it is not flat."""
    fields = attrs.fields(cls)
    if not _is_flat(fields):
        return write_any
    pairs = [f"{field.name!r}: value.{field.name}" for field in fields if field.name not in beside]
    source = template.format(fields=f"{{{', '.join(pairs)}}}")
    return _run(source, cls, {"model": cls, "write_any": write_any, "dumps": dumps})["write"]


def _run(source: str, cls: Any, scope: dict[str, Any]) -> dict[str, Any]:
    exec(compile(source, f"<aioenv: {cls.__qualname__}, flat>", "exec"), scope)  # noqa: S102
    return scope


def _is_flat(fields: Sequence["attrs.Attribute[Any]"]) -> bool:
    """Whether each field is a plain JSON value under its own name."""
    return bool(fields) and not any(
        not _types_taken(field.type)
        or not field.init
        or field.alias != field.name
        or field.converter is not None
        for field in fields
    )


def _types_taken(annotation: Any) -> tuple[type, ...]:
    """Return the classes whose instances a field takes as they are; none if it is not plain."""
    if get_origin(annotation) in (Union, UnionType):
        members = [_types_taken(member) for member in get_args(annotation)]
        return tuple({cls: None for member in members for cls in member}) if all(members) else ()
    try:
        return _PLAIN.get(annotation, ())
    except TypeError:  # an annotation that cannot be hashed
        return ()
