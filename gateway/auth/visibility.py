"""Limit a client to the resources it may see: clauses for its queries from its scopes, patient and facilities.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html (scopes, `patient/`), decision D41. It is a
value: it asks no database. Without an answer here, nothing is visible.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from functools import lru_cache
from typing import Final

from gateway.auth.access import SHARED, Access
from gateway.auth.refinements import refinement_clauses
from gateway.auth.scopes import EVERY_TYPE, SmartScope
from gateway.index.criteria import All, At, Clause, Criterion, Is, Not, Nothing, Referred, Refers, Within
from gateway.index.keys import key
from gateway.index.parameter_lookup import PARAMETERS
from mappings.fhir.resource_types import types_at

Clauses = tuple[Clause, ...]
OF_REPORTS: Final = "DiagnosticReport"
_MEMBERS: Final = frozenset(types_at("member"))
_NOTHING: Final[Clauses] = ((Nothing(),),)
_TYPE_OF: Final = {
    one: row.resource_type
    for row in PARAMETERS
    for one in (row.key, *map(row.key_with, (*row.modifiers, "identifier")))
}


@dataclass(frozen=True, slots=True)
class Visibility:
    """Visibility for one client. `access` None: everything. `organizations` are its facilities' addresses, None: all.

    `zone` is that of dates without an offset. `keyed` returns the id of the Patient whose key is a number of a system.
    `is_whole`: nothing but the type decides what the client may see. `has_whole_studies`: it sees all of a study of
    which it sees anything.
    """

    access: Access | None = None
    organizations: tuple[str, ...] | None = None
    zone: tzinfo = UTC
    keyed: Callable[[str, str], str] | None = field(default=None, repr=False, compare=False)
    is_whole: bool = field(init=False)
    has_whole_studies: bool = field(init=False)

    def __post_init__(self) -> None:
        """Compute two answers that every query needs."""
        has_whole_studies = self.access is None or not self.access.has_limited_scopes
        object.__setattr__(self, "has_whole_studies", has_whole_studies)
        object.__setattr__(self, "is_whole", has_whole_studies and self.facilities is None)

    @property
    def facilities(self) -> tuple[str, ...] | None:
        """Addresses of the Organizations that the client is limited to, None if it is not."""
        if self.access is None or self.access.facilities is None:
            return None
        return self.organizations or ()

    @property
    def key(self) -> str:
        """Text that identifies these limits, empty for none; a page link is valid only under the same limits."""
        if self.is_whole or self.access is None:
            return ""
        facilities = None if self.access.facilities is None else sorted(self.access.facilities)
        return f"{' '.join(map(str, self.access.scopes))} {self.access.patient} {facilities}"

    def allows(self, resource_type: str, permission: str) -> bool:
        """True if the client may use resources of a type in this way, or at least some of them."""
        return self.access is None or self.access.allows(resource_type, permission)

    def limits(self, resource_type: str, permission: str) -> Clauses:
        """Return the clauses that resources of a type must meet for this use; empty without limits."""
        if self.access is None:
            return ()
        granting = self.access.granting(resource_type, permission)
        return () if self.is_whole and granting else self._limits(granting, resource_type)

    def limits_of_report(self, resource_type: str, permission: str) -> Clauses:
        """Return the clauses that a report must meet for use of its Binary, or for an operation with its own scope.

        If the client may read reports, the report is one that it may read. The other scope alone does not lead past
        facilities and patient.
        """
        if self.access is None:
            return ()
        own = self._limits(self.access.granting(resource_type, permission), OF_REPORTS)
        readers = self.access.granting(OF_REPORTS, "r")
        return tuple(dict.fromkeys((*own, *(self._limits(readers, OF_REPORTS) if readers else ()))))

    def is_unversioned(self, resource_type: str) -> bool:
        """True for a type that hidden studies also describe; it is rendered without version and time of change."""
        if self.access is None or self.is_whole or resource_type not in SHARED:
            return False
        if self.access.facilities is not None:
            return True
        scopes = [one for letter in "rs" for one in self.access.granting(resource_type, letter)]
        return resource_type != "Patient" and any(one.context == "patient" for one in scopes)

    def narrowed(self, clause: Clause) -> Clause:
        """Return the clause with its chains limited to resources that the client may see."""
        return clause if self.is_whole else tuple(map(self._narrowed, clause))

    def _narrowed(self, criterion: Criterion) -> Criterion:
        if isinstance(criterion, Not):
            return Not(self._narrowed(criterion.criterion))
        if not isinstance(criterion, Refers | Referred):
            return criterion
        inner = self._narrowed(criterion.criterion)
        kind = _TYPE_OF.get(criterion.key, "") if isinstance(criterion, Referred) else _type_of(criterion.criterion)
        limits = self.limits(kind, "s")
        return type(criterion)(criterion.key, All(((inner,), *limits)) if limits else inner)

    def _limits(self, scopes: tuple[SmartScope, ...], resource_type: str) -> Clauses:
        if not scopes or self.access is None:
            return _NOTHING
        return _compiled(scopes, resource_type, self.facilities, self.access.patient, self.zone)


EVERYTHING: Final = Visibility()


@lru_cache(maxsize=2048)
def _compiled(
    scopes: tuple[SmartScope, ...],
    resource_type: str,
    organizations: tuple[str, ...] | None,
    patient: str | None,
    zone: tzinfo,
) -> Clauses:
    """Return the clauses of a type: what any one of the scopes allows. Empty: a scope allows everything."""
    alternatives = dict.fromkeys(_of_scope(one, resource_type, organizations, patient, zone) for one in scopes)
    if () in alternatives:
        return ()
    if len(alternatives) == 1:
        return next(iter(alternatives))
    return (tuple(All(one) for one in alternatives),)


def _of_scope(
    scope: SmartScope, resource_type: str, organizations: tuple[str, ...] | None, patient: str | None, zone: tzinfo
) -> Clauses:
    refined = refinement_clauses(scope, zone) if scope.resource_type in {resource_type, EVERY_TYPE} else ()
    if scope.context != "patient":
        return (*refined, *(() if organizations is None else ((Within(resource_type, organizations),),)))
    if patient is None:
        return _NOTHING
    address = f"Patient/{patient}"
    if resource_type == "Patient":
        first: Clause = (At(address),)
    elif resource_type in _MEMBERS:
        first = (Is(key(resource_type, "patient"), address),)
    else:
        return (*refined, (Within(resource_type, organizations, address),))
    return (first, *refined, *(() if organizations is None else ((Within(resource_type, organizations),),)))


def _type_of(criterion: Criterion) -> str:
    """Return the resource type that a forward step of a chain leads to.

    Such a criterion is no `_has`, which is only asked of what is searched, or behind another `_has`.
    """
    if isinstance(criterion, At):
        return criterion.address.partition("/")[0]
    return _TYPE_OF.get(getattr(criterion, "key", 0), "")
