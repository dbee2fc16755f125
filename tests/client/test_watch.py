"""The tail of a container's log: lines of two streams, however they are cut to pieces."""

import random

import pytest

from aioenv.client.watch import LogTail


def test_lines_of_two_streams() -> None:
    """A line that comes in pieces is not broken by one of the other stream."""
    tail = LogTail()
    tail.add(1, b"fir")
    tail.add(2, b"trouble\r\nwith ")
    tail.add(1, b"st\nsecond")
    tail.add(2, b"it")
    assert str(tail) == "trouble\nfirst\nsecond\nwith it"


@pytest.mark.parametrize("seed", range(5))
def test_whatever_the_pieces(seed: int) -> None:
    """Lines are the same wherever they were cut, also within a character."""
    draw = random.Random(seed)
    text = "\n".join(f"{number} … ß" for number in range(15)).encode()
    tail = LogTail()
    while text:
        size = draw.randint(1, 9)
        tail.add(1, text[:size])
        text = text[size:]
    assert str(tail).split("\n") == [f"{number} … ß" for number in range(15)]


def test_it_does_not_grow() -> None:
    """Many lines, a long line and bad text are cut to what can be read and kept."""
    tail = LogTail()
    for number in range(1000):
        tail.add(1, b"%d\n" % number)
    assert str(tail).split("\n") == [str(number) for number in range(980, 1000)]
    for _ in range(100):
        tail.add(2, b"\xff" * 1000)
    assert len(str(tail)) < 3000
    assert "\ufffd" in str(tail)
