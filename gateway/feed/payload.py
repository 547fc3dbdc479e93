"""Interface of a message format (payload): compose messages, read answers, print both. HL7 v2 is the only format.

Carries out no clause of a standard; decisions D7, D32. Delivery, alerts, operators and the store know of a message its
bytes, its control id (which makes it idempotent), its hash, and the columns of `NewMessage`. Whatever else they need,
they ask of the kind of payload. HL7 v2 is the only kind (gateway/feed/compose/hl7v2_payload.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from gateway.routing import Destination
from gateway.store.database.kept import Kept
from gateway.store.feed.outbox import ComposedStudy, WaitingRow
from gateway.store.feed.sent import SentState
from mappings.profile import Receiver, Site

# Result of an acknowledgement that a receiver brought: stored, for no message of ours, or no acknowledgement at all
Receipt = Literal["stored", "unmatched", "unreadable"]


@dataclass(frozen=True, slots=True)
class StudyRound:
    """Study to compose messages of: as stored, what the destination was sent of it, and the time of rendering.

    `formers` are its earlier states, needed if an operator released a move of the study.
    """

    known: Kept
    revision: int
    sent: SentState
    at: datetime
    formers: Sequence[Kept] = ()


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Receiver's answer to the message `control_id`.

    `code` is of HL7 table 0008: answers of every transport are read into its six codes. `errors` are the codes of the
    faults named, `raw` is the answer as received. `repr` leaves out `text` and `raw`, which can repeat content.
    """

    code: str
    control_id: str
    text: str = field(default="", repr=False)
    errors: tuple[str, ...] = ()
    raw: bytes = field(default=b"", repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class PrintedField:
    """Field of a message that has a value: `place` in this message (`OBX[3]-5`), `of_any` (`OBX-5`), and its name.

    `value` is decoded text, in printable characters and line breaks.
    """

    place: str
    of_any: str
    name: str
    value: str = field(repr=False)


class NotAnAcknowledgement(ValueError):
    """Bytes that are no acknowledgement: `code` is the reason. The error's text never holds the bytes."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


class PayloadKind(Protocol):
    """Message format: composes messages, reads the answers to them, prints both for operators. It keeps no state.

    `suffix` ends the names of message files.
    """

    suffix: str

    def composed(
        self, study: StudyRound, rows: Sequence[WaitingRow], site: Site, destination: Destination
    ) -> ComposedStudy:
        """Compose the messages for the outbox rows of a study, in order; `site` is adapted to the destination. Pure."""

    def content_type(self, style: str, receiver: Receiver) -> str:
        """Return the Content-Type of a message to a receiver, for a style of the HTTP transport."""

    def acknowledgement(self, answer: bytes) -> Acknowledgement:
        """Read a receiver's answer.

        Raises:
            NotAnAcknowledgement: it is none.
        """

    def receipt(self, answer: bytes, receipt: Receipt, control_id: str, at: datetime) -> bytes | None:
        """Return our answer to an acknowledgement that a receiver sent; None if it asks for none.

        `control_id` and `at` are the id and the time of the answer.
        """

    def printed(self, data: bytes) -> list[str]:
        """Return a message, or any bytes received in place of an answer, in printable lines."""

    def fields(self, data: bytes) -> list[PrintedField]:
        """Return the fields of a message that have a value, in order; none if the bytes are no message."""

    def printed_answer(self, answer: bytes) -> Mapping[str, Any]:
        """Return the content of an answer as JSON: code, controlId, text and errors; or the reason `unreadable`."""

    def differences(self, before: bytes, after: bytes) -> list[tuple[str, str, str]]:
        """Return place, old value and new value of each difference of two messages, in printable characters."""

    def resent(self, message: bytes, control_id: str) -> bytes:
        """Return a message with another control id, all else unchanged."""

    def refusal(self, message: bytes, receiver: Receiver) -> str:
        """Return why an old message must not be sent again as it is; empty if it may be."""

    def document_number(self, report_id: str) -> str:
        """Return the filler order number of a report's PDF, for receivers that get it in a message of its own."""


def acknowledged(payload: PayloadKind, answer: bytes) -> Acknowledgement | None:
    """Read the acknowledgement in a receiver's answer; None if it is none."""
    try:
        return payload.acknowledgement(answer)
    except NotAnAcknowledgement:
        return None
