"""Short forms of terms in the index: released signs never change, and a search finds both forms."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing

import pytest
from fakes.store import made, rows, write

from gateway.index.criteria import Ends, Is, Not, Starts
from gateway.index.keys import key
from gateway.index.parameter_lookup import OWN_COLUMNS, TYPES, parameters_of
from gateway.index.sorting import sort_key
from gateway.index.terms import code_start, code_term, exact, system_end
from gateway.store.database.engine import Statement, ask
from gateway.store.studies import search
from gateway.store.studies.search_sql import UPDATED, Search
from gateway.store.studies.short_values import PROFILES, SYSTEMS, forms, short_in_sql, short_value

CODE, PROFILE, NAME = key("Patient", "gender"), key("Patient", "_profile"), key("Patient", "name:exact")
US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient"
SHORT, LONG, OTHER = "Patient/short", "Patient/long", "Patient/other"
# Rows of hospitals have these signs. Signs are only added: with a new one, this digest is that of the longer list
RELEASED = "999ce1a8fa8b5b3ac545a7b91cc8562d"


def test_no_released_sign_is_changed_or_removed():
    said = repr([*SYSTEMS.items(), *PROFILES.items()])
    assert hashlib.sha256(said.encode()).hexdigest()[:32] == RELEASED
    assert len(set(SYSTEMS.values())) == len(SYSTEMS) and len(set(PROFILES.values())) == len(PROFILES)


@pytest.mark.parametrize(
    ("where", "value", "short"),
    [
        (CODE, code_term("18748-4", "http://loinc.org"), "18748-4\x1f\x1e0"),
        (CODE, system_end("http://loinc.org"), "\x1f\x1e0"),
        (CODE, code_term("18748-4", "http://loinc.org/x"), "18748-4\x1fhttp://loinc.org/x"),
        (CODE, code_term("http://loinc.org", ""), "http://loinc.org\x1f"),
        (PROFILE, exact(US_CORE), "\x1e7"),
        (NAME, exact(US_CORE), US_CORE),
        (CODE, code_start("18748-4"), "18748-4\x1f"),
    ],
)
def test_a_known_system_and_a_known_profile_have_a_short_form(where, value, short):
    assert short_value(where, value) == short
    assert forms(where, value) == ((short,) if short == value else (short, value))


def test_what_a_client_writes_is_never_taken_for_a_sign():
    assert "\x1e" not in code_term("18748-4", "\x1e0")
    assert "\x1e" not in exact("\x1e7")


async def found(engine, criterion):
    named = Is(CODE, code_term("all"))
    given = Search("Patient", ((named,), (criterion,)), 0, (UPDATED,), 9)
    started = Search("Patient", ((criterion,),), 0, (UPDATED,), 9)
    one = {version.address for version in (await search.page(engine, given)).versions}
    if isinstance(criterion, Is | Starts):
        assert {version.address for version in (await search.page(engine, started)).versions} == one
    return one


async def test_a_search_finds_rows_of_this_release_and_of_earlier_ones(engine):
    loinc, dicom = code_term("A", "http://loinc.org"), code_term("A", "http://dicom.nema.org/resources/ontology/DCM")
    every = (CODE, code_term("all"))
    short = [(where, short_value(where, value)) for where, value in ((CODE, loinc), (PROFILE, US_CORE))]
    await write(engine, made(SHORT, terms=[every, *short]))
    await write(engine, made(LONG, terms=[every]), made(OTHER, terms=[every, (CODE, short_value(CODE, dicom))]))
    add = Statement("INSERT INTO term SELECT number, :key, :value FROM resource WHERE address = :address")
    for where, value in ((CODE, loinc), (PROFILE, US_CORE)):
        await engine.do(lambda where=where, value=value: ask(add, key=where, value=value, address=LONG))
    assert (US_CORE,) in await rows(engine, "SELECT value FROM term")
    assert ("\x1e7",) in await rows(engine, "SELECT value FROM term")
    both = {SHORT, LONG}
    assert await found(engine, Is(CODE, loinc)) == both
    assert await found(engine, Is(PROFILE, US_CORE)) == both
    assert await found(engine, Ends(CODE, system_end("http://loinc.org"))) == both
    assert await found(engine, Starts(CODE, code_start("A"))) == {*both, OTHER}
    assert await found(engine, Not(Is(CODE, loinc))) == {OTHER}


@pytest.mark.parametrize("kind", TYPES)
def test_a_code_that_is_sorted_by_has_one_form_in_sql(kind):
    sorted_by = [row for row in parameters_of(kind) if row.type == "token" and sort_key(kind, row.name)]
    with closing(sqlite3.connect(":memory:")) as connection:
        for row in sorted_by:
            if row.name not in OWN_COLUMNS:
                term = code_term("final", row.system)
                sql = f"SELECT {short_in_sql(row.key, '?1')}, {short_in_sql(row.key, '?2')}"
                short = short_value(row.key, term)
                assert row.system and connection.execute(sql, (term, short)).fetchone() == (short, short)
