"""Admission: from an address to a connection that has a session, with patience for a full service.

A service of ours queues whoever asks for it (``?wait_s=``). Any other refuses at once; there, the
client comes back after jittered delays until its patience ends.
"""

import asyncio

from aioenv import AioEnvError, CapacityReached, SessionLost
from aioenv.client.address import socket_url
from aioenv.client.connection import Connection
from aioenv.client.connection_options import ConnectionOptions
from aioenv.client.retries import delays
from aioenv.client.transport import Transport
from aioenv.messages import read_reply, write_request

__all__ = ["is_refusal", "open_session"]


async def open_session(
    base_url: str, transport: Transport, options: ConnectionOptions, capacity_timeout_s: float
) -> Connection:
    """Open a connection; with a capacity time-out, wait until it has a session.

    Cancelling it leaves nothing behind.

    Raises:
        ConnectionFailed: the service cannot be reached.
        RequestTimeout: it took too long.
        CapacityReached: no session became free in time.
        EnvironmentFailed: the service cannot make the environment.
        SessionLost: the service ended while the client was queueing.
    """
    if not capacity_timeout_s:
        return await Connection.open(socket_url(base_url), transport, options)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + capacity_timeout_s
    for delay_s in delays():
        remaining_s = max(0.0, deadline - loop.time())
        url = socket_url(base_url, wait_s=round(remaining_s, 3))
        connection = await Connection.open(url, transport, options)
        try:
            await _wait_admitted(connection, remaining_s)
        except BaseException as error:
            await connection.close()
            if not isinstance(error, CapacityReached) or loop.time() + delay_s >= deadline:
                raise
        else:
            return connection
        await asyncio.sleep(delay_s)
    raise AssertionError("the delays never end")


def is_refusal(error: AioEnvError) -> bool:
    """Whether an error reply says that there is no session at all."""
    return isinstance(error, CapacityReached) or getattr(error, "code", "") == "FACTORY_ERROR"


async def _wait_admitted(connection: Connection, patience_s: float) -> None:
    """Wait for the first reply; a refused connection's is its refusal."""
    frame = write_request("state")
    reply = await connection.request(frame, "connect", patience_s=patience_s)
    try:
        read_reply(reply)
    except AioEnvError as error:
        if is_refusal(error) or isinstance(error, SessionLost):
            raise
