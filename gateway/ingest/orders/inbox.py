"""Receive a hospital's message: decide whether it is accepted, store it durably, then acknowledge it.

HL7 v2.5.1 §2.9.2 (original mode), §2.9.3 (enhanced mode), §2.15.9.15 and §2.15.9.16 (MSH-15, MSH-16), tables 0008,
0155, 0357, over HL7 Transport Specification: MLLP, Release 1; decision D48. No acknowledgement precedes the commit. If
the store cannot be reached, nothing is answered and the connection is closed: the sender sends the message again. What
is not listed or not about radiology is acknowledged and not stored. An error stops the whole interface of most senders,
so only what is unreadable or forbidden gets one.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Final, Literal, NamedTuple, cast

from gateway.ingest.orders.sources import HospitalSource
from gateway.mllp.caller import Caller
from gateway.mllp.framing import Event, Frame, encode
from gateway.mllp.listener import ListenAddress, MllpListener
from gateway.runtime import clock
from gateway.runtime.log import get_logger
from gateway.runtime.metrics import Metrics
from gateway.store.database.engine import INBOUND, Engine, micros
from gateway.store.orders.inbound import NewInbound, add_message
from mappings.hl7v2.ack import HL70155, AckCode, AckError, acknowledge
from mappings.hl7v2.inbound import kept_bytes, read_hospital_message
from mappings.hl7v2.received import Received, Unreadable, read
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
    """Second letter of MSA-1 and the error, for one outcome."""

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
    """True for a message that is itself an answer; answering it would go on for ever (§2.9.2)."""
    is_ack = received.components(received.msh.field(9))[0].strip() == "ACK"
    return is_ack or any(segment.name == "MSA" for segment in received.segments)


def outcome_of(message: HospitalMessage) -> Outcome:
    """Decide the outcome of a readable message, duplicates aside."""
    return "stored" if message.taken == "taken" else message.taken


def written_answers(
    payload: bytes, received: Received | None, outcome: Outcome, *, rejects_unlisted: bool, at: datetime
) -> Iterator[bytes]:
    """Yield our answers: one in original mode; in enhanced mode those that MSH-15 and MSH-16 ask for."""
    answer = _REJECTED if outcome == "not-listed" and rejects_unlisted else ANSWERS[outcome]
    for first in _modes(received, is_accepted=answer.letter == "A"):
        code = cast(AckCode, first + answer.letter)
        written = at.strftime("%Y%m%d%H%M%S+0000")
        yield acknowledge(payload, code, control_id=secrets.token_hex(10), at=written, error=answer.error)


def _modes(received: Received | None, *, is_accepted: bool) -> Iterator[str]:
    """Yield the first letters of MSA-1; a condition outside table 0155 counts as empty."""
    conditions = [received.msh.field(number).strip() for number in (15, 16)] if received else ["", ""]
    if not any(condition in HL70155 for condition in conditions):
        yield "A"
        return
    for letter, condition in zip("CA", conditions, strict=True):
        if_accepted, if_not = HL70155.get(condition, (False, False))
        if if_accepted if is_accepted else if_not:
            yield letter


MOST_BYTES: Final = 16 * 1_048_576  # of a frame: a shared interface also carries results with a PDF


def source_listener(source: HospitalSource, engine: Engine, metrics: Metrics) -> MllpListener:
    """Create the listener of a source."""
    names = {"source": source.name}
    where = (source.host, source.port, source.peers, source.tls, source.place, "listen")
    return MllpListener(
        ListenAddress(*where, "orders", names, MOST_BYTES, source.connections), Inbox(source, engine, metrics)
    )


def new_inbound(source: HospitalSource, message: HospitalMessage, payload: bytes, received: Received) -> NewInbound:
    """Return the message to store, without orders that are meant for other sections."""
    names = (source.stored_name, message.sender, message.control_id, message.structure)
    return NewInbound(*names, payload, kept_bytes(payload, received, source.rules))


class Inbox:
    """Listener's host: stores each frame of a source; see `gateway.mllp.listener.Host`."""

    def __init__(self, source: HospitalSource, engine: Engine, metrics: Metrics) -> None:
        self._source, self._engine, self._metrics = source, engine, metrics

    def turned_away(self) -> None:
        """Count a connection that was refused."""
        self._metrics.heard_order(self._source.name, "turned_away")

    async def take(self, event: Event, caller: Caller) -> bool:
        """Store one message and answer it; return True if the connection stays open.

        Raises:
            StoreUnavailable: the store cannot be reached; nothing was answered.
        """
        if not isinstance(event, Frame):
            self._metrics.heard_order(self._source.name, event.code)
            get_logger().warning("orders-frame-broken", source=self._source.name, code=event.code, bytes=event.count)
            return event.code != "frame-too-large" or self._refuse(event.head, caller)
        begun = clock.monotonic()
        received, outcome = await self._outcome(event.payload)
        self._metrics.heard_order(self._source.name, outcome)
        if outcome in {"wrong-processing-id", "other-sender", "unreadable"}:
            get_logger().warning("order-message-not-taken", source=self._source.name, code=outcome)
        is_heard = self._answer(event.payload, received, outcome, caller)
        self._metrics.answered_order(clock.monotonic() - begun)
        return is_heard

    def _refuse(self, head: bytes, caller: Caller) -> bool:
        """Refuse a frame over the size limit, answering its MSH: unanswered, its sender would repeat it for ever.

        Its rest is skipped as it comes, so the connection stays open.
        """
        whole = head[: max(head.rfind(b"\r"), head.rfind(b"\n")) + 1]
        try:
            received = read(whole)
        except Unreadable:
            return self._answer(whole, None, "frame-too-large", caller)
        outcome: Outcome = "acknowledgement" if is_acknowledgement(received) else "frame-too-large"
        return self._answer(whole, received, outcome, caller)

    def _answer(self, payload: bytes, received: Received | None, outcome: Outcome, caller: Caller) -> bool:
        """Write our answers to a message; False if the sender does not read them."""
        if outcome == "acknowledgement":
            return True
        rejects, at = self._source.rejects_unlisted, clock.now()
        answers = written_answers(payload, received, outcome, rejects_unlisted=rejects, at=at)
        said = [caller.say(encode(answer)) for answer in answers]
        return all(said)

    async def _outcome(self, payload: bytes) -> tuple[Received | None, Outcome]:
        """Read a message, and store it if it is accepted; return the outcome."""
        try:
            received = read(payload)
        except Unreadable:
            return None, "unreadable"
        if is_acknowledgement(received):
            return received, "acknowledgement"
        message = read_hospital_message(received, self._source.rules)
        outcome = outcome_of(message)
        if outcome == "stored":
            new = new_inbound(self._source, message, payload, received)
            number = await self._engine.do(partial(add_message, new, micros(clock.now())))
            if number is None:
                return received, "duplicate"
            self._engine.bell.ring(INBOUND)
        return received, outcome
