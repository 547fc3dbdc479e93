"""Limits of the gateway broken one at a time, to see that the comparison of two gateways notices each.

Carries out no clause of a standard; decision D41 names the limits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any

from gateway.fhir_api.http.permission import ANY_VERSION
from gateway.store.studies import search, within


async def _visible(*_: Any, **__: Any) -> int:
    return ANY_VERSION


async def _always(*_: Any) -> bool:
    return True


async def _as_stored(engine: Any, sight: Any, versions: Any) -> list[Any]:
    return list(versions)


async def _every_total(serving: Any, query: Any, results: Any) -> int:
    whole = replace(query.search(0), clauses=tuple(query.clauses))
    return await search.count(serving.engine, whole)


def _unlimited(place: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that leaves out the limits among its arguments, and else does the same."""

    @wraps(function)
    async def called(*given: Any, **more: Any) -> Any:
        return await function(*given, **{**more, place: None})

    return called


async def _conflicts(engine: Any, patients: Any, *_: Any) -> Any:
    return await _stored_conflicts(engine, patients)


async def _suppressed(engine: Any, wanted: Any, most: int) -> Any:
    """Return the suppressed of a search without its last clauses: the limits of the client."""
    return await _stored_suppressed(engine, replace(wanted, clauses=wanted.clauses[: wanted.start + 1]), most)


def _of_any(owner: str, organizations: Any) -> Any:
    """Return the condition that a study names one of these facilities, whatever else it names."""
    places = ", ".join("?" * len(organizations))
    return f"EXISTS ({within._NAMED.format(owner=owner)}IN ({places}))", (within._PERFORMER, *organizations)


_stored_conflicts, _stored_suppressed = search.conflicts, search.suppressed
_API = "gateway.fhir_api"
# What is forgotten -> kinds of access, name of the code, and what stands in its place
SABOTAGE: dict[str, tuple[str, str, Any]] = {
    "the type of the address": ("of_types", f"{_API}.http.permission.is_allowed", lambda *_: True),
    "the limits of a read": ("of_facilities", f"{_API}.fetching.visible", _visible),
    "the limits of a version": ("refined", f"{_API}.read._is_visible", _always),
    "the limits of a history": ("of_facilities", f"{_API}.history.visible", _visible),
    "the limits of a history of a type": ("of_facilities", f"{_API}.histories._limits", lambda *_: None),
    "the limits of a search": ("of_facilities", f"{_API}.search.search_query.Query.limits", ()),
    "the limits of a chain": ("refined", "gateway.auth.visibility.Visibility.narrowed", lambda self, clause: clause),
    "the limits of what is included": ("of_facilities", f"{_API}.search.including._Included._limits", lambda *_: None),
    "the limits of a total": ("of_facilities", f"{_API}.search.interaction._total", _every_total),
    "the other facilities of a study": ("of_facilities", "gateway.store.studies.within.in_facilities", _of_any),
    "the limits of $everything": (
        "of_patient",
        f"{_API}.operations.everything.compartment",
        _unlimited("limits", search.compartment),
    ),
    "the limits of conflicts": ("of_facilities", f"{_API}.search.warnings.store.conflicts", _conflicts),
    "the limits of suppressed resources": ("of_facilities", f"{_API}.search.warnings.store.suppressed", _suppressed),
    "the versions that hidden studies make": (
        "of_facilities",
        "gateway.auth.visibility.Visibility.is_unversioned",
        lambda *_: False,
    ),
    "the newest visible description of a Patient": ("of_facilities", f"{_API}.fetching.as_seen", _as_stored),
}
