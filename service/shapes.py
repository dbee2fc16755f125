"""The shapes of bodies that are the same for every environment: JSON Schemas, examples, errors.

Those that an environment decides itself (``Action``, ``Observation``, ``State``, ``ResetRequest``,
``StepRequest``, ``StepResult``) are added by `aioenv.service.openapi`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import field, frozen

__all__ = ["ERRORS", "RESET_OPTIONS", "SCHEMAS", "Failure", "Schema", "object_schema"]

Schema = dict[str, Any]


@frozen
class Failure:
    """A reply that tells what went wrong.

    Attributes:
        description: what it says.
        examples: bodies, each with a ``code`` of its own.
        schema: a name in `SCHEMAS`.
        headers: their names and descriptions.
    """

    description: str
    examples: Sequence[Schema]
    schema: str = "Problem"
    headers: Mapping[str, str] = field(factory=dict)


def object_schema(
    properties: Schema, examples: Sequence[Any], *, optional: Sequence[str] = ()
) -> Schema:
    """Return the schema of an object that may have further properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "examples": list(examples),
    }


_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_TEXT_OR_NULL = {"type": ["string", "null"]}
_ANY_OBJECT = {"type": "object"}

#: What every reset may be told.
RESET_OPTIONS: Mapping[str, Schema] = {
    "seed": {"type": ["integer", "null"], "description": "Makes chance repeatable"},
    "episode_id": {**_TEXT_OR_NULL, "description": "A name for the episode"},
}

#: The shapes that are the same for every environment, each with examples.
SCHEMAS: Mapping[str, Schema] = {
    "Session": object_schema(
        {
            "session_id": {**_TEXT, "description": "For the header X-Session-ID"},
            "idle_timeout_s": {
                "type": "number",
                "description": "It ends after so many seconds without a request",
            },
        },
        [{"session_id": "4f0c7d9be2f84d0cb4d1f0a7d1b1a0c3", "idle_timeout_s": 900.0}],
    ),
    "McpMessage": {
        "description": "A message of JSON-RPC 2.0, or a batch of them; any other JSON is refused "
        "by an answer that says why.",
        "examples": [
            {"jsonrpc": "2.0", "id": 1, "method": "ping"},
            {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
        ],
    },
    "McpAnswer": {
        "description": "An answer of JSON-RPC 2.0, or a batch of them.",
        "type": ["object", "array"],
        "examples": [
            {"jsonrpc": "2.0", "id": 1, "result": {}},
            {
                "jsonrpc": "2.0",
                "id": None,
                "error": {"code": -32700, "message": "the body is not JSON"},
            },
        ],
    },
    "Health": object_schema(
        {"status": {"enum": ["healthy", "unhealthy"]}},
        [{"status": "healthy"}, {"status": "unhealthy"}],
    ),
    "Metadata": object_schema(
        {
            "name": _TEXT,
            "description": _TEXT,
            "readme_content": {**_TEXT_OR_NULL, "description": "A README, as Markdown"},
            "version": _TEXT_OR_NULL,
            "author": _TEXT_OR_NULL,
            "documentation_url": _TEXT_OR_NULL,
        },
        [
            {
                "name": "GuessEnvironment",
                "description": "Guess a number between 1 and 100.",
                "readme_content": None,
                "version": None,
                "author": None,
                "documentation_url": None,
            }
        ],
    ),
    "Schemas": object_schema(
        dict.fromkeys(("action", "observation", "state", "reset"), _ANY_OBJECT), []
    ),
    "Directory": object_schema(
        {"name": _TEXT, "detail": _TEXT, "doors": {"type": "array", "items": _TEXT}},
        [{"name": "echo_env", "detail": "a service of an environment", "doors": ["/health"]}],
    ),
    "Access": object_schema(
        {"required": {"type": "boolean"}, "granted": {"type": "boolean"}},
        [{"required": True, "granted": False}],
    ),
    "Names": {"type": "array", "items": _TEXT, "minItems": 1, "examples": [["echo_env"]]},
    "Capacity": object_schema(
        {
            "active": {**_COUNT, "description": "Sessions in use"},
            "waiting": {**_COUNT, "description": "Clients that queue for one"},
            "limit": {**_COUNT, "description": "The most that there may be"},
        },
        [{"active": 12, "waiting": 0, "limit": 64}],
    ),
    "Document": object_schema(
        {"openapi": {"const": "3.1.0"}, "info": _ANY_OBJECT, "paths": _ANY_OBJECT},
        [{"openapi": "3.1.0", "info": {"title": "echo_env", "version": "1.0.0"}, "paths": {}}],
    ),
    "Problem": object_schema(
        {
            "detail": {**_TEXT, "description": "What was wrong, and what to do"},
            "code": {**_TEXT, "description": "The same for programs"},
        },
        [],
    ),
    "Faults": object_schema(
        {
            "detail": {
                "type": "array",
                "minItems": 1,
                "items": object_schema(
                    {
                        "type": {**_TEXT, "description": "What kind of fault it is"},
                        "loc": {
                            "type": "array",
                            "items": {"type": ["string", "integer"]},
                            "description": "Where it is: the path, from body or query on",
                        },
                        "msg": {**_TEXT, "description": "What is wrong"},
                        "input": {"description": "What was there; null where it is long"},
                    },
                    [],
                ),
            },
            "code": {**_TEXT, "description": "The same for programs"},
        },
        [],
    ),
}

#: What goes wrong, by status.
ERRORS: Mapping[int, Failure] = {
    400: Failure(
        "This door takes something else, which the reply names",
        [
            {
                "detail": 'No WebSocket UPGRADE hdr: None Can "Upgrade" only to "WebSocket".',
                "code": "BAD_REQUEST",
            }
        ],
    ),
    401: Failure(
        "The bearer token is missing or wrong",
        [{"detail": "this service asks for a bearer token", "code": "UNAUTHORIZED"}],
        headers={"WWW-Authenticate": "The challenge (RFC 6750)"},
    ),
    403: Failure(
        "The page's origin is not allowed",
        [
            {
                "detail": "pages of https://other.org may not connect; see AIOENV_ALLOWED_ORIGINS",
                "code": "FORBIDDEN_ORIGIN",
            }
        ],
    ),
    404: Failure(
        "It does not exist, or not any more",
        [
            {
                "detail": "there is no session 'x', or not any more; POST /sessions opens one",
                "code": "SESSION_NOT_FOUND",
            },
            {
                "detail": "there is nothing at /nowhere; /openapi.json lists what there is",
                "code": "NOT_FOUND",
            },
        ],
    ),
    405: Failure(
        "This path takes other methods",
        [{"detail": "/mcp takes POST,DELETE, not GET", "code": "METHOD_NOT_ALLOWED"}],
        headers={"Allow": "Which they are"},
    ),
    413: Failure(
        "The body is too large",
        [
            {
                "detail": "the body has more than 104857600 bytes; see AIOENV_MAX_MESSAGE_SIZE_MB",
                "code": "REQUEST_ENTITY_TOO_LARGE",
            }
        ],
    ),
    422: Failure(
        "The body or a parameter does not fit; every fault is listed",
        [
            {
                "detail": [
                    {
                        "type": "missing",
                        "loc": ["body", "action"],
                        "msg": "this field is required",
                        "input": None,
                    }
                ],
                "code": "VALIDATION_ERROR",
            },
            {
                "detail": [
                    {
                        "type": "invalid_json",
                        "loc": ["body"],
                        "msg": "Invalid JSON: unexpected character: line 1 column 2 (char 1)",
                        "input": None,
                    }
                ],
                "code": "INVALID_JSON",
            },
        ],
        schema="Faults",
    ),
    500: Failure(
        "The environment failed, or the service did",
        [
            {"detail": "it broke", "code": "EXECUTION_ERROR"},
            {"detail": "echo_env cannot be made: it broke", "code": "FACTORY_ERROR"},
            {"detail": "the service failed; see its log", "code": "INTERNAL_ERROR"},
        ],
    ),
    503: Failure(
        "Every session is in use, or the service is about to stop",
        [
            {
                "detail": "every session is in use (64 of 64); try again later, "
                "or connect with ?wait_s=30 to wait for one",
                "code": "CAPACITY_REACHED",
                "active_sessions": 64,
                "max_sessions": 64,
            },
            {"detail": "the service is closed", "code": "SESSION_ERROR"},
        ],
        headers={"Retry-After": "When to try again, in seconds"},
    ),
    504: Failure(
        "The environment took too long",
        [{"detail": "step took longer than 300 s", "code": "EXECUTION_TIMEOUT"}],
    ),
}
