"""Read the orders of an order message: numbers, procedure, clinicians, reason, and the effect of the order control.

HL7 v2.5.1 §4.5.1 (ORC), §4.5.3 (OBR), §4.5.4 (TQ1), §4.5.6 (IPC), §2.15.10 (NTE); IHE Radiology Technical Framework
Volume 2 Table 4.4-6 (ZDS)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mappings.hl7v2.inbound.datatypes import cwe, cwe_text, ei, eip, ts, xcn
from mappings.hl7v2.inbound.element import InboundElement, InboundSegment
from mappings.hl7v2.inbound.order_control import order_effect
from mappings.hl7v2.inbound.order_groups import OrderSegments, order_groups
from mappings.hl7v2.inbound.source import KeyKind
from mappings.hospital.events import Clinician, CodedText, InboundIssueCode, IssuedNumber, OrderEffect, OrderEvent
from mappings.patient.identifiers import is_dicom_uid

_ORC_FIELDS = range(2, 13)
_OBR_FIELDS = range(2, 32)
# Effects that make an order known. The others concern known orders alone, often without OBR-24.
REMOVED = "not-radiology"
"""OBR-1 of an order whose content was cut before the message was stored; no sender has it, since OBR-1 is a number."""
_MAKES_ORDER: frozenset[OrderEffect] = frozenset({"open", "change"})


def read_orders(segments: tuple[InboundSegment, ...], message_type: str) -> tuple[OrderEvent, ...]:
    """Read the orders that pass the source's filter of sections; others leave an issue, and nothing of their content.

    An order without OBR-24 passes if it only ends a known order or numbers it.
    """
    groups = order_groups(segments, message_type)
    if not groups:
        segments[0].reader.note("order-missing", "ORC")
    return tuple(_order(group) for group in groups if is_listed(group))


def is_listed(group: OrderSegments) -> bool:
    """Return True for an order that passes the source's filter of sections; one that does not leaves an issue."""
    if group.obr is None or group.obr.segment.field(1) != REMOVED:
        sections = group.orc.reader.source.sections
        section = obr_24_section(group)
        if not sections or section in sections:
            return True
        if not section and orc_1_effect(group) not in _MAKES_ORDER:
            return True
    group.orc.reader.note("order-not-radiology", (group.obr or group.orc).place)
    return False


def _order(group: OrderSegments) -> OrderEvent:
    orc = group.orc
    return OrderEvent(
        effect=orc_1_effect(group),
        control=orc.field(1).component(),
        status=orc.field(5).component(),
        placer=orc_2_placer(group),
        filler=orc_3_filler(group),
        accession=ipc_1_accession(group),
        group=ei(orc.field(4), "placer"),
        parent_placer=eip(orc.field(8), 1, "placer"),
        parent_filler=eip(orc.field(8), 2, "filler"),
        study_uids=zds_1_study_uids(group),
        procedure=obr_4_procedure(group),
        section=obr_24_section(group),
        priority=tq1_9_priority(group),
        ordering=orc_12_ordering(group),
        indication=obr_31_indication(group),
        notes=nte_3_notes(group),
        at=ts(orc.field(9)),
        deleted=orc.deleted(_ORC_FIELDS) + (group.obr.deleted(_OBR_FIELDS) if group.obr else ()),
    )


def orc_1_effect(group: OrderSegments) -> OrderEffect:
    """ORC-1 Order Control with ORC-5 Order Status, by the table of order controls.

    HL7 v2.5.1 §4.5.1.1
    """
    control, status = group.orc.field(1), group.orc.field(5)
    effect, issue = order_effect(control.component(), status.component())
    if issue:
        control.reader.note(issue, control.place if "control" in issue else status.place)
    return effect


def orc_2_placer(group: OrderSegments) -> IssuedNumber | None:
    """ORC-2 or OBR-2 Placer Order Number: both are one number.

    HL7 v2.5.1 §4.5.1.2, §4.5.3.2
    """
    return _number_of_both(group, 2, "placer", "placer-differs")


def orc_3_filler(group: OrderSegments) -> IssuedNumber | None:
    """ORC-3 or OBR-3 Filler Order Number: both are one number.

    HL7 v2.5.1 §4.5.1.3, §4.5.3.3
    """
    return _number_of_both(group, 3, "filler", "filler-differs")


def ipc_1_accession(group: OrderSegments) -> IssuedNumber | None:
    """IPC-1 Accession Identifier, or the field that the source names, or OBR-18; none if IPC segments contradict.

    HL7 v2.5.1 §4.5.6.1, §4.5.3.18
    """
    name = group.orc.reader.source.accession_field
    procedures = group.named("IPC")
    if name == "IPC-1" or (not name and procedures):
        found = {one: None for one in (ei(ipc.field(1), "accession") for ipc in procedures) if one}
        if len(found) > 1:
            procedures[0].reader.note("accession-differs", f"{procedures[0].place}-1")
        return next(iter(found)) if len(found) == 1 else None
    segment, _, number = (name or "OBR-18").partition("-")
    holder = group.orc if segment == "ORC" else group.obr
    return ei(holder.field(int(number)), "accession") if holder else None


def zds_1_study_uids(group: OrderSegments) -> tuple[str, ...]:
    """ZDS-1 and IPC-3 Study Instance UID, each once; what is no UID is an issue.

    IHE RAD TF-2 Table 4.4-6; HL7 v2.5.1 §4.5.6.3
    """
    elements = [zds.field(1) for zds in group.named("ZDS")] + [ipc.field(3) for ipc in group.named("IPC")]
    return tuple(dict.fromkeys(_uids(elements)))


def obr_4_procedure(group: OrderSegments) -> CodedText:
    """OBR-4 Universal Service Identifier.

    HL7 v2.5.1 §4.5.3.4
    """
    return cwe(group.obr.field(4)) if group.obr else CodedText()


def obr_24_section(group: OrderSegments) -> str:
    """OBR-24 Diagnostic Service Section ID, as it came.

    HL7 v2.5.1 §4.5.3.24
    """
    return group.obr.field(24).component() if group.obr else ""


def tq1_9_priority(group: OrderSegments) -> str:
    """TQ1-9 Priority, else its place in older versions: OBR-27.6, ORC-7.6, OBR-5.

    HL7 v2.5.1 §4.5.4.9, §4.5.3.27, §4.5.1.7
    """
    places = [(timing.field(9), 1) for timing in group.named("TQ1")]
    places += [(group.obr.field(27), 6)] if group.obr else []
    places += [(group.orc.field(7), 6)]
    places += [(group.obr.field(5), 1)] if group.obr else []
    return next(filter(None, (element.component(number) for element, number in places)), "")


def orc_12_ordering(group: OrderSegments) -> tuple[Clinician, ...]:
    """ORC-12 Ordering Provider, else OBR-16.

    HL7 v2.5.1 §4.5.1.12, §4.5.3.16
    """
    return xcn(group.orc.repetitions(12)) or (xcn(group.obr.repetitions(16)) if group.obr else ())


def obr_31_indication(group: OrderSegments) -> tuple[str, ...]:
    """OBR-31 Reason for Study, else OBR-13 Relevant Clinical Information, in words.

    HL7 v2.5.1 §4.5.3.31, §4.5.3.13
    """
    if group.obr is None:
        return ()
    reasons = tuple(line for one in group.obr.repetitions(31) for line in cwe_text(one))
    return reasons or group.obr.field(13).lines()


def nte_3_notes(group: OrderSegments) -> tuple[str, ...]:
    """NTE-3 Comment of the order.

    HL7 v2.5.1 §2.15.10.3
    """
    return tuple(line for note in group.named("NTE") for one in note.repetitions(3) for line in one.lines())


def _number_of_both(group: OrderSegments, number: int, kind: KeyKind, issue: InboundIssueCode) -> IssuedNumber | None:
    """Read a number that ORC and OBR have in the same field.

    If they contradict there is none, and an issue. Where an ORC has several OBR, each OBR has its own.
    """
    ours = ei(group.orc.field(number), kind)
    other = ei(group.obr.field(number), kind) if group.obr else None
    if ours is None or other is None:
        return other or ours
    if not group.is_sole:
        return other
    if ours.value != other.value or (ours.authority.is_named and other.authority.is_named and ours != other):
        element = group.orc.field(number)
        element.reader.note(issue, element.place)
        return None
    return ours if ours.authority.is_named else other


def _uids(elements: Iterable[InboundElement]) -> Iterator[str]:
    for element in elements:
        uid = element.component()
        if is_dicom_uid(uid):
            yield uid
        elif uid:
            element.reader.note("uid-invalid", element.place)
