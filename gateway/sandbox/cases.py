"""What a synthetic report can say: a procedure, why it was asked for, and the cases it may show.

Carries out no clause of a standard: the upstream's report is free text.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReportCase:
    """One outcome of a procedure. `{n}`, `{side}` and `{level}` are filled in when the text is written."""

    findings: tuple[str, ...]
    impression: tuple[str, ...]
    critical: bool = False
    recommendation: str = ""


@dataclass(frozen=True, slots=True)
class Procedure:
    """A procedure as the upstream names it (free text everywhere) and the texts its reports are made of."""

    modality: str
    description: str
    procedure: str
    technique: str
    indications: tuple[str, ...]
    cases: tuple[ReportCase, ...]
    patient_sex: str | None = None
