"""Data classes of a study for both mappings: AutoScribe's data, and the hospital's orders that it answers.

Field names and presence follow the upstream contract (`GET /v1/autoScribe/studies/{id}`, `GET /v1/autoScribe/reports`).
Dates and times stay strings: their meaning depends on the site's time zone, which only the encoders know. Orders are as
`mappings.hospital` makes them from what a hospital sent (HL7 v2.5.1 §4.5.1, §4.5.3, §3.4.3; decision D48): a number
stands here only together with its authority, and a text that is unknown is empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Generic, Literal, TypeVar

from mappings.issues import MappingIssue


@dataclass(frozen=True, slots=True)
class StatedNumber:
    """Number with its authority: `namespace` for HD.1, `system` for FHIR; one of both may be empty, not both.

    `type_code` is of table 0203, empty for a number of an order or a visit.
    """

    value: str
    namespace: str = ""
    system: str = ""
    type_code: str = ""


@dataclass(frozen=True, slots=True)
class StatedClinician:
    """Clinician of an order or a visit: numbers with their authorities, and a name in parts."""

    numbers: tuple[StatedNumber, ...] = ()
    family: str = ""
    given: str = ""
    middle: str = ""
    suffix: str = ""
    prefix: str = ""
    degree: str = ""


@dataclass(frozen=True, slots=True)
class StatedCode:
    """Code with text as the order has it (OBR-4): the first triplet, and the alternate one.

    `system` and `alternate_system` are names of table 0396, as they came.
    """

    code: str = ""
    text: str = ""
    system: str = ""
    alternate_code: str = ""
    alternate_text: str = ""
    alternate_system: str = ""


@dataclass(frozen=True, slots=True)
class HospitalMessageName:
    """Name of a hospital's message: the `[[source]]` that received it, and MSH-10."""

    source: str = ""
    control_id: str = ""


NO_CODE: Final = StatedCode()
NO_MESSAGE: Final = HospitalMessageName()


@dataclass(frozen=True, slots=True)
class StatedVisit:
    """Visit at the time of the study: PV1-19 `number`, PID-18 `account`, PV1-2 class, PV1-3 location.

    `location` has the components of PL. `attending` is PV1-7 and `referring` PV1-8. `begun` and `ended` are instants
    in ISO 8601 (PV1-44, PV1-45). `lacks` are the kinds of numbers that the hospital gave without an authority, and for
    which the settings have none: these are not stated.
    """

    number: StatedNumber | None = None
    account: StatedNumber | None = None
    patient_class: str = ""
    location: tuple[str, ...] = ()
    attending: tuple[StatedClinician, ...] = ()
    referring: tuple[StatedClinician, ...] = ()
    begun: str = ""
    ended: str = ""
    message: HospitalMessageName = NO_MESSAGE
    lacks: tuple[Literal["visit", "account"], ...] = ()


@dataclass(frozen=True, slots=True)
class AnsweredOrder:
    """Order that a study answers. `message` is the newest message that stated the order's content.

    `order_number` is the order's number in the gateway's database. `placer` is ORC-2, `filler` ORC-3, `accession` as
    the source names its field. `ordering` is ORC-12. `patient_numbers` are those of PID-3 with a known authority.
    `at` is the instant of the order's oldest message, in ISO 8601. `is_cancelled` is True for an order that was
    cancelled after it was matched. `refused` are the messages whose news of the visit are about another patient.
    """

    order_number: int
    placer: StatedNumber | None = None
    filler: StatedNumber | None = None
    accession: StatedNumber | None = None
    procedure: StatedCode = NO_CODE
    priority: str = ""
    ordering: tuple[StatedClinician, ...] = ()
    indication: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    patient_numbers: tuple[StatedNumber, ...] = ()
    visit: StatedVisit | None = None
    at: str = ""
    is_cancelled: bool = False
    message: HospitalMessageName = NO_MESSAGE
    refused: tuple[HospitalMessageName, ...] = ()


@dataclass(frozen=True, slots=True)
class MergedNumber:
    """Patient number that was merged into another one of the same authority and type, directly or by a chain.

    `system` is the authority's for FHIR. `prior` is in the form for comparison (`mrn_key`), and `surviving` as the
    hospital wrote it. `message` is the message that said so.
    """

    system: str
    type_code: str
    prior: str
    surviving: str
    message: HospitalMessageName = NO_MESSAGE


Output = TypeVar("Output")
Withdrawal = Literal["", "done", "waits"]
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
    """StudyReportMetadata: facts about patient, order and study when the report was made. None means absent."""

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
    """Section of the report text: `heading + body` is the original text, every character of it.

    `label` is the normalized heading (`findings`, `impression`, …), empty for text under no known heading.
    `heading` ends with its colon or dash; `content` is the body for readers.
    """

    label: str
    heading: str
    body: str

    @property
    def content(self) -> str:
        """Body with line ends as LF and without outer white space."""
        return self.body.replace("\r\n", "\n").replace("\r", "\n").strip()


@dataclass(frozen=True, slots=True)
class Report:
    """One Report of AutoScribe; `pointer` is its place in the study document (`/reports/0`).

    `text_changed_at` is not AutoScribe's: if the N(text) of a signed report changed, it is the new signature, else the
    `updatedAt` that came first with the present text (D17). If that is no later than what was known, nothing dates the
    change (`is_change_dated` is False), and when the gateway first read the text stands in; see life/last_known.py.
    None if the text did not change.
    """

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
    text_changed_at: str | None = None
    is_change_dated: bool = True

    @property
    def is_completed(self) -> bool:
        """True once the radiologist has signed (`status` is `completed`)."""
        return self.status == "completed"

    @property
    def snapshot_pointer(self) -> str:
        """Place of `snapshot` in the study document."""
        return f"{self.pointer}/snapshotMetadata"


@dataclass(frozen=True, slots=True)
class User:
    """A User (`GET /users/{id}`): the radiologist with Report.userId."""

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
    """ExpressCustomerReference: the customer for whom the study was sent."""

    express_customer_id: str
    express_customer_name: str


@dataclass(frozen=True, slots=True)
class Study:
    """A study, its reports in reading order (originals, then addenda, each by time, D25) and its users by id.

    Every field but `study_id` may be unknown: a bare `GET /reports` response has no other study field.
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
        """Signed reports, in reading order."""
        return tuple(report for report in self.reports if report.is_completed)


@dataclass(frozen=True, slots=True)
class PdfFacts:
    """Facts about a report's PDF from its bytes: length in bytes, SHA-1 (20 bytes), bytes if kept."""

    size: int
    sha1: bytes
    data: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Reported:
    """OBR-22 last sent to a destination under a filler order number, and the `statuses` sent with it.

    `statuses` is a digest of OBR-25 and of each OBX-8 and OBX-11 (`mappings.hl7v2.obr`); empty if unknown.
    """

    at: datetime
    statuses: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts about a study from the store that AutoScribe does not give; empty if nothing is stored.

    - `pdf`: by report id.
    - `accession_number`: from `patient_study.enrichment_requested`.
    - `taken_patient_ids`: Patient ids that other studies use for somebody else (conflict, D12).
    - `decided_patient_ids`: Patient ids for which an operator decided if the study is about them (D12).
    - `corrected`: ids of signed reports whose text, critical flag or patient changed after the signature (D20, D22).
    - `seen`: ids of signed reports in the order first seen signed. It decides whose the study's numbers are.
    - `gone`: reports no longer listed, in their last version. They too decide whose the numbers are.
    - `filler_order_numbers`: by report id, EI.1 of OBR-3 for each order, from the messages that sent the report's text
      to this destination, unsigned or signed, oldest first (D18).
    - `reported`: by filler order number, what this destination was told of it last (D17).
    - `orders`: the hospital's orders that the study answers (D48), in the order of its accession numbers.
    - `order_reason`: code of `mappings.hospital.match` if it answers none; empty if it does, or no source has orders.
    - `merged`: numbers of the study's patients that gave way to others (D48).
    - `old_numbers`: numbers under which the study's patients were stored before they gave way (D48).
    - `is_withdrawn`: an operator withdrew the signed reports of the study, which is cancelled (D21).
    - `withdrawal`: `done` if the site withdraws those reports by itself; `waits` if it would, and more studies were
      withdrawn within the hour than go unasked: an operator decides (D21).
    """

    pdf: Mapping[str, PdfFacts] = field(default_factory=dict)
    accession_number: str | None = None
    taken_patient_ids: frozenset[str] = frozenset()
    decided_patient_ids: frozenset[str] = frozenset()
    corrected: frozenset[str] = frozenset()
    seen: tuple[str, ...] = ()
    gone: tuple[Report, ...] = ()
    filler_order_numbers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    reported: Mapping[str, Reported] = field(default_factory=dict)
    orders: tuple[AnsweredOrder, ...] = ()
    order_reason: str = ""
    merged: tuple[MergedNumber, ...] = ()
    old_numbers: tuple[StatedNumber, ...] = ()
    is_withdrawn: bool = False
    withdrawal: Withdrawal = ""


@dataclass(frozen=True, slots=True)
class Cause:
    """Cause of a v2 message (D20): the report, the kind of event, and the version of its content.

    `sent_before` is True if a signed report was sent under the message's filler order number: the message is then a
    correction. A draft does not count: the report after it is final. `replay` counts an operator's resends (D35). If a
    receiver takes several messages for one cause, `part` and `accession_number` select one (`mappings.hl7v2.oru_r01`
    lists them). `document` is the id of an original whose PDF is sent again behind that of its addendum.
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
        """True for the first signature of a report."""
        return self.kind in ("signed", "addendum_signed")

    @property
    def is_of_draft(self) -> bool:
        """True for causes of an unsigned report."""
        return self.kind in ("draft", "draft_cancelled")

    @property
    def is_cancellation(self) -> bool:
        """True if a report is gone or its draft is withdrawn."""
        return self.kind in ("addendum_cancelled", "draft_cancelled")


@dataclass(frozen=True, slots=True)
class Mapped(Generic[Output]):
    """Output of a mapping with an issue for everything that could not be mapped unchanged (D4)."""

    output: Output
    issues: tuple[MappingIssue, ...] = ()


@dataclass(frozen=True, slots=True)
class MappedMessage(Mapped[bytes | None]):
    """HL7 v2 message with its OBR-22, of several orders the newest; None if it has no OBR-22."""

    reported_at: datetime | None = None
