"""Refuse searches of a limited client by values that studies hidden from it may have set.

https://hl7.org/fhir/R4/search.html#errors, decision D41. What no study owns has a time of change that hidden studies
cause. A Patient is stored as the newest study describes it, which may be hidden from a client of some facilities: that
client finds Patients by id, and by the number that is the key of the Patient, which every study says alike (D11).
Proved by tests/gateway/fhir_api/test_visibility.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gateway.auth.visibility import Visibility
from gateway.fhir_api.search.result_parameters import Include
from gateway.index.criteria import All, At, Clause, Criterion, Is, Not, Referred, Refers
from gateway.index.keys import SEPARATOR, key
from gateway.index.parameter_lookup import PARAMETERS
from gateway.index.reading import AskedParameter
from gateway.runtime.request_errors import NotSupported
from gateway.store.studies.search_sql import Sort

_OF_PATIENTS: Final = "Patient"
_IDENTIFIER: Final = key(_OF_PATIENTS, "identifier")
# Values that the resource of a Patient has, references among them
_OF_PATIENT: Final = frozenset(
    one
    for row in PARAMETERS
    if row.resource_type == _OF_PATIENTS
    for one in (row.key, *map(row.key_with, (*row.modifiers, "identifier")))
)
_NOT_BY_TIME: Final = "a client that sees some studies alone cannot ask when this type changed"
_NOT_BY_VALUE: Final = (
    "a client of some facilities finds Patients by _id, and by identifier with its system, as system|value"
)


def askable(sight: Visibility, resource_type: str, name: str, asked: AskedParameter) -> tuple[Clause, ...]:
    """Return the clauses of a search parameter as this client may use them.

    Raises:
        NotSupported: the client may not ask it.
    """
    if name == "_lastUpdated" and sight.is_unversioned(resource_type):
        raise NotSupported(_NOT_BY_TIME, expression="http._lastUpdated")
    if sight.facilities is None:
        return asked.clauses
    return tuple(tuple(_keyed(sight, one, name) for one in clause) for clause in asked.clauses)


def check_order(sight: Visibility, resource_type: str, keys: Iterable[Sort]) -> None:
    """Refuse sort keys whose order would reveal hidden studies.

    Raises:
        NotSupported: the order would tell of hidden studies.
    """
    for one in keys:
        if one.by == "updated" and sight.is_unversioned(resource_type):
            raise NotSupported(_NOT_BY_TIME, expression="http._sort")
        if one.by != "address" and sight.facilities is not None and resource_type == _OF_PATIENTS:
            raise NotSupported(_NOT_BY_VALUE, expression="http._sort")


def check_include(sight: Visibility, include: Include, name: str) -> None:
    """Refuse an include of what Patients refer to, which hidden studies may have set.

    Raises:
        NotSupported: it follows a reference of Patients, for a client of some facilities.
    """
    if sight.facilities is not None and include.reference.resource_type == _OF_PATIENTS:
        plain = name.partition(":")[0]
        raise NotSupported("a client of some facilities follows no reference of Patients", expression=f"http.{plain}")


def _keyed(sight: Visibility, criterion: Criterion, name: str) -> Criterion:
    """Turn a search by the key number of Patients into one by their id; other values of Patients are refused.

    Any other value of a Patient is refused, wherever a chain or `_has` asks for it.
    """
    if isinstance(criterion, Refers | Referred) and criterion.key not in _OF_PATIENT:
        return type(criterion)(criterion.key, _keyed(sight, criterion.criterion, name))
    if isinstance(criterion, Is) and criterion.key == _IDENTIFIER and sight.keyed is not None:
        value, system = criterion.value.split(SEPARATOR)
        if value and system:
            return At(f"{_OF_PATIENTS}/{sight.keyed(system, value)}")
    if _is_of_patient(criterion):
        raise NotSupported(_NOT_BY_VALUE, expression=f"http.{name.partition(':')[0]}")
    return criterion


def _is_of_patient(criterion: Criterion) -> bool:
    """True if a criterion asks for a value of a Patient, or for its absence."""
    match criterion:
        case Not(criterion=inner):
            return _is_of_patient(inner)
        case Refers(key=key, criterion=inner) | Referred(key=key, criterion=inner):
            return key in _OF_PATIENT or _is_of_patient(inner)
        case All(clauses=clauses):
            return any(_is_of_patient(one) for clause in clauses for one in clause)
    return getattr(criterion, "key", 0) in _OF_PATIENT
