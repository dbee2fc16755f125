"""The errors: one tree, their facts, their sentences."""

import copy
import inspect
import pickle
import re

import pytest

from aioenv import errors
from aioenv.errors import (
    AioEnvError,
    CapacityReached,
    Closed,
    ConnectionFailed,
    EnvironmentFailed,
    InvalidRequest,
    LaunchFailed,
    ProtocolViolation,
    RequestTimeout,
    SessionLost,
)

FAULT = {"type": "int_type", "loc": ["a", 0, "b"], "msg": "expected int, got string", "input": "x"}

# One of each, and another where the sentence depends on the facts.
SENTENCES: list[tuple[AioEnvError, str]] = [
    (AioEnvError("anything"), "anything"),
    (
        ConnectionFailed("ws://h/ws", "refused", status=403),
        "cannot connect to ws://h/ws: refused",
    ),
    (
        SessionLost("it went idle", close_code=1001),
        "the session is lost: it went idle (close code 1001); call reset() to begin a new one",
    ),
    (SessionLost("gone"), "the session is lost: gone; call reset() to begin a new one"),
    (
        CapacityReached(3, 4),
        "3 of 4 sessions are in use; wait with a longer capacity_timeout_s=…, or raise "
        "MAX_CONCURRENT_ENVS there",
    ),
    (
        CapacityReached(),
        "every session is in use; wait with a longer capacity_timeout_s=…, or raise "
        "MAX_CONCURRENT_ENVS there",
    ),
    (RequestTimeout("step", 2.50), "no reply to step within 2.5 s"),
    (InvalidRequest("broken", code="INVALID_JSON"), "broken"),
    (
        InvalidRequest("this is no Move", errors=[FAULT, {"loc": []}]),
        "this is no Move: $.a[0].b: expected int, got string; $: invalid",
    ),
    (
        EnvironmentFailed("it burst", code="FACTORY_ERROR"),
        "the environment failed (FACTORY_ERROR): it burst",
    ),
    (ProtocolViolation("odd"), "odd"),
    (ProtocolViolation("odd", errors=[FAULT]), "odd: $.a[0].b: expected int, got string"),
    *(
        (InvalidRequest("odd", errors=[{"loc": loc, "msg": "so it is"}]), "odd: $: so it is")
        for loc in (None, 3, "message", {"a": 1})
    ),
    (LaunchFailed("no Docker"), "the service did not start: no Docker"),
    (
        LaunchFailed("it exited", container_id="0123456789abcdef", log_tail="Boom\nbang"),
        "the service did not start (container 0123456789ab): it exited\nBoom\nbang",
    ),
    (Closed("client"), "the client is closed"),
]
CLASSES = [getattr(errors, name) for name in errors.__all__]


def test_every_error_has_a_sentence_here() -> None:
    """Each class of the tree is among the examples."""
    assert {type(error) for error, _ in SENTENCES} == set(CLASSES)


@pytest.mark.parametrize(("error", "sentence"), SENTENCES, ids=lambda value: type(value).__name__)
def test_sentence(error: AioEnvError, sentence: str) -> None:
    """An error tells its facts in one sentence."""
    assert str(error) == sentence


def test_tree_is_as_drawn() -> None:
    """The tree in the module's docstring names every class and its kin in the standard library."""
    drawn = re.findall(r"[├└]── (\w+)(?: +\(also an? (\w+)\))?", inspect.getdoc(errors) or "")
    kin = {
        cls.__name__: "".join(base.__name__ for base in cls.__bases__ if base is not AioEnvError)
        for cls in CLASSES
        if cls is not AioEnvError
    }
    assert dict(drawn) == kin


@pytest.mark.parametrize("cls", CLASSES)
def test_one_root(cls: type[Exception]) -> None:
    """Whatever this project raises on purpose can be caught as one class."""
    assert issubclass(cls, AioEnvError)


@pytest.mark.parametrize(
    ("error", "facts"),
    [
        (ConnectionFailed("u", "r", status=500), {"url": "u", "reason": "r", "status": 500}),
        (ConnectionFailed("u", "r"), {"url": "u", "reason": "r", "status": None}),
        (SessionLost("r", close_code=1006), {"reason": "r", "close_code": 1006}),
        (CapacityReached(1, 2), {"active": 1, "limit": 2}),
        (RequestTimeout("reset", 1.0), {"operation": "reset", "timeout_s": 1.0}),
        (
            InvalidRequest("s", errors=(FAULT,)),
            {"summary": "s", "code": "VALIDATION_ERROR", "errors": [FAULT]},
        ),
        (EnvironmentFailed("r"), {"reason": "r", "code": "EXECUTION_ERROR"}),
        (ProtocolViolation("r", errors=(FAULT,)), {"reason": "r", "errors": [FAULT]}),
        (LaunchFailed("r"), {"reason": "r", "container_id": None, "log_tail": ""}),
        (Closed("pool"), {"what": "pool"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_facts_are_attributes(error: AioEnvError, facts: dict[str, object]) -> None:
    """An error keeps its facts as attributes, and nothing else."""
    assert vars(error) == facts


@pytest.mark.parametrize(("error", "sentence"), SENTENCES, ids=lambda value: type(value).__name__)
def test_crosses_processes(error: AioEnvError, sentence: str) -> None:
    """An error survives pickling and copying with its facts, as worker processes need it."""
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is type(error)
        assert vars(twin) == vars(error)
        assert str(twin) == sentence
