"""Read the versions of all resources of some types, the newest first, by the index of versions.

https://hl7.org/fhir/R4/http.html#history; every version has an instant of its own (D29), at which a page goes on.
Proved by tests/contract/test_histories.py and tests/contract/test_plans.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from gateway.store.database.engine import Engine
from gateway.store.database.statements import Statement
from gateway.store.studies.limited import Limits, limited, of_types, unlimited
from gateway.store.studies.search import SECONDS, Version, in_turns, version_of
from mappings.fhir.resource_types import types_at

# Resources of these types are few, so that their versions are seldom among the newest of all
FEW: Final = frozenset(types_at("referred", "apart"))
_COLUMNS: Final = "SELECT r.address, v.version, v.updated, v.body FROM "
_WHERE: Final = (
    " WHERE v.updated < :before AND v.updated >= :since AND v.faults IS NULL AND r.number = v.resource"
    " AND r.type {of}{limit} ORDER BY v.updated DESC LIMIT :most"
)
OF_MANY: Final = f"{_COLUMNS}version v CROSS JOIN resource r{_WHERE.replace('{of}', 'IN listed(:types)')}"
OF_FEW: Final = f"{_COLUMNS}resource r CROSS JOIN version v{_WHERE.replace('{of}', '= :type')}"
MANY: Final = unlimited(OF_MANY)
ONLY_FEW: Final = unlimited(OF_FEW)
# A client with limits sees current versions alone: older ones may be beyond the limits
_CURRENT: Final = "{limit} AND v.version = r.version AND r.is_suppressed = 0"
OF_MANY_LIMITED: Final = OF_MANY.replace("{limit}", _CURRENT)
OF_FEW_LIMITED: Final = OF_FEW.replace("{limit}", _CURRENT)


async def versions_of(  # noqa: PLR0913 (selection, page and limits)
    engine: Engine, types: Sequence[str], *, since: int, before: int, most: int, limits: Limits | None
) -> list[Version]:
    """Return at most `most` versions of resources of these types, stored at or after `since` and before `before`.

    Both are microseconds. `limits` are what the client sees of each type; None: all.

    Raises:
        StoreTooSlow: the query took too long.
    """
    is_few = len(types) == 1 and types[0] in FEW
    values: dict[str, Any] = {"since": since, "before": before, "most": most}
    values |= {"type": types[0]} if is_few else {"types": json.dumps(list(types))}
    statement: Statement = ONLY_FEW if is_few else MANY
    if limits is not None:
        statement, more = limited(OF_FEW_LIMITED if is_few else OF_MANY_LIMITED, of_types(limits))
        values |= more
    compiled = statement.compiled(engine.dialect)
    rows = await engine.scan(compiled.sql, compiled.positional(values), SECONDS)
    return await in_turns(lambda row: version_of(*row), rows)
