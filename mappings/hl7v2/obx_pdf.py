"""Write the OBX of a report's PDF: the document itself (ED), or the address of the PDF in the gateway (RP).

HL7 v2.5.1 §2.A (ED, RP), §7.4.2, decision D28. AutoScribe's presigned address is a secret and never sent.
"""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass
from typing import Final

from mappings.codes import DIAGNOSTIC_IMAGING_STUDY
from mappings.hl7v2.er7 import Table, components, layout, value
from mappings.hl7v2.obx_numbers import Numbers
from mappings.hl7v2.obx_report import (
    obx_11_observation_result_status,
    obx_14_date_time_of_the_observation,
    obx_16_responsible_observer,
    restated,
)
from mappings.hl7v2.result import Result
from mappings.model import Report
from mappings.patient.identifiers import fhir_id

# A base of links without characters to escape: receivers take OBX-5 literally as an address
_BASE: Final = re.compile(r"[a-z]+://[^\s|^~&\\]+")


@dataclass(frozen=True, slots=True)
class PdfLine:
    """One OBX of a PDF: its `data_type` (table 0125) and OBX-5."""

    result: Result
    report: Report
    number: str
    sub_id: str
    data_type: str
    content: str


def obx_5_encapsulated_data(result: Result, report: Report) -> str:
    """OBX-5 Observation Value <- the bytes of the report's PDF as ED, Base64 without line breaks; "" with an issue.

    HL7 v2.5.1 §7.4.2.5.
    """
    facts = result.facts.pdf.get(report.report_id)
    if facts is not None and facts.size > result.receiver.pdf_max:
        action = f"{facts.size} bytes, the receiver takes {result.receiver.pdf_max}: sent without the PDF"
        result.note("pdf-too-large", "warning", report.pointer, action)
        return ""
    if facts is None or not facts.data:
        result.note("pdf-absent", "warning", report.pointer, "the bytes of the PDF are not there: sent without it")
        return ""
    return components("AUTOSCRIBE", "Application", "PDF", "Base64", b64encode(facts.data).decode())


def obx_5_reference_pointer(result: Result, report: Report) -> str:
    """OBX-5 Observation Value <- the address of the report's PDF in the gateway as RP; "" with an issue.

    HL7 v2.5.1 §7.4.2.5.
    """
    base = result.site.fhir_base.rstrip("/")
    if not _BASE.fullmatch(base):
        action = "fhir_base is not set, or has a delimiter in it: sent without a link to the PDF"
        result.note("pdf-link-impossible", "warning", report.pointer, action)
        return ""
    address = f"{base}/Binary/{fhir_id(report.report_id)}-pdf"
    return components(address, value(result.site.sending_application), "Application", "PDF")


# Switch `pdf` -> OBX-2 (table 0125) and the function for OBX-5
_TYPES: Final = {
    "ed": ("ED", obx_5_encapsulated_data),
    "separate_message": ("ED", obx_5_encapsulated_data),
    "rp": ("RP", obx_5_reference_pointer),
}
PDF: Final[Table[PdfLine]] = {
    1: lambda line: line.number,
    2: lambda line: line.data_type,
    3: components(*DIAGNOSTIC_IMAGING_STUDY, "LN"),
    4: lambda line: line.sub_id,
    5: lambda line: line.content,  # obx_5_encapsulated_data, obx_5_reference_pointer
    11: lambda line: obx_11_observation_result_status(line.result),
    14: lambda line: obx_14_date_time_of_the_observation(line.result, line.report),
    16: lambda line: obx_16_responsible_observer(line.result, line.report),
}
_PDF: Final = layout(PDF, "OBX")


def pdf_segments(result: Result, numbers: Numbers) -> list[str]:
    """Write the OBX of the PDF of each signed report restated; none if only a withdrawal notice is sent."""
    if result.receiver.pdf not in _TYPES or result.status.is_void:
        return []
    data_type, make = _TYPES[result.receiver.pdf]
    written: list[str] = []
    for report in restated(result):
        content = make(result, report) if report.is_completed else ""
        if content:
            content = result.fit("OBX", 5, content, report.pointer)
            line = PdfLine(result, report, numbers.next_set_id(), numbers.next_sub_id(), data_type, content)
            written.append(_PDF.render(line))
    return written
