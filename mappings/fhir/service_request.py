"""Map the orders of a study to FHIR ServiceRequests: order numbers, priority, indication, requester.

https://hl7.org/fhir/R4/servicerequest.html, US Core ServiceRequest Profile, decision D18. AutoScribe holds no order:
its time of writing is unknown and left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mappings.codes import REQUEST_PRIORITY, US_CORE
from mappings.fhir.categories import RADIOLOGY
from mappings.fhir.datatypes import Json, line, reference, said
from mappings.fhir.examination import any_examination
from mappings.fhir.imaging_study import imaging_study_started
from mappings.fhir.narrative import narrative
from mappings.fhir.order_numbers import accession_identifier, placer_identifier
from mappings.fhir.provider import requester
from mappings.fhir.report_parts import ReportParts
from mappings.fhir.scene import Scene
from mappings.patient.identifiers import fhir_id
from mappings.study.orders import Order

_META: Final[Json] = {"profile": [f"{US_CORE}servicerequest"]}

# ServiceRequest.status <- DiagnosticReport.status of its reports; the first status that any report has wins.
# http://hl7.org/fhir/R4/valueset-request-status.html
_STATUS: Final[dict[str, frozenset[str]]] = {
    "completed": frozenset({"final", "appended", "corrected"}),
    "active": frozenset({"registered", "preliminary"}),
    "revoked": frozenset({"cancelled", "entered-in-error"}),
}


def service_request_status(scene: Scene, reports: Sequence[ReportParts]) -> str:
    """ServiceRequest.status <- Report.status, isCancelled: answered by a signed report, revoked, or still open.

    https://hl7.org/fhir/R4/servicerequest-definitions.html#ServiceRequest.status
    """
    states = {parts.status.diagnostic_report for parts in reports if parts.subject is scene.subject}
    if reported := next((status for status, any_of in _STATUS.items() if any_of & states), None):
        return reported
    if states or scene.study.study_report_status is None:
        return "unknown"
    return "revoked" if scene.study.is_cancelled else "active"


def service_request_priority(scene: Scene) -> str | None:
    """ServiceRequest.priority <- Study.severity, as in OBR-5; a critical finding changes nothing here.

    https://hl7.org/fhir/R4/servicerequest-definitions.html#ServiceRequest.priority
    An unknown severity is only in the ImagingStudy.
    """
    return REQUEST_PRIORITY.get(scene.study.severity or "")


def service_request_identifier(order: Order, scene: Scene) -> list[Json]:
    """ServiceRequest.identifier <- the accession and placer order numbers of Study.metadata, or of the facts (D18).

    https://hl7.org/fhir/R4/servicerequest-definitions.html#ServiceRequest.identifier
    """
    return [one for one in (accession_identifier(order, scene), placer_identifier(order, scene)) if one]


def service_request_code(scene: Scene, reports: Sequence[ReportParts]) -> Json:
    """ServiceRequest.code <- the source of DiagnosticReport.code, in the snapshot that speaks for the study.

    https://hl7.org/fhir/R4/servicerequest-definitions.html#ServiceRequest.code
    """
    spoken = next((parts.code for parts in reports if parts.report.snapshot is scene.snapshot), None)
    return spoken or any_examination(line(scene.snapshot.procedure) or line(scene.study.study_description))


def service_requests(scene: Scene, reports: Sequence[ReportParts]) -> list[Json]:
    """Build a ServiceRequest for each order of the study; none for a single order about which nothing is known."""
    study = scene.study
    indication, history = line(study.clinical_indication), line(study.clinical_history)
    asked_by = requester(scene)
    alike = {
        "status": service_request_status(scene, reports),
        "intent": "order",
        "category": RADIOLOGY,
        "priority": service_request_priority(scene),
        "code": service_request_code(scene, reports),
        "subject": reference("Patient", scene.subject.identity.patient_id, line(scene.snapshot.patient_name)),
        "occurrenceDateTime": imaging_study_started(scene, reports),
        "requester": asked_by,
        "reasonCode": [{"text": indication}] if indication else None,
        "note": [{"text": history}] if history else None,
    }
    said_of_all = indication or history or asked_by or alike["priority"]
    made = []
    for number, order in enumerate(scene.orders, 1):
        numbers = service_request_identifier(order, scene)
        if numbers or said_of_all:
            made.append(_service_request(scene, number, numbers, alike))
    return made


def _service_request(scene: Scene, number: int, identifiers: list[Json], alike: Json) -> Json:
    rows = (
        ("Numbers", ", ".join(one["value"] for one in identifiers)),
        ("Priority", alike["priority"]),
        ("Reason", alike["reasonCode"] and alike["reasonCode"][0]["text"]),
    )
    return said(
        {
            "resourceType": "ServiceRequest",
            "id": f"{fhir_id(scene.study.study_id)}-req{'' if number == 1 else number}",
            "meta": _META,
            "text": narrative(alike["code"]["text"], rows),
            "identifier": identifiers,
            **alike,
        }
    )
