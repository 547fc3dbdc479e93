"""What one ORU^R01 is made from: the study, the reports it restates, and what every segment needs of them.

HL7 v2.5.1 §7.3.1 (one patient, one order, many observations), §2.5.3.2 (length, in `fit`). It is the argument that all
functions of the segment tables take.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from mappings.dates import dtm_instant, read_instant
from mappings.hl7v2.datatypes import Signer, signer
from mappings.hl7v2.er7 import REPETITION
from mappings.hl7v2.lengths import LENGTHS, excess
from mappings.issues import MappingIssue, Severity
from mappings.model import Cause, Facts, Report, Snapshot, Study
from mappings.names import PersonName, parse_name
from mappings.orders import Order
from mappings.profile import Facility, Receiver, Site
from mappings.status import Status
from mappings.status import signer as user_of
from mappings.subjects import Subject


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """One message in the making: the signed reports about `subject`, all of them restated.

    `lead` is the newest original of them: order, examination and interpreter of the message are its own. `facility` is
    that of the examination, if the site knows it.
    `issues` gathers what could not be mapped as it came; `made`, `signers` and `signings` keep what is made once.
    """

    study: Study
    cause: Cause
    site: Site
    receiver: Receiver
    facts: Facts
    control_id: str
    at: datetime
    subject: Subject
    lead: Report
    status: Status
    facility: Facility | None
    order: Order
    issues: list[MappingIssue] = field(default_factory=list)
    made: dict[Callable[[Result], str], str] = field(default_factory=dict)
    signers: dict[str, Signer] = field(default_factory=dict)
    signings: dict[str, tuple[datetime, str] | None] = field(default_factory=dict)

    @property
    def snapshot(self) -> Snapshot:
        """What the newest original says of order and examination."""
        return self.lead.snapshot

    @property
    def patient(self) -> Snapshot:
        """What is said of the patient."""
        return self.subject.snapshot

    @property
    def patient_pointer(self) -> str:
        """Where `patient` stands in the study document."""
        return self.subject.pointer

    def once(self, make: Callable[[Result], str]) -> str:
        """What a function makes of this result, for what stands in several fields: made the first time only."""
        if make not in self.made:
            self.made[make] = make(self)
        return self.made[make]

    def at_snapshot(self, key: str) -> str:
        """The pointer to a field of `snapshot`."""
        return f"{self.lead.snapshot_pointer}/{key}"

    def signer(self, report: Report) -> Signer | None:
        """The User who signed a report, if known."""
        user, doubts = user_of(self.study, report)
        if user is None:
            self.issues.extend(doubts)
            return None
        if user.user_id not in self.signers:
            self.signers[user.user_id] = signer(user, self.issues)
        return self.signers[user.user_id]

    def signed_at(self, report: Report) -> tuple[datetime, str] | None:
        """When a report was signed, also as DTM; None with an issue where what is said is no moment."""
        if report.report_id not in self.signings:
            moment, doubts = read_instant(report.signed_at, f"{report.pointer}/signedAt")
            self.issues.extend(doubts)
            self.signings[report.report_id] = (moment, dtm_instant(moment)) if moment else None
        return self.signings[report.report_id]

    def name(self, text: str | None, facility: Facility | None, pointer: str) -> PersonName | None:
        """A name split on evidence alone, with an issue where that leaves a doubt."""
        name = parse_name(text, facility.name_order if facility else None)
        if name and name.doubt:
            is_split = name.family or name.given
            action = "the parts that are clear are sent" if is_split else "the whole name stands as the family name"
            self.note(name.doubt, "warning", pointer, action)
        return name

    def note(self, code: str, severity: Severity, pointer: str, action: str) -> None:
        """Keep an issue."""
        self.issues.append(MappingIssue(code, severity, pointer, action))

    def fit(self, segment: str, number: int, text: str, pointer: str) -> str:
        """The field as it is, with an issue where the standard has it shorter: nothing is cut."""
        if len(text) > LENGTHS[segment][number]:
            over = max(excess(segment, number, part) for part in text.split(REPETITION))
            if over:
                action = f"{segment}-{number} sent whole, {over} characters longer than HL7 v2.5.1 has it"
                self.note("length-exceeded", "warning", pointer, action)
        return text
