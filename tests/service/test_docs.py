"""The documentation pages, as bytes; `tests/browser/test_docs.py` has a browser look at them."""

import gzip
import re
from importlib import resources
from urllib.parse import urljoin

import aiohttp
import pytest

from tests.conftest import Serve
from tests.environments import AsyncWorld, Census, populate

ESCAPED = "<script>alert(1)</script>"


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_page_and_its_files_need_no_token(
    serve: Serve, http: aiohttp.ClientSession, census: Census, path: str
) -> None:
    """They are the same for every environment; each forbids whatever is not of this host."""
    served = await serve(populate(census, AsyncWorld), token="s3cret")
    async with http.get(served.url + path) as response:
        assert (response.status, response.content_type) == (200, "text/html")
        page = await response.text()
        policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert "unsafe" not in policy
    assert "s3cret" not in page
    files = re.findall(r'(?:src|href)="(docs/[^"]*)"', page)
    assert len(files) == 4
    for name in files:
        async with http.get(urljoin(served.url + path, name)) as response:
            assert response.status == 200
            kind = {"js": "text/javascript", "css": "text/css"}[name.rpartition(".")[2]]
            assert response.headers["Content-Type"] == f"{kind}; charset=utf-8"
            assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_a_slash_too_many_leads_to_the_page(
    serve: Serve, http: aiohttp.ClientSession, census: Census, path: str
) -> None:
    """By a relative address, so that it holds behind any prefix."""
    served = await serve(populate(census, AsyncWorld), token="s3cret")
    async with http.get(f"{served.url}{path}/") as response:
        assert (response.status, str(response.url)) == (200, served.url + path)
        assert response.history[0].headers["Location"] == f"..{path}"


async def test_a_file_comes_from_its_package_and_is_sent_once(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """Its bytes are the package's, compressed where the browser likes; one it has is a 304."""
    served = await serve(populate(census, AsyncWorld))
    package = resources.files("mkdocs_swagger_ui_tag")
    script = package.joinpath("swagger-ui/javascripts/swagger-ui-bundle.js").read_bytes()
    url = f"{served.url}/docs/swagger-ui.js"
    async with http.get(url, headers={"Accept-Encoding": "identity"}) as response:
        assert await response.read() == script
        tag = response.headers["ETag"]
    async with http.get(
        url, headers={"Accept-Encoding": "gzip"}, auto_decompress=False
    ) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(await response.read()) == script
    async with http.get(url, headers={"If-None-Match": tag}) as response:
        assert (response.status, await response.read()) == (304, b"")


@pytest.mark.parametrize(
    "name", ["nothing.js", "swagger-ui.js.map", "..%2Fdocs.py", "%2Fetc%2Fpasswd"]
)
async def test_no_other_file_is_given(
    serve: Serve, http: aiohttp.ClientSession, census: Census, name: str
) -> None:
    """The four are named; there is no way to others."""
    served = await serve(populate(census, AsyncWorld))
    async with http.get(f"{served.url}/docs/{name}") as response:
        assert response.status == 404
        assert (await response.json())["code"] == "NOT_FOUND"


async def test_a_name_is_text(serve: Serve, http: aiohttp.ClientSession, census: Census) -> None:
    """Whatever an environment is called, it is no markup."""
    served = await serve(populate(census, AsyncWorld))
    served.service.name = ESCAPED
    async with http.get(f"{served.url}/docs") as response:
        assert ESCAPED not in await response.text()
