"""OBX, the report line by line, and height and weight where a receiver wants them.

HL7 v2.5.1 §7.4.2, decisions D19, D22, D24, D34.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mappings.codes import DIAGNOSTIC_IMAGING_STUDY, SECTION_LOINC
from mappings.dates import effective
from mappings.hl7v2.er7 import Table, components, layout
from mappings.hl7v2.lengths import LENGTHS
from mappings.hl7v2.report_text import BLANK, Stretch, has_plain_lines, header, stretches
from mappings.hl7v2.result import Result
from mappings.model import Report
from mappings.text import signed_text_issues
from mappings.units import VitalSign, vital_sign

# Section label -> OBX-3; every other line is of the report as a whole (LOINC)
OBX_3_LOINC: Final[dict[str, str]] = {
    "": components(*DIAGNOSTIC_IMAGING_STUDY, "LN"),
    "findings": components(*SECTION_LOINC["findings"], "LN"),
    "impression": components(*SECTION_LOINC["impression"], "LN"),
}
PER_LINE: Final = "differs from line to line: put in by report_segments"


@dataclass(frozen=True, slots=True)
class ReportLine:
    """What is equal on all OBX of a report's lines, marked critical or not."""

    result: Result
    is_critical: bool
    signed_at: str
    signer: str


def obx_3_observation_identifier(label: str) -> str:
    """OBX-3 Observation Identifier <- the section in which the line begins.

    HL7 v2.5.1 §7.4.2.3.
    """
    return OBX_3_LOINC.get(label, OBX_3_LOINC[""])


def obx_8_abnormal_flags(line: ReportLine) -> str:
    """OBX-8 Abnormal Flags <- report.isCritical, table 0078: AA on what the impression says; null asserts nothing.

    HL7 v2.5.1 §7.4.2.8.
    """
    return "AA" if line.is_critical and line.result.receiver.critical == "obx8_is" else ""


def obx_11_observation_result_status(line: ReportLine) -> str:
    """OBX-11 Observation Result Status <- report.status, table 0085 (mappings/status.py).

    HL7 v2.5.1 §7.4.2.11.
    """
    return line.result.status.obx_11 or ""


def obx_14_date_time_of_the_observation(result: Result, report: Report) -> str:
    """OBX-14 Date/Time of the Observation <- signedAt of the report that the line is from (D19).

    HL7 v2.5.1 §7.4.2.14.
    """
    signing = result.signed_at(report)
    return signing[1] if signing else ""


def obx_16_responsible_observer(result: Result, report: Report) -> str:
    """OBX-16 Responsible Observer <- the User behind userId of the report that the line is from (D19).

    HL7 v2.5.1 §7.4.2.16.
    """
    signer = result.signer(report)
    return result.fit("OBX", 16, signer.xcn, signer.user.pointer) if signer else ""


OBX: Final[Table[ReportLine]] = {
    1: PER_LINE,
    2: "TX",
    3: PER_LINE,  # obx_3_observation_identifier
    4: PER_LINE,  # report_segments
    5: PER_LINE,  # stretches
    8: obx_8_abnormal_flags,
    11: obx_11_observation_result_status,
    14: lambda line: line.signed_at,  # obx_14_date_time_of_the_observation
    16: lambda line: line.signer,  # obx_16_responsible_observer
}
_AFTER_VALUE: Final = layout(OBX, first=6)


def report_segments(result: Result, first: int) -> list[str]:
    """The OBX of every report restated, numbered from `first`: addenda newest first, then originals as signed (D19).

    OBX-4 counts runs of lines of one code within a report.
    """
    reports = result.subject.reports
    addenda = [report for report in reversed(reports) if report.is_addendum]
    written: list[str] = []
    sub_id = 0
    ordered = [*addenda, *(report for report in reports if not report.is_addendum)]
    for report in ordered:
        signed = obx_14_date_time_of_the_observation(result, report), obx_16_responsible_observer(result, report)
        plain = critical = _AFTER_VALUE.render(ReportLine(result, False, *signed))
        if report.is_critical:
            critical = _AFTER_VALUE.render(ReportLine(result, True, *signed))
        code = ""
        for stretch in _shown(result, report, is_last=report is ordered[-1]):
            observation = obx_3_observation_identifier(stretch.label)
            sub_id += observation != code
            code = observation
            before = f"TX|{code}|{sub_id}"
            after = critical if stretch.is_critical else plain
            # a blank line says nothing and is never marked critical
            written += [
                f"OBX|{number}|{before}|{row}|{after}" if row else f"OBX|{number}|{before}|{BLANK}|{plain}"
                for number, row in enumerate(stretch.lines, first + len(written))
            ]
    if first + len(written) - 1 > 9999:
        result.note("length-exceeded", "warning", "/reports", "OBX-1 has more than the 4 digits of HL7 v2.5.1")
    return written


def _shown(result: Result, report: Report, *, is_last: bool) -> list[Stretch]:
    """The lines of one report; if it is restated with others, under a header and with a blank line before the next."""
    is_plain = has_plain_lines(report.text or "")
    texts = stretches(report, is_plain=is_plain)
    _note_text(result, report, is_plain=is_plain)
    if len(result.subject.reports) > 1 or report.is_addendum:
        facility = result.site.facility(report.snapshot.facility_name)
        signer = result.signer(report)
        signing, name = result.signed_at(report), signer.display if signer else ""
        texts.insert(0, Stretch("", False, [header(report, signing and signing[0], name, facility)]))
    if not is_last:
        texts[-1].lines.append("")
    return texts


def _note_text(result: Result, report: Report, *, is_plain: bool) -> None:
    pointer = f"{report.pointer}/reportPlainText"
    text = report.text or ""
    if not (is_plain and text.strip()):
        result.issues.extend(signed_text_issues(text, pointer))
    if len(text) > LENGTHS["OBX"][5] and max(map(len, text.splitlines())) > LENGTHS["OBX"][5]:
        result.note("length-exceeded", "warning", pointer, "a line longer than OBX-5 of HL7 v2.5.1, sent whole")


@dataclass(frozen=True, slots=True)
class VitalLine:
    """One height or weight."""

    result: Result
    number: int
    vital: VitalSign


def obx_14_of_a_vital_sign(line: VitalLine) -> str:
    """OBX-14 Date/Time of the Observation <- the time of the examination, for height and weight.

    HL7 v2.5.1 §7.4.2.14.
    """
    when, _ = effective(line.result.lead, line.result.site)
    return when.dtm if when else ""


VITAL: Final[Table[VitalLine]] = {
    1: lambda line: str(line.number),
    2: "NM",
    3: lambda line: components(line.vital.code, line.vital.display, "LN"),
    5: lambda line: f"{line.vital.value:.10g}",
    6: lambda line: components(line.vital.ucum, line.vital.unit, "UCUM"),
    11: "F",
    14: obx_14_of_a_vital_sign,
}
_VITAL: Final = layout(VITAL, "OBX")


def vital_segments(result: Result) -> list[str]:
    """The OBX of height and weight; none where the receiver's profile has `vitals = off`."""
    if result.receiver.vitals == "off":
        return []
    written: list[str] = []
    for kind, measurement in (("height", result.snapshot.height), ("weight", result.snapshot.weight)):
        vital, issues = vital_sign(kind, measurement, result.at_snapshot(kind))
        result.issues.extend(issues)
        if vital is not None:
            written.append(_VITAL.render(VitalLine(result, len(written) + 1, vital)))
    return written
