"""The watch over a container: the last lines of its log, and its end."""

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING

from aioenv import LaunchFailed
from aioenv.client.engine import Engine, docker_errors, wait_removed

if TYPE_CHECKING:
    from aiodocker.containers import DockerContainer

__all__ = ["LogTail", "Watch"]

log = logging.getLogger(__name__)

_LAST_WORDS_S = 2.0  # for what is still on its way when the container is gone
_LINES = 20
_LINE_BYTES = 2000


class LogTail:
    """Keeps the last lines of a log, however long it and they are."""

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque(maxlen=_LINES)
        self._rests: dict[int, bytes] = {}  # of each stream, the line that is not finished yet

    def __str__(self) -> str:
        lines = [*self._lines, *filter(None, self._rests.values())]
        return b"\n".join(lines).decode("utf-8", "replace")

    def add(self, stream: int, data: bytes) -> None:
        """Take in what was written to a stream: 1 for standard output, 2 for standard error."""
        *lines, rest = (self._rests.get(stream, b"") + data).split(b"\n")
        self._lines.extend(line[:_LINE_BYTES].rstrip(b"\r") for line in lines)
        self._rests[stream] = rest[:_LINE_BYTES]


class Watch:
    """Follows one container from before its start until it is removed.

    Docker removes a container as soon as it ends, and its log with it: hence a watch that listens
    from the beginning.

    Args:
        container_id: whose.

    Attributes:
        ended: done when the container is gone, or cannot be watched any more.
        tells: whether somebody has to be told of its end, because nobody waits for it.
    """

    def __init__(self, container_id: str) -> None:
        self.container_id = container_id
        self.log_tail = LogTail()
        self.tells = False
        self._attached = asyncio.Event()
        self.ended = asyncio.get_running_loop().create_task(self._follow())
        self.ended.add_done_callback(self._on_end)

    @property
    def has_ended(self) -> bool | None:
        """Whether the container is gone; ``None`` where it could not be watched to the end."""
        if not self.ended.done():
            return False
        return None if self.ended.cancelled() or self.ended.exception() is not None else True

    async def wait_attached(self) -> None:
        """Wait until whatever the container writes from now on is heard.

        Raises:
            LaunchFailed: it cannot be listened to.
        """
        attaching = asyncio.ensure_future(self._attached.wait())
        try:
            await asyncio.wait([attaching, self.ended], return_when=asyncio.FIRST_COMPLETED)
        finally:
            attaching.cancel()
        if not self._attached.is_set():
            with docker_errors("its log cannot be read", self.container_id):
                await self.ended

    async def wait_death(self) -> LaunchFailed:
        """Wait for the container's end, and return the error that tells of it."""
        await asyncio.wait([self.ended])
        how = _in_words(self.ended.result()) if self.has_ended else "was lost from sight"
        return LaunchFailed(
            f"it {how}", container_id=self.container_id, log_tail=str(self.log_tail)
        )

    async def close(self) -> None:
        """Cease to watch."""
        self.tells = False
        if not self.ended.done():  # which it is, too, where its event loop has ended
            self.ended.cancel()
            await asyncio.wait([self.ended])

    async def _follow(self) -> int | None:
        """Read all that the container writes, and return its exit code where it is known."""
        async with Engine.joined() as engine:
            container = engine.docker.containers.container(self.container_id)
            removal = asyncio.ensure_future(wait_removed(engine.docker, self.container_id))
            reading = asyncio.ensure_future(self._read(container))
            try:
                await asyncio.wait([removal, reading], return_when=asyncio.FIRST_COMPLETED)
                if removal.done():
                    await asyncio.wait([reading], timeout=_LAST_WORDS_S)
                else:
                    await reading
                exit_code = await removal
            finally:
                removal.cancel()
                reading.cancel()
                await asyncio.gather(removal, reading, return_exceptions=True)
        if self.tells:
            self._tell(exit_code)
        return exit_code

    async def _read(self, container: "DockerContainer") -> None:
        async with container.attach(stdout=True, stderr=True) as stream:
            self._attached.set()
            while (message := await stream.read_out()) is not None:
                self.log_tail.add(message.stream, message.data)

    def _on_end(self, ended: "asyncio.Task[int | None]") -> None:
        """Note what broke the watch off, for there may be nobody who waits for it."""
        if not ended.cancelled() and ended.exception() is not None:
            log.debug("container %s is lost from sight: %r", self.container_id, ended.exception())

    def _tell(self, exit_code: int | None) -> None:
        level = logging.INFO if exit_code == 0 else logging.WARNING
        words = _in_words(exit_code)
        log.log(level, "container %s %s:\n%s", self.container_id[:12], words, self.log_tail)


def _in_words(exit_code: int | None) -> str:
    if exit_code is None:
        return "ended by itself"
    hint = ", killed, perhaps for want of memory" if exit_code == 137 else ""
    return f"ended by itself with exit code {exit_code}{hint}"
