"""Write an ORU^R01, the unsolicited observation message, with all segments in order.

HL7 v2.5.1 §7.3.1: MSH { PID [PV1] { [ORC] OBR {NTE} {TQ1} { OBX {NTE} } } }, then ZDS. Several orders read as one
report have a group each, with the same observations (decision D18).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from mappings.hl7v2.encoding import encoded
from mappings.hl7v2.msh import MSH_LAYOUTS
from mappings.hl7v2.nte import disclaimer_segments
from mappings.hl7v2.obr import OBR_LAYOUTS
from mappings.hl7v2.obx import observation_segments
from mappings.hl7v2.orc import ORC_LAYOUTS
from mappings.hl7v2.pid import PID_LAYOUTS
from mappings.hl7v2.place import AskedMessage
from mappings.hl7v2.pv1 import PV1_LAYOUTS
from mappings.hl7v2.rendering import Rendering, rendering
from mappings.hl7v2.result import Result
from mappings.hl7v2.tq1 import timing_segments
from mappings.hl7v2.zds import image_segments
from mappings.issues import MappingIssue
from mappings.model import Cause, Facts, MappedMessage, Study
from mappings.profile import Receiver, Site
from mappings.reuse import NO_REUSE, Reuse
from mappings.study.answers import common_visit

_NO_FACTS: Final = Facts()


def to_oru(  # noqa: PLR0913 (the signature of the entry point is fixed)
    study: Study,
    cause: Cause,
    site: Site,
    receiver: Receiver,
    facts: Facts = _NO_FACTS,
    *,
    control_id: str,
    at: datetime,
) -> MappedMessage:
    """Map a cause to its ORU^R01, by the receiver's profile; None with the reason if nothing is sent.

    `control_id` is MSH-10 (see `message_control_id`), `at` the aware time of rendering (MSH-7).
    `mappings.hl7v2.rendering` selects the reports, `messages` lists the messages of a cause.
    """
    asked = AskedMessage(study, cause, site, receiver, facts)
    return oru_of(rendering(*asked), asked, control_id=control_id, at=at)


def oru_of(
    made: Rendering | MappingIssue, asked: AskedMessage, *, control_id: str, at: datetime, reuse: Reuse = NO_REUSE
) -> MappedMessage:
    """Write the ORU^R01 of a rendering, as `to_oru` does."""
    study, cause, site, receiver, facts = asked
    if isinstance(made, MappingIssue):
        return MappedMessage(None, (made,))
    filed = made.place
    if not filed.orders:
        return MappedMessage(None, tuple(dict.fromkeys(filed.issues)))
    visit, doubts = common_visit(order.answered for order in filed.orders)
    result = Result(
        study=study,
        cause=cause,
        site=site,
        receiver=receiver,
        facts=facts,
        control_id=control_id,
        at=at,
        subject=made.subject,
        lead=filed.lead,
        peers=filed.peers,
        status=made.status,
        facility=site.facility(filed.lead.snapshot.facility_name),
        order=filed.orders[0],
        filler_order_number=filed.filler_order_numbers[0],
        parent_filler=filed.parent_fillers[0],
        own_numbers=filed.made,
        visit=visit,
        issues=[*made.issues, *doubts],
        reuse=reuse,
    )
    groups = [result]
    for number, order in enumerate(filed.orders[1:], 1):
        groups.append(
            result.of_order(order, filed.filler_order_numbers[number], filed.parent_fillers[number], number + 1)
        )
    segments = _segments(groups)
    if cause.part == "pdf" and not any(segment.startswith("OBX") for segment in segments):
        result.note("pdf-message-empty", "information", filed.lead.pointer, "no PDF to send: no message of its own")
        return MappedMessage(None, tuple(dict.fromkeys(result.issues)))
    message = encoded(segments, receiver)
    issues = tuple(dict.fromkeys((*result.issues, *message.issues)))
    return MappedMessage(message.output, issues, max(result.reported.values(), default=None))


def _segments(groups: Sequence[Result]) -> list[str]:
    first = groups[0]
    version = first.receiver.version
    segments = [layout[version].render(first) for layout in (MSH_LAYOUTS, PID_LAYOUTS, PV1_LAYOUTS)]
    for result in groups:
        segments.append(ORC_LAYOUTS[version].render(result))
        segments.append(OBR_LAYOUTS[version].render(result))
        segments += disclaimer_segments(result)
        segments += timing_segments(result)
        segments += observation_segments(result)
    return segments + image_segments(first)
