"""Decide from an acknowledgement's code, errors and text: message delivered, sent again, stopped for review, given up.

HL7 v2.5.1 §2.9.2.2 (AE: the content is at fault, do not send it unchanged; AR: nothing to do with the content, it may
be accepted later), tables 0008 and 0357; decision D32. A switch serves receivers that swap the two, and each
destination may have its own table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from gateway.feed.payload import Acknowledgement
from gateway.routing import Destination

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
    """Ruling on a message: what to do with it, and `code`: its code with that of the first error, such as `AE-207`.

    `pauses`: the destination supports none of our messages. `is_for_now`: it answered AR or CR and may accept the
    message later. Not so for a destination that swaps AE and AR, or for a message type that it never accepts.
    """

    meaning: Meaning
    code: str
    pauses: bool = False
    is_for_now: bool = False


def ruling_on(ack: Acknowledgement, destination: Destination) -> AckRuling:
    """Return the ruling on a message, by its acknowledgement."""
    code = f"{ack.code}-{ack.errors[0]}" if ack.errors and ack.code[1] != "A" else ack.code
    meaning = _by_table(ack, destination) or _by_default(ack, destination)
    is_unsupported = meaning != "delivered" and not _UNSUPPORTED.isdisjoint(ack.errors)
    is_for_now = meaning == "retry" and ack.code in _LATER and not is_unsupported
    return AckRuling(meaning, code, is_unsupported, is_for_now)


def _by_table(ack: Acknowledgement, destination: Destination) -> Meaning | None:
    """Return the meaning in the destination's own table, if any; a row with a pattern goes before one without."""
    rows = sorted(destination.receiver.ack_table, key=lambda row: " " not in row[0])
    for key, meaning in rows:
        code, _, pattern = key.partition(" ")
        if code == ack.code and (not pattern or any(re.search(pattern, text) for text in (*ack.errors, ack.text))):
            return meaning  # type: ignore[return-value]
    return None


def _by_default(ack: Acknowledgement, destination: Destination) -> Meaning:
    code = _INVERTED.get(ack.code, ack.code) if destination.inverted_acks else ack.code
    return MEANINGS[code]
