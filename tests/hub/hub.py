"""The Hub itself: an application of aiohttp's, with real state, and faults that are real ones."""

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import yaml
from aiohttp import web
from attrs import evolve

from tests.hub.state import Account, Commit, Faults, Space
from tests.hub.xet import Storage

__all__ = ["Hub"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_COLORS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
_HARDWARE = ("cpu-basic", "cpu-upgrade", "t4-small", "t4-medium")
_LARGE = 1 << 20


class Hub:
    """A Hub that runs on loopback.

    Attributes:
        url: its address, for ``HF_ENDPOINT``.
        accounts: who has which token.
        spaces: every Space, by its name.
        faults: what goes wrong.
        requests: each request, as "POST /api/repos/create".
    """

    def __init__(self) -> None:
        self.url = ""
        self.accounts: dict[str, Account] = {}
        self.spaces: dict[str, Space] = {}
        self.faults = Faults()
        self.requests: list[str] = []
        self._storage = Storage()
        self._large: dict[str, bytes] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Hub"]:
        """Run it as long as the context lasts."""
        runner = web.AppRunner(self._application(), shutdown_timeout=1, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    def add_space(self, name: str, *, sdk: str = "docker", is_private: bool = False) -> Space:
        """Make a Space as the Hub makes one: with a README and attributes in its first commit."""
        first = Commit(
            "initial commit",
            {
                "README.md": f"---\nsdk: {sdk}\n---\n".encode(),
                ".gitattributes": b"*.bin filter=lfs\n",
            },
            "",
        )
        space = self.spaces[name] = Space(name, sdk, is_private, commits=[first])
        return space

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[self._door], client_max_size=1 << 28)
        space = "/api/spaces/{owner}/{name}"
        app.add_routes(
            [
                web.get("/api/whoami-v2", self._whoami),
                web.post("/api/repos/create", self._create),
                web.post("/api/validate-yaml", self._validate),
                web.get(space, self._info),
                web.get(f"{space}/revision/main", self._info),
                web.get(f"{space}/tree/main", self._tree),
                web.put(f"{space}/settings", self._settings),
                web.post(f"{space}/variables", self._variable),
                web.post(f"{space}/secrets", self._secret),
                web.post(f"{space}/hardware", self._hardware),
                web.post(f"{space}/preupload/main", self._preupload),
                web.post(f"{space}/commit/main", self._commit),
                # The revision is "None" for a pull request.
                web.get(f"{space}/xet-write-token/{{revision}}", self._xet_token),
                web.post("/spaces/{owner}/{name}.git/info/lfs/objects/batch", self._lfs_batch),
                web.put("/lfs/{oid}", self._lfs_upload),
                web.get("/v1/chunks/{prefix}/{hash}", self._xet_chunk),
                web.post("/v1/xorbs/{prefix}/{hash}", self._xet_xorb),
                web.post("/v1/shards", self._xet_shard),
            ]
        )
        return app

    # Who asks

    @web.middleware
    async def _door(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Note every request, and answer as the Hub does where it refuses one."""
        self.requests.append(f"{request.method} {request.path}")
        return await handler(request)

    def _account(self, request: web.Request) -> Account:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self.accounts:
            raise _refused(web.HTTPUnauthorized, "Invalid credentials in Authorization header")
        return self.accounts[token]

    def _space(self, request: web.Request, *, to_write: bool = True) -> Space:
        account = self._account(request)
        owner = request.match_info["owner"]
        space = self.spaces.get(f"{owner}/{request.match_info['name']}")
        if space is None or (space.is_private and not account.owns(owner)):
            raise _refused(web.HTTPNotFound, "Repository not found", code="RepoNotFound")
        if to_write and not account.owns(owner):
            raise _refused(
                web.HTTPForbidden, f"You don't have write access to the namespace {owner!r}"
            )
        return space

    async def _whoami(self, request: web.Request) -> web.Response:
        account = self._account(request)
        role = "write" if account.can_write else "read"
        return web.json_response(
            {
                "type": "user",
                "name": account.name,
                "orgs": [{"type": "org", "name": name} for name in account.namespaces],
                "auth": {"accessToken": {"displayName": f"{account.name}-laptop", "role": role}},
            }
        )

    # Spaces

    async def _create(self, request: web.Request) -> web.Response:
        account, asked = self._account(request), await request.json()
        owner = asked["organization"] or account.name
        name = f"{owner}/{asked['name']}"
        if not account.owns(owner):
            raise _refused(
                web.HTTPForbidden,
                f'You don\'t have the rights to create a space under the namespace "{owner}"',
            )
        url = f"{self.url}/spaces/{name}"
        if name in self.spaces:
            told = {"error": "You already created this space repo", "url": url}
            return web.json_response(told, status=409)
        if asked.get("type") != "space" or asked.get("sdk") != "docker":
            raise _refused(web.HTTPBadRequest, "this Hub makes Spaces of Docker's only")
        space = self.add_space(name, is_private=asked.get("visibility") == "private")
        self._run_on(space, asked.get("hardware"))
        space.variables = {each["key"]: each["value"] for each in asked.get("variables", ())}
        space.secrets = {each["key"]: each["value"] for each in asked.get("secrets", ())}
        return web.json_response({"url": url, "name": name, "id": name})

    async def _info(self, request: web.Request) -> web.Response:
        space = self._space(request, to_write=False)
        return web.json_response(
            {
                "id": space.id,
                "author": space.id.partition("/")[0],
                "sha": space.head.oid,
                "private": space.is_private,
                "sdk": space.sdk,
                "tags": [],
                "siblings": [{"rfilename": name} for name in space.files],
            }
        )

    async def _tree(self, request: web.Request) -> web.Response:
        space = self._space(request, to_write=False)
        return web.json_response(
            [
                {"type": "file", "path": name, "size": len(content), "oid": _git_oid(content)}
                for name, content in space.files.items()
            ]
        )

    async def _settings(self, request: web.Request) -> web.Response:
        space, asked = self._space(request), await request.json()
        if "visibility" in asked:
            space.is_private = asked["visibility"] == "private"
        return web.json_response({})

    async def _variable(self, request: web.Request) -> web.Response:
        space, asked = self._space(request), await request.json()
        space.variables[asked["key"]] = asked["value"]
        return web.json_response({asked["key"]: {"key": asked["key"], "value": asked["value"]}})

    async def _secret(self, request: web.Request) -> web.Response:
        space, asked = self._space(request), await request.json()
        if self.faults.strikes("repeat_secrets"):
            token = request.headers["Authorization"]
            raise _refused(web.HTTPBadRequest, f"Invalid secret {asked} of {token}")
        space.secrets[asked["key"]] = asked["value"]
        return web.json_response({})

    async def _hardware(self, request: web.Request) -> web.Response:
        space, asked = self._space(request), await request.json()
        self._run_on(space, asked["flavor"])
        hardware = {"current": None, "requested": space.hardware}
        return web.json_response({"stage": "BUILDING", "hardware": hardware})

    def _run_on(self, space: Space, hardware: str | None) -> None:
        if hardware is not None and hardware not in _HARDWARE:
            raise _refused(web.HTTPBadRequest, f"Invalid hardware flavor {hardware!r}")
        space.hardware = hardware or space.hardware

    # Commits

    async def _validate(self, request: web.Request) -> web.Response:
        content = (await request.json())["content"]
        _, _, rest = content.partition("---\n")
        card = yaml.safe_load(rest.partition("\n---")[0]) or {}
        faults = [
            f'"{key}" must be one of {", ".join(_COLORS)}'
            for key in ("colorFrom", "colorTo")
            if card.get(key, "red") not in _COLORS
        ]
        if "sdk" not in card:
            faults.append('"sdk" is required')
        told = {"errors": [{"message": fault} for fault in faults], "warnings": []}
        return web.json_response(told, status=400 if faults else 200)

    async def _preupload(self, request: web.Request) -> web.Response:
        is_proposal = request.query.get("create_pr") == "1"
        space, asked = self._space(request, to_write=not is_proposal), await request.json()
        told = []
        for file in asked["files"]:
            is_text = b"\x00" not in base64.b64decode(file["sample"])
            mode = "regular" if is_text and file["size"] < _LARGE else "lfs"
            there = space.files.get(file["path"])
            oid = None
            if there is not None:
                oid = _git_oid(there) if mode == "regular" else hashlib.sha256(there).hexdigest()
            told.append(
                {"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid}
            )
        return web.json_response({"files": told})

    async def _commit(self, request: web.Request) -> web.StreamResponse:
        is_proposal = request.query.get("create_pr") == "1"
        space = self._space(request, to_write=not is_proposal)
        if self.faults.strikes("cut_commits"):
            return await _cut(request)
        lines = [json.loads(line) for line in (await request.text()).splitlines()]
        commit = Commit("", dict(space.files), space.head.oid)
        for line in lines:
            commit = self._applied(commit, line["key"], line["value"])
        told: dict[str, Any] = {"success": True, "commitOid": commit.oid, "hookOutput": ""}
        if is_proposal:
            space.pull_requests.append(commit)
            number = len(space.pull_requests)
            told["pullRequestUrl"] = f"{self.url}/spaces/{space.id}/discussions/{number}"
        else:
            space.commits.append(commit)
        told["commitUrl"] = f"{self.url}/spaces/{space.id}/commit/{commit.oid}"
        return web.json_response(told)

    def _applied(self, commit: Commit, key: str, value: dict[str, Any]) -> Commit:
        match key:
            case "header":
                return evolve(commit, summary=value["summary"])
            case "file":
                content = {value["path"]: base64.b64decode(value["content"])}
            case "lfsFile":
                content = {value["path"]: {**self._large, **self._storage.files}[value["oid"]]}
            case "deletedFile":
                left = {name: it for name, it in commit.files.items() if name != value["path"]}
                return evolve(commit, files=left)
            case _:
                raise _refused(web.HTTPBadRequest, f"unknown operation {key!r}")
        return evolve(commit, files={**commit.files, **content})

    # Large files

    async def _lfs_batch(self, request: web.Request) -> web.Response:
        self._space(request)
        asked = await request.json()
        told = []
        for wanted in asked["objects"]:
            upload = {"upload": {"href": f"{self.url}/lfs/{wanted['oid']}", "header": {}}}
            is_here = wanted["oid"] in self._large
            told.append({**wanted, **({} if is_here else {"actions": upload})})
        return web.json_response({"transfer": "basic", "objects": told})

    async def _lfs_upload(self, request: web.Request) -> web.StreamResponse:
        if self.faults.strikes("cut_uploads"):
            return await _cut(request)
        content = await request.read()
        oid = request.match_info["oid"]
        if hashlib.sha256(content).hexdigest() != oid:
            raise _refused(web.HTTPBadRequest, "the content is not what its name says")
        self._large[oid] = content
        return web.Response()

    async def _xet_token(self, request: web.Request) -> web.Response:
        self._space(request, to_write=request.query.get("create_pr") != "1")
        token, expiration = "xet", 4_000_000_000
        headers = {
            "X-Xet-Cas-Url": self.url,
            "X-Xet-Access-Token": token,
            "X-Xet-Token-Expiration": str(expiration),
        }
        told = {"casUrl": self.url, "accessToken": token, "exp": expiration}
        return web.json_response(told, headers=headers)

    async def _xet_chunk(self, request: web.Request) -> web.Response:
        raise web.HTTPNotFound

    async def _xet_xorb(self, request: web.Request) -> web.StreamResponse:
        if self.faults.strikes("cut_uploads"):
            return await _cut(request)
        self._storage.add_xorb(request.match_info["hash"], await request.read())
        return web.json_response({"was_inserted": True})

    async def _xet_shard(self, request: web.Request) -> web.Response:
        self._storage.add_shard(await request.read())
        return web.json_response({"result": 1})


async def _cut(request: web.Request) -> web.StreamResponse:
    """Take half of what comes, then cut the connection as a network does: without a word."""
    size = request.content_length or 2
    while size > (request.content_length or 2) // 2:
        size -= len(await request.content.readany()) or size
    transport = request.transport
    assert transport is not None
    transport.abort()
    await asyncio.sleep(0)
    return web.Response()


def _refused(
    kind: Callable[..., web.HTTPException], message: str, *, code: str | None = None
) -> web.HTTPException:
    """Refuse as the Hub does: in headers and in the body."""
    headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
    text = json.dumps({"error": message})
    return kind(headers=headers, text=text, content_type="application/json")


def _git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
