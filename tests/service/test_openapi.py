"""The OpenAPI document: every door, the environment's models, and examples that hold."""

import json
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from attrs import define, field
from attrs.validators import matches_re
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from aioenv import Observation, State
from aioenv.service import SERVICE, Environment, create_app
from aioenv.service.doors import DOORS
from aioenv.service.openapi import OpenApi
from echo_env import EchoAction, EchoObservation
from echo_env.environment import EchoEnvironment
from tests.conftest import Serve
from tests.environments import AsyncWorld, Census, Heard, Tally, Word, populate
from tests.worlds.bazaar import Bazaar, Goods, Order
from tests.worlds.nim import Heap, NimEnvironment, NimState, Take
from tests.worlds.studio import Easel, Painting, Stroke, StudioEnvironment

ENVIRONMENTS = {
    "echo": (EchoEnvironment, EchoAction, EchoObservation, State),
    "studio": (StudioEnvironment, Stroke, Painting, Easel),
    "nim": (NimEnvironment, Take, Heap, NimState),
    "bazaar": (Bazaar, Order, Goods, State),
}


def described(environment: Any, action: Any, observation: Any, state: Any) -> dict[str, Any]:
    """Return the document of an environment, as a client reads it."""
    service = create_app(environment, action, observation, state=state)[SERVICE]
    openapi = OpenApi(service, {(door.method, door.path) for door in DOORS})
    return json.loads(json.dumps(openapi.document))  # type: ignore[no-any-return]


def validator(document: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    """Return a judge of a part of a document."""
    resource = Resource(contents=document, specification=DRAFT202012)
    registry: Registry[Any] = Registry().with_resource("urn:document", resource)
    here = json.loads(json.dumps(schema).replace('"#/', '"urn:document#/'))
    return Draft202012Validator(here, registry=registry)


def parts_of(part: Any, place: str = "#") -> Iterator[tuple[str, dict[str, Any]]]:
    """Find every object of a document but for its examples, and where it is."""
    members: Iterable[tuple[Any, Any]] = enumerate(part) if isinstance(part, list) else ()
    if isinstance(part, dict):
        yield place, part
        members = part.items()
    for name, member in members:
        if name not in ("example", "examples"):
            yield from parts_of(member, f"{place}/{name}")


def examples_in(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Find every example of a document: its place, its schema and itself."""
    for place, part in parts_of(document):
        examples = part.get("examples", ())
        if "schema" in part and "example" in part:
            yield f"{place}/example", part["schema"], part["example"]
        if "schema" in part and isinstance(examples, dict):
            for name, example in examples.items():
                yield f"{place}/examples/{name}", part["schema"], example["value"]
        elif isinstance(examples, list):
            own = {keyword: value for keyword, value in part.items() if keyword != "examples"}
            for index, example in enumerate(examples):
                yield f"{place}/examples/{index}", own, example


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_document_is_valid(name: str) -> None:
    """A validator of OpenAPI 3.1 finds no fault, whatever the environment's models are."""
    document = described(*ENVIRONMENTS[name])
    assert document["openapi"] == "3.1.0"
    assert document["info"]["version"].startswith("1.")
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_example_fits_its_schema(name: str) -> None:
    """Bodies, replies, errors and models have examples, and each is what its schema says."""
    document = described(*ENVIRONMENTS[name])
    found = list(examples_in(document))
    for place, schema, example in found:
        faults = [error.message for error in validator(document, schema).iter_errors(example)]
        assert faults == [], place
    places = {place for place, *_ in found}
    assert "#/paths//step/post/requestBody/content/application/json/example" in places
    assert "#/paths//step/post/responses/200/content/application/json/example" in places
    for model in ("Action", "Observation", "State"):
        assert f"#/components/schemas/{model}/examples/0" in places
    for status in document["components"]["responses"]:
        assert any(place.startswith(f"#/components/responses/{status}/") for place in places)


def test_echo_s_examples_are_natural() -> None:
    """They are a message that one might send, and what Echo answers."""
    paths = described(*ENVIRONMENTS["echo"])["paths"]
    body = paths["/step"]["post"]["requestBody"]["content"]["application/json"]["example"]
    assert body == {"action": {"message": "Hi, world!"}}
    reply = paths["/step"]["post"]["responses"]["200"]["content"]["application/json"]["example"]
    assert reply == {
        "observation": {"echoed_message": "Hi, world!", "message_length": 10, "metadata": {}},
        "reward": 1.0,
        "done": False,
        "metadata": None,
    }


@pytest.mark.parametrize("name", ENVIRONMENTS)
@pytest.mark.parametrize("path", ["/reset", "/step"])
async def test_the_example_of_a_request_can_be_taken(
    serve: Serve, http: aiohttp.ClientSession, name: str, path: str
) -> None:
    """Sent as it stands, it is answered with what the document says of the reply."""
    environment, action, observation, state = ENVIRONMENTS[name]
    served = await serve(environment, action=action, observation=observation, state=state)
    async with http.get(f"{served.url}/openapi.json") as response:
        assert (response.status, response.content_type) == (200, "application/json")
        document = await response.json()
    door = document["paths"][path]["post"]
    body = door["requestBody"]["content"]["application/json"]["example"]
    async with http.post(served.url + path, json=body) as response:
        assert response.status == 200
        reply = await response.json()
    schema = door["responses"]["200"]["content"]["application/json"]["schema"]
    validator(document, schema).validate(reply)


async def test_a_reset_s_own_options_are_told(serve: Serve, http: aiohttp.ClientSession) -> None:
    """With those of every reset; what the environment demands is in the example."""
    nim = described(*ENVIRONMENTS["nim"])
    assert nim["components"]["schemas"]["ResetRequest"]["properties"]["stones"]["default"] == 7
    assert nim["paths"]["/reset"]["post"]["requestBody"]["required"] is False
    served = await serve(Bazaar, action=Order, observation=Goods, state=State)
    async with http.get(f"{served.url}/openapi.json") as response:
        document = await response.json()
    body = document["paths"]["/reset"]["post"]["requestBody"]
    assert body["required"] is True
    example = {"seed": 7, "episode_id": "episode-7", "stall": 0}
    assert body["content"]["application/json"]["example"] == example
    assert document["components"]["schemas"]["ResetRequest"]["required"] == ["stall"]
    async with http.get(f"{served.url}/schema") as response:
        validator(document, {"$ref": "#/components/schemas/Schemas"}).validate(
            await response.json()
        )
    assert "reset" in document["components"]["schemas"]["Schemas"]["required"]


async def test_document_has_exactly_the_doors_that_there_are(
    serve: Serve, http: aiohttp.ClientSession, census: Census
) -> None:
    """Every route of the application stands in its document, and nothing else does.

    If this fails for a new door: describe it in `service/doors.py`, whose docstring tells how.
    """
    served = await serve(populate(census, AsyncWorld))
    routes = {
        (route.method.lower(), route.resource.canonical)
        for route in served.app.router.routes()
        if route.resource is not None
        and route.method != "HEAD"  # which every GET answers, too
        and route.resource.canonical not in ("/docs/", "/redoc/")  # slips that lead to the pages
    }
    async with http.get(f"{served.url}/openapi.json") as response:
        paths = (await response.json())["paths"]
    assert {(method, path) for path, doors in paths.items() for method in doors} == routes
    assert {(door.method.lower(), door.path) for door in DOORS} == routes


def test_a_door_that_is_not_there_is_not_described(census: Census) -> None:
    """Nor is the heading that it alone would stand under."""
    service = create_app(populate(census, AsyncWorld), Word, Heard, state=Tally)[SERVICE]
    document = OpenApi(service, {("GET", "/health")}).document
    assert list(document["paths"]) == ["/health"]
    assert [tag["name"] for tag in document["tags"]] == ["Service"]


@pytest.mark.parametrize("token", [None, "s3cret"])
async def test_document_tells_who_asks_for_the_token(
    serve: Serve, http: aiohttp.ClientSession, census: Census, token: str | None
) -> None:
    """Where there is one, the scheme and the refusal are told, and the doors that do without."""
    served = await serve(populate(census, AsyncWorld), token=token)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with http.get(f"{served.url}/openapi.json", headers=headers) as response:
        text = await response.text()
    document = json.loads(text)
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []
    assert "s3cret" not in text
    if token is None:
        assert not {"security", "securitySchemes"} & {*document, *document["components"]}
        assert "/responses/401" not in text
        return
    assert document["security"] == [{"bearer": []}]
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    for path, doors in document["paths"].items():
        for method, door in doors.items():
            path = path.replace("{name}", "start.js")
            async with http.request(method, f"{served.url}{path}") as response:
                is_refused = response.status == 401
            assert is_refused == ("401" in door["responses"]) == (door.get("security") != [])


# Models


@define
class Action:
    """A nested class with a name that the document needs itself; it contains itself, too."""

    rest: "Action | None" = None


@define
class Ärger:
    """A name that OpenAPI does not allow."""

    inner: Action = field(factory=Action)


@define
class Point:
    """Not the Point of the studio."""

    latitude: float


@define
class Odd(Observation):
    """An observation of classes with inconvenient names."""

    action: Action
    worry: Ärger
    point: Point


@define
class Closed:
    """An action that no example is known of."""

    code: str = field(validator=matches_re("[0-9]{4}"))
    where: list[Stroke] = field(factory=list)


class OddEnvironment(Environment[Closed, Odd, State]):
    """Never played."""

    def reset(self) -> Odd:
        raise NotImplementedError

    def step(self, action: Closed) -> Odd:
        raise NotImplementedError

    @property
    def state(self) -> State:
        raise NotImplementedError


def test_names_of_classes_do_not_collide() -> None:
    """Each class has a schema of its own, under a name that OpenAPI allows."""
    document = described(OddEnvironment, Closed, Odd, Easel)
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []
    schemas = document["components"]["schemas"]
    assert schemas["Action"]["title"] == "Closed"
    assert schemas["Action_"]["title"] == "Action"
    assert schemas["_c4rger"]["title"] == "Ärger"
    assert set(schemas["Point"]["properties"]) == {"x", "y"}
    assert set(schemas["Point_"]["properties"]) == {"latitude"}
    odd = schemas["Observation"]["properties"]
    references = [odd[name]["$ref"] for name in ("action", "worry", "point")]
    assert references == [
        f"#/components/schemas/{quote(name)}" for name in ("Action_", "_c4rger", "Point_")
    ]
    assert schemas["Stroke"]["properties"]["start"]["$ref"] == "#/components/schemas/Point"


def test_what_has_no_example_is_shown_without() -> None:
    """A wrong example would be worse: here no text is known that matches the pattern."""
    document = described(OddEnvironment, Closed, Odd, Easel)
    assert "examples" not in document["components"]["schemas"]["Action"]
    body = document["paths"]["/step"]["post"]["requestBody"]["content"]["application/json"]
    assert "example" not in body
