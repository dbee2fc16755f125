"""The OpenAPI 3.1 document of a service: its doors, and the models of its environment.

Doors are described in the table of `aioenv.service.doors`, which tells how to add one.
"""

import functools
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote

from aioenv import AioEnvError
from aioenv.service.doors import DOORS, TAGS, Door, Reply
from aioenv.service.examples import NoExample, example_of
from aioenv.service.service import Service
from aioenv.service.shapes import ERRORS, RESET_OPTIONS, SCHEMAS, Schema, object_schema

__all__ = ["OpenApi"]

#: The version of the interface; the tools of OpenEnv go by its first number.
VERSION = "1.0.0"

_SCHEMAS = "#/components/schemas/"
_VALUES = frozenset(
    {"const", "default", "enum", "examples"}
)  # below these stand values, no schemas
_NOT_IN_NAMES = re.compile(r"[^\w.-]", re.ASCII)


class OpenApi:
    """The document of one service.

    Args:
        service: whose models and settings it tells.
        routes: method and path of each door that there is.
    """

    def __init__(self, service: Service, routes: Collection[tuple[str, str]]) -> None:
        self._service = service
        self._doors = [door for door in DOORS if (door.method, door.path) in routes]

    @functools.cached_property
    def document(self) -> Schema:
        """The document; made when it is first asked for, by which time the settings are final."""
        metadata = self._service.metadata()
        asks_for_token = bool(self._service.settings.token)
        schemas = _schemas(self._service)
        document: Schema = {
            "openapi": "3.1.0",
            "info": {
                "title": self._service.name,
                "version": VERSION,
                "description": f"{metadata.description}\n\nIt speaks OpenEnv's wire.",
            },
            # Relative to where the document is, so that it holds behind any prefix.
            "servers": [{"url": ".", "description": "The service that this comes from"}],
            "tags": [
                {"name": name, "description": text}
                for name, text in TAGS.items()
                if any(door.tag == name for door in self._doors)
            ],
            "paths": {},
            "components": {"schemas": schemas, "responses": dict(_failures(asks_for_token))},
        }
        for door in self._doors:
            operation = _operation(door, schemas, asks_for_token)
            document["paths"].setdefault(door.path, {})[door.method.lower()] = operation
        if asks_for_token:
            bearer = {"type": "http", "scheme": "bearer", "description": "The service's token"}
            document["components"]["securitySchemes"] = {"bearer": bearer}
            document["security"] = [{"bearer": []}]
        return document


# Doors


def _operation(door: Door, schemas: Mapping[str, Schema], asks_for_token: bool) -> Schema:
    operation: Schema = {
        "tags": [door.tag],
        "operationId": door.name,
        "summary": door.summary,
    }
    if door.description:
        operation["description"] = door.description
    if door.parameters:
        operation["parameters"] = [dict(parameter) for parameter in door.parameters]
    if door.body is not None:
        operation["requestBody"] = {
            "description": door.body.description,
            "required": door.body.required or "required" in schemas[door.body.schema],
            "content": _json(door.body.schema, schemas),
        }
    replies = {str(status): _reply(reply, schemas) for status, reply in door.replies.items()}
    errors = {*door.errors, *({401} if asks_for_token and not door.is_open else ())}
    for status in sorted(errors - door.replies.keys()):
        replies[str(status)] = {"$ref": f"#/components/responses/{status}"}
    operation["responses"] = replies
    if asks_for_token and door.is_open:
        operation["security"] = []
    return operation


def _reply(reply: Reply, schemas: Mapping[str, Schema]) -> Schema:
    described: Schema = {"description": reply.description}
    if reply.headers:
        described["headers"] = _headers(reply.headers)
    if reply.links:
        described["links"] = {
            name: {"operationId": name, "parameters": dict(parameters)}
            for name, parameters in reply.links.items()
        }
    if reply.schema is not None:
        described["content"] = _json(reply.schema, schemas)
    elif reply.content_type is not None:
        described["content"] = {reply.content_type: {"schema": {"type": "string"}}}
    return described


def _json(name: str, schemas: Mapping[str, Schema]) -> Schema:
    media: Schema = {"schema": {"$ref": f"{_SCHEMAS}{name}"}}
    if examples := schemas[name].get("examples"):
        media["example"] = examples[0]
    return {"application/json": media}


def _failures(asks_for_token: bool) -> Iterator[tuple[str, Schema]]:
    for status, failure in ERRORS.items():
        if status == 401 and not asks_for_token:
            continue
        examples = {example["code"]: {"value": example} for example in failure.examples}
        media = {"schema": {"$ref": f"{_SCHEMAS}{failure.schema}"}, "examples": examples}
        described: Schema = {"description": failure.description}
        if failure.headers:
            described["headers"] = _headers(failure.headers)
        yield str(status), {**described, "content": {"application/json": media}}


def _headers(headers: Mapping[str, str]) -> Schema:
    return {
        name: {"description": text, "schema": {"type": "string"}} for name, text in headers.items()
    }


# Models


def _schemas(service: Service) -> dict[str, Schema]:
    """Return the schemas of the document: those of the environment, and those of every service."""
    contract = service.contract
    models, reset = contract.schemas(), service.reset_schema()
    action = _example(models["action"], contract.read_action)
    observation = _example(models["observation"], lambda data: contract.read_result(_result(data)))
    state = _example(models["state"], contract.read_state)
    if action and action.get("metadata") == {}:
        del action["metadata"]  # it may be there, but it says nothing
    examples = {"Action": action, "Observation": observation, "State": state}
    schemas: dict[str, Schema] = {name: {} for name in examples}  # theirs, first of all
    schemas |= {name: dict(schema) for name, schema in SCHEMAS.items()}
    every = {**models, "reset": reset}
    if not any("$defs" in model for model in every.values()):
        schemas["Schemas"]["examples"] = [every]  # tools would follow its references from here
    schemas["StepRequest"] = object_schema(
        {
            "action": {"$ref": f"{_SCHEMAS}Action"},
            "timeout_s": {
                "type": ["number", "null"],
                "exclusiveMinimum": 0,
                "description": "A limit of its own for this step, in seconds",
                "examples": [30],
            },
            "request_id": {"description": "Taken and not needed", "examples": ["request-1"]},
        },
        [] if action is None else [{"action": action}],
        optional=["timeout_s", "request_id"],
    )
    schemas["StepResult"] = object_schema(
        {
            "observation": {"$ref": f"{_SCHEMAS}Observation"},
            "reward": {"type": ["number", "null"], "description": "Reward of the last action"},
            "done": {"type": "boolean", "description": "Whether the episode has ended"},
            "metadata": {"type": ["object", "null"], "description": "The observation's once more"},
        },
        [] if observation is None else [_result(observation)],
    )
    for name, example in examples.items():
        _add_model(schemas, name, models[name.lower()], example)
    _add_model(schemas, "ResetRequest", _reset_request(reset), _reset_example(reset))
    return schemas


def _reset_request(reset: Schema) -> Schema:
    """Return the schema of a reset's body: the environment's own options, and those of every one.

    A body may have further keys, which are options as well, or are dropped.
    """
    request = {key: part for key, part in reset.items() if key != "additionalProperties"}
    request["properties"] = {**reset["properties"], **RESET_OPTIONS}
    request["description"] = "Further keys are options of the environment's own, or are dropped."
    return request


def _reset_example(reset: Schema) -> dict[str, Any] | None:
    """Return a reset with a seed, a name, and the options that this environment demands."""
    demanded = {name: reset["properties"][name] for name in reset.get("required", ())}
    try:
        options = example_of({"type": "object", "properties": demanded}, reset)
    except NoExample:
        return None
    return {"seed": 7, "episode_id": "episode-7", **options}


def _result(observation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the reply with an observation: its reward and whether it is done stand beside it."""
    beside = {"reward", "done"}
    return {
        "observation": {name: value for name, value in observation.items() if name not in beside},
        "reward": observation.get("reward"),
        "done": observation.get("done", False),
        "metadata": observation.get("metadata") or None,
    }


def _example(schema: Schema, read: Callable[[Any], Any]) -> dict[str, Any] | None:
    """Return an example that its own reader takes, or none."""
    try:
        example: dict[str, Any] = example_of(schema, schema)
        read(example)
    except (AioEnvError, NoExample):
        return None
    return example


def _add_model(
    schemas: dict[str, Schema], name: str, schema: Schema, example: dict[str, Any] | None
) -> None:
    """Add a model's schema, and beside it those that it refers to, under names that are free."""
    definitions = schema.get("$defs", {})
    names = {
        old: _NOT_IN_NAMES.sub(lambda found: f"_{ord(found[0]):x}", old) for old in definitions
    }
    while True:
        moved = {names[old]: _moved(part, names) for old, part in definitions.items()}
        taken = {old for old, new in names.items() if schemas.get(new, moved[new]) != moved[new]}
        if not taken:
            break
        names |= {old: f"{names[old]}_" for old in taken}
    schemas |= moved
    own = {key: part for key, part in schema.items() if key not in ("$schema", "$defs")}
    schemas[name] = _moved(own, names)
    if example is not None:
        schemas[name]["examples"] = [example]


def _moved(schema: Any, names: Mapping[str, str]) -> Any:
    """Return a schema whose references lead to the document's schemas."""
    if isinstance(schema, list):
        return [_moved(part, names) for part in schema]
    if not isinstance(schema, dict):
        return schema
    moved: Schema = {}
    for keyword, part in schema.items():
        if keyword == "$ref":
            old = unquote(part.removeprefix("#/$defs/"))
            moved[keyword] = f"{_SCHEMAS}{quote(names[old])}"
        elif keyword == "properties":
            moved[keyword] = {name: _moved(member, names) for name, member in part.items()}
        else:
            moved[keyword] = part if keyword in _VALUES else _moved(part, names)
    return moved
