"""Content of a store as tuples, and small resources to write into it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.store.database.engine import Engine
from gateway.store.studies import locks, versions
from gateway.store.studies.commits import committed
from gateway.store.studies.search_sql import for_dialect
from gateway.store.studies.versions import RenderedVersion, VersionWrite, WrittenVersion


async def rows(engine: Engine, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a query with `?` for values."""
    return [tuple(row) for row in await engine.query(for_dialect(sql, engine.dialect), values)]


def made(address: str, said: str = "", **changes: Any) -> RenderedVersion:
    """Make a resource with that content."""
    kind, _, resource_id = address.partition("/")
    return RenderedVersion(
        **{
            "address": address,
            "owner": "",
            "as_of": 1,
            "head": f'{{"resourceType":"{kind}","id":"{resource_id}","meta":{{'.encode(),
            "tail": f'}},"said":"{said}"}}'.encode(),
            "faults": None,
            "terms": (),
            "moments": (),
            **changes,
        }
    )


async def write(
    engine: Engine, *resources: RenderedVersion, now: int = 1, reindex: bool = False
) -> list[WrittenVersion]:
    """Write the resources in one transaction, at that instant."""

    def work():
        yield from locks.take()
        return (yield from versions.write([VersionWrite(resources, reindex)], now))

    return (await committed(engine, work))[0]


def addresses(written: Sequence[WrittenVersion]) -> list[tuple[str, int]]:
    """Addresses of written versions, with their numbers."""
    return [(one.address, one.version) for one in written]
