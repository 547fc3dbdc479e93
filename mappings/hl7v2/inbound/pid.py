"""Read the patient of an inbound message (PID): numbers, name, birth date and sex, and nothing else of the segment.

HL7 v2.5.1 §3.4.2
Proved by tests/mappings/hl7v2/inbound/test_inbound.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mappings.hl7v2.inbound.datatypes import cx, ts_day, xpn
from mappings.hl7v2.inbound.element import InboundSegment
from mappings.hospital.events import HospitalPatient, IssuedNumber

# HL7 table 0001 Administrative Sex
SEXES: Final = frozenset({"F", "M", "O", "U", "A", "N"})
FIELDS: Final = range(3, 19)


def read_patient(pid: InboundSegment) -> HospitalPatient:
    """Read a PID."""
    family, given, middle = xpn(pid.repetitions(5))
    return HospitalPatient(
        numbers=pid_3_numbers(pid),
        family=family,
        given=given,
        middle=middle,
        born=ts_day(pid.field(7)),
        sex=pid_8_sex(pid),
        account=pid_18_account(pid),
    )


def pid_3_numbers(pid: InboundSegment) -> tuple[IssuedNumber, ...]:
    """PID-3 Patient Identifier List: the numbers of the source's authorities, such as no social security number.

    HL7 v2.5.1 §3.4.2.3
    """
    return distinct(cx(one, "patient") for one in pid.repetitions(3))


def pid_8_sex(pid: InboundSegment) -> str:
    """PID-8 Administrative Sex, by table 0001; other values are an issue.

    HL7 v2.5.1 §3.4.2.8
    """
    sex = pid.field(8)
    value = sex.component()
    if value and value not in SEXES:
        sex.reader.note("sex-unknown", sex.place)
        return ""
    return value


def pid_18_account(pid: InboundSegment) -> IssuedNumber | None:
    """PID-18 Patient Account Number.

    HL7 v2.5.1 §3.4.2.18
    """
    return cx(pid.field(18), "account")


def distinct(numbers: Iterable[IssuedNumber | None]) -> tuple[IssuedNumber, ...]:
    """Return the numbers that are there, each once."""
    return tuple(dict.fromkeys(number for number in numbers if number is not None))
