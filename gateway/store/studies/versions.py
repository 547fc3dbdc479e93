"""Read FHIR resource versions as bytes, and write new versions with the rows of the search index.

https://hl7.org/fhir/R4/resource.html#Meta: `versionId` counts the contents of a resource from 1. `lastUpdated` is a
different instant for every version, strictly increasing in commit order (D29).
Proved by tests/contract/test_versions.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.store.compression.stored_bytes import served_version
from gateway.store.database.statements import Row, Statement, Steps, ask, ask_each
from gateway.store.studies.short_values import short_value

TICK: Final = Statement(
    "UPDATE tick SET last = CASE WHEN last < :now THEN :now ELSE last + 1 END WHERE one = 1 RETURNING last, resource"
)
TOCK: Final = Statement("UPDATE tick SET last = :last, resource = :resource WHERE one = 1")
CURRENT: Final = Statement(
    "SELECT r.version, r.updated, r.is_suppressed, v.faults, v.body, s.fetched FROM resource r"
    " JOIN version v ON v.resource = r.number AND v.version = r.version"
    " LEFT JOIN study s ON s.study_id = r.owner WHERE r.address = :address"
)
OF_CURRENT: Final = (
    "SELECT r.address, r.version, r.updated, r.is_suppressed, v.body FROM resource r"
    " JOIN version v ON v.resource = r.number AND v.version = r.version WHERE r.address IN listed(:addresses){limit}"
)
CURRENT_OF: Final = Statement(OF_CURRENT.replace("{limit}", ""))
STANDING: Final = Statement(
    "SELECT r.address, r.number, r.version, r.updated, r.as_of, r.is_suppressed, v.body FROM resource r"
    " JOIN version v ON v.resource = r.number AND v.version = r.version WHERE r.address IN listed(:addresses)"
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
_ADD_RESOURCE: Final = Statement(
    "INSERT INTO resource (number, address, type, owner, version, updated, as_of, is_suppressed)"
    " VALUES (:number, :address, :type, :owner, :version, :updated, :as_of, :is_suppressed)"
)
_MOVE_RESOURCE: Final = Statement(
    "UPDATE resource SET owner = :owner, version = :version, updated = :updated, as_of = :as_of,"
    " is_suppressed = :is_suppressed WHERE number = :number"
)
_CONFIRM: Final = Statement("UPDATE resource SET as_of = :as_of WHERE number = :number AND as_of < :as_of")
_ADD_VERSION: Final = Statement(
    "INSERT INTO version (resource, version, updated, faults, body)"
    " VALUES (:number, :version, :updated, :faults, :body)"
)
# The same bytes in a shorter form: rows of earlier releases
_SHORTEN: Final = Statement("UPDATE version SET body = :body WHERE resource = :number AND version = :version")
_DROP_TERMS: Final = Statement("DELETE FROM term WHERE resource = :number")
_DROP_MOMENTS: Final = Statement("DELETE FROM moment WHERE resource = :number")
_ADD_TERM: Final = Statement("INSERT INTO term (resource, key, value) VALUES (:number, :key, :value)")
_ADD_MOMENT: Final = Statement("INSERT INTO moment (resource, key, low, high) VALUES (:number, :key, :low, :high)")


@dataclass(frozen=True, slots=True)
class RenderedVersion:
    """Resource to be stored: its bytes as a row has them, without versionId and lastUpdated, and its index values.

    `owner` is its study, empty for a resource that several studies describe. `as_of` is when its source was read: an
    older source does not overwrite a newer one. `faults` is JSON if the validator rejects the resource.
    """

    address: str
    owner: str
    as_of: int
    stored: bytes
    faults: str | None
    terms: Iterable[tuple[int, str]]
    moments: Iterable[tuple[int, int, int]]

    def body(self, version: int, updated: int) -> bytes:
        """Return the bytes of that version as they are served."""
        return served_version(self.stored, version, updated)


@dataclass(frozen=True, slots=True)
class WrittenVersion:
    """Version that was written."""

    address: str
    version: int
    updated: int
    is_suppressed: bool


@dataclass(slots=True)
class Clock:
    """Instants and resource numbers that a transaction gives out; no other transaction does until it ends."""

    last: int
    number: int

    def instant(self) -> int:
        """Return the next instant."""
        self.last += 1
        return self.last

    def next_number(self) -> int:
        """Return the next resource number."""
        self.number += 1
        return self.number


def begin(now: int) -> Steps[Clock]:
    """Take the clock of the store until the transaction ends."""
    rows = yield from ask(TICK, now=now)
    return Clock(int(rows[0][0]) - 1, int(rows[0][1]))


def end(clock: Clock) -> Steps[None]:
    """Store the last instant and number given out."""
    yield from ask(TOCK, last=clock.last, resource=clock.number)


def write(clock: Clock, resources: Sequence[RenderedVersion], *, reindex: bool = False) -> Steps[list[WrittenVersion]]:
    """Write the resources that differ from the stored ones. With `reindex`, renew the rows of the others too."""
    rows = yield from ask(STANDING, addresses=json.dumps([one.address for one in resources]))
    standing = {str(row[0]): row for row in rows}
    changed: list[tuple[RenderedVersion, Row | None, WrittenVersion]] = []
    same: list[tuple[RenderedVersion, int]] = []
    longer: list[dict[str, Any]] = []
    for resource in resources:
        was = standing.get(resource.address)
        if was is not None and _is_same(resource, was):
            same.append((resource, int(was[1])))
            if was[6] != resource.stored:
                longer.append({"number": int(was[1]), "version": int(was[2]), "body": resource.stored})
        elif was is None or resource.as_of >= was[4]:
            version = 1 if was is None else int(was[2]) + 1
            changed.append(
                (resource, was, WrittenVersion(resource.address, version, clock.instant(), resource.faults is not None))
            )
    yield from _store(clock, changed)
    yield from ask_each(_CONFIRM, [{"number": number, "as_of": one.as_of} for one, number in same])
    if reindex:
        yield from ask_each(_SHORTEN, longer)
        yield from _drop([number for _, number in same])
        yield from _index(same)
    return [written for _, _, written in changed]


def _is_same(resource: RenderedVersion, was: Row) -> bool:
    _, _, version, updated, _, is_suppressed, body = was
    if bool(is_suppressed) != (resource.faults is not None):
        return False
    stamp = int(version), int(updated)
    return resource.stored == body or resource.body(*stamp) == served_version(body, *stamp)


def _store(clock: Clock, changed: Sequence[tuple[RenderedVersion, Row | None, WrittenVersion]]) -> Steps[None]:
    added: list[dict[str, Any]] = []
    moved: list[dict[str, Any]] = []
    versions: list[dict[str, Any]] = []
    numbers: list[tuple[RenderedVersion, int]] = []
    for resource, was, written in changed:
        number = clock.next_number() if was is None else int(was[1])
        row = {
            "number": number,
            "address": resource.address,
            "type": resource.address.partition("/")[0],
            "owner": resource.owner,
            "version": written.version,
            "updated": written.updated,
            "as_of": resource.as_of,
            "is_suppressed": int(written.is_suppressed),
        }
        (added if was is None else moved).append(row)
        versions.append({**row, "faults": resource.faults, "body": resource.stored})
        numbers.append((resource, number))
    yield from ask_each(_ADD_RESOURCE, added)
    yield from ask_each(_MOVE_RESOURCE, moved)
    yield from ask_each(_ADD_VERSION, versions)
    yield from _drop([row["number"] for row in moved])
    yield from _index(numbers)


def _drop(numbers: Sequence[int]) -> Steps[None]:
    """Drop the index rows of these resources."""
    each = [{"number": number} for number in numbers]
    yield from ask_each(_DROP_TERMS, each)
    yield from ask_each(_DROP_MOMENTS, each)


def _index(numbers: Sequence[tuple[RenderedVersion, int]]) -> Steps[None]:
    """Add the index rows of these resources."""
    terms = [
        {"number": number, "key": key, "value": short_value(key, value)}
        for one, number in numbers
        for key, value in one.terms
    ]
    yield from ask_each(_ADD_TERM, terms)
    moments = [
        {"number": number, "key": key, "low": low, "high": high}
        for one, number in numbers
        for key, low, high in one.moments
    ]
    yield from ask_each(_ADD_MOMENT, moments)
