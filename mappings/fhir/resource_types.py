"""Table of the FHIR resource types that the mappings make, with mandatory elements, codes, and rules of each type.

https://hl7.org/fhir/R4/resourcelist.html, US Core 6.1.0 and 8.0.0. `docs/extending.md` says how to add a type.
Proved by tests/architecture/test_extending.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal

from mappings.fhir.datatypes import Json
from mappings.fhir.resource_rules import (
    Fault,
    diagnostic_report_rules,
    document_reference_rules,
    encounter_rules,
    no_more_rules,
    observation_rules,
    patient_rules,
    practitioner_role_rules,
    practitioner_rules,
    provenance_rules,
)

# `patient`: the Patient itself. `member`: of one study, found by its search parameter `patient`. `about`: of one study,
# refers to members by `target`. `referred`: of several studies, served with the members that refer to it. `apart`: of
# several studies, and in no patient's compartment (https://hl7.org/fhir/R4/compartmentdefinition-patient.html)
Place = Literal["patient", "member", "about", "referred", "apart"]


@dataclass(frozen=True, slots=True)
class ResourceType:
    """Row of a resource type; elements are names as R4 defines them, with blanks between.

    `mandatory` are elements of every resource beside `id` and `text`, by R4 or its US Core profile. `kept` are others
    that a reduced resource keeps: required by the profile of some, or modifiers of what the rest means.
    """

    name: str
    place: Place
    mandatory: str
    kept: str = ""
    rules: Callable[[Json], Iterable[Fault]] = no_more_rules


_VALUE: Final = "effective[x] value[x] dataAbsentReason"
_NOTE: Final = "status type category subject content"
_ROWS: Final = (
    ResourceType("DiagnosticReport", "member", "status category code subject", "effective[x]", diagnostic_report_rules),
    ResourceType("ImagingStudy", "member", "status subject"),
    ResourceType("Observation", "member", "status category code subject", _VALUE, observation_rules),
    ResourceType("DocumentReference", "member", _NOTE, "", document_reference_rules),
    ResourceType("ServiceRequest", "member", "status intent category code subject", "doNotPerform"),
    ResourceType("Encounter", "member", "status class type subject", "", encounter_rules),
    ResourceType("Provenance", "about", "target recorded agent", "", provenance_rules),
    ResourceType("Patient", "patient", "identifier name gender", "active deceased[x] link", patient_rules),
    ResourceType("Practitioner", "referred", "identifier name", "", practitioner_rules),
    ResourceType("Organization", "referred", "active name"),
    ResourceType("PractitionerRole", "apart", "practitioner organization", "telecom", practitioner_role_rules),
)
RESOURCE_TYPES: Final = {row.name: row for row in _ROWS}

_STATUS: Final = "registered preliminary final amended corrected cancelled entered-in-error unknown"
_INTENT: Final = "proposal plan directive order original-order reflex-order filler-order instance-order option"
# (type, element) -> the codes of its required binding, https://hl7.org/fhir/R4/valueset-<name>.html:
# diagnostic-report-status, imagingstudy-status, observation-status, document-reference-status, composition-status,
# request-status, request-intent, request-priority, encounter-status, administrative-gender
CODES: Final = {
    ("DiagnosticReport", "status"): f"{_STATUS} partial appended",
    ("ImagingStudy", "status"): "registered available cancelled entered-in-error unknown",
    ("Observation", "status"): _STATUS,
    ("DocumentReference", "status"): "current superseded entered-in-error",
    ("DocumentReference", "docStatus"): "preliminary final amended entered-in-error",
    ("ServiceRequest", "status"): "draft active on-hold revoked completed entered-in-error unknown",
    ("ServiceRequest", "intent"): _INTENT,
    ("ServiceRequest", "priority"): "routine urgent asap stat",
    ("Encounter", "status"): (
        "planned arrived triaged in-progress onleave finished cancelled entered-in-error unknown"
    ),
    ("Patient", "gender"): "male female other unknown",
}
# Type of one study -> its last status where AutoScribe no longer says it, by the status before; any other status ends
# as entered-in-error. None: the resource stays as it is (https://hl7.org/fhir/R4/lifecycle.html)
ENDS: Final[dict[str, dict[str, str] | None]] = {
    "DiagnosticReport": {"registered": "cancelled", "preliminary": "cancelled", "cancelled": "cancelled"},
    "ImagingStudy": None,
    "Observation": {"preliminary": "cancelled", "cancelled": "cancelled"},
    "DocumentReference": {},
    "ServiceRequest": {},
    "Encounter": {},
    "Provenance": None,
}


def types_at(*places: Place) -> tuple[str, ...]:
    """Return the types at these places, in the order of the table."""
    return tuple(row.name for row in _ROWS if row.place in places)


def codes_of(resource_type: str, element: str) -> tuple[str, ...]:
    """Return the codes that a coded element may have; empty if no code of it is checked."""
    return tuple(CODES.get((resource_type, element), "").split())
