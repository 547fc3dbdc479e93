"""Table of the states of outbox rows and of messages, with the meaning of each state.

Carries out no clause of a standard; decisions D7, D31, D32, D37. A message has two axes: its delivery (the state) and
its acknowledgement (`ack`: HL7 table 0008, v2.5.1 §2.9.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

OutboxState = Literal[
    "waiting",
    "held",
    "rendered",
    "merged",
    "nothing",
    "before_start",
    "excluded",
    "planned",
    "to_stop",
    "left",
    "unrouted",
    "ignored",
]
MessageState = Literal[
    "queued", "sending", "indeterminate", "held", "delivered", "dead_letter", "superseded", "recorded"
]


@dataclass(frozen=True, slots=True)
class MeaningOfState:
    """Meaning of a state, and whether it is open: more is still to happen."""

    meaning: str
    is_open: bool = False


OUTBOX_STATES: Final[dict[OutboxState, MeaningOfState]] = {
    "waiting": MeaningOfState(
        "a message will be composed of it, once its PDF is there or the wait is over", is_open=True
    ),
    "held": MeaningOfState(
        "no message is composed until the cause in `reason` is gone, or an operator frees it", is_open=True
    ),
    "rendered": MeaningOfState("messages were composed of it"),
    "merged": MeaningOfState("another message of the same study includes it"),
    "nothing": MeaningOfState("nothing is sent, for the reason given"),
    "before_start": MeaningOfState("first signed before the destination's start"),
    "excluded": MeaningOfState("a filter of the destination excludes it"),
    "planned": MeaningOfState(
        "owed since the settings changed, and signed before: it waits for `feed apply`", is_open=True
    ),
    "to_stop": MeaningOfState(
        "was to be sent, but the settings no longer owe it: it waits for `feed apply`", is_open=True
    ),
    "left": MeaningOfState("an operator left it unsent: as part of a plan, or because the receiver has it"),
    "unrouted": MeaningOfState("no destination takes it", is_open=True),
    "ignored": MeaningOfState("no destination takes it, and a rule says that none needs it"),
}
MESSAGE_STATES: Final[dict[MessageState, MeaningOfState]] = {
    "queued": MeaningOfState("to be sent, or sent again, once it is due and at the head of its lane", is_open=True),
    "sending": MeaningOfState("a gateway has it in hand: some of it may be on the wire", is_open=True),
    "indeterminate": MeaningOfState("sent without a usable answer: the same bytes are sent again", is_open=True),
    "held": MeaningOfState(
        "this message, or an earlier one of its lane, waits for an operator or a newer message", is_open=True
    ),
    "delivered": MeaningOfState("the receiver took it: `ack` says at which level"),
    "dead_letter": MeaningOfState("given up, for the reason given"),
    "superseded": MeaningOfState("a newer message includes all of it; it was never delivered"),
    "recorded": MeaningOfState("composed for a destination in dry run: kept and not sent"),
}
# Held row: the authority of the MRN is unknown (D11)
AUTHORITY_UNKNOWN: Final = "authority-unknown"
# Held row: the MRN names another authority, or another type of number, than its facility's (D11)
MRN_UNREADABLE: Final = "mrn-unreadable"
# Held row: the report may name the wrong patient (D12), or VistA's number of the patient or the exam is missing (D34)
CONFLICT_HELD: Final = "identity-conflict-held"
VISTA_UNKNOWN: Final = ("vista-patient-unknown", "exam-missing")
# Held row: the receiver needs an accession number, and the study has none yet (D18)
ACCESSION_MISSING: Final = "accession-missing"
# Held row: the study's order may still come (`hold_until_matched`), or was cancelled (D48)
ORDER_AWAITED: Final = "order-awaited"
ORDER_CANCELLED: Final = "order-cancelled"
# Held rows of a receiver that needs a number of the order. Where a hospital sends orders, they block a critical result
# at once: it waits for no order
NUMBER_MISSING: Final = (ACCESSION_MISSING, "placer-missing")
# Message, and news about a study: it was sent before its order was known. And news: its order was cancelled afterwards;
# it was sent with what a message about another patient's visit said
WITHOUT_ORDER: Final = "sent-without-order"
CANCELLED_AFTER: Final = "order-cancelled-after-send"
WRONG_VISIT: Final = "wrong-visit-sent"
# Held rows that block a critical result at once: its patient, or a fact that the receiver needs about the patient, is
# unknown, and waiting alone does not help (mappings/hl7v2/rendering.py, D13)
BLOCKED_AT_ONCE: Final = (
    AUTHORITY_UNKNOWN,
    MRN_UNREADABLE,
    CONFLICT_HELD,
    "name-absent",
    "vista-patient-unknown",
    "move",
    "merge-move",
    "former-unknown",
    "may-have-been-sent",
)
# Held rows that an operator frees; all others go by themselves, once the value or the decision is there
FREED_BY_HAND: Final = ("move", "merge-move", "former-unknown", "may-have-been-sent", ORDER_AWAITED, ORDER_CANCELLED)
# Dead letter: the message was cancelled before it was sent
UNSENT: Final = "withdrawn-unsent"
# Reasons for which there is nothing to send; with any other reason the destination lacks a report it should have
NO_NEWS: Final = (UNSENT, "report-not-signed", "draft-after-final", "study-external")
# Held lane or open circuit breaker: the receiver's interface, or its application, refuses every message for now (AR,
# CR); nobody has to act (D32)
FOR_NOW: Final = "refused-for-now"
APPLICATION_FOR_NOW: Final = "application-refuses-for-now"
BREAKER_REASONS: Final = (FOR_NOW, APPLICATION_FOR_NOW)
OPEN_MESSAGES: Final = tuple(name for name, one in MESSAGE_STATES.items() if one.is_open)
# Paused destination, held lane or settled row: the database is older than what was sent (D38). And held lane or row:
# its content may have been sent before the database was restored
RESTORED: Final = "restored"
MAY_HAVE_BEEN_SENT: Final = "may-have-been-sent"
# Dead letter: an operator saw that the receiver has the message
SEEN_THERE: Final = "seen-there"
# Settled row or dead letter: its study was erased on order
ERASED: Final = "erased"
# Paused destination: paused when the service was started
HOLD_FEED: Final = "hold-feed"

# Moves to another patient. Reason of a held lane or row
MOVE: Final = "move"
# The same, since the hospital merged the number under which the receiver has the reports into another one (D48)
MERGE_MOVE: Final = "merge-move"
MOVED: Final = "moved"  # kind of a message that withdraws what was sent about another patient
# `outbox.is_move`: held for a move; released by an operator, to be withdrawn first; or released because the other
# chart is corrected by hand. Or no move: sent without its order, to be withdrawn as such and sent with it (D48). Or a
# move since a merge, which needs no operator; and one that waits for an operator, since the merge moves many reports.
# Or sent without its order as above, and released by an operator since a merge changed the number
HELD: Final = 1
RELEASED: Final = 2
CORRECTED: Final = 3
REFILED: Final = 4
MERGED: Final = 5
MERGE_HELD: Final = 6
REFILE_RELEASED: Final = 7
