"""Frames: aiohttp's WebSocket, whose frames are handed over as they arrive.

aiohttp puts each frame into a queue for whoever calls ``receive()``. Here its parser hands the
frame to its owner at once. That is cheaper, and it means that somebody always reads: a ping is
answered and a lost service is noticed while an agent thinks, with no task to wait for either.

This rests on how aiohttp 3.14 puts its parser and its queue together, which is no public promise;
`setup.cfg` admits no later minor release before the tests have seen it.
"""

import asyncio
from functools import partial
from typing import Any, Protocol

import aiohttp
from aiohttp import WSMsgType
from aiohttp.http import WebSocketReader

from aiohttp._websocket.reader import WebSocketDataQueue  # isort: skip

__all__ = ["FrameSocket", "TakesFrames", "frame_sockets"]

_TEXT, _CLOSE, _CLOSING = WSMsgType.TEXT, WSMsgType.CLOSE, WSMsgType.CLOSING

# The queue still carries what closes the connection, which is never much.
_QUEUE_LIMIT_BYTES = 1 << 16


class TakesFrames(Protocol):
    """What is handed the frames. None of these may raise."""

    def on_text(self, text: bytes) -> None:
        """Take the text of one frame."""

    def on_other(self, kind: WSMsgType, data: bytes) -> None:
        """Take a ping, a pong or a binary frame."""

    def on_end(self, end: aiohttp.WSMessage | BaseException | None) -> None:
        """Hear that no more frames come: the service's close frame, an error, or just the end."""


class _Early:
    """Keeps what comes before there is an owner."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.kept.append((name, arguments))


class FrameSocket(aiohttp.ClientWebSocketResponse[Any]):
    """A WebSocket that hands its frames over, once it has an owner."""

    def __init__(
        self, reader: Any, writer: Any, *args: Any, max_message_size_bytes: int, **kwargs: Any
    ) -> None:
        super().__init__(reader, writer, *args, **kwargs)
        self._frames = self._reader = _Queue(reader._protocol, _QUEUE_LIMIT_BYTES, loop=self._loop)
        self._frames.owner = _Early()
        self._frame_parser: WebSocketReader | None = WebSocketReader(
            self._frames,
            max_message_size_bytes + 1,  # aiohttp takes what is below
            compress=False,
            decode_text=False,
        )

    @property
    def _parser(self) -> Any:
        """What aiohttp feeds with bytes; the one that it makes, with its own queue, is left out."""
        return self._frame_parser

    @_parser.setter
    def _parser(self, parser: Any) -> None:
        if parser is None:
            self._frame_parser = None

    @property
    def is_choked(self) -> bool:
        """Whether the service takes less than is written."""
        return bool(self._writer.protocol.writing_paused)

    def hand_over(self, owner: TakesFrames) -> None:
        """Hand every frame to an owner from now on, those that came before included."""
        early = self._frames.owner
        self._frames.owner = owner
        transport = self._writer.transport
        if self._frame_parser is not None and not transport.is_closing():
            transport.set_protocol(_Tap(transport.get_protocol(), self._frame_parser))
        for name, arguments in early.kept:
            getattr(owner, name)(*arguments)

    def write_frame(self, kind: WSMsgType, data: bytes) -> None:
        """Write a frame into the connection's buffer, whether there is room or not.

        Raises:
            ConnectionError: the connection is closing or gone.
        """
        writer = self._writer
        if writer._closing:
            raise ConnectionResetError("the connection is closing")
        writer._write_websocket_frame(data, kind, 0)

    def abort(self) -> None:
        """Drop the connection and whatever was not sent yet; one that has ended is no error."""
        self._writer.transport.abort()


def frame_sockets(max_message_size_bytes: int) -> Any:
    """Return what makes aiohttp's client session open such sockets."""
    return partial(FrameSocket, max_message_size_bytes=max_message_size_bytes)


class _Queue(WebSocketDataQueue):
    """Hands frames to their owner; keeps for aiohttp what it needs to close the connection."""

    owner: Any

    def feed_data(self, message: Any, size: int) -> None:
        kind = message[0]
        if kind is _TEXT:
            self.owner.on_text(message[1])
        elif kind is _CLOSE or kind is _CLOSING:
            super().feed_data(message, size)
            self.owner.on_end(message)
        else:
            self.owner.on_other(kind, message[1])

    def feed_eof(self) -> None:
        super().feed_eof()
        self.owner.on_end(None)

    def set_exception(self, error: BaseException, *cause: BaseException) -> None:
        super().set_exception(error, *cause)
        self.owner.on_end(error)


class _Tap(asyncio.Protocol):
    """Feeds what arrives straight to the parser; aiohttp's protocol gets everything else."""

    def __init__(self, inner: Any, parser: WebSocketReader) -> None:
        self.data_received = parser.feed_data  # type: ignore[assignment]
        self.eof_received = inner.eof_received  # type: ignore[method-assign]
        self.connection_lost = inner.connection_lost  # type: ignore[method-assign]
        self.pause_writing = inner.pause_writing  # type: ignore[method-assign]
        self.resume_writing = inner.resume_writing  # type: ignore[method-assign]
