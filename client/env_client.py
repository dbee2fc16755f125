"""The client: one episode after the other over one session of a service."""

import asyncio
import math
from collections.abc import Generator, Mapping
from types import TracebackType
from typing import Any, ClassVar, Generic, Self, TypeVar, get_args, get_origin

from aioenv import AioEnvError, Contract, PlainContract, SessionLost, StepResult
from aioenv.client.address import without_password
from aioenv.client.admission import is_refusal
from aioenv.client.blocking import anywhere, anywhere_with_action
from aioenv.client.connection import Connection
from aioenv.client.connection_options import ConnectionOptions
from aioenv.client.containers import ContainerLauncher
from aioenv.client.images import space_image
from aioenv.client.launchers import Launcher
from aioenv.client.sync_client import SyncEnvClient
from aioenv.client.tenant import Tenant
from aioenv.client.transport import see_through
from aioenv.contract import ReadsReplies
from aioenv.flat import recognise_nothing
from aioenv.messages import read_reply, write_request

__all__ = ["EnvClient", "GenericEnvClient"]

ActionT = TypeVar("ActionT")
ObservationT = TypeVar("ObservationT")
StateT = TypeVar("StateT")


class EnvClient(Tenant, Generic[ActionT, ObservationT, StateT]):
    """Drives one session of a service.

    Subclass it with your three models and nothing else::

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
        ValueError: there is neither an address nor a launcher, or the address cannot be one, or a
            number does not fit.
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
        super().__init__(
            base_url,
            launcher,
            ConnectionOptions(
                connect_timeout_s=connect_timeout_s,
                message_timeout_s=message_timeout_s,
                ping_interval_s=websocket_ping_interval_s,
                ping_timeout_s=websocket_ping_timeout_s,
                max_message_size_bytes=_bytes(max_message_size_mb),
                headers=headers,
            ),
            capacity_timeout_s,
        )

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in getattr(cls, "__orig_bases__", ()):
            origin = get_origin(base)
            if isinstance(origin, type) and issubclass(origin, EnvClient):
                cls._models = get_args(base)
                cls._contract = None

    def __repr__(self) -> str:
        where = repr(self._launcher) if self._base_url is None else without_password(self._base_url)
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

        models = cls._models if len(cls._models) == 3 and _is_typed(cls._models) else ()
        launcher = EmbeddedService(
            environment, *models, settings=settings, max_concurrent_envs=max_concurrent_envs
        )
        return cls(launcher=launcher, **options)

    @classmethod
    def from_docker_image(cls, image: str, **options: Any) -> Self:
        """Make a client with a container of its own: an image, run by the Docker daemon.

        The container starts on first use and is removed when this client is closed; `new_session`
        opens further sessions in it. It is told to end by itself when nobody has used it for
        ``idle_exit_s`` (120 seconds), for the case that this process is killed; a `reset` starts
        it anew. It runs without privileges and within limits, each of which can be relaxed.

        Args:
            image: the image's name; pulled where it is missing.
            options: what `ContainerOptions` takes (``env_vars``, ``port``, ``pull``, ``memory``,
                ``cpus``, ``network``, ``ready_timeout_s`` …), and what the constructor takes.

        Raises:
            ValueError: an option does not fit.
            TypeError: there is no such option.
        """
        launcher, rest = ContainerLauncher.taking(image, options)
        return cls(launcher=launcher, **rest)

    @classmethod
    def from_env(
        cls, repo_id: str, *, use_docker: bool = True, tag: str = "latest", **options: Any
    ) -> Self:
        """Make a client with a container of its own that runs a Hugging Face Space's image.

        Args:
            repo_id: the Space, such as ``"org/space"``.
            use_docker: must be true; OpenEnv also runs Spaces from their sources.
            tag: which image of it.
            options: as for `from_docker_image`.

        Raises:
            ValueError: that is not the name of a Space, or an option does not fit.
        """
        if not use_docker:
            raise ValueError(
                "a Space runs in a container here; to run its sources without Docker, clone it, "
                "`aioenv serve` its folder, and connect with base_url=…"
            )
        return cls.from_docker_image(space_image(repo_id, tag), **options)

    def sync(self) -> SyncEnvClient[ActionT, ObservationT, StateT]:
        """Return the typed blocking twin of this client; both use the same session."""
        return SyncEnvClient(self)

    # Episodes

    @anywhere
    async def reset(self, /, **options: Any) -> StepResult[ObservationT]:
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
        frame = write_request("reset", options)
        connection = self._connection
        if connection is not None and connection.is_open:
            try:
                return self._parse_result(await self._ask(connection, frame, "reset"))
            except SessionLost:
                pass  # it was lost before or meanwhile: a reset may begin anew
        connection = await self._connect()
        return self._parse_result(await self._ask(connection, frame, "reset"))

    @anywhere_with_action
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
        reply = await connection.request(self._frame_of(action), "step")
        result = self._recognise(reply)
        if result is None:
            result = self._parse_result(self._data_of(reply, "observation", connection))
        return result

    @anywhere
    async def state(self) -> StateT:
        """Return where the episode stands; raises as `step` does."""
        connection = self._connection or await self._connect()
        return self._parse_state(await self._ask(connection, write_request("state"), "state"))

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
    async def _start(self) -> None:
        """Start the service if there is a launcher; no session is opened, which would take a slot.

        Raises:
            Closed: this client was closed.
            AioEnvError: as `connect` does.
        """
        await self._in_turn(self._prepare)

    @anywhere
    async def new_session(self) -> Self:
        """Return a copy of this client, connected to a session of its own at the same service.

        It ends with this one, at the latest.

        Raises:
            Closed: this client was closed.
            AioEnvError: as `connect` does.
        """
        if self._base_url is None or self._is_over():
            await self._start()  # a session of its own it does not need for this
        assert self._base_url is not None
        return await self._sibling(self._base_url).connect()

    @anywhere
    async def close(self) -> None:
        """End the session, and stop the service if this client started it. Safe to call twice.

        A service that was running already is left alone. What waits for a reply or for the
        session gets `Closed`. Cancelling it costs nothing: the closing goes on by itself.
        """
        self._is_closed = True
        await see_through(self._close())

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
        if cls._contract is None:
            if len(cls._models) != 3:
                raise TypeError(f"declare {cls.__name__}(EnvClient[Action, Observation, State])")
            cls._contract = Contract(*cls._models) if _is_typed(cls._models) else PlainContract()
        return cls._contract  # type: ignore[no-any-return]

    def _written_step(self, action: ActionT) -> bytes:
        """Write a step by way of the hook."""
        return write_request("step", self._step_payload(action))

    async def _ask(self, connection: Connection, frame: bytes, operation: str) -> Any:
        """Send a request and return the data of its reply."""
        reply = await connection.request(frame, operation)
        expected = "state" if operation == "state" else "observation"
        return self._data_of(reply, expected, connection)

    def _data_of(self, reply: bytes, expected: str, connection: Connection) -> Any:
        try:
            return read_reply(reply, expected)
        except AioEnvError as error:
            self._note(error, connection)
            raise

    def _note(self, error: AioEnvError, connection: Connection) -> None:
        """Draw the consequence of an error reply: one may say that there is no session."""
        if is_refusal(error) or isinstance(error, SessionLost):
            self._give_up(connection, error)

    def _bind_hooks(self) -> None:
        """Have a step call the hooks that were overridden, and the contract instead of the rest."""
        cls, is_typed = type(self), len(self._models) == 3
        own = (cls._step_payload, cls._parse_result, cls._parse_state)
        if own == (EnvClient._step_payload, EnvClient._parse_result, EnvClient._parse_state):
            self._codec()  # refuses models that cannot be used
        is_ours = is_typed and cls._step_payload is EnvClient._step_payload
        self._frame_of = self._codec().write_step if is_ours else self._written_step
        is_ours = is_typed and cls._parse_result is EnvClient._parse_result
        self._recognise = self._codec().recognise_result if is_ours else recognise_nothing


class GenericEnvClient(EnvClient[dict[str, Any], dict[str, Any], dict[str, Any]]):
    """Drives any environment without its models: actions, observations and states are dicts."""


def _bytes(size_mb: float) -> int:
    if not 0 < size_mb < math.inf:
        raise ValueError(f"'max_message_size_mb' must be > 0 and finite: {size_mb}")
    return int(size_mb * 1024 * 1024)


def _is_typed(models: tuple[Any, ...]) -> bool:
    """Whether models are classes with fields, not plain dicts."""
    return not any((get_origin(model) or model) is dict for model in models)
