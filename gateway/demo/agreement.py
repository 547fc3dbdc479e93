"""Whether the three forms of one report agree: what AutoScribe said, what FHIR shows, and the ORU^R01 as received.

HL7 v2.5.1 §7.3.1 (ORU^R01) against https://hl7.org/fhir/R4/diagnosticreport.html: ids, patient, status and text.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mappings.hl7v2.received import Received, Segment, read
from mappings.identifiers import long_id, upstream_id
from mappings.text import normal_form

Json = Mapping[str, Any]

# OBR-25 (HL7 table 0123) -> DiagnosticReport.status
_STATUS: Final = {"F": "final", "C": "corrected"}
# PID-8 (HL7 table 0001) -> Patient.gender
_GENDER: Final = {"M": "male", "F": "female", "O": "other", "U": "unknown"}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the comparison; `agrees` is False where two of the three say different things."""

    what: str
    autoscribe: str
    fhir: str
    oru: str
    agrees: bool


def compare(report: Json, diagnostic_report: Json, patient: Json, message: bytes) -> list[Row]:
    """The comparison, a row for each thing that must be the same in all three forms."""
    received = read(message)
    segment = {one.name: one for one in reversed(received.segments)}
    return [
        *_ids(report, diagnostic_report, segment, received),
        *_patient(report["snapshotMetadata"], patient, segment["PID"], received),
        *_status(report, diagnostic_report, segment["OBR"]),
        _text(report, diagnostic_report, received),
    ]


def _row(what: str, autoscribe: str, fhir: str, oru: str) -> Row:
    return Row(what, autoscribe, fhir, oru, autoscribe == fhir == oru)


def _ids(report: Json, diagnostic_report: Json, segment: Mapping[str, Segment], received: Received) -> Iterator[Row]:
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


def _patient(snapshot: Json, patient: Json, pid: Segment, received: Received) -> Iterator[Row]:
    unescape = received.delimiters.unescape
    values = {identifier["value"] for identifier in patient.get("identifier", ())}
    sent = [unescape(received.components(one)[0]) for one in pid.field(3).split(received.delimiters.repetition)]
    mrn = (snapshot.get("mrn") or "").strip() or "(none)"
    yield Row("patient id", mrn, *_shown(mrn, values, sent))
    name = patient.get("name", [{}])[0]
    family = unescape(received.components(pid.field(5))[0])
    whole = (snapshot.get("patientName") or "").strip()
    held = name.get("family", name.get("text", ""))
    yield Row("patient name", whole, held, family, family == held and held in whole)
    born = (snapshot.get("dateOfBirth") or "").replace("-", "")
    yield Row(
        "born",
        born,
        patient.get("birthDate", ""),
        pid.field(7),
        patient.get("birthDate", "").replace("-", "") == pid.field(7),
    )
    gender = _GENDER.get(pid.field(8), "?")
    yield Row(
        "sex", snapshot.get("sex") or "", patient.get("gender", ""), pid.field(8), patient.get("gender") == gender
    )


def _shown(mrn: str, values: set[str], sent: list[str]) -> tuple[str, str, bool]:
    if mrn == "(none)":
        return ", ".join(sorted(values)), ", ".join(sent), bool(values & set(sent)) or not sent
    return mrn if mrn in values else "missing", mrn if mrn in sent else "missing", mrn in values and mrn in sent


def _status(report: Json, diagnostic_report: Json, obr: Segment) -> Iterator[Row]:
    status = diagnostic_report["status"]
    same = _STATUS.get(obr.field(25)) == status and report["status"] == "completed"
    yield Row("status", report["status"], status, obr.field(25), same)
    digits = "".join(character for character in report["signedAt"] if character.isdigit())[:14]
    issued = "".join(character for character in diagnostic_report.get("issued", "") if character.isdigit())[:14]
    yield Row(
        "signed",
        report["signedAt"],
        diagnostic_report.get("issued", ""),
        obr.field(22),
        digits == issued == obr.field(22)[:14],
    )


def _text(report: Json, diagnostic_report: Json, received: Received) -> Row:
    said = report.get("reportPlainText", "")
    form = next(one for one in diagnostic_report["presentedForm"] if one["contentType"].startswith("text/plain"))
    shown = base64.b64decode(form["data"]).decode()
    sent = "\n".join(report_lines(received))
    counted = [f"{len(text.splitlines())} lines, {len(text)} characters" for text in (said, shown, sent)]
    return Row("text", counted[0], counted[1], counted[2], said == shown and normal_form(said) == sent)


def report_lines(received: Received) -> list[str]:
    """The report's lines as a receiver reads them: OBX-5 of the TX segments, unescaped; " " is a blank line."""
    lines = [segment.field(5) for segment in received.segments if segment.name == "OBX" and segment.field(2) == "TX"]
    return ["" if line == " " else received.delimiters.unescape(line) for line in lines]
