"""Access: who may come in. A bearer token, and the origins of the pages that may connect."""

import hmac
import ipaddress
from typing import Any
from urllib.parse import SplitResult, urlsplit

from aiohttp import web

from aioenv.service.service import Service

__all__ = ["guard", "is_health"]


def guard(service: Service) -> Any:
    """Make the middleware that turns away who may not come in.

    Where the settings name a token, every door but ``/health`` asks for it (RFC 6750). A browser
    sends the origin of the page with every WebSocket handshake (RFC 6455, section 10.2); one that
    is neither this host nor allowed is refused, so that no foreign page can use a visitor's reach.
    """

    @web.middleware
    async def check(request: web.Request, handler: Any) -> web.StreamResponse:
        if not is_health(request) and not _has_token(request, service.settings.token):
            _refuse(service, "token", "UNAUTHORIZED")
            return web.json_response(
                {"detail": "this service asks for a bearer token", "code": "UNAUTHORIZED"},
                status=401,
                headers={"WWW-Authenticate": "Bearer"},
            )
        if not _may_connect(request, service.settings.allowed_origins):
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
    return _is_door(request, "/health")


def _is_door(request: web.Request, path: str) -> bool:
    resource = request.match_info.route.resource
    return resource is not None and resource.canonical.endswith(path)


def _has_token(request: web.Request, token: str | None) -> bool:
    if not token:
        return True
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    # aiohttp leaves the bytes of a header that are no UTF-8 as surrogates.
    given_bytes = given.strip().encode("utf-8", "surrogateescape")
    return scheme.lower() == "bearer" and hmac.compare_digest(given_bytes, token.encode())


def _may_connect(request: web.Request, allowed: tuple[str, ...]) -> bool:
    """Whether the page that sends a request may do so, where it is one that pages are kept from.

    A browser lets any page open a WebSocket, and send the POSTs of MCP without asking before.
    """
    origin, is_mcp = request.headers.get("Origin"), _is_door(request, "/mcp")
    is_socket = request.headers.get("Upgrade", "").lower() == "websocket"
    if origin is None or not (is_mcp or is_socket) or "*" in allowed or origin in allowed:
        return True
    host = _host_of(origin)
    if host is None or host.netloc != request.host:
        return False
    return not is_mcp or _is_local_name(host.hostname) or not _came_to_loopback(request)


def _came_to_loopback(request: web.Request) -> bool:
    """Whether a connection was made to this machine's own address.

    A page whose name its owner points to 127.0.0.1 has this host for its own (DNS rebinding). The
    protocol demands that it be turned away nevertheless; the connection's address gives it away.
    """
    address = request.get_extra_info("sockname")
    return isinstance(address, tuple) and _is_loopback(address[0])


def _is_local_name(name: str | None) -> bool:
    return name is not None and (name == "localhost" or _is_loopback(name))


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _host_of(origin: str) -> SplitResult | None:
    try:
        return urlsplit(origin)
    except ValueError:
        return None
