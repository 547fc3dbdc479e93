"""Write all OBX segments under one OBR in order: study UID, height and weight, lines of the reports, PDFs.

HL7 v2.5.1 §7.3.1, §7.4.2, decisions D19, D22, D34, D36.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from mappings.hl7v2.er7 import FIELD, Table, components, layout, value
from mappings.hl7v2.lengths import LENGTHS_OF
from mappings.hl7v2.nte import note_segments
from mappings.hl7v2.obx_numbers import Numbers
from mappings.hl7v2.obx_pdf import pdf_segments
from mappings.hl7v2.obx_report import (
    flags_on,
    obx_11_observation_result_status,
    obx_14_date_time_of_the_observation,
    obx_16_responsible_observer,
    restated,
)
from mappings.hl7v2.obx_uid import uid_segments
from mappings.hl7v2.obx_values import (
    BLANK,
    obx_2_value_type,
    obx_3_observation_identifier,
    obx_5_observation_values,
    without_blank_lines,
)
from mappings.hl7v2.obx_vitals import vital_segments
from mappings.hl7v2.report_text import (
    CONCLUDED,
    NOT_SIGNED,
    WITHDRAWN,
    Stretch,
    has_plain_lines,
    stretch_label,
    stretches,
)
from mappings.hl7v2.result import Result
from mappings.model import Report
from mappings.study.conclusion import FLAG_OF, Passage, correction_issues, header, passages
from mappings.values.text import character_issues, signed_text_issues

# Switch `critical` -> OBX-8, table 0078; IS in v2.5.1, CE if a receiver of RAD-128 requires it
OBX_8: Final[dict[str, str]] = {
    "obx8_is": "AA",
    "obx8_ce": "AA^Critical abnormal^HL70078",
    "obx15_rid": "AA^Critical abnormal^HL70078",
}
_LONGEST_ESCAPE: Final = 5  # `\.br\` for one line break
PER_LINE: Final = "differs from line to line: put in by _lines"


@dataclass(frozen=True, slots=True)
class ReportLine:
    """Fields shared by all OBX of a report's lines, marked critical or not."""

    result: Result
    is_critical: bool
    observed_at: str
    signer: str


def obx_8_abnormal_flags(line: ReportLine) -> str:
    """OBX-8 Abnormal Flags <- report.isCritical, table 0078: AA on lines of the impression; null asserts nothing.

    HL7 v2.5.1 §7.4.2.8. With `obx8_ce` and `obx15_rid` it is a CE: `AA^Critical abnormal^HL70078`. The newest addendum
    shows the flag of its report too (D22).
    """
    return OBX_8.get(line.result.receiver.critical, "") if line.is_critical else ""


def obx_15_producers_id(line: ReportLine) -> str:
    """OBX-15 Producer's ID <- the receiver's critical_code on marked lines, as in RAD-128 samples.

    HL7 v2.5.1 §7.4.2.15. Its components are the profile's own.
    """
    receiver = line.result.receiver
    if not line.is_critical or receiver.critical != "obx15_rid":
        return ""
    return components(*map(value, receiver.critical_code.split("^")))


OBX: Final[Table[ReportLine]] = {
    1: PER_LINE,
    2: PER_LINE,  # obx_2_value_type
    3: PER_LINE,  # obx_3_observation_identifier
    4: PER_LINE,
    5: PER_LINE,  # obx_5_observation_values
    8: obx_8_abnormal_flags,
    11: lambda line: obx_11_observation_result_status(line.result),
    14: lambda line: line.observed_at,  # obx_14_date_time_of_the_observation
    15: obx_15_producers_id,
    16: lambda line: line.signer,  # obx_16_responsible_observer
}
_AFTER_VALUE: Final = layout(OBX, first=6)


def observation_segments(result: Result) -> list[str]:
    """Write every OBX of one OBR group with its NTE, numbered from 1: UID, height and weight, reports, PDFs.

    For a cause of the PDF alone (`part`): UID and PDF, or nothing without a PDF. If the PDF is withdrawn, a line says
    so.
    """
    place, make = (observation_segments, result.cause, result.set_id), partial(_observation_segments, result)
    return result.reuse.of_noted(place, _given(result), make, result.issues)


def _given(result: Result) -> tuple[Any, ...]:
    """Return everything that the OBX of a message depend on, to compare with an earlier input."""
    study, lead = result.study, result.lead
    peers, reports = list(map(_given_of, result.peers)), list(map(_given_of, result.reports))
    of_study = (
        result.order.accession_number,
        study.study_instance_uid,
        study.technologist_technique,
        study.technologist_notes,
        study.users,
    )
    of_lead = lead.pointer, lead.snapshot.height, lead.snapshot.weight, _given_of(lead)
    return result.site, result.receiver, result.facts, result.status, result.facility, of_study, of_lead, peers, reports


def _given_of(report: Report) -> tuple[Any, ...]:
    snapshot = report.snapshot
    of_snapshot = snapshot.facility_name, snapshot.study_date, snapshot.study_time
    of_report = report.report_id, report.user_id, report.pointer, report.text, report.is_critical, *of_snapshot
    times = report.signed_at, report.updated_at, report.created_at, report.text_changed_at, report.is_change_dated
    return report.status, report.is_addendum, times, of_report


def _observation_segments(result: Result) -> list[str]:
    numbers = Numbers()
    segments = uid_segments(result, numbers)
    if result.cause.part == "pdf":
        documents = pdf_segments(result, numbers) if result.reports else report_segments(result, numbers)
        return segments + documents if documents else []
    segments += vital_segments(result, numbers)
    segments += report_segments(result, numbers)
    if result.receiver.pdf in ("ed", "rp"):
        segments += pdf_segments(result, numbers)
    if numbers.obx_1 > 9999:
        result.note("length-exceeded", "warning", "/reports", "OBX-1 has more than the 4 digits of HL7 v2.5.1")
    return segments


def report_segments(result: Result, numbers: Numbers) -> list[str]:
    """Write the OBX of every report restated: addenda newest first, then originals in signing order (D19).

    If none is left (the addendum is gone and withdrawn), a line says so.
    """
    written: list[str] = []
    omitted = 0
    reports = restated(result)
    if not reports:
        return _lines(result, None, [Stretch("", False, [WITHDRAWN])], numbers)
    for report in reports:
        texts = _report_stretches(result, report)
        if result.receiver.blank_line == "omit":
            texts, blank_lines = without_blank_lines(texts)
            omitted += blank_lines
        elif report is not reports[-1]:
            texts[-1].lines.append("")
        written += _lines(result, report, texts, numbers)
    if omitted:
        action = f"{omitted} empty lines left out, as the receiver's blank_line asks"
        result.note("blank-lines-omitted", "information", "/reports", action)
    return written


def _lines(result: Result, report: Report | None, texts: list[Stretch], numbers: Numbers) -> list[str]:
    """Write the OBX of one report. OBX-4 counts runs of one code, or sections if an OBX is a section."""
    receiver = result.receiver
    plain = critical = _after_value(result, report, is_critical=False)
    is_marked = report is not None and bool(flags_on(result, report))
    if is_marked:
        critical = _after_value(result, report, is_critical=True)
    data_type, blank = obx_2_value_type(receiver), BLANK[receiver.blank_line]
    written: list[str] = []
    code = before = ""
    shaped = obx_5_observation_values(texts, receiver)
    for stretch in shaped:
        observation = obx_3_observation_identifier(stretch.label, receiver.obx3_style)
        if observation != code or receiver.text == "tx_sections":
            code = observation
            before = f"{data_type}|{code}|{numbers.next_sub_id()}|"
        after = critical if stretch.is_critical else plain
        beginnings = numbers.next_beginnings(len(stretch.lines))
        # a blank line is never marked critical
        written += [
            f"{beginning}{before}{row}{after}" if row else f"{beginning}{before}{blank}{plain}"
            for beginning, row in zip(beginnings, stretch.lines, strict=True)
        ]
    if report is not None:
        _note_lengths(result, report, shaped)
    if receiver.critical == "nte" or receiver.nte != "none":
        marks = [is_marked and stretch.is_critical and row != "" for stretch in shaped for row in stretch.lines]
        _put_notes(result, report, written, marks)
    return written


def _after_value(result: Result, report: Report | None, *, is_critical: bool) -> str:
    """Fields after OBX-5, equal on all lines of a report."""
    if report is None:
        return FIELD + _AFTER_VALUE.render(ReportLine(result, False, "", ""))
    signed = obx_14_date_time_of_the_observation(result, report), obx_16_responsible_observer(result, report)
    return FIELD + _AFTER_VALUE.render(ReportLine(result, is_critical, *signed))


def _note_lengths(result: Result, report: Report, shaped: list[Stretch]) -> None:
    """Add issues for values longer than OBX-5 allows, only if the text is long enough for one."""
    shortest = LENGTHS_OF[result.receiver.version]["OBX"][5] // _LONGEST_ESCAPE
    if len(report.text or "") > shortest:
        for value_of_one in (row for stretch in shaped for row in stretch.lines):
            result.fit("OBX", 5, value_of_one, f"{report.pointer}/reportPlainText")


def _put_notes(result: Result, report: Report | None, written: list[str], marks: list[bool]) -> None:
    """Put the NTE after the first OBX marked critical, and after the last of the newest original."""
    first = marks.index(True) if True in marks else None
    last = len(written) - 1 if report is result.lead else None
    for place in sorted({one for one in (first, last) if one is not None}, reverse=True):
        notes = note_segments(result, is_critical=place == first, is_last=place == last)
        written[place + 1 : place + 1] = notes


def _report_stretches(result: Result, report: Report) -> list[Stretch]:
    """Lines of one report, under header lines that identify it."""
    text = report.text or ""
    parts: tuple[Passage, ...] = ()
    if result.status.is_void:
        action = "withdrawn: a line that says so stands for the text, for the receiver knows no OBX-11 W"
        result.note("report-void", "information", f"{report.pointer}/reportPlainText", action)
        texts = [Stretch("", False, [WITHDRAWN])]
    else:
        is_plain, parts = has_plain_lines(text), passages(report, result.peers)
        marked = replace(report, is_critical=True) if flags_on(result, report) else report
        texts = stretches(marked, parts, result.receiver.addendum_obx3, is_plain=is_plain)
        _note_text(result, report, text, is_plain=is_plain)
        result.issues.extend(correction_issues(parts, f"{report.pointer}/reportPlainText"))
    above = [] if report.is_completed else [NOT_SIGNED]
    if result.has_headers:
        above.append(_header(result, report))
    if result.receiver.critical != "none":
        others = [one for one in flags_on(result, report) if one is not report]
        above += [f"{FLAG_OF} {_header(result, one)}" for one in others]
    if not above:
        return texts
    return [Stretch(_heading_label(parts, result.receiver.addendum_obx3), False, above), *texts]


def _heading_label(parts: Iterable[Passage], addendum_obx3: str) -> str:
    """Label of the header lines above a report: that of its first line in the conclusion, which they head (D36)."""
    labels = (stretch_label(part, addendum_obx3) for part in parts if part.content or part.role == "addendum")
    return next((label for label in labels if label in CONCLUDED), "")


def _header(result: Result, report: Report) -> str:
    facility = result.site.facility(report.snapshot.facility_name)
    signer, signing = result.signer(report), result.signed_at(report)
    moment, zone = signing and signing[0], facility.time_zone if facility else None
    return value(header(report, moment, signer.display if signer else "", zone))


def _note_text(result: Result, report: Report, text: str, *, is_plain: bool) -> None:
    pointer = f"{report.pointer}/reportPlainText"
    if not (is_plain and text.strip()):
        result.issues.extend((signed_text_issues if report.is_completed else character_issues)(text, pointer))
