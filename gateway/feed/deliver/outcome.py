"""Decide a message's result by its acknowledgement or its error: delivered, retry, in doubt, held, dead letter.

HL7 v2.5.1 §2.9.2.2 (AE: the content is at fault, do not send it unchanged; AR: nothing to do with the content, it may
be accepted later), tables 0008 and 0357; decision D32. A switch serves receivers that swap the two, and each
destination may have its own table. If nothing was written, the message is tried again without counting an attempt. If
it was written without a usable answer, it is in doubt: the same bytes go again with the same control id, until the lane
is held. While a receiver answers nothing at all, only the first such lane is held, since the fault is not in the
messages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from random import Random
from typing import Final, Literal

from gateway.feed.payload import Acknowledgement
from gateway.routing import Destination
from gateway.runtime.errors import FeedError
from gateway.store.feed.messages import IN_DOUBT, NEVER, REFUSED, Head, SendResult
from gateway.store.feed.states import FOR_NOW, MOVED, MessageState

Meaning = Literal["delivered", "retry", "hold_lane", "dead_letter"]

MEANINGS: Final[dict[str, Meaning]] = {
    "AA": "delivered",
    "CA": "delivered",
    "AE": "hold_lane",
    "CE": "hold_lane",
    "AR": "retry",
    "CR": "retry",
}
# By HL7 these mean that the message may be accepted later
_LATER: Final = frozenset({"AR", "CR"})
_INVERTED: Final = {"AE": "AR", "AR": "AE", "CE": "CR", "CR": "CE"}
# Table 0357: message type, event code, processing id or version not supported: every message of ours will be refused
_UNSUPPORTED: Final = frozenset({"200", "201", "202", "203"})


@dataclass(frozen=True, slots=True)
class AckRuling:
    """Meaning of an acknowledgement; `code` is its code with that of the first error, such as `AE-207`.

    `pauses`: the destination supports none of our messages. `is_for_now`: it answered AR or CR and may accept the
    message later. Not so for a destination that swaps AE and AR, or for a message type that it never accepts.
    """

    meaning: Meaning
    code: str
    pauses: bool = False
    is_for_now: bool = False


def ruling_on(ack: Acknowledgement, destination: Destination) -> AckRuling:
    """Decide what an acknowledgement means for its message."""
    code = f"{ack.code}-{ack.errors[0]}" if ack.errors and ack.code[1] != "A" else ack.code
    meaning = _by_table(ack, destination) or _by_default(ack, destination)
    is_unsupported = meaning != "delivered" and not _UNSUPPORTED.isdisjoint(ack.errors)
    is_for_now = meaning == "retry" and ack.code in _LATER and not is_unsupported
    return AckRuling(meaning, code, is_unsupported, is_for_now)


def _by_table(ack: Acknowledgement, destination: Destination) -> Meaning | None:
    """Look the meaning up in the destination's own table, if any; rows with a pattern come first."""
    rows = sorted(destination.receiver.ack_table, key=lambda row: " " not in row[0])
    for key, meaning in rows:
        code, _, pattern = key.partition(" ")
        if code == ack.code and (not pattern or any(re.search(pattern, text) for text in (*ack.errors, ack.text))):
            return meaning  # type: ignore[return-value]
    return None


def _by_default(ack: Acknowledgement, destination: Destination) -> Meaning:
    code = _INVERTED.get(ack.code, ack.code) if destination.inverted_acks else ack.code
    return MEANINGS[code]


_SECOND: Final = 1_000_000
AWAITS_ACCEPT: Final = "awaits-AA"  # hold reason: the next message waits for the application ACK


class SendOutcomes:
    """Decide the results of messages to one destination; `dice` adds jitter to retries, instants are microseconds."""

    def __init__(self, destination: Destination, dice: Random) -> None:
        self._destination, self._dice = destination, dice
        self._is_silent = False  # no answer has come since a lane was held because of missing answers

    def of_answer(self, head: Head, ack: Acknowledgement | None, now: int) -> SendResult:
        """Return the result of an answer; `ack` is None if the transport has none and accepted the message."""
        self._is_silent = False
        if ack is None:
            return SendResult(head, "delivered")
        ruling = ruling_on(ack, self._destination)
        if ruling.meaning == "delivered":
            is_commit = ack.code.startswith("C")
            committed, accepted = (now, None) if is_commit else (None, now)
            holds = AWAITS_ACCEPT if is_commit and self._awaits_accept(head) else ""
            return SendResult(head, "delivered", ack=ack.code, committed=committed, accepted=accepted, holds=holds)
        if ruling.meaning == "dead_letter":
            return _given_up(head, ruling.code, ack.code, pauses=ruling.pauses)
        most = self._destination.retry.max_attempts
        if ruling.meaning == "retry" and (not most or head.attempts + 1 < most):
            due = now + self._delay(head.attempts + 1)
            refused = SendResult(head, "queued", ruling.code, ack.code, due, head.doubts)
        else:
            holds = FOR_NOW if ruling.is_for_now else REFUSED
            refused = SendResult(head, "held", ruling.code, ack.code, doubts=head.doubts, holds=holds)
        return replace(refused, pauses=ruling.pauses, is_for_now=ruling.is_for_now)

    def of_failure(self, head: Head, error: FeedError, now: int) -> SendResult:
        """Return the result of a failure, depending on how much of the message the receiver may have."""
        if error.retry == "permanent":
            return _given_up(head, error.code)
        if error.retry == "transient":  # nothing was written: a message that was in doubt before still is
            state: MessageState = "indeterminate" if head.state == "indeterminate" else "queued"
            return SendResult(head, state, error.code, doubts=head.doubts, unsent=True)
        most = self._destination.retry.indeterminate_resends
        doubts = head.doubts + 1
        if doubts > most and not self._is_silent:
            self._is_silent = True
            return SendResult(head, "indeterminate", error.code, due=NEVER, doubts=doubts, holds=IN_DOUBT)
        doubts = min(doubts, most)
        wait = max(self._delay(doubts), int(self._destination.retry.in_flight * _SECOND))
        return SendResult(head, "indeterminate", error.code, due=now + wait, doubts=doubts)

    def _awaits_accept(self, head: Head) -> bool:
        """True if the lane must wait until the application has accepted this message (D13)."""
        return head.kind == MOVED and self._destination.receiver.ack_mode == "two_phase"

    def _delay(self, attempt: int) -> int:
        """Return the microseconds until the next try: doubled each time up to a limit, with random jitter."""
        retry = self._destination.retry
        seconds = min(retry.first * 2.0 ** min(attempt - 1, 30), retry.cap)
        return int(seconds * (1 + retry.jitter * (2 * self._dice.random() - 1)) * _SECOND)


def _given_up(head: Head, reason: str, ack: str = "", *, pauses: bool = False) -> SendResult:
    """Return a dead letter; for a withdrawal from another patient hold the lane instead (D13)."""
    if head.kind == MOVED:
        return SendResult(head, "held", reason, ack, holds=REFUSED, pauses=pauses)
    return SendResult(head, "dead_letter", reason, ack, pauses=pauses)
