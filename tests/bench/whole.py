"""Fill a store with whole studies of scattered patients: every row that the gateway writes of a study, many times over.

Some sandbox studies, one in thirty and a few hundred at least, are planned by the real pipeline. Each copy has ids,
numbers and a patient of its own, put into the planned write in place of the first one's, and is written by the
pipeline's own transaction. A patient has ten studies, far apart in the order of writing. Thirty studies have the date
of the first one. Compressed JSON and digests stay those of the first copy: no search reads into them.
PostgreSQL gets the rows of the SQLite file by COPY. Of more than 100,000 studies, the rest are copies in SQL
(bench/multiplied.py).
"""

from __future__ import annotations

import hashlib
import json
import pickle
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from unittest.mock import patch
from zoneinfo import ZoneInfo

import asyncpg
from bench.multiplied import copying
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, DropIndex, Index

from gateway.demo.stage import demo_site
from gateway.ingest.map_study import Needs
from gateway.ingest.plan_ingest import IngestSettings, plan_ingest
from gateway.ingest.plan_outbox import Patience
from gateway.routing import InForce
from gateway.sandbox.people import FACILITIES
from gateway.sandbox.seed import generate, report_list
from gateway.store import intake
from gateway.store.database.engine import Steps, micros
from gateway.store.database.schema import INDEXES, METADATA
from gateway.store.database.sqlite import _drive
from gateway.store.known_study import Fetched, KnownStudy
from gateway.store.study_rows import StudyWrite
from mappings.patient.identifiers import keyed_patient_id, short_id

TEMPLATES, VISITS = 300, 10
SITE = demo_site()
NOW = datetime(2026, 11, 2, tzinfo=UTC)
_COPIES = 30  # of one template
_MOST_TEMPLATES = 9_999  # their numbers have four digits
_YEARS = timedelta(days=3600)  # over which the templates are spread, in no order
_STRIDE = 7_919  # a prime
_FEW_ODDITIES = 15  # numbers of the sandbox's studies: each is about a patient of its own, without an oddity
_LATER = frozenset({"term", "moment", "version", "resource", "study", "claim", "report", "issue"})
_NEEDED = frozenset({"resource_by_address", "claim_by_content"})
# A batch of rows for PostgreSQL, and of studies in one transaction
_ROWS, _STUDIES = 50_000, 500


def _hex(*parts: object) -> str:
    return hashlib.blake2s("/".join(map(str, parts)).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Copy:
    """A copy of a template for one patient: its AutoScribe documents, by the words that are its own."""

    template: Template
    number: int
    patients: int  # of the template

    @cached_property
    def words(self) -> dict[str, str]:
        """Words of the template's documents, and what this copy has in their place, of the same length."""
        own, number = self.template, self.number
        person = number % self.patients
        found = {
            own.mrn: f"{own.mrn.partition('-')[0]}-{own.number:04}{person:08}",
            own.external: f"PAT-{own.number:04}{person:08}",
            own.uid: f"2.25.{int(_hex('uid', own.uid, number), 16) % 10**38:038}".replace("2.25.0", "2.25.1"),
        }
        for one in own.upstream_ids:
            found[one[4:]] = _hex(one, number)
        return found

    @property
    def documents(self) -> Fetched:
        """The documents of this copy, as AutoScribe would send them."""
        text = json.dumps(self.template.documents)
        for old, new in self.words.items():
            text = text.replace(old, new)
        return _fetched(*json.loads(text))

    def write(self, first: bytes) -> StudyWrite:
        """The write of this copy, from that of the first one as a pickle."""
        words = dict(self.words)
        system = self.template.mrn_system
        words[keyed_patient_id(system, self.template.mrn, SITE)] = keyed_patient_id(
            system, words[self.template.mrn], SITE
        )
        words |= {short_id(one): short_id(one[:4] + words[one[4:]]) for one in self.template.upstream_ids}
        for old, new in words.items():
            first = first.replace(old.encode(), new.encode())
        made: StudyWrite = pickle.loads(first)
        return made

    @property
    def mrn(self) -> str:
        return self.words[self.template.mrn]

    @property
    def patient_id(self) -> str:
        return keyed_patient_id(self.template.mrn_system, self.mrn, SITE)


@dataclass(frozen=True)
class Template:
    """A sandbox study: its Study, its reports and users, and the words by which copies differ."""

    number: int
    documents: tuple[Any, Any, list[Any]]
    mrn: str
    external: str
    mrn_system: str

    @classmethod
    def made(cls, number: int, total: int, world: Any) -> Template:
        """Generate a signed study of a patient with a number of the same length in every template."""
        seeded = world.fresh(
            number * _FEW_ODDITIES, NOW - timedelta(days=2) - number * _STRIDE % total * _YEARS / total
        )
        snapshot = seeded.reports[0]["snapshotMetadata"]
        facility = next(one for one in FACILITIES if one.name == snapshot["facilityName"])
        mrn, external = f"{facility.mrn_namespace}-{number:04}99999999", f"PAT-{number:04}99999999"
        uid = f"2.25.{int(_hex(number), 16) % 10**38:038}".replace("2.25.0", "2.25.1")
        own = {"studyInstanceUid": uid, "externalPatientId": external}
        study = {**seeded.study, **own}
        study["reportMetadata"] = {**study["reportMetadata"], "mrn": mrn}
        reports = [{**one, "snapshotMetadata": {**snapshot, "mrn": mrn}} for one in seeded.reports]
        users = [one for one in world.users if one["userId"] in {report["userId"] for report in reports}]
        return cls(number, (study, report_list(study, reports), users), mrn, external, facility.mrn_system)

    @property
    def fetched(self) -> Fetched:
        return _fetched(*self.documents)

    @property
    def uid(self) -> str:
        return str(self.documents[0]["studyInstanceUid"])

    @property
    def upstream_ids(self) -> list[str]:
        return [self.documents[0]["studyId"], *(one["reportId"] for one in self.documents[1]["reports"])]


def _fetched(study: Any, listed: Any, users: list[Any]) -> Fetched:
    asked = micros(NOW)
    return Fetched(study, listed, users, asked, {one["userId"]: asked for one in users})


@cache
def templates(count: int = TEMPLATES) -> list[Template]:
    """Generate the templates."""
    world = generate(seed=16, studies=0)
    return [Template.made(number, count, world) for number in range(count)]


def planned(fetched: Fetched) -> StudyWrite:
    """Plan the write of a study that is new, by the pipeline's own planning."""
    settings = IngestSettings(SITE, ZoneInfo("UTC"), wants_pdf=False, patience=Patience({}, 0.0))
    known, needs = KnownStudy(), None
    while isinstance(plan := plan_ingest(fetched, known, settings, InForce({}), NOW, None, needs), Needs):
        known, needs = replace(known, claims_of=known.claims_of | plan.patient_ids), plan
    return plan.write


def copies(count: int) -> Iterator[Copy]:
    """Yield so many copies: a patient's studies are far apart."""
    made = templates(min(max(TEMPLATES, count // _COPIES), max(1, count // VISITS), _MOST_TEMPLATES))
    patients = max(1, count // len(made) // VISITS)
    for number in range(count):
        yield Copy(made[number % len(made)], number // len(made), patients)


def _nothing_moved(*_: Any) -> Steps[dict[int, Any]]:
    return {}
    yield


def _indexes_of(dialect: str) -> list[Index]:
    return [one for one in INDEXES if one.info.get("dialect", dialect) == dialect]


def _by_later() -> list[Index]:
    return [one for one in _indexes_of("sqlite") if one.table.name in _LATER and one.name not in _NEEDED]


def fill_sqlite(path: Path, count: int) -> None:
    """Fill a migrated SQLite file, and check it into one file."""
    connection = sqlite3.connect(path, isolation_level=None, cached_statements=512)
    for one in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {one}")
    dialect, firsts = sqlite.dialect(), dict[int, bytes]()
    for index in _by_later():
        connection.execute(str(DropIndex(index).compile(dialect=dialect)))
    with patch.object(intake, "_moved", _nothing_moved):
        for number, copy in enumerate(copies(count)):
            if number % _STUDIES == 0:
                connection.execute("COMMIT" if number else "SELECT 1")
                connection.execute("BEGIN")
            own = copy.template
            if own.number not in firsts:
                firsts[own.number] = pickle.dumps(planned(own.fetched))
            planned_write = intake.StudyIntake(copy.write(firsts[own.number]), KnownStudy())
            _drive(connection, intake.store_studies([planned_write], SITE.site_key))
    connection.execute("COMMIT")
    for index in _by_later():
        connection.execute(str(CreateIndex(index).compile(dialect=dialect)))
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()


async def _copied(connection: Any, source: Path) -> None:
    """Replace all rows by those of a SQLite file."""
    here = sqlite3.connect(source)
    for table in METADATA.sorted_tables:
        columns = [one.name for one in table.columns]
        listed = ", ".join(f'"{one}"' for one in columns)
        rows = here.execute(f'SELECT {listed} FROM "{table.name}"')
        await connection.execute(f'TRUNCATE "{table.name}"')
        while batch := rows.fetchmany(_ROWS):
            await connection.copy_records_to_table(table.name, columns=columns, records=batch)
    here.close()


async def fill_postgres(url: str, source: Path, times: int = 1) -> None:
    """Fill a migrated PostgreSQL database with the rows of a filled SQLite file so many times, and vacuum it."""
    connection, dialect = await asyncpg.connect(url), postgresql.dialect()
    await connection.execute("SET synchronous_commit = off")
    await connection.execute("SET maintenance_work_mem = '1GB'")
    for index in _indexes_of("postgresql"):
        await connection.execute(str(DropIndex(index).compile(dialect=dialect)))
    async with connection.transaction():
        await _copied(connection, source)
        if times > 1:
            for statement in copying("postgresql", times, await connection.fetchval("SELECT resource FROM tick")):
                await connection.execute(statement)
    for index in _indexes_of("postgresql"):
        await connection.execute(str(CreateIndex(index).compile(dialect=dialect)))
    await connection.execute("VACUUM ANALYZE")
    await connection.close()


def stored_rows(connection: sqlite3.Connection) -> Mapping[str, list[tuple[Any, ...]]]:
    """Return what is stored of studies, by address, without instants, numbers, bodies and the JSON as received."""
    of = "SELECT r.address, {} FROM {} x JOIN resource r ON r.number = x.resource ORDER BY 1, 2, 3"
    statements = {
        "resource": "SELECT address, type, owner, version, is_suppressed FROM resource ORDER BY 1",
        "version": of.format("x.version, x.faults", "version"),
        "term": of.format("x.key, x.value", "term"),
        "moment": of.format("x.key, x.low, x.high", "moment"),
        "claim": "SELECT patient_id, study_id, study_date, signed FROM claim ORDER BY 1, 2",
        "report": "SELECT report_id, study_id, status, is_addendum, signed FROM report ORDER BY 1",
        "issue": "SELECT * FROM issue ORDER BY 1, 2",
        "outbox": "SELECT study_id, report_id, kind, destination, state FROM outbox ORDER BY 1, 2",
    }
    return {name: connection.execute(statement).fetchall() for name, statement in statements.items()}
