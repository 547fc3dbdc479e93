"""Rename destinations in the database, close the open work of those that left the settings, and keep certificates.

Carries out no clause of a standard; decisions D31, D34, D49, D53. One run makes certificates at a time, in one process,
which says every few seconds that it lives. An erasure ends it, so that it stores nothing of what was erased.
Proved by tests/contract/test_renaming.py and tests/contract/test_certificate_runs.py.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from gateway.store.database.engine import Engine, Statement, Steps, ask, ask_each
from gateway.store.database.facts import noted
from gateway.store.database.feed_schema import DESTINATION
from gateway.store.database.schema import METADATA
from gateway.store.feed.leases import lock_destination
from gateway.store.feed.ledger import IS_LAST
from gateway.store.feed.messages import free_lane
from gateway.store.feed.order_news import note_all_news
from gateway.store.feed.restoring import doubt_ends
from gateway.store.feed.states import ERASED, MAY_HAVE_BEEN_SENT, SEEN_THERE, UNSENT

_COLUMNS: Final = tuple(one.name for one in DESTINATION.columns if one.name != "name")
_NAMED: Final = Statement(f"SELECT {', '.join(_COLUMNS)} FROM destination WHERE name = :name")  # noqa: S608 (constants)
_NAMES: Final = Statement("SELECT became, origin FROM destination WHERE name = :name")
_HAS_ROWS: Final = Statement("SELECT 1 FROM outbox WHERE destination = :name LIMIT 1")
_HAS_MESSAGES: Final = Statement("SELECT 1 FROM message WHERE destination = :name LIMIT 1")
_PUT: Final = Statement(
    f"UPDATE destination SET {', '.join(f'{one} = :{one}' for one in _COLUMNS)} WHERE name = :name"  # noqa: S608
)
_FOLLOW: Final = Statement("UPDATE destination SET became = :new WHERE became = :old")
# A process with the old settings may have written rows under the old name: one row of each cause is enough
_SAID_TWICE: Final = Statement(
    "UPDATE outbox SET destination = :new, state = 'merged', reason = 'renamed', settled = :now"
    " WHERE destination = :old AND state = 'waiting' AND EXISTS (SELECT 1 FROM outbox n"
    " WHERE n.study_id = outbox.study_id AND n.destination = :new AND n.report_id = outbox.report_id"
    " AND n.kind = outbox.kind AND n.content_version = outbox.content_version AND n.replay = outbox.replay"
    " AND n.state IN ('waiting', 'held', 'rendered', 'merged'))"
)


def _as_before(state: str, *before: str) -> Statement:
    """Return an update that settles rows of the new name which the former name has already, in one of those states."""
    return Statement(
        f"UPDATE outbox SET state = '{state}', reason = 'renamed', settled = :now"  # noqa: S608 (constants)
        " WHERE destination = :new AND state IN ('planned', 'excluded', 'before_start') AND EXISTS (SELECT 1"
        " FROM outbox o WHERE o.study_id = outbox.study_id AND o.destination = :old"
        " AND o.report_id = outbox.report_id AND o.kind = outbox.kind AND o.content_version = outbox.content_version"
        f" AND o.state IN ({', '.join(map(repr, before))}))"
    )


_TOLD_BEFORE: Final = _as_before("merged", "waiting", "held", "rendered", "merged")
_LEFT_BEFORE: Final = _as_before("left", "left")
_MOVE: Final = {
    table.name: Statement(f"UPDATE {table.name} SET destination = :new WHERE destination = :old")  # noqa: S608 (constants)
    for table in METADATA.sorted_tables
    if "destination" in table.columns
}
_IN_FORCE: Final = Statement("UPDATE in_force SET name = :new WHERE name = :old")
# One alert is enough if it stands under both names
_TOLD_TWICE: Final = Statement(
    "DELETE FROM alert WHERE destination = :old AND code IN (SELECT n.code FROM alert n WHERE n.destination = :new)"
)
_CERTIFIED_TWICE: Final = Statement(
    "DELETE FROM certificate WHERE destination = :old"
    " AND EXISTS (SELECT 1 FROM certificate n WHERE n.destination = :new)"
)
_FACTS: Final = Statement("SELECT name FROM fact ORDER BY name")  # a few for each destination
_DROP_FACT: Final = Statement("DELETE FROM fact WHERE name = :new")
_MOVE_FACT: Final = Statement("UPDATE fact SET name = :new WHERE name = :old")


class NotRenamed(Exception):
    """The destination cannot take the name: messages exist under both names, or one was renamed to `name`."""

    def __init__(self, name: str = "") -> None:
        super().__init__()
        self.name = name


def renamed(old: str, new: str, now: int) -> Steps[bool]:
    """Move everything stored under the old name to the new one; False if there is nothing, or it was moved before.

    Raises:
        NotRenamed: there are messages under both names, or one of them was renamed since.
    """
    if not (yield from _is_known(old)):
        return False
    for name in sorted((old, new)):  # in one order, so that two renaming processes do not deadlock
        yield from lock_destination(name)
    is_new = yield from is_to_be_renamed(old, new)
    if is_new:
        yield from _take_over(old, new)
        yield from noted("feed-rename", f"{old} {new}", "", now)
    names = {"old": old, "new": new}
    if (yield from ask(_HAS_ROWS, name=old)):
        yield from ask(_SAID_TWICE, **names, now=now)
        yield from ask(_TOLD_BEFORE, **names, now=now)
        yield from ask(_LEFT_BEFORE, **names, now=now)
    for statement in (_TOLD_TWICE, _CERTIFIED_TWICE, *_MOVE.values(), _IN_FORCE):
        yield from ask(statement, **names)
    return is_new


def is_to_be_renamed(old: str, new: str) -> Steps[bool]:
    """True if the new name has not yet replaced the old one.

    Raises:
        NotRenamed: there are messages under both names, or one of them was renamed since.
    """
    if not (yield from _is_known(old)):
        return False
    became = yield from _became(old)
    for name, own in ((became, {"", new}), ((yield from _became(new)), {"", old})):
        if name not in own:
            raise NotRenamed(name)
    if not became and (yield from ask(_HAS_MESSAGES, name=new)):
        raise NotRenamed
    return not became


async def known_as(engine: Engine, name: str, formerly: str) -> str:
    """Return the name under which the database has a destination: the former one until it is renamed."""
    try:
        is_old = bool(formerly) and await engine.do(partial(is_to_be_renamed, formerly, name))
    except NotRenamed:  # reported when something is written
        is_old = False
    return formerly if is_old else name


async def now_called(engine: Engine, name: str) -> str:
    """Return the present name of a destination that was once called this; empty if it was not renamed."""
    rows = await engine.fetch(_NAMES, name=name)
    return str(rows[0][0]) if rows else ""


async def origin(engine: Engine, name: str) -> str:
    """Return the first name that a destination ever had; control ids are made from it."""
    rows = await engine.fetch(_NAMES, name=name)
    return str(rows[0][1] if rows else "") or name


def _is_known(name: str) -> Steps[bool]:
    rows = yield from ask(_NAMES, name=name)
    return bool(rows or (yield from ask(_HAS_ROWS, name=name)))


def _became(name: str) -> Steps[str]:
    rows = yield from ask(_NAMES, name=name)
    return str(rows[0][0]) if rows else ""


def _row(name: str) -> Steps[dict[str, Any]]:
    rows = yield from ask(_NAMED, name=name)
    return dict(zip(_COLUMNS, rows[0], strict=True))


def _take_over(old: str, new: str) -> Steps[None]:
    """Move the destination's row to the new name, with lease and pause, and end the leases under both names.

    The holders of both leases lose them, and the next holder waits until both have expired.
    """
    before, after = (yield from _row(old)), (yield from _row(new))
    first = before["origin"] or old
    fence, expires = max(before["fence"], after["fence"]) + 1, max(before["expires"], after["expires"])
    kept = before | {"origin": "" if first == new else first, "fence": fence, "expires": expires}
    if not before["paused"]:
        kept |= {key: after[key] for key in ("paused", "paused_since")}
    free = {"holder": "", "expires": 0, "paused": "", "paused_since": None}
    gone = after | free | {"became": new, "origin": "", "fence": fence}
    yield from ask(_FOLLOW, old=old, new=new)
    yield from ask(_PUT, name=new, **kept)
    yield from ask(_PUT, name=old, **gone)
    for (fact,) in (yield from ask(_FACTS)):
        kind, colon, name = str(fact).rpartition(":")
        if colon and name == old:
            yield from ask(_DROP_FACT, new=f"{kind}:{new}")
            yield from ask(_MOVE_FACT, old=fact, new=f"{kind}:{new}")


RETIRED: Final = "retired"
IN_DOUBT: Final = "retired-in-doubt"  # it was sent there, and its result is unknown
ALL: Final = 2**31 - 1
_OTHER_LEASE: Final = "*"  # begins the names of leases for work of one process that is no destination
_NEXT: Final = Statement("SELECT min(destination) FROM outbox WHERE destination > :after")
_ALL_NAMED: Final = Statement("SELECT name, became, expires, retired FROM destination ORDER BY name")
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
    """Counts of closed work: outbox rows, messages not sent, and messages that may have arrived."""

    untold: int
    unsent: int
    in_doubt: int


class StillServed(Exception):
    """Another process still sends to the destination: nothing was closed."""


async def known(engine: Engine) -> list[str]:
    """Return the present names of all destinations that the database has ever known, sorted.

    A former name is included while outbox rows stand under it.
    """
    rows = await engine.fetch(_ALL_NAMED)
    names = {str(name) for name, became, *_ in rows if not became and not str(name).startswith(_OTHER_LEASE)}
    after = ""
    while (name := (await engine.fetch(_NEXT, after=after))[0][0]) is not None:
        names.add(after := str(name))
    return sorted(names)


async def open_work_of_each(engine: Engine, but: Collection[str], most: int = ALL) -> list[OpenWork]:
    """Count the open work of each destination in the database, except those in `but`; `most` bounds each count.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    now = await engine.now()
    rows = {str(name): more for name, *more in await engine.fetch(_ALL_NAMED)}
    open_work = []
    for name in await known(engine):
        if name not in but:
            became, expires, retired = rows.get(name, ("", 0, 0))
            work = await _left(engine, name, int(retired), most)
            work = OpenWork(name, work.counts, work.critical, str(became), int(expires) > now)
            open_work += [work] if work.open else []
    return open_work


def retired(destination: str, reason: str, now: int, at: int) -> Steps[ClosedWork]:
    """Close all open work of a destination; `now` in microseconds, `at` the same instant by the database's clock.

    Raises:
        StillServed: another process sends there.
    """
    yield from lock_destination(destination)
    expires = next((int(row[2]) for row in (yield from ask(_ALL_NAMED)) if row[0] == destination), 0)
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
    """Close what may have been sent of a study, since an operator saw it at the receiver; return the counts closed.

    Later work goes on, and so do withdrawals.
    """
    yield from lock_destination(destination)
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


SILENT: Final = 60_000_000  # microseconds after which a run is over that says nothing: its process ended
_BEGIN_RUN: Final = Statement(
    "INSERT INTO certificate_run (one, wanted, asked_by, began, seen, done, fault)"
    " VALUES (1, :wanted, :asked_by, :now, :now, 0, '') ON CONFLICT (one) DO UPDATE SET"
    " wanted = excluded.wanted, asked_by = excluded.asked_by, began = excluded.began, seen = excluded.seen,"
    " done = 0, total = NULL, ended = NULL, fault = ''"
    " WHERE certificate_run.ended IS NOT NULL OR certificate_run.seen < :silent RETURNING began"
)
_RUN_SEEN: Final = Statement(
    "UPDATE certificate_run SET seen = :now, done = :done, total = :total"
    " WHERE one = 1 AND began = :began AND ended IS NULL"
)
_END_RUN: Final = Statement(
    "UPDATE certificate_run SET ended = :now, fault = :fault WHERE one = 1 AND began = :began AND ended IS NULL"
    " RETURNING asked_by"
)
_KEEP_CERTIFICATE: Final = Statement(
    "INSERT INTO certificate (destination, asked_by, began, ended, document)"
    " VALUES (:destination, :asked_by, :began, :now, :document) ON CONFLICT (destination) DO UPDATE"
    " SET asked_by = excluded.asked_by, began = excluded.began, ended = excluded.ended, document = excluded.document"
)
_RUN: Final = Statement(
    "SELECT wanted, asked_by, began, seen, done, total, ended, fault FROM certificate_run WHERE one = 1"
)
_CERTIFIED: Final = Statement("SELECT destination, began FROM certificate WHERE destination IN listed(:names)")
_CERTIFICATE: Final = Statement(
    "SELECT asked_by, began, ended, document FROM certificate WHERE destination = :destination"
)


@dataclass(frozen=True, slots=True)
class CertificateRun:
    """Run that makes certificates, or the last one: of the `wanted` destination (empty: all), and who began it.

    It has counted `done` of `total` reports; the total is None until it is known. `ended` is None while it goes on.
    `fault` says why it ended without a certificate. Instants are in microseconds.
    """

    wanted: str
    asked_by: str
    began: int
    seen: int
    done: int
    total: int | None
    ended: int | None
    fault: str

    def goes_on(self, now: int) -> bool:
        """True if it has not ended, and its process has said so lately."""
        return self.ended is None and now - self.seen <= SILENT


@dataclass(frozen=True, slots=True)
class StoredCertificate:
    """Last certificate of a destination, as JSON, and who had it made. Instants are in microseconds."""

    asked_by: str
    began: int
    ended: int
    document: Mapping[str, Any]


class CertificateRuns:
    """Certificates made at the console. Every method raises `StoreUnavailable`; `now` is in microseconds."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def begin(self, wanted: str, asked_by: str, now: int) -> int | None:
        """Begin a run and return its begin; None if one goes on."""
        given = {"wanted": wanted, "asked_by": asked_by, "now": now, "silent": now - SILENT}
        rows = await self._engine.do(lambda: ask(_BEGIN_RUN, **given))
        return int(rows[0][0]) if rows else None

    async def seen(self, began: int, done: int, total: int | None, now: int) -> None:
        """Note how many reports a run has counted so far."""
        await self._engine.do(lambda: ask(_RUN_SEEN, began=began, done=done, total=total, now=now))

    async def end(self, began: int, now: int, documents: Mapping[str, Any], fault: str = "") -> bool:
        """End a run and keep its certificates; return False, and keep none, if it was ended before."""

        def work() -> Steps[bool]:
            if not (rows := (yield from ask(_END_RUN, began=began, now=now, fault=fault))):
                return False
            given = {"asked_by": rows[0][0], "began": began, "now": now}
            kept = [{**given, "destination": name, "document": json.dumps(one)} for name, one in documents.items()]
            yield from ask_each(_KEEP_CERTIFICATE, kept)
            return True

        return await self._engine.do(work)

    async def run(self) -> CertificateRun | None:
        """Return the run that goes on, or the last one; None if there was none."""
        rows = await self._engine.fetch(_RUN)
        return CertificateRun(*rows[0]) if rows else None

    async def stored(self, names: Collection[str]) -> dict[str, int]:
        """Return when the run of each destination's last certificate began."""
        rows = await self._engine.fetch(_CERTIFIED, names=json.dumps(list(names)))
        return {str(name): int(began) for name, began in rows}

    async def certificate(self, destination: str) -> StoredCertificate | None:
        """Return the last certificate of a destination, None if there is none."""
        rows = await self._engine.fetch(_CERTIFICATE, destination=destination)
        if not rows:
            return None
        asked_by, began, ended, document = rows[0]
        return StoredCertificate(asked_by, began, ended, json.loads(document))
