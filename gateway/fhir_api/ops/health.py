"""Answer of `/readyz` as JSON: state of the database, completeness and age of the index, AutoScribe reachable.

Carries out no clause of a standard: the fields are the gateway's own. They hold no id and no patient data. `/readyz`
shows if AutoScribe answered the last request of this process, but does not depend on it. While AutoScribe is away, no
report is read: an operator must know (D38).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

from gateway.runtime import clock
from gateway.runtime.metrics import Metrics
from gateway.runtime.sibling import Figures
from gateway.store.database.probe import LOST


@dataclass(frozen=True, slots=True)
class Health:
    """State of the gateway at one moment; None means unknown.

    `store_trouble` is the code for why the store takes no writes (gateway/store/database/probe.py), empty if it does.
    `store_words` is the database's own message. `index_percent` is the progress of the first full sweep. `index_age` is
    the seconds since the last full sweep began. `is_upstream_reachable` is the result of the last call to AutoScribe,
    made at `upstream_asked`. `is_work_alive` is False if the loops that crawl and send have been stuck for long.
    `is_audit_open` is False while the audit journal takes no entry, None without an audit.
    """

    store_trouble: str = ""
    is_index_complete: bool = False
    index_percent: int | None = None
    index_age: float | None = None
    is_upstream_reachable: bool | None = None
    upstream_asked: datetime | None = None
    store_words: str = ""
    is_work_alive: bool = True
    is_audit_open: bool | None = None


def readiness(health: Health, version: str) -> tuple[HTTPStatus, dict[str, Any]]:
    """Return status and body of `/readyz`: 503 while store or audit take no writes or the loops are stuck, else 200."""
    is_writable = not health.store_trouble
    is_ready = is_writable and health.is_work_alive and health.is_audit_open is not False
    audit = {} if health.is_audit_open is None else {"audit": {"writable": health.is_audit_open}}
    store: dict[str, Any] = {"reachable": health.store_trouble != LOST, "writable": is_writable}
    if not is_writable:
        store |= {"reason": health.store_trouble} | ({"detail": health.store_words} if health.store_words else {})
    age = None if health.index_age is None else round(health.index_age, 1)
    asked = None if health.upstream_asked is None else health.upstream_asked.isoformat(timespec="seconds")
    return HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE, {
        "status": "ready" if is_ready else "not-ready",
        "version": version,
        "store": store,
        **audit,
        "work": {"alive": health.is_work_alive},
        "index": {
            "complete": health.is_index_complete,
            "percent": 100 if health.is_index_complete else _or_unknown(health.index_percent),
            "age_seconds": _or_unknown(age),
        },
        "upstream": {"reachable": _or_unknown(health.is_upstream_reachable), "as_of": _or_unknown(asked)},
    }


def _or_unknown(value: object) -> object:
    return "unknown" if value is None else value


PATIENCE: Final = 60.0  # seconds without any usable answer until it is trouble
UNREACHABLE: Final = "autoscribe-unreachable"
REFUSES: Final = "autoscribe-refuses"
_REFUSED: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


class Reachability:
    """Observer of requests to AutoScribe: counts each one, and remembers if and when the last was answered."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.is_reachable: bool | None = None
        self.at: datetime | None = None
        self._failed, self._since = "", 0.0

    @property
    def trouble(self) -> str:
        """Code of the alert once all requests failed for `PATIENCE` (no answer, 5xx, or key refused); else empty."""
        return self._failed if self._failed and clock.monotonic() - self._since >= PATIENCE else ""

    def __call__(self, operation: str, status: int | None, seconds: float) -> None:
        """Record a request and the status of its answer, None if there was no answer."""
        self._metrics.asked_upstream(operation, status, seconds)
        self.is_reachable, self.at = status is not None, clock.now()
        failed = _failure(status)
        if failed and not self._failed:
            self._since = clock.monotonic()
        self._failed = failed

    def with_sibling(self, figures: Figures) -> tuple[bool | None, datetime | None]:
        """Return if AutoScribe answered the last request, and when; also counting the sibling process."""
        if self.at is None or (figures.upstream_asked is not None and figures.upstream_asked > self.at):
            return figures.is_upstream_reachable, figures.upstream_asked
        return self.is_reachable, self.at


def _failure(status: int | None) -> str:
    if status is None or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return UNREACHABLE
    return REFUSES if status in _REFUSED else ""
