r"""Split a report's text into lines, each with its section, losing none; obx_values.py wraps them and drops blank ones.

HL7 v2.5.1 §2.7.1 (escape sequences), decisions D5, D16, D19, D21, D22, D36.

The lines of a report joined by LF are N(text). A section never breaks a line: a row ends only at a line break of the
text. `mappings/hl7v2/obx_values.py` turns them into OBX-5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from mappings.hl7v2.er7 import NOT_NULL, NULL, escape
from mappings.model import Report, Section
from mappings.study.conclusion import ABSENT, ADDED, Passage, flagged
from mappings.values.text import lines

NOT_SIGNED: Final = "PRELIMINARY REPORT - NOT SIGNED"
WITHDRAWN: Final = "VOID - THIS REPORT WAS WITHDRAWN"
_PLAIN_ASCII: Final = bytes([ord("\n"), *range(32, 127)])
# Labels of the lines that form the conclusion (D36)
CONCLUDED: Final = frozenset({"impression", "addendum"})
_IMPRESSIONS: Final = frozenset({"doubtful", "impression", "superseded", "between"})


class Stretch(NamedTuple):
    """Consecutive lines of one section, escaped; `is_critical`: they are marked as critical."""

    label: str
    is_critical: bool
    lines: list[str]


def stretches(report: Report, parts: Sequence[Passage], addendum_obx3: str, *, is_plain: bool) -> list[Stretch]:
    """Split the text of a report into stretches, in order; an absent or empty text is one line that says so.

    `parts` are its passages (study/conclusion.py), `addendum_obx3` the receiver's switch. `is_plain` is the result
    of `has_plain_lines` for the text, which saves checking each line again.
    """
    text = report.text or ""
    rows = escape(text).split("\n") if is_plain else lines(escape(text))
    marks = _marks(report, parts, addendum_obx3, is_plain=is_plain)
    if not (text if is_plain else "".join(rows)).strip():
        rows = [ABSENT]
    if '"' in text and NULL in rows:
        rows = [NOT_NULL if row == NULL else row for row in rows]
    ends = [*[mark[0] for mark in marks[1:]], len(rows)]
    return [
        Stretch(label, is_critical, rows[start:end])
        for (start, label, is_critical), end in zip(marks, ends, strict=True)
        if start < end
    ]


def stretch_label(part: Passage, addendum_obx3: str) -> str:
    """Section label of a passage's OBX: the conclusion is an impression, or by switch an addendum (D36).

    A copy is not concluded with, and neither is an ADDENDUM section that says "none".
    """
    if part.role in ADDED:
        return addendum_obx3
    if part.role in _IMPRESSIONS:
        return "impression"
    return "" if part.role == "copy" or part.section.label == "addendum" else part.section.label


def has_plain_lines(text: str) -> bool:
    """True if N(text) is the text itself and LF its only line break, as nearly always."""
    if text.isascii():
        return not text.encode().translate(None, _PLAIN_ASCII)
    return text.replace("\n", "").isprintable()


def _marks(
    report: Report, parts: Sequence[Passage], addendum_obx3: str, *, is_plain: bool
) -> list[tuple[int, str, bool]]:
    """List the rows at which label or critical mark changes: row, label, mark from there on; the first is row 0.

    A row belongs to the section in which it begins, or to the conclusion if any part of it does. It is marked if any
    part of it is critical.
    """
    critical = flagged(parts) if report.is_critical else frozenset()
    is_whole = bool(report.is_critical) and not critical
    marks: list[tuple[int, str, bool]] = [(0, "", is_whole)]
    row, begins = 0, True
    for place, part in enumerate(parts):
        breaks, ends = _breaks(part.section, is_plain=is_plain)
        label, is_critical = stretch_label(part, addendum_obx3), is_whole or place in critical
        alone = _heading_lines(part.section) if is_critical or not begins else 0
        if not (begins or alone):
            _, label_of_row, is_row_critical = marks[-1]
            if label in CONCLUDED and label_of_row not in CONCLUDED:
                label_of_row = label
            marks.append((row, label_of_row, is_row_critical or is_critical))
        if begins or breaks:
            first = row if begins else row + 1
            marks.append((first, label, is_critical and (is_whole or not alone)))
            if alone and is_critical and not is_whole:
                marks.append((row + alone, label, True))
        row, begins = row + breaks, ends
    return marks


def _breaks(section: Section, *, is_plain: bool) -> tuple[int, bool]:
    """Count the line breaks of a section; True if it ends with one."""
    heading, body = section.heading, section.body
    if is_plain:
        return heading.count("\n") + body.count("\n"), (body or heading).endswith("\n")
    all_lines = lines(heading + body)
    return len(all_lines) - 1, not all_lines[-1]


def _heading_lines(section: Section) -> int:
    """Count the lines that hold the heading and none of its body."""
    if not section.heading:
        return 0
    first, *rest = lines(section.body)
    return len(lines(section.heading)) - (1 if first.strip() or not rest else 0)
