"""Access: who may come in. A bearer token, and the origins of the pages that may connect."""

import base64
import binascii
import hmac
import ipaddress
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit

from aiohttp import web

from aioenv.service.service import Service

__all__ = ["PLAIN_PROTOCOL", "guard", "has_token", "is_health", "open_to_all"]

HandlerT = TypeVar("HandlerT")

#: What is spoken with a page: the plain wire. A browser that offers subprotocols wants one chosen.
PLAIN_PROTOCOL = "aioenv.plain"

# How a page, which cannot set a handshake's headers, says the token: as a subprotocol that is
# offered beside the plain one and never chosen. Kubernetes' API has pages do the same.
_TOKEN_PROTOCOL = "base64url.bearer.authorization.aioenv."  # noqa: S105  # no token, a prefix

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}

# The methods that change nothing (RFC 9110, section 9.2.1), as far as there are doors for them.
_READING = frozenset({"GET", "HEAD", "OPTIONS"})

_open_doors: set[Any] = set()


def open_to_all(handler: HandlerT) -> HandlerT:
    """Mark a door that asks for no token, because nothing behind it is worth one."""
    _open_doors.add(handler)
    return handler


def guard(service: Service) -> Any:
    """Make the middleware that turns away who may not come in.

    Where the settings name a token, every door asks for it (RFC 6750) but for ``/health`` and what
    is `open_to_all`. A browser sends the origin of the page with every WebSocket handshake
    (RFC 6455, section 10.2) and with every request that may change something; one that is neither
    this host nor allowed is refused, so that no foreign page can use a visitor's reach.
    """

    @web.middleware
    async def check(request: web.Request, handler: Any) -> web.StreamResponse:
        settings = service.settings
        if not _is_open(request) and not has_token(request, settings.token):
            _refuse(service, "token", "UNAUTHORIZED")
            return web.json_response(
                {"detail": "this service asks for a bearer token", "code": "UNAUTHORIZED"},
                status=401,
                headers={"WWW-Authenticate": "Bearer"},
            )
        if not _may_act(request, settings.allowed_origins, settings.public_host):
            _refuse(service, "origin", "FORBIDDEN_ORIGIN")
            origin = request.headers["Origin"]
            detail = f"pages of {origin} may not connect; see AIOENV_ALLOWED_ORIGINS"
            return web.json_response({"detail": detail, "code": "FORBIDDEN_ORIGIN"}, status=403)
        return await handler(request)  # type: ignore[no-any-return]

    return check


def has_token(request: web.Request, token: str | None) -> bool:
    """Whether a request carries the token, in its header or as a subprotocol.

    One that says a token and leaves the server no other subprotocol to choose never does: aiohttp
    would log what it was offered.
    """
    offered = _offered_protocols(request)
    said = [name for name in offered if name.startswith(_TOKEN_PROTOCOL)]
    if said and PLAIN_PROTOCOL not in offered:
        return False
    if not token:
        return True
    candidates = (_header_token(request), *(_decoded(name) for name in said))
    return any(hmac.compare_digest(given, token.encode()) for given in candidates)


def is_health(request: web.Request) -> bool:
    """Whether a request is for ``/health``, wherever the application is mounted."""
    return _is_door(request, "/health")


def _refuse(service: Service, reason: str, code: str) -> None:
    service.refuse(reason)
    service.counts.error(code)


def _is_open(request: web.Request) -> bool:
    handler = request.match_info.handler
    return getattr(handler, "__func__", handler) in _open_doors or is_health(request)


def _is_door(request: web.Request, path: str) -> bool:
    resource = request.match_info.route.resource
    return resource is not None and resource.canonical.endswith(path)


def _header_token(request: web.Request) -> bytes:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    # aiohttp leaves the bytes of a header that are no UTF-8 as surrogates.
    return given.strip().encode("utf-8", "surrogateescape") if scheme.lower() == "bearer" else b""


def _offered_protocols(request: web.Request) -> list[str]:
    # Of several lines aiohttp reads the first, and logs that if it finds nothing to choose.
    names = request.headers.get("Sec-WebSocket-Protocol", "")
    return [name.strip() for name in names.split(",")]


def _decoded(protocol: str) -> bytes:
    text = protocol.removeprefix(_TOKEN_PROTOCOL).encode("utf-8", "surrogateescape")
    try:
        said = base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        return b""
    return said.strip()


def _may_act(request: web.Request, allowed: tuple[str, ...], public_host: str | None) -> bool:
    """Whether the page that sends a request may do so.

    A browser lets any page open a WebSocket, and send plain POSTs, without asking before; it lets
    none read what another host answers. So whatever only reads is left to the browser.
    """
    origin = request.headers.get("Origin")
    only_reads = request.method in _READING and not _is_handshake(request)
    if origin is None or only_reads or "*" in allowed or origin in allowed:
        return True
    try:
        return _is_own(urlsplit(origin), request, public_host)
    except ValueError:
        return False


def _is_own(page: SplitResult, request: web.Request, public_host: str | None) -> bool:
    """Whether a page came from this service itself.

    What a proxy says in ``X-Forwarded-Host`` may be believed, as ``Host`` may: no page can set
    either where it asks another host, unless that host has agreed before. But a page whose name its
    owner points to 127.0.0.1 has this host for its own (DNS rebinding), and says in a plain request
    what it likes. So a connection that was made to this machine's own address is believed a public
    name only in a handshake, whose headers no page sets, and there only of a proxy.
    """
    if _is_called(page, public_host or ""):
        return True
    forwarded = ",".join(request.headers.getall("X-Forwarded-Host", ())).split(",")
    if _is_handshake(request) and _is_called(page, *forwarded):
        return True
    is_believed = _is_local_name(page.hostname) or not _came_to_loopback(request)
    return is_believed and _is_called(page, request.host, *forwarded)


def _is_called(page: SplitResult, *names: str) -> bool:
    """Whether a page's host and port are among names, which may leave out the scheme's own port."""
    port = _DEFAULT_PORTS.get(page.scheme, "")
    called = {name.strip().lower().removesuffix(port) for name in names}
    return page.netloc.lower().removesuffix(port) in called - {""}


def _is_handshake(request: web.Request) -> bool:
    return request.headers.get("Upgrade", "").lower() == "websocket"


def _came_to_loopback(request: web.Request) -> bool:
    """Whether a connection was made to this machine's own address."""
    address = request.get_extra_info("sockname")
    return isinstance(address, tuple) and _is_loopback(address[0])


def _is_local_name(name: str | None) -> bool:
    """Whether a name leads to this machine for everybody, so that nobody can own it (RFC 6761)."""
    return name is not None and (f".{name}".endswith(".localhost") or _is_loopback(name))


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
