"""ZDS, the Study Instance UID beside the standard's segments, as radiology systems read it.

IHE Radiology Technical Framework Volume 2 §4.4.4.1.2.7 (ZDS, RAD-4); HL7 v2.5.1 §2.11 allows Z segments.
"""

from __future__ import annotations

import re
from typing import Final

from mappings.hl7v2.er7 import Table, components, value
from mappings.hl7v2.result import Result

_UID: Final = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))*")


def zds_1_study_instance_uid(result: Result) -> str:
    """ZDS-1 Study Instance UID <- study.studyInstanceUid, an RP with the application and type that IHE names.

    IHE RAD TF-2 Table 4.4-6. An odd UID goes out as it came: it is the only link to the images.
    """
    uid = value(result.study.study_instance_uid)
    if not uid:
        result.note("study-uid-absent", "warning", "/studyInstanceUid", "no ZDS segment")
        return ""
    if len(uid) > 64 or not _UID.fullmatch(uid):
        result.note("study-uid-odd", "warning", "/studyInstanceUid", "no DICOM UID: sent as it came")
    return components(uid, "AUTOSCRIBE", "Application", "DICOM")


ZDS: Final[Table[Result]] = {1: zds_1_study_instance_uid}
