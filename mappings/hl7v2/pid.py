"""PID, who the patient is.

HL7 v2.5.1 §3.4.2, decisions D11, D14.
"""

from __future__ import annotations

from typing import Final

from mappings.codes import HL70001
from mappings.dates import birth_date, dtm_date
from mappings.hl7v2.datatypes import xpn
from mappings.hl7v2.er7 import Table, components, repetitions, value
from mappings.hl7v2.result import Result
from mappings.identifiers import PatientIdentifier, is_placeholder, short_id

NO_AUTHORITY: Final = "UNASSIGNED"
# Table 0200: `U` unspecified. The second repetition says that there is no name (§3.4.2.5)
NAME_NOT_KNOWN: Final = "~^^^^^^U"


def pid_3_patient_identifier_list(result: Result) -> str:
    """PID-3 Patient Identifier List <- snapshot.mrn (MR), study.externalPatientId (PI), each with its authority.

    HL7 v2.5.1 §3.4.2.3. A placeholder (`000000`, `UNKNOWN`) would join strangers in the receiver and is left out. A
    patient that no identifier links stands first under the gateway's own authority, made of the study (or report), of
    type `U` (table 0203, unspecified identifier), which no receiver takes for a record number. A number without an
    authority names `UNASSIGNED`: an empty one would mean the receiver's own.
    """
    known = result.subject.identity.identifiers
    own = components(short_id(result.subject.number), "", "", "AUTOSCRIBE", "U")
    shown = [one for one in known if one.type and (one.namespace or not is_placeholder(one.value))]
    pointer = f"{result.patient_pointer}/mrn"
    if not shown:
        result.note("patient-identifier-absent", "warning", pointer, "the study's own id stands in PID-3, type U")
        return own
    numbers = map(_cx, shown)
    sent = numbers if result.subject.identity.is_linked else (own, *numbers)
    return result.fit("PID", 3, repetitions(sent), pointer)


def _cx(identifier: PatientIdentifier) -> str:
    return components(value(identifier.value), "", "", value(identifier.namespace) or NO_AUTHORITY, identifier.type)


def pid_5_patient_name(result: Result) -> str:
    """PID-5 Patient Name <- snapshot.patientName, split on evidence alone; unsplit, the whole is the family name.

    HL7 v2.5.1 §3.4.2.5.
    """
    pointer = f"{result.patient_pointer}/patientName"
    facility = result.site.facility(result.patient.facility_name)
    name = result.name(result.patient.patient_name, facility, pointer)
    if name is None or not value(name.text):
        result.note("patient-name-absent", "warning", pointer, "the name is sent as not known (type U)")
        return NAME_NOT_KNOWN
    return result.fit("PID", 5, xpn(name, "L"), pointer)


def pid_7_date_time_of_birth(result: Result) -> str:
    """PID-7 Date/Time of Birth <- snapshot.dateOfBirth; a partial date stays partial, an impossible one is dropped.

    HL7 v2.5.1 §3.4.2.7.
    """
    day, doubts = birth_date(result.patient, result.patient_pointer)
    result.issues.extend(doubts)
    return dtm_date(day) if day else ""


def pid_8_administrative_sex(result: Result) -> str:
    """PID-8 Administrative Sex <- snapshot.sex, table 0001; what is not said or not known is `U`.

    HL7 v2.5.1 §3.4.2.8.
    """
    code = HL70001.get(result.patient.sex)
    if code is None:
        result.note("sex-unknown-code", "warning", f"{result.patient_pointer}/sex", "sent as U (unknown)")
    return code or HL70001[None]


PID: Final[Table[Result]] = {
    1: "1",
    3: pid_3_patient_identifier_list,
    5: pid_5_patient_name,
    7: pid_7_date_time_of_birth,
    8: pid_8_administrative_sex,
}
