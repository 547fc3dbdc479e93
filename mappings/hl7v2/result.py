"""Input of one ORU^R01 for the segment modules: the study, the reports sent, and values that all segments need.

HL7 v2.5.1 §7.3.1 (one patient, one order, many observations), §2.5.3.2 (length, in `fit`). All functions of the segment
tables take it as argument.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from mappings.hl7v2.datatypes import Signer, signer
from mappings.hl7v2.er7 import REPETITION
from mappings.hl7v2.lengths import LENGTHS_OF, excess
from mappings.issues import MappingIssue, Severity
from mappings.life.status import STATUS, Status
from mappings.model import Cause, Facts, Report, Snapshot, StatedVisit, Study
from mappings.patient.subjects import Subject
from mappings.profile import Facility, Receiver, Site
from mappings.reuse import NO_REUSE, Reuse
from mappings.study.orders import Order
from mappings.study.signers import signer as user_of
from mappings.values.dates import dtm_instant, effective, read_instant
from mappings.values.names import NAME_ASSUMED, PersonName, parse_name


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """One message in progress: the `reports` about `subject` that it carries, for one of its orders.

    `lead` is the newest original about the subject: the message's order and examination are from it. `facility` is that
    of the examination, if the site knows it. `peers` are all reports about the subject, including those that the
    message does not carry. `status` is the row of mappings/life/status.py after the receiver's `status_map`.
    `filler_order_number` is EI.1 of OBR-3, `parent_filler` that of the order to which this one adds, or empty;
    `own_numbers` are those made by the gateway. `set_id` counts the orders of a message from 1. `visit` is that of the
    message's orders, if the hospital told one. `issues` collects the mapping issues; `reuse` has what a trace made
    before; `made`, `signers`, `signings` and `examinations` cache values used twice. `reported` collects the moment of
    OBR-22, by filler order number.
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
    filler_order_number: str
    peers: tuple[Report, ...] = ()
    parent_filler: str = ""
    own_numbers: Set[str] = frozenset()
    set_id: int = 1
    visit: StatedVisit | None = None
    issues: list[MappingIssue] = field(default_factory=list)
    reuse: Reuse = NO_REUSE
    made: dict[Callable[[Result], str], str] = field(default_factory=dict)
    signers: dict[str, Signer] = field(default_factory=dict)
    signings: dict[str, tuple[datetime, str] | None] = field(default_factory=dict)
    examinations: dict[str, str] = field(default_factory=dict)
    reported: dict[str, datetime] = field(default_factory=dict)

    @property
    def reports(self) -> tuple[Report, ...]:
        """Reports with lines in the message, in reading order."""
        return self.subject.reports

    @property
    def has_headers(self) -> bool:
        """True if a header line must identify the reports: several, an addendum, or an addition (D19)."""
        if len(self.reports) != 1 or self.reports[0].is_addendum:
            return True
        return self.status.diagnostic_report == STATUS["added"].diagnostic_report

    @property
    def interpreted(self) -> Report:
        """Report whose signer OBR-32 names: the newest original in the message, else the newest report.

        A message without reports names the lead's signer.
        """
        reports = self.reports
        originals = [report for report in reports if not report.is_addendum] if len(reports) > 1 else ()
        return (originals or reports or (self.lead,))[-1]

    def of_order(self, order: Order, filler_order_number: str, parent_filler: str, set_id: int) -> Result:
        """Copy the result for another order of the same message."""
        return replace(
            self,
            order=order,
            filler_order_number=filler_order_number,
            parent_filler=parent_filler,
            set_id=set_id,
            made={},
        )

    @property
    def snapshot(self) -> Snapshot:
        """Snapshot of the newest original, for order and examination."""
        return self.lead.snapshot

    @property
    def patient(self) -> Snapshot:
        """Snapshot that speaks for the patient."""
        return self.subject.snapshot

    @property
    def patient_pointer(self) -> str:
        """Pointer to `patient` in the study document."""
        return self.subject.pointer

    def once(self, make: Callable[[Result], str]) -> str:
        """Call a function once for this result and cache its text, for values in several fields."""
        made = self.made.get(make)
        if made is None:
            made = self.made[make] = make(self)
        return made

    def at_snapshot(self, key: str) -> str:
        """Return the pointer to a field of `snapshot`."""
        return f"{self.lead.snapshot_pointer}/{key}"

    def signer(self, report: Report) -> Signer | None:
        """Return the User who signed a report, if AutoScribe or the site's provider directory knows the user."""
        if known := self.signers.get(report.user_id):
            return known
        if not report.user_id:
            return None
        user, doubts = user_of(self.study, report, self.site)
        if user is None:
            self.issues.extend(doubts)
            return None
        provider = self.site.user(user.user_id)
        authority = self.site.provider_authority
        namespace = authority.namespace if authority else ""
        if provider and provider.local_id and self.receiver.interpreter == "local_id":
            user, provider = replace(user, npi_number=None), replace(provider, npi="")
        made = signer(user, provider, namespace, self.receiver.version, self.issues)
        self.signers[report.user_id] = made
        return made

    def signed_at(self, report: Report) -> tuple[datetime, str] | None:
        """Time of signing (of a draft: last change), also as DTM; None with an issue if it is unreadable."""
        if report.report_id not in self.signings:
            text, key = (report.signed_at, "signedAt") if report.is_completed else (report.updated_at, "updatedAt")
            moment, doubts = read_instant(text, f"{report.pointer}/{key}")
            self.issues.extend(doubts)
            self.signings[report.report_id] = (moment, self.dtm(moment)) if moment else None
        return self.signings[report.report_id]

    def examined_at(self, report: Report) -> str:
        """Time of a report's examination as DTM: the FHIR `effective`, of a signature only its day (D15).

        "" if it is unknown.
        """
        if report.report_id not in self.examinations:
            when, doubts = effective(report, self.site)
            self.issues.extend(doubts)
            moment = when.moment if when and not when.is_of_signature else None
            self.examinations[report.report_id] = self.dtm(moment) if moment else when.dtm if when else ""
        return self.examinations[report.report_id]

    def dtm(self, moment: datetime) -> str:
        """Write a moment as DTM in the receiver's form: in the facility's zone, in UTC, unchanged, or without offset.

        If the zone is unknown, a `local` time keeps its own offset, which names the same moment. Without an offset it
        is the facility's time; if that zone is unknown, only the date is written (D15).
        """
        form = self.receiver.dtm
        local = self.facility.time_zone if self.facility else None
        zone = UTC if form == "utc" else local
        if form == "offset" or (form == "local" and zone is None):
            return dtm_instant(moment)
        if zone is None:
            place = self.at_snapshot("facilityName")
            self.note("time-zone-unknown", "warning", place, "only the date is said")
            return dtm_instant(moment)[:8]
        try:
            there = moment.astimezone(zone)
        except OverflowError:
            there = moment
        if form == "no_offset":
            return dtm_instant(there)[:14]
        offset = there.utcoffset() or timedelta()
        # local mean time, before standard time, has an offset with seconds, which DTM cannot write
        return dtm_instant(moment if offset % timedelta(minutes=1) else there)

    def name(self, text: str | None, facility: Facility | None, pointer: str) -> PersonName | None:
        """Split a name on evidence only, with an issue if that leaves a doubt."""
        name = parse_name(text, facility.name_order if facility else None)
        if name:
            self.note_doubt(name, pointer)
        return name

    def note_doubt(self, name: PersonName, pointer: str) -> None:
        """Add an issue if the evidence does not split the whole name."""
        is_split = name.family or name.given
        action = "the parts that are clear are sent" if is_split else "the whole name stands as the family name"
        for code, severity in name.doubts:
            self.note(code, severity, pointer, NAME_ASSUMED if code == "name-split-assumed" else action)

    def note(self, code: str, severity: Severity, pointer: str, action: str) -> None:
        """Add an issue."""
        self.issues.append(MappingIssue(code, severity, pointer, action))

    def fit(self, segment: str, number: int, text: str, pointer: str) -> str:
        """Return the field unchanged, with an issue if the standard's maximum is shorter: nothing is cut."""
        version = self.receiver.version
        if len(text) > LENGTHS_OF[version][segment][number]:
            over = max(excess(segment, number, part, version) for part in text.split(REPETITION))
            if over:
                action = f"{segment}-{number} sent whole, {over} characters longer than HL7 v{version} has it"
                self.note("length-exceeded", "warning", pointer, action)
        return text
