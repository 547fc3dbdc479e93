"""Write the ORC segment, the report's order: order numbers, ordering provider, and the status that life/status.py sets.

HL7 v2.5.1 §4.5.1.
"""

from __future__ import annotations

from typing import Final

from mappings.codes import HL70485
from mappings.hl7v2.datatypes import provider_xcn, referrer
from mappings.hl7v2.er7 import Table, components, value
from mappings.hl7v2.result import Result
from mappings.hl7v2.stated import clinicians, ei
from mappings.hl7v2.versions import QUANTITY_REQUIRED, layouts
from mappings.study.orders import accession_numbers, message_pointer

NAMESPACE: Final = "AUTOSCRIBE"


def placer_order_number(result: Result) -> str:
    """ORC-2 = OBR-2 Placer Order Number <- the order's, else the site's `placer_keys` of study.metadata.

    HL7 v2.5.1 §4.5.1.2, decision D48. The authority of an order's number is the hospital's. The namespace of another
    number is the facility's, else the site's.
    """
    number, answered = result.order.placer_order_number, result.order.answered
    if not number:
        return ""
    if answered and answered.placer:
        return result.fit("ORC", 2, ei(answered.placer), result.order.pointer)
    authority = result.site.order_authority("placer", result.facility)
    numbered = components(value(number), authority.namespace if authority else "")
    return result.fit("ORC", 2, numbered, result.order.pointer)


def filler_order_number(result: Result) -> str:
    """ORC-3 = OBR-3 Filler Order Number <- studyId in 22 characters, or the accession number with `accession_field` 3.

    HL7 v2.5.1 §4.5.1.3, decision D18. A report about another patient than the first signed report's has its own number.
    Only numbers made by the gateway stand under its namespace: an accession number belongs to somebody else. With
    `vista_exam` it is the exam with its long case number, `RADTI-RACNI^long case` (VistA-M RAHLTCPB). A number that was
    sent before and is no longer the exam's stands alone, for a rule to find. An accession number that only the
    hospital's order has stands under the authority that the order names.
    """
    number, pointer = result.filler_order_number, result.order.pointer
    if number not in result.own_numbers and result.receiver.vista_exam == "required":
        case = result.order.case_number if number == result.order.exam_number else ""
        return result.fit("ORC", 3, components(value(number), value(case)), pointer)
    if number not in result.own_numbers:
        answered = result.order.answered
        stated = answered.accession if answered else None
        if (
            stated
            and stated.value == number
            and number not in accession_numbers(result.study, result.site, result.facts)
        ):
            return result.fit("ORC", 3, ei(stated), pointer)
        authority = result.site.order_authority("accession", result.facility)
        return result.fit("ORC", 3, components(value(number), authority.namespace if authority else ""), pointer)
    if result.receiver.accession_field == "3":
        result.note("accession-not-filed-by", "warning", pointer, "OBR-3 has a number of the gateway's own")
    return components(number, NAMESPACE)


def orc_5_order_status(result: Result) -> str:
    """ORC-5 Order Status <- report.status, table 0038 (mappings/life/status.py).

    HL7 v2.5.1 §4.5.1.5.
    """
    return result.status.orc_5 or ""


def priority(result: Result) -> str:
    """OBR-5 = OBR-27.6 = ORC-7.6 Priority <- study.severity, table 0485: R, A, S; not criticality.

    HL7 v2.5.1 §4.5.3.5.
    """
    return HL70485.get(result.study.severity or "", ("",))[0]


def quantity_timing(result: Result) -> str:
    """ORC-7 = OBR-27 Quantity/Timing <- study.severity as TQ.6.

    HL7 v2.5.1 §4.5.1.7, §4.5.3.27. If it is required and no priority is known, it is TQ.1 `1`, the default (§4.3.1).
    """
    urgency = priority(result)
    quantity = "1" if not urgency and result.receiver.version in QUANTITY_REQUIRED else ""
    return components(quantity, "", "", "", "", urgency)


def orc_7_quantity_timing(result: Result) -> str:
    """ORC-7 Quantity/Timing <- study.severity, in versions that require it; others use OBR-27 or TQ1-9.

    HL7 v2.5.1 §4.5.1.7.
    """
    return quantity_timing(result) if result.receiver.version in QUANTITY_REQUIRED else ""


def ordering_provider(result: Result) -> str:
    """ORC-12 = OBR-16 Ordering Provider <- the order's, else snapshot.referringPhysicianName.

    HL7 v2.5.1 §4.5.1.12, §4.5.3.16; decision D48. Who ordered and who referred are kept apart: what the order says of
    the first stands in no other field.
    """
    answered = result.order.answered
    if answered and answered.ordering:
        written = clinicians(answered.ordering, result.receiver.version)
        return result.fit("ORC", 12, written, message_pointer(answered.message))
    return result.once(referring_physician)


def referring_physician(result: Result) -> str:
    """PV1-8 Referring Doctor <- snapshot.referringPhysicianName, as XCN.

    HL7 v2.5.1 §3.4.3.8; decision D14. Ids and name parts come from the site's provider directory
    if it has exactly this spelling; otherwise no id is known, and the name is split on evidence.
    """
    pointer = result.at_snapshot("referringPhysicianName")
    spelling, version = result.snapshot.referring_physician_name, result.receiver.version
    provider = result.site.provider(spelling)
    if provider:
        authority = result.site.provider_authority
        known = provider_xcn(provider, authority.namespace if authority else "", version)
        return result.fit("ORC", 12, known, pointer)
    name, written = referrer(spelling, result.facility.name_order if result.facility else None, version)
    if name is None:
        return ""
    result.note_doubt(name, pointer)
    return result.fit("ORC", 12, written, pointer)


ORC: Final[Table[Result]] = {
    1: "RE",
    2: placer_order_number,
    3: lambda result: result.once(filler_order_number),
    5: orc_5_order_status,
    7: orc_7_quantity_timing,
    12: lambda result: result.once(ordering_provider),
}
ORC_LAYOUTS: Final = layouts(ORC, "ORC")
