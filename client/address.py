"""Addresses: the forms in which people write where a service is, and the one that is used."""

from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

__all__ = ["normalized", "socket_url", "without_password"]


def normalized(base_url: str) -> str:
    """Return an address as ``http(s)://host[:port][/path]``, whatever way it was written.

    Raises:
        ValueError: it cannot be an address.
    """
    text = base_url if "://" in base_url else f"http://{base_url}"
    try:
        parts = urlsplit(text)
        is_address = bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is no number or too big, or a bracket is missing
        is_address = False
    if is_address:
        scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
        if scheme in ("http", "https"):
            path = parts.path.rstrip("/").removesuffix("/ws").rstrip("/")
            return urlunsplit((scheme, parts.netloc, path, "", ""))
    raise ValueError(f"{base_url!r} is not an address; expected such as http://localhost:8000")


def without_password(url: str) -> str:
    """Return an address as it may be shown and logged."""
    user, _, rest = url.rpartition("@")
    scheme, _, name = user.rpartition("//")
    return f"{scheme}//{name.partition(':')[0]}:***@{rest}" if ":" in name else url


def socket_url(base_url: str, **query: Any) -> str:
    """Return the address of a service's WebSocket."""
    url = f"ws{base_url.removeprefix('http')}/ws"
    return f"{url}?{urlencode(query)}" if query else url
