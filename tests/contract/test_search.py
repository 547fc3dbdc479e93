"""Searches in SQL find what testing every resource finds, in order, page by page both ways, on both engines.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC

import pytest
from fakes.criteria import found
from fakes.random_index import COUNT, RandomIndex
from fakes.refused import is_refused, is_uncounted
from fakes.rows_read import reading, recorded
from fakes.store import made, write

from gateway.index.criteria import All, At, During, Is, Nothing, Referred, Refers, Starts, Updated
from gateway.index.extract import LONGEST
from gateway.index.intervals import interval
from gateway.index.keys import key
from gateway.index.terms import code_start
from gateway.runtime.errors import StoreTooSlow
from gateway.store.database import sqlite
from gateway.store.studies import search, search_plan, search_sql
from gateway.store.studies.search_sql import Search, Sort

BY_UPDATE = (Sort("updated"),)
SEARCHES = 100


@pytest.fixture(params=[1, 2])
async def index(request, engine):
    """Return a random store, written in several transactions."""
    made_up = RandomIndex(request.param)
    resources = made_up.resources()
    for start in range(0, len(resources), 7):
        made_up.note(await write(engine, *resources[start : start + 7], now=start))
    return made_up


# Rounds as they are, which find all of a small store at once, and very small ones, of which the last refuses
ROUNDS = ((search_plan.ROUNDS, search_plan.COUNTED), ((1, 4, 16), 20))


@pytest.fixture(params=ROUNDS, ids=["as it is", "small"])
def most(request, monkeypatch):
    """Return how many resources bound a page, and a count."""
    rounds, counted = request.param
    monkeypatch.setattr(search_plan, "ROUNDS", rounds)
    monkeypatch.setattr(search_plan, "COUNTED", counted)
    return rounds[-1], counted


def wanted(index, one, *, suppressed=False):
    """Return the expected results of the search, in order."""
    matching = {
        address
        for address in found(one.resource_type, one.clauses, index.rows, index.updated)
        if (address in index.suppressed) == suppressed
        and (one.until is None or index.updated[address] <= one.until)
        and (one.since is None or index.updated[address] > one.since)
    }
    numbered = {address: number for number, address in enumerate(index.updated, 1)}
    ordered = sorted(matching, key=numbered.__getitem__)
    for place in reversed(range(len(one.sort))):
        ordered.sort(
            key=lambda address: index.position(address, one.sort)[place],
            reverse=one.sort[place].descending,
        )
    return ordered


async def page(engine, index, one, most, right):
    """Return a page that has these results at most, in order; None if it is refused, as it must be."""
    must_refuse = is_refused(index, one, most, right)
    try:
        answer = await search.page(engine, one)
    except StoreTooSlow as refused:
        assert must_refuse, (one, refused)
        return None
    assert one.after or not must_refuse, (one, answer.way)
    return answer


async def counted(engine, index, one, most):
    """Return the number of results; None if it is refused, as it must be."""
    try:
        found = await search.count(engine, one)
    except StoreTooSlow:
        assert is_uncounted(index, one, most), one
        return None
    assert not is_uncounted(index, one, most), one
    return found


async def pages(engine, index, one, size, most):
    """Return the contents of successive pages, up to one that is refused, and if one was."""
    seen, one = [], replace(one, most=size)
    right = wanted(index, one)[:: -1 if one.is_back else 1]
    while (answer := await page(engine, index, one, most, right)) and answer.versions:
        assert len(answer.versions) <= size
        seen.append([version.address for version in answer.versions])
        right = right[len(answer.versions) :]
        one = replace(one, after=answer.versions[0 if one.is_back else -1].position)
    return seen, answer is None


@pytest.mark.full
async def test_random_searches_find_what_trying_every_resource_finds_in_order(engine, index, most):
    some = refused = 0
    for _ in range(SEARCHES):
        query = index.search()
        right = wanted(index, query)
        answer = await page(engine, index, query, most[0], right)
        refused += answer is None
        if answer is not None:
            assert [version.address for version in answer.versions] == right, query
            assert [version.position[:-1] for version in answer.versions] == [
                index.position(address, query.sort) for address in right
            ]
            assert answer.last == (max(index.updated.values()) if right else 0)
            some += bool(right)
        assert await counted(engine, index, query, most[1]) in {None, len(right)}
        assert sorted(await search.suppressed(engine, query, 1000)) == sorted(wanted(index, query, suppressed=True))
    assert some > SEARCHES / 5
    assert (refused > SEARCHES / 20) == (most[0] < COUNT)


@pytest.mark.full
async def test_a_client_with_limits_is_answered_and_refused_as_if_there_were_only_what_it_sees(
    engine, index, monkeypatch
):
    some, refused, most = 0, 0, (3, 4)
    monkeypatch.setattr(search_plan, "ROUNDS", (1, 2, most[0]))
    monkeypatch.setattr(search_plan, "COUNTED", most[1])
    for _ in range(2 * SEARCHES):
        query = index.search()
        limits = (index.search_of(query.resource_type).clauses[0],)
        query = replace(query, clauses=(*query.clauses, *limits), limits=limits, most=2)
        right = wanted(index, query)
        answer = await page(engine, index, query, most[0], right)
        refused += answer is None
        if answer is not None:
            assert [version.address for version in answer.versions] == right[:2], query
            some += bool(right)
        assert await counted(engine, index, query, most[1]) in {None, len(right)}
    assert (some > 8, refused > 8) == (True, True)


@pytest.mark.full
async def test_pages_hold_every_match_once_and_in_order_forwards_and_backwards(engine, index, most):
    longest = 0
    for _ in range(SEARCHES // 2):
        query = index.search()
        right = wanted(index, query)
        size = index.dice.choice((1, 2, 3, 7))
        forwards, is_cut = await pages(engine, index, query, size, most[0])
        found = [address for page in forwards for address in page]
        assert found == (right[: len(found)] if is_cut else right), query
        backwards, is_cut_back = await pages(engine, index, replace(query, is_back=True), size, most[0])
        found = [address for page in reversed(backwards) for address in page]
        assert found == (right[len(right) - len(found) :] if is_cut_back else right), query
        assert all(len(page) == size for page in forwards[:-1])
        longest = max(longest, len(forwards))
    assert longest > 5


async def test_a_page_walks_back_from_the_middle(engine, index):
    one = Search("DiagnosticReport", ((Updated("ge", 0, 1),),), 0, (Sort("moment", 5, True),), 100)
    right = wanted(index, one)
    whole = (await search.page(engine, one)).versions
    back = await search.page(engine, replace(one, most=3, after=whole[5].position, is_back=True))
    assert [version.address for version in back.versions] == right[2:5]
    assert [version.resource["id"] for version in back.versions] == [one.partition("/")[2] for one in right[2:5]]


async def test_a_code_that_very_many_have_keeps_the_answering_loop_of_sqlite_no_longer_than_a_moment(
    sqlite_engine, monkeypatch
):
    await write(sqlite_engine, *(made(f"Observation/{number}", terms={(1, "AA")}) for number in range(400)))
    monkeypatch.setattr(sqlite, "_STEPS_OF_SHORT", 10)
    query = Search("Observation", ((Is(1, "AA"),),), 0, BY_UPDATE, 10)
    threads: set[str] = set()
    scan = sqlite._scan

    def noted(*arguments):
        threads.add(threading.current_thread().name.partition("_")[0])
        return scan(*arguments)

    monkeypatch.setattr(sqlite, "_scan", noted)
    assert len((await search.page(sqlite_engine, query)).versions) == 10
    assert threads == {"store-scan"}


@pytest.mark.parametrize("comparison", ["gt", "ge", "ap", "ne"])
async def test_a_year_is_found_by_what_lies_late_in_it(engine, comparison):
    """Check a birth date that is only a year: it begins long before a day late in that year."""
    birth_date = key("Patient", "birthdate")
    year, day = interval("1950", UTC), interval("1950-12-30", UTC)
    await write(engine, made("Patient/a", moments={(birth_date, *year)}))
    held = During(birth_date, comparison, *day)
    start = held if comparison != "ne" else At("Patient/a")
    query = Search("Patient", ((start,), (held,)), 0, BY_UPDATE, 10)
    assert [version.address for version in (await search.page(engine, query)).versions] == ["Patient/a"]


async def test_what_does_not_narrow_cannot_be_searched():
    with pytest.raises(ValueError, match="empty"):
        search_sql.cheapest(((Is(1, "a"),),), ())


@pytest.mark.parametrize(
    ("clauses", "place", "is_bounded"),
    [
        (((Starts(1, "a"),), (Is(2, "b"),)), 1, True),
        (((During(5, "ge", 0, 1),), (Starts(1, "a"),)), 1, False),
        (((Starts(1, "a"),), (Starts(1, code_start("a")),)), 1, True),  # a whole code, of any system
        (((Updated("ge", 0, 1),), (During(5, "ge", 0, 1),)), 1, False),
        (((Is(1, "a"), Starts(1, "b")), (Refers(3, Is(1, "a")),)), 1, True),
        (((Referred(3, During(5, "ge", 0, 1)),), (At("Patient/a"),)), 1, False),
        (((Refers(3, Refers(4, Is(1, "a"))),), (At("Patient/a"),)), 1, False),
        (((Refers(3, Is(1, "a")),), (At("Patient/a"),)), 1, True),
        (((At("Patient/a"),), (Nothing(),)), 1, True),
        (((Is(1, "a"),) * 20, (Is(1, "a"),) * 20), 0, False),
    ],
)
def test_a_search_starts_from_what_finds_the_fewest(clauses, place, is_bounded):
    start = search_sql.cheapest(clauses, (0, 1))
    assert (start, search_sql.is_bounded(Search("Patient", clauses, start, BY_UPDATE, 1))) == (place, is_bounded)


@pytest.mark.full
@pytest.mark.parametrize("start", [0, 1])
async def test_all_bounds_of_a_date_are_one_range_of_its_index(engine, start):
    """Read what lies within the window alone, whichever bound the search starts from."""
    days = [(day * 10 * LONGEST, day * 10 * LONGEST + 1) for day in range(3_000)]
    await write(engine, *(made(f"Patient/{day}", moments={(5, *each)}) for day, each in enumerate(days)))
    window = ((During(5, "ge", *days[1_000]),), (During(5, "lt", *days[1_010]),), (During(6, "ge", 0, 1),))
    assert [search_sql.window(window, place) for place in range(3)] == [[0, 1], [0, 1], [2]]
    query = Search("Patient", window[:2], start, (Sort("moment", 5, descending=True),), 20)
    with recorded(engine) as sent:
        assert await search.count(engine, query) == 10
    assert (await reading(engine, sent)).read < 500
    found = (await search.page(engine, query)).versions
    assert [one.address for one in found] == [f"Patient/{day}" for day in range(1_009, 999, -1)]


async def test_a_search_starts_from_alternatives_that_have_one_clause_each(engine):
    """Check the limits of a client with several scopes of one parameter each."""
    await write(engine, *(made(f"Patient/{one}", terms={(1, one)}, moments={(5, 0, 1)}) for one in "abc"))
    either = tuple(All(((Starts(1, one),),)) for one in "ab")
    query = Search("Patient", ((During(5, "ge", 0, 1),), either), 1, BY_UPDATE, 10)
    assert [one.address for one in (await search.page(engine, query)).versions] == ["Patient/a", "Patient/b"]
    assert await search.count(engine, query) == 2


def test_without_a_wish_the_order_is_that_in_which_it_is_found():
    date, two = (During(5, "ge", 0, 1),), (During(5, "ge", 0, 1), During(5, "lt", 0, 1))
    assert search_sql.usual_sort((date,), 0) == Sort("moment", 5)
    assert search_sql.usual_sort((two,), 0) == search_sql.UPDATED
    code, recent, other = (Starts(1, "a"),), (Updated("ge", 0, 1),), (During(5, "ne", 0, 1),)
    assert search_sql.usual_sort(((Is(1, "a"),), date), 0) == search_sql.UPDATED
    assert search_sql.usual_sort((code, date), 0) == Sort("moment", 5)
    assert search_sql.usual_sort((code, date, recent), 0) == search_sql.UPDATED
    assert search_sql.usual_sort((code, other), 0) == search_sql.UPDATED
    assert Sort("moment", 5).reversed() == Sort("moment", 5, descending=True)


async def test_a_search_that_takes_too_long_says_so(engine, monkeypatch):
    monkeypatch.setattr(search_sql, "SECONDS", 0.02)
    every = [made(f"Patient/{number}", terms={(1, "a" * 50)}) for number in range(2000)]
    await write(engine, *every)
    clauses = tuple((Starts(1, "a" * (number % 50)),) for number in range(80))
    query = Search("Patient", clauses, 0, BY_UPDATE, 100)
    with pytest.raises(StoreTooSlow):
        await search.count(engine, query)


async def test_what_refers_to_resources_and_what_they_refer_to(engine):
    await write(
        engine,
        made("Patient/a"),
        made("Patient/b", faults="[]"),
        made("DiagnosticReport/1", terms={(3, "Patient/a"), (4, "Practitioner/x")}),
        made("DiagnosticReport/2", terms={(3, "Patient/b"), (3, "Patient/a")}),
        made("DiagnosticReport/3", terms={(3, "Patient/a")}, faults="[]"),
        made("DiagnosticReport/4", terms={(4, "Patient/a")}),
    )
    patients = ["Patient/a", "Patient/b", "Patient/c"]
    assert [
        (one, found is not None) for one, found in (await search.referring(engine, 3, patients[:1], 10)).items()
    ] == [
        ("DiagnosticReport/1", True),
        ("DiagnosticReport/2", True),
        ("DiagnosticReport/3", False),
    ]
    assert len(await search.referring(engine, 3, patients[:1], 1)) == 1
    assert await search.referring(engine, 3, [], 10) == {}
    reports = ["DiagnosticReport/1", "DiagnosticReport/2"]
    assert await search.referenced(engine, 3, reports, 10) == ["Patient/a", "Patient/b"]
    assert await search.referenced(engine, 3, reports, 1) == ["Patient/a"]
    current = await search.current(engine, patients)
    assert {address: one and one.address for address, one in current.items()} == {
        "Patient/a": "Patient/a",
        "Patient/b": None,
    }


async def test_a_version_that_no_search_found_may_have_any_remark_and_names_no_study(engine):
    await write(engine, made("DiagnosticReport/1", owner="stu_1"))
    version = (await search.current(engine, ["DiagnosticReport/1"]))["DiagnosticReport/1"]
    assert version.owner == ""
    assert version.remarks == sum((search_sql.DISPUTED, search_sql.SUPPRESSED, search_sql.CONFLICTS))
