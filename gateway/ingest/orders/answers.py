"""Decide what becomes of a message that came in, and write the answer that its sender asks for.

HL7 v2.5.1 §2.9.2 (original mode), §2.9.3 (enhanced mode), §2.15.9.15 and §2.15.9.16 (MSH-15, MSH-16), tables 0008,
0155, 0357; decision D48. An error stops the whole interface of most senders, so only what is unreadable or forbidden
gets one.
Proved by tests/gateway/ingest/orders/test_answers.py.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import datetime
from typing import Final, Literal, NamedTuple, cast

from mappings.hl7v2.ack import HL70155, AckCode, AckError, acknowledge
from mappings.hl7v2.received import Received
from mappings.hospital.events import HospitalMessage

Outcome = Literal[
    "stored",
    "duplicate",
    "not-listed",
    "not-radiology",
    "wrong-processing-id",
    "other-sender",
    "unreadable",
    "frame-too-large",
    "acknowledgement",
]
"""Outcome of a message. An `acknowledgement` answers another message, and gets no answer itself."""


class AnswerRow(NamedTuple):
    """Second letter of MSA-1, and the error."""

    letter: Literal["A", "E", "R"]
    error: AckError | None = None


_REJECTED: Final = AnswerRow("R", AckError("200", "MSH^1^9", "E", text="Unsupported message type"))
# Outcome -> answer, with errors of HL7 table 0357 Message Error Condition Codes
ANSWERS: Final[dict[Outcome, AnswerRow]] = {
    "stored": AnswerRow("A"),
    "duplicate": AnswerRow("A"),
    "not-listed": AnswerRow("A"),
    "not-radiology": AnswerRow("A"),
    "wrong-processing-id": AnswerRow("R", AckError("202", "MSH^1^11", "E", text="Unsupported processing id")),
    "other-sender": AnswerRow("R", AckError("207", "MSH^1^3", "E", text="Sender not allowed")),
    "unreadable": AnswerRow("E", AckError("207", "MSH^1", "E", text="No HL7 v2 message")),
    "frame-too-large": AnswerRow("E", AckError("207", "MSH^1", "E", text="Message too large")),
}


def is_acknowledgement(received: Received) -> bool:
    """True for a message that answers another one: an answer to it would go on for ever (§2.9.2)."""
    is_ack = received.components(received.msh.field(9))[0].strip() == "ACK"
    return is_ack or any(segment.name == "MSA" for segment in received.segments)


def outcome_of(message: HospitalMessage) -> Outcome:
    """Return the outcome of a message that could be read, unless it is a duplicate."""
    return "stored" if message.taken == "taken" else message.taken


def written_answers(
    payload: bytes, received: Received | None, outcome: Outcome, *, rejects_unlisted: bool, at: datetime
) -> Iterator[bytes]:
    """Yield the answers: in original mode one, in enhanced mode those that MSH-15 and MSH-16 ask for."""
    answer = _REJECTED if outcome == "not-listed" and rejects_unlisted else ANSWERS[outcome]
    for first in _modes(received, is_accepted=answer.letter == "A"):
        code = cast(AckCode, first + answer.letter)
        written = at.strftime("%Y%m%d%H%M%S+0000")
        yield acknowledge(payload, code, control_id=secrets.token_hex(10), at=written, error=answer.error)


def _modes(received: Received | None, *, is_accepted: bool) -> Iterator[str]:
    """Yield the first letters of MSA-1; a condition outside table 0155 is as empty."""
    conditions = [received.msh.field(number).strip() for number in (15, 16)] if received else ["", ""]
    if not any(condition in HL70155 for condition in conditions):
        yield "A"
        return
    for letter, condition in zip("CA", conditions, strict=True):
        if_accepted, if_not = HL70155.get(condition, (False, False))
        if if_accepted if is_accepted else if_not:
            yield letter
