"""Accepted differences between a converter's FHIR of our HL7 v2 and our own FHIR, each with its reason.

https://build.fhir.org/ig/HL7/v2-to-fhir/; decisions D3, D5, D11, D14, D15, D17, D19, D23. A predicate says which values
may differ, so that any other difference fails; a row that nothing needs fails too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from conformance.agreement import ELEMENTS, Json, View, plain

from mappings.codes import (
    LOINC,
    SID_EXTERNAL_UNASSIGNED,
    SID_MRN_UNASSIGNED,
    SID_REPORT,
    SID_STUDY_PATIENT,
)
from mappings.model import Report, Study
from mappings.patient.identifiers import is_doubtful, is_placeholder, short_id
from mappings.study.conclusion import ABSENT
from mappings.values.names import is_generation

ALL = ("bridge", "LinuxForHealth")
BRIDGE, LFH = ("bridge",), ("LinuxForHealth",)
_UNASSIGNED = (SID_MRN_UNASSIGNED, SID_EXTERNAL_UNASSIGNED)
_HEADER = re.compile(r"(?:ADDENDUM|REPORT) \(.*\):")
_FLAG_HEADER = re.compile(r"CRITICAL FLAG OF REPORT \(.*\):")


@dataclass(frozen=True)
class Pair:
    """Our FHIR and a converter's of one message. `restated`: our DiagnosticReports of all that the message restates."""

    case: str
    converter: str
    message: str
    study: Study
    ours: View
    theirs: View
    restated: tuple[Json, ...]

    def values(self, element: str) -> tuple[Any, Any]:
        """Our value of an element and theirs."""
        return ELEMENTS[element](self.ours), ELEMENTS[element](self.theirs)

    def field(self, segment: str, number: int) -> str:
        """A field of the message as it was sent."""
        fields = next(line.split("|") for line in self.message.split("\r") if line.startswith(segment + "|"))
        return fields[number] if number < len(fields) else ""

    def reports(self) -> list[Report]:
        """Return the reports in the message in order: addenda newest first, then originals (D19).

        An original whose text changed after every addendum was signed stands before them (D22).
        """
        ids = {
            one["value"] for report in self.restated for one in report["identifier"] if one.get("system") == SID_REPORT
        }
        found = [report for report in self.study.reports if report.report_id in ids]
        addenda = [report for report in reversed(found) if report.is_addendum]
        originals = [report for report in found if not report.is_addendum]
        signed = [one.signed_at for one in addenda if one.signed_at]
        leading = [one for one in originals if signed and one.text_changed_at and one.text_changed_at > max(signed)]
        return [*leading, *addenda, *(report for report in originals if report not in leading)]

    def has_own_addendum(self) -> bool:
        """True where the author of a text put an addendum into it: there the author's order stays (D36)."""
        return any(section.label == "addendum" for report in self.reports() for section in report.sections)


@dataclass(frozen=True, slots=True)
class Accepted:
    """An accepted difference; `holds` gets the pair, our value and theirs."""

    element: str
    converters: tuple[str, ...]
    reason: str
    holds: Callable[[Pair, Any, Any], bool]


def _said(lines: list[str]) -> list[str]:
    return [line for line in lines if line]


def _restated(pair: Pair, _: Any, theirs: list[str]) -> bool:
    """The text of every report of the message, each below its header, and that of a critical flag (D22)."""
    reports, theirs = pair.reports(), [line for line in theirs if not _FLAG_HEADER.fullmatch(line)]
    meant = [line for report in reports for line in _said(plain(report.text or "")) or [ABSENT]]
    headers = [line for line in theirs if _HEADER.fullmatch(line)]
    return len(headers) == len(reports) and _said([line for line in theirs if line not in headers]) == meant


def _is_day_of_signing(pair: Pair, ours: str, theirs: str) -> bool:
    """True if our marked moment is within the day of the facility, which no zone puts more than 14 hours off."""
    marks = pair.ours.report.get("_effectiveDateTime", {}).get("extension", ())
    off = datetime.fromisoformat(ours) - datetime.fromisoformat(f"{theirs}T00:00:00+00:00")
    is_marked = any(one["url"].endswith("/isTimeOfSigning") and one["valueBoolean"] for one in marks)
    return is_marked and timedelta(hours=-14) <= off < timedelta(hours=24 + 12)


def _concluded(pair: Pair, ours: list[str], theirs: list[str]) -> bool:
    """All that our conclusions of the message's reports say, in their order, in lines of the message and no others."""
    lines, text = _said(theirs), set(plain("\n".join(pair.theirs.text)))
    said = [line for line in _said(ours) if not (_HEADER.fullmatch(line) or line.endswith("NOT SIGNED:"))]
    places = [next((place for place, line in enumerate(lines) if one.strip() in line), -1) for one in said]
    is_ordered = pair.has_own_addendum() or places == sorted(places)
    return bool(said) and -1 not in places and is_ordered and text.issuperset(lines)


def _whole_text(pair: Pair, _: Any, theirs: list[str]) -> bool:
    return "|19005-8^" not in pair.message and theirs == pair.theirs.text


def _with_short_number(pair: Pair, ours: list[Any], theirs: list[Any]) -> bool:
    """Only the gateway's own number differs: in 22 characters."""
    return len(ours) == len(theirs) and all(map(_same_identifier, ours, theirs))


def _doubtful(_: Pair, ours: list[Any], theirs: list[Any]) -> bool:
    """The same numbers but the study's own, of which one that is doubtful has another system."""
    numbers = [(kind, value) for kind, system, value in ours if system != SID_STUDY_PATIENT]
    is_meant = any(is_doubtful(value) for _, value in numbers)
    return is_meant and numbers == [(kind, value) for kind, _, value in theirs]


def _contested(_: Pair, ours: list[Any], theirs: list[Any]) -> bool:
    """Only the systems of numbers of type U differ: each is one of the gateway's in FHIR."""
    return len(ours) == len(theirs) and all(
        _same_identifier(one, other)
        or (one[0] == other[0] == "U" and one[1].startswith(_UNASSIGNED) and one[2] == other[2])
        for one, other in zip(ours, theirs, strict=True)
    )


def _same_identifier(ours: tuple[str, str, str], theirs: tuple[str, str, str]) -> bool:
    _, system, value = ours
    if system == SID_STUDY_PATIENT:
        return theirs == ("U", SID_STUDY_PATIENT, short_id(value))
    return ours == theirs


def _without_placeholders(pair: Pair, ours: list[Any], theirs: list[Any]) -> bool:
    """As `_with_short_number`, but for numbers such as 000000, which are not sent."""
    kept = [one for one in ours if not (one[1].startswith(_UNASSIGNED) and is_placeholder(one[2]))]
    return kept != ours and _with_short_number(pair, kept, theirs)


def _unsplit(_: Pair, ours: list[Json], theirs: list[Json]) -> bool:
    return len(ours) == 1 and list(ours[0]) == ["text"] and theirs == [{"family": ours[0]["text"]}]


def _without_degree(_: Pair, ours: Any, theirs: Any) -> bool:
    """Only suffixes that are no generation are missing."""
    return ours != theirs and [_generations(name) for name in ours] == list(theirs)


def _generations(name: Json) -> Json:
    kept = [suffix for suffix in name.get("suffix", ()) if is_generation(suffix)]
    rest = {key: value for key, value in name.items() if key != "suffix"}
    return {**rest, "suffix": kept} if kept else rest


def _one_degree(name: Json) -> Json:
    suffixes = name.get("suffix", ())
    degrees = " ".join(suffix for suffix in suffixes if not is_generation(suffix))
    return {**name, "suffix": [*filter(is_generation, suffixes), *([degrees] if degrees else [])]}


def _spoken(name: Json) -> str:
    one = _one_degree(name)
    return " ".join([*one.get("prefix", ()), *one.get("given", ()), one.get("family", ""), *one["suffix"]]).strip()


def _placer(_: Pair, ours: list[Any], theirs: list[Any]) -> bool:
    """The same numbers, under the system that a converter has for a number without an authority."""
    return [value for *_, value in ours] == [value for *_, value in theirs] and {system for _, system, _ in theirs} <= {
        "",
        "http://example.org/fhir/sid/placer-order",
    }


def _of_another_patient(pair: Pair, ours: Any, _: Any) -> bool:
    return not ours and not pair.ours.order and pair.ours.report["subject"] != _orders(pair)[0]["subject"]


def _orders(pair: Pair) -> list[Json]:
    return [one for one in pair.ours.resources if one["resourceType"] == "ServiceRequest"]


def _without_referrer_degree(pair: Pair, ours: list[str], theirs: list[str]) -> bool:
    degree = pair.field("OBR", 16).split("^")[6:7]
    return bool(degree) and sorted([*theirs, *degree[0].split()]) == ours


ACCEPTED: tuple[Accepted, ...] = (
    Accepted(
        "status",
        ALL,
        "OBR-25 says F or C of a report with addenda; `appended` is a word of FHIR alone (D17)",
        lambda _, ours, theirs: ours == "appended" and theirs in ("final", "corrected"),
    ),
    Accepted(
        "status",
        ALL,
        "OBR-25 of a withdrawn report is C, the W stands in OBX-11 alone (D21)",
        lambda pair, ours, theirs: (ours, theirs) == ("entered-in-error", "corrected") and pair.field("OBX", 11) == "W",
    ),
    Accepted(
        "category",
        ALL,
        "OBR-24 holds one code; ours has RAD beside it always (D23)",
        lambda _, ours, theirs: len(theirs) == 1 and sorted({*theirs, "RAD"}) == ours,
    ),
    Accepted(
        "code.coding",
        ALL,
        "US Core asks for a LOINC code: ours has 18748-4 in any case, OBR-4 the local code or none (D23)",
        lambda _, ours, theirs: theirs == [one for one in ours if one != (LOINC, "18748-4")],
    ),
    Accepted(
        "issued",
        ALL,
        "OBR-22 is sent to the second, FHIR keeps the fraction (D15)",
        lambda _, ours, theirs: re.sub(r"\.\d+", "", ours or "") == theirs,
    ),
    Accepted(
        "effective",
        ALL,
        "a signature that stands in for the study's time is marked in FHIR; v2 says only its day (D15)",
        lambda pair, ours, theirs: (
            pair.field("OBR", 7) == theirs.replace("-", "") and _is_day_of_signing(pair, ours, theirs)
        ),
    ),
    Accepted(
        "issued",
        ALL,
        "OBR-22 of a draft is when it last changed; in FHIR a draft is not issued (D16)",
        lambda pair, ours, theirs: pair.field("OBR", 25) == "P" and ours is None and bool(theirs),
    ),
    Accepted(
        "resultsInterpreter name",
        LFH,
        "LinuxForHealth reads no degree (CNN.7)",
        _without_degree,
    ),
    Accepted(
        "resultsInterpreter name",
        BRIDGE,
        "XCN.7 is one degree: several stand in it with a blank between",
        lambda _, ours, theirs: [_one_degree(name) for name in ours] == theirs,
    ),
    Accepted(
        "resultsInterpreter name",
        BRIDGE,
        "of a provider without a number the bridge makes a display, no resource",
        lambda _, ours, theirs: [{"text": _spoken(name)} for name in ours] == theirs,
    ),
    Accepted(
        "presentedForm text", ALL, "the message restates every report of the study, each below a header", _restated
    ),
    Accepted(
        "presentedForm text",
        ALL,
        "a draft says of itself that it is one (D16)",
        lambda pair, ours, theirs: (
            pair.field("OBR", 25) == "P" and theirs == ["PRELIMINARY REPORT - NOT SIGNED", *ours]
        ),
    ),
    Accepted(
        "presentedForm text",
        ALL,
        "a message cannot do without text: it says that there is none",
        lambda _, ours, theirs: _said(ours) == [] and theirs == [ABSENT],
    ),
    Accepted("conclusion", BRIDGE, "OBX-5 has whole lines, headings with them, of every report restated", _concluded),
    Accepted(
        "conclusion",
        BRIDGE,
        "where no line is of a conclusion the bridge concludes with the whole text",
        _whole_text,
    ),
    Accepted("conclusion", LFH, "not mapped by LinuxForHealth", lambda _, ours, theirs: bool(ours) and theirs == []),
    Accepted("imagingStudy", LFH, "LinuxForHealth reads no ZDS", lambda _, ours, theirs: bool(ours) and theirs == []),
    Accepted(
        "interpretation",
        ALL,
        "neither makes an Observation of a line of text, where OBX-8 would be",
        lambda _, ours, theirs: ours == ["AA"] and theirs == [],
    ),
    Accepted(
        "Patient.identifier",
        ALL,
        "PID-3 has the gateway's own number of a patient in 22 characters (CX.1)",
        _with_short_number,
    ),
    Accepted(
        "Patient.identifier",
        ALL,
        "a placeholder (000000, UNKNOWN) is no number to a receiver (D11)",
        _without_placeholders,
    ),
    Accepted(
        "Patient.identifier",
        ALL,
        "a doubtful number (12345678, SEE ORDER) is sent under its authority, and in FHIR links nobody (D11)",
        _doubtful,
    ),
    Accepted(
        "Patient.identifier",
        ALL,
        "a contested number has type U under its authority, and in FHIR a system by which nobody is matched (D12)",
        _contested,
    ),
    *(
        Accepted(element, converters, "of another patient than the study's: no order of ours", _of_another_patient)
        for element, converters in (
            ("ServiceRequest.priority", BRIDGE),
            ("ServiceRequest.reasonCode", ALL),
            ("ServiceRequest.requester", ALL),
        )
    ),
    Accepted(
        "ServiceRequest.reasonCode",
        ALL,
        "OBR-31 is one line: lines are joined by a blank",
        lambda _, ours, theirs: [" ".join(plain(text)) for text in ours] == theirs,
    ),
    Accepted(
        "ServiceRequest.priority",
        LFH,
        "not mapped by LinuxForHealth",
        lambda _, ours, theirs: bool(ours) and theirs is None,
    ),
    Accepted("ServiceRequest.requester", LFH, "LinuxForHealth reads no degree (XCN.7)", _without_referrer_degree),
    Accepted(
        "identifier ACSN", LFH, "LinuxForHealth reads no OBR-18", lambda _, ours, theirs: bool(ours) and theirs == []
    ),
    Accepted("identifier PLAC", ALL, "OBR-2 names no authority of the placer's number", _placer),
    Accepted("Patient.name", ALL, "a name that is not split is all of it family in XPN (D14)", _unsplit),
)
