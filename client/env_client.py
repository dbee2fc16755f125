"""The client: one episode after the other over one session of a service."""

import asyncio
from collections.abc import Generator, Mapping
from types import TracebackType
from typing import Any, ClassVar, Generic, Self, TypeVar, get_args, get_origin
from urllib.parse import urlencode, urlsplit, urlunsplit

import attrs

from aioenv import (
    AioEnvError,
    CapacityReached,
    Closed,
    Contract,
    PlainContract,
    ProtocolViolation,
    SessionLost,
    StepResult,
)
from aioenv.client.blocking import anywhere
from aioenv.client.connection import Connection, ConnectionOptions
from aioenv.client.launchers import Launcher
from aioenv.client.retries import delays
from aioenv.client.sync_client import SyncEnvClient
from aioenv.client.transport import Transport
from aioenv.contract import ReadsReplies
from aioenv.messages import (
    Request,
    ResetRequest,
    StateRequest,
    StepRequest,
    read_reply,
    write_request,
)

__all__ = ["EnvClient", "GenericEnvClient"]

ActionT = TypeVar("ActionT")
ObservationT = TypeVar("ObservationT")
StateT = TypeVar("StateT")


class EnvClient(Generic[ActionT, ObservationT, StateT]):
    """Drives one session of a service. Subclass it with your three models and nothing else::

        class EchoEnv(EnvClient[EchoAction, EchoObservation, State]):
            '''Plays Echo.'''

    In async code, ``async with EchoEnv(base_url=…) as env`` or ``env = await EchoEnv(…)``, and
    await its methods. Where no event loop runs, the same methods block and return their results,
    and ``with`` works; `sync` returns the typed blocking twin. It connects on first use. Thousands
    share one event loop, and one HTTP session on it.

    Cancelling any method leaves the client usable and in step: a reply that nobody waits for any
    more is dropped. A request that was already sent may have been carried out.

    Args:
        base_url: the service's address: ``http://``, ``https://``, ``ws://`` or ``wss://``, with
            or without a path before ``/ws``.
        connect_timeout_s: seconds for the connection; ``None`` waits for ever.
        message_timeout_s: seconds for a reply; ``None`` waits for ever.
        max_message_size_mb: the largest reply to take, in MiB.
        websocket_ping_interval_s: seconds of silence before a ping; ``None`` never pings.
        websocket_ping_timeout_s: further seconds of silence before the service counts as gone;
            ``None`` waits for ever.
        capacity_timeout_s: seconds to wait for a free session where all are in use; 0 raises
            `CapacityReached` at once.
        headers: sent with the handshake, such as ``{"Authorization": "Bearer …"}``.
        launcher: starts the service on first use, and stops it on `close`. Takes the place of
            `base_url`.

    Raises:
        ValueError: there is neither an address nor a launcher, or the address cannot be one.
    """

    _contract: ClassVar[Any] = None
    _models: ClassVar[tuple[Any, ...]] = ()

    def __init__(
        self,
        base_url: str | None = None,
        connect_timeout_s: float | None = 10.0,
        message_timeout_s: float | None = 60.0,
        max_message_size_mb: float = 100.0,
        websocket_ping_interval_s: float | None = 20.0,
        websocket_ping_timeout_s: float | None = 20.0,
        *,
        capacity_timeout_s: float = 0.0,
        headers: Mapping[str, str] | None = None,
        launcher: Launcher | None = None,
    ) -> None:
        if (base_url is None) == (launcher is None):
            raise ValueError("a client needs either a base_url or a launcher")
        self._base_url = None if base_url is None else _normalized(base_url)
        self._launcher = launcher
        self._is_launched = False
        self._capacity_timeout_s = capacity_timeout_s
        self._options = ConnectionOptions(
            connect_timeout_s=connect_timeout_s,
            message_timeout_s=message_timeout_s,
            ping_interval_s=websocket_ping_interval_s,
            ping_timeout_s=websocket_ping_timeout_s,
            max_message_size_bytes=int(max_message_size_mb * 1024 * 1024),
            headers=headers,
        )
        self._home: asyncio.AbstractEventLoop | None = None
        self._transport: Transport | None = None
        self._connection: Connection | None = None
        self._opening: asyncio.Lock | None = None
        self._children: set[EnvClient[ActionT, ObservationT, StateT]] = set()
        self._is_closed = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in getattr(cls, "__orig_bases__", ()):
            origin = get_origin(base)
            if isinstance(origin, type) and issubclass(origin, EnvClient):
                cls._models = get_args(base)

    def __repr__(self) -> str:
        where = self._base_url or repr(self._launcher)
        return f"<{type(self).__name__} {where} {self._connection!r}>"

    # Public attributes

    @property
    def base_url(self) -> str | None:
        """The service's address; ``None`` until a launcher has started it."""
        return self._base_url

    # Making one

    @classmethod
    def from_environment(
        cls,
        environment: Any,
        *,
        max_concurrent_envs: int | None = None,
        settings: Any = None,
        **options: Any,
    ) -> Self:
        """Make a client with an embedded service: no server to start, no container.

        The service runs on loopback, in this process, on the client's own event loop. It starts
        on first use and ends with this client; `new_session` opens further sessions on it.

        Args:
            environment: the environment's class, or a callable that makes one.
            max_concurrent_envs: the most sessions at a time; by default as good as no limit.
            settings: an ``aioenv.service.Settings``, for everything else.
            options: as for the constructor.
        """
        # The one place where the client knows the service, and only when it is asked to.
        from aioenv.service.embedded import EmbeddedService
        from aioenv.service.settings import Settings

        settings = settings or Settings(max_concurrent_envs=max_concurrent_envs or 65_536)
        if max_concurrent_envs is not None:
            settings = attrs.evolve(settings, max_concurrent_envs=max_concurrent_envs)
        models = cls._models if len(cls._models) == 3 and _is_typed(cls._models) else ()
        return cls(launcher=EmbeddedService(environment, *models, settings=settings), **options)

    def sync(self) -> SyncEnvClient[ActionT, ObservationT, StateT]:
        """Return the typed blocking twin of this client; both use the same session."""
        return SyncEnvClient(self)

    # Episodes

    @anywhere
    async def reset(self, **options: Any) -> StepResult[ObservationT]:
        """Begin an episode, in a new session if the one before was lost.

        Args:
            options: ``seed``, ``episode_id`` and whatever else the environment's reset takes.

        Raises:
            CapacityReached: every session of the service is in use.
            ConnectionFailed: the service cannot be reached.
            InvalidRequest: the options do not fit.
            EnvironmentFailed: the environment failed.
            RequestTimeout: no reply came in time.
            SessionLost: the session was lost while waiting for the reply.
            Closed: the client was closed.
        """
        request = ResetRequest(options)
        connection = self._connection
        if connection is not None and connection.is_open:
            try:
                return self._parse_result(await self._ask(connection, request, "reset"))
            except SessionLost:
                pass  # it was lost before or meanwhile: a reset may begin anew
        connection = await self._connect()
        return self._parse_result(await self._ask(connection, request, "reset"))

    @anywhere
    async def step(self, action: ActionT) -> StepResult[ObservationT]:
        """Take an action.

        Args:
            action: an instance of the action's class.

        Returns:
            The observation, the reward and whether the episode is done.

        Raises:
            SessionLost: the session is gone; only `reset` begins a new one.
            InvalidRequest: the action does not fit.
            EnvironmentFailed: the environment failed; the session goes on.
            RequestTimeout: no reply came in time; the session goes on.
            ProtocolViolation: the reply does not fit the observation's class.
            TypeError: the action is of another class.
            Closed: the client was closed.
        """
        connection = self._connection
        if connection is None:
            connection = await self._connect()
        frame = write_request(StepRequest(self._step_payload(action)))
        reply = await connection.request(frame, "step")
        return self._parse_result(self._read(reply, "observation", connection))

    @anywhere
    async def state(self) -> StateT:
        """Return where the episode stands; raises as `step` does."""
        connection = self._connection or await self._connect()
        return self._parse_state(await self._ask(connection, StateRequest(), "state"))

    # Connecting and closing

    @anywhere
    async def connect(self) -> Self:
        """Start the service if there is a launcher, and open the session.

        It is called for you by the first `reset` or `step`. A closed client can be connected anew.
        With a `capacity_timeout_s`, it returns when the session is there.

        Raises:
            ConnectionFailed: the service cannot be reached.
            RequestTimeout: it took too long.
            CapacityReached: no session became free in time.
            LaunchFailed: the service did not start.
        """
        self._is_closed = False
        await self._connect()
        return self

    @anywhere
    async def new_session(self) -> Self:
        """Return a further client, connected to a session of its own at the same service.

        It ends with this one, at the latest.
        """
        if self._base_url is None:
            await self._connect()
        assert self._base_url is not None
        child = self._sibling(self._base_url)
        self._children.add(child)
        try:
            return await child.connect()
        except BaseException:
            self._children.discard(child)
            raise

    @anywhere
    async def close(self) -> None:
        """End the session, and stop the service if this client started it. Safe to call twice.

        A service that was running already is left alone.
        """
        self._is_closed = True
        await asyncio.shield(asyncio.ensure_future(self._close()))

    async def __aenter__(self) -> Self:
        return await self.connect()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __await__(self) -> Generator[Any, None, Self]:
        return self.connect().__await__()

    def __enter__(self) -> Self:
        if asyncio._get_running_loop() is not None:
            raise RuntimeError("in async code, write `async with` (or `with client.sync()`)")
        self.connect()  # type: ignore[unused-coroutine]  # it blocks where no loop runs
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()  # type: ignore[unused-coroutine]

    # Hooks, as OpenEnv's clients have them: override what your wire needs

    def _step_payload(self, action: ActionT) -> dict[str, Any]:
        """Return the action's fields as JSON values."""
        return self._codec().write_action(action)

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[ObservationT]:
        """Read the data of an observation reply."""
        return self._codec().read_result(payload)

    def _parse_state(self, payload: dict[str, Any]) -> StateT:
        """Read the data of a state reply."""
        return self._codec().read_state(payload)

    # Private methods

    @classmethod
    def _codec(cls) -> ReadsReplies[ActionT, ObservationT, StateT]:
        """Return the contract of the class's three models, made when first needed."""
        contract = cls.__dict__.get("_contract")
        if contract is None:
            if len(cls._models) != 3:
                raise TypeError(f"declare {cls.__name__}(EnvClient[Action, Observation, State])")
            contract = Contract(*cls._models) if _is_typed(cls._models) else PlainContract()
            cls._contract = contract
        return contract  # type: ignore[no-any-return]

    async def _ask(self, connection: Connection, request: Request, operation: str) -> Any:
        """Send a request and return the data of its reply."""
        reply = await connection.request(write_request(request), operation)
        expected = "state" if operation == "state" else "observation"
        return self._read(reply, expected, connection)

    def _read(self, reply: bytes, expected: str, connection: Connection) -> dict[str, Any]:
        """Read a reply; where it says that there never was a session, forget the connection."""
        try:
            kind, data = read_reply(reply)
        except AioEnvError as error:
            if _is_refusal(error):
                self._connection = None
                connection.transport.run(connection.close())
            raise
        if kind != expected:
            raise ProtocolViolation(f"the service answered with {kind!r}, not {expected!r}")
        return data

    async def _connect(self) -> Connection:
        """Return an open connection; one that was lost is replaced."""
        if self._is_closed:
            raise Closed("client")
        loop = asyncio.get_running_loop()
        if self._home is not loop:
            self._move_in(loop)
        assert self._opening is not None
        async with self._opening:
            if self._connection is not None and self._connection.is_open:
                return self._connection
            if self._transport is None:
                self._transport = Transport.join()
            await self._launch()
            connection = await self._open_session(self._transport)
            if self._is_closed:
                await connection.close()
                raise Closed("client")
            self._connection = connection
            return connection

    def _leave_home(self) -> None:
        """Lose the session whose event loop has ended."""
        self._home = self._transport = None
        if self._connection is not None:
            self._connection.lose("the event loop that it lived on has ended")

    def _move_in(self, loop: asyncio.AbstractEventLoop) -> None:
        """Belong to a loop from now on; what belonged to another one is lost with it."""
        self._home = loop
        self._opening = asyncio.Lock()
        self._transport = None
        self._connection = None

    async def _launch(self) -> None:
        if self._launcher is not None and not self._is_launched:
            self._base_url = _normalized(await self._launcher.start())
            self._is_launched = True
            if self._is_closed:  # while it started: stop what close() could not know of
                await self._close()
                raise Closed("client")

    async def _open_session(self, transport: Transport) -> Connection:
        """Open a connection; with a capacity time-out, wait until it has a session."""
        assert self._base_url is not None
        if not self._capacity_timeout_s:
            return await Connection.open(_socket_url(self._base_url), transport, self._options)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._capacity_timeout_s
        for delay_s in delays():
            remaining_s = max(0.0, deadline - loop.time())
            url = _socket_url(self._base_url, wait_s=round(remaining_s, 3))
            connection = await Connection.open(url, transport, self._options)
            try:
                if await self._is_admitted(connection, remaining_s):
                    return connection
            except BaseException as error:
                await connection.close()
                if not isinstance(error, CapacityReached) or loop.time() + delay_s >= deadline:
                    raise
            await asyncio.sleep(delay_s)
        raise AssertionError("the delays never end")

    async def _is_admitted(self, connection: Connection, patience_s: float) -> bool:
        """Wait for the first reply; a refused connection's is its refusal."""
        frame = write_request(StateRequest())
        reply = await connection.request(frame, "connect", patience_s=patience_s)
        try:
            read_reply(reply)
        except AioEnvError as error:
            if _is_refusal(error):
                raise
        return True

    async def _close(self) -> None:
        children, self._children = self._children, set()
        for child in children:
            await child.close()
        connection, self._connection = self._connection, None
        transport, self._transport = self._transport, None
        try:
            if connection is not None:
                await connection.close()
        finally:
            try:
                if self._launcher is not None and self._is_launched:
                    self._is_launched = False
                    self._base_url = None
                    await self._launcher.stop()
            finally:
                if transport is not None:
                    await transport.leave()

    def _sibling(self, base_url: str) -> Self:
        options = self._options
        return type(self)(
            base_url,
            options.connect_timeout_s,
            options.message_timeout_s,
            options.max_message_size_bytes / (1024 * 1024),
            options.ping_interval_s,
            options.ping_timeout_s,
            capacity_timeout_s=self._capacity_timeout_s,
            headers=options.headers,
        )


class GenericEnvClient(EnvClient[dict[str, Any], dict[str, Any], dict[str, Any]]):
    """Drives any environment without its models: actions, observations and states are dicts."""


def _is_refusal(error: AioEnvError) -> bool:
    """Whether an error reply says that there is no session at all."""
    return isinstance(error, CapacityReached) or getattr(error, "code", "") == "FACTORY_ERROR"


def _is_typed(models: tuple[Any, ...]) -> bool:
    """Whether models are classes with fields, not plain dicts."""
    return not any((get_origin(model) or model) is dict for model in models)


def _normalized(base_url: str) -> str:
    """Return an address as ``http(s)://host[:port][/path]``, whatever way it was written.

    Raises:
        ValueError: it cannot be an address.
    """
    text = base_url if "://" in base_url else f"http://{base_url}"
    parts = urlsplit(text)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    if scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{base_url!r} is not an address; expected such as http://localhost:8000")
    path = parts.path.rstrip("/").removesuffix("/ws")
    return urlunsplit((scheme, parts.netloc, path, "", ""))


def _socket_url(base_url: str, **query: Any) -> str:
    url = f"ws{base_url.removeprefix('http')}/ws"
    return f"{url}?{urlencode(query)}" if query else url
