"""A registry with one small image, as far as pulling goes (the OCI distribution specification)."""

import asyncio
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

__all__ = ["Registry"]

_TYPES = {
    "manifest": "application/vnd.docker.distribution.manifest.v2+json",
    "config": "application/vnd.docker.container.image.v1+json",
    "layer": "application/vnd.docker.image.rootfs.diff.tar.gzip",
}


class Registry:
    """Serves an image, and lets a test hold it back.

    Attributes:
        may_send: lets all of the layer be sent.
        asked: set once a layer was asked for.
        left: set once Docker was gone before it had all of it.
        questions: how often it was asked which image the tag names: once for each pull.
        login: the header ``Authorization`` that is asked for, if any.
    """

    def __init__(self, content: bytes, login: str | None = None) -> None:
        self.may_send, self.asked, self.left = (asyncio.Event() for _ in range(3))
        self.may_send.set()
        self.questions = 0
        self.login = login
        self._layer, diff_id = _layer(content)
        self._config = _json(
            architecture="amd64",
            os="linux",
            config={"Cmd": ["/nothing"]},
            rootfs={"type": "layers", "diff_ids": [diff_id]},
        )
        self._manifest = _json(
            schemaVersion=2,
            mediaType=_TYPES["manifest"],
            config=_described("config", self._config),
            layers=[_described("layer", self._layer)],
        )

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Serve it; gives the name of its image."""
        app = web.Application()
        app.router.add_get("/v2/{rest:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"127.0.0.1:{runner.addresses[0][1]}/small/image:1"
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if self.login and request.headers.get("Authorization") != self.login:
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="here"'})
        rest = request.match_info["rest"]
        if rest.endswith(_digest(self._layer)):
            return await self._send(request)
        if rest.endswith(_digest(self._config)):
            return web.Response(body=self._config, content_type=_TYPES["config"])
        if "/manifests/" in rest:
            self.questions += rest.endswith("/manifests/1")
            headers = {"Docker-Content-Digest": _digest(self._manifest)}
            return web.Response(
                body=self._manifest, content_type=_TYPES["manifest"], headers=headers
            )
        return web.Response(body=b"{}", content_type="application/json")

    async def _send(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(self._layer))})
        await response.prepare(request)
        sent = len(self._layer) // 2
        await response.write(self._layer[:sent])
        self.asked.set()
        try:
            # Docker takes note of the end of a pull when more of it comes: hence drop by drop.
            while not self.may_send.is_set():
                await response.write(self._layer[sent : sent + 1])
                sent += 1
                await asyncio.sleep(0.001)
            await response.write(self._layer[sent:])
        except ConnectionError:
            self.left.set()
        return response


def _layer(content: bytes) -> tuple[bytes, str]:
    """Return a layer with one file, and the digest of what it unpacks to."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("content")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return gzip.compress(file.getvalue(), 0), _digest(file.getvalue())


def _described(kind: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": _TYPES[kind], "size": len(content), "digest": _digest(content)}


def _json(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
