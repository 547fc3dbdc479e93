"""Sort a patient's reports by newest text, and find the critical flags that an addendum shows for its original.

HL7 v2.5.1 §7.4.2.8 (the flag of an OBX), decisions D17, D19, D22, D36. No alert points to a sentence that was taken
back: where a message has later addenda to a critical report, the flag of that report stands also on the lines of the
newest of them. An addendum is known to be about an original that is the only one, or whose text it contains, and about
another addendum to the same original, or whose text it contains.
"""

from __future__ import annotations

from collections.abc import Sequence

from mappings.model import Report
from mappings.values.dates import version_instant
from mappings.values.text import is_merged


def newest_first(reports: Sequence[Report]) -> list[Report]:
    """Put reports in the order of display: addenda, the newest first, then originals as they come (D19).

    `reports` are in reading order. A report whose text changed after an addendum was signed stands before it.
    """
    ordered = [report for report in reversed(reports) if report.is_addendum]
    ordered += [report for report in reports if not report.is_addendum]
    for report in [one for one in ordered if one.text_changed_at]:
        is_before = ordered.index(report)
        older = [place for place, one in enumerate(ordered[:is_before]) if one.is_addendum and _is_newer(report, one)]
        if older:
            ordered.insert(older[0], ordered.pop(is_before))
    return ordered


def changed_after_addendum(report: Report, peers: Sequence[Report]) -> bool:
    """True for a signed original whose text changed after an addendum (to it or to an unknown report) was signed."""
    if report.is_addendum or not report.text_changed_at:
        return False
    return any(_is_newer(report, one) for one in peers if one.is_addendum and one.is_completed)


def is_followed(report: Report, peers: Sequence[Report]) -> bool:
    """True for a signed addendum that a newer one, or a later change of an original, follows."""
    if not (report.is_addendum and report.is_completed):
        return False
    newest = newest_first([one for one in peers if one.is_completed])
    return newest[0].report_id != report.report_id if newest else False


def flags_shown(reports: Sequence[Report], peers: Sequence[Report]) -> dict[str, list[Report]]:
    """Return the critical reports whose flag an addendum's lines also show, by the addendum's id.

    `reports` are those of a message, `peers` all reports about the same patient, both in reading order. An addendum
    that is critical itself needs no other flag.
    """
    critical = [one for one in peers if one.is_critical is True and one.is_completed]
    addenda = [one for one in newest_first(reports) if one.is_addendum and one.is_completed] if critical else []
    shown: dict[str, list[Report]] = {}
    for report in critical if addenda else ():
        newest = next((one for one in addenda if _follows(one, report, peers)), None)
        if newest is not None and newest.is_critical is not True:
            shown.setdefault(newest.report_id, []).append(report)
    return shown


def _follows(addendum: Report, report: Report, peers: Sequence[Report]) -> bool:
    """True for an addendum that is later than a report and certainly about it."""
    order = [one.report_id for one in newest_first(peers)]
    is_behind = order.index(addendum.report_id) < order.index(report.report_id)
    if not is_behind or (not report.is_addendum and _is_newer(report, addendum)):
        return False
    originals = [one for one in peers if one.is_completed and not one.is_addendum]
    if len(originals) == 1 or is_merged(report.text, addendum.text):
        return True
    both = (report.text, addendum.text)
    return report.is_addendum and any(all(is_merged(one.text, text) for text in both) for one in originals)


def _is_newer(report: Report, addendum: Report) -> bool:
    """True if a report's text is known to be newer than an addendum's."""
    one, other = version_instant(report), version_instant(addendum)
    return one is not None and other is not None and one > other
