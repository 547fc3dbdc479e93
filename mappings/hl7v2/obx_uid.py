"""Write the OBX with the Study Instance UID, and with the address of the facility's viewer, if the receiver wants them.

HL7 v2.5.1 §7.4.2, §2.A.67 (RP), IHE Results Distribution [RAD-128] (ST), IHE RAD TF-2 §4.28 (HD, the UID alone as first
component).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mappings.hl7v2.er7 import Table, components, layout, value
from mappings.hl7v2.obx_numbers import Numbers
from mappings.hl7v2.result import Result
from mappings.patient.identifiers import is_dicom_uid


@dataclass(frozen=True, slots=True)
class UidLine:
    """The OBX of a UID, or of an address that has it."""

    result: Result
    number: str
    uid: str


def obx_5_study_instance_uid(result: Result) -> str:
    """OBX-5 Observation Value <- study.studyInstanceUid; an odd one is sent unchanged, as the only link to the images.

    HL7 v2.5.1 §7.4.2.5.
    """
    uid = value(result.study.study_instance_uid)
    if not uid:
        result.note("study-uid-absent", "warning", "/studyInstanceUid", "no OBX of the study's UID")
    elif not is_dicom_uid(uid):
        result.note("study-uid-odd", "warning", "/studyInstanceUid", "no DICOM UID: sent as it came")
    return uid


# OBX-11: table 0085, `O` is order detail only, not a result
UID: Final[Table[UidLine]] = {
    1: lambda line: line.number,
    2: lambda line: line.result.receiver.uid_type,
    3: "113014^DICOM Study^DCM",
    5: lambda line: line.uid,  # obx_5_study_instance_uid
    11: "O",
}
_UID: Final = layout(UID, "OBX")


def obx_5_viewer(result: Result) -> str:
    """OBX-5 Observation Value <- the address at which the facility's viewer shows the study, as RP; "" with an issue.

    HL7 v2.5.1 §7.4.2.5. Its delimiters are escaped; a receiver without escape sequences gets none that has any.
    """
    uid = value(result.study.study_instance_uid)
    facility = result.facility
    if facility is None or not facility.viewer:
        return ""
    address = facility.viewer_address(uid if is_dicom_uid(uid) else "", result.order.accession_number)
    if not address or (result.receiver.escape == "strip" and value(address) != address):
        result.note("images-not-linked", "information", "/studyInstanceUid", "no address of the viewer can be said")
        return ""
    return components(value(address), value(result.site.sending_application), "TEXT", "HTML")


VIEWER: Final[Table[UidLine]] = {
    1: lambda line: line.number,
    2: "RP",
    3: "113014^DICOM Study^DCM",
    4: "1",
    5: lambda line: line.uid,  # obx_5_viewer
    11: "O",
}
_VIEWER: Final = layout(VIEWER, "OBX")


def uid_segments(result: Result, numbers: Numbers) -> list[str]:
    """Write the OBX of the study's UID and of its viewer; none if the receiver wants none, or it is not known."""
    made = []
    if result.receiver.uid in ("obx113014", "both") and (uid := obx_5_study_instance_uid(result)):
        made.append(_UID.render(UidLine(result, numbers.next_set_id(), uid)))
    if result.receiver.viewer == "rp" and (address := obx_5_viewer(result)):
        made.append(_VIEWER.render(UidLine(result, numbers.next_set_id(), address)))
    return made
