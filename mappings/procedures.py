"""Which modality a study has, as DICOM and as HL7 table 0074 name it; unknown text is never guessed at.

DICOM PS3.16 CID 29, HL7 v2.5.1 table 0074, decision D23.
"""

from __future__ import annotations

from mappings.codes import DICOM_MODALITY, HL70074


def dicom_modality(modality: str | None) -> str | None:
    """The DICOM code of a modality as people write it (`MRI` -> `MR`), or None if it is not one we know."""
    return DICOM_MODALITY.get((modality or "").strip().upper())


def diagnostic_service_section(modality: str | None) -> str:
    """OBR-24 Diagnostic Serv Sect ID <- Study.modality, table 0074; `RAD` where the modality is not known."""
    return HL70074.get(dicom_modality(modality) or "", "RAD")
