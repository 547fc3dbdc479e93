"""The states of the feed's rows: what is told to a destination, and each message on its way. The table is the source.

Carries out no clause of a standard; decisions D7, D31, D32, D37. A message has two axes: how far its delivery is (its
state) and what was acknowledged (`ack`: HL7 table 0008, v2.5.1 §2.9.2).
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
    """A state: what it means, and whether something is still to come of it."""

    meaning: str
    is_open: bool = False


OUTBOX_STATES: Final[dict[OutboxState, MeaningOfState]] = {
    "waiting": MeaningOfState("a message is to be made of it, once its PDF is there or its time is up", is_open=True),
    "held": MeaningOfState(
        "no message is made until what `reason` names is there, or an operator lets it go", is_open=True
    ),
    "rendered": MeaningOfState("messages were made of it"),
    "merged": MeaningOfState("another message of the same study says it"),
    "nothing": MeaningOfState("nothing is to be sent, for the reason given"),
    "before_start": MeaningOfState("first signed before the destination's start"),
    "excluded": MeaningOfState("a filter of the destination leaves it out"),
    "planned": MeaningOfState(
        "owed since the settings changed, and signed before: it waits for `feed apply`", is_open=True
    ),
    "to_stop": MeaningOfState(
        "to be sent, and not owed any more by the settings: it waits for `feed apply`", is_open=True
    ),
    "left": MeaningOfState("an operator left it unsent: of a plan, or since it is there already"),
    "unrouted": MeaningOfState("no destination takes it", is_open=True),
    "ignored": MeaningOfState("no destination takes it, and a rule says that none needs it"),
}
MESSAGE_STATES: Final[dict[MessageState, MeaningOfState]] = {
    "queued": MeaningOfState("to be sent, or sent again, once it is due and at the head of its lane", is_open=True),
    "sending": MeaningOfState("a gateway has it in hand: some of it may be on the wire", is_open=True),
    "indeterminate": MeaningOfState(
        "it was written and got no usable answer: sent again, the same bytes", is_open=True
    ),
    "held": MeaningOfState(
        "it, or one before it in its lane, waits for an operator or for a newer message", is_open=True
    ),
    "delivered": MeaningOfState("the receiver took it: `ack` says at which level"),
    "dead_letter": MeaningOfState("it is not sent (any more), for the reason given"),
    "superseded": MeaningOfState("a newer message says all of it; it never was taken"),
    "recorded": MeaningOfState("made for a destination that is tried out: kept and not sent"),
}
# Why no message is made of a row: whose number the MRN is nobody says (D11)
AUTHORITY_UNKNOWN: Final = "authority-unknown"
# A report's patient may be somebody else (D12); VistA's number of the patient, or of the exam, is not known (D34)
CONFLICT_HELD: Final = "identity-conflict-held"
VISTA_UNKNOWN: Final = ("vista-patient-unknown", "exam-missing")
# The receiver needs an accession number, and the study has none yet: it is waited for, and then told of (D18)
ACCESSION_MISSING: Final = "accession-missing"
# Why no message is made of a row, and a critical result is blocked at once: nobody says who it is about, or what the
# receiver must know of the patient, and waiting alone does not bring it (mappings/hl7v2/rendering.py, D13)
BLOCKED_AT_ONCE: Final = (
    AUTHORITY_UNKNOWN,
    CONFLICT_HELD,
    "name-absent",
    "vista-patient-unknown",
    "move",
    "former-unknown",
    "may-have-been-sent",
)
# Why what was made and nobody took is not sent: it is taken back
UNSENT: Final = "withdrawn-unsent"
# Why a lane is held, or the circuit breaker of a destination is open: its interface, or its application behind, refuses
# for now what is sent (AR, CR), and nobody has to do anything about it (D32)
FOR_NOW: Final = "refused-for-now"
APPLICATION_FOR_NOW: Final = "application-refuses-for-now"
BREAKER_REASONS: Final = (FOR_NOW, APPLICATION_FOR_NOW)
OPEN_MESSAGES: Final = tuple(name for name, one in MESSAGE_STATES.items() if one.is_open)
# Why a destination is paused, a lane held or a row settled: the database is older than what was sent (D38); and why
# what may have gone out before such a one was put back is held
RESTORED: Final = "restored"
MAY_HAVE_BEEN_SENT: Final = "may-have-been-sent"
# Why a message of such a study is not sent: an operator saw that the receiver has it
SEEN_THERE: Final = "seen-there"
# Why destinations are paused by who starts the service
HOLD_FEED: Final = "hold-feed"
