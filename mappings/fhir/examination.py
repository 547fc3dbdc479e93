"""Map the examined procedure to the FHIR code of a report's DiagnosticReport and of the order.

https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.code, decision D23.
"""

from __future__ import annotations

from typing import Final

from mappings.codes import DIAGNOSTIC_IMAGING_STUDY, LOINC
from mappings.fhir.datatypes import Json, coding, line
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
