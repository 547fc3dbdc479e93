"""Build the parts that all FHIR resources of one report share: references, code, time, status, text and attachments.

https://hl7.org/fhir/R4/diagnosticreport.html,
https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.code, decisions D5, D15, D16, D23, D48.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Final
from zoneinfo import ZoneInfo

from mappings.codes import DIAGNOSTIC_IMAGING_STUDY, HL70396, LOINC, SID_REPORT
from mappings.fhir.datatypes import (
    Json,
    base64_of,
    coding,
    data_absent,
    identifier,
    line,
    reference,
    text_attachment,
    without_empty,
)
from mappings.fhir.extensions import extension
from mappings.fhir.organization import organization_reference
from mappings.fhir.practitioner import Radiologist
from mappings.fhir.scene import Scene
from mappings.life.status import Status, addendum_parent, report_status
from mappings.model import Report, StatedCode
from mappings.patient.identifiers import fhir_id
from mappings.patient.subjects import Subject
from mappings.study.conclusion import ABSENT, Passage, concluding_text, correction_issues, header, passages, statement
from mappings.study.newest_word import newest_first
from mappings.study.signers import signer, spoken_name
from mappings.values.dates import (
    When,
    age_issues,
    effective,
    fhir_instant,
    parse_instant,
    read_instant,
    version_instant,
)
from mappings.values.procedures import examination
from mappings.values.text import character_issues, normal_form, signed_text_issues, utf8

_ANY: Final[list[Json]] = [coding(LOINC, *DIAGNOSTIC_IMAGING_STUDY)]


def diagnostic_report_code(scene: Scene, report: Report) -> Json:
    """DiagnosticReport.code <- snapshotMetadata.procedure ?? Study.studyDescription: always with 18748-4 (D23).

    https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.code
    Beside it stands the code for exactly this text in the site's dictionary or the starter.
    """
    exam = examination(scene.study, report, scene.site, line)
    scene.issues.extend(exam.issues)
    exact = [coding(exam.code.system, exam.code.code, exam.code.display)] if exam.code else []
    return {"coding": [*_ANY, *exact], "text": exam.text or DIAGNOSTIC_IMAGING_STUDY[1]}


def any_examination(text: str | None) -> Json:
    """Make the code of an examination without a report."""
    return {"coding": _ANY, "text": text or DIAGNOSTIC_IMAGING_STUDY[1]}


def ordered_examination(procedure: StatedCode) -> Json | None:
    """Make the code of a hospital's order; None if it states none. A code of an unknown system has none."""
    triplets = (
        (procedure.code, procedure.text, procedure.system),
        (procedure.alternate_code, procedure.alternate_text, procedure.alternate_system),
    )
    texts = [text for text in map(line, (procedure.text, procedure.alternate_text)) if text]
    codings = [
        without_empty({"system": HL70396.get(system.upper(), ""), "code": known, "display": line(text)})
        for code, text, system in triplets
        if (known := _code(code))
    ]
    if not codings and not texts:
        return None
    text = texts[0] if texts else DIAGNOSTIC_IMAGING_STUDY[1]
    return {"coding": [*_ANY, *codings], "text": text}


def _code(text: str) -> str:
    """Return a code as FHIR allows it: its parts separated by single blanks (R4 datatypes, code)."""
    return " ".join((line(text) or "").split())


NOT_SIGNED = "NOT SIGNED"


@dataclass(frozen=True, slots=True)
class ReportParts:
    """A report with its references; an unsigned one has no `text` (N of it) and `forms`, unless drafts are shown (D16).

    `parent_id` is the FHIR id of an addendum's original, if it is clear; `code` names the examination. `when` is the
    time of the study, `effective` the same as FHIR dateTime; `is_effective_derived`: it is the time of signing;
    `is_time_merged`: it includes studyTime. `created`, `signed` and `updated` are FHIR instants, None if unreadable; a
    draft has no time of signing. `zone` is the facility's, if the site knows it. `header` is the line above the report
    if others stand beside it. `passages` is the published text, with the roles of its sections.
    """

    report: Report
    resource_id: str
    identifier: Json
    status: Status
    parent_id: str | None
    code: Json
    subject: Subject = field(compare=False)
    subject_reference: Json
    organization: Json | None
    practitioner: Json
    when: When | None
    effective: str | None
    is_effective_derived: bool
    is_time_merged: bool
    created: str | None
    signed: str | None
    updated: str | None
    title: str
    zone: ZoneInfo | None
    header: str
    passages: tuple[Passage, ...]
    text: str
    forms: tuple[Json, ...]

    @property
    def is_critical(self) -> bool:
        """True for a signed report flagged as critical by its radiologist and not withdrawn (D16, D22)."""
        return self.report.is_critical is True and self.report.is_completed and not self.is_withdrawn

    @property
    def is_withdrawn(self) -> bool:
        """True for a signed report that was withdrawn (D21)."""
        return self.status.diagnostic_report == "entered-in-error"

    @property
    def is_draft_shown(self) -> bool:
        """True for an unsigned report whose text the site publishes."""
        return self.status.diagnostic_report == "preliminary"


def parts_as_before(scene: Scene, report: Report, radiologist: Radiologist) -> ReportParts:
    """Build the shared parts of a report (`report_parts`), or reuse those of an equal input."""
    study, subject = scene.study, scene.subjects[report.report_id]
    of_study = study.is_cancelled, bool(study.completed), study.study_description, study.modality
    of_signer = radiologist.reference, study.users.get(report.user_id)
    signed = [one for one in subject.reports if one.is_completed]
    said_by = [(one.report_id, one.is_addendum, one.text if report.is_addendum else "") for one in signed]
    peers = said_by, [one.report_id for one in newest_first(signed)]
    given = scene.site, scene.facts, report, of_study, of_signer, subject.identity.patient_id, peers
    make = partial(report_parts, scene, report, radiologist)
    known = scene.as_before((report_parts, report.report_id), given, make)
    return known if known.subject is subject else replace(known, subject=subject)


def report_parts(scene: Scene, report: Report, radiologist: Radiologist) -> ReportParts:
    """Build the shared parts of a report."""
    subject = scene.subjects[report.report_id]
    facility = scene.site.facility(report.snapshot.facility_name)
    zone = facility.time_zone if facility else None
    status, doubts = report_status(scene.study, report, subject.reports, scene.site, scene.facts)
    when, derived = effective(report, scene.site)
    scene.issues.extend((*doubts, *derived, *age_issues(report.snapshot, report.snapshot_pointer)))
    is_derived = when is not None and when.is_of_signature
    resource_id = fhir_id(report.report_id)
    signed = _instant(scene, report.signed_at, f"{report.pointer}/signedAt") if report.is_completed else None
    title = _title(report, signed)
    parent_id = _parent_id(scene, report)
    text = _published_text(scene, report, is_draft_shown=status.diagnostic_report == "preliminary")
    forms = _text_form(text, resource_id, title, signed)
    if report.is_completed:
        forms = (*forms, _pdf_form(scene, report, resource_id, title, signed))
    return ReportParts(
        report=report,
        resource_id=resource_id,
        identifier=identifier(SID_REPORT, report.report_id),
        status=status,
        parent_id=parent_id,
        code=diagnostic_report_code(scene, report),
        subject=subject,
        subject_reference=reference("Patient", subject.identity.patient_id, line(report.snapshot.patient_name)),
        organization=organization_reference(report.snapshot, scene.site),
        practitioner=radiologist.reference,
        when=when,
        effective=when.fhir if when else None,
        is_time_merged=when is not None and when.moment is not None and not is_derived,
        is_effective_derived=is_derived,
        created=_instant(scene, report.created_at, f"{report.pointer}/createdAt"),
        signed=signed,
        updated=_instant(scene, report.updated_at, f"{report.pointer}/updatedAt"),
        title=title,
        zone=zone,
        header=_header(scene, report, zone),
        passages=_published_passages(scene, report, text),
        text=normal_form(text),
        forms=forms,
    )


def effective_date_time(scene: Scene, parts: ReportParts) -> Json:
    """Make effectiveDateTime of a report and its sections: the study's time, or the signature marked as one (D15).

    Without both, the element states that the value is unknown.
    """
    if parts.effective is None:
        return {"_effectiveDateTime": data_absent("unknown")}
    if not parts.is_effective_derived:
        return {"effectiveDateTime": parts.effective}
    mark = extension(scene.site.canonical, "isTimeOfSigning", "Boolean", True)
    return {"effectiveDateTime": parts.effective, "_effectiveDateTime": {"extension": [mark]}}


def addenda_said(addenda: Iterable[ReportParts]) -> str:
    """Part of signed addenda in the conclusion of the report that shows them, each under its header (D36).

    Of a changed original, which an older addendum shows, it is the whole conclusion.
    """
    return "\n\n".join(f"{one.header}\n{_said_of(one)}" for one in addenda)


def _said_of(parts: ReportParts) -> str:
    """Part of one report in the conclusion of another; if it concludes nothing, its whole text."""
    if parts.report.is_addendum:
        return statement(parts.passages)
    return concluding_text(parts.passages) or parts.text.strip() or ABSENT


def in_order(parts: ReportParts, addenda: Sequence[ReportParts]) -> list[ReportParts]:
    """Return a report and the `addenda` that it shows, those with the newest words first (D17, D19)."""
    known = {one.report.report_id: one for one in (parts, *addenda)}
    reports = [one.report for one in (parts, *reversed(addenda))]
    return [known[report.report_id] for report in newest_first(reports)]


def newest_version(reports: Sequence[ReportParts]) -> str | None:
    """Newest moment of some reports' present versions as FHIR instant: signature or change of text (D17).

    None if none is readable.
    """
    return _newest(version_instant(one.report) for one in reports)


def newest_signature(reports: Sequence[ReportParts]) -> str | None:
    """Newest signedAt of some reports as FHIR instant; None if none is readable."""
    return _newest(parse_instant(one.signed) for one in reports)


def _newest(moments: Iterable[datetime | None]) -> str | None:
    newest = max(filter(None, moments), default=None)
    return fhir_instant(newest) if newest else None


def _parent_id(scene: Scene, report: Report) -> str | None:
    parent, unclear = addendum_parent(report, scene.subjects[report.report_id].reports)
    scene.issues.extend(unclear)
    return fhir_id(parent.report_id) if parent else None


def _title(report: Report, signed: str | None) -> str:
    if not report.is_completed:
        return f"{'Addendum' if report.is_addendum else 'Radiology report'}, {NOT_SIGNED}"
    if not report.is_addendum:
        return "Radiology report"
    return f"Addendum, signed {signed}" if signed else "Addendum, time of signing not known"


def _header(scene: Scene, report: Report, zone: ZoneInfo | None) -> str:
    """Header line above the report's part of a conclusion, the same as in HL7 v2 (D36)."""
    user, _ = signer(scene.study, report, scene.site)
    name = line(spoken_name(user)) if user else None
    return header(report, parse_instant(report.signed_at), name or "", zone)


def _text_form(text: str, resource_id: str, title: str, signed: str | None) -> tuple[Json, ...]:
    """Attachment of the report text: its original bytes in base64, and the Binary of the same bytes (D5)."""
    return (text_attachment(utf8(text)[0], f"Binary/{resource_id}-text", title, signed),) if text else ()


def _pdf_form(scene: Scene, report: Report, resource_id: str, title: str, signed: str | None) -> Json:
    """Attachment of the PDF: its stable address; size and SHA-1 only once its bytes were read (D28)."""
    made: Json = {"contentType": "application/pdf", "url": f"Binary/{resource_id}-pdf"}
    if seen := scene.facts.pdf.get(report.report_id):
        made["size"] = seen.size
        made["hash"] = base64_of(seen.sha1)
    made["title"] = f"{title} (PDF)"
    if signed:
        made["creation"] = signed
    return made


def _published_text(scene: Scene, report: Report, *, is_draft_shown: bool) -> str:
    """Text to publish: of a signed report, and of a draft if the site publishes drafts (D16)."""
    place = f"{report.pointer}/reportPlainText"
    text = report.text or ""
    if report.is_completed:
        scene.issues.extend(signed_text_issues(text, place))
        return text
    if is_draft_shown:
        scene.issues.extend(character_issues(text, place))
        return text
    if text:
        scene.inform("unsigned-text-withheld", place, "not said before it is signed")
    return ""


def _published_passages(scene: Scene, report: Report, text: str) -> tuple[Passage, ...]:
    """Passages of the published text, with an issue if one might correct the report (D36)."""
    found = passages(report, scene.subjects[report.report_id].reports) if text else ()
    scene.issues.extend(correction_issues(found, f"{report.pointer}/reportPlainText"))
    return found


def _instant(scene: Scene, text: str | None, pointer: str) -> str | None:
    moment, doubts = read_instant(text, pointer)
    scene.issues.extend(doubts)
    return fhir_instant(moment) if moment else None
