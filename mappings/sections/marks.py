"""Find each place in a report's text that may be a heading or a closing line.

Carries out no clause of a standard: radiologists' headings are a custom. `mappings.sections` judges them by each other.
Proved by tests/mappings/sections/test_forms.py and tests/mappings/test_section_score.py.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Final, NamedTuple

from mappings.sections.closings import CLOSERS, KEYS, closing, hints, inline_closings, signs
from mappings.sections.correcting_words import hints as corrects
from mappings.sections.corrections import Label, correction_label, is_corrected, title_rank
from mappings.sections.forms import ITEM, heading_end, heading_start, inline_headings, leads_on, line_heading, opening
from mappings.sections.headings import MODALITIES, REGIONS
from mappings.sections.lettering import drawn_together
from mappings.sections.wording import OPENERS, WEAK, key

CLOSING: Final = ""  # label of a closing: none
TITLE: Final = "title"  # title of the next examination; not a section label

# A line that introduces a quotation: "Outside report reads:"
_LEADS_UP: Final = re.compile(
    r"\b(?:reports?|reads?|read as|stated?|states|dictated|follows|quoted?|wrote|writes|says?|said|per)\b[^:]{0,80}:$",
    re.IGNORECASE,
)
_RULE: Final = re.compile(r"\s{0,8}(?:[-=_*~#\u2013\u2014]\s?){2}[-=_*~#\u2013\u2014\s]*")
_RULE_SIGNS: Final = "-=_*~#\u2013\u2014"
# Text between quotation marks; an inch mark stands after a number
_QUOTE: Final = re.compile('(?<![^\\s(:])["\u201c](?=\\w)[^"\u201c\u201d]{1,2000}(?<=\\S)["\u201d](?!\\w)')
# A line that is the title of the next examination has one of these words: CT CERVICAL SPINE
_IMAGED: Final = frozenset(word for name in (*MODALITIES, *REGIONS) for word in name.split())

# Places inside a line where a label may stand: after a sentence or marks, or before marks
_INSIDE: Final = re.compile(r"(?<=[.!?:;)\]*>=~#\"\u201d])\s++(?=\S)|(?<=\w)\s++(?=[^\w\s.,:;!?()]{2}|\[)")
_DECORATED: Final = " \t\r\n*_#=-~.<>|[](){}:"
_NOT_WORD: Final = re.compile(r"[^\w-]")
_CONCLUDED: Final = frozenset({"findings_impression", "impression"})
_FIRST: Final = OPENERS | CLOSERS | {""}
_HEADING_KEYS: Final = OPENERS - KEYS  # with a colon after them these words close nothing
_LOWER: Final = ("cc", "e-")  # beginnings of closings in lower case
_SHORT_LINE: Final = 40  # characters; a line of wrapped prose is longer
_TITLE_LINE: Final = 90  # characters; the title of an examination is shorter
_LABEL_LINE: Final = 300  # characters; the label of a correction is shorter
_SIGNING_LINES: Final = 10  # a signature is shorter
_RUN_IN_LINES: Final = 2  # a text of one line, perhaps under a title, has its headings inside the line


class Mark(NamedTuple):
    """Candidate for a heading: `start` to `end` in the text, and the features that decide."""

    start: int
    end: int
    label: str
    words: str
    is_item: bool = False  # numbered or bulleted
    is_anew: bool = True  # the text before it has ended
    is_inline: bool = False  # inside a line
    weak: str = ""  # the kind of a word that is as often a title or a remark (`WEAK_WORDS`)
    is_named: bool = False  # names its subject
    is_quoted: bool = False  # set apart, like a quoted report
    is_footer: bool = False  # closes only if nothing follows
    is_remark: bool = False  # closes only an impression
    is_correction: bool = False  # labels a correction by its words, not by a heading of the table

    @property
    def is_heading(self) -> bool:
        """True if the mark is neither a closing line nor a title."""
        return self.label not in (CLOSING, TITLE)

    @property
    def is_upper(self) -> bool:
        """True if written in capitals."""
        return self.words.isupper()

    @property
    def is_lower(self) -> bool:
        """True if it begins with a small letter."""
        return self.words[0].islower()


def marks(text: str) -> list[Mark]:
    """Find every candidate for a heading or closing, in order; the whole list is needed to judge each."""
    candidates = _Reader(text).read()
    return _outside_quotes(candidates, text) if '"' in text or "\u201c" in text else candidates


def _outside_quotes(candidates: list[Mark], text: str) -> list[Mark]:
    """Keep the marks outside quotation marks; in a text that begins with one, everything is quoted and kept."""
    first = len(text) - len(text.lstrip())
    quotes = [one.span() for one in _QUOTE.finditer(text) if one.start() > first]
    kept, number = [], 0
    for mark in candidates:
        while number < len(quotes) and quotes[number][1] <= mark.start:
            number += 1
        is_around = number < len(quotes) and mark.is_correction and quotes[number][1] <= mark.end
        if number == len(quotes) or mark.start < quotes[number][0] or is_around:
            kept.append(mark)
    return kept


def _is_run_in(lines: list[str]) -> bool:
    """True if a report's text is all on one line, perhaps under a title; signatures do not count."""
    written = list(islice(filter(None, lines), _RUN_IN_LINES + _SIGNING_LINES + 1))
    if len(written) <= _RUN_IN_LINES or len(written) > _RUN_IN_LINES + _SIGNING_LINES:
        return len(written) <= _RUN_IN_LINES
    others = (line for line in written if not closing(line, opening(line)) and not signs(line))
    return next(islice(others, _RUN_IN_LINES, None), None) is None


class _Reader:
    """Reader that finds the marks line by line, with the context of the lines above."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines(keepends=True)
        self.stripped = [line.strip() for line in self.lines]
        self.is_run_in = _is_run_in(self.stripped)
        self.hints = hints(text)  # of closings inside lines, the next one last
        self.corrects = corrects(text)
        self.found: list[Mark] = []
        self.end = 0  # of the last mark
        self.is_concluded = False  # an impression was found
        self.rule = -1  # start of the rule that is the last non-blank line above
        self.indent = -1  # of the first heading
        self.above = ""  # the line above, stripped
        self.title: Mark | None = None  # of the next examination, if a heading follows

    def read(self) -> list[Mark]:
        """Find all marks of the text, in order."""
        start = 0
        for number, raw in enumerate(self.lines):
            line, stripped = raw, self.stripped[number]
            if stripped:
                if line[1:2] == " " != line[0]:
                    line = drawn_together(line)
                    stripped = line.strip()
                first = opening(stripped)
                if not self._is_prose(stripped, first, start + len(line)):
                    self._read(line, stripped, first, start, number)
            self.above = stripped
            start += len(line)
        if self.found and self.rule >= self.end:
            self.found.append(Mark(self.rule, self.rule, CLOSING, "-"))
        return self.found

    def _is_prose(self, line: str, first: str, end: int) -> bool:
        """True if a line continues the one above and contains no mark, as most lines do."""
        if first in _FIRST or not self.above or self.rule >= 0 or self.title or self.is_run_in or ":" in line:
            return False
        if self.corrects and corrects(line):
            return False
        return not (self.hints and self.hints[-1] < end) and not self._is_signature(line)

    def _read(self, line: str, stripped: str, first: str, start: int, number: int) -> None:
        """Find the marks of a non-blank line."""
        count, may_correct = len(self.found), self.corrects and corrects(line)
        if first in _FIRST or may_correct:
            self._read_start(line, stripped, first, start, number)
        if count == len(self.found) > 0 and self._is_signature(stripped):
            self._close(start, stripped)
        if self.is_run_in or line.rfind(":") > max(0, self.end - start):
            self._read_inside(line, start)
        if may_correct:
            self._read_corrections(line, start, count)
        if self.hints and self.hints[-1] < start + len(line):
            self._read_closings(line, start, count)
        if stripped[0] in _RULE_SIGNS and start >= self.end and _RULE.fullmatch(line):
            self.rule = start
            return
        if not self.above or self.rule >= 0 or (stripped[-1] == ":" and self._is_anew()):
            place = start if self.rule < self.end else self.rule
            self.title = _title(stripped, place) if count == len(self.found) else None
        elif self.title:
            self.title = None
        self.rule = -1

    def _read_start(self, line: str, stripped: str, first: str, start: int, number: int) -> None:
        """Find the label, closing or heading at the start of a line; a plain heading comes before the label."""
        heading = self._heading_at(line, first, number)
        is_weak = heading is None or key(heading[0]["words"]) in WEAK
        is_marked = heading and heading[1] == "addendum" and (heading[0]["before"] or ITEM.match(stripped))
        if self.corrects and (is_weak or is_marked) and self._read_correction(line, start):
            return
        is_key = first in _HEADING_KEYS and stripped[len(first) : len(first) + 1] == ":"  # "EXAM:"
        if self.found and not is_key and (closes := closing(stripped, first)):
            self._close(start, *closes)
        elif heading:
            self._add_heading(*heading, start, number)

    def _heading_at(self, line: str, first: str, number: int) -> tuple[re.Match[str], str] | None:
        """Match the heading of the table at the start of a line."""
        if first not in OPENERS:
            return None
        below = self.stripped[number + 1] if number + 1 < len(self.stripped) else ""
        return line_heading(line, self.above, below, is_anew=self._is_anew())

    def _read_correction(self, line: str, start: int) -> bool:
        """Find the label of a correction at the start of a line, or its end; return True if there is one."""
        found = correction_label(line.rstrip())
        if found is None or leads_on(self.above, len(self.above)):
            return False
        words, is_anew = line.strip(_DECORATED), self._is_anew()
        is_begun = is_anew or found.is_set_off or len(self.above) < _SHORT_LINE
        if not is_begun or not (words[0].isupper() or (found.is_set_off and is_anew)):
            return False
        if found.is_end:
            self._close(start, words)
        else:
            self._add(self._correction(found, line, start, 0))
        return True

    def _correction(self, found: Label, line: str, start: int, offset: int) -> Mark:
        place = self.rule if self.rule >= self.end and not offset else start + offset
        words = line[offset : offset + found.end].strip(_DECORATED)
        anew = self._is_anew() or offset > 0
        end, is_inline = start + offset + found.end, offset > 0
        return Mark(place, end, "addendum", words, is_anew=anew, is_inline=is_inline, is_correction=True)

    def _close(self, start: int, words: str, is_footer: bool = False, is_remark: bool = False) -> None:
        place, is_anew = self.rule if self.rule >= self.end else start, self._is_anew() or words[:2] in _LOWER
        self._add(Mark(place, place, CLOSING, words, is_anew=is_anew, is_footer=is_footer, is_remark=is_remark))

    def _is_anew(self) -> bool:
        """True if the line above has ended."""
        return not self.above or self.above[-1] in ".!?:"

    def _is_signature(self, line: str) -> bool:
        """True if a line is a signature, and the line above allows a name to stand alone."""
        above = self.above
        is_wrapped = len(above) >= _SHORT_LINE and above[-1] not in ".!?)"
        if is_wrapped and (len(line) > _SHORT_LINE or "," not in line or line.startswith(("Dr", "Prof"))):
            return False  # but "A. Reader, MD" signs below an impression that has no full stop
        if above and above[-1] in ":,":
            return False
        return signs(line) and not leads_on(above, len(above))

    def _add_heading(self, match: re.Match[str], label: str, start: int, number: int) -> None:
        """Add a heading at the start of a line, after the title that it confirms and between its rules."""
        line, above = match.string, self.above
        end, lead, indent = heading_end(match), line[: heading_start(match)], len(line) - len(line.lstrip())
        if not self.found:
            self.indent = indent
        if self.title:
            self.found.append(self.title)
        if not line[end:].strip() and number + 1 < len(self.lines) and _RULE.fullmatch(self.lines[number + 1]):
            end = len(line) + len(self.lines[number + 1].rstrip())
        is_quoted = (
            indent > self.indent + 1
            or (">" in lead and "<" not in line)
            or (above[-1:] == ":" and _LEADS_UP.search(above) is not None and not self._is_title(above))
        )
        kinds = {"is_item": bool(lead and ITEM.match(lead)), "is_anew": self._is_anew(), "is_quoted": is_quoted}
        self._add(_mark(match, label, self.rule if self.rule >= self.end else start, start + end, **kinds))

    def _is_title(self, above: str) -> bool:
        """True for PREVIOUS REPORT: behind an impression: the title of an earlier report, and no quotation."""
        return title_rank(above) is not None and self.is_concluded

    def _read_inside(self, line: str, start: int) -> None:
        """Find the headings inside a line."""
        for match, label, gap in inline_headings(line, max(0, self.end - start), is_run_in=self.is_run_in):
            place = start + (gap.start() if gap.lastgroup == "parted" else match.start())
            kinds = {"is_inline": True, "is_anew": gap.lastgroup != "narrow", "is_quoted": not self.is_run_in}
            self._add(_mark(match, label, place, start + match.end(), **kinds))

    def _read_corrections(self, line: str, start: int, count: int) -> None:
        """Find the labels of corrections inside a line, and their ends, and sort them among its other marks."""
        for gap in _INSIDE.finditer(line, 1):
            found = correction_label(line[gap.end() : gap.end() + _LABEL_LINE].rstrip())
            if found is None:
                continue
            words = line[gap.end() : gap.end() + found.end]
            if found.is_end:
                self.found.append(Mark(start + gap.end(), start + gap.end(), CLOSING, "-", is_inline=True))
            elif self.is_run_in or (found.is_set_off and (words.isupper() or not words[0].isalpha())):
                self.found.append(self._correction(found, line, start, gap.end()))
        self.found[count:] = sorted(self.found[count:], key=lambda mark: mark.start)

    def _read_closings(self, line: str, start: int, count: int) -> None:
        """Find the closings inside a line, and sort them among its headings, which start at index `count`."""
        while self.hints and self.hints[-1] < start + len(line):
            self.hints.pop()
        if self.found:
            closings = inline_closings(line)
            self.found += [Mark(start + at, start + at, CLOSING, words, is_inline=True) for at, words in closings]
            self.found[count:] = sorted(self.found[count:], key=lambda mark: mark.start)

    def _add(self, mark: Mark) -> None:
        self.found.append(mark)
        self.is_concluded = self.is_concluded or mark.label in _CONCLUDED
        self.end = max(mark.end, mark.start)


def _mark(match: re.Match[str], label: str, start: int, end: int, **kinds: bool) -> Mark:
    words = match["words"]
    is_named = bool(match["before"] or match["qualifier"]) and not is_corrected(match["before"] + words)
    weak = WEAK.get(key(words), "")
    return Mark(start, end, label, match["before"] + words, weak=weak, is_named=is_named, **kinds)


def _title(words: str, start: int) -> Mark | None:
    """Match the title of an examination: short, no sentence, with a modality or region."""
    words = words.strip(" *_#=-:~")
    if not words or len(words) > _TITLE_LINE or words[-1] in ".,;" or not words[0].isupper():
        return None
    named = _NOT_WORD.sub(" ", words.lower()).split()
    is_title = not _IMAGED.isdisjoint(named) if words.isupper() else named[:1] and named[0] in MODALITIES
    return Mark(start, start, TITLE, words) if is_title else None
