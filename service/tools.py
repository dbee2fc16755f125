"""The tools: an environment's ``reset``, ``step`` and ``state`` as an agent sees and calls them."""

import base64
from typing import Any, get_type_hints

from aioenv import (
    AioEnvError,
    CapacityReached,
    EnvironmentFailed,
    InvalidRequest,
    Observation,
    dumps,
)
from aioenv.messages import error_reply
from aioenv.service.environment import Environment
from aioenv.service.options import ResetOptions
from aioenv.service.seats import Seat
from aioenv.service.service import Service, maker_of

__all__ = ["ERROR_KEY", "TOOL_NAMES", "Tools"]

TOOL_NAMES = ("reset", "step", "state")

#: Where the metadata of a tool's result tells of an error in the wire's terms, and of an image's
#: place in the observation.
ERROR_KEY = "aioenv/error"
PATH_KEY = "aioenv/path"

_SIGNATURES = {  # of the picture formats that agents can see
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}


class Tools:
    """The three tools of an environment.

    Args:
        service: whose environment it is.
    """

    def __init__(self, service: Service) -> None:
        self._contract = service.contract
        environment = _environment_class(service)
        self._options = ResetOptions(None if environment is None else environment.reset)
        self._listed = self._describe()

    def listed(self) -> list[dict[str, Any]]:
        """Return what ``tools/list`` tells of them."""
        return self._listed

    async def call(self, name: str, arguments: dict[str, Any], seat: Seat) -> dict[str, Any]:
        """Call a tool.

        Args:
            name: one of `TOOL_NAMES`.
            arguments: as the client sent them.
            seat: where the client plays.

        Returns:
            The result of ``tools/call``. What is wrong with the arguments, or in the environment,
            is a result too (with ``isError``), because the agent is to read it and do better.

        Raises:
            RpcError: there is no session to call it in.
        """
        try:
            if name == "reset":
                self._options.check(arguments)
                async with seat.lend(begins=True) as session:
                    return self._observed(await session.reset(arguments))
            if name == "step":
                action = self._contract.read_action(arguments)
                async with seat.lend() as session:
                    return self._observed(await session.step(action))
            _refuse_arguments(arguments)
            async with seat.lend() as session:
                return _result(self._contract.state_data(await session.state()), [])
        except AioEnvError as error:
            return _failed(error)

    # Private methods

    def _describe(self) -> list[dict[str, Any]]:
        schemas = self._contract.schemas()
        observation = _without_images(schemas["observation"])
        about = schemas["action"].get("description", "")
        return [
            {
                "name": "reset",
                "title": "Begin an episode",
                "description": "Begin a new episode and get its first observation.",
                "inputSchema": self._options.schema(),
                "outputSchema": observation,
                "annotations": {"destructiveHint": True, "openWorldHint": False},
            },
            {
                "name": "step",
                "title": "Take an action",
                "description": " ".join(
                    part
                    for part in (
                        "Take one action in the episode and get the observation, with its reward.",
                        about,
                        "Once the observation says that it is done, reset.",
                    )
                    if part
                ),
                "inputSchema": schemas["action"],
                "outputSchema": observation,
                "annotations": {"destructiveHint": False, "openWorldHint": False},
            },
            {
                "name": "state",
                "title": "Where the episode stands",
                "description": "Tell where the episode stands; this changes nothing.",
                "inputSchema": {"type": "object", "properties": {}, "additionalProperties": False},
                "outputSchema": schemas["state"],
                "annotations": {"readOnlyHint": True, "openWorldHint": False},
            },
        ]

    def _observed(self, observation: Observation) -> dict[str, Any]:
        data = self._contract.observation_data(observation)
        images: list[dict[str, Any]] = []
        try:
            fields = _take_images(data["observation"], "$", images)
        except RecursionError as error:
            raise EnvironmentFailed("its observation is nested too deeply") from error
        return _result({**fields, "reward": data["reward"], "done": data["done"]}, images)


def _environment_class(service: Service) -> type[Environment[Any, Any, Any]] | None:
    """Return the class of a service's environments, or ``None`` where only the factory knows."""
    maker = maker_of(service.factory)
    if not isinstance(maker, type):
        try:
            maker = get_type_hints(maker).get("return")
        except Exception:  # an annotation may raise whatever it likes
            return None
    return maker if isinstance(maker, type) and issubclass(maker, Environment) else None


def _refuse_arguments(arguments: dict[str, Any]) -> None:
    faults = [
        {"type": "extra_forbidden", "loc": [name], "msg": "this argument is unknown"}
        for name in sorted(arguments)
    ]
    if faults:
        raise InvalidRequest("state takes no arguments", errors=faults)


def _result(data: dict[str, Any], images: list[dict[str, Any]]) -> dict[str, Any]:
    try:
        text = dumps(data).decode("utf-8", "surrogatepass")
    except (TypeError, ValueError) as error:
        raise EnvironmentFailed(f"its answer cannot be written: {error}") from error
    content = [{"type": "text", "text": text}, *images]
    return {"content": content, "structuredContent": data, "isError": False}


def _failed(error: AioEnvError) -> dict[str, Any]:
    reply = error_reply(error)
    text = reply.message if isinstance(error, CapacityReached) else str(error)
    return {
        "content": [{"type": "text", "text": text}],
        "isError": True,
        "_meta": {ERROR_KEY: {"code": reply.code, **reply.details}},
    }


# Pictures. As base64 in the midst of JSON they would cost an agent thousands of tokens and show it
# nothing; as content of their own they are seen.


def _take_images(value: Any, path: str, images: list[dict[str, Any]]) -> Any:
    """Return a value without the pictures that are fields of its objects; add them to `images`."""
    if isinstance(value, list | tuple):
        return [_take_images(part, f"{path}[{index}]", images) for index, part in enumerate(value)]
    if value.__class__ is not dict:
        return value
    rest = {}
    for name, member in value.items():
        place = f"{path}.{name}"
        shown = _shown(member, place)
        images += shown
        if not shown:
            rest[name] = _take_images(member, place, images)
    return rest


def _shown(value: Any, path: str) -> list[dict[str, Any]]:
    """Return a picture, or those of a list that holds nothing else, as content; else nothing."""
    if not isinstance(value, list | tuple):
        kind = _media_type(value)
        return [_image(value, kind, path)] if kind else []
    kinds = [_media_type(member) for member in value]
    if not all(kinds):
        return []
    members = enumerate(zip(value, kinds, strict=True))
    return [_image(member, kind, f"{path}[{index}]") for index, (member, kind) in members]


def _media_type(value: Any) -> str | None:
    if not isinstance(value, bytes):
        return None
    if value[:4] == b"RIFF" and value[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for start, kind in _SIGNATURES.items() if value.startswith(start)), None)


def _image(data: bytes, kind: str | None, path: str) -> dict[str, Any]:
    text = base64.b64encode(data).decode("ascii")
    return {"type": "image", "data": text, "mimeType": kind, "_meta": {PATH_KEY: path}}


def _without_images(schema: dict[str, Any]) -> dict[str, Any]:
    """Return an object's schema in which no field is required that may hold a picture."""
    result = dict(schema)
    properties = schema.get("properties", {})
    required = [name for name in schema.get("required", ()) if not _is_binary(properties[name])]
    if "required" in result:
        result["required"] = required
    if "$defs" in schema:
        result["$defs"] = {name: _without_images(of) for name, of in schema["$defs"].items()}
    return result


def _is_binary(schema: Any) -> bool:
    if not isinstance(schema, dict):
        return False
    parts = [schema.get("items"), *schema.get("anyOf", ()), *schema.get("prefixItems", ())]
    return "contentEncoding" in schema or any(map(_is_binary, parts))
