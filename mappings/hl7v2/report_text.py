r"""A report's text as the lines that its OBX carry, each in the section in which it begins, and what stands above it.

HL7 v2.5.1 §2.7.1 (escape sequences), decisions D5, D16, D19, D21, D22.

The lines of a report joined by LF are N(text): a section never breaks a line, for a row ends only where the text has a
line break. What becomes of them in OBX-5: `mappings/hl7v2/obx_values.py`.
"""

from __future__ import annotations

from collections.abc import Container
from datetime import UTC, datetime
from typing import Final, NamedTuple

from mappings.hl7v2.er7 import NOT_NULL, NULL, escape, value
from mappings.model import Report, Section
from mappings.profile import Facility
from mappings.text import lines

ABSENT: Final = "(AutoScribe sent no report text)"
NOT_SIGNED: Final = "PRELIMINARY REPORT - NOT SIGNED"
WITHDRAWN: Final = "VOID - THIS REPORT WAS WITHDRAWN"
_PLAIN_ASCII: Final = bytes([ord("\n"), *range(32, 127)])
_IMPRESSIONS: Final = frozenset({"impression", "findings_impression"})
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Stretch(NamedTuple):
    """Lines that follow each other in one section, escaped; `is_critical`: what they say is marked as critical."""

    label: str
    is_critical: bool
    lines: list[str]


class _Everything(Container[str]):
    def __contains__(self, label: object) -> bool:
        return True


def stretches(report: Report, *, is_plain: bool) -> list[Stretch]:
    """The text of a report in order; a text that is absent or empty is one line that says so.

    `is_plain` is what `has_plain_lines` says of the text: it saves looking at each line again.
    """
    text = report.text or ""
    rows = escape(text).split("\n") if is_plain else lines(escape(text))
    marks = _marks(report, is_plain=is_plain)
    if not (text if is_plain else "".join(rows)).strip():
        rows = [ABSENT]
    if '"' in text and NULL in rows:
        rows = [NOT_NULL if row == NULL else row for row in rows]
    ends = [*[mark[0] for mark in marks[1:]], len(rows)]
    found = [
        Stretch(label, is_critical, rows[start:end])
        for (start, label, is_critical), end in zip(marks, ends, strict=True)
        if start < end
    ]
    if report.is_critical and not _is_marked(found):
        return [Stretch(stretch.label, True, stretch.lines) for stretch in found]
    return found


def _is_marked(found: list[Stretch]) -> bool:
    """True where a line that says something is marked as critical; an impression may be a heading and nothing else."""
    return any(stretch.is_critical and any(map(str.strip, stretch.lines)) for stretch in found)


def has_plain_lines(text: str) -> bool:
    """True where N(text) is the text itself and LF its only line break, as nearly always."""
    if text.isascii():
        return not text.encode().translate(None, _PLAIN_ASCII)
    return text.replace("\n", "").isprintable()


def _marks(report: Report, *, is_plain: bool) -> list[tuple[int, str, bool]]:
    """Where the section or the critical mark changes: row, label, whether what follows is marked; the first is row 0.

    A row belongs to the section in which it begins; it is marked if any of what it says is critical.
    """
    critical = _critical_labels(report)
    marks: list[tuple[int, str, bool]] = [(0, "", "" in critical)]
    row, begins = 0, True
    for section in report.sections:
        breaks, ends = _breaks(section, is_plain=is_plain)
        is_critical = section.label in critical
        alone = _heading_lines(section) if is_critical else 0
        if is_critical and not begins and not alone:
            marks.append((row, marks[-1][1], True))
        if begins or breaks:
            first = row if begins else row + 1
            marks.append((first, section.label, is_critical and not alone))
            if alone:
                marks.append((row + alone, section.label, True))
        row, begins = row + breaks, ends
    return marks


def _breaks(section: Section, *, is_plain: bool) -> tuple[int, bool]:
    """How many line breaks a section has, and whether it ends with one."""
    heading, body = section.heading, section.body
    if is_plain:
        return heading.count("\n") + body.count("\n"), (body or heading).endswith("\n")
    found = lines(heading + body)
    return len(found) - 1, not found[-1]


def _critical_labels(report: Report) -> Container[str]:
    """Sections that carry the mark of a critical report: its impression, else all; null and false assert nothing."""
    if report.is_critical is not True:
        return ()
    return _IMPRESSIONS if any(section.label in _IMPRESSIONS for section in report.sections) else _Everything()


def _heading_lines(section: Section) -> int:
    """How many lines hold the heading and nothing of what it heads."""
    if not section.heading:
        return 0
    first, *rest = lines(section.body)
    return len(lines(section.heading)) - (1 if first.strip() or not rest else 0)


def header(report: Report, moment: datetime | None, signer: str, facility: Facility | None) -> str:
    """The line above a report that is restated with others: kind, time in the site's zone or UTC, signer (D19)."""
    kind = "ADDENDUM" if report.is_addendum else "REPORT"
    when = _spoken(moment, facility) if moment else "time of signing not known"
    if not report.is_completed:
        when = "not signed"
    return value(f"{kind} ({when}{', ' if signer else ''}{signer}):")


def _spoken(moment: datetime, facility: Facility | None) -> str:
    zone = facility.time_zone if facility else None
    try:
        local = moment.astimezone(zone or UTC)
    except OverflowError:
        zone, local = None, moment.astimezone(UTC)
    offset = f"{local:%z}"[:5] if zone else "UTC"
    return f"{local.day:02d}-{_MONTHS[local.month - 1]}-{local.year:04d} {local:%H:%M} {offset}"
