"""What comes of a message that was in hand: from its acknowledgement, or from what failed, to what is written down.

HL7 v2.5.1 §2.9.2; decision D32. Nothing was written: it is tried again as though nothing had been. Written, and no
usable answer: it may have arrived, and goes again, the same bytes with the same MSH-10, until its lane is held. While a
receiver answers nothing at all, only the first such lane is: it is not the messages.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Final

from gateway.feed.deliver.ack_policy import verdict
from gateway.routing import Destination
from gateway.runtime.errors import FeedError
from gateway.store.feed.messages import IN_DOUBT, NEVER, REFUSED, Head, SendResult
from gateway.store.feed.moves import MOVED
from gateway.store.feed.states import FOR_NOW, MessageState
from mappings.hl7v2.ack import Ack

_SECOND: Final = 1_000_000
AWAITS_ACCEPT: Final = "awaits-AA"  # why a lane is held


class SendOutcomes:
    """What comes of messages to one destination; `dice` spreads the next tries, instants are microseconds."""

    def __init__(self, destination: Destination, dice: Random) -> None:
        self._destination, self._dice = destination, dice
        self._is_silent = False  # nothing was answered since a lane was held for want of an answer

    def of_answer(self, head: Head, ack: Ack | None, now: int) -> SendResult:
        """What an answer makes of a message; `ack` is None where the transport has none and took it."""
        self._is_silent = False
        if ack is None:
            return SendResult(head, "delivered")
        said = verdict(ack, self._destination)
        if said.meaning == "delivered":
            is_commit = ack.code.startswith("C")
            at, other = (now, None) if is_commit else (None, now)
            holds = AWAITS_ACCEPT if is_commit and self._awaits_accept(head) else ""
            return SendResult(head, "delivered", ack=ack.code, committed=at, accepted=other, holds=holds)
        if said.meaning == "dead_letter":
            return _given_up(head, said.code, ack.code, pauses=said.pauses)
        most = self._destination.retry.max_attempts
        if said.meaning == "retry" and (not most or head.attempts + 1 < most):
            due = now + self._delay(head.attempts + 1)
            refused = SendResult(head, "queued", said.code, ack.code, due, head.doubts)
        else:
            holds = FOR_NOW if said.is_for_now else REFUSED
            refused = SendResult(head, "held", said.code, ack.code, doubts=head.doubts, holds=holds)
        return replace(refused, pauses=said.pauses, is_for_now=said.is_for_now)

    def of_failure(self, head: Head, error: FeedError, now: int) -> SendResult:
        """What a failure makes of a message, by what the receiver may have of it."""
        if error.retry == "permanent":
            return _given_up(head, error.code)
        if error.retry == "transient":  # nothing was written: if it was in doubt before, it still is
            state: MessageState = "indeterminate" if head.state == "indeterminate" else "queued"
            return SendResult(head, state, error.code, doubts=head.doubts, unsent=True)
        most = self._destination.retry.indeterminate_resends
        doubts = head.doubts + 1
        if doubts > most and not self._is_silent:
            self._is_silent = True
            return SendResult(head, "indeterminate", error.code, due=NEVER, doubts=doubts, holds=IN_DOUBT)
        doubts = min(doubts, most)
        return SendResult(head, "indeterminate", error.code, due=now + self._delay(doubts), doubts=doubts)

    def _awaits_accept(self, head: Head) -> bool:
        """Whether nothing follows a message until the application has taken it (D13)."""
        return head.kind == MOVED and self._destination.receiver.ack_mode == "two_phase"

    def _delay(self, attempt: int) -> int:
        """Microseconds until the next try after so many: doubled each time, up to a cap, more or less by chance."""
        retry = self._destination.retry
        seconds = min(retry.first * 2.0 ** min(attempt - 1, 30), retry.cap)
        return int(seconds * (1 + retry.jitter * (2 * self._dice.random() - 1)) * _SECOND)


def _given_up(head: Head, reason: str, ack: str = "", *, pauses: bool = False) -> SendResult:
    """A dead letter; but nothing follows a message that takes back what another patient was told of (D13)."""
    if head.kind == MOVED:
        return SendResult(head, "held", reason, ack, holds=REFUSED, pauses=pauses)
    return SendResult(head, "dead_letter", reason, ack, pauses=pauses)
