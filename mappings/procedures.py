"""Which examination a study is, and its modality as DICOM and HL7 table 0074 name it; unknown text is never guessed at.

DICOM PS3.16 CID 29, HL7 v2.5.1 table 0074, decision D23.
"""

from __future__ import annotations

from collections.abc import Callable

from mappings.codes import DICOM_MODALITY, HL70074
from mappings.issues import MappingIssue
from mappings.model import Report, Study


def dicom_modality(modality: str | None) -> str | None:
    """The DICOM code of a modality as people write it (`MRI` -> `MR`), or None if it is not one we know."""
    return DICOM_MODALITY.get((modality or "").strip().upper())


def diagnostic_service_section(modality: str | None) -> str:
    """OBR-24 Diagnostic Serv Sect ID <- Study.modality, table 0074; `RAD` where the modality is not known."""
    return HL70074.get(dicom_modality(modality) or "", "RAD")


def modality_issues(study: Study) -> tuple[MappingIssue, ...]:
    """What is to be said where the modality is none that we know, or is not said."""
    if dicom_modality(study.modality):
        return ()
    action = "no DICOM code; the diagnostic service is RAD (radiology)"
    return (MappingIssue("modality-unknown", "information", "/modality", action),)


def examination(
    study: Study, report: Report, clean: Callable[[str | None], str | None]
) -> tuple[str | None, tuple[MappingIssue, ...]]:
    """OBR-4 and DiagnosticReport.code <- snapshotMetadata.procedure ?? Study.studyDescription, as `clean` leaves them.

    None, with an issue, where neither says anything: then it is any diagnostic imaging study (LOINC 18748-4).
    """
    if text := clean(report.snapshot.procedure):
        return text, ()
    text = clean(study.study_description) or None
    action = "studyDescription stands for it" if text else "sent as LOINC 18748-4, any diagnostic imaging study"
    return text, (MappingIssue("procedure-absent", "warning", f"{report.snapshot_pointer}/procedure", action),)
