"""The studio: nested actions with choices and bounded numbers, and pictures for observations."""

import enum
import itertools
import struct
import zlib
from typing import Annotated

from attrs import define, field, frozen
from attrs.validators import and_, ge, gt, le, max_len

from aioenv import Observation, State
from aioenv.service import Environment

__all__ = ["Brush", "Colour", "Easel", "Painting", "Point", "Stroke", "StudioEnvironment", "Tool"]

#: Width and height of a picture, in pixels.
SIZE = 32


class Tool(enum.Enum):
    """What paints."""

    PEN = "pen"
    ERASER = "eraser"
    FILL = "fill"


@frozen
class Colour:
    """A colour, by its three lights."""

    red: int = field(default=0, validator=[ge(0), le(255)])
    green: int = field(default=0, validator=[ge(0), le(255)])
    blue: int = field(default=0, validator=[ge(0), le(255)])


@frozen
class Point:
    """A place on the canvas; the origin is the upper left corner."""

    x: int = field(validator=[ge(0), le(SIZE - 1)], metadata={"description": "To the right"})
    y: int = field(validator=[ge(0), le(SIZE - 1)], metadata={"description": "Downwards"})


@frozen
class Brush:
    """What is held in the hand."""

    tool: Tool = field(default=Tool.PEN, metadata={"description": "What paints"})
    colour: Colour = field(factory=Colour)
    width: float = field(
        default=1.0, validator=[gt(0), le(8)], metadata={"description": "In pixels"}
    )


@define
class Stroke:
    """Paint from one point to another."""

    start: Point
    end: Point
    brush: Brush = field(factory=Brush, metadata={"description": "What to paint with"})
    title: str | None = field(default=None, metadata={"description": "A title for the picture"})
    via: Annotated[list[Point], "in order"] = field(
        factory=list, validator=max_len(8), metadata={"description": "Points on the way"}
    )


@define
class Painting(Observation):
    """The picture so far."""

    image: bytes = field(metadata={"description": "The picture as a PNG"})
    painted: float = field(
        validator=and_(ge(0), le(1)), metadata={"description": "Painted share of the canvas"}
    )
    last_tool: Tool | None = field(default=None, metadata={"description": "What painted last"})
    title: str = field(default="Untitled")


@define
class Easel(State):
    """What stands in the studio."""

    strokes: list[Stroke] = field(factory=list)
    uses: dict[str, int] = field(factory=dict, metadata={"description": "Strokes by tool"})


_WHITE = Colour(255, 255, 255)


class StudioEnvironment(Environment[Stroke, Painting, Easel]):
    """Paint a picture, stroke by stroke; the reward is what is painted anew. It never ends."""

    def __init__(self) -> None:
        self._begin(None, "Untitled")

    async def reset(
        self, *, seed: int | None = None, episode_id: str | None = None, title: str = "Untitled"
    ) -> Painting:
        """Begin with an empty canvas; a title may be given."""
        self._begin(episode_id, str(title))
        return Painting(png(self._canvas), 0.0, title=self._title)

    async def step(self, action: Stroke) -> Painting:
        """Paint a stroke."""
        before, brush = self._painted(), action.brush
        stops = [action.start, *action.via, action.end]
        for start, end in itertools.pairwise(stops):
            self._paint(start, end, brush)
        self._title = action.title or self._title
        state = self._state
        state.step_count += 1
        state.strokes.append(action)
        state.uses[brush.tool.value] = state.uses.get(brush.tool.value, 0) + 1
        return Painting(
            png(self._canvas),
            self._painted(),
            last_tool=brush.tool,
            title=self._title,
            reward=self._painted() - before,
            metadata={"size": [SIZE, SIZE]},
        )

    @property
    def state(self) -> Easel:
        """Where the picture stands."""
        return self._state

    def _begin(self, episode_id: str | None, title: str) -> None:
        self._state = Easel(episode_id=episode_id)
        self._canvas = [[_WHITE] * SIZE for _ in range(SIZE)]
        self._title = title

    def _paint(self, start: Point, end: Point, brush: Brush) -> None:
        colour = _WHITE if brush.tool is Tool.ERASER else brush.colour
        if brush.tool is Tool.FILL:
            self._canvas = [[colour] * SIZE for _ in range(SIZE)]
            return
        reach = brush.width / 2
        for step in range(SIZE + 1):
            x = start.x + (end.x - start.x) * step / SIZE
            y = start.y + (end.y - start.y) * step / SIZE
            for row in range(max(0, round(y - reach)), min(SIZE, round(y + reach) + 1)):
                for column in range(max(0, round(x - reach)), min(SIZE, round(x + reach) + 1)):
                    self._canvas[row][column] = colour

    def _painted(self) -> float:
        return sum(colour != _WHITE for row in self._canvas for colour in row) / SIZE**2


def png(canvas: list[list[Colour]]) -> bytes:
    """Return a picture of coloured rows as a PNG (W3C PNG, true colour with 8 bits a sample)."""
    rows = b"".join(
        b"\0" + b"".join(bytes((pixel.red, pixel.green, pixel.blue)) for pixel in row)
        for row in canvas
    )
    header = struct.pack(">IIBBBBB", len(canvas[0]), len(canvas), 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
