"""ORU^R01, the unsolicited observation message: its segments in order.

HL7 v2.5.1 §7.3.1: MSH { PID [PV1] { [ORC] OBR {NTE} {TQ1} { OBX {NTE} } } }, then ZDS. Several orders that are read as
one report have a group each, with the same observations (decision D18).
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
from mappings.hl7v2.pv1 import PV1_LAYOUTS
from mappings.hl7v2.rendering import rendering
from mappings.hl7v2.result import Result
from mappings.hl7v2.tq1 import timing_segments
from mappings.hl7v2.zds import image_segments
from mappings.identifiers import short_id
from mappings.issues import MappingIssue
from mappings.model import Cause, Facts, Mapped, Report, Study
from mappings.orders import Order, orders, wanted_orders
from mappings.profile import Receiver, Site
from mappings.subjects import subjects

_NO_FACTS: Final = Facts()


def to_oru(  # noqa: PLR0913 (the door's signature is fixed: design §2)
    study: Study,
    cause: Cause,
    site: Site,
    receiver: Receiver,
    facts: Facts = _NO_FACTS,
    *,
    control_id: str,
    at: datetime,
) -> Mapped[bytes | None]:
    """The ORU^R01 that a cause asks for, as the receiver's profile has it; None, with the reason, if nothing is sent.

    `control_id` is MSH-10 (`mappings.identifiers.message_control_id`), `at` the aware time of rendering (MSH-7). Which
    reports it carries: `mappings.hl7v2.rendering`; how many messages a cause asks for: `messages`.
    """
    made = rendering(study, cause, site, receiver, facts)
    if isinstance(made, MappingIssue):
        return Mapped(None, (made,))
    known, doubts = orders(study, site, facts)
    wanted, reasons = wanted_orders(known, cause, receiver)
    if not wanted:
        return Mapped(None, reasons)
    own = short_id(made.number)
    own_parent = made.parent_number and short_id(made.parent_number)
    result = Result(
        study=study,
        cause=cause,
        site=site,
        receiver=receiver,
        facts=facts,
        control_id=control_id,
        at=at,
        subject=made.subject,
        lead=made.lead,
        status=made.status,
        facility=site.facility(made.lead.snapshot.facility_name),
        order=wanted[0],
        filler_order_number=_filed_by(study, made.number, wanted[0], receiver, facts) or own,
        parent_filler=_filed_by(study, made.parent_number, known[0], receiver, facts) or own_parent,
        own_numbers=(own, own_parent),
        issues=[*made.issues, *doubts, *reasons],
    )
    groups = [result]
    for order in wanted[1:]:
        number = _filed_by(study, made.number, order, receiver, _NO_FACTS) or own
        groups.append(result.of_order(order, number, len(groups) + 1))
    segments = _segments(groups)
    if cause.part == "pdf" and not any(segment.startswith("OBX") for segment in segments):
        result.note("pdf-message-empty", "information", made.lead.pointer, "no PDF to send: no message of its own")
        return Mapped(None, tuple(dict.fromkeys(result.issues)))
    message = encoded(segments, receiver)
    return Mapped(message.output, tuple(dict.fromkeys((*result.issues, *message.issues))))


def filler_order_number(
    study: Study, cause: Cause, site: Site, receiver: Receiver, facts: Facts = _NO_FACTS
) -> str | None:
    """EI.1 of OBR-3 in the (first) order of the message that a cause asks for; None where nothing is sent."""
    made = rendering(study, cause, site, receiver, facts)
    if isinstance(made, MappingIssue):
        return None
    wanted, _ = wanted_orders(orders(study, site, facts)[0], cause, receiver)
    if not wanted:
        return None
    return _filed_by(study, made.number, wanted[0], receiver, facts) or short_id(made.number)


def patients(study: Study, site: Site) -> tuple[tuple[Report, ...], ...]:
    """The signed reports that one message restates, for each patient of the study; the first owns its filler number.

    Nearly always there is one patient. Reports about several people never share a message.
    """
    found = subjects(study, study.completed, site)
    return tuple(one.reports for one in dict.fromkeys(found[report.report_id] for report in study.completed))


def _filed_by(study: Study, number: str, order: Order, receiver: Receiver, facts: Facts) -> str:
    """The filler order number as it was first sent, or the accession number where the receiver files by it; else empty.

    What is not the study's own order (another patient, an addendum apart) has a number that no accession number is.
    """
    if number != study.study_id:
        return ""
    return facts.filler_order_number or (order.accession_number if receiver.accession_field == "3" else "")


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
