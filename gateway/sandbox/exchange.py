"""One received message with its acknowledgement, and the state that the test receiver keeps between messages.

HL7 v2.5.1 §2.9.2 (answers of a receiver).
Proved by tests/gateway/sandbox/test_answer_manners.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal, cast

from gateway.mllp.framing import CARRIAGE_RETURN, END_BLOCK, START_BLOCK
from gateway.runtime import clock
from gateway.sandbox.late_acks import LateAckSender
from gateway.sandbox.raw_connection import RawConnection
from mappings.hl7v2.ack import AckCode, AckError, acknowledge


@dataclass(slots=True)
class ReceiverState:
    """State of one receiver.

    `written` counts acknowledgements, `split` those sent in two writes. `previous` is the last AA sent by `together`.
    `accepted_at` (seconds of `clock.monotonic`) is when a receiver that demands a pause last accepted a message.
    """

    late: LateAckSender
    written: int = 0
    split: int = 0
    previous: bytes = b""
    accepted_at: float | None = None

    def acknowledge(self, message: bytes, code: AckCode, error: AckError | None = None) -> bytes:
        """Build the content of an acknowledgement, with an MSH-10 unique to this receiver."""
        self.written += 1
        at = clock.now().strftime("%Y%m%d%H%M%S+0000")
        return acknowledge(message, code, control_id=f"ACK{self.written:08d}", at=at, error=error)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Fault of a message that no plan can make acceptable: second letter of MSA-1, and the error."""

    letter: Literal["E", "R"]
    error: AckError


@dataclass(frozen=True, slots=True)
class Exchange:
    """A message that was read, with the connection of its sender; `options` are those of the manner."""

    payload: bytes
    line: RawConnection
    desk: ReceiverState
    options: Mapping[str, float]
    refusal: Refusal | None = None

    def acknowledge(self, code: AckCode, error: AckError | None = None) -> bytes:
        """Build the acknowledgement with this MSA-1; if the message is refused, the refusal instead."""
        if self.refusal is None:
            return self.desk.acknowledge(self.payload, code, error)
        return self.desk.acknowledge(self.payload, cast(AckCode, code[0] + self.refusal.letter), self.refusal.error)

    async def answer(self, code: AckCode, error: AckError | None = None) -> None:
        """Send the acknowledgement with this MSA-1.

        Raises:
            OSError: the connection is lost.
        """
        await self.line.send(framed(self.acknowledge(code, error)))


@dataclass(frozen=True, slots=True)
class NewConnection:
    """A new connection; `keep` records a message without answering it."""

    line: RawConnection
    desk: ReceiverState
    options: Mapping[str, float]
    keep: Callable[[bytes], Awaitable[None]]


def framed(content: bytes) -> bytes:
    """Frame the content; unlike the sender's `encode` it checks nothing, so that spoiled answers can be sent."""
    return b"".join((START_BLOCK, content, END_BLOCK, CARRIAGE_RETURN))
