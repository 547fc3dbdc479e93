"""Types of search criteria: the conditions on index rows that the value of a search parameter is parsed into.

https://hl7.org/fhir/R4/search.html#ptypes. A resource has rows `(key, value)` in `term`, for tokens, references and
strings, and rows `(key, low, high)` in `moment`, for dates; `key` names the parameter (`gateway.index.keys`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Comparison = Literal["eq", "ne", "gt", "ge", "lt", "le", "sa", "eb", "ap"]


@dataclass(frozen=True, slots=True)
class Is:
    """Criterion: the resource has exactly this index term."""

    key: int
    value: str


@dataclass(frozen=True, slots=True)
class Starts:
    """Criterion: the resource has an index term that starts with this value."""

    key: int
    value: str


@dataclass(frozen=True, slots=True)
class Ends:
    """Criterion: the resource has an index term that ends with this value."""

    key: int
    value: str


@dataclass(frozen=True, slots=True)
class Contains:
    """Criterion: the resource has an index term that contains this value."""

    key: int
    value: str


@dataclass(frozen=True, slots=True)
class During:
    """Criterion: a date of the resource compares with the interval [low, high), in µs since 1970 UTC.

    With `ap`, the interval is widened already, and it must overlap with the moment.
    """

    key: int
    comparison: Comparison
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Updated:
    """Criterion: `meta.lastUpdated`, an instant, compares with the interval [low, high)."""

    comparison: Comparison
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Has:
    """Criterion: the resource has any index row of a parameter, so the element is present."""

    key: int
    kind: Literal["term", "moment"]


@dataclass(frozen=True, slots=True)
class At:
    """Criterion: the resource has this address, `Type/id`."""

    address: str


@dataclass(frozen=True, slots=True)
class Not:
    """Criterion: the inner criterion does not hold."""

    criterion: Criterion


@dataclass(frozen=True, slots=True)
class Refers:
    """Criterion: a reference (`key`) leads to a resource that meets the inner criterion (chaining)."""

    key: int
    criterion: Criterion


@dataclass(frozen=True, slots=True)
class Referred:
    """Criterion: a resource that meets the inner criterion refers to this one by `key` (`_has`)."""

    key: int
    criterion: Criterion


@dataclass(frozen=True, slots=True)
class Nothing:
    """Criterion: no resource matches."""


@dataclass(frozen=True, slots=True)
class All:
    """Criterion: all clauses hold, each by any of its criteria. The first clause has only one criterion."""

    clauses: tuple[Clause, ...]


@dataclass(frozen=True, slots=True)
class Says:
    """Criterion: the text of a report has these words and phrases, as `report_words.content_clause` writes them."""

    words: str


@dataclass(frozen=True, slots=True)
class Within:
    """Criterion: a resource of this type lies within the data that a client is limited to (decision D41).

    `organizations` are the addresses of its facilities, None for every facility. `patient` is the address of its one
    Patient, None for every patient.
    """

    resource_type: str
    organizations: tuple[str, ...] | None = None
    patient: str | None = None


Criterion: TypeAlias = (
    Is
    | Starts
    | Ends
    | Contains
    | During
    | Updated
    | Has
    | At
    | Not
    | Refers
    | Referred
    | Nothing
    | All
    | Within
    | Says
)
# A clause holds if any of its criteria holds
Clause: TypeAlias = tuple[Criterion, ...]
