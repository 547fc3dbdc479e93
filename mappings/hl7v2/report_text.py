r"""A report's text as the lines that its OBX carry, each in the section in which it begins.

HL7 v2.5.1 §2.A.79 (TX: one line a message field), §2.7.1 (escape sequences), decisions D5, D19, D22.

Read back, the lines of a report joined by LF are N(text): a section never breaks a line, for a row ends only where the
text has a line break. A line that is empty is sent as one blank, so a line of exactly one blank reads back as empty.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from mappings.dates import parse_instant
from mappings.hl7v2.datatypes import display_name
from mappings.hl7v2.er7 import escape, value
from mappings.model import Report, Section, User
from mappings.profile import Facility
from mappings.text import lines

BLANK: Final = " "
ABSENT: Final = "(AutoScribe sent no report text)"
_IMPRESSIONS: Final = frozenset({"impression", "findings_impression"})
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Stretch:
    """Lines that follow each other in one section, escaped; `is_critical`: what they say is marked as critical."""

    label: str
    is_critical: bool
    lines: list[str]


class _Everything(Container[str]):
    def __contains__(self, label: object) -> bool:
        return True


def stretches(report: Report) -> list[Stretch]:
    """The text of a report in order; a text that is absent or empty is one line that says so."""
    critical = _critical_labels(report)
    sections = report.sections or (Section("", "", report.text or ""),)
    found: list[Stretch] = []
    for section in sections:
        rows = lines(escape(section.heading + section.body))
        is_critical = section.label in critical
        alone = _heading_lines(section) if is_critical else 0
        if found and (begun := found[-1].lines.pop()):
            before = found[-1]
            found.append(
                Stretch(before.label, before.is_critical or (is_critical and not alone), [begun + rows.pop(0)])
            )
            alone = max(0, alone - 1)
        for part, marked in ((rows[:alone], False), (rows[alone:], is_critical)):
            if part:
                found.append(Stretch(section.label, marked, part))
    if found == [Stretch(found[0].label, found[0].is_critical, [""])]:
        return [Stretch("", found[0].is_critical, [ABSENT])]
    return [stretch for stretch in found if stretch.lines]


def is_absent(report: Report) -> bool:
    """True where nothing of the text is left to send."""
    return lines(report.text or "") == [""]


def _critical_labels(report: Report) -> Container[str]:
    """Sections that carry the mark of a critical report: its impression, else all; null and false assert nothing."""
    if report.is_critical is not True:
        return ()
    return _IMPRESSIONS if any(section.label in _IMPRESSIONS for section in report.sections) else _Everything()


def _heading_lines(section: Section) -> int:
    """How many lines hold the heading and nothing of what it heads."""
    if not section.heading:
        return 0
    breaks = len(lines(section.heading)) - 1
    return breaks if lines(section.body)[0].strip() else breaks + 1


def header(report: Report, user: User | None, facility: Facility | None) -> str:
    """The line above a report that is restated with others: kind, time in the site's zone or UTC, signer (D19)."""
    kind = "ADDENDUM" if report.is_addendum else "REPORT"
    moment = parse_instant(report.signed_at)
    when = _spoken(moment, facility) if moment else "time of signing not known"
    signer = display_name(user) if user else ""
    return value(f"{kind} ({when}{', ' if signer else ''}{signer}):")


def _spoken(moment: datetime, facility: Facility | None) -> str:
    zone = facility.time_zone if facility else None
    try:
        local = moment.astimezone(zone or UTC)
    except OverflowError:
        zone, local = None, moment.astimezone(UTC)
    offset = f"{local:%z}"[:5] if zone else "UTC"
    return f"{local.day:02d}-{_MONTHS[local.month - 1]}-{local.year:04d} {local:%H:%M} {offset}"
