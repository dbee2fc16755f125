"""Access: who may come in. A bearer token, and the origins of the pages that may connect."""

import hmac
from typing import Any, TypeVar
from urllib.parse import urlsplit

from aiohttp import web

from aioenv.service.service import Service

__all__ = ["guard", "is_health", "open_to_all"]

HandlerT = TypeVar("HandlerT")

_open_doors: set[Any] = set()


def open_to_all(handler: HandlerT) -> HandlerT:
    """Mark a door that asks for no token, because nothing behind it is worth one."""
    _open_doors.add(handler)
    return handler


def guard(service: Service) -> Any:
    """Make the middleware that turns away who may not come in.

    Where the settings name a token, every door asks for it (RFC 6750) but for ``/health`` and what
    is `open_to_all`. A browser sends the origin of the page with every WebSocket handshake
    (RFC 6455, section 10.2); one that is neither this host nor allowed is refused, so that no
    foreign page can use a visitor's reach.
    """

    @web.middleware
    async def check(request: web.Request, handler: Any) -> web.StreamResponse:
        if not _is_open(request) and not _has_token(request, service.settings.token):
            _refuse(service, "token", "UNAUTHORIZED")
            return web.json_response(
                {"detail": "this service asks for a bearer token", "code": "UNAUTHORIZED"},
                status=401,
                headers={"WWW-Authenticate": "Bearer"},
            )
        if not _is_origin_allowed(request, service.settings.allowed_origins):
            _refuse(service, "origin", "FORBIDDEN_ORIGIN")
            origin = request.headers["Origin"]
            detail = f"pages of {origin} may not connect; see AIOENV_ALLOWED_ORIGINS"
            return web.json_response({"detail": detail, "code": "FORBIDDEN_ORIGIN"}, status=403)
        return await handler(request)  # type: ignore[no-any-return]

    return check


def _refuse(service: Service, reason: str, code: str) -> None:
    service.refuse(reason)
    service.counts.error(code)


def is_health(request: web.Request) -> bool:
    """Whether a request is for ``/health``, wherever the application is mounted."""
    resource = request.match_info.route.resource
    return resource is not None and resource.canonical.endswith("/health")


def _is_open(request: web.Request) -> bool:
    handler = request.match_info.handler
    return getattr(handler, "__func__", handler) in _open_doors or is_health(request)


def _has_token(request: web.Request, token: str | None) -> bool:
    if not token:
        return True
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    # aiohttp leaves the bytes of a header that are no UTF-8 as surrogates.
    given_bytes = given.strip().encode("utf-8", "surrogateescape")
    return scheme.lower() == "bearer" and hmac.compare_digest(given_bytes, token.encode())


def _is_origin_allowed(request: web.Request, allowed: tuple[str, ...]) -> bool:
    origin = request.headers.get("Origin")
    if origin is None or request.headers.get("Upgrade", "").lower() != "websocket":
        return True
    return "*" in allowed or origin in allowed or _host_of(origin) == request.host


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None
