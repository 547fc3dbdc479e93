"""Map a report's text and PDF to a FHIR DocumentReference with the attachments of presentedForm.

https://hl7.org/fhir/R4/documentreference.html, US Core DocumentReference Profile (the same attachment is reachable from
DiagnosticReport.presentedForm and from here).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mappings.codes import DIAGNOSTIC_IMAGING_STUDY, LOINC, US_CORE, US_CORE_DOCUMENT_CATEGORY
from mappings.fhir.datatypes import Json, coding, narrative, reference, without_empty
from mappings.fhir.report_parts import ReportParts, in_order
from mappings.values.dates import parse_instant, spoken

_META: Final[Json] = {"profile": [f"{US_CORE}documentreference"]}
_TYPE: Final[Json] = {"coding": [coding(LOINC, *DIAGNOSTIC_IMAGING_STUDY)], "text": DIAGNOSTIC_IMAGING_STUDY[1]}
_CATEGORY: Final[list[Json]] = [{"coding": [coding(US_CORE_DOCUMENT_CATEGORY, "clinical-note", "Clinical Note")]}]
_FORMAT: Final = coding(
    "http://ihe.net/fhir/ValueSet/IHE.FormatCode.codesystem", "urn:ihe:iti:xds:2017:mimeTypeSufficient"
)
# DocumentReference.docStatus <- DiagnosticReport.status; signed addenda amend the document that shows them (D36)
# http://hl7.org/fhir/R4/valueset-composition-status.html
_DOC_STATUS: Final = {
    "preliminary": "preliminary",
    "final": "final",
    "appended": "amended",
    "amended": "amended",
    "corrected": "amended",
    "entered-in-error": "entered-in-error",
}


def document_reference_id(resource_id: str) -> str:
    """Return the id of the DocumentReference that belongs to a DiagnosticReport."""
    return f"{resource_id}-doc"


def document_reference_status(parts: ReportParts) -> str:
    """DocumentReference.status <- Report.status, isCancelled: `current` unless the report is withdrawn (D21).

    https://hl7.org/fhir/R4/documentreference-definitions.html#DocumentReference.status
    Never `superseded`: a later text is a new version of this resource, or an addendum beside it.
    """
    withdrawn = "entered-in-error"
    return withdrawn if parts.status.diagnostic_report == withdrawn else "current"


def document_reference_doc_status(parts: ReportParts) -> str | None:
    """DocumentReference.docStatus <- Report.status, and a change of its text after the signature (D22).

    https://hl7.org/fhir/R4/documentreference-definitions.html#DocumentReference.docStatus
    """
    return _DOC_STATUS.get(parts.status.diagnostic_report)


def document_reference_date(parts: ReportParts) -> str | None:
    """DocumentReference.date <- signedAt ?? updatedAt ?? createdAt.

    https://hl7.org/fhir/R4/documentreference-definitions.html#DocumentReference.date
    """
    return parts.signed or parts.updated or parts.created


def document_reference_relates_to(parts: ReportParts) -> list[Json]:
    """DocumentReference.relatesTo <- isAddendum: it appends the document of its report, if that report is clear (D17).

    https://hl7.org/fhir/R4/documentreference-definitions.html#DocumentReference.relatesTo
    """
    if parts.parent_id is None:
        return []
    parent = document_reference_id(parts.parent_id)
    return [{"code": "appends", "target": reference("DocumentReference", parent)}]


def document_reference_content(parts: ReportParts, addenda: Sequence[ReportParts]) -> list[Json]:
    """DocumentReference.content <- reportPlainText, the PDF; signed addenda come first (D28, D36).

    https://hl7.org/fhir/R4/documentreference-definitions.html#DocumentReference.content
    Only the addresses of presentedForm: the bytes are there.
    """
    return [
        {"attachment": {key: value for key, value in form.items() if key != "data"}, "format": _FORMAT}
        for one in in_order(parts, addenda)
        for form in one.forms
    ]


def document_reference_context(parts: ReportParts) -> Json:
    """DocumentReference.context <- studyDate, studyTime, and the DiagnosticReport that the documents present.

    https://hl7.org/fhir/R4/documentreference-definitions.html#DocumentReference.context
    """
    related = [reference("DiagnosticReport", parts.resource_id)]
    if parts.effective is None or parts.is_effective_derived:
        return {"related": related}
    return {"period": {"start": parts.effective, "end": parts.effective}, "related": related}


def document_reference(parts: ReportParts, addenda: Sequence[ReportParts] = ()) -> Json | None:
    """Build the DocumentReference of a report with the signed `addenda` it shows; None without a document (D16)."""
    if not parts.forms:
        return None
    date = document_reference_date(parts)
    moment = parse_instant(date)
    rows = [("Date", spoken(moment, parts.zone) if moment else None), ("Author", parts.practitioner.get("display"))]
    return without_empty(
        {
            "resourceType": "DocumentReference",
            "id": document_reference_id(parts.resource_id),
            "meta": _META,
            "text": narrative(parts.title, rows),
            "identifier": [parts.identifier],
            "status": document_reference_status(parts),
            "docStatus": document_reference_doc_status(parts),
            "type": _TYPE,
            "category": _CATEGORY,
            "subject": parts.subject_reference,
            "date": date,
            "author": [parts.practitioner],
            "custodian": parts.organization,
            "relatesTo": document_reference_relates_to(parts),
            "description": parts.title,
            "content": document_reference_content(parts, addenda),
            "context": document_reference_context(parts),
        }
    )
