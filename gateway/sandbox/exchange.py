"""One message and its acknowledgement, and what a receiver remembers from one to the next.

HL7 v2.5.1 §2.9.2 (what a receiver answers).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal, cast

from gateway.mllp.framing import CARRIAGE_RETURN, END_BLOCK, START_BLOCK
from gateway.runtime import clock
from gateway.sandbox.late_acks import LateAckSender
from gateway.sandbox.line import Line
from mappings.hl7v2.ack import AckCode, AckError, acknowledge


@dataclass(slots=True)
class Desk:
    """What one receiver remembers.

    `written` counts its acknowledgements, `split` those that were cut in two. `previous` is the content of the last one
    that went out together with others. `accepted_at`, in seconds of `clock.monotonic`, is when a receiver that demands
    a pause last accepted a message.
    """

    late: LateAckSender
    written: int = 0
    split: int = 0
    previous: bytes = b""
    accepted_at: float | None = None

    def acknowledge(self, message: bytes, code: AckCode, error: AckError | None = None) -> bytes:
        """The content of an acknowledgement, with a MSH-10 that no other of this receiver has."""
        self.written += 1
        at = clock.now().strftime("%Y%m%d%H%M%S+0000")
        return acknowledge(message, code, control_id=f"ACK{self.written:08d}", at=at, error=error)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message cannot be taken whatever the receiver was told: the second letter of MSA-1, and the error."""

    letter: Literal["E", "R"]
    error: AckError


@dataclass(frozen=True, slots=True)
class Exchange:
    """A message that has been read, and the line that its sender waits on. `options` are those of the manner."""

    payload: bytes
    line: Line
    desk: Desk
    options: Mapping[str, float]
    refusal: Refusal | None = None

    def acknowledge(self, code: AckCode, error: AckError | None = None) -> bytes:
        """The content of the acknowledgement with that MSA-1; of a message that cannot be taken, its refusal."""
        if self.refusal is None:
            return self.desk.acknowledge(self.payload, code, error)
        return self.desk.acknowledge(self.payload, cast(AckCode, code[0] + self.refusal.letter), self.refusal.error)

    async def answer(self, code: AckCode, error: AckError | None = None) -> None:
        """Send that acknowledgement.

        Raises:
            OSError: the connection is lost.
        """
        await self.line.send(framed(self.acknowledge(code, error)))


@dataclass(frozen=True, slots=True)
class Meeting:
    """A sender that has just connected. `keep` records a message that came, without an answer."""

    line: Line
    desk: Desk
    options: Mapping[str, float]
    keep: Callable[[bytes], Awaitable[None]]


def framed(content: bytes) -> bytes:
    """The content as one frame; unlike the sender's `encode` it checks nothing, for a spoiled answer must get out."""
    return b"".join((START_BLOCK, content, END_BLOCK, CARRIAGE_RETURN))
