"""Structured logging with an allow-list: a key that is not on the list never reaches the log.

Carries out no clause of a standard. An event is a fixed name; a value is a number, a truth value or an id-like token.
Free texts, the gateway's or a library's, are never written, nor is the text of an exception (decision D9). Omitted keys
are named under `dropped`.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Final, Literal, TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor

from gateway.runtime import clock
from gateway.runtime.errors import GatewayError

ALLOWED: Final = frozenset(
    {
        "action",
        "adds",
        "attempt",
        "attempts",
        "bytes",
        "code",
        "control_id",
        "count",
        "critical",
        "destination",
        "dropped",
        "error_code",
        "error_type",
        "event",
        "fhir_base",
        "formerly",
        "host",
        "level",
        "logger",
        "method",
        "ms",
        "operation",
        "peer",
        "port",
        "report_id",
        "request_id",
        "resends",
        "resource_type",
        "route",
        "seconds",
        "severity",
        "source",
        "state",
        "status",
        "stops",
        "stored",
        "study_id",
        "timestamp",
        "upstream_request_id",
        "user_id",
        "where",
    }
)
UVICORN: Final[dict[str, Any]] = {"log_config": None, "access_log": False}  # arguments for uvicorn.Config
_EVENT: Final = re.compile(r"[a-z][a-z0-9._-]{0,63}")
_TOKEN: Final = re.compile(r"[A-Za-z0-9_.:/+$*{}\[\]-]{1,128}")
# MSA-1 with a code of HL7 table 0357, or a code of the gateway: other texts in ERR-3 are the receiver's own
_REASON: Final = re.compile(r"((AA|AE|AR|CA|CE|CR)(-[0-9]{3})?|[a-z]+(-[a-z0-9]+)*)?")
_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_DEBUGGING: Final = structlog.make_filtering_bound_logger(_LEVELS["debug"])
PLACES: Final = "places_in_worker"  # attribute of an error that a worker process raised
_DEEPEST_FRAMES: Final = 5


def configure(
    level: str = "info",
    form: Literal["json", "console"] = "json",
    stream: TextIO | None = None,
    dropped: Callable[[], object] = lambda: None,
) -> None:
    """Send every log line, the gateway's and the libraries', through the allow-list to `stream` (default: stderr).

    If a line cannot be written, it is dropped and `dropped` is called: logging never makes its caller fail.
    """
    lines = _Lines(stream or sys.stderr, dropped)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        add_timestamp,
        name_exception,
        keep_allowed,
    ]
    renderer: Processor = structlog.dev.ConsoleRenderer(colors=False)
    if form == "json":
        renderer = structlog.processors.JSONRenderer(sort_keys=True)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_ForeignHandler()]
    root.setLevel(_LEVELS[level])
    for library in ("uvicorn", "alembic"):  # the gateway's own lines report the start and the migration
        logging.getLogger(library).setLevel(max(_LEVELS[level], _LEVELS["warning"]))


def get_logger() -> FilteringBoundLogger:
    """Return the logger of the service: `get_logger().info("study-read", study_id=…, seconds=…)`."""
    logger: FilteringBoundLogger = structlog.get_logger()
    return logger


def is_debugging() -> bool:
    """True if `log.level` is debug; lines that are costly to build are built only then."""
    return structlog.get_config()["wrapper_class"] is _DEBUGGING


def add_timestamp(_logger: Any, _method: str, entry: EventDict) -> EventDict:
    """Processor: adds `timestamp`, ISO 8601 in UTC."""
    return {**entry, "timestamp": clock.now().isoformat(timespec="milliseconds")}


def code_of(error: BaseException) -> str:
    """Return the code of an error for logs and the store; `internal` for an error outside the gateway's tree."""
    return error.code if isinstance(error, GatewayError) else "internal"


def reason_code(reason: str) -> str:
    """Return a reason of the feed where it is a code; a receiver's own text, which may be anything, is `other`."""
    return reason if _REASON.fullmatch(reason) else "other"


def places_of(error: BaseException) -> list[str]:
    """Return the innermost places in the code that an error passed, as `module:line`, those in a worker last."""
    places = [*_places(error.__traceback__), *error.__dict__.get(PLACES, ())]
    return places[-_DEEPEST_FRAMES:]


def name_exception(_logger: Any, _method: str, entry: EventDict) -> EventDict:
    """Processor: replaces an exception by its type, its error code and places in the code, never its text."""
    given = entry.pop("exc_info", None)
    error = sys.exc_info()[1] if given is True else given[1] if isinstance(given, tuple) else given
    if not isinstance(error, BaseException):
        return entry
    return {**entry, "error_type": type(error).__name__, "error_code": code_of(error), "where": places_of(error)}


def keep_allowed(_logger: Any, _method: str, entry: EventDict) -> EventDict:
    """Processor: keeps allowed keys with harmless values, and names the others under `dropped`.

    An `action` of several harmless words is joined by spaces, as a command is typed.
    """
    kept = {key: value for key, value in entry.items() if key in ALLOWED and _is_harmless(key, value)}
    dropped = sorted(key if _TOKEN.fullmatch(key) else "?" for key in entry.keys() - kept.keys())
    if isinstance(words := kept.get("action"), list | tuple):
        kept["action"] = " ".join(map(str, words))
    kept.setdefault("event", "unnamed-event")
    return {**kept, "dropped": dropped} if dropped else kept


def _is_harmless(key: str, value: object) -> bool:
    if key == "event":
        return isinstance(value, str) and bool(_EVENT.fullmatch(value))
    if isinstance(value, str):
        return bool(_TOKEN.fullmatch(value))
    if isinstance(value, list | tuple):
        return all(_is_harmless("", part) for part in value)
    return value is None or isinstance(value, bool | int | float)


def _places(traceback: TracebackType | None) -> Iterator[str]:
    while traceback is not None:
        yield f"{traceback.tb_frame.f_globals.get('__name__', '?')}:{traceback.tb_lineno}"
        traceback = traceback.tb_next


class _Lines:
    """Output of log lines; a line is dropped if it cannot be written."""

    def __init__(self, stream: TextIO, dropped: Callable[[], object]) -> None:
        self._stream, self._dropped, self._lock = stream, dropped, threading.Lock()

    def _write(self, line: str) -> None:
        try:
            with self._lock:
                self._stream.write(f"{line}\n")
                self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream is closed
            self._dropped()

    debug = info = warning = error = critical = _write


class _ForeignHandler(logging.Handler):
    """Handler that logs the origin of a library's log record, without its text."""

    def emit(self, record: logging.LogRecord) -> None:
        report = getattr(get_logger(), record.levelname.lower(), get_logger().error)
        report("foreign-log", logger=record.name, where=f"{record.module}:{record.lineno}", exc_info=record.exc_info)
