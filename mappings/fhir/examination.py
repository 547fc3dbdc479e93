"""Map the examined procedure to the FHIR code of a report's DiagnosticReport and of the order.

https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.code, decisions D23, D48.
"""

from __future__ import annotations

from typing import Final

from mappings.answered_order import StatedCode
from mappings.codes import DIAGNOSTIC_IMAGING_STUDY, HL70396, LOINC
from mappings.fhir.datatypes import Json, coding, line, said
from mappings.fhir.scene import Scene
from mappings.model import Report
from mappings.values.procedures import examination

_ANY: Final[list[Json]] = [coding(LOINC, *DIAGNOSTIC_IMAGING_STUDY)]


def diagnostic_report_code(scene: Scene, report: Report) -> Json:
    """DiagnosticReport.code <- snapshotMetadata.procedure ?? Study.studyDescription: always with 18748-4 (D23).

    https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.code
    Beside it stands the code for exactly this text in the site's dictionary or the starter.
    """
    exam = examination(scene.study, report, scene.site, line)
    scene.issues.extend(exam.issues)
    exact = [coding(exam.code.system, exam.code.code, exam.code.display)] if exam.code else []
    return {"coding": [*_ANY, *exact], "text": exam.text or DIAGNOSTIC_IMAGING_STUDY[1]}


def any_examination(text: str | None) -> Json:
    """Make the code of an examination without a report."""
    return {"coding": _ANY, "text": text or DIAGNOSTIC_IMAGING_STUDY[1]}


def ordered_examination(procedure: StatedCode) -> Json | None:
    """Make the code of a hospital's order; None if it states none. A code of an unknown system has none."""
    triplets = (
        (procedure.code, procedure.text, procedure.system),
        (procedure.alternate_code, procedure.alternate_text, procedure.alternate_system),
    )
    texts = [text for text in map(line, (procedure.text, procedure.alternate_text)) if text]
    codings = [
        said({"system": HL70396.get(system.upper(), ""), "code": known, "display": line(text)})
        for code, text, system in triplets
        if (known := _code(code))
    ]
    if not codings and not texts:
        return None
    text = texts[0] if texts else DIAGNOSTIC_IMAGING_STUDY[1]
    return {"coding": [*_ANY, *codings], "text": text}


def _code(text: str) -> str:
    """Return a code as FHIR has it: single blanks alone between its parts (R4 datatypes, code)."""
    return " ".join((line(text) or "").split())
