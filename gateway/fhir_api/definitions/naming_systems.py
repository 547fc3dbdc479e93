"""Build the NamingSystem resources of the systems of identifiers that the gateway gives.

https://hl7.org/fhir/R4/namingsystem.html: a NamingSystem has no canonical URL; it is found by the system's own URI.
These URIs stand in stored resources, searches and HL7 v2, so they stay as they are (decision D44).
Proved by tests/gateway/fhir_api/definitions/test_defined.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.audit.audit_event import CLIENTS, MESSAGES, REQUESTS
from gateway.audit.syslog_message import LINES
from gateway.fhir_api.definitions.naming import pascal
from mappings import codes

# A NamingSystem must have the date on which it was defined
_DEFINED: Final = "2026-11-28"
_HASHED: Final = " A colon and a hash of where the number comes from follow."
# URI -> what the identifiers are
SYSTEMS: Final[Mapping[str, str]] = {
    codes.SID_REPORT: "Ids of reports in AutoScribe.",
    codes.SID_STUDY: "Ids of studies in AutoScribe.",
    codes.SID_USER: "Ids of users in AutoScribe.",
    codes.SID_FACILITY: "Names of facilities in AutoScribe.",
    codes.SID_EXPRESS_CUSTOMER: "Ids of express customers in AutoScribe.",
    codes.SID_FILLER_ORDER: "Filler order numbers that this gateway gives to reports, as in OBR-3.",
    codes.SID_ACCESSION: "Accession numbers whose issuer the site's settings do not name.",
    codes.SID_PLACER_ORDER: "Placer order numbers whose issuer the site's settings do not name.",
    codes.SID_STUDY_PATIENT: "Patients who are known by one study alone.",
    codes.SID_MRN_UNASSIGNED: f"MRNs whose issuer is not known, or that are in doubt.{_HASHED}",
    codes.SID_EXTERNAL_UNASSIGNED: f"External patient ids whose issuer is not known, or in doubt.{_HASHED}",
    codes.SID_HOSPITAL: "Numbers of a hospital whose namespace has no URI. A colon and a hash of the namespace follow.",
    codes.SID_STUDY_UID_ODD: "Study instance UIDs that are no OIDs.",
    codes.SID_NPI_UNVERIFIED: "Numbers given as NPI that have a wrong check digit.",
    codes.SID_GATEWAY: "Names of this gateway as a device.",
    CLIENTS: "Ids of the clients of this gateway, in its audit.",
    LINES: "Lines of the audit journal that a copy is of: segment, sequence, and SHA-256 digest.",
    REQUESTS: "Ids of requests to this gateway, in its audit and its log.",
    MESSAGES: "Control ids (MSH-10) of HL7 v2 messages of this gateway.",
}


def naming_systems() -> list[dict[str, Any]]:
    """Build the NamingSystem of every system of identifiers."""
    return [_naming_system(uri, meaning) for uri, meaning in SYSTEMS.items()]


def _naming_system(uri: str, meaning: str) -> dict[str, Any]:
    name = uri.removeprefix("urn:autoscribe-gateway:").replace(":", "-")
    return {
        "resourceType": "NamingSystem",
        "id": name,
        "name": pascal(name),
        "status": "active",
        "kind": "identifier",
        "date": _DEFINED,
        "description": meaning,
        "uniqueId": [{"type": "uri", "value": uri}],
    }
