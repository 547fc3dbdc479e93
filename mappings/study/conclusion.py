"""Compose a report's conclusion for FHIR and HL7 v2: parts of signed addenda, then the impression.

https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.conclusion, HL7 v2.5.1 §7.1.3 (suffix IMP),
decisions D17, D36. An addendum has one of three forms, and each passage of a text has one role in the conclusion:

| the text is of | passage | role |
|---|---|---|
| a report | its impressions | `impression` |
| a report with its own ADDENDUM section | that section and the sections under it | `addendum` |
| an addendum that contains its report (merged) | the added text: its impressions, else all of it | `addendum` |
| | the impressions of the contained report | `copy` |
| an addendum with an ADDENDUM section | that section, and any impression that no report of the study has | `addendum` |
| any other addendum | if all text is under headings, impressions that no report has; else all of it | `addendum` |

Where an addendum cannot be told from the text around it, the whole text is its part. Nothing is lost, and no
superseded impression stands alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import pairwise, takewhile
from typing import Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

from mappings.model import Report, Section
from mappings.sections import cut
from mappings.values.dates import spoken, version_instant
from mappings.values.text import normal_form

Role = Literal["addendum", "impression", "copy", ""]
ABSENT: Final = "(AutoScribe sent no report text)"
"""Line used in place of a text that is absent or blank."""
FLAG_OF: Final = "CRITICAL FLAG OF"
"""Words before the header of a critical report, above a later addendum that shows its flag (D22)."""
CONCLUDING: Final = frozenset({"impression", "findings_impression"})
_AMENDED: Final = re.compile(r"\b(?:amended|corrected|revised|updated)\b", re.IGNORECASE)
_BODY: Final = frozenset({"findings", *CONCLUDING})


class Passage(NamedTuple):
    """Section of a report's text with its role in the conclusion; the role is "" for none."""

    section: Section
    role: Role

    @property
    def text(self) -> str:
        """N(heading and body), without outer white space."""
        return normal_form(self.section.heading + self.section.body).strip()

    @property
    def content(self) -> str:
        """N(body), without outer white space."""
        return normal_form(self.section.body).strip()


def passages(report: Report, peers: Sequence[Report]) -> tuple[Passage, ...]:
    """Split a report's text into passages with roles; joined again, the sections give the text, or N(text).

    `peers` are the reports about the same patient. A draft addendum is not known to add anything: it gets the roles of
    a report.
    """
    if not (report.is_addendum and report.is_completed):
        return _report_passages(report.sections)
    if not normal_form(report.text or "").strip():
        return (Passage(Section("addendum", "", report.text or ""), "addendum"),)
    originals = [other for other in peers if other.is_completed and not other.is_addendum]
    before = takewhile(lambda other: other.report_id != report.report_id, peers)
    earlier = [other for other in before if other.is_completed and other.is_addendum]
    return _merged_passages(report, (*originals, *earlier)) or _addendum_passages(report.sections, originals)


def header(report: Report, moment: datetime | None, signer: str, zone: ZoneInfo | None) -> str:
    """Header line above a report or its part of a conclusion: kind, time in the site's zone or UTC, signer (D19)."""
    kind = "ADDENDUM" if report.is_addendum else "REPORT"
    when = spoken(moment, zone) if moment else "time of signing not known"
    if (changed := version_instant(report)) and moment and changed > moment:
        when = f"{when}, text changed {spoken(changed, zone)}"
    if not report.is_completed:
        when = "not signed"
    return f"{kind} ({when}{', ' if signer else ''}{signer}):"


def concluding_text(parts: Iterable[Passage]) -> str:
    """Conclusion of one report alone: its addenda, its impressions, then the impressions of a report that it contains.

    A single passage loses its heading; several passages keep theirs.
    """
    shown = [part for part in parts if part.role and part.content]
    if len(shown) == 1:
        return shown[0].content
    ordered = [part.text for role in ("addendum", "impression", "copy") for part in shown if part.role == role]
    return "\n\n".join(ordered)


def statement(parts: Iterable[Passage]) -> str:
    """Part of a signed addendum in the conclusion of its original report; `ABSENT` if it has no text."""
    return concluding_text(part for part in parts if part.role == "addendum") or ABSENT


def flagged(parts: Sequence[Passage]) -> frozenset[int]:
    """Indexes of the passages that carry the flag of a critical report (D22, D36).

    These are the addenda if the text has any, else the impressions, else every passage with content.
    """
    roles = [(place, part.role) for place, part in enumerate(parts) if part.content]
    for role in ("addendum", "impression"):
        if places := frozenset(place for place, one in roles if one == role):
            return places
    return frozenset(place for place, _ in roles)


def _report_passages(sections: Sequence[Section]) -> tuple[Passage, ...]:
    added = _addenda(sections)
    if not added:
        return tuple([Passage(one, "impression" if one.label in CONCLUDING else "") for one in sections])
    return tuple(
        [
            Passage(section, "addendum" if place in added else "impression" if section.label in CONCLUDING else "")
            for place, section in enumerate(sections)
        ]
    )


def _addenda(sections: Sequence[Section]) -> frozenset[int]:
    """Indexes of a text's ADDENDUM sections and of the sections that belong to them.

    Sections under an addendum belong to it if the report stands above it, or if a line such as `ORIGINAL REPORT` ends
    it: its impressions, or all of them. An addendum above the report is the text under its heading, with the impression
    that follows at once unless it is the only one. Without such text, the addendum is all up to the first of several
    impressions, or everything that follows. A revised impression is an addendum wherever it stands.
    """
    starts = [place for place, section in enumerate(sections) if section.label == "addendum"]
    amended = [place for place, one in enumerate(sections) if one.label in CONCLUDING and _AMENDED.search(one.heading)]
    places = {*starts, *amended}
    for start, end in pairwise([*starts, len(sections)]):
        under, is_ended = _addendum_sections(sections, start, end)
        impressions = [place for place in under if sections[place].label in CONCLUDING]
        is_below = any(section.label in _BODY for section in sections[:start])
        if is_ended or is_below:
            places.update(impressions or under)
            continue
        is_parted = end < len(sections) or len(impressions) > 1
        own = under[: under.index(impressions[0]) + 1] if is_parted and impressions else under
        if not sections[start].content or (is_parted and len(own) == 1 and own == impressions[:1]):
            places.update(own)
    return frozenset(places)


def _addendum_sections(sections: Sequence[Section], start: int, end: int) -> tuple[list[int], bool]:
    """Indexes of the sections under an addendum's heading; True if a line without a heading ends the addendum."""
    under = [place for place in range(start + 1, end) if sections[place].label]
    ends = [place for place in range(start + 1, end) if not sections[place].label and sections[place].content]
    is_ended = bool(ends) and bool(under) and ends[0] < under[-1]
    return ([place for place in under if place < ends[0]] if is_ended else under), is_ended


def _merged_passages(report: Report, others: Iterable[Report]) -> tuple[Passage, ...]:
    """Split an addendum that contains other reports whole into passages; empty if it contains none (D17)."""
    text, start = normal_form(report.text or ""), 0
    parts: list[tuple[tuple[Section, ...], Report | None]] = []
    for first, last, other in _contained(text, others):
        parts += [(cut(text[start:first]), None), (cut(text[first:last]), other)]
        start = last
    if not parts:
        return ()
    parts.append((cut(text[start:]), None))
    added = [section for sections, other in parts if other is None for section in sections]
    if not any(any(map(str.isalnum, section.body)) for section in added):
        return tuple(Passage(section, "addendum") for sections, _ in parts for section in sections)
    has_impression = any(section.label in CONCLUDING for section in added)
    return tuple(
        Passage(_labelled(section), _role_in_merged(section, has_impression=has_impression))
        if other is None
        else Passage(section, "copy" if other.is_addendum or section.label in CONCLUDING else "")
        for sections, other in parts
        for section in sections
    )


def _contained(text: str, others: Iterable[Report]) -> list[tuple[int, int, Report]]:
    """Find the texts of other reports in a text, with the white space after them. An addendum must fill whole lines."""
    spans: list[tuple[int, int, Report]] = []
    known = [(normal_form(other.text or "").strip(), other) for other in others]
    for whole, other in sorted(known, key=lambda one: -len(one[0])):
        before, is_there, behind = text.partition(whole) if whole else ("", "", "")
        start, end = len(before), len(text) - len(behind)
        has_own_lines = (not before or before.endswith("\n")) and (not behind or behind.startswith("\n"))
        is_taken = any(start < last and first < end for first, last, _ in spans)
        if is_there and not is_taken and (has_own_lines or not other.is_addendum):
            spans.append((start, len(text) - len(behind.lstrip()), other))
    return sorted(spans, key=lambda one: one[0])


def _labelled(section: Section) -> Section:
    """Label text without a heading as an addendum, so that it gets its own Observation."""
    return replace(section, label="addendum") if not section.label and section.content else section


def _role_in_merged(section: Section, *, has_impression: bool) -> Role:
    """Role of a section in a merged addendum: impressions and ADDENDUM sections if it has an impression, else all."""
    return "addendum" if not has_impression or section.label in {"addendum", *CONCLUDING} else ""


def _addendum_passages(sections: Sequence[Section], originals: Sequence[Report]) -> tuple[Passage, ...]:
    known = {_words(one.body) for other in originals for one in other.sections if one.label in CONCLUDING}
    added = _addenda(sections)
    if not added:
        own = frozenset(
            place
            for place, section in enumerate(sections)
            if section.label in CONCLUDING and section.content and _words(section.body) not in known
        )
        is_headed = bool(sections) and sections[0].label != ""
        added = own if is_headed else frozenset()
        if not is_headed and len(sections) > 1:
            sections = (_labelled(sections[0]), *sections[1:])
        return tuple(
            Passage(one, "addendum" if not added or place in added else "") for place, one in enumerate(sections)
        )
    first = min(added)
    is_below = any(section.label in _BODY for section in sections[:first])
    made = []
    for place, section in enumerate(sections):
        role: Role = "addendum" if place in added else ""
        if not role and section.label in CONCLUDING:
            is_copy = (is_below and place < first) or _words(section.body) in known
            role = "impression" if is_copy and not originals else "copy" if is_copy else "addendum"
        made.append(Passage(section, role))
    return tuple(made)


def _words(text: str) -> str:
    return " ".join(text.split()).casefold()
