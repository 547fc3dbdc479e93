"""Answer of `/readyz` as JSON: state of the database, completeness and age of the index, AutoScribe reachable.

Carries out no clause of a standard: the fields are the gateway's own. They hold no id and no patient data.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

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
