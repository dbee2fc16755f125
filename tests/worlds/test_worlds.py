"""The tests' own environments do what their tests take for granted."""

import zlib

import pytest

from tests.worlds.nim import NimEnvironment, Take
from tests.worlds.studio import SIZE, Brush, Colour, Point, Stroke, StudioEnvironment, Tool


async def test_the_studio_paints() -> None:
    """A stroke is rewarded by what it paints anew, and shown as a PNG of the canvas."""
    studio = StudioEnvironment()
    empty = await studio.reset(title="Night")
    assert (empty.painted, empty.title) == (0.0, "Night")
    red = Brush(colour=Colour(red=255))
    line = await studio.step(Stroke(Point(0, 0), Point(SIZE - 1, 0), red))
    assert 0 < line.painted < 1
    assert line.reward == line.painted
    assert line.image.startswith(b"\x89PNG\r\n\x1a\n")
    assert zlib.crc32(line.image[12:29]) == int.from_bytes(line.image[29:33], "big")
    filled = await studio.step(Stroke(Point(0, 0), Point(0, 0), Brush(Tool.FILL, Colour(1, 2, 3))))
    assert (filled.painted, filled.last_tool) == (1.0, Tool.FILL)
    assert studio.state.uses == {"pen": 1, "fill": 1}


@pytest.mark.parametrize("seed", range(5))
def test_nim_ends(seed: int) -> None:
    """Whoever takes the last stone wins; the episode is over, and says so when it is played on."""
    nim = NimEnvironment()
    heap = nim.reset(seed=seed)
    while not heap.done:
        assert heap.reward == 0.0
        heap = nim.step(Take(1))
    assert heap.reward == (1.0 if heap.winner == "you" else -1.0)
    with pytest.raises(RuntimeError, match="the game is over"):
        nim.step(Take(1))
