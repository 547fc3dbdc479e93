"""Compare the three forms of a demo report (AutoScribe's JSON, FHIR, ORU^R01 as received), and show them side by side.

HL7 v2.5.1 §7.3.1 (ORU^R01) against https://hl7.org/fhir/R4/diagnosticreport.html: ids, patient, status and text. The
output is for a person's screen, never for a log.
"""

from __future__ import annotations

import base64
import json
import re
import textwrap
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any, Final

from mappings.hl7v2.received import Received, Segment, read
from mappings.patient.identifiers import long_id, upstream_id
from mappings.values.text import normal_form

Json = Mapping[str, Any]

# OBR-25 (HL7 table 0123) -> DiagnosticReport.status
_STATUS: Final = {"F": "final", "C": "corrected"}
# PID-8 (HL7 table 0001) -> Patient.gender
_GENDER: Final = {"M": "male", "F": "female", "O": "other", "U": "unknown"}


@dataclass(frozen=True, slots=True)
class AgreementRow:
    """One row of the comparison; `agrees` is False if any two of the three forms differ."""

    what: str
    autoscribe: str
    fhir: str
    oru: str
    agrees: bool


def compare(report: Json, diagnostic_report: Json, patient: Json, message: bytes) -> list[AgreementRow]:
    """Compare the three forms, a row for each value that must agree."""
    received = read(message)
    segment = {one.name: one for one in reversed(received.segments)}
    return [
        *_ids(report, diagnostic_report, segment, received),
        *_patient(report["snapshotMetadata"], patient, segment["PID"], received),
        *_status(report, diagnostic_report, segment["OBR"]),
        _text(report, diagnostic_report, received),
    ]


def _row(what: str, autoscribe: str, fhir: str, oru: str) -> AgreementRow:
    return AgreementRow(what, autoscribe, fhir, oru, autoscribe == fhir == oru)


def _ids(
    report: Json, diagnostic_report: Json, segment: Mapping[str, Segment], received: Received
) -> Iterator[AgreementRow]:
    obr = segment["OBR"]
    imaging_study = diagnostic_report["imagingStudy"][0]["reference"].rpartition("/")[2]
    filler = received.components(obr.field(3))[0]
    yield _row(
        "report id",
        report["reportId"],
        upstream_id(diagnostic_report["id"]) or "",
        long_id("rep", received.components(obr.field(21))[0]),
    )
    yield _row("study id", report["studyId"], upstream_id(imaging_study) or "", long_id("stu", filler))


def _patient(snapshot: Json, patient: Json, pid: Segment, received: Received) -> Iterator[AgreementRow]:
    name, born, gender = patient.get("name", [{}])[0], patient.get("birthDate", ""), patient.get("gender")
    held = " ".join([name.get("family", name.get("text", "")), *name.get("given", ())])
    sent = _person_name(pid, received)
    whole = (snapshot.get("patientName") or "").strip()
    yield _patient_id((snapshot.get("mrn") or "").strip(), patient, pid, received)
    yield AgreementRow("patient name", whole, held, sent, sent == held and set(held.split()) <= _tokens(whole))
    yield AgreementRow("born", snapshot.get("dateOfBirth") or "", born, pid.field(7), _digits(born) == pid.field(7))
    yield AgreementRow(
        "sex", snapshot.get("sex") or "", gender or "", pid.field(8), gender == _GENDER.get(pid.field(8))
    )


def _patient_id(mrn: str, patient: Json, pid: Segment, received: Received) -> AgreementRow:
    """Check that the MRN and each number in PID-3 (also the study id in base 62) are identifiers of the Patient."""
    shown = [identifier["value"] for identifier in patient.get("identifier", ())]
    listed = pid.field(3).split(received.delimiters.repetition)
    sent = [received.delimiters.unescape(received.components(one)[0]) for one in listed]
    known = all(one in shown or (one.isalnum() and long_id("stu", one) in shown) for one in sent)
    return AgreementRow("patient id", mrn, ", ".join(shown), ", ".join(sent), known and (not mrn or mrn in shown))


def _person_name(pid: Segment, received: Received) -> str:
    """Return family and given names of the first repetition of PID-5, in that order."""
    first = pid.field(5).split(received.delimiters.repetition)[0]
    parts = [received.delimiters.unescape(part) for part in received.components(first)[:3]]
    return " ".join(part for part in parts if part)


def _tokens(name: str) -> set[str]:
    return set(re.split(r"[\s,^]+", name))


def _status(report: Json, diagnostic_report: Json, obr: Segment) -> Iterator[AgreementRow]:
    status, code = diagnostic_report["status"], obr.field(25)
    yield AgreementRow(
        "status", report["status"], status, code, _STATUS.get(code) == status and report["status"] == "completed"
    )
    signed, issued, changed = report["signedAt"] or "", diagnostic_report.get("issued", ""), obr.field(22)
    yield AgreementRow("signed", signed, issued, changed, _moment(signed) == _moment(issued) == _moment(changed))


def _moment(text: str) -> datetime | None:
    """Parse a FHIR instant or HL7 DTM to whole seconds in UTC; None for an empty text."""
    if not text:
        return None
    iso = text if "T" in text else f"{text[:8]}T{text[8:]}"
    return datetime.fromisoformat(iso).astimezone(UTC).replace(microsecond=0)


def _digits(text: str) -> str:
    return "".join(character for character in text if character.isdigit())


def _text(report: Json, diagnostic_report: Json, received: Received) -> AgreementRow:
    original = report.get("reportPlainText", "")
    form = next(one for one in diagnostic_report["presentedForm"] if one["contentType"].startswith("text/plain"))
    shown = base64.b64decode(form["data"]).decode()
    sent = "\n".join(report_lines(received))
    counted = [f"{len(text.splitlines())} lines, {len(text)} characters" for text in (original, shown, sent)]
    is_same = original == shown and normal_form(original) == sent
    return AgreementRow("text", counted[0], counted[1], counted[2], is_same)


def report_lines(received: Received) -> list[str]:
    """Return the report's lines as a receiver reads them: OBX-5 of the TX segments, unescaped; " " is an empty line."""
    lines = [segment.field(5) for segment in received.segments if segment.name == "OBX" and segment.field(2) == "TX"]
    return ["" if line == " " else received.delimiters.unescape(line) for line in lines]


_GAP: Final = " │ "


def side_by_side(columns: Sequence[tuple[str, str]], width: int) -> str:
    """Format texts as wrapped columns of equal width under their titles; `width` is that of the terminal."""
    each = (width - len(_GAP) * (len(columns) - 1)) // len(columns)
    wrapped = [[title, "─" * each, *_wrap(text, each)] for title, text in columns]
    return "\n".join(
        _GAP.join(_pad(cell, each) for cell in row).rstrip() for row in zip_longest(*wrapped, fillvalue="")
    )


def pretty(document: Mapping[str, Any]) -> str:
    """Format JSON with an indent of one, with long values cut to a line."""
    return json.dumps(_shortened(document), indent=1, ensure_ascii=False)


def comparison(rows: Sequence[AgreementRow], width: int) -> str:
    """Format the comparison as a table, with `=` or `≠` at the end of each row."""
    widths = [14, *[(width - 14 - 5) // 3 - len(_GAP)] * 3]
    head = ["", "AutoScribe", "FHIR", "ORU^R01"]
    lines = [_GAP.join(_pad(cell, size) for cell, size in zip(head, widths, strict=True))]
    for row in rows:
        cells = [row.what, row.autoscribe, row.fhir, row.oru]
        text = _GAP.join(_pad(_cut(cell, size), size) for cell, size in zip(cells, widths, strict=True))
        lines.append(f"{text} {'=' if row.agrees else '≠'}")
    return "\n".join(lines)


def _shortened(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _shortened(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_shortened(inner) for inner in value]
    return _cut(value, 160) if isinstance(value, str) else value


def _wrap(text: str, width: int) -> list[str]:
    lines: list[str] = []
    for line in text.splitlines():
        lines += textwrap.wrap(
            line, width, subsequent_indent="  ", replace_whitespace=False, drop_whitespace=False
        ) or [""]
    return lines


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _pad(text: str, width: int) -> str:
    return text + " " * max(width - _width(text), 0)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
