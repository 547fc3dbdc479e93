"""Look up codes: of a study's modality in the tables of codes.py, of its procedure text in the site's dictionary.

DICOM PS3.16 CID 29, HL7 v2.5.1 table 0074, decision D23.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from mappings.codes import DICOM_MODALITY, HL70074, MODALITY_ORDER
from mappings.issues import MappingIssue, Severity
from mappings.model import Report, Study
from mappings.profile import ProcedureCode, Site, exact

# Separators of modalities. A blank or hyphen separates only if each word is a modality
_SEPARATORS: Final = re.compile(r"[\\/+,;&|\r\n]|\band\b", re.IGNORECASE)
_LOOSE_SEPARATORS: Final = re.compile(r"[\s-]+")


def modality_parts(modality: str | None) -> tuple[str, ...]:
    """Split the modality text, each once and unchanged: `PET/CT`, `CT+PT` and `PET CT` are two.

    A text without any known modality stays whole.
    """
    whole = (modality or "").strip()
    if _code_of(whole):
        return (whole,)
    parts: list[str] = []
    for part in filter(None, map(str.strip, _SEPARATORS.split(whole))):
        words = _LOOSE_SEPARATORS.split(part)
        parts += words if not _code_of(part) and all(map(_code_of, words)) else [part]
    return tuple(dict.fromkeys(parts)) if any(map(_code_of, parts)) else (whole,) if whole else ()


@lru_cache(maxsize=1024)  # a site has few
def dicom_modalities(modality: str | None) -> tuple[str, ...]:
    """DICOM codes of all modalities in a text (`PET/CT` -> `PT`, `CT`), in the order of `MODALITY_ORDER`."""
    codes = set(map(_code_of, modality_parts(modality)))
    return tuple([code for code in MODALITY_ORDER if code in codes])


def dicom_modality(modality: str | None) -> str | None:
    """DICOM code of a modality as people write it (`MRI` -> `MR`); of several, the first in `MODALITY_ORDER`.

    None if no modality is known.
    """
    return next(iter(dicom_modalities(modality)), None)


def _code_of(text: str) -> str | None:
    return DICOM_MODALITY.get(text.upper())


def diagnostic_service_section(modality: str | None) -> str:
    """OBR-24 Diagnostic Serv Sect ID <- Study.modality, table 0074; `RAD` if the modality is not known.

    HL7 v2.5.1 §7.4.1.24.
    """
    return HL70074.get(dicom_modality(modality) or "", "RAD")


def modality_issues(study: Study) -> tuple[MappingIssue, ...]:
    """Make the issues of a modality, or of one of several, that is unknown or absent."""
    codes = list(map(_code_of, modality_parts(study.modality)))
    if codes and all(codes):
        return ()
    action = "no DICOM code; the diagnostic service is RAD (radiology)"
    if any(codes):
        action = "one of several has no DICOM code: sent as text in FHIR, not in HL7 v2"
    return (MappingIssue("modality-unknown", "information", "/modality", action),)


@dataclass(frozen=True, slots=True)
class Examination:
    """Examined procedure: its text, None if absent, and its code if the text matches exactly.

    `fallback` is the site's code for the modality, used only in OBR-4 if nothing matches exactly (D23).
    """

    text: str | None
    code: ProcedureCode | None = None
    fallback: ProcedureCode | None = None
    issues: tuple[MappingIssue, ...] = ()


def examination(study: Study, report: Report, site: Site, clean: Callable[[str | None], str | None]) -> Examination:
    """OBR-4 and DiagnosticReport.code <- snapshotMetadata.procedure ?? Study.studyDescription, after `clean`.

    HL7 v2.5.1 §4.5.3.4. Without both it is any diagnostic imaging study (LOINC 18748-4), with an issue. The code comes
    from the site's dictionary or the starter, by exact match only, and never for another modality than the study's.
    """
    place = f"{report.snapshot_pointer}/procedure"
    source, issues = report.snapshot.procedure, []
    text = clean(source)
    if not text:
        source, text = study.study_description, clean(study.study_description) or None
        action = "studyDescription stands for it" if text else "sent as LOINC 18748-4, any diagnostic imaging study"
        issues.append(MappingIssue("procedure-absent", "warning", place, action))
        place = "/studyDescription"
    modalities = dicom_modalities(study.modality)
    code, doubt = _code(site.procedures.get(exact(source), ()), modalities) if text else (None, "")
    if doubt:
        severity, action = _DOUBTS[doubt]
        issues.append(MappingIssue(doubt, severity, place, action))
    fallback = None if code else site.procedure_fallbacks.get(next(iter(modalities), ""))
    return Examination(text, code, fallback, tuple(issues))


_DOUBTS: Final[dict[str, tuple[Severity, str]]] = {
    "procedure-not-coded": ("information", "no row of the procedure dictionary has exactly this text: sent as text"),
    "procedure-modality-differs": ("warning", "its rows of the dictionary are for other modalities: sent as text"),
    "procedure-ambiguous": (
        "warning",
        "several rows fit, since the study has several modalities or none that is known: sent as text",
    ),
}


def _code(rows: Sequence[ProcedureCode], modalities: Sequence[str]) -> tuple[ProcedureCode | None, str]:
    """Return the one row for these modalities, or the code of the issue; CR and DX are both radiography."""
    if not rows:
        return None, "procedure-not-coded"
    exactly = [row for row in rows if row.modality in modalities]
    alike = {"", *map(_radiography, modalities)}
    fitting = exactly or [row for row in rows if not modalities or _radiography(row.modality) in alike]
    if len(fitting) == 1:
        return fitting[0], ""
    return None, "procedure-ambiguous" if fitting else "procedure-modality-differs"


def _radiography(modality: str) -> str:
    return "DX" if modality == "CR" else modality
