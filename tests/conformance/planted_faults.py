"""Faults to plant in valid resources, one for each family of rules; a validator must find each."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from conformance.hl7_validator import PACKAGES

from mappings.codes import CANONICAL
from mappings.fhir.extensions import extension_url

Json = dict[str, Any]
ABSENT = object()


@dataclass(frozen=True, slots=True)
class Fault:
    """At `path` stands `value`; `said` stands in the error's id or message, for each of `packages`.

    `resource` is a type, or a type and a part of the id. A step of the path is a name or an index, or in a Bundle's
    `entry` such a resource: the first one.
    """

    resource: str
    path: str
    value: Any
    said: str
    packages: tuple[str, ...] = PACKAGES

    def planted(self, resource: Json) -> Json:
        """A copy of the resource with the fault."""
        made = copy.deepcopy(resource)
        *way, last = (int(step) if step.isdigit() else step for step in self.path.split("."))
        place: Any = made
        for step in way:
            place = _entry(place, step) if place is made.get("entry") and isinstance(step, str) else place[step]
        if self.value is ABSENT:
            del place[last]
        elif isinstance(place, list):
            place[last : last + 1] = [self.value]
        else:
            place[last] = self.value(place[last]) if callable(self.value) else self.value
        return made


def _entry(entries: list[Json], wanted: str) -> Json:
    kind, _, part = wanted.partition("-")
    every = (one for one in entries if one["resource"]["resourceType"] == kind)
    return next(one for one in every if part in one["resource"].get("id", ""))


NARRATIVE = '<div xmlns="http://www.w3.org/1999/xhtml">{}</div>'
CONTAINED = {"resourceType": "Basic", "id": "in", "code": {"text": "in"}}
ABSENT_REASON = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/data-absent-reason", "code": "unknown"}]}
OWN = extension_url(CANONICAL, "age")
ADDENDUM_OF = "http://hl7.org/fhir/StructureDefinition/diagnosticReport-addendumOf"
VITAL_SIGNS = {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}
NOT_KNOWN = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation", "code": "QQ"}

FAULTS: dict[str, Fault] = {
    "code outside a required binding": Fault("DiagnosticReport", "status", "FINAL!!", "Terminology_TX_NoValid_16"),
    "code outside a required binding of Patient": Fault("Patient", "gender", "F", "Terminology_TX_NoValid_16"),
    "code not in a code system held whole": Fault(
        "Observation-s", "interpretation", [{"coding": [NOT_KNOWN]}], "Unknown code"
    ),
    "code outside a required binding to LOINC": Fault(
        "DocumentReference", "type.coding.0.code", "8302-2", "in the value set 'US Core DocumentReference Type'"
    ),
    "mandatory element of R4 missing": Fault("DiagnosticReport", "code", ABSENT, "Validation_VAL_Profile_Minimum"),
    "mandatory element of US Core missing": Fault("Patient", "identifier", ABSENT, "us-core-patient"),
    "mandatory element of US Core 6.1.0 missing": Fault(
        "Patient", "gender", ABSENT, "Validation_VAL_Profile_Minimum", ("us_core_610",)
    ),
    "mandatory value of US Core missing": Fault(
        "Patient", "identifier.0.system", ABSENT, "Validation_VAL_Profile_Minimum"
    ),
    "more than one": Fault("DiagnosticReport", "subject", lambda one: [one, one], "must be an Object, not an Array"),
    "more than a profile allows": Fault(
        "Observation-height", "category.1", {"coding": [VITAL_SIGNS]}, "Validation_VAL_Profile_Maximum"
    ),
    "empty array": Fault("DiagnosticReport", "performer", [], "Array cannot be empty"),
    "empty string": Fault("DiagnosticReport", "code.text", "", "Primitive_NotEmpty"),
    "number as string": Fault("Observation-height", "valueQuantity.value", "165", "must be a number"),
    "unknown element": Fault("DiagnosticReport", "impression", "Normal.", "Unrecognized property"),
    "unknown resource type": Fault("DiagnosticReport", "resourceType", "RadiologyReport", "unrecognized resource name"),
    "unknown profile": Fault(
        "Patient",
        "meta.profile.0",
        "http://hl7.org/fhir/us/core/StructureDefinition/none",
        "Validation_VAL_Profile_Unknown",
    ),
    "reference to a type that is not allowed": Fault(
        "Bundle",
        "entry.Patient.resource.managingOrganization.reference",
        f"Practitioner/usr-{'2' * 32}",
        "Reference_REF_BadTargetType",
    ),
    "reference of a form that is not allowed": Fault(
        "DiagnosticReport", "subject.reference", "Patient/a/b c", "REFERENCE_REF_INVALID_REF"
    ),
    "date no calendar has": Fault("Patient", "birthDate", "2024-02-30", "DT_Date_Valid"),
    "dateTime without seconds and zone": Fault(
        "DiagnosticReport", "effectiveDateTime", "2024-03-15T14:30", "DT_DateTime_Valid"
    ),
    "instant of a day": Fault("DiagnosticReport", "issued", "2024-03-15", "DT_DateTime_Regex"),
    "id": Fault("DiagnosticReport", "id", "rep_1", "Resource_RES_ID_Malformed_Chars"),
    "uri": Fault("DiagnosticReport", "identifier.0.system", "urn:with space", "DT_URI_WS"),
    "base64": Fault("DiagnosticReport", "presentedForm.0.data", "not base64!", "DT_Base64_Valid"),
    "narrative with a script": Fault(
        "DiagnosticReport", "text.div", NARRATIVE.format("<script>alert(1)</script>"), "XHTML_XHTML_Element_Illegal"
    ),
    "narrative that is not XHTML": Fault(
        "DiagnosticReport", "text.div", NARRATIVE.format("<p>open"), "Malformed XHTML"
    ),
    "txt-2, an empty narrative": Fault("DiagnosticReport", "text.div", NARRATIVE.format(" "), "#txt-2"),
    "dom-2, contained in contained": Fault(
        "DiagnosticReport", "contained", [{**CONTAINED, "contained": [CONTAINED]}], "#dom-2"
    ),
    "dom-3, contained and not referred to": Fault("DiagnosticReport", "contained", [CONTAINED], "dom-3"),
    "ext-1, value and extension": Fault(
        "DiagnosticReport",
        "extension.0",
        {"url": OWN, "valueString": "1", "extension": [{"url": OWN, "valueString": "1"}]},
        "#ext-1",
    ),
    "extension with two values": Fault(
        "DiagnosticReport", "extension.0", {"url": OWN, "valueString": "1", "valueInteger": 1}, "Unrecognized property"
    ),
    "extension of the wrong type": Fault(
        "DiagnosticReport", "extension.0", {"url": ADDENDUM_OF, "valueString": "rep-1"}, "Extension_EXT_Type"
    ),
    "extension that is not known": Fault(
        "DiagnosticReport",
        "extension.0.url",
        "http://hl7.org/fhir/StructureDefinition/none",
        "Extension_EXT_Unknown_NotHere",
    ),
    "extension of our own that is not defined": Fault(
        "DiagnosticReport", "extension.0.url", extension_url(CANONICAL, "none"), "Extension_EXT_Unknown_NotHere"
    ),
    "extension of our own as releases before its definition wrote it": Fault(
        "DiagnosticReport", "extension.0.url", "urn:autoscribe-gateway:extension:age", "Extension_EXT_Unknown_NotHere"
    ),
    "extension of our own with a value of another type": Fault(
        "DiagnosticReport", "extension.0", {"url": OWN, "valueInteger": 1}, "Extension_EXT_Type"
    ),
    "extension of our own on another element": Fault(
        "Patient", "extension", [{"url": OWN, "valueString": "1"}], "Extension_EXTP_Context_Wrong"
    ),
    "code of an OperationOutcome that is not defined": Fault(
        "OperationOutcome", "issue.0.details.coding.0.code", "none", "Unknown code"
    ),
    "att-1": Fault("DiagnosticReport", "presentedForm.0.contentType", ABSENT, "#att-1"),
    "per-1": Fault(
        "Provenance", "occurredPeriod", {"start": "2024-03-15T16:00:00Z", "end": "2024-03-15T15:00:00Z"}, "#per-1"
    ),
    "obs-6": Fault("Observation-s", "dataAbsentReason", ABSENT_REASON, "#obs-6"),
    "us-core-2": Fault("Observation-s", "valueString", ABSENT, "#us-core-2"),
    "us-core-6": Fault("Patient", "name.0", {"text": "Jane Doe"}, "#us-core-6"),
    "us-core-10": Fault("DiagnosticReport", "effectiveDateTime", ABSENT, "#us-core-10"),
    "us-core-16, NPI of nine digits": Fault("Practitioner", "identifier.1.value", "123456789", "#us-core-16"),
    "us-core-17, NPI check digit": Fault("Practitioner", "identifier.1.value", "1234567890", "#us-core-17"),
    "provenance-1": Fault("Bundle", "entry.Provenance-rep.resource.agent.0.onBehalfOf", ABSENT, "#provenance-1"),
    "slice of the vital signs category": Fault(
        "Observation-height", "category.0.coding.0.code", "imaging", "Minimum_SLICE"
    ),
    "code of a vital sign": Fault("Observation-height", "code.coding.0.code", "3141-9", "TYPE_CHECKS_PATTERN_CC"),
    "unit of a vital sign": Fault("Observation-height", "valueQuantity.code", "inch", "Error processing unit"),
    "unit of another vital sign": Fault("Observation-height", "valueQuantity.code", "kg", "Terminology_TX_NoValid_16"),
    "unit system of a vital sign": Fault("Observation-height", "valueQuantity.system", "urn:units", "_DT_Fixed_Wrong"),
    "time of a vital sign": Fault("Observation-height", "effectiveDateTime", ABSENT, "Validation_VAL_Profile_Minimum"),
    "bdl-7, fullUrl twice": Fault("Bundle", "entry", lambda rows: [*rows, rows[0]], "#bdl-7"),
    "bdl-1, total in a collection": Fault("Bundle", "total", 1, "#bdl-1"),
    "fullUrl that is not the resource's": Fault(
        "Bundle", "entry.0.resource.id", "other", "BUNDLE_ENTRY_URL_MATCHES_TYPE_ID"
    ),
    "OperationOutcome without issue": Fault("OperationOutcome", "issue", ABSENT, "Validation_VAL_Profile_Minimum"),
    "code of an OperationOutcome": Fault("OperationOutcome", "issue.0.code", "bad", "Terminology_TX_NoValid_16"),
    "CapabilityStatement without kind": Fault("CapabilityStatement", "kind", ABSENT, "Validation_VAL_Profile_Minimum"),
}
