"""Run a search, and read resources by reference, by patient compartment, and by history.

https://hl7.org/fhir/R4/search.html.
Proved by tests/contract/test_search.py and tests/gateway/store/studies/test_compartment.py.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final, NamedTuple, TypeVar

from gateway.index.keys import key
from gateway.store.database.engine import Engine, Row, Statement
from gateway.store.database.kept import served_version
from gateway.store.studies import search_sql
from gateway.store.studies.fragments import Sql
from gateway.store.studies.limited import Limits, limited, of_types, unlimited
from gateway.store.studies.search_plan import read, read_count, read_page
from gateway.store.studies.search_sql import SECONDS, Search, Way
from gateway.store.studies.within import held_apart
from gateway.store.studies.write_versions import CURRENT_OF, OF_CURRENT, OWNED
from mappings.fhir.resource_types import types_at
from mappings.issues import MappingIssue

Made = TypeVar("Made")
_AT_ONE_GO: Final = 100  # bodies that are decompressed without a pause
_OF_REFERRING: Final = (
    "SELECT r.address, r.version, r.updated, r.is_suppressed, v.body FROM term t"
    " CROSS JOIN resource r CROSS JOIN version v"
    " WHERE t.key = :key AND t.value IN listed(:addresses) AND r.number = t.resource"
    " AND v.resource = r.number AND v.version = r.version{limit} ORDER BY r.address LIMIT :most"
)
_REFERRING: Final = Statement(
    "SELECT r.address, r.version, r.updated, r.is_suppressed, v.body FROM (SELECT t.resource FROM term t"
    " WHERE t.key = :key AND t.value IN listed(:addresses) ORDER BY t.resource LIMIT :most) d"
    " CROSS JOIN resource r CROSS JOIN version v WHERE r.number = d.resource AND v.resource = r.number"
    " AND v.version = r.version ORDER BY r.number"
)
_REFERENCED: Final = Statement(
    "SELECT DISTINCT t.value FROM resource r CROSS JOIN term t"
    " WHERE r.address IN listed(:addresses) AND t.resource = r.number AND t.key = :key ORDER BY t.value LIMIT :most"
)
_ANY_SUPPRESSED: Final = Statement("SELECT 1 FROM resource WHERE is_suppressed = 1 AND type = :type LIMIT 1")
_ISSUES: Final = Statement(
    "SELECT study_id, code, severity, pointer, action FROM issue"
    " WHERE study_id IN listed(:study_ids) AND severity <> 'information' ORDER BY study_id, place LIMIT :most"
)
_DISPUTED: Final = Statement(
    "SELECT study_id, pointer, action FROM issue"
    " WHERE study_id IN listed(:study_ids) AND code = 'identity-conflict' ORDER BY study_id, place LIMIT :most"
)
_OF_CONFLICTS: Final = (
    "SELECT c.patient_id, count(*) FROM conflict c WHERE c.patient_id IN listed(:patient_ids){limit}"
    " GROUP BY c.patient_id ORDER BY c.patient_id"
)
_CONFLICTS: Final = unlimited(_OF_CONFLICTS)


class Version(NamedTuple):
    """Resource version as served; `updated` in microseconds, `body` FHIR JSON. `position` is its place in a search.

    `owner` is its study, empty for a resource that several studies describe. `remarks` are bits for the kinds of
    warnings that may apply to it (`search_sql.ANY_REMARK`).
    """

    address: str
    version: int
    updated: int
    body: bytes
    owner: str = ""
    position: tuple[Any, ...] = ()
    remarks: int = search_sql.ANY_REMARK

    @property
    def resource(self) -> dict[str, Any]:
        """Resource as JSON, a fresh copy."""
        made: dict[str, Any] = json.loads(self.body)
        return made


def version_of(address: str, version: int, updated: int, row: bytes, *more: Any) -> Version:
    """Build a version from the columns of a row."""
    return Version(str(address), int(version), int(updated), served_version(row, version, updated), *more)


async def in_turns(make: Callable[[Row], Made], rows: Sequence[Row]) -> list[Made]:
    """Convert rows one by one, and let other tasks of the event loop run in between."""
    made: list[Made] = []
    for start in range(0, len(rows), _AT_ONE_GO):
        if start:
            await asyncio.sleep(0)
        made += map(make, rows[start : start + _AT_ONE_GO])
    return made


@dataclass(frozen=True, slots=True)
class Found:
    """Page of results, with all versions up to the instant `last`, in microseconds."""

    versions: list[Version]
    last: int
    way: Way


async def page(engine: Engine, search: Search) -> Found:
    """Return a page of a search's results, in the order of the search also when paging back.

    Raises:
        StoreTooSlow: the search took too long, or nothing narrows it as the index shows.
    """
    rows, way = await read_page(engine, search)
    matches = await in_turns(_match, rows)
    return Found(matches[::-1] if search.is_back else matches, int(rows[0][6]) if rows else 0, way)


async def count(engine: Engine, search: Search) -> int:
    """Count the results of a search.

    Raises:
        StoreTooSlow: the count took too long, or nothing narrows the search as the index shows.
    """
    [(number,)] = await read_count(engine, search)
    return int(number)


async def suppressed(engine: Engine, search: Search, most: int) -> list[str]:
    """Return the addresses of suppressed resources that a search would match."""
    if not await engine.fetch(_ANY_SUPPRESSED, type=search.resource_type):
        return []
    rows = await read(engine, search, search_sql.suppressed(search, most))
    return [str(address) for (address,) in rows]


async def current(engine: Engine, addresses: Sequence[str], limits: Limits | None = None) -> dict[str, Version | None]:
    """Return the stored current versions by address; None for one that is suppressed."""
    statement, values = (CURRENT_OF, {}) if limits is None else limited(OF_CURRENT, of_types(limits))
    rows = await engine.fetch(statement, addresses=json.dumps(list(addresses)), **values)
    return dict(await in_turns(_by_address, rows))


async def owned_by(engine: Engine, study_id: str) -> list[str]:
    """Return the addresses of the resources that only this study describes."""
    return [str(address) for (address,) in await engine.fetch(OWNED, owner=study_id)]


async def referring(
    engine: Engine, key: int, addresses: Sequence[str], most: int, limits: Limits | None = None
) -> dict[str, Version | None]:
    """Return up to `most` resources that refer to one of these by that search parameter, as `current` does.

    With limits they come by address: when a resource was first stored may tell of what the client does not see.
    """
    statement, values = _REFERRING, dict[str, Any]()
    if limits is not None:
        statement, values = limited(_OF_REFERRING, of_types(limits))
    compiled = statement.compiled(engine.dialect)
    asked = compiled.positional({"key": key, "addresses": json.dumps(list(addresses)), "most": most, **values})
    if engine.dialect == "postgresql":
        rows = await engine.query(compiled.sql, asked)
    else:  # very many may refer to a radiologist or a facility
        rows = await engine.scan(compiled.sql, asked, SECONDS, tries_here=True)
    return dict(await in_turns(_by_address, rows))


async def referenced(engine: Engine, key: int, addresses: Sequence[str], most: int) -> list[str]:
    """Return up to `most` addresses that these resources refer to by that search parameter."""
    rows = await engine.fetch(_REFERENCED, key=key, addresses=json.dumps(list(addresses)), most=most)
    return [str(address) for (address,) in rows]


async def issues(engine: Engine, study_ids: Sequence[str], most: int) -> list[tuple[str, MappingIssue]]:
    """Return the mapping issues of these studies, each with its study id; without merely informative ones."""
    rows = await engine.fetch(_ISSUES, study_ids=json.dumps(list(study_ids)), most=most)
    return [(str(study_id), MappingIssue(*columns)) for study_id, *columns in rows]


async def disputed(engine: Engine, study_ids: Sequence[str], most: int) -> list[tuple[str, str, str]]:
    """Return the identity conflicts of these studies: the study, the element, and the action taken (D12)."""
    rows = await engine.fetch(_DISPUTED, study_ids=json.dumps(list(study_ids)), most=most)
    return [(str(study_id), str(pointer), str(action)) for study_id, pointer, action in rows]


async def conflicts(
    engine: Engine, patient_ids: Sequence[str], organizations: Sequence[str] | None = None
) -> dict[str, int]:
    """Count, for each of these patients, the studies kept apart since they describe another person (D12).

    With `organizations`, the addresses of facilities, only their studies count, and only patients of such studies.
    """
    statement, values = _CONFLICTS, dict[str, Any]()
    if organizations is not None:
        statement, values = limited(_OF_CONFLICTS, Sql(*held_apart(organizations)))
    rows = await engine.fetch(statement, patient_ids=json.dumps(list(patient_ids)), **values)
    return {str(patient_id): int(number) for patient_id, number in rows}


def _match(row: Row) -> Version:
    address, version, updated, owner, number, body, _, remarks, *keys = row
    return Version(address, version, updated, served_version(body, version, updated), owner, (*keys, number), remarks)


def _by_address(row: Row) -> tuple[str, Version | None]:
    address, version, updated, is_suppressed, body = row
    return str(address), None if is_suppressed else version_of(address, version, updated, body)


# First the members by their `patient`, then their Provenance, then the resources that all of them refer to
MEMBERS: Final = types_at("member")
REFERRED_TO: Final = types_at("referred")
TYPES: Final = (*types_at("patient"), *MEMBERS, *types_at("about"), *REFERRED_TO)
_KEYS: Final = {f"of_{kind}": key(kind, "patient") for kind in MEMBERS}
_TARGETS: Final = {f"target_of_{kind}": key(kind, "target") for kind in types_at("about")}
# The date of care of each member: that of its study, of an Encounter the time of the visit
CARE_DATES: Final = {
    "DiagnosticReport": "date",
    "ImagingStudy": "started",
    "Observation": "date",
    "DocumentReference": "period",
    "ServiceRequest": "occurrence",
    "Encounter": "date",
}
_PARTS: Final = {
    "{members}": ", ".join(f":{name}" for name in _KEYS),
    "{targets}": ", ".join(f":{name}" for name in _TARGETS),
    # `0` follows `/` in byte order
    "{referred}": " OR ".join(f"t.value > '{kind}/' AND t.value < '{kind}0'" for kind in REFERRED_TO),
}
# Left out of `own`: what has a date of care, and none within the bounds
_DURING: Final = (
    " AND NOT EXISTS (SELECT 1 FROM moment m WHERE m.resource = r.number AND m.key IN ({dates})"
    " AND (m.low >= :end OR m.high <= :start))"
).replace("{dates}", ", ".join(str(key(kind, CARE_DATES[kind])) for kind in MEMBERS))
_TEMPLATE: Final = (
    "WITH own AS (SELECT r.number FROM (SELECT t.resource AS number FROM term t WHERE t.key IN ({members})"
    " AND t.value = :patient) r WHERE 1 = 1{during}),"
    " about AS (SELECT o.number FROM own o UNION SELECT p.resource FROM own o CROSS JOIN resource r CROSS JOIN term p"
    " WHERE r.number = o.number AND p.key IN ({targets}) AND p.value = r.address"
    " UNION SELECT p.resource FROM term p WHERE p.key IN ({targets}) AND p.value = :patient"
    " UNION SELECT r.number FROM resource r WHERE r.address = :patient),"
    " whole AS (SELECT a.number FROM about a UNION SELECT r.number FROM about a CROSS JOIN term t CROSS JOIN resource r"
    " WHERE t.resource = a.number AND ({referred}) AND r.address = t.value)"
    " SELECT r.number, r.address, r.version, r.updated, r.owner, v.body FROM whole w CROSS JOIN resource r"
    " CROSS JOIN version v WHERE r.number = w.number AND r.number > :after AND r.type IN listed(:types)"
    " AND r.updated >= :since AND r.is_suppressed = :is_suppressed AND v.resource = r.number AND v.version = r.version"
    " ORDER BY r.number LIMIT :most"
)
_WHOLE: Final = reduce(lambda sql, part: sql.replace(*part), _PARTS.items(), _TEMPLATE)
COMPARTMENT: Final = Statement(_WHOLE.replace("{during}", ""))
COMPARTMENT_DURING: Final = Statement(_WHOLE.replace("{during}", _DURING))
# The same for a client with limits: each step goes over only what it sees. What no study owns comes last, by address,
# and whatever its last change: when it was stored, and changed, may tell of studies that are hidden
_OF_LIMITED: Final = (
    "WITH own AS (SELECT r.number, r.address FROM term t CROSS JOIN resource r WHERE t.key IN ({members})"
    " AND t.value = :patient AND r.number = t.resource{limit}{during}),"
    " about AS (SELECT o.number FROM own o UNION SELECT r.number FROM own o CROSS JOIN term p CROSS JOIN resource r"
    " WHERE p.key IN ({targets}) AND p.value = o.address AND r.number = p.resource{limit}"
    " UNION SELECT r.number FROM term p CROSS JOIN resource r WHERE p.key IN ({targets}) AND p.value = :patient"
    " AND r.number = p.resource{limit} UNION SELECT r.number FROM resource r WHERE r.address = :patient{limit}),"
    " whole AS (SELECT a.number FROM about a UNION SELECT r.number FROM about a CROSS JOIN term t CROSS JOIN resource r"
    " WHERE t.resource = a.number AND t.key <> :apart AND ({referred}) AND r.address = t.value{limit}),"
    " placed AS (SELECT CASE WHEN r.owner = '' THEN :last ELSE r.number END AS place, r.number, r.address, r.version,"
    " r.updated, r.owner FROM whole w CROSS JOIN resource r WHERE r.number = w.number AND r.type IN listed(:types)"
    " AND (r.updated >= :since OR r.owner = '') AND r.is_suppressed = :is_suppressed)"
    " SELECT l.place, l.address, l.version, l.updated, l.owner, v.body FROM placed l CROSS JOIN version v"
    " WHERE (l.place > :after OR (l.place = :after AND l.address > :behind)) AND v.resource = l.number"
    " AND v.version = l.version ORDER BY l.place, l.address LIMIT :most"
)
_LIMITED: Final = reduce(lambda sql, part: sql.replace(*part), _PARTS.items(), _OF_LIMITED)
OF_LIMITED: Final = _LIMITED.replace("{during}", "")
OF_LIMITED_DURING: Final = _LIMITED.replace("{during}", _DURING)
_LAST: Final = 2**62
_MANAGING: Final = key("Patient", "organization")


async def compartment(  # noqa: PLR0913 (patient, selection, page and limits)
    engine: Engine,
    patient: str,
    *,
    types: Sequence[str],
    since: int,
    after: int,
    most: int,
    during: tuple[int, int] | None = None,
    suppressed: bool = False,
    behind: str = "",
    limits: Limits | None = None,
    follows_patient: bool = True,
) -> list[Version]:
    """Return up to `most` resources of these types about a patient (`Patient/…`), numbered above `after`.

    Only resources stored at or after `since` (microseconds). With `during`, members whose date of care lies outside of
    this interval [low, high) are left out, and what only refers to these. Each one's `position` is its number. With
    `suppressed`, return the resources that are not served. `limits` are what the client sees; None: all. Then the page
    begins after the resource at the place `after` with the address `behind`. If not `follows_patient`, what the stored
    Patient refers to is not reached by it.

    Raises:
        StoreTooSlow: the query took too long.
    """
    values = {
        **_KEYS,
        **_TARGETS,
        "patient": patient,
        "types": json.dumps(list(types)),
        "since": since,
        "after": after,
        "is_suppressed": int(suppressed),
        "most": most,
    }
    if during is not None:
        values |= {"start": during[0], "end": during[1]}
    statement = COMPARTMENT if during is None else COMPARTMENT_DURING
    if limits is not None:
        statement, more = limited(OF_LIMITED if during is None else OF_LIMITED_DURING, of_types(limits))
        values |= {**more, "behind": behind, "last": _LAST, "apart": 0 if follows_patient else _MANAGING}
    compiled = statement.compiled(engine.dialect)
    rows = await engine.scan(compiled.sql, compiled.positional(values), SECONDS)
    return await in_turns(_placed, rows)


def _placed(row: Row) -> Version:
    place, address, version, updated, owner, body = row
    return version_of(address, version, updated, body, str(owner), (int(place),))


LOOKED_AT: Final = 20  # versions of any type, for each of a page
MOST_LATER: Final = 5_000  # resources that changed after the page: each may have older versions on it
_COLUMNS: Final = "SELECT r.address, v.version, v.updated, v.body FROM "
_NEWEST: Final = " ORDER BY v.updated DESC LIMIT :most"
_OF_ANY: Final = (
    f"{_COLUMNS}version v CROSS JOIN resource r WHERE v.updated < :before AND v.updated >= :since AND v.faults IS NULL"
    f" AND r.number = v.resource AND r.type IN listed(:types){{limit}}{_NEWEST}"
)
_ANY: Final = unlimited(_OF_ANY)
# A client with limits sees only current versions: older ones may be beyond the limits
_CURRENT: Final = " AND v.version = r.version AND r.is_suppressed = 0"
OF_ANY_LIMITED: Final = _OF_ANY.replace("{limit}", f"{{limit}}{_CURRENT}")
_EDGE: Final = Statement(
    "SELECT v.updated FROM version v WHERE v.updated < :before AND v.updated >= :since"
    " ORDER BY v.updated DESC LIMIT 1 OFFSET :number"
)
_LAST_TICK: Final = Statement("SELECT k.last FROM tick k WHERE k.one = 1")
_LATER: Final = Statement(
    "SELECT count(*) FROM (SELECT 1 FROM resource r WHERE r.type = :type AND r.updated >= :before LIMIT :most) c"
)
# The current version that is the last of a page if no resource has two on it: no page goes further back. Read with the
# page: one that is erased in between would leave it short, and a short page has no next
_LAST_OF_PAGE: Final = (
    "SELECT e.updated FROM resource e WHERE e.type = :type AND e.is_suppressed = 0 AND e.updated < :before"
    " AND e.updated >= :since ORDER BY e.updated DESC LIMIT 1 OFFSET :most - 1"
)
# What is computed keeps PostgreSQL from the index of all versions
_OF_TYPE: Final = Statement(
    f"{_COLUMNS}resource r CROSS JOIN version v WHERE r.type = :type"
    f" AND r.updated >= coalesce(({_LAST_OF_PAGE}), :since) AND v.resource = r.number"
    f" AND v.updated + 0 < :before AND v.updated + 0 >= :since AND v.faults IS NULL{_NEWEST}"
)
OF_TYPE_LIMITED: Final = (
    f"{_COLUMNS}resource r CROSS JOIN version v WHERE r.type = :type AND r.updated < :before AND r.updated >= :since"
    f"{{limit}} AND v.resource = r.number{_CURRENT} ORDER BY r.updated DESC LIMIT :most"
)


async def versions_of(  # noqa: PLR0913 (selection, page and limits)
    engine: Engine, types: Sequence[str], *, since: int, before: int, most: int, limits: Limits | None
) -> list[Version]:
    """Return up to `most` versions of resources of these types, stored from `since` on and before `before`.

    Both are microseconds. `limits` are what the client sees of each type; None: all.

    Raises:
        StoreTooSlow: the query took too long.
    """
    edge = await engine.fetch(_EDGE, since=since, before=before, number=LOOKED_AT * most)
    lowest = int(edge[0][0]) if edge else since
    rows = await _of_any(engine, types, limits, since=lowest, before=before, most=most)
    if edge and len(rows) < most:
        # What is committed from here on comes before the page: one type would have it, and another not
        last = int((await engine.fetch(_LAST_TICK))[0][0])
        place = {"since": since, "before": min(before, last + 1), "most": most}
        each = [row for one in types for row in await _of_type(engine, one, limits, **place)]
        rows = sorted(each, key=lambda row: -int(row[2]))[:most]
    return await in_turns(lambda row: version_of(*row), rows)


async def _of_any(engine: Engine, types: Sequence[str], limits: Limits | None, **place: int) -> Sequence[Row]:
    statement, more = (_ANY, {}) if limits is None else limited(OF_ANY_LIMITED, of_types(limits))
    return await _history(engine, statement, types=json.dumps(list(types)), **place, **more)


async def _of_type(engine: Engine, kind: str, limits: Limits | None, **place: int) -> Sequence[Row]:
    """Return the versions of one type, from its newest resource backwards."""
    if limits is not None:
        statement, more = limited(OF_TYPE_LIMITED, of_types(limits))
        return await _history(engine, statement, type=kind, **place, **more)
    [[later]] = await engine.fetch(_LATER, type=kind, before=place["before"], most=MOST_LATER)
    if later == MOST_LATER:
        return await _of_any(engine, [kind], None, **place)
    return await _history(engine, _OF_TYPE, type=kind, **place)


async def _history(engine: Engine, statement: Statement, **values: Any) -> Sequence[Row]:
    compiled = statement.compiled(engine.dialect)
    return await engine.scan(compiled.sql, compiled.positional(values), SECONDS)
