"""Database errors are reported in words, with their remedy, and never with a password (D39)."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import asyncpg
import pytest
from fakes.commanded import sites
from fakes.databases import Server, at_once, server

from gateway.fhir_api.http.outcome import issue_of_error
from gateway.runtime.errors import ConfigError, StoreUnavailable, StoreValueRefused
from gateway.store.database.engine import Statement, ask
from gateway.store.database.migrate import migrate
from gateway.store.database.postgres import Postgres
from gateway.store.database.sqlite import Sqlite
from gateway.store.database.trouble import TROUBLES, DatabasePlace, place_of, unavailable
from mappings.codes import CANONICAL

PASSWORD = "tr0ub4dor"
LOGINS = "\n".join(
    (
        "host all gateway 127.0.0.1/32 trust",
        "host all nobody_here 127.0.0.1/32 trust",
        "hostssl all by_tls 127.0.0.1/32 trust",
        "host all word 127.0.0.1/32 scram-sha-256",
    )
)
MADE = f"CREATE ROLE word LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE by_tls LOGIN"


@pytest.fixture(scope="module")
def strict() -> Iterator[tuple[Server, str]]:
    """Run a PostgreSQL server that asks for a password; yield it with its `host:port`."""
    with server() as running:
        if running is None:
            pytest.skip("needs PostgreSQL's server programs: apt-get install -y postgresql")
        running.execute(MADE)
        at_once(_logins(running))
        yield running, urlsplit(running._url).netloc.partition("@")[2]


async def _logins(found: Server) -> None:
    connection = await asyncpg.connect(f"{found._url}/postgres")
    path = await connection.fetchval("SHOW hba_file")
    await connection.execute(f"COPY (SELECT unnest(string_to_array($lines${LOGINS}$lines$, E'\\n'))) TO '{path}'")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()
    await asyncio.sleep(0.3)


async def refusal(url: str) -> StoreUnavailable:
    with pytest.raises(StoreUnavailable) as refused:
        async with Postgres(url).opened():
            pass
    text = f"{refused.value} {refused.value.remedy}"
    assert PASSWORD not in text
    assert refused.value.cause not in str(refused.value)
    return refused.value


@pytest.mark.full
@pytest.mark.parametrize(
    ("login", "name", "said"),
    [
        (f"word:{PASSWORD}x", "postgres", "the database refused the password for user word at {at}"),
        (f"stranger:{PASSWORD}", "postgres", "the database takes no such connection from this machine for user str"),
        ("nobody_here", "postgres", "the database has no login for user nobody_here at {at}"),
        ("by_tls", "postgres", "the database takes no such connection from this machine for user by_tls at {at}"),
        (f"word:{PASSWORD}", "absent", "there is no such database (absent) at {at}"),
        ("word", "postgres", "the database refused the "),
    ],
)
async def test_a_login_that_postgresql_refuses_is_said_with_user_and_place(strict, login, name, said):
    error = await refusal(f"postgresql://{login}@{strict[1]}/{name}")
    assert said.format(at=strict[1]) in str(error)
    assert "database.url" in error.remedy or "pg_hba.conf" in error.remedy or "create" in error.remedy


async def test_tls_that_the_server_does_not_have_or_that_is_not_trusted_is_said(strict):
    error = await refusal(f"postgresql://gateway@{strict[1]}/postgres?sslmode=require")
    assert str(error).endswith(
        f"the database closed the connection before it was ready, or speaks no TLS at {strict[1]}"
    )
    assert "sslmode" in error.remedy


async def test_a_host_that_is_not_there_or_does_not_listen_is_named():
    error = await refusal(f"postgresql://u:{PASSWORD}@127.0.0.1:1/name")
    assert str(error) == "store-unavailable: nothing listens where the database should be at 127.0.0.1:1"
    error = await refusal(f"postgresql://u:{PASSWORD}@nowhere.invalid/name")
    assert str(error) == "store-unavailable: the host of the database is not known at nowhere.invalid:5432"


async def test_a_privilege_too_many_connections_and_a_read_only_server_are_said(strict):
    running, at = strict
    url = f"postgresql://word:{PASSWORD}@{at}/postgres"
    engine = Postgres(url)
    async with engine.opened():
        with pytest.raises(StoreUnavailable, match=f"a privilege is missing in the database for user word at {at}"):
            await engine.query("SELECT rolpassword FROM pg_authid", [])
        await asyncio.to_thread(running.execute, "ALTER ROLE word CONNECTION LIMIT 1")
        error = await refusal(url)
        assert str(error).endswith(f"the database has too many connections at {at}")
        await asyncio.to_thread(running.execute, "ALTER ROLE word CONNECTION LIMIT -1")
    await asyncio.to_thread(running.execute, "ALTER ROLE gateway SET default_transaction_read_only = on")
    engine = Postgres(f"postgresql://gateway@{at}/postgres")
    async with engine.opened():
        with pytest.raises(StoreUnavailable, match="the database takes no writes: it is read-only"):
            await engine.query("CREATE TABLE not_made (n int)", [])
        with pytest.raises(StoreUnavailable, match=r"a table is missing in the database \(postgres\) at"):
            await engine.query("SELECT * FROM never_made", [])


async def test_a_url_that_the_driver_cannot_read_is_a_fault_of_the_settings_without_a_part_of_it():
    with pytest.raises(ConfigError, match="percent-encoded") as refused:
        async with Postgres(f"postgresql://user:{PASSWORD}/x@host/name").opened():
            pass
    assert PASSWORD not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql://u:secret@h:5433/n", DatabasePlace("u", "h:5433", "n")),
        ("postgresql://a%40b:s%2Fx@h/n", DatabasePlace("a@b", "h:5432", "n")),
        ("postgresql://u:s@[::1]/n", DatabasePlace("u", "[::1]:5432", "n")),
        ("postgresql://u:s@one,two:6000/n", DatabasePlace("u", "one:5432,two:6000", "n")),
        ("postgresql://h/n?user=u&port=7", DatabasePlace("u", "h:7", "n")),
        ("postgresql://u:12/34@h/n", DatabasePlace()),
        ("postgresql://u:se?cret@h/n", DatabasePlace()),
        ("postgresql://[u/n", DatabasePlace()),
    ],
)
def test_the_place_of_a_database_never_has_its_password(url, place):
    assert place_of(url) == place


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda path: path, "there is no such folder or file: "),
        (
            lambda path: path.parent.mkdir() or path.write_bytes(b"no database" * 999),
            "the file is no SQLite database: ",
        ),
        (lambda path: path.mkdir(parents=True), "the database file cannot be opened: "),
        (lambda path: path.parent.write_text(""), "what should be a folder is a file: "),
    ],
)
async def test_a_file_that_cannot_be_opened_is_named(tmp_path, prepare, said):
    path = tmp_path / "folder" / "gateway.db"
    prepare(path)
    engine = Sqlite(path)
    for opening in (engine.opened().__aenter__, lambda: migrate(engine)):
        with pytest.raises(StoreUnavailable) as refused:
            await opening()
        assert str(refused.value) == f"store-unavailable: {said}{path}"
        assert refused.value.remedy != StoreUnavailable.remedy


async def test_a_file_that_is_locked_or_may_only_be_read_or_has_no_tables_is_said(sqlite_engine, tmp_path):
    put = Statement("INSERT INTO fact (name, value) VALUES ('a', '')")
    await sqlite_engine.do(lambda: ask(Statement("PRAGMA busy_timeout = 20")))
    other = sqlite3.connect(sqlite_engine.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="the database file is locked by another process"):
        await sqlite_engine.do(lambda: ask(put))
    other.close()
    with pytest.raises(StoreUnavailable, match="the database file may only be read"):
        await sqlite_engine.query("DELETE FROM fact", [])
    empty = Sqlite(tmp_path / "empty.db")
    async with empty.opened():
        with pytest.raises(StoreUnavailable, match="the database lacks what it was asked for"):
            await empty.query("SELECT * FROM fact", [])


@pytest.mark.parametrize("command", [("feed", "status"), ("migrate",), ("sync",), ("rerender",)])
async def test_every_command_says_it(strict, tmp_path, capsys, command):
    with sites(tmp_path, capsys) as opened:
        async with opened() as here:
            url = f"postgresql://word:{PASSWORD}x@{strict[1]}/postgres"
            code, _, err = await here.run(*command, GATEWAY_DATABASE_URL=url)
    assert f"the database refused the password for user word at {strict[1]}. Check user and password" in err
    assert (code, PASSWORD in err, "28P01" in err) == (1, False, False)


@pytest.mark.full
async def test_the_service_says_it_when_it_starts(strict, tmp_path, capsys):
    with sites(tmp_path, capsys) as opened:
        async with opened() as here:
            url = f"postgresql://word:{PASSWORD}x@{strict[1]}/postgres"
            command = [sys.executable, "-m", "gateway", "serve", "--insecure", "--port", "0"]
            env = os.environ | here.env | {"GATEWAY_DATABASE_URL": url}
            run = functools.partial(subprocess.run, check=False, capture_output=True, text=True, timeout=60)
            ended = await asyncio.to_thread(run, command, env=env)
    assert f"the database refused the password for user word at {strict[1]}." in ended.stderr
    assert (ended.returncode, PASSWORD in ended.stdout + ended.stderr) == (1, False)


@pytest.mark.parametrize("command", [("check-config",), ("check-config", "--online")])
async def test_check_config_says_it_too(strict, tmp_path, capsys, command):
    with sites(tmp_path, capsys) as opened:
        async with opened() as here:
            url = f"postgresql://word:{PASSWORD}x@{strict[1]}/postgres"
            _, _, err = await here.run(*command, GATEWAY_DATABASE_URL=url)
    assert f"the database refused the password for user word at {strict[1]}" in err
    assert (PASSWORD in err, "28P01" in err) == (False, False)


def test_a_code_that_no_row_has_is_that_of_its_class_or_is_named():
    class Made(Exception):
        sqlstate = "53999"

    assert unavailable(Made(), DatabasePlace(address="h:1")).detail == "the database lacks a resource at h:1"
    Made.sqlstate = "ZZ999"
    assert (
        unavailable(Made("patient"), DatabasePlace()).detail
        == "the database fails in a way that has no words here (ZZ999)"
    )
    full = OSError(28, os.strerror(28))
    assert unavailable(full, DatabasePlace(file="/f")).detail == "the disk of the database is full: /f"


def test_a_client_hears_neither_the_user_nor_the_host():
    class Made(Exception):
        sqlstate = "28P01"

    _, issue = issue_of_error(unavailable(Made(), DatabasePlace("gateway", "db.inside:5432", "n")))
    text = json.dumps(issue.json(CANONICAL))
    assert "the database refused the password" in text
    assert "db.inside" not in text
    assert "for user" not in text


def test_every_row_has_a_remedy_that_is_a_sentence():
    assert [code for code, row in TROUBLES.items() if not (row.words and row.remedy.endswith("."))] == []


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (asyncpg.DataError(), StoreValueRefused),
        (asyncpg.StringDataRightTruncationError(), StoreValueRefused),
        (asyncpg.ProgramLimitExceededError(), StoreValueRefused),
        (OverflowError(), StoreValueRefused),
        (asyncpg.UniqueViolationError(), StoreUnavailable),
        (asyncpg.DiskFullError(), StoreUnavailable),
        (asyncpg.InterfaceError("gone"), StoreUnavailable),
    ],
)
def test_an_error_of_a_value_is_told_from_one_of_the_database(error, kind):
    assert type(unavailable(error, DatabasePlace())) is kind
