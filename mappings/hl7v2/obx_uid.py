"""Write the OBX with the Study Instance UID, for receivers that read the UID there.

HL7 v2.5.1 §7.4.2, IHE Results Distribution [RAD-128] (ST), IHE RAD TF-2 §4.28 (HD, the UID alone as first component).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mappings.hl7v2.er7 import Table, layout, value
from mappings.hl7v2.obx_numbers import Numbers
from mappings.hl7v2.result import Result
from mappings.patient.identifiers import is_dicom_uid


@dataclass(frozen=True, slots=True)
class UidLine:
    """The OBX of a UID."""

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


def uid_segments(result: Result, numbers: Numbers) -> list[str]:
    """Write the OBX of the study's UID; none if the receiver wants none, or there is no UID."""
    if result.receiver.uid not in ("obx113014", "both"):
        return []
    uid = obx_5_study_instance_uid(result)
    return [_UID.render(UidLine(result, numbers.next_set_id(), uid))] if uid else []
