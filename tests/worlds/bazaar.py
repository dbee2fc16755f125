"""The bazaar: an environment whose models have one of everything that a model may hold."""

import enum
from typing import Any

import attrs
from attrs import define, field, frozen

from aioenv import Observation, State
from aioenv.service import Environment

__all__ = ["SPARE", "Bazaar", "Dish", "Goods", "Order", "Rug", "Spice"]

#: The note of an order that needs a spare dish, which no schema can tell.
SPARE = "a spare, please"
#: How many items the long list of a stall has.
MANY = 130
#: Width and height of the pictures, in pixels.
SIZE = 16


class Spice(enum.Enum):
    """Enough of them for a list to choose from."""

    ANISE = "anise"
    CLOVE = "clove"
    CUMIN = "cumin"
    MACE = "mace"
    PEPPER = "pepper"
    SAFFRON = "saffron"
    SUMAC = "sumac"


@frozen
class Rug:
    """One of two kinds of ware."""

    knots: int


@frozen
class Dish:
    """The other kind of ware."""

    glaze: str
    is_deep: bool = False


@define
class Order:
    """What one orders."""

    note: str
    is_gift: bool
    spice: Spice
    ware: Rug | Dish
    place: tuple[int, str]
    prices: dict[str, float] = field(factory=dict)
    tags: list[str] = field(factory=list)
    serial: int = 0
    spare: Dish | None = field(default=None)
    metadata: dict[str, Any] = field(factory=dict)

    @spare.validator
    def _is_there_where_it_is_needed(self, _: Any, spare: Dish | None) -> None:
        if self.note == SPARE and spare is None:
            raise ValueError("which one?")


@define
class Goods(Observation):
    """What one gets."""

    order: dict[str, Any]
    colours: list[list[list[int]]]
    greys: list[list[int]]
    board: list[list[str]]
    items: list[dict[str, int]]


class Bazaar(Environment[Order, Goods, State]):
    """Order what you like, and get back what you have ordered."""

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self._state = State()

    async def reset(
        self, *, seed: int | None = None, episode_id: str | None = None, stall: int, **options: Any
    ) -> Goods:
        """Go to a stall, with whatever else there is to say."""
        self._state = State(episode_id=episode_id)
        return self._goods({"stall": stall, **options})

    async def step(self, action: Order) -> Goods:
        """Order."""
        self.orders.append(action)
        self._state.step_count += 1
        return self._goods(attrs.asdict(action))

    @property
    def state(self) -> State:
        """Where the day stands."""
        return self._state

    def _goods(self, order: dict[str, Any]) -> Goods:
        side = range(SIZE)
        return Goods(
            order,
            colours=[[[16 * x, 16 * y, 0] for x in side] for y in side],
            greys=[[16 * x for x in side] for _ in side],
            board=[["x", "o"], ["", "x"]],
            items=[{"number": number} for number in range(MANY)],
        )
