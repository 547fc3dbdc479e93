"""Compose the SQL that reads a broad search in its own order: the first rows of an index that has this order.

https://hl7.org/fhir/R4/search.html#sort. A search that starts from a code or a name reads all that have it, to find the
few that come first. If many match, these are among the first of all resources in the order: of last updates, addresses
or a date. A look reads a bounded number of them, before an edge, which is a value of the first sort key. If that finds
too few, the index rows of two clauses or more tell which resources meet them all, before any resource is read.
Proved by tests/contract/test_in_order.py and tests/contract/test_plans.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias

from gateway.index.criteria import All, At, Clause, Criterion, During, Not, Referred, Refers, Updated
from gateway.store.studies import search_sql
from gateway.store.studies.fragments import (
    Sql,
    all_of,
    any_of,
    counted,
    glued,
    innermost,
    joined,
    lies,
    may_be_counted,
    may_be_shared,
)
from gateway.store.studies.search_sql import Search, is_broad, reads_many, unsorted

# Number of index rows of a clause, and its place
Sizes: TypeAlias = Sequence[tuple[int, int]]

FEW: Final = 1_000  # what is read whole, instead of a further look
MANY: Final = 32_000  # what is read whole, once no look has found a page
ROWS: Final = 256_000  # what is read whole of an index alone
SOME: Final = 8_000  # what is read whole, instead of one search for each code; less than `MANY`
# So many index rows are read in the time that it takes to read a resource and to test it
_AS_LONG_AS_ONE: Final = 8
_FIRST: Final = 128
_SECOND: Final = 1024
LARGE: Final = 16_384  # rows of a look that may take much longer than to count as many first


def may_be_narrowed(search: Search) -> bool:
    """True if the search is broad, and its clauses are worth being counted: to test one resource reads little."""
    return is_broad(search) and search_sql.has_few_criteria(search) and not any(map(reads_many, search.clauses))


def is_ordered(search: Search) -> bool:
    """True if an index has the order in which the matches of the search come next."""
    first = search.sort[0]
    if first.by == "term":
        return False
    if has_all(search):
        return True
    # What the index lacks comes last, which is first on the way back
    return search.after[0] != unsorted(first) if search.after else not search.is_back


def has_all(search: Search) -> bool:
    """True if the index has every match: a resource without a date has no row in the index of that date."""
    return search.sort[0].by != "moment" or any(_is_of(one, search) for one in search.clauses)


def starts_in_order(search: Search) -> bool:
    """True if the search starts from a range of the index that has its order."""
    return _is_of(search.clauses[search.start], search)


def first_rows(search: Search) -> int:
    """Return how many rows of the index the first look reads."""
    rows = max(_FIRST, 2 * search.most)
    return rows * _AS_LONG_AS_ONE if search.sort[0].by == "number" else rows  # most numbers are of other types


def is_short(search: Search, rows: int) -> bool:
    """True if a look at so many rows of the index is quick: they are few, and in one range of it."""
    updates = [clause for clause in search.clauses if any(isinstance(one, Updated) for one in clause)]
    is_range = all(len(clause) == 1 and getattr(clause[0], "comparison", "") != "ne" for clause in updates)
    return rows <= _FIRST and is_range


def more_rows(search: Search, rows: int, matches: int) -> int:
    """Return how many rows the next look reads if one of `rows` found so many matches; 0: no further look.

    A look that finds the whole page ends there. So after looks that found nothing, a large one wastes no more than
    several that grow.
    """
    if not matches:
        return next((one for one in (_SECOND, LARGE) if one > rows), 0)
    likely = max(rows * search.most * 5 // (4 * matches), 2 * rows)
    if rows < LARGE:
        return min(likely, LARGE)
    return likely if likely <= MANY else 0


def edge(search: Search, rows: int) -> Sql:
    """Return SQL for the first sort key behind so many rows of the index; it finds nothing if there are fewer."""
    table, column, way = *_index(search), " DESC" if _goes_down(search) else ""
    scope = _scope(search, "e")
    return glued(
        f"SELECT e.{column} FROM {table} e WHERE ", scope, Sql(f" ORDER BY e.{column}{way} LIMIT 1 OFFSET ?", (rows,))
    )


def page(search: Search, until: Any) -> Sql:
    """Return SQL for a page, as `search_sql.page` does, of matches before this edge; None: of all matches.

    Those at the edge are left out: very many may have one date, such as a birth date that stands for none.
    """
    table, column = _index(search)
    number = "resource" if table == "moment" else "number"
    found = Sql(f"SELECT x.{number} AS resource, x.{column} AS low FROM {table} x WHERE ")
    if until is not None:  # first, since SQLite reads the index to the first bound that it finds
        found = glued(found, Sql(f"x.{column} {'>' if _goes_down(search) else '<'} ? AND ", (until,)))
    settled = [place for place, one in enumerate(search.clauses) if _is_of(one, search)]
    return search_sql.page(search, glued(found, _scope(search, "x")), settled, has_sort_key=True)


def countable(search: Search) -> list[int]:
    """Return the places of the clauses that one index range bounds: of a chain, what is at its end.

    All bounds of a date are one range, at the place of the first one.
    """
    kind = search.resource_type
    places = [place for place, clause in enumerate(search.clauses) if all(_is_countable(one, kind) for one in clause)]
    return [place for place in places if search_sql.window(search.clauses, place)[0] == place]


def _is_countable(criterion: Criterion, resource_type: str) -> bool:
    match criterion:
        case Not(criterion=inner):
            return may_be_shared(inner, resource_type)
        case All(clauses=((inner,), *_)):
            return _is_countable(inner, resource_type)
    return may_be_counted(innermost(criterion))


def counts(search: Search, places: Sequence[int], most: int) -> Sql:
    """Return SQL that counts the index rows of the clauses at these places, up to `most` each."""
    columns = []
    for place in places:
        bounds = [one for other in search_sql.window(search.clauses, place)[1:] for one in search.clauses[other]]
        ends = map(innermost, search.clauses[place])
        columns.append(joined(" + ", [counted(one, most, *bounds) for one in ends]))
    return glued("SELECT ", joined(", ", columns))


def fewer(search: Search, sizes: Sizes, most: int) -> Search | None:
    """Return the search from the clause that the fewest index rows meet; None if `most` or more meet each."""
    number, place = min([one for one in sizes if is_told(search.clauses[one[1]])], default=(most, 0))
    return replace(search, start=place) if number < most else None


def alike(search: Search, sizes: Sizes, rows: int) -> list[int]:
    """Return the places of the clauses whose index rows are worth being compared; none unless there are several.

    To read all these rows takes no longer than to test the resources of the clause that has the fewest. They were
    counted up to `rows`.
    """
    told = [(number, place) for number, place in sizes if number < rows and is_told(search.clauses[place])]
    most = _AS_LONG_AS_ONE * min(told, default=(0, 0))[0]
    places = [place for number, place in told if number <= most and _is_index_rows(search.clauses[place])]
    return places if len(places) > 1 else []


def together(search: Search, places: Sequence[int]) -> tuple[Sql, list[int]]:
    """Return a query for the resources whose index rows meet the clauses at these places, and all places settled."""
    ranges = [search_sql.window(search.clauses, place) for place in places]
    found = [search_sql.found_by_range([search.clauses[one] for one in each]) for each in ranges]
    numbers = [glued("SELECT f.resource FROM (", one, ") f") for one in found]
    return joined(" INTERSECT ", numbers), [one for each in ranges for one in each]


def is_count_of_rows(search: Search, settled: Sequence[int] | None = None) -> bool:
    """True if index rows tell the results, but for the suppressed ones: those of one range, or of `together`.

    `settled` are the places that `together` settles.
    """
    own = search_sql.window(search.clauses, search.start) if settled is None else settled
    if len(own) < len(search.clauses) or (search.until, search.since) != (None, None):
        return False
    return is_broad(search) and all(_is_index_rows(search.clauses[place]) for place in own)


def count_of_rows(search: Search, found: Sql | None = None) -> Sql:
    """Return SQL that counts the results by index rows alone, without the resources; `found` is that of `together`."""
    rows = found or search_sql.found_by_range(search.clauses)
    of_type = Sql("r.is_suppressed = 1 AND r.type = ? AND ", (search.resource_type,))
    hidden = glued("SELECT count(*) FROM resource r WHERE ", of_type, all_of(search.clauses))
    return glued("SELECT (SELECT count(*) FROM (", rows, ") f) - (", hidden, ")")


def _is_index_rows(clause: Clause) -> bool:
    """True if index rows tell which resources meet a clause, with no look at these."""
    return all(may_be_counted(one) and not isinstance(one, At) for one in clause)


def is_told(clause: Clause) -> bool:
    """True if the index rows of a clause tell about how many resources meet it, not only whether any does."""
    return not any(map(_leads_to_many, clause))


def _leads_to_many(criterion: Criterion) -> bool:
    """True if very many resources may meet a criterion by one index row."""
    match criterion:
        case Refers(key=key, criterion=inner):
            return key in search_sql.OF_MANY or _leads_to_many(inner)
        case Referred(criterion=inner) | All(clauses=((inner,), *_)):
            return _leads_to_many(inner)
    return False


def _goes_down(search: Search) -> bool:
    return search.sort[0].descending != search.is_back


def _index(search: Search) -> tuple[str, str]:
    """Return the table and the column of the first sort key."""
    by = search.sort[0].by
    return ("moment", "low") if by == "moment" else ("resource", by)


def _is_of(clause: Clause, search: Search) -> bool:
    """True if the clause limits the rows of the index itself."""
    first = search.sort[0]
    match clause:
        case (During(key=key, comparison=comparison),):
            return (first.by, first.key) == ("moment", key) and comparison != "ne"
    return first.by == "updated" and all(isinstance(one, Updated) for one in clause)


def _scope(search: Search, alias: str) -> Sql:
    """Return the condition on the rows of the index: those of the type, within the bounds, and after the last page.

    Numbers are in one order for all types.
    """
    first, kind = search.sort[0], search.resource_type
    own = [one for one in search.clauses if _is_of(one, search)]
    moments = [lies(one, alias) for clause in own for one in clause if isinstance(one, During)]
    conditions = []
    if search.after:
        sign = "<=" if _goes_down(search) else ">="
        conditions.append(Sql(f"{alias}.{_index(search)[1]} {sign} ?", (search.after[0],)))
    if first.by == "moment":
        conditions += [Sql(f"{alias}.key = ?", (first.key,)), *moments]
    elif first.by == "number":
        conditions.append(Sql(f"{alias}.number > 0"))
    elif first.by == "address":
        conditions += [Sql(f"{alias}.address > ? AND {alias}.address < ?", (f"{kind}/", f"{kind}0"))]
    else:
        conditions += [Sql(f"{alias}.type = ?", (kind,)), *(any_of(one, alias) for one in own)]
        limits = ((search.until, "<="), (search.since, ">"))
        conditions += [Sql(f"{alias}.updated {sign} ?", (one,)) for one, sign in limits if one is not None]
    return joined(" AND ", conditions)
