"""ORU^R01, the unsolicited observation message: its segments in order.

HL7 v2.5.1 §7.3.1: MSH { PID [PV1] { [ORC] OBR { TQ1 } { OBX } } }, then ZDS.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from mappings.codes import HL70485
from mappings.hl7v2.er7 import FIELD, layout, message
from mappings.hl7v2.msh import MSH
from mappings.hl7v2.obr import OBR
from mappings.hl7v2.obx import report_segments, vital_segments
from mappings.hl7v2.orc import ORC
from mappings.hl7v2.pid import PID
from mappings.hl7v2.pv1 import PV1
from mappings.hl7v2.result import Result
from mappings.hl7v2.tq1 import TQ1
from mappings.hl7v2.zds import ZDS
from mappings.issues import MappingIssue
from mappings.model import Cause, Facts, Mapped, Report, Study
from mappings.orders import orders
from mappings.profile import Receiver, Site
from mappings.status import CORRECTED, addendum_parent, refusal, report_status
from mappings.subjects import subjects

_BEFORE_OBX: Final = (
    layout(MSH, "MSH"),
    layout(PID, "PID"),
    layout(PV1, "PV1"),
    layout(ORC, "ORC"),
    layout(OBR, "OBR"),
)
_TQ1: Final = layout(TQ1, "TQ1")
_ZDS: Final = layout(ZDS, "ZDS")
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

    `control_id` is MSH-10 (`mappings.identifiers.message_control_id`), `at` the aware time of rendering (MSH-7). Every
    completed report of the study about the same patient is restated (D19).
    """
    report = next((one for one in study.reports if one.report_id == cause.report_id), None)
    why = _refusal(study, report)
    if report is None or why is not None:
        return Mapped(None, (why,) if why else ())
    subject = subjects(study, study.completed, site, facts.taken_patient_ids)[report.report_id]
    lead = next((one for one in reversed(subject.reports) if not one.is_addendum), subject.reports[-1])
    known, unpaired = orders(study, site, facts)
    status, issues = report_status(study, report, site, facts)
    result = Result(
        study=study,
        cause=cause,
        site=site,
        receiver=receiver,
        facts=facts,
        control_id=control_id,
        at=at,
        subject=subject,
        lead=lead,
        status=CORRECTED if cause.sent_before else status,
        facility=site.facility(lead.snapshot.facility_name),
        order=known[0],
        issues=[*subject.issues, *issues, *unpaired, *addendum_parent(study, report)[1]],
    )
    return Mapped(message(_segments(result), receiver.charset), tuple(dict.fromkeys(result.issues)))


def patients(study: Study, site: Site) -> tuple[tuple[Report, ...], ...]:
    """The signed reports that one message restates, for each patient of the study; the first owns its filler number.

    Nearly always there is one patient. Reports about several people never share a message.
    """
    found = subjects(study, study.completed, site)
    return tuple(one.reports for one in dict.fromkeys(found[report.report_id] for report in study.completed))


def _refusal(study: Study, report: Report | None) -> MappingIssue | None:
    """Why nothing is sent: the report is not there, not signed (D16), or of an external archive (D25)."""
    if external := refusal(study):
        return external
    if report is None:
        return MappingIssue("report-absent", "error", "/reports", "the report that caused the message is not there")
    if not report.is_completed:
        return MappingIssue("report-not-signed", "information", f"{report.pointer}/status", "nothing sent in v2")
    return None


def _segments(result: Result) -> list[str]:
    segments = [one.render(result) for one in _BEFORE_OBX]
    if result.study.severity in HL70485:
        segments.append(_TQ1.render(result))
    vitals = vital_segments(result)
    segments += vitals
    segments += report_segments(result, len(vitals) + 1)
    images = _ZDS.render(result) if result.receiver.uid == "zds" else ""
    if FIELD in images:
        segments.append(images)
    return segments
