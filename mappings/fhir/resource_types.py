"""Table of the FHIR resource types that the mappings make: mandatory elements, codes, rules, last status.

https://hl7.org/fhir/R4/resourcelist.html, https://hl7.org/fhir/R4/observation.html (obs-6),
https://hl7.org/fhir/R4/datatypes.html#Period (per-1), https://hl7.org/fhir/R4/domainresource.html (dom-6),
https://hl7.org/fhir/R4/lifecycle.html, US Core 6.1.0 and 8.0.0 (us-core-1, -2, -6, -10, -16, -17; CONF-0187 to
CONF-0192: `entered-in-error`, never a delete). `docs/extending.md` says how to add a type.
Proved by tests/mappings/fhir/test_judge.py and tests/architecture/test_extending.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from mappings.codes import (
    DATA_ABSENT_REASON_EXTENSION,
    LOINC,
    OBSERVATION_CATEGORY,
    RADIOLOGY_CATEGORY,
    US_CORE,
    US_CORE_DOCUMENT_CATEGORY,
    US_NPI,
)
from mappings.fhir.datatypes import Json, narrative
from mappings.patient.identifiers import is_npi
from mappings.values.dates import parse_instant

Fault = tuple[str, str]

_NEED_EFFECTIVE: Final = frozenset({"partial", "preliminary", "final", "amended", "corrected", "appended"})
_VITAL_PROFILES: Final = frozenset({f"{US_CORE}body-height", f"{US_CORE}body-weight"})


def no_more_rules(_: Json) -> Iterator[Fault]:
    """Find nothing: for a type whose mandatory elements and data types say all."""
    return iter(())


def patient_rules(resource: Json) -> Iterator[Fault]:
    """Check us-core-6 and the identifier of the US Core Patient Profile."""
    for index, identifier in enumerate(resource.get("identifier", ())):
        if not identifier.get("system") or not identifier.get("value"):
            yield "us-core-patient-identifier", f"/identifier/{index}"
    for index, name in enumerate(resource.get("name", ())):
        is_absent = any(one.get("url") == DATA_ABSENT_REASON_EXTENSION for one in name.get("extension", ()))
        if ("family" in name or "given" in name) == is_absent:
            yield "us-core-6", f"/name/{index}"


def practitioner_rules(resource: Json) -> Iterator[Fault]:
    """Check us-core-16 and -17 (an NPI has ten digits and a check digit), system and value, one family name."""
    for index, identifier in enumerate(resource.get("identifier", ())):
        if not identifier.get("system") or not identifier.get("value"):
            yield "us-core-practitioner-identifier", f"/identifier/{index}"
        elif identifier["system"] == US_NPI and not is_npi(identifier["value"]):
            yield "us-core-17", f"/identifier/{index}/value"
    for index, name in enumerate(resource.get("name", ())):
        if "family" not in name:
            yield "us-core-practitioner-family", f"/name/{index}"


def practitioner_role_rules(resource: Json) -> Iterator[Fault]:
    """Check pd-1 of the US Core PractitionerRole Profile, if claimed; our roles name practitioner and organization."""
    if "telecom" not in resource and "profile" in resource.get("meta", {}):
        yield "us-core-pd-1", "/telecom"


def diagnostic_report_rules(resource: Json) -> Iterator[Fault]:
    """Check us-core-10, and the category by which US Core clients search."""
    is_effective = "effectiveDateTime" in resource or "_effectiveDateTime" in resource
    if resource.get("status") in _NEED_EFFECTIVE and not is_effective:
        yield "us-core-10", "/effectiveDateTime"
    if not _has_coding(resource, LOINC, RADIOLOGY_CATEGORY[0]):
        yield "us-core-report-category", "/category"


def observation_rules(resource: Json) -> Iterator[Fault]:
    """Check obs-6, us-core-1, us-core-2; a vital sign has a time and a category of its own (vs-1)."""
    has_value = "valueString" in resource or "valueQuantity" in resource
    if has_value and "dataAbsentReason" in resource:
        yield "fhir-obs-6", "/dataAbsentReason"
    if not has_value and "dataAbsentReason" not in resource:
        yield "us-core-2", "/valueString"
    effective = resource.get("effectiveDateTime")
    if effective is not None and len(effective) < len("YYYY-MM-DD"):
        yield "us-core-1", "/effectiveDateTime"
    is_vital = not _VITAL_PROFILES.isdisjoint(resource.get("meta", {}).get("profile", ()))
    if is_vital and effective is None:
        yield "fhir-vs-1", "/effectiveDateTime"
    if not _has_coding(resource, OBSERVATION_CATEGORY, "vital-signs" if is_vital else "imaging"):
        yield "us-core-observation-category", "/category"


def encounter_rules(resource: Json) -> Iterator[Fault]:
    """Check per-1, and the identifiers of the US Core Encounter Profile."""
    yield from _period_faults(resource, "period")
    for index, identifier in enumerate(resource.get("identifier", ())):
        if not identifier.get("system") or not identifier.get("value"):
            yield "us-core-encounter-identifier", f"/identifier/{index}"


def provenance_rules(resource: Json) -> Iterator[Fault]:
    """Check per-1, and the profile's provenance-1: an agent names the organization it acts for, or is one."""
    yield from _period_faults(resource, "occurredPeriod")
    for index, agent in enumerate(resource.get("agent", ())):
        is_organization = agent.get("who", {}).get("reference", "").startswith("Organization/")
        if "onBehalfOf" not in agent and not is_organization and "profile" in resource.get("meta", {}):
            yield "us-core-provenance-1", f"/agent/{index}"


def document_reference_rules(resource: Json) -> Iterator[Fault]:
    """Check us-core-6, a LOINC type and the category by which US Core clients search; it relates only to documents."""
    if not any(one.get("system") == LOINC for one in resource.get("type", {}).get("coding", ())):
        yield "us-core-document-type", "/type"
    if not _has_coding(resource, US_CORE_DOCUMENT_CATEGORY, "clinical-note"):
        yield "us-core-document-category", "/category"
    for index, content in enumerate(resource.get("content", ())):
        if content.get("attachment", {}).keys().isdisjoint({"data", "url"}):
            yield "us-core-6", f"/content/{index}/attachment"
    for index, related in enumerate(resource.get("relatesTo", ())):
        if not related.get("target", {}).get("reference", "").startswith("DocumentReference/"):
            yield "fhir-reference", f"/relatesTo/{index}/target"


def _period_faults(resource: Json, element: str) -> Iterator[Fault]:
    period = resource.get(element, {})
    start, end = parse_instant(period.get("start")), parse_instant(period.get("end"))
    if start is not None and end is not None and end < start:
        yield "fhir-per-1", f"/{element}"


def _has_coding(resource: Json, system: str, code: str) -> bool:
    return any(
        one.get("system") == system and one.get("code") == code
        for category in resource.get("category", ())
        for one in category.get("coding", ())
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
    """Return the resource types of these kinds of place (column `place` of the table), in the order of the table."""
    return tuple(row.name for row in _ROWS if row.place in places)


def codes_of(resource_type: str, element: str) -> tuple[str, ...]:
    """Return the codes that a coded element may have; empty if no code of it is checked."""
    return tuple(CODES.get((resource_type, element), "").split())


_ERROR: Final = "entered-in-error"
_SAID: Final = "AutoScribe no longer says this"


def retired(resource: Json) -> Json | None:
    """Return the final version; None for one that stays as it is: a Patient, an Organization, a Provenance, a study."""
    ends = ENDS.get(resource["resourceType"])
    if ends is None:
        return None
    status = ends.get(resource["status"], _ERROR)
    return {**resource, "text": narrative(_SAID, [("Status", status)]), "status": status}
