"""The fields that cross the wire: their names, and the types that classes give them."""

import sys
import typing
from typing import Any, Generic, Self, TypeVar

import attrs
import pytest
from attrs import define, field

from aioenv import InvalidRequest, make_reader, make_writer

T = TypeVar("T")


@define
class Box(Generic[T]):
    """A generic model."""

    content: T


@define
class Crate(Box[list[T]]):
    """A model that fills in its base's type with its own variable."""

    label: str = ""


@define
class IntCrate(Crate[int]):
    """A model two steps away from the type variable."""


@define
class Node:
    """A model that contains itself, in each way that it can."""

    name: str
    following: "Node | None" = None
    children: list["Node"] = field(factory=list)
    by_name: dict[str, "Node"] = field(factory=dict)
    pair: "tuple[Node, Node] | None" = None


@define
class Link(Generic[T]):
    """A generic model that contains more of the same."""

    content: T
    following: Self | None = None


@define
class Root:
    """A model whose part contains itself."""

    node: Node


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


def test_names_on_the_wire_are_attribute_names() -> None:
    """A private or aliased field goes by its attribute name; one without init does not travel."""

    @define
    class Odd:
        _private: int
        renamed: int = field(default=1, alias="other")
        derived: int = field(default=2, init=False)

    odd = make_reader(Odd)({"_private": 7, "renamed": 8})
    assert (odd._private, odd.renamed, odd.derived) == (7, 8, 2)
    assert make_writer(Odd)(odd) == {"_private": 7, "renamed": 8}
    assert faults_of(Odd, {"_private": 7, "other": 8, "derived": 2}) == [
        (["derived"], "extra_forbidden", "this field is unknown"),
        (["other"], "extra_forbidden", "this field is unknown"),
    ]


if sys.version_info >= (3, 12):  # which brought type aliases

    def test_type_alias_is_looked_through() -> None:
        """A field whose type is an alias takes what the alias stands for."""
        alias = typing.TypeAliasType("alias", list[int])
        cls = model(alias)
        assert make_reader(cls)({"x": [1]}).x == [1]
        assert faults_of(cls, {"x": ["a"]}) == [(["x", 0], "int_type", "expected int, got string")]


def test_field_without_annotation_takes_anything() -> None:
    """A field that declares no type takes any value."""
    assert make_reader(model(None))({"x": [1, "a"]}).x == [1, "a"]


@pytest.mark.parametrize("cls", [Node, Root], ids=["itself", "inside"])
def test_model_may_contain_itself(cls: type[Any]) -> None:
    """A model that refers to itself is read and written at every depth, with its paths."""
    leaf = make_writer(Node)(Node("leaf"))
    tree = {
        "name": "a",
        "following": {**leaf, "children": [leaf, leaf]},
        "children": [leaf],
        "by_name": {"k": leaf},
        "pair": [leaf, leaf],
    }
    wrap = (lambda node: node) if cls is Node else (lambda node: {"node": node})
    instance = make_reader(cls)(wrap(tree))
    assert make_writer(cls)(instance) == wrap({**tree, "pair": (leaf, leaf)})
    bad: dict[str, Any] = {**tree, "following": {**leaf, "by_name": {"k": {"name": 3}}}}
    path = [*([] if cls is Node else ["node"]), "following", "by_name", "k", "name"]
    assert faults_of(cls, wrap(bad)) == [(path, "string_type", "expected string, got int")]


@pytest.mark.parametrize(
    ("cls", "wire", "value"),
    [
        (Box[int], {"content": 1}, Box(1)),
        (IntCrate, {"content": [1], "label": "x"}, IntCrate([1], "x")),
        (
            Link[int],
            {"content": 1, "following": {"content": 2, "following": None}},
            Link(1, Link(2)),
        ),
    ],
    ids=repr,
)
def test_type_variables_are_filled_in(cls: Any, wire: Any, value: Any) -> None:
    """A generic model is read and written with what its variables stand for where it is used."""
    holder = model(cls)
    assert make_reader(holder)({"x": wire}).x == value
    assert make_writer(holder)(holder(value)) == {"x": wire}


@pytest.mark.parametrize(
    ("cls", "wire", "path"),
    [
        (Box[int], {"content": "a"}, ["content"]),
        (IntCrate, {"content": ["a"]}, ["content", 0]),
        (Link[int], {"content": 1, "following": {"content": "a"}}, ["following", "content"]),
    ],
    ids=repr,
)
def test_type_variables_bind(cls: Any, wire: Any, path: list[Any]) -> None:
    """What a variable stands for is as strict as if it were written in its place."""
    expected = [(["x", *path], "int_type", "expected int, got string")]
    assert faults_of(model(cls), {"x": wire}) == expected


def test_type_variable_must_be_filled_in() -> None:
    """A generic model without its type is refused at once."""
    with pytest.raises(
        TypeError, match=r"^Model cannot be read: Missing type for generic"
    ) as caught:
        make_reader(model(Box))
    assert caught.value.__cause__ is not None


def test_unknown_annotation_is_refused() -> None:
    """An annotation that names nothing is refused with the name, and with Python's own error."""
    cls = attrs.make_class("Model", {"x": field(type="list[Nowhere]")})
    words = "an annotation of Model cannot be resolved: name 'Nowhere' is not defined"
    with pytest.raises(TypeError, match=words) as caught:
        make_reader(cls)
    assert isinstance(caught.value.__cause__, NameError)
