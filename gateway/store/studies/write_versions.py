"""Write resource versions: number new resources, skip unchanged ones, index changed ones, and the words of reports.

https://hl7.org/fhir/R4/http.html#versions. Words are for `_content`: https://www.sqlite.org/fts5.html,
https://www.postgresql.org/docs/current/textsearch.html, decision D41.
Proved by tests/contract/test_versions.py and tests/contract/test_report_words.py.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gateway.index.report_words import said_by
from gateway.store.database.engine import (
    Bulk,
    Engine,
    PerDialect,
    Row,
    Statement,
    Steps,
    Values,
    ask,
    ask_each,
    ask_rows,
    at_commit,
    inserting,
    rows_at_commit,
    unless_raced,
)
from gateway.store.database.facts import value_of
from gateway.store.database.kept import served_version

_OF_REPORTS: Final = "DiagnosticReport/"
# The last instant of those given to `count` versions
_GIVE_INSTANTS: Final = (
    "UPDATE tick SET last = CASE WHEN last < :now THEN :now ELSE last + 1 END + :count - 1 WHERE one = 1 RETURNING last"
)
# Runs of numbers that nobody else gets: the first of each, and its length
NUMBERS: Final = PerDialect(
    {
        "sqlite": Statement(
            "UPDATE tick SET resource = resource + :count WHERE one = 1 RETURNING resource - :count + 1, :count"
        ),
        "postgresql": Statement(
            "SELECT nextval('resource_number'), 1 FROM generate_series(1, CAST(:count AS INTEGER))"
        ),
    }
)
_OF_RESOURCE: Final = "number, address, type, owner, version, updated, as_of, is_suppressed, term_set"
_ANEW: Final = (
    "DO UPDATE SET owner = excluded.owner, version = excluded.version, updated = excluded.updated,"
    " as_of = excluded.as_of, is_suppressed = excluded.is_suppressed, term_set = excluded.term_set"
    " WHERE resource.number = excluded.number AND resource.version = excluded.version - 1"
    " AND resource.as_of <= excluded.as_of"
)
_LATER: Final = "as_of = CASE WHEN resource.as_of < {0} THEN {0} ELSE resource.as_of END"
# On PostgreSQL all of a commit in one statement: instants, versions, and what was confirmed. All parts read `tick`, so
# that its row is locked before theirs. An `as_of` that is missing is the version's own instant. Nothing is written over
# a version that another process wrote since `STANDING` was read
_ALL_DONE: Final = (
    "(SELECT count(*) FROM ticked) = 1 AND (SELECT count(*) FROM added) = :count"
    " AND (SELECT count(*) FROM confirmed) = cardinality(CAST(:same_number AS BIGINT[]))"
)
AT_COMMIT: Final = PerDialect(
    {
        "postgresql": Statement(
            f"WITH ticked AS ({_GIVE_INSTANTS}), given AS (SELECT row.number, row.address, row.type, row.owner,"  # noqa: S608 (constants)
            " row.version, ticked.last - :count + row.place AS updated,"
            " coalesce(row.as_of, ticked.last - :count + row.place) AS as_of, row.is_suppressed, row.term_set,"
            " row.faults, row.body"
            " FROM ticked, unnest(CAST(:number AS BIGINT[]), CAST(:address AS TEXT[]), CAST(:type AS TEXT[]),"
            " CAST(:owner AS TEXT[]), CAST(:version AS BIGINT[]), CAST(:as_of AS BIGINT[]),"
            " CAST(:is_suppressed AS BIGINT[]), CAST(:term_set AS BIGINT[]), CAST(:faults AS TEXT[]),"
            " CAST(:body AS BYTEA[])) WITH ORDINALITY"
            " AS row (number, address, type, owner, version, as_of, is_suppressed, term_set, faults, body, place)),"
            f" put AS (INSERT INTO resource ({_OF_RESOURCE}) SELECT {_OF_RESOURCE} FROM given"
            f" ON CONFLICT (address) {_ANEW} RETURNING number), added AS (INSERT INTO version"
            " (resource, version, updated, faults, body) SELECT g.number, g.version, g.updated, g.faults, g.body"
            " FROM given g JOIN put ON put.number = g.number RETURNING 1), confirmed AS (UPDATE resource"
            f" SET {_LATER.format('row.as_of')} FROM ticked, unnest(CAST(:same_number AS BIGINT[]),"
            " CAST(:same_version AS BIGINT[]), CAST(:same_as_of AS BIGINT[])) AS row (number, version, as_of)"
            " WHERE resource.number = row.number AND resource.version = row.version RETURNING 1)"
            f" SELECT {unless_raced('(SELECT count(*) FROM added)', _ALL_DONE)}"
        )
    }
)
# The same on SQLite, whose one writer races with nobody
TICK: Final = Statement(_GIVE_INSTANTS)
PUT_RESOURCE: Final = Statement(
    f"INSERT INTO resource ({_OF_RESOURCE}) VALUES (:{_OF_RESOURCE.replace(', ', ', :')})"  # noqa: S608 (constants)
    f" ON CONFLICT (number) {_ANEW}"
)
ADD_VERSION: Final = Statement(
    "INSERT INTO version (resource, version, updated, faults, body)"
    " VALUES (:number, :version, :updated, :faults, :body)"
)
CONFIRM: Final = Statement(
    f"UPDATE resource SET {_LATER.format(':as_of')} WHERE number = :number AND version = :version"  # noqa: S608 (constants)
)
# The same bytes in a shorter form, which another release may have written longer
SHORTEN: Final = Bulk(
    "number BIGINT, version BIGINT, body BYTEA",
    "UPDATE version SET body = row.body FROM {rows} WHERE version.resource = row.number"
    " AND version.version = row.version",
    ("UPDATE version SET body = :body WHERE resource = :number AND version = :version",),
)
DROP_TERMS: Final = Bulk(
    "number BIGINT",
    "DELETE FROM term USING {rows} WHERE term.resource = row.number",
    ("DELETE FROM term WHERE resource = :number",),
)
DROP_MOMENTS: Final = Bulk(
    "number BIGINT",
    "DELETE FROM moment USING {rows} WHERE moment.resource = row.number",
    ("DELETE FROM moment WHERE resource = :number",),
)
# A set that is there stays as it is. Two processes may add one at the same time in PostgreSQL: then its rows are there
# twice, which changes no answer
ADD_SHARED: Final = Bulk(
    "resource BIGINT, terms TEXT",
    "INSERT INTO term (resource, key, value) SELECT row.resource, CAST(one ->> 0 AS BIGINT), one ->> 1 FROM {rows},"
    " json_array_elements(CAST(row.terms AS json)) AS one"
    " WHERE NOT EXISTS (SELECT 1 FROM term t WHERE t.resource = row.resource)",
    (
        "INSERT INTO term (resource, key, value)"
        " SELECT :resource, json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(:terms)"
        " WHERE NOT EXISTS (SELECT 1 FROM term t WHERE t.resource = :resource)",
    ),
)
# For a resource whose version stays
SHARE: Final = Bulk(
    "number BIGINT, version BIGINT, term_set BIGINT",
    "UPDATE resource SET term_set = row.term_set FROM {rows} WHERE resource.number = row.number"
    " AND resource.version = row.version",
    ("UPDATE resource SET term_set = :term_set WHERE number = :number AND version = :version",),
)
ADD_TERM: Final = inserting("term", "resource BIGINT, key BIGINT, value TEXT")
ADD_MOMENT: Final = inserting("moment", "resource BIGINT, key BIGINT, low BIGINT, high BIGINT")


CURRENT: Final = Statement(
    "SELECT r.version, r.updated, r.is_suppressed, v.faults, v.body, s.fetched FROM resource r"
    " JOIN version v ON v.resource = r.number AND v.version = r.version"
    " LEFT JOIN study s ON s.study_id = r.owner WHERE r.address = :address"
)

if TYPE_CHECKING:  # what it reads is not for commands that only look
    from gateway.store.studies.shared_terms import TermSet
OF_CURRENT: Final = (
    "SELECT r.address, r.version, r.updated, r.is_suppressed, v.body FROM resource r"
    " JOIN version v ON v.resource = r.number AND v.version = r.version WHERE r.address IN listed(:addresses){limit}"
)
CURRENT_OF: Final = Statement(OF_CURRENT.replace("{limit}", ""))
STANDING: Final = Statement(
    "SELECT r.address, r.number, r.version, r.updated, r.as_of, r.is_suppressed, v.body, r.owner,"
    " r.term_set FROM resource r JOIN version v ON v.resource = r.number AND v.version = r.version"
    " WHERE r.address IN listed(:addresses)"
)
ONE_VERSION: Final = Statement(
    "SELECT v.version, v.updated, v.faults, v.body FROM resource r"
    " JOIN version v ON v.resource = r.number WHERE r.address = :address AND v.version = :version"
)
# Served versions that were made at or after `since` and were current between `at_low` and `at_high`
_OF_HISTORY: Final = (
    " FROM resource r JOIN version v ON v.resource = r.number WHERE r.address = :address AND v.faults IS NULL"
    " AND v.updated >= :since AND v.updated < :at_high AND NOT EXISTS (SELECT 1 FROM version n"
    " WHERE n.resource = v.resource AND n.version = v.version + 1 AND n.updated <= :at_low)"
)
HISTORY: Final = Statement(
    "SELECT v.version, v.updated, v.body" + _OF_HISTORY + " AND v.version < :before ORDER BY v.version DESC LIMIT :most"
)
COUNT_VERSIONS: Final = Statement("SELECT count(*)" + _OF_HISTORY)
HAS_RESOURCE: Final = Statement("SELECT 1 FROM resource WHERE address = :address")
OWNED: Final = Statement("SELECT address FROM resource WHERE owner = :owner")

_OF_VERSION: Final = (
    *("number", "address", "type", "owner", "version", "as_of", "is_suppressed", "term_set", "faults", "body"),
)


@dataclass(frozen=True, slots=True)
class RenderedVersion:
    """Resource to store: its bytes as in a row, without versionId and lastUpdated, and its index values.

    `owner` is its study, empty for a resource that several studies describe. `as_of` is when its source was read: an
    older source does not overwrite a newer one. None is the commit itself: a lock has kept its source as it is.
    `faults` is JSON if the validator rejects the resource. `words` are those of a report's text, None if not wanted.
    """

    address: str
    owner: str
    as_of: int | None
    stored: bytes
    faults: str | None
    terms: Iterable[tuple[int, str]]
    moments: Iterable[tuple[int, int, int]]
    term_set: TermSet | None = None
    words: str | None = None

    @property
    def is_report(self) -> bool:
        """True for a DiagnosticReport, whose text can be searched."""
        return self.address.startswith(_OF_REPORTS)

    @property
    def term_set_number(self) -> int | None:
        """Number of the set of terms that the resource shares; None if it shares none."""
        return self.term_set.number if self.term_set else None

    def body(self, version: int, updated: int) -> bytes:
        """Return the bytes of the resource as served with that version."""
        return served_version(self.stored, version, updated)


@dataclass(frozen=True, slots=True)
class WrittenVersion:
    """Version that was written: its address, number, and whether the resource is suppressed."""

    address: str
    version: int
    is_suppressed: bool


@dataclass(frozen=True, slots=True)
class VersionWrite:
    """Resources to write together. With `reindex`, the index rows of unchanged ones are written again, too."""

    resources: Sequence[RenderedVersion]
    reindex: bool = False


@dataclass(slots=True)
class _Standing:
    """Present version of a resource, to compare the next one with: stored, or planned in this transaction."""

    number: int
    version: int
    as_of: int | None
    owner: str
    stored: bytes
    term_set: int | None
    is_same: Callable[[RenderedVersion], bool]


@dataclass(slots=True)
class _Next:
    """Version to write. `round` counts earlier versions of the same resource in this transaction."""

    resource: RenderedVersion
    number: int
    version: int
    as_of: int | None
    round: int

    def written(self) -> WrittenVersion:
        """Return the version as reported to the caller."""
        resource = self.resource
        return WrittenVersion(resource.address, self.version, resource.faults is not None)

    def row(self) -> dict[str, Any]:
        """Return the columns of `resource` and `version` except the instant; an `as_of` of None means that instant."""
        resource = self.resource
        return {
            "number": self.number,
            "address": resource.address,
            "type": resource.address.partition("/")[0],
            "owner": resource.owner,
            "version": self.version,
            "as_of": self.as_of,
            "is_suppressed": int(resource.faults is not None),
            "term_set": resource.term_set_number,
            "faults": resource.faults,
            "body": resource.stored,
        }


class _Indexed(NamedTuple):
    """Resource whose index rows to write, if possible before waiting for `tick`, the row that serializes writers."""

    resource: RenderedVersion
    number: int
    has_rows: bool
    longer: int = 0  # version whose row an earlier release wrote in a longer form; 0 for none
    shares: int = 0  # version whose row names another set of shared terms, or none; 0 for none such

    @property
    def is_ahead(self) -> bool:
        """True if its index rows may be written before `tick`: it is new, or its study or patient is locked."""
        return not self.has_rows or self.resource.as_of is None or bool(self.resource.owner)


def write(writes: Sequence[VersionWrite], now: int) -> Steps[list[list[WrittenVersion]]]:
    """Write the resources that differ from the stored ones, as the last steps of a transaction (see locks.py).

    Return the versions of each write. Their instants are the commit's. On PostgreSQL they are written in one message
    with it, and the row of `tick` is locked no longer than the server needs for that.

    Raises:
        Raced: at the commit; run the whole transaction again.
    """
    plan = _Plan((yield from _standing(writes)))
    each = [[found for one in given.resources if (found := plan.add(one, given.reindex))] for given in writes]
    yield from _number_new(plan)
    indexed = plan.indexed()
    yield from _index_anew([one for one in indexed if one.is_ahead])
    yield from _put_words([(one.number, one.resource.words) for one in indexed if one.resource.is_report])
    behind = [one for one in indexed if not one.is_ahead]
    if plan.versions or plan.same or behind:
        yield from _commit(plan, now)
    yield from _index_anew(behind, rows_at_commit)
    return [[one.written() for one in versions] for versions in each]


def _commit(plan: _Plan, now: int) -> Steps[None]:
    """Give the versions their instants and write them; other writers wait for `tick` meanwhile."""
    for number in range(1 + max((one.round for one in plan.versions), default=0)):
        rows = [one.row() for one in plan.versions if one.round == number]
        same = [] if number else list(plan.same.values())
        is_left = yield from at_commit(
            AT_COMMIT,
            now=now,
            count=len(rows),
            **{name: [row[name] for row in rows] for name in _OF_VERSION},
            **{f"same_{name}": [row[name] for row in same] for name in ("number", "version", "as_of")},
        )
        if not is_left:
            yield from _write_now(rows, same, now)


def _write_now(rows: Sequence[dict[str, Any]], same: Sequence[Values], now: int) -> Steps[None]:
    """Write the versions on SQLite, as `AT_COMMIT` does on PostgreSQL; instants are one microsecond apart."""
    ((last,),) = yield from ask(TICK, now=now, count=len(rows))
    for updated, row in enumerate(rows, int(last) - len(rows) + 1):
        row["updated"] = updated
        row["as_of"] = updated if row["as_of"] is None else row["as_of"]
    yield from ask_each(PUT_RESOURCE, rows)
    yield from ask_each(ADD_VERSION, rows)
    yield from ask_each(CONFIRM, same)


def _standing(writes: Sequence[VersionWrite]) -> Steps[dict[str, _Standing]]:
    addresses = sorted({one.address for given in writes for one in given.resources})
    rows = (yield from ask(STANDING, addresses=json.dumps(addresses))) if addresses else []
    return {
        address: _Standing(number, version, as_of, owner, bytes(body), term_set, partial(_is_same, row))
        for row in rows
        for address, number, version, _, as_of, _, body, owner, term_set in (row,)
    }


class _Plan:
    """Plan of a write: versions in order, unchanged resources with a newer source, and index rows to replace."""

    def __init__(self, standing: dict[str, _Standing]) -> None:
        self._standing = standing
        self._last: dict[str, _Next] = {}
        self.versions: list[_Next] = []
        self.same: dict[int, dict[str, Any]] = {}
        self._reindexed: list[_Indexed] = []

    def add(self, resource: RenderedVersion, reindex: bool) -> _Next | None:
        """Plan a new version, if the resource differs from its present version."""
        was = self._standing.get(resource.address)
        if was is not None and was.is_same(resource):
            self._plan_unchanged(resource, was, reindex)
            return None
        as_of = resource.as_of
        if was is not None and as_of is not None and was.as_of is not None and as_of < was.as_of:
            if not resource.owner or resource.owner != was.owner:
                return None
            as_of = was.as_of  # the study's lock says what is newer, whatever the clocks of two processes
        before = self._last.get(resource.address)
        made = _Next(
            resource,
            was.number if was else 0,
            was.version + 1 if was else 1,
            as_of,
            before.round + 1 if before else 0,
        )
        self._standing[resource.address] = _Standing(
            made.number,
            made.version,
            as_of,
            resource.owner,
            resource.stored,
            resource.term_set_number,
            partial(_says_the_same, resource),
        )
        if was is not None:
            self.same.pop(was.number, None)
        self._last[resource.address] = made
        self.versions.append(made)
        return made

    def new(self) -> list[_Next]:
        """Return the resources that are not stored yet."""
        return [one for one in self._last.values() if not one.number]

    def indexed(self) -> list[_Indexed]:
        """Return the resources whose index rows are to be written."""
        return [_Indexed(one.resource, one.number, one.version > 1) for one in self._last.values()] + self._reindexed

    def _plan_unchanged(self, resource: RenderedVersion, was: _Standing, reindex: bool) -> None:
        if resource.address in self._last:
            return
        if reindex:
            longer = was.version if was.stored != resource.stored else 0
            shares = was.version if was.term_set != resource.term_set_number else 0
            self._reindexed.append(_Indexed(resource, was.number, has_rows=True, longer=longer, shares=shares))
        if resource.as_of is not None and was.as_of is not None and was.as_of < resource.as_of:
            was.as_of = resource.as_of
            self.same[was.number] = {"number": was.number, "version": was.version, "as_of": was.as_of}


def _number_new(plan: _Plan) -> Steps[None]:
    """Assign numbers to new resources."""
    new = plan.new()
    if not new:
        return
    runs = yield from ask(NUMBERS, count=len(new))
    numbers = [int(first) + place for first, length in runs for place in range(int(length))]
    by_address = {one.resource.address: number for one, number in zip(new, numbers, strict=True)}
    for one in plan.versions:
        one.number = one.number or by_address[one.resource.address]


def _is_same(row: Row, resource: RenderedVersion) -> bool:
    _, _, version, updated, _, is_suppressed, body, *_ = row
    if bool(is_suppressed) != (resource.faults is not None):
        return False
    stamp = int(version), int(updated)
    return resource.stored == body or resource.body(*stamp) == served_version(body, *stamp)


def _says_the_same(one: RenderedVersion, other: RenderedVersion) -> bool:
    return (one.stored, one.faults is None) == (other.stored, other.faults is None)


def _index_anew(
    given: Sequence[_Indexed], put: Callable[[Bulk, Sequence[Values]], Steps[Any]] = ask_rows
) -> Steps[None]:
    """Replace the index rows of these resources, and shorten stored versions that an earlier release wrote longer."""
    longer = [{"number": one.number, "version": one.longer, "body": one.resource.stored} for one in given if one.longer]
    yield from put(SHORTEN, longer)
    shares = [
        {"number": one.number, "version": one.shares, "term_set": one.resource.term_set_number}
        for one in given
        if one.shares
    ]
    yield from put(SHARE, shares)
    old = [{"number": one.number} for one in given if one.has_rows]
    yield from put(DROP_TERMS, old)
    yield from put(DROP_MOMENTS, old)
    terms = [{"resource": one.number, "key": key, "value": value} for one in given for key, value in one.resource.terms]
    yield from put(ADD_TERM, terms)
    sets = {one.resource.term_set for one in given if one.resource.term_set}
    yield from put(ADD_SHARED, [{"resource": number, "terms": terms} for number, terms in sorted(sets)])
    moments = [
        {"resource": one.number, "key": key, "low": low, "high": high}
        for one in given
        for key, low, high in one.resource.moments
    ]
    yield from put(ADD_MOMENT, moments)


# The words of reports, in a table of their own: SQLite's own kind of table for words, and in PostgreSQL a column of the
# type `tsvector`. The fact `words` says how far it is: `clear` (rows of former settings go), the number of the last
# resource that was filled in, or `complete`. Who writes reports and is not to keep words sets it back to `clear`, so
# that no search misses a report
WORDS_AT_ONCE: Final = 1_000  # numbers of resources, one in ten of which is a report
_WORDS: Final = "words"
_CLEAR: Final = "clear"
_COMPLETE: Final = "complete"
_PUT: Final = Bulk(
    "number BIGINT, words TEXT",
    "INSERT INTO report_words (rowid, words) SELECT row.number, to_tsvector('simple', row.words) FROM {rows}"
    " ON CONFLICT (rowid) DO UPDATE SET words = excluded.words",
    ("INSERT OR REPLACE INTO report_words (rowid, words) VALUES (:number, :words)",),
)
# Of a report that has none, and that still has the version that was read
_FILL: Final = Bulk(
    "number BIGINT, version BIGINT, words TEXT",
    "INSERT INTO report_words (rowid, words) SELECT row.number, to_tsvector('simple', row.words) FROM {rows}"
    " JOIN resource r ON r.number = row.number AND r.version = row.version ON CONFLICT (rowid) DO NOTHING",
    (
        "INSERT INTO report_words (rowid, words) SELECT r.number, :words FROM resource r WHERE r.number = :number"
        " AND r.version = :version AND NOT EXISTS (SELECT 1 FROM report_words w WHERE w.rowid = r.number)",
    ),
)
_OUTDATED: Final = Statement("UPDATE fact SET value = 'clear' WHERE name = 'words' AND value <> 'clear'")
_BEGIN: Final = Statement("INSERT INTO fact (name, value) VALUES ('words', 'clear') ON CONFLICT DO NOTHING")
_ADVANCE: Final = Statement("UPDATE fact SET value = :value WHERE name = 'words' AND value = :before RETURNING value")
_END: Final = Statement("DELETE FROM fact WHERE name = 'words' AND value = 'clear'")
_NEWEST: Final = Statement("SELECT max(r.number) FROM resource r")
_SOME: Final = Statement("SELECT w.rowid FROM report_words w WHERE w.rowid > 0 ORDER BY w.rowid LIMIT :most")
DROP_WORDS: Final = Statement("DELETE FROM report_words WHERE rowid = :number")
_REPORTS: Final = Statement(
    "SELECT r.number, r.version, v.body FROM resource r CROSS JOIN version v WHERE r.number > :after"
    " AND r.number <= :last AND r.address >= 'DiagnosticReport/' AND r.address < 'DiagnosticReport0'"
    " AND v.resource = r.number AND v.version = r.version ORDER BY r.number"
)
# SQLite leaves words of deleted rows in its index until it merges the parts of it
MERGE_LATER: Final = PerDialect(
    {"sqlite": Statement("INSERT INTO fact (name, value) VALUES ('words-to-merge', '1') ON CONFLICT DO NOTHING")}
)
_MERGE: Final = PerDialect(
    {"sqlite": Statement("INSERT INTO report_words (report_words, rank) VALUES ('merge', :pages)")}
)
_CHANGES: Final = PerDialect({"sqlite": Statement("SELECT total_changes()")})
_IS_TO_MERGE: Final = Statement("SELECT 1 FROM fact WHERE name = 'words-to-merge'")
_MERGED: Final = Statement("DELETE FROM fact WHERE name = 'words-to-merge'")
_PAGES: Final = 200
_LEAST: Final = 1  # changes of a merge that had nothing to do

Fold = Callable[[Sequence[bytes]], Awaitable[list[str]]]


def words_of(bodies: Sequence[bytes]) -> list[str]:
    """Return the words of stored reports, each from the row of its version."""
    return [said_by(json.loads(served_version(one, 0, 0))) for one in bodies]


def _put_words(reports: Sequence[tuple[int, str | None]]) -> Steps[None]:
    """Write the words of reports that are written, by their numbers; None says that this process keeps none."""
    if any(words is None for _, words in reports):
        yield from ask(_OUTDATED)
    # In the order of the numbers, as they are filled in: no two writers wait for each other
    rows = [{"number": number, "words": words} for number, words in sorted(reports) if words is not None]
    yield from ask_rows(_PUT, rows)


async def are_complete(engine: Engine) -> bool:
    """True if the words of every stored report are kept."""
    return await value_of(engine, _WORDS) == _COMPLETE


async def catch_up(engine: Engine, fold: Fold, *, has_words: bool) -> bool:
    """Do the next piece of what is left to do; False if nothing is. If not `has_words`, the words that are kept go.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    if await engine.fetch(_IS_TO_MERGE):
        await engine.do(_merge)
        return True
    at = await value_of(engine, _WORDS)
    if at is None:
        if has_words:
            await engine.do(lambda: ask(_BEGIN))
        return has_words
    if at == _CLEAR or not has_words:
        return await engine.do(lambda: _clear(at, has_words=has_words))
    if at != _COMPLETE:
        await _fill(engine, fold, at)
    return at != _COMPLETE


def _clear(at: str, *, has_words: bool) -> Steps[bool]:
    """Delete some rows; behind the last, begin to fill, or forget that there were any."""
    rows = yield from ask(_SOME, most=WORDS_AT_ONCE)
    yield from ask_each(DROP_WORDS, [{"number": int(number)} for (number,) in rows])
    if at != _CLEAR:
        yield from ask(_OUTDATED)
    if rows:
        yield from ask(MERGE_LATER)
    elif has_words:
        yield from ask(_ADVANCE, before=_CLEAR, value="0")
    else:
        yield from ask(_END)
    return has_words or bool(rows)


async def _fill(engine: Engine, fold: Fold, at: str) -> None:
    """Write the words of the reports among the next resources, as far as they are as they were read."""
    [[newest]] = await engine.fetch(_NEWEST)
    last = min(int(at) + WORDS_AT_ONCE, int(newest or 0))
    found = await engine.fetch(_REPORTS, after=int(at), last=last)
    words = await fold([body for *_, body in found]) if found else []
    rows = [
        {"number": number, "version": version, "words": said}
        for (number, version, _), said in zip(found, words, strict=True)
    ]

    def work() -> Steps[None]:
        value = _COMPLETE if last <= int(at) else str(last)
        if (yield from ask(_ADVANCE, before=at, value=value)):
            yield from ask_rows(_FILL, rows)

    await engine.do(work)


def _merge() -> Steps[None]:
    """Merge some parts of SQLite's index; once nothing changes, what was deleted is in none of them."""
    before = yield from ask(_CHANGES)
    yield from ask(_MERGE, pages=-_PAGES)
    yield from ask(_MERGE, pages=_PAGES)
    if not before or _changed(before, (yield from ask(_CHANGES))) <= 2 * _LEAST:
        yield from ask(_MERGED)


def _changed(before: Sequence[Row], behind: Sequence[Row]) -> int:
    return int(behind[0][0]) - int(before[0][0])
