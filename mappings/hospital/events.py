"""Events in a hospital's messages: orders, visits, and patient numbers that were merged or changed.

HL7 v2.5.1 chapter 4 (orders) and chapter 3 (patient administration); decision D48. `mappings/hl7v2/inbound` reads them
from messages. A text that is unknown, or that could not be decoded, is empty. No class holds a text of the message that
has no use in a match or in an enriched result.
Proved by tests/mappings/hl7v2/inbound/test_inbound.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

OrderEffect = Literal["open", "change", "number", "replaced", "cancel", "nothing"]
"""Effect of an order message.

- `open`: the order stands, new or as it was. `change`: it stands, with other content.
- `number`: only its placer order number becomes known.
- `replaced`: it ends, and another order of the same message takes its place.
- `cancel`: it ends.
- `nothing`: no order changes.
"""
NumberKind = Literal["patient", "visit", "account"]
Taking = Literal["taken", "wrong-processing-id", "other-sender", "not-listed", "not-radiology"]
"""If a message is taken, and the reason if not. Of a message that is not taken only its header is read.

- `wrong-processing-id`: MSH-11 is none of the source's. `other-sender`: MSH-3 and MSH-4 are none of the source's.
- `not-listed`: its type and event are not listed. `not-radiology`: no order of it passes the source's filters.
"""
VisitState = Literal["", "planned", "open", "ended", "cancelled"]
"""State of a visit after the event; empty if the event does not say."""
TimeField = Literal["EVN-6", "EVN-2", "ORC-9", "MSH-7"]
InboundIssueCode = Literal[
    "charset-unknown",
    "charset-unsupported",
    "text-unusable",
    "repetitions-too-many",
    "authority-not-of-source",
    "authority-unreadable",
    "facility-unmapped",
    "facility-differs",
    "date-impossible",
    "time-impossible",
    "time-not-exact",
    "time-ambiguous",
    "time-without-zone",
    "sex-unknown",
    "patient-class-unknown",
    "patient-missing",
    "several-patients",
    "event-differs",
    "order-missing",
    "order-not-radiology",
    "order-control-missing",
    "order-control-unknown",
    "order-status-missing",
    "order-status-unknown",
    "order-status-contradicts",
    "obr-without-orc",
    "prior-result",
    "placer-differs",
    "filler-differs",
    "accession-differs",
    "uid-invalid",
    "order-by-arrival",
    "replacement-unlinked",
]
"""Codes of issues. Two are of no reading: with `order-by-arrival` no times told which message of an order is newer, and
with `replacement-unlinked` ORC-8 does not say which order replaces which."""
HeldReason = Literal[
    "",
    "event-differs",
    "unlink",
    "move",
    "prior-missing",
    "survivor-missing",
    "survivor-ambiguous",
    "superior-differs",
    "same-number",
    "prior-twice",
    "chain",
    "swap",
    "loop",
]
"""Reason why a merge message is understood, and yet not applied; empty if it is applied.

- `event-differs`: MSH-9 and EVN-1 name different events. `unlink`: A37. `move`: A43, A44, A45.
- `prior-missing`: MRG has no number of the source's authorities. `survivor-missing`: PID or PV1 has no number of the
  same authority and type; `survivor-ambiguous`: it has several.
- `superior-differs`: a merge of visits or accounts, in which MRG-1 names another patient than PID-3.
- `same-number`: a number would replace itself. `prior-twice`: a number has two survivors.
- `chain`: a survivor is itself replaced. `swap`: two numbers replace each other. `loop`: three or more do.
"""
PatientClass = Literal["I", "O", "E", "P", "R", "B", "C", "N", "U", ""]
"""HL7 table 0004, the suggested values; any other value becomes empty."""


@dataclass(frozen=True, slots=True)
class Authority:
    """Assigning authority as a message names it (HD): namespace, universal id and its type; all empty if it names none.

    HL7 v2.5.1 §2.A.36
    """

    namespace: str = ""
    universal_id: str = ""
    universal_id_type: str = ""

    @property
    def is_named(self) -> bool:
        """True if the message names the authority."""
        return bool(self.namespace or self.universal_id)


@dataclass(frozen=True, slots=True)
class IssuedNumber:
    """Number with its issuer (CX, EI, XCN.1); `type_code` is of table 0203, empty if the datatype has none.

    `authority` is as the settings write it, and `named` as the message does; None if the message is not known.
    HL7 v2.5.1 §2.A.14 (CX), §2.A.28 (EI)
    """

    value: str
    authority: Authority = Authority()
    type_code: str = ""
    named: Authority | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Clinician:
    """Clinician of an order or a visit (XCN): numbers with issuers, and a name in parts.

    HL7 v2.5.1 §2.A.86
    """

    numbers: tuple[IssuedNumber, ...] = ()
    family: str = ""
    given: str = ""
    middle: str = ""
    suffix: str = ""
    prefix: str = ""
    degree: str = ""


@dataclass(frozen=True, slots=True)
class CodedText:
    """Code with text (CE or CWE): the first triplet, and the alternate one.

    HL7 v2.5.1 §2.A.13
    """

    code: str = ""
    text: str = ""
    system: str = ""
    alternate_code: str = ""
    alternate_text: str = ""
    alternate_system: str = ""


@dataclass(frozen=True, slots=True)
class HospitalPatient:
    """Patient as a message describes it (PID): numbers in PID-3, names in PID-5, PID-7 as YYYYMMDD, PID-8.

    `account` is PID-18. `born` is empty if it is less than a day exact.
    HL7 v2.5.1 §3.4.2
    """

    numbers: tuple[IssuedNumber, ...] = ()
    family: str = ""
    given: str = ""
    middle: str = ""
    born: str = ""
    sex: str = ""
    account: IssuedNumber | None = None


@dataclass(frozen=True, slots=True)
class Visit:
    """Visit of a patient (PV1): class, location, clinicians, and the visit number PV1-19.

    `location` has the components of PL as they came, unescaped. `begun` and `ended` are PV1-44 and PV1-45.
    `state` is what the visit is after the event. A cancelled transfer (A12) and a cancelled discharge (A13) leave it
    open: after A12 `location` is the one before the transfer, after A13 `ended` is deleted.
    HL7 v2.5.1 §3.4.3
    """

    patient_class: PatientClass = ""
    location: tuple[str, ...] = ()
    attending: tuple[Clinician, ...] = ()
    referring: tuple[Clinician, ...] = ()
    number: IssuedNumber | None = None
    begun: datetime | None = None
    ended: datetime | None = None
    state: VisitState = ""


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """One order of an order message: an ORC with one OBR.

    `placer` and `filler` are ORC-2 or OBR-2, and ORC-3 or OBR-3. `accession` is IPC-1, or the field that the source
    names. `study_uids` are ZDS-1 and IPC-3. `parent` is ORC-8. `control` is ORC-1 and `status` ORC-5, as they came.
    `deleted` are the fields of ORC and OBR that the message deletes (`""`), such as `OBR-31`.
    `indication` is OBR-31, else OBR-13. `notes` are the lines of NTE-3 below the order.
    `section` is OBR-24, `procedure` OBR-4, `priority` TQ1-9 or OBR-27.6.
    """

    effect: OrderEffect
    control: str
    status: str
    placer: IssuedNumber | None
    filler: IssuedNumber | None
    accession: IssuedNumber | None
    group: IssuedNumber | None = None
    parent_placer: IssuedNumber | None = None
    parent_filler: IssuedNumber | None = None
    study_uids: tuple[str, ...] = ()
    procedure: CodedText = CodedText()
    section: str = ""
    priority: str = ""
    ordering: tuple[Clinician, ...] = ()
    indication: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    at: datetime | None = None
    """ORC-9, the time of the transaction."""
    deleted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NumberChange:
    """Change of a number (merge): `prior` is no longer used, `surviving` replaces it."""

    kind: NumberKind
    surviving: IssuedNumber
    prior: IssuedNumber


@dataclass(frozen=True, slots=True)
class HospitalMessage:
    """Message of a hospital, parsed.

    `structure` is such as `ORM^O01`, and `trigger` its event. `sender` is MSH-3 and MSH-4, `control_id` MSH-10.
    `times` are the times by which a newer message of one sender is known, best first: EVN-6, EVN-2, ORC-9 if all orders
    have the same, MSH-7; those that are there. `timed_by` names the field of each: times of different fields tell no
    order of messages.
    `orders` belong to `patient` and `visit`; for a visit message there are none. `changes` are those of a merge
    message, which has a `patient` only if it has one PID. `held_for` says why it is understood and yet not applied.
    `deleted` are the fields of PID and PV1 that the message deletes (`""`), such as `PV1-7`: an empty field leaves the
    known value, a deleted one removes it.
    `issues` are codes with places, without values.
    """

    structure: str
    trigger: str
    control_id: str
    sender: tuple[str, str]
    times: tuple[datetime, ...]
    timed_by: tuple[TimeField, ...] = ()
    taken: Taking = "taken"
    patient: HospitalPatient = HospitalPatient()
    visit: Visit | None = None
    orders: tuple[OrderEvent, ...] = ()
    changes: tuple[NumberChange, ...] = ()
    held_for: HeldReason = ""
    deleted: tuple[str, ...] = ()
    issues: tuple[InboundIssue, ...] = ()


@dataclass(frozen=True, slots=True)
class InboundIssue:
    """Issue in an inbound message: a stable code, and the place of the value, such as `PID-5`."""

    code: InboundIssueCode
    place: str
