"""Read the state of a destination for alerts: ages and counts of waiting, stopped and refused messages.

Carries out no clause of a standard; decisions D13, D18, D31, D32. Every read uses an index and a bound. Dead letters
that a newer message replaced are still read, and skipped.
Proved by tests/contract/test_alerting.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

from gateway.store.database.engine import Engine
from gateway.store.database.instants import micros
from gateway.store.database.statements import Row, Statement
from gateway.store.feed.in_force import in_force_of, unplanned
from gateway.store.feed.leases import PAUSED
from gateway.store.feed.ledger import IS_LAST, oldest
from gateway.store.feed.order_news import noted_news
from gateway.store.feed.plans import PLANNED, TO_STOP
from gateway.store.feed.states import (
    ACCESSION_MISSING,
    BLOCKED_AT_ONCE,
    CANCELLED_AFTER,
    ERASED,
    NUMBER_MISSING,
    ORDER_AWAITED,
    SEEN_THERE,
    UNSENT,
    WITHOUT_ORDER,
    WRONG_VISIT,
)

MOST: Final = 1_000
_SECOND: Final = 1_000_000
_A_DAY: Final = timedelta(days=1)
Cases: TypeAlias = Mapping[int, str]
"""Row numbers that a condition concerns, with the study of each."""
_OLDEST_DUE: Final = Statement(
    "SELECT due FROM outbox WHERE destination = :destination AND state = 'waiting' AND due <= :now ORDER BY due LIMIT 1"
)
# Outbox row numbers also stand for messages, so that a result keeps its number all the way. One statement covers all
# states, since a refused message changes its state
_CRITICAL_TOLD: Final = Statement(
    "SELECT outbox, study_id FROM message WHERE destination = :destination AND state IN ('queued', 'sending',"
    " 'indeterminate', 'held') AND priority = 0 AND is_critical = 1 AND coalesce(signed, made) < :before LIMIT :most"
)
_CRITICAL_UNTOLD: Final = Statement(
    "SELECT number, study_id FROM outbox WHERE destination = :destination AND state IN ('waiting', 'held')"
    " AND is_critical = 1 AND coalesce(signed, decided) < :before LIMIT :most"
)
_CRITICAL_UNACCEPTED: Final = Statement(
    "SELECT m.outbox, m.study_id FROM message m WHERE m.destination = :destination AND m.state = 'delivered'"
    " AND m.accepted IS NULL AND m.committed IS NOT NULL AND m.is_critical = 1 AND coalesce(m.signed, m.made) < :before"
    f"{IS_LAST} ORDER BY m.committed LIMIT :most"
)
_UNACCEPTED: Final = Statement(
    "SELECT m.outbox, m.study_id FROM message m WHERE m.destination = :destination AND m.state = 'delivered'"
    " AND m.accepted IS NULL AND m.committed IS NOT NULL AND m.committed < :before"
    f"{IS_LAST} ORDER BY m.committed LIMIT :most"
)
_CRITICAL_HELD: Final = Statement(
    "SELECT number, study_id FROM outbox WHERE destination = :destination AND state = 'held' AND is_critical = 1"
    " AND (reason IN listed(:reasons) OR (reason IN listed(:missing) AND EXISTS (SELECT 1 FROM order_match o"
    " WHERE o.study_id = outbox.study_id))) ORDER BY number LIMIT :most"
)
_PLANNED: Final = Statement(
    "SELECT number, study_id FROM outbox WHERE destination = :destination AND state = :state"
    " ORDER BY number LIMIT :most"
)
_CRITICAL_PLANNED: Final = Statement(
    "SELECT number, study_id FROM outbox WHERE destination = :destination AND state = :state AND is_critical = 1"
    " ORDER BY number LIMIT :most"
)
_DEAD: Final = Statement(
    "SELECT m.number, m.study_id, m.is_critical, m.outbox FROM message m WHERE m.destination = :destination"
    f" AND m.state = 'dead_letter' AND m.reason NOT IN (:unsent, :seen, :erased){IS_LAST}"
    " ORDER BY m.priority, m.number LIMIT :most"
)
_LANES: Final = Statement(
    "SELECT study_id, reason, since FROM lane WHERE destination = :destination ORDER BY study_id LIMIT :most"
)
_OUTBOX: Final = Statement(
    "SELECT study_id FROM outbox WHERE destination = :destination AND state = :state ORDER BY number LIMIT :most"
)
_BLOCKED: Final = {"reasons": json.dumps(BLOCKED_AT_ONCE), "missing": json.dumps(NUMBER_MISSING)}
# An accession number may still come, but a critical result must not wait for it unnoticed. The wait for an order ends
# by itself
_HELD: Final = Statement(
    "SELECT number, study_id FROM outbox WHERE destination = :destination AND state = 'held'"
    " AND reason <> :order AND (reason <> :awaited OR is_critical = 1 OR decided <= :before)"
    " ORDER BY number LIMIT :most"
)


@dataclass(frozen=True, slots=True)
class WatchedDestination:
    """Destination to watch, with the ages at which a critical result, and any message, raises an alert.

    `awaits_application` is True if the receiver's application acknowledges besides its interface (two-phase).
    `accession_after` is how long a message may be held for its accession number before an alert.
    """

    name: str
    critical_after: timedelta
    after: timedelta
    awaits_application: bool = False
    accession_after: timedelta = timedelta()


@dataclass(frozen=True, slots=True)
class FeedFacts:
    """State of the feed to one destination: up to `MOST` rows of each kind, ages in seconds.

    `critical` are overdue critical causes, and `critical_blocked` those that cannot be sent unless a person acts.
    `dead_letters` are messages given up and not replaced since. `planned` are rows that a change of settings would send
    or stop. `unaccepted` are messages that the application did not answer in time. `held_lanes` are studies, by reason
    and start; `held_rows` are outbox rows. `without_order`, `order_cancelled` and `wrong_visit` are news of the last
    day about orders of studies that were sent. The watcher sets `unserved`, the time without a lease holder.
    """

    oldest: float = 0.0
    last_failure: str = ""
    critical: Cases = field(default_factory=dict)
    critical_blocked: Cases = field(default_factory=dict)
    unaccepted: Cases = field(default_factory=dict)
    held_lanes: Cases = field(default_factory=dict)
    held_rows: Cases = field(default_factory=dict)
    dead_letters: Cases = field(default_factory=dict)
    planned: Cases = field(default_factory=dict)
    planned_critical: Cases = field(default_factory=dict)
    without_order: Cases = field(default_factory=dict)
    order_cancelled: Cases = field(default_factory=dict)
    wrong_visit: Cases = field(default_factory=dict)
    paused: str = ""
    unserved: float = 0.0


async def feed_facts(engine: Engine, watched: WatchedDestination, now: datetime) -> FeedFacts:
    """Read the facts of one destination.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    key = {"destination": watched.name}
    due = await engine.fetch(_OLDEST_DUE, **key, now=micros(now))
    heads = await oldest(engine, watched.name)
    since = [int(row[0]) for row in due] + [made for made, _ in heads]
    dead = await engine.fetch(_DEAD, **key, unsent=UNSENT, seen=SEEN_THERE, erased=ERASED, most=MOST)
    held = await engine.fetch(_CRITICAL_HELD, **key, **_BLOCKED, most=MOST)
    planned, critical = await _planned(engine, watched.name)
    paused = await engine.fetch(PAUSED, name=watched.name)
    before = micros(now - watched.accession_after)
    awaited = {"awaited": ACCESSION_MISSING, "order": ORDER_AWAITED, "before": before}
    return FeedFacts(
        oldest=max(0.0, (micros(now) - min(since)) / _SECOND) if since else 0.0,
        last_failure=next((reason for _, reason in heads if reason), ""),
        critical=await _critical(engine, watched, now),
        critical_blocked=_cases([*[(row[3], row[1]) for row in dead if row[2]], *held]),
        unaccepted=await _unaccepted(engine, watched, now),
        held_lanes=_lanes(await engine.fetch(_LANES, **key, most=MOST)),
        held_rows=_cases(await engine.fetch(_HELD, **key, **awaited, most=MOST)),
        dead_letters=_cases(dead),
        planned={**planned, **critical},
        planned_critical=critical,
        without_order=_cases(await noted_news(engine, watched.name, WITHOUT_ORDER, micros(now - _A_DAY), MOST)),
        order_cancelled=_cases(await noted_news(engine, watched.name, CANCELLED_AFTER, micros(now - _A_DAY), MOST)),
        wrong_visit=_cases(await noted_news(engine, watched.name, WRONG_VISIT, micros(now - _A_DAY), MOST)),
        paused=str(paused[0][0]) if paused else "",
    )


async def _planned(engine: Engine, name: str) -> tuple[Cases, Cases]:
    """Return the rows of a finished plan with the studies it lacks; then its critical rows, finished or not."""
    standing = await in_force_of(engine, name)
    key = {"destination": name, "most": MOST}
    planned: dict[int, str] = {}
    critical: dict[int, str] = {}
    for state in (PLANNED, TO_STOP):
        critical |= _cases(await engine.fetch(_CRITICAL_PLANNED, **key, state=state))
        if standing is not None and standing.planned is not None:
            planned |= _cases(await engine.fetch(_PLANNED, **key, state=state))
    planned |= _lanes([(study_id, "unplanned") for study_id in sorted(await unplanned(engine, name))[:MOST]])
    return planned, critical


async def unrouted(engine: Engine) -> tuple[str, ...]:
    """Return the study of every cause that no destination takes, up to `MOST`."""
    return _studies(await engine.fetch(_OUTBOX, destination="", state="unrouted", most=MOST))


async def _critical(engine: Engine, watched: WatchedDestination, now: datetime) -> Cases:
    """Return the overdue critical causes, read in the order in which rows advance, so that none is missed."""
    key: dict[str, Any] = {"destination": watched.name, "before": micros(now - watched.critical_after), "most": MOST}
    asked = [_CRITICAL_UNTOLD, _CRITICAL_TOLD]
    if watched.awaits_application:
        asked.append(_CRITICAL_UNACCEPTED)
    return _cases([row for statement in asked for row in await engine.fetch(statement, **key)])


async def _unaccepted(engine: Engine, watched: WatchedDestination, now: datetime) -> Cases:
    if not watched.awaits_application:
        return {}
    key = {"destination": watched.name, "before": micros(now - watched.after), "most": MOST}
    return _cases(await engine.fetch(_UNACCEPTED, **key))


def _lanes(rows: Sequence[Row]) -> Cases:
    """Return each lane under a digest as its number: a lane held for another reason, or again, is a new case."""
    digests = {str(row[0]): hashlib.sha256("\x1f".join(map(str, row)).encode()).digest() for row in rows}
    return {int.from_bytes(digest[:7], "big"): study_id for study_id, digest in digests.items()}


def _cases(rows: Sequence[Row]) -> Cases:
    return {int(row[0]): str(row[1]) for row in rows}


def _studies(rows: Sequence[Row]) -> tuple[str, ...]:
    return tuple(str(study_id) for (study_id,) in rows)
