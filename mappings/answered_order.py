"""Orders that a study answers, and numbers that merges made one, as facts for the mappings: values without a rule.

HL7 v2.5.1 §4.5.1 (ORC), §4.5.3 (OBR), §3.4.3 (PV1), decision D48. `mappings.hospital` makes them from what a hospital
sent. A number stands here only together with its authority. A text that is unknown is empty.
Proved by tests/mappings/hospital/test_answered.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal


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
    """Name of a message: the `[[source]]` that took it, and MSH-10."""

    source: str = ""
    control_id: str = ""


NO_CODE: Final = StatedCode()
NO_MESSAGE: Final = HospitalMessageName()


@dataclass(frozen=True, slots=True)
class StatedVisit:
    """Visit as it was at the time of the study: PV1-19 `number`, PID-18 `account`, PV1-2 class, PV1-3 location.

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
    """Order that a study answers. `message` is the newest message that stated its content.

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
    """Patient number that gave way to another one of the same authority and type, directly or by a chain.

    `system` is the authority's for FHIR. `prior` is in the form for comparison (`mrn_key`), and `surviving` as the
    hospital wrote it. `message` is the message that said so.
    """

    system: str
    type_code: str
    prior: str
    surviving: str
    message: HospitalMessageName = NO_MESSAGE
