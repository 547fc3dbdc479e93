"""Behaviors of the test receiver on a new connection, before or instead of reading messages: close, reset, stall.

RFC 9293 (TCP), and HL7 Transport Specification: MLLP, Release 1
(https://www.hl7.org/documentcenter/public/wg/inm/mllp_transport_specification.PDF) for interrupted frames.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.mllp.framing import CARRIAGE_RETURN, START_BLOCK, Decoder, Frame
from gateway.sandbox.exchange import NewConnection, framed

MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024
_AFTER_EACH_MARK: Final = re.compile(rb"(?<=[\x0b\x1c\r])")


async def close(meeting: NewConnection) -> None:
    """Send FIN before reading anything."""
    await meeting.line.close()


async def reset(meeting: NewConnection) -> None:
    """Send RST before reading anything."""
    meeting.line.reset()


async def reset_in_frame(meeting: NewConnection) -> None:
    """Send RST after `bytes` bytes of a frame, or after a whole shorter frame."""
    meeting.line.narrow()
    wanted = int(meeting.options["bytes"])
    decoder = Decoder(MAX_MESSAGE_BYTES)
    while data := await meeting.line.read(wanted):
        if decoder.feed(data) or decoder.pending >= wanted:
            break
    meeting.line.reset()


async def read_nothing(meeting: NewConnection) -> None:
    """Read nothing: the TCP window shuts after some kilobytes and stays shut for `seconds`."""
    meeting.line.narrow()
    await meeting.line.fall_silent(meeting.options["seconds"])


async def acknowledge_early(meeting: NewConnection) -> None:
    """Send AA as soon as the MSH segment is read, then read the rest of the message."""
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
