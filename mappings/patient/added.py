"""Add the patient numbers of hospital orders to the study's patient; they never replace its own numbers.

HL7 v2.5.1 §3.4.2.3 (PID-3), https://hl7.org/fhir/R4/patient-definitions.html#Patient.identifier, decisions D11, D48.
An order never decides whose the report is. A number of an authority and type that the patient has is no addition.
Proved by tests/mappings/patient/test_added.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from mappings.codes import SID_HOSPITAL
from mappings.model import AnsweredOrder, MergedNumber, StatedNumber
from mappings.patient.identifiers import Identity, PatientIdentifier, is_placeholder, mrn_key
from mappings.profile.facility import URI

_HASH_LENGTH: Final = 14


def added_identifiers(
    identity: Identity, orders: Sequence[AnsweredOrder], merged: Sequence[MergedNumber] = ()
) -> tuple[PatientIdentifier, ...]:
    """Return the orders' patient numbers that the patient lacks, after merges.

    None is added in a conflict (D12), and none of an authority and type in which the orders contradict each other.
    """
    if not orders or identity.is_contested:
        return ()
    taken = {issuer for one in identity.identifiers for issuer in _issuers(one.system, one.namespace, one.type)}
    values: dict[tuple[str, str], dict[str, PatientIdentifier]] = {}
    for number in _surviving((number for order in orders for number in order.patient_numbers), merged):
        system = stated_system(number)
        if is_placeholder(number.value) or not taken.isdisjoint(_issuers(system, number.namespace, number.type_code)):
            continue
        made = PatientIdentifier(number.type_code, system, number.value.strip(), number.namespace)
        values.setdefault((system, number.type_code), {}).setdefault(mrn_key(number.value), made)
    return tuple([one for same in values.values() if len(same) == 1 for one in same.values()])


def stated_system(number: StatedNumber) -> str:
    """Return the FHIR system of a hospital's number: its authority's, else one made from its namespace.

    What is no URI is no system: it is taken like a namespace.
    """
    if URI.fullmatch(number.system):
        return number.system
    issuer = (number.namespace or number.system).encode("utf-8", "surrogatepass")
    return f"{SID_HOSPITAL}:{hashlib.sha256(issuer).hexdigest()[:_HASH_LENGTH]}"


def _issuers(system: str, namespace: str, type_code: str) -> Iterator[tuple[str, str, str]]:
    """Yield the issuer of a number by its system and by its namespace, either of which names it."""
    yield "system", system, type_code
    if namespace:
        yield "namespace", namespace, type_code


def _surviving(numbers: Iterable[StatedNumber], merged: Sequence[MergedNumber]) -> Iterator[StatedNumber]:
    survivors = {(one.system, one.type_code, one.prior): one.surviving for one in merged}
    for number in numbers:
        survivor = survivors.get((number.system, number.type_code, mrn_key(number.value)))
        yield number if survivor is None else StatedNumber(survivor, number.namespace, number.system, number.type_code)
