"""Launchers: whatever starts a service for a client, and stops it again."""

from typing import Protocol

__all__ = ["Launcher"]


class Launcher(Protocol):
    """Starts one service, and stops what it started.

    One whose service may end by itself may also have ``async has_ended(patience_s) -> bool``, which
    tells whether that has happened, and waits so long for it; a `reset` then starts it anew.
    """

    async def start(self) -> str:
        """Start the service and return its address once it answers.

        Cancelling it, or a failure, leaves nothing behind.

        Raises:
            LaunchFailed: it did not start.
        """

    async def stop(self) -> None:
        """Stop the service; safe to call twice, and where it never started."""
