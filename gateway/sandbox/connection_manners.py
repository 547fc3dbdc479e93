"""What a receiver does with a connection, whatever is said on it: each function acts when a sender has connected.

RFC 9293 (TCP), and HL7 Transport Specification: MLLP, Release 1
(https://www.hl7.org/documentcenter/public/wg/inm/mllp_transport_specification.PDF) for the frame it interrupts.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.mllp.framing import CARRIAGE_RETURN, START_BLOCK, Decoder, Frame
from gateway.sandbox.exchange import Meeting, framed

MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024
_AFTER_EACH_MARK: Final = re.compile(rb"(?<=[\x0b\x1c\r])")


async def close(meeting: Meeting) -> None:
    """FIN, before anything is read."""
    await meeting.line.close()


async def reset(meeting: Meeting) -> None:
    """RST, before anything is read."""
    meeting.line.reset()


async def reset_in_frame(meeting: Meeting) -> None:
    """RST when `bytes` bytes of a frame have come, or all of a shorter one."""
    meeting.line.narrow()
    wanted = int(meeting.options["bytes"])
    decoder = Decoder(MAX_MESSAGE_BYTES)
    while data := await meeting.line.read(wanted):
        if decoder.feed(data) or decoder.pending >= wanted:
            break
    meeting.line.reset()


async def read_nothing(meeting: Meeting) -> None:
    """The window shuts after some kilobytes and stays shut for `seconds`."""
    meeting.line.narrow()
    await meeting.line.fall_silent(meeting.options["seconds"])


async def acknowledge_early(meeting: Meeting) -> None:
    """Each message is accepted as soon as its MSH segment is there, and then read to its end."""
    decoder = Decoder(MAX_MESSAGE_BYTES)
    header: bytes | None = None
    while data := await meeting.line.read():
        for piece in _AFTER_EACH_MARK.split(data):
            for event in decoder.feed(piece):
                if isinstance(event, Frame):
                    await meeting.keep(event.payload)
            if piece.endswith(START_BLOCK):
                header = b""
            elif header is not None:
                header += piece
                if piece.endswith(CARRIAGE_RETURN):
                    await meeting.line.send(framed(meeting.desk.acknowledge(header, "AA")))
                    header = None
