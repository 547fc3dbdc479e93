"""Facts to watch about the feed: ages, counts, and what is held, paused or refused; numbers, instants and study ids.

Carries out no clause of a standard; decisions D13, D18, D31, D32. Everything is read by an index, and bounded, but for
dead letters that a newer message made good: each is passed over.
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
from gateway.store.feed.plans import PLANNED, TO_STOP
from gateway.store.feed.states import ACCESSION_MISSING, BLOCKED_AT_ONCE, SEEN_THERE, UNSENT

MOST: Final = 1_000
_SECOND: Final = 1_000_000
Cases: TypeAlias = Mapping[int, str]
"""The numbers of the rows that a condition is about, and the study of each."""
_OLDEST_DUE: Final = Statement(
    "SELECT due FROM outbox WHERE destination = :destination AND state = 'waiting' AND due <= :now ORDER BY due LIMIT 1"
)
# Rows of the outbox, whether or not a message was made of them: so a result is the same all the way. All states in one
# statement, since what is sent and refused goes from one to the other
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
    " AND reason IN listed(:reasons) ORDER BY number LIMIT :most"
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
    f" AND m.state = 'dead_letter' AND m.reason NOT IN (:unsent, :seen){IS_LAST}"
    " ORDER BY m.priority, m.number LIMIT :most"
)
_LANES: Final = Statement(
    "SELECT study_id, reason, since FROM lane WHERE destination = :destination ORDER BY study_id LIMIT :most"
)
_OUTBOX: Final = Statement(
    "SELECT study_id FROM outbox WHERE destination = :destination AND state = :state ORDER BY number LIMIT :most"
)
# An accession number may still come, but a critical result is not kept waiting for it in silence
_HELD: Final = Statement(
    "SELECT number, study_id FROM outbox WHERE destination = :destination AND state = 'held'"
    " AND (reason <> :awaited OR is_critical = 1 OR decided <= :before) ORDER BY number LIMIT :most"
)


@dataclass(frozen=True, slots=True)
class Watched:
    """A destination, and how old a critical result, and a message, may become there until somebody is told.

    `awaits_application` where not the receiver's interface alone acknowledges, but its application too (two-phase).
    `accession_after` is how long a message is held for its accession number until somebody is told.
    """

    name: str
    critical_after: timedelta
    after: timedelta
    awaits_application: bool = False
    accession_after: timedelta = timedelta()


@dataclass(frozen=True, slots=True)
class FeedFacts:
    """The state of the feed to one destination; up to `MOST` rows of each kind, ages in seconds.

    `critical` are the causes of critical results that are overdue, `critical_blocked` of those that are not sent unless
    somebody does something, `dead_letters` the messages that were given up and not made good since, `planned` the rows
    that a change of settings would send or stop, `unaccepted` what the application did not answer in time. `held_lanes`
    are studies, each by its reason and since when, `held_rows` rows of the outbox. `unserved` is for how long nobody
    has served it, which the watcher knows.
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
    paused: str = ""
    unserved: float = 0.0


async def feed_facts(engine: Engine, watched: Watched, now: datetime) -> FeedFacts:
    """How it stands about a destination.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    key = {"destination": watched.name}
    due = await engine.fetch(_OLDEST_DUE, **key, now=micros(now))
    heads = await oldest(engine, watched.name)
    since = [int(row[0]) for row in due] + [made for made, _ in heads]
    dead = await engine.fetch(_DEAD, **key, unsent=UNSENT, seen=SEEN_THERE, most=MOST)
    held = await engine.fetch(_CRITICAL_HELD, **key, reasons=json.dumps(BLOCKED_AT_ONCE), most=MOST)
    planned, critical = await _planned(engine, watched.name)
    paused = await engine.fetch(PAUSED, name=watched.name)
    awaited = {"awaited": ACCESSION_MISSING, "before": micros(now - watched.accession_after)}
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
        paused=str(paused[0][0]) if paused else "",
    )


async def _planned(engine: Engine, name: str) -> tuple[Cases, Cases]:
    """The rows of a plan once it is made, those of critical results at once, and the studies that the plan lacks."""
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
    """The study of every cause that no destination takes, up to `MOST`."""
    return _studies(await engine.fetch(_OUTBOX, destination="", state="unrouted", most=MOST))


async def _critical(engine: Engine, watched: Watched, now: datetime) -> Cases:
    """The causes of critical results that are overdue, asked in the order of their way: none slips through."""
    key: dict[str, Any] = {"destination": watched.name, "before": micros(now - watched.critical_after), "most": MOST}
    asked = [_CRITICAL_UNTOLD, _CRITICAL_TOLD]
    if watched.awaits_application:
        asked.append(_CRITICAL_UNACCEPTED)
    return _cases([row for statement in asked for row in await engine.fetch(statement, **key)])


async def _unaccepted(engine: Engine, watched: Watched, now: datetime) -> Cases:
    if not watched.awaits_application:
        return {}
    key = {"destination": watched.name, "before": micros(now - watched.after), "most": MOST}
    return _cases(await engine.fetch(_UNACCEPTED, **key))


def _lanes(rows: Sequence[Row]) -> Cases:
    """Each lane under a number of its own: one that is held for another reason, or anew, is another case."""
    digests = {str(row[0]): hashlib.sha256("\x1f".join(map(str, row)).encode()).digest() for row in rows}
    return {int.from_bytes(digest[:7], "big"): study_id for study_id, digest in digests.items()}


def _cases(rows: Sequence[Row]) -> Cases:
    return {int(row[0]): str(row[1]) for row in rows}


def _studies(rows: Sequence[Row]) -> tuple[str, ...]:
    return tuple(str(study_id) for (study_id,) in rows)
