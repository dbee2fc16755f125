"""Running: an application on an address, from its start to its graceful stop."""

import asyncio
import logging
import os
import signal
import socket as sockets
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from aiohttp import web

from aioenv.service.app import SERVICE, USAGE
from aioenv.service.logs import ACCESS_LOG, SERVER_LOG, AccessLogger, configure_logging
from aioenv.service.settings import Settings
from aioenv.service.usage import Usage

__all__ = ["Server", "SiteMaker", "event_loop_factory", "listen", "serve", "url_of"]

T = TypeVar("T")
log = logging.getLogger(__name__)

#: Makes where an application is reached, in place of an address of its own.
SiteMaker = Callable[[web.AppRunner], web.BaseSite]


def event_loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's way to make an event loop, or ``None`` where there is no uvloop."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def listen(host: str, port: int) -> sockets.socket:
    """Make a socket that listens.

    Args:
        host: the address.
        port: the port; 0 takes a free one.

    Raises:
        OSError: the address cannot be bound.
    """
    family = sockets.AF_INET6 if ":" in host else sockets.AF_INET
    return sockets.create_server((host, port), family=family, backlog=4096)


def url_of(listening: sockets.socket) -> str:
    """Return the address at which a socket that listens can be reached from this machine."""
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host and host[0] != '[' else host}:{port}"


class Server:
    """An application that listens.

    Args:
        app: what `create_app` made.
        host: the address to listen on.
        port: the port; 0 takes a free one.
        access_log: log every request.
        site: makes where connections come from, instead of the address; its name is the URL.
    """

    def __init__(
        self,
        app: web.Application,
        host: str,
        port: int,
        *,
        access_log: bool = False,
        site: SiteMaker | None = None,
    ) -> None:
        self._access_log = ACCESS_LOG if access_log else None
        self._app = app
        self._host = host
        self._port = port
        self._runner: web.AppRunner | None = None
        self._socket: sockets.socket | None = None
        self._make_site = site
        self._site: web.BaseSite | None = None
        self._undoing: asyncio.Future[None] | None = None

    @property
    def url(self) -> str:
        """The address to connect to, once it has started."""
        if self._make_site is not None and self._site is not None:
            return self._site.name
        if self._socket is None:
            raise RuntimeError("the server has not started")
        return url_of(self._socket)

    async def start(self) -> str:
        """Bind, start to listen, and return the address.

        Cancelling it, or a failure, leaves nothing behind.

        Raises:
            OSError: the address cannot be bound.
        """
        runner = web.AppRunner(
            self._app,
            access_log=self._access_log,
            access_log_class=AccessLogger,
            logger=SERVER_LOG,
            shutdown_timeout=1.0,
        )
        # asyncio loses sight of a server whose making is cancelled halfway: it is made to the end.
        listening = asyncio.ensure_future(self._listen(runner))
        try:
            await asyncio.shield(listening)
        except BaseException:
            self._undoing = asyncio.ensure_future(self._undo(listening, runner))
            await asyncio.shield(self._undoing)
            raise
        self._runner = runner
        return self.url

    async def stop(self, grace_s: float = 0.0) -> None:
        """Let live sessions go on for the grace, close what is left with 1001, and stop.

        Safe to call twice.

        Args:
            grace_s: how long live sessions may go on, in seconds.
        """
        runner, self._runner = self._runner, None
        if runner is None:
            return
        try:
            await self._app[SERVICE].drain(grace_s)
        finally:
            await runner.cleanup()

    async def _listen(self, runner: web.AppRunner) -> None:
        await runner.setup()
        if self._make_site is not None:
            self._site = self._make_site(runner)
            await self._site.start()
            return
        self._socket = listen(self._host, self._port)
        await web.SockSite(runner, self._socket, backlog=4096).start()

    async def _undo(self, listening: asyncio.Future[None], runner: web.AppRunner) -> None:
        await asyncio.gather(listening, return_exceptions=True)
        await runner.cleanup()
        if self._socket is not None:
            self._socket.close()


def serve(
    app: web.Application,
    settings: Settings | None = None,
    *,
    announce: Callable[[str], None] = print,
    site: SiteMaker | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; the second of them ends at once.

    Where the settings name an `idle_exit_s`, it also ends when nobody has used it for so long.
    Logs go to standard error, unless the root logger has a handler already.

    Args:
        app: what `create_app` made.
        settings: where to listen, what to log and how long the grace is; by default the
            application's own.
        announce: is told the address once the service accepts connections.
        site: makes where connections come from, instead of the settings' address.

    Raises:
        OSError: the address cannot be bound.
    """
    settings = settings or app[SERVICE].settings
    configure_logging(settings)
    with asyncio.Runner(loop_factory=event_loop_factory()) as runner:
        runner.run(_serve(app, settings, announce, site))
    if app[SERVICE].workers.is_busy:
        # Their threads cannot be interrupted, and the interpreter would wait for them.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


async def _serve(
    app: web.Application,
    settings: Settings,
    announce: Callable[[str], None],
    site: SiteMaker | None,
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    server = Server(app, settings.host, settings.port, access_log=True, site=site)
    url = await server.start()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_signal, stop)
    announce(f"Serving {app[SERVICE].name} on {url}")
    await _wait_over(stop, app[USAGE], settings.idle_exit_s)
    log.info("stopping; sessions have %g s", settings.shutdown_grace_s)
    await server.stop(settings.shutdown_grace_s)


async def _wait_over(stop: asyncio.Event, usage: Usage, idle_exit_s: float) -> None:
    """Wait until a signal tells to stop, or nobody has used the service for so long."""
    told = asyncio.create_task(stop.wait())
    tasks: list[asyncio.Task[Any]] = [told]
    if idle_exit_s:
        tasks.append(asyncio.create_task(usage.wait_unused(idle_exit_s)))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
    if not told.done():
        log.info("nobody has used it for %g s", idle_exit_s)


def _on_signal(stop: asyncio.Event) -> None:
    if stop.is_set():
        os._exit(130)
    stop.set()
