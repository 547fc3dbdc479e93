"""What stands in a store, as tuples; and small resources to be written into one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.store.database.engine import Engine
from gateway.store.studies import versions
from gateway.store.studies.search_sql import for_dialect
from gateway.store.studies.versions import RenderedVersion, WrittenVersion


async def rows(engine: Engine, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """The rows of SQL with `?` for values."""
    return [tuple(row) for row in await engine.query(for_dialect(sql, engine.dialect), values)]


def made(address: str, said: str = "", **changes: Any) -> RenderedVersion:
    """A resource that says so."""
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
    """Write them in a transaction of their own, at that instant."""

    def work():
        clock = yield from versions.begin(now)
        written = yield from versions.write(clock, resources, reindex=reindex)
        yield from versions.end(clock)
        return written

    return await engine.do(work)


def addresses(written: Sequence[WrittenVersion]) -> list[tuple[str, int]]:
    """What was written, with the number of its version."""
    return [(one.address, one.version) for one in written]
