"""Read a report out of the message by which it was sent, to look for it in an EHR.

HL7 v2.5.1 §3.4.2 (PID), §7.4.1 (OBR), §7.4.2 (OBX), tables 0001, 0123; https://build.fhir.org/ig/HL7/v2-to-fhir/ (the
status). What is looked for is what was sent, byte for byte, and not what the store has by now.
Proved by tests/gateway/feed/read_back/test_compare.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Final

from mappings.codes import CHARSETS
from mappings.hl7v2.received import Received, Segment, Unreadable, read
from mappings.patient.people import Person
from mappings.values.dates import parse_date

# OBR-25 (table 0123) -> status of a DiagnosticReport, as in HL7's v2-to-FHIR guide
_STATUSES: Final = {"F": "final", "C": "corrected", "A": "appended", "P": "preliminary", "R": "preliminary"}
WITHDRAWN: Final = "withdrawn"
CRITICAL_FLAGS: Final = frozenset({"AA", "HH", "LL", "HU", "LU"})  # OBX-8 and codes of Observation.interpretation
_TEXTS: Final = frozenset({"TX", "FT", "ST"})
_NO_TEXT: Final = frozenset({"113014", "110180", "8302-2", "29463-7", "3137-7", "3141-9"})  # UIDs, height, weight
_SEXES: Final = {"M": "male", "F": "female"}  # table 0001; others are said in too many ways to compare


@dataclass(frozen=True, slots=True)
class SentReport:
    """Report as it was sent, to be found in the EHR. Only `filler` or one of `others` is needed beside the patient.

    `numbers` are the patient's, each with its FHIR system (empty if unknown), best first. `others` are further numbers
    of the order: placer and accession. `status` is final, corrected, appended, preliminary, `WITHDRAWN`, or empty if it
    is not compared. `text` is all of it. `since` is the first day on which the EHR may show it. `is_whole`: no earlier
    text under the same number still stands. `orders` is how many orders of its message have its filler number.
    """

    numbers: tuple[tuple[str, str], ...] = field(repr=False)
    filler: str
    others: tuple[str, ...] = ()
    accession: str = ""
    status: str = "final"
    text: str = field(default="", repr=False)
    is_critical: bool = False
    person: Person = field(default=Person(), repr=False)
    since: date | None = None
    is_whole: bool = True
    orders: int = 1


def sent_reports(body: bytes, systems: Mapping[str, str], is_whole: bool) -> list[SentReport]:
    """Read the reports of an ORU^R01, one for each OBR; `systems` has the FHIR system of each namespace of PID-3.4.

    None if the message is unreadable, or has no PID.
    """
    try:
        message = read(body)
    except Unreadable:
        return []
    reader = _Reader(message, CHARSETS.get(message.msh.field(18), "utf-8"))
    pid = next((one for one in message.segments if one.name == "PID"), None)
    if pid is None:
        return []
    patient = SentReport(reader.numbers(pid, systems), "", person=reader.person(pid), is_whole=is_whole)
    reports = [reader.report(patient, obr, observations) for obr, observations in _groups(message.segments)]
    orders = Counter(one.filler for one in reports)
    return [replace(one, orders=orders[one.filler]) for one in reports]


def _groups(segments: Sequence[Segment]) -> Iterator[tuple[Segment, list[Segment]]]:
    """Yield each OBR with the OBX that follow it."""
    places = [place for place, one in enumerate(segments) if one.name == "OBR"]
    for first, last in zip(places, [*places[1:], len(segments)], strict=True):
        yield segments[first], [one for one in segments[first + 1 : last] if one.name == "OBX"]


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reader of fields, with escapes decoded."""

    message: Received
    codec: str

    def part(self, value: str, number: int = 1) -> str:
        """Return a component of a field."""
        parts = self.message.components(value)
        text = parts[number - 1] if number <= len(parts) else ""
        return self.message.delimiters.unescape(text.split(self.message.delimiters.subcomponent)[0], self.codec).strip()

    def numbers(self, pid: Segment, systems: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        """Return the patient's numbers: first those whose system is known; a contested one (type U) only alone."""
        listed = [one for one in pid.field(3).split(self.message.delimiters.repetition) if self.part(one)]
        sure = [one for one in listed if self.part(one, 5) != "U"] or listed
        found = [(systems.get(self.part(one, 4), ""), self.part(one)) for one in sure]
        return tuple(sorted(found, key=lambda one: not one[0]))

    def person(self, pid: Segment) -> Person:
        """Return name, birth date and sex of PID."""
        name = pid.field(5).split(self.message.delimiters.repetition)[0]
        family, *given = (self.part(name, number) for number in (1, 2, 3))
        sex = _SEXES.get(self.part(pid.field(8)), "")
        return person_of(family, [one for one in given if one], _date(self.part(pid.field(7))), sex)

    def report(self, patient: SentReport, obr: Segment, observations: Sequence[Segment]) -> SentReport:
        """Return the report of an OBR."""
        filler, placer, accession = (self.part(obr.field(number)) for number in (3, 2, 18))
        lines = [one for one in observations if one.field(2) in _TEXTS and self.part(one.field(3)) not in _NO_TEXT]
        day = _date(self.part(obr.field(7)))
        is_withdrawn = obr.field(25) == "X" or (bool(lines) and all(one.field(11) in "WDX" for one in lines))
        text = "\n".join(self.message.delimiters.unescape(one.field(5), self.codec) for one in lines)
        return replace(
            patient,
            filler=filler,
            others=tuple(one for one in (placer, accession) if one and one != filler),
            accession=accession,
            status=WITHDRAWN if is_withdrawn else _STATUSES.get(obr.field(25), ""),
            text=text,
            is_critical=any(one.field(8) in CRITICAL_FLAGS for one in observations),
            since=date.fromisoformat(day) if len(day) == len("2026-01-05") else None,
        )


def _date(dtm: str) -> str:
    """Return the date of a DTM in FHIR's form, as precise as it is; empty if it is none."""
    return parse_date("-".join(one for one in (dtm[:4], dtm[4:6], dtm[6:8]) if one)) or ""


def person_of(family: str, given: Sequence[str], birth_date: str, sex: str) -> Person:
    """Build a person of a name in parts; `birth_date` and `sex` are in FHIR's form."""
    name = ", ".join(one for one in (family, " ".join(given)) if one)
    return Person(birth_date, sex if sex in {"male", "female"} else "", name, family, tuple(given))
