"""Record of the crawl: studies listed, studies to read and by which process, progress of sweeps, erased studies.

Carries out no clause of a standard; decisions D20, D33. A study that was erased is not read again.
Proved by tests/gateway/crawl/test_sharing.py and tests/contract/test_coverage.py.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from gateway.runtime import clock
from gateway.runtime.log import get_logger
from gateway.store.database.engine import (
    CRAWL,
    Bulk,
    Engine,
    PerDialect,
    Statement,
    Steps,
    ask,
    ask_each,
    ask_rows,
    micros,
)
from gateway.store.database.facts import noted
from gateway.store.database.kept import unpacked

_LABEL: Final = b"autoscribe-gateway:erased:1:"
_MARK: Final = Statement("INSERT INTO erased (digest, erased) VALUES (:digest, :now) ON CONFLICT DO NOTHING")
_AMONG: Final = Statement("SELECT digest FROM erased WHERE digest IN listed(:digests)")
_UNMARK: Final = Statement("DELETE FROM erased WHERE digest = :digest RETURNING digest")


def marker(study_id: str, key: bytes) -> str:
    """Return the digest that marks a study as erased."""
    return hmac.digest(key, _LABEL + study_id.encode("utf-8", "replace"), hashlib.sha256).hex()


def marked(study_ids: Iterable[str], key: bytes, now: int) -> Steps[None]:
    """Mark studies as erased, so that the crawl does not ingest them again."""
    yield from ask_each(_MARK, [{"digest": marker(one, key), "now": now} for one in study_ids])


async def erased_among(engine: Engine, study_ids: Iterable[str], key: bytes) -> set[str]:
    """Return the erased ones among these studies."""
    by_digest = {marker(one, key): one for one in study_ids}
    rows = await engine.fetch(_AMONG, digests=json.dumps(list(by_digest))) if by_digest else ()
    return {by_digest[str(digest)] for (digest,) in rows}


def readmitted(study_id: str, key: bytes, reason: str, now: int) -> Steps[bool]:
    """Remove the mark of an erased study, and write the act to the audit; False if it was not erased."""
    was_erased = bool((yield from ask(_UNMARK, digest=marker(study_id, key))))
    if was_erased:
        yield from noted("patients-readmit", study_id, reason, now)
    return was_erased


Json = Mapping[str, Any]
_AT_A_TIME: Final = 500
_FEW: Final = 50
_SECONDS: Final = 60.0
_KNOWN: Final = Statement("SELECT study_id, listed_digest, fetched FROM study WHERE study_id IN listed(:study_ids)")
_LIST: Final = Statement("UPDATE study SET listed = :now WHERE study_id = :study_id")
_MISSING: Final = Statement("SELECT study_id FROM study WHERE has_signed = 1 AND listed < :before AND is_external = 0")
_STUDIES: Final = Statement("SELECT study_id FROM study WHERE study_id > :after ORDER BY study_id LIMIT :most")
_STORED: Final = Statement("SELECT count(*) FROM study")
# Ids are random: the first ones are a sample
_SAMPLE: Final = Statement(
    "SELECT study_id, received FROM study WHERE study_id > :after AND is_external = 0 ORDER BY study_id LIMIT :most"
)
_GET: Final = Statement("SELECT value FROM cursor WHERE name = :name")
_PUT: Final = Statement(
    "INSERT INTO cursor (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)


def digest_of(value: Any) -> str:
    """Return a digest of JSON that does not depend on the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


async def all_studies(engine: Engine) -> AsyncIterator[str]:
    """Yield the ids of all stored studies, reading a few hundred at a time."""
    after = ""
    while rows := await engine.fetch(_STUDIES, after=after, most=_AT_A_TIME):
        for (study_id,) in rows:
            yield str(study_id)
        after = str(rows[-1][0])


async def has_studies(engine: Engine) -> bool:
    """True if a study is stored."""
    return bool(await engine.fetch(_STUDIES, after="", most=1))


async def studies_stored(engine: Engine) -> int:
    """Count the stored studies."""
    return int((await engine.fetch(_STORED))[0][0])


async def sample(engine: Engine, most: int) -> AsyncIterator[tuple[Json, Any]]:
    """Yield at most this many stored studies at random, each with its reports, as AutoScribe sent them."""
    after, left = "", most
    while left and (rows := await engine.fetch(_SAMPLE, after=after, most=min(left, _FEW))):
        for _, packed in rows:
            received = unpacked(packed)
            yield received["study"], received["reports"]
        after, left = str(rows[-1][0]), left - len(rows)


class StoredStudies:
    """Knowledge of the stored studies, so that the crawl does not fetch unchanged ones again."""

    def __init__(self, engine: Engine, site_key: bytes) -> None:
        self._engine, self._site_key = engine, site_key

    async def stale(self, listed: Sequence[Json], stale_before: Callable[[Json], datetime]) -> list[str]:
        """Record that these studies were listed now, and return the ids of those to fetch.

        Those are studies that are unknown, that differ from the stored ones, or whose reports were fetched before the
        instant that `stale_before` gives. A study that was erased on order is none of them.
        """
        ids = [str(one["studyId"]) for one in listed]
        rows = await self._engine.fetch(_KNOWN, study_ids=json.dumps(ids))
        known = {str(study_id): (str(digest), int(fetched)) for study_id, digest, fetched in rows}
        now = micros(clock.now())
        if known:
            # In one order, so that two processes that note the same studies do not deadlock
            notes = [{"study_id": study_id, "now": now} for study_id in sorted(known)]
            await self._engine.do(lambda: ask_each(_LIST, notes))
        erased = await erased_among(self._engine, [one for one in ids if one not in known], self._site_key)
        return [
            study_id
            for study_id, one in zip(ids, listed, strict=True)
            if study_id not in erased
            and (
                study_id not in known
                or known[study_id][0] != digest_of(one)
                or known[study_id][1] < micros(stale_before(one))
            )
        ]

    async def missing(self, sweep_started: datetime) -> list[str]:
        """Return the ids of studies with signed reports that were not listed or ingested since that instant.

        The crawl asks with the start of the sweep that ended, and with that of an earlier one.
        """
        compiled = _MISSING.compiled(self._engine.dialect)  # every study, if AutoScribe lists none
        values = compiled.positional({"before": micros(sweep_started)})
        rows = await self._engine.scan(compiled.sql, values, _SECONDS)
        return sorted(str(study_id) for (study_id,) in rows)


class StoredCursors:
    """Stored positions of loops, each a name with JSON, so that a loop goes on after a restart."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def get(self, name: str) -> Json | None:
        """Return the value stored under that name; None if there is none."""
        rows = await self._engine.fetch(_GET, name=name)
        value: Json | None = json.loads(rows[0][0]) if rows else None
        return value

    async def put(self, name: str, value: Json) -> None:
        """Store a value under a name."""
        await self._engine.do(lambda: ask(_PUT, name=name, value=json.dumps(dict(value))))


_SECOND: Final = 1_000_000
_NOW: Final = "CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS BIGINT)"
# A process that was away for long joins anew, behind the others
_BEAT: Final = PerDialect(
    {
        "postgresql": Statement(
            f"INSERT INTO crawler (holder, joined, until, closed) VALUES (:holder, {_NOW}, {_NOW} + :length,"  # noqa: S608 (constants)
            f" {_NOW} + :closed) ON CONFLICT (holder) DO UPDATE SET until = excluded.until, closed = excluded.closed,"
            " joined = CASE WHEN crawler.until < excluded.joined THEN excluded.joined ELSE crawler.joined END"
        )
    }
)
_ALIVE: Final = PerDialect(
    {
        "postgresql": Statement(
            f"SELECT holder, closed - {_NOW} FROM crawler WHERE until > {_NOW} ORDER BY joined, holder"  # noqa: S608 (constants)
        )
    }
)
_LEAVE: Final = PerDialect(
    {"postgresql": Statement(f"DELETE FROM crawler WHERE holder = :holder OR until < {_NOW} - 86400000000")}  # noqa: S608 (constants)
)


@dataclass(frozen=True, slots=True)
class Standing:
    """Place of a process among those that share the crawl: how many they are, if it is the first, seconds to wait."""

    processes: int
    is_first: bool
    closed_for: float


class Crawlers:
    """Register of the processes that share the crawl. Every method raises `StoreUnavailable`."""

    def __init__(self, engine: Engine, holder: str, seconds: float) -> None:
        self._engine, self._holder, self._seconds = engine, holder, seconds

    async def beat(self, closed_for: float) -> Standing:
        """Record that this process is alive and how long AutoScribe asked it to wait; return its place."""
        values = {"length": int(self._seconds * _SECOND), "closed": int(max(0.0, closed_for) * _SECOND)}

        def work() -> Steps[Standing]:
            yield from ask(_BEAT, holder=self._holder, **values)
            alive = yield from ask(_ALIVE)
            closed = max((int(closed) for _, closed in alive), default=0)
            return Standing(len(alive), bool(alive) and alive[0][0] == self._holder, max(0, closed) / _SECOND)

        return await self._engine.do(work)

    async def leave(self) -> None:
        """Remove this process from the register."""
        await self._engine.do(lambda: ask(_LEAVE, holder=self._holder))


Read = TypeVar("Read")


async def kept_position(
    cursors: StoredCursors, name: str, read: Callable[[Mapping[str, Any]], Read], otherwise: Read
) -> Read:
    """Return the stored position, decoded by `read`; `otherwise` if there is none or it is unreadable."""
    value = await cursors.get(name)
    try:
        return otherwise if value is None else read(value)
    except (AttributeError, KeyError, TypeError, ValueError):
        get_logger().warning("position-not-understood", operation=name)
        return otherwise


NAME: Final = "sweep"
_LARGEST_PAGE: Final = 100
_PAGE_SIZES: Final = 8
SMALLEST_PAGE: Final = _LARGEST_PAGE - _PAGE_SIZES + 1


@dataclass(frozen=True, slots=True)
class Running:
    """Sweep in progress, at the page of `cursor` (empty: the first). `pages` and `studies` count those before it."""

    started: datetime
    cursor: str = ""
    pages: int = 0
    studies: int = 0


@dataclass(frozen=True, slots=True)
class Finished:
    """Last completed sweep: all that existed when it started, and has not changed since, is in the index."""

    started: datetime
    ended: datetime
    studies: int


@dataclass(frozen=True, slots=True)
class SweepRecord:
    """Progress of sweeps: `sweeps` counts completed ones; `starts` has the last start times, newest first.

    `not_listed` counts the studies with signed reports that none of these listed.
    """

    sweeps: int = 0
    running: Running | None = None
    finished: Finished | None = None
    starts: tuple[datetime, ...] = ()
    not_listed: int = 0

    @property
    def page_size(self) -> int:
        """Page size, different for each sweep: a study missed between two pages is seen in the next sweep."""
        return _LARGEST_PAGE - self.sweeps % _PAGE_SIZES

    @property
    def studies_seen(self) -> int:
        """Number of studies listed so far in the present sweep; AutoScribe does not say how many there are."""
        return self.running.studies if self.running else 0

    @property
    def most_studies(self) -> int:
        """Number of studies in AutoScribe, as far as known: in the last sweep or the present one, whichever is more."""
        return max(self.studies_seen, self.finished.studies if self.finished else 0)

    @property
    def percent(self) -> int | None:
        """Share of the present sweep that is done, judged by the size of the last; at most 99. None if unknown."""
        if self.running is None or self.finished is None or not self.finished.studies:
            return None
        return min(99, 100 * self.running.studies // self.finished.studies)

    def is_current(self, now: datetime, max_age: float) -> bool:
        """True if a sweep was completed at most that many seconds ago. Else answers from the index are `incomplete`."""
        return self.finished is not None and now - self.finished.ended <= timedelta(seconds=max_age)

    def as_json(self) -> dict[str, Any]:
        """Return the record as JSON for storage."""
        return {
            "sweeps": self.sweeps,
            "running": self.running and _plain(asdict(self.running)),
            "finished": self.finished and _plain(asdict(self.finished)),
            "starts": [start.isoformat() for start in self.starts],
            "not_listed": self.not_listed,
        }


async def read_record(cursors: StoredCursors) -> SweepRecord:
    """Read the sweep's progress, as last stored by the process that runs it."""
    return await kept_position(cursors, NAME, _record, SweepRecord())


def _record(value: Mapping[str, Any]) -> SweepRecord:
    running, finished = value["running"], value["finished"]
    return SweepRecord(
        value["sweeps"],
        Running(**_with_instants(running)) if running else None,
        Finished(**_with_instants(finished)) if finished else None,
        tuple(datetime.fromisoformat(start) for start in value["starts"]),
        value.get("not_listed", 0),
    )


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in values.items()}


def _with_instants(values: Mapping[str, Any]) -> dict[str, Any]:
    instants = {key: datetime.fromisoformat(values[key]) for key in ("started", "ended") if key in values}
    return {**values, **instants}


def _there(sql: str) -> PerDialect:
    return PerDialect({"postgresql": Statement(sql.replace("{now}", _NOW))})


# `asked` counts: a study that is asked for again while somebody reads it is read once more
_ADD: Final = Bulk(
    "study_id TEXT, loop TEXT, listed TEXT",
    f"INSERT INTO to_read (study_id, loop, listed, due, asked, attempts, holder) SELECT study_id, loop, listed, {_NOW},"  # noqa: S608 (constants)
    " 1, 0, '' FROM {rows} ORDER BY study_id ON CONFLICT (study_id) DO UPDATE SET listed = excluded.listed,"
    " asked = to_read.asked + 1, due = CASE WHEN to_read.holder = '' THEN excluded.due ELSE to_read.due END",
    (),
)
_CLAIM: Final = _there(
    "UPDATE to_read SET holder = :holder, due = {now} + :length WHERE study_id IN (SELECT study_id FROM to_read"
    " WHERE due <= {now} ORDER BY due LIMIT :most FOR UPDATE SKIP LOCKED)"
    " RETURNING study_id, loop, listed, asked, attempts"
)
# The first step of whatever changes several: in the order of `_ADD`, so that the two do not deadlock
_LOCK: Final = _there(
    "SELECT study_id FROM to_read WHERE holder = :holder AND study_id IN listed(:ids) ORDER BY study_id FOR UPDATE"
)
_RENEW: Final = _there("UPDATE to_read SET due = {now} + :length WHERE holder = :holder AND study_id IN listed(:ids)")
_RELEASE: Final = _there(
    "UPDATE to_read SET due = {now}, holder = '' WHERE holder = :holder AND study_id IN listed(:ids)"
)
_DROP: Final = Bulk(
    "study_id TEXT, asked BIGINT, holder TEXT",
    "DELETE FROM to_read t USING {rows} WHERE t.study_id = row.study_id AND t.asked = row.asked"
    " AND t.holder = row.holder",
    (),
)
# What is left of the same claims was asked for again: it is due at once
_AGAIN: Final = Bulk(
    "study_id TEXT, wait BIGINT, failed BIGINT, holder TEXT",
    f"UPDATE to_read t SET holder = '', due = {_NOW} + row.wait, attempts = t.attempts + row.failed FROM {{rows}}"  # noqa: S608 (constants)
    " WHERE t.study_id = row.study_id AND t.holder = row.holder",
    (),
)
_NEW: Final = _there("SELECT count(*) FROM to_read WHERE study_id IN listed(:ids) AND attempts = 0")


@dataclass(frozen=True, slots=True)
class Claimed:
    """Study that a process claimed to read, with the loop that found it and the number of failed tries."""

    study_id: str
    loop: str
    listed: Json | None
    asked: int
    attempts: int


@dataclass(frozen=True, slots=True)
class Settled:
    """Outcome of a claimed study: done or given up, or (with `wait`) to be tried again after that many seconds."""

    claim: Claimed
    wait: float | None = None


class ToRead:
    """Queue of studies to read, shared by processes; claims end after `seconds` unless renewed.

    Every method raises `StoreUnavailable`.
    """

    def __init__(self, engine: Engine, holder: str, seconds: float) -> None:
        self._engine, self._holder, self._length = engine, holder, int(seconds * _SECOND)
        self._claimed: set[str] = set()

    async def add(self, loop: str, given: Iterable[tuple[str, Json | None]]) -> None:
        """Queue studies, each with its listing if there is one."""
        rows = [
            {"study_id": study_id, "loop": loop, "listed": None if listed is None else json.dumps(listed)}
            for study_id, listed in dict(given).items()
        ]
        await self._engine.do(lambda: ask_rows(_ADD, rows))
        self._engine.bell.ring(CRAWL)

    async def turn(self, settled: Sequence[Settled], held: Collection[str], most: int) -> list[Claimed]:
        """Store the outcomes of claims, renew the claims of studies still `held`, and claim at most so many more."""
        changed = [*(one.claim.study_id for one in settled), *held]

        def work() -> Steps[list[Claimed]]:
            if changed:
                yield from ask(_LOCK, holder=self._holder, ids=json.dumps(changed))
            yield from self._settle(settled)
            length = self._length
            if held:
                yield from ask(_RENEW, holder=self._holder, length=length, ids=json.dumps(list(held)))
            rows = (yield from ask(_CLAIM, holder=self._holder, length=length, most=most)) if most else []
            return [
                Claimed(str(study_id), str(loop), None if listed is None else json.loads(listed), asked, attempts)
                for study_id, loop, listed, asked, attempts in rows
            ]

        claims = await self._engine.do(work)
        self._claimed -= {one.claim.study_id for one in settled}
        self._claimed |= {one.study_id for one in claims}
        return claims

    async def unread(self, study_ids: Sequence[str]) -> int:
        """Count those of these studies that are still queued and were never tried."""
        return int((await self._engine.do(lambda: ask(_NEW, ids=json.dumps(study_ids))))[0][0])

    async def release(self) -> None:
        """Give back all claims of this process."""
        ids = json.dumps(sorted(self._claimed))

        def work() -> Steps[None]:
            yield from ask(_LOCK, holder=self._holder, ids=ids)
            yield from ask(_RELEASE, holder=self._holder, ids=ids)

        await self._engine.do(work)

    def _settle(self, settled: Sequence[Settled]) -> Steps[None]:
        of = sorted(settled, key=lambda one: one.claim.study_id)
        over = [{"study_id": one.claim.study_id, "asked": one.claim.asked} for one in of if one.wait is None]
        yield from ask_rows(_DROP, [{**one, "holder": self._holder} for one in over])
        again = [
            {
                "study_id": one.claim.study_id,
                "wait": int((one.wait or 0) * _SECOND),
                "failed": int(one.wait is not None),
                "holder": self._holder,
            }
            for one in of
        ]
        yield from ask_rows(_AGAIN, again)
