"""Recognize a heading in a text: at the start of a line or inside a line, with a colon, a dash, `.-`, or nothing.

Carries out no clause of a standard: radiologists' headings are a custom.
Proved by tests/mappings/test_section_score.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from mappings.sections.wording import (
    BLANK,
    CLOSING_DECORATION,
    DECORATION,
    HAS_DATE,
    INVISIBLE,
    LABELS,
    NUMBER,
    OPENERS,
    WEAK,
    WORDS,
    key,
    label_of,
)

# Headings that may stand inside a line after a full stop, in a text of several lines
_CORE: Final = frozenset(
    {"comparison", "findings", "findings_impression", "history", "impression", "indication", "technique"}
)
# ... in capitals only
_CORE_UPPER: Final = _CORE | {"addendum", "recommendation"}

# Words that make the heading after them part of a sentence: "correction to IMPRESSION: …"
_LEADS_ON: Final = frozenset(
    {
        *("and", "as", "by", "following", "for", "from", "in", "of", "on", "or", "original", "per"),
        *("previous", "prior", "see", "the", "to", "under", "with"),
    }
)
_LONGEST_WORD: Final = 24  # characters; the first word of a heading is shorter
_SHORT_FORM: Final = 5  # characters; COMP and CLIN alone on a line are headings, Comp and Clin are words
_SHORT_LINE: Final = 40  # characters; a line of wrapped prose is longer

_COLON: Final = (
    rf"(?P<colon>\.{{0,20}}+[*_\])]{{0,3}}{BLANK}{{0,24}}+[:\uff1a]{{1,2}}(?:-(?!\d))?"
    r"(?:\s{0,3}[*_=#~<>\])|\u2013\u2014-]{2,40}+(?=\s*+$)|[*_\])]{1,3}|))"
)
_DASH: Final = rf"(?P<dash>{BLANK}{{0,4}}(?:\u2014|\.--?(?=\s|$)|(?:[-=]{{0,2}}>|\u2192|--?|\u2013)(?=\s|$)))"
_LINE_HEADING: Final = (
    rf"{DECORATION}{{0,24}}+{NUMBER}?[\s*_{INVISIBLE}]{{0,6}}{WORDS}"
    rf"(?:{_COLON}|(?P<bare>{CLOSING_DECORATION}{{0,40}}+$)|{_DASH}|(?P<closed>\*\*|__|\]|\s?\|)(?=\s)"
    r"|(?P<stop>[.;](?=\s))|(?P<run>\s{1,8}(?=\S)))"
)
# The most common form, "FINDINGS: ", without the other features of `_LINE_HEADING`
_PLAIN_HEADING: Final = re.compile(
    r"(?P<before>)(?P<words>[A-Za-z][A-Za-z ]{1,40}+)(?P<more>)(?P<qualifier>)(?P<stamp>)(?P<colon>:)"
    r"(?=\s*+(?:[^\W_]|$))"
    r"(?P<bare>)?(?P<dash>)?(?P<closed>)?(?P<stop>)?(?P<run>)?"
)
_OPENING: Final = re.compile(
    rf"{DECORATION}{{0,24}}+{NUMBER}?[\s*_{INVISIBLE}]{{0,6}}(?P<first>[^\W\d_]{{0,20}})", re.IGNORECASE
)
ITEM: Final = re.compile(rf"\s*(?:[-*\u2022\u25aa\u25cf\u25ba]\s|[\s*_]*{NUMBER})", re.IGNORECASE)
_INLINE_HEADING: Final = rf"{WORDS}(?:{_COLON}|{_DASH})"
# White space that may separate a heading from the text before: after a sentence, wide, or before capitals
_GAP: Final = re.compile(
    r"\s(?<!\s\s)(?:(?P<ended>(?:(?<=[.!?;:)\]\"\u201d]\s)|(?<=[*=~#>]{2}\s))\s*+)|(?P<wide>\s++|(?<=\t))"
    r"|(?P<narrow>(?<=[a-z0-9]\s)(?=[^\W\d_a-z])))(?=[^\W\d_])"
)
# ... or a separating mark
_PARTS: Final = re.compile(r"[|\u2022\u25cf\u25aa]|\s(?:~|//?)\s")
_PARTED: Final = re.compile(
    rf"(?<!\s)\s{{0,2}}(?P<parted>[|\u2022\u25cf\u25aa]|(?<=\s)(?:~|//?)(?=\s))\s{{0,4}}(?=[^\W\d_])|{_GAP.pattern}"
)


@cache
def _form(pattern: str) -> re.Pattern[str]:
    """Compile a form on first use: it is slow, and most commands read no text."""
    return re.compile(pattern, re.IGNORECASE)


def opening(line: str) -> str:
    """First word of a line in lower case, after decoration and number; empty without a letter."""
    first = line.partition(" ")[0].rstrip(":,;")
    if not first.isalpha():
        match = _OPENING.match(line)
        first = match["first"] if match else ""
    return first.casefold()


def line_heading(line: str, above: str, below: str, *, is_anew: bool) -> tuple[re.Match[str], str] | None:
    """Match the heading at the start of a stripped line, between the lines above and below; return its label too."""
    match = _PLAIN_HEADING.match(line)
    label = LABELS.get(match["words"].lower()) if match else None
    if label is None:
        match = _form(_LINE_HEADING).match(line)
        label = _label(match) if match else None
    if not match or label is None or not _stands_apart(match, label, above, below, is_anew=is_anew):
        return None
    return match, label


def _label(match: re.Match[str]) -> str | None:
    """Label of a heading; a weak word after another one is a part of the findings: FETAL ASSESSMENT."""
    if match["before"] and key(match["words"]) in WEAK and key(match["before"] + match["words"]) not in LABELS:
        return None
    return label_of(match)


def heading_end(match: re.Match[str]) -> int:
    """End of a heading at the start of a line."""
    return match.end("words") if match["run"] and not match["stamp"] else len(match[0].rstrip())


def heading_start(match: re.Match[str]) -> int:
    """Start of a heading's words, after its decoration and number."""
    return match.start("before")


def _stands_apart(match: re.Match[str], label: str, above: str, below: str, *, is_anew: bool) -> bool:
    """True if the text after the words sets the heading off; wrapped prose may begin a line with the same words."""
    words, lead = match["before"] + match["words"], match.string[: heading_start(match)]
    if not lead and leads_on(above, len(above)):
        return False
    if match["colon"] is not None:
        return True
    if match["dash"] is not None:
        return not words[0].islower()
    if match["closed"] is not None:
        return match["closed"].strip().replace("]", "[") in lead
    if match["bare"] is None:
        is_tab = match["run"] is not None and match["run"][0] == "\t"
        is_begun = words.isupper() or (words[0].isupper() and (is_tab or match["stop"] is not None))
        return is_begun and not match["more"] and _runs_on(match, label)
    return _stands_alone(match, lead, above, below, is_anew=is_anew)


def _runs_on(match: re.Match[str], label: str) -> bool:
    """True if text follows a heading without a colon: after a tab, or where a sentence or an item begins."""
    if match["stamp"]:
        return HAS_DATE.search(match["stamp"]) is not None
    behind = match.string[match.end("words") :]
    if behind[0] == "\t":
        return True
    text = behind.lstrip()
    if label not in _CORE or match["stop"]:
        return label in _CORE and not match["qualifier"]
    is_wide = len(behind) - len(text) > 1
    return is_wide or text[0].isdigit() or (text[0].isupper() and text[1:2].islower())


def _stands_alone(match: re.Match[str], lead: str, above: str, below: str, *, is_anew: bool) -> bool:
    """True if words alone on their line are a heading: if decorated, or if the line above has ended."""
    words = match["before"] + match["words"]
    if lead.strip():
        return True
    if words.islower() or words[0].islower():
        return not above
    if not words.isupper() and len(words) <= _SHORT_FORM:
        return False
    if is_anew or len(above) < _SHORT_LINE:
        return True
    return not above.isupper() if words.isupper() else below[:1].isupper() or below[:1].isdigit()


def inline_headings(line: str, offset: int, *, is_run_in: bool) -> Iterator[tuple[re.Match[str], str, re.Match[str]]]:
    """Yield the headings in a line from `offset` on, with their labels and the gaps before them.

    In a text run into one line any heading counts, else only the common ones after a full stop.
    """
    end = len(line) if is_run_in else line.rfind(":")
    if end <= offset:
        return
    for gap in (_PARTED if _PARTS.search(line, offset, end) else _GAP).finditer(line, offset, end):
        place = gap.end()
        if opening(line[place : place + _LONGEST_WORD]) not in OPENERS:
            continue
        match = _form(_INLINE_HEADING).match(line, place)
        label = _label(match) if match else None
        if match and label is not None and _stands_inside(match, label, gap, is_run_in=is_run_in):
            yield match, label, gap


def _stands_inside(match: re.Match[str], label: str, gap: re.Match[str], *, is_run_in: bool) -> bool:
    """True if words after a gap in a line are a heading."""
    words, line = match["words"], gap.string
    is_within = line[gap.start() - 1] == ":" or (line[gap.start() - 1] == ";" and not is_run_in)
    if gap.lastgroup == "narrow" or is_within or match["dash"] is not None:
        may_run = is_run_in or (match["dash"] is None and label in _CORE_UPPER)
        is_set_off = words.isupper() or (is_run_in and label in _CORE and match["dash"] is None and words[0].isupper())
        return may_run and is_set_off and not leads_on(line, gap.start())
    if is_run_in:
        return True
    if words.isupper():
        return label in _CORE_UPPER
    return label in _CORE and words[0].isupper() and len(words) > _SHORT_FORM and key(words) not in WEAK


def leads_on(before: str, end: int) -> bool:
    """True if the last word before `end` makes a following heading part of a sentence."""
    return before[max(0, end - 20) : end].replace("(", " ").rpartition(" ")[2].lower() in _LEADS_ON
