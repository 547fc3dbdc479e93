"""Convert the search parameters of a scope into clauses that all resources under the scope must meet.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html (finer-grained constraints), decision D41. A
parameter has the meaning that it has in a search. A scope with a parameter that cannot be such a clause grants nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Final

from gateway.auth.scopes import EVERY_TYPE, SmartScope
from gateway.index.criteria import Clause, Criterion, During, Not, Nothing, Referred, Refers, Updated
from gateway.index.parameter_lookup import TYPES
from gateway.index.reading import asked
from gateway.index.search_value import Circumstances
from gateway.runtime.request_errors import RequestError

MOST_VALUES: Final = 30  # a database takes long to plan hundreds of conditions, and every query has them
_ANY_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)


class RefinementNotApplied(ValueError):
    """A search parameter of a scope cannot narrow it; the message says why, without the value."""


@lru_cache(maxsize=1024)
def refinement_clauses(scope: SmartScope, zone: tzinfo) -> tuple[Clause, ...]:
    """Return the clauses for a scope's search parameters; dates without offset are in `zone`.

    Raises:
        RefinementNotApplied: one of the parameters cannot narrow a scope.
    """
    if not scope.refinements:
        return ()
    if scope.resource_type == EVERY_TYPE:
        raise RefinementNotApplied("search parameters need one resource type, not *")
    if scope.resource_type not in TYPES:
        raise RefinementNotApplied("this type is not searched, so it has no search parameters")
    clauses = tuple(clause for name, value in scope.refinements for clause in _clauses(scope, name, value, zone))
    if sum(map(len, clauses)) > MOST_VALUES:
        raise RefinementNotApplied(f"more than {MOST_VALUES} values in one scope")
    return clauses


@lru_cache(maxsize=1024)
def is_applied(scope: SmartScope) -> bool:
    """True if the gateway can enforce all search parameters of the scope."""
    try:
        refinement_clauses(scope, UTC)
    except RefinementNotApplied:
        return False
    return True


def _clauses(scope: SmartScope, name: str, value: str, zone: tzinfo) -> tuple[Clause, ...]:
    try:
        found = asked(scope.resource_type, name, value, Circumstances(zone, _ANY_TIME, ""))
    except RequestError:
        raise RefinementNotApplied(f"{name}: not a value or modifier that this parameter has") from None
    if found is None:
        raise RefinementNotApplied(f"{name}: {scope.resource_type} has no such search parameter here")
    every = [criterion for clause in found.clauses for criterion in clause]
    if found.has_unknown_code or any(isinstance(one, Nothing) for one in every):
        raise RefinementNotApplied(f"{name}: no resource can have this value")
    if any(map(_reaches_further, every)):
        raise RefinementNotApplied(f"{name}: it leads to other resources, and a scope is about one")
    if any(isinstance(one, During | Updated) and one.comparison == "ap" for one in every):
        raise RefinementNotApplied(f"{name}: ap depends on the present time")
    return found.clauses


def _reaches_further(criterion: Criterion) -> bool:
    inner = criterion.criterion if isinstance(criterion, Not) else criterion
    return isinstance(inner, Refers | Referred)
