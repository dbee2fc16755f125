"""The logs: what they tell of requests and sessions, and what never; whose each line is."""

import asyncio
import io
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from aioenv.service import Settings
from aioenv.service.logs import ContextFilter, JsonFormatter, TextFormatter, configure_logging
from tests.conftest import Serve, Served, eventually
from tests.environments import AsyncWorld, Census, Heard, PlainWorld, Word, populate
from tests.service.conftest import AskRaw, Connect, OpenRaw

Record = dict[str, Any]
ID = re.compile(r"[0-9a-f]{32}")


class Log:
    """What was logged, in both formats."""

    def __init__(self) -> None:
        self.json_text = io.StringIO()
        self.text = io.StringIO()
        self.handlers = [logging.StreamHandler(self.json_text), logging.StreamHandler(self.text)]
        formatters = (JsonFormatter(), TextFormatter())
        for handler, formatter in zip(self.handlers, formatters, strict=True):
            handler.setFormatter(formatter)
            handler.addFilter(ContextFilter())

    def records(self, message: str | None = None, **fields: Any) -> list[Record]:
        """Return the records, or those with a message and fields; all are strict JSON."""
        records = [
            json.loads(line, parse_constant=_no_constant)
            for line in self.json_text.getvalue().splitlines()
        ]
        return [
            record
            for record in records
            if message in (None, record["message"]) and fields.items() <= record.items()
        ]

    async def wait(self, message: str, **fields: Any) -> Record:
        """Wait for a record, and return it."""
        await eventually(lambda: self.records(message, **fields), f"{message} {fields} is logged")
        return self.records(message, **fields)[0]

    def everything(self) -> str:
        """Return all that was written."""
        return self.json_text.getvalue() + self.text.getvalue()


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


@pytest.fixture
def log() -> Iterator[Log]:
    """Log everything of ours at every level."""
    log, root = Log(), logging.getLogger()
    loggers = [logging.getLogger(name) for name in ("aioenv", "aiohttp", "world")]
    for handler in log.handlers:
        root.addHandler(handler)
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    yield log
    for logger in loggers:
        logger.setLevel(logging.NOTSET)
    for handler in log.handlers:
        root.removeHandler(handler)


# Sessions


async def test_a_session_is_logged_from_its_opening_to_its_end(
    serve: Serve, connect: Connect, log: Log, census: Census
) -> None:
    """Four events with facts, all of one request and one session, and none for its steps."""
    served = await serve(populate(census, AsyncWorld))
    talk = await connect(served, headers={"X-Request-ID": "mine-1"})
    await talk.ask({"type": "reset", "data": {}})
    for text in ("a", "b", "c"):
        await talk.say(text)
    await talk.socket.close()
    request = await log.wait("request", path="/ws")
    events = [record for record in log.records() if record["logger"].startswith("aioenv.service.s")]
    assert [(event["level"], event["message"]) for event in events] == [
        ("INFO", "session opened"),
        ("DEBUG", "episode begun"),
        ("INFO", "session closed"),
    ]
    session_id = events[0]["session_id"]
    assert ID.fullmatch(session_id)
    assert {record["session_id"] for record in [*events, request]} == {session_id}
    assert {record["request_id"] for record in [*events, request]} == {"mine-1"}
    closed = events[-1]
    assert (closed["why"], closed["episodes"], closed["steps"]) == ("the client closed", 1, 3)
    assert closed["duration_s"] > 0
    assert (request["method"], request["status"], request["peer"]) == ("GET", 101, "127.0.0.1")
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", event["time"]) for event in events)
    (line,) = (line for line in log.text.getvalue().splitlines() if " session closed " in line)
    assert re.fullmatch(
        r"[\d-]+ [\d:,]+ INFO aioenv\.service\.service: session closed "
        rf'session_id={session_id} why="the client closed" episodes=1 steps=3 '
        r"duration_s=[\d.e-]+ request_id=mine-1",
        line,
    )


async def test_the_log_tells_why_a_websocket_s_session_ended(
    serve: Serve, connect: Connect, open_raw: OpenRaw, log: Log, census: Census
) -> None:
    """Who ended it and how: by a message, by leaving, by breaking the rules, by falling silent."""
    served = await serve(populate(census, AsyncWorld), heartbeat_s=0.2, max_message_size_mb=0.001)
    silent = await open_raw(served)
    await (await connect(served)).tell({"type": "close"})
    gone = await open_raw(served)
    gone.say("hello")
    await gone.hear()
    gone.abort()
    breaker = await open_raw(served)
    breaker.say("x" * 2000)
    await log.wait("session closed", why="the client closed")
    await log.wait("session closed", why="the client is gone", steps=1)
    await log.wait("session closed", why="no ping was answered for 0.2 s")
    await eventually(lambda: len(log.records("session closed")) == 4)
    (broken,) = (r for r in log.records("session closed") if "limit" in r["why"].lower())
    assert broken["steps"] == 0
    await silent.wait_dropped()


async def test_a_session_that_is_ended_by_the_pulse_keeps_its_own_ids(
    serve: Serve, connect: Connect, open_raw: OpenRaw, log: Log, census: Census
) -> None:
    """Not those of the connection with which the pulse began."""
    served = await serve(populate(census, AsyncWorld), heartbeat_s=0.1, idle_timeout_s=0.3)
    await connect(served, headers={"X-Request-ID": "the-first"})
    await open_raw(served, "", "X-Request-ID: the-silent")
    closed = await log.wait("session closed", why="no ping was answered for 0.1 s")
    opened = await log.wait("session opened", request_id="the-silent")
    assert closed["request_id"] == "the-silent"
    assert closed["session_id"] == opened["session_id"]


async def test_the_log_tells_why_an_http_session_ended(
    serve: Serve, http: aiohttp.ClientSession, log: Log, census: Census
) -> None:
    """Its client has ended it, nobody has used it, or the service stops."""
    served = await serve(populate(census, AsyncWorld))
    ids = []
    for _ in range(2):
        async with http.post(f"{served.url}/sessions") as response:
            ids.append((await response.json())["session_id"])
    await http.delete(f"{served.url}/sessions/{ids[0]}")
    await log.wait("session closed", session_id=ids[0], why="the client closed")
    await served.server.stop()
    await log.wait("session closed", session_id=ids[1], why="the service is stopping")
    served = await serve(populate(census, AsyncWorld), http_idle_timeout_s=0.05, heartbeat_s=0.2)
    await http.post(f"{served.url}/sessions")
    closed = await log.wait("session closed", why="nobody used it for 0.05 s")
    assert "request_id" not in closed


async def test_refusals_are_logged_with_their_reason(
    serve: Serve, connect: Connect, log: Log, census: Census
) -> None:
    """One line each, with the request's id."""
    served = await serve(populate(census, AsyncWorld), max_concurrent_envs=1)
    await connect(served)
    await (await connect(served, headers={"X-Request-ID": "too-many"})).hear()
    assert (await log.wait("session refused"))["reason"] == "full"
    assert log.records("session refused")[0]["request_id"] == "too-many"


async def test_a_call_without_a_session_is_one_line(
    serve: Serve, http: aiohttp.ClientSession, log: Log, census: Census
) -> None:
    """The throw-away session behind it is told only to who wants every detail."""
    served = await serve(populate(census, AsyncWorld))
    await http.post(f"{served.url}/step", json={"action": {"text": "x"}})
    assert (await log.wait("request"))["status"] == 200
    assert {record["level"] for record in log.records() if "session " in record["message"]} == {
        "DEBUG"
    }


# What is never told

SECRET = "s3cret"


@pytest.mark.parametrize("world", [AsyncWorld, PlainWorld])
async def test_no_secret_and_no_action_is_logged(
    serve: Serve,
    connect: Connect,
    http: aiohttp.ClientSession,
    log: Log,
    census: Census,
    world: type[Any],
) -> None:
    """Neither from headers nor from queries, actions, options, observations or states."""
    served = await serve(populate(census, world), token=SECRET)
    headers = {
        "Authorization": f"Bearer {SECRET}",
        "Cookie": f"session={SECRET}",
        "X-Request-ID": f"{SECRET} is no id",
    }
    talk = await connect(served, f"?token={SECRET}", headers=headers)
    await talk.ask({"type": "reset", "data": {"episode_id": SECRET, "do": SECRET}})
    await talk.say(SECRET)
    await talk.ask({"type": "state"})
    await talk.refused({"type": SECRET})
    await talk.refused(f"{{{SECRET}")
    await talk.refused({"type": "step", "data": {SECRET: SECRET}})
    await talk.socket.close()
    body = {"json": {"action": {"text": SECRET}}}
    for wrong in ({}, {"Authorization": f"Bearer not {SECRET}"}, headers):
        await http.post(f"{served.url}/step?key={SECRET}", headers=wrong, **body)
    await eventually(lambda: len(log.records("request")) == 4)
    assert SECRET not in log.everything()


@pytest.mark.parametrize(
    "lines",
    [
        (b"GET /state HTTP/1.1", b"Authorization: Bearer s3cret\x00"),
        (b"GET /state HTTP/1.1", b"Auth orization: Bearer s3cret"),
        (b"GET /state HTTP/1.1", b"Authorization: Bearer s3cret" + b"s" * 10_000),
        (b"GET /state?s3cret and more HTTP/1.1",),
        (b"s3cret /state HTTP/1.1",),
        (b"GET http://me:s3cret@host/state HTTP/1.1",),
        (b"GET /state?key=s3cret HTTP/1.1", b"Content-Length: s3cret"),
    ],
    ids=["value", "name", "too long", "query", "method", "userinfo", "length"],
)
async def test_a_broken_request_is_logged_without_what_it_says(
    serve: Serve, ask_raw: AskRaw, log: Log, census: Census, lines: tuple[bytes, ...]
) -> None:
    """By itself aiohttp would quote it, token and all, as an error of the service."""
    served = await serve(populate(census, AsyncWorld))
    await ask_raw(served, *lines)
    await log.wait("request")
    assert SECRET not in log.everything()
    assert not [record for record in log.records() if record["level"] in ("WARNING", "ERROR")]


async def test_a_path_cannot_forge_a_line(
    serve: Serve, ask_raw: AskRaw, log: Log, census: Census
) -> None:
    """It is logged as it was sent, still encoded, and only so much of it."""
    served = await serve(populate(census, AsyncWorld))
    forged = b"/x%0a%0d2026-01-01%20ERROR%22" + b"y" * 4000
    await ask_raw(served, b"GET " + forged + b" HTTP/1.1")
    record = await log.wait("request")
    assert record["status"] == 404
    assert record["path"] == forged.decode()[:512]
    assert len(log.text.getvalue().splitlines()) == len(log.records())


@pytest.mark.parametrize("world", [AsyncWorld, PlainWorld])
async def test_actions_are_logged_when_asked_for(
    serve: Serve, connect: Connect, log: Log, census: Census, world: type[Any]
) -> None:
    """Each reset and step with what it was given and what came of it, and in what time."""
    served = await serve(populate(census, world), log_actions=True)
    talk = await connect(served)
    await talk.ask({"type": "reset", "data": {"seed": 7}})
    await talk.say("Ω\n")
    await talk.refused({"type": "step", "data": {"text": "raise"}})
    await talk.refused({"type": "step", "data": {"text": "return a number"}})
    for text in ("return a wrong field", "return the unwritable"):
        await talk.refused({"type": "step", "data": {"text": text}})
    (reset,) = log.records("reset")
    steps = log.records("step")
    assert (reset["level"], reset["asked"]) == ("INFO", {"seed": 7})
    assert reset["answered"]["observation"] == {"text": "ready", "metadata": {}}
    assert steps[0]["asked"] == {"text": "Ω\n"}
    assert (steps[0]["answered"]["reward"], steps[0]["answered"]["done"]) == (2.0, False)
    assert steps[0]["duration_s"] >= 0
    assert (steps[1]["asked"], steps[1]["error"]) == ({"text": "raise"}, "ValueError")
    assert steps[2]["answered"] == "int"
    assert "[<object objec" in steps[3]["answered"]  # it has no JSON form, nor has what follows
    assert "'text': 'odd'" in steps[4]["answered"]
    assert {step["session_id"] for step in steps} == {reset["session_id"]}


# Whose line it is


class Talkative(AsyncWorld):
    """An environment that logs in each of its methods."""

    logger = logging.getLogger("world")

    def __init__(self) -> None:
        self.logger.info("made")
        super().__init__()

    async def reset(self, **options: Any) -> Heard:
        self.logger.info("reset %s", options["episode_id"])
        return await super().reset(**options)

    async def step(self, action: Word) -> Heard:
        self.logger.info("before %s", action.text)
        heard = await super().step(action)
        self.logger.info("after %s", action.text)
        return heard

    async def close(self) -> None:
        self.logger.info("closed")
        await super().close()


class PlainTalkative(PlainWorld):
    """The same in a thread."""

    logger = logging.getLogger("world")

    def __init__(self) -> None:
        self.logger.info("made")
        super().__init__()

    def reset(self, **options: Any) -> Heard:
        self.logger.info("reset %s", options["episode_id"])
        return super().reset(**options)

    def step(self, action: Word) -> Heard:
        self.logger.info("before %s", action.text)
        self.logger.info("after %s", action.text)
        return super().step(action)

    def close(self) -> None:
        self.logger.info("closed")
        super().close()


@pytest.mark.parametrize("world", [Talkative, PlainTalkative])
async def test_an_environment_s_own_records_have_the_ids_of_their_session(
    serve: Serve, connect: Connect, log: Log, census: Census, world: type[Any]
) -> None:
    """From its constructor to its end, in its thread or on the loop, among other sessions."""
    served = await serve(populate(census, world))

    async def play(name: str) -> None:
        talk = await connect(served, headers={"X-Request-ID": name})
        await talk.ask({"type": "reset", "data": {"episode_id": name}})
        for text in (f"{name}", "pause"):
            await talk.say(text)
        await talk.socket.close()

    names = [f"player-{number}" for number in range(8)]
    await asyncio.gather(*map(play, names))
    await eventually(lambda: len(log.records("closed", logger="world")) == len(names))
    for name in names:
        opened = await log.wait("session opened", request_id=name)
        own = log.records(logger="world", session_id=opened["session_id"])
        assert [record["message"] for record in own] == [
            "made",
            f"reset {name}",
            f"before {name}",
            f"after {name}",
            "before pause",
            "after pause",
            "closed",
        ]
        assert {record["request_id"] for record in own} == {name}


@pytest.mark.parametrize("world", [Talkative, PlainTalkative])
async def test_over_http_each_request_has_its_id_and_the_session_its_own(
    serve: Serve, http: aiohttp.ClientSession, log: Log, census: Census, world: type[Any]
) -> None:
    """Also where one connection carries them all."""
    served = await serve(populate(census, world))
    async with http.post(f"{served.url}/sessions", headers={"X-Request-ID": "r0"}) as response:
        session_id = (await response.json())["session_id"]
    for number in (1, 2):
        headers = {"X-Session-ID": session_id, "X-Request-ID": f"r{number}"}
        body = {"action": {"text": f"step {number}"}}
        await http.post(f"{served.url}/step", headers=headers, json=body)
    await http.post(f"{served.url}/step", json={"action": {"text": "alone"}})
    for text, request_id in (("made", "r0"), ("before step 1", "r1"), ("after step 2", "r2")):
        record = await log.wait(text)
        assert (record["request_id"], record["session_id"]) == (request_id, session_id)
    alone = await log.wait("after alone")
    assert ID.fullmatch(alone["request_id"])
    assert alone["session_id"] != session_id


@pytest.mark.parametrize("path", ["/health", "/schema", "/nowhere", "/metrics", "/ws", "/state"])
async def test_a_request_s_id_comes_back(
    serve: Serve, http: aiohttp.ClientSession, log: Log, census: Census, path: str
) -> None:
    """The one that was brought, whatever the answer is, and it is in the log."""
    served = await serve(populate(census, AsyncWorld), token="x" if path == "/state" else None)
    headers = {"X-Request-ID": "a1:b2/c3+d4=e5._@-"}
    async with http.get(f"{served.url}{path}", headers=headers) as response:
        assert response.headers["X-Request-ID"] == headers["X-Request-ID"]
    assert (await log.wait("request", path=path))["request_id"] == headers["X-Request-ID"]


@pytest.mark.parametrize(
    "brought",
    [b"", b"a b", b'a"b', b"x" * 129, b"\xff", b"a\tb", "ä".encode(), b"a,b", b"<script>"],
    ids=["none", "blank", "quote", "long", "bytes", "tab", "umlaut", "comma", "markup"],
)
async def test_an_id_that_is_not_fit_is_replaced(
    serve: Serve, ask_raw: AskRaw, log: Log, census: Census, brought: bytes
) -> None:
    """By a new one, which comes back in its place."""
    served = await serve(populate(census, AsyncWorld))
    lines = [b"X-Request-ID: " + brought] if brought else []
    reply = (await ask_raw(served, b"GET /health HTTP/1.1", *lines)).decode("latin-1")
    found = re.search(r"^X-Request-ID: (.*?)\r$", reply, re.MULTILINE)
    assert found
    assert ID.fullmatch(found.group(1))
    assert (await log.wait("request"))["request_id"] == found.group(1)


async def test_a_handshake_is_answered_with_its_id(
    serve: Serve, open_raw: OpenRaw, census: Census
) -> None:
    """So that a client can name its connection to whoever reads the log."""
    served = await serve(populate(census, AsyncWorld))
    assert "X-Request-ID: mine\r\n" in (await open_raw(served, "", "X-Request-ID: mine")).response
    made = re.search(r"X-Request-ID: (\S+)\r\n", (await open_raw(served)).response)
    assert made
    assert ID.fullmatch(made.group(1))


async def test_a_failing_service_says_whose_request_it_was(
    serve: Serve, http: aiohttp.ClientSession, log: Log, census: Census, loop_errors: Any
) -> None:
    """The traceback of a defect has the request's id as well."""
    served: Served = await serve(populate(census, AsyncWorld))
    served.service.contract.schemas = None  # type: ignore[assignment, method-assign]
    async with http.get(f"{served.url}/schema", headers={"X-Request-ID": "bad"}) as response:
        assert response.status == 500
    (record,) = log.records(level="ERROR")
    assert record["request_id"] == "bad"
    assert "TypeError" in record["exception"]
    loop_errors.records.clear()


# Formats


class Unshowable:
    """Has no JSON form."""

    def __repr__(self) -> str:
        return "<unshowable>"


@pytest.mark.parametrize(
    ("value", "written", "in_text"),
    [
        ("plain", "plain", "plain"),
        ("two words", "two words", '"two words"'),
        ("a\nb", "a\nb", r'"a\nb"'),
        ('say "x"', 'say "x"', r'"say \"x\""'),
        ("a=b", "a=b", '"a=b"'),
        ("", "", '""'),
        ("\udcff", "\udcff", r'"\udcff"'),
        ("\x1b[31m", "\x1b[31m", r'"\u001b[31m"'),
        (float("nan"), None, "null"),
        (2**70, 2**70, str(2**70)),
        (b"\xff", "/w==", '"/w=="'),
        ({"a": [1]}, {"a": [1]}, '{"a":[1]}'),
        (Unshowable(), "<unshowable>", '"<unshowable>"'),
        (None, None, "null"),
    ],
    ids=range(14),
)
def test_a_fact_of_any_kind_is_written(value: Any, written: Any, in_text: str) -> None:
    """On one line, in strict JSON; what has no form is at least named."""
    record = logging.makeLogRecord({"msg": "m", "levelname": "INFO", "name": "n", "fact": value})
    text = TextFormatter().format(record)
    line = JsonFormatter().format(record)
    assert len(line.splitlines()) == len(text.splitlines()) == 1
    assert json.loads(line, parse_constant=_no_constant)["fact"] == written
    assert text.partition(" fact=")[2] == in_text


def test_a_fact_cannot_pass_for_what_the_record_says() -> None:
    """A field that a program gives the name of one of ours does not outdo it."""
    fields = {"msg": "m", "level": "none", "time": 0, "logger": "x", "exception": "kept"}
    record = json.loads(JsonFormatter().format(logging.makeLogRecord(fields)))
    assert (record["message"], record["exception"]) == ("m", "kept")
    assert record["level"] != "none"
    assert record["time"] != 0


def test_logging_that_is_configured_is_left_alone() -> None:
    """A root logger with a handler belongs to whoever gave it."""
    root = logging.getLogger()
    before = list(root.handlers), root.level
    assert before[0]  # pytest's own
    configure_logging(Settings(log_format="json", log_level="debug"))
    assert (root.handlers, root.level) == before


def test_what_was_configured_by_us_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The application's own settings may come after the environment's."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", logging.WARNING)
    configure_logging(Settings())
    configure_logging(Settings(log_format="json", log_level="error"))
    (handler,) = root.handlers
    assert isinstance(handler.formatter, JsonFormatter)
    assert root.level == logging.ERROR
    logging.getLogger("aioenv").manager._clear_cache()  # type: ignore[attr-defined]
