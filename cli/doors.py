"""The doors: what a service has to answer over HTTP."""

import random
from typing import Any

from attrs import define, field

from aioenv.cli.checklist import Checklist, Fault, Skipped, shown
from aioenv.cli.probe import Probe
from aioenv.cli.replies import read_observation, read_state
from aioenv.cli.schemas import Schemas

__all__ = ["Doors", "Seen"]

_TEXTS = ("readme_content", "version", "author", "documentation_url")
SEED = 7


@define
class Seen:
    """What the replies were, so that they can be held against the schemas.

    Attributes:
        schemas: the schemas, once they are known.
        action: the action to play, or ``None`` to make one up.
        observations: each observation, and the reply that it was in.
        states: each state, likewise.
    """

    schemas: Schemas | None = None
    action: dict[str, Any] | None = None
    observations: list[tuple[str, str, dict[str, Any]]] = field(factory=list)
    states: list[tuple[str, str, dict[str, Any]]] = field(factory=list)
    _rng: random.Random = field(factory=lambda: random.Random(SEED))  # noqa: S311

    def next_action(self) -> dict[str, Any]:
        """Return an action; raises `Skipped` where none can be had."""
        if self.action is not None:
            return self.action
        if self.schemas is None:
            raise Skipped("there is no schema to make an action from", "pass one with --action")
        return self.schemas.draw_action(self._rng)

    def add_observation(self, data: dict[str, Any], what: str) -> dict[str, Any]:
        """Read an observation, and keep it."""
        observation = read_observation(data, what)
        is_first = what.endswith("reset") and self.schemas is not None
        name = "observation"
        if is_first and self.schemas and "reset_observation" in self.schemas.documents:
            name = "reset_observation"
        self.observations.append((name, what, observation))
        return observation

    def add_state(self, data: dict[str, Any], what: str) -> dict[str, Any]:
        """Read a state, and keep it."""
        state = read_state(data, what)
        self.states.append(("state", what, state))
        return state


@define
class Doors:
    """Checks the doors of a service.

    Args:
        probe: asks it.
        seen: what comes is kept there.
    """

    _probe: Probe
    _seen: Seen

    async def check(self, checklist: Checklist) -> None:
        """Make every check."""
        await checklist.run_async("health", self._health)
        await checklist.run_async("metadata", self._metadata)
        await checklist.run_async("schema", self._schema)
        await checklist.run_async("http-reset", self._reset)
        await checklist.run_async("http-step", self._step)
        await checklist.run_async("http-state", self._state)
        await checklist.run_async("http-errors", self._errors)

    async def _health(self) -> str | tuple[str, str]:
        answer = (await self._probe.get("/health")).object()
        match answer.get("status"):
            case "healthy":
                return "GET /health says healthy"
            case "degraded":
                return "GET /health says degraded", "see what the service lacks"
        raise Fault(
            f"GET /health says {shown(answer)}", 'answer {"status": "healthy"} when it can be used'
        )

    async def _metadata(self) -> str:
        said = (await self._probe.get("/metadata")).object()
        for name in ("name", "description"):
            if not isinstance(said.get(name), str) or not said[name]:
                raise Fault(f"/metadata has the {name} {shown(said.get(name))}", "send a text")
        for name in _TEXTS:
            if not isinstance(said.get(name), str | None):
                raise Fault(f"/metadata has the {name} {shown(said[name])}", "a text, or null")
        return f"it is called {shown(said['name'])}"

    async def _schema(self) -> str:
        self._seen.schemas = schemas = Schemas.read((await self._probe.get("/schema")).object())
        fields = schemas.documents["action"].get("properties", {})
        names = [name for name in fields if name != "metadata"]
        return f"valid JSON Schemas; an action has {shown(names)}"

    async def _reset(self) -> str:
        answer = await self._probe.post("/reset", {"seed": SEED, "episode_id": "validate"})
        self._check_offered(answer.status)
        self._seen.add_observation(answer.object(), "POST /reset")
        return "an observation"

    async def _step(self) -> str:
        action = self._seen.next_action()
        answer = await self._probe.post("/step", {"action": action})
        self._check_offered(answer.status)
        if answer.status == 500:
            raise Skipped(
                f"the environment failed at {shown(action)} on an episode that was never reset",
                "the WebSocket's steps are what counts",
            )
        self._seen.add_observation(answer.object(), "POST /step")
        return f"an observation, for {shown(action)}"

    async def _state(self) -> str:
        answer = await self._probe.get("/state")
        self._check_offered(answer.status)
        self._seen.add_state(answer.object(), "GET /state")
        return "a state"

    async def _errors(self) -> str:
        for body, what in (({}, "a step without an action"), (b"{bad", "a step that is no JSON")):
            answer = await self._probe.post("/step", body)
            self._check_offered(answer.status)
            if not isinstance(answer.object(422).get("detail"), list | str):
                raise Fault(
                    f"422 for {what} has no detail: {shown(answer.text.decode(errors='replace'))}",
                    'answer {"detail": [{"type", "loc", "msg"}, …]}',
                )
        return "422 with the detail of what is wrong"

    def _check_offered(self, status: int) -> None:
        """Skip a door that is not there: a service may offer episodes over WebSockets alone."""
        if status in (404, 405):
            raise Skipped(f"it offers no such door ({status})", "clients play over the WebSocket")
