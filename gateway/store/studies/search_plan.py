"""Decide how to run a search: from its clause with the fewest matches, or along the index that has its sort order.

https://hl7.org/fhir/R4/search.html#sort, decision D41. A search that names a patient, a number or an id is read from
there. Any other search has rounds; one within bounds of its order looks among the first few before. A round counts the
index rows of each clause up to a bound. If a clause has fewer, the search is read from it. Otherwise the round looks
for the page among so many first resources in the order. Only the last round refuses: for a client with limits it
counts what the client sees, so that a refusal tells nothing of what is hidden. The clock is a guard for what no count
bounds.
Proved by tests/contract/test_search_plan.py and tests/contract/test_plans.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, TypeAlias

from gateway.index.criteria import Clause, Criterion, During, Says, Updated
from gateway.runtime import clock
from gateway.runtime.errors import StoreTooSlow
from gateway.store.database.engine import Engine, Row
from gateway.store.studies import search_sql
from gateway.store.studies.fragments import (
    Sql,
    all_of,
    any_of,
    found_by,
    found_during,
    glued,
    index_ranges,
    innermost,
    is_countable,
    joined,
    leads_by,
    lies,
    reached,
)
from gateway.store.studies.search_sql import OF_MANY, Search, Way, is_broad, reads_many, unsorted, window

_GROWTH: Final = 8  # all rounds before one take little of its time
# Bounds of the rounds, in index rows: the first is read at once, and the last is what PostgreSQL reads, tests and sorts
# in little more than a second of processor time, SQLite in less
ROUNDS: Final = (1_000, 1_000 * _GROWTH, 1_000 * _GROWTH * _GROWTH)
_LIKELY: Final = 2  # pages: if most resources within the bounds match, the page is among so many of the first
COUNTED: Final = 256_000  # what both test in as long if nothing is sorted
_TOO_BROAD: Final = "each parameter finds {:,} resources or more, and too few of the first in the order match"
_TOO_LONG: Final = f"it took longer than {search_sql.SECONDS:g} s"
_Found: TypeAlias = tuple[Sequence[Row], Way]


async def read_page(engine: Engine, search: Search) -> _Found:
    """Choose a way to find a page, and return its rows (columns as `search_sql.page`) and the way.

    Raises:
        StoreTooSlow: it took too long, or each clause has too many index rows, and the first in the order no page.
    """
    until = clock.monotonic() + search_sql.SECONDS
    if not is_broad(search):
        return await _from_clause(engine, search, until, tries_here=True)
    looks = _may_look(search)
    is_of_order = any(_is_of_order(one, search) for one in search.clauses)
    is_likely = looks and is_of_order and _LIKELY * search.most < ROUNDS[0]
    for most in (_LIKELY * search.most, *ROUNDS) if is_likely else ROUNDS:
        found = None if is_likely else await _from_few(engine, search, most, until, looks=looks)
        if looks and found is None:
            found, matches = await _look(engine, search, most, until)
            if found is None and is_likely:
                found = await _from_few(engine, search, most, until, looks=looks)
            is_likely = matches * _GROWTH >= search.most  # the next look reads no more than the page needs
        if found is not None:
            return found
    if search.after:  # the end of a walk in an order: also what the index of the order lacks, which comes last
        return await _from_clause(engine, search, until, tries_here=False)
    raise StoreTooSlow(_TOO_BROAD.format(ROUNDS[-1]))


async def read_count(engine: Engine, search: Search) -> Sequence[Row]:
    """Choose a way to count the results; return one row with the count.

    Raises:
        StoreTooSlow: it took too long, or each clause has too many index rows.
    """
    until = clock.monotonic() + search_sql.SECONDS
    if search_sql.is_count_of_rows(search):
        return await _scan(engine, search_sql.count_of_rows(search), until, tries_here=True)
    if is_broad(search):
        search = await _few(engine, search, until)
    return await read(engine, search, search_sql.count(search), until)


async def _few(engine: Engine, search: Search, until: float) -> Search:
    """Choose a clause that few enough resources meet, and return the search starting from it."""
    for most in (*ROUNDS, COUNTED):
        if fewer := await _narrowest(engine, search, most, until, looks=False):
            return fewer
    raise StoreTooSlow(_TOO_BROAD.format(COUNTED))


async def _narrowest(engine: Engine, search: Search, most: int, until: float, *, looks: bool) -> Search | None:
    """Start the search from the clause with the fewest index rows; None if each has `most` or more.

    Those that a look reads are not counted: it sees itself if they are few.
    """
    places = counted_places(search, looks=looks)
    if not places:
        return None
    [numbers] = await _scan(engine, counts(search, places, most), until, tries_here=most <= ROUNDS[0])
    number, place = min(zip(numbers, places, strict=True))
    return replace(search, start=place) if number < most else None


async def _from_few(engine: Engine, search: Search, most: int, until: float, *, looks: bool) -> _Found | None:
    fewer = await _narrowest(engine, search, most, until, looks=looks)
    return None if fewer is None else await _from_clause(engine, fewer, until, tries_here=most <= ROUNDS[0])


async def _from_clause(engine: Engine, search: Search, until: float, *, tries_here: bool) -> _Found:
    sql = search_sql.page(search)
    if tries_here:
        rows = await read(engine, search, sql, until)
    else:
        rows = await _scan(engine, sql, until, tries_here=False)
    return rows, search_sql.way_from_start(search, sql, engine.dialect)


async def _look(engine: Engine, search: Search, most: int, until: float) -> tuple[_Found | None, int]:
    """Look for the page among the first `most` resources in sort order; None if it is not there.

    Also return how many matches are among them. Those that have the first sort key of the next one are left out: very
    many may have one date, such as a birth date that stands for none.
    """
    here = most <= ROUNDS[0]
    behind = await _scan(engine, edge(search, most), until, tries_here=here)
    sql = page_before(search, behind[0][0] if behind else None)
    rows = await _scan(engine, sql, until, tries_here=here)
    if len(rows) < search.most and (behind or not _has_all(search)):
        return None, len(rows)
    return (rows, Way.of("among the first in its order", sql, engine.dialect)), len(rows)


async def read(engine: Engine, search: Search, sql: Sql, until: float | None = None) -> Sequence[Any]:
    """Run SQL that starts from the starting clause of the search; `until` as for `_scan`."""
    if engine.dialect == "postgresql" and search_sql.is_bounded(search):
        return await engine.query(search_sql.for_dialect(sql.text, engine.dialect), sql.values)
    # A number usually has few resources, a code may have a hundred thousand: the answering loop waits for no database
    return await _scan(engine, sql, until, tries_here=search_sql.has_few_criteria(search))


async def _scan(engine: Engine, sql: Sql, until: float | None, *, tries_here: bool) -> Sequence[Row]:
    """Run a query that must end by the instant `until`; None means `SECONDS` from now."""
    left = search_sql.SECONDS if until is None else until - clock.monotonic()
    text = search_sql.for_dialect(sql.text, engine.dialect)
    if left > 0:
        with suppress(StoreTooSlow):
            return await engine.scan(text, sql.values, left, tries_here=tries_here)
    raise StoreTooSlow(_TOO_LONG)


def counted_places(search: Search, *, looks: bool) -> list[int]:
    """Return the places of clauses to count index rows of; bounds of one date count as one, at the first."""
    return [
        place
        for place, clause in enumerate(search.clauses)
        if all(is_countable(one, search.resource_type) for one in clause)
        and _range(search, place)[0] is clause
        and not (looks and _is_of_order(clause, search))
        and not (search.limits and any(isinstance(one, Says) for one in clause))  # what is hidden costs no time (D41)
    ]


def counts(search: Search, places: Sequence[int], most: int) -> Sql:
    """Return SQL that counts the index rows of the clauses at these places, up to `most` in each index range.

    In the last round those of a client with limits are the resources that it sees of each clause.
    """
    limits = _limits(search, most)
    columns = []
    for place in places:
        bounds = [one for clause in _range(search, place)[1:] for one in clause]
        ranges = [each for one in search.clauses[place] for each in _ranges(search, one, bounds, limits)]
        numbers = [glued("(SELECT count(*) FROM (", one, Sql(" LIMIT ?) c)", (most,))) for one in ranges]
        columns.append(joined(" + ", numbers))
    return glued("SELECT ", joined(", ", columns))


def _ranges(search: Search, criterion: Criterion, bounds: Sequence[Criterion], limits: Sequence[Clause]) -> list[Sql]:
    """Return a query for each range of index rows that a criterion reads.

    Of a chain and of `_has` that is what meets its end; if one row of that leads to very many, what it leads to.
    """
    if isinstance(criterion, Updated):
        of_type = Sql("SELECT u.number AS resource FROM resource u WHERE u.type = ? AND ", (search.resource_type,))
        found = glued(of_type, all_of([(one,) for one in (criterion, *bounds)], "u"))
        return [_seen(search, found, limits) if limits else glued(found, " ORDER BY u.updated")]
    if limits:
        found = found_during(criterion, *bounds) if isinstance(criterion, During) else found_by(criterion)
        return [_seen(search, found, limits)]
    return [reached(criterion)] if leads_by(criterion, OF_MANY) else index_ranges(innermost(criterion), *bounds)


def _limits(search: Search, most: int) -> Sequence[Clause]:
    return search.limits if most >= ROUNDS[-1] else ()


def _seen(search: Search, found: Sql, limits: Sequence[Clause], column: str = "1") -> Sql:
    """Return a query for those of the found resources that the client may see."""
    of_type = Sql(" WHERE r.number = d.resource AND r.type = ? AND ", (search.resource_type,))
    return glued("SELECT ", column, " FROM ", search_sql.by_way_of(found), of_type, all_of(limits))


def _range(search: Search, place: int) -> Sequence[Clause]:
    """Return the clauses that share an index range with the clause at that place, the first one first."""
    if _is_of_updates(search.clauses[place]):
        return [clause for clause in search.clauses if _is_of_updates(clause)]
    return [search.clauses[one] for one in window(search.clauses, place)]


def _is_of_updates(clause: Clause) -> bool:
    return len(clause) == 1 and isinstance(clause[0], Updated)


def _may_look(search: Search) -> bool:
    """True if an index has the sort order of the next matches, and testing one resource reads few rows."""
    first = search.sort[0]
    if first.by == "term" or any(map(reads_many, search.clauses)):
        return False
    if _has_all(search):
        return True
    # What the index lacks comes last, which is first on the way back
    return search.after[0] != unsorted(first) if search.after else not search.is_back


def _has_all(search: Search) -> bool:
    """True if the sort index has every match: a resource without a date has no row in the index of that date."""
    return search.sort[0].by != "moment" or any(_is_of_order(one, search) for one in search.clauses)


def edge(search: Search, most: int) -> Sql:
    """Return SQL for the sort key of the resource after the first `most` in sort order; no row if there are fewer.

    In the last round those of a client with limits are the ones that it sees.
    """
    way, limits = " DESC" if _goes_down(search) else "", _limits(search, most)
    found = _in_order(search)
    rows = _seen(search, found, limits, "d.low") if limits else glued("SELECT d.low FROM (", found, ") d")
    return glued(rows, Sql(f" ORDER BY d.low{way} LIMIT 1 OFFSET ?", (most,)))


def page_before(search: Search, until: Any) -> Sql:
    """Return SQL for a page (as `search_sql.page`) of matches before that sort key; None: of all matches."""
    settled = [place for place, one in enumerate(search.clauses) if _is_of_order(one, search)]
    return search_sql.page(search, _in_order(search, until), settled, has_sort_key=True)


def _in_order(search: Search, until: Any = None) -> Sql:
    """Return a query for resources along the index that has the sort order, with the first sort key as `low`.

    They are of the type, within the bounds, and not before the last page.
    """
    first, kind = search.sort[0], search.resource_type
    table, column, number = ("moment", "low", "resource") if first.by == "moment" else ("resource", first.by, "number")
    up, down = ("<", ">=") if not _goes_down(search) else (">", "<=")
    conditions = []
    if until is not None:  # first, since SQLite reads the index to the first bound that it finds
        conditions.append(Sql(f"x.{column} {up} ?", (until,)))
    if search.after:
        conditions.append(Sql(f"x.{column} {down} ?", (search.after[0],)))
    own = [clause for clause in search.clauses if _is_of_order(clause, search)]
    if first.by == "moment":
        conditions.append(Sql("x.key = ?", (first.key,)))
        conditions += [lies(one, "x") for clause in own for one in clause if isinstance(one, During)]
    elif first.by == "address":
        conditions.append(Sql("x.address > ? AND x.address < ?", (f"{kind}/", f"{kind}0")))
    else:
        conditions += [Sql("x.type = ?", (kind,)), *(any_of(clause, "x") for clause in own)]
        limits = ((search.until, "<="), (search.since, ">"))
        conditions += [Sql(f"x.updated {sign} ?", (one,)) for one, sign in limits if one is not None]
    columns = f"x.{number} AS resource, x.{column} AS low FROM {table} x WHERE "
    return glued("SELECT ", columns, joined(" AND ", conditions))


def _goes_down(search: Search) -> bool:
    return search.sort[0].descending != search.is_back


def _is_of_order(clause: Clause, search: Search) -> bool:
    """True if the clause limits rows of the index that has the sort order."""
    first = search.sort[0]
    match clause:
        case (During(key=key, comparison=comparison),):
            return (first.by, first.key) == ("moment", key) and comparison != "ne"
    return first.by == "updated" and all(isinstance(one, Updated) for one in clause)
