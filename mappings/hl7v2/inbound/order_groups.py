"""Group the segments of an order message: each order with its ORC, OBR, timing, notes, images and procedures.

HL7 v2.5.1 §4.4.1 (ORM), §4.4.4 (OMG), §4.4.10 (OMI); IHE Radiology Technical Framework Volume 2 §4.4.4.1.2.7 (ZDS). ORM
may have several OBR under one ORC in practice. In OMG an OBR without ORC is a prior result, which belongs to no order,
and in OMI there is none.
Proved by tests/mappings/hl7v2/inbound/test_order.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from mappings.hl7v2.inbound.element import InboundSegment


@dataclass(slots=True)
class OrderSegments:
    """Segments of one order; `is_sole` if its ORC has no other OBR."""

    orc: InboundSegment
    obr: InboundSegment | None = None
    is_sole: bool = True
    details: dict[str, list[InboundSegment]] = field(default_factory=dict)

    def named(self, name: str) -> list[InboundSegment]:
        """Return the segments of a name that belong to the order."""
        return self.details.get(name, [])

    def add(self, segment: InboundSegment) -> None:
        """Add a segment that belongs to the order."""
        self.details.setdefault(segment.name, []).append(segment)


def order_groups(segments: Iterable[InboundSegment], message_type: str) -> list[OrderSegments]:
    """Return the orders of a message.

    They end at a second PID: what follows belongs to another patient, in OMG to a prior result. What stands between an
    ORC and its first OBR belongs to all of them. A single ZDS at the end belongs to all orders.
    """
    own = list(_of_first_patient(segments))
    groups = [group for part in _parts(own) for group in _groups_of_one_orc(part, message_type)]
    images = [segment for segment in own if segment.name == "ZDS"]
    if len(images) == 1 and groups and images == groups[-1].named("ZDS"):
        for group in groups:
            group.details["ZDS"] = images
    return groups


def _of_first_patient(segments: Iterable[InboundSegment]) -> Iterator[InboundSegment]:
    has_patient = False
    for segment in segments:
        if segment.name == "PID":
            if has_patient:
                segment.reader.note("several-patients", segment.place)
                return
            has_patient = True
        yield segment


def _parts(segments: Iterable[InboundSegment]) -> list[list[InboundSegment]]:
    """Cut before each ORC; what is before the first one is no order."""
    parts: list[list[InboundSegment]] = []
    for segment in segments:
        if segment.name == "ORC":
            parts.append([segment])
        elif parts:
            parts[-1].append(segment)
        elif segment.name == "OBR":
            segment.reader.note("obr-without-orc", segment.place)
    return parts


def _groups_of_one_orc(part: list[InboundSegment], message_type: str) -> list[OrderSegments]:
    """Return an order for each OBR of an ORC, or one without OBR.

    Notes below an observation (OBX) are about that observation.
    """
    orc = part[0]
    groups = [OrderSegments(orc)]
    shared: dict[str, list[InboundSegment]] = {}
    is_in_observation = False
    for segment in part[1:]:
        current = groups[-1]
        if segment.name == "OBR" and current.obr is not None:
            if message_type != "ORM":
                segment.reader.note("prior-result" if message_type == "OMG" else "obr-without-orc", segment.place)
                break
            groups.append(OrderSegments(orc, segment, details={name: [*found] for name, found in shared.items()}))
        elif segment.name == "OBR":
            current.obr = segment
            shared = {name: [*found] for name, found in current.details.items()}
        elif segment.name != "NTE" or not is_in_observation:
            current.add(segment)
        is_in_observation = segment.name == "OBX" or (is_in_observation and segment.name == "NTE")
    for group in groups:
        group.is_sole = len(groups) == 1
    return groups
