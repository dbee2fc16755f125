"""A registry of images on loopback, which a Docker daemon pushes to."""

import base64
import hashlib
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

__all__ = ["USER", "Registry"]

USER = ("ada", "push-pass" + "word-7")
_AUTHORIZATION = "Basic " + base64.b64encode(":".join(USER).encode()).decode()


class Registry:
    """What was pushed: blobs by their digests, manifests by name and tag.

    Attributes:
        address: where it is, as the name of an image begins.
        blobs: the contents.
        manifests: the manifests, by "name:tag".
    """

    def __init__(self) -> None:
        self.address = ""
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}

    @contextmanager
    def running(self) -> Iterator["Registry"]:
        """Run it as long as the context lasts."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self.address = f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def _handler_of(registry: Registry) -> type[BaseHTTPRequestHandler]:
    """Return a handler of requests that keeps what comes in a registry."""

    class Handler(_Handler):
        kept = registry
        uploads: dict[str, bytes] = {}

    return Handler


class _Handler(BaseHTTPRequestHandler):
    """Speaks what Docker speaks to push."""

    protocol_version = "HTTP/1.1"
    kept: Registry
    uploads: dict[str, bytes]  # that have begun, in one registry

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        body, url = self._body(), urlsplit(self.path)
        if self.headers.get("Authorization") != _AUTHORIZATION:
            self._answer(401, WWW_Authenticate='Basic realm="registry"')
            return
        name, _, last = url.path.removeprefix("/v2/").rpartition("/")
        kind = name.rpartition("/")[2]
        if self.command == "PUT":
            self._put(kind, name, last, body)
        elif self.command == "POST":  # an upload begins, at …/blobs/uploads/
            self._answer(202, Location=f"{url.path}{uuid.uuid4().hex}")
        elif self.command == "PATCH":
            self.uploads[last] = self.uploads.get(last, b"") + body
            self._answer(202, Location=url.path, Range=f"0-{len(self.uploads[last]) - 1}")
        elif kind == "blobs" and last in self.kept.blobs:
            self._answer(200, self.kept.blobs[last], Docker_Content_Digest=last)
        else:
            self._answer(404 if name else 200)

    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = _serve  # noqa: N815

    def _put(self, kind: str, name: str, last: str, body: bytes) -> None:
        """Take in a manifest, or the end of an upload."""
        if kind == "manifests":
            self.kept.manifests[f"{name.removesuffix('/manifests')}:{last}"] = body
            content = body
        else:
            content = self.uploads.pop(last, b"") + body
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if kind != "manifests":
            assert parse_qs(urlsplit(self.path).query)["digest"] == [digest]
            self.kept.blobs[digest] = content
        self._answer(201, Location=f"/v2/{name}/{digest}", Docker_Content_Digest=digest)

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body
