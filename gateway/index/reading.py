"""Parse name and value of a request's search parameter: modifier, chain, and comma-separated alternatives.

https://hl7.org/fhir/R4/search.html#combining, #modifiers, decision D30. Commas separate the alternatives of a value.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Final, NamedTuple

from gateway.index.criteria import Clause, Criterion, During, Ends, Is, Not, Referred, Refers, Starts, Updated
from gateway.index.escaping import alternatives, token
from gateway.index.route import Route, find
from gateway.index.search_value import Circumstances, Value
from gateway.index.value_criteria import criteria_of
from gateway.runtime.request_errors import BadRequest

_ANY_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER_NARROWS: Final = frozenset({"not", "missing", "contains", "text"})


class AskedParameter(NamedTuple):
    """Parsed search parameter: all clauses must hold, each by any of its criteria.

    `narrows`: the parameter alone makes a search allowed (D30). `may_narrow`: it does if the index shows that few
    resources meet it, or that enough of the first in the order do. `has_unknown_code`: the element cannot have the
    code.
    """

    route: Route
    clauses: tuple[Clause, ...]
    narrows: bool
    may_narrow: bool
    has_unknown_code: bool


def asked(resource_type: str, name: str, value: str, circumstances: Circumstances) -> AskedParameter | None:
    """Parse one search parameter; None if the parameter or its chain is unknown.

    Raises:
        NotSupported: the parameter is known, but the modifier is not offered.
        BadRequest: the value is malformed.
    """
    if "ap" in value:  # the only comparison that depends on the current time
        return _parse(resource_type, name, value, circumstances)
    return _remembered(resource_type, name, value, circumstances.zone, circumstances.base)


@lru_cache(maxsize=2048)
def _remembered(resource_type: str, name: str, value: str, zone: tzinfo, base: str) -> AskedParameter | None:
    """Parse a value that does not depend on the current time; cached, since the same values recur."""
    return _parse(resource_type, name, value, Circumstances(zone, _ANY_TIME, base))


def _parse(resource_type: str, name: str, value: str, circumstances: Circumstances) -> AskedParameter | None:
    route = find(resource_type, name)
    return read(route, name, value, circumstances) if route else None


def read(route: Route, name: str, value: str, circumstances: Circumstances) -> AskedParameter:
    """Parse a value for a route (a resolved name); `name` appears in errors.

    Raises:
        BadRequest: the value is malformed.
    """
    texts = alternatives(value)
    if not texts:
        raise BadRequest(f"{name}: expected a value", expression=f"http.{name}")
    values = [Value(row, route.modifier, text, circumstances) for text in texts for row in route.parameters]
    try:
        criteria = tuple(dict.fromkeys(criterion for one in values for criterion in criteria_of(one)))
    except BadRequest as error:
        raise BadRequest(f"{name}: {error.detail}", expression=f"http.{name}") from None
    clauses, is_narrow = _clauses(route, criteria), _narrows(route, criteria)
    may_narrow = is_narrow or _may_narrow(route, criteria)
    return AskedParameter(route, clauses, is_narrow, may_narrow, _has_unknown_code(route, texts))


def _clauses(route: Route, criteria: Clause) -> tuple[Clause, ...]:
    """Build one clause of all alternatives; for `:not`, one negated clause for each alternative."""
    if route.modifier == "not":
        return tuple((Not(criterion),) for criterion in criteria)
    return (tuple(route.reached(criterion) for criterion in criteria),)


def _narrows(route: Route, criteria: Clause) -> bool:
    if route.modifier in _NEVER_NARROWS:
        return False
    return all(row.narrows for row in route.parameters) and all(map(_is_narrow, criteria))


def _may_narrow(route: Route, criteria: Clause) -> bool:
    """True if the value alone may leave few resources: any number of a system, or a code at the end of a `_has`."""
    if route.modifier in _NEVER_NARROWS or not all(map(_is_of_index, criteria)):
        return False
    return any(step.is_back for step in route.steps) or all(row.narrows for row in route.parameters)


def _is_of_index(criterion: Criterion) -> bool:
    """True for a criterion on codes, numbers or references in the index, also at the end of a reference."""
    if isinstance(criterion, Refers | Referred):
        return _is_of_index(criterion.criterion)
    return isinstance(criterion, Is | Starts | Ends)


def _is_narrow(criterion: Criterion) -> bool:
    """False for a criterion that nearly every resource may meet: any code of a system, any other date."""
    if isinstance(criterion, Refers | Referred):
        return _is_narrow(criterion.criterion)
    if isinstance(criterion, During | Updated):
        return criterion.comparison != "ne"
    return not isinstance(criterion, Ends)


def _has_unknown_code(route: Route, texts: Iterable[str]) -> bool:
    codes = route.parameters[0].codes
    if not codes or route.modifier not in {"", "not"}:
        return False
    return any((code := token(text)[1]) and code not in codes for text in texts)
