"""Bytes that a stored study takes, per table, on both stores; and what reading compressed rows costs.

Run by `make bench`. The studies are the sandbox's, once with their own texts and once with texts of 1.4 kB in which no
sentence repeats: words of written reports, drawn as often as those have them. The size is that of the whole file
(SQLite), and of all tables with their indexes (PostgreSQL). `BENCH_SIZED` is the number of studies.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from bench import stores
from fakes.databases import at_once

from gateway.ingest import Fetched
from gateway.store.database.kept import served_version
from gateway.store.database.postgres import Postgres
from gateway.store.database.sqlite import Sqlite

STUDIES = int(os.environ.get("BENCH_SIZED", "1000"))
TEXT, SENTENCE, PAGE, ROUNDS = 1_400, 9, 50, 40
TO_REACH = {"sandbox": {"sqlite": 20, "postgresql": 30}, "unlike": {"sqlite": 25, "postgresql": 36}}
PAGE_TO_REACH = 1.0
FEW = 100  # bytes of a table that is not printed
WRITTEN = Path(__file__).parents[1] / "report_texts" / "practice"
OF_POSTGRES = (
    "SELECT c.relname, pg_total_relation_size(c.oid) - pg_indexes_size(c.oid), pg_indexes_size(c.oid) FROM pg_class c"
    " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public' AND c.relkind = 'r'"
)
OF_SQLITE = (
    "SELECT m.tbl_name, sum(CASE WHEN m.name = m.tbl_name THEN d.pgsize ELSE 0 END),"
    " sum(CASE WHEN m.name = m.tbl_name THEN 0 ELSE d.pgsize END)"
    " FROM (SELECT name, sum(pgsize) AS pgsize FROM dbstat GROUP BY name) d JOIN sqlite_schema m ON m.name = d.name"
    " GROUP BY m.tbl_name"
)
BODIES = "SELECT body, version, updated FROM version ORDER BY updated"

pytestmark = pytest.mark.timeout(1800)


def unlike(given: Iterator[Fetched]) -> Iterator[Fetched]:
    """Give each report a text of its own, in which no sentence repeats."""
    dice = random.Random(1)
    texts = [json.loads(file.read_text())["text"] for file in sorted(WRITTEN.glob("*.json"))]
    words = Counter(word for one in texts for word in one.split())
    plain = {word: count for word, count in words.items() if word.isalpha() and not word.isupper()}

    def text(length: int) -> str:
        said = ""
        while len(said) < length:
            drawn = dice.choices(list(plain), list(plain.values()), k=SENTENCE)
            said += " ".join(drawn).capitalize() + f" {dice.randrange(1, 99)} mm. "
        return said

    for one in given:
        reports = [
            {**row, "reportPlainText": f"FINDINGS: {text(TEXT * 4 // 5)}\n\nIMPRESSION: {text(TEXT // 5)}"}
            if row.get("reportPlainText")
            else row
            for row in one.reports["reports"]
        ]
        yield replace(one, reports={**one.reports, "reports": reports})


async def sizes(engine: Sqlite | Postgres) -> list[tuple[str, int, int]]:
    """Return each table with the bytes of its rows and of its indexes."""
    if isinstance(engine, Postgres):
        return [tuple(row) for row in await engine.query(OF_POSTGRES, ())]
    connection = sqlite3.connect(engine.path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    found = connection.execute(OF_SQLITE).fetchall()
    connection.close()
    return found


def page_cost(rows: list[tuple[bytes, int, int]]) -> float:
    """Return the CPU milliseconds that decompressing a page takes more than reading plain rows."""
    pages = [rows[start : start + PAGE] for start in range(0, len(rows) - PAGE, PAGE)][:ROUNDS]
    plain = [[(served_version(*row), *row[1:]) for row in page] for page in pages]
    spent = []
    for given in (pages, plain):
        begun = time.process_time()
        for page in given:
            for row in page:
                served_version(*row)
        spent.append(time.process_time() - begun)
    return (spent[0] - spent[1]) / len(pages) * 1000


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize("texts", ["sandbox", "unlike"])
def test_bytes_of_a_study(kind, texts, new_database, say) -> None:
    async def measured(engine: Sqlite | Postgres) -> None:
        async with engine.opened():
            given = stores.studies(STUDIES)
            await stores.taken_in(engine, unlike(given) if texts == "unlike" else given, 4)
            ((count,),) = await engine.query("SELECT count(*) FROM study", ())
            found = sorted(await sizes(engine), key=lambda one: -one[1] - one[2])
            rows = [(bytes(body), version, updated) for body, version, updated in await engine.query(BODIES, ())]
        total = sum(rows_bytes + index_bytes for _, rows_bytes, index_bytes in found)
        if isinstance(engine, Sqlite):
            total = engine.path.stat().st_size
        say(
            f"size per study, {kind}, {texts} texts, {count} studies: {total / count / 1000:.1f} kB"
            f" (to reach: {TO_REACH[texts][kind]}); a page of {PAGE} pays {page_cost(rows):.2f} ms"
            f" (to reach: {PAGE_TO_REACH:.0f})"
        )
        for table, row_bytes, index_bytes in found:
            if row_bytes + index_bytes >= FEW * count:
                say(f"  {table}: {row_bytes / count:.0f} B, its indexes {index_bytes / count:.0f} B")

    with new_database(kind) as place:
        at_once(measured(Postgres(place) if kind == "postgresql" else Sqlite(place)))
