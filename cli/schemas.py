"""The schemas: what a service publishes of its models, and whether its replies are as it says.

The judge is the package `jsonschema` (the extra `validate`), not the code that makes and reads our
own schemas: it knows every keyword, and shares no mistake with us.
"""

import random
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from attrs import field, frozen

from aioenv.cli.checklist import Fault, Skipped, shown
from aioenv.cli.errors import CommandFailed
from aioenv.client.sampling import CannotDraw, make_sampler

__all__ = ["Schemas", "check_installed"]

_NAMES = ("action", "observation", "state")
# Values of every kind, the least likely to be taken for another first.
_MISFITS: tuple[Any, ...] = ({"not": ["this"]}, ["not", "this"], "not this", -0.5, None)
_STRANGER = "no_such_field"


def check_installed() -> None:
    """Check that the judge is there.

    Raises:
        CommandFailed: it is not.
    """
    if find_spec("jsonschema") is None:
        raise CommandFailed(
            "validating a service needs the package jsonschema; install it with: "
            "pip install 'aioenv[validate]'"
        )


@frozen
class Schemas:
    """The schemas of one service, each valid.

    Attributes:
        documents: the schemas by their names.
    """

    documents: dict[str, dict[str, Any]]
    _judges: dict[str, Any] = field(factory=dict, repr=False)

    @classmethod
    def read(cls, said: dict[str, Any]) -> "Schemas":
        """Take what ``/schema`` says.

        Raises:
            Fault: a schema is missing or not valid.
        """
        from jsonschema import Draft202012Validator, SchemaError
        from referencing import Registry

        documents = {name: said[name] for name in (*_NAMES, "reset_observation") if name in said}
        judges = {}
        for name in _NAMES:
            if not isinstance(said.get(name), dict):
                raise Fault(
                    f"/schema has no schema of the {name}: {shown(said.get(name))}",
                    'answer {"action": …, "observation": …, "state": …}, each a JSON Schema',
                )
        for name, document in documents.items():
            try:
                Draft202012Validator.check_schema(document)
            except (SchemaError, RecursionError) as error:
                place = getattr(error, "json_path", "$").removeprefix("$")
                raise Fault(
                    f"the schema of the {name} is not valid at ${place}: "
                    f"{shown(getattr(error, 'message', str(error)))}",
                    "publish JSON Schema 2020-12, as pydantic and aioenv.service make it",
                ) from error
            # With a registry of its own it never goes and fetches what a $ref names.
            judges[name] = Draft202012Validator(document, registry=Registry())
        return cls(documents, judges)

    def misfit(self, name: str, value: Any) -> str:
        """Return in what a value does not satisfy a schema; empty where it does."""
        from jsonschema.exceptions import best_match

        try:
            error = best_match(self._judges[name].iter_errors(value))
        except Exception as problem:  # a $ref to nowhere, a pattern that is none, an endless schema
            return f"its schema cannot be applied: {shown(str(problem))}"
        if error is None:
            return ""
        return f"{error.json_path}: {shown(error.message)}"

    def draw_action(self, rng: random.Random) -> dict[str, Any]:
        """Make up an action.

        Raises:
            Skipped: the schema asks for what cannot be made up.
            Fault: it allows what is no object.
        """
        try:
            action = make_sampler(self.documents["action"])(rng)
        except CannotDraw as error:
            raise Skipped(f"no action can be made up: {error}", "pass one with --action") from error
        if not isinstance(action, dict):
            raise Fault(
                f"the schema of the action allows {shown(action)}", 'give it the type "object"'
            )
        return action

    def wrong_actions(self, action: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Spoil an action in each way that the schema refuses; yields what is wrong, and it."""
        for name in self.documents["action"].get("required", ()):
            without = {key: value for key, value in action.items() if key != name}
            if self.misfit("action", without):
                yield f"an action without its field {name!r}", without
                break
        for name in self.documents["action"].get("properties", ()):
            found = [
                {**action, name: value}
                for value in _MISFITS
                if self.misfit("action", {**action, name: value})
            ]
            if found:
                yield f"an action whose {name!r} is {shown(found[0][name])}", found[0]
                break
        unknown = {**action, _STRANGER: 1}
        if self.misfit("action", unknown):
            yield f"an action with an unknown field {_STRANGER!r}", unknown
