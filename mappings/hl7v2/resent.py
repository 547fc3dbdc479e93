"""Copy a message for sending again, unchanged but for a new Message Control ID.

HL7 v2.5.1 §2.15.9.10 (MSH-10): a receiver that sees an id twice may answer without filing the message.
"""

from __future__ import annotations

from typing import Final

_MSH_10: Final = 9  # MSH-1 is the separator itself
_CR: Final = b"\r"


def with_control_id(message: bytes, control_id: str) -> bytes:
    """Replace MSH-10 and keep all other bytes; the message was made by the gateway."""
    header, end, rest = message.partition(_CR)
    separator = header[3:4]
    fields = header.split(separator)
    fields[_MSH_10] = control_id.encode("ascii")
    return separator.join(fields) + end + rest
