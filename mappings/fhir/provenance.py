"""Map a report's id, author and times to a FHIR Provenance: the origin of the resources made from the report.

https://hl7.org/fhir/R4/provenance.html, US Core Provenance Profile, decision D29.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mappings.codes import (
    PROVENANCE_PARTICIPANT,
    SID_GATEWAY,
    US_CORE,
    US_CORE_PROVENANCE_PARTICIPANT,
)
from mappings.fhir.datatypes import Json, coding, identifier, said
from mappings.fhir.narrative import narrative
from mappings.fhir.report_parts import ReportParts
from mappings.fhir.scene import Scene
from mappings.values.dates import parse_instant

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
    return said({"start": parts.created, "end": parts.signed})


def provenance_agent(parts: ReportParts) -> list[Json]:
    """Provenance.agent <- userId as author, and this gateway as transmitter, both for the facility if there is one.

    https://hl7.org/fhir/R4/provenance-definitions.html#Provenance.agent
    """
    return [
        said({"type": role, "who": who, "onBehalfOf": parts.organization})
        for role, who in ((_AUTHOR, parts.practitioner), (_TRANSMITTER, _GATEWAY))
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
        scene.warn("provenance-undated", f"{parts.report.pointer}/updatedAt", "no Provenance: no moment is known")
        return None
    return said(
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
