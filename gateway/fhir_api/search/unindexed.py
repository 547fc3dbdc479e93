"""Warn that a search may miss resources stored by an older release, until `rerender` has indexed them again.

https://hl7.org/fhir/R4/search.html#Warnings, decision D43: an answer that may lack a critical result says so.
Proved by tests/gateway/fhir_api/search/test_unindexed.py and tests/upgrade/test_searches.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from weakref import WeakSet

from gateway.fhir_api.http.outcome import Issue
from gateway.fhir_api.http.query import RESULT_PARAMETERS
from gateway.fhir_api.search.search_query import Query
from gateway.index.parameter import Parameter
from gateway.index.parameter_table import CONTENT
from gateway.index.route import find
from gateway.store.database.engine import Engine
from gateway.store.database.facts import INDEX, INDEX_REVISION, value_of

# What the newest `INDEX_REVISION` changed: types of resources that were not made before, or of fewer occasions, and
# parameters, as (type, name), whose values the mappings or the index changed. Release 1.0.0 has "1"
_NEW_TYPES: Final[frozenset[str]] = frozenset()
_CHANGED: Final[frozenset[tuple[str, str]]] = frozenset({("Patient", "active")})
_DIAGNOSTICS: Final = "{} may find too little or too much of what an older release stored, until rerender has run"
# Databases that are indexed by this release throughout, as they then stay
_CURRENT: Final[WeakSet[Engine]] = WeakSet()


async def unindexed(engine: Engine, query: Query) -> list[Issue]:
    """Return a warning if the search needs index rows that an older release did not write."""
    if engine in _CURRENT:
        return []
    if await value_of(engine, INDEX) == INDEX_REVISION:
        _CURRENT.add(engine)
        return []
    names = sorted({*_of_types(query), *_of_parameters(query)})
    if not names:
        return []
    return [Issue("warning", "incomplete", _DIAGNOSTICS.format(", ".join(names)), "index-incomplete")]


def _of_types(query: Query) -> Iterator[str]:
    """Yield the resource types, new in this release, that are searched or included."""
    yield from _NEW_TYPES.intersection(
        (query.resource_type, *(one.reference.resource_type for one in query.includes if one.is_back))
    )


def _of_parameters(query: Query) -> Iterator[str]:
    for name, _ in query.used:
        if (
            name == CONTENT.name
            or name.partition(":")[0] in RESULT_PARAMETERS
            or (route := find(query.resource_type, name)) is None
        ):
            continue
        followed = (step.reference for step in route.steps)
        if any(map(_is_changed, (*route.parameters, *followed))):
            yield name


def _is_changed(row: Parameter) -> bool:
    """True if this release writes the index rows of the parameter differently, or its type is new."""
    return row.resource_type in _NEW_TYPES or (row.resource_type, row.name) in _CHANGED
