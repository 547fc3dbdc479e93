"""Preview the HL7 v2 messages of a report for a receiver that has nothing of the study; nothing is sent.

HL7 v2.5.1 §7.3.1 (ORU^R01); decisions D6, D34, D39. Pure: nothing is queued or recorded, and MSH-10 is none that the
feed assigns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal

from gateway.routing.destination import Destination
from gateway.routing.filter import Filter
from gateway.routing.in_force import ever_in_force
from gateway.routing.routing import routed
from gateway.runtime.request_errors import NoMessage
from mappings import to_oru
from mappings.hl7v2.oru_r01 import messages_of_all
from mappings.hl7v2.receiver_rules import check_rules
from mappings.issues import MappingIssue
from mappings.life.changes import changes
from mappings.model import Cause, Facts, Study
from mappings.patient.identifiers import message_control_id
from mappings.profile import Receiver, Site

DeliveryState = Literal[
    "queued", "recorded", "held", "dead_letter", "nothing", "excluded", "before_start", "not_enabled"
]
KEPT_BACK: Final[frozenset[DeliveryState]] = frozenset(
    {"held", "dead_letter", "nothing", "excluded", "before_start", "not_enabled"}
)


@dataclass(frozen=True, slots=True)
class PreviewRequest:
    """Report to preview, with its study."""

    study: Study
    facts: Facts
    report_id: str


@dataclass(frozen=True, slots=True)
class Preview:
    """Previewed messages in order, issues of study and messages, and reasons why one would not be sent.

    `unmade` are the issues of causes without a message; `broken` are violations of the receiver's rules.
    """

    causes: Sequence[Cause]
    messages: Sequence[bytes]
    issues: Sequence[MappingIssue]
    unmade: Sequence[MappingIssue]
    broken: Sequence[MappingIssue]

    @property
    def against(self) -> Sequence[MappingIssue]:
        """Issues that would keep a message from being sent."""
        return (*self.unmade, *self.broken)


@dataclass(frozen=True, slots=True)
class PreviewDelivery:
    """Predicted state of a report at a destination, as in the ledger; `reason` says why it would not be sent."""

    state: DeliveryState
    reason: str = ""


def preview(asked: PreviewRequest, site: Site, receiver: Receiver, at: datetime) -> Preview:
    """Return the messages that a report would cause; `at` becomes MSH-7.

    Raises:
        NoMessage: the report is not signed, and the site sends no drafts.
    """
    study, facts, report_id = asked.study, asked.facts, asked.report_id
    causes = [one for one in changes(None, study, site).causes if one.report_id == report_id]
    if not causes and report_id not in {one.report_id for one in study.completed}:
        raise NoMessage("the report is not signed: it causes no message")
    causes = causes or [Cause(report_id)]
    messages: list[bytes] = []
    issues, unmade, broken = list(study.issues), list[MappingIssue](), list[MappingIssue]()
    for cause in messages_of_all(study, causes, site, receiver, facts, sent=frozenset()):
        control_id = message_control_id(cause, f"$hl7v2 {receiver.name}")
        mapped = to_oru(study, cause, site, receiver, facts, control_id=control_id, at=at)
        issues += mapped.issues
        if mapped.output is None:
            unmade += mapped.issues
            continue
        messages.append(mapped.output)
        rule_issues = [one.issue for one in check_rules(mapped.output, receiver)]
        issues += rule_issues
        broken += [one for one in rule_issues if one.severity == "error"]
    return Preview(causes, messages, tuple(dict.fromkeys(issues)), unmade, broken)


def delivery(asked: PreviewRequest, made: Preview, destination: Destination) -> PreviewDelivery:
    """Predict the state of a report at a destination that has nothing of its study."""
    if not destination.is_enabled:
        return PreviewDelivery("not_enabled")
    # A second destination takes everything: otherwise an excluded report has no row that names the filter
    beside = replace(destination, name="", filter=Filter())
    in_force = ever_in_force([destination.terms, beside.terms])
    rows = routed(asked.study, made.causes, {}, in_force, gone=asked.facts.gone)
    there = [row for _, row in rows if row.destination == destination.name]
    kept_away = next((row for row in there if row.state != "waiting"), None)
    if kept_away is not None:
        return PreviewDelivery("excluded" if kept_away.state == "excluded" else "before_start", kept_away.reason)
    return _made(made, destination) if there else PreviewDelivery("nothing", "report-not-signed")


def _made(made: Preview, destination: Destination) -> PreviewDelivery:
    held = next((one.code for one in made.unmade if one.severity == "error"), None)
    if held is not None:
        return PreviewDelivery("held", held)
    if made.broken:
        return PreviewDelivery("dead_letter", made.broken[0].code)
    if not made.messages:
        return PreviewDelivery("nothing", next((one.code for one in made.unmade), ""))
    return PreviewDelivery("recorded" if destination.dry_run else "queued")
