"""Render an entry of the audit as a FHIR R4 AuditEvent, by the patterns of IHE BALP: Read, Query and their kin.

https://hl7.org/fhir/R4/auditevent.html, https://profiles.ihe.net/ITI/BALP/ 1.1.4. Pure. In a query the client is the
source and the server the destination; in a read it is the other way round. No profile is claimed: those of BALP ask
for exactly one patient, and a page of a search may show many.
Proved by tests/gateway/audit/test_audit_event.py.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from gateway.audit.audit_entry import AuditEntry
from gateway.store.feed.ledger import ShownMessage

Json = dict[str, Any]

DCM: Final = "http://dicom.nema.org/resources/ontology/DCM"
_TYPES: Final = "http://terminology.hl7.org/CodeSystem/audit-event-type"
_INTERACTIONS: Final = "http://hl7.org/fhir/restful-interaction"
_ENTITY_TYPES: Final = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_ROLES: Final = "http://terminology.hl7.org/CodeSystem/object-role"
_PARTICIPATION: Final = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
_SOURCES: Final = "http://terminology.hl7.org/CodeSystem/security-source-type"
_BALP: Final = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType"
COMMANDS: Final = "command"  # id of the gateway's own code system
CLIENTS: Final = "urn:autoscribe-gateway:client"
REQUESTS: Final = "urn:autoscribe-gateway:request"
MESSAGES: Final = "urn:autoscribe-gateway:message"
EXPORT: Final = "110106"
_GATEWAY: Final = "autoscribe-gateway"

_REST: Final = {"system": _TYPES, "code": "rest", "display": "RESTful Operation"}
_LOGIN: Final = {"system": DCM, "code": "110114", "display": "User Authentication"}
_ALERT: Final = {"system": DCM, "code": "110113", "display": "Security Alert"}
_ACTIVITY: Final = {"system": DCM, "code": "110100", "display": "Application Activity"}
_SOURCE: Final = {"system": DCM, "code": "110153", "display": "Source Role ID"}
_DESTINATION: Final = {"system": DCM, "code": "110152", "display": "Destination Role ID"}
# Kind of an entry -> type, code and display of the subtype (empty: none, or the command), action
KINDS: Final[Mapping[str, tuple[Mapping[str, str], str, str, str]]] = {
    "read": (_REST, "read", "read", "R"),
    "binary": (_REST, "read", "read", "R"),
    "vread": (_REST, "vread", "vread", "R"),
    "history": (_REST, "history-instance", "history-instance", "R"),
    "history-type": (_REST, "history-type", "history-type", "R"),
    "history-system": (_REST, "history-system", "history-system", "R"),
    "search": (_REST, "search", "search", "E"),
    "operation": (_REST, "operation", "operation", "E"),
    "login": (_LOGIN, "110122", "Login", "E"),
    "logout": (_LOGIN, "110123", "Logout", "E"),
    "refusal": (_ALERT, "", "", "E"),
    "act": (_ACTIVITY, "", "", "E"),
}
# Outcome -> the HTTP statuses from, and below
OUTCOMES: Final = {"0": (0, 400), "4": (400, 500), "8": (500, 1_000)}
_ID: Final = re.compile(r"aud-([0-9]{1,17})-([0-9a-f]{16})")
_DELIVERY: Final = re.compile("dlv-([0-9]{1,17})")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def event_id(segment: str, sequence: int, at: int) -> str:
    """Return the AuditEvent id of an entry, by its place in the journal and its instant."""
    return f"aud-{at}-{hashlib.sha256(f'{segment}:{sequence}'.encode()).hexdigest()[:16]}"


def instant_of(resource_id: str) -> int | None:
    """Return the instant in an AuditEvent id, None if the id is none of an entry."""
    match = _ID.fullmatch(resource_id)
    return int(match[1]) if match else None


def message_of(resource_id: str) -> int | None:
    """Return the message number in the AuditEvent id of a delivery, None if the id is none of a delivery."""
    match = _DELIVERY.fullmatch(resource_id)
    return int(match[1]) if match else None


def audit_event(entry: AuditEntry, resource_id: str, canonical: str) -> Json:
    """Render an entry as an AuditEvent; `canonical` is the base of the site's own definitions.

    `outcomeDesc` is a code of the gateway, `entity.query` holds names and digests, no values.
    """
    kind, code, display, action = KINDS[entry.kind]
    event: Json = {"resourceType": "AuditEvent", "id": resource_id, "type": dict(kind)}
    if entry.kind == "act":
        event["subtype"] = [_coding(f"{canonical}/CodeSystem/{COMMANDS}", entry.route.replace(" ", "-"))]
    elif code:
        event["subtype"] = [_coding(_INTERACTIONS if kind is _REST else DCM, code, display)]
    event |= {"action": action, "recorded": _instant(entry.at), "outcome": outcome_of(entry.status)}
    if entry.code:
        event["outcomeDesc"] = entry.code
    if entry.why:
        event["purposeOfEvent"] = [{"text": entry.why}]
    event["agent"] = _agents(entry)
    server = _coding(_SOURCES, "4", "Application Server")
    event["source"] = {"observer": {"display": entry.host or _GATEWAY}, "type": [server]}
    if entities := _entities(entry):
        event["entity"] = entities
    return event


def delivery_event(message: ShownMessage, reports: Sequence[str]) -> Json:
    """Render the sending of a message as an AuditEvent; `reports` are the addresses of its reports.

    DICOM PS3.15 §A.5.3.4 (Export). The outcome is success once the receiver has acknowledged it.
    """
    gateway = {"type": {"coding": [_SOURCE]}, "who": {"display": _GATEWAY}, "requestor": False}
    receiver = {"type": {"coding": [_DESTINATION]}, "who": {"display": message.destination}, "requestor": False}
    identifier = {"system": MESSAGES, "value": message.control_id}
    control = {"what": {"identifier": identifier}, "type": _coding(_ENTITY_TYPES, "2", "System Object")}
    patient = [_entity("1", "Person", "1", "Patient", f"Patient/{message.patient_id}")] if message.patient_id else []
    shown = [_entity("2", "System Object", "4", "Domain Resource", one) for one in reports]
    return {
        "resourceType": "AuditEvent",
        "id": f"dlv-{message.number}",
        "type": _coding(DCM, EXPORT, "Export"),
        "action": "R",
        "recorded": _instant(message.sent or 0),
        "outcome": "0" if message.state == "delivered" else "4",
        **({} if message.state == "delivered" else {"outcomeDesc": message.state}),
        "agent": [gateway, receiver],
        "source": {"observer": {"display": _GATEWAY}, "type": [_coding(_SOURCES, "4", "Application Server")]},
        "entity": [*patient, *shown, control],
    }


def _instant(at: int) -> str:
    return (_EPOCH + timedelta(microseconds=at)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def outcome_of(status: int) -> str:
    """Return the code of the outcome of an HTTP status: 0 success, 4 the asker's fault, 8 the gateway's."""
    return next(code for code, (least, below) in OUTCOMES.items() if least <= status < below)


def _agents(entry: AuditEntry) -> list[Json]:
    is_read = entry.kind in {"read", "binary", "vread", "history"}
    client_role, server_role = (_DESTINATION, _SOURCE) if is_read else (_SOURCE, _DESTINATION)
    if entry.kind == "act":
        return [{"who": {"display": f"{entry.user}@{entry.host}"}, "requestor": True}]
    who: Json = {"identifier": {"system": CLIENTS, "value": entry.client}} if entry.client else {"display": "unknown"}
    client: Json = {"type": {"coding": [client_role]}, "who": who, "requestor": not entry.user}
    if entry.address:
        client["network"] = {"address": entry.address, "type": "2"}
    agents = [client, {"type": {"coding": [server_role]}, "who": {"display": _GATEWAY}, "requestor": False}]
    if entry.user:
        receiver = {"system": _PARTICIPATION, "code": "IRCP", "display": "information recipient"}
        person = {"type": {"coding": [receiver]}, "who": {"identifier": {"value": entry.user}}, "requestor": True}
        agents.append(person)
    return agents


def _entities(entry: AuditEntry) -> list[Json]:
    patients = [_entity("1", "Person", "1", "Patient", f"Patient/{one}") for one in entry.patients]
    named = {f"Patient/{one}" for one in entry.patients}
    shown = [_entity("2", "System Object", "4", "Domain Resource", one) for one in entry.shown if one not in named]
    entities = [*patients, *shown]
    if entry.parameters:
        query = "&".join(f"{name}={digest}" for name, digest in entry.parameters)
        entities.append(
            {
                "type": {"system": _ENTITY_TYPES, "code": "2", "display": "System Object"},
                "role": {"system": _ROLES, "code": "24", "display": "Query"},
                "query": base64.b64encode(query.encode()).decode(),
            }
        )
    if entry.request:
        entities.append(
            {
                "what": {"identifier": {"system": REQUESTS, "value": entry.request}},
                "type": {"system": _BALP, "code": "XrequestId"},
            }
        )
    return entities


def _coding(system: str, code: str, display: str = "") -> dict[str, str]:
    return {"system": system, "code": code, **({"display": display} if display else {})}


def _entity(kind: str, display: str, role: str, role_display: str, address: str) -> Json:
    return {
        "what": {"reference": address},
        "type": {"system": _ENTITY_TYPES, "code": kind, "display": display},
        "role": {"system": _ROLES, "code": role, "display": role_display},
    }
