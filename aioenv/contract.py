"""The contract of an environment: its three models, and how each crosses the wire.

Both sides hold one. What a service writes, a client reads, and the other way round; neither
knows how.
"""

from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar

import attrs

from aioenv.converter import make_reader, make_writer
from aioenv.errors import EnvironmentFailed, InvalidRequest, ProtocolViolation
from aioenv.faults import make_fault
from aioenv.flat import (
    make_result_reader,
    make_result_writer,
    make_step_reader,
    make_step_writer,
    recognise_nothing,
)
from aioenv.jsontext import dumps
from aioenv.messages import write_request
from aioenv.models import Observation, State, StepResult
from aioenv.schema import action_schema, observation_schema, state_schema

__all__ = ["Contract", "PlainContract", "ReadsReplies"]

ActionT = TypeVar("ActionT")
ObservationT = TypeVar("ObservationT", bound=Observation)
StateT = TypeVar("StateT", bound=State)
AnyObservation = TypeVar("AnyObservation")
AnyState = TypeVar("AnyState", covariant=True)
AnyAction = TypeVar("AnyAction", contravariant=True)

_BESIDE_THE_OBSERVATION = frozenset({"reward", "done"})


class ReadsReplies(Protocol[AnyAction, AnyObservation, AnyState]):
    """What a client needs of a contract."""

    @property
    def recognise_result(self) -> Callable[[bytes], StepResult[AnyObservation] | None]:
        """Read the frame of an observation in one look, if it can be."""

    @property
    def write_step(self) -> Callable[[AnyAction], bytes]:
        """Write an action as the frame of a step."""

    def write_action(self, action: AnyAction) -> dict[str, Any]:
        """Return the action's fields, ready for JSON."""

    def read_result(self, data: dict[str, Any]) -> StepResult[AnyObservation]:
        """Read the data of an observation reply."""

    def read_state(self, data: dict[str, Any]) -> AnyState:
        """Read the data of a state reply."""


class Contract(Generic[ActionT, ObservationT, StateT]):
    """The three models of an environment and their readers and writers.

    Attributes:
        action: the attrs class of its actions.
        observation: the class of its observations, derived from `Observation`.
        state: the class of its state, `State` or derived from it.
        recognise_step: reads the frame of a plain step as an action, in one look; ``None`` where
            it takes `read_request` and `read_action` to read it, or to say what is wrong.
        recognise_result: reads the frame of a plain observation as a `StepResult` likewise;
            ``None`` where it takes `read_reply` and `read_result`.
        write_step: writes an action as the frame of a step; raises what `write_action` and
            `write_request` do.
        write_observation: writes the reply to a reset or a step; raises `EnvironmentFailed` where
            something in it has no JSON form.

    Raises:
        TypeError: a model is not what it must be, or has a field without a JSON form.
    """

    def __init__(
        self,
        action: type[ActionT],
        observation: type[ObservationT],
        state: type[StateT] = State,  # type: ignore[assignment]
    ) -> None:
        _require_subclass(observation, Observation)
        _require_subclass(state, State)
        self.action = action
        self.observation = observation
        self.state = state
        self._read_action = make_reader(action)
        self._write_action = make_writer(action)
        self._read_observation = make_reader(observation)
        self._write_observation = make_writer(observation, omit=_BESIDE_THE_OBSERVATION)
        self._read_state = make_reader(state)
        self._write_state = make_writer(state)
        self._action_has_metadata = "metadata" in attrs.fields_dict(action)  # type: ignore[arg-type]
        self.recognise_step = make_step_reader(action)
        self.recognise_result = make_result_reader(observation)
        self.write_step = make_step_writer(action, self._write_step)
        self.write_observation = make_result_writer(observation, self._write_result)

    def __repr__(self) -> str:
        names = (self.action.__name__, self.observation.__name__, self.state.__name__)
        return f"{type(self).__name__}({', '.join(names)})"

    # What a service reads and writes

    def read_action(self, data: dict[str, Any]) -> ActionT:
        """Read an action's fields.

        An action may carry ``metadata`` (an object) beside its own fields; where its class
        declares no such field, it is checked and dropped.

        Raises:
            InvalidRequest: with every fault and its path.
        """
        if "metadata" in data and not self._action_has_metadata:
            data = self._without_metadata(data)
        return self._read_action(data)

    def observation_data(self, observation: ObservationT) -> dict[str, Any]:
        """Return the data of the reply to a reset or a step.

        ``metadata`` stands twice: in the observation, where typed clients look for it, and beside
        it unless it is empty.

        Raises:
            EnvironmentFailed: a field holds what its class does not allow.
        """
        metadata = observation.metadata
        try:
            fields = self._write_observation(observation)
        except Exception as error:  # a field holds what its annotation does not say
            raise _unwritable("observation", error) from error
        data: dict[str, Any] = {
            "observation": fields,
            "reward": observation.reward,
            "done": observation.done,
        }
        if metadata:
            data["metadata"] = metadata
        return data

    def write_state(self, state: StateT) -> bytes:
        """Write the reply to a state request; raises as `observation_data` does."""
        try:
            return dumps({"type": "state", "data": self.state_data(state)})
        except (TypeError, ValueError) as error:
            raise _unwritable("state", error) from error

    def state_data(self, state: StateT) -> dict[str, Any]:
        """Return the data of the reply to a state request; raises as `observation_data` does."""
        try:
            return self._write_state(state)
        except Exception as error:
            raise _unwritable("state", error) from error

    def schemas(self) -> dict[str, Any]:
        """Return the JSON Schemas (2020-12) of the three models, by name."""
        return {
            "action": action_schema(self.action),
            "observation": observation_schema(self.observation),
            "state": state_schema(self.state),
        }

    # What a client reads and writes

    def write_action(self, action: ActionT) -> dict[str, Any]:
        """Return the action's fields, ready for JSON.

        Raises:
            TypeError: it is not an instance of the action's class.
        """
        if not isinstance(action, self.action):
            raise TypeError(
                f"step() takes an action of the class {self.action.__name__}, "
                f"not {type(action).__name__}: {action!r}"
            )
        return self._write_action(action)

    def read_result(self, data: dict[str, Any]) -> StepResult[ObservationT]:
        """Read the data of an observation reply.

        Raises:
            ProtocolViolation: it does not fit the observation's class.
        """
        fields = data.get("observation")
        if fields.__class__ is not dict:
            raise ProtocolViolation("the service sent an observation reply without an observation")
        done = data.get("done", False)
        reward = data.get("reward")
        metadata = data.get("metadata")
        if reward is True or reward is False:  # OpenEnv's servers may reward with a boolean
            reward = float(reward)
        fields["done"] = done
        fields["reward"] = reward
        if metadata is not None and "metadata" not in fields:
            fields["metadata"] = metadata
        try:
            observation = self._read_observation(fields)
        except InvalidRequest as error:
            raise _misfit("an observation", error) from error
        return StepResult(observation, observation.reward, observation.done, metadata)

    def read_state(self, data: dict[str, Any]) -> StateT:
        """Read the data of a state reply.

        Raises:
            ProtocolViolation: it does not fit the state's class.
        """
        try:
            return self._read_state(data)
        except InvalidRequest as error:
            raise _misfit("a state", error) from error

    def _write_step(self, action: ActionT) -> bytes:
        return write_request("step", self.write_action(action))

    def _write_result(self, observation: ObservationT) -> bytes:
        try:
            return dumps({"type": "observation", "data": self.observation_data(observation)})
        except (TypeError, ValueError) as error:
            raise _unwritable("observation", error) from error

    def _without_metadata(self, data: dict[str, Any]) -> dict[str, Any]:
        rest = dict(data)
        metadata = rest.pop("metadata")
        if metadata.__class__ is not dict:
            fault = make_fault("dict_type", ["metadata"], "expected an object", metadata)
            summary = f"this is not a valid {self.action.__name__}"
            raise InvalidRequest(summary, errors=[fault])
        return rest


class PlainContract:
    """The contract of a client that knows no models: plain dicts in, plain dicts out."""

    recognise_result = staticmethod(recognise_nothing)

    def write_step(self, action: Any) -> bytes:
        """Write an action as the frame of a step; raises what the other two do."""
        return write_request("step", self.write_action(action))

    def write_action(self, action: Any) -> dict[str, Any]:
        """Return the action's fields: a mapping's items, or an attrs instance's fields.

        Raises:
            TypeError: it is neither.
        """
        if action.__class__ is dict:
            return action
        if isinstance(action, Mapping):
            return dict(action)
        if attrs.has(type(action)):
            return make_writer(type(action))(action)
        raise TypeError(f"step() takes a dict of the action's fields, not {action!r}")

    def read_result(self, data: dict[str, Any]) -> StepResult[dict[str, Any]]:
        """Read the data of an observation reply; raises `ProtocolViolation` if it has none."""
        fields = data.get("observation")
        if fields.__class__ is not dict:
            raise ProtocolViolation("the service sent an observation reply without an observation")
        return StepResult(
            fields,
            data.get("reward"),
            data.get("done", False),
            data.get("metadata"),
        )

    def read_state(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return the data of a state reply as it is."""
        return data


def _unwritable(what: str, error: Exception) -> EnvironmentFailed:
    return EnvironmentFailed(f"its {what} cannot be written: {error}")


def _misfit(what: str, error: InvalidRequest) -> ProtocolViolation:
    summary = f"the service sent {what} that does not fit the client's class"
    return ProtocolViolation(summary, errors=error.errors)


def _require_subclass(cls: Any, base: type) -> None:
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise TypeError(f"{cls!r} must be an attrs class derived from aioenv.{base.__name__}")
