"""Copy a message for sending again, unchanged but for a new Message Control ID.

HL7 v2.5.1 §2.15.9.10 (MSH-10): a receiver that sees an id twice may answer without filing the message. §3.4.2.3
(PID-3), decision D11: numbers without an authority from older releases must not be sent again.
"""

from __future__ import annotations

from typing import Final

from mappings.hl7v2.received import Received, read

_MSH_10: Final = 9  # MSH-1 is the separator itself
_CR: Final = b"\r"
# Namespaces of older releases for all numbers without an authority: equal MRNs of two clinics were one there
_SHARED: Final = frozenset({"UNASSIGNED", "UNASSIGNED_PI"})
_MATCHED_BY: Final = frozenset({"MR", "PI"})


def with_control_id(message: bytes, control_id: str) -> bytes:
    """Replace MSH-10 and keep all other bytes; the message was made by the gateway."""
    header, end, rest = message.partition(_CR)
    separator = header[3:4]
    fields = header.split(separator)
    fields[_MSH_10] = control_id.encode("ascii")
    return separator.join(fields) + end + rest


def has_shared_authority(message: bytes) -> bool:
    """True if PID-3 has a number for matching under a namespace that several facilities shared.

    Raises:
        Unreadable: the bytes are no HL7 v2 message.
    """
    received = read(message)
    lists = (one.field(3) for one in received.segments if one.name == "PID")
    numbers = (number for text in lists for number in text.split(received.delimiters.repetition))
    return any(_is_shared(number, received) for number in numbers)


def _is_shared(number: str, received: Received) -> bool:
    """True for a CX with such a namespace (CX.4.1) and a type for matching (CX.5)."""
    authority, number_type = [*received.components(number), "", "", "", "", ""][3:5]
    return number_type in _MATCHED_BY and authority.split(received.delimiters.subcomponent)[0] in _SHARED
