"""The HTTP doors without a session: what the service is, and calls on fresh environments."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from attrs import define

from aioenv import Observation
from aioenv.service import EnvironmentMetadata
from tests.conftest import LoopErrors, Serve, eventually
from tests.environments import AsyncWorld, Census, PlainWorld, World, populate

HANG = {"action": {"text": "hang"}}


async def get(http: aiohttp.ClientSession, url: str, status: int = 200) -> Any:
    """Return the JSON that a GET is answered with."""
    async with http.get(url) as response:
        assert (response.status, response.content_type) == (status, "application/json")
        return await response.json()


async def post(http: aiohttp.ClientSession, url: str, body: Any, status: int = 200) -> Any:
    """Return the JSON that a POST is answered with; a string is sent as it is."""
    text = body if isinstance(body, str | bytes) else json.dumps(body)
    async with http.post(url, data=text) as response:
        assert response.status == status, await response.text()
        assert response.content_type == "application/json"
        return await response.json()


# What the service is


async def test_health_is_healthy(serve: Serve, http: aiohttp.ClientSession, census: Census) -> None:
    """Health is 200 and needs no environment."""
    served = await serve(populate(census, AsyncWorld))
    assert await get(http, f"{served.url}/health") == {"status": "healthy"}
    assert census.made == 0


async def test_metadata_comes_from_the_class(
    serve: Serve, http: aiohttp.ClientSession, census: Census, tmp_path: Path
) -> None:
    """The docstring's first lines are the description, the README is the settings'."""
    readme = tmp_path / "README.md"
    readme.write_text("# Ωrld\n", "utf-8")

    class Documented(AsyncWorld):
        pass

    description = "A world that is\ndescribed on two lines.\n\nAnd no more.\n"
    served = await serve(populate(census, Documented, __doc__=description), readme_path=readme)
    assert await get(http, f"{served.url}/metadata") == {
        "name": "Documented",
        "description": "A world that is described on two lines.",
        "readme_content": "# Ωrld\n",
        "version": None,
        "author": None,
        "documentation_url": None,
    }


async def test_metadata_may_be_the_author_s_own(
    serve: Serve, http: aiohttp.ClientSession, census: Census, tmp_path: Path
) -> None:
    """What a class tells of itself outdoes the README of the settings."""

    class Told(AsyncWorld):
        @classmethod
        def metadata(cls) -> EnvironmentMetadata:
            return EnvironmentMetadata("told", "by hand", "its own", "1.2", "me", "https://x.test")

    served = await serve(populate(census, Told), readme_path=tmp_path / "missing.md")
    metadata = await get(http, f"{served.url}/metadata")
    assert list(metadata.values()) == ["told", "by hand", "its own", "1.2", "me", "https://x.test"]


async def test_metadata_without_a_class_is_its_name(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """A factory has no docstring for clients; its name is what is known."""
    world = populate(census, AsyncWorld)

    def make_world() -> World:
        return world()

    served = await serve(make_world)
    metadata = await get(http, f"{served.url}/metadata")
    assert metadata["name"] == "make_world"
    assert await get(http, f"{served.url}/list_environments") == ["make_world"]


async def test_a_readme_that_cannot_be_read_is_left_out(
    serve: Serve, http: aiohttp.ClientSession, census: Census, tmp_path: Path
) -> None:
    """Metadata is not lost with it."""
    served = await serve(populate(census, AsyncWorld), readme_path=tmp_path / "missing.md")
    assert (await get(http, f"{served.url}/metadata"))["readme_content"] is None


async def test_schema_has_the_three_models(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """Each model's own fields are there, and the observation has done and reward beside them."""
    served = await serve(populate(census, AsyncWorld))
    schema = await get(http, f"{served.url}/schema")
    assert schema["action"]["properties"].keys() >= {"text"}
    assert schema["observation"]["properties"].keys() >= {"text", "done", "reward", "metadata"}
    assert schema["state"]["properties"].keys() >= {"episode_id", "step_count", "heard"}


async def test_list_environments_names_one(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """The list has the one environment's name."""
    served = await serve(populate(census, AsyncWorld))
    assert await get(http, f"{served.url}/list_environments") == ["AsyncWorld"]


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        (
            "GET",
            "/nowhere",
            404,
            {
                "detail": "there is nothing at /nowhere; /openapi.json lists what there is",
                "code": "NOT_FOUND",
            },
        ),
        (
            "DELETE",
            "/step",
            405,
            {"detail": "/step takes POST, not DELETE", "code": "METHOD_NOT_ALLOWED"},
        ),
        (
            "GET",
            "/ws",
            400,
            {
                "detail": 'No WebSocket UPGRADE hdr: None Can "Upgrade" only to "WebSocket".',
                "code": "BAD_REQUEST",
            },
        ),
    ],
    ids=["path", "method", "no WebSocket"],
)
async def test_other_paths_and_methods_are_refused(
    serve: Serve,
    http: aiohttp.ClientSession,
    census: Census,
    method: str,
    path: str,
    status: int,
    body: dict[str, str],
) -> None:
    """The reply says what there is instead, in JSON like every other."""
    served = await serve(populate(census, AsyncWorld))
    async with http.request(method, f"{served.url}{path}") as response:
        assert (response.status, response.content_type) == (status, "application/json")
        assert await response.json() == body
        assert response.headers.get("Allow") == ("POST" if status == 405 else None)
    assert served.service.pool.statistics().active == 0


# Calls on fresh environments


@pytest.mark.parametrize("world", [AsyncWorld, PlainWorld])
async def test_each_call_has_an_environment_of_its_own(
    serve: Serve, http: aiohttp.ClientSession, census: Census, world: type[World]
) -> None:
    """As with OpenEnv's services, two calls never share an episode; each environment is closed."""
    served = await serve(populate(census, world), max_concurrent_envs=1)
    reset = {"seed": 7, "episode_id": "ep-7", "unknown": 1}
    assert await post(http, f"{served.url}/reset", reset) == {
        "observation": {"metadata": {}, "text": "ready"},
        "reward": None,
        "done": False,
        "metadata": None,
    }
    step = {"action": {"text": "Hi"}, "request_id": "r-1", "timeout_s": 5}
    for _ in range(2):
        assert await post(http, f"{served.url}/step", step) == {
            "observation": {"metadata": {"step": 1}, "text": "Hi"},
            "reward": 2.0,
            "done": False,
            "metadata": {"step": 1},
        }
    fresh: dict[str, Any] = {"episode_id": None, "step_count": 0, "heard": []}
    assert await get(http, f"{served.url}/state") == fresh
    assert census.made == census.closed == 4


async def test_an_empty_body_is_an_empty_object(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """A reset needs no body."""
    served = await serve(populate(census, AsyncWorld))
    assert (await post(http, f"{served.url}/reset", ""))["done"] is False


@pytest.mark.parametrize(
    ("path", "body", "faults"),
    [
        ("/reset", "{bad", [("invalid_json", ["body"])]),
        ("/reset", b"\xff\xfe", [("invalid_json", ["body"])]),
        ("/reset", "[1]", [("dict_type", ["body"])]),
        ("/reset", {"seed": "7"}, [("int_type", ["body", "seed"])]),
        ("/step", {}, [("missing", ["body", "action"])]),
        ("/step", "", [("missing", ["body", "action"])]),
        ("/step", {"action": [1]}, [("dict_type", ["body", "action"])]),
        ("/step", {"action": {}, "timeout_s": 0}, [("float_type", ["body", "timeout_s"])]),
        (
            "/step",
            {"action": 1, "timeout_s": "soon"},
            [("dict_type", ["body", "action"]), ("float_type", ["body", "timeout_s"])],
        ),
        ("/step", {"action": {"text": 7}}, [("string_type", ["body", "action", "text"])]),
        ("/reset?wait_s=later", {}, [("float_parsing", ["query", "wait_s"])]),
    ],
)
async def test_a_bad_body_is_422(
    serve: Serve,
    http: aiohttp.ClientSession,
    census: Census,
    path: str,
    body: Any,
    faults: list[tuple[str, list[str]]],
) -> None:
    """Every fault is listed with its type, path, message and input, and nothing else happens."""
    served = await serve(populate(census, AsyncWorld))
    reply = await post(http, f"{served.url}{path}", body, 422)
    assert [(fault["type"], fault["loc"]) for fault in reply["detail"]] == faults
    assert all(fault["msg"] and "input" in fault for fault in reply["detail"])


@pytest.mark.parametrize("depth", [500, 1000])
async def test_a_body_that_is_too_deep_to_be_quoted_is_422(
    serve: Serve, http: aiohttp.ClientSession, census: Census, depth: int
) -> None:
    """What can be read and not be written costs only the quotation."""
    served = await serve(populate(census, AsyncWorld))
    deep = "[" * depth + "]" * depth
    body = '{"action":{"text":DEEP}}'.replace("DEEP", deep)
    reply = await post(http, f"{served.url}/step", body, 422)
    assert [(fault["type"], fault["loc"]) for fault in reply["detail"]] == [
        ("string_type", ["body", "action", "text"])
    ]


async def test_a_body_over_the_limit_is_413(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """The limit of messages holds for bodies too."""
    served = await serve(populate(census, AsyncWorld), max_message_size_mb=0.01)
    async with http.post(f"{served.url}/reset", data=b" " * 20_000) as response:
        assert response.status == 413
        assert await response.json() == {
            "detail": "the body has more than 10485 bytes; see AIOENV_MAX_MESSAGE_SIZE_MB",
            "code": "REQUEST_ENTITY_TOO_LARGE",
        }
    assert await get(http, f"{served.url}/health") == {"status": "healthy"}


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("raise", "it broke"),
        ("exit", "SystemExit: 3"),
        ("return nothing", "step of AsyncWorld returned NoneType, not Heard"),
    ],
)
async def test_an_environment_that_fails_is_500(
    serve: Serve, http: aiohttp.ClientSession, census: Census, text: str, detail: str
) -> None:
    """The body says what went wrong, as the WebSocket would; the environment is closed."""
    served = await serve(populate(census, AsyncWorld))
    reply = await post(http, f"{served.url}/step", {"action": {"text": text}}, 500)
    assert reply == {"detail": detail, "code": "EXECUTION_ERROR"}
    assert census.closed == 1


async def test_an_observation_that_cannot_be_written_is_500(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """What has no JSON form is the environment's failure."""
    served = await serve(populate(census, AsyncWorld))
    body = {"action": {"text": "return the unwritable"}}
    reply = await post(http, f"{served.url}/step", body, 500)
    assert reply["code"] == "EXECUTION_ERROR"
    assert "object has no JSON form" in reply["detail"]


async def test_an_observation_with_a_wrong_field_is_500(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """A field that does not hold what its class says is the environment's failure too."""

    @define
    class Inner:
        value: int

    @define
    class Outer(Observation):
        inner: Inner

    class Careless(AsyncWorld):
        async def step(self, action: Any) -> Any:
            nothing: Any = None
            return Outer(nothing)

    served = await serve(populate(census, Careless), observation=Outer)
    reply = await post(http, f"{served.url}/step", {"action": {"text": "x"}}, 500)
    assert reply["code"] == "EXECUTION_ERROR"
    assert reply["detail"].startswith("its observation cannot be written: ")


async def test_a_constructor_that_raises_is_500(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """The code is FACTORY_ERROR, and the slot is free."""
    served = await serve(populate(census, AsyncWorld, on_make="raise"), max_concurrent_envs=1)
    for _ in range(2):
        reply = await post(http, f"{served.url}/reset", {}, 500)
        assert reply == {"detail": "AsyncWorld cannot be made: it broke", "code": "FACTORY_ERROR"}


async def test_a_step_that_takes_too_long_is_504(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """A request may set a limit of its own within the service's."""
    served = await serve(populate(census, AsyncWorld), step_timeout_s=60)
    reply = await post(http, f"{served.url}/step", {**HANG, "timeout_s": 0.05}, 504)
    assert reply == {"detail": "step took longer than 0.05 s", "code": "EXECUTION_TIMEOUT"}


async def test_a_limit_of_one_s_own_cannot_outdo_the_service_s(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """The shorter of the two holds."""
    served = await serve(populate(census, AsyncWorld), step_timeout_s=0.05)
    reply = await post(http, f"{served.url}/step", {**HANG, "timeout_s": 1e300}, 504)
    assert reply["detail"] == "step took longer than 0.05 s"


@pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])
async def test_a_limit_may_be_any_number(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """Even one that is beyond what an event loop counts to, where the service sets none."""
    served = await serve(populate(census, AsyncWorld), step_timeout_s=0)
    body = {"action": {"text": "pause"}, "timeout_s": 1e300}
    assert (await post(http, f"{served.url}/step", body))["done"] is False


async def test_a_full_pool_is_503(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """The refusal tells both figures and when to come back; who asks to wait gets the next slot."""
    served = await serve(populate(census, AsyncWorld), max_concurrent_envs=1)
    async with http.post(f"{served.url}/sessions") as response:
        session_id = (await response.json())["session_id"]
    async with http.post(f"{served.url}/reset") as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "1")
        body = await response.json()
    assert body.pop("detail").startswith("every session is in use (1 of 1)")
    assert body == {"code": "CAPACITY_REACHED", "active_sessions": 1, "max_sessions": 1}

    waiting = asyncio.create_task(post(http, f"{served.url}/reset?wait_s=60", {}))
    await eventually(lambda: served.service.pool.statistics().waiting == 1)
    async with http.delete(f"{served.url}/sessions/{session_id}") as response:
        assert response.status == 204
    assert (await waiting)["done"] is False


@pytest.mark.parametrize("path", ["/metadata", "/openapi.json", "/web/readme"])
async def test_a_fault_of_the_service_is_told_in_json(
    serve: Serve, http: aiohttp.ClientSession, census: Census, loop_errors: LoopErrors, path: str
) -> None:
    """Here the author's own: its details are in the log, not in the answer, and it is counted."""

    class Shy(AsyncWorld):
        @classmethod
        def metadata(cls) -> EnvironmentMetadata:
            raise LookupError("s3cret")

    served = await serve(populate(census, Shy))
    async with http.get(served.url + path) as response:
        body = {"detail": "the service failed; see its log", "code": "INTERNAL_ERROR"}
        assert (response.status, await response.json()) == (500, body)
    assert served.service.counts.errors["INTERNAL_ERROR"] == 1
    (record,) = loop_errors.records
    assert record.getMessage() == f"GET {path} failed"
    assert "s3cret" in str(record.exc_info)
    loop_errors.records.clear()
