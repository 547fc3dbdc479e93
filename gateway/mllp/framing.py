"""MLLP framing without sockets: decode bytes into frames or framing errors, and encode frames.

HL7 Transport Specification: MLLP, Release 1, "HL7 Content Block"
(https://www.hl7.org/documentcenter/public/wg/inm/mllp_transport_specification.PDF): a block is VT, content, FS, CR, and
the content holds neither VT nor FS. Release 2's commit acknowledgements are not used with HL7 v2.

Where the specification is open, these rules make a stream give the same events however it is cut into chunks:

- FS ends the frame whatever follows it. Content cannot hold FS, and a reader that waits for the CR hangs on a peer
  that leaves the CR out. If content does hold FS, the rest is reported as bytes outside a frame.
- CR, LF, NUL and a lone FS between frames are padding and are ignored.
- Other bytes outside a frame are reported with offset and count when the stretch ends, never with content.
- VT inside a frame: the sender stopped and began again. The cut frame is reported, the new one is read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal

from gateway.runtime.errors import FrameInvalid

START_BLOCK: Final = b"\x0b"
END_BLOCK: Final = b"\x1c"
CARRIAGE_RETURN: Final = b"\x0d"

FaultCode = Literal["bytes-outside-frame", "frame-not-opened", "frame-cut", "frame-too-large"]

HEAD: Final = 4_096  # bytes of a frame over the limit that are kept, for the answer: its MSH is shorter
_BLOCK_CHARACTER: Final = re.compile(rb"[\x0b\x1c]")
_NOT_PADDING: Final = re.compile(rb"[^\r\n\x00]")


@dataclass(frozen=True, slots=True)
class Frame:
    """One whole frame: its content without the block characters, and the offset of its VT in the stream."""

    payload: bytes
    offset: int


@dataclass(frozen=True, slots=True)
class FramingError:
    """A stretch of the stream that is not a whole frame.

    `offset` is where it began, counted from the first byte of the connection; `count` is its length in bytes.

    - `bytes-outside-frame`: bytes outside a frame that are not padding, and that no FS ended.
    - `frame-not-opened`: bytes outside a frame that FS ended: a frame whose VT is missing.
    - `frame-cut`: a frame without an end: VT or the end of the stream came first.
    - `frame-too-large`: content over the limit; skipped up to its FS or the next VT. `count` ends with the
      first byte over the limit. `head` has the first bytes of the content.
    """

    code: FaultCode
    offset: int
    count: int
    head: bytes = field(default=b"", repr=False, compare=False)


Event = Frame | FramingError


class Decoder:
    """Incremental decoder of a byte stream into frames, holding at most `max_size` bytes, each copied at most twice."""

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._content = bytearray()
        self._state: Literal["outside", "inside", "skipping"] = "outside"
        self._start = 0
        self._offset = 0
        self._stray = 0

    @property
    def pending(self) -> int:
        """Number of bytes at the end of the stream that belong to no event yet."""
        return self._offset - self._start if self._state == "inside" else self._stray

    @property
    def is_inside(self) -> bool:
        """True if a frame has begun and not ended, also one over the limit."""
        return self._state != "outside"

    def feed(self, data: bytes) -> list[Event]:
        """Decode the next bytes of the stream; return the events that they complete, in order. Never raises."""
        events: list[Event] = []
        position = 0
        while position < len(data):
            match = _BLOCK_CHARACTER.search(data, position)
            end = match.start() if match else len(data)
            self._take(data, position, end, events)
            self._offset += end - position
            if match is None:
                break
            if match.group() == START_BLOCK:
                self._open(events)
            else:
                self._end(events)
            self._offset += 1
            position = end + 1
        return events

    def close(self) -> list[Event]:
        """End the stream; return an event for an unfinished frame. The decoder is then ready for a new stream."""
        events: list[Event] = []
        self._break_off(events)
        self._state, self._offset = "outside", 0
        return events

    def _take(self, data: bytes, position: int, end: int, events: list[Event]) -> None:
        if self._state == "inside":
            if len(self._content) + end - position > self._max_size:
                head = b"".join((self._content[:HEAD], data[position : position + HEAD]))[: min(HEAD, self._max_size)]
                events.append(FramingError("frame-too-large", self._start, self._max_size + 2, head))
                self._content = bytearray()
                self._state = "skipping"
            else:
                self._content += memoryview(data)[position:end]
        elif self._state == "outside" and end > position:
            self._count_stray(data, position, end)

    def _count_stray(self, data: bytes, position: int, end: int) -> None:
        if self._stray:
            self._stray += end - position
        elif match := _NOT_PADDING.search(data, position, end):
            self._start = self._offset + match.start() - position
            self._stray = end - match.start()

    def _open(self, events: list[Event]) -> None:
        self._break_off(events)
        self._state, self._start = "inside", self._offset

    def _end(self, events: list[Event]) -> None:
        if self._state == "inside":
            events.append(Frame(bytes(self._content), self._start))
            self._content = bytearray()
        elif self._stray:
            events.append(FramingError("frame-not-opened", self._start, self._stray))
            self._stray = 0
        self._state = "outside"

    def _break_off(self, events: list[Event]) -> None:
        if self._state == "inside":
            events.append(FramingError("frame-cut", self._start, self._offset - self._start))
            self._content = bytearray()
        elif self._stray:
            events.append(FramingError("bytes-outside-frame", self._start, self._stray))
            self._stray = 0


def encode(payload: bytes) -> bytes:
    """Return the payload as one frame.

    Raises:
        FrameInvalid: the payload holds VT or FS, which are not allowed in content; its text names the offset.
    """
    offsets = [at for at in (payload.find(START_BLOCK), payload.find(END_BLOCK)) if at >= 0]
    if offsets:
        raise FrameInvalid("MLLP frame", f"block character inside the content at offset {min(offsets)}")
    return b"".join((START_BLOCK, payload, END_BLOCK, CARRIAGE_RETURN))
