"""DiagnosticReport <- one Report of the study (D3).

https://hl7.org/fhir/R4/diagnosticreport.html, US Core DiagnosticReport Profile for Report and Note Exchange.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mappings.codes import (
    ADDENDUM_OF_EXTENSION,
    DIAGNOSTIC_IMAGING_STUDY,
    LOINC,
    RADIOLOGY_CATEGORY,
    SID_FILLER_ORDER,
    SID_REPORT,
    US_CORE,
    V2_0074,
    V2_0203,
)
from mappings.fhir.datatypes import (
    STRING_LIMIT,
    Json,
    coding,
    data_absent,
    extension,
    identifier,
    line,
    reference,
    said,
)
from mappings.fhir.narrative import narrative
from mappings.fhir.report_parts import ReportParts
from mappings.fhir.scene import Scene
from mappings.identifiers import fhir_id, short_id
from mappings.procedures import diagnostic_service_section, examination
from mappings.status import addendum_parent
from mappings.text import fhir_string

_CATEGORIES: Final[list[Json]] = [
    {"coding": [coding(LOINC, *RADIOLOGY_CATEGORY)]},
    {"coding": [coding(V2_0074, "RAD", "Radiology")]},
]
CONCLUDING: Final = ("impression", "findings_impression")


def diagnostic_report_identifier(scene: Scene, parts: ReportParts) -> list[Json]:
    """DiagnosticReport.identifier <- reportId, the filler order number of OBR-3 (D18), and the accession number.

    https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.identifier
    """
    made = [
        identifier(SID_REPORT, parts.report.report_id),
        identifier(SID_FILLER_ORDER, short_id(parts.subject.number), "FILL"),
    ]
    if accession := line(scene.facts.accession_number):
        made.append({"type": {"coding": [coding(V2_0203, "ACSN")]}, "value": accession})
    return made


def diagnostic_report_category(scene: Scene) -> list[Json]:
    """DiagnosticReport.category <- Study.modality: always LP29684-5 and RAD, the modality's section beside them (D23).

    https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.category
    """
    section = diagnostic_service_section(scene.study.modality)
    return _CATEGORIES if section == "RAD" else [*_CATEGORIES, {"coding": [coding(V2_0074, section)]}]


def diagnostic_report_code(scene: Scene, parts: ReportParts) -> Json:
    """DiagnosticReport.code <- snapshotMetadata.procedure ?? Study.studyDescription: always with 18748-4 (D23).

    https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.code
    """
    text, doubts = examination(scene.study, parts.report, line)
    scene.issues.extend(doubts)
    return {"coding": [coding(LOINC, *DIAGNOSTIC_IMAGING_STUDY)], "text": text or DIAGNOSTIC_IMAGING_STUDY[1]}


def diagnostic_report_effective(parts: ReportParts) -> Json:
    """DiagnosticReport.effective[x] <- snapshotMetadata.studyDate, studyTime ?? signedAt (D15).

    https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.effective_x_
    With neither, the element says that it is not known: us-core-10 wants it there.
    """
    if parts.effective is None:
        return {"_effectiveDateTime": data_absent("unknown")}
    return {"effectiveDateTime": parts.effective}


def diagnostic_report_issued(parts: ReportParts, addenda: Sequence[ReportParts]) -> str | None:
    """DiagnosticReport.issued <- signedAt: the newest of the report's and its signed addenda's (D17).

    https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.issued
    """
    if not parts.report.is_completed:
        return None
    return next((one.signed for one in addenda if one.signed), parts.signed)


def diagnostic_report_performer(parts: ReportParts) -> list[Json]:
    """DiagnosticReport.performer <- snapshotMetadata.facilityName, userId.

    https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.performer
    """
    return [parts.organization, parts.practitioner] if parts.organization else [parts.practitioner]


def diagnostic_report_results_interpreter(parts: ReportParts) -> list[Json]:
    """DiagnosticReport.resultsInterpreter <- userId, "the radiologist who created or signed" (D24).

    https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.resultsInterpreter
    """
    return [parts.practitioner]


def diagnostic_report_conclusion(scene: Scene, parts: ReportParts, addenda: Sequence[ReportParts]) -> str | None:
    """DiagnosticReport.conclusion <- the impression sections of reportPlainText, after the text of signed addenda.

    https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.conclusion
    """
    conclusion = "\n\n".join(
        [f"{one.title}:\n{one.text}" for one in addenda if one.text]
        + [fhir_string(one.content) or "" for one in parts.report.sections if one.label in CONCLUDING and parts.text]
    ).strip()
    if len(conclusion) > STRING_LIMIT:
        place = f"{parts.report.pointer}/reportPlainText"
        scene.warn("text-too-long", place, "no conclusion: the whole text is in presentedForm")
        return None
    return conclusion


def diagnostic_report_presented_form(parts: ReportParts, addenda: Sequence[ReportParts]) -> list[Json]:
    """DiagnosticReport.presentedForm <- reportPlainText and the PDF, those of signed addenda first (D17, D28).

    https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.presentedForm
    """
    return [form for one in (*addenda, parts) for form in one.forms]


def diagnostic_report_extension(scene: Scene, parts: ReportParts) -> list[Json]:
    """DiagnosticReport.extension <- isAddendum, isCritical, createdAt, age, and what R4 has no other place for.

    https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.extension
    """
    report = parts.report
    made = []
    parent, doubts = addendum_parent(scene.study, report)
    scene.issues.extend(doubts)
    if parent:
        to_parent = reference("DiagnosticReport", fhir_id(parent.report_id))
        made.append({"url": ADDENDUM_OF_EXTENSION, "valueReference": to_parent})
    made.append(extension("isAddendum", "Boolean", report.is_addendum))
    if report.is_critical is not None:
        made.append(extension("isCritical", "Boolean", report.is_critical))
    if parts.created:
        made.append(extension("createdAt", "Instant", parts.created))
    texts = {
        "age": report.snapshot.age,
        "studyTime": None if parts.is_time_merged else report.snapshot.study_time,
        "createdAt": None if parts.created else report.created_at,
        "signedAt": None if parts.signed else report.signed_at,
        "updatedAt": None if parts.updated else report.updated_at,
        **_own_snapshot(scene, parts),
    }
    return made + [extension(name, "String", value) for name, text in texts.items() if (value := line(text))]


def diagnostic_report(
    scene: Scene, parts: ReportParts, addenda: Sequence[ReportParts], results: Sequence[Json]
) -> Json:
    """The DiagnosticReport of a report; `addenda` are the signed ones it shows, newest first (D17)."""
    code = diagnostic_report_code(scene, parts)
    issued = diagnostic_report_issued(parts, addenda)
    status = parts.status.diagnostic_report
    rows = (("Status", status), ("Signed", issued), ("Radiologist", parts.practitioner.get("display")))
    shown = "\n\n".join([f"{one.title}:\n{one.text}" for one in addenda if one.text] + [parts.text])
    return said(
        {
            "resourceType": "DiagnosticReport",
            "id": parts.resource_id,
            "meta": {"profile": [f"{US_CORE}diagnosticreport-note"]},
            "text": narrative(code["text"], rows, shown),
            "extension": diagnostic_report_extension(scene, parts),
            "identifier": diagnostic_report_identifier(scene, parts),
            "status": status,
            "category": diagnostic_report_category(scene),
            "code": code,
            "subject": parts.subject_reference,
            **diagnostic_report_effective(parts),
            "issued": issued,
            "performer": diagnostic_report_performer(parts),
            "resultsInterpreter": diagnostic_report_results_interpreter(parts),
            "result": [reference("Observation", result["id"]) for result in results],
            "imagingStudy": [reference("ImagingStudy", fhir_id(scene.study.study_id))],
            "conclusion": diagnostic_report_conclusion(scene, parts, addenda),
            "presentedForm": diagnostic_report_presented_form(parts, addenda),
        }
    )


def _own_snapshot(scene: Scene, parts: ReportParts) -> dict[str, str | None]:
    """What this report's snapshot says otherwise than the Patient and the ImagingStudy, which show a newer one."""
    own, shown = parts.report.snapshot, parts.subject.snapshot
    if own is shown and own is scene.snapshot:
        return {}
    return {
        "dateOfBirth": own.date_of_birth if own.date_of_birth != shown.date_of_birth else None,
        "sex": own.sex if own.sex != shown.sex else None,
        "referringPhysicianName": own.referring_physician_name
        if own.referring_physician_name != scene.snapshot.referring_physician_name
        else None,
    }
