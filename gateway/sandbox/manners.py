"""Table of the test receiver's behaviors by name, for `listen --ack` and for fault tests of message sending.

HL7 v2.5.1 §2.9.2 and §2.9.3 (answers of a receiver), table 0008 (MSA-1); RFC 9293 (TCP) for actions on the connection.
The F-numbers are those of the feed's list of faults.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway.sandbox import answer_manners as answers
from gateway.sandbox import connection_manners as connections
from gateway.sandbox.answer_manners import answer, spoiled, two_phase
from gateway.sandbox.exchange import Exchange, NewConnection
from mappings.hl7v2.ack import AckCode, AckError


@dataclass(frozen=True, slots=True)
class Manner:
    """One behavior: either `act` answers a message, or `meet` acts when a sender connects.

    `about` describes it in a line; `faults` are its F-numbers. `code` is MSA-1 if the answer is well-formed. `options`
    are numbers with defaults; `seconds` and `bytes` name their unit. `keeps` is False if accepted messages are not
    filed. `calls` is True if it opens connections to the sender.
    """

    about: str
    faults: tuple[str, ...] = ()
    act: Callable[[Exchange], Awaitable[None]] | None = None
    meet: Callable[[NewConnection], Awaitable[None]] | None = None
    code: AckCode | None = None
    options: Mapping[str, float] = field(default_factory=dict)
    keeps: bool = True
    calls: bool = False


# HL7 table 0357 Message Error Condition Codes
SEQUENCE_ERROR: Final = AckError("100", text="Segment sequence error")
PATIENT_ID_MISSING: Final = AckError("101", "PID^1^3", text="Required field missing")
VALUE_NOT_FOUND: Final = AckError("103", "PID^1^8", severity="W", text="Table value not found")
UNSUPPORTED_TYPE: Final = AckError("200", "MSH^1^9", text="Unsupported message type")
PROCESSING_ID: Final = AckError("202", "MSH^1^11", text="Unsupported processing id")
LOCKED: Final = AckError("206", text="Application record locked")
INTERNAL_ERROR: Final = AckError("207", text="Application internal error")

LATE: Final[Mapping[str, float]] = {"seconds": 5}
LONG: Final[Mapping[str, float]] = {"seconds": 600}

# name -> manner; `listen --ack NAME[:SETTING…]`
MANNERS: Final[dict[str, Manner]] = {
    "aa": Manner("application accept", act=answer("AA"), code="AA"),
    "ae": Manner("application error", ("F28",), answer("AE", PATIENT_ID_MISSING), code="AE"),
    "ar": Manner("application reject", ("F29",), answer("AR", INTERNAL_ERROR), code="AR"),
    "ce": Manner("commit error", ("F30",), answer("CE", SEQUENCE_ERROR), code="CE"),
    "cr": Manner("commit reject", ("F31",), answer("CR", PROCESSING_ID), code="CR"),
    "ae-busy": Manner("AE that means AR: a record is locked", ("F28",), answer("AE", LOCKED), code="AE"),
    "ar-content": Manner("AR that means AE: a field is missing", ("F29",), answer("AR", PATIENT_ID_MISSING), code="AR"),
    "ar-type": Manner("AR for good: message type not supported", ("F29",), answer("AR", UNSUPPORTED_TYPE), code="AR"),
    "aa-err": Manner("accept with an ERR segment, a warning", ("F33",), answer("AA", VALUE_NOT_FOUND), code="AA"),
    "not-filed": Manner("accept of what is then not filed", ("F38",), answer("AA"), keeps=False),
    # The connection
    "close-at-once": Manner("connection closed as soon as it is open", ("F4",), meet=connections.close),
    "reset-at-once": Manner("connection reset as soon as it is open", ("F5",), meet=connections.reset),
    "reset-in-frame": Manner(
        "connection reset when so many bytes of a frame have come",
        ("F6",),
        meet=connections.reset_in_frame,
        options={"bytes": 64},
    ),
    "reset": Manner("connection reset without an answer", ("F7",), answers.reset),
    "close": Manner("connection closed without an answer", ("F7",), answers.close),
    "reset-in-ack": Manner("connection reset after half of the accept", ("F8",), answers.reset_in_ack),
    "half-close": Manner("FIN without an answer, and goes on reading", ("F9",), answers.half_close),
    "silent": Manner(
        "accept, then neither reads nor writes nor closes for so long", ("F10",), answers.fall_silent, options=LONG
    ),
    "close-after": Manner("accept, then connection closed", ("F12",), answers.accept_and_close),
    "zero-window": Manner(
        "reads nothing for so long, so that a large frame cannot be written out",
        ("F15",),
        meet=connections.read_nothing,
        options=LONG,
    ),
    # Timing of the answer
    "none": Manner("no answer", ("F16",), answers.nothing),
    "slow": Manner("application accept after so many seconds", ("F16",), answers.slow, code="AA", options=LATE),
    "dribble": Manner("accept, a byte every so many seconds", ("F17",), answers.byte_by_byte, options={"seconds": 1}),
    "together": Manner(
        "in one write: the accept of the message before, this one's, a reject of no known message",
        ("F18",),
        answers.together,
    ),
    "split": Manner(
        "accept in two writes, cut after `at` bytes; 0: each cut one byte later than the last",
        ("F19",),
        answers.split,
        options={"at": 0},
    ),
    "early": Manner("accept before the message is read to its end", ("F20",), meet=connections.acknowledge_early),
    "pause": Manner(
        "accept; reset where so many seconds have not passed since the last accept",
        ("F21",),
        answers.demand_a_pause,
        options={"seconds": 2},
    ),
    # Content of the answer
    "wrong-id": Manner("accept of another message", ("F23",), spoiled(answers.of_another_message)),
    "no-id": Manner("accept without MSA-2", ("F24",), spoiled(answers.of_no_message)),
    "empty": Manner("an empty frame", ("F25",), spoiled(answers.empty)),
    "garbage": Manner("a frame that is no acknowledgement", ("F26",), spoiled(answers.no_acknowledgement)),
    "no-vt": Manner("accept in a frame without VT", ("F27",), spoiled(answers.as_it_is, answers.without_start)),
    "no-cr": Manner("accept in a frame that ends with FS", ("F27",), spoiled(answers.as_it_is, answers.without_return)),
    "lf": Manner("accept with LF between segments", ("F27",), spoiled(answers.with_line_feeds)),
    "nul": Manner("accept with NULs around and inside", ("F27",), spoiled(answers.with_nuls, answers.between_nuls)),
    "unknown-code": Manner("MSA-1 is OK, which is in no table", ("F32",), spoiled(answers.of_unknown_code)),
    "delimiters": Manner("accept with delimiters of its own", ("F34",), spoiled(answers.with_other_delimiters)),
    "latin-1": Manner("accept in ISO 8859-1", ("F34",), spoiled(answers.in_latin_1)),
    "utf-16": Manner("accept in UTF-16", ("F34",), spoiled(answers.in_utf_16)),
    "twice": Manner("the same accept twice", ("F36",), answers.twice),
    "adt-first": Manner("a message of its own, then accept", ("F37",), answers.other_message_first),
    # Two phases: a commit acknowledgement, then the application's own
    "ca": Manner("commit accept, and nothing more", ("F35",), answer("CA"), code="CA"),
    "ca-aa": Manner("commit accept, accept so many seconds later", ("F35",), two_phase("AA"), options=LATE),
    "ca-ae": Manner("commit accept, error so much later", ("F35",), two_phase("AE", PATIENT_ID_MISSING), options=LATE),
    "ca-ar": Manner("commit accept, reject so much later", ("F35",), two_phase("AR", INTERNAL_ERROR), options=LATE),
    "ca-aa-calls": Manner(
        "commit accept, accept so much later over a connection that it opens to --reply-to",
        ("F35",),
        answers.accept_over_own_connection,
        options=LATE,
        calls=True,
    ),
    "ca-aa-next": Manner(
        "commit accept, connection closed, accept when the sender connects again", ("F35",), answers.accept_next_time
    ),
}
