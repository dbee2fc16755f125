"""The HTTP doors: health, metadata, schemas, and episodes over plain requests.

Without a session, ``/reset``, ``/step`` and ``/state`` each act on a fresh environment that is
thrown away afterwards, as OpenEnv's services do. ``POST /sessions`` opens one that lasts; its id in
the header ``X-Session-ID`` has the same three doors use it.
"""

import asyncio
import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
from aiohttp import web

from aioenv import (
    AioEnvError,
    CapacityReached,
    Closed,
    EnvironmentFailed,
    InvalidRequest,
    Observation,
    dumps,
    loads,
)
from aioenv.faults import make_fault
from aioenv.messages import error_reply
from aioenv.service.kept import KeptSessions, UnknownSession
from aioenv.service.presence import is_gone, while_connected
from aioenv.service.service import Service
from aioenv.service.session import Session

__all__ = [
    "SESSION_HEADER",
    "HttpDoors",
    "count_bytes",
    "error_response",
    "errors_as_json",
    "read_body",
    "read_wait",
]

log = logging.getLogger(__name__)

SESSION_HEADER = "X-Session-ID"

_LONGEST_S = 1e9  # event loops cannot count to every float


class HttpDoors:
    """The handlers of the HTTP doors.

    Args:
        service: whose sessions to open.
        kept: the sessions that last from one request to the next.
    """

    def __init__(self, service: Service, kept: KeptSessions) -> None:
        self._service = service
        self._kept = kept
        self._metrics: Any = None

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of every door."""
        return [
            web.get("/health", self.health),
            web.get("/metadata", self.metadata),
            web.get("/schema", self.schema),
            web.get("/list_environments", self.list_environments),
            web.get("/capacity", self.capacity),
            web.get("/metrics", self.metrics),
            web.post("/sessions", self.open_session),
            web.delete("/sessions/{session_id}", self.close_session),
            web.get("/state", self.state),
            web.post("/reset", self.reset),
            web.post("/step", self.step),
        ]

    # What the service is

    async def health(self, request: web.Request) -> web.Response:
        """``GET /health``: 200 while newcomers are welcome, 503 once the service is stopping."""
        if self._service.is_draining:
            return _json({"status": "unhealthy"}, status=503)
        return _json({"status": "healthy"})

    async def metadata(self, request: web.Request) -> web.Response:
        """``GET /metadata``: what the environment is."""
        return _json(attrs.asdict(self._service.metadata()))

    async def schema(self, request: web.Request) -> web.Response:
        """``GET /schema``: the JSON Schemas of action, observation, state and a reset's options."""
        return _json({**self._service.contract.schemas(), "reset": self._service.reset_schema()})

    async def list_environments(self, request: web.Request) -> web.Response:
        """``GET /list_environments``: the one environment's name."""
        return _json([self._service.name])

    async def capacity(self, request: web.Request) -> web.Response:
        """``GET /capacity``: how many sessions there are, wait to begin, and may be."""
        figures = self._service.pool.statistics()
        return _json(
            {"active": figures.active, "waiting": figures.waiting, "limit": figures.limit},
            headers={"Cache-Control": "no-store"},
        )

    async def metrics(self, request: web.Request) -> web.Response:
        """``GET /metrics``: every figure of the service, for Prometheus."""
        if self._metrics is None:
            self._metrics = await asyncio.to_thread(_make_metrics, self._service)
        body, content_type = self._metrics.render(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    # Sessions

    async def open_session(self, request: web.Request) -> web.Response:
        """``POST /sessions``: open a session that lasts; ``?wait_s=`` queues for it."""
        wait_s = read_wait(request)
        with while_connected(request, self._service.pulse):
            session_id = await self._kept.open(wait_s=wait_s)
        if is_gone(request):
            # Nobody is left who could learn its id.
            await self._kept.close(session_id, "the client is gone")
        body = {
            "session_id": session_id,
            "idle_timeout_s": self._service.settings.http_idle_timeout_s,
        }
        return _json(body, status=201, headers={"Location": f"{request.path}/{session_id}"})

    async def close_session(self, request: web.Request) -> web.Response:
        """``DELETE /sessions/{id}``: end a session, or have its WebSocket's end do so (202)."""
        session_id = request.match_info["session_id"]
        has_ended = await self._kept.close(session_id, "the client closed")
        return web.Response(status=204 if has_ended else 202)

    # Episodes

    async def reset(self, request: web.Request) -> web.Response:
        """``POST /reset``: begin an episode; the body's keys are the reset's options."""
        options = await self._read_object(request)
        async with self._session(request) as session:
            return self._observed(await session.reset(options))

    async def step(self, request: web.Request) -> web.Response:
        """``POST /step``: take the body's ``action``, within ``timeout_s`` if it names one."""
        body = await self._read_object(request)
        _check_step(body)
        async with self._session(request) as session:
            timeout_s = min(body.get("timeout_s") or 0, _LONGEST_S)
            action = self._read_action(body["action"])
            observation = await session.step(action, timeout_s=timeout_s)
            return self._observed(observation)

    async def state(self, request: web.Request) -> web.Response:
        """``GET /state``: where the episode stands."""
        async with self._session(request) as session:
            return _written(self._service.contract.state_data(await session.state()))

    # Private methods

    async def _read_object(self, request: web.Request) -> dict[str, Any]:
        limit_bytes = self._service.settings.max_message_size_bytes
        return _parse_object(await read_body(request, limit_bytes))

    def _read_action(self, data: Any) -> Any:
        """Read a step's action; the path of a fault in it begins at the body."""
        try:
            return self._service.contract.read_action(data)
        except InvalidRequest as error:
            error.errors = [
                {**fault, "loc": ["action", *fault.get("loc", ())]} for fault in error.errors
            ]
            raise

    @asynccontextmanager
    async def _session(self, request: web.Request) -> AsyncIterator[Session]:
        """Lend the session that the request names, or a fresh one for this request alone.

        A fresh one ends with the client's connection. In one that the request names, what is under
        way goes on without the client, so that the next request finds it done, not half done.
        """
        session_id, wait_s = request.headers.get(SESSION_HEADER), read_wait(request)
        if session_id is not None:
            async with self._kept.use(session_id) as session:
                yield session
            return
        quietly = logging.DEBUG  # the log of requests tells all of it
        with while_connected(request, self._service.pulse):
            session = await self._service.open_session(wait_s=wait_s, log_level=quietly)
            try:
                yield session
            finally:
                why = "its only request is over"
                await self._service.close_session(session, why, log_level=quietly)

    def _observed(self, observation: Observation) -> web.Response:
        data = self._service.contract.observation_data(observation)
        data.setdefault("metadata", None)
        return _written(data)


class BadQuery(InvalidRequest):
    """A parameter in a request's address does not fit."""


def errors_as_json(service: Service) -> Any:
    """Make the middleware that answers every error of a door with its status and a JSON body."""

    @web.middleware
    async def answer(request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            return await handler(request)  # type: ignore[no-any-return]
        except UnknownSession as error:
            service.counts.error("SESSION_NOT_FOUND")
            body = {"detail": f"{error}; POST /sessions opens one", "code": "SESSION_NOT_FOUND"}
            return _json(body, status=404)
        except AioEnvError as error:
            service.counts.error(error_reply(error).code)
            return error_response(error, "query" if isinstance(error, BadQuery) else "body")
        except web.HTTPError as error:
            return _http_error_response(service, request, error)
        except web.HTTPException:  # no error: it leads elsewhere
            raise
        except ConnectionError:  # the client broke off
            return web.Response(status=400)  # which nobody will read
        except Exception:
            if request.writer.output_size:
                raise  # too late for another answer
            log.exception("%s %s failed", request.method, request.path)
            service.counts.error("INTERNAL_ERROR")
            body = {"detail": "the service failed; see its log", "code": "INTERNAL_ERROR"}
            return _json(body, status=500)

    return answer


def count_bytes(service: Service) -> Any:
    """Make the signal that counts the bytes of bodies when a response is about to be sent.

    A middleware would stay suspended as long as a WebSocket lives, and take memory.
    """

    async def count(request: web.Request, response: web.StreamResponse) -> None:
        service.counts.received_bytes += request.content.total_bytes
        if isinstance(response, web.Response) and request.method != "HEAD":
            service.counts.sent_bytes += response.content_length or 0

    return count


def error_response(error: AioEnvError, place: str = "body") -> web.Response:
    """Return the response that tells of an error.

    A bad request is 422 with OpenEnv's ``detail`` list, a full pool 503 with ``Retry-After``, an
    environment that took too long 504, one that failed 500.

    Args:
        error: what went wrong.
        place: the part of the request that does not fit, where it is a bad one.
    """
    if isinstance(error, InvalidRequest):
        faults = error.errors or [{"type": error.code.lower(), "loc": [], "msg": error.summary}]
        detail = [
            {"input": None, **fault, "loc": [place, *fault.get("loc", ())]} for fault in faults
        ]
        try:
            return _json({"detail": detail, "code": error.code}, status=422)
        except ValueError:  # what it quotes can be read, but is too deep to be written
            detail = [{**fault, "input": None} for fault in detail]
            return _json({"detail": detail, "code": error.code}, status=422)
    reply = error_reply(error)
    body = {"detail": reply.message, "code": reply.code, **reply.details}
    if isinstance(error, CapacityReached | Closed):
        return _json(body, status=503, headers={"Retry-After": "1"})
    if isinstance(error, EnvironmentFailed) and error.code == "EXECUTION_TIMEOUT":
        return _json(body, status=504)
    return _json(body, status=500)


async def read_body(request: web.Request, limit_bytes: int) -> bytes:
    """Read a request's body, as far as the limit of a message goes.

    Raises:
        web.HTTPRequestEntityTooLarge: it is longer.
    """
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > limit_bytes:
            text = f"the body has more than {limit_bytes} bytes; see AIOENV_MAX_MESSAGE_SIZE_MB"
            raise web.HTTPRequestEntityTooLarge(
                max_size=limit_bytes,
                actual_size=len(body),
                text=text,
                reason="Request Entity Too Large",  # Python 3.13 calls the status otherwise
            )
    return bytes(body)


def _http_error_response(
    service: Service, request: web.Request, error: web.HTTPError
) -> web.Response:
    """Return an error of HTTP's own with a body that says what to do, and count it."""
    code = (error.reason or "error").upper().replace(" ", "_")
    service.counts.error(code)
    headers = {}
    match error:
        case web.HTTPNotFound():
            detail = f"there is nothing at {request.path}; /openapi.json lists what there is"
        case web.HTTPMethodNotAllowed():
            headers["Allow"] = error.headers["Allow"]
            detail = f"{request.path} takes {headers['Allow']}, not {request.method}"
        case _:
            detail = " ".join((error.text or error.reason).split())
    return _json({"detail": detail, "code": code}, status=error.status, headers=headers)


def read_wait(request: web.Request) -> float:
    """Return how long a request wants to queue for a session: its ``wait_s``, in seconds.

    Raises:
        BadQuery: it is not a number of seconds.
    """
    text = request.query.get("wait_s", "0")
    try:
        wait_s = float(text)
    except ValueError:
        wait_s = math.nan
    if not 0 <= wait_s < math.inf:
        words = "expected a number of seconds, 0 or more"
        fault = make_fault("float_parsing", ["wait_s"], words, text)
        raise BadQuery("wait_s does not fit", errors=[fault])
    return wait_s


def _parse_object(text: bytes) -> dict[str, Any]:
    """Read a body's JSON; an empty one counts as an empty object."""
    if not text.strip():
        return {}
    try:
        body = loads(text)
    except ValueError as error:
        raise InvalidRequest(f"Invalid JSON: {error}", code="INVALID_JSON") from None
    if not isinstance(body, dict):
        fault = make_fault("dict_type", [], "expected an object", body)
        raise InvalidRequest("the body is not an object", errors=[fault])
    return body


def _check_step(body: dict[str, Any]) -> None:
    faults = []
    action, timeout_s = body.get("action"), body.get("timeout_s")
    if "action" not in body:
        faults.append(make_fault("missing", ["action"], "this field is required", None))
    elif not isinstance(action, dict):
        faults.append(make_fault("dict_type", ["action"], "expected an object", action))
    is_number = isinstance(timeout_s, int | float) and not isinstance(timeout_s, bool)
    if timeout_s is not None and not (is_number and 0 < timeout_s < math.inf):
        text = "expected a number of seconds, more than 0"
        faults.append(make_fault("float_type", ["timeout_s"], text, timeout_s))
    if faults:
        raise InvalidRequest("this is not a valid step", errors=faults)


def _make_metrics(service: Service) -> Any:
    # It imports what is needed for nothing else, and takes its time: hence here, in a thread.
    from aioenv.service.metrics import Metrics

    return Metrics(service)


def _written(data: dict[str, Any]) -> web.Response:
    try:
        return _json(data)
    except (TypeError, ValueError) as error:
        raise EnvironmentFailed(f"its answer cannot be written: {error}") from error


def _json(body: Any, **kwargs: Any) -> web.Response:
    return web.Response(body=dumps(body), content_type="application/json", **kwargs)
