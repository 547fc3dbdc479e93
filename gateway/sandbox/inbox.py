"""Inbox of the test receiver: keep the latest messages, within limits, and mark a repeated message control id (MSH-10).

Carries out no clause: HL7 has no rule for duplicates; a repeated message control id (MSH-10) is only reported.
Proved by tests/gateway/sandbox/test_receiver.py.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

KEPT_MESSAGES: Final = 1_000
KEPT_BYTES: Final = 256 * 1024 * 1024
KNOWN_CONTROL_IDS: Final = 100_000


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """One received message.

    `number` counts from 1. `control_id` is MSH-10, "" if there is none. `repeat` is "" for a new MSH-10; otherwise it
    tells if the first message with it had the same bytes. `answer` is MSA-1 of the answer, or the action instead.
    """

    number: int
    control_id: str
    payload: bytes = field(repr=False)
    answer: str
    repeat: Literal["", "same", "other"] = ""
    file: Path | None = None


class ReceiverInbox:
    """The latest messages, oldest first: at most a thousand and 256 MiB, but at least one."""

    def __init__(self) -> None:
        self.messages: deque[ReceivedMessage] = deque()
        self._count = 0
        self._bytes = 0
        self._known: OrderedDict[str, bytes] = OrderedDict()

    def take(self, payload: bytes, control_id: str, *, answer: str, file: Path | None) -> ReceivedMessage:
        """Store a message, and drop the oldest ones beyond the limits."""
        self._count += 1
        repeat = self._repeat(control_id, hashlib.sha256(payload).digest()) if control_id else ""
        message = ReceivedMessage(self._count, control_id, payload, answer, repeat, file)
        self.messages.append(message)
        self._bytes += len(payload)
        while len(self.messages) > KEPT_MESSAGES or (self._bytes > KEPT_BYTES and len(self.messages) > 1):
            self._bytes -= len(self.messages.popleft().payload)
        return message

    def _repeat(self, control_id: str, digest: bytes) -> Literal["", "same", "other"]:
        before = self._known.setdefault(control_id, digest)
        self._known.move_to_end(control_id)
        if len(self._known) > KNOWN_CONTROL_IDS:
            self._known.popitem(last=False)
        if before is digest:
            return ""
        return "same" if before == digest else "other"
