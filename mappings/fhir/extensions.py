"""Table of the gateway's own FHIR extensions, for values without a place in R4, and how one is made.

https://hl7.org/fhir/R4/extensibility.html, https://hl7.org/fhir/R4/defining-extensions.html, decision D44.
Proved by tests/mappings/fhir/test_extensions.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from mappings.fhir.datatypes import Json


@dataclass(frozen=True, slots=True)
class OwnExtension:
    """One of the gateway's own extensions: the types its value may have, the elements it stands on, its meaning."""

    name: str
    types: tuple[str, ...]
    contexts: tuple[str, ...]
    meaning: str


def _row(name: str, types: str, contexts: str, meaning: str) -> OwnExtension:
    return OwnExtension(name, tuple(types.split()), tuple(contexts.split()), meaning)


_REPORT: Final = "DiagnosticReport"
_ROWS: Final = (
    _row("isAddendum", "boolean", _REPORT, "True if the report is an addendum, false for an original."),
    _row(
        "isCritical",
        "boolean",
        _REPORT,
        "True if the radiologist flagged the signed report as critical, false if not; absent if AutoScribe does not "
        "say.",
    ),
    _row("createdAt", "instant string", _REPORT, "When the report was created in AutoScribe; text if unreadable."),
    _row("signedAt", "string", _REPORT, "When the report was signed, as AutoScribe wrote it, if that is unreadable."),
    _row("updatedAt", "string", _REPORT, "When the report was changed, as AutoScribe wrote it, if that is unreadable."),
    _row("age", "string", _REPORT, "The patient's age as the report had it: text, never made into a birth date."),
    _row("mrn", "string", _REPORT, "The MRN as AutoScribe wrote it, if it names another authority or type of number."),
    _row("studyTime", "string", _REPORT, "The time of the study as AutoScribe wrote it, if the date is said alone."),
    _row("status", "string", _REPORT, "The report's status in AutoScribe, if FHIR has none for it."),
    _row("dateOfBirth", "string", _REPORT, "The birth date of this report, if it is not the one of the Patient."),
    _row(
        "sex",
        "string",
        f"{_REPORT} Patient.gender",
        "The sex as AutoScribe wrote it: of this report, if it is not the one of the Patient; of the Patient, if FHIR "
        "has no code for it.",
    ),
    _row(
        "referringPhysicianName",
        "string",
        _REPORT,
        "Who referred, by this report, if it is not the referrer of the ImagingStudy.",
    ),
    _row(
        "isTimeOfSigning",
        "boolean",
        f"{_REPORT}.effective[x] Observation.effective[x]",
        "True if the time of signing stands for the time of the examination, which AutoScribe does not say.",
    ),
    _row("severity", "string", "ImagingStudy", "How urgent the study is in AutoScribe."),
    _row("studyReportStatus", "string", "ImagingStudy", "The status of the study's reports, as AutoScribe says it."),
    _row("expressCustomer", "Identifier", "ImagingStudy", "The customer for whom AutoScribe read the study."),
    _row(
        "technologistTechnique",
        "boolean",
        "ImagingStudy.note",
        "True for a note that is the technique of the examination, as the technologist described it.",
    ),
    _row("clinicRole", "string", "Practitioner", "What the radiologist is in AutoScribe."),
)
OWN_EXTENSIONS: Final = {row.name: row for row in _ROWS}


def extension_url(canonical: str, name: str) -> str:
    """Return the canonical URL of one of the gateway's own extensions; `canonical` is the base of the site."""
    return f"{canonical}/StructureDefinition/{name}"


def code_system_url(canonical: str, name: str) -> str:
    """Return the canonical URL of one of the gateway's own code systems."""
    return f"{canonical}/CodeSystem/{name}"


def extension(canonical: str, name: str, kind: str, value: Any) -> Json:
    """Make one of the gateway's own extensions; `kind` is the type as in `valueString`."""
    return {"url": extension_url(canonical, name), f"value{kind}": value}
