"""Map a study to a FHIR ImagingStudy: UID, modality, description, date, referrer and order details.

https://hl7.org/fhir/R4/imagingstudy.html
"""

from __future__ import annotations

from collections.abc import Sequence

from mappings.codes import (
    DICOM_DCM,
    DICOM_UID,
    ENDPOINT_CONNECTION,
    ENDPOINT_PAYLOAD,
    SID_EXPRESS_CUSTOMER,
    SID_STUDY,
    SID_STUDY_UID_ODD,
)
from mappings.fhir.datatypes import Json, coding, identifier, line, narrative, reference, without_empty
from mappings.fhir.encounter import encounter_reference
from mappings.fhir.extensions import extension
from mappings.fhir.order_numbers import accession_identifiers
from mappings.fhir.provider import requester
from mappings.fhir.report_parts import ReportParts
from mappings.fhir.scene import Scene
from mappings.patient.identifiers import fhir_id, is_dicom_uid
from mappings.values.procedures import dicom_modalities, dicom_modality, modality_issues, modality_parts


def imaging_study_identifier(scene: Scene) -> list[Json]:
    """ImagingStudy.identifier <- studyInstanceUid, studyId, and the accession numbers.

    https://hl7.org/fhir/R4/imagingstudy-definitions.html#ImagingStudy.identifier
    A UID that is no OID is kept under a system of our own: the prefix `urn:oid:` would be false.
    """
    study = scene.study
    made = []
    if uid := line(study.study_instance_uid):
        if is_dicom_uid(uid):
            made.append(identifier(DICOM_UID, f"urn:oid:{uid}"))
        else:
            scene.warn("study-uid-not-an-oid", "/studyInstanceUid", "kept under a system of our own")
            made.append(identifier(SID_STUDY_UID_ODD, uid))
    made.append(identifier(SID_STUDY, study.study_id))
    return made + accession_identifiers(scene.orders, scene)


def imaging_study_status(scene: Scene) -> str:
    """ImagingStudy.status <- isCancelled: `cancelled` without a signed report, else `unknown`: images may not exist.

    https://hl7.org/fhir/R4/imagingstudy-definitions.html#ImagingStudy.status
    """
    return "cancelled" if scene.study.is_cancelled and not scene.study.completed else "unknown"


def imaging_study_modality(scene: Scene) -> list[Json]:
    """ImagingStudy.modality <- Study.modality: each of several, as DICOM code if we know it, else as text only.

    https://hl7.org/fhir/R4/imagingstudy-definitions.html#ImagingStudy.modality
    """
    scene.issues.extend(modality_issues(scene.study))
    text = line(scene.study.modality)
    codes = dicom_modalities(text)
    unknown = [part for part in modality_parts(text) if not dicom_modality(part)]
    return [*({"system": DICOM_DCM, "code": code} for code in codes), *({"display": part} for part in unknown)]


def imaging_study_started(scene: Scene, reports: Sequence[ReportParts]) -> str | None:
    """ImagingStudy.started <- snapshotMetadata.studyDate, studyTime of the newest original; never the time of signing.

    https://hl7.org/fhir/R4/imagingstudy-definitions.html#ImagingStudy.started
    """
    spoken = next((parts for parts in reports if parts.report.snapshot_pointer == scene.subject.pointer), None)
    return spoken.effective if spoken and not spoken.is_effective_derived else None


def imaging_study_reason(scene: Scene) -> list[Json]:
    """ImagingStudy.reasonCode <- Study.clinicalIndication, clinicalHistory.

    https://hl7.org/fhir/R4/imagingstudy-definitions.html#ImagingStudy.reasonCode
    """
    study = scene.study
    return [{"text": text} for text in map(line, (study.clinical_indication, study.clinical_history)) if text]


def imaging_study_note(scene: Scene) -> list[Json]:
    """ImagingStudy.note <- Study.technologistTechnique, marked by an extension, then technologistNotes.

    https://hl7.org/fhir/R4/imagingstudy-definitions.html#ImagingStudy.note
    """
    study = scene.study
    notes: list[Json] = [{"text": text} for text in map(line, study.technologist_notes) if text]
    if technique := line(study.technologist_technique):
        mark = extension(scene.site.canonical, "technologistTechnique", "Boolean", True)
        return [{"extension": [mark], "text": technique}, *notes]
    return notes


def imaging_study_extension(scene: Scene) -> list[Json]:
    """ImagingStudy.extension <- Study.severity, studyReportStatus, expressCustomer: they have no other place in R4.

    https://hl7.org/fhir/R4/imagingstudy-definitions.html#ImagingStudy.extension
    """
    study, canonical = scene.study, scene.site.canonical
    texts = {"severity": line(study.severity), "studyReportStatus": line(study.study_report_status)}
    made = [extension(canonical, name, "String", text) for name, text in texts.items() if text]
    if study.express_customer and (value := line(study.express_customer.express_customer_id)):
        name = line(study.express_customer.express_customer_name)
        customer = identifier(SID_EXPRESS_CUSTOMER, value, assigner=name)
        made.append(extension(canonical, "expressCustomer", "Identifier", customer))
    return made


def imaging_study_endpoint(scene: Scene) -> list[Json]:
    """ImagingStudy.endpoint <- the DICOMweb service and the viewer of the facility (settings), as contained Endpoints.

    https://hl7.org/fhir/R4/imagingstudy-definitions.html#ImagingStudy.endpoint: DICOM WADO-RS for the images, and IHE
    Invoke Image Display for a viewer. The gateway asks neither, so that the status of the images stays unknown.
    """
    uid, facility = line(scene.study.study_instance_uid), scene.facility
    if facility is None or not (facility.dicomweb or facility.viewer):
        return []
    uid = uid if uid and is_dicom_uid(uid) else ""
    numbers = {one.accession_number for one in scene.orders}
    viewer = facility.viewer_address(uid, numbers.pop() if len(numbers) == 1 else "")
    if (facility.dicomweb and not uid) or (facility.viewer and not viewer):
        scene.inform(
            "images-not-linked", "/studyInstanceUid", "a number that the address of the images needs is unknown"
        )
    made = [_endpoint("dicomweb", "dicom-wado-rs", facility.dicomweb, "application/dicom")] if uid else []
    return [one for one in (*made, _endpoint("viewer", "ihe-iid", viewer, "text/html")) if one["address"]]


def _endpoint(name: str, connection: str, address: str, mime_type: str) -> Json:
    return {
        "resourceType": "Endpoint",
        "id": name,
        "status": "active",
        "connectionType": coding(ENDPOINT_CONNECTION, connection),
        "payloadType": [{"coding": [coding(ENDPOINT_PAYLOAD, "any")]}],
        "payloadMimeType": [mime_type],
        "address": address,
    }


def imaging_study(scene: Scene, reports: Sequence[ReportParts], orders: Sequence[Json] = ()) -> Json:
    """Build the ImagingStudy, with references to its ServiceRequests; series and instances are unknown."""
    snapshot = scene.snapshot
    description, procedure = line(scene.study.study_description), line(snapshot.procedure)
    started, endpoints = imaging_study_started(scene, reports), imaging_study_endpoint(scene)
    return without_empty(
        {
            "resourceType": "ImagingStudy",
            "id": fhir_id(scene.study.study_id),
            "contained": endpoints,
            "text": narrative(description or procedure or "Imaging study", [("Started", started)]),
            "extension": imaging_study_extension(scene),
            "identifier": imaging_study_identifier(scene),
            "status": imaging_study_status(scene),
            "modality": imaging_study_modality(scene),
            "subject": reference("Patient", scene.subject.identity.patient_id, line(snapshot.patient_name)),
            "encounter": encounter_reference(scene, scene.visit),
            "started": started,
            "basedOn": list(orders),
            "referrer": requester(scene),
            "endpoint": [{"reference": f"#{one['id']}"} for one in endpoints],
            "procedureCode": [{"text": procedure}] if procedure else None,
            "reasonCode": imaging_study_reason(scene),
            "note": imaging_study_note(scene),
            "description": description,
        }
    )
