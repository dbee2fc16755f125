"""The inbox: the frames of a client that has sent ahead, each until its turn comes."""

from collections import deque

__all__ = ["Inbox"]

# Frames are small as a rule; where they are large, their bytes fill an inbox before their number.
_MOST_FRAMES = 16


class Inbox:
    """Keeps frames in their order. It takes any, and says when it should be given no more.

    Args:
        most_bytes: how much it should hold; a frame of this size fills it.
    """

    __slots__ = ("_frames", "_held_bytes", "_most_bytes")

    def __init__(self, most_bytes: int) -> None:
        self._frames: deque[bytes] = deque()
        self._held_bytes = 0
        self._most_bytes = most_bytes

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def is_full(self) -> bool:
        """Whether it holds its number of frames, or of bytes."""
        return len(self._frames) >= _MOST_FRAMES or self._held_bytes >= self._most_bytes

    def put(self, frame: bytes) -> None:
        """Keep a frame until its turn comes."""
        self._frames.append(frame)
        self._held_bytes += len(frame)

    def take(self) -> bytes:
        """Take out the frame whose turn has come.

        Raises:
            IndexError: there is none.
        """
        frame = self._frames.popleft()
        self._held_bytes -= len(frame)
        return frame
