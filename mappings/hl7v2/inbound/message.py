"""Read a hospital's message: decide whether to accept it, read its content, and cut out orders of other departments.

HL7 v2.5.1 §2.15.9 (MSH), §3.4.1 (EVN), §4.4.1, §4.4.4, §4.4.10 (orders), §3.3 (visits and merges); decision D48. Only
radiology is kept: orders of other sections are cut out of the bytes before the message is stored. What is left is read
as the whole message is: in the place of each such order stands an OBR that says only that one was there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise
from typing import Final

from mappings.hl7v2.inbound.datatypes import ts
from mappings.hl7v2.inbound.element import InboundSegment, open_message
from mappings.hl7v2.inbound.mrg import read_number_changes
from mappings.hl7v2.inbound.order import REMOVED, is_listed, read_orders
from mappings.hl7v2.inbound.order_groups import OrderSegments
from mappings.hl7v2.inbound.pid import FIELDS, read_patient
from mappings.hl7v2.inbound.pv1 import PERSON_EVENTS, deleted_of_visit, read_visit
from mappings.hl7v2.inbound.source import MERGE_TYPES, ORDER_TYPES, READABLE, SourceRules
from mappings.hl7v2.received import Received
from mappings.hospital.events import HospitalMessage, Taking, TimeField

# Events of messages whose MSH-9 has a type alone, as before v2.3
_ONLY_EVENT: Final[dict[str, str]] = {"ORM": "O01", "OMI": "O23", "OMG": "O19"}


def read_hospital_message(received: Received, source: SourceRules) -> HospitalMessage:
    """Read a message by the rules of its source, never raising; of one that is not accepted, only the header.

    Args:
        received: the message as `mappings.hl7v2.received.read` parsed it.
        source: the rules of the source that sent it.
    """
    segments = open_message(received, source)
    msh, reader = segments[0], segments[0].reader
    message_type, event = msh_9_message_type(segments)
    header = HospitalMessage(
        structure=f"{message_type}^{event}" if event else message_type,
        trigger=event,
        control_id=msh.field(10).component(),
        sender=msh_3_sender(msh),
        times=(),
    )
    taken = _taking(msh, header, source)
    read = replace(header, taken=taken)
    if taken == "taken":
        reader.source, unclear = source.of_message(header.sender[1], pv1_3_facilities(segments))
        reader.issues.update(dict.fromkeys(unclear))
        read = _content(header, segments, message_type)
    if read.taken == "taken":
        times = dict(_times(segments, read))
        read = replace(read, times=tuple(times.values()), timed_by=tuple(times))
    return replace(read, issues=tuple(reader.issues))


def msh_9_message_type(segments: tuple[InboundSegment, ...]) -> tuple[str, str]:
    """MSH-9 Message Type and trigger event; an event that is not there is EVN-1, or the only one of its type.

    HL7 v2.5.1 §2.15.9.9
    """
    element = segments[0].field(9)
    message_type = element.component(1)
    event = element.component(2) or _ONLY_EVENT.get(message_type, "") or evn_1_event(segments)
    return message_type, event


def msh_3_sender(msh: InboundSegment) -> tuple[str, str]:
    """MSH-3 Sending Application and MSH-4 Sending Facility, by namespace, else by universal id.

    HL7 v2.5.1 §2.15.9.3, §2.15.9.4
    """
    return _hd_name(msh, 3), _hd_name(msh, 4)


def pv1_3_facilities(segments: tuple[InboundSegment, ...]) -> tuple[str, ...]:
    """PV1-3 Assigned Patient Location: the facility PV1-3.4 of each PV1, by namespace, each once.

    HL7 v2.5.1 §3.4.3.3, §2.A.53 (PL)
    """
    named = (segment.field(3).component(4) for segment in segments if segment.name == "PV1")
    return tuple(dict.fromkeys(one for one in named if one))


def evn_1_event(segments: tuple[InboundSegment, ...]) -> str:
    """EVN-1 Event Type Code, or "".

    HL7 v2.5.1 §3.4.1.1
    """
    evn = _first(segments, "EVN")
    return evn.field(1).component() if evn else ""


def _taking(msh: InboundSegment, header: HospitalMessage, source: SourceRules) -> Taking:
    """Decide by its header whether a message is accepted."""
    if msh.field(11).component() not in source.processing_ids:
        return "wrong-processing-id"
    if source.senders and header.sender not in source.senders:
        return "other-sender"
    if header.structure not in source.message_types & READABLE:
        return "not-listed"
    filters = ((5, source.receiving_applications), (6, source.receiving_facilities))
    return "taken" if all(not names or _hd_name(msh, n) in names for n, names in filters) else "not-radiology"


def _content(header: HospitalMessage, segments: tuple[InboundSegment, ...], message_type: str) -> HospitalMessage:
    """Read the content of an accepted message."""
    reader = segments[0].reader
    if header.structure in MERGE_TYPES:
        changes, held = read_number_changes(segments, header.trigger)
        if evn_1_event(segments) not in ("", header.trigger):
            reader.note("event-differs", "EVN-1")
            held = "event-differs"
        has_one_patient = sum(segment.name == "PID" for segment in segments) == 1
        read = _with_patient(header, segments) if has_one_patient else header
        return replace(read, changes=changes, held_for=held)
    if header.structure in ORDER_TYPES:
        orders = read_orders(segments, message_type)
        if not orders and any(issue.code == "order-not-radiology" for issue in reader.issues):
            return replace(header, taken="not-radiology")
        return replace(_with_visit(header, segments), orders=orders)
    if evn_1_event(segments) not in ("", header.trigger):
        reader.note("event-differs", "EVN-1")
    return _with_visit(header, segments)


def _with_patient(header: HospitalMessage, segments: tuple[InboundSegment, ...]) -> HospitalMessage:
    """Add the patient of the first PID."""
    pid = _first(segments, "PID")
    if pid is None:
        segments[0].reader.note("patient-missing", "PID")
        return header
    return replace(header, patient=read_patient(pid), deleted=pid.deleted(FIELDS))


def _with_visit(header: HospitalMessage, segments: tuple[InboundSegment, ...]) -> HospitalMessage:
    """Add the patient, and the visit before any order: a later PV1 is of a prior result."""
    read = _with_patient(header, segments)
    own = next((n for n, segment in enumerate(segments) if segment.name in ("ORC", "OBR")), len(segments))
    pv1 = _first(segments[:own], "PV1")
    if pv1 is None or header.trigger in PERSON_EVENTS:
        return read
    visit, deleted = read_visit(pv1, header.trigger), deleted_of_visit(pv1, header.trigger)
    return replace(read, visit=visit, deleted=read.deleted + deleted)


def _times(segments: tuple[InboundSegment, ...], read: HospitalMessage) -> Iterator[tuple[TimeField, datetime]]:
    """Yield the message's times, best first: EVN-6, EVN-2, ORC-9 if equal in all orders, and MSH-7."""
    evn = _first(segments, "EVN")
    orders = {order.at for order in read.orders}
    places: list[tuple[TimeField, int]] = [("EVN-6", 6), ("EVN-2", 2)]
    for place, number in places if evn else ():
        at = ts(evn.field(number)) if evn else None
        if at:
            yield place, at
    transaction = orders.pop() if len(orders) == 1 else None
    if transaction:
        yield "ORC-9", transaction
    sent = ts(segments[0].field(7))
    if sent:
        yield "MSH-7", sent


def _hd_name(msh: InboundSegment, number: int) -> str:
    element = msh.field(number)
    return element.component(1) or element.component(2)


def _first(segments: tuple[InboundSegment, ...], name: str) -> InboundSegment | None:
    return next((segment for segment in segments if segment.name == name), None)


@dataclass(slots=True, eq=False)
class _Part:
    """ORC with all that belongs to it: `shared` stands before the first OBR, `units` are the OBRs with what follows.

    Without an ORC it is a single OBR, such as that of a prior result.
    """

    orc: InboundSegment | None
    shared: list[InboundSegment] = field(default_factory=list)
    units: list[list[InboundSegment]] = field(default_factory=list)


def kept_bytes(payload: bytes, received: Received, source: SourceRules) -> bytes:
    """Return the bytes to keep of a message: without the content of orders for other sections.

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
    """Return the ZDS that applies to all orders: the only one of the first patient, after the last order."""
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
    """Yield the segments of orders for other sections, each with its replacement; empty: nothing."""
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
