"""Map ids, authors and times to FHIR Provenances: where the resources of a report, and a Patient, come from.

https://hl7.org/fhir/R4/provenance.html, US Core Provenance Profile, decision D29.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mappings.codes import (
    PROVENANCE_PARTICIPANT,
    SID_GATEWAY,
    SID_STUDY,
    US_CORE,
    US_CORE_PROVENANCE_PARTICIPANT,
)
from mappings.fhir.datatypes import Json, coding, identifier, narrative, reference, without_empty
from mappings.fhir.organization import organization_reference
from mappings.fhir.report_parts import ReportParts
from mappings.fhir.scene import Scene
from mappings.patient.identifiers import fhir_id
from mappings.patient.subjects import Subject
from mappings.values.dates import fhir_instant, parse_instant, read_instant

_GATEWAY_NAME: Final = "autoscribe-gateway"
_META: Final[Json] = {"profile": [f"{US_CORE}provenance"]}
_GATEWAY: Final[Json] = {
    "type": "Device",
    "identifier": identifier(SID_GATEWAY, _GATEWAY_NAME),
    "display": _GATEWAY_NAME,
}
_AUTHOR: Final[Json] = {"coding": [coding(PROVENANCE_PARTICIPANT, "author", "Author")]}
_TRANSMITTER: Final[Json] = {"coding": [coding(US_CORE_PROVENANCE_PARTICIPANT, "transmitter", "Transmitter")]}
_SOURCE: Final = "Report in AutoScribe"
_AUTOSCRIBE: Final[Json] = {"type": "Device", "display": "AutoScribe"}
_ASSEMBLER: Final[Json] = {"coding": [coding(PROVENANCE_PARTICIPANT, "assembler", "Assembler")]}
_STUDY: Final = "Study in AutoScribe"
_UNDATED: Final = "no Provenance: no moment is known"


def provenance_recorded(parts: ReportParts) -> str | None:
    """Provenance.recorded <- updatedAt ?? signedAt ?? createdAt.

    https://hl7.org/fhir/R4/provenance-definitions.html#Provenance.recorded
    """
    return parts.updated or parts.signed or parts.created


def provenance_occurred(parts: ReportParts) -> Json | None:
    """Provenance.occurred[x] <- createdAt, signedAt: from the first dictation to the signature.

    https://hl7.org/fhir/R4/provenance-definitions.html#Provenance.occurred_x_
    A period that would end before it starts (per-1) is left out.
    """
    start, end = parse_instant(parts.created), parse_instant(parts.signed)
    if start is None or (end is not None and end < start):
        return None
    return without_empty({"start": parts.created, "end": parts.signed})


def provenance_agent(parts: ReportParts) -> list[Json]:
    """Provenance.agent <- userId as author, the facility as transmitter, and this gateway as assembler for it.

    https://hl7.org/fhir/R4/provenance-definitions.html#Provenance.agent
    """
    return _agents(parts.practitioner, parts.organization)


def _agents(author: Json, organization: Json | None) -> list[Json]:
    """Agents of a Provenance. US Core asks for an Organization as transmitter; without one it is the gateway.

    https://hl7.org/fhir/us/core/STU6.1/StructureDefinition-us-core-provenance.html
    """
    if organization is None:
        return [{"type": _AUTHOR, "who": author}, {"type": _TRANSMITTER, "who": _GATEWAY}]
    return [
        {"type": _AUTHOR, "who": author, "onBehalfOf": organization},
        {"type": _TRANSMITTER, "who": organization},
        {"type": _ASSEMBLER, "who": _GATEWAY, "onBehalfOf": organization},
    ]


def provenance_entity(parts: ReportParts) -> list[Json]:
    """Provenance.entity <- reportId: the AutoScribe report that the resources were made from.

    https://hl7.org/fhir/R4/provenance-definitions.html#Provenance.entity
    """
    what = {"type": "DiagnosticReport", "identifier": parts.identifier, "display": _SOURCE}
    return [{"role": "source", "what": what}]


def provenance(scene: Scene, parts: ReportParts, targets: Iterable[Json]) -> Json | None:
    """Build the Provenance of a report's `targets`; None without any instant (R4 requires `recorded`)."""
    recorded = provenance_recorded(parts)
    if recorded is None:
        scene.warn("provenance-undated", f"{parts.report.pointer}/updatedAt", _UNDATED)
        return None
    return without_empty(
        {
            "resourceType": "Provenance",
            "id": f"{parts.resource_id}-prov",
            "meta": _META if parts.organization else None,
            "text": narrative("Provenance", [("Recorded", recorded), ("Author", parts.practitioner.get("display"))]),
            "target": list(targets),
            "occurredPeriod": provenance_occurred(parts),
            "recorded": recorded,
            "agent": provenance_agent(parts),
            "entity": provenance_entity(parts),
        }
    )


def patient_provenance_recorded(scene: Scene, spoken: ReportParts | None) -> str | None:
    """Provenance.recorded <- updatedAt ?? signedAt ?? createdAt of the report that speaks for the patient.

    https://hl7.org/fhir/R4/provenance-definitions.html#Provenance.recorded
    Of a study that has no such report (`spoken` None): updatedAt ?? createdAt.
    """
    if spoken is not None:
        return provenance_recorded(spoken)
    for name, text in (("updatedAt", scene.study.updated_at), ("createdAt", scene.study.created_at)):
        moment, doubts = read_instant(text, f"/{name}")
        scene.issues.extend(doubts)
        if moment is not None:
            return fhir_instant(moment)
    return None


def patient_provenance_entity(scene: Scene) -> list[Json]:
    """Provenance.entity <- studyId: the AutoScribe study whose reports say who the patient is.

    https://hl7.org/fhir/R4/provenance-definitions.html#Provenance.entity
    """
    what = {"type": "ImagingStudy", "identifier": identifier(SID_STUDY, scene.study.study_id), "display": _STUDY}
    return [{"role": "source", "what": what}]


def patient_provenance(scene: Scene, subject: Subject, reports: Iterable[ReportParts]) -> Json | None:
    """Build the Provenance of what the study says of a patient: AutoScribe's data, assembled by this gateway.

    Each study that describes a patient has its own; the Patient is as the newest of them says (D12). None without any
    instant (R4 requires `recorded`).
    """
    spoken = next((one for one in reports if one.report.snapshot_pointer == subject.pointer), None)
    recorded = patient_provenance_recorded(scene, spoken)
    if recorded is None:
        scene.warn("provenance-undated", f"{spoken.report.pointer if spoken else ''}/updatedAt", _UNDATED)
        return None
    organization = organization_reference(subject.snapshot, scene.site)
    return without_empty(
        {
            "resourceType": "Provenance",
            "id": f"{fhir_id(subject.number)}-patient-prov",
            "meta": _META if organization else None,
            "text": narrative("Provenance of the patient's data", [("Recorded", recorded), ("Author", "AutoScribe")]),
            "target": [reference("Patient", subject.identity.patient_id)],
            "recorded": recorded,
            "agent": _agents(_AUTOSCRIBE, organization),
            "entity": patient_provenance_entity(scene),
        }
    )
