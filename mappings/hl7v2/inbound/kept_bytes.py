"""Cut what orders of other sections say out of the bytes of an order message, before the message is stored.

HL7 v2.5.1 §4.4.1 (ORM), §4.4.4 (OMG), §4.4.10 (OMI); decision D48: only radiology is kept. What is left is read as the
whole message is: in the place of each such order stands an OBR that says only that one was there.
Proved by tests/mappings/hl7v2/inbound/test_kept_bytes.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from mappings.hl7v2.inbound.element import InboundSegment, open_message
from mappings.hl7v2.inbound.message import msh_9_message_type
from mappings.hl7v2.inbound.order import REMOVED, is_listed
from mappings.hl7v2.inbound.order_groups import OrderSegments
from mappings.hl7v2.inbound.source import ORDER_TYPES, SourceRules
from mappings.hl7v2.received import Received


@dataclass(slots=True, eq=False)
class _Part:
    """ORC with all that belongs to it: `shared` stands before the first OBR, `units` are the OBRs with what follows.

    Without an ORC it is a single OBR, such as that of a prior result.
    """

    orc: InboundSegment | None
    shared: list[InboundSegment] = field(default_factory=list)
    units: list[list[InboundSegment]] = field(default_factory=list)


def kept_bytes(payload: bytes, received: Received, source: SourceRules) -> bytes:
    """Return a message without what its orders of other sections say; as it came, if there are none.

    `received` is the message as `mappings.hl7v2.received.read` parsed it. A ZDS of all orders
    stays; of another one that is cut the name stays. Orders behind a second PID are cut alike.
    """
    segments = open_message(received, source)
    message_type, event = msh_9_message_type(segments)
    if not source.sections or f"{message_type}^{event}" not in ORDER_TYPES:
        return payload
    shared = _shared_zds(segments)
    cut: dict[int, str] = {}
    for part in _parts(segments):
        for segment, text in _cut(part, message_type, received.delimiters.separator):
            if segment is not shared:
                cut[segment.segment.offset] = text
    return b"".join(_written(payload.replace(b"\x00", b""), received, cut)) if cut else payload


def _shared_zds(segments: tuple[InboundSegment, ...]) -> InboundSegment | None:
    """Return the ZDS of all orders: the only one of the first patient, behind the last order."""
    second = [number for number, segment in enumerate(segments) if segment.name == "PID"][1:2]
    own = segments[: second[0]] if second else segments
    found = [number for number, segment in enumerate(own) if segment.name == "ZDS"]
    is_last = len(found) == 1 and not any(segment.name in {"ORC", "OBR"} for segment in own[found[0] :])
    return own[found[0]] if is_last else None


def _parts(segments: tuple[InboundSegment, ...]) -> list[_Part]:
    """Cut a message before each ORC; a PID ends the orders before it."""
    parts: list[_Part] = []
    current: _Part | None = None
    for segment in segments:
        if segment.name == "PID":
            current = None
        elif segment.name == "ORC" or (segment.name == "OBR" and current is None):
            is_orc = segment.name == "ORC"
            current = _Part(segment) if is_orc else _Part(None, units=[[segment]])
            parts.append(current)
        elif current is not None and segment.name == "OBR":
            current.units.append([segment])
        elif current is not None:
            (current.units[-1] if current.units else current.shared).append(segment)
    return parts


def _cut(part: _Part, message_type: str, separator: str) -> Iterator[tuple[InboundSegment, str]]:
    """Yield the segments of orders of other sections, each with what stands in its place; empty: nothing."""
    marker = f"OBR{separator}{REMOVED}"
    others = [unit for number, unit in enumerate(part.units) if not _is_listed(part, number, message_type)]
    is_whole = len(others) == len(part.units) and (part.units or not _is_listed(part, None, message_type))
    if is_whole and part.orc is not None:
        yield part.orc, "ORC" if part.units else f"ORC\r{marker}"
        yield from [(segment, _name_of_zds(segment)) for segment in part.shared]
    for obr, *rest in others:
        yield obr, marker
        yield from [(segment, _name_of_zds(segment)) for segment in rest]


def _is_listed(part: _Part, number: int | None, message_type: str) -> bool:
    """Return True for an order that passes the filter of sections; one that is read passes it there, too.

    An OBR that is no order by itself, such as a prior result, passes by its OBR-24 alone.
    """
    obr = None if number is None else part.units[number][0]
    if part.orc is not None and (not number or message_type == "ORM"):
        return is_listed(OrderSegments(part.orc, obr))
    return obr is not None and obr.field(24).component() in obr.reader.source.sections


def _name_of_zds(segment: InboundSegment) -> str:
    return "ZDS" if segment.name == "ZDS" else ""


def _written(data: bytes, received: Received, cut: dict[int, str]) -> Iterator[bytes]:
    """Yield the bytes, with other text in place of the segments at these offsets."""
    offsets = [segment.offset for segment in received.segments]
    yield data[: offsets[0]]
    for start, end in pairwise([*offsets, len(data)]):
        raw = data[start:end]
        if start not in cut:
            yield raw
        elif cut[start]:
            yield cut[start].encode() + (raw[len(raw.rstrip(b"\r\n")) :] or b"\r")
