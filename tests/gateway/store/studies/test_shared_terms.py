"""Terms that many resources have alike are stored once, say nothing of a patient, and every search finds by them."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC

import pytest
from fakes.store import made, rows, write

from gateway.index.criteria import All, Contains, Ends, Has, Is, Not, Starts
from gateway.index.extract import rows as index_rows
from gateway.index.keys import key
from gateway.index.parameter_lookup import PARAMETERS
from gateway.index.terms import code_start, code_term, system_end, words
from gateway.store.studies import search
from gateway.store.studies.search_sql import Search, Sort
from gateway.store.studies.shared_terms import KEYS, divided, set_of
from gateway.store.studies.short_values import short_value

LOINC, STATUSES = "http://loinc.org", "http://hl7.org/fhir/diagnostic-report-status"
TYPE = "DiagnosticReport"
STATUS, CODE, PATIENT = key(TYPE, "status"), key(TYPE, "code"), key(TYPE, "patient")
TEXT = key(TYPE, "code:text")
FINAL, APPENDED = (STATUS, "final\x1f\x1ec"), (STATUS, "appended\x1f\x1ec")
STUDY = (CODE, "18748-4\x1f\x1e0")
BY_ADDRESS = Sort("address")
HERE = (PATIENT, "Patient/here")
SHARED = "SELECT key, value FROM term WHERE resource < 0 ORDER BY key, value"
OWN = "SELECT r.address, t.key, t.value FROM term t JOIN resource r ON r.number = t.resource ORDER BY 1, 2, 3"


def report(name, *terms, **changes):
    """Make a report of the patient with these terms, divided as those of a resource of this release."""
    own, term_set = divided([HERE, *terms])
    return made(f"{TYPE}/{name}", terms=own, term_set=term_set, **changes)


async def found(engine, *criteria, sort=BY_ADDRESS):
    """Return the ids of the patient's reports that meet the criteria, in order."""
    clauses = ((Is(*HERE),), *((one,) for one in criteria))
    page = await search.page(engine, Search(TYPE, clauses, 0, (sort,), 9))
    return [one.address.partition("/")[2] for one in page.versions]


def test_no_term_that_may_be_shared_makes_a_search_allowed_and_no_reference_is_one():
    for row in PARAMETERS:
        if row.narrows or row.type not in {"token", "uri"}:
            assert not KEYS & {row.key, *(row.key_with(one) for one in (*row.modifiers, "exact", "identifier"))}
    assert {STATUS, CODE, TEXT} <= KEYS


@pytest.mark.parametrize(
    ("term", "is_shared"),
    [
        (FINAL, True),
        (STUDY, True),
        ((key(TYPE, "critical"), "unknown\x1f"), True),
        ((key(TYPE, "_profile"), "\x1e3"), True),
        ((key(TYPE, "code:missing"), ""), True),
        ((TEXT, words("IMPRESSION")), True),
        ((TEXT, words("CT Head without contrast")), True),
        ((TEXT, words("CT of Jane Roe")), False),
        ((CODE, code_term("ROE-JANE", LOINC)), False),
        ((CODE, code_term("18748-4", "urn:oid:1.2.3")), False),
        (HERE, False),
        ((key(TYPE, "identifier"), "18748-4\x1f\x1e0"), False),
        ((key("Patient", "name"), "findings"), False),
    ],
)
def test_only_words_of_the_gateways_own_tables_are_shared(term, is_shared):
    own, term_set = divided([term])
    stored = term[0], short_value(*term)
    assert (own, term_set and json.loads(term_set.terms)) == (([], [[*stored]]) if is_shared else ([stored], None))


def test_a_set_has_the_same_number_in_every_store_and_another_set_has_another():
    both = {set_of(frozenset([FINAL, STUDY])).number for _ in range(2)}
    assert both == {-4_399_568_395_520_251_650}
    assert {set_of(frozenset([one])).number for one in (FINAL, STUDY, APPENDED)}.isdisjoint(both)


async def test_what_two_reports_have_alike_is_stored_once(engine):
    await write(engine, report("a", FINAL, STUDY), report("b", FINAL, STUDY))
    await write(engine, report("c", FINAL, STUDY))
    assert await rows(engine, SHARED) == sorted([FINAL, STUDY])
    assert await rows(engine, OWN) == [(f"{TYPE}/{one}", *HERE) for one in "abc"]


async def test_every_kind_of_criterion_and_order_finds_terms_of_a_set_and_rows_of_earlier_releases(engine):
    earlier = made(f"{TYPE}/c", terms=[HERE, APPENDED, STUDY, (TEXT, "findings")])
    await write(engine, report("a", FINAL, STUDY, (TEXT, "findings")), report("b", APPENDED), earlier)
    assert await found(engine, Is(STATUS, code_term("final", STATUSES))) == ["a"]
    assert await found(engine, Is(STATUS, code_term("appended", STATUSES))) == ["b", "c"]
    assert await found(engine, Not(Is(STATUS, code_term("appended", STATUSES)))) == ["a"]
    assert await found(engine, Starts(CODE, code_start("18748-4"))) == ["a", "c"]
    assert await found(engine, Ends(CODE, system_end(LOINC))) == ["a", "c"]
    assert await found(engine, Contains(TEXT, "inding")) == ["a", "c"]
    assert await found(engine, Has(CODE, "term")) == ["a", "c"]
    assert await found(engine, All(((Not(Has(CODE, "term")),),))) == ["b"]
    assert await found(engine, sort=Sort("term", STATUS, descending=True)) == ["a", "b", "c"]
    assert await found(engine, sort=Sort("term", STATUS)) == ["b", "c", "a"]


async def started(engine, *criteria):
    """Return the ids of the reports that a search starting from the first criterion finds."""
    page = await search.page(engine, Search(TYPE, tuple((one,) for one in criteria), 0, (BY_ADDRESS,), 9))
    return [one.address.partition("/")[2] for one in page.versions]


@pytest.mark.parametrize(
    ("criterion", "wanted"),
    [
        (Is(STATUS, code_term("final", STATUSES)), ["a", "d"]),
        (Starts(STATUS, "a"), ["b", "c"]),
        (Has(CODE, "term"), ["a", "c", "d"]),
        (Not(Is(STATUS, code_term("final", STATUSES))), ["b", "c", "e"]),
        (Not(Starts(STATUS, "a")), ["a", "d", "e"]),
        (Not(Ends(CODE, system_end(LOINC))), ["b", "d", "e"]),
        (Not(Contains(TEXT, "inding")), ["b", "d", "e"]),
        (All(((Not(Has(CODE, "term")),), (Not(Is(*FINAL)),))), ["b", "e"]),
        (All(((Starts(STATUS, "a"),),)), ["b", "c"]),
        (Is(STATUS, "none"), []),
        (Not(Has(STATUS, "term")), ["e"]),
    ],
    ids=str,
)
async def test_a_search_starts_from_a_shared_term_or_the_lack_of_one(engine, criterion, wanted):
    """Of the reports one has such a term of its own beside a set, one has all as earlier releases, and one has none."""
    own = (CODE, "18748-4\x1furn:own")
    await write(engine, report("a", FINAL, STUDY, (TEXT, "findings")), report("b", APPENDED), report("d", FINAL, own))
    await write(engine, made(f"{TYPE}/c", terms=[HERE, APPENDED, STUDY, (TEXT, "findings")]), made(f"{TYPE}/e"))
    await write(engine, made("Observation/f", terms=[(key("Observation", "status"), "appended")]), made("Patient/g"))
    assert await started(engine, criterion) == wanted
    assert await started(engine, criterion, Is(*HERE)) == [one for one in wanted if one != "e"]


async def test_a_set_that_is_there_twice_finds_each_resource_once(engine):
    await write(engine, report("a", FINAL, STUDY), report("b", FINAL, STUDY))
    if engine.dialect == "postgresql":  # SQLite holds no row twice
        await engine.query("INSERT INTO term SELECT * FROM term WHERE resource < 0", [])
    for one in (Is(*FINAL), Starts(CODE, code_start("18748-4")), Not(Is(*APPENDED))):
        assert await started(engine, one) == ["a", "b"]
        assert await search.count(engine, Search(TYPE, ((one,),), 0, (BY_ADDRESS,), 9)) == 2


async def test_a_new_version_is_found_by_its_own_set_alone_and_others_keep_theirs(engine):
    await write(engine, report("a", FINAL), report("b", FINAL))
    await write(engine, report("a", APPENDED, said="appended"))
    assert await found(engine, Is(*FINAL)) == ["b"]
    assert await found(engine, Is(*APPENDED)) == ["a"]
    await write(engine, made(f"{TYPE}/a", "ended", terms=[HERE]))
    assert await found(engine, Is(*APPENDED)) == []


async def test_rows_of_an_earlier_release_come_into_a_set_when_they_are_rendered_anew(engine):
    await write(engine, made(f"{TYPE}/a", terms=[HERE, FINAL, STUDY]))
    assert await write(engine, report("a", FINAL, STUDY), reindex=True) == []
    assert await rows(engine, OWN) == [(f"{TYPE}/a", *HERE)]
    assert await rows(engine, SHARED) == sorted([FINAL, STUDY])
    assert await found(engine, Is(*FINAL), Is(*STUDY)) == ["a"]


async def test_a_report_whose_set_several_writers_add_at_the_same_time_is_found_once(engine):
    await asyncio.gather(*(write(engine, report(f"r{number}", FINAL, STUDY)) for number in range(5)))
    assert await found(engine, Is(*FINAL), Is(*STUDY)) == [f"r{number}" for number in range(5)]


def test_a_search_reads_each_index_row_of_a_resource_wherever_it_is_stored():
    """Check that dividing loses no row."""
    resource = {"resourceType": TYPE, "id": "a", "status": "final", "subject": {"reference": "Patient/here"}}
    terms = index_rows(resource, UTC).terms
    own, term_set = divided(terms)
    assert term_set is not None
    assert {(one, short_value(one, value)) for one, value in terms} == {*own, *map(tuple, json.loads(term_set.terms))}
