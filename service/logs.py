"""The logs: lines of text or JSON, each with the request and the session that it belongs to.

Nothing is configured by importing this. `serve` configures the root logger, unless somebody has;
who runs the application in another way adds a `ContextFilter` to handlers of his own, to have the
ids in his records.
"""

import logging
import re
import reprlib
import uuid
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger
from aiohttp.http import HttpProcessingError
from aiohttp.web_request import BaseRequest

from aioenv import AioEnvError, Contract, Observation, dumps
from aioenv.service.settings import Settings

__all__ = [
    "ACCESS_LOG",
    "REQUEST_HEADER",
    "SERVER_LOG",
    "SESSION_ID",
    "AccessLogger",
    "ContextFilter",
    "JsonFormatter",
    "TextFormatter",
    "configure_logging",
    "identify",
    "send_request_id",
    "transcribed",
]

ACCESS_LOG = logging.getLogger("aioenv.service.access")
SERVER_LOG = logging.getLogger("aiohttp.server.aioenv")  # what aiohttp reports of our requests
REQUEST_HEADER = "X-Request-ID"

REQUEST_ID: ContextVar[str | None] = ContextVar("aioenv.request_id", default=None)
SESSION_ID: ContextVar[str | None] = ContextVar("aioenv.session_id", default=None)

log = logging.getLogger(__name__)

AsyncCall = Callable[..., Coroutine[Any, Any, Any]]

_FIT_FOR_AN_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}", re.ASCII)
_LONGEST_PATH = 512
_PLAIN_WORD = re.compile(r"[^\s\"=\x00-\x1f\x7f-\x9f\ud800-\udfff]+")

# What every record has; all else was given as `extra`.
_STANDARD = frozenset({*vars(logging.makeLogRecord({})), "asctime", "message", "taskName"})


# Records


class ContextFilter(logging.Filter):
    """Lets every record pass, with the ids of the request and the session that it belongs to.

    They are the attributes ``request_id`` and ``session_id``, ``None`` outside of both. A record
    has the ids of the context in which it is logged: those of an environment's own records are
    its session's.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the ids; a record that names its own keeps them."""
        fields = record.__dict__
        fields.setdefault("request_id", REQUEST_ID.get())
        fields.setdefault("session_id", SESSION_ID.get())
        return True


class TextFormatter(logging.Formatter):
    """One line of text: when, how grave, who, what, then each further fact as ``name=value``."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        """Write a record but for its traceback, which follows on lines of its own."""
        line = [super().formatMessage(record)]
        line += [f"{name}={_in_text(value)}" for name, value in _facts(record).items()]
        return " ".join(line)


class JsonFormatter(logging.Formatter):
    """One JSON object on one line, with the project's one form of what JSON does not know."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record; its traceback, if any, is the field ``exception``."""
        written: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            written["exception"] = self.formatException(record.exc_info)
        facts = {name: value for name, value in _facts(record).items() if name not in written}
        return _as_json({**written, **facts})


def configure_logging(settings: Settings) -> None:
    """Log to standard error as the settings say, unless the root logger has a handler already."""
    root = logging.getLogger()
    if root.handlers and not any(isinstance(handler, _OurHandler) for handler in root.handlers):
        return
    handler = _OurHandler()
    handler.addFilter(ContextFilter())
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else TextFormatter())
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())


class _OurHandler(logging.StreamHandler[Any]):
    """Marks the handler that `configure_logging` may replace."""


# Requests


@web.middleware
async def identify(request: web.Request, handler: Any) -> web.StreamResponse:
    """Give a request its id: the one that it brings, if that is fit for a log, else a new one.

    aiohttp runs each request in a task of its own, so the id need not be taken back.
    """
    brought = request.headers.get(REQUEST_HEADER, "")
    REQUEST_ID.set(brought if _FIT_FOR_AN_ID.fullmatch(brought) else uuid.uuid4().hex)
    return await handler(request)  # type: ignore[no-any-return]


async def send_request_id(_: web.Request, response: web.StreamResponse) -> None:
    """Send the request's id with the response, a WebSocket's handshake included."""
    request_id = REQUEST_ID.get()
    if request_id is not None:
        response.headers[REQUEST_HEADER] = request_id


class AccessLogger(AbstractAccessLogger):
    """Logs each HTTP request once it is answered, and each WebSocket once it is closed.

    It tells no header, no body and no query: tokens may be in them.
    """

    @property
    def enabled(self) -> bool:
        """Whether anybody listens."""
        return self.logger.isEnabledFor(logging.INFO)

    def log(self, request: BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Log one request.

        Args:
            request: what was asked.
            response: what was answered.
            time: how long it took, in seconds.
        """
        self.logger.info(
            "request",
            extra={
                "method": request.method[:16],
                "path": request.rel_url.raw_path[:_LONGEST_PATH],
                "status": response.status,
                "duration_s": round(time, 6),
                "peer": request.remote,
            },
        )


def _hide_request(record: logging.LogRecord) -> bool:
    """Take out of aiohttp's report of a broken request what it quotes: there may be a token."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.msg, record.args = "a client sent what is no HTTP request", None
        record.levelno, record.levelname = logging.INFO, "INFO"
        record.exc_info = record.exc_text = None
        record.error = type(error).__name__
    return True


SERVER_LOG.addFilter(_hide_request)


# Transcripts


def transcribed(operation: str, call: AsyncCall, contract: Contract[Any, Any, Any]) -> AsyncCall:
    """Return a reset or a step that logs what it is given and what comes of it.

    Args:
        operation: ``reset`` or ``step``.
        call: the environment's method, as a coroutine function.
        contract: the environment's models.
    """

    async def told(*args: Any, **kwargs: Any) -> Any:
        started = perf_counter()
        facts: dict[str, Any] = {"asked": contract.write_action(args[0]) if args else kwargs}
        try:
            outcome = await call(*args, **kwargs)
            facts["answered"] = _readable(outcome, contract)
        except BaseException as error:
            facts["error"] = type(error).__name__
            raise
        finally:
            facts["duration_s"] = round(perf_counter() - started, 6)
            log.info(operation, extra=facts)
        return outcome

    return told


# Private functions


def _readable(outcome: Any, contract: Contract[Any, Any, Any]) -> Any:
    if isinstance(outcome, Observation):
        try:
            return contract.observation_data(outcome)
        except AioEnvError as error:  # it does not fit; whoever sends it says so too
            return str(error)
    return type(outcome).__name__


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    """Return what a record says besides its message."""
    return {
        name: value
        for name, value in record.__dict__.items()
        if name not in _STANDARD and not (value is None and name in ("request_id", "session_id"))
    }


def _as_json(value: Any) -> str:
    try:
        return dumps(value).decode()
    except (TypeError, ValueError):  # something in it has no JSON form, or is too deep
        if isinstance(value, dict):
            return dumps({name: _shortened(item) for name, item in value.items()}).decode()
        return dumps(_shortened(value)).decode()


def _shortened(value: Any) -> Any:
    return value if isinstance(value, str | int | float | None) else reprlib.repr(value)


def _in_text(value: Any) -> str:
    """Write a fact as JSON, but a plain word without its quotes."""
    is_plain = isinstance(value, str) and _PLAIN_WORD.fullmatch(value)
    return value if is_plain else _as_json(value)
