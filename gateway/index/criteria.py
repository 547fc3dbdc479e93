"""What one value of a search parameter asks for, in terms of the rows of the index.

https://hl7.org/fhir/R4/search.html#ptypes. A resource has rows `(key, value)` in `term`, for tokens, references and
strings, and rows `(key, low, high)` in `moment`, for dates; `key` names the parameter (`gateway.index.keys`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Comparison = Literal["eq", "ne", "gt", "ge", "lt", "le", "sa", "eb", "ap"]


@dataclass(frozen=True, slots=True)
class Is:
    """The resource has this very term."""

    key: int
    value: str


@dataclass(frozen=True, slots=True)
class Starts:
    """It has a term that starts so."""

    key: int
    value: str


@dataclass(frozen=True, slots=True)
class Ends:
    """It has a term that ends so."""

    key: int
    value: str


@dataclass(frozen=True, slots=True)
class Contains:
    """It has a term with this anywhere in it."""

    key: int
    value: str


@dataclass(frozen=True, slots=True)
class During:
    """It has a moment that compares so with the interval from `low` up to, not including, `high` (µs since 1970 UTC).

    With `ap` the interval is widened already: the two overlap.
    """

    key: int
    comparison: Comparison
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Updated:
    """Its `meta.lastUpdated`, an instant, compares so with the interval."""

    comparison: Comparison
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Has:
    """It has any term, or any moment, of that parameter."""

    key: int
    kind: Literal["term", "moment"]


@dataclass(frozen=True, slots=True)
class At:
    """It is the resource with that address, `Type/id`."""

    address: str


@dataclass(frozen=True, slots=True)
class Not:
    """The criterion does not hold."""

    criterion: Criterion


@dataclass(frozen=True, slots=True)
class Refers:
    """A reference of it (`key`) leads to a resource of which the criterion holds (chaining)."""

    key: int
    criterion: Criterion


@dataclass(frozen=True, slots=True)
class Referred:
    """A reference (`key`, of another type) leads to it from a resource of which the criterion holds (`_has`)."""

    key: int
    criterion: Criterion


@dataclass(frozen=True, slots=True)
class Nothing:
    """No resource is so."""


Criterion: TypeAlias = Is | Starts | Ends | Contains | During | Updated | Has | At | Not | Refers | Referred | Nothing
# Any of its criteria holds
Clause: TypeAlias = tuple[Criterion, ...]
