"""Bad input and bad environments: each has its clear error, and the session goes on."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType
from attrs import define
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aioenv import Observation
from tests.conftest import DEADLINE_S, Serve, eventually
from tests.environments import (
    AsyncWorld,
    Census,
    Heard,
    MixedWorld,
    PlainWorld,
    Tally,
    World,
    populate,
)
from tests.service.conftest import Connect, OpenRaw, Talk


@pytest.fixture
async def talk(serve: Serve, connect: Connect, census: Census) -> Talk:
    """Talk to a service of asynchronous environments."""
    return await connect(await serve(populate(census, AsyncWorld)))


def nested(depth: int) -> str:
    """Return the JSON text of arrays in arrays."""
    return "[" * depth + "]" * depth


# What is no message

NO_JSON = ["{bad", "", "   ", '{"type":"reset"', '{"type":"reset"} x', "'reset'", nested(100_000)]


@pytest.mark.parametrize("frame", NO_JSON, ids=range(len(NO_JSON)))
async def test_what_is_no_json_is_refused(talk: Talk, frame: str) -> None:
    """Broken, empty and bottomless frames are INVALID_JSON."""
    error = await talk.refused(frame)
    assert error["code"] == "INVALID_JSON"
    assert error["message"].startswith("Invalid JSON: ")
    assert "errors" not in error
    await talk.echoes()


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        ("[1]", "an array"),
        ("[]", "an array"),
        ("7", "a number"),
        ("-1.5e3", "a number"),
        ("NaN", "a number"),
        ("123456789012345678901234567890", "a number"),
        ('"reset"', "a string"),
        ("true", "a boolean"),
        ("null", "null"),
    ],
)
async def test_json_that_is_no_object_is_refused(talk: Talk, frame: str, kind: str) -> None:
    """Any value but an object is a VALIDATION_ERROR that says what it is."""
    error = await talk.refused(frame)
    assert error["code"] == "VALIDATION_ERROR"
    assert error["message"] == f"a message is a JSON object with a type, not {kind}"
    (fault,) = error["errors"]
    assert (fault["type"], fault["loc"]) == ("dict_type", [])
    await talk.echoes()


async def test_a_binary_frame_is_refused(talk: Talk) -> None:
    """Even one that would be a fine message as text."""
    await talk.socket.send_bytes(b'{"type":"reset"}')
    reply = await talk.hear()
    assert reply["data"] == {
        "message": "binary frames are not understood; send JSON as text",
        "code": "VALIDATION_ERROR",
    }
    await talk.echoes()


async def test_text_that_is_not_utf_8_is_refused(
    serve: Serve, open_raw: OpenRaw, census: Census
) -> None:
    """Bytes that are no text are INVALID_JSON; the sentence says where."""
    peer = await open_raw(await serve(populate(census, AsyncWorld)))
    peer.send(WSMsgType.TEXT, b'{"type":"\xff"}')
    error = (await peer.hear())["data"]
    assert error["code"] == "INVALID_JSON"
    assert error["message"].startswith("Invalid JSON: it is not UTF-8")
    peer.say("Hi")
    assert (await peer.hear())["type"] == "observation"


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        ("{}", "None"),
        ('{"type":"nope"}', "'nope'"),
        ('{"type":"Step","data":{}}', "'Step'"),
        ('{"type":7}', "7"),
        ('{"type":null}', "None"),
        ('{"type":["step"]}', "['step']"),
        ('{"type":{"step":1}}', "{'step': 1}"),
        ('{"type":"tools/list","data":{}}', "'tools/list'"),
    ],
)
async def test_an_unknown_type_is_refused(talk: Talk, frame: str, kind: str) -> None:
    """It is UNKNOWN_TYPE, and the sentence names the known ones."""
    error = await talk.refused(frame)
    known = "known are reset, step, state, mcp and close"
    assert error == {"message": f"Unknown message type: {kind}; {known}", "code": "UNKNOWN_TYPE"}
    await talk.echoes()


# Messages that do not fit


@pytest.mark.parametrize(
    ("frame", "faults"),
    [
        ('{"type":"step"}', {"missing": ["data"]}),
        ('{"type":"step","data":null}', {"dict_type": ["data"]}),
        ('{"type":"step","data":[]}', {"dict_type": ["data"]}),
        ('{"type":"reset","data":"now"}', {"dict_type": ["data"]}),
        ('{"type":"reset","data":null}', {"dict_type": ["data"]}),
        ('{"type":"step","data":{"text":"x"},"id":1}', {"extra_forbidden": ["id"]}),
        ('{"type":"state","data":{}}', {"extra_forbidden": ["data"]}),
        ('{"type":"close","reason":"tired"}', {"extra_forbidden": ["reason"]}),
        ('{"type":"reset","data":{"seed":"7"}}', {"int_type": ["seed"]}),
        ('{"type":"reset","data":{"seed":true}}', {"int_type": ["seed"]}),
        ('{"type":"reset","data":{"seed":1.0}}', {"int_type": ["seed"]}),
        ('{"type":"reset","data":{"seed":NaN}}', {"int_type": ["seed"]}),
        (
            '{"type":"reset","data":{"seed":[],"episode_id":7}}',
            {"int_type": ["seed"], "string_type": ["episode_id"]},
        ),
        ('{"type":"step","data":{"text":"x","metadata":[]}}', {"dict_type": ["metadata"]}),
    ],
)
async def test_a_message_of_the_wrong_shape_is_refused(
    talk: Talk, frame: str, faults: dict[str, list[str]]
) -> None:
    """Each fault is listed with its type and path."""
    error = await talk.refused(frame)
    assert error["code"] == "VALIDATION_ERROR"
    assert {fault["type"]: fault["loc"] for fault in error["errors"]} == faults
    assert all(fault["msg"] for fault in error["errors"])
    await talk.echoes()


VALUES = [
    "7",
    "1.5",
    "true",
    "null",
    "[]",
    "{}",
    "NaN",
    "Infinity",
    "-Infinity",
    "18446744073709551616",
    "-9223372036854775809",
    "1" + "0" * 4000,
    "1e999",
    nested(200),
]


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
async def test_a_field_of_the_wrong_type_is_refused(talk: Talk, value: str) -> None:
    """Nothing is turned into a string, and the path of the field is told."""
    error = await talk.refused('{"type":"step","data":{"text":VALUE}}'.replace("VALUE", value))
    assert error["code"] == "VALIDATION_ERROR"
    assert error["message"] == "this is not a valid Word"
    (fault,) = error["errors"]
    assert fault["loc"] == ["text"]
    await talk.echoes()


@pytest.mark.parametrize(
    ("data", "faults"),
    [
        ("{}", {("text",)}),
        ('{"words":"x"}', {("text",), ("words",)}),
        ('{"text":"x","loud":true,"self":1}', {("loud",), ("self",)}),
    ],
)
async def test_missing_and_unknown_fields_are_refused(
    talk: Talk, data: str, faults: set[tuple[str, ...]]
) -> None:
    """All of them are listed at once."""
    error = await talk.refused('{"type":"step","data":DATA}'.replace("DATA", data))
    assert error["code"] == "VALIDATION_ERROR"
    assert {tuple(fault["loc"]) for fault in error["errors"]} == faults
    await talk.echoes()


@pytest.mark.parametrize("depth", [200, 500, 900, 1000, 1020, 5000])
@pytest.mark.parametrize(
    "frame",
    [
        "%s",
        '{"type":%s}',
        '{"type":"step","data":%s}',
        '{"type":"step","data":{"text":%s}}',
        '{"type":"step","data":{"text":"x","more":%s}}',
        '{"type":"step","data":{"text":"x"},"more":%s}',
        '{"type":"reset","data":{"seed":%s}}',
    ],
)
async def test_deep_nesting_is_refused_wherever_it_is(talk: Talk, frame: str, depth: int) -> None:
    """However deep, there is one error, and the session goes on."""
    error = await talk.refused(frame % nested(depth))
    assert error["code"] in ("VALIDATION_ERROR", "UNKNOWN_TYPE", "INVALID_JSON")
    await talk.echoes()


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\U0010ffff", "\x00\x1f\u2028"])
async def test_odd_text_is_echoed(talk: Talk, text: str) -> None:
    """Lone surrogates and control characters cross the wire in both directions."""
    assert (await talk.say(text))["data"]["observation"]["text"] == text


async def test_integers_of_any_size_arrive_whole(talk: Talk, census: Census) -> None:
    """A seed over 64 bits is no float in the environment."""
    seed = 2**200 + 1
    await talk.ask({"type": "reset", "data": {"seed": seed}})
    assert [world.options["seed"] for world in census.alive] == [seed]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    message=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["type", "data", "text", "seed", "episode_id", "metadata"])
                | st.text(),
                inner | st.sampled_from(["step", "reset", "state"]),
            )
        ),
        max_leaves=12,
    )
)
async def test_any_value_has_one_answer(talk: Talk, message: Any) -> None:
    """Whatever JSON a client sends, there is one reply, and the session goes on."""
    reply = await talk.ask(json.dumps(message))
    assert reply["type"] in ("error", "observation", "state")
    await talk.echoes()


# Messages that are too large


async def test_a_message_over_the_limit_closes_its_connection_alone(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """It is closed with 1009, its slot is free, and the service goes on for everybody else."""
    served = await serve(populate(census, AsyncWorld), max_message_size_mb=0.01)
    limit = int(0.01 * 1024 * 1024)
    bystander, talk = await connect(served), await connect(served)
    empty = len('{"type":"step","data":{"text":""}}')
    await talk.tell('{"type":"step","data":{"text":"%s"}}' % ("x" * (limit - empty)))
    assert (await talk.hear())["type"] == "observation"
    await talk.tell('{"type":"step","data":{"text":"%s"}}' % ("x" * (limit - empty + 1)))
    assert await talk.ended() == 1009
    await eventually(lambda: served.service.pool.statistics().active == 1)
    await bystander.echoes()
    await (await connect(served)).echoes()


async def test_fragments_over_the_limit_close_the_connection(
    serve: Serve, open_raw: OpenRaw, census: Census
) -> None:
    """A message in pieces is measured as a whole."""
    served = await serve(populate(census, AsyncWorld), max_message_size_mb=0.01)
    peer = await open_raw(served)
    peer.send(WSMsgType.TEXT, b"x" * 4000, fin=False)
    for _ in range(2):
        peer.send(WSMsgType.CONTINUATION, b"x" * 4000, fin=False)
    kind, payload = await peer.receive()
    assert (kind, int.from_bytes(payload[:2], "big")) == (WSMsgType.CLOSE, 1009)
    await eventually(lambda: not served.service.pool.statistics().active)


@pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])
async def test_who_sends_too_much_hears_why_however_long_it_goes_on(
    serve: Serve, open_raw: OpenRaw, census: Census
) -> None:
    """What is left of the message is read, so that no reset overtakes the close frame."""
    served = await serve(
        populate(census, AsyncWorld), max_message_size_mb=0.01, close_timeout_s=2 * DEADLINE_S
    )
    peer = await open_raw(served)
    peer.send(WSMsgType.TEXT, b"x" * 1_000_000)
    await eventually(lambda: census.closed == 1)
    for _ in range(8):
        peer.send(WSMsgType.TEXT, b"x" * 1_000_000)
        await peer.writer.drain()
    kind, payload = await peer.receive()
    assert (kind, int.from_bytes(payload[:2], "big")) == (WSMsgType.CLOSE, 1009)
    await peer.hear_the_end()


async def test_who_sends_too_much_is_not_read_for_ever(
    serve: Serve, open_raw: OpenRaw, census: Census
) -> None:
    """Who neither stops nor closes is dropped when the time for a close is over."""
    served = await serve(
        populate(census, AsyncWorld), max_message_size_mb=0.01, close_timeout_s=0.2
    )
    peer = await open_raw(served)
    with pytest.raises(ConnectionError):
        await peer.go_on_sending(b"x" * 20_000)


async def test_a_broken_frame_while_the_close_is_awaited_ends_the_wait(
    serve: Serve, open_raw: OpenRaw, census: Census
) -> None:
    """The client hears of the close nevertheless, and that no more comes."""
    served = await serve(populate(census, AsyncWorld), close_timeout_s=2 * DEADLINE_S)
    peer = await open_raw(served)
    peer.send(WSMsgType.TEXT, b'{"type":"close"}')
    kind, payload = await peer.receive()
    assert (kind, int.from_bytes(payload[:2], "big")) == (WSMsgType.CLOSE, 1000)
    peer.send(WSMsgType.CONTINUATION, b"of nothing")
    await peer.hear_the_end()


async def test_a_message_over_the_limit_in_mid_step_cancels_it(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """The end of the connection is the end of what is under way."""
    served = await serve(populate(census, AsyncWorld), max_message_size_mb=0.01)
    talk = await connect(served)
    await talk.tell('{"type":"step","data":{"text":"hang"}}')
    await eventually(lambda: census.hanging)
    await talk.tell("x" * 20_000)
    assert await talk.ended() == 1009
    await eventually(lambda: census.closed == 1)
    assert census.cancelled == 1


LONG = "x" * 100_000
MANY = {f"name{number}": 0 for number in range(10_000)}


@pytest.mark.parametrize(
    "message",
    [
        {"type": "step", "data": {"texd": LONG}},
        {"type": "step", "data": {"text": [LONG]}},
        {"type": "step", "data": {"text": "x", LONG: 1}},
        {"type": "step", "data": MANY},
        {"type": "step", "data": LONG},
        {"type": "reset", "data": {"seed": LONG}},
        {"type": "state", **MANY},
        {"type": LONG},
        [LONG],
    ],
    ids=lambda message: str(message)[:40],
)
async def test_the_refusal_of_a_long_message_is_short(talk: Talk, message: Any) -> None:
    """It says what is wrong and quotes no more than a part, so that any client can take it."""
    assert 50 < len(json.dumps(await talk.refused(message))) < 10_000
    await talk.echoes()


@pytest.mark.parametrize("body", [{"action": {"texd": LONG}}, {"action": LONG}, [LONG]])
async def test_the_refusal_of_a_long_body_is_short(
    serve: Serve, http: aiohttp.ClientSession, census: Census, body: Any
) -> None:
    """Over plain HTTP the same."""
    served = await serve(populate(census, AsyncWorld))
    async with http.post(f"{served.url}/step", json=body) as response:
        assert response.status == 422
        assert 50 < len(await response.read()) < 10_000


async def test_a_reply_has_no_limit_but_the_client_s(talk: Talk) -> None:
    """The default limit of 100 MiB lets a large observation through."""
    reply = await talk.say("return a lot")
    assert len(reply["data"]["observation"]["text"]) == 4_000_000


# Environments that fail

FAILURES = [
    (AsyncWorld, "raise", "it broke"),
    (PlainWorld, "raise", "it broke"),
    (MixedWorld, "raise", "it broke"),
    (AsyncWorld, "raise without words", "ValueError"),
    (PlainWorld, "raise without words", "ValueError"),
    (AsyncWorld, "raise oddly", "OddError"),
    (PlainWorld, "raise oddly", "OddError"),
    (AsyncWorld, "cancel", "CancelledError"),
    (PlainWorld, "cancel", "CancelledError"),
    (AsyncWorld, "exit", "SystemExit: 3"),
    (PlainWorld, "exit", "SystemExit: 3"),
    (AsyncWorld, "stop iteration", "coroutine raised StopIteration"),
    (PlainWorld, "stop iteration", "StopIteration"),
    (AsyncWorld, "return a number", "{} of AsyncWorld returned int, not Heard"),
    (PlainWorld, "return a number", "{} of PlainWorld returned int, not Heard"),
    (AsyncWorld, "return nothing", "{} of AsyncWorld returned NoneType, not Heard"),
    (PlainWorld, "return nothing", "{} of PlainWorld returned NoneType, not Heard"),
]


@pytest.mark.parametrize(("world", "text", "message"), FAILURES)
@pytest.mark.parametrize("operation", ["reset", "step"])
async def test_an_environment_that_fails_says_why(
    serve: Serve,
    connect: Connect,
    census: Census,
    world: type[World],
    text: str,
    message: str,
    operation: str,
) -> None:
    """Whatever it raises or returns is an EXECUTION_ERROR in its own words."""
    talk = await connect(await serve(populate(census, world)))
    data = {"text": text} if operation == "step" else {"do": text}
    error = await talk.refused({"type": operation, "data": data})
    assert error == {"message": message.format(operation), "code": "EXECUTION_ERROR"}
    await talk.echoes()


@pytest.mark.parametrize("text", ["return the unwritable", "return a wrong field"])
@pytest.mark.parametrize("world", [AsyncWorld, PlainWorld])
async def test_an_observation_without_a_json_form_is_the_environment_s_failure(
    serve: Serve, connect: Connect, census: Census, world: type[World], text: str
) -> None:
    """What cannot be written is an EXECUTION_ERROR that says what has no JSON form."""
    talk = await connect(await serve(populate(census, world)))
    error = await talk.refused({"type": "step", "data": {"text": text}})
    assert error["code"] == "EXECUTION_ERROR"
    assert "object has no JSON form" in error["message"]
    await talk.echoes()


async def test_a_field_of_the_wrong_class_is_the_environment_s_failure(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """A field that should hold an object and holds none costs the step, not the session."""

    @define
    class Inner:
        value: int

    @define
    class Outer(Observation):
        inner: Inner
        text: str = ""

    class Careless(AsyncWorld):
        async def step(self, action: Any) -> Any:
            wrong: Any = None if action.text == "wrong" else Inner(7)
            return Outer(wrong, action.text)

    talk = await connect(await serve(populate(census, Careless), observation=Outer))
    error = await talk.refused({"type": "step", "data": {"text": "wrong"}})
    assert error["code"] == "EXECUTION_ERROR"
    assert error["message"].startswith("its observation cannot be written: ")
    await talk.echoes()


@pytest.mark.parametrize("world", [AsyncWorld, PlainWorld])
@pytest.mark.parametrize(
    ("on_state", "message"),
    [
        ("raise", "it broke"),
        ("exit", "SystemExit: 3"),
        ("cancel", "CancelledError"),
        ("return a number", "state of {} returned int, not Tally"),
    ],
)
async def test_a_state_that_fails_says_why(
    serve: Serve,
    connect: Connect,
    census: Census,
    world: type[World],
    on_state: str,
    message: str,
) -> None:
    """A failing state is an EXECUTION_ERROR too."""
    talk = await connect(await serve(populate(census, world, on_state=on_state)))
    error = await talk.refused({"type": "state"})
    assert error == {"message": message.format(world.__name__), "code": "EXECUTION_ERROR"}
    await talk.echoes()


async def test_a_state_without_a_json_form_is_the_environment_s_failure(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """A state that cannot be written costs no session."""

    class Odd(AsyncWorld):
        @property
        def state(self) -> Tally:
            return Tally(extra={"thing": object()})

    talk = await connect(await serve(populate(census, Odd)))
    error = await talk.refused({"type": "state"})
    assert error["code"] == "EXECUTION_ERROR"
    assert "object has no JSON form" in error["message"]
    await talk.echoes()


async def test_an_option_that_the_environment_demands_may_be_missing(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """A reset without it is the environment's failure, with Python's own words."""

    class Demanding(AsyncWorld):
        async def reset(self, *, level: int) -> Any:  # type: ignore[override]
            return await super().reset(do=f"level {level}")

    talk = await connect(await serve(populate(census, Demanding)))
    error = await talk.refused({"type": "reset"})
    assert error["code"] == "EXECUTION_ERROR"
    assert "missing 1 required keyword-only argument: 'level'" in error["message"]
    reply = await talk.ask({"type": "reset", "data": {"level": 3}})
    assert reply["data"]["observation"]["text"] == "level 3"


@pytest.mark.parametrize("world", [AsyncWorld, PlainWorld])
async def test_an_environment_that_takes_any_option_gets_all_but_its_own_name(
    serve: Serve, connect: Connect, census: Census, world: type[World]
) -> None:
    """Not even ``self`` and the names of our own parameters trip it up."""
    got: list[dict[str, Any]] = []

    async def reset(self: World, **options: Any) -> Heard:
        got.append(options)
        return Heard("ready")

    def reset_plainly(self: World, **options: Any) -> Heard:
        got.append(options)
        return Heard("ready")

    method = reset if world is AsyncWorld else reset_plainly
    talk = await connect(await serve(populate(census, world, reset=method)))
    names = ["self", "method", "args", "kwargs", "operation", "call", "level"]
    reply = await talk.ask({"type": "reset", "data": dict.fromkeys(names, 1)})
    assert reply["type"] == "observation", reply
    assert got == [dict.fromkeys(names[1:], 1)]


async def test_a_step_before_the_first_reset_may_be_refused(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """An environment that must be reset first says so, also after a reset that failed."""
    talk = await connect(await serve(populate(census, AsyncWorld, reset_first=True)))
    step = {"type": "step", "data": {"text": "early"}}
    refusal = {
        "message": "this environment takes no step before the first reset",
        "code": "VALIDATION_ERROR",
    }
    assert await talk.refused(step) == refusal
    for failing in ("raise", "return a number"):
        await talk.refused({"type": "reset", "data": {"do": failing}})
        assert await talk.refused(step) == refusal
    await talk.ask({"type": "reset"})
    await talk.echoes()


# Environments that cannot be made


@pytest.mark.parametrize("world", [AsyncWorld, PlainWorld])
@pytest.mark.parametrize(("on_make", "reason"), [("raise", "it broke"), ("exit", "SystemExit: 3")])
async def test_a_constructor_that_raises_costs_its_connection_alone(
    serve: Serve,
    connect: Connect,
    census: Census,
    world: type[World],
    on_make: str,
    reason: str,
) -> None:
    """The client is told why with FACTORY_ERROR, then closed with 1011; the slot is free."""
    environment = populate(census, world, on_make=on_make)
    served = await serve(environment, max_concurrent_envs=1)
    for _ in range(3):
        talk = await connect(served)
        assert (await talk.hear())["data"] == {
            "message": f"{world.__name__} cannot be made: {reason}",
            "code": "FACTORY_ERROR",
        }
        assert await talk.ended() == 1011
        assert served.service.pool.statistics().active == 0
    environment.on_make = ""
    await (await connect(served)).echoes()


async def test_a_factory_that_makes_something_else_is_told(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """What is no environment is FACTORY_ERROR, for plain and asynchronous factories."""

    async def later() -> str:
        return "nothing"

    for factory in (lambda: "nothing", later):
        talk = await connect(await serve(factory))
        error = (await talk.hear())["data"]
        assert error["code"] == "FACTORY_ERROR"
        assert error["message"].endswith("the factory returned 'nothing', not an Environment")
        assert await talk.ended() == 1011


async def test_an_asynchronous_factory_may_cancel_itself(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """Its cancellation is its own failure, not its client's."""

    async def factory() -> World:
        raise asyncio.CancelledError

    talk = await connect(await serve(factory))
    error = (await talk.hear())["data"]
    assert error["code"] == "FACTORY_ERROR"
    assert error["message"].endswith("cannot be made: CancelledError")
