"""DiagnosticReport <- one Report of the study (D3).

https://hl7.org/fhir/R4/diagnosticreport.html, US Core DiagnosticReport Profile for Report and Note Exchange.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mappings.codes import ADDENDUM_OF_EXTENSION, SID_FILLER_ORDER, US_CORE, V2_0074
from mappings.dates import parse_instant
from mappings.fhir.categories import RADIOLOGY
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
from mappings.fhir.order_numbers import accession_identifiers, placer_identifiers
from mappings.fhir.report_parts import NOT_SIGNED, ReportParts
from mappings.fhir.scene import Scene
from mappings.identifiers import fhir_id, short_id
from mappings.model import Report
from mappings.procedures import diagnostic_service_section
from mappings.sections import heading_words
from mappings.text import fhir_string

_META: Final[Json] = {"profile": [f"{US_CORE}diagnosticreport-note"]}
CONCLUDING: Final = ("impression", "findings_impression")


def diagnostic_report_identifier(scene: Scene, parts: ReportParts) -> list[Json]:
    """DiagnosticReport.identifier <- reportId, the filler order number of OBR-3, the numbers of its orders (D18).

    https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.identifier
    The orders are those of the study's own patient: a report about another has none (D12).
    """
    orders = scene.orders if parts.subject is scene.subject else ()
    return [
        parts.identifier,
        identifier(SID_FILLER_ORDER, short_id(parts.subject.number), "FILL"),
        *accession_identifiers(orders, scene.site),
        *placer_identifiers(orders, scene.site),
    ]


def diagnostic_report_category(scene: Scene) -> list[Json]:
    """DiagnosticReport.category <- Study.modality: always LP29684-5 and RAD, the modality's section beside them (D23).

    https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.category
    """
    section = diagnostic_service_section(scene.study.modality)
    return RADIOLOGY if section == "RAD" else [*RADIOLOGY, {"coding": [coding(V2_0074, section)]}]


def diagnostic_report_effective(parts: ReportParts) -> Json:
    """DiagnosticReport.effective[x] <- snapshotMetadata.studyDate, studyTime ?? signedAt (D15).

    https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.effective_x_
    With neither, the element says that it is not known: us-core-10 wants it there.
    """
    if parts.effective is None:
        return {"_effectiveDateTime": data_absent("unknown")}
    return {"effectiveDateTime": parts.effective}


def diagnostic_report_issued(parts: ReportParts, addenda: Sequence[ReportParts]) -> str | None:
    """DiagnosticReport.issued <- signedAt: the newest of the report's and of the addenda that it shows (D17).

    https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.issued
    """
    if not addenda:
        return parts.signed
    moments = {moment: one.signed for one in (parts, *addenda) if (moment := parse_instant(one.signed))}
    return moments[max(moments)] if moments else None


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
    That of a draft is headed so: a conclusion is shown where no status is (D16).
    """
    impressions = _impressions(parts.report) if parts.text else []
    conclusion = "\n\n".join(
        [f"{one.title}:\n{one.text}" for one in addenda if one.text]
        + [fhir_string(impression) or "" for impression in impressions]
    ).strip()
    if conclusion and parts.is_draft_shown:
        conclusion = f"{parts.title}:\n{conclusion}"
    if len(conclusion) > STRING_LIMIT:
        place = f"{parts.report.pointer}/reportPlainText"
        scene.warn("text-too-long", place, "no conclusion: the whole text is in presentedForm")
        return None
    return conclusion


def _impressions(report: Report) -> list[str]:
    """What the impression sections say, in their order; of several, each under its own heading."""
    found = [one for one in report.sections if one.label in CONCLUDING and one.content]
    if len(found) == 1:
        return [one.content for one in found]
    return [f"{heading_words(one.heading)}:\n{one.content}" for one in found]


def diagnostic_report_presented_form(parts: ReportParts, addenda: Sequence[ReportParts]) -> list[Json]:
    """DiagnosticReport.presentedForm <- reportPlainText and the PDF, those of signed addenda first (D17, D28).

    https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.presentedForm
    """
    return [form for one in (*addenda, parts) for form in one.forms]


def diagnostic_report_extension(scene: Scene, parts: ReportParts) -> list[Json]:
    """DiagnosticReport.extension <- isAddendum, isCritical, createdAt, age, status, and what R4 has no other place for.

    https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.extension
    """
    report = parts.report
    made = []
    if parts.parent:
        to_parent = reference("DiagnosticReport", fhir_id(parts.parent.report_id))
        made.append({"url": ADDENDUM_OF_EXTENSION, "valueReference": to_parent})
    made.append(extension("isAddendum", "Boolean", report.is_addendum))
    if report.is_critical and not report.is_completed:
        scene.inform("unsigned-critical-withheld", f"{report.pointer}/isCritical", "not said before it is signed")
    elif report.is_critical is not None:
        made.append(extension("isCritical", "Boolean", report.is_critical))
    if parts.created:
        made.append(extension("createdAt", "Instant", parts.created))
    texts = {
        "age": report.snapshot.age,
        "studyTime": None if parts.is_time_merged else report.snapshot.study_time,
        "createdAt": None if parts.created else report.created_at,
        "signedAt": None if parts.signed or not report.is_completed else report.signed_at,
        "updatedAt": None if parts.updated else report.updated_at,
        "status": report.status if parts.status.diagnostic_report == "unknown" else None,
        **_own_snapshot(scene, parts),
    }
    return made + [extension(name, "String", value) for name, text in texts.items() if (value := line(text))]


def diagnostic_report_based_on(scene: Scene, parts: ReportParts, orders: Sequence[Json]) -> list[Json]:
    """DiagnosticReport.basedOn <- the study's orders, unless the report is about another patient than they are (D12).

    https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.basedOn
    """
    return list(orders) if parts.subject is scene.subject else []


def diagnostic_report(
    scene: Scene,
    parts: ReportParts,
    addenda: Sequence[ReportParts],
    results: Sequence[Json],
    orders: Sequence[Json] = (),
) -> Json:
    """The DiagnosticReport of a report; `addenda` are the signed ones it shows, newest first (D17).

    `results` are the references to its section Observations, `orders` those to the study's ServiceRequests.
    """
    issued = diagnostic_report_issued(parts, addenda)
    return said(
        {
            "resourceType": "DiagnosticReport",
            "id": parts.resource_id,
            "meta": _META,
            "text": _narrative(parts, addenda, issued),
            "extension": diagnostic_report_extension(scene, parts),
            "identifier": diagnostic_report_identifier(scene, parts),
            "basedOn": diagnostic_report_based_on(scene, parts, orders),
            "status": parts.status.diagnostic_report,
            "category": diagnostic_report_category(scene),
            "code": parts.code,
            "subject": parts.subject_reference,
            **diagnostic_report_effective(parts),
            "issued": issued,
            "performer": diagnostic_report_performer(parts),
            "resultsInterpreter": diagnostic_report_results_interpreter(parts),
            "result": list(results),
            "imagingStudy": [reference("ImagingStudy", fhir_id(scene.study.study_id))],
            "conclusion": diagnostic_report_conclusion(scene, parts, addenda),
            "presentedForm": diagnostic_report_presented_form(parts, addenda),
        }
    )


def _narrative(parts: ReportParts, addenda: Sequence[ReportParts], issued: str | None) -> Json:
    status = parts.status.diagnostic_report
    rows = (
        ("Status", f"{status}, {NOT_SIGNED}" if parts.is_draft_shown else status),
        ("Signed", issued),
        ("Radiologist", parts.practitioner.get("display")),
    )
    shown = "\n\n".join([f"{one.title}:\n{one.text}" for one in addenda if one.text] + [parts.text])
    return narrative(parts.code["text"], rows, shown)


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
