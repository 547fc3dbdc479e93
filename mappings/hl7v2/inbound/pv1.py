"""Read the visit of an inbound message (PV1), and the state in which an event leaves it.

HL7 v2.5.1 §3.4.3 (PV1), §3.3.1 to §3.3.31 (events)
Proved by tests/mappings/hl7v2/inbound/test_inbound.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, cast

from mappings.hl7v2.inbound.datatypes import cx, pl, ts, xcn
from mappings.hl7v2.inbound.element import InboundSegment
from mappings.hospital.events import IssuedNumber, PatientClass, Visit, VisitState

# HL7 table 0004 Patient Class
CLASSES: Final = frozenset({"I", "O", "E", "P", "R", "B", "C", "N", "U"})
# HL7 table 0003 Event Type: events of a visit. A28 and A31 are about the person, whatever their PV1 has.
STATES: Final[dict[str, VisitState]] = {
    "A01": "open",
    "A02": "open",
    "A03": "ended",
    "A04": "open",
    "A05": "planned",
    "A06": "open",
    "A07": "open",
    "A08": "",
    "A11": "cancelled",
    "A12": "open",
    "A13": "open",
}
PERSON_EVENTS: Final = frozenset({"A28", "A31"})
_CANCEL_DISCHARGE: Final = "A13"
_FIELDS: Final = range(2, 46)


def read_visit(pv1: InboundSegment, event: str) -> Visit:
    """Read a PV1. A cancelled discharge (A13) has no end, also if PV1-45 still tells one (§3.3.13)."""
    visit = Visit(
        patient_class=pv1_2_patient_class(pv1),
        location=pl(pv1.field(3)),
        attending=xcn(pv1.repetitions(7)),
        referring=xcn(pv1.repetitions(8)),
        number=pv1_19_visit_number(pv1),
        begun=ts(pv1.field(44)),
        ended=ts(pv1.field(45)),
        state=STATES.get(event, ""),
    )
    if event == _CANCEL_DISCHARGE:
        return replace(visit, ended=None)
    return visit


def deleted_of_visit(pv1: InboundSegment, event: str) -> tuple[str, ...]:
    """Return the fields that the message deletes; a cancelled discharge deletes PV1-45 (§3.3.13)."""
    return tuple(dict.fromkeys(pv1.deleted(_FIELDS) + (("PV1-45",) if event == _CANCEL_DISCHARGE else ())))


def pv1_2_patient_class(pv1: InboundSegment) -> PatientClass:
    """PV1-2 Patient Class, by table 0004; a site's own value is an issue.

    HL7 v2.5.1 §3.4.3.2
    """
    element = pv1.field(2)
    value = element.component()
    if value and value not in CLASSES:
        element.reader.note("patient-class-unknown", element.place)
        return ""
    return cast(PatientClass, value)


def pv1_19_visit_number(pv1: InboundSegment) -> IssuedNumber | None:
    """PV1-19 Visit Number.

    HL7 v2.5.1 §3.4.3.19
    """
    return cx(pv1.field(19), "visit")
