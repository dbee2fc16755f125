"""The table of HTTP doors: what each takes and gives, in OpenAPI's terms.

To describe a new door, add one `Door` to `DOORS`, with the method and path of its route; where it
takes or gives JSON of a new shape, add that to ``SCHEMAS`` in `aioenv.service.shapes` and name it.
`aioenv.service.openapi` makes the document of it. A test fails for a route that is missing here,
and for a door that has no route. Where an application leaves a route out, its document does, too.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import field, frozen

from aioenv.service.mcp import REVISIONS

__all__ = ["DOORS", "TAGS", "Body", "Door", "Reply"]

_JSON = "application/json"


@frozen
class Body:
    """What a door takes.

    Attributes:
        schema: a name in the document's schemas.
        description: what it says.
        required: whether it must be there.
    """

    schema: str
    description: str
    required: bool = True


@frozen
class Reply:
    """What a door gives.

    Attributes:
        description: what it says.
        schema: a name in the document's schemas; none for a reply without a body, or whose body is
            not JSON.
        content_type: of its body, if it has one.
        headers: their names and descriptions.
        links: where one may go from here: a door's name, and its parameter that says with what.
    """

    description: str
    schema: str | None = None
    content_type: str | None = field()
    headers: Mapping[str, str] = field(factory=dict)
    links: Mapping[str, Mapping[str, str]] = field(factory=dict)

    @content_type.default
    def _json_where_there_is_a_schema(self) -> str | None:
        return _JSON if self.schema else None


@frozen(kw_only=True)
class Door:
    """One method of one path.

    Attributes:
        method: the HTTP method.
        path: as the route has it, without the names' patterns: ``/sessions/{session_id}``.
        tag: the heading it stands under, one of `TAGS`.
        name: its ``operationId``, which generated clients name their methods after.
        summary: what it does, in a few words.
        description: what else there is to know, as Markdown.
        parameters: OpenAPI's parameter objects.
        body: what it takes.
        replies: what it gives where all goes well, by status.
        errors: the statuses of ``ERRORS`` that it may answer with. 401 is added by itself.
        is_open: it asks for no token.
    """

    method: str
    path: str
    tag: str
    name: str
    summary: str
    description: str = ""
    parameters: Sequence[Mapping[str, Any]] = ()
    body: Body | None = None
    replies: Mapping[int, Reply]
    errors: Sequence[int] = ()
    is_open: bool = False


TAGS = {
    "Episodes": "Play: over the WebSocket, or request by request.",
    "Sessions": "What keeps an episode from one plain request to the next.",
    "MCP": "Play by the Model Context Protocol, as agents' programs do.",
    "Service": "What this service is, and how it is.",
    "Web interface": "A page on which a person plays.",
    "Documentation": "This document, and pages that show it.",
}

_WAIT = {
    "name": "wait_s",
    "in": "query",
    "description": "How long to queue for a free session, in seconds; the service caps it",
    "schema": {"type": "number", "minimum": 0, "default": 0},
}
_SESSION = {
    "name": "X-Session-ID",
    "in": "header",
    "description": (
        "The session to act in, as `POST /sessions` named it; without, the request has a fresh "
        "environment of its own, which is thrown away afterwards"
    ),
    "schema": {"type": "string"},
}
_ATTACHED = {
    "name": "session_id",
    "in": "query",
    "description": "A session that was opened before, and outlives the connection",
    "schema": {"type": "string"},
}
_SESSION_ID = {
    "name": "session_id",
    "in": "path",
    "required": True,
    "description": "As `POST /sessions` named it",
    "schema": {"type": "string"},
}
_MCP_SESSION = {
    "name": "Mcp-Session-Id",
    "in": "header",
    "description": "The session that `initialize` began",
    "schema": {"type": "string"},
}
_MCP_VERSION = {
    "name": "MCP-Protocol-Version",
    "in": "header",
    "description": "The revision of the protocol that was agreed upon",
    "schema": {"enum": list(REVISIONS)},
}
_NEW_SESSION = "$response.body#/session_id"
_ASSET = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "The file's name",
    "schema": {"type": "string"},
    "example": "start.js",
}

_OPENING = (422, 500, 503)
_PLAYING = (403, 404, 413, 422, 500, 503, 504)

DOORS = (
    Door(
        method="GET",
        path="/ws",
        tag="Episodes",
        name="play",
        summary="Play over a WebSocket",
        description=(
            "One session for each connection; it ends with the connection. Every frame is a JSON "
            "object in a text frame, and every request has one reply, in order.\n\n"
            "| request | reply |\n| --- | --- |\n"
            '| `{"type": "reset", "data": {"seed": 7}}` '
            '| `{"type": "observation", "data": StepResult}` |\n'
            '| `{"type": "step", "data": Action}` '
            '| `{"type": "observation", "data": StepResult}` |\n'
            '| `{"type": "state"}` | `{"type": "state", "data": State}` |\n'
            '| `{"type": "mcp", "data": McpMessage}` | `{"type": "mcp", "data": McpAnswer}` |\n'
            '| `{"type": "close"}` | the connection closes |\n\n'
            "What cannot be done is answered with "
            '`{"type": "error", "data": {"message", "code"}}`, and the session goes on. '
            "A page of another site may connect where the service "
            "allows its origin."
        ),
        parameters=[_WAIT, _ATTACHED],
        replies={101: Reply("The WebSocket is open")},
        errors=(400, 403, 422, 503),
    ),
    Door(
        method="POST",
        path="/reset",
        tag="Episodes",
        name="reset",
        summary="Begin an episode",
        parameters=[_SESSION, _WAIT],
        body=Body("ResetRequest", "The options of the reset", required=False),
        replies={200: Reply("The first observation", "StepResult")},
        errors=_PLAYING,
    ),
    Door(
        method="POST",
        path="/step",
        tag="Episodes",
        name="step",
        summary="Take an action",
        parameters=[_SESSION, _WAIT],
        body=Body("StepRequest", "The action"),
        replies={200: Reply("What came of it", "StepResult")},
        errors=_PLAYING,
    ),
    Door(
        method="GET",
        path="/state",
        tag="Episodes",
        name="state",
        summary="Tell where the episode stands",
        parameters=[_SESSION, _WAIT],
        replies={200: Reply("The state", "State")},
        errors=(404, *_OPENING, 504),
    ),
    Door(
        method="POST",
        path="/sessions",
        tag="Sessions",
        name="open_session",
        summary="Open a session",
        description="It takes one of the service's sessions until it is ended, or unused too long.",
        parameters=[_WAIT],
        replies={
            201: Reply(
                "The session",
                "Session",
                headers={"Location": "Where to delete it"},
                links={
                    "reset": {"X-Session-ID": _NEW_SESSION},
                    "step": {"X-Session-ID": _NEW_SESSION},
                    "state": {"X-Session-ID": _NEW_SESSION},
                    "close_session": {"session_id": _NEW_SESSION},
                },
            ),
        },
        errors=(403, *_OPENING),
    ),
    Door(
        method="DELETE",
        path="/sessions/{session_id}",
        tag="Sessions",
        name="close_session",
        summary="End a session",
        parameters=[_SESSION_ID],
        replies={
            202: Reply("It ends with the WebSocket that holds it"),
            204: Reply("It is ended"),
        },
        errors=(403, 404),
    ),
    Door(
        method="POST",
        path="/mcp",
        tag="MCP",
        name="mcp",
        summary="Call or notify",
        description=(
            "The Model Context Protocol over Streamable HTTP, each answer in one JSON body. "
            "`initialize` begins a session; the tools are `reset`, `step` and `state`. "
            "What is wrong with a call is an error of JSON-RPC with status 200; a tool that is "
            "called without a session is one with 400."
        ),
        parameters=[_WAIT, _MCP_SESSION, _MCP_VERSION],
        body=Body("McpMessage", "A call, a notification or a batch", required=False),
        replies={
            200: Reply("The answer", "McpAnswer", headers={"Mcp-Session-Id": "The new session"}),
            202: Reply("There is nothing to answer"),
            400: Reply("A header does not fit, or the session's is missing", "McpAnswer"),
            404: Reply("There is no such session, or not any more", "McpAnswer"),
            406: Reply("The header Accept leaves JSON out", "McpAnswer"),
        },
        errors=(403, 413, 422),
    ),
    Door(
        method="DELETE",
        path="/mcp",
        tag="MCP",
        name="end_mcp",
        summary="End a session",
        parameters=[{**_MCP_SESSION, "required": True}],
        replies={
            204: Reply("It is ended"),
            400: Reply("No header says which", "McpAnswer"),
            404: Reply("There is no such session, or not any more", "McpAnswer"),
        },
        errors=(403,),
    ),
    Door(
        method="GET",
        path="/mcp",
        tag="MCP",
        name="mcp_socket",
        summary="Speak MCP over a WebSocket",
        description=(
            "One JSON-RPC message in each text frame, one session for each connection. "
            "There is no stream of server-sent events."
        ),
        parameters=[_WAIT],
        replies={101: Reply("The WebSocket is open")},
        errors=(400, 403, 405, 422, 503),
    ),
    Door(
        method="GET",
        path="/health",
        tag="Service",
        name="health",
        summary="Tell whether newcomers are welcome",
        replies={
            200: Reply("They are", "Health"),
            503: Reply("The service is about to stop", "Health"),
        },
        is_open=True,
    ),
    Door(
        method="GET",
        path="/metadata",
        tag="Service",
        name="metadata",
        summary="Tell what the environment is",
        replies={200: Reply("The environment", "Metadata")},
    ),
    Door(
        method="GET",
        path="/schema",
        tag="Service",
        name="schema",
        summary="Give the models as JSON Schemas",
        replies={200: Reply("The schemas (2020-12) of its models", "Schemas")},
    ),
    Door(
        method="GET",
        path="/list_environments",
        tag="Service",
        name="list_environments",
        summary="Name the environment",
        replies={200: Reply("A list of the one name", "Names")},
    ),
    Door(
        method="GET",
        path="/capacity",
        tag="Service",
        name="capacity",
        summary="Count the sessions",
        replies={200: Reply("The figures of this moment", "Capacity")},
    ),
    Door(
        method="GET",
        path="/metrics",
        tag="Service",
        name="metrics",
        summary="Tell every figure, for Prometheus",
        description="In OpenMetrics' format where the header `Accept` asks for it.",
        replies={200: Reply("Every figure of this moment", content_type="text/plain")},
    ),
    Door(
        method="GET",
        path="/openapi.json",
        tag="Documentation",
        name="openapi",
        summary="Give this document",
        replies={200: Reply("An OpenAPI 3.1 document", "Document")},
    ),
    Door(
        method="GET",
        path="/docs",
        tag="Documentation",
        name="docs",
        summary="Show this document, and try its doors",
        replies={200: Reply("A page", content_type="text/html")},
        is_open=True,
    ),
    Door(
        method="GET",
        path="/redoc",
        tag="Documentation",
        name="redoc",
        summary="Show this document, with every model unfolded, to read",
        replies={200: Reply("A page", content_type="text/html")},
        is_open=True,
    ),
    Door(
        method="GET",
        path="/docs/{name}",
        tag="Documentation",
        name="docs_file",
        summary="Give a file of these pages",
        parameters=[_ASSET],
        replies={
            200: Reply("A script or a style sheet", content_type="text/*"),
            304: Reply("The browser has it already"),
        },
        errors=(404,),
        is_open=True,
    ),
    Door(
        method="GET",
        path="/",
        tag="Web interface",
        name="root",
        summary="Lead to the web interface, or tell what there is",
        replies={
            200: Reply("The doors, where the web interface is off", "Directory"),
            302: Reply("To the web interface", headers={"Location": "Where it is"}),
        },
        is_open=True,
    ),
    Door(
        method="GET",
        path="/web",
        tag="Web interface",
        name="web",
        summary="Lead to the page",
        replies={302: Reply("To `/web/`", headers={"Location": "Where it is"})},
        errors=(404,),
        is_open=True,
    ),
    Door(
        method="GET",
        path="/web/{name}",
        tag="Web interface",
        name="web_file",
        summary="Give the page, whose name is empty, or a file of it",
        parameters=[{**_ASSET, "example": "page.js"}],
        replies={
            200: Reply("The page, a script, a style sheet or a picture", content_type="*/*"),
            304: Reply("The browser has it already"),
        },
        errors=(404,),
        is_open=True,
    ),
    Door(
        method="GET",
        path="/web/access",
        tag="Web interface",
        name="web_access",
        summary="Tell whether a token is asked for, and whether this request has it",
        replies={200: Reply("What the page needs to know", "Access")},
        errors=(404,),
        is_open=True,
    ),
    Door(
        method="GET",
        path="/web/readme",
        tag="Web interface",
        name="web_readme",
        summary="Give the environment's README as safe HTML",
        replies={
            200: Reply("A fragment of HTML", content_type="text/html"),
            204: Reply("The environment has none"),
        },
        errors=(404,),
    ),
)
