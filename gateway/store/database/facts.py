"""Store named values about the whole database (table `fact`): read one, add it where it is missing, or replace it.

Carries out no clause of a standard; decision D11: patient ids are made with the site key, so another key is refused.
Proved by tests/contract/test_coverage.py.
"""

from __future__ import annotations

from typing import Final

from gateway.store.database.engine import Engine
from gateway.store.database.statements import Statement, Steps, ask

INDEX: Final = "index"  # the revision of the index that all stored resources have
INDEX_REVISION: Final = "1"  # higher with each change of index rows; fhir_api/search/unindexed.py says of what
_CLAIM: Final = Statement("INSERT INTO fact (name, value) VALUES (:name, :value) ON CONFLICT DO NOTHING")
_PUT: Final = Statement("UPDATE fact SET value = :value WHERE name = :name")
_GET: Final = Statement("SELECT value FROM fact WHERE name = :name")


async def claimed(engine: Engine, name: str, value: str) -> str:
    """Return the value of a fact; store this value first if the fact has none."""

    def work() -> Steps[str]:
        yield from ask(_CLAIM, name=name, value=value)
        rows = yield from ask(_GET, name=name)
        return str(rows[0][0])

    return await engine.do(work)


async def value_of(engine: Engine, name: str) -> str | None:
    """Return the value of a fact; None if it has none."""
    rows = await engine.fetch(_GET, name=name)
    return str(rows[0][0]) if rows else None


async def put(engine: Engine, name: str, value: str) -> None:
    """Replace the value of a fact."""
    await engine.do(lambda: ask(_PUT, name=name, value=value))
