"""Time of `migrate` for large databases of earlier releases, on both stores.

https://sqlite.org/lang_altertable.html, https://www.postgresql.org/docs/current/sql-altertable.html; decision D47. Run
by `make bench`. The tables that migrations changed so far are full: two messages and two outbox rows for each study.
`BENCH_MIGRATED` is the number of studies. A million need 4 GB of disk, and ten minutes to fill.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from fakes.cluster import binaries
from fakes.databases import at_once
from fakes.old_release import OldRelease, execute, load, old_releases, query

from gateway.store.database.migrate import migrate
from gateway.store.database.postgres import Postgres
from gateway.store.database.probe import newest
from gateway.store.database.sqlite import Sqlite

STUDIES = int(os.environ.get("BENCH_MIGRATED", "100000"))
MOST_SECONDS = 60 * STUDIES / 1_000_000
BATCH = 100_000
# Table -> rows for each study, and the columns that differ from its first row; `n` counts the rows of the table
FILLED = {
    "study": (1, {"study_id": "'stu_' || n", "study_instance_uid": "'2.25.' || n"}),
    "report": (1, {"report_id": "'rep_' || n", "study_id": "'stu_' || n"}),
    "resource": (1, {"number": "n", "address": "'DiagnosticReport/rep-' || n", "owner": "'stu_' || n"}),
    "version": (1, {"resource": "n"}),
    "claim": (1, {"patient_id": "'pat-' || n", "study_id": "'stu_' || n"}),
    "outbox": (2, {"number": "n", "study_id": "'stu_' || n / 2", "report_id": "'rep_' || n / 2"}),
    "message": (
        2,
        {"number": "n", "study_id": "'stu_' || n / 2", "report_id": "'rep_' || n / 2", "control_id": "'c' || n"}
        | {"patient_id": "'pat-' || n / 2", "outbox": "n"},
    ),
    "audit": (0.01, {"number": "n"}),
    "verdict": (0.01, {"study_id": "'stu_' || n"}),
}
# First rows of tables that are empty in the copies
FIRST = (
    'INSERT INTO audit (number, at, verb, argument, reason, "user", host)'
    " VALUES (1000, 0, 'feed-pause', 'ehr', 'a reason', 'admin', 'here')",
    "INSERT INTO verdict (patient_id, study_id, verdict, reason, decided) VALUES ('pat-1', 'stu_0', 'link', '', 0)",
)

pytestmark = pytest.mark.timeout(3600)


def statements(columns: dict[str, list[str]], *, is_sqlite: bool) -> Iterator[str]:
    """Yield the statements that fill the tables."""
    yield from FIRST
    for table, (each, changes) in FILLED.items():
        names = ", ".join(f'"{one}"' for one in columns[table])
        values = ", ".join(changes.get(one, f't."{one}"') for one in columns[table])
        first = f"(SELECT * FROM {table} ORDER BY 1 LIMIT 1) t"
        for start in range(10_000, 10_000 + int(STUDIES * each), BATCH):
            end = min(start + BATCH, 10_000 + int(STUDIES * each)) - 1
            series = f"(SELECT generate_series({start}, {end}) AS n) s"
            if is_sqlite:
                below = f"SELECT {start} UNION ALL SELECT n + 1 FROM s WHERE n < {end}"
                yield f"WITH RECURSIVE s(n) AS ({below}) INSERT INTO {table} ({names}) SELECT {values} FROM {first}, s"
            else:
                yield f"INSERT INTO {table} ({names}) SELECT {values} FROM {first}, {series}"


async def filled(url: str, sql: str) -> int:
    """Fill a database of an earlier release; return its number of studies."""
    await load(url, sql)
    if await query(url, "SELECT version_num FROM alembic_version") == [(newest(),)]:
        pytest.skip("this release has the present tables: nothing is migrated")
    columns = {}
    for table in FILLED:
        of_table = f"SELECT column_name FROM information_schema.columns WHERE table_name = '{table}'"
        if url.startswith("sqlite"):
            of_table = f"SELECT name FROM pragma_table_info('{table}')"
        columns[table] = [str(name) for (name,) in await query(url, of_table)]
    await execute(url, statements(columns, is_sqlite=url.startswith("sqlite")))
    return int((await query(url, "SELECT count(*) FROM study"))[0][0])


async def timed(url: str) -> tuple[float, str, str]:
    """Migrate a database to the present release; return the seconds, and the revisions before and after."""
    if url.startswith("sqlite"):
        begun = time.monotonic()
        before, after = await migrate(Sqlite(Path(url.removeprefix("sqlite:///"))))
        return time.monotonic() - begun, before, after
    engine = Postgres(url)
    async with engine.opened():
        begun = time.monotonic()
        before, after = await migrate(engine)
        return time.monotonic() - begun, before, after


@contextmanager
def place(request: pytest.FixtureRequest, release: OldRelease, folder: Path) -> Iterator[str]:
    """Yield the URL of an empty database."""
    if release.store == "postgresql" and binaries() is None:
        pytest.skip("needs PostgreSQL's server programs: apt-get install -y postgresql")
    server = request.getfixturevalue("postgres_server") if release.store == "postgresql" else None
    with server.database("template0") if server else nullcontext(f"sqlite:///{folder / 'gateway.db'}") as url:
        yield url


@pytest.mark.parametrize("release", old_releases(), ids=lambda one: f"{one.name}-{one.store}")
def test_a_million_studies_would_be_migrated_within_a_minute(request, release, tmp_path, say):
    with place(request, release, tmp_path) as url:
        studies = at_once(filled(url, release.sql))
        seconds, before, after = at_once(timed(url))
        for file in tmp_path.iterdir():
            file.unlink()
    say(f"migrate {release.store}, {studies} studies, {before} to {after}: {seconds:.1f} s")
    assert studies >= STUDIES
    assert seconds <= MOST_SECONDS
