"""Write numbers, clinicians and codes of a hospital's order as HL7 v2 types (EI, CX, XCN, CE) in ER7.

HL7 v2.5.1 §2.A.28 (EI), §2.A.14 (CX), §2.A.86 (XCN), §2.A.12 (CE), decision D48. A number is written with its authority
as the hospital names it: the namespace, or the universal id if that is all that is known.
Proved by tests/mappings/hl7v2/test_stated.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mappings.codes import US_NPI
from mappings.hl7v2.datatypes import identified_xcn
from mappings.hl7v2.er7 import components, repetitions, subcomponents, value
from mappings.model import StatedClinician, StatedCode, StatedNumber
from mappings.patient.identifiers import is_oid

# Beginning of a FHIR system -> HD.3 (table 0301)
_UNIVERSAL: Final = {"urn:oid:": "ISO", "urn:uuid:": "UUID"}
# Table 0203: national provider identifier
_NPI: Final = "NPI"


def authority(number: StatedNumber) -> tuple[str, str, str]:
    """Return HD.1 to HD.3 of a number's authority: the namespace alone if one is known."""
    if is_oid(number.namespace):
        return "", number.namespace, "ISO"
    if number.namespace:
        return value(number.namespace), "", ""
    for start, kind in _UNIVERSAL.items():
        if number.system.startswith(start):
            return "", value(number.system.removeprefix(start)), kind
    return ("", value(number.system), "URI") if number.system else ("", "", "")


def ei(number: StatedNumber) -> str:
    """Write EI: an order number with its authority."""
    return components(value(number.value), *authority(number))


def cx(number: StatedNumber, type_code: str) -> str:
    """Write CX: a number with its authority (CX.4) and its type of table 0203 (CX.5)."""
    return components(value(number.value), "", "", subcomponents(*authority(number)), type_code)


def clinicians(people: Iterable[StatedClinician], version: str) -> str:
    """Write XCN, a repetition for each number of each person; without a number the name alone."""
    return repetitions([one for person in people for one in _xcns(person, version) if one])


def ce(code: StatedCode) -> str:
    """Write CE: both triplets, as the order has them."""
    parts = (code.code, code.text, code.system, code.alternate_code, code.alternate_text, code.alternate_system)
    return components(*map(value, parts))


def _xcns(person: StatedClinician, version: str) -> list[str]:
    names = (person.family, person.given, person.middle, person.suffix, person.prefix, person.degree)
    family, given, middle, suffix, prefix, degree = map(value, names)
    parts = family, given, middle, suffix, prefix, degree
    numbers: tuple[StatedNumber | None, ...] = person.numbers or (None,)
    return [_xcn(number, parts, version) for number in numbers]


def _xcn(number: StatedNumber | None, parts: tuple[str, str, str, str, str, str], version: str) -> str:
    if number is None:
        return identified_xcn("", parts, ("", ""), version)
    is_npi = number.system == US_NPI
    issuer = _NPI if is_npi else subcomponents(*authority(number))
    type_code = _NPI if is_npi else value(number.type_code)
    return identified_xcn(value(number.value), parts, (issuer, type_code), version)
