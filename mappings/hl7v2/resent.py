"""A message that is sent again as it was made, under a Message Control ID of its own.

HL7 v2.5.1 §2.15.9.10 (MSH-10): a receiver that sees one again may answer without filing what it names.
"""

from __future__ import annotations

from typing import Final

_MSH_10: Final = 9  # MSH-1 is the separator itself
_CR: Final = b"\r"


def with_control_id(message: bytes, control_id: str) -> bytes:
    """The same bytes but for MSH-10; the message is one that the gateway made."""
    header, end, rest = message.partition(_CR)
    separator = header[3:4]
    fields = header.split(separator)
    fields[_MSH_10] = control_id.encode("ascii")
    return separator.join(fields) + end + rest
