"""Short forms in the index for code systems and profiles that most resources repeat.

https://hl7.org/fhir/R4/search.html#token. A token is its code and its system (gateway/index/terms.py). Rows of a
release that did not know a sign have the system in full, so a search asks for both forms. A sign that was released
never changes and is never removed. No text from AutoScribe holds the character that it begins with.
"""

from __future__ import annotations

from typing import Final

from gateway.index.keys import SEPARATOR
from gateway.index.parameter_lookup import PARAMETERS

_SIGN: Final = "\x1e"
_HL7: Final = "http://terminology.hl7.org/CodeSystem/"
_R4: Final = "http://hl7.org/fhir/"
_US_CORE: Final = "http://hl7.org/fhir/us/core/"
_OWN: Final = "urn:autoscribe-gateway:"
_PROFILE: Final = f"{_US_CORE}StructureDefinition/us-core-"
# System, with the code of the type behind it for `:of-type` -> its sign
SYSTEMS: Final = {
    "http://loinc.org": "0",
    "http://dicom.nema.org/resources/ontology/DCM": "1",
    "urn:dicom:uid": "2",
    f"{_HL7}observation-category": "3",
    f"{_HL7}v2-0074": "4",
    f"{_HL7}v2-0203|FILL": "5",
    f"{_HL7}v2-0203|MR": "6",
    f"{_HL7}v2-0203|U": "7",
    f"{_HL7}v2-0203|PLAC": "8",
    f"{_HL7}v2-0203|ACSN": "9",
    f"{_HL7}v3-ObservationInterpretation": "a",
    f"{_R4}observation-status": "b",
    f"{_R4}diagnostic-report-status": "c",
    f"{_R4}document-reference-status": "d",
    f"{_R4}request-status": "e",
    f"{_R4}imagingstudy-status": "f",
    f"{_R4}administrative-gender": "g",
    f"{_US_CORE}CodeSystem/us-core-documentreference-category": "h",
    f"{_OWN}report": "i",
    f"{_OWN}study": "j",
    f"{_OWN}filler-order-number": "k",
}
PROFILES: Final = {
    f"{_PROFILE}observation-clinical-result": "0",
    f"{_PROFILE}body-weight": "1",
    f"{_PROFILE}body-height": "2",
    f"{_PROFILE}diagnosticreport-note": "3",
    f"{_PROFILE}provenance": "4",
    f"{_PROFILE}documentreference": "5",
    f"{_PROFILE}servicerequest": "6",
    f"{_PROFILE}patient": "7",
    f"{_PROFILE}practitionerrole": "8",
    f"{_PROFILE}practitioner": "9",
    f"{_PROFILE}organization": "a",
}
_OF_URIS: Final = frozenset(row.key for row in PARAMETERS if row.type == "uri")
# Key of an element that has one code at most -> the code system
SYSTEM_OF: Final = {row.key: row.system for row in PARAMETERS if row.system}


def short_value(key: int, value: str) -> str:
    """Return a term (or its end) in its short form, as new index rows have it; unchanged if it has none."""
    code, separator, system = value.partition(SEPARATOR)
    if separator:
        sign = SYSTEMS.get(system)
        return value if sign is None else f"{code}{SEPARATOR}{_SIGN}{sign}"
    sign = PROFILES.get(value) if key in _OF_URIS else None
    return value if sign is None else f"{_SIGN}{sign}"


def forms(key: int, value: str) -> tuple[str, ...]:
    """Return all forms that index rows may have of a term (or its end)."""
    short = short_value(key, value)
    return (short,) if short == value else (short, value)


def short_in_sql(key: int, column: str) -> str:
    """Return SQL for the terms in a column with the code system shortened, for an element with one code system."""
    if (end := f"{SEPARATOR}{SYSTEM_OF.get(key, '')}") == SEPARATOR:
        return column
    return f"replace({column}, '{end}', '{short_value(key, end)}')"
