"""Positions of pages: links to neighbours, and a page that has become empty.

https://hl7.org/fhir/R4/http.html#paging. tests/property/test_paging.py proves that no match is lost.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from fakes.store import made, write

from gateway.fhir_api.search.paging import BEGINNING, PagePosition, page, search_at
from gateway.fhir_api.search.search_query import understand
from gateway.index.extract import rows
from gateway.index.search_value import Circumstances
from gateway.store.studies.search_sql import UPDATED

WHERE = Circumstances(UTC, datetime(2026, 1, 1, tzinfo=UTC), "http://gateway.example/fhir")
NOW = 1_767_225_600_000_000


def report(number, patient="pat-1", said="", day="2026-01-05"):
    resource = {
        "resourceType": "DiagnosticReport",
        "status": "final",
        "subject": {"reference": f"Patient/{patient}"},
        "effectiveDateTime": day,
    }
    found = rows(resource, UTC)
    return made(f"DiagnosticReport/rep-{number}", said, terms=found.terms, moments=found.moments)


def query(sort="date", size=2):
    given = (("patient", "pat-1"), ("_count", str(size)), ("_sort", sort))
    return understand("DiagnosticReport", given, WHERE, strict=True)


def numbers(found):
    return [int(one.address.rpartition("-")[2]) for one in found.versions]


@pytest.fixture
async def four(engine):
    """An engine with four reports of one patient, in the order of their numbers."""
    await write(engine, *(report(one) for one in range(4)), now=NOW)
    return engine


async def test_what_fits_a_page_has_nothing_beside_it(four):
    found = await page(four, query(size=4), BEGINNING)
    assert (numbers(found), found.previous, found.next, found.last) == ([0, 1, 2, 3], None, None, None)


async def test_of_nothing_there_is_one_page(engine):
    found = await page(engine, query(), BEGINNING)
    assert (numbers(found), found.previous, found.next, found.last) == ([], None, None, None)


@pytest.mark.parametrize("sort", ["date", "_lastUpdated"])
async def test_pages_lie_side_by_side(four, sort):
    first = await page(four, query(sort), BEGINNING)
    second = await page(four, query(sort), first.next)
    assert (numbers(first), numbers(second)) == ([0, 1], [2, 3])
    assert (first.previous, second.next) == (None, None)
    assert numbers(await page(four, query(sort), second.previous)) == [0, 1]
    last = await page(four, query(sort), first.last)
    assert (numbers(last), last.next) == ([2, 3], None)
    back = await page(four, query(sort), last.previous)
    assert (numbers(back), back.previous) == ([0, 1], None)
    assert numbers(await page(four, query(sort), back.next)) == [2, 3]


async def test_a_walk_in_the_order_of_updates_needs_no_second_part(four):
    first = await page(four, query("_lastUpdated"), BEGINNING)
    assert (first.next.part, first.next.began) == ("whole", 0)
    other = await page(four, query("-_lastUpdated"), BEGINNING)
    assert (other.next.part, other.next.began) == ("begun", NOW + 3)


async def test_a_page_that_is_empty_by_now_leads_back_and_not_on(four):
    first = await page(four, query(size=3), BEGINNING)
    await write(four, report(3, "pat-2", "moved"), now=NOW)
    second = await page(four, query(size=3), first.next)
    assert (numbers(second), second.next) == ([], None)
    assert numbers(await page(four, query(size=3), second.previous)) == [0, 1, 2]


async def test_a_page_before_that_is_empty_by_now_leads_to_the_first(four):
    first = await page(four, query(), BEGINNING)
    second = await page(four, query(), first.next)
    await write(four, report(0, "pat-2", "moved"), report(1, "pat-2", "moved"), now=NOW)
    before = await page(four, query(), second.previous)
    assert (numbers(before), before.previous) == ([], None)
    assert numbers(await page(four, query(), before.next)) == [2, 3]


async def test_what_changed_meanwhile_comes_behind_what_was_there(four):
    first = await page(four, query(), BEGINNING)
    await write(four, report(0, said="changed"), report(7, day="1999-01-01"), now=NOW)
    second = await page(four, query(), first.next)
    third = await page(four, query(), second.next)
    assert (numbers(second), numbers(third)) == ([2, 3], [0, 7])
    across = await page(four, query(size=3), first.next)
    assert numbers(across) == [2, 3, 0]
    assert numbers(await page(four, query(size=3), across.next)) == [7]


def test_a_place_is_what_it_was_before_it_was_json():
    place = PagePosition("begun", ("final", 2**63 - 1, 7), NOW, is_back=True)
    assert PagePosition.of_json(json.loads(json.dumps(place.as_json()))) == place


def test_each_part_of_a_walk_is_a_search_of_its_own():
    asked = query("status", 5)
    begun = search_at(asked, PagePosition("begun", (1, 2), NOW))
    since = search_at(asked, PagePosition("since", (), NOW, is_back=True))
    assert (begun.until, begun.since, begun.after, begun.sort) == (NOW, None, (1, 2), asked.sort)
    assert (since.until, since.since, since.sort, since.is_back) == (None, NOW, (UPDATED,), True)
    assert search_at(asked, BEGINNING).most == 6
