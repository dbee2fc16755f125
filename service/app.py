"""The application: the doors of one service, put together."""

import asyncio
import inspect
from collections.abc import AsyncIterator
from typing import Any

import attrs
from aiohttp import WSCloseCode, web

from aioenv import Closed, Contract, State
from aioenv.service.access import guard
from aioenv.service.attached import AttachedDoor
from aioenv.service.docs import Documentation
from aioenv.service.http import HttpDoors, count_bytes, errors_as_json, read_wait
from aioenv.service.kept import KeptSessions
from aioenv.service.logs import identify, send_request_id
from aioenv.service.mcp import McpServer
from aioenv.service.mcp_http import McpDoor
from aioenv.service.mcp_socket import McpSocketDoor
from aioenv.service.service import EnvironmentFactory, Service, maker_of
from aioenv.service.settings import Settings
from aioenv.service.socket import SocketDoor
from aioenv.service.usage import Usage, count_usage
from aioenv.service.web_interface import WebInterface

__all__ = ["SERVICE", "USAGE", "create_app"]

SERVICE = web.AppKey("aioenv.service", Service)
USAGE = web.AppKey("aioenv.usage", Usage)
_DOORS = web.AppKey("aioenv.doors", set[SocketDoor])
_KEPT = web.AppKey("aioenv.kept", KeptSessions)
_MCP = web.AppKey("aioenv.mcp", McpServer)


def create_app(
    environment: EnvironmentFactory,
    action: type[Any],
    observation: type[Any],
    *,
    state: type[Any] = State,
    name: str | None = None,
    max_concurrent_envs: int | None = None,
    settings: Settings | None = None,
) -> web.Application:
    """Make the application that serves an environment.

    It can be run by itself (`serve`, or aiohttp's own runners) or mounted in a bigger application
    with ``add_subapp``.

    Args:
        environment: the environment's class, or a callable that makes one; never an instance,
            because every session has an environment of its own.
        action: the attrs class of its actions.
        observation: the class of its observations.
        state: the class of its state.
        name: what it is called; by default the class's name.
        max_concurrent_envs: the most sessions at a time; outdoes the settings.
        settings: how to run; by default read from the environment variables.

    Raises:
        TypeError: the environment is an instance or lacks a method, or a model is not what it must
            be.
        ValueError: a setting does not fit.
    """
    maker = _checked_maker(environment)
    settings = settings or Settings.from_environ()
    if max_concurrent_envs is not None:
        settings = attrs.evolve(settings, max_concurrent_envs=max_concurrent_envs)
    contract = Contract(action, observation, state)
    name = name or str(getattr(maker, "__name__", type(maker).__name__))
    service = Service(environment, contract, name, settings)
    usage = Usage(service)

    app = web.Application(
        middlewares=[
            identify,
            guard(service),
            count_usage(usage),
            errors_as_json(service),
        ],
        client_max_size=0,  # the doors know the limit, which may be configured later
    )
    app[SERVICE] = service
    app[USAGE] = usage
    app[_DOORS] = set()
    app[_KEPT] = kept = KeptSessions(service)
    app[_MCP] = mcp = McpServer(service, kept)
    app.add_routes(
        [
            *HttpDoors(service, kept).routes(),
            *McpDoor(service, kept, mcp).routes(),
            web.get("/ws", _open_door),
            web.get("/mcp", _open_mcp_door, allow_head=False),
        ]
    )
    app.add_routes(WebInterface(service).routes())
    documentation = Documentation(service)
    app.add_routes(documentation.routes())
    documentation.describe(app)  # last, once every door is there
    app.on_response_prepare.extend([send_request_id, count_bytes(service)])
    app.on_shutdown.append(_close_doors)
    app.cleanup_ctx.append(_run_service)
    return app


def _checked_maker(environment: Any) -> Any:
    """Return what makes environments, once it is clear that it can."""
    if not callable(environment):
        raise TypeError(
            f"pass the environment's class, not an instance: {type(environment).__name__}, "
            "because every session has an environment of its own"
        )
    maker = maker_of(environment)
    if inspect.isabstract(maker):
        missing = ", ".join(sorted(maker.__abstractmethods__))
        raise TypeError(f"the environment {maker.__name__} lacks what it must define: {missing}")
    if isinstance(maker, type) and inspect.isfunction(getattr(maker, "state", None)):
        raise TypeError(f"{maker.__name__}.state is a method; make it a property, with @property")
    return maker


async def _open_door(request: web.Request) -> web.StreamResponse:
    """``GET /ws``: one connection, one session; with ``?session_id=`` one that is kept."""
    service, mcp = request.app[SERVICE], request.app[_MCP]
    session_id = request.query.get("session_id")
    if session_id:
        kept = request.app[_KEPT]
        return await _serve(AttachedDoor(service, request, mcp, kept, session_id), request)
    return await _serve(SocketDoor(service, request, mcp), request)


async def _open_mcp_door(request: web.Request) -> web.StreamResponse:
    """``GET /mcp``: a WebSocket; a stream of the service's own messages there is not."""
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise web.HTTPMethodNotAllowed("GET", ["POST", "DELETE"])
    return await _serve(McpSocketDoor(request.app[SERVICE], request, request.app[_MCP]), request)


async def _serve(door: SocketDoor, request: web.Request) -> web.StreamResponse:
    service, doors = request.app[SERVICE], request.app[_DOORS]
    wait_s = read_wait(request)
    if service.is_draining:
        service.refuse("draining")
        raise Closed("service")
    doors.add(door)
    try:
        return await door.serve(wait_s)
    finally:
        doors.discard(door)


async def _close_doors(app: web.Application) -> None:
    """Close the connections that are left, all at once, and wait until their sessions are."""
    service = app[SERVICE]
    service.pool.close()
    why = "the service is stopping"
    app[_KEPT].close_all(why)  # not after the connections, which may use up the time
    goodbyes = [door.leave(WSCloseCode.GOING_AWAY, why) for door in app[_DOORS]]
    tasks = [task for task in goodbyes if task is not None]
    if tasks:
        await asyncio.wait(tasks, timeout=service.closing_time_left())


async def _run_service(app: web.Application) -> AsyncIterator[None]:
    """Close the sessions that are left, once no request is under way in them any more."""
    yield
    await app[SERVICE].close()
