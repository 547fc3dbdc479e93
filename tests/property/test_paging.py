"""Paging through a search while its results are written: nothing is lost, nothing is seen twice, and it ends.

https://hl7.org/fhir/R4/http.html#paging, decision D29; on both engines. Each page is requested with the content of a
page token, written to JSON and read back.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from fakes.scale import examples
from fakes.store import made, write
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.fhir_api.search.paging import BEGINNING, PagePosition, page
from gateway.fhir_api.search.search_query import understand
from gateway.index.extract import rows
from gateway.index.search_value import Circumstances

WHERE = Circumstances(UTC, datetime(2026, 1, 1, tzinfo=UTC), "http://gateway.example/fhir")
NOW = 1_767_225_600_000_000
YEARS = count(1900)
STATUSES = ("final", "appended", "corrected", "registered")
SORTS = (
    *("", "_lastUpdated", "-_lastUpdated", "date", "-date", "_id", "-_id", "status,-date"),
    *("issued", "-issued,status,-_id", "-_lastUpdated,date", "patient,issued,_lastUpdated"),
)
# Searches for the reports of one world: a patient, a year of examinations, recent updates, some ids
SEARCHES = ("patient", "date", "_lastUpdated", "_id")


@dataclass
class Reports:
    """Reports of one patient, examined in one year; no other world has them."""

    engine: object
    dice: random.Random
    year: int = field(default_factory=lambda: next(YEARS))
    current: dict[str, int] = field(default_factory=dict)
    others: set[str] = field(default_factory=set)
    first: int = 0

    def _made(self, number: int, *, matches: bool):
        """Make a report with new random content."""
        day = datetime(self.year, 1, 1, tzinfo=UTC) + timedelta(days=self.dice.randrange(360))
        resource = {
            "resourceType": "DiagnosticReport",
            "status": self.dice.choice(STATUSES),
            "subject": {"reference": f"Patient/pat-{self.year if matches else 'other'}"},
            "effectiveDateTime": (day if matches else day.replace(year=1704)).date().isoformat(),
        }
        if self.dice.random() < 0.6:
            resource["issued"] = day.replace(hour=self.dice.randrange(3)).isoformat()
        index_rows = rows(resource, UTC)
        address = f"DiagnosticReport/rep-{self.year}-{number}"
        return made(address, str(self.dice.random()), terms=index_rows.terms, moments=index_rows.moments)

    async def put(self, numbers, *, matches: bool = True) -> list[str]:
        """Write these reports again, in one transaction."""
        written = await write(self.engine, *(self._made(one, matches=matches) for one in numbers), now=NOW)
        for one in written:
            self.first = self.first or one.updated
            self.current[one.address] = one.version
            (self.others.discard if matches else self.others.add)(one.address)
        return [one.address for one in written]

    def asked(self, search: str, sort: str, size: int):
        """Build the query that finds the reports."""
        since = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self.first)).isoformat()
        values = {
            "patient": f"pat-{self.year}",
            "date": str(self.year),
            "_lastUpdated": f"ge{since}",
            "_id": ",".join(f"rep-{self.year}-{number}" for number in range(100)),
        }
        given = [(search, values[search]), ("_count", str(size))]
        if search in {"_lastUpdated", "_id"}:
            given.append(("patient", f"pat-{self.year}"))
        return understand("DiagnosticReport", (*given, *([("_sort", sort)] if sort else [])), WHERE, strict=True)

    @property
    def matching(self) -> set[tuple[str, int]]:
        """Matching reports, with their versions."""
        return {(address, version) for address, version in self.current.items() if address not in self.others}


def kept(place: PagePosition) -> PagePosition:
    """Pass a position through JSON, as in a page token."""
    return PagePosition.of_json(json.loads(json.dumps(place.as_json())))


def versions(found) -> list[tuple[str, int]]:
    return [(one.address, one.version) for one in found.versions]


async def walked(reports: Reports, query, writes, most: int, *, unmatches: bool):
    """Walk through all pages during writes.

    Return all versions seen, the position of the last page, and the reports that did not match when it was read.
    """
    seen, pages, place, end, others = [], 0, BEGINNING, None, set()
    while place is not None:
        others = set(reports.others)
        result = await page(reports.engine, query, kept(place))
        assert len(result.versions) <= query.count
        assert result.versions or result.next is None
        assert result.versions or unmatches or pages == 0, "an empty page"
        assert (result.previous is None) == (pages == 0)
        seen += versions(result)
        place, end, pages = result.next, result.last, pages + 1
        assert pages < most
        for work in writes(pages):
            await work()
    return seen, end, others


async def all_of(reports: Reports, query, place, step: str):
    """Walk without writes from a position; return the versions page by page, and the last page."""
    pages = []
    while place is not None:
        result = await page(reports.engine, query, kept(place))
        assert result.versions
        pages.append(versions(result))
        last, place = result, getattr(result, step)
    return pages, last


async def check(reports: Reports, *, search, sort, size, number, changes, unmatches):
    """Write `changes` reports during a walk through `number` of them, and check the versions seen."""
    await reports.put(range(number))
    standing = set(reports.matching)
    touched: set[str] = set()
    query = reports.asked(search, sort, size)
    left = [changes]

    def writes(pages):
        share = 1 if left[0] < 10 else max(1, changes * size // max(number, 1))
        while left[0] > 0 and share > 0:
            some = reports.dice.sample(range(number + 10), min(10, share, left[0]))
            left[0] -= len(some)
            share -= len(some)
            matches = not (unmatches and reports.dice.random() < 0.3)

            async def work(some=some, matches=matches):
                touched.update(await reports.put(some, matches=matches))

            yield work

    seen, end, others = await walked(reports, query, writes, 10 * (number + changes) + 10, unmatches=unmatches)
    if left[0] > 0:
        return 0  # the walk ended before the last write
    times = Counter(seen)
    assert max(times.values(), default=1) == 1, "a version was seen twice"
    untouched = {one for one in standing if one[0] not in touched}
    assert untouched <= set(seen), "what did not change was not seen"
    assert {address for address, _ in standing} - others <= {address for address, _ in seen}
    if end is not None and reports.matching:
        back, first = await all_of(reports, query, end, "previous")
        assert sorted(one for some in back for one in some) == sorted(reports.matching)
        if first.next is not None:
            forth, _ = await all_of(reports, query, first.next, "next")
            assert [*back[-1], *(one for some in forth for one in some)] == [
                one for some in reversed(back) for one in some
            ]
    return len(touched)


@pytest.mark.full
@pytest.mark.parametrize(
    ("search", "sort", "size"),
    [("patient", "-date", 7), ("date", "", 13), ("_lastUpdated", "", 20), ("patient", "status,-issued", 1)],
)
async def test_a_thousand_writes_beside_a_walk_lose_and_double_nothing(engine, search, sort, size):
    reports = Reports(engine, random.Random(f"{search} {sort}"))
    number = 60 if size == 1 else 200
    asked = {"search": search, "sort": sort, "size": size}
    assert await check(reports, **asked, number=number, changes=1_000, unmatches=False) > number / 2


@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32),
    search=st.sampled_from(SEARCHES),
    sort=st.sampled_from(SORTS),
    size=st.integers(1, 9),
    number=st.integers(0, 25),
    changes=st.integers(0, 40),
    unmatches=st.booleans(),
)
@example(seed=1, search="patient", sort="issued", size=1, number=2, changes=1, unmatches=True)
async def test_any_walk_beside_any_writes_loses_and_doubles_nothing(
    engine, seed, search, sort, size, number, changes, unmatches
):
    reports = Reports(engine, random.Random(seed))
    await check(
        reports, search=search, sort=sort, size=size, number=number, changes=changes, unmatches=unmatches and number > 0
    )


@pytest.mark.full
async def test_who_polls_for_what_was_updated_since_misses_nothing_beside_two_writers(engines):
    first, second = engines(), engines()
    async with first.opened(), second.opened():
        one, other = Reports(first, random.Random(1)), Reports(second, random.Random(2))
        await one.put([0])
        writers = asyncio.gather(busy(one), busy(other))
        seen: list[tuple[str, int]] = []
        last = "1970-01-01T00:00:00Z"
        for is_last in (False, True):
            while True:
                given = (("_lastUpdated", f"gt{last}"), ("_sort", "_lastUpdated"), ("_count", "5"))
                query = understand("DiagnosticReport", given, WHERE, strict=True)
                found = await page(first, query, BEGINNING)
                await asyncio.sleep(0)  # a short search is read at once: the writers would never have their turn
                seen += versions(found)
                if found.versions:
                    last = found.versions[-1].resource["meta"]["lastUpdated"]
                elif is_last or writers.done():
                    break
        await writers
        assert max(Counter(seen).values()) == 1
        assert one.matching | other.matching <= set(seen)
        assert sorted(one.current) == sorted({address for address, _ in seen if f"-{one.year}-" in address})


async def busy(reports: Reports) -> None:
    """Write at random places, without a pause."""
    for _ in range(120):
        await reports.put(reports.dice.sample(range(15), 3))
