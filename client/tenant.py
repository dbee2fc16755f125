"""The tenant: what a client holds at a service, from its first request to its close.

Its event loop, its part of the transport, its session, the service itself where it has started one,
and its further sessions, which end with it. Only one of its calls at a time takes or gives back any
of that, and whatever is cancelled or fails on the way is undone.
"""

import asyncio
import copy
import logging
import math
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar

from aioenv import AioEnvError, Closed, ConnectionFailed, SessionLost
from aioenv.client.address import normalized
from aioenv.client.admission import open_session
from aioenv.client.blocking import close_at_exit, forget, home_of
from aioenv.client.connection import Connection
from aioenv.client.connection_options import ConnectionOptions
from aioenv.client.launchers import Launcher
from aioenv.client.transport import Transport, see_through

__all__ = ["Tenant"]

log = logging.getLogger(__name__)

T = TypeVar("T")

# How long a launched service that refuses a connection may take to be gone, in seconds.
_LAST_BREATH_S = 5.0


class Tenant:
    """Opens a session when it is first needed, and gives everything back when it is closed.

    Args:
        base_url: the service's address, if it runs already.
        launcher: what starts it, if it does not.
        options: how to connect.
        capacity_timeout_s: how long to wait for a free session, in seconds.

    Raises:
        ValueError: there is neither an address nor a launcher, or both, or the address cannot be
            one, or the time is less than 0 or endless.
    """

    _home: asyncio.AbstractEventLoop | None  # where it lives, from the first connect
    _opening: asyncio.Lock | None  # held while the session is opened, or everything is closed
    _scope: asyncio.Timeout | None  # has the opening give up when the client is closed
    _transport: Transport | None
    _connection: Connection | None  # the session's, or its remains
    _lost: Connection | None  # the one that `_connection` took the place of
    _children: "set[Tenant]"
    _is_launched: bool
    _is_closed: bool

    def __init__(
        self,
        base_url: str | None,
        launcher: Launcher | None,
        options: ConnectionOptions,
        capacity_timeout_s: float,
    ) -> None:
        if (base_url is None) == (launcher is None):
            raise ValueError("a client needs either a base_url or a launcher")
        if not 0 <= capacity_timeout_s < math.inf:
            raise ValueError(f"'capacity_timeout_s' must be >= 0 and finite: {capacity_timeout_s}")
        self._base_url = None if base_url is None else normalized(base_url)
        self._launcher = launcher
        self._options = options
        self._capacity_timeout_s = capacity_timeout_s
        self._parent: Tenant | None = None
        self._hold_nothing()

    def close(self) -> Coroutine[Any, Any, None]:
        """Give back everything."""
        raise NotImplementedError

    def _bind_hooks(self) -> None:
        """Refuse models that cannot be used, before anything is opened for them."""

    def _give_up(self, connection: Connection, error: AioEnvError) -> None:
        """End a connection whose service says that it has no session for it."""
        connection.lose(getattr(error, "reason", str(error)))
        connection.transport.run(connection.close())
        if self._connection is connection and not isinstance(error, SessionLost):
            # There never was a session, so the next call may try again by itself; but where one
            # was lost before, that is still how things stand.
            self._connection = self._lost

    async def _connect(self) -> Connection:
        """Return an open connection; one that was lost is replaced."""
        return await self._in_turn(self._open)

    async def _in_turn(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do what only one may do at a time, until it is through or the client is closed."""
        self._move_in(asyncio.get_running_loop())
        assert self._opening is not None
        async with self._opening:
            self._scope = scope = asyncio.timeout(None)
            try:
                async with scope:
                    return await work()
            except TimeoutError:
                if not scope.expired():
                    raise
                raise Closed("client") from None  # close() ended the scope
            finally:
                self._scope = None

    async def _open(self) -> Connection:
        """Open the session; where it is the first and fails, leave nothing behind."""
        if self._connection is not None and self._connection.is_open and not self._is_over():
            return self._connection
        await self._prepare()
        try:
            try:
                connection = await self._open_session()
            except ConnectionFailed as error:
                if not await self._is_about_to_end(error):
                    raise
                await self._prepare()  # which starts the service anew
                connection = await self._open_session()
        except BaseException:
            await self._release_unused()
            raise
        self._lost, self._connection = self._connection, connection
        return connection

    async def _open_session(self) -> Connection:
        assert self._base_url is not None
        assert self._transport is not None
        return await open_session(
            self._base_url, self._transport, self._options, self._capacity_timeout_s
        )

    async def _prepare(self) -> None:
        """Start the service if there is a launcher, and take part in the transport."""
        if self._is_over():
            raise Closed("client")
        self._bind_hooks()  # models that cannot be used are refused before anything is opened
        if self._transport is None:
            self._transport = Transport.join()
            close_at_exit(self)
            if self._parent is not None:
                self._parent._children.add(self)
        try:
            await self._launch()
        except BaseException:
            await self._release_unused()
            raise

    async def _release_unused(self) -> None:
        """Leave nothing behind that no session has ever needed."""
        if self._connection is None and not self._children:
            await see_through(self._release())

    async def _launch(self) -> None:
        """Start the service where there is a launcher, and anew where it has ended by itself."""
        owner = self._owner()
        if owner._launcher is None:
            return
        home_of(owner)  # what it has launched on a loop that has ended is gone with that
        is_there = owner._is_launched and not await _has_ended(owner._launcher)
        if owner is not self:
            if not is_there:
                await owner._in_turn(owner._prepare)
            self._base_url = owner._base_url
        elif not is_there:
            if self._is_launched:
                self._is_launched = False
                await owner._launcher.stop()
            url = await owner._launcher.start()
            self._is_launched = True
            self._base_url = normalized(url)

    async def _is_about_to_end(self, error: ConnectionFailed) -> bool:
        """Whether a service that cannot be reached is one of ours that ends just now."""
        launcher = self._owner()._launcher
        is_in_doubt = launcher is not None and error.status in (None, 503)
        return is_in_doubt and await _has_ended(launcher, _LAST_BREATH_S)

    def _owner(self) -> "Tenant":
        """Return the client that this one ends with, whose launcher has started the service."""
        return self if self._parent is None else self._parent._owner()

    def _is_over(self) -> bool:
        """Whether it was closed, or the one that it ends with."""
        return self._is_closed or (self._parent is not None and self._parent._is_over())

    def _hold_nothing(self) -> None:
        """Begin as a client that was just made."""
        self._home = None
        self._opening = None
        self._scope = None
        self._transport = None
        self._connection = None
        self._lost = None
        self._children = set()
        self._is_launched = False
        self._is_closed = False

    def _move_in(self, loop: asyncio.AbstractEventLoop) -> None:
        """Belong to a loop from now on."""
        home = loop if self._home is loop else home_of(self)
        if home is None:
            self._home = loop
            self._opening = asyncio.Lock()
        elif home is not loop:
            raise RuntimeError("this client was connected on another event loop at the same time")

    def _leave_home(self, reason: str) -> None:
        """Lose the session whose event loop is no more."""
        self._home = self._transport = self._opening = self._scope = None
        if self._connection is not None:
            self._connection.lose(reason)
        if self._is_launched and getattr(self._launcher, "lives_on_loop", False):
            self._is_launched = False
            self._base_url = None

    async def _close(self) -> None:
        """Have whoever opens the session give up, end the children, and give back everything."""
        loop = asyncio.get_running_loop()
        self._move_in(loop)
        if self._scope is not None and not self._scope.expired():  # else another close was first
            self._scope.reschedule(loop.time())
        assert self._opening is not None
        async with self._opening:
            children = tuple(self._children)
            endings = [child.close() for child in children]
            for ending in await asyncio.gather(*endings, return_exceptions=True):
                if ending is not None:
                    log.warning("a further session of %r was not closed: %r", self, ending)
            self._children.difference_update(children)  # one may have come meanwhile
            await self._release()

    async def _release(self) -> None:
        """Give back whatever this client holds, in the reverse order of its taking."""
        connection, self._connection, self._lost = self._connection, None, None
        transport, self._transport = self._transport, None
        is_launched, self._is_launched = self._is_launched, False
        try:
            if connection is not None:
                await connection.close()
        finally:
            try:
                if is_launched and self._launcher is not None:
                    self._base_url = None
                    await self._launcher.stop()
            finally:
                forget(self)
                if self._parent is not None:
                    self._parent._children.discard(self)
                if transport is not None:
                    await transport.leave()

    def _sibling(self, base_url: str) -> Self:
        """Return a copy of this client, with whatever a subclass added, that holds nothing yet."""
        sibling = copy.copy(self)
        sibling._hold_nothing()
        sibling._base_url, sibling._launcher, sibling._parent = base_url, None, self
        return sibling


async def _has_ended(launcher: Launcher | None, patience_s: float = 0.0) -> bool:
    """Whether what a launcher started has ended by itself; not every launcher can tell."""
    ask = getattr(launcher, "has_ended", None)
    return ask is not None and await ask(patience_s)
