"""Resolve the name of a search parameter: its modifier, and the references that a chain or `_has` follows.

https://hl7.org/fhir/R4/search.html#chaining, #has, #modifiers, decision D30. A chain follows two references at most.
What the standard defines and the gateway does not offer is refused: to ignore it would widen the answer.
Proved by tests/gateway/index/test_reading.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple, NoReturn

from gateway.index.criteria import Criterion, Referred, Refers
from gateway.index.parameter import Parameter
from gateway.index.parameter_lookup import TYPES, parameter, parameters_of
from gateway.index.standard import is_standard
from gateway.runtime.request_errors import NotSupported

MOST_STEPS: Final = 2
_HAS: Final = "_has:"
# IHE IMR's names of name parts in a chain
_INNER: Final = {"name.family": "family", "name.given": "given"}
# Modifiers not offered in a chain: a chain asks that a matching resource exists, not that none does
_DENIALS: Final = frozenset({"not", "missing"})


class Step(NamedTuple):
    """Step over one reference: forward as in a chain, or backward as by `_has`."""

    reference: Parameter
    is_back: bool


@dataclass(frozen=True, slots=True)
class Route:
    """Resolved name of a search parameter: the parameters to match, one for each type that a chain leads to.

    `steps` are the references that lead there from the resource that is searched.
    """

    parameters: tuple[Parameter, ...]
    modifier: str = ""
    steps: tuple[Step, ...] = ()

    @property
    def other_types(self) -> frozenset[str]:
        """Types of the resources that a chain, `_has` or `:identifier` reads."""
        holders = {one.reference.resource_type for place, one in enumerate(self.steps) if place or one.is_back}
        ends = self.parameters if self.steps else ()
        if self.modifier == "identifier":
            ends = (*ends, *(one for row in self.parameters for one in identifiers_of(row)))
        return frozenset({*holders, *(row.resource_type for row in ends)})

    def reached(self, criterion: Criterion) -> Criterion:
        """Return the criterion for a resource whose steps lead to one that meets the inner criterion."""
        for step in reversed(self.steps):
            criterion = (Referred if step.is_back else Refers)(step.reference.key, criterion)
        return criterion


def identifiers_of(row: Parameter) -> tuple[Parameter, ...]:
    """Return the `identifier` parameters of the types that a reference leads to, for `:identifier`."""
    return tuple(found for target in row.targets if (found := parameter(target, "identifier")))


def find(resource_type: str, name: str) -> Route | None:
    """Resolve a name with modifier, chain and `_has`; None if the parameter or its chain is unknown.

    Raises:
        NotSupported: the parameter is known, but the modifier or chain is not offered; or R4 defines the parameter, and
            the gateway does not offer it.
    """
    return _found(resource_type, name, ())


def _found(resource_type: str, name: str, steps: tuple[Step, ...]) -> Route | None:
    if name.startswith(_HAS):
        return _reverse(resource_type, name, steps)
    head, dot, rest = name.partition(".")
    plain, colon, modifier = head.partition(":")
    row = parameter(resource_type, plain)
    if row is None or (steps and _is_of_versions(plain)):
        if is_standard(resource_type, plain) or (row is not None and steps):
            _refuse(plain, f"not offered here for {resource_type}", _names(resource_type, within=bool(steps)))
        return None
    given_modifier = modifier if colon else None
    if dot:
        return _chain(row, given_modifier, rest, steps)
    return Route((row,), _checked_modifier(row, given_modifier, steps), steps)


def _is_of_versions(name: str) -> bool:
    """True for a parameter of `meta`, which no chain may use: changes of another resource are not its reference."""
    return name.startswith("_") and name != "_id"


def _names(resource_type: str, *, within: bool = False) -> Iterable[str]:
    every = (row.name for row in parameters_of(resource_type))
    return (one for one in every if not (within and _is_of_versions(one)))


def _refuse(name: str, reason: str, offered: Iterable[str], plain: str = "") -> NoReturn:
    listed = ", ".join(offered) or "none"
    raise NotSupported(f"{name}: {reason}; offered: {listed}", expression=f"http.{plain or name}")


def _types(row: Parameter) -> tuple[str, ...]:
    return row.targets if row.type == "reference" else ()


def _checked_modifier(row: Parameter, modifier: str | None, steps: tuple[Step, ...]) -> str:
    offered = [one for one in row.modifiers if not (steps and one in _DENIALS)] + [*_types(row)]
    if modifier is not None and modifier not in offered:
        _refuse(".".join([*_followed(steps), row.name]), "this modifier is not offered", offered)
    return modifier or ""


def _followed(steps: Iterable[Step]) -> list[str]:
    return [one.reference.name for one in steps]


def _chain(row: Parameter, target: str | None, rest: str, steps: tuple[Step, ...]) -> Route | None:
    """Resolve a chain: `reference.name` or `reference:Type.name`."""
    if target is not None and target not in _types(row):
        _refuse(row.name, "it leads to no such type", _types(row))
    if len(steps) == MOST_STEPS or rest.startswith(_HAS):
        _refuse(row.name, f"a chain follows {MOST_STEPS} references at most, and no _has", row.chains)
    ended, colon, modifier = rest.partition(":")
    inner = _INNER.get(ended, ended) + colon + modifier
    followed = (*steps, Step(row, is_back=False))
    routes = [one for kind in ([target] if target else _types(row)) if (one := _of_target(kind, inner, followed))]
    if not routes:
        _check_unknown_chain(row, inner)
        return None
    first = routes[0]
    if any(one.steps != first.steps or one.modifier != first.modifier for one in routes):
        _refuse(row.name, "name one of the types, as reference:Type", _types(row))
    return Route(tuple(parameter for one in routes for parameter in one.parameters), first.modifier, first.steps)


def _of_target(kind: str, inner: str, steps: tuple[Step, ...]) -> Route | None:
    plain = inner.partition(".")[0].partition(":")[0]
    return _found(kind, inner, steps) if kind in TYPES and plain in _names(kind, within=True) else None


def _check_unknown_chain(row: Parameter, inner: str) -> None:
    """Refuse a chain that R4 defines but the gateway does not offer; any other chain is unknown."""
    plain = inner.partition(".")[0].partition(":")[0]
    if not row.chains or any(is_standard(kind, plain) or parameter(kind, plain) for kind in row.targets):
        _refuse(f"{row.name}.{plain}", "this chain is not offered", row.chains, plain=row.name)


def _reverse(resource_type: str, name: str, steps: tuple[Step, ...]) -> Route:
    """Resolve a reverse chain: `_has:Type:reference:name`, where the name may itself be a chain or another `_has`."""
    source, _, rest = name.removeprefix(_HAS).partition(":")
    reference, _, inner = rest.partition(":")
    row = parameter(source, reference)
    if row is None or not inner or resource_type not in _types(row):
        every = (one for kind in TYPES for one in parameters_of(kind) if resource_type in _types(one))
        _refuse("_has", "no such reference leads here", (f"{one.resource_type}:{one.name}" for one in every))
    if len(steps) == MOST_STEPS:
        _refuse("_has", f"{MOST_STEPS} references are followed at most", ())
    route = _found(source, inner, (*steps, Step(row, is_back=True)))
    if route is None:
        _refuse("_has", f"{source} has no such parameter", _names(source, within=True))
    return route
