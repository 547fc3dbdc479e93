"""Check whole FHIR resources by the invariants of R4 and US Core, with a function for each resource type.

https://hl7.org/fhir/R4/observation.html (obs-6), https://hl7.org/fhir/R4/datatypes.html#Period (per-1),
https://hl7.org/fhir/R4/domainresource.html (dom-6), US Core 6.1.0 and 8.0.0 (us-core-1, -2, -6, -10, -16, -17).
Proved by tests/mappings/fhir/test_judge.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mappings.codes import (
    DATA_ABSENT_REASON_EXTENSION,
    LOINC,
    OBSERVATION_CATEGORY,
    RADIOLOGY_CATEGORY,
    US_CORE,
    US_CORE_DOCUMENT_CATEGORY,
    US_NPI,
)
from mappings.fhir.datatypes import Json
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
