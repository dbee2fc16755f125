"""A proxy before the Docker daemon, which tells of a request that it passes, or holds it back."""

import asyncio
import contextlib
import re
import threading
from types import TracebackType
from typing import Self

__all__ = ["Proxy"]

DAEMON = "/var/run/docker.sock"


class Proxy:
    """Passes on bytes in a thread of its own: it outlives the event loops of its clients.

    Args:
        watched: the beginning of the requests that are watched for, a pattern.
        holds: whether they are held back for good.

    Attributes:
        url: where it listens, once it runs as a context.
        passed: how many such requests were passed on.
        reached: set once such a request came, and was passed on unless it is held back.
    """

    def __init__(self, watched: str = "(?!)", *, holds: bool = False) -> None:
        self.url = ""
        self.passed = 0
        self.reached = threading.Event()
        self._watched = re.compile(watched.encode())
        self._holds = holds
        self._listens = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> Self:
        self._thread.start()
        self._listens.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        self.url = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._listens.set()
        await self._end.wait()
        server.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        daemon_reader, daemon_writer = await asyncio.open_unix_connection(DAEMON)
        pumps = self._pump(reader, daemon_writer), self._pump(daemon_reader, writer)
        with contextlib.suppress(asyncio.CancelledError):  # which Python 3.11 would complain of
            await asyncio.gather(*pumps)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                is_watched = self._watched.match(data) is not None
                if is_watched and self._holds:
                    self.reached.set()
                    await asyncio.Event().wait()
                writer.write(data)
                if is_watched:
                    self.passed += 1
                    self.reached.set()
        except ConnectionError:
            pass  # it is over with the connection
        finally:
            writer.close()
