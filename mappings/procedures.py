"""Which examination a study is, and its modality as DICOM and HL7 table 0074 name it; unknown text is never guessed at.

DICOM PS3.16 CID 29, HL7 v2.5.1 table 0074, decision D23.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from mappings.codes import DICOM_MODALITY, HL70074
from mappings.issues import MappingIssue, Severity
from mappings.model import Report, Study
from mappings.profile import ProcedureCode, Site, exact


def dicom_modality(modality: str | None) -> str | None:
    """The DICOM code of a modality as people write it (`MRI` -> `MR`), or None if it is not one we know."""
    return DICOM_MODALITY.get((modality or "").strip().upper())


def diagnostic_service_section(modality: str | None) -> str:
    """OBR-24 Diagnostic Serv Sect ID <- Study.modality, table 0074; `RAD` where the modality is not known.

    HL7 v2.5.1 §7.4.1.24.
    """
    return HL70074.get(dicom_modality(modality) or "", "RAD")


def modality_issues(study: Study) -> tuple[MappingIssue, ...]:
    """What is to be said where the modality is none that we know, or is not said."""
    if dicom_modality(study.modality):
        return ()
    action = "no DICOM code; the diagnostic service is RAD (radiology)"
    return (MappingIssue("modality-unknown", "information", "/modality", action),)


@dataclass(frozen=True, slots=True)
class Examination:
    """What was examined: its text, None where nothing is said, and its code where the text is an exact match.

    `fallback` is the site's code for the modality, for OBR-4 only, where there is no exact match (D23).
    """

    text: str | None
    code: ProcedureCode | None = None
    fallback: ProcedureCode | None = None
    issues: tuple[MappingIssue, ...] = ()


def examination(study: Study, report: Report, site: Site, clean: Callable[[str | None], str | None]) -> Examination:
    """OBR-4 and DiagnosticReport.code <- snapshotMetadata.procedure ?? Study.studyDescription, as `clean` leaves them.

    HL7 v2.5.1 §4.5.3.4. Without either it is any diagnostic imaging study (LOINC 18748-4), with an issue. The code is
    that of the site's dictionary or the starter, by exact match alone, and never of another modality than the study's.
    """
    place = f"{report.snapshot_pointer}/procedure"
    said, issues = report.snapshot.procedure, []
    text = clean(said)
    if not text:
        said, text = study.study_description, clean(study.study_description) or None
        action = "studyDescription stands for it" if text else "sent as LOINC 18748-4, any diagnostic imaging study"
        issues.append(MappingIssue("procedure-absent", "warning", place, action))
        place = "/studyDescription"
    modality = dicom_modality(study.modality)
    code, doubt = _code(site.procedures.get(exact(said), ()), modality) if text else (None, "")
    if doubt:
        severity, action = _DOUBTS[doubt]
        issues.append(MappingIssue(doubt, severity, place, action))
    fallback = None if code else site.procedure_fallbacks.get(modality or "")
    return Examination(text, code, fallback, tuple(issues))


_DOUBTS: Final[dict[str, tuple[Severity, str]]] = {
    "procedure-not-coded": ("information", "no row of the procedure dictionary has exactly this text: sent as text"),
    "procedure-modality-differs": ("warning", "its rows of the dictionary are for other modalities: sent as text"),
    "procedure-ambiguous": ("warning", "rows of several modalities, and the study's is not known: sent as text"),
}


def _code(rows: Sequence[ProcedureCode], modality: str | None) -> tuple[ProcedureCode | None, str]:
    """The one row that is for this modality, or why there is none; CR and DX are both projection radiography."""
    if not rows:
        return None, "procedure-not-coded"
    exactly = [row for row in rows if modality and row.modality == modality]
    fitting = exactly or [
        row for row in rows if not modality or _radiography(row.modality) in {"", _radiography(modality)}
    ]
    if len(fitting) == 1:
        return fitting[0], ""
    return None, "procedure-ambiguous" if fitting else "procedure-modality-differs"


def _radiography(modality: str) -> str:
    return "DX" if modality == "CR" else modality
