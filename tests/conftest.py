"""What every test may use: conditions to wait for, a running service, and a watch on the loop."""

import asyncio
import gc
import logging
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Protocol

import attrs
import pytest
from aiohttp import web
from attrs import frozen

from aioenv.client import EnvClient
from aioenv.service import SERVICE, Server, Service, Settings, create_app
from tests.environments import Census, Heard, Tally, Word

__all__ = ["LoopErrors", "Serve", "Served", "counting", "eventually", "limit_replies", "serving"]

pytest_plugins = [
    "tests.docker.images",
    "tests.docker.launching",
    "tests.hub.pushing",
    "tests.peer.plugin",
]

#: How long anything may take here before it counts as hung. No test depends on it being met.
DEADLINE_S = 20.0


# A shell that starts a job in the background has it ignore Ctrl-C, and `nohup` the terminal's end;
# all that the job starts does likewise. The tests of these signals need them, in this process and
# in those that they start.
for number, handler in [
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
]:
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)


async def eventually(condition: Callable[[], object], what: str = "") -> None:
    """Wait until a condition holds; fail the test if it does not in time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + DEADLINE_S
    while not condition():
        assert loop.time() < deadline, f"it never came true: {what or condition}"
        await asyncio.sleep(0.002)


def limit_replies(env: EnvClient[Any, Any, Any], limit_s: float) -> None:
    """Give a client that is connected another time for every further reply."""
    connection = env._connection
    assert connection is not None
    connection._options = attrs.evolve(connection._options, message_timeout_s=limit_s)


class LoopErrors(logging.Handler):
    """Keeps what loops, servers and doors of this process report because nobody handled it."""

    LOGGERS = (
        "asyncio",
        "aiohttp.server",
        "aioenv.pulse",
        "aioenv.service.http",
        "aioenv.service.mcp",
        "aioenv.service.socket",
    )

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture(autouse=True)
def loop_errors() -> Iterator[LoopErrors]:
    """Fail the test that leaves an exception to the event loop, in whichever thread it runs.

    Without a handler of its own a loop reports to the logger ``asyncio``. Exceptions that nobody
    retrieved are reported when their futures are collected, hence the collection.
    """
    errors = LoopErrors()
    loggers = [logging.getLogger(name) for name in errors.LOGGERS]
    for logger in loggers:
        logger.addHandler(errors)
    yield errors
    gc.collect()
    gc.freeze()  # what survives is not looked at again, which keeps the next collection cheap
    for logger in loggers:
        logger.removeHandler(errors)
    formatter = logging.Formatter()
    assert not errors.records, "\n".join(map(formatter.format, errors.records))


@pytest.fixture
async def census() -> AsyncIterator[Census]:
    """Count the test's environments; in the end each was closed once, and nothing odd happened."""
    async with counting() as census:
        yield census


@asynccontextmanager
async def counting() -> AsyncIterator[Census]:
    """Count environments as long as the context lasts."""
    census = Census()
    yield census
    census.open_gate()
    await eventually(lambda: not census.alive, f"every environment is closed: {census.alive}")
    assert census.faults == []
    assert census.closed == census.made


@frozen
class Served:
    """An environment that is being served over real sockets."""

    url: str
    app: web.Application
    service: Service
    server: Server

    @property
    def ws_url(self) -> str:
        """The address of its WebSocket."""
        return f"ws{self.url.removeprefix('http')}/ws"


class Serve(Protocol):
    """The `serve` fixture."""

    async def __call__(
        self,
        environment: Any,
        *,
        action: type[Any] = ...,
        observation: type[Any] = ...,
        state: type[Any] = ...,
        **settings: Any,
    ) -> Served:
        """Serve an environment until the test ends."""


@pytest.fixture
async def serve(census: Census) -> AsyncIterator[Serve]:
    """Serve environments on free ports; all stop with the test, and no slot stays in use."""
    async with serving(census) as start:
        yield start


@asynccontextmanager
async def serving(census: Census) -> AsyncIterator[Serve]:
    """Serve environments as long as the context lasts."""
    async with AsyncExitStack() as stack:

        async def start(
            environment: Any,
            *,
            action: type[Any] = Word,
            observation: type[Any] = Heard,
            state: type[Any] = Tally,
            **settings: Any,
        ) -> Served:
            app = create_app(
                environment, action, observation, state=state, settings=Settings(**settings)
            )
            server = Server(app, "127.0.0.1", 0, access_log=True)
            url = await server.start()
            stack.push_async_callback(_stop, server, app[SERVICE])
            return Served(url, app, app[SERVICE], server)

        yield start
        census.open_gate()


async def _stop(server: Server, service: Service) -> None:
    await server.stop()
    await eventually(lambda: not service.pool.statistics().active, f"every slot is back: {service}")
