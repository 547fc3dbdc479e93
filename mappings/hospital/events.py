"""Events that a hospital's system reports: orders, visits, and numbers of patients that were merged or changed.

HL7 v2.5.1 chapter 4 (orders) and chapter 3 (patient administration); decision D48. `mappings/hl7v2/inbound` reads them
from messages. A text that is unknown, or that could not be decoded, is empty. No class holds a text of the message that
has no use in a match or in an enriched result.
Proved by tests/mappings/hl7v2/inbound/test_inbound.py.
"""

from __future__ import annotations

from dataclasses import dataclass
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
PatientClass = Literal["I", "O", "E", "P", "R", "B", "C", "N", "U", ""]
"""HL7 table 0004, the suggested values; any other value becomes empty."""


@dataclass(frozen=True, slots=True)
class Authority:
    """Assigning authority as a message names it (HD): namespace, universal id and its type; all empty if it names none.

    HL7 v2.5.1 §2.A.33
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

    HL7 v2.5.1 §2.A.14 (CX), §2.A.28 (EI)
    """

    value: str
    authority: Authority = Authority()
    type_code: str = ""


@dataclass(frozen=True, slots=True)
class Clinician:
    """Clinician of an order or a visit (XCN): numbers with issuers, and a name in parts.

    HL7 v2.5.1 §2.A.88
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
    HL7 v2.5.1 §3.4.3
    """

    patient_class: PatientClass = ""
    location: tuple[str, ...] = ()
    attending: tuple[Clinician, ...] = ()
    referring: tuple[Clinician, ...] = ()
    number: IssuedNumber | None = None
    begun: datetime | None = None
    ended: datetime | None = None


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """One order of an order message: an ORC with one OBR.

    `placer` and `filler` are ORC-2 or OBR-2, and ORC-3 or OBR-3. `accession` is IPC-1, or the field that the source
    names. `study_uids` are ZDS-1 and IPC-3. `parent` is ORC-8. `control` is ORC-1 and `status` ORC-5, as they came.
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


@dataclass(frozen=True, slots=True)
class NumberChange:
    """Numbers that a merge or a change makes one: `prior` is used no more, `surviving` stands for it."""

    kind: NumberKind
    surviving: IssuedNumber
    prior: IssuedNumber


@dataclass(frozen=True, slots=True)
class HospitalMessage:
    """One message of a hospital's system, read.

    `structure` is such as `ORM^O01`. `sender` is MSH-3 and MSH-4, `control_id` MSH-10. `times` are the times by which
    a newer message of one sender is known, best first: EVN-6, EVN-2, ORC-9, MSH-7, those that are there.
    `orders` belong to `patient` and `visit`; for a visit message there are none. `changes` are those of a merge
    message, whose `held_for` says why it is understood and yet not applied: empty if it is applied.
    `issues` are codes with places, without values.
    """

    structure: str
    trigger: str
    control_id: str
    sender: tuple[str, str]
    times: tuple[datetime, ...]
    patient: HospitalPatient = HospitalPatient()
    visit: Visit | None = None
    orders: tuple[OrderEvent, ...] = ()
    changes: tuple[NumberChange, ...] = ()
    held_for: str = ""
    issues: tuple[InboundIssue, ...] = ()


@dataclass(frozen=True, slots=True)
class InboundIssue:
    """Something in a message that could not be used as it came: a stable code and its place, such as `PID-5`."""

    code: str
    place: str
