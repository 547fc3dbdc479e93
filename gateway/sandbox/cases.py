"""Building blocks of synthetic reports: procedures, indications, and cases with findings and impression.

Carries out no clause of a standard: AutoScribe's report is free text.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReportCase:
    """One possible result of a procedure; `texts.write` fills in `{n}`, `{side}` and `{level}`."""

    findings: tuple[str, ...]
    impression: tuple[str, ...]
    critical: bool = False
    recommendation: str = ""


@dataclass(frozen=True, slots=True)
class Procedure:
    """A procedure, named as AutoScribe does (free text), with the texts of its reports."""

    modality: str
    description: str
    procedure: str
    technique: str
    indications: tuple[str, ...]
    cases: tuple[ReportCase, ...]
    patient_sex: str | None = None
