"""Blocking code: the same methods where no event loop runs, from one thread or from many."""

import asyncio
import functools
import json
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from websockets.sync.server import ServerConnection

from aioenv import (
    CapacityReached,
    Closed,
    ConnectionFailed,
    InvalidRequest,
    RequestTimeout,
    SessionLost,
    State,
    StepResult,
)
from aioenv.client import EnvClient, GenericEnvClient, SyncEnvClient
from aioenv.client.blocking import background_loop
from echo_env import EchoAction, EchoEnv, EchoObservation
from echo_env.environment import EchoEnvironment
from tests.client.conftest import RunScript
from tests.client.scripted import in_thread, observation, state

# Where no loop runs, the methods return their results, which their types (those of async code) do
# not say; `.sync()` is typed. So these tests hold blocking clients as `Any`.


def blocking(url: str, **options: Any) -> Any:
    """Make a client for blocking code."""
    return EchoEnv(url, **options)


# Every form


def test_every_method_blocks(echo_process: str) -> None:
    """Where no event loop runs, each method returns its result itself."""
    env = blocking(echo_process)
    assert env.connect() is env
    assert isinstance(env.reset(episode_id="one"), StepResult)
    result = env.step(EchoAction("Hello, World!"))
    assert isinstance(result.observation, EchoObservation)
    assert result.reward == pytest.approx(1.3)
    assert env.step(action=EchoAction("Hi")).observation.echoed_message == "Hi"
    assert env.state() == State(episode_id="one", step_count=2)
    further = env.new_session()
    assert further.state() == State()
    assert isinstance(further, EchoEnv)
    assert env.close() is None
    with pytest.raises(Closed, match="the client is closed"):
        env.step(EchoAction("x"))


def test_with(echo_process: str) -> None:
    """``with`` connects and closes."""
    with blocking(echo_process) as env:
        assert env.reset().observation.echoed_message == "Echo environment ready!"
    with pytest.raises(Closed, match="the client is closed"):
        env.reset()


@pytest.mark.parametrize("entered", [True, False])
def test_the_typed_twin(echo_process: str, entered: bool) -> None:
    """`sync` gives the same session with the types that blocking code sees."""
    client = EchoEnv(echo_process)
    env = client.sync()
    assert isinstance(env, SyncEnvClient)
    assert env.base_url == echo_process
    if entered:
        assert env.__enter__() is env
    else:
        assert env.connect() is env
    assert repr(env) == f"<SyncEnvClient of {client!r}>"
    env.reset(episode_id="twin")
    assert env.step(EchoAction("Hi")).observation.message_length == 2
    assert env.state().step_count == 1
    further = env.new_session()
    assert isinstance(further, SyncEnvClient)
    assert further.state() == State()
    untyped: Any = client
    assert untyped.state() == State(episode_id="twin", step_count=1)
    if entered:
        env.__exit__(None, None, None)
    else:
        env.close()
    with pytest.raises(Closed, match="the client is closed"):
        env.reset()
    with pytest.raises(Closed, match="the client is closed"):
        further.reset()


def test_dicts(echo_process: str) -> None:
    """The client without models blocks as well."""
    env: Any = GenericEnvClient(base_url=echo_process)
    env.connect()
    env.reset(seed=7)
    assert env.step({"message": "Hi"}).observation["echoed_message"] == "Hi"
    env.close()


def test_errors_come_through(echo_process: str, unused_port: int) -> None:
    """What goes wrong is raised where the call was made, with its attributes and its cause."""
    with blocking(echo_process) as env:
        with pytest.raises(InvalidRequest, match=r"\$\.message: expected string, got int"):
            env.step(EchoAction(3))  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="takes an action of the class EchoAction, not str"):
            env.step("x")
        env.step(EchoAction("x"))
    with pytest.raises(ConnectionFailed, match=r"Connect call failed|Connection refused") as caught:
        blocking(f"http://127.0.0.1:{unused_port}").reset()
    assert caught.value.__cause__ is not None


def test_a_session_that_is_lost() -> None:
    """Steps after a loss fail until a reset, as in async code."""

    def serve(connection: ServerConnection) -> None:
        connections.append(connection)
        connection.recv()
        connection.send(json.dumps(observation("ready")))
        connection.recv()
        connection.close(1001, "the service is stopping")

    connections: list[ServerConnection] = []
    with in_thread(serve) as url, blocking(url) as env:
        for count in (1, 2):
            env.reset()
            for _ in range(3):
                with pytest.raises(SessionLost, match="the service is stopping"):
                    env.step(EchoAction("x"))
            assert len(connections) == count


# Threads


def test_four_episodes_in_a_pool_of_threads(echo_process: str) -> None:
    """Each thread plays its own episode with a client of its own."""

    def run_episode(client_id: int) -> tuple[int, int, int]:
        with blocking(echo_process) as env:
            env.reset()
            for i in range(10):
                result = env.step(EchoAction(message=f"Client {client_id}, step {i}"))
                assert result.observation.echoed_message == f"Client {client_id}, step {i}"
            return client_id, result.observation.message_length, env.state().step_count

    with ThreadPoolExecutor(max_workers=4) as executor:
        assert list(executor.map(run_episode, range(4))) == [(n, 16, 10) for n in range(4)]


def test_many_threads_share_one_client(echo_process: str) -> None:
    """Threads that step one client at the same time each hear what they said."""
    barrier = threading.Barrier(16)

    def talk(number: int) -> list[int]:
        barrier.wait(30)
        counts = []
        for step in range(25):
            result = env.step(EchoAction(f"{number}/{step}"))
            assert result.observation.echoed_message == f"{number}/{step}"
            counts.append(result.metadata["step_count"])
        return counts

    env = blocking(echo_process)
    with ThreadPoolExecutor(max_workers=16) as executor:
        counts = list(executor.map(talk, range(16)))
    assert sorted(count for row in counts for count in row) == list(range(1, 16 * 25 + 1))
    assert all(row == sorted(row) for row in counts)
    env.close()


def test_many_threads_share_one_loop(echo_process: str) -> None:
    """All blocking clients of the process live on one background thread."""
    clients = [blocking(echo_process) for _ in range(20)]
    with ThreadPoolExecutor(max_workers=20) as executor:
        list(executor.map(lambda env: env.reset(), clients))
        assert [t.name for t in threading.enumerate()].count("aioenv") == 1
        list(executor.map(lambda env: env.close(), clients))


# Interrupted


def test_an_interrupt_cancels_the_call() -> None:
    """Ctrl-C ends the wait and cancels the call; the client stays usable and in step."""

    def serve(connection: ServerConnection) -> None:
        connection.recv()
        signal.pthread_kill(main_thread, signal.SIGINT)  # the signal of Ctrl-C
        second = connection.recv()
        for text in ("late", "right"):
            connection.send(json.dumps(observation(text)))
        assert "two" in str(second)
        for _ in connection:
            pass

    main_thread = threading.get_ident()
    with in_thread(serve) as url, blocking(url) as env:
        with pytest.raises(KeyboardInterrupt):
            env.step(EchoAction("one"))
        assert env.step(EchoAction("two")).observation.echoed_message == "right"


def test_a_time_out() -> None:
    """A reply that takes too long is a `RequestTimeout` in blocking code, too."""

    def serve(connection: ServerConnection) -> None:
        for _ in connection:
            pass

    with (
        in_thread(serve) as url,
        blocking(url, message_timeout_s=0.1) as env,
        pytest.raises(RequestTimeout, match=r"no reply to state within 0\.1 s"),
    ):
        env.state()


# Beside event loops


async def test_with_in_async_code(echo_process: str) -> None:
    """Where a loop runs, ``with`` says what to write instead."""
    env = EchoEnv(echo_process)
    with pytest.raises(RuntimeError, match=r"in async code, write `async with` \(or `with client"):
        env.__enter__()
    await env.close()


async def test_blocking_the_loop_that_one_lives_on(echo_process: str) -> None:
    """A twin that would wait for its own loop is refused; awaiting goes on."""
    async with EchoEnv(echo_process) as env:
        twin = env.sync()
        calls: list[Callable[[], Any]] = [twin.reset, twin.state, twin.close, twin.connect]
        for call in [*calls, lambda: twin.step(EchoAction("x")), twin.new_session]:
            with pytest.raises(RuntimeError, match="await it instead of blocking"):
                call()
        await env.step(EchoAction("x"))


async def test_a_twin_in_a_notebook(echo_process: str) -> None:
    """Where a loop runs that is not its own, the twin blocks and works."""
    with EchoEnv(echo_process).sync() as env:
        env.reset()
        assert env.step(EchoAction("Hi")).observation.echoed_message == "Hi"


async def test_a_blocking_client_is_awaited(echo_process: str) -> None:
    """A client that lives on the background loop may be awaited from another."""
    client = EchoEnv(echo_process)
    env = client.sync().connect()
    env.reset(episode_id="one")
    assert (await client.step(EchoAction("Hi"))).observation.echoed_message == "Hi"
    assert env.state() == await client.state() == State(episode_id="one", step_count=1)
    with pytest.raises(TypeError, match="takes an action of the class EchoAction"):
        await client.step("x")  # type: ignore[arg-type]
    stepping = asyncio.ensure_future(client.step(EchoAction("cancelled")))
    await asyncio.sleep(0)
    stepping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stepping
    assert (await client.step(EchoAction("on"))).observation.echoed_message == "on"
    await client.close()


async def test_a_blocking_client_in_a_task(echo_process: str) -> None:
    """What its methods return elsewhere is a coroutine, as their types say: tasks take it."""
    client = EchoEnv(echo_process)
    client.sync().connect()
    async with asyncio.TaskGroup() as group:
        step = group.create_task(client.step(EchoAction("Hi")))
    assert step.result().observation.echoed_message == "Hi"
    await client.close()


class Shouting(EchoEnv):
    """Wraps a method, as one that logs or tries again does."""

    async def step(self, action: EchoAction) -> StepResult[EchoObservation]:
        return await super().step(EchoAction(action.message.upper()))

    @functools.wraps(step)
    def decorated(self, action: EchoAction) -> Any:
        return Shouting._step(self, EchoAction(action.message + "!"))

    _step, step = step, decorated  # type: ignore[assignment]


async def test_a_decorated_method(echo_process: str) -> None:
    """What a subclass puts around a method is there in blocking code, too."""
    async with Shouting(echo_process) as env:
        assert (await env.step(EchoAction("hi"))).observation.echoed_message == "HI!"
    with Shouting(echo_process).sync() as twin:
        assert twin.step(EchoAction("hi")).observation.echoed_message == "HI!"


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ("asyncio.run(live(env))", "the event loop that it lived on is ending"),
        ("abandon(live(env))", "the event loop that it lived on has ended"),
    ],
)
def test_a_loop_that_ends_under_a_call(run_script: RunScript, run: str, words: str) -> None:
    """A blocking call on a loop that ends meanwhile raises `SessionLost`, and never hangs.

    `asyncio.run` cancels what is left; a loop that is only closed tells nobody.
    """
    done = run_script(
        """
import asyncio, os, threading
from concurrent.futures import ThreadPoolExecutor
from aioenv import SessionLost
from echo_env import EchoAction, EchoEnv
from websockets.sync.server import serve

at_home, heard = threading.Event(), threading.Event()

def listen(connection):
    for _ in connection:
        heard.set()  # and answers nothing

async def live(env):
    await env.connect()
    at_home.set()
    await asyncio.to_thread(heard.wait)

def abandon(coroutine):
    loop = asyncio.new_event_loop()
    loop.run_until_complete(coroutine)
    loop.close()

server = serve(listen, "127.0.0.1", 0)
threading.Thread(target=server.serve_forever, daemon=True).start()
with ThreadPoolExecutor() as executor:
    url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
    env = EchoEnv(url, message_timeout_s=None)
    living = executor.submit(lambda: RUN)
    at_home.wait()
    call = executor.submit(env.step, EchoAction("x"))
    living.result()
    try:
        print(call.result())
    except SessionLost as error:
        print(error, flush=True)
os._exit(0)  # without a farewell to a connection that nobody reads
""".replace("RUN", run)
    )
    assert done.returncode == 0, done.stderr
    assert words in done.stdout


async def test_a_client_of_this_loop_in_a_thread(echo_process: str) -> None:
    """A client that lives on a loop that runs is carried there from threads without one."""
    async with EchoEnv(echo_process) as client:
        await client.reset(episode_id="one")
        env: Any = client
        result = await asyncio.to_thread(env.step, EchoAction("Hi"))
        assert result.observation.echoed_message == "Hi"
        assert await asyncio.to_thread(client.sync().state) == await client.state()


async def test_a_client_that_two_loops_want(echo_process: str) -> None:
    """A client that was connected elsewhere before its call began here is not taken away."""
    client = EchoEnv(echo_process)
    late = client.connect()
    env = client.sync().connect()
    with pytest.raises(RuntimeError, match="was connected on another event loop at the same time"):
        await late
    env.reset()
    env.close()


def test_a_client_of_a_loop_that_pauses(echo_process: str) -> None:
    """A client whose loop is not running just now cannot be used elsewhere, and says why."""
    env: Any = EchoEnv(echo_process)
    with asyncio.Runner() as runner:
        runner.run(_step(env))
        with pytest.raises(RuntimeError, match="belongs to an event loop that is not running now"):
            env.step(EchoAction("x"))
        with (
            asyncio.Runner() as other,
            pytest.raises(RuntimeError, match="belongs to an event loop that is not running now"),
        ):
            other.run(_step(env))
        runner.run(_step(env))
        runner.run(_close(env))


async def _step(env: EchoEnv) -> None:
    assert (await env.step(EchoAction("Hi"))).observation.echoed_message == "Hi"


async def _close(env: EchoEnv) -> None:
    await env.close()


@pytest.mark.parametrize(
    "kind", ["EchoEnv(sys.argv[1])", "EchoEnv.from_environment(EchoEnvironment)"]
)
@pytest.mark.parametrize("loop", ["None", "uvloop.new_event_loop"])
def test_a_client_whose_loop_has_ended(
    echo_process: str, run_script: RunScript, kind: str, loop: str
) -> None:
    """A client that was left open in ``asyncio.run`` has lost its session; a reset plays on."""
    done = run_script(
        f"""
import asyncio, sys, uvloop
from aioenv import SessionLost
from echo_env import EchoAction, EchoEnv
from echo_env.environment import EchoEnvironment

async def play(env):
    await env.reset()
    await env.step(EchoAction("x"))

def run(coroutine):
    with asyncio.Runner(loop_factory={loop}) as runner:
        return runner.run(coroutine)

env = {kind}
run(play(env))
for _ in range(2):
    try:
        env.step(EchoAction("x"))
    except SessionLost as error:
        print("lost:", error.reason)
env.reset(episode_id="again")
print(env.step(EchoAction("on")).observation.echoed_message, env.state().episode_id)
env.close()

async def reopen(env):
    await env.connect()
    await play(env)

run(reopen(env))
run(play(env))  # on a third loop: a reset begins anew there
env.close()  # of what has ended already
print("done")
""",
        echo_process,
    )
    lines = done.stdout.splitlines()
    assert lines[2:] == ["on again", "done"], done.stderr
    if "from_environment" not in kind:  # there, the service may end first and say so
        assert lines[:2] == ["lost: the event loop that it lived on has ended"] * 2
    assert lines[0] == lines[1]
    assert lines[0].startswith("lost: ")
    assert done.returncode == 0


ABRUPT_END = """
import asyncio, sys, uvloop
from aioenv import SessionLost
from echo_env import EchoAction, EchoEnv

async def step(env):
    await env.step(EchoAction("x"))

for factory in (asyncio.new_event_loop, uvloop.new_event_loop):
    env = EchoEnv(sys.argv[1])
    loop = factory()
    loop.run_until_complete(step(env))
    tasks = [loop.create_task(step(env)) for _ in range(3)]
    loop.run_until_complete(asyncio.sleep(0))
    assert not any(task.done() for task in tasks)
    loop.close()
    for _ in range(2):
        try:
            env.step(EchoAction("x"))
        except SessionLost as error:
            print(error.reason)
    env.reset()
    print(env.state().step_count)
    env.close()
"""


def test_a_client_whose_loop_ended_abruptly(run_script: RunScript) -> None:
    """Neither do calls that were under way when their loop was closed hold anything up."""

    def serve(connection: ServerConnection) -> None:
        connections.append(connection)
        is_silent = len(connections) % 2 == 1  # from the second request on
        for count, message in enumerate(connection):
            if count == 0 or not is_silent:
                reply = state() if "state" in str(message) else observation("x")
                connection.send(json.dumps(reply))

    connections: list[ServerConnection] = []
    with in_thread(serve) as url:
        done = run_script(ABRUPT_END, url)
    ended = "the event loop that it lived on has ended"
    assert done.stdout.splitlines() == [ended, ended, "0"] * 2, done.stderr
    assert (done.returncode, len(connections)) == (0, 4)


# Forks


def test_a_forked_child(echo_process: str) -> None:
    """A fork's child has a loop of its own; its parent's sessions stay with the parent."""
    parent = blocking(echo_process)
    parent.reset(episode_id="parent")
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.write(writing, _play_as_child(echo_process, parent).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as report:
        lines = report.read().splitlines()
    assert os.waitpid(pid, 0)[1] == 0
    lost = "its process was forked, and it stayed with the parent"
    assert lines == ["new: child", f"lost: {lost}", f"lost: {lost}", "reset: again", "closed"]
    assert parent.step(EchoAction("still")).observation.echoed_message == "still"
    assert parent.state() == State(episode_id="parent", step_count=1)
    parent.close()


def _play_as_child(url: str, parent: Any) -> str:
    """Play in the child, with a client of its own and with its parent's; return what happened."""
    signal.alarm(30)  # a child that hangs must not hang its parent
    happened = []
    with blocking(url) as env:
        happened.append(f"new: {env.step(EchoAction('child')).observation.echoed_message}")
    for _ in range(2):
        try:
            parent.step(EchoAction("x"))
        except SessionLost as error:
            happened.append(f"lost: {error.reason}")
    parent.reset(episode_id="again")
    happened.append(f"reset: {parent.state().episode_id}")
    parent.close()
    happened.append("closed")
    return "\n".join(happened)


# The end of the interpreter

EXITS = {
    "as in the seed": """
env = EchoEnv(base_url=sys.argv[1])
result = env.reset()
result = env.step(EchoAction(message="Hello!"))
""",
    "typed twin": """
env = EchoEnv(base_url=sys.argv[1]).sync()
env.connect()
""",
    "many clients": """
clients = [EchoEnv(base_url=sys.argv[1]) for _ in range(20)]
for env in clients:
    env.reset()
    env.new_session()
""",
    "embedded": """
env = EchoEnv.from_environment(EchoEnvironment)
env.reset()
env.new_session().step(EchoAction("x"))
""",
    "closed": """
env = EchoEnv(base_url=sys.argv[1])
env.reset()
env.close()
""",
    "never connected": """
env = EchoEnv(base_url=sys.argv[1])
""",
    "in threads": """
def play(number):
    env = EchoEnv(base_url=sys.argv[1])
    env.reset()
    begun.wait()  # from 3.12 on, Python starts no thread any more once the main thread has ended
    env.step(EchoAction("x"))

begun = threading.Barrier(5)
for number in range(4):
    threading.Thread(target=play, args=(number,)).start()
begun.wait()
""",
    "in a daemon thread, at work": """
def play():
    env = EchoEnv(base_url=sys.argv[1])
    while True:
        env.step(EchoAction("x"))
        begun.set()

begun = threading.Event()
threading.Thread(target=play, daemon=True).start()
begun.wait()
threading.excepthook = lambda args: None  # its client is closed under its hands
""",
    "exit code": """
env = EchoEnv(base_url=sys.argv[1])
env.reset()
sys.exit(0)
""",
    "forked": """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of every fork with threads
env = EchoEnv(base_url=sys.argv[1])
env.reset()
if os.fork():
    os.wait()
    env.step(EchoAction("x"))
""",
}


@pytest.mark.parametrize("way", EXITS)
def test_an_exit_without_a_close(echo_process: str, run_script: RunScript, way: str) -> None:
    """An interpreter that ends with open clients ends by itself, and says nothing."""
    done = run_script(
        "import os, sys, threading\n"
        "from echo_env import EchoAction, EchoEnv\n"
        "from echo_env.environment import EchoEnvironment\n" + EXITS[way],
        echo_process,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_an_exit_takes_leave(run_script: RunScript) -> None:
    """A client that nobody closed says the wire's farewell when the interpreter ends."""

    def serve(connection: ServerConnection) -> None:
        received.extend(connection)

    received: list[Any] = []
    with in_thread(serve) as url:
        done = run_script(
            "import sys; from echo_env import EchoEnv; EchoEnv(sys.argv[1]).connect()", url
        )
    assert received == ['{"type":"close"}']
    assert (done.stderr, done.returncode) == ("", 0)


def test_an_exit_stops_what_was_launched(echo_process: str, run_script: RunScript) -> None:
    """A service that a forgotten client started is stopped; trouble with that is told."""
    done = run_script(
        """
import sys
from echo_env import EchoEnv

class Launch:
    def __init__(self, name):
        self.name = name

    async def start(self):
        print(self.name, "started")
        return sys.argv[1]

    async def stop(self):
        print(self.name, "stopped")
        if self.name == "bad":
            raise OSError("it does not stop")

EchoEnv(launcher=Launch("good")).reset()
EchoEnv(launcher=Launch("bad")).reset()
""",
        echo_process,
    )
    lines = done.stdout.splitlines()
    assert lines[:2] == ["good started", "bad started"]
    assert sorted(lines[2:]) == ["bad stopped", "good stopped"]
    assert done.stderr == (
        "a client that nobody closed did not close: OSError('it does not stop')\n"
    )
    assert done.returncode == 0


def test_an_exit_closes_embedded_environments(run_script: RunScript) -> None:
    """Plain environments are closed, too, though their threads take no more work by then."""
    done = run_script(
        """
import threading
from aioenv import State
from aioenv.service import Environment
from echo_env import EchoAction, EchoEnv, EchoObservation

class Plain(Environment[EchoAction, EchoObservation, State]):
    state = State()

    def reset(self):
        return EchoObservation("ready", 5)

    def step(self, action):
        return EchoObservation(action.message, 1)

    def close(self):
        print("closed")

env = EchoEnv.from_environment(Plain)
env.reset()
print(env.step(EchoAction("x")).observation.echoed_message)
"""
    )
    assert (done.stdout, done.stderr, done.returncode) == ("x\nclosed\n", "", 0)


def test_calls_after_the_end(echo_process: str, run_script: RunScript) -> None:
    """A client that is used or closed even later does not keep the interpreter from ending."""
    done = run_script(
        """
import atexit, sys

@atexit.register  # before aioenv registers its own: it runs after that
def late():
    for call in (lambda: env.step(EchoAction("x")), env.close):
        try:
            call()
        except Closed:  # what it says from Python 3.12 on, where no thread starts any more
            pass
        print("went on")

from aioenv import Closed
from echo_env import EchoAction, EchoEnv
env = EchoEnv(sys.argv[1])
env.reset()
""",
        echo_process,
    )
    assert done.stdout.splitlines() == ["went on", "went on"], done.stderr
    assert (done.stderr, done.returncode) == ("", 0)


# Odds and ends


def test_an_environment_that_plays_another(echo_process: str) -> None:
    """A plain environment may drive a blocking client of its own, on the same background loop."""

    class Relay(EchoEnvironment):
        """Says what another Echo says."""

        def step(self, action: EchoAction) -> EchoObservation:  # type: ignore[override]
            with blocking(echo_process) as inner:
                observation: EchoObservation = inner.step(action).observation
            return observation

    env: Any = EchoEnv.from_environment(Relay)
    assert env.step(EchoAction("Hi")).observation.echoed_message == "Hi"
    env.close()


def test_a_full_service(echo_process: str) -> None:
    """A refusal has its figures in blocking code, too."""
    env: Any = EchoEnv.from_environment(EchoEnvironment, max_concurrent_envs=1)
    env.reset()
    with pytest.raises(CapacityReached, match="1 of 1 sessions are in use"):
        env.new_session().reset()
    env.close()


def test_an_overridden_method(echo_process: str) -> None:
    """A subclass may wrap a method as a coroutine; the twin blocks on that one."""

    class Loud(EnvClient[EchoAction, EchoObservation, State]):
        async def step(self, action: EchoAction) -> StepResult[EchoObservation]:
            return await super().step(EchoAction(action.message.upper()))

    with Loud(echo_process).sync() as env:
        assert env.step(EchoAction("hi")).observation.echoed_message == "HI"


def test_the_background_loop_is_one() -> None:
    """It is made once, in a daemon thread, and runs."""
    assert background_loop() is background_loop()
    assert background_loop().is_running()
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "aioenv"]
    assert thread.daemon
