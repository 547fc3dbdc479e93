"""Write the PID segment: the patient.

HL7 v2.5.1 §3.4.2, decisions D11, D14, D48.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from mappings.codes import HL70001
from mappings.hl7v2.datatypes import xpn
from mappings.hl7v2.er7 import Table, components, repetitions, value
from mappings.hl7v2.result import Result
from mappings.hl7v2.stated import cx
from mappings.hl7v2.versions import ONE_PATIENT_NAME, layouts
from mappings.hl7v2.vista import vista_pid_2, vista_pid_3
from mappings.model import StatedNumber
from mappings.patient.added import added_identifiers
from mappings.patient.identifiers import UNSPECIFIED, PatientIdentifier, is_placeholder, short_id
from mappings.study.orders import message_pointer
from mappings.values.dates import birth_date, dtm_date

# A namespace stands for one FHIR system and back: this one is for the gateway's own number of a patient
OWN_AUTHORITY: Final = "AUTOSCRIBE_PATIENT"
# Table 0200: `U` unspecified. The second repetition states that there is no name (§3.4.2.5)
NAME_NOT_KNOWN: Final = "^^^^^^U"


def pid_3_patient_identifier_list(result: Result) -> str:
    """PID-3 Patient Identifier List <- snapshot.mrn (MR), study.externalPatientId (PI), the orders' patient numbers.

    HL7 v2.5.1 §3.4.2.3. Each has its authority. A placeholder (`000000`, `UNKNOWN`) would join strangers in the
    receiver and is left out. The MRN is first if its authority is known and its identity is not contested. Otherwise
    the gateway's own number of the study (or report) comes first. It and all others have type `U` (table 0203,
    unspecified identifier), which no receiver takes for a record number. A number without an authority gets one made of
    a hash of its facility. An empty authority would mean the receiver's own, which holds only if the destination says
    so (`mrn_authority`). With `pid3_plain` it is the bare MRN, else the gateway's own number; with `vista_patient` it
    is the number by which VistA knows the patient. A number that the hospital merged into another one is never sent
    again (§3.6.2.1): the surviving one stands in its place. Numbers that only the hospital's orders have come last
    (D48): none of them is the first.
    """
    if result.receiver.vista_patient != "off":
        return vista_pid_3(result)
    numbers, pointer = _numbers(result), f"{result.patient_pointer}/mrn"
    if result.receiver.pid3_plain == "on":
        return _plain_number(result, numbers)
    if not numbers:
        result.note("patient-identifier-absent", "warning", pointer, "the study's own id stands in PID-3, type U")
        return result.fit("PID", 3, repetitions([_own_cx(result), *_added(result)]), pointer)
    sent = [*[_cx(one) for one in numbers], *_added(result)]
    return result.fit("PID", 3, repetitions([_own_cx(result), *sent] if _is_unmatched(numbers) else sent), pointer)


def _added(result: Result) -> list[str]:
    """Write the numbers that the hospital's orders add to those of the study's own patient."""
    if result.subject.number != result.study.study_id or not result.facts.orders:
        return []
    added = added_identifiers(result.subject.identity, result.facts.orders, result.facts.merged)
    return [cx(StatedNumber(one.value, one.namespace, one.system), value(one.type)) for one in added]


def _numbers(result: Result) -> list[PatientIdentifier]:
    """Patient's numbers for this receiver, in order; placeholders are left out."""
    identity = result.subject.identity
    valid = [one for one in identity.shown if one.type and not one.is_old]
    known = [one for one in valid if one.is_assigned or not is_placeholder(one.value)]
    if result.site.mrn_authority != "receiver" or identity.is_contested:
        return known
    mrns = [one for one in identity.identifiers if one.type == "MR" and not (one.is_old or is_placeholder(one.value))]
    mrn_values = {(one.system, one.value) for one in mrns}
    others = [one for one in known if (one.system, one.value) not in mrn_values]
    return [*(replace(one, namespace="") for one in mrns), *others]


def _is_unmatched(numbers: Sequence[PatientIdentifier]) -> bool:
    """True if the receiver may match by none of the numbers."""
    return all(one.type == UNSPECIFIED for one in numbers)


def pid_2_patient_id(result: Result) -> str:
    """PID-2 Patient ID <- the DFN under its station, for a VistA that gets no Social Security number.

    HL7 v2.5.1 §3.4.2.2.
    """
    return vista_pid_2(result)


def _own_cx(result: Result) -> str:
    return components(short_id(result.subject.number), "", "", OWN_AUTHORITY, UNSPECIFIED)


def _plain_number(result: Result, numbers: Sequence[PatientIdentifier]) -> str:
    """Write the bare MRN with a known authority, for a receiver that reads no authority and takes it for its own.

    A number without one might be anyone's there, and an external patient id is no record number. A number that also
    belongs to somebody else (D12) does not identify this patient. Then it is the study's (or report's) own id.
    """
    pointer = f"{result.patient_pointer}/mrn"
    number = next((value(one.value) for one in numbers if one.type == "MR"), "")
    if numbers and result.subject.identity.is_contested:
        action = "the number stands for somebody else too: the study's (or report's) own id stands bare in PID-3"
        result.note("patient-identifier-contested", "warning", pointer, action)
    elif not number:
        action = "no MRN with an authority: the study's own id stands bare in PID-3"
        result.note("patient-identifier-absent", "warning", pointer, action)
    elif len(numbers) > 1:
        action = "PID-3 holds one bare number here: the MRN"
        result.note("identifier-not-sent", "warning", result.patient_pointer, action)
    return result.fit("PID", 3, number or short_id(result.subject.number), pointer)


def _cx(identifier: PatientIdentifier) -> str:
    return components(value(identifier.value), "", "", value(identifier.namespace), identifier.type)


def pid_5_patient_name(result: Result) -> str:
    """PID-5 Patient Name <- snapshot.patientName, split only on evidence; an unsplit name is the family name.

    HL7 v2.5.1 §3.4.2.5. Type `U` marks an unknown name; a receiver without name types gets no such message
    (`mappings.hl7v2.rendering`).
    """
    pointer = f"{result.patient_pointer}/patientName"
    facility = result.site.facility(result.patient.facility_name)
    name = result.name(result.patient.patient_name, facility, pointer)
    if name is None or not value(name.text):
        result.note("patient-name-absent", "warning", pointer, "the name is sent as not known (type U)")
        return NAME_NOT_KNOWN if result.receiver.version in ONE_PATIENT_NAME else repetitions(("", NAME_NOT_KNOWN))
    name_type = "L" if result.receiver.xpn_type == "on" else ""
    return result.fit("PID", 5, xpn(name, name_type, result.receiver.version), pointer)


def pid_7_date_time_of_birth(result: Result) -> str:
    """PID-7 Date/Time of Birth <- snapshot.dateOfBirth; a partial date stays partial, an impossible one is dropped.

    HL7 v2.5.1 §3.4.2.7.
    """
    day, doubts = birth_date(result.patient, result.patient_pointer)
    result.issues.extend(doubts)
    return dtm_date(day) if day else ""


def pid_8_administrative_sex(result: Result) -> str:
    """PID-8 Administrative Sex <- snapshot.sex, table 0001; an absent or unknown value is `U`.

    HL7 v2.5.1 §3.4.2.8.
    """
    code = HL70001.get(result.patient.sex)
    if code is None:
        result.note("sex-unknown-code", "warning", f"{result.patient_pointer}/sex", "sent as U (unknown)")
    return code or HL70001[None]


def pid_18_patient_account_number(result: Result) -> str:
    """PID-18 Patient Account Number <- the visit's account, with its authority; never the visit number (PV1-19).

    HL7 v2.5.1 §3.4.2.18, table 0203 (AN).
    """
    if result.visit is None or result.visit.account is None:
        return ""
    return result.fit("PID", 18, cx(result.visit.account, "AN"), message_pointer(result.visit.message))


PID: Final[Table[Result]] = {
    1: "1",
    2: pid_2_patient_id,
    3: pid_3_patient_identifier_list,
    5: pid_5_patient_name,
    7: pid_7_date_time_of_birth,
    8: pid_8_administrative_sex,
    18: pid_18_patient_account_number,
}
PID_LAYOUTS: Final = layouts(PID, "PID")
