"""Read the versions of all resources of some types, the newest first.

https://hl7.org/fhir/R4/http.html#history; every version has an instant of its own (D29), at which a page goes on. The
newest of all versions are looked at first. Where these have too few of the types, each type is read by its own index.
Proved by tests/contract/test_histories.py and tests/contract/test_plans.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from gateway.store.database.engine import Engine
from gateway.store.database.statements import Row, Statement
from gateway.store.studies.limited import Limits, limited, of_types, unlimited
from gateway.store.studies.search import SECONDS, Version, in_turns, version_of

LOOKED_AT: Final = 20  # versions of any type, for each of a page
MOST_LATER: Final = 5_000  # resources that changed after the page: each may have older versions on it
_COLUMNS: Final = "SELECT r.address, v.version, v.updated, v.body FROM "
_NEWEST: Final = " ORDER BY v.updated DESC LIMIT :most"
_OF_ANY: Final = (
    f"{_COLUMNS}version v CROSS JOIN resource r WHERE v.updated < :before AND v.updated >= :since AND v.faults IS NULL"
    f" AND r.number = v.resource AND r.type IN listed(:types){{limit}}{_NEWEST}"
)
_ANY: Final = unlimited(_OF_ANY)
# A client with limits sees current versions alone: older ones may be beyond the limits
_CURRENT: Final = " AND v.version = r.version AND r.is_suppressed = 0"
OF_ANY_LIMITED: Final = _OF_ANY.replace("{limit}", f"{{limit}}{_CURRENT}")
_EDGE: Final = Statement(
    "SELECT v.updated FROM version v WHERE v.updated < :before AND v.updated >= :since"
    " ORDER BY v.updated DESC LIMIT 1 OFFSET :number"
)
_LAST: Final = Statement("SELECT k.last FROM tick k WHERE k.one = 1")
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
    """Return at most `most` versions of resources of these types, stored at or after `since` and before `before`.

    Both are microseconds. `limits` are what the client sees of each type; None: all.

    Raises:
        StoreTooSlow: the query took too long.
    """
    edge = await engine.fetch(_EDGE, since=since, before=before, number=LOOKED_AT * most)
    lowest = int(edge[0][0]) if edge else since
    rows = await _of_any(engine, types, limits, since=lowest, before=before, most=most)
    if edge and len(rows) < most:
        # What is committed from here on comes before the page: one type would have it, and another not
        last = int((await engine.fetch(_LAST))[0][0])
        place = {"since": since, "before": min(before, last + 1), "most": most}
        each = [row for one in types for row in await _of_type(engine, one, limits, **place)]
        rows = sorted(each, key=lambda row: -int(row[2]))[:most]
    return await in_turns(lambda row: version_of(*row), rows)


async def _of_any(engine: Engine, types: Sequence[str], limits: Limits | None, **place: int) -> Sequence[Row]:
    statement, more = (_ANY, {}) if limits is None else limited(OF_ANY_LIMITED, of_types(limits))
    return await _scan(engine, statement, types=json.dumps(list(types)), **place, **more)


async def _of_type(engine: Engine, kind: str, limits: Limits | None, **place: int) -> Sequence[Row]:
    """Return the versions of one type from its newest resources on."""
    if limits is not None:
        statement, more = limited(OF_TYPE_LIMITED, of_types(limits))
        return await _scan(engine, statement, type=kind, **place, **more)
    [[later]] = await engine.fetch(_LATER, type=kind, before=place["before"], most=MOST_LATER)
    if later == MOST_LATER:
        return await _of_any(engine, [kind], None, **place)
    return await _scan(engine, _OF_TYPE, type=kind, **place)


async def _scan(engine: Engine, statement: Statement, **values: Any) -> Sequence[Row]:
    compiled = statement.compiled(engine.dialect)
    return await engine.scan(compiled.sql, compiled.positional(values), SECONDS)
