"""The web interface: the page at ``/web``, and what only this page asks for.

The page is the same for every environment, and holds nothing of one: it reads `/metadata`,
`/schema` and `/capacity`, and plays over `/ws`, as any client may. So it needs no token to be
loaded; it asks the person for the token, and sends it with everything that does.
"""

import asyncio
import functools
import hashlib
import re

from aiohttp import web
from attrs import frozen

from aioenv import dumps
from aioenv.service.access import has_token, open_to_all
from aioenv.service.service import Service

__all__ = ["WebInterface"]

_TYPES = {
    "html": "text/html",
    "js": "text/javascript",
    "css": "text/css",
    "svg": "image/svg+xml",
}
_FRAMES = "'self' https://huggingface.co https://*.huggingface.co https://*.hf.space"
_HOST = re.compile(r"[\w.-]+(:\d+)?|\[[0-9a-f:.]+\](:\d+)?", re.ASCII | re.IGNORECASE)
_SCHEMES = ("ws", "wss")
_OFF = "the web interface is off; ENABLE_WEB_INTERFACE=true turns it on"


@frozen
class _Asset:
    """One file of the page."""

    body: bytes
    content_type: str
    etag: str


@functools.cache
def _assets() -> dict[str, _Asset]:
    """Read the page's files, once."""
    from importlib import resources  # late: whoever serves no page needs none of it

    assets = {}
    for path in resources.files("aioenv.service").joinpath("web").iterdir():
        content_type = _TYPES.get(path.name.rpartition(".")[2])
        if content_type is not None:
            body = path.read_bytes()
            assets[path.name] = _Asset(body, content_type, hashlib.sha256(body).hexdigest()[:32])
    return assets


class WebInterface:
    """The handlers of the page.

    Args:
        service: whose environment it shows; its settings may turn the page off.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the page, and of ``/``, which leads to it."""
        return [
            web.get("/", self.root),
            web.get("/web", self.front),
            web.get("/web/access", self.access),
            web.get("/web/readme", self.readme),
            web.get("/web/{name:[^/]*}", self.asset),
        ]

    @open_to_all
    async def root(self, request: web.Request) -> web.StreamResponse:
        """``GET /``: to the page, or, where it is off, a word on what there is."""
        if self._service.settings.web_interface:
            return _moved("web/", request)
        body = {
            "name": self._service.name,
            "detail": f"a service of an OpenEnv environment; {_OFF}",
            "doors": sorted(
                resource.canonical
                for resource in request.app.router.resources()
                if "/web" not in resource.canonical
            ),
        }
        return web.Response(body=dumps(body), content_type="application/json")

    @open_to_all
    async def front(self, request: web.Request) -> web.StreamResponse:
        """``GET /web``: to ``/web/``, whose relative addresses hold behind any prefix."""
        return self._absent() or _moved("web/", request)

    @open_to_all
    async def asset(self, request: web.Request) -> web.StreamResponse:
        """``GET /web/``: the page; ``GET /web/{name}``: one of its files."""
        absent = self._absent()
        if absent is not None:
            return absent
        asset = _assets().get(request.match_info["name"] or "index.html")
        if asset is None:
            return self._not_found(f"the page has no file {request.match_info['name']!r}")
        headers = {**self._headers(request), "Vary": "Accept-Encoding"}
        if any(tag.value == asset.etag for tag in request.if_none_match or ()):
            response = web.Response(status=304, headers=headers)
        else:
            response = web.Response(
                body=asset.body, content_type=asset.content_type, charset="utf-8", headers=headers
            )
            response.enable_compression()
        response.headers["ETag"] = f'W/"{asset.etag}"'
        return response

    @open_to_all
    async def access(self, request: web.Request) -> web.StreamResponse:
        """``GET /web/access``: whether a token is asked for, and whether this request has it."""
        token = self._service.settings.token
        body = {"required": bool(token), "granted": has_token(request, token)}
        return self._absent() or web.Response(
            body=dumps(body),
            content_type="application/json",
            headers={"Cache-Control": "no-store"},
        )

    async def readme(self, request: web.Request) -> web.StreamResponse:
        """``GET /web/readme``: the README as a fragment of HTML; 204 where there is none."""
        absent = self._absent()
        if absent is not None:
            return absent
        text = self._service.metadata().readme_content
        if not text:
            return web.Response(status=204)
        from aioenv.service.readme import render_readme  # late: most services are never asked

        body = await asyncio.to_thread(render_readme, text)
        return web.Response(text=body, content_type="text/html", headers=self._headers(request))

    # Private methods

    def _absent(self) -> web.Response | None:
        """Return the refusal of a page that is off."""
        return None if self._service.settings.web_interface else self._not_found(_OFF)

    def _not_found(self, detail: str) -> web.Response:
        self._service.counts.error("NOT_FOUND")
        body = dumps({"detail": detail, "code": "NOT_FOUND"})
        return web.Response(body=body, content_type="application/json", status=404)

    def _headers(self, request: web.Request) -> dict[str, str]:
        """Return what the page may do: run its own files, and talk to this host alone."""
        hosts = (request.host, self._service.settings.public_host or "")
        # Browsers differ in whether 'self' covers the WebSockets of the same host.
        sockets = "".join(
            f" {scheme}://{host}" for host in hosts if _HOST.fullmatch(host) for scheme in _SCHEMES
        )
        policy = (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
            f"connect-src 'self'{sockets}; base-uri 'none'; form-action 'none'; "
            f"frame-ancestors {_FRAMES}"
        )
        return {
            "Content-Security-Policy": policy,
            "Cache-Control": "no-cache",  # ask each time; the ETag makes the answer short
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }


def _moved(place: str, request: web.Request) -> web.Response:
    """Lead to another place, told relative to this one, so that any prefix stays."""
    query = f"?{request.rel_url.raw_query_string}" if request.rel_url.raw_query_string else ""
    return web.Response(status=302, headers={"Location": place + query})
