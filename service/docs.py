"""The documentation: the OpenAPI document, and two pages that show it.

``/docs`` lets one try the doors, ``/redoc`` unfolds the models and sends nothing. Both are Swagger
UI, which renders OpenAPI 3.1, comes from the package ``mkdocs-swagger-ui-tag`` and runs under a
policy without exceptions. (Redoc itself does not: every page of it asks its maker's host for a
picture, and styles itself inline.) Pages and files are the same for every environment and hold
nothing of one, so they need no token; the document does, and the page asks the person for it.
"""

import asyncio
import functools
import gzip
import hashlib
import html

from aiohttp import web
from attrs import frozen

from aioenv import dumps
from aioenv.service.access import open_to_all
from aioenv.service.service import Service

__all__ = ["Documentation"]

_SWAGGER_UI = "mkdocs_swagger_ui_tag"

# Name, package, path in the package.
_FILES = {
    "start.js": ("aioenv.service", "viewer/start.js"),
    "page.css": ("aioenv.service", "viewer/page.css"),
    "swagger-ui.js": (_SWAGGER_UI, "swagger-ui/javascripts/swagger-ui-bundle.js"),
    "swagger-ui.css": (_SWAGGER_UI, "swagger-ui/stylesheets/swagger-ui.css"),
}

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="stylesheet" href="docs/page.css">
</head>
<body data-view="{view}" data-asks-for-token="{asks_for_token}">
<form id="access" hidden>
<label>This service asks for its token
<input name="token" type="password" autocomplete="off" required></label>
<button>Open</button>
<p id="message" role="alert"></p>
</form>
<main id="viewer"></main>
<script src="docs/swagger-ui.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""

_HEADERS = {
    # Nothing inline, and nobody but this host. A Hugging Face Space is shown in a frame.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'self' https://huggingface.co https://*.huggingface.co https://*.hf.space"
    ),
    "Cache-Control": "no-cache",  # ask each time; the ETag makes the answer short
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Documentation:
    """The handlers of the document and of its pages.

    Args:
        service: what is documented.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._routes: set[tuple[str, str]] = set()

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the document, of the pages and of their files."""
        return [
            web.get("/openapi.json", self.document),
            web.get("/docs", self.docs),
            web.get("/redoc", self.redoc),
            web.get("/docs/", self.without_slash),
            web.get("/redoc/", self.without_slash),
            web.get("/docs/{name}", self.file),
        ]

    def describe(self, app: web.Application) -> None:
        """Note the doors that an application has by now, under their paths of now."""
        resources_of = ((route.method, route.resource) for route in app.router.routes())
        self._routes = {
            (method, resource.canonical) for method, resource in resources_of if resource
        }

    async def document(self, request: web.Request) -> web.Response:
        """``GET /openapi.json``: the document."""
        return web.Response(body=self._document, content_type="application/json")

    @open_to_all
    async def docs(self, request: web.Request) -> web.Response:
        """``GET /docs``: the document, with doors to try."""
        return self._page("trying")

    @open_to_all
    async def redoc(self, request: web.Request) -> web.Response:
        """``GET /redoc``: the document, with its models unfolded, to read."""
        return self._page("reading")

    @open_to_all
    async def without_slash(self, request: web.Request) -> web.Response:
        """``GET /docs/``, ``/redoc/``: to the page, whose relative addresses hold from there."""
        name = request.path.rstrip("/").rpartition("/")[2]
        return web.Response(status=302, headers={"Location": f"../{name}"})

    @open_to_all
    async def file(self, request: web.Request) -> web.Response:
        """``GET /docs/{name}``: a file of the pages; one that the browser has is not sent again."""
        if request.match_info["name"] not in _FILES:
            raise web.HTTPNotFound
        # In a thread, for the first reader of the largest file waits for a tenth of a second.
        file = await asyncio.to_thread(_read, request.match_info["name"])
        headers = {**_HEADERS, "ETag": f'W/"{file.tag}"', "Vary": "Accept-Encoding"}
        if any(tag.value == file.tag for tag in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        body = file.packed
        if "gzip" in request.headers.get("Accept-Encoding", "").lower():
            headers["Content-Encoding"] = "gzip"
        else:
            body = gzip.decompress(body)
        return web.Response(
            body=body, content_type=file.content_type, charset="utf-8", headers=headers
        )

    @functools.cached_property
    def _document(self) -> bytes:
        from aioenv.service.openapi import OpenApi  # late, as below: most are never asked for it

        return dumps(OpenApi(self._service, self._routes).document)

    def _page(self, view: str) -> web.Response:
        page = _PAGE.format(
            title=html.escape(f"{self._service.name}: its doors"),
            view=view,
            asks_for_token="yes" if self._service.settings.token else "no",
        )
        return web.Response(text=page, content_type="text/html", headers=_HEADERS)


@frozen
class _File:
    """One file of the pages: compressed, because nearly every browser takes it so."""

    packed: bytes
    content_type: str
    tag: str


@functools.cache
def _read(name: str) -> _File:
    from importlib import resources

    package, path = _FILES[name]
    body = resources.files(package).joinpath(path).read_bytes()
    return _File(
        packed=gzip.compress(body, mtime=0),
        content_type="text/css" if name.endswith(".css") else "text/javascript",
        tag=hashlib.sha256(body).hexdigest()[:32],
    )
