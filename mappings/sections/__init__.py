"""Cut a report's text into sections, losing no character: choose the true headings; headings.py has their words.

Carries out no clause of a standard: radiologists' headings are a custom. Decision D5: no heading is guessed. The labels
are the keys of `mappings.codes.SECTION_LOINC` and, for headings without a code there, the heading's name in snake case.

`marks` finds candidates for headings. Here they are judged by each other, since a text writes all its headings in one
way. Candidates that may be prose, a sub-heading or a quotation are rejected: a missed heading costs less than a finding
torn apart.
Proved by tests/mappings/sections/test_studies.py and tests/mappings/test_section_score.py.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple

from mappings.model import Section
from mappings.sections.corrections import is_negated, is_statement
from mappings.sections.headings import HEADINGS
from mappings.sections.lettering import as_read, heading_words, tags
from mappings.sections.marks import CLOSING, TITLE, Mark, marks

__all__ = ["HEADINGS", "cut", "heading_words", "is_document"]

# Sections about reason and method, before the findings
_CONTEXT: Final = frozenset({"comparison", "examination", "history", "indication", "technique"})
# ... in which another report may be quoted
_QUOTING: Final = frozenset({"comparison", "history", "indication"})
_SEEN: Final = frozenset({"findings", "findings_impression"})
_CONCLUDED: Final = frozenset({"findings_impression", "impression"})
# ... and those that follow the title of an examination
_BEGINNING: Final = _CONTEXT | _SEEN | {"procedure"}
# Sections after which the title of the next examination may stand
_CLOSED_BY_TITLE: Final = _SEEN | _CONCLUDED | {"recommendation", "critical_result", "plan", "addendum"}

# Headings that are sub-headings inside a section of the other case: TECHNIQUE: … Contrast: 50 mL
_MINOR: Final = frozenset(
    {
        *("anesthesia", "complications", "consent", "contrast", "estimated_blood_loss", "materials", "medications"),
        *("plan", "postprocedure_diagnosis", "procedure", "radiation_dose", "specimens"),
    }
)

# HTML, XML and RTF are never cut: a section would not be a valid document
_DOCUMENTS: Final = ("<!doctype", "<html", "<?xml", "{\\rtf")

_MARGIN: Final = " \t\r\n*_#=~.<>|])-"  # allowed around the words of a closing


@lru_cache(maxsize=16)  # a trace decodes the same texts some hundred times
def cut(text: str) -> tuple[Section, ...]:
    """Cut the text into sections, in order; `"".join(s.heading + s.body for s in cut(text)) == text` for any string.

    Text under no known heading (before the first, or a signature after the last) is a Section with label and heading
    "". A text without headings is one such Section, an empty text none. White space before the first heading belongs to
    it.
    """
    if not text:
        return ()
    if is_document(text):
        return (Section("", "", text),)
    read = as_read(text)
    candidates = _with_content(marks(read), read)
    headings = _with_tags(_headings(candidates, read), tags(text), len(text.rstrip()))
    if not headings:
        return (Section("", "", text),)
    sections = []
    opening = text[: headings[0].start]
    if opening.strip():
        sections.append(Section("", "", opening))
        opening = ""
    for mark, end in zip(headings, [*(mark.start for mark in headings[1:]), len(text)], strict=True):
        sections.append(Section(mark.label, opening + text[mark.start : mark.end], text[mark.end : end]))
        opening = ""
    return tuple(sections)


def _with_tags(headings: list[Mark], runs: list[tuple[int, int]], length: int) -> list[Mark]:
    """Extend the headings by the tags around them, and add the tags after the last section as its closing."""
    if not headings or not runs:
        return headings
    starts, ends = [start for start, _ in runs], [end for _, end in runs]
    widened: list[Mark] = []
    for mark in headings:
        before, behind = bisect_right(starts, mark.start) - 1, bisect_left(starts, mark.end)
        start = starts[before] if before >= 0 and mark.start <= ends[before] else mark.start
        end = mark.end
        if mark.label and behind < len(runs) and starts[behind] == mark.end:
            end = ends[behind]
        start = max(start, widened[-1].end if widened else 0)
        widened.append(mark._replace(start=start, end=max(start, end) if mark.label else start))
    if runs[-1][1] == length and widened[-1].label and widened[-1].end < starts[-1]:
        widened.append(Mark(starts[-1], starts[-1], CLOSING, ""))
    return widened


def is_document(text: str) -> bool:
    """True for HTML, XML and RTF, which are never cut."""
    return text[:200].lstrip().lower().startswith(_DOCUMENTS)


def _with_content(candidates: Sequence[Mark], text: str) -> list[Mark]:
    """Reject the label of a correction that has no text of its own: a sentence, or the title of an amended report.

    Such a title closes the section before it.
    """
    made = []
    for place, mark in enumerate(candidates):
        own, below = "text", ""
        if mark.is_correction:
            later = (candidates[number] for number in range(place + 1, len(candidates)))
            end = next((one.start for one in later if one.start >= mark.end and _ends(one, mark, text)), len(text))
            own, _, below = text[mark.end : end].partition("\n")
            if is_negated(text[mark.end : end]):
                continue
        if own.strip(_MARGIN) or is_statement(below):
            made.append(mark)
        elif text[mark.end - 1] != ".":
            made.append(mark._replace(label=CLOSING, end=mark.start, is_correction=False))
    return made


def _ends(later: Mark, label: Mark, text: str) -> bool:
    """True if a later mark ends the text under a label; a date right below the label does not."""
    return later.is_heading or bool(text[label.end : later.start].strip(_MARGIN))


@dataclass(slots=True)
class _Study:
    """Plain headings of one examination or addendum: label -> index of the first and of the last mark with it."""

    first: dict[str, int] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)

    def has(self, labels: frozenset[str]) -> bool:
        """True if a plain heading has one of these labels."""
        return not labels.isdisjoint(self.first)


class _Place(NamedTuple):
    """Place of a mark: its index, its study, the label of the next plain heading there, and True if text is between."""

    number: int
    study: _Study
    following: str
    is_followed: bool


def _headings(candidates: Sequence[Mark], text: str) -> list[Mark]:
    """Select the marks that are headings or closings, judged by the headings before them and by the text after."""
    accepted: list[Mark] = []
    headings: list[Mark] = []
    study, seen = None, False
    for mark, place in zip(candidates, _places(candidates, text), strict=True):
        if place.study is not study:
            study, seen = place.study, False
        if accepted and (mark.start < accepted[-1].end or _is_in_addendum(mark, accepted[-1], text)):
            continue
        if mark.is_correction:
            accepted.append(mark)
        elif not mark.is_heading:
            if accepted and accepted[-1].label and _closes(mark, place, accepted[-1], text):
                accepted.append(mark._replace(label=CLOSING) if mark.label else mark)
        elif _fits(mark, place, headings) and (label := _label(mark, place)):
            if _is_set_apart(mark, place) or (not seen and _is_quotation(mark, place, headings)):
                continue
            accepted.append(mark if label == mark.label else mark._replace(label=label))
            headings.append(accepted[-1])
            seen = seen or label in _SEEN
        elif accepted and accepted[-1].label and _is_empty(mark, place, candidates):
            accepted.append(mark._replace(label=CLOSING, end=mark.start))
    return accepted


def _is_in_addendum(mark: Mark, last: Mark, text: str) -> bool:
    """True for the label of a correction that belongs to the addendum above: ADDENDUM: Correction to IMPRESSION: …"""
    if not mark.is_correction or last.label != "addendum":
        return False
    return mark.is_inline or not text[last.end : mark.start].strip(_MARGIN)


def _places(candidates: Sequence[Mark], text: str) -> list[_Place]:
    """Find the place of each mark."""
    studies = _studies(candidates)
    places: list[_Place] = []
    following, behind = "", len(text)
    for number in range(len(candidates) - 1, -1, -1):
        mark = candidates[number]
        if number + 1 < len(candidates) and studies[number + 1] is not studies[number]:
            following = ""
        is_followed = False
        if mark.weak or mark.is_footer:
            between = text[mark.end : behind].strip(_MARGIN)
            is_followed = bool(between) and between != mark.words.strip(_MARGIN)
        if mark.is_footer and places and candidates[number + 1].is_footer:
            is_followed = is_followed or places[-1].is_followed
        places.append(_Place(number, studies[number], following, is_followed))
        behind = mark.start
        if _is_plain(mark):
            following = mark.label
    return places[::-1]


def _studies(candidates: Sequence[Mark]) -> list[_Study]:
    """Assign each mark to its study: an addendum begins one, or an examination after findings or impression."""
    studies = []
    study = _Study()
    for number, mark in enumerate(candidates):
        is_next = mark.label == TITLE or (mark.label == "examination" and _is_plain(mark))
        if mark.label == "addendum" or (is_next and study.has(_SEEN | _CONCLUDED)):
            study = _Study()
        if _is_plain(mark):
            study.first.setdefault(mark.label, number)
            study.last[mark.label] = number
        studies.append(study)
    return studies


def _is_plain(mark: Mark) -> bool:
    return mark.is_heading and not mark.weak and not mark.is_quoted


def _closes(mark: Mark, place: _Place, last: Mark, text: str) -> bool:
    """True if a line closes the section before it, or is the title of the next examination after a complete one."""
    is_said = bool(text[last.end : mark.start].strip())
    if mark.label == TITLE:
        begins = _BEGINNING | _CONCLUDED if last.label in _CONCLUDED else _BEGINNING
        return last.label in _CLOSED_BY_TITLE and is_said and place.following in begins
    if (last.label == "addendum" and not is_said) or (mark.is_remark and not (is_said and last.label in _CONCLUDED)):
        return False
    return (mark.is_anew or not mark.is_lower) and not (mark.is_footer and place.is_followed)


def _fits(mark: Mark, place: _Place, headings: list[Mark]) -> bool:
    """True if a heading matches those before it: list items, lower case and minor ones need a precedent."""
    if not headings:
        return mark.is_anew or (not mark.is_lower and not mark.is_inline)
    first = headings[0]
    if mark.is_item and not first.is_item and not _is_missed(mark, place, headings):
        return False
    if mark.is_lower and not mark.is_anew and not headings[-1].is_lower:
        return False
    is_as_first = first.is_upper or not (mark.is_upper or mark.is_quoted)
    if not mark.is_anew and mark.is_inline and not is_as_first:
        return False
    return not _is_below(mark, place, headings)


def _is_missed(mark: Mark, place: _Place, headings: list[Mark]) -> bool:
    """True if this is the only heading of findings or impression, and no list item of an impression above."""
    is_last = place.study.last.get(mark.label) == place.number
    labels = {one.label for one in headings}
    return is_last and mark.label in _SEEN | _CONCLUDED and labels.isdisjoint({mark.label, *_CONCLUDED})


def _is_below(mark: Mark, place: _Place, headings: list[Mark]) -> bool:
    """True if a heading is a sub-heading of the section before it."""
    first, last = headings[0], headings[-1]
    is_of_findings = last.label in _SEEN and not last.is_named
    if is_of_findings and (mark.label == "materials" or (mark.is_named and mark.label == last.label)):
        return True  # FINDINGS: … DEVICES: …, FINDINGS: … CHEST FINDINGS: …
    is_again = place.study.first.get(mark.label, place.number) < place.number
    if is_of_findings and is_again and mark.label in _CONTEXT and place.following in _CONCLUDED:
        return True  # COMPARISON: … FINDINGS: … COMPARISON: unchanged … IMPRESSION: …
    if mark.is_upper or not (first.is_upper or last.is_upper):
        return False
    if mark.label in _MINOR:
        return True
    if mark.is_inline and mark.is_quoted and last.is_upper:
        return mark.label not in _CONCLUDED or mark.label in place.study.last
    return last.is_upper and last.label in _SEEN and (mark.label in _CONTEXT or mark.is_named)


def _is_empty(mark: Mark, place: _Place, marks: Sequence[Mark]) -> bool:
    """True if a weak word has no text before the next heading, like a title."""
    if not mark.weak or mark.is_inline or place.is_followed:
        return False
    return place.number + 1 == len(marks) or _is_plain(marks[place.number + 1])


def _is_set_apart(mark: Mark, place: _Place) -> bool:
    """True for a heading set apart if the examination has the same one of its own: it belongs to a quoted report."""
    return mark.is_quoted and not mark.is_inline and mark.label in place.study.first


def _is_quotation(mark: Mark, place: _Place, headings: list[Mark]) -> bool:
    """True if a heading before the first findings belongs to a report quoted in the history or comparison.

    A heading inside a line is repeated on its own later; an impression before the findings is repeated after them.
    """
    if not headings or headings[-1].label not in _QUOTING:
        return False
    last = place.study.last
    if mark.is_quoted and last.get(mark.label, -1) > place.number:
        return True
    first_findings = min((place.study.first[label] for label in _SEEN if label in place.study.first), default=-1)
    concluded = max(last.get(label, -1) for label in _CONCLUDED)
    return (
        mark.label in _CONCLUDED and not mark.is_named and place.number < first_findings and first_findings < concluded
    )


def _label(mark: Mark, place: _Place) -> str:
    """Label of a heading; a weak word has one only if no plainer heading covers the same section."""
    if not mark.weak:
        return mark.label
    study, is_title = place.study, place.following in _CONTEXT
    if is_title or (place.following in _SEEN and mark.weak != "summary"):
        return ""
    if mark.weak == "body":
        return "" if study.has(_SEEN) or not place.is_followed else "findings"
    if not study.has(_CONCLUDED):
        return "impression"
    is_body = mark.weak == "remark" and not study.has(_SEEN) and place.following in _CONCLUDED
    return "findings" if is_body else ""
