"""HTTP: what a service says of itself before anybody plays."""

import asyncio
from typing import Any

import aiohttp

from aioenv import ConnectionFailed, ProtocolViolation, RequestTimeout, loads
from aioenv.client.address import without_password
from aioenv.client.env_client import EnvClient
from aioenv.client.transport import Transport, why_unreachable

__all__ = ["fetch", "fetch_schemas"]


async def fetch_schemas(client: EnvClient[Any, Any, Any]) -> dict[str, Any]:
    """Return the JSON Schemas of a service's ``action``, ``observation`` and ``state``.

    Cancelling it leaves nothing behind.

    Args:
        client: whose service to ask; started first if the client has a launcher.

    Raises:
        ConnectionFailed: the service cannot be reached, or does not say.
        RequestTimeout: it took too long.
        ProtocolViolation: what it said is no set of schemas.
    """
    schemas = await fetch(client, "/schema")
    if not isinstance(schemas.get("action"), dict):
        raise ProtocolViolation(f"{client.base_url}/schema has no schema of the action")
    return schemas


async def fetch(client: EnvClient[Any, Any, Any], path: str) -> dict[str, Any]:
    """Return the JSON object that a service keeps at a path; raises as `fetch_schemas` does."""
    if client.base_url is None:
        await client._start()
    url = f"{client.base_url}{path}"
    name = without_password(url)
    options = client._options
    headers = {"Accept-Encoding": "identity", **(options.headers or {})}
    limit_bytes = options.max_message_size_bytes
    transport = Transport.join()
    try:
        async with (
            asyncio.timeout(options.connect_timeout_s),
            transport.http(limit_bytes).get(url, headers=headers) as response,
        ):
            if response.status != 200:
                reason = f"it answered with {response.status} {response.reason}"
                raise ConnectionFailed(name, reason, status=response.status)
            text = await _read(response, limit_bytes)
    except TimeoutError as error:
        raise RequestTimeout("connect", options.connect_timeout_s or 0.0) from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        if isinstance(error, ConnectionFailed):
            raise
        raise ConnectionFailed(name, why_unreachable(error)) from error
    finally:
        await transport.leave()
    try:
        body = loads(text)
    except ValueError as error:
        raise ProtocolViolation(f"{name} is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise ProtocolViolation(f"{name} is not a JSON object")
    return body


async def _read(response: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
    """Read a body, as far as a message may reach."""
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > limit_bytes:
            raise ProtocolViolation(f"what it said is longer than {limit_bytes} bytes")
    return bytes(body)
