"""Frames: aiohttp's WebSocket, whose frames are handed over as they arrive.

aiohttp puts each frame into a queue, completes a future and has the event loop wake whoever reads.
Here its parser hands the frame to its owner at once. That saves about a fifth of a step's whole
cost, and it means that somebody always reads: a ping is answered and a lost client is noticed
whatever the session does meanwhile.

This rests on how aiohttp 3.14 puts its parser and its queue together, which is no public promise;
`setup.cfg` admits no later minor release before the tests have seen it.
"""

import asyncio
from typing import Any, Protocol

from aiohttp import WebSocketError, WSMsgType, web
from aiohttp.http import WebSocketReader, WebSocketWriter
from aiohttp.web_request import BaseRequest

from aioenv.service.counts import Counts

from aiohttp._websocket.reader import WebSocketDataQueue  # isort: skip

__all__ = ["FrameSocket", "TakesFrames"]

_TEXT, _CLOSE, _CLOSING = WSMsgType.TEXT, WSMsgType.CLOSE, WSMsgType.CLOSING

# The queue still carries what closes the connection, which is never much.
_QUEUE_LIMIT_BYTES = 1 << 16


class TakesFrames(Protocol):
    """What is handed the frames. None of these may raise."""

    def on_text(self, text: bytes) -> None:
        """Take the text of one frame."""

    def on_other(self, kind: WSMsgType, data: bytes) -> None:
        """Take a ping, a pong or a binary frame."""

    def on_end(self, error: BaseException | None) -> None:
        """Hear that no more frames come.

        Args:
            error: ``None`` where the client closes, a `WebSocketError` where it broke the
                protocol, anything else where it is gone.
        """


class FrameSocket(web.WebSocketResponse[Any]):
    """A WebSocket that hands its frames over.

    Args:
        owner: who takes them.
        counts: where to count their bytes.
        max_message_size_bytes: the largest message to take.
        close_timeout_s: how long to wait for the client to agree to a close, in seconds.
        protocols: the subprotocols to choose from.
    """

    def __init__(
        self,
        owner: TakesFrames,
        counts: Counts,
        *,
        max_message_size_bytes: int,
        close_timeout_s: float,
        protocols: tuple[str, ...] = (),
    ) -> None:
        super().__init__(
            protocols=protocols,
            autoping=False,
            compress=False,
            decode_text=False,
            max_msg_size=max_message_size_bytes + 1,  # aiohttp takes what is below
            timeout=close_timeout_s,
        )
        self._owner = owner
        self._counts = counts

    def _post_start(
        self, request: BaseRequest, protocol: str | None, writer: WebSocketWriter
    ) -> None:
        """Put the parser together as aiohttp does, with the other queue behind it."""
        self._ws_protocol = protocol
        self._writer = writer
        loop = self._loop
        assert loop is not None
        self._reader = queue = _Queue(request._protocol, _QUEUE_LIMIT_BYTES, loop=loop)
        queue.owner = self._owner
        queue.counts = self._counts
        queue.transport = writer.transport
        self._parser = WebSocketReader(
            self._reader, self._max_msg_size, compress=False, decode_text=False
        )
        request.protocol.set_parser(self._parser)
        request.protocol.keep_alive(False)
        writer.transport.set_protocol(_Tap(request.protocol, self._parser))

    def write_frame(self, kind: WSMsgType, data: bytes) -> bool:
        """Write a frame into the connection's buffer, whether there is room or not.

        Returns:
            Whether the client takes less than is written: `drain` before writing more.

        Raises:
            ConnectionError: the connection is closing or gone.
        """
        writer = self._writer
        assert writer is not None
        if writer._closing:
            raise ConnectionResetError("the connection is closing")
        writer._write_websocket_frame(data, kind, 0)
        self._counts.sent_bytes += len(data)
        return writer.protocol._paused

    @property
    def unsent_bytes(self) -> int:
        """How much has to wait because the client takes less than is written; 0 if it does not."""
        writer = self._writer
        if writer is None or not writer.protocol._paused:
            return 0
        return writer.transport.get_write_buffer_size()

    async def drain(self) -> None:
        """Wait until there is room.

        Raises:
            ConnectionError: the connection is gone.
        """
        await self._writer.protocol._drain_helper()  # type: ignore[union-attr]


class _Queue(WebSocketDataQueue):
    """Hands frames to their owner; keeps for aiohttp what it needs to close the connection.

    Where a client breaks the protocol, nothing that it sends can be told apart from then on, its
    agreement to a close neither. It must be read all the same: a connection that is closed with
    bytes unread is reset, and takes along the close frame that says what was wrong. So this side
    of the connection ends behind that frame, and the client's is awaited (RFC 6455, section 7.1.1).
    """

    owner: TakesFrames
    counts: Counts
    transport: asyncio.WriteTransport
    _is_broken = False  # by the client; the parser drops whatever comes
    _is_awaited = False  # the close frame is sent

    def feed_data(self, message: Any, size: int) -> None:
        self.counts.received_bytes += size
        kind = message[0]
        if kind is _TEXT:
            self.owner.on_text(message[1])
        elif kind is _CLOSE or kind is _CLOSING:
            super().feed_data(message, size)
            self.owner.on_end(None)
        else:
            self.owner.on_other(kind, message[1])

    def feed_eof(self) -> None:
        super().feed_eof()
        self.owner.on_end(ConnectionResetError("the client is gone"))

    def set_exception(self, error: BaseException, *cause: BaseException) -> None:
        if isinstance(error, WebSocketError):
            self._is_broken = True
            self._half_close()
        else:
            super().set_exception(error, *cause)
        self.owner.on_end(error)

    async def read(self) -> Any:
        """Wait for what closes the connection, once the close frame is sent."""
        self._is_awaited = True
        self._half_close()
        return await super().read()

    def _half_close(self) -> None:
        """End this side of a connection on which no agreement can come any more."""
        is_due = self._is_broken and self._is_awaited
        if is_due and not self.transport.is_closing() and self.transport.can_write_eof():
            self.transport.write_eof()


class _Tap(asyncio.Protocol):
    """Feeds what arrives straight to the parser; aiohttp's protocol gets everything else."""

    def __init__(self, inner: Any, parser: WebSocketReader) -> None:
        self.data_received = parser.feed_data  # type: ignore[assignment]
        self.eof_received = inner.eof_received  # type: ignore[method-assign]
        self.connection_lost = inner.connection_lost  # type: ignore[method-assign]
        self.pause_writing = inner.pause_writing  # type: ignore[method-assign]
        self.resume_writing = inner.resume_writing  # type: ignore[method-assign]
