"""Naive statement of the searches that are refused as too broad: it counts resources in memory, and knows no SQL.

A search that names a patient, a number or an id is never refused. Any other is, if each of its countable clauses has so
many entries in the index, and the first so many resources in its order do not fill the page (docs/facade.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fakes.criteria import found, holds
from fakes.random_index import RandomIndex

from gateway.index.criteria import (
    At,
    Clause,
    Contains,
    Criterion,
    During,
    Ends,
    Has,
    Is,
    Not,
    Nothing,
    Referred,
    Refers,
    Starts,
    Updated,
    Within,
)
from gateway.index.extract import Rows
from gateway.store.studies.search_sql import Search, is_broad, reads_many, unsorted
from gateway.store.studies.shared_terms import KEYS


def is_refused(index: RandomIndex, one: Search, most: int, wanted: list[str]) -> bool:
    """True if a page is refused of which these are all matches in its order, those of the pages before left out."""
    if not is_broad(one) or _is_few(index, one, most):
        return False
    return not (_has_order(one) and _fills_page(index, one, most, wanted))


def is_uncounted(index: RandomIndex, one: Search, most: int) -> bool:
    """True if the count is refused."""
    is_by_rows = all(isinstance(each, Is | Starts | Ends | Has | During) for each in one.clauses[one.start])
    is_by_rows = is_by_rows and len(_windows(one)) == 1 and (one.until, one.since) == (None, None)
    return is_broad(one) and not is_by_rows and not _is_few(index, one, most)


def _windows(one: Search) -> list[tuple[Clause, ...]]:
    """Return the clauses, those that bound one date, or the last update, together."""
    windows: dict[Any, tuple[Clause, ...]] = {}
    for place, clause in enumerate(one.clauses):
        match clause:
            case (During(key=key, comparison=comparison),) if comparison != "ne":
                name: Any = ("date", key)
            case (Updated(),):
                name = "updated"
            case _:
                name = place
        windows[name] = (*windows.get(name, ()), clause)
    return list(windows.values())


def _is_few(index: RandomIndex, one: Search, most: int) -> bool:
    for first, *others in _windows(one):
        bounds = [each for clause in others for each in clause]
        is_countable = all(_is_countable(each, is_chained=False) for each in first)
        if is_countable and sum(_entries(index, one, each, bounds) for each in first) < most:
            return True
    return False


def _is_countable(criterion: Criterion, *, is_chained: bool) -> bool:
    match criterion:
        case Refers(criterion=inner) | Referred(criterion=inner):
            return _is_countable(inner, is_chained=True)
        case Not(criterion=inner):
            return not is_chained and getattr(inner, "key", 0) in KEYS and not isinstance(inner, Not)
        case Updated():
            return not is_chained
        case During(comparison=comparison):
            return comparison != "ne"
    return not isinstance(criterion, Contains | Within)


def _entries(index: RandomIndex, one: Search, criterion: Criterion, bounds: list[Criterion]) -> int:
    """Count what the index has of a criterion; of a client with limits, what it sees of it."""
    if one.limits or isinstance(criterion, Updated):
        clauses = [*one.limits, (criterion,), *((each,) for each in bounds)]
        return len(found(one.resource_type, clauses, index.rows, index.updated))
    while isinstance(criterion, Refers | Referred):
        criterion = criterion.criterion
    match criterion:
        case Not(inner):
            return sum(not _holds_of(index.sets.get(address, frozenset()), inner) for address in _of_type(index, one))
        case At(address):
            return address in index.rows
        case Nothing():
            return 0
        case Has(_, "moment") | During():
            every = [criterion, *bounds]
            return sum(all(holds(each, address, index.rows, index.updated) for each in every) for address in index.rows)
    return _terms(index, criterion)


def _terms(index: RandomIndex, criterion: Any) -> int:
    """Count rows of terms, and the resources that share such a term; of the end of a value all rows are read."""
    read = Has(criterion.key, "term") if isinstance(criterion, Ends) else criterion
    own = [index.rows[one].terms - index.sets.get(one, frozenset()) for one in index.rows]
    rows = sum(_holds_of(frozenset([term]), read) for terms in (*own, *set(index.sets.values())) for term in terms)
    return rows + sum(_holds_of(terms, criterion) for terms in index.sets.values())


def _holds_of(terms: Iterable[tuple[int, str]], criterion: Any) -> bool:
    return holds(criterion, "x/x", {"x/x": Rows(frozenset(terms), frozenset())}, {})


def _of_type(index: RandomIndex, one: Search) -> list[str]:
    return [address for address in index.rows if address.startswith(f"{one.resource_type}/")]


def _has_order(one: Search) -> bool:
    first = one.sort[0]
    if first.by == "term" or any(map(reads_many, one.clauses)):
        return False
    if _has_all(one):
        return True
    return one.after[0] != unsorted(first) if one.after else not one.is_back


def _has_all(one: Search) -> bool:
    return one.sort[0].by != "moment" or bool(_own(one))


def _own(one: Search) -> list[Clause]:
    """Return the clauses that bound the index of the order."""
    first = one.sort[0]
    if first.by == "moment":
        dates = [clause for clause in one.clauses if len(clause) == 1 and isinstance(clause[0], During)]
        return [clause for clause in dates if clause[0].key == first.key and clause[0].comparison != "ne"]
    if first.by == "updated":
        return [clause for clause in one.clauses if all(isinstance(each, Updated) for each in clause)]
    return []


def _fills_page(index: RandomIndex, one: Search, most: int, wanted: list[str]) -> bool:
    first, goes_down = one.sort[0], one.sort[0].descending != one.is_back
    every = found(one.resource_type, [*_own(one), *one.limits], index.rows, index.updated)
    if first.by == "updated":
        every = {each for each in every if _lies_within(index, one, each)}
    keys = {each: index.position(each, one.sort)[0] for each in every}
    if first.by == "moment":
        keys = {each: key for each, key in keys.items() if key != unsorted(first)}
    if one.after:
        last = one.after[0]
        keys = {each: key for each, key in keys.items() if (key <= last if goes_down else key >= last)}
    ordered = sorted(keys.values(), reverse=goes_down)
    if len(ordered) <= most and _has_all(one):
        return True
    before = set(keys)
    if len(ordered) > most:
        edge = ordered[most]
        before = {each for each, key in keys.items() if (key > edge if goes_down else key < edge)}
    return len(before.intersection(wanted)) >= one.most


def _lies_within(index: RandomIndex, one: Search, address: str) -> bool:
    at = index.updated[address]
    return (one.until is None or at <= one.until) and (one.since is None or at > one.since)
