"""Fill a store with any number of reports: copies of one real report with their own ids, patients and days.

The copies are made by the databases themselves from a sequence of numbers. A body is 1 kB; the rows of the index are as
many as the report has. Ten reports are about one patient; every other study has a warning. Indexes are made at the end.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, DropIndex

from gateway.index.keys import key
from gateway.store.database.engine import Engine, Statement
from gateway.store.database.schema import INDEXES

BODY = 1000
VISITS = 10  # reports about the same patient
FILLED = frozenset({"issue", "moment", "resource", "study", "term"})
DAY = 86_400_000_000
BEGIN = 1_420_070_400_000_000  # 2015: the days of ten years follow each other again and again
EFFECTIVE = key("DiagnosticReport", "date")
PATIENT = "pat-" + "f" * 26  # and six digits of its number
_TERMS = Statement("SELECT key, value FROM term WHERE resource = :number")
_SHARED = Statement(
    "SELECT t.key, t.value FROM resource r JOIN term t ON t.resource = r.term_set WHERE r.number = :number"
)
_MOMENTS = Statement("SELECT key FROM moment WHERE resource = :number")
_REPORT = Statement(
    "SELECT r.number, r.address, r.owner, t.value FROM resource r JOIN term t ON t.resource = r.number AND t.key = :key"
    " WHERE r.type = 'DiagnosticReport' AND r.is_suppressed = 0 ORDER BY r.number LIMIT 1"
)
_RESOURCE = """'{"resourceType":"DiagnosticReport","id":"rep-' || s.hex || '"}'"""
# `s` is the sequence: a number, the same in 32 hexadecimal digits, that of the patient in 6; `k` are rows of the index.
# All copies share one set of terms, number -1
_FILL = (
    "INSERT INTO resource (number, address, type, owner, version, updated, as_of, is_suppressed, term_set)"
    " SELECT s.number, 'DiagnosticReport/rep-' || s.hex, 'DiagnosticReport', 'stu_' || s.hex, 1, s.number, 1, 0, -1"
    " FROM s",
    "INSERT INTO term (resource, key, value) SELECT -1, k.key, k.value FROM k WHERE k.kind = 'shared'",
    "INSERT INTO version (resource, version, updated, faults, body) SELECT s.number, 1, s.number, NULL, {body} FROM s",
    "INSERT INTO study (study_id, revision, is_external, has_signed, has_warnings, listed_digest, received_digest,"
    " received, kept, fetched, listed) SELECT 'stu_' || s.hex, 1, 0, 1, s.number % 2, '', '', {empty}, {empty}, 1, 1"
    " FROM s",
    "INSERT INTO issue (study_id, place, code, severity, pointer, action) SELECT 'stu_' || s.hex, 0,"
    " 'name-not-split', 'warning', '/reportMetadata/patientName', 'kept whole' FROM s WHERE s.number % 2 = 1",
    "INSERT INTO term (resource, key, value) SELECT s.number, k.key,"
    " replace(replace(k.value, ':own', s.hex), ':patient', s.patient) FROM s CROSS JOIN k WHERE k.kind = 'term'",
    "INSERT INTO moment (resource, key, low, high) SELECT s.number, k.key,"
    f" {BEGIN} + s.number % 3650 * {DAY}, {BEGIN} + (s.number % 3650 + 1) * {DAY}"
    " FROM s CROSS JOIN k WHERE k.kind = 'moment'",
    "UPDATE tick SET last = {count}, resource = {count}",
    "DROP TABLE s",
    "DROP TABLE k",
    "ANALYZE",
)


def patient(number: int) -> str:
    """Return the id of a patient by number, from 0."""
    return f"{PATIENT}{number:06x}"


async def template(engine: Engine) -> list[tuple[str, int, str]]:
    """Return the index rows of a report in the store, with `:own` and `:patient` in place of its own ids."""
    number, address, owner, subject = (await engine.fetch(_REPORT, key=key("DiagnosticReport", "patient")))[0]
    own = {address.partition("rep-")[2]: ":own", owner.removeprefix("stu_"): ":own"}
    own[subject.removeprefix("Patient/")] = f"{PATIENT}:patient"
    terms = []
    for name, value in await engine.fetch(_TERMS, number=number):
        for old, new in own.items():
            value = value.replace(old, new)  # noqa: PLW2901
        terms.append(("term", int(name), value))
    shared = [("shared", int(name), value) for name, value in await engine.fetch(_SHARED, number=number)]
    return [*terms, *shared, *(("moment", int(name), "") for (name,) in await engine.fetch(_MOMENTS, number=number))]


def _statements(count: int, dialect: Any, words: dict[str, Any]) -> list[str]:
    here = [one for one in INDEXES if one.info.get("dialect", dialect.name) == dialect.name]
    indexes = [one for one in here if one.table.name in FILLED]
    drop = [str(DropIndex(one).compile(dialect=dialect)) for one in indexes]
    create = [str(CreateIndex(one).compile(dialect=dialect)) for one in indexes]
    return [*drop, *(one.format(count=count, **words) for one in _FILL[:-1]), *create, _FILL[-1]]


def fill_sqlite(path: Path, rows: Sequence[tuple[str, int, str]], count: int) -> float:
    """Fill a migrated SQLite file; return the seconds."""
    begun = time.monotonic()
    connection = sqlite3.connect(path, isolation_level=None)
    for one in (
        "journal_mode = OFF",
        "synchronous = OFF",
        "cache_size = -1000000",
        "temp_store = MEMORY",
        "threads = 2",
    ):
        connection.execute(f"PRAGMA {one}")
    connection.execute("CREATE TEMP TABLE k (kind TEXT, key INTEGER, value TEXT)")
    connection.executemany("INSERT INTO k VALUES (?, ?, ?)", rows)
    connection.execute(
        "CREATE TEMP TABLE s AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
        f" SELECT i AS number, printf('%032x', i) AS hex, printf('%06x', (i - 1) / {VISITS}) AS patient FROM n",
        (count,),
    )
    body = (
        f'CAST(printf(\'%-{BODY}s\', \'{{"resourceType":"DiagnosticReport","id":"rep-\' || s.hex || \'"}}\') AS BLOB)'
    )
    for one in _statements(count, sqlite.dialect(), {"body": body, "empty": "x''"}):
        connection.execute(one)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    return time.monotonic() - begun


async def fill_postgres(url: str, rows: Sequence[tuple[str, int, str]], count: int) -> float:
    """Fill a migrated PostgreSQL database; return the seconds."""
    begun = time.monotonic()
    connection = await asyncpg.connect(url)
    for one in ("synchronous_commit = off", "maintenance_work_mem = '1GB'", "work_mem = '256MB'"):
        await connection.execute(f"SET {one}")
    await connection.execute("CREATE TEMP TABLE k (kind text, key bigint, value text)")
    await connection.copy_records_to_table("k", records=rows)
    await connection.execute(
        "CREATE TEMP TABLE s AS SELECT i AS number, lpad(to_hex(i), 32, '0') AS hex,"
        f" lpad(to_hex((i - 1) / {VISITS}), 6, '0') AS patient FROM generate_series(1, {count}) i"
    )
    text = '\'{{"resourceType":"DiagnosticReport","id":"rep-\' || s.hex || \'"}}\''
    body = f"convert_to(rpad({text.replace('{{', '{').replace('}}', '}')}, {BODY}), 'UTF8')"
    for one in _statements(count, postgresql.dialect(), {"body": body, "empty": "''::bytea"}):
        await connection.execute(one)
    await connection.execute(f"SELECT setval('resource_number', {count})")
    await connection.close()
    return time.monotonic() - begun
