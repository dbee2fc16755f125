"""The web interface's own doors: its files, its policy, the README, the switch."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from aioenv.service.readme import render_readme
from tests.conftest import Serve
from tests.environments import AsyncWorld, Census, populate

ROOT = Path(__file__).parents[2]
FILES = sorted(path.name for path in (ROOT / "service" / "web").iterdir())


@pytest.mark.parametrize(
    ("path", "location"),
    [("/", "web/"), ("/web", "web/"), ("/web?__sign=a%20b", "web/?__sign=a%20b")],
)
async def test_every_way_leads_to_the_page(
    serve: Serve, http: aiohttp.ClientSession, census: Census, path: str, location: str
) -> None:
    """By a relative address, so that it holds behind any prefix; a query stays."""
    served = await serve(populate(census, AsyncWorld))
    async with http.get(served.url + path, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (302, location)


@pytest.mark.parametrize("name", ["", *FILES])
async def test_its_files_are_served_with_the_policy(
    serve: Serve, http: aiohttp.ClientSession, census: Census, name: str
) -> None:
    """Without a token, with their types; what the browser has already is not sent again."""
    served = await serve(populate(census, AsyncWorld), token="s3cret")
    url = f"{served.url}/web/{name}"
    async with http.get(url) as response:
        assert response.status == 200
        assert await response.read() == (ROOT / "service/web" / (name or "index.html")).read_bytes()
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        assert "unsafe" not in response.headers["Content-Security-Policy"]
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        kinds = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
        assert response.content_type == kinds.get(name.rpartition(".")[2], "text/html")
        assert response.headers["Vary"] == "Accept-Encoding"
        etag = response.headers["ETag"]
    async with http.get(url, headers={"If-None-Match": etag}) as response:
        assert (response.status, await response.read()) == (304, b"")
        assert response.headers["ETag"] == etag


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("here.test:80", "connect-src 'self' ws://here.test:80 wss://here.test:80 ws://x.test"),
        ("[::1]:8000", "connect-src 'self' ws://[::1]:8000 wss://[::1]:8000 ws://x.test"),
        ("evil.test;script-src", "connect-src 'self' ws://x.test wss://x.test;"),
    ],
)
async def test_the_policy_names_the_sockets_of_this_host(
    serve: Serve, http: aiohttp.ClientSession, census: Census, host: str, told: str
) -> None:
    """And nothing that a header could smuggle into it."""
    served = await serve(populate(census, AsyncWorld), public_host="x.test")
    async with http.get(f"{served.url}/web/", headers={"Host": host}) as response:
        policy = response.headers["Content-Security-Policy"]
        assert told in policy
        assert policy.count("script-src") == 1


async def test_a_file_that_is_not_there(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """It is 404 in JSON; no path leads out of the page's folder."""
    served = await serve(populate(census, AsyncWorld))
    for name in ("..%2Fapp.py", "..%2Fweb%2Fpage.js", "%2Fetc%2Fpasswd"):
        async with http.get(URL(f"{served.url}/web/{name}", encoded=True)) as response:
            assert response.status == 404
    async with http.get(f"{served.url}/web/nothing.js") as response:
        body = {"detail": "the page has no file 'nothing.js'", "code": "NOT_FOUND"}
        assert (response.status, await response.json()) == (404, body)


@pytest.mark.parametrize("path", ["/web", "/web/", "/web/page.js", "/web/access", "/web/readme"])
async def test_it_can_be_off(
    serve: Serve, http: aiohttp.ClientSession, census: Census, path: str
) -> None:
    """Then every door of it is 404 and says how to turn it on; `/` says what there is."""
    served = await serve(populate(census, AsyncWorld), web_interface=False)
    async with http.get(served.url + path) as response:
        detail = "the web interface is off; ENABLE_WEB_INTERFACE=true turns it on"
        assert (response.status, await response.json()) == (
            404,
            {"detail": detail, "code": "NOT_FOUND"},
        )
    async with http.get(f"{served.url}/") as response:
        body = await response.json()
        assert {"/ws", "/schema", "/health"} <= set(body["doors"])
        assert not any("web" in door for door in body["doors"])


@pytest.mark.parametrize(
    ("token", "given", "answer"),
    [
        (None, {}, {"required": False, "granted": True}),
        ("t", {}, {"required": True, "granted": False}),
        ("t", {"Authorization": "Bearer x"}, {"required": True, "granted": False}),
        ("t", {"Authorization": "Bearer t"}, {"required": True, "granted": True}),
    ],
)
async def test_the_page_can_ask_whether_it_has_the_token(
    serve: Serve,
    http: aiohttp.ClientSession,
    census: Census,
    token: str | None,
    given: dict[str, str],
    answer: dict[str, bool],
) -> None:
    """The answer is 200 in every case, and kept by nobody."""
    served = await serve(populate(census, AsyncWorld), token=token)
    async with http.get(f"{served.url}/web/access", headers=given) as response:
        assert (response.status, await response.json()) == (200, answer)
        assert response.headers["Cache-Control"] == "no-store"


async def test_the_readme_needs_the_token(
    serve: Serve, http: aiohttp.ClientSession, census: Census, tmp_path: Path
) -> None:
    """It is the environment's; without one there is 204."""
    path = tmp_path / "README.md"
    path.write_text("# Hi")
    served = await serve(populate(census, AsyncWorld), token="t", readme_path=path)
    async with http.get(f"{served.url}/web/readme") as response:
        assert response.status == 401
    async with http.get(
        f"{served.url}/web/readme", headers={"Authorization": "Bearer t"}
    ) as response:
        assert await response.text() == '<h2 id="readme-hi">Hi</h2>\n'
    bare = await serve(populate(census, AsyncWorld))
    async with http.get(f"{bare.url}/web/readme") as response:
        assert (response.status, await response.read()) == (204, b"")


# The README's rendering


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("---\ntitle: x\n---\n# A", '<h2 id="readme-a">A</h2>\n'),
        ("# A b!\n\n# A b", '<h2 id="readme-a-b">A b!</h2>\n<h2 id="readme-a-b-1">A b</h2>\n'),
        ("[x](#a-b)", '<p><a href="#readme-a-b">x</a></p>\n'),
        ("[x](docs/a.md)", "<p><span>x</span></p>\n"),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>\n"),
        ("a <b onclick='x()'>c</b> &amp; <d", "<p>a c &amp; &lt;d</p>\n"),
        ("<script>\nx()\n</script>\n", "\n"),
        ('<h1>\nFish &amp; &lt;b&gt; "Chips"\n</h1>\n', '\nFish &amp; &lt;b&gt; "Chips"\n\n'),
        ("<style>x{}</style> <!-- y", " "),
        ("![a<b](docs/a.png)", '<p><span class="image">a&lt;b</span></p>\n'),
        ("    a < b", '<pre tabindex="0"><code>a &lt; b\n</code></pre>\n'),
        ("~~a~~", "<p><s>a</s></p>\n"),
    ],
)
def test_the_readme_s_markdown(markdown: str, html: str) -> None:
    """Nothing but text, structure and links to other sites is left."""
    assert render_readme(markdown) == html


@pytest.mark.parametrize(
    ("markdown", "part"),
    [
        (
            "[x](https://a.test/?b&c)",
            'href="https://a.test/?b&amp;c" target="_blank" rel="noopener',
        ),
        ("![x](https://a.test/b.png)", '<a class="image" href="https://a.test/b.png" target='),
        ("[![x](https://a.test/b.png)](https://c.test)", '<span class="image">x</span></a>'),
        ("![x](data:image/png;base64,AA==)", '<img src="data:image/png;base64,AA==" alt="x">'),
        ("|a|\n|-:|\n|b|", '<th class="to-right">a</th>'),
        ("####### a", "<p>####### a</p>"),
        ("###### a", '<h6 id="readme-a">'),
    ],
)
def test_the_readme_s_links_and_tables(markdown: str, part: str) -> None:
    """Pictures of other hosts become links, and no style stands inline."""
    rendered = render_readme(markdown)
    assert part in rendered
    assert "style=" not in rendered


# The reset's options


async def test_the_schema_tells_a_reset_s_options(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """Beside OpenEnv's three, so that a form can be made of them."""
    served = await serve(populate(census, AsyncWorld))
    async with http.get(f"{served.url}/schema") as response:
        schemas: dict[str, Any] = await response.json()
    assert schemas.keys() == {"action", "observation", "state", "reset"}
    assert schemas["reset"]["properties"].keys() == {"seed", "episode_id", "do"}
    assert schemas["reset"]["properties"]["do"]["default"] == "ready"
    assert schemas["reset"]["additionalProperties"] is False


async def test_a_factory_s_reset_takes_anything(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """Nothing is known of it beforehand."""
    world = populate(census, AsyncWorld)
    served = await serve(lambda: world())
    async with http.get(f"{served.url}/schema") as response:
        reset = (await response.json())["reset"]
    assert reset["additionalProperties"] is True
    assert reset["properties"].keys() == {"seed", "episode_id"}
