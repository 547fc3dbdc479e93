"""Write the ZDS segment: the Study Instance UID in a non-standard segment, for radiology systems.

IHE Radiology Technical Framework Volume 2 §4.4.4.1.2.7 (ZDS, RAD-4); HL7 v2.5.1 §2.11 allows Z segments.
"""

from __future__ import annotations

from typing import Final

from mappings.hl7v2.er7 import FIELD, Table, components, layout, value
from mappings.hl7v2.result import Result
from mappings.patient.identifiers import is_dicom_uid


def zds_1_study_instance_uid(result: Result) -> str:
    """ZDS-1 Study Instance UID <- study.studyInstanceUid, an RP with IHE's application and type.

    IHE RAD TF-2 Table 4.4-6. An odd UID is sent unchanged: it is the only link to the images.
    """
    uid = value(result.study.study_instance_uid)
    if not uid:
        result.note("study-uid-absent", "warning", "/studyInstanceUid", "no ZDS segment")
        return ""
    if not is_dicom_uid(uid):
        result.note("study-uid-odd", "warning", "/studyInstanceUid", "no DICOM UID: sent as it came")
    return components(uid, "AUTOSCRIBE", "Application", "DICOM")


ZDS: Final[Table[Result]] = {1: zds_1_study_instance_uid}
_ZDS: Final = layout(ZDS, "ZDS")


def image_segments(result: Result) -> list[str]:
    """Write the ZDS with the Study Instance UID if the receiver's `uid` asks for it."""
    if result.receiver.uid not in ("zds", "both"):
        return []
    segment = _ZDS.render(result)
    return [segment] if FIELD in segment else []
