"""Migrations run up and down with data in the tables, atomically; they create the tables that statements use.

https://alembic.sqlalchemy.org/en/latest/tutorial.html
"""

from __future__ import annotations

import asyncio
import io
import re
import sqlite3
from contextlib import closing
from functools import partial

import asyncpg
import pytest
from alembic import command
from fakes.databases import at_once
from fakes.next_release import NEXT, NEXT_ONE, THIS, upgraded
from sqlalchemy import create_engine
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from gateway.runtime.errors import ConfigError, StoreUnavailable
from gateway.store.database import migrate as migrating
from gateway.store.database import postgres
from gateway.store.database.engine import Statement, ask
from gateway.store.database.migrate import BASE, HEAD, migrate
from gateway.store.database.postgres import Postgres
from gateway.store.database.probe import is_current, newest, revisions
from gateway.store.database.schema import METADATA
from gateway.store.database.sqlite import Sqlite

_COLUMNS = """
    SELECT table_name, column_name, data_type, is_nullable, collation_name,
           column_default IS NOT NULL OR is_identity = 'YES'
    FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name NOT IN ('alembic_version', 'report_words')
"""
_KEYS = """
    SELECT conrelid::regclass::text, contype, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text NOT IN ('alembic_version', 'report_words')
"""
_INDEXES = """
    SELECT indexdef FROM pg_indexes
    WHERE schemaname = 'public' AND tablename NOT IN ('alembic_version', 'report_words')
"""
VALUES = {"INTEGER": 1, "BIGINT": 1, "TEXT": "Zyxwrumpel", "BLOB": b"x", "BYTEA": b"x", "": "word", "TSVECTOR": "word"}
TABLES = sorted([*METADATA.tables, "report_words"])  # which each database has in its own form


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request, tmp_path):
    """Return a function that makes engines, not opened, of one database without tables."""
    if request.param == "sqlite":
        yield partial(Sqlite, tmp_path / "a b?c%20#.db")
        return
    with request.getfixturevalue("postgres_server").database("template0") as url:
        yield partial(Postgres, url)


async def tables(engine):
    """Return the names of the existing tables."""
    sql = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        " AND name NOT LIKE 'report_words!_%' ESCAPE '!' ORDER BY name",
        "postgresql": "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1",
    }
    rows = await engine.query(sql[engine.dialect], [])
    return [name for (name,) in rows if name != "alembic_version"]


async def columns(engine, table):
    """Return the columns of a table, each with a value of the right kind."""
    if engine.dialect == "sqlite":
        rows = await engine.query(f"SELECT name, type FROM pragma_table_info('{table}')", [])
    else:
        rows = await engine.query(
            "SELECT column_name, upper(data_type) FROM information_schema.columns WHERE table_name = $1", [table]
        )
    return {str(name): VALUES[str(kind)] for name, kind in rows}


async def fill(engine):
    """Insert a row into every table."""
    for table in await tables(engine):
        row = await columns(engine, table)
        names = ", ".join(f'"{name}"' for name in row)  # "user" is a keyword of PostgreSQL
        insert = Statement(f"INSERT INTO {table} ({names}) VALUES ({', '.join(f':{name}' for name in row)})")
        await engine.do(partial(ask, Statement(f"DELETE FROM {table}")))
        await engine.do(partial(ask, insert, **row))


@pytest.fixture
def next_release(tmp_path):
    """Returns a function that brings the next release, with this script as its migration, while a block runs."""
    return partial(upgraded, tmp_path / "next")


def rewriting():
    """Return the statements of all migrations after the first that read or write rows, except the revision's own."""
    script = io.StringIO()
    command.upgrade(migrating._config(script), f"{revisions()[0]}:head", sql=True)
    found = re.findall(r"^(?:UPDATE|INSERT|DELETE)\b.*|.*\bALTER COLUMN\b.*", script.getvalue(), re.MULTILINE)
    return [one for one in found if "alembic_version" not in one]


def test_no_migration_rewrites_rows(next_release):
    assert rewriting() == []
    with next_release():
        assert rewriting() == []
    with next_release(NEXT.replace("op.create_index", "op.execute('UPDATE fact SET since = 8')\n    op.create_index")):
        assert rewriting() == ["UPDATE fact SET since = 8;"]


async def test_the_next_release_adds_what_it_needs_at_once_and_this_one_refuses_its_database(engines, next_release):
    engine = engines()
    async with engine.opened():
        await engine.do(partial(ask, Statement("INSERT INTO fact (name, value) VALUES ('kept', 'as it was')")))
        with next_release():
            assert not await is_current(engine)
            assert await migrate(engine) == (THIS, NEXT_ONE)
            assert await is_current(engine)
            kept = await engine.query("SELECT name, value, since FROM fact WHERE name = 'kept'", [])
            assert [tuple(row) for row in kept] == [("kept", "as it was", 7)]
        with pytest.raises(ConfigError, match="newer release"):
            await migrate(engine)
        with next_release():
            assert await migrate(engine, THIS) == (NEXT_ONE, THIS)
        assert await is_current(engine)
        assert [tuple(row) for row in await engine.query("SELECT value FROM fact WHERE name = 'kept'", [])] == [
            ("as it was",)
        ]


async def test_every_revision_goes_up_and_down_and_up_again_with_a_row_in_every_table(empty):
    before = BASE
    engine = empty()
    async with engine.opened():
        for revision in revisions():
            assert await migrate(engine, revision) == (before, revision)
            await fill(engine)
            assert await migrate(engine, before) == (revision, before)
            assert await migrate(engine, revision) == (before, revision)
            before = revision
        assert await tables(engine) == TABLES
        await fill(engine)
        assert await migrate(engine, BASE) == (before, BASE)
        assert await tables(engine) == []
        assert await migrate(engine) == (BASE, before)
        assert await migrate(engine) == (before, before)
        assert [tuple(row) for row in await engine.query("SELECT one, last, resource FROM tick", [])] == [(1, 0, 0)]


async def test_a_database_is_current_at_the_last_revision_alone(empty):
    engine = empty()
    async with engine.opened():
        assert not await is_current(engine)
        for revision in revisions():
            await migrate(engine, revision)
            assert await is_current(engine) is (revision == newest())
    assert newest() == revisions()[-1]


async def test_a_database_of_a_newer_release_is_refused(engines):
    engine = engines()
    async with engine.opened():
        await engine.do(partial(ask, Statement("UPDATE alembic_version SET version_num = '9999'")))
        for target in (HEAD, BASE):
            with pytest.raises(ConfigError, match="newer release"):
                await migrate(engine, target)
        assert await tables(engine) == TABLES


@pytest.mark.parametrize("revision", ["0001", "0028"])
async def test_a_database_from_before_the_first_release_is_refused_and_says_what_it_is(engines, revision):
    engine = engines()
    async with engine.opened():
        await engine.do(partial(ask, Statement(f"UPDATE alembic_version SET version_num = '{revision}'")))
        assert not await is_current(engine)
        for target in (HEAD, BASE):
            with pytest.raises(
                ConfigError, match=r"the database was made before release 1\.0\.0.* new, empty one, and"
            ):
                await migrate(engine, target)
        assert await tables(engine) == TABLES


async def test_a_migration_that_fails_halfway_leaves_nothing(empty):
    engine = empty()
    async with engine.opened():
        await engine.do(partial(ask, Statement("CREATE TABLE webhook (in_the_way INTEGER)")))
        with pytest.raises(StoreUnavailable):
            await migrate(engine)
        assert await tables(engine) == ["webhook"]
        await engine.do(partial(ask, Statement("DROP TABLE webhook")))
        assert await migrate(engine) == (BASE, revisions()[-1])
        assert await tables(engine) == TABLES


async def test_a_migration_may_take_longer_than_other_statements(empty, monkeypatch):
    """An index of a table with a hundred million rows takes PostgreSQL many minutes."""
    run = migrating._run

    def slowly(config, *given, sql):
        if sql:
            config.output_buffer.write("SELECT pg_sleep(0.9);\n")
        run(config, *given, sql=sql)

    monkeypatch.setattr(postgres, "_QUERY_TIME", 0.5)
    monkeypatch.setattr(migrating, "_run", slowly)
    engine = empty()
    async with engine.opened():
        assert await migrate(engine) == (BASE, revisions()[-1])


async def test_of_several_that_migrate_at_once_one_does(empty):
    several = [empty() for _ in range(3)]
    async with several[0].opened(), several[1].opened(), several[2].opened():
        found = await asyncio.gather(*map(migrate, several))
    head = revisions()[-1]
    assert sorted(found) == sorted([(BASE, head), (head, head), (head, head)])


def described(path):
    """Describe a SQLite database, table by table: its columns, keys and indexes."""
    with closing(sqlite3.connect(path)) as connection:

        def rows(sql):
            return connection.execute(sql).fetchall()

        made = {}
        for _, table, kind, _, without_rowid, strict in rows("PRAGMA table_list"):
            if kind != "table" or table.startswith("sqlite_") or table == "alembic_version":
                continue
            (sql,) = rows(f"SELECT sql FROM sqlite_master WHERE name = '{table}'")[0]
            indexes = {
                (name if origin == "c" else "", unique, tuple(one[2] for one in rows(f"PRAGMA index_info('{name}')")))
                for _, name, unique, origin, _ in rows(f"PRAGMA index_list('{table}')")
            }
            columns = {tuple(one[1:]) for one in rows(f"PRAGMA table_info('{table}')")}
            made[table] = (without_rowid, strict, "AUTOINCREMENT" in sql, columns, indexes)
        return made


def test_the_migrated_schema_is_that_of_the_statements_in_sqlite(migrated_sqlite, tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'other.db'}")
    METADATA.create_all(engine)
    engine.dispose()
    assert described(migrated_sqlite) == described(tmp_path / "other.db")
    assert set(described(migrated_sqlite)) == set(METADATA.tables)


async def catalogue(url):
    connection = await asyncpg.connect(url)
    try:
        return [sorted(map(tuple, await connection.fetch(sql))) for sql in (_COLUMNS, _KEYS, _INDEXES)]
    finally:
        await connection.close()


def of_dialect(table, dialect):
    """Return the indexes that a table has in this dialect."""
    return [one for one in table.indexes if one.info.get("dialect", dialect.name) == dialect.name]


async def create_all(url):
    connection = await asyncpg.connect(url)
    try:
        dialect = postgresql.dialect()
        for table in METADATA.sorted_tables:
            await connection.execute(str(CreateTable(table).compile(dialect=dialect)))
            for index in of_dialect(table, dialect):
                await connection.execute(str(CreateIndex(index).compile(dialect=dialect)))
    finally:
        await connection.close()


def test_the_migrated_schema_is_that_of_the_statements_in_postgresql(postgres_server, postgres_database):
    with postgres_server.database("template0") as other:
        at_once(create_all(other))
        found, wanted = at_once(catalogue(postgres_database)), at_once(catalogue(other))
    assert found == wanted
    assert len(wanted[0]) == sum(len(table.columns) for table in METADATA.tables.values())


def test_tables_are_strict_and_text_is_compared_byte_by_byte():
    for table in METADATA.tables.values():
        assert "STRICT" in str(CreateTable(table).compile(dialect=sqlite.dialect()))
        made = str(CreateTable(table).compile(dialect=postgresql.dialect()))
        assert made.count(" TEXT ") == made.count('TEXT COLLATE "C"')
