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
superseded impression stands alone. In every text

- a passage under no heading that corrects a report explicitly (`mappings.sections.corrections`) is an `addendum`;
- a passage that only might correct one is `doubtful`: it joins the conclusion whole, and no flag leaves the impression;
- an ADDENDUM section that says "none" has no role;
- of several addenda the newest (`mappings.sections.corrections`) is the `addendum`, the others are `older`: they
  follow it, without a flag, so that none stands alone after a later one took it back. Where the newest is not known,
  all are `unordered`: each has the flag and is shown with the others, for a lost alert does more harm than a needless
  one. HL7 v2 keeps the author's order, and OBX-11 has no code for a final text that was amended: there the flag tells;
- an impression is `superseded` if its heading, or the title of its part of the text, says that another one of the same
  examination is newer (PRELIMINARY IMPRESSION, PREVIOUS REPORT). In an addendum that is the whole
  part from its title on. All from the first to the last impression is then
  `between` them, if it has no other role.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from itertools import pairwise, takewhile
from typing import Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

from mappings.issues import MappingIssue
from mappings.model import Report, Section
from mappings.sections import cut, is_document
from mappings.sections.corrections import (
    EARLIER,
    USUAL,
    certainty,
    is_corrected,
    is_hinted,
    is_negated,
    is_remarked,
    is_statement,
    newest_first,
    subjects,
    title_rank,
)
from mappings.values.dates import spoken, version_instant
from mappings.values.text import lines, normal_form

Role = Literal["addendum", "older", "unordered", "doubtful", "impression", "superseded", "copy", "between", ""]
ABSENT: Final = "(AutoScribe sent no report text)"
"""Line used in place of a text that is absent or blank."""
FLAG_OF: Final = "CRITICAL FLAG OF"
"""Words before the header of a critical report, above a later addendum that shows its flag (D22)."""
CHANGE_UNDATED: Final = "at a time not known"
"""Words in place of the time at which a text changed, if nothing dates it (D17)."""
CONCLUDING: Final = frozenset({"impression", "findings_impression"})
ADDED: Final[frozenset[Role]] = frozenset({"addendum", "older", "unordered"})
"""Roles of the addenda in a text."""
_BODY: Final = frozenset({"findings", *CONCLUDING})
# Roles in the order of the conclusion
_CONCLUDED: Final[tuple[Role, ...]] = ("addendum", "older", "unordered", "doubtful", "impression", "superseded", "copy")
_DOUBTFUL: Final = "possible_addendum"


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


class CutLine(NamedTuple):
    """Part of a line of N(text) that belongs to one passage; `number` counts lines from 1."""

    number: int
    text: str
    section: str
    role: Role


def passages(report: Report, peers: Sequence[Report]) -> tuple[Passage, ...]:
    """Split a report's text into passages with roles; joined again, the sections give the text, or N(text).

    `peers` are the reports about the same patient. A draft addendum is not known to add anything: it gets the roles of
    a report.
    """
    if not (report.is_addendum and report.is_completed):
        return _report_passages(report.sections, is_signed=report.is_completed)
    if not normal_form(report.text or "").strip():
        return (Passage(Section("addendum", "", report.text or ""), "addendum"),)
    originals = [other for other in peers if other.is_completed and not other.is_addendum]
    before = takewhile(lambda other: other.report_id != report.report_id, peers)
    earlier = [other for other in before if other.is_completed and other.is_addendum]
    return _merged_passages(report, (*originals, *earlier)) or _addendum_passages(report.sections, originals)


def cut_lines(parts: Iterable[Passage]) -> Iterator[CutLine]:
    """Yield the lines of a text that say something, each with the label of its section and its role."""
    number = 1
    for part in parts:
        rows = lines(part.section.heading + part.section.body)
        for place, row in enumerate(rows):
            if row.strip():
                yield CutLine(number + place, row.strip(), part.section.label, part.role)
        number += len(rows) - 1


def header(report: Report, moment: datetime | None, signer: str, zone: ZoneInfo | None) -> str:
    """Header line above a report or its part of a conclusion: kind, time in the site's zone or UTC, signer (D19)."""
    kind = "ADDENDUM" if report.is_addendum else "REPORT"
    when = spoken(moment, zone) if moment else "time of signing not known"
    if (changed := version_instant(report)) and moment and changed > moment:
        when = f"{when}, text changed {spoken(changed, zone) if report.is_change_dated else CHANGE_UNDATED}"
    if not report.is_completed:
        when = "not signed"
    return f"{kind} ({when}{', ' if signer else ''}{signer}):"


def concluding_text(parts: Iterable[Passage]) -> str:
    """Conclusion of one report alone: its passages with a role, in the order of the roles.

    A single passage loses its heading; several passages keep theirs.
    """
    shown = [part for part in parts if part.role in _CONCLUDED and part.content]
    if len(shown) == 1:
        return shown[0].content
    ordered = [part.text for role in _CONCLUDED for part in _in_order(shown, role)]
    return "\n\n".join(ordered)


def _in_order(parts: Sequence[Passage], role: Role) -> list[Passage]:
    """List the passages with a role; of older addenda above the newest one, the last is the first."""
    found = [part for part in parts if part.role == role]
    newest = next((place for place, part in enumerate(parts) if part.role == "addendum"), -1)
    if role != "older" or "older" in {part.role for part in parts[newest:]}:
        return found
    starts = [place for place, part in enumerate(found) if not place or part.section.label == "addendum"]
    return [part for start, end in reversed([*pairwise([*starts, len(found)])]) for part in found[start:end]]


def statement(parts: Iterable[Passage]) -> str:
    """Part of a signed addendum in the conclusion of its original report; `ABSENT` if it has no text."""
    return concluding_text(part for part in parts if part.role in ADDED | {"doubtful", "superseded"}) or ABSENT


def flagged(parts: Sequence[Passage]) -> frozenset[int]:
    """Indexes of the passages that carry the flag of a critical report (D22, D36).

    These are the newest addendum (all addenda if it is not known), else the impressions, else every passage with
    content. Doubtful passages have it, too.
    """
    roles = [(place, part.role) for place, part in enumerate(parts) if part.content]
    for role in ("addendum", "unordered", "impression"):
        if any(one == role for _, one in roles):
            return frozenset(place for place, one in roles if one in {role, "doubtful"})
    return frozenset(place for place, _ in roles)


def correction_issues(parts: Iterable[Passage], pointer: str) -> list[MappingIssue]:
    """List an issue if a passage might correct the report and does not say so, or if no addendum is the newest."""
    roles = {part.role for part in parts}
    actions = []
    if "doubtful" in roles:
        actions.append("a passage that might correct the report joins the conclusion; the flag stays on the impression")
    if "unordered" in roles:
        actions.append(
            "the newest of the text's addenda is not known: each is shown with the others, and all are flagged"
        )
    return [MappingIssue("correction-unclear", "warning", pointer, action) for action in actions]


@lru_cache(maxsize=64)  # each mapping of a report asks
def _with_corrections(sections: tuple[Section, ...]) -> tuple[tuple[Section, ...], frozenset[int]]:
    """Label a text before the first heading that corrects the report, and list the sections that only might.

    Below the first heading only sentences about this very report count, and labels that say of what they are.
    """
    doubtful = {place for place, section in enumerate(sections) if _is_doubtful(section)}
    if len(sections) > 1:
        doubtful |= {place for place, one in enumerate(sections) if not one.label and is_hinted(one.body)}
        if _is_remark(sections):
            doubtful.add(0)
    if sections and not sections[0].label and not is_document(sections[0].body):
        found = certainty(sections[0].body)
        if found == "explicit" and len(sections) > 1:
            sections = (_labelled(sections[0]), *sections[1:])
        elif found:
            doubtful.add(0)
    return sections, frozenset(doubtful)


def _is_remark(sections: Sequence[Section]) -> bool:
    """True if a remark stands above a report with findings: without their heading, they would stand there."""
    is_below = any(one.label in _BODY - {"impression"} for one in sections[1:])
    return is_below and not sections[0].label and is_remarked(sections[0].body)


def _is_doubtful(section: Section) -> bool:
    """True for corrected findings, and for a section with a sentence or label by which this report is corrected."""
    if section.label in {"addendum", *CONCLUDING} or (not section.label and is_document(section.body)):
        return False
    if section.label == "findings" and is_corrected(section.heading):
        return True
    return certainty(section.body, is_own=True) == "explicit" or is_hinted(section.body, is_own=True)


def _report_passages(sections: tuple[Section, ...], *, is_signed: bool = True) -> tuple[Passage, ...]:
    doubtful: frozenset[int] = frozenset()
    if is_signed:
        sections, doubtful = _with_corrections(sections)
    added = _addenda(sections)
    roles: list[Role] = [
        "addendum" if place in added else "impression" if one.label in CONCLUDING else ""
        for place, one in enumerate(sections)
    ]
    return _made(sections, roles, doubtful, "impression")


def _made(
    sections: Sequence[Section], roles: list[Role], doubtful: frozenset[int], leading: Role
) -> tuple[Passage, ...]:
    """Make the passages, with the roles of doubtful and superseded ones; impressions have the role `leading`."""
    roles = ["doubtful" if place in doubtful and not role else role for place, role in enumerate(roles)]
    if sum(one.label in CONCLUDING for one in sections) > 1:
        roles = _with_superseded(sections, roles, leading)
    if len(sections) > 1:
        sections = [_shown(one, role) for one, role in zip(sections, roles, strict=True)]
    return tuple(map(Passage, sections, _with_older(sections, roles)))


def _with_older(sections: Sequence[Section], roles: Sequence[Role]) -> list[Role]:
    """Return the roles with those of older addenda; an addendum is its ADDENDUM section and what belongs to it."""
    starts: list[int] = []
    own: dict[int, int] = {}
    for place, (section, role) in enumerate(zip(sections, roles, strict=True)):
        if role == "addendum":
            if section.label == "addendum" or not starts or is_corrected(section.heading):
                starts.append(place)
            own[place] = len(starts) - 1
    if len(starts) <= 1:
        return [*roles]
    is_below = any(one.label in _BODY and roles[place] != "addendum" for place, one in enumerate(sections[: starts[0]]))
    order = newest_first([sections[place].heading for place in starts], is_below=is_below)
    newest: Role = "addendum" if order else "unordered"
    found = [*roles]
    for place, number in own.items():
        found[place] = newest if not order or number == order[0] else "older"
    return found


def _shown(section: Section, role: Role) -> Section:
    """Label a doubtful text without a heading, so that it gets its own Observation."""
    return replace(section, label=_DOUBTFUL) if role == "doubtful" and not section.label else section


def _with_superseded(sections: Sequence[Section], roles: list[Role], leading: Role) -> list[Role]:
    """Return the roles with those of superseded impressions, and of all between the impressions."""
    ranked = _ranked(sections, roles, leading)
    alike = {one._replace(place=0) for one in ranked}  # few, however many impressions a text has
    superseded = {
        one.place for one in ranked if any(other.rank > one.rank and one.is_about_the_same(other) for other in alike)
    }
    if not superseded:
        return roles
    untitled = "\n".join(line for line in sections[0].body.splitlines() if title_rank(line) is None)
    if roles[0] == "doubtful" and not (certainty(untitled) or is_hinted(untitled) or is_remarked(untitled)):
        roles = ["", *roles[1:]]  # REVISED REPORT says of its impression that it is newer
    first, last = ranked[0].place, ranked[-1].place
    if leading == "addendum":
        superseded |= {above for place in superseded for above in _from_title(sections, place)}
    return [
        "superseded" if place in superseded else "between" if not role and first < place < last else role
        for place, role in enumerate(roles)
    ]


def _from_title(sections: Sequence[Section], place: int) -> range:
    """Places above an impression, from the title of its earlier report on: PREVIOUS REPORT; empty without a title."""
    for start in range(place - 1, -1, -1):
        one = sections[start]
        if one.label in {"addendum", *CONCLUDING}:
            break
        if one.label == "" and title_rank((one.heading + one.body).strip()) == EARLIER:
            return range(start, place)
    return range(0)


class _Ranked(NamedTuple):
    """Impression with its rank by headings, and the names of its examination: in its heading, and in a title above."""

    place: int
    rank: int
    named: frozenset[str]
    examined: frozenset[str]

    def is_about_the_same(self, other: _Ranked) -> bool:
        """True unless the headings or titles name different examinations."""
        pairs = ((self.named, other.named), (self.examined, other.examined))
        return all(own == its or not own or not its for own, its in pairs)


def _ranked(sections: Sequence[Section], roles: Sequence[Role], leading: Role) -> list[_Ranked]:
    """Rank the impressions by their headings, else by the last title above them: PREVIOUS REPORT."""
    found = []
    title, examined = USUAL, frozenset[str]()
    for place, section in enumerate(sections):
        lines = section.body.splitlines() if not section.label else [] if section.content else [section.heading]
        for line in lines:
            titled = title_rank(line)
            title = title if titled is None else titled
            if titled is None and not is_statement(line):
                examined = subjects(line) or examined
        if section.label == "examination":
            examined = subjects(section.body) or examined
        is_own = roles[place] == leading or is_corrected(section.heading)
        if section.label in CONCLUDING and section.content and is_own:
            own = title_rank(section.heading)
            found.append(_Ranked(place, title if own is None else own, subjects(section.heading), examined))
    return found


def _addenda(sections: Sequence[Section]) -> frozenset[int]:
    """Indexes of a text's ADDENDUM sections and of the sections that belong to them.

    Sections under an addendum belong to it if the report stands above it, or if a line such as `ORIGINAL REPORT` ends
    it: its impressions, or all of them. An addendum above the report is the text under its heading, with the impression
    that follows at once unless it is the only one. Without such text, the addendum is all up to the first of several
    impressions, or everything that follows. A revised impression is an addendum wherever it stands.
    """
    starts = [place for place, one in enumerate(sections) if one.label == "addendum" and not is_negated(one.body)]
    amended = [place for place, one in enumerate(sections) if one.label in CONCLUDING and is_corrected(one.heading)]
    places = {*starts, *amended}
    first_body = next((place for place, one in enumerate(sections) if one.label in _BODY), len(sections))
    for start, end in pairwise([*starts, len(sections)]):
        under, is_ended = _addendum_sections(sections, start, end)
        impressions = [place for place in under if sections[place].label in CONCLUDING]
        if is_ended or first_body < start:
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
    made = [
        Passage(_labelled(section), _role_in_merged(section, has_impression=has_impression))
        if other is None
        else Passage(section, "copy" if other.is_addendum or role in _CONCLUDED else "")
        for sections, other in parts
        for section, role in _report_passages(sections)
    ]
    roles = _with_older([one.section for one in made], [one.role for one in made])
    return tuple(part._replace(role=role) for part, role in zip(made, roles, strict=True))


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


def _addendum_passages(sections: tuple[Section, ...], originals: Sequence[Report]) -> tuple[Passage, ...]:
    known = {_words(one.body) for other in originals for one in other.sections if one.label in CONCLUDING}
    sections, doubtful = _with_corrections(sections)
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
        roles: list[Role] = ["addendum" if not added or place in added else "" for place in range(len(sections))]
        return _made(sections, roles, doubtful, "addendum")
    first = min(added)
    is_below = any(section.label in _BODY for section in sections[:first])
    roles = []
    for place, section in enumerate(sections):
        role: Role = "addendum" if place in added else ""
        if not role and section.label in CONCLUDING:
            is_copy = (is_below and place < first) or _words(section.body) in known
            role = "impression" if is_copy and not originals else "copy" if is_copy else "addendum"
        roles.append(role)
    return _made(sections, roles, doubtful, "addendum")


def _words(text: str) -> str:
    return " ".join(text.split()).casefold()
