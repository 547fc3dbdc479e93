"""Map the orders of a study to FHIR ServiceRequests: order numbers, priority, indication, requester.

https://hl7.org/fhir/R4/servicerequest.html, US Core ServiceRequest Profile, decisions D18, D48. AutoScribe holds no
order: when it was written is known only from the hospital. What the hospital's order says is about this order alone;
what the study says is about all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from mappings.codes import REQUEST_PRIORITY, US_CORE
from mappings.fhir.datatypes import RADIOLOGY, Json, line, narrative, reference, without_empty
from mappings.fhir.encounter import encounter_reference
from mappings.fhir.imaging_study import imaging_study_started
from mappings.fhir.order_numbers import accession_identifier, filler_identifier, placer_identifier
from mappings.fhir.provider import requester, stated_person
from mappings.fhir.report_parts import ReportParts, any_examination, ordered_examination
from mappings.fhir.scene import Scene
from mappings.model import AnsweredOrder
from mappings.patient.identifiers import fhir_id
from mappings.study.orders import Order
from mappings.values.dates import fhir_instant, parse_instant

_META: Final[Json] = {"profile": [f"{US_CORE}servicerequest"]}

# ServiceRequest.status <- DiagnosticReport.status of its reports; the first status that any report has wins.
# http://hl7.org/fhir/R4/valueset-request-status.html
_STATUS: Final[dict[str, frozenset[str]]] = {
    "completed": frozenset({"final", "appended", "amended", "corrected"}),
    "active": frozenset({"registered", "preliminary"}),
    "revoked": frozenset({"cancelled", "entered-in-error"}),
}


def service_request_status(scene: Scene, reports: Sequence[ReportParts]) -> str:
    """ServiceRequest.status <- Report.status, isCancelled, the order's end: answered, revoked, or still open.

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
    """ServiceRequest.identifier <- accession, placer and filler of the order, else of Study.metadata or facts (D18).

    https://hl7.org/fhir/R4/servicerequest-definitions.html#ServiceRequest.identifier
    """
    numbers = accession_identifier(order, scene), placer_identifier(order, scene), filler_identifier(order)
    return [one for one in numbers if one]


def service_request_code(scene: Scene, reports: Sequence[ReportParts]) -> Json:
    """ServiceRequest.code <- the order's procedure, else the source of DiagnosticReport.code for the study's snapshot.

    https://hl7.org/fhir/R4/servicerequest-definitions.html#ServiceRequest.code
    """
    spoken = next((parts.code for parts in reports if parts.report.snapshot_pointer == scene.subject.pointer), None)
    return spoken or any_examination(line(scene.snapshot.procedure) or line(scene.study.study_description))


def service_request_requester(order: AnsweredOrder) -> Json | None:
    """ServiceRequest.requester <- the ordering provider of the order, else snapshotMetadata.referringPhysicianName.

    https://hl7.org/fhir/R4/servicerequest-definitions.html#ServiceRequest.requester
    """
    return next((person for one in order.ordering if (person := stated_person(one))), None)


def service_request_reason_code(order: AnsweredOrder, alike: Json) -> list[Json]:
    """ServiceRequest.reasonCode <- Study.clinicalIndication, then the order's indication, each text once.

    https://hl7.org/fhir/R4/servicerequest-definitions.html#ServiceRequest.reasonCode
    """
    return _texts(alike["reasonCode"], order.indication)


def service_request_note(order: AnsweredOrder, alike: Json) -> list[Json]:
    """ServiceRequest.note <- Study.clinicalHistory, then the order's notes, each text once.

    https://hl7.org/fhir/R4/servicerequest-definitions.html#ServiceRequest.note
    """
    return _texts(alike["note"], order.notes)


def service_request_authored_on(order: AnsweredOrder) -> str | None:
    """ServiceRequest.authoredOn <- the time of the order's oldest message.

    https://hl7.org/fhir/R4/servicerequest-definitions.html#ServiceRequest.authoredOn
    """
    moment = parse_instant(order.at)
    return fhir_instant(moment) if moment else None


def _texts(known: list[Json] | None, lines: Iterable[str]) -> list[Json]:
    texts = [one["text"] for one in known or ()]
    joined = "\n".join(text for text in map(line, lines) if text)
    return [{"text": text} for text in dict.fromkeys((*texts, joined)) if text]


def _stated(scene: Scene, order: AnsweredOrder, alike: Json) -> Json:
    """Return the elements that are the hospital's order's own; a cancelled order is revoked whatever was reported."""
    return {
        **alike,
        "status": "revoked" if order.is_cancelled else alike["status"],
        "code": ordered_examination(order.procedure) or alike["code"],
        "encounter": encounter_reference(scene, order.visit),
        "authoredOn": service_request_authored_on(order),
        "requester": service_request_requester(order) or alike["requester"],
        "reasonCode": service_request_reason_code(order, alike),
        "note": service_request_note(order, alike),
    }


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
        "encounter": None,
        "occurrenceDateTime": imaging_study_started(scene, reports),
        "authoredOn": None,
        "requester": asked_by,
        "reasonCode": [{"text": indication}] if indication else None,
        "note": [{"text": history}] if history else None,
    }
    said_of_all = indication or history or asked_by or alike["priority"]
    made = []
    for number, order in enumerate(scene.orders, 1):
        numbers = service_request_identifier(order, scene)
        if numbers or said_of_all or order.answered:
            own = _stated(scene, order.answered, alike) if order.answered else alike
            made.append(_service_request(scene, number, numbers, own))
    return made


def _service_request(scene: Scene, number: int, identifiers: list[Json], alike: Json) -> Json:
    rows = (
        ("Numbers", ", ".join(one["value"] for one in identifiers)),
        ("Priority", alike["priority"]),
        ("Reason", alike["reasonCode"] and alike["reasonCode"][0]["text"]),
    )
    return without_empty(
        {
            "resourceType": "ServiceRequest",
            "id": f"{fhir_id(scene.study.study_id)}-req{'' if number == 1 else number}",
            "meta": _META,
            "text": narrative(alike["code"]["text"], rows),
            "identifier": identifiers,
            **alike,
        }
    )
