"""Divide a broad search that is sorted by a code into searches for one code each, in the order of the codes.

https://hl7.org/fhir/R4/search.html#sort. No index has the resources in the order of a status, but few codes of it
exist. Among those with one code the order is that of the next sort keys, and an index may have it (in_order.py).
Proved by tests/contract/test_sorting.py and tests/contract/test_in_order.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from gateway.index.criteria import Has, Is, Not
from gateway.store.database.engine import Row, Statement
from gateway.store.studies.search_sql import Search, Sort, unsorted
from gateway.store.studies.short_values import SYSTEM_OF, short_value

_NUMBER: Final = Sort("number")
MOST: Final = 40  # codes; no element that is sorted by has as many
# The codes of an element, each by one look into the index, then a row without one; each with the last instant of all
CODES: Final = Statement(
    "WITH RECURSIVE each_code (value) AS (SELECT min(t.value) FROM term t WHERE t.key = :key UNION ALL SELECT"
    " (SELECT min(t.value) FROM term t WHERE t.key = :key AND t.value > e.value) FROM each_code e"
    " WHERE e.value IS NOT NULL)"
    " SELECT e.value, (SELECT k.last FROM tick k WHERE k.one = 1) FROM each_code e LIMIT :most"
)
# A resource that may have had another code before
CHANGED: Final = Statement("SELECT 1 FROM resource WHERE type = :type AND updated > :instant AND version > 1 LIMIT 1")


def is_divided(search: Search) -> bool:
    """True if the first sort key is a code of which a resource has one at most."""
    first = search.sort[0]
    return first.by == "term" and first.key in SYSTEM_OF


def searches(search: Search, values: Sequence[str], instant: int) -> Iterator[tuple[str, Search]]:
    """Yield a search for each code from the place of the page on, in order, behind the code as a sort key.

    `values` are the codes as index rows have them, in the order of the index. What was updated after the instant, in
    microseconds, is left out.
    """
    [first, *others], until = search.sort, min(instant, search.until or instant)
    # A code in both forms is asked for in its long one, which finds both
    terms: dict[str, str | None] = {short_value(first.key, one): one for one in values}
    terms[unsorted(first)] = None
    at, goes_down = None, first.descending != search.is_back
    if search.after:
        at = short_value(first.key, search.after[0])
        after = search.after[1:] if others else search.after[1:] * 2
    for value in sorted(terms, reverse=goes_down):
        if at is None or value == at or (value < at) == goes_down:
            term = terms[value]
            has = Is(first.key, term) if term is not None else Not(Has(first.key, "term"))
            one = replace(search, clauses=(*search.clauses, (has,)), sort=(*others,) or (_NUMBER,), until=until)
            yield value, replace(one, after=after if value == at else ())


def row(search: Search, value: str, found: Row, instant: int) -> Row:
    """Return a row of the search for the code with this value as the whole search has it."""
    address, version, updated, owner, number, body, _, remarks, *keys = found
    return address, version, updated, owner, number, body, instant, remarks, value, *keys[: len(search.sort) - 1]
