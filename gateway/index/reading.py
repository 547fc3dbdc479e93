"""Parse name and value of a request's search parameter: modifier, chain, and comma-separated alternatives.

https://hl7.org/fhir/R4/search.html#combining, #modifiers, #chaining, #has, decision D30. Commas separate the
alternatives of a value. A chain has one step.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Final

from gateway.index.criteria import Clause, Criterion, During, Ends, Not, Referred, Refers, Updated
from gateway.index.escaping import alternatives, token
from gateway.index.parameter import Parameter
from gateway.index.parameters import REVERSE_CHAINS, parameter
from gateway.index.value import Circumstances, Value
from gateway.index.values import criteria_of
from gateway.runtime.request_errors import BadRequest, NotSupported

_HAS: Final = "_has:"
_ANY_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)
# IHE IMR's names of name parts in a chain
_INNER: Final = {"name.family": "family", "name.given": "given"}
# Modifiers not offered in a chain: a chain asks that a matching resource exists, not that none does
_DENIALS: Final = frozenset({"not", "missing"})
_NEVER_NARROWS: Final = frozenset({"not", "missing", "contains", "text"})


@dataclass(frozen=True, slots=True)
class Route:
    """Resolved name of a parameter: the parameters to match, one for each type that a chain leads to.

    `through` is the reference that a chain follows. `referred_by` is the reference that `_has` follows backwards.
    """

    parameters: tuple[Parameter, ...]
    modifier: str = ""
    through: Parameter | None = None
    referred_by: Parameter | None = None

    @property
    def other_types(self) -> frozenset[str]:
        """Types of the resources that a chain, or `_has`, reads."""
        is_direct = self.through is None and self.referred_by is None
        return frozenset() if is_direct else frozenset(row.resource_type for row in self.parameters)


@dataclass(frozen=True, slots=True)
class AskedParameter:
    """A parsed parameter: all clauses must hold, each by any of its criteria.

    `narrows`: the parameter alone makes a search allowed (D30). `has_unknown_code`: the element cannot have the code.
    """

    route: Route
    clauses: tuple[Clause, ...]
    narrows: bool
    has_unknown_code: bool


def find(resource_type: str, name: str) -> Route | None:
    """Resolve a name with modifier and chain; None if the parameter or the chain is unknown.

    Raises:
        NotSupported: the parameter is known, but the modifier is not offered.
    """
    if name.startswith(_HAS):
        return _reverse(resource_type, name)
    head, dot, rest = name.partition(".")
    plain, colon, modifier = head.partition(":")
    row = parameter(resource_type, plain)
    if row is None:
        return None
    given_modifier = modifier if colon else None
    if dot:
        return _chain(row, given_modifier, rest)
    return Route((row,), _checked_modifier(row.name, given_modifier, (*row.modifiers, *_types(row))))


def asked(resource_type: str, name: str, value: str, circumstances: Circumstances) -> AskedParameter | None:
    """Parse one name and value; None if the parameter or the chain is unknown.

    Raises:
        NotSupported: the parameter is known, but the modifier is not offered.
        BadRequest: the value is malformed.
    """
    if "ap" in value:  # the only comparison that depends on the current time
        return _parse(resource_type, name, value, circumstances)
    return _remembered(resource_type, name, value, circumstances.zone, circumstances.base)


@lru_cache(maxsize=2048)
def _remembered(resource_type: str, name: str, value: str, zone: tzinfo, base: str) -> AskedParameter | None:
    """Parse a value that does not depend on the current time; cached, since the same codes and days recur."""
    return _parse(resource_type, name, value, Circumstances(zone, _ANY_TIME, base))


def _parse(resource_type: str, name: str, value: str, circumstances: Circumstances) -> AskedParameter | None:
    route = find(resource_type, name)
    return read(route, name, value, circumstances) if route else None


def read(route: Route, name: str, value: str, circumstances: Circumstances) -> AskedParameter:
    """Parse a value for a resolved name; `name` is used in errors.

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
    return AskedParameter(route, _clauses(route, criteria), _narrows(route, criteria), _has_unknown_code(route, texts))


def _types(row: Parameter) -> tuple[str, ...]:
    return row.targets if row.type == "reference" else ()


def _checked_modifier(name: str, modifier: str | None, offered: Iterable[str]) -> str:
    if modifier is not None and modifier not in offered:
        raise NotSupported(f"{name}: this modifier is not offered", expression=f"http.{name}")
    return modifier or ""


def _chain(row: Parameter, target: str | None, rest: str) -> Route | None:
    """Resolve a chain: `reference.name` or `reference:Type.name`."""
    if target is not None and target not in _types(row):
        raise NotSupported(f"{row.name}: it leads to no such type", expression=f"http.{row.name}")
    inner, colon, modifier = rest.partition(":")
    inner = _INNER.get(inner, inner)
    if inner not in row.chains:
        return None
    rows = tuple(inner_row for one in ([target] if target else row.targets) if (inner_row := parameter(one, inner)))
    offered = {one for inner_row in rows for one in inner_row.modifiers} - _DENIALS
    return Route(rows, _checked_modifier(f"{row.name}.{inner}", modifier if colon else None, offered), through=row)


def _reverse(resource_type: str, name: str) -> Route | None:
    """Resolve a reverse chain: `_has:Type:reference:name`."""
    source, _, rest = name.removeprefix(_HAS).partition(":")
    reference, _, inner = rest.partition(":")
    row, asked_of = parameter(source, reference), parameter(source, inner)
    if row is None or asked_of is None or inner not in REVERSE_CHAINS.get((source, reference), ()):
        return None
    return Route((asked_of,), referred_by=row) if resource_type in row.targets else None


def _clauses(route: Route, criteria: Clause) -> tuple[Clause, ...]:
    """Build one clause of all alternatives; for `:not`, where none may hold, one negated clause for each."""
    if route.modifier == "not":
        return tuple((Not(criterion),) for criterion in criteria)
    return (tuple(_chained(route, criterion) for criterion in criteria),)


def _chained(route: Route, criterion: Criterion) -> Criterion:
    if route.through is not None:
        return Refers(route.through.key, criterion)
    return Referred(route.referred_by.key, criterion) if route.referred_by is not None else criterion


def _narrows(route: Route, criteria: Clause) -> bool:
    if route.modifier in _NEVER_NARROWS:
        return False
    return all(row.narrows for row in route.parameters) and all(map(_is_narrow, criteria))


def _is_narrow(criterion: Criterion) -> bool:
    """False for a criterion that almost every resource may meet: any code of a system, any other date."""
    if isinstance(criterion, During | Updated):
        return criterion.comparison != "ne"
    return not isinstance(criterion, Ends)


def _has_unknown_code(route: Route, texts: Iterable[str]) -> bool:
    codes = route.parameters[0].codes
    if not codes or route.modifier not in {"", "not"}:
        return False
    return any((code := token(text)[1]) and code not in codes for text in texts)
