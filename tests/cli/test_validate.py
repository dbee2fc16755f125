"""``aioenv validate URL``: what conforms passes, and each fault is found under its own name."""

import asyncio
import json
import socket
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from aiohttp import web

from aioenv.cli import main
from aioenv.service import Server, Settings, create_app
from echo_env import EchoAction, EchoObservation
from echo_env.environment import EchoEnvironment
from tests.cli.broken import BrokenService
from tests.cli.conftest import DEADLINE_S
from tests.environments import Census, Heard, PlainWorld, Tally, Word, populate
from tests.peer.process import LineProcess
from tests.peer.provision import Peer
from tests.worlds.nim import Heap, NimEnvironment, Take
from tests.worlds.studio import Painting, Stroke, StudioEnvironment

Capture = pytest.CaptureFixture[str]


Run = Callable[[Coroutine[Any, Any, Any]], Any]


@contextmanager
def loop_in_a_thread() -> Iterator[Run]:
    """Give what runs coroutines in another thread, as validating blocks this one."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield lambda work: asyncio.run_coroutine_threadsafe(work, loop).result(DEADLINE_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(DEADLINE_S)
        loop.close()


@contextmanager
def running(app: web.Application) -> Iterator[str]:
    """Serve a plain application."""
    with loop_in_a_thread() as run:
        runner = web.AppRunner(app, shutdown_timeout=1.0)
        run(runner.setup())
        try:
            run(web.TCPSite(runner, "127.0.0.1", 0).start())
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            run(runner.cleanup())


@contextmanager
def serving(environment: Any, *models: Any, **settings: Any) -> Iterator[str]:
    """Serve an environment with our own service."""
    state = {"state": models[2]} if len(models) > 2 else {}
    app = create_app(environment, *models[:2], **state, settings=Settings(**settings))
    with loop_in_a_thread() as run:
        server = Server(app, "127.0.0.1", 0)
        try:
            yield run(server.start())
        finally:
            run(server.stop())


def judged(capsys: Capture, url: str, *options: str) -> tuple[int, dict[str, Any]]:
    """Validate a service; return the exit code and the checks by their names."""
    code = main(["validate", url, "--json", "--capacity-timeout-s", "5", *options])
    out, err = capsys.readouterr()
    assert err == ""
    report = json.loads(out)
    assert report["target"] == url
    assert report["verdict"] == ("fail" if code else "pass")
    return code, {check["name"]: check for check in report["checks"]}


def with_verdict(checks: dict[str, Any], verdict: str) -> set[str]:
    """Return the names of the checks with a verdict."""
    return {name for name, check in checks.items() if check["verdict"] == verdict}


# What conforms


def test_echo_passes_every_check(capsys: Capture) -> None:
    """Our Echo fails nothing, and with ``--full`` nothing is left out."""
    with serving(EchoEnvironment, EchoAction, EchoObservation, max_concurrent_envs=3) as url:
        code, checks = judged(capsys, url, "--full")
    assert (code, with_verdict(checks, "pass")) == (0, set(checks)), checks
    assert not any(check["advice"] for check in checks.values())
    assert "(3 allowed)" in checks["capacity"]["detail"]


@pytest.mark.parametrize("limit", [1, 2])
@pytest.mark.parametrize(
    "models",
    [
        pytest.param((NimEnvironment, Take, Heap), id="nim"),
        pytest.param((StudioEnvironment, Stroke, Painting), id="studio"),
    ],
)
def test_other_environments_pass(models: Any, limit: int, capsys: Capture) -> None:
    """So do richer environments, and those that may be there but once."""
    with serving(*models, max_concurrent_envs=limit) as url:
        code, checks = judged(capsys, url)
    assert code == 0, checks
    allowed = {"capacity", "http-step"} | ({"isolation"} if limit == 1 else set())
    assert with_verdict(checks, "skip") <= allowed, checks


@pytest.mark.parametrize("limit", [1, 3])
def test_openenv_passes(peer: Peer, limit: int, capsys: Capture) -> None:
    """OpenEnv's own server fails nothing; what it is lenient in is no more than an advice."""
    command = peer.command("serve.py", "--max-concurrent-envs", limit)
    with LineProcess(command, cwd=peer.folder) as server:
        code, checks = judged(capsys, server.wait_address(DEADLINE_S), "--full")
    assert code == 0, checks
    skipped = {"isolation"} if limit == 1 else set()
    assert with_verdict(checks, "skip") == skipped, checks
    assert "cost the session" in checks["odd-frames"]["detail"]


def test_service_made_by_hand_passes(capsys: Capture) -> None:
    """The service that the faults are put into fails nothing without one."""
    service = BrokenService()
    with running(service.app()) as url:
        code, checks = judged(capsys, url)
    assert (code, with_verdict(checks, "skip")) == (0, {"capacity"}), checks
    assert service.peak <= 2


# What does not

FAULTS = {
    "/health is missing": ("health", "GET /health answered with 404"),
    "/health is ill": ("health", "answered with 503"),
    "/health is a text": ("health", 'the Content-Type "text/plain"'),
    "/metadata is missing": ("metadata", "GET /metadata answered with 404"),
    "/metadata has no name": ("metadata", "the name null"),
    "/schema is missing": ("schema", "GET /schema answered with 404"),
    "schema is not valid": ("schema", "observation is not valid at $.properties.text.type"),
    "schema of the state is missing": ("schema", "no schema of the state"),
    "schema does not fit the observation": ("observation-schema", "$.text: "),
    "schema does not fit the state": ("state-schema", "'heard' is a required property"),
    "schema refers to elsewhere": ("state-schema", "its schema cannot be applied"),
    "/step answers an observation alone": ("http-step", "has no observation"),
    "a bad body is an error of the server": ("http-errors", "answered with 500, not 422"),
    "/ws is missing": ("replies", "/ws was refused with 404"),
    "/ws breaks off": ("replies", "the handshake of a WebSocket at /ws broke off: "),
    "it greets": ("replies", 'no state or error, but {"type": "hello"'),
    "it tells how it goes": ("replies", '{"type": "progress"'),
    "it says farewell": ("replies", 'nobody asked for: {"type": "bye"'),
    "each reply is that to the request before": ("replies", '{"type": "pong"'),
    "it answers in binary frames": ("replies", "a binary frame"),
    "reward is NaN": ("step", "the reward of a step is NaN"),
    "observation holds an Infinity": ("step", "NaN or Infinity, which JSON does not know"),
    "reward is a text": ("step", 'the reward of a step is "1"'),
    "done is missing": ("step", "the 'done' of a step is null"),
    "observation is flat": ("step", "has no observation"),
    "state is empty": ("state", "the step_count of a state is null"),
    "reset loses the episode_id": ("episode-id", 'is null after a reset with "validate-1"'),
    "step_count counts double": ("step-count", "counts 2 steps after 1"),
    "step_count goes on after a reset": ("step-count", "counts 1 steps after 0"),
    "a close ends with 1011": ("close", "the code 1011"),
    "errors have no code": ("error-codes", "the code null, not INVALID_JSON"),
    "every error is a SERVER_ERROR": ("error-codes", '"SERVER_ERROR", not INVALID_JSON'),
    "errors have no message": ("error-codes", "has no message"),
    "an unknown field is taken": ("error-codes", "an unknown field 'no_such_field' is no error"),
    "an error ends the session": ("recovery", "a frame that is no JSON cost the session"),
    "a refused action counts as a step": ("recovery", '"step_count": 1'),
    "sessions share one environment": ("isolation", "[1, 1], not [1, 0]"),
    "a refusal does not tell the limit": ("capacity", "has the max_sessions null"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found(fault: str, capsys: Capture) -> None:
    """A service with one fault fails one check, the one that is meant for it; exit code 1."""
    name, words = FAULTS[fault]
    with running(BrokenService(fault).app()) as url:
        code, checks = judged(capsys, url, "--full")
    assert code == 1
    assert with_verdict(checks, "fail") == {name}, checks
    assert words in checks[name]["detail"], checks[name]


def test_action_that_the_schema_does_not_tell(capsys: Capture) -> None:
    """A schema that lets through what the service refuses fails; ``--action`` gets further."""
    with running(BrokenService("schema tells less than is asked").app()) as url:
        _, checks = judged(capsys, url)
        assert "satisfies the schema, and was refused" in checks["step"]["detail"]
        _, checks = judged(capsys, url, "--action", '{"text": "Hi"}')
    assert checks["step"]["verdict"] == "pass"


def test_action_of_the_users_that_does_not_fit(capsys: Capture) -> None:
    """An ``--action`` that the schema refuses is the user's to mend, not the service's."""
    with serving(EchoEnvironment, EchoAction, EchoObservation) as url:
        code, checks = judged(capsys, url, "--action", '{"msg": "Hi"}')
    assert code == 1
    assert "does not satisfy the schema" in checks["step"]["detail"]
    assert checks["step"]["advice"] == "pass one that does with --action"


def test_action_that_is_no_object(capsys: Capture) -> None:
    """A schema of actions that are no objects is a finding wherever an action is needed."""
    with running(BrokenService("schema of the action is a text's").app()) as url:
        code, checks = judged(capsys, url)
    assert code == 1
    assert 'give it the type "object"' in checks["http-step"]["advice"]


def test_silent_service_is_given_up(capsys: Capture) -> None:
    """A step that is never answered is a finding, after the time that was given."""
    census = Census()
    world = populate(census, PlainWorld)
    with serving(world, Word, Heard, Tally, max_concurrent_envs=4, step_timeout_s=60) as url:
        options = ("--action", '{"text": "hang"}', "--message-timeout-s", "3")
        code, checks = judged(capsys, url, *options)
        census.open_gate()
    assert code == 1
    assert "did not come within 3 s" in checks["replies"]["detail"]


# Who is not there, and what is not meant


def test_nobody_there_is_one_clear_line(unused_port: int, capsys: Capture) -> None:
    """A service that does not answer is told in one line, with exit code 1."""
    assert main(["validate", f"http://127.0.0.1:{unused_port}"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"Error: cannot connect to http://127.0.0.1:{unused_port}: ")
    assert err.endswith("is it running? `aioenv serve` in its folder starts one\n")


def test_mute_port_is_one_clear_line(capsys: Capture) -> None:
    """So is a port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert main(["validate", url, "--message-timeout-s", "0.5"]) == 1
    err = capsys.readouterr().err
    assert "GET /health was not answered within 0.5 s" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("given", ["option", "variable", "header"])
def test_token(given: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token is sent, however it is given, and never shown; without it one line says so."""
    secret = "s3cr3t-token"
    with serving(EchoEnvironment, EchoAction, EchoObservation, token=secret) as url:
        assert main(["validate", url]) == 1
        err = capsys.readouterr().err
        assert "401" in err
        assert len(err.splitlines()) == 1
        options = {
            "option": ["--token", secret],
            "header": ["--header", f"Authorization: Bearer {secret}"],
        }
        if given == "variable":
            monkeypatch.setenv("AIOENV_TOKEN", secret)
        assert main(["validate", url, *options.get(given, [])]) == 0
    out, err = capsys.readouterr()
    assert secret not in out + err
    main(["validate", "--help"])
    assert secret not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "neither a folder nor an address"),
        (["ftp://example"], "'ftp://example' is not an address"),
        (["http://x", "--action", "{"], "this is not JSON"),
        (["http://x", "--action", "[1]"], "expected a JSON object"),
        (["http://x", "--header", "token"], "is not 'Name: value'"),
    ],
    ids=["word", "scheme", "no JSON", "no object", "header"],
)
def test_wrong_usage(arguments: list[str], words: str, capsys: Capture) -> None:
    """What is no target, or no action, is wrong usage: exit code 2."""
    assert main(["validate", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_report_is_lines(capsys: Capture) -> None:
    """The report has a line for each check, one for each advice, and one that sums it up."""
    with running(BrokenService("errors have no code").app()) as url:
        assert main(["validate", url]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "pass  health              GET /health says healthy"
    place = next(n for n, line in enumerate(lines) if line.startswith("fail  error-codes  "))
    assert lines[place + 1].strip().startswith("→ send {")
    assert lines[-1] == f"{url}: 19 passed, 1 failed, 1 skipped"
    assert not any("\x1b" in line for line in lines)


def test_judge_that_is_missing(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, one line says what to install."""
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    assert main(["validate", "http://127.0.0.1:1"]) == 1
    assert "pip install 'aioenv[validate]'" in capsys.readouterr().err
