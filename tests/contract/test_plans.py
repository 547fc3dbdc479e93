"""No statement reads a whole table: neither the named ones nor composed searches, on both engines (D8).

https://sqlite.org/eqp.html, https://www.postgresql.org/docs/current/using-explain.html. In SQLite a scan of a whole
index counts as a full scan too. In PostgreSQL, where sequential scans are priced out of use, so does an index that is
read without a condition.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from random import Random

import asyncpg
import pytest
from fakes.databases import at_once, copied
from fakes.plans import DAY, fill, postgres_scans, sample, sqlite_scans

import gateway
from gateway.auth.access import Access
from gateway.auth.scopes import scope_list
from gateway.auth.visibility import EVERYTHING, Visibility
from gateway.fhir_api.http.permission import _OF_VERSION
from gateway.fhir_api.search.lookups import _OF_SEEN
from gateway.fhir_api.search.search_query import MOST_ALTERNATIVES, MOST_CLAUSES, understand
from gateway.index.criteria import At, During, Is, Refers, Starts
from gateway.index.parameter_lookup import PARAMETERS, TYPES, parameters_of
from gateway.index.search_value import Circumstances
from gateway.runtime.request_errors import BadRequest, NotSupported, SearchTooCostly
from gateway.store.database.engine import Statement
from gateway.store.database.postgres import PLANNED_EACH, Postgres
from gateway.store.database.sqlite import Sqlite
from gateway.store.studies import search_plan, search_sql
from gateway.store.studies.fragments import Sql
from gateway.store.studies.identities import _DISPUTED, _OF_CLAIMS
from gateway.store.studies.limited import limited, met, of_types
from gateway.store.studies.search import (
    _OF_CONFLICTS,
    _OF_REFERRING,
    OF_ANY_LIMITED,
    OF_LIMITED,
    OF_LIMITED_DURING,
    OF_TYPE_LIMITED,
)
from gateway.store.studies.search_sql import Search, Sort, for_dialect
from gateway.store.studies.within import held_apart, in_facilities
from gateway.store.studies.write_versions import OF_CURRENT

HERE = Circumstances(UTC, datetime(2026, 1, 5, tzinfo=UTC), "http://127.0.0.1:8800/fhir", has_words=True)
# Read whole on purpose: lists for operators, and tables with one or a few rows for each destination
LISTED = {
    "gateway.store.studies.crawling._STORED",  # how many there are, once by a command that reads them all
    "gateway.store.studies.identities._EVERY",
    "gateway.store.database.facts._ACTS",  # what operators did, from the newest on until there are enough of a kind
    "gateway.store.audit_entries._PLACES",  # a row for each file of the journal, seldom
    "gateway.store.erasing._DROP_WEBHOOKS",  # of 30 days, by an operator who erases a study
    "gateway.store.erasing._DROP_UNKNOWN",  # the same
    "gateway.store.erasing._DROP_CERTIFICATE",  # a row for each destination
    "gateway.store.studies.crawling._ALIVE[postgresql]",  # a row for each process that shares the crawl
    "gateway.store.studies.crawling._LEAVE[postgresql]",  # the same
    "gateway.store.orders.inbound._COUNTS",  # the messages that wait, by an index of these alone
    "gateway.store.feed.ledger._NEWEST",  # a few rows from the end of the primary key
    "gateway.store.feed.leases.STANDING",
    "gateway.store.feed.plans.EVERY",
    "gateway.store.feed.alerts.ALERTS",
    "gateway.store.feed.destinations._ALL_NAMED",
    "gateway.store.feed.destinations._FACTS",
    "gateway.store.feed.destinations._FOLLOW",
}
LISTS = re.compile(r"listed\(:(\w+)\)")


def statements() -> Iterator[tuple[str, Statement]]:
    """Yield every named statement of the package, with its name."""
    for module in pkgutil.walk_packages(gateway.__path__, "gateway."):
        if module.name.endswith(("__main__", ".versions.0001_first", ".env")) or ".migrations" in module.name:
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            held = value.items() if isinstance(value, Mapping) else [("", value)]
            for key, statement in held:
                if isinstance(statement, Statement):
                    yield f"{module.name}.{name}{f'[{key}]' if key else ''}", statement


STATEMENTS = {one: name for name, one in statements()}


def named_for(dialect):
    """Return every statement by its name, but those kept under the name of the other engine, for that one alone."""
    other = "postgresql" if dialect == "sqlite" else "sqlite"
    return {name: one for one, name in STATEMENTS.items() if not name.endswith(f"[{other}]")}


@contextmanager
def naming(name):
    """Add to an error which statement was not understood."""
    try:
        yield
    except Exception as error:
        error.add_note(f"the statement {name}")
        raise


@pytest.fixture(scope="module", params=["as it is", "analysed"])
def filled_sqlite(request, migrated_sqlite, tmp_path_factory):
    """Return a connection to a filled SQLite database."""
    path = copied(migrated_sqlite, tmp_path_factory.mktemp("filled"))
    at_once(fill(Sqlite(path)))
    with closing(sqlite3.connect(path)) as connection:
        if request.param == "analysed":
            connection.execute("ANALYZE")
        yield connection


@pytest.fixture(scope="module")
def filled_postgres(postgres_server):
    """Return the URL of a filled PostgreSQL database."""
    with postgres_server.database() as url:
        at_once(fill(Postgres(url)))
        postgres_server.execute("ANALYZE", url.rpartition("/")[2])
        yield url


def sqlite_scans_of(statement, given, connection):
    """Return the tables that a statement reads whole, with these values and samples of the others."""
    compiled, lists = statement.compiled("sqlite"), LISTS.findall(statement.sql)
    values = [given.get(name, sample(name, "", lists)) for name in compiled.names]
    return sqlite_scans(connection, compiled.sql, values)


async def postgres_scans_of(statement, given, connection):
    """Return what `sqlite_scans_of` does, of PostgreSQL."""
    compiled, lists = statement.compiled("postgresql"), LISTS.findall(statement.sql)
    prepared = await connection.prepare(compiled.sql)
    kinds = [one.name for one in prepared.get_parameters()]
    named = zip(compiled.names, kinds, strict=True)
    (plan,) = await prepared.explain(*[given.get(name, sample(name, kind, lists)) for name, kind in named])
    return postgres_scans(plan["Plan"])


@pytest.mark.full
def test_each_statement_is_understood_by_sqlite_and_reads_no_table_whole(filled_sqlite):
    found = {}
    for name, statement in named_for("sqlite").items():
        with naming(name):
            found[name] = sqlite_scans_of(statement, {}, filled_sqlite)
    assert {name: scans for name, scans in found.items() if scans and name not in LISTED} == {}
    assert [name for name, scans in found.items() if not scans and name in LISTED] == []


@asynccontextmanager
async def planning(url):
    """Yield a connection that plans as the store's connections do."""
    connection = await asyncpg.connect(url, server_settings=PLANNED_EACH)
    try:
        yield connection
    finally:
        await connection.close()


async def test_each_statement_is_understood_by_postgresql_and_reads_no_table_whole(filled_postgres):
    found = {}
    async with planning(filled_postgres) as connection:
        for name, statement in named_for("postgresql").items():
            with naming(name):
                found[name] = await postgres_scans_of(statement, {}, connection)
    assert {name: scans for name, scans in found.items() if scans and name not in LISTED} == {}
    assert [name for name, scans in found.items() if not scans and name in LISTED] == []


# Type -> the parameters that US Core combines: US Core 6.1.0, 7.0.0 and 8.0.0, server CapabilityStatement
US_CORE = {
    "DiagnosticReport": (
        *("patient", "patient+category", "patient+category+date", "patient+code", "patient+status"),
        *("patient+code+date", "patient+category+_lastUpdated"),
    ),
    "Patient": (
        *("_id", "identifier", "name", "birthdate+name", "gender+name", "birthdate+family", "death-date+family"),
        "family+gender",
    ),
    "Practitioner": ("name", "identifier", "_id"),
    "PractitionerRole": ("practitioner", "specialty", "organization", "role"),
    "Organization": ("name", "address"),
    "DocumentReference": (
        *("_id", "patient", "patient+type", "patient+category", "patient+category+date", "patient+status"),
        "patient+type+period",
    ),
    "Observation": (
        *("patient+category", "patient+code", "patient+category+date", "patient+category+status"),
        *("patient+code+date", "patient+category+_lastUpdated"),
    ),
    "ServiceRequest": (
        *("_id", "patient", "patient+category", "patient+code", "patient+category+authored", "patient+status"),
        "patient+code+authored",
    ),
}
SORTS = {"DiagnosticReport": ("-date", "-issued,_id", "status", "_lastUpdated")}


def value_for(row, dice):
    """Return a value that the parameter can have."""
    if row.name == "_id":
        return f"{row.resource_type.lower()}-7"
    if row.type == "date":
        return f"{dice.choice(('', 'ge', 'lt', 'gt', 'le', 'sa', 'eb', 'ap'))}1972-0{dice.randrange(1, 10)}"
    if row.type == "reference":
        return f"{row.targets[0]}/{row.targets[0].lower()}-{dice.randrange(300)}"
    if row.values or row.codes:
        return dice.choice(row.values or row.codes)
    if row.name in {"study", "imagingStudy"}:
        return "stu-" + "1" * 32
    whole_system = () if row.narrows else ("urn:s1|",)
    return dice.choice((f"v{dice.randrange(6)}", f"urn:s1|v{dice.randrange(6)}", *whole_system))


SCOPES = (
    "system/*.rs",
    "system/DiagnosticReport.rs?category=urn:s1|v1&status=final system/Observation.rs?date=ge1972 system/Patient.rs",
    "patient/*.rs",
    "patient/*.rs system/DiagnosticReport.rs?category=urn:s1|v1",
)
CITY = ("Organization/organization-3", "Organization/organization-4")


# Chains of two steps and `_has`, over types of every place
OVER_OTHERS = (
    ("Patient", "_has:DiagnosticReport:patient:status", "final"),
    ("Practitioner", "_has:DiagnosticReport:performer:date", "ge1972"),
    ("Organization", "_has:PractitionerRole:organization:practitioner.name", "v1"),
    ("Patient", "_has:DiagnosticReport:patient:_has:Provenance:target:recorded", "ge1972"),
    ("DocumentReference", "related.performer.name", "v1"),
    ("DiagnosticReport", "based-on.patient:Patient.identifier", "urn:s1|v1"),
)


def limited_sights():
    """Yield the sights of clients that are limited by scopes, a patient and facilities, alone and together."""
    for scopes in SCOPES:
        for facilities in (None, frozenset({"city"})):
            access = Access("client-a", scope_list(scopes), facilities, 0, None, "patient-3")
            sight = Visibility(access, CITY if facilities else None, UTC, lambda system, value: f"pat-{value}")
            if not sight.is_whole:
                yield sight


def searches(kind, given, sort="", sight=EVERYTHING):
    """Yield every way in which the search runs: its first page, the next, the last, the count, suppressed resources."""
    pairs = [*given, *([("_sort", sort)] if sort else [])]
    base = understand(kind, pairs, HERE, strict=False, sight=sight).search(20)
    after = (*[("v" if by.by in {"term", "address"} else DAY) for by in base.sort], 5)
    for most, place in ((20, {}), (20, {"after": after}), (20, {"after": after, "is_back": True})):
        yield search_sql.page(Search(base.resource_type, base.clauses, base.start, base.sort, most, **place))
    yield search_sql.page(Search(base.resource_type, base.clauses, base.start, base.sort, 20, until=DAY, since=1))
    yield search_sql.count(base)
    yield search_sql.suppressed(base, 20)
    if search_sql.is_count_of_rows(base):
        yield search_sql.count_of_rows(base)
    if search_sql.is_broad(base):
        yield from planned(base, after)


def planned(base, after):
    """Yield what a broad search asks in its first and its last round."""
    if search_plan._may_look(base):
        yield from (search_plan.page_before(base, after[0]), search_plan.page_before(base, None))
        yield from (search_plan.edge(base, most) for most in (20, search_plan.ROUNDS[-1]))
    places = search_plan.counted_places(base, looks=False)
    for most in (20, search_plan.ROUNDS[-1]) if places else ():
        yield search_plan.counts(base, places, most)
    for place in places:
        fewer = replace(base, start=place)
        yield from (search_sql.page(fewer), search_sql.count(fewer))


def of_us_core():
    dice = Random(5)
    for kind, combinations in US_CORE.items():
        by_name = {row.name: row for row in parameters_of(kind)}
        for names in combinations:
            given = [(name, value_for(by_name[name], dice)) for name in names.split("+")]
            for sort in ("", *SORTS.get(kind, ())):
                yield from searches(kind, given, sort)


def chained(row, dice):
    """Return a chain of one or two steps from a reference, and a value."""
    every = [one for one in PARAMETERS if one.resource_type in row.targets and one.name in row.chains]
    target = dice.choice(every)
    if target.chains and dice.random() < 0.5:
        inner, value = chained_once(target, dice)
    else:
        inner, value = target.name, value_for(target, dice)
    return f"{row.name}:{target.resource_type}.{inner}", value


def chained_once(row, dice):
    target = dice.choice([one for one in PARAMETERS if one.resource_type in row.targets and one.name in row.chains])
    return f"{row.name}:{target.resource_type}.{target.name}", value_for(target, dice)


def referred(row, dice):
    """Return a `_has` by a reference, of any parameter of its type, of a chain or of another `_has`."""
    own = [one for one in parameters_of(row.resource_type) if not one.name.startswith("_")]
    other = dice.choice(own)
    if other.chains and dice.random() < 0.4:
        inner, value = chained_once(other, dice)
    elif row.resource_type == "DiagnosticReport" and dice.random() < 0.3:
        inner, value = "_has:Provenance:target:recorded", "ge1972-01"
    else:
        inner, value = other.name, value_for(other, dice)
    return f"_has:{row.resource_type}:{row.name}:{inner}", value


def at_random():
    """Yield two hundred random searches with one to four parameters, chains and modifiers; one parameter narrows."""
    dice = Random(23)
    count = 0
    while count < 200:
        kind = dice.choice(TYPES)
        given = []
        for row in dice.choices(parameters_of(kind), k=dice.randrange(1, 5)):
            name, value = row.name, value_for(row, dice)
            if row.chains and dice.random() < 0.4:
                name, value = chained(row, dice)
            elif row.modifiers and dice.random() < 0.2:
                modifier = dice.choice(row.modifiers)
                name = f"{name}:{modifier}"
                value = {"missing": dice.choice(("true", "false")), "of-type": "urn:t|MR|v1"}.get(modifier, value)
            given.append((name, f"{value},{value_for(row, dice)}" if dice.random() < 0.1 else value))
        if dice.random() < 0.1:
            given.append(("_has:Provenance:target:recorded", "ge1972-01"))
        elif dice.random() < 0.3 and (
            back := [one for one in PARAMETERS if kind in one.targets and one.name != "study"]
        ):
            given.append(referred(dice.choice(back), dice))
        try:
            composed = list(searches(kind, given))
        except (SearchTooCostly, BadRequest, NotSupported):
            continue
        count += 1
        yield from composed


def of_limited_clients():
    """Yield searches of every type by clients with limits, also by chains."""
    for sight in limited_sights():
        for kind in TYPES:
            yield from searches(kind, [("_id", f"{kind.lower()}-7")], sight=sight)
            if not sight.is_unversioned(kind):
                yield from searches(kind, [("_lastUpdated", "ge1972")], sight=sight)
        for name, value in (("name", "v1"), ("_has:Provenance:target:recorded", "ge1972")):
            yield from searches("Practitioner" if name == "name" else "DiagnosticReport", [(name, value)], sight=sight)
        for kind, name, value in OVER_OTHERS:
            yield from searches(kind, [("_id", f"{kind.lower()}-7"), (name, value)], sight=sight)
        for name in ("patient.identifier", "patient:identifier", "imagingStudy.identifier"):
            yield from searches("DiagnosticReport", [(name, "urn:s1|v1"), ("_sort", "-date")], sight=sight)


def of_codes():
    """Yield broad searches that are sorted by a code."""
    for sort in ("status", "-status", "status,-date", "status,_lastUpdated"):
        for given in ([("date", "ge1972")], [("date", "ge1972"), ("category", "urn:s1|v1")]):
            yield from searches("DiagnosticReport", given, sort)


def of_unsure():
    """Yield searches that only the index can bound."""
    for kind, name, value in (
        ("Patient", "_has:DiagnosticReport:patient:code", "urn:s1|v1"),
        ("Practitioner", "_has:DiagnosticReport:performer:code", "v1,v2"),
        ("Patient", "identifier", "urn:s1|"),
        ("DiagnosticReport", "patient.identifier", "urn:s1|"),
    ):
        for sort in ("", "_id"):
            yield from searches(kind, [(name, value)], sort)


def of_words():
    """Yield searches for words, frequent and rare ones, alone and beside other parameters, also by limited clients."""
    dated, of_patient = ("date", "ge1972"), ("patient", "Patient/patient-3")
    for words in ("some1", '"with few3"', "only7,only8", "some0 only50"):
        for sort in ("", "-date", "status"):
            for others in ([], [dated], [of_patient], [dated, ("category", "urn:s1|v1")]):
                yield from searches("DiagnosticReport", [("_content", words), *others], sort)
            for sight in limited_sights():
                for other in (dated, of_patient):
                    yield from searches("DiagnosticReport", [("_content", words), other], sort, sight=sight)


def limited_statements():
    """Yield the named statements with the limits of clients in them."""
    for sight in limited_sights():
        every = of_types({kind: sight.limits(kind, "r") for kind in TYPES})
        for template in (
            *(OF_CURRENT, _OF_REFERRING, _OF_VERSION, _OF_SEEN, OF_LIMITED, OF_LIMITED_DURING, OF_ANY_LIMITED),
            OF_TYPE_LIMITED,
        ):
            yield limited(template, every)
        for kind in TYPES:
            if limits := sight.limits(kind, "r"):
                yield limited(_OF_VERSION, met(limits))
    yield limited(_OF_CONFLICTS, Sql(*held_apart(CITY)))
    yield limited(_DISPUTED, Sql("1 = 1"), between=Sql("1 = 1"))
    yield limited(_DISPUTED, Sql(*in_facilities("c.study_id", CITY)), between=Sql(*held_apart(CITY)))
    yield limited(_OF_CLAIMS, Sql(*in_facilities("c.study_id", CITY)))


@pytest.mark.full
def test_no_statement_with_limits_reads_a_table_of_sqlite_whole(filled_sqlite):
    for statement, given in limited_statements():
        with naming(statement.sql):
            assert sqlite_scans_of(statement, given, filled_sqlite) == []


async def test_no_statement_with_limits_reads_a_table_of_postgresql_whole(filled_postgres):
    async with planning(filled_postgres) as connection:
        for statement, given in limited_statements():
            with naming(statement.sql):
                assert await postgres_scans_of(statement, given, connection) == []


COMPOSED = pytest.mark.parametrize(
    "composed", [of_us_core, of_codes, of_unsure, of_words, at_random, of_limited_clients]
)


@pytest.mark.full
@COMPOSED
def test_a_composed_search_reads_no_table_of_sqlite_whole(composed, filled_sqlite):
    for one in composed():
        assert sqlite_scans(filled_sqlite, one.text, one.values) == [], one.text


@COMPOSED
async def test_a_composed_search_reads_no_table_of_postgresql_whole(composed, filled_postgres):
    async with planning(filled_postgres) as connection:
        for one in composed():
            prepared = await connection.prepare(for_dialect(one.text, "postgresql"))
            (plan,) = await prepared.explain(*one.values)
            assert postgres_scans(plan["Plan"]) == [], one.text


@pytest.mark.full
def test_the_look_out_sees_a_table_that_is_read_whole(filled_sqlite):
    for sql in (
        "SELECT count(*) FROM term t WHERE t.value LIKE '%a'",
        "SELECT r.address FROM resource r ORDER BY r.owner",
        "SELECT q.a FROM (SELECT x.address AS a FROM resource x) q",
        "SELECT w.rowid FROM report_words w WHERE w.words LIKE '%a'",
    ):
        assert sqlite_scans(filled_sqlite, sql, [])


@pytest.mark.parametrize(
    "criterion",
    [
        lambda number: Is(1, f"v{number}"),
        lambda number: Starts(1, f"v{number}"),
        lambda number: During(2, "ge", number, number + 1),
        lambda number: Refers(3, Is(1, f"v{number}")),
        lambda number: At(f"Patient/{number}"),
    ],
    ids=["is", "starts", "during", "refers", "at"],
)
async def test_many_alternatives_are_understood_by_both(engine, criterion):
    clause = tuple(criterion(number) for number in range(MOST_ALTERNATIVES))
    sort = (Sort("moment", 2), Sort("term", 1, True), Sort("updated"))
    one = Search("Patient", (clause, clause, *((one,) for one in clause[: MOST_CLAUSES - 2])), 0, sort, 20)
    assert not search_sql.is_bounded(one)
    for sql in (search_sql.page(one), search_sql.count(one), search_sql.suppressed(one, 10)):
        await engine.scan(for_dialect(sql.text, engine.dialect), sql.values, 60.0)
