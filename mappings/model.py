"""The study as both encoders see it: what AutoScribe said, in Python, with nothing interpreted and nothing lost.

Field names and presence follow the upstream contract (`GET /v1/autoScribe/studies/{id}`, `GET /v1/autoScribe/reports`).
Dates and times stay the strings that came: what they mean needs the site's time zone, which only the encoders know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from mappings.issues import MappingIssue

Output = TypeVar("Output")
CauseKind = Literal[
    "signed",
    "addendum_signed",
    "addendum_cancelled",
    "text_changed",
    "critical_changed",
    "patient_changed",
    "draft",
    "draft_cancelled",
    "withdrawn",
    "reinstated",
    "replay",
]


@dataclass(frozen=True, slots=True)
class Measurement:
    """`{unit, value}` of snapshotMetadata.height (`in`, `cm`) or .weight (`lbs`, `kg`); an unknown unit is kept."""

    unit: str
    value: float | int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """StudyReportMetadata: what was said of patient, order and study when the report was made. None = not said."""

    age: str | None = None
    date_of_birth: str | None = None
    facility_name: str | None = None
    height: Measurement | None = None
    mrn: str | None = None
    patient_name: str | None = None
    procedure: str | None = None
    referring_physician_name: str | None = None
    sex: str | None = None
    study_date: str | None = None
    study_time: str | None = None
    weight: Measurement | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """A stretch of the report text: `heading + body` is the text as it stands there, every character of it.

    `label` is the normalised heading (`findings`, `impression`, …), empty for text under no known heading;
    `heading` runs up to and with its colon or dash; `content` is the body as a reader sees it.
    """

    label: str
    heading: str
    body: str

    @property
    def content(self) -> str:
        """The body with line ends as LF and without outer white space."""
        return self.body.replace("\r\n", "\n").replace("\r", "\n").strip()


@dataclass(frozen=True, slots=True)
class Report:
    """One Report of the upstream; `pointer` is its place in the study document (`/reports/0`)."""

    report_id: str
    study_id: str
    user_id: str
    status: str
    is_addendum: bool
    is_critical: bool | None
    created_at: str | None
    signed_at: str | None
    updated_at: str | None
    snapshot: Snapshot
    text: str | None
    sections: tuple[Section, ...]
    pointer: str = "/reports/0"

    @property
    def is_completed(self) -> bool:
        """True once the radiologist has signed (`status` is `completed`)."""
        return self.status == "completed"

    @property
    def snapshot_pointer(self) -> str:
        """The place of `snapshot` in the study document."""
        return f"{self.pointer}/snapshotMetadata"


@dataclass(frozen=True, slots=True)
class User:
    """A User (`GET /users/{id}`): the radiologist behind Report.userId."""

    user_id: str
    email: str | None = None
    first_name: str | None = None
    middle_name: str | None = None
    last_name: str | None = None
    suffix1: str | None = None
    suffix2: str | None = None
    npi_number: str | None = None
    phone_number: str | None = None
    clinic_role: str | None = None
    pointer: str = "/users/0"


@dataclass(frozen=True, slots=True)
class ExpressCustomer:
    """ExpressCustomerReference: the customer on whose behalf the study was sent."""

    express_customer_id: str
    express_customer_name: str


@dataclass(frozen=True, slots=True)
class Study:
    """The root: a study, its reports in reading order (originals, then addenda, each by time, D25) and its users by id.

    Everything but `study_id` may be unknown: a bare `GET /reports` response says nothing else.
    """

    study_id: str
    reports: tuple[Report, ...]
    study_instance_uid: str | None = None
    study_description: str | None = None
    severity: str | None = None
    study_report_status: str | None = None
    study_type: str | None = None
    is_cancelled: bool | None = None
    cancelled_at: str | None = None
    created_at: str | None = None
    updated_at: str | None = None
    metadata_snapshot: Snapshot | None = None
    express_customer: ExpressCustomer | None = None
    external_patient_id: str | None = None
    modality: str | None = None
    clinical_history: str | None = None
    clinical_indication: str | None = None
    technologist_technique: str | None = None
    technologist_notes: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, User] = field(default_factory=dict)
    issues: tuple[MappingIssue, ...] = ()

    @property
    def completed(self) -> tuple[Report, ...]:
        """The signed reports, in reading order."""
        return tuple(report for report in self.reports if report.is_completed)


@dataclass(frozen=True, slots=True)
class PdfFacts:
    """What is known of a report's PDF once its bytes were seen: length in bytes, SHA-1 (20 bytes), bytes if kept."""

    size: int
    sha1: bytes
    data: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the store knows and the upstream does not say; empty where nothing is stored.

    `pdf` by report id; `accession_number` as `patient_study.enrichment_requested` said it; `taken_patient_ids`: Patient
    ids under which other studies speak of somebody else (identity verdict, D12); `decided_patient_ids`: Patient ids of
    which an operator said whether the study is about them (D12); `corrected`: ids of signed reports
    whose text, critical flag or patient changed after the signature (D20, D22); `seen`: ids of signed reports in the
    order in which they were first seen signed, which says whose the study's numbers are (`mappings.changes` keeps it);
    `gone`: reports that are no longer there, as they were said last, which says whose they were (likewise);
    `filler_order_numbers`: by report id, EI.1 of OBR-3 in each order of the messages in which its text was sent to
    this destination, unsigned or signed, the first first (D18).
    """

    pdf: Mapping[str, PdfFacts] = field(default_factory=dict)
    accession_number: str | None = None
    taken_patient_ids: frozenset[str] = frozenset()
    decided_patient_ids: frozenset[str] = frozenset()
    corrected: frozenset[str] = frozenset()
    seen: tuple[str, ...] = ()
    gone: tuple[Report, ...] = ()
    filler_order_numbers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a v2 message is made (D20): the report that caused it, what happened, and the version of its content.

    `sent_before` is True once anything signed was sent under the message's filler order number: then the message
    corrects. A draft does not count: what follows it is final.
    `replay` counts an operator's resends (D35). Where a receiver wants several messages of one cause, `part` and
    `accession_number` say which one this is (`mappings.hl7v2.messages` lists them), and `document` is the id of the
    report whose PDF message an addendum restates.
    """

    report_id: str
    kind: CauseKind = "signed"
    content_version: str = "1"
    sent_before: bool = False
    replay: int = 0
    part: Literal["report", "pdf"] = "report"
    accession_number: str = ""
    document: str = ""

    @property
    def is_signature(self) -> bool:
        """True for a report that was not signed before."""
        return self.kind in ("signed", "addendum_signed")

    @property
    def is_of_draft(self) -> bool:
        """True for what concerns an unsigned report."""
        return self.kind in ("draft", "draft_cancelled")

    @property
    def is_cancellation(self) -> bool:
        """True for a report that is gone, or whose draft is taken back."""
        return self.kind in ("addendum_cancelled", "draft_cancelled")


@dataclass(frozen=True, slots=True)
class Mapped(Generic[Output]):
    """A mapping's output together with everything that could not be mapped as it came (D4)."""

    output: Output
    issues: tuple[MappingIssue, ...] = ()
