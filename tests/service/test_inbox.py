"""The inbox: first come, first served, and full by number or by bytes."""

import pytest

from aioenv.service.inbox import Inbox


def test_frames_leave_in_their_order() -> None:
    """The first that came is the first to be taken; an empty inbox has none."""
    inbox = Inbox(100)
    for frame in (b"a", b"b"):
        inbox.put(frame)
    assert len(inbox) == 2
    assert [inbox.take(), inbox.take()] == [b"a", b"b"]
    with pytest.raises(IndexError):
        inbox.take()


@pytest.mark.parametrize(("size", "count"), [(1, 16), (50, 2), (100, 1), (101, 1)])
def test_it_is_full_by_number_or_by_bytes(size: int, count: int) -> None:
    """Many small frames fill it, and few large ones; one that is taken leaves room again."""
    inbox = Inbox(100)
    for _ in range(count):
        assert not inbox.is_full
        inbox.put(bytes(size))
    assert inbox.is_full
    inbox.take()
    assert not inbox.is_full
