"""Provenance <- where a report's resource comes from: updatedAt, createdAt, signedAt, userId, reportId.

https://hl7.org/fhir/R4/provenance.html, US Core Provenance Profile, decision D29.
"""

from __future__ import annotations

from mappings.codes import PROVENANCE_PARTICIPANT, SID_GATEWAY, SID_REPORT, US_CORE, US_CORE_PROVENANCE_PARTICIPANT
from mappings.dates import parse_instant
from mappings.fhir.datatypes import Json, coding, identifier, reference, said
from mappings.fhir.narrative import narrative
from mappings.fhir.report_parts import ReportParts
from mappings.fhir.scene import Scene

_GATEWAY_NAME = "autoscribe-gateway"


def provenance_recorded(parts: ReportParts) -> str | None:
    """Provenance.recorded <- updatedAt ?? signedAt ?? createdAt.

    https://hl7.org/fhir/R4/provenance-definitions.html#Provenance.recorded
    """
    return parts.updated or parts.signed or parts.created


def provenance_occurred(parts: ReportParts) -> Json | None:
    """Provenance.occurred[x] <- createdAt, signedAt: from the first dictation to the signature.

    https://hl7.org/fhir/R4/provenance-definitions.html#Provenance.occurred_x_
    A period that would end before it starts (per-1) is not said.
    """
    start, end = parse_instant(parts.report.created_at), parse_instant(parts.report.signed_at)
    if start is None or (end is not None and end < start):
        return None
    return said({"start": parts.created, "end": parts.signed})


def provenance_agent(parts: ReportParts) -> list[Json]:
    """Provenance.agent <- userId as author, and this gateway as transmitter, both for the facility where one is said.

    https://hl7.org/fhir/R4/provenance-definitions.html#Provenance.agent
    """
    gateway = {"type": "Device", "identifier": identifier(SID_GATEWAY, _GATEWAY_NAME), "display": _GATEWAY_NAME}
    roles = (
        (PROVENANCE_PARTICIPANT, "author", parts.practitioner),
        (US_CORE_PROVENANCE_PARTICIPANT, "transmitter", gateway),
    )
    return [
        said({"type": {"coding": [coding(system, code)]}, "who": who, "onBehalfOf": parts.organization})
        for system, code, who in roles
    ]


def provenance(scene: Scene, parts: ReportParts) -> Json | None:
    """The Provenance of a report's DiagnosticReport; None where no moment is known (R4 wants `recorded`)."""
    recorded = provenance_recorded(parts)
    if recorded is None:
        scene.warn("provenance-undated", f"{parts.report.pointer}/updatedAt", "no Provenance: no moment is known")
        return None
    source = {"type": "DiagnosticReport", "identifier": identifier(SID_REPORT, parts.report.report_id)}
    return said(
        {
            "resourceType": "Provenance",
            "id": f"{parts.resource_id}-prov",
            "meta": {"profile": [f"{US_CORE}provenance"]} if parts.organization else None,
            "text": narrative("Provenance", [("Recorded", recorded), ("Author", parts.practitioner.get("display"))]),
            "target": [reference("DiagnosticReport", parts.resource_id)],
            "occurredPeriod": provenance_occurred(parts),
            "recorded": recorded,
            "agent": provenance_agent(parts),
            "entity": [{"role": "source", "what": source}],
        }
    )
