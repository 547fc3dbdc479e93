"""What there is to watch about the feed: how old, how many, held, paused, refused; numbers and instants, nothing else.

Carries out no clause of a standard; decisions D13, D31, D32. Everything is read by an index, and bounded, but for dead
letters that a newer message made good: each is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from gateway.store.engine import Engine
from gateway.store.instants import micros
from gateway.store.leases import PAUSED
from gateway.store.ledger import IS_LAST, oldest
from gateway.store.statements import Row, Statement
from gateway.store.states import BLOCKED_AT_ONCE, UNSENT

MOST: Final = 1_000
_SECOND: Final = 1_000_000
_OLDEST_DUE: Final = Statement(
    "SELECT due FROM outbox WHERE destination = :destination AND state = 'waiting' AND due <= :now ORDER BY due LIMIT 1"
)
# Rows of the outbox, whether or not a message was made of them: so a result is the same all the way. All states in one
# statement, since what is sent and refused goes from one to the other
_CRITICAL_TOLD: Final = Statement(
    "SELECT outbox FROM message WHERE destination = :destination AND state IN ('queued', 'sending', 'indeterminate',"
    " 'held') AND priority = 0 AND is_critical = 1 AND coalesce(signed, made) < :before LIMIT :most"
)
_CRITICAL_UNTOLD: Final = Statement(
    "SELECT number FROM outbox WHERE destination = :destination AND state IN ('waiting', 'held') AND is_critical = 1"
    " AND coalesce(signed, decided) < :before LIMIT :most"
)
_CRITICAL_UNACCEPTED: Final = Statement(
    "SELECT m.outbox FROM message m WHERE m.destination = :destination AND m.state = 'delivered'"
    " AND m.accepted IS NULL AND m.committed IS NOT NULL AND m.is_critical = 1 AND coalesce(m.signed, m.made) < :before"
    f"{IS_LAST} ORDER BY m.committed LIMIT :most"
)
_UNACCEPTED: Final = Statement(
    "SELECT m.outbox FROM message m WHERE m.destination = :destination AND m.state = 'delivered'"
    " AND m.accepted IS NULL AND m.committed IS NOT NULL AND m.committed < :before"
    f"{IS_LAST} ORDER BY m.committed LIMIT :most"
)
_CRITICAL_HELD: Final = Statement(
    "SELECT number FROM outbox WHERE destination = :destination AND state = 'held' AND is_critical = 1"
    " AND reason IN listed(:reasons) ORDER BY number LIMIT :most"
)
_DEAD: Final = Statement(
    "SELECT m.number, m.is_critical, m.outbox FROM message m WHERE m.destination = :destination"
    f" AND m.state = 'dead_letter' AND m.reason <> :unsent{IS_LAST} ORDER BY m.priority, m.number LIMIT :most"
)
_LANES: Final = Statement("SELECT study_id, reason, since FROM lane WHERE destination = :destination LIMIT :most")
_HELD: Final = Statement("SELECT number FROM outbox WHERE destination = :destination AND state = 'held' LIMIT :most")
_OUTBOX: Final = Statement(
    "SELECT count(*) FROM (SELECT 1 FROM outbox WHERE destination = :destination AND state = :state LIMIT :most) o"
)


@dataclass(frozen=True, slots=True)
class Watched:
    """A destination, and how old a critical result, and a message, may become there until somebody is told.

    `awaits_application` where not the receiver's interface alone acknowledges, but its application too (two-phase).
    """

    name: str
    critical_after: timedelta
    after: timedelta
    awaits_application: bool = False


@dataclass(frozen=True, slots=True)
class FeedFacts:
    """How it stands about one destination; numbers of rows and counts up to `MOST`, ages in seconds.

    `critical` are the causes of critical results that are overdue, `critical_blocked` of those that are not sent unless
    somebody does something, `dead_letters` the messages that were given up and not made good since, `unaccepted` counts
    what the application did not answer in time. `held_lanes` are studies, each with the reason and since when,
    `held_rows` rows of the outbox. `unserved` is for how long nobody has served it: whoever watches knows that.
    """

    oldest: float = 0.0
    last_failure: str = ""
    critical: frozenset[int] = frozenset()
    critical_blocked: frozenset[int] = frozenset()
    unaccepted: int = 0
    held_lanes: frozenset[tuple[str, str, int]] = frozenset()
    held_rows: frozenset[int] = frozenset()
    dead_letters: frozenset[int] = frozenset()
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
    dead = await engine.fetch(_DEAD, **key, unsent=UNSENT, most=MOST)
    held = await engine.fetch(_CRITICAL_HELD, **key, reasons=json.dumps(BLOCKED_AT_ONCE), most=MOST)
    lanes = await engine.fetch(_LANES, **key, most=MOST)
    paused = await engine.fetch(PAUSED, name=watched.name)
    return FeedFacts(
        oldest=max(0.0, (micros(now) - min(since)) / _SECOND) if since else 0.0,
        last_failure=next((reason for _, reason in heads if reason), ""),
        critical=await _critical(engine, watched, now),
        critical_blocked=_numbers([row[2:] for row in dead if row[1]]) | _numbers(held),
        unaccepted=await _unaccepted(engine, watched, now),
        held_lanes=frozenset((str(row[0]), str(row[1]), int(row[2])) for row in lanes),
        held_rows=_numbers(await engine.fetch(_HELD, **key, most=MOST)),
        dead_letters=_numbers(dead),
        paused=str(paused[0][0]) if paused else "",
    )


async def unrouted(engine: Engine) -> int:
    """How many causes no destination takes, up to `MOST`."""
    return int((await engine.fetch(_OUTBOX, destination="", state="unrouted", most=MOST))[0][0])


async def _critical(engine: Engine, watched: Watched, now: datetime) -> frozenset[int]:
    """The causes of critical results that are overdue, asked in the order of their way: none slips through."""
    key: dict[str, Any] = {"destination": watched.name, "before": micros(now - watched.critical_after), "most": MOST}
    asked = [_CRITICAL_UNTOLD, _CRITICAL_TOLD]
    if watched.awaits_application:
        asked.append(_CRITICAL_UNACCEPTED)
    return _numbers([row for statement in asked for row in await engine.fetch(statement, **key)])


async def _unaccepted(engine: Engine, watched: Watched, now: datetime) -> int:
    if not watched.awaits_application:
        return 0
    key = {"destination": watched.name, "before": micros(now - watched.after), "most": MOST}
    return len(await engine.fetch(_UNACCEPTED, **key))


def _numbers(rows: Sequence[Row]) -> frozenset[int]:
    return frozenset(int(row[0]) for row in rows)
