"""The client: its life from the first call to the last, and what it says when things go wrong."""

import asyncio
import contextlib
from typing import Any

import pytest
from aiohttp import web

from aioenv import (
    CapacityReached,
    Closed,
    ConnectionFailed,
    EnvironmentFailed,
    InvalidRequest,
    ProtocolViolation,
    RequestTimeout,
    SessionLost,
    State,
    StepResult,
)
from aioenv.client import EnvClient, GenericEnvClient, fetch_schemas, transport
from aioenv.client.transport import Transport
from aioenv.service import Server, create_app
from echo_env import EchoAction, EchoEnv, EchoObservation
from echo_env.environment import EchoEnvironment
from tests.client.conftest import Launch, ServeEcho
from tests.client.scripted import Peer, error, observation, scripted, state
from tests.conftest import DEADLINE_S, Serve, Served, eventually, limit_replies
from tests.environments import AsyncWorld, Census, Heard, Tally, Word, populate


class WorldEnv(EnvClient[Word, Heard, Tally]):
    """Plays the tests' own environments."""


GREETING = EchoObservation("Echo environment ready!", 0, reward=0.0)


# An episode


async def test_an_episode(echo: Served) -> None:
    """A reset, steps and states come back as the models' instances."""
    async with EchoEnv(base_url=echo.url) as env:
        assert await env.reset(episode_id="one") == StepResult(GREETING, 0.0, False, None)
        result = await env.step(EchoAction(message="Hi"))
        assert result.observation == EchoObservation(
            "Hi", 2, reward=result.reward, metadata={"step_count": 1}
        )
        assert result.reward == pytest.approx(0.2)
        assert (result.done, result.metadata) == (False, {"step_count": 1})
        assert (await env.step(action=EchoAction("Ho"))).observation.echoed_message == "Ho"
        assert await env.state() == State(episode_id="one", step_count=2)


class Options(EchoEnvironment):
    """Echoes the options of its reset, whatever they are called."""

    async def reset(self, /, **options: Any) -> EchoObservation:  # type: ignore[override]
        return EchoObservation(",".join(sorted(options)), 0)


async def test_options_may_have_any_name(serve: Serve) -> None:
    """A reset's options are called as the environment calls them; none is in our way."""
    served = await serve(Options, action=EchoAction, observation=EchoObservation, state=State)
    options = {"method": 1, "owner": 2, "self": 3}
    env = EchoEnv(served.url)
    for _ in range(2):  # the first connects
        result = await env.reset(**options)
        assert result.observation.echoed_message == "method,owner"  # `self` cannot be passed on
    result = await asyncio.to_thread(lambda: env.sync().reset(**options))
    assert result.observation.echoed_message == "method,owner"
    await env.close()


async def test_a_session_that_is_opened_while_its_parent_closes(echo: Served) -> None:
    """A client that is connected anew while it closes keeps the sessions that it opens then."""
    env = await EchoEnv(echo.url)
    await env.new_session()
    closing = asyncio.create_task(env.close())
    await asyncio.sleep(0)
    connecting = asyncio.create_task(env.connect())
    await asyncio.sleep(0)
    late = await env.new_session()
    await closing
    await connecting
    await late.reset()
    await env.close()  # and ends it
    await eventually(lambda: not echo.service.pool.statistics().active)


async def test_no_password_is_shown(unused_port: int) -> None:
    """Neither a client nor its errors repeat the password of an address."""
    env = EchoEnv(f"http://ada:s3cret@127.0.0.1:{unused_port}")
    assert repr(env) == f"<EchoEnv http://ada:***@127.0.0.1:{unused_port} None>"
    with pytest.raises(ConnectionFailed, match=r"ws://ada:\*\*\*@127\.0\.0\.1") as caught:
        await env.reset()
    assert "s3cret" not in str(caught.value)
    with pytest.raises(ConnectionFailed) as caught:
        await fetch_schemas(env)
    assert "s3cret" not in str(caught.value)


async def test_it_connects_on_first_use(echo: Served) -> None:
    """Nothing is connected before the first call, whichever that is."""
    for first in ("reset", "state"):
        env = EchoEnv(echo.url)
        assert repr(env) == f"<EchoEnv {echo.url} None>"
        assert echo.service.pool.statistics().active == 0
        await getattr(env, first)()
        assert echo.service.pool.statistics().active == 1
        assert repr(env) == f"<EchoEnv {echo.url} <Connection {echo.ws_url} open unanswered=0>>"
        await env.close()
    env = EchoEnv(echo.url)
    assert (await env.step(EchoAction("first"))).observation.echoed_message == "first"
    await env.close()


async def test_it_can_be_awaited(echo: Served) -> None:
    """Awaiting a client connects it."""
    env = await EchoEnv(base_url=echo.url)
    assert echo.service.pool.statistics().active == 1
    await env.close()


async def test_cookies_stay_with_nobody() -> None:
    """What one client is given with its handshake, no client of the same loop sends back."""
    seen: list[str | None] = []

    async def welcome(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("Cookie"))
        socket = web.WebSocketResponse()
        socket.set_cookie("session", "alice")
        await socket.prepare(request)
        await socket.receive()
        return socket

    app = web.Application()
    app.router.add_get("/ws", welcome)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "localhost", 0).start()  # a jar keeps none of a numeric address
    url = f"http://localhost:{runner.addresses[0][1]}"
    async with EchoEnv(url), EchoEnv(url):
        assert seen == [None, None]
    await runner.cleanup()


async def test_concurrent_calls_take_their_turns(echo: Served) -> None:
    """Calls of many tasks on one client run in the order in which they were made."""
    async with EchoEnv(echo.url) as env:
        await env.reset()
        results = await asyncio.gather(*(env.step(EchoAction(f"{n}")) for n in range(100)))
    for number, result in enumerate(results):
        assert result.observation.echoed_message == f"{number}"
        assert result.metadata == {"step_count": number + 1}


async def test_first_calls_that_race_share_one_session(echo: Served) -> None:
    """Many first calls at once open one connection."""
    async with EchoEnv(echo.url) as env:
        await asyncio.gather(*(env.step(EchoAction("x")) for _ in range(20)))
        assert (await env.state()).step_count == 20
    assert echo.service.pool.statistics().acquired == 1


# Where it connects to


@pytest.mark.parametrize(
    "form",
    [
        "http://127.0.0.1:{port}",
        "http://127.0.0.1:{port}/",
        "HTTP://127.0.0.1:{port}//",
        "ws://127.0.0.1:{port}/ws",
        "http://127.0.0.1:{port}/ws/",
        "127.0.0.1:{port}",
        "localhost:{port}/ws",
        "http://127.0.0.1:{port}/?query=dropped#fragment",
    ],
)
async def test_forms_of_an_address(echo: Served, form: str) -> None:
    """An address may be written in any of these ways."""
    port = echo.url.rpartition(":")[2]
    async with EchoEnv(base_url=form.format(port=port)) as env:
        host = "localhost" if "localhost" in form else "127.0.0.1"
        assert env.base_url == f"http://{host}:{port}"
        await env.reset()


async def test_a_service_below_a_path() -> None:
    """A service that is mounted in another application is reached by its path."""
    app = web.Application()
    app.add_subapp("/envs/echo/", create_app(EchoEnvironment, EchoAction, EchoObservation))
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with EchoEnv(base_url=f"http://127.0.0.1:{port}/envs/echo/") as env:
        assert env.base_url == f"http://127.0.0.1:{port}/envs/echo"
        assert (await env.step(EchoAction("Hi"))).observation.echoed_message == "Hi"
    await runner.cleanup()


@pytest.mark.parametrize(
    "address",
    [
        "",
        "http://",
        "ftp://host",
        "http://:8000",
        "host:port",
        "host:99999",
        "host:0",
        "http://[::1",
    ],
)
def test_what_is_no_address(address: str) -> None:
    """What cannot be an address is refused when the client is made."""
    with pytest.raises(ValueError, match="is not an address; expected such as http://localhost"):
        EchoEnv(base_url=address)


def test_an_address_or_a_launcher() -> None:
    """A client needs one of the two, and takes no more than one."""
    with pytest.raises(ValueError, match="needs either a base_url or a launcher"):
        EchoEnv()
    with pytest.raises(ValueError, match="needs either a base_url or a launcher"):
        EchoEnv("http://localhost", launcher=Launch("http://localhost"))


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("connect_timeout_s", 0, "'connect_timeout_s' must be > 0"),
        ("message_timeout_s", -1, "'message_timeout_s' must be > 0"),
        ("max_message_size_mb", 0, "'max_message_size_mb' must be > 0 and finite: 0"),
        ("websocket_ping_interval_s", 0, "'ping_interval_s' must be > 0"),
        ("websocket_ping_timeout_s", -2.5, "'ping_timeout_s' must be > 0"),
        ("max_message_size_mb", float("inf"), "'max_message_size_mb' must be > 0 and finite: inf"),
        ("capacity_timeout_s", float("inf"), "'capacity_timeout_s' must be >= 0 and finite: inf"),
        ("capacity_timeout_s", -1, "'capacity_timeout_s' must be >= 0 and finite: -1"),
        ("capacity_timeout_s", float("nan"), "'capacity_timeout_s' must be >= 0 and finite: nan"),
    ],
)
def test_numbers_that_do_not_fit(option: str, value: float, complaint: str) -> None:
    """A time or a size that makes no sense is refused by its name."""
    options: dict[str, Any] = {option: value}
    with pytest.raises(ValueError, match=complaint):
        EchoEnv("http://localhost:8000", **options)


async def test_headers_go_with_the_handshake(serve_echo: ServeEcho) -> None:
    """A service that asks for a token lets in whoever sends it, and tells others to."""
    served = await serve_echo(token="s3cret")
    with pytest.raises(
        ConnectionFailed, match="it asks for a bearer token; pass headers="
    ) as caught:
        await EchoEnv(served.url).reset()
    assert caught.value.status == 401
    async with EchoEnv(served.url, headers={"Authorization": "Bearer s3cret"}) as env:
        await env.reset()
        async with await env.new_session() as further:
            await further.reset()


# A session that is gone


async def test_only_a_reset_begins_a_new_session() -> None:
    """Once the session is gone, steps and states fail, again and again; a reset plays on."""
    connections = 0

    async def script(peer: Peer) -> None:
        nonlocal connections
        connections += 1
        assert (await peer.request())["type"] == "reset"
        peer.reply(observation("ready"))
        assert (await peer.request())["type"] == "step"
        if connections == 1:
            peer.close(1001, "the service is stopping")
        else:
            peer.reply(observation("back"))
        await peer.wait_gone()

    async with scripted(script) as service, EchoEnv(service.url) as env:
        await env.reset()
        for _ in range(3):
            with pytest.raises(SessionLost) as caught:
                await env.step(EchoAction("x"))
            assert caught.value.reason == "the service is stopping"
            assert caught.value.close_code == 1001
            with pytest.raises(SessionLost, match="the service is stopping"):
                await env.state()
        assert connections == 1
        await env.reset()
        assert (await env.step(EchoAction("x"))).observation.echoed_message == "back"
        assert connections == 2


async def test_a_service_that_was_restarted(serve: Serve) -> None:
    """After a restart at the same address the old session is lost, and a reset begins a new one."""
    app = create_app(EchoEnvironment, EchoAction, EchoObservation)
    first = Server(app, "127.0.0.1", 0)
    url = await first.start()
    async with EchoEnv(url) as env:
        await env.reset()
        await env.step(EchoAction("x"))
        await first.stop()
        app = create_app(EchoEnvironment, EchoAction, EchoObservation)
        second = Server(app, "127.0.0.1", int(url.rpartition(":")[2]))
        assert await second.start() == url
        for _ in range(2):
            with pytest.raises(SessionLost, match=r"the service is stopping \(close code 1001\)"):
                await env.step(EchoAction("x"))
        await env.reset()
        assert (await env.state()).step_count == 0
    await second.stop()


async def test_a_service_that_stays_away(echo: Served) -> None:
    """A reset that cannot reach the service says so; steps still say that the session is lost."""
    async with EchoEnv(echo.url) as env:
        await env.reset()
        await echo.server.stop()
        with pytest.raises(SessionLost, match="the service is stopping"):
            await env.step(EchoAction("x"))
        for _ in range(2):
            with pytest.raises(ConnectionFailed, match="Connect call failed"):
                await env.reset()
            with pytest.raises(SessionLost, match="the service is stopping"):
                await env.step(EchoAction("x"))


async def test_a_refused_reset_does_not_let_steps_begin_anew() -> None:
    """After a loss, a reset that the full service refuses leaves the session lost."""

    async def script(peer: Peer) -> None:
        if len(service.peers) == 1:
            await peer.request()
            peer.close(1012, "restarting")
        elif len(service.peers) <= 3:
            await peer.request()
            peer.reply(error("CAPACITY_REACHED", active_sessions=1, max_sessions=1))
            peer.close(1013)
        else:
            peer.reply(observation("back") if await peer.request() else {})
        await peer.wait_gone()

    async with scripted(script) as service, EchoEnv(service.url) as env:
        with pytest.raises(SessionLost, match="restarting"):
            await env.step(EchoAction("x"))
        for _ in range(2):
            with pytest.raises(CapacityReached, match="1 of 1 sessions are in use"):
                await env.reset()
            with pytest.raises(SessionLost, match="restarting"):
                await env.step(EchoAction("x"))
        assert (await env.reset()).observation.echoed_message == "back"


async def test_a_refused_first_call_may_be_made_again(serve_echo: ServeEcho) -> None:
    """A full service refuses the first call with its figures; once it is free, the call works."""
    served = await serve_echo(max_concurrent_envs=1)
    async with EchoEnv(served.url) as first, EchoEnv(served.url) as second:
        await first.reset()
        for _ in range(2):
            with pytest.raises(CapacityReached) as caught:
                await second.step(EchoAction("x"))
            assert (caught.value.active, caught.value.limit) == (1, 1)
            assert str(caught.value) == (
                "1 of 1 sessions are in use; wait with a longer capacity_timeout_s=…, "
                "or raise MAX_CONCURRENT_ENVS there"
            )
        await first.close()
        await eventually(lambda: not served.service.pool.statistics().active)
        assert (await second.step(EchoAction("x"))).observation.echoed_message == "x"


async def test_a_session_error_means_that_the_session_is_gone() -> None:
    """The wire's ``SESSION_ERROR`` ends the session, though the socket may still be open."""

    async def script(peer: Peer) -> None:
        await peer.request()
        if len(service.peers) == 1:
            peer.reply(error("SESSION_ERROR", "it broke"))
        else:
            peer.reply(observation("back"))
        await peer.wait_gone()

    async with scripted(script) as service, EchoEnv(service.url) as env:
        for _ in range(3):
            with pytest.raises(SessionLost, match="the session is lost: it broke; call reset"):
                await env.step(EchoAction("x"))
        assert (await env.reset()).observation.echoed_message == "back"


async def test_a_reset_that_loses_its_session_tries_once_more() -> None:
    """A session that ends while its reset waits is replaced, once."""

    async def script(peer: Peer) -> None:
        requests.append((await peer.request())["type"])
        if requests[-2:] == ["reset", "reset"] or len(requests) > 3:
            peer.close(1012, "restarting")
        else:
            peer.reply(observation("ready"))
            requests.append((await peer.request())["type"])
            peer.close(1012, "restarting")

    requests: list[str] = []
    async with scripted(script) as service, EchoEnv(service.url) as env:
        await env.step(EchoAction("x"))
        with pytest.raises(SessionLost, match="restarting"):
            await env.reset()
        assert requests == ["step", "reset", "reset"]


# Closing


async def test_closing_gives_the_session_back(echo: Served) -> None:
    """A closed client has no session any more, and the service goes on."""
    env = EchoEnv(echo.url)
    await env.reset()
    await env.close()
    assert echo.service.pool.statistics().active == 0
    await env.close()
    async with EchoEnv(echo.url) as other:
        await other.reset()


async def test_a_client_that_was_never_used_can_be_closed() -> None:
    """Closing what was never connected does nothing."""
    env = EchoEnv("http://127.0.0.1:1")
    await env.close()
    await env.close()


async def test_a_closed_client_says_so(echo: Served) -> None:
    """After the close, every call is refused in the same words."""
    async with EchoEnv(echo.url) as env:
        await env.reset()
    for call in (env.reset, env.state, env.new_session, lambda: env.step(EchoAction("x"))):
        with pytest.raises(Closed, match=r"^the client is closed$") as caught:
            await call()
        assert caught.value.what == "client"


async def test_a_closed_client_can_be_connected_anew(echo: Served) -> None:
    """An explicit connect opens a closed client again, with a new session."""
    env = EchoEnv(echo.url)
    for _ in range(3):
        assert await env.connect() is env
        await env.step(EchoAction("x"))
        assert (await env.state()).step_count == 1
        await env.close()


async def test_closing_ends_a_step_that_waits(serve: Serve, census: Census) -> None:
    """A step that waits for its reply gets `Closed` when another task closes the client."""
    served = await serve(populate(census, AsyncWorld))
    async with WorldEnv(served.url) as env:
        stepping = asyncio.create_task(env.step(Word("hang")))
        await eventually(lambda: census.hanging)
        await env.close()
        with pytest.raises(Closed, match="the client is closed"):
            await stepping


@pytest.mark.parametrize("waiting", [1, 3])
async def test_closing_ends_a_connect_that_waits(waiting: int) -> None:
    """Calls that wait for the connection get `Closed` at once when the client is closed."""

    async def script(peer: Peer) -> None:
        await peer.wait_gone()

    async with scripted(script, handshake=False) as service:
        env = EchoEnv(service.url, connect_timeout_s=None)
        calls = [asyncio.create_task(env.reset()) for _ in range(waiting)]
        await eventually(lambda: service.peers)
        await env.close()
        for call in calls:
            with pytest.raises(Closed, match="the client is closed"):
                await call
        peer = service.peers[0]
        await eventually(lambda: peer.is_ended)
        assert len(service.peers) == 1


async def test_closing_and_connecting_race(echo: Served) -> None:
    """Whatever the order of a close and a reset that race, the client is closed or in session."""
    for turns in range(40):
        env = EchoEnv(echo.url)
        resetting = asyncio.create_task(env.reset())
        for _ in range(turns):
            await asyncio.sleep(0)
        await env.close()
        with contextlib.suppress(Closed):
            assert (await resetting).observation == GREETING
        assert env._connection is None
        assert env._transport is None


async def test_two_closes_both_wait(echo: Served) -> None:
    """A second close returns only when the first is done."""
    launch = Launch(echo.url)
    launch.may_stop.clear()
    env = await EchoEnv(launcher=launch)
    closes = [asyncio.create_task(env.close()) for _ in range(2)]
    await eventually(lambda: "stop" in launch.diary)
    for _ in range(10):
        await asyncio.sleep(0)
    assert not any(close.done() for close in closes)
    launch.may_stop.set()
    await asyncio.gather(*closes)
    assert launch.diary == ["start", "started", "stop", "stopped"]


async def test_two_closes_that_end_an_opening_both_wait() -> None:
    """A close that comes while an opening is being undone for another close waits for its end."""

    async def script(peer: Peer) -> None:
        await peer.wait_gone()

    async with scripted(script, handshake=False) as service:
        launch = Launch(service.url)
        launch.may_stop.clear()
        env = EchoEnv(launcher=launch)
        opening = asyncio.create_task(env.reset())
        await eventually(lambda: service.peers)
        closes = [asyncio.create_task(env.close())]
        await eventually(lambda: "stop" in launch.diary)
        closes.append(asyncio.create_task(env.close()))
        await asyncio.sleep(0)
        assert not any(close.done() for close in closes)
        launch.may_stop.set()
        await asyncio.gather(*closes)
        with pytest.raises(Closed):
            await opening
    assert launch.diary == ["start", "started", "stop", "stopped"]


async def test_a_connect_waits_for_the_close_before_it(echo: Served) -> None:
    """A client that is connected anew while it closes starts its service after the stop."""
    launch = Launch(echo.url)
    launch.may_stop.clear()
    env = await EchoEnv(launcher=launch)
    closing = asyncio.create_task(env.close())
    await eventually(lambda: "stop" in launch.diary)
    connecting = asyncio.create_task(env.connect())
    for _ in range(10):
        await asyncio.sleep(0)
    launch.may_stop.set()
    await asyncio.gather(closing, connecting)
    assert (await env.reset()).observation == GREETING
    await env.close()
    assert launch.diary == ["start", "started", "stop", "stopped"] * 2


# A first connect that fails


async def test_what_cannot_connect_leaves_nothing_behind(unused_port: int) -> None:
    """Whichever call was the first, where it cannot connect it leaves no HTTP session open."""
    url = f"http://127.0.0.1:{unused_port}"
    loop = asyncio.get_running_loop()
    with pytest.raises(ConnectionFailed):
        async with EchoEnv(url):
            raise AssertionError("it cannot connect")
    assert loop not in transport._transports
    with pytest.raises(ConnectionFailed):
        await EchoEnv(url)
    assert loop not in transport._transports
    env = EchoEnv(url)
    for call in (env.reset, env.state, env.connect, env.new_session):
        with pytest.raises(ConnectionFailed):
            await call()
        assert loop not in transport._transports


async def test_a_service_that_comes_up_late(unused_port: int) -> None:
    """A client that failed to connect may simply be used again."""
    env = EchoEnv(f"http://127.0.0.1:{unused_port}")
    with pytest.raises(ConnectionFailed):
        await env.reset()
    app = create_app(EchoEnvironment, EchoAction, EchoObservation)
    server = Server(app, "127.0.0.1", unused_port)
    await server.start()
    assert (await env.reset()).observation == GREETING
    await env.close()
    await server.stop()


# Launchers


async def test_a_launched_service_ends_with_its_client(echo: Served) -> None:
    """The launcher starts with the first call, once, and stops with the close."""
    launch = Launch(echo.url)
    env = EchoEnv(launcher=launch)
    assert (env.base_url, launch.diary) == (None, [])
    await asyncio.gather(env.reset(), env.reset(), env.reset())
    assert (env.base_url, launch.diary) == (echo.url, ["start", "started"])
    await env.close()
    assert (env.base_url, launch.diary) == (None, ["start", "started", "stop", "stopped"])
    await env.close()
    assert launch.diary == ["start", "started", "stop", "stopped"]


async def test_a_launched_service_outlives_a_lost_session(echo: Served) -> None:
    """A session that is lost, or a reset that fails, does not stop the service."""
    app = create_app(EchoEnvironment, EchoAction, EchoObservation)
    server = Server(app, "127.0.0.1", 0)
    launch = Launch(await server.start())
    async with EchoEnv(launcher=launch) as env:
        await env.reset()
        await server.stop()
        with pytest.raises(SessionLost):
            await env.step(EchoAction("x"))
        with pytest.raises(ConnectionFailed):
            await env.reset()
        assert launch.diary == ["start", "started"]
    assert launch.diary == ["start", "started", "stop", "stopped"]


@pytest.mark.parametrize("error", [OSError("no such image"), TimeoutError("no such image")])
async def test_a_launch_that_fails_is_not_stopped(error: Exception) -> None:
    """What did not start is not stopped, and the launcher's own error is raised."""

    class Broken(Launch):
        async def start(self) -> str:
            raise error

    launch = Broken("")
    with pytest.raises(type(error), match="no such image"):
        async with EchoEnv(launcher=launch):
            pass
    assert launch.diary == []


async def test_a_launched_service_that_cannot_be_reached_is_stopped(unused_port: int) -> None:
    """A service that was started for a first call that fails is stopped at once."""
    launch = Launch(f"http://127.0.0.1:{unused_port}")
    env = EchoEnv(launcher=launch)
    for count in (1, 2):
        with pytest.raises(ConnectionFailed):
            await env.reset()
        assert launch.diary == ["start", "started", "stop", "stopped"] * count


async def test_a_launcher_that_tells_rubbish() -> None:
    """A service that was started and told no address is stopped all the same."""
    launch = Launch("ftp://somewhere")
    with pytest.raises(ValueError, match="'ftp://somewhere' is not an address"):
        await EchoEnv(launcher=launch)
    assert launch.diary == ["start", "started", "stop", "stopped"]


async def test_closing_while_the_service_starts() -> None:
    """A close cancels a start that is under way."""
    launch = Launch("http://127.0.0.1:1")
    launch.may_start.clear()
    env = EchoEnv(launcher=launch)
    resetting = asyncio.create_task(env.reset())
    await eventually(lambda: launch.diary)
    await env.close()
    with pytest.raises(Closed, match="the client is closed"):
        await resetting
    assert launch.diary == ["start", "cancelled"]


async def test_closing_as_the_service_has_started(echo: Served) -> None:
    """At whichever point a close meets a start, a service that has started is stopped."""
    for turns in range(30):
        launch = Launch(echo.url)
        env = EchoEnv(launcher=launch)
        resetting = asyncio.create_task(env.reset())
        for _ in range(turns):
            await asyncio.sleep(0)
        await env.close()
        await asyncio.wait([resetting])
        assert resetting.exception() is None or isinstance(resetting.exception(), Closed)
        assert launch.diary.count("started") == launch.diary.count("stopped")
        assert launch.diary.count("start") <= 1


# Further sessions


async def test_further_sessions_are_their_own(echo: Served) -> None:
    """A further session has its own episode at the same service."""
    async with EchoEnv(echo.url) as env:
        await env.reset(episode_id="one")
        further = await env.new_session()
        assert type(further) is EchoEnv
        assert further.base_url == env.base_url
        await further.reset(episode_id="two")
        await further.step(EchoAction("x"))
        assert await env.state() == State(episode_id="one", step_count=0)
        assert await further.state() == State(episode_id="two", step_count=1)


async def test_further_sessions_end_with_their_parent(echo: Served) -> None:
    """Closing a client closes its further sessions, and theirs; none of them opens again."""
    env = EchoEnv(echo.url)
    children = [await env.new_session() for _ in range(5)]
    grandchild = await children[0].new_session()
    assert echo.service.pool.statistics().active == 6
    await env.close()
    assert echo.service.pool.statistics().active == 0
    for client in (*children, grandchild):
        with pytest.raises(Closed, match="the client is closed"):
            await client.reset()
        with pytest.raises(Closed, match="the client is closed"):
            await client.connect()


async def test_a_further_session_may_end_first(echo: Served) -> None:
    """A further session that is closed is forgotten; the client and the others go on."""
    async with EchoEnv(echo.url) as env:
        await env.reset()
        for _ in range(3):
            async with await env.new_session() as further:
                await further.reset()
                assert env._children == {further}
            assert env._children == set()
        await further.connect()
        assert env._children == {further}
        await env.step(EchoAction("x"))
    assert echo.service.pool.statistics().active == 0


async def test_a_further_session_does_not_stop_the_service(echo: Served) -> None:
    """Only the client that started the service stops it."""
    launch = Launch(echo.url)
    async with EchoEnv(launcher=launch) as env:
        async with await env.new_session() as further:
            await further.reset()
        assert launch.diary == ["start", "started"]
        await env.reset()
    assert launch.diary == ["start", "started", "stop", "stopped"]


async def test_a_further_session_that_is_refused(serve_echo: ServeEcho) -> None:
    """A further session for which there is no room leaves its parent as it was."""
    served = await serve_echo(max_concurrent_envs=1)
    async with EchoEnv(served.url, capacity_timeout_s=0.01) as env:
        await env.reset()
        with pytest.raises(CapacityReached):
            await env.new_session()
        assert env._children == set()
        await env.step(EchoAction("x"))


async def test_closing_while_a_further_session_opens() -> None:
    """A further session that is still opening when its parent is closed gets `Closed`."""

    async def script(peer: Peer) -> None:
        await peer.wait_gone()

    async with scripted(script, handshake=False) as service:
        env = EchoEnv(service.url)
        opening = asyncio.create_task(env.new_session())
        await eventually(lambda: service.peers)
        await env.close()
        with pytest.raises(Closed, match="the client is closed"):
            await opening


async def test_a_further_session_takes_over_what_a_subclass_added(echo: Served) -> None:
    """A further session of a subclass has its attributes, however its constructor looks."""

    class Shouting(EchoEnv):
        def __init__(self, mark: str, *, url: str) -> None:
            super().__init__(url)
            self.mark = mark

        def _step_payload(self, action: EchoAction) -> dict[str, Any]:
            return {"message": action.message + self.mark}

    async with Shouting("!", url=echo.url) as env:
        further = await env.new_session()
        assert (await further.step(EchoAction("hey"))).observation.echoed_message == "hey!"


# Hooks


class OpenEnvStyle(EnvClient[dict[str, Any], str, int]):
    """Reads and writes by hand, as OpenEnv's clients do."""

    def _step_payload(self, action: dict[str, Any]) -> dict[str, Any]:
        return {"message": action["say"]}

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[str]:
        heard = payload["observation"]["echoed_message"]
        return StepResult(observation=heard, reward=payload.get("reward"), done=payload["done"])

    def _parse_state(self, payload: dict[str, Any]) -> int:
        count: int = payload["step_count"]
        return count


async def test_overridden_hooks_are_honoured(echo: Served) -> None:
    """What a subclass does by hand to actions, results and states is what happens."""
    async with OpenEnvStyle(echo.url) as env:
        assert (await env.reset()).observation == "Echo environment ready!"
        result = await env.step({"say": "Hello"})
        assert result == StepResult("Hello", 0.5, False)
        assert await env.state() == 1


class Bare(EnvClient):  # type: ignore[type-arg]
    """Says nothing of its models."""


async def test_a_client_without_models(echo: Served) -> None:
    """A client that was declared without its models is told how to, before it takes a session."""
    env = Bare(echo.url)
    with pytest.raises(TypeError, match=r"declare Bare\(EnvClient\[Action, Observation, State\]"):
        await env.step(EchoAction("x"))
    assert echo.service.pool.statistics().acquired == 0


class Unfit(EnvClient[str, EchoObservation, State]):
    """Its action is no model."""


async def test_a_client_with_models_that_are_none(echo: Served) -> None:
    """Models that cannot be used are refused by the first connect, which leaves nothing behind."""
    with pytest.raises(TypeError, match=r"str.* is not an attrs class"):
        async with Unfit(echo.url) as env:
            await env.step("x")
    with pytest.raises(TypeError, match=r"str.* is not an attrs class"):
        await Unfit(echo.url)
    await eventually(lambda: not echo.service.pool.statistics().active)


# What does not fit


async def test_an_action_of_another_class(echo: Served) -> None:
    """An action of the wrong class is a `TypeError`; nothing is sent, and the session goes on."""
    async with EchoEnv(echo.url) as env:
        await env.reset()
        with pytest.raises(
            TypeError,
            match=r"step\(\) takes an action of the class EchoAction, not dict: \{'message'",
        ):
            await env.step({"message": "x"})  # type: ignore[arg-type]
        assert (await env.state()).step_count == 0


async def test_an_action_that_cannot_be_written() -> None:
    """An action without a JSON form is an `InvalidRequest` with its cause; nothing is sent."""

    async def script(peer: Peer) -> None:
        assert (await peer.request())["data"] == {"fine": True}
        peer.reply(observation("fine"))
        await peer.wait_gone()

    async with scripted(script) as service, GenericEnvClient(service.url) as env:
        with pytest.raises(
            InvalidRequest, match="this step cannot be written: object has no"
        ) as caught:
            await env.step({"thing": object()})
        assert isinstance(caught.value.__cause__, TypeError)
        with pytest.raises(InvalidRequest, match="this reset cannot be written"):
            await env.reset(thing=object())
        await env.step({"fine": True})


async def test_a_refused_action(echo: Served) -> None:
    """What the service finds wrong comes back with its path, and the session goes on."""
    async with EchoEnv(echo.url) as env:
        await env.reset()
        with pytest.raises(InvalidRequest) as caught:
            await env.step(EchoAction(3))  # type: ignore[arg-type]
        assert "$.message: expected string, got int" in str(caught.value)
        assert caught.value.code == "VALIDATION_ERROR"
        assert caught.value.errors[0]["loc"] == ["message"]
        with pytest.raises(InvalidRequest, match=r"\$\.seed: expected int"):
            await env.reset(seed="seven")
        await env.step(EchoAction("x"))


async def test_an_environment_that_fails(serve: Serve, census: Census) -> None:
    """An environment's own error comes back in its words, and the session goes on."""
    served = await serve(populate(census, AsyncWorld))
    async with WorldEnv(served.url) as env:
        with pytest.raises(EnvironmentFailed) as caught:
            await env.step(Word("raise"))
        assert str(caught.value) == "the environment failed (EXECUTION_ERROR): it broke"
        assert (await env.step(Word("on"))).observation.text == "on"


async def test_an_environment_that_cannot_be_made(serve: Serve, census: Census) -> None:
    """A factory that raises is the environment's failure; the next call tries a new session."""
    world = populate(census, AsyncWorld, on_make="raise")
    served = await serve(world)
    async with WorldEnv(served.url) as env:
        for _ in range(2):
            with pytest.raises(EnvironmentFailed, match=r"FACTORY_ERROR.*it broke") as caught:
                await env.step(Word("x"))
            assert caught.value.code == "FACTORY_ERROR"
        world.on_make = ""
        assert (await env.step(Word("x"))).observation.text == "x"


MISFITS: dict[str, tuple[dict[str, Any], str]] = {
    "wrong type": (
        observation("x", length="long"),  # type: ignore[arg-type]
        "observation that does not fit the client's class: "
        "$.message_length: expected int, got string",
    ),
    "missing field": (
        {"type": "observation", "data": {"observation": {"message_length": 1}}},
        "$.echoed_message: this field is required",
    ),
    "unknown field": (
        {"type": "observation", "data": {"observation": {"surprise": 1}}},
        "$.surprise",
    ),
    "wrong reward": (observation("x", reward="high"), "$.reward"),
    "no observation": (
        {"type": "observation", "data": {}},
        "the service sent an observation reply without an observation",
    ),
    "another reply": (state(), "the service answered with 'state', not 'observation'"),
    "no data": ({"type": "observation"}, "not an object with a type and data"),
    "no object": ([1], "not an object with a type and data"),  # type: ignore[dict-item]
}


@pytest.mark.parametrize("misfit", MISFITS)
async def test_a_reply_that_does_not_fit(misfit: str) -> None:
    """A reply that does not fit is a `ProtocolViolation` with the path, and the session goes on."""
    reply, complaint = MISFITS[misfit]

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.reply(reply)
        await peer.request()
        peer.reply(observation("fine"))
        await peer.wait_gone()

    async with scripted(script) as service, EchoEnv(service.url) as env:
        with pytest.raises(ProtocolViolation) as caught:
            await env.step(EchoAction("x"))
        assert complaint in str(caught.value)
        assert (await env.step(EchoAction("x"))).observation.echoed_message == "fine"


async def test_a_reply_that_is_no_json() -> None:
    """A reply that is no JSON is a `ProtocolViolation` that says where it breaks."""

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(1, b'{"type":')
        await peer.wait_gone()

    async with scripted(script) as service, EchoEnv(service.url) as env:
        with pytest.raises(ProtocolViolation, match=r"the service sent what is not JSON: .*char 8"):
            await env.step(EchoAction("x"))


async def test_a_state_that_does_not_fit() -> None:
    """A state that does not fit is a `ProtocolViolation` with the path."""

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.reply(state(step_count="many"))
        await peer.wait_gone()

    async with scripted(script) as service, EchoEnv(service.url) as env:
        with pytest.raises(ProtocolViolation, match=r"\$\.step_count: expected int, got string"):
            await env.state()


async def test_a_state_may_say_more_than_its_class(serve: Serve, census: Census) -> None:
    """Fields that the client's class does not declare are kept beside the others."""
    served = await serve(populate(census, AsyncWorld))

    class PlainStateEnv(EnvClient[Word, Heard, State]):
        """Does not know the tally."""

    async with PlainStateEnv(served.url) as env:
        await env.reset(episode_id="e")
        assert await env.state() == State(episode_id="e", extra={"heard": []})


# Time-outs and sizes


async def test_a_step_that_takes_too_long(serve: Serve, census: Census) -> None:
    """A step past its time is a `RequestTimeout`; its late reply is dropped, the next is right."""
    served = await serve(populate(census, AsyncWorld))
    async with WorldEnv(served.url) as env:
        limit_replies(env, 0.05)
        with pytest.raises(RequestTimeout) as caught:
            await env.step(Word("hang"))
        assert str(caught.value) == "no reply to step within 0.05 s"
        limit_replies(env, DEADLINE_S)
        await eventually(lambda: census.hanging)
        census.open_gate()
        assert (await env.step(Word("next"))).observation.text == "next"
        assert (await env.state()).heard == ["hang", "next"]


async def test_a_reply_that_is_too_big(serve: Serve, census: Census) -> None:
    """A reply over the limit ends the session, and the reason names both sizes."""
    served = await serve(populate(census, AsyncWorld))
    async with WorldEnv(served.url, max_message_size_mb=1) as env:
        with pytest.raises(SessionLost, match=r"Message size \d+ exceeds limit 1048577") as caught:
            await env.step(Word("return a lot"))
        assert caught.value.close_code == 1009
    async with WorldEnv(served.url) as env:
        assert len((await env.step(Word("return a lot"))).observation.text) == 4_000_000


async def test_the_transport_is_shared(echo: Served) -> None:
    """All clients of a loop use one HTTP session."""
    async with EchoEnv(echo.url) as one, EchoEnv(echo.url) as two:
        assert one._transport is two._transport
        assert isinstance(one._transport, Transport)
