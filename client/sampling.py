"""Sampling: random values that a JSON Schema (2020-12) allows.

A schema is turned into a sampler once, so that what it demands in vain is refused at the start,
not in the middle of a rollout, and each draw is cheap. Known are references, ``enum``, ``const``,
``anyOf``, ``oneOf``, ``allOf``, and every type with its bounds; a ``pattern`` only where it chooses
among the values of an ``enum``. Optional properties come and go; an action's optional ``metadata``
stays away. ``oneOf`` is taken as ``anyOf``: where its branches overlap, a draw may fit several.
"""

import math
import random
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import unquote

from aioenv.client.conjunction import Contradiction, Schema, conjunction
from aioenv.client.drawing import (
    KEYWORDS_BY_TYPE,
    MOST_TRIES,
    CannotDraw,
    Sampler,
    draw_choice,
    scalar_sampler,
)

__all__ = ["CannotDraw", "make_sampler"]

_COMPOUNDS = frozenset({"$ref", "allOf", "anyOf", "const", "enum", "oneOf"})
_REFUSED = frozenset(
    {"$dynamicRef", "contains", "dependentRequired", "dependentSchemas", "if", "not", "pattern"}
)
_SCALARS = frozenset({"boolean", "integer", "null", "number", "string"})

_KEYWORDS = _COMPOUNDS.union({"type"}, *KEYWORDS_BY_TYPE.values())  # all else only annotates

_MOST_ITEMS = 4
_MOST_PLAYFUL_DEPTH = 5  # further down nothing optional is drawn any more, so that it ends
_MOST_DEPTH = 64


def make_sampler(schema: Mapping[str, Any]) -> Callable[[random.Random], Any]:
    """Turn a schema into a function that draws a value.

    Args:
        schema: the whole schema, with its ``$defs``.

    Raises:
        CannotDraw: it demands what is not known here, or what nothing fulfils.
    """
    try:
        draw = _Maker(schema).sampler(schema, "$")
        draw(random.Random(0), 0)  # noqa: S311  # what contains itself without end shows now
    except CannotDraw:
        raise
    except (ArithmeticError, AttributeError, TypeError, ValueError, re.error) as error:
        raise CannotDraw("$", f"its schema is not valid, or not known here: {error}") from error
    return lambda rng: draw(rng, 0)


class _Maker:
    """Makes the samplers of one schema document.

    Args:
        root: the document, where its references lead.
    """

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._made: dict[str, Sampler | None] = {}  # by reference; None while in the making
        self._depth = 0

    def sampler(self, schema: Any, path: str) -> Sampler:
        """Return the sampler of a subschema."""
        if isinstance(schema, bool):
            schema = {} if schema else {"enum": []}
        if not isinstance(schema, Mapping):
            raise CannotDraw(path, f"{schema!r} is no schema")
        self._depth += 1
        try:
            if self._depth > _MOST_DEPTH:
                raise CannotDraw(path, "the schema is nested too deeply")
            return self._of(schema, path)
        finally:
            self._depth -= 1

    def _of(self, schema: Mapping[str, Any], path: str) -> Sampler:
        known = _KEYWORDS | {"pattern"} if {"enum", "const"} & schema.keys() else _KEYWORDS
        refused = sorted((_REFUSED & schema.keys()) - known)
        if refused:
            raise CannotDraw(path, f"its {refused[0]!r} is not known here")
        plain = {keyword: value for keyword, value in schema.items() if keyword in known}
        if _COMPOUNDS & plain.keys():
            return self._compound(plain, path)
        kinds = _kinds(plain)
        if len(kinds) != 1:
            return self._any_of([partial(_retyped, plain, kind) for kind in kinds], path)
        if kinds[0] == "object":
            return self._object(plain, path)
        if kinds[0] == "array":
            return self._array(plain, path)
        return scalar_sampler(kinds[0], plain, path)

    def _compound(self, schema: Schema, path: str) -> Sampler:
        """Return the sampler of a schema that is made of others, or that lists its values."""
        if schema.keys() == {"$ref"}:
            return self._reference(schema["$ref"], path)
        if "$ref" in schema:
            target = self._target(schema.pop("$ref"), path)
            return self.sampler(_both(target, schema, path), path)
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                parts = schema.pop(keyword)
                return self._any_of([partial(_both, part, schema, path) for part in parts], path)
        if "allOf" in schema:
            for part in schema.pop("allOf"):
                schema = _both(schema, part, path)
            return self.sampler(schema, path)
        if "const" in schema:
            schema = _both(schema, {"enum": [schema.pop("const")]}, path)
        return draw_choice(schema, path)

    # References and alternatives

    def _reference(self, reference: Any, path: str) -> Sampler:
        """Return the sampler of what a reference leads to, the same for all that refer to it."""
        target = self._target(reference, path)
        if reference not in self._made:
            self._made[reference] = None
            try:
                self._made[reference] = self.sampler(target, path)
            except CannotDraw:
                del self._made[reference]
                raise
        return self._made[reference] or partial(self._draw_again, reference, path)

    def _draw_again(self, reference: str, path: str, rng: random.Random, depth: int) -> Any:
        """Draw what contains itself."""
        sampler = self._made.get(reference)
        if sampler is None or depth > _MOST_DEPTH:
            raise CannotDraw(path, "it contains itself without end")
        return sampler(rng, depth + 1)

    def _target(self, reference: Any, path: str) -> Any:
        """Follow a reference (a JSON pointer, RFC 6901) within the document."""
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise CannotDraw(path, f"the reference {reference!r} leads out of the schema")
        pointer = unquote(reference[1:])
        if pointer and not pointer.startswith("/"):
            raise CannotDraw(path, f"the reference {reference!r} is no JSON pointer")
        target: Any = self._root
        for part in pointer.split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(target, Mapping) or name not in target:
                raise CannotDraw(path, f"the reference {reference!r} leads nowhere")
            target = target[name]
        return target

    def _any_of(self, alternatives: Sequence[Callable[[], Schema]], path: str) -> Sampler:
        """Return a sampler that takes one of those alternatives that can be drawn."""
        drawable: list[Sampler] = []
        simple: list[Sampler] = []
        failure = CannotDraw(path, "there is no alternative to choose from")
        for alternative in alternatives:
            try:
                schema = alternative()
                drawable.append(self.sampler(schema, path))
            except CannotDraw as error:
                failure = error
                continue
            if {"enum", "const"} & schema.keys() or _SCALARS.issuperset(_kinds(schema)):
                simple.append(drawable[-1])
        if not drawable:
            raise failure

        def draw(rng: random.Random, depth: int) -> Any:
            is_playful = depth < _MOST_PLAYFUL_DEPTH
            return rng.choice(drawable if is_playful else simple or drawable)(rng, depth)

        return drawable[0] if len(drawable) == 1 else draw

    # The types that hold other values

    def _object(self, schema: Schema, path: str) -> Sampler:
        properties, required = schema.get("properties", {}), schema.get("required", ())
        others = schema.get("additionalProperties", True)
        if schema.get("minProperties", 0) > len(set(required)):
            raise CannotDraw(path, "its 'minProperties' asks for more than it requires by name")
        members: list[tuple[str, Sampler, bool]] = []
        for name in dict.fromkeys([*properties, *required]):
            is_required = name in required
            if name == "metadata" and path == "$" and not is_required:
                continue
            try:
                self._check_name(name, schema, f"{path}.{name}")
                sampler = self.sampler(properties.get(name, others), f"{path}.{name}")
            except CannotDraw:
                if is_required:
                    raise
            else:
                members.append((name, sampler, is_required))

        room = schema.get("maxProperties", math.inf) - len(set(required))
        if room < 0:
            raise CannotDraw(path, "its 'maxProperties' is less than it requires by name")
        options = [name for name, _, is_required in members if not is_required]

        def draw(rng: random.Random, depth: int) -> dict[str, Any]:
            chosen = {*required}
            if depth < _MOST_PLAYFUL_DEPTH:
                wanted = [name for name in options if rng.random() < 0.5]
                chosen.update(wanted if len(wanted) <= room else rng.sample(wanted, room))
            return {name: sampler(rng, depth + 1) for name, sampler, _ in members if name in chosen}

        return draw

    def _check_name(self, name: str, schema: Schema, path: str) -> None:
        """Refuse a name that its object does not allow, or that a pattern says more about."""
        if any(re.search(pattern, name) for pattern in schema.get("patternProperties", ())):
            raise CannotDraw(path, "'patternProperties', which its name fits, is not known here")
        try:
            self.sampler(_both(schema.get("propertyNames", True), {"const": name}, path), path)
        except CannotDraw as error:
            reason = f"its name does not fit 'propertyNames': {error.reason}"
            raise CannotDraw(path, reason) from None

    def _array(self, schema: Schema, path: str) -> Sampler:
        first = [
            self.sampler(part, f"{path}[{index}]")
            for index, part in enumerate(schema.get("prefixItems", ()))
        ]
        least = schema.get("minItems", 0)
        most = min(schema.get("maxItems", math.inf), max(least, len(first), _MOST_ITEMS))
        rest: Sampler | None = None
        try:
            rest = self.sampler(schema.get("items", True), f"{path}[{len(first)}]")
        except CannotDraw:
            if least > len(first):
                raise
            most = min(most, len(first))
        if least > most:
            raise CannotDraw(path, "its 'minItems' is above its 'maxItems'")
        is_unique = bool(schema.get("uniqueItems"))

        def draw(rng: random.Random, depth: int) -> list[Any]:
            count = rng.randint(least, most) if depth < _MOST_PLAYFUL_DEPTH else least
            samplers = first[:count]
            if rest is not None:
                samplers = samplers + [rest] * (count - len(first))
            if is_unique:
                draws = [partial(sampler, rng, depth + 1) for sampler in samplers]
                return _draw_different(draws, least, path)
            return [sampler(rng, depth + 1) for sampler in samplers]

        return draw


def _both(one: Any, other: Any, path: str) -> Schema:
    """Return the schema of what two schemas both allow."""
    try:
        return conjunction(one, other)
    except Contradiction as error:
        raise CannotDraw(path, str(error)) from None


def _kinds(schema: Mapping[str, Any]) -> list[str]:
    """Return the types that a schema allows."""
    if "type" in schema:
        kinds = schema["type"]
        return [kinds] if isinstance(kinds, str) else list(kinds)
    for kind, keywords in KEYWORDS_BY_TYPE.items():
        if keywords & schema.keys():
            return [kind]
    return sorted(_SCALARS)


def _retyped(schema: Schema, kind: str) -> Schema:
    return {**schema, "type": kind}


def _draw_different(draws: Sequence[Callable[[], Any]], least: int, path: str) -> list[Any]:
    """Draw items that all differ, anew where the first ones leave nothing for the next."""
    for _ in range(MOST_TRIES):
        items: list[Any] = []
        for draw in draws:
            tries = (draw() for _ in range(MOST_TRIES))
            new = next(([item] for item in tries if item not in items), None)
            if new is None:
                break
            items += new
        if len(items) >= least:
            return items
    raise CannotDraw(path, f"its items are too few for {least} different ones")
