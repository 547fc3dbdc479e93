"""Read a receiver's HL7 v2 acknowledgement (MSA, ERR), and write the acknowledgement of a received message.

HL7 v2.5.1 §2.9.2 and §2.9.3 (acknowledgement rules), §2.15.9.15 (MSH-15), §2.15.8 (MSA), §2.15.5 (ERR); ERR-1 and MSA-6
of older versions.

Reading is lenient about form (mappings/hl7v2/received.py) and strict about meaning: anything but one MSA with a code of
table 0008 is `AckInvalid`, never an acknowledgement.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal, cast

from mappings.hl7v2.received import Delimiters, Received, Segment, Unreadable, UnreadableCode, read

AckCode = Literal["AA", "AE", "AR", "CA", "CE", "CR"]

# HL7 table 0008 Acknowledgment Code
HL70008: Final[dict[str, str]] = {
    "AA": "Application Accept",
    "AE": "Application Error",
    "AR": "Application Reject",
    "CA": "Commit Accept",
    "CE": "Commit Error",
    "CR": "Commit Reject",
}

# HL7 table 0155 Accept/Application Acknowledgment Conditions: (success is acknowledged, a fault is acknowledged)
HL70155: Final[dict[str, tuple[bool, bool]]] = {
    "AL": (True, True),
    "NE": (False, False),
    "ER": (False, True),
    "SU": (True, False),
}

# HL7 table 0516 Error Severity
HL70516: Final[dict[str, str]] = {"E": "Error", "F": "Fatal Error", "I": "Information", "W": "Warning"}

# HL7 table 0104 Version ID: versions whose ERR segment has only ERR-1
WITHOUT_ERR_3: Final = frozenset({"2.0", "2.0D", "2.1", "2.2", "2.3", "2.3.1", "2.3.2", "2.4"})

InvalidCode = UnreadableCode | Literal["no-msa", "several-msa", "code-not-in-table-0008"]

# Form of a code, its system (HL7 table 0396) and a place. Anything else can be a person's name: it is text.
_CODE: Final = re.compile(r"(?=.*[0-9])[A-Za-z0-9_.\-]{1,10}")
_SYSTEM: Final = re.compile(r"HL7[0-9]{4}|L|99[A-Za-z0-9]{1,10}")
_PLACE: Final = r"(?:[A-Z][A-Z0-9]{2})?(?:\^[0-9]{0,5}){1,5}"
_LOCATION: Final = re.compile(rf"(?:{_PLACE}(?:~{_PLACE}){{0,9}})?")


@dataclass(frozen=True, slots=True)
class AckError:
    """One fault named by a receiver, from ERR-1 (to v2.4), ERR-2 to ERR-8 (from v2.5) or MSA-6.

    `code` is of table 0357 if `system` is empty or HL70357; it is empty if the receiver wrote words in its place.
    `location` is the place in the message as the receiver wrote it, such as `PID^1^5`. `severity` is of table 0516.
    `text` is the receiver's wording. It can repeat content of the message, so `repr` leaves it out.
    """

    code: str
    location: str = ""
    severity: str = ""
    system: str = ""
    text: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Ack:
    """One acknowledgement: MSA-1, MSA-2, MSA-3 and the faults named, and its original bytes.

    `repr` leaves out `text` and `raw`, as in `AckError`.
    """

    code: AckCode
    control_id: str
    text: str = field(default="", repr=False)
    errors: tuple[AckError, ...] = ()
    raw: bytes = field(default=b"", repr=False, compare=False)


class AckInvalid(ValueError):
    """Bytes that are no acknowledgement: `code` is the reason, `offset` the place (without NULs). Never the bytes."""

    def __init__(self, code: InvalidCode, offset: int) -> None:
        self.code: InvalidCode = code
        self.offset = offset
        super().__init__(f"{code} at offset {offset}")


def parse(payload: bytes) -> Ack:
    """Read the content of one frame as an acknowledgement.

    Raises:
        AckInvalid: the content is no acknowledgement.
    """
    try:
        received = read(payload)
    except Unreadable as error:
        raise AckInvalid(error.code, error.offset) from None
    msas = [segment for segment in received.segments if segment.name == "MSA"]
    if len(msas) != 1:
        raise AckInvalid("several-msa" if msas else "no-msa", msas[1].offset if msas else received.msh.offset)
    msa = msas[0]
    code = msa.field(1).strip()
    if code not in HL70008:
        raise AckInvalid("code-not-in-table-0008", msa.offset)
    errors = [error for segment in received.segments if segment.name == "ERR" for error in _err(segment, received)]
    return Ack(
        code=cast(AckCode, code),
        control_id=received.delimiters.unescape(msa.field(2).strip()),
        text=received.delimiters.unescape(msa.field(3)),
        errors=(*errors, *_msa_6_error_condition(msa, received)),
        raw=payload,
    )


def asks_for_commit(message: bytes, *, is_accepted: bool) -> bool:
    """MSH-15 Accept Acknowledgment Type: True if a message asks for an accept acknowledgement.

    An empty MSH-15, as in original mode, or one outside table 0155, asks for none.
    """
    try:
        condition = read(message).msh.field(15).strip()
    except Unreadable:
        return False
    if_accepted, if_not = HL70155.get(condition, (False, False))
    return if_accepted if is_accepted else if_not


def acknowledge(message: bytes, code: AckCode, *, control_id: str, at: str, error: AckError | None = None) -> bytes:
    """Make the acknowledgement of a message, in the message's own delimiters; also of bytes that are no HL7 message.

    Sender and receiver are swapped; trigger event, MSH-11, MSH-12 and MSH-10 are echoed byte for byte.

    Args:
        message: the bytes received, without block characters.
        code: MSA-1.
        control_id: MSH-10 of the acknowledgement.
        at: MSH-7 of the acknowledgement, as HL7 writes times.
        error: one ERR segment (ERR-2, -3, -4 from v2.5 on, ERR-1 before) and MSA-3; non-ASCII characters become `?`.
    """
    try:
        received = read(message)
    except Unreadable:
        received = Received((Segment("MSH", (), 0),), Delimiters())
    msh, delimiters = received.msh, received.delimiters
    event = received.components(msh.field(9))[1:2]
    message_type = delimiters.component.join(["ACK", *event, "ACK"] if event else ["ACK"])
    version = msh.field(12) or "2.5.1"
    swapped = [msh.field(5), msh.field(6), msh.field(3), msh.field(4)]
    header = [delimiters.encoding_characters, *swapped, at, "", message_type, control_id, msh.field(11) or "P", version]
    lines = [["MSH", *header], ["MSA", code, msh.field(10)]]
    if error is not None:
        lines[1] += [_escape(error.text, delimiters)] if error.text else []
        lines.append(_err_segment(error, received.components(version)[0], delimiters))
    text = "".join(delimiters.separator.join(line) + "\r" for line in lines)
    return text.encode("utf-8", "surrogateescape")


def _err(segment: Segment, received: Received) -> Iterator[AckError]:
    if any(segment.field(number) for number in range(2, 13)):
        yield _err_3_hl7_error_code(segment, received)
        return
    for repetition in segment.field(1).split(received.delimiters.repetition):
        if repetition:
            yield _err_1_error_code_and_location(repetition, received)


def _err_3_hl7_error_code(segment: Segment, received: Received) -> AckError:
    """Read ERR-3 HL7 Error Code, with ERR-2, -4, -5, -7 and -8 (HL7 v2.5.1 §2.15.5)."""
    application_code = received.components(segment.field(5))
    return _error(
        received,
        received.components(segment.field(3)),
        location=segment.field(2),
        severity=segment.field(4).strip(),
        words=[*application_code[:2], segment.field(7), segment.field(8)],
    )


def _err_1_error_code_and_location(repetition: str, received: Received) -> AckError:
    """Read ERR-1 Error Code and Location, `segment^sequence^field^code&text&system` (v2.3.1 §2.24.4, v2.4 §2.16.5)."""
    parts = received.components(repetition)
    if not _LOCATION.fullmatch("^".join(parts[:3])):
        return _error(received, parts)
    coded = parts[3].split(received.delimiters.subcomponent) if len(parts) > 3 else []
    return _error(received, coded, location=received.delimiters.component.join(parts[:3]))


def _msa_6_error_condition(msa: Segment, received: Received) -> Iterator[AckError]:
    """Read MSA-6 Error Condition, a CE of table 0357 (HL7 v2.3.1 §2.24.2; withdrawn in v2.7)."""
    if msa.field(6):
        yield _error(received, received.components(msa.field(6)))


def _error(
    received: Received, coded: list[str], *, location: str = "", severity: str = "", words: list[str] | None = None
) -> AckError:
    """Build an error from `code, text, system`; parts without the form of a code, place or system become text."""
    code, text, system = (part.strip() for part in [*coded, "", "", ""][:3])
    place = location.replace(received.delimiters.component, "^").replace(received.delimiters.repetition, "~")
    texts = [text, *(words or [])]
    texts += [] if _CODE.fullmatch(code) else [code]
    texts += [] if _LOCATION.fullmatch(place) else [location]
    return AckError(
        code=code if _CODE.fullmatch(code) else "",
        location=place if _LOCATION.fullmatch(place) else "",
        severity=severity if severity in HL70516 else "",
        system=system if _SYSTEM.fullmatch(system) else "",
        text=received.delimiters.unescape("; ".join(part for part in texts if part)),
    )


def _err_segment(error: AckError, version: str, delimiters: Delimiters) -> list[str]:
    coded = [error.code, _escape(error.text, delimiters), "HL70357"]
    place = error.location.split("^")
    if version in WITHOUT_ERR_3:
        parts = [*[*place, "", "", ""][:3], delimiters.subcomponent.join(coded)]
        return ["ERR", delimiters.component.join(parts)]
    return ["ERR", "", delimiters.component.join(place), delimiters.component.join(coded), error.severity or "E"]


def _escape(text: str, delimiters: Delimiters) -> str:
    table = {
        delimiters.escape: "E",
        delimiters.separator: "F",
        delimiters.component: "S",
        delimiters.subcomponent: "T",
        delimiters.repetition: "R",
    }
    mark = delimiters.escape
    one_line = (character if " " <= character <= "~" else " " if character < " " else "?" for character in text)
    return "".join(f"{mark}{table[character]}{mark}" if character in table else character for character in one_line)
