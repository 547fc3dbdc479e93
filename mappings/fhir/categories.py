"""FHIR category codes that all radiology orders and reports have; diagnostic_report.py adds the code of the modality.

https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.category, US Core DiagnosticReport Category,
HL7 table 0074, decision D23. US Core's category of imaging orders is a SNOMED CT code, which needs a license to share.
"""

from __future__ import annotations

from typing import Final

from mappings.codes import LOINC, RADIOLOGY_CATEGORY, V2_0074
from mappings.fhir.datatypes import Json, coding

RADIOLOGY: Final[list[Json]] = [
    {"coding": [coding(LOINC, *RADIOLOGY_CATEGORY)]},
    {"coding": [coding(V2_0074, "RAD", "Radiology")]},
]
