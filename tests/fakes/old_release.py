"""Databases that earlier releases wrote, as text, with the settings and the AutoScribe account of that day.

https://sqlite.org/cli.html#converting_an_entire_database_to_a_text_file,
https://www.postgresql.org/docs/current/app-pgdump.html. `make upgrade-fixture` writes one for the present release.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
from fakes.scripted_server import Reply, Request

FOLDER = Path(__file__).parents[1] / "upgrade" / "releases"
STORES = ("sqlite", "postgresql")
# Destinations of the settings file, and the ports that stand there for their receivers
PORTS = {"ehr": 20001, "doubts": 20002, "paused": 20003, "slow": 20004, "later": 20005}
WEBHOOK_KEY = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
Json = dict[str, Any]


@dataclass(frozen=True)
class OldRelease:
    """One database of a release: its SQL, its settings file, and AutoScribe as it was when the database was copied."""

    name: str
    store: str

    @property
    def folder(self) -> Path:
        return FOLDER / self.name

    @property
    def sql(self) -> str:
        return gzip.decompress((self.folder / f"{self.store}.sql.gz").read_bytes()).decode()

    @property
    def account(self) -> Json:
        return dict(json.loads(gzip.decompress((self.folder / f"{self.store}.json.gz").read_bytes())))

    def settings(self, ports: dict[str, int]) -> str:
        """Return the settings file of that release, with the ports of the test's receivers."""
        text = (self.folder / "gateway.toml").read_text()
        for name, port in PORTS.items():
            text = text.replace(f"port = {port}", f"port = {ports[name]}")
        return text

    def write(self, sql: str, account: Json, settings: str) -> None:
        """Write the three files; the same content gives the same bytes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        _packed(self.folder / f"{self.store}.sql.gz", sql)
        _packed(self.folder / f"{self.store}.json.gz", json.dumps(account, sort_keys=True))
        (self.folder / "gateway.toml").write_text(settings)


def _packed(file: Path, text: str) -> None:
    file.write_bytes(gzip.compress(text.encode(), mtime=0))


def old_releases() -> list[OldRelease]:
    """Return every database that is kept."""
    return [OldRelease(folder.name, store) for folder in sorted(FOLDER.iterdir()) for store in STORES]


async def load(url: str, sql: str) -> None:
    """Fill an empty database with the SQL of a copy."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            connection.executescript(sql)
        return
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def execute(url: str, statements: Iterable[str]) -> None:
    """Run statements on a database that nobody else has open, each in a transaction of its own."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            for sql in statements:
                connection.execute(sql)
        return
    connection = await asyncpg.connect(url)
    try:
        for sql in statements:
            await connection.execute(sql)
    finally:
        await connection.close()


async def query(url: str, sql: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query on either store, beside whoever has the database open."""
    if url.startswith("sqlite"):
        return await asyncio.to_thread(_query_sqlite, url.removeprefix("sqlite:///"), sql)
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(sql)]
    finally:
        await connection.close()


def _query_sqlite(file: str, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def sqlite_text(file: Path) -> str:
    """Return a SQLite database as SQL."""
    with closing(sqlite3.connect(file)) as connection:
        return "\n".join(connection.iterdump()) + "\n"


def postgres_text(dumped: str) -> str:
    """Return what pg_dump printed without commands of psql, comments, and settings that only some servers know."""
    left_out = re.compile(r"\\|--|SET |SELECT pg_catalog\.set_config")
    return "\n".join(line for line in dumped.splitlines() if line and not left_out.match(line)) + "\n"


@dataclass
class AccountServer:
    """Script of a `ScriptedServer` that answers as AutoScribe: from an account, or with 503 while it `is_down`."""

    account: Json
    is_down: bool = False
    asked: list[str] = field(default_factory=list)

    def __call__(self, request: Request) -> Reply:
        path = request.path.removeprefix("/v1/autoScribe")
        if self.is_down:
            return Reply(503)
        self.asked.append(path)
        found = self._found(path, request.query)
        return Reply(404) if found is None else Reply.of(found)

    def study_of(self, report_id: str) -> str:
        """Return the id of a report's study."""
        all_reports = self.account["reports"].items()
        return next(key for key, listed in all_reports for one in listed["reports"] if one["reportId"] == report_id)

    def _found(self, path: str, chosen: dict[str, list[str]]) -> Any:
        kind, _, key = path.strip("/").partition("/")
        if kind == "studies" and not key:
            return {"studies": list(self._listed(chosen)), "hasMore": False}
        if kind == "reports" and not key:
            return self.account["reports"].get(chosen["studyId"][0])
        return self.account.get(kind, {}).get(key)

    def _listed(self, chosen: dict[str, list[str]]) -> Iterator[Json]:
        """Yield the studies that a listing asks for; filters by the status of reports leave nothing out here."""
        for study in self.account["studies"].values():
            if "isCancelled" not in chosen or chosen["isCancelled"] == [str(study["isCancelled"]).lower()]:
                yield study
