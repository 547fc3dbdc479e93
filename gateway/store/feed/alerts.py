"""Read the facts that alert conditions are computed from, and store the alerts that are open.

Carries out no clause of a standard; decision D37. Read are ages and counts of waiting, stopped and refused messages.
Stored are the rows concerned, the addresses notified, and operators' acknowledgements.
Proved by tests/contract/test_alerting.py and tests/contract/test_standing_alerts.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, TypeAlias

from gateway.runtime import clock
from gateway.runtime.log import reason_code
from gateway.store.database.engine import Engine, Row, Statement, Steps, ask, ask_each, micros
from gateway.store.feed.leases import PAUSED
from gateway.store.feed.ledger import IS_LAST, oldest
from gateway.store.feed.messages import not_filed
from gateway.store.feed.order_news import noted_news
from gateway.store.feed.plans import PLANNED, TO_STOP, in_force_of, unplanned
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
MOST_ABOUT: Final = 20
_SECOND: Final = 1_000_000
_A_DAY: Final = timedelta(days=1)
_UNREAD_AFTER: Final = timedelta(hours=3)
Cases: TypeAlias = Mapping[int, str]
"""Row numbers that a condition concerns, with the study of each."""
_OLDEST_DUE: Final = Statement(
    "SELECT due FROM outbox WHERE destination = :destination AND state = 'waiting' AND due <= :now ORDER BY due LIMIT 1"
)
# Outbox row numbers also stand for messages, so that a result keeps its number all the way. One statement covers all
# states, since a refused message changes its state
_CRITICAL_TOLD: Final = Statement(
    "SELECT outbox, study_id, control_id, reason, state FROM message"
    " WHERE destination = :destination AND state IN ('queued', 'sending',"
    " 'indeterminate', 'held') AND priority = 0 AND is_critical = 1 AND coalesce(signed, made) < :before LIMIT :most"
)
_CRITICAL_UNTOLD: Final = Statement(
    "SELECT number, study_id, '', reason, state FROM outbox WHERE destination = :destination"
    " AND state IN ('waiting', 'held')"
    " AND is_critical = 1 AND coalesce(signed, decided) < :before LIMIT :most"
)
_CRITICAL_UNACCEPTED: Final = Statement(
    "SELECT m.outbox, m.study_id, m.control_id, m.ack, m.state FROM message m"
    " WHERE m.destination = :destination AND m.state = 'delivered'"
    " AND m.accepted IS NULL AND m.committed IS NOT NULL AND m.is_critical = 1 AND coalesce(m.signed, m.made) < :before"
    f"{IS_LAST} ORDER BY m.committed LIMIT :most"
)
_UNACCEPTED: Final = Statement(
    "SELECT m.outbox, m.study_id, m.control_id, m.ack, m.state FROM message m"
    " WHERE m.destination = :destination AND m.state = 'delivered'"
    " AND m.accepted IS NULL AND m.committed IS NOT NULL AND m.committed < :before"
    f"{IS_LAST} ORDER BY m.committed LIMIT :most"
)
_CRITICAL_HELD: Final = Statement(
    "SELECT number, study_id, '', reason, state FROM outbox WHERE destination = :destination AND state = 'held'"
    " AND is_critical = 1"
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
    "SELECT m.number, m.study_id, m.control_id, m.reason, m.state, m.is_critical, m.outbox FROM message m"
    " WHERE m.destination = :destination"
    f" AND m.state = 'dead_letter' AND m.reason NOT IN (:unsent, :seen, :erased){IS_LAST}"
    " ORDER BY m.priority, m.number LIMIT :most"
)
_LANES: Final = Statement(
    "SELECT l.study_id, l.reason, l.since, m.control_id, m.reason FROM lane l LEFT JOIN message m"
    " ON m.number = l.culprit WHERE l.destination = :destination ORDER BY l.study_id LIMIT :most"
)
_OUTBOX: Final = Statement(
    "SELECT study_id FROM outbox WHERE destination = :destination AND state = :state ORDER BY number LIMIT :most"
)
_BLOCKED: Final = {"reasons": json.dumps(BLOCKED_AT_ONCE), "missing": json.dumps(NUMBER_MISSING)}
# An accession number may still come, but a critical result must not wait for it unnoticed. The wait for an order ends
# by itself
_HELD: Final = Statement(
    "SELECT number, study_id, '', reason, state FROM outbox WHERE destination = :destination AND state = 'held'"
    " AND reason <> :order AND (reason <> :awaited OR is_critical = 1 OR decided <= :before)"
    " ORDER BY number LIMIT :most"
)


@dataclass(frozen=True, slots=True)
class WatchedDestination:
    """Destination to watch, with the ages at which a critical result, and any message, raises an alert.

    `awaits_application` is True if the receiver's application acknowledges besides its interface (two-phase).
    `accession_after` is how long a message may be held for its accession number before an alert. `reads_back`: its EHR
    is asked what it shows.
    """

    name: str
    critical_after: timedelta
    after: timedelta
    awaits_application: bool = False
    accession_after: timedelta = timedelta()
    reads_back: bool = False


@dataclass(frozen=True, slots=True)
class FeedFacts:
    """Facts about the feed to one destination: up to `MOST` rows of each kind, ages in seconds.

    `critical` are overdue critical causes, and `critical_blocked` those that cannot be sent unless a person acts.
    `dead_letters` are messages given up and not replaced since. `planned` are rows that a change of settings would send
    or stop. `unaccepted` are messages that the application did not answer in time. `held_lanes` are studies, by reason
    and start; `held_rows` are outbox rows. `without_order`, `order_cancelled` and `wrong_visit` are news of the last
    day about orders of studies that were sent. `not_filed` are messages that the EHR does not show as they were sent,
    and `unread` those of which it has said nothing for hours. The watcher sets `unserved`, the time without a lease
    holder. `about` says of a row by its number what it concerns: study, message (MSH-10), and the reason or the
    receiver's code; `about_dead` says it of a dead letter.
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
    not_filed: Cases = field(default_factory=dict)
    critical_not_filed: Cases = field(default_factory=dict)
    unread: Cases = field(default_factory=dict)
    paused: str = ""
    unserved: float = 0.0
    about: Mapping[int, str] = field(default_factory=dict)
    about_dead: Mapping[int, str] = field(default_factory=dict)


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
    filed = await _filed(engine, watched, now)
    before = micros(now - watched.accession_after)
    awaited = {"awaited": ACCESSION_MISSING, "order": ORDER_AWAITED, "before": before}
    held_rows = await engine.fetch(_HELD, **key, **awaited, most=MOST)
    lanes = await engine.fetch(_LANES, **key, most=MOST)
    overdue, unaccepted = await _critical(engine, watched, now), await _unaccepted(engine, watched, now)
    dead_rows = [(row[6], *row[1:]) for row in dead if row[5]]
    return FeedFacts(
        oldest=max(0.0, (micros(now) - min(since)) / _SECOND) if since else 0.0,
        last_failure=next((reason for _, reason in heads if reason), ""),
        critical=_cases(overdue),
        critical_blocked=_cases([*dead_rows, *held]),
        unaccepted=_cases(unaccepted),
        held_lanes=_lanes(lanes),
        held_rows=_cases(held_rows),
        dead_letters=_cases(dead),
        planned={**planned, **critical},
        planned_critical=critical,
        without_order=_cases(await noted_news(engine, watched.name, WITHOUT_ORDER, micros(now - _A_DAY), MOST)),
        order_cancelled=_cases(await noted_news(engine, watched.name, CANCELLED_AFTER, micros(now - _A_DAY), MOST)),
        wrong_visit=_cases(await noted_news(engine, watched.name, WRONG_VISIT, micros(now - _A_DAY), MOST)),
        not_filed=_cases(filed[0]),
        critical_not_filed=_cases([one for one in filed[0] if one[2]]),
        unread=_cases(filed[1]),
        paused=str(paused[0][0]) if paused else "",
        about=_about([*unaccepted, *overdue, *held_rows, *held, *dead_rows], lanes),
        about_dead=_about(dead, ()),
    )


async def _filed(engine: Engine, watched: WatchedDestination, now: datetime) -> tuple[Sequence[Row], Sequence[Row]]:
    if not watched.reads_back:
        return (), ()
    return await not_filed(engine, watched.name, micros(now - _UNREAD_AFTER), MOST)


async def _planned(engine: Engine, name: str) -> tuple[Cases, Cases]:
    """Return the rows of a finished plan with the studies it could not plan; and all its critical rows."""
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
    """Return the studies with a cause that no destination takes, up to `MOST`."""
    return _studies(await engine.fetch(_OUTBOX, destination="", state="unrouted", most=MOST))


async def _critical(engine: Engine, watched: WatchedDestination, now: datetime) -> Sequence[Row]:
    """Return the overdue critical causes, read in the order in which rows advance, so that none is missed."""
    key: dict[str, Any] = {"destination": watched.name, "before": micros(now - watched.critical_after), "most": MOST}
    asked = [_CRITICAL_UNTOLD, _CRITICAL_TOLD]
    if watched.awaits_application:
        asked.append(_CRITICAL_UNACCEPTED)
    return [row for statement in asked for row in await engine.fetch(statement, **key)]


async def _unaccepted(engine: Engine, watched: WatchedDestination, now: datetime) -> Sequence[Row]:
    if not watched.awaits_application:
        return ()
    key = {"destination": watched.name, "before": micros(now - watched.after), "most": MOST}
    return await engine.fetch(_UNACCEPTED, **key)


def _about(rows: Sequence[Row], lanes: Sequence[Row]) -> dict[int, str]:
    """Say of each row what it concerns: its study, its message if it has one, and why it waits or was given up."""
    about = {int(row[0]): _named(row[1], row[2], row[3] or row[4]) for row in rows}
    for number, row in zip(_digests(lanes), lanes, strict=True):
        about[number] = _named(row[0], row[3], f"{row[1]} {row[4]}".strip() if row[4] else row[1])
    return about


def _named(study_id: str, control_id: str | None, why: str) -> str:
    words = " ".join(map(reason_code, why.split()))  # a receiver's own text may name a patient: `feed show` has it
    return f"{study_id}{f', message {control_id}' if control_id else ''}: {words}"


def _lanes(rows: Sequence[Row]) -> Cases:
    """Return held lanes as cases, each under a digest: a lane held again, or for another reason, is a new case."""
    return {number: str(row[0]) for number, row in zip(_digests(rows), rows, strict=True)}


def _digests(rows: Sequence[Row]) -> list[int]:
    digests = (hashlib.sha256("\x1f".join(map(str, row[:3])).encode()).digest() for row in rows)
    return [int.from_bytes(digest[:7], "big") for digest in digests]


def _cases(rows: Sequence[Row]) -> Cases:
    return {int(row[0]): str(row[1]) for row in rows}


def _studies(rows: Sequence[Row]) -> tuple[str, ...]:
    return tuple(str(study_id) for (study_id,) in rows)


_MOST: Final = 10_000
_SELECT: Final = (
    "SELECT code, destination, count, cases, told, studies, acknowledged, acknowledged_at, acknowledged_by FROM alert"
)
ALERTS: Final = Statement(f"{_SELECT} ORDER BY code, destination LIMIT :most")
_OF_CODE: Final = Statement(f"{_SELECT} WHERE code = :code ORDER BY destination FOR UPDATE")
# One that is over, and begins again before everybody heard of its end, has a new begin
_KEEP: Final = Statement(
    "INSERT INTO alert (code, destination, count, cases, told, studies, began)"
    " VALUES (:code, :destination, :count, :cases, :told, :studies, :began) ON CONFLICT (code, destination) DO UPDATE"
    " SET count = excluded.count, cases = excluded.cases, told = excluded.told, studies = excluded.studies,"
    " began = CASE WHEN alert.cases = '{}' THEN excluded.began ELSE alert.began END"
)
_FORGET: Final = Statement("DELETE FROM alert WHERE code = :code AND destination = :destination")
_ACKNOWLEDGE: Final = Statement(
    "UPDATE alert SET acknowledged = :newest, acknowledged_at = :now, acknowledged_by = :who"
    " WHERE code = :code AND destination = :destination"
)
_END: Final = Statement(
    "INSERT INTO past_alert (ended, code, destination, began, count, acknowledged_at, acknowledged_by)"
    " SELECT :now, code, destination, began, count, acknowledged_at, acknowledged_by FROM alert"
    " WHERE code = :code AND destination = :destination AND cases <> '{}' ON CONFLICT DO NOTHING"
)
_DROP_PAST: Final = Statement("DELETE FROM past_alert WHERE ended < :before")
_PAST: Final = Statement(
    "SELECT code, destination, began, ended, count, acknowledged_at, acknowledged_by FROM past_alert"
    " WHERE ended > :since ORDER BY ended DESC LIMIT :most"
)
_PAST_KEPT: Final = timedelta(days=90)


class AlertCase(NamedTuple):
    """Case of an alert, such as one message: its start (microseconds), and its study, empty if it has none.

    `is_mild`: it escalates to nobody. `about` says what it concerns, such as the facility, the message or the file.
    """

    since: int
    study_id: str = ""
    is_mild: bool = False
    about: str = ""


@dataclass(frozen=True, slots=True)
class StandingAlert:
    """Stored alert of a condition at a destination: its cases, and the addresses that were notified.

    `cases` are rows by their number (0: the condition as a whole); without cases, the alert is over. `told` maps each
    address to the cases it was notified of. `studies` are those of a condition as a whole or, once it is over, of the
    last cases. A case is acknowledged if it began by `acknowledge_alerts`.
    """

    code: str
    destination: str
    count: int = 0
    cases: Mapping[int, AlertCase] = field(default_factory=dict)
    told: Mapping[str, frozenset[int]] = field(default_factory=dict)
    studies: tuple[str, ...] = ()
    acknowledged: int = 0
    acknowledged_at: int | None = None
    acknowledged_by: str = ""

    @property
    def about(self) -> tuple[str, ...]:
        """Objects of the newest cases."""
        newest = sorted(self.cases.items(), key=lambda one: (one[1].since, one[0]), reverse=True)
        return tuple(dict.fromkeys(case.about for _, case in newest if case.about))[:MOST_ABOUT]

    @property
    def unacknowledged(self) -> Mapping[int, AlertCase]:
        """Cases that no operator has acknowledged."""
        return {number: case for number, case in self.cases.items() if case.since > self.acknowledged}


@dataclass(frozen=True, slots=True)
class PastAlert:
    """Alert that is over, with its count when it last changed. Instants are in microseconds.

    `began` is 0 where it is not known. `acknowledged_by` is empty if nobody acknowledged it.
    """

    code: str
    destination: str
    began: int
    ended: int
    count: int
    acknowledged_at: int | None
    acknowledged_by: str


async def past_alerts(engine: Engine, most: int) -> list[PastAlert]:
    """Return the alerts that ended last, newest first; they are kept for 90 days.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    found = [PastAlert(*row) for row in await engine.fetch(_PAST, since=0, most=most)]
    # A former time of the same alert may be what was acknowledged
    return [
        one if (one.acknowledged_at or 0) >= one.began else replace(one, acknowledged_at=None, acknowledged_by="")
        for one in found
    ]


async def standing_alerts(engine: Engine) -> list[StandingAlert]:
    """Return every stored alert: those that hold, and those whose end is not yet posted to every address.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return [_alert(row) for row in await engine.fetch(ALERTS, most=_MOST)]


def store_alerts(alerts: Sequence[StandingAlert]) -> Steps[None]:
    """Store alerts as they are now, and delete those that have ended and whose end was posted everywhere.

    Acknowledgements made meanwhile stay. The end of an alert is kept among the past ones.
    """
    ended = [one for one in alerts if not one.cases and not one.told]
    now = clock.now()
    if over := [{"code": one.code, "destination": one.destination} for one in alerts if not one.cases]:
        yield from ask_each(_END, [{**one, "now": micros(now)} for one in over])
        yield from ask(_DROP_PAST, before=micros(now - _PAST_KEPT))
    yield from ask_each(_KEEP, [_values(one) for one in alerts if one not in ended])
    yield from ask_each(_FORGET, [{"code": one.code, "destination": one.destination} for one in ended])


def acknowledge_alerts(code: str, destination: str | None, who: str, now: int) -> Steps[list[StandingAlert]]:
    """Acknowledge the alerts of a condition, at one destination or all; return them as they were before."""
    rows = yield from ask(_OF_CODE, code=code)
    alerts = [one for one in map(_alert, rows) if one.cases and destination in {None, one.destination}]
    for alert in alerts:
        if alert.unacknowledged:
            key = {"code": alert.code, "destination": alert.destination, "now": now, "who": who}
            yield from ask(_ACKNOWLEDGE, newest=max(case.since for case in alert.cases.values()), **key)
    return alerts


def _alert(row: Row) -> StandingAlert:
    code, destination, count, cases, told, studies, newest, at, who = row
    return StandingAlert(
        str(code),
        str(destination),
        int(count),
        {int(number): AlertCase(*case) for number, case in json.loads(cases).items()},
        {address: frozenset(numbers) for address, numbers in json.loads(told).items()},
        tuple(json.loads(studies)),
        int(newest),
        at,
        str(who),
    )


def _values(alert: StandingAlert) -> Mapping[str, Any]:
    return {
        "code": alert.code,
        "destination": alert.destination,
        "count": alert.count,
        "cases": json.dumps(dict(alert.cases)),
        "told": json.dumps({address: sorted(numbers) for address, numbers in alert.told.items()}),
        "studies": json.dumps(alert.studies),
        "began": min((case.since for case in alert.cases.values()), default=0),
    }
