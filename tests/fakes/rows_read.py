"""Count what a query reads of a database, which a busy machine does not change.

https://sqlite.org/c3ref/progress_handler.html: steps of SQLite's virtual machine, several for each row. PostgreSQL
says rows, those that a filter removed among them, and pages of 8 kB.
https://www.postgresql.org/docs/current/sql-explain.html.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple
from unittest.mock import patch

import asyncpg

from gateway.store.database.engine import Row
from gateway.store.database.postgres import PLANNED_EACH, PLANNED_ONCE, Postgres
from gateway.store.database.sqlite import Sqlite

_STEPS = 10
_OPTIONS = "ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON"


class Sent(NamedTuple):
    """SQL that the store sent, and whether it went over the connections for long queries."""

    sql: str
    values: Sequence[Any]
    is_long: bool


@dataclass(frozen=True, order=True)
class Reading:
    """Steps of SQLite, or rows of PostgreSQL that a query read; `pages` are PostgreSQL's alone."""

    read: int = 0
    pages: int = 0

    def __add__(self, other: Reading) -> Reading:
        return Reading(self.read + other.read, self.pages + other.pages)


@contextmanager
def recorded(engine: Sqlite | Postgres) -> Iterator[list[Sent]]:
    """Note the SQL that goes to the engine while the block runs."""
    sent: list[Sent] = []
    query, scan = engine.query, engine.scan

    async def queried(sql: str, values: Sequence[Any]) -> Sequence[Row]:
        sent.append(Sent(sql, values, is_long=False))
        return await query(sql, values)

    async def scanned(sql: str, values: Sequence[Any], seconds: float, *, tries_here: bool = False) -> Sequence[Row]:
        sent.append(Sent(sql, values, is_long=True))
        return await scan(sql, values, seconds, tries_here=tries_here)

    with patch.object(engine, "query", queried), patch.object(engine, "scan", scanned):
        yield sent


async def reading(engine: Sqlite | Postgres, sent: Sequence[Sent]) -> Reading:
    """Run the SQL again, and return what it reads."""
    if isinstance(engine, Sqlite):
        return sum((_steps(engine, one) for one in sent), Reading())
    total = Reading()
    for one in sent:
        connection = await asyncpg.connect(engine._url, server_settings=PLANNED_EACH if one.is_long else PLANNED_ONCE)
        total += await _rows(connection, one)
        await connection.close()
    return total


def _steps(engine: Sqlite, sent: Sent) -> Reading:
    steps = 0

    def further() -> None:
        nonlocal steps
        steps += _STEPS

    with closing(sqlite3.connect(engine.path)) as connection:
        connection.execute("SELECT 1 FROM sqlite_master").fetchall()  # the schema is read once
        connection.set_progress_handler(further, _STEPS)
        connection.execute(sent.sql, sent.values).fetchall()
    return Reading(steps)


async def _rows(connection: Any, sent: Sent) -> Reading:
    """Explain it as a prepared statement, so that it is planned as the store's connections plan."""
    await connection.execute(f"PREPARE asked AS {sent.sql}")
    given = ", ".join(map(_literal, sent.values))
    ((plan,),) = await connection.fetch(f"EXPLAIN ({_OPTIONS}) EXECUTE asked{f'({given})' if given else ''}")
    (whole,) = json.loads(plan)
    node = whole["Plan"]
    return Reading(_read_by(node), node["Shared Hit Blocks"] + node["Shared Read Blocks"])


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value)


def _read_by(node: dict[str, Any]) -> int:
    """Return the rows that a node of a plan and those below it read from tables and indexes."""
    own = 0
    if "Relation Name" in node or "Index Name" in node:
        each = node["Actual Rows"] + sum(node.get(f"Rows Removed by {why}", 0) for why in ("Filter", "Index Recheck"))
        own = round(each * node["Actual Loops"])
    return own + sum(map(_read_by, node.get("Plans", ())))
