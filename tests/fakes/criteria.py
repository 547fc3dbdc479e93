"""Oracle for search criteria: tries each one on rows in memory, for comparison with the faster searches.

https://hl7.org/fhir/R4/search.html#date for the meaning of the prefixes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.index.criteria import (
    All,
    At,
    Clause,
    Comparison,
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
)
from gateway.index.extract import Rows

Index = Mapping[str, Rows]
Instants = Mapping[str, int]


def holds(criterion: Criterion, address: str, rows: Index, updated: Instants) -> bool:
    """True if the criterion matches the resource at that address; `updated` has the instants of lastUpdated in µs."""
    match criterion:
        case Updated(comparison, low, high):
            return compares(comparison, (updated[address], updated[address] + 1), (low, high))
        case All(clauses):
            return all(any(holds(one, address, rows, updated) for one in clause) for clause in clauses)
        case At(other):
            return other == address
        case Not(inner):
            return not holds(inner, address, rows, updated)
        case Refers(key, inner):
            return any(holds(inner, to, rows, updated) for to in rows if (key, to) in rows[address].terms)
        case Referred(key, inner):
            return any(holds(inner, one, rows, updated) for one in rows if (key, address) in rows[one].terms)
        case Nothing():
            return False
        case Has(key, "moment") | During(key, _, _, _):
            return any(_fits(criterion, low, high) for one, low, high in rows[address].moments if one == key)
        case _:
            return any(_matches(criterion, value) for one, value in rows[address].terms if one == criterion.key)


def _fits(criterion: Has | During, low: int, high: int) -> bool:
    if isinstance(criterion, Has):
        return True
    return compares(criterion.comparison, (low, high), (criterion.low, criterion.high))


def _matches(criterion: Is | Starts | Ends | Contains | Has, value: str) -> bool:
    match criterion:
        case Is(_, wanted):
            return value == wanted
        case Starts(_, wanted):
            return value.startswith(wanted)
        case Ends(_, wanted):
            return value.endswith(wanted)
        case Contains(_, wanted):
            return wanted in value
        case _:
            return True


def compares(comparison: Comparison, said: tuple[int, int], asked: tuple[int, int]) -> bool:
    """True if a resource's interval compares so with the requested one."""
    contained = asked[0] <= said[0] and said[1] <= asked[1]
    return {
        "eq": contained,
        "ne": not contained,
        "gt": said[1] > asked[1],
        "lt": said[0] < asked[0],
        "ge": said[1] > asked[1] or contained,
        "le": said[0] < asked[0] or contained,
        "sa": said[0] >= asked[1],
        "eb": said[1] <= asked[0],
        "ap": said[0] < asked[1] and asked[0] < said[1],
    }[comparison]


def found(resource_type: str, clauses: Iterable[Clause], rows: Index, updated: Instants) -> set[str]:
    """Addresses of that type that match every clause, each by any of its criteria."""
    wanted = list(clauses)
    return {
        address
        for address in rows
        if address.startswith(f"{resource_type}/")
        and all(any(holds(one, address, rows, updated) for one in clause) for clause in wanted)
    }
