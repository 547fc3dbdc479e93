"""Write an entry of the audit as syslog messages: the XML of an ATNA audit message, or the JSON of an AuditEvent.

RFC 5424 (header) and RFC 5425 §4.3 (frames); DICOM PS3.15 §A.5 (XML) and §A.6 (facility, message size, MSGID).
https://www.hl7.org/fhir/R4/auditevent.html#dicom: an AuditEvent has the facts of an ATNA message, one by one. Pure.
Each message names the line of the journal that it copies, with its digest: a receiver's file can be held against the
journal. All text is ASCII, so that no receiver changes it.
Proved by tests/gateway/audit/test_forwarding.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from xml.etree import ElementTree

from gateway.audit.audit_entry import AuditEntry
from gateway.audit.audit_event import DCM, audit_event, event_id

Body = Literal["atna", "balp"]
Json = dict[str, Any]

LINES: Final = "urn:autoscribe-gateway:audit-line"
MOST_OBJECTS: Final = 40  # resources of one message, of some 400 bytes each: a receiver need not take over 32 kB
_SECURITY: Final = 10 * 8  # facility security/authorization
_NOTICE, _WARNING = 5, 4  # severities
_REFUSED: Final = 400  # the first HTTP status of a warning
_MESSAGE_IDS: Final[Mapping[Body, str]] = {"atna": "DICOM+RFC3881", "balp": "AuditEvent"}
_LINE: Final = re.compile(rb"([0-9]{4}-[0-9]{2}-[0-9]{2}\.[A-Za-z0-9_-]+):([0-9]+):([0-9a-f]{64})")
_PATIENT_NUMBER: Final = ("2", "RFC-3881", "Patient Number")
_URI: Final = ("12", "RFC-3881", "URI")


@dataclass(frozen=True, slots=True)
class JournalLine:
    """Place of a line in the journal, and the SHA-256 digest of it in hex."""

    segment: str
    sequence: int
    digest: str

    def __str__(self) -> str:
        return f"{self.segment}:{self.sequence}:{self.digest}"


def lines_named(text: bytes) -> Iterator[JournalLine]:
    """Yield the lines of the journal that a text kept by a receiver names."""
    for segment, sequence, digest in _LINE.findall(text):
        yield JournalLine(segment.decode(), int(sequence), digest.decode())


def syslog_frames(entry: AuditEntry, line: JournalLine, host: str, body: Body, canonical: str) -> bytes:
    """Return the frames of an entry's messages: several if it shows many resources.

    `host` is the machine that wrote the entry, `canonical` the base of the site's own definitions.
    """
    event = audit_event(entry, event_id(line.segment, line.sequence, entry.at), canonical)
    severity = _WARNING if entry.status >= _REFUSED else _NOTICE
    head = f"<{_SECURITY + severity}>1 {event['recorded']} {host[:255]} autoscribe-gateway - {_MESSAGE_IDS[body]} - "
    messages = [head + _text(part, body) for part in _parts(event, line)]
    return b"".join(f"{len(one)} {one}".encode("ascii") for one in messages)


def _parts(event: Json, line: JournalLine) -> Iterator[Json]:
    """Split an AuditEvent by the resources it shows; each part names the journal's line."""
    entities = event.get("entity", [])
    named = {
        "what": {"identifier": {"system": LINES, "value": str(line)}},
        "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-entity-type", "code": "2"},
        "role": {"system": "http://terminology.hl7.org/CodeSystem/object-role", "code": "13"},
    }
    for number, start in enumerate(range(0, max(len(entities), 1), MOST_OBJECTS)):
        name = f"{event['id']}.{number}" if number else event["id"]
        yield {**event, "id": name, "entity": [named, *entities[start : start + MOST_OBJECTS]]}


def _text(event: Json, body: Body) -> str:
    return json.dumps(event, separators=(",", ":")) if body == "balp" else atna_message(event)


def atna_message(event: Json) -> str:
    """Write an AuditEvent as an audit message (DICOM PS3.15 §A.5.1), on one line and in ASCII."""
    message = ElementTree.Element("AuditMessage")
    identification = ElementTree.SubElement(
        message,
        "EventIdentification",
        EventActionCode=event["action"],
        EventDateTime=event["recorded"],
        EventOutcomeIndicator=event["outcome"],
    )
    _coded(identification, "EventID", event["type"])
    for subtype in event.get("subtype", []):
        _coded(identification, "EventTypeCode", subtype)
    if "outcomeDesc" in event:
        ElementTree.SubElement(identification, "EventOutcomeDescription").text = event["outcomeDesc"]
    for purpose in event.get("purposeOfEvent", []):
        _code(identification, "PurposeOfUse", "reason", "autoscribe-gateway", purpose["text"])
    for agent in event["agent"]:
        _active_participant(message, agent)
    source = event["source"]
    audited = ElementTree.SubElement(message, "AuditSourceIdentification", AuditSourceID=source["observer"]["display"])
    _code(audited, "AuditSourceTypeCode", source["type"][0]["code"], "DCM", source["type"][0]["display"])
    for entity in event["entity"]:
        _participant_object(message, entity)
    written: bytes = ElementTree.tostring(message, encoding="us-ascii")
    return written.decode("ascii")


def _active_participant(message: ElementTree.Element, agent: Json) -> None:
    who = agent["who"]
    given = {"UserID": who.get("display") or who["identifier"]["value"]}
    given["UserIsRequestor"] = "true" if agent["requestor"] else "false"
    if "network" in agent:
        network = agent["network"]
        given |= {"NetworkAccessPointID": network["address"], "NetworkAccessPointTypeCode": network["type"]}
    participant = ElementTree.SubElement(message, "ActiveParticipant", given)
    for role in agent.get("type", {}).get("coding", []):
        _coded(participant, "RoleIDCode", role)


def _participant_object(message: ElementTree.Element, entity: Json) -> None:
    what = entity.get("what", {})
    reference = what.get("reference", "")
    identifier = reference or what.get("identifier", {}).get("value", "") or "query"
    given = {"ParticipantObjectID": identifier, "ParticipantObjectTypeCode": "1" if _is_patient(reference) else "2"}
    if "role" in entity:
        given["ParticipantObjectTypeCodeRole"] = entity["role"]["code"]
    shown = ElementTree.SubElement(message, "ParticipantObjectIdentification", given)
    _code(shown, "ParticipantObjectIDTypeCode", *(_PATIENT_NUMBER if _is_patient(reference) else _URI))
    if "query" in entity:
        ElementTree.SubElement(shown, "ParticipantObjectQuery").text = entity["query"]
    else:
        ElementTree.SubElement(shown, "ParticipantObjectName").text = identifier


def _is_patient(reference: str) -> bool:
    return reference.startswith("Patient/")


def _coded(parent: ElementTree.Element, name: str, coding: Mapping[str, str]) -> None:
    system = "DCM" if coding["system"] == DCM else coding["system"]
    _code(parent, name, coding["code"], system, coding.get("display") or coding["code"])


def _code(parent: ElementTree.Element, name: str, code: str, system: str, text: str) -> None:
    given = {"csd-code": code, "codeSystemName": system, "originalText": text}
    ElementTree.SubElement(parent, name, given)
