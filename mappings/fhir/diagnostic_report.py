"""Map one report of a study to a FHIR DiagnosticReport; observation.py makes the Observations in `result`, in order.

https://hl7.org/fhir/R4/diagnosticreport.html, US Core DiagnosticReport Profile for Report and Note Exchange,
decision D3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mappings.codes import ADDENDUM_OF_EXTENSION, SID_FILLER_ORDER, US_CORE, V2_0074
from mappings.fhir.datatypes import (
    CRITICAL,
    RADIOLOGY,
    STRING_LIMIT,
    Json,
    coding,
    identifier,
    line,
    narrative,
    reference,
    without_empty,
)
from mappings.fhir.encounter import encounter_reference
from mappings.fhir.extensions import extension
from mappings.fhir.order_numbers import accession_identifiers, placer_identifiers
from mappings.fhir.report_parts import (
    NOT_SIGNED,
    ReportParts,
    addenda_said,
    effective_date_time,
    in_order,
    newest_signature,
    newest_version,
)
from mappings.fhir.scene import Scene
from mappings.patient.identifiers import fhir_id, mrn_number, short_id
from mappings.study.conclusion import CHANGE_UNDATED, concluding_text
from mappings.values.dates import parse_instant, spoken, spoken_when, version_instant
from mappings.values.procedures import diagnostic_service_section

_META: Final[Json] = {"profile": [f"{US_CORE}diagnosticreport-note"]}


def diagnostic_report_identifier(scene: Scene, parts: ReportParts) -> list[Json]:
    """DiagnosticReport.identifier <- reportId, the filler order number of OBR-3, the numbers of its orders (D18).

    https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.identifier
    Orders belong to the study's own patient: a report about another patient has none (D12).
    """
    orders = scene.orders if parts.subject is scene.subject else ()
    return [
        parts.identifier,
        identifier(SID_FILLER_ORDER, short_id(parts.subject.number), "FILL"),
        *accession_identifiers(orders, scene),
        *placer_identifiers(orders, scene),
    ]


def diagnostic_report_category(scene: Scene) -> list[Json]:
    """DiagnosticReport.category <- Study.modality: always LP29684-5 and RAD, and the modality's section (D23).

    https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.category
    Of several modalities it is the section in OBR-24; ImagingStudy.modality has each.
    """
    section = diagnostic_service_section(scene.study.modality)
    return RADIOLOGY if section == "RAD" else [*RADIOLOGY, {"coding": [coding(V2_0074, section)]}]


def diagnostic_report_effective(scene: Scene, parts: ReportParts) -> Json:
    """DiagnosticReport.effective[x] <- snapshotMetadata.studyDate, studyTime ?? signedAt (D15).

    https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.effective_x_
    An extension on the element marks a time of signing. Without both, the element states that the value is unknown:
    us-core-10 requires the element.
    """
    return effective_date_time(scene, parts)


def diagnostic_report_issued(parts: ReportParts, addenda: Sequence[ReportParts]) -> str | None:
    """DiagnosticReport.issued <- signedAt: the newest of the report and the addenda that it shows (D17).

    https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.issued
    Of a text that changed without a new signature it is the `updatedAt` that came first with it, if that is later; if
    nothing dates the change, when the gateway first read the text (life/last_known.py).
    """
    return newest_version((parts, *addenda))


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
    """DiagnosticReport.conclusion <- the part of each signed addendum, then the impression of reportPlainText (D36).

    https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.conclusion
    With addenda, each part has its header. A draft's conclusion is headed NOT SIGNED: some systems show a conclusion
    without its status (D16).
    """
    conclusion = concluding_text(parts.passages)
    if addenda:
        own = f"{parts.header}\n{conclusion}" if conclusion else ""
        said_of = [own if one is parts else addenda_said([one]) for one in in_order(parts, addenda)]
        conclusion = "\n\n".join(filter(None, said_of))
    if conclusion and parts.is_draft_shown:
        conclusion = f"{parts.title}:\n{conclusion}"
    if len(conclusion) > STRING_LIMIT:
        place = f"{parts.report.pointer}/reportPlainText"
        scene.warn("text-too-long", place, "no conclusion: the whole text is in presentedForm")
        return None
    return conclusion


def diagnostic_report_presented_form(parts: ReportParts, addenda: Sequence[ReportParts]) -> list[Json]:
    """DiagnosticReport.presentedForm <- reportPlainText and the PDF; signed addenda come first (D17, D28).

    https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.presentedForm
    """
    return [form for one in in_order(parts, addenda) for form in one.forms]


def diagnostic_report_extension(scene: Scene, parts: ReportParts) -> list[Json]:
    """DiagnosticReport.extension <- isAddendum, isCritical, createdAt, age, status, and others without a place in R4.

    https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.extension
    """
    report, canonical = parts.report, scene.site.canonical
    made = []
    if parts.parent_id:
        to_parent = reference("DiagnosticReport", parts.parent_id)
        made.append({"url": ADDENDUM_OF_EXTENSION, "valueReference": to_parent})
    made.append(extension(canonical, "isAddendum", "Boolean", report.is_addendum))
    if report.is_critical and not report.is_completed:
        scene.inform("unsigned-critical-withheld", f"{report.pointer}/isCritical", "not said before it is signed")
    elif report.is_critical is not None:
        made.append(extension(canonical, "isCritical", "Boolean", report.is_critical))
    if parts.created:
        made.append(extension(canonical, "createdAt", "Instant", parts.created))
    texts = {
        "age": report.snapshot.age,
        "mrn": report.snapshot.mrn if mrn_number(report.snapshot, scene.site) is None else None,
        "studyTime": None if parts.is_time_merged else report.snapshot.study_time,
        "createdAt": None if parts.created else report.created_at,
        "signedAt": None if parts.signed or not report.is_completed else report.signed_at,
        "updatedAt": None if parts.updated else report.updated_at,
        "status": report.status if parts.status.diagnostic_report == "unknown" else None,
        **_own_snapshot(scene, parts),
    }
    return made + [extension(canonical, name, "String", value) for name, text in texts.items() if (value := line(text))]


def diagnostic_report_based_on(scene: Scene, parts: ReportParts, orders: Sequence[Json]) -> list[Json]:
    """DiagnosticReport.basedOn <- the study's orders, unless the report is about another patient (D12).

    https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.basedOn
    """
    return list(orders) if parts.subject is scene.subject else []


def diagnostic_report_encounter(scene: Scene, parts: ReportParts) -> Json | None:
    """DiagnosticReport.encounter <- the visit of the orders, unless the report is about another patient (D12).

    https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.encounter
    """
    return encounter_reference(scene, scene.visit) if parts.subject is scene.subject else None


def diagnostic_report(
    scene: Scene,
    parts: ReportParts,
    addenda: Sequence[ReportParts],
    results: Sequence[Json],
    orders: Sequence[Json] = (),
) -> Json:
    """Build the DiagnosticReport of a report; `addenda` are the signed ones that it shows, newest first (D17).

    `results` are references to its section Observations, `orders` references to the study's ServiceRequests.
    """
    issued = diagnostic_report_issued(parts, addenda)
    return without_empty(
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
            "encounter": diagnostic_report_encounter(scene, parts),
            **diagnostic_report_effective(scene, parts),
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
    """Build the narrative for clinicians: critical flag, patient, examination, date and signer, then the text."""
    status, snapshot = parts.status.diagnostic_report, parts.report.snapshot
    signed, version = parse_instant(newest_signature((parts, *addenda))), parse_instant(issued)
    is_undated = any(
        version_instant(one.report) == version and not one.report.is_change_dated for one in (parts, *addenda)
    )
    changed = spoken(version, parts.zone) if version and version != signed else None
    rows = (
        ("Patient", line(snapshot.patient_name)),
        ("MRN", line(snapshot.mrn)),
        ("Study date", spoken_when(parts.when, parts.zone) if parts.when and not parts.is_effective_derived else None),
        ("Facility", line(snapshot.facility_name)),
        ("Procedure", parts.code["text"]),
        ("Status", f"{status}, {NOT_SIGNED}" if parts.is_draft_shown else status),
        ("Signed", spoken(signed, parts.zone) if signed else None),
        ("Text changed", CHANGE_UNDATED if changed and is_undated else changed),
        ("Radiologist", parts.practitioner.get("display")),
    )
    shown = [one for one in in_order(parts, addenda) if one.text]
    texts = [f"{one.header}\n{one.text}" for one in shown] if shown != [parts] else [parts.text]
    alert = CRITICAL if parts.is_critical else ""
    if not alert and (critical := [one for one in addenda if one.is_critical]):
        alert = f"{CRITICAL} in {'an addendum' if critical[0].report.is_addendum else 'the report'}"
    kind = "Addendum" if parts.report.is_addendum else "Radiology report"
    return narrative(kind, rows, "\n\n".join(texts), alert=alert)


def _own_snapshot(scene: Scene, parts: ReportParts) -> dict[str, str | None]:
    """Fields of this report's snapshot that differ from the Patient and the ImagingStudy, which show a newer one."""
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
