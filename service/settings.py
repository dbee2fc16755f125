"""The settings of a service: one table of names, environment variables, defaults and meanings."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs import field, frozen
from attrs.validators import and_, ge, gt, in_, instance_of, le, optional

__all__ = ["Settings", "settings_table"]


# Event loops cannot count to every float.
_NOT_FOR_EVER = le(1e9)

_YES, _NO = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


def _setting(variable: str, help: str, **kwargs: Any) -> Any:  # noqa: A002  # click's word for it
    return field(kw_only=True, metadata={"variable": variable, "help": help}, **kwargs)


def _choice(variable: str, help: str, choices: tuple[str, ...], default: str) -> Any:  # noqa: A002
    metadata = {"variable": variable, "help": help, "choices": choices}
    return field(kw_only=True, metadata=metadata, default=default, validator=in_(choices))


def _as_browsers_say(origins: Iterable[str]) -> tuple[str, ...]:
    """Return origins in lower case and without a slash at the end (RFC 6454, section 6.2)."""
    return tuple(origin.lower().removesuffix("/") for origin in origins)


def _stripped(token: str) -> str:
    """Return a token as it is said: the text of a secret's file ends with a newline."""
    if token and not token.strip():  # whoever sets one means to keep others out
        raise ValueError("the token (AIOENV_TOKEN) is blank")
    return token.strip()


@frozen
class Settings:
    """How a service runs.

    A command-line option outdoes an argument in code, which outdoes an environment variable, which
    outdoes the default. Times are in seconds; 0 means no limit where it is allowed.
    """

    host: str = _setting("AIOENV_HOST", "Address to listen on", default="127.0.0.1")
    port: int = _setting(
        "AIOENV_PORT",
        "Port to listen on; 0 takes a free one",
        default=8000,
        validator=and_(ge(0), le(65_535)),
    )
    max_concurrent_envs: int = _setting(
        "MAX_CONCURRENT_ENVS", "Most sessions at a time", default=64, validator=gt(0)
    )
    max_waiting: int = _setting(
        "AIOENV_MAX_WAITING",
        "Most connections that may wait for a session",
        default=1024,
        validator=ge(0),
    )
    max_wait_s: float = _setting(
        "AIOENV_MAX_WAIT_S",
        "Longest that a connection may ask to wait",
        default=600.0,
        validator=and_(gt(0), _NOT_FOR_EVER),
    )
    max_mcp_clients: int = _setting(
        "AIOENV_MAX_MCP_CLIENTS",
        "Most MCP clients to remember; beyond, one without an environment is forgotten",
        default=1024,
        validator=gt(0),
    )
    step_timeout_s: float = _setting(
        "AIOENV_STEP_TIMEOUT_S",
        "Longest that a reset, a step or the making of an environment may take",
        default=300.0,
        validator=and_(ge(0), _NOT_FOR_EVER),
    )
    idle_timeout_s: float = _setting(
        "AIOENV_IDLE_TIMEOUT_S",
        "Longest silence of a WebSocket session",
        default=0.0,
        validator=and_(ge(0), _NOT_FOR_EVER),
    )
    http_idle_timeout_s: float = _setting(
        "AIOENV_HTTP_IDLE_TIMEOUT_S",
        "Longest silence of a session over plain HTTP",
        default=900.0,
        validator=and_(gt(0), _NOT_FOR_EVER),
    )
    heartbeat_s: float = _setting(
        "AIOENV_HEARTBEAT_S",
        "Silence after which a client is pinged; as long again, and it counts as gone",
        default=20.0,
        validator=and_(gt(0), _NOT_FOR_EVER),
    )
    max_message_size_mb: float = _setting(
        "AIOENV_MAX_MESSAGE_SIZE_MB",
        "Largest message to take, in MiB",
        default=100.0,
        validator=and_(gt(0), le(4095)),
    )
    close_timeout_s: float = _setting(
        "AIOENV_CLOSE_TIMEOUT_S",
        "Longest to wait for an environment or a peer to close",
        default=10.0,
        validator=and_(gt(0), _NOT_FOR_EVER),
    )
    shutdown_grace_s: float = _setting(
        "AIOENV_SHUTDOWN_GRACE_S",
        "How long live sessions may go on after SIGTERM",
        default=5.0,
        validator=and_(ge(0), _NOT_FOR_EVER),
    )
    idle_exit_s: float = _setting(
        "AIOENV_IDLE_EXIT_S",
        "Time without use (no session open, no request but /health) after which it ends; 0 never",
        default=0.0,
        validator=and_(ge(0), _NOT_FOR_EVER),
    )
    worker_threads: int = _setting(
        "AIOENV_WORKER_THREADS",
        "Threads for environments with plain methods",
        default=32,
        validator=gt(0),
    )
    max_stragglers: int = _setting(
        "AIOENV_MAX_STRAGGLERS",
        "Most abandoned plain calls that may finish outside the pool's count",
        default=16,
        validator=ge(0),
    )
    allowed_origins: tuple[str, ...] = _setting(
        "AIOENV_ALLOWED_ORIGINS",
        "Origins of other sites' pages that may connect, separated by commas; * for any",
        default=(),
        converter=_as_browsers_say,
    )
    token: str | None = _setting(
        "AIOENV_TOKEN",
        "Bearer token asked for at every door but /health",
        default=None,
        converter=attrs.converters.optional(_stripped),
        repr=False,
    )
    log_format: str = _choice(
        "AIOENV_LOG_FORMAT", "Lines of text, or a JSON object a line", ("text", "json"), "text"
    )
    log_level: str = _choice(
        "AIOENV_LOG_LEVEL",
        "What to log to standard error",
        ("debug", "info", "warning", "error"),
        "info",
    )
    log_actions: bool = _setting(
        "AIOENV_LOG_ACTIONS",
        "Log every reset and step with its contents",
        default=False,
    )
    readme_path: Path | None = _setting(
        "ENV_README_PATH",
        "The README that /metadata shows; where a folder is served, its own",
        default=None,
        converter=attrs.converters.optional(Path),
        validator=optional(instance_of(Path)),
    )
    public_host: str | None = _setting(
        "SPACE_HOST",
        "The service's own name in public, where a proxy hides it; its pages may connect",
        default=None,
    )
    web_interface: bool = _setting(
        "ENABLE_WEB_INTERFACE",
        "Serve the web interface at /web",
        default=True,
        validator=instance_of(bool),
    )

    @property
    def max_message_size_bytes(self) -> int:
        """The largest message to take, in bytes."""
        return int(self.max_message_size_mb * 1024 * 1024)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ, **overrides: Any) -> "Settings":
        """Read the settings from environment variables.

        Args:
            environ: where to read them; an empty variable counts as absent.
            overrides: settings that are given, whatever the variables say.

        Raises:
            ValueError: a variable's value does not fit; the sentence names the variable.
        """
        given: dict[str, Any] = {}
        for attribute in attrs.fields(cls):
            variable = attribute.metadata["variable"]
            if attribute.name not in overrides and environ.get(variable):
                given[attribute.name] = _parsed(variable, attribute, environ[variable])
        return cls(**given, **overrides)


def _parsed(variable: str, attribute: "attrs.Attribute[Any]", text: str) -> Any:
    """Parse one variable and check it at once, so that an error can name it."""
    try:
        kind: Any = attribute.type
        if kind is bool:
            value: Any = _read_bool(text)
        elif kind in (int, float):
            value = kind(text)
        elif kind == tuple[str, ...]:
            value = tuple(part.strip() for part in text.split(",") if part.strip())
        else:
            value = text
        if attribute.converter is None and attribute.validator is not None:
            attribute.validator(Settings, attribute, value)
    except ValueError as error:
        raise ValueError(f"{variable}={text!r} does not fit: {error}") from None
    return value


def _read_bool(text: str) -> bool:
    if text.lower() not in (*_YES, *_NO):
        raise ValueError(f"it is one of {', '.join((*_YES, *_NO))}")
    return text.lower() in _YES


def settings_table() -> str:
    """Return the settings as a Markdown table, which the README shows."""
    rows = ["| option | variable | default | meaning |", "| --- | --- | --- | --- |"]
    for attribute in attrs.fields(Settings):
        option = "--" + attribute.name.replace("_", "-")
        default = attribute.default
        shown = "" if default is None or default == () or default is False else f"`{default}`"
        shown = "`yes`" if default is True else shown
        help_text, variable = attribute.metadata["help"], attribute.metadata["variable"]
        rows.append(f"| `{option}` | `{variable}` | {shown} | {help_text} |")
    return "\n".join(rows)
