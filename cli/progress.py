"""The progress: live lines on a terminal, nothing anywhere else."""

import asyncio
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aioenv.client import EnvClient, Rollout

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["live_progress", "live_starts"]

_INTERVAL_S = 0.2
_RATE_OVER = 10  # intervals


@asynccontextmanager
async def live_progress(run: Rollout[Any, Any]) -> AsyncIterator[None]:
    """Show how a rollout comes along, as long as the context lasts, if anybody can see it."""
    if not sys.stderr.isatty():
        yield
        return
    with _line(
        ("{task.completed:,.0f} of {task.total:,.0f} episodes", "none"),
        ("{task.fields[rate]:,.0f} steps/s", "cyan"),
        ("{task.fields[sessions]:,} sessions open", "green"),
        ("{task.fields[failed]}", "red"),
    ) as progress:
        total = run.statistics().episodes
        task = progress.add_task("", total=total, rate=0.0, sessions=0, failed="")
        seen: deque[tuple[float, int]] = deque(maxlen=_RATE_OVER)

        def refresh() -> None:
            figures = run.statistics()
            seen.append((time.monotonic(), figures.steps))
            (since, before), (now, steps) = seen[0], seen[-1]
            progress.update(
                task,
                completed=figures.ended,
                rate=(steps - before) / (now - since) if now > since else 0.0,
                sessions=figures.sessions,
                failed=f"{figures.failed:,} failed" if figures.failed else "",
            )
            progress.refresh()

        async with _ticking(refresh):
            yield


@asynccontextmanager
async def live_starts(clients: Sequence[EnvClient[Any, Any, Any]]) -> AsyncIterator[None]:
    """Show how many clients' containers are up, as long as the context lasts, if anybody can see.

    It begins with the first that is up: until then there may be a pull, which shows itself.
    """
    if not sys.stderr.isatty():
        yield
        return
    with _line(("{task.completed:,.0f} of {task.total:,.0f} containers up", "none")) as progress:
        task = progress.add_task("", total=len(clients))

        def refresh() -> None:
            up = sum(client.base_url is not None for client in clients)
            if up:
                progress.update(task, completed=up)
                progress.refresh()

        async with _ticking(refresh):
            yield


@asynccontextmanager
async def _ticking(refresh: Callable[[], None]) -> AsyncIterator[None]:
    """Refresh a line every now and then until the context ends, and once more then."""
    ticker = asyncio.create_task(_tick(refresh))
    try:
        yield
    finally:
        ticker.cancel()
        await asyncio.wait([ticker])


async def _tick(refresh: Callable[[], None]) -> None:
    try:
        while True:
            refresh()
            await asyncio.sleep(_INTERVAL_S)
    finally:
        refresh()


def _line(*columns: tuple[str, str]) -> "Progress":
    """Return a live line on standard error: a bar, texts each with its style, and the time."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    return Progress(
        SpinnerColumn(),
        BarColumn(bar_width=12),
        *(TextColumn(text, style=style) for text, style in columns),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        auto_refresh=False,
        transient=True,
    )
