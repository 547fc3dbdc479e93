"""Content of a store as tuples, and small resources to write into it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from gateway.runtime.errors import RowUnreadable
from gateway.store.database import locks
from gateway.store.database.engine import Engine, Statement
from gateway.store.database.kept import decompressed, served_version, stored_version
from gateway.store.database.schema import METADATA
from gateway.store.intake import committed
from gateway.store.studies import write_versions
from gateway.store.studies.search_sql import for_dialect
from gateway.store.studies.write_versions import RenderedVersion, VersionWrite

_INSTANTS = Statement(
    "SELECT r.address, v.version, v.updated FROM resource r JOIN version v ON v.resource = r.number"
    " WHERE r.address IN listed(:addresses)"
)


class Written(NamedTuple):
    """Version that was written, with its instant."""

    address: str
    version: int
    updated: int
    is_suppressed: bool


async def rows(engine: Engine, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a query with `?` for values."""
    return [tuple(row) for row in await engine.query(for_dialect(sql, engine.dialect), values)]


async def everything(engine: Engine) -> list[tuple[str, str]]:
    """Return all values of all tables, with what is compressed unpacked, and the table of each."""
    found: list[tuple[str, str]] = []
    for table in METADATA.tables:
        for row in await rows(engine, f"SELECT * FROM {table}"):
            found += [(table, _readable(value)) for value in row]
    return found


def _readable(value: Any) -> str:
    """Return the text of a column's value, unpacked if it is compressed."""
    if isinstance(value, bytes):
        with suppress(RowUnreadable):
            return decompressed(value).decode("utf-8", "replace")
        return value.decode("utf-8", "replace")
    return str(value)


async def tables_with(engine: Engine, *words: str) -> set[str]:
    """Return the tables that hold one of these words."""
    return {table for table, text in await everything(engine) if any(word.lower() in text.lower() for word in words)}


def resource_of(row: bytes, version: int = 0, updated: int = 0) -> Any:
    """Return the resource of a row of `version`. Without its instant, `meta` is not the served one."""
    return json.loads(served_version(row, version, updated))


def made(address: str, said: str = "", *, head: bytes = b"", tail: bytes = b"", **changes: Any) -> RenderedVersion:
    """Make a resource with that content, or with these bytes before and after its instant."""
    kind, _, resource_id = address.partition("/")
    head = head or f'{{"resourceType":"{kind}","id":"{resource_id}","meta":{{'.encode()
    tail = tail or f'}},"said":"{said}"}}'.encode()
    return RenderedVersion(
        **{
            "address": address,
            "owner": "",
            "as_of": 1,
            "stored": stored_version(kind, head, tail),
            "faults": None,
            "terms": (),
            "moments": (),
            **changes,
        }
    )


async def write(engine: Engine, *resources: RenderedVersion, now: int = 1, reindex: bool = False) -> list[Written]:
    """Write the resources in one transaction, at that instant."""

    def work():
        yield from locks.take()
        return (yield from write_versions.write([VersionWrite(resources, reindex)], now))

    (written,) = await committed(engine, work)
    found = await engine.fetch(_INSTANTS, addresses=json.dumps([one.address for one in written]))
    updated = {(address, version): updated for address, version, updated in found}
    return [Written(one.address, one.version, updated[one.address, one.version], one.is_suppressed) for one in written]


def addresses(written: Sequence[Written]) -> list[tuple[str, int]]:
    """Addresses of written versions, with their numbers."""
    return [(one.address, one.version) for one in written]
