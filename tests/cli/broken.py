"""A small environment's service, written by hand, that can be broken in one way at a time."""

import json
from collections.abc import Callable
from typing import Any

from aiohttp import WSMsgType, web

__all__ = ["BrokenService"]

_TEXT: dict[str, Any] = {"type": "string"}
SCHEMAS: dict[str, Any] = {
    "action": {
        "type": "object",
        "properties": {"text": _TEXT, "metadata": {"type": "object"}},
        "required": ["text"],
        "additionalProperties": False,
    },
    "observation": {
        "type": "object",
        "properties": {
            "text": _TEXT,
            "reward": {"type": ["number", "null"]},
            "done": {"type": "boolean"},
        },
        "required": ["text"],
        "additionalProperties": False,
    },
    "state": {
        "type": "object",
        "properties": {"episode_id": {"type": ["string", "null"]}, "step_count": {"minimum": 0}},
    },
}
_METADATA: dict[str, Any] = {
    "name": "Parrot",
    "description": "It says what it hears.",
    "readme_content": None,
    "version": None,
    "author": None,
    "documentation_url": None,
}


class Parrot:
    """An environment: it says what it hears."""

    def __init__(self) -> None:
        self.episode_id: str | None = None
        self.step_count = 0

    def reset(self, data: dict[str, Any], fault: str) -> dict[str, Any]:
        """Begin an episode."""
        self.step_count = 0
        self.episode_id = None if fault == "reset loses the episode_id" else data.get("episode_id")
        if fault == "step_count goes on after a reset":
            self.step_count = 1
        return self.observed("ready")

    def step(self, data: dict[str, Any], fault: str) -> dict[str, Any]:
        """Say it."""
        self.step_count += 2 if fault == "step_count counts double" else 1
        answer = self.observed(data["text"])
        if fault == "reward is a text":
            answer["reward"] = "1"
        elif fault == "reward is NaN":
            answer["reward"] = float("nan")
        elif fault == "observation holds an Infinity":
            answer["observation"]["text"] = float("inf")
        elif fault == "done is missing":
            del answer["done"]
        elif fault == "observation is flat":
            answer = {**answer.pop("observation"), **answer}
        return answer

    def observed(self, text: Any) -> dict[str, Any]:
        """Return what is seen."""
        return {"observation": {"text": text}, "reward": 1.0, "done": False}

    def state(self, fault: str) -> dict[str, Any]:
        """Return where it stands."""
        if fault == "state is empty":
            return {}
        return {"episode_id": self.episode_id, "step_count": self.step_count}


class BrokenService:
    """Serves parrots; with a fault, does one thing wrong.

    Args:
        fault: what, in words that the code below knows; empty for nothing.
        limit: the most sessions at a time.
    """

    def __init__(self, fault: str = "", limit: int = 4) -> None:
        self._fault = fault
        self._limit = limit
        self._sessions = 0
        self._shared = Parrot()
        self.peak = 0
        self.seen_headers: list[str | None] = []

    def app(self) -> web.Application:
        """Return the application."""
        app = web.Application()
        doors: list[tuple[str, str, Callable[..., Any]]] = [
            ("GET", "/health", self._health),
            ("GET", "/metadata", self._metadata),
            ("GET", "/schema", self._schema),
            ("POST", "/reset", self._reset),
            ("POST", "/step", self._step),
            ("GET", "/state", self._state),
            ("GET", "/ws", self._socket),
        ]
        for method, path, handler in doors:
            if self._fault != f"{path} is missing":
                app.router.add_route(method, path, handler)
        return app

    # Over HTTP

    async def _health(self, request: web.Request) -> web.Response:
        self.seen_headers.append(request.headers.get("Authorization"))
        if self._fault == "/health is ill":
            return web.json_response({"status": "unhealthy"}, status=503)
        if self._fault == "/health is a text":
            return web.Response(text='{"status": "healthy"}')
        return web.json_response({"status": "healthy"})

    async def _metadata(self, request: web.Request) -> web.Response:
        said = dict(_METADATA)
        if self._fault == "/metadata has no name":
            del said["name"]
        return web.json_response(said)

    async def _schema(self, request: web.Request) -> web.Response:
        said: dict[str, Any] = json.loads(json.dumps(SCHEMAS))
        match self._fault:
            case "schema is not valid":
                said["observation"]["properties"]["text"]["type"] = "strong"
            case "schema of the state is missing":
                del said["state"]
            case "schema does not fit the observation":
                said["observation"]["properties"]["text"]["type"] = "integer"
            case "schema does not fit the state":
                said["state"]["required"] = ["heard"]
            case "schema refers to elsewhere":
                said["state"]["$ref"] = "http://127.0.0.1:1/schema.json"
            case "schema of the action is a text's":
                said["action"] = {"type": "string"}
            case "schema tells less than is asked":
                said["action"]["properties"]["text"] = {"type": "integer"}
        return web.json_response(said)

    async def _reset(self, request: web.Request) -> web.Response:
        return web.json_response({**Parrot().reset(await request.json(), ""), "metadata": None})

    async def _step(self, request: web.Request) -> web.Response:
        try:
            action = (await request.json())["action"]
        except (ValueError, KeyError):
            if self._fault == "a bad body is an error of the server":
                return web.json_response({"detail": "oh"}, status=500)
            return web.json_response({"detail": [{"msg": "no action"}]}, status=422)
        observed = Parrot().step(action, "")
        if self._fault == "/step answers an observation alone":
            return web.json_response(observed["observation"])
        return web.json_response(observed)

    async def _state(self, request: web.Request) -> web.Response:
        return web.json_response(Parrot().state(""))

    # Over WebSockets

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        if self._fault == "/ws breaks off":
            assert request.transport is not None
            request.transport.abort()
            return socket
        await socket.prepare(request)
        if self._sessions >= self._limit:
            await socket.send_json(self._full())
            await socket.close()
            return socket
        self._sessions += 1
        self.peak = max(self.peak, self._sessions)
        try:
            await self._converse(socket)
        finally:
            self._sessions -= 1
        return socket

    async def _converse(self, socket: web.WebSocketResponse) -> None:
        shared = self._fault == "sessions share one environment"
        parrot = self._shared if shared else Parrot()
        if self._fault == "it greets":
            await socket.send_json({"type": "hello", "data": {}})
        last: Any = {"type": "pong", "data": {}}
        async for message in socket:
            reply = self._reply(parrot, message)
            if reply is None:
                code = 1011 if self._fault == "a close ends with 1011" else 1000
                if self._fault == "it says farewell":
                    await socket.send_json({"type": "bye", "data": {}})
                await socket.close(code=code)
                return
            if self._fault == "each reply is that to the request before":
                reply, last = last, reply
            if self._fault == "it answers in binary frames":
                await socket.send_bytes(json.dumps(reply).encode())
            else:
                await socket.send_str(json.dumps(reply))
            is_error = reply["type"] == "error"
            if is_error and self._fault == "an error ends the session":
                await socket.close(code=1011)
                return
            if not is_error and self._fault == "it tells how it goes":
                await socket.send_json({"type": "progress", "data": {}})

    def _reply(self, parrot: Parrot, message: Any) -> Any:
        """Return the reply to a frame; ``None`` for a close."""
        try:
            assert message.type is WSMsgType.TEXT
            request = json.loads(message.data)
            assert isinstance(request, dict)
        except (ValueError, AssertionError):
            return self._error("INVALID_JSON")
        data = request.get("data", {})
        match request.get("type"):
            case "close":
                return None
            case "reset":
                return {"type": "observation", "data": parrot.reset(data, self._fault)}
            case "state":
                return {"type": "state", "data": parrot.state(self._fault)}
            case "step":
                return self._stepped(parrot, data)
        return self._error("UNKNOWN_TYPE")

    def _stepped(self, parrot: Parrot, data: dict[str, Any]) -> Any:
        is_lenient = self._fault == "an unknown field is taken"
        is_wrong = not isinstance(data.get("text"), str) or (data.keys() != {"text"})
        if is_wrong and not (is_lenient and "text" in data and isinstance(data["text"], str)):
            if self._fault == "a refused action counts as a step":
                parrot.step_count += 1
            return self._error("VALIDATION_ERROR")
        return {"type": "observation", "data": parrot.step(data, self._fault)}

    def _error(self, code: str) -> Any:
        data = {"message": "that is not right", "code": code}
        if self._fault == "errors have no code":
            del data["code"]
        elif self._fault == "every error is a SERVER_ERROR":
            data["code"] = "SERVER_ERROR"
        elif self._fault == "errors have no message":
            del data["message"]
        return {"type": "error", "data": data}

    def _full(self) -> Any:
        data = {"message": "full", "code": "CAPACITY_REACHED", "active_sessions": self._sessions}
        if self._fault != "a refusal does not tell the limit":
            data["max_sessions"] = self._limit
        return {"type": "error", "data": data}
