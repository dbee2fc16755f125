"""Access: the bearer token and the origins of pages."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.conftest import Serve
from tests.environments import AsyncWorld, Census, populate
from tests.service.conftest import Connect, OpenRaw

DOORS = [
    ("GET", "/metadata"),
    ("GET", "/schema"),
    ("GET", "/list_environments"),
    ("GET", "/openapi.json"),
    ("GET", "/capacity"),
    ("GET", "/metrics"),
    ("GET", "/web/readme"),
    ("POST", "/sessions"),
    ("DELETE", "/sessions/x"),
    ("DELETE", "/sessions/health"),
    ("GET", "/state"),
    ("POST", "/reset"),
    ("POST", "/step"),
    ("GET", "/ws"),
    ("GET", "/mcp"),
    ("POST", "/mcp"),
    ("DELETE", "/mcp"),
    ("GET", "/nowhere/health"),
]


@pytest.mark.parametrize(("method", "path"), DOORS)
async def test_every_door_but_health_asks_for_the_token(
    serve: Serve, http: aiohttp.ClientSession, census: Census, method: str, path: str
) -> None:
    """Without it there is 401 with the challenge, and nothing happens behind the door."""
    served = await serve(populate(census, AsyncWorld), token="s3cret")
    async with http.request(method, f"{served.url}{path}") as response:
        assert response.status == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert await response.json() == {
            "detail": "this service asks for a bearer token",
            "code": "UNAUTHORIZED",
        }
    assert served.service.pool.statistics().acquired == 0


async def test_health_asks_for_no_token(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """Whoever watches over the container need not know it."""
    served = await serve(populate(census, AsyncWorld), token="s3cret")
    async with http.get(f"{served.url}/health") as response:
        assert response.status == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_token_opens_every_door(
    serve: Serve, connect: Connect, http: aiohttp.ClientSession, census: Census, scheme: str
) -> None:
    """The scheme's name may be written in any case (RFC 9110, section 11.1)."""
    served = await serve(populate(census, AsyncWorld), token="s3cret")
    headers = {"Authorization": f"{scheme} s3cret"}
    async with http.get(f"{served.url}/state", headers=headers) as response:
        assert response.status == 200
    await (await connect(served, headers=headers)).echoes()


@pytest.mark.parametrize(
    "given",
    [
        b"Bearer wrong",
        b"Bearer",
        b"Bearer ",
        b"s3cret",
        b"Basic s3cret",
        b"Bearer s3cret2",
        b"Bearer s3cre",
        b"Bearer \xff\xfe",
        b"\xff",
        "Bearer sécret".encode(),
    ],
)
async def test_anything_else_is_refused(serve: Serve, census: Census, given: bytes) -> None:
    """A wrong token is 401, also one that is no text at all."""
    served = await serve(populate(census, AsyncWorld), token="s3cret")
    host, _, port = served.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /state HTTP/1.1\r\nHost: x\r\nAuthorization: " + given + b"\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
    writer.close()
    assert census.made == 0


async def test_a_token_may_be_any_text(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """Characters beyond ASCII are compared as UTF-8."""
    served = await serve(populate(census, AsyncWorld), token="gehëim")
    headers = {"Authorization": "Bearer gehëim"}
    async with http.get(f"{served.url}/state", headers=headers) as response:
        assert response.status == 200


async def test_the_token_is_not_shown(serve: Serve, census: Census) -> None:
    """Neither the settings nor the service tell it when they are printed."""
    served = await serve(populate(census, AsyncWorld), token="s3cret")
    assert "s3cret" not in repr(served.service.settings) + repr(served.service)


# Origins


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.test",
        "http://127.0.0.1:1",
        "null",
        "",
        "http://[",
        "file://",
        "http://127.0.0.1:{port}.evil.test",
        "http://evil.test/http://127.0.0.1:{port}",
    ],
)
async def test_a_foreign_page_may_not_connect(
    serve: Serve, connect: Connect, census: Census, origin: str
) -> None:
    """Any origin but this host's own is refused before the handshake (RFC 6455, section 10.2)."""
    served = await serve(populate(census, AsyncWorld), allowed_origins=("https://good.test",))
    origin = origin.replace("{port}", served.url.rpartition(":")[2])
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await connect(served, headers={"Origin": origin})
    assert refusal.value.status == 403
    assert census.made == 0


async def test_a_refused_page_is_told_what_to_do(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """The body names the origin and the setting."""
    served = await serve(populate(census, AsyncWorld))
    headers = {"Origin": "https://evil.test", "Upgrade": "WebSocket", "Connection": "Upgrade"}
    async with http.get(f"{served.url}/ws", headers=headers) as response:
        assert (response.status, await response.json()) == (
            403,
            {
                "detail": "pages of https://evil.test may not connect; see AIOENV_ALLOWED_ORIGINS",
                "code": "FORBIDDEN_ORIGIN",
            },
        )


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, ()),
        ("{url}", ()),
        ("https://good.test", ("https://good.test", "https://other.test")),
        ("https://any.test", ("*",)),
        ("http://[", ("*",)),
    ],
)
async def test_own_and_allowed_pages_may_connect(
    serve: Serve, connect: Connect, census: Census, origin: str | None, allowed: tuple[str, ...]
) -> None:
    """So may whoever is no page and sends no origin."""
    served = await serve(populate(census, AsyncWorld), allowed_origins=allowed)
    headers = {} if origin is None else {"Origin": origin.replace("{url}", served.url)}
    await (await connect(served, headers=headers)).echoes()


CHANGING = [
    ("POST", "/sessions", ""),
    ("DELETE", "/sessions/x", ""),
    ("POST", "/reset", "{}"),
    ("POST", "/step", '{"action": {"text": "Hi"}}'),
    ("POST", "/mcp", '{"jsonrpc": "2.0", "id": 1, "method": "ping"}'),
    ("DELETE", "/mcp", ""),
]


@pytest.mark.parametrize(("method", "path", "body"), CHANGING)
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.test"},
        {"Origin": "null"},
        {"Origin": "http://[bad"},
        {"Origin": "http://evil.test:1", "Host": "evil.test:1"},
        {"Origin": "http://evil.test:1", "Host": "a.test", "X-Forwarded-Host": "evil.test:1"},
    ],
    ids=["foreign", "null", "malformed", "rebound", "rebound and forwarded"],
)
async def test_a_foreign_page_may_change_nothing(
    serve: Serve,
    http: aiohttp.ClientSession,
    census: Census,
    method: str,
    path: str,
    body: str,
    headers: dict[str, str],
) -> None:
    """A browser sends plain requests unasked, also to a name that was pointed to this machine."""
    served = await serve(populate(census, AsyncWorld))
    async with http.request(method, f"{served.url}{path}", data=body, headers=headers) as response:
        assert (response.status, (await response.json())["code"]) == (403, "FORBIDDEN_ORIGIN")
    assert census.made == 0


@pytest.mark.parametrize(
    ("headers", "settings"),
    [
        ({}, {}),
        ({"Origin": "{url}"}, {}),
        ({"Origin": "http://localhost:1", "Host": "localhost:1"}, {}),
        ({"Origin": "https://good.test"}, {"allowed_origins": ["https://good.test"]}),
        ({"Origin": "https://any.test"}, {"allowed_origins": ["*"]}),
        ({"Origin": "https://space.test", "Host": "space.test"}, {"public_host": "space.test"}),
    ],
    ids=["no page", "own", "localhost", "allowed", "any", "public"],
)
async def test_own_and_allowed_pages_may_play(
    serve: Serve,
    http: aiohttp.ClientSession,
    census: Census,
    headers: dict[str, str],
    settings: dict[str, Any],
) -> None:
    """By plain requests and by MCP; so may whoever is no page and sends no origin."""
    served = await serve(populate(census, AsyncWorld), **settings)
    sent = {name: value.replace("{url}", served.url) for name, value in headers.items()}
    for path, body in (("/reset", {}), ("/mcp", {"jsonrpc": "2.0", "id": 1, "method": "ping"})):
        async with http.post(f"{served.url}{path}", json=body, headers=sent) as response:
            assert response.status == 200


@pytest.mark.parametrize("proxied", [{"Host": "a.test"}, {"X-Forwarded-Host": "a.test"}], ids=str)
async def test_a_proxy_beyond_loopback_is_believed(
    serve: Serve, census: Census, tmp_path: Path, proxied: dict[str, str]
) -> None:
    """No browser leads there by itself, so whoever tells a public name there is one's own proxy."""
    path = tmp_path / "service"
    served = await serve(populate(census, AsyncWorld))
    runner = web.AppRunner(served.app)
    await runner.setup()
    await web.UnixSite(runner, path).start()
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as http:
        for origin, status in (("https://a.test", 200), ("https://b.test", 403)):
            headers = {"Origin": origin, **proxied}
            async with http.post("http://a.test/reset", headers=headers) as response:
                assert response.status == status
    await runner.cleanup()


async def test_a_foreign_page_may_ask(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """What only reads is left to the browser, which shows it no answer."""
    served = await serve(populate(census, AsyncWorld))
    for method in ("GET", "HEAD"):
        headers = {"Origin": "https://evil.test"}
        async with http.request(method, f"{served.url}/metadata", headers=headers) as response:
            assert response.status == 200
            assert "Access-Control-Allow-Origin" not in response.headers


# Tokens of pages


def _said(token: str) -> str:
    encoded = base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")
    return f"base64url.bearer.authorization.aioenv.{encoded}"


@pytest.mark.parametrize("token", ["s3cret", "gehëim/+ ", "ÿþ?"])
async def test_a_page_says_the_token_as_a_subprotocol(
    serve: Serve, connect: Connect, census: Census, token: str
) -> None:
    """A browser's handshake takes no headers. The plain wire is chosen, no token repeated."""
    served = await serve(populate(census, AsyncWorld), token=token)
    talk = await connect(served, protocols=["aioenv.plain", _said(token)])
    assert talk.socket.protocol == "aioenv.plain"
    await talk.echoes()


@pytest.mark.parametrize(
    "protocols",
    [
        ["aioenv.plain"],
        ["aioenv.plain", _said("wrong")],
        ["aioenv.plain", "base64url.bearer.authorization.aioenv.%%%"],
        ["aioenv.plain", "base64url.bearer.authorization.aioenv.A"],
        ["aioenv.plain", "base64url.bearer.authorization.aioenv."],
        [_said("s3cret")],
    ],
    ids=["none", "wrong", "no base64", "half", "empty", "alone"],
)
async def test_any_other_subprotocol_is_refused(
    serve: Serve,
    connect: Connect,
    census: Census,
    caplog: pytest.LogCaptureFixture,
    protocols: list[str],
) -> None:
    """So is the token alone, beside which nothing could be chosen; no log repeats what was said."""
    served = await serve(populate(census, AsyncWorld), token="s3cret")
    with caplog.at_level("DEBUG"), pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await connect(served, protocols=protocols)
    assert refusal.value.status == 401
    assert "base64url" not in caplog.text
    assert census.made == 0


async def test_a_token_in_a_line_of_its_own_is_refused(
    serve: Serve, open_raw: OpenRaw, census: Census, caplog: pytest.LogCaptureFixture
) -> None:
    """The server chooses from the first line alone, and would log what it finds there."""
    served = await serve(populate(census, AsyncWorld), token="s3cret")
    header = "Sec-WebSocket-Protocol"
    with caplog.at_level("DEBUG"):
        peer = await open_raw(served, "", f"{header}: {_said('s3cret')}", f"{header}: aioenv.plain")
    assert peer.response.startswith("HTTP/1.1 401 ")
    assert "base64url" not in caplog.text
    assert census.made == 0


# The service's own names


@pytest.mark.parametrize(
    ("headers", "public_host"),
    [
        ({"Origin": "https://space.test"}, "space.test"),
        ({"Origin": "https://Space.test:443"}, "space.test"),
        ({"Origin": "https://space.test", "X-Forwarded-Host": "space.test"}, None),
        ({"Origin": "https://space.test", "X-Forwarded-Host": "a.test, space.test:443"}, None),
        ({"Origin": "https://space.test", "Host": "space.test"}, "space.test"),
        ({"Origin": "https://localhost", "Host": "localhost:443"}, None),
        ({"Origin": "http://localhost", "Host": "localhost:80"}, None),
        ({"Origin": "http://a.localhost:8000", "Host": "a.localhost:8000"}, None),
        ({"Origin": "http://[::1]:8000", "Host": "[::1]:8000"}, None),
    ],
)
async def test_a_page_of_the_public_name_may_connect(
    serve: Serve,
    connect: Connect,
    census: Census,
    headers: dict[str, str],
    public_host: str | None,
) -> None:
    """By the setting, by what a proxy tells, with the scheme's own port or without."""
    served = await serve(populate(census, AsyncWorld), public_host=public_host)
    await (await connect(served, headers=headers)).echoes()


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.test", "X-Forwarded-Host": "space.test"},
        {"Origin": "https://space.test:444"},
        {"Origin": "https://space.test.evil.test"},
        {"Origin": "https://", "X-Forwarded-Host": ""},
        {"Origin": "https://:443", "X-Forwarded-Host": ""},
        {"Origin": "http://evil.test", "Host": "evil.test"},
        {"Origin": "http://evillocalhost", "Host": "evillocalhost"},
    ],
)
async def test_no_other_name_may(
    serve: Serve, connect: Connect, census: Census, headers: dict[str, str]
) -> None:
    """A name that only resembles it is a stranger's; so is one that was pointed to this machine."""
    served = await serve(populate(census, AsyncWorld), public_host="space.test")
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await connect(served, headers=headers)
    assert refusal.value.status == 403
