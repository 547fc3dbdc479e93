"""HL7 v2 as the message format of the feed: composing, content types, acknowledgements, and printing for operators.

HL7 v2.5.1 §2.9.2 and §2.9.3 (acknowledgements), tables 0008, 0155 and 0357;
https://hapifhir.github.io/hapi-hl7v2/hapi-hl7overhttp/specification.html §2 (Content-Type).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from gateway.feed.compose.compose import composed
from gateway.feed.payload import (
    Acknowledgement,
    NotAnAcknowledgement,
    PayloadKind,
    PrintedField,
    Receipt,
    StudyRound,
)
from gateway.routing import Destination
from gateway.store.feed.outbox import ComposedStudy, WaitingRow
from mappings.codes import CHARSETS
from mappings.hl7v2.ack import Ack, AckCode, AckError, AckInvalid, acknowledge, asks_for_commit, parse
from mappings.hl7v2.received import Received, Unreadable, differences, placed, read, segments, with_control_id
from mappings.hl7v2.receiver_rules import check_rules
from mappings.hl7v2.rendering import pdf_number
from mappings.profile import Receiver, Site
from mappings.values.text import printable

_LONGEST: Final = 4_000  # characters of a field's value for people: a PDF in Base64 is far longer
_CONTENT_TYPES: Final = {"hoh": "application/hl7-v2", "plain": "x-application/hl7-v2+er7"}
# Receipt -> MSA-1, and an error of HL7 table 0357 Message Error Condition Codes
_RECEIPTS: Final[dict[Receipt, tuple[AckCode, AckError | None]]] = {
    "stored": ("CA", None),
    "unmatched": ("CE", AckError("204", "MSA^1^2", text="Unknown key identifier")),
    "unreadable": ("CR", AckError("200", text="Unsupported message type")),
}


class Hl7v2Payload:
    """HL7 v2 in ER7, acknowledged by MSA and ERR."""

    suffix = "hl7"

    def composed(
        self, study: StudyRound, rows: Sequence[WaitingRow], site: Site, destination: Destination
    ) -> ComposedStudy:
        """Compose the messages for the outbox rows of a study, as `PayloadKind.composed`."""
        return composed(study, rows, site, destination)

    def content_type(self, style: str, receiver: Receiver) -> str:
        """Return the Content-Type, with the receiver's charset."""
        return f"{_CONTENT_TYPES[style]}; charset={CHARSETS[receiver.charset]}"

    def acknowledgement(self, answer: bytes) -> Acknowledgement:
        """Read an acknowledgement message, as `PayloadKind.acknowledgement`."""
        try:
            ack = _parsed(answer)
        except AckInvalid as error:
            raise NotAnAcknowledgement(error.code) from None
        codes = tuple(error.code for error in ack.errors if error.code)
        return Acknowledgement(ack.code, ack.control_id, ack.text, codes, ack.raw)

    def receipt(self, answer: bytes, receipt: Receipt, control_id: str, at: datetime) -> bytes | None:
        """Return the accept acknowledgement of an acknowledgement, if its MSH-15 asks for one."""
        code, error = _RECEIPTS[receipt]
        if not asks_for_commit(answer, is_accepted=error is None):
            return None
        written = at.strftime("%Y%m%d%H%M%S+0000")
        return acknowledge(answer, code, control_id=control_id, at=written, error=error)

    def printed(self, data: bytes) -> list[str]:
        """Return the message with a line for each segment."""
        return segments(data)

    def fields(self, data: bytes) -> list[PrintedField]:
        """Return the fields that have a value, with their names in HL7 v2.5.1; a very long value is cut."""
        from mappings.hl7v2.judge import field_facts  # the judge's tables take long to load, and only a page needs them

        try:
            message = read(data)
        except Unreadable:
            return []
        codec = CHARSETS.get(message.msh.field(18), "utf-8")
        return [
            PrintedField(f"{place}-{number}", f"{segment.name}-{number}", name, _decoded(message, text, codec))
            for place, segment in placed(message)
            for names in (field_facts(segment.name, "2.5.1"),)
            for number, text in enumerate(segment.fields)
            if number and text
            for name in (names[number].name if number in names else "",)
        ]

    def printed_answer(self, answer: bytes) -> Mapping[str, Any]:
        """Return MSA and ERR of an acknowledgement, or the reason why it is none."""
        try:
            ack = _parsed(answer)
        except AckInvalid as invalid:
            return {"unreadable": invalid.code}
        errors = [
            {"code": error.code, "location": error.location, "severity": error.severity, "text": printable(error.text)}
            for error in ack.errors
        ]
        texts = {"controlId": printable(ack.control_id), "text": printable(ack.text)}
        return {"code": ack.code, **texts, "errors": errors}

    def differences(self, before: bytes, after: bytes) -> list[tuple[str, str, str]]:
        """Return the fields that differ; none if either is no HL7 v2 message."""
        try:
            changes = differences(before, after)
        except Unreadable:
            return []
        return [(change.place, printable(change.was), printable(change.now)) for change in changes]

    def resent(self, message: bytes, control_id: str) -> bytes:
        """Return a message with another MSH-10."""
        return with_control_id(message, control_id)

    def refusal(self, message: bytes, receiver: Receiver) -> str:
        """Return `rule-broken` if a message breaks a rule of its receiver, else nothing."""
        is_broken = any(broken.issue.severity == "error" for broken in check_rules(message, receiver))
        return "rule-broken" if is_broken else ""

    def document_number(self, report_id: str) -> str:
        """Return EI.1 of OBR-3 in the PDF's own message."""
        return pdf_number(report_id)


HL7V2: Final[PayloadKind] = Hl7v2Payload()


def _decoded(message: Received, text: str, codec: str) -> str:
    """Return a field's value as people read it; the delimiters of MSH-2 have no escapes to decode."""
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}… ({len(text) - _LONGEST} more characters)"
    plain = text if text == message.delimiters.encoding_characters else message.delimiters.unescape(text, codec)
    return "\n".join(printable(line) for line in plain.split("\n"))


@lru_cache(maxsize=16)  # each frame is parsed twice: to see if it is the answer, then to return it
def _parsed(answer: bytes) -> Ack:
    return parse(answer)
