"""Count open messages to destinations that were removed from the settings, and close these messages on request.

Carries out no clause of a standard; decision D31. Closed is not delivered: the ledger still shows what was never sent,
and what may have arrived.
Proved by tests/contract/test_seen_there.py and tests/contract/test_alerting.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from gateway.store.database.engine import Engine
from gateway.store.database.statements import Statement, Steps, ask
from gateway.store.feed.audit import noted
from gateway.store.feed.holding import free_lane
from gateway.store.feed.leases import locked
from gateway.store.feed.ledger import IS_LAST
from gateway.store.feed.order_news import note_all_news
from gateway.store.feed.restoring import doubt_ends
from gateway.store.feed.states import ERASED, MAY_HAVE_BEEN_SENT, SEEN_THERE, UNSENT

RETIRED: Final = "retired"
IN_DOUBT: Final = "retired-in-doubt"  # it was sent there, and its result is unknown
ALL: Final = 2**31 - 1
_OTHER_LEASE: Final = "*"  # begins the names of leases for work of one process that is no destination
_NEXT: Final = Statement("SELECT min(destination) FROM outbox WHERE destination > :after")
_NAMED: Final = Statement("SELECT name, became, expires, retired FROM destination ORDER BY name")
_ROWS: Final = Statement(
    "SELECT state, is_critical, count(*) FROM (SELECT state, is_critical FROM outbox WHERE destination = :destination"
    " AND state IN ('waiting', 'held', 'planned', 'to_stop') LIMIT :most) found GROUP BY state, is_critical"
)
_MESSAGES: Final = Statement(
    "SELECT state, is_critical, count(*) FROM (SELECT state, is_critical FROM message WHERE destination = :destination"
    " AND state IN ('queued', 'sending', 'indeterminate', 'held') LIMIT :most) found GROUP BY state, is_critical"
)
_DEAD: Final = Statement(
    "SELECT m.state, m.is_critical, 1 FROM message m WHERE m.destination = :destination AND m.state = 'dead_letter'"  # noqa: S608 (constants)
    f" AND m.reason NOT IN (:unsent, :seen, :erased) AND coalesce(m.closed, m.made) > :retired{IS_LAST} LIMIT :most"
)
_CLOSE_ROWS: Final = Statement(
    "UPDATE outbox SET state = 'nothing', reason = :reason, settled = :now WHERE destination = :destination"
    " AND state IN ('waiting', 'held', 'planned', 'to_stop') RETURNING number"
)
_CLOSE_DOUBTFUL: Final = Statement(
    "UPDATE message SET state = 'dead_letter', reason = :reason, closed = :now WHERE destination = :destination"
    " AND state IN ('queued', 'sending', 'indeterminate', 'held')"
    " AND (state IN ('sending', 'indeterminate') OR doubts > 0) RETURNING number"
)
_CLOSE_UNSENT: Final = Statement(
    "UPDATE message SET state = 'dead_letter', reason = :reason, closed = :now WHERE destination = :destination"
    " AND state IN ('queued', 'held') RETURNING number"
)
_FREE_LANES: Final = Statement("DELETE FROM lane WHERE destination = :destination")
_RETIRE: Final = Statement("UPDATE destination SET retired = :now WHERE name = :destination")

_IS_DOUBTFUL: Final = (
    " EXISTS (SELECT 1 FROM lane l WHERE l.destination = :destination AND l.study_id = :study_id AND l.reason = :doubt)"
)
# A withdrawal stays owed, although the report is known to be there
_SAYS_SO: Final = " AND kind NOT IN ('withdrawn', 'addendum_cancelled', 'draft_cancelled', 'moved')"
# Everything that was open in the restored copy, and rows held for the same doubt since
_LEAVE_ROWS: Final = Statement(
    "UPDATE outbox SET state = 'left', reason = :doubt, settled = :now WHERE study_id = :study_id"  # noqa: S608 (constants)
    " AND destination = :destination AND ((state = 'held' AND reason = :doubt) OR (decided <= :until"
    f" AND state IN ('waiting', 'held', 'planned', 'to_stop') AND{_IS_DOUBTFUL})){_SAYS_SO} RETURNING number"
)
_LEAVE_MESSAGES: Final = Statement(
    "UPDATE message SET state = 'dead_letter', reason = :seen, closed = :now WHERE destination = :destination"  # noqa: S608 (constants)
    " AND study_id = :study_id AND state IN ('queued', 'indeterminate', 'held') AND made <= :until"
    f" AND{_IS_DOUBTFUL}{_SAYS_SO} RETURNING number"
)
_IS_HELD_SO: Final = Statement(
    "SELECT 1 FROM lane WHERE destination = :destination AND study_id = :study_id AND reason = :doubt"
)


@dataclass(frozen=True, slots=True)
class OpenWork:
    """Open work of a destination: the count by state, and how many are critical.

    `became` is the present name of a renamed destination. `is_served` is True while a gateway with other settings
    sends.
    """

    name: str
    counts: Counter[str] = field(default_factory=Counter)
    critical: int = 0
    became: str = ""
    is_served: bool = False

    @property
    def open(self) -> int:
        """Number of open reports and messages."""
        return self.counts.total()

    def __str__(self) -> str:
        """Describe the open work and the remedy."""
        states = ", ".join(f"{state.replace('_', ' ')} {count}" for state, count in sorted(self.counts.items()))
        critical = f", {self.critical} of it critical" if self.critical else ""
        remedy = f"write formerly in its new table, or `feed retire {self.name} --reason …`"
        if self.became:
            remedy = f"it is called {self.became} now: restart the gateway that still has the old settings"
        elif self.is_served:
            remedy = "a gateway with other settings sends there"
        return f"not in the settings, and open: {states}{critical}; {remedy}"


@dataclass(frozen=True, slots=True)
class ClosedWork:
    """Counts of closed work: outbox rows not sent, messages not sent, and messages that may have arrived."""

    untold: int
    unsent: int
    in_doubt: int


class StillServed(Exception):
    """Another process sends to the destination: nothing was closed."""


async def known(engine: Engine) -> list[str]:
    """Return the present name of every destination that the database has ever known, in order.

    A former name is included while outbox rows stand under it.
    """
    rows = await engine.fetch(_NAMED)
    names = {str(name) for name, became, *_ in rows if not became and not str(name).startswith(_OTHER_LEASE)}
    after = ""
    while (name := (await engine.fetch(_NEXT, after=after))[0][0]) is not None:
        names.add(after := str(name))
    return sorted(names)


async def left(engine: Engine, but: Collection[str], most: int = ALL) -> list[OpenWork]:
    """Count the open work of each destination in the database, except for those `but`; `most` bounds each count.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    now = await engine.now()
    rows = {str(name): more for name, *more in await engine.fetch(_NAMED)}
    open_work = []
    for name in await known(engine):
        if name not in but:
            became, expires, retired = rows.get(name, ("", 0, 0))
            work = await _left(engine, name, int(retired), most)
            work = OpenWork(name, work.counts, work.critical, str(became), int(expires) > now)
            open_work += [work] if work.open else []
    return open_work


def retired(destination: str, reason: str, now: int, at: int) -> Steps[ClosedWork]:
    """Close the open work of a destination; `now` in microseconds, `at` the same instant by the database's clock.

    Raises:
        StillServed: another process sends there.
    """
    yield from locked(destination)
    expires = next((int(row[2]) for row in (yield from ask(_NAMED)) if row[0] == destination), 0)
    if expires > at:
        raise StillServed
    key = {"destination": destination, "now": now}
    untold = yield from ask(_CLOSE_ROWS, **key, reason=RETIRED)
    in_doubt = yield from ask(_CLOSE_DOUBTFUL, **key, reason=IN_DOUBT)
    unsent = yield from ask(_CLOSE_UNSENT, **key, reason=RETIRED)
    yield from ask(_FREE_LANES, destination=destination)
    yield from note_all_news(destination)
    yield from ask(_RETIRE, **key)
    yield from noted("feed-retire", destination, reason, now)
    return ClosedWork(len(untold), len(unsent), len(in_doubt))


def seen_there(destination: str, study_id: str, reason: str, now: int) -> Steps[tuple[int, int]]:
    """Close what may have been sent of a study, since the receiver has it; return the counts of rows and messages.

    Later work goes on, and so do withdrawals.
    """
    yield from locked(destination)
    lane = {"destination": destination, "study_id": study_id, "doubt": MAY_HAVE_BEEN_SENT}
    key = {**lane, "until": (yield from doubt_ends(destination)), "now": now}
    rows = yield from ask(_LEAVE_ROWS, **key)
    messages = yield from ask(_LEAVE_MESSAGES, **key, seen=SEEN_THERE)
    if (yield from ask(_IS_HELD_SO, **lane)):
        yield from free_lane(destination, study_id)
    yield from noted("feed-leave", f"{destination} {study_id}", reason, now)
    return len(rows), len(messages)


async def _left(engine: Engine, name: str, retired_at: int, most: int) -> OpenWork:
    key = {"destination": name, "most": most}
    rows = [
        *await engine.fetch(_ROWS, **key),
        *await engine.fetch(_MESSAGES, **key),
        *await engine.fetch(_DEAD, **key, retired=retired_at, unsent=UNSENT, seen=SEEN_THERE, erased=ERASED),
    ]
    counts: Counter[str] = Counter()
    for state, _, count in rows:
        counts[str(state)] += int(count)
    return OpenWork(name, counts, sum(int(count) for _, is_critical, count in rows if is_critical))
