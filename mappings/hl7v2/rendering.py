"""Which reports one cause sends to a receiver, under which filler order number, and as what: final, corrected, added.

HL7 v2.5.1 tables 0123 and 0085, decisions D12, D16-D21, D31. By the receiver's switch `addendum`:

| switch | a signature, `F` | any other cause, `C` |
|---|---|---|
| `replace` | everything signed; `C` once anything was sent | everything signed |
| `append` | the report alone; `A` once anything was sent, before that an addendum goes with everything | everything |
| `new_order` | an original: all originals, under the study's number; an addendum alone, under its own | as signed |

So the filler order number of a report never depends on the order in which reports are signed. Drafts (D16) are sent as
`P` while nothing of the study is signed; in `new_order` also an open addendum, under its own number. What is withdrawn
is said as it was, as `W`; an addendum that is gone and had a number of its own is withdrawn without its text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from mappings.issues import MappingIssue
from mappings.model import Cause, Facts, Report, Study
from mappings.profile import Receiver, Site
from mappings.status import (
    STATUS,
    Status,
    addendum_parent,
    is_shown_draft,
    is_withdrawn,
    obr_25,
    refusal,
    report_status,
)
from mappings.subjects import Subject, subjects
from mappings.text import is_merged

_SIGNATURES: Final = frozenset({"signed", "addendum_signed"})


@dataclass(frozen=True, slots=True)
class Rendering:
    """What one message is about: `subject` with the reports that it carries, `lead`, whose order and examination it is.

    `number` is the upstream id that its filler order number is made of, `parent_number` that of the order it adds to,
    or empty. `is_whole`: nothing else that stands under its number is left to be said.
    """

    subject: Subject
    lead: Report
    number: str
    status: Status
    is_whole: bool = True
    parent_number: str = ""
    issues: tuple[MappingIssue, ...] = ()


class _Asked(NamedTuple):
    """What is asked: the arguments of the mapping."""

    study: Study
    cause: Cause
    site: Site
    receiver: Receiver
    facts: Facts


def rendering(study: Study, cause: Cause, site: Site, receiver: Receiver, facts: Facts) -> Rendering | MappingIssue:
    """What a cause sends to a receiver, or why it sends nothing."""
    asked = _Asked(study, cause, site, receiver, facts)
    report = next((one for one in study.reports if one.report_id == cause.report_id), None)
    if issue := refusal(study):
        return issue
    if cause.kind == "addendum_cancelled" and study.completed:
        made = _signed(asked, report if report and report.is_completed else None)
    elif report is None:
        return MappingIssue("report-absent", "error", "/reports", "the report that caused the message is not there")
    elif cause.kind == "draft":
        made = _draft(asked, report)
    elif report.is_completed:
        made = _signed(asked, report)
    else:
        return MappingIssue("report-not-signed", "information", f"{report.pointer}/status", "nothing sent in v2")
    return made if isinstance(made, MappingIssue) else _as_received(made, site, receiver)


def _as_received(made: Rendering, site: Site, receiver: Receiver) -> Rendering | MappingIssue:
    """The rendering with the receiver's codes, or why the receiver is not sent it."""
    if site.on_conflict == "hold" and any(issue.code == "identity-conflict" for issue in made.issues):
        action = "the site's on_conflict asks to hold it: nothing sent in v2"
        return MappingIssue("identity-conflict-held", "error", made.subject.pointer, action)
    status = obr_25(made.status, receiver)
    if status is None:
        action = f"the receiver's status_map has no code for {made.status.obr_25}, {made.status.obx_11}: nothing sent"
        return MappingIssue("status-not-received", "warning", f"{made.lead.pointer}/status", action)
    return made if status is made.status else replace(made, status=status)


def _signed(asked: _Asked, report: Report | None) -> Rendering | MappingIssue:
    """What is said of signed reports; `report` is None where it was an addendum that is no longer there."""
    study, cause = asked.study, asked.cause
    known = subjects(study, study.completed, asked.site, asked.facts.taken_patient_ids)
    subject = known.get(cause.report_id, known[study.study_id])
    lead = _newest_original(subject.reports)
    row = _row(asked)
    if row is None:
        action = "the study was withdrawn before anything was sent: nothing sent in v2"
        return MappingIssue("withdrawn-unsent", "information", "/isCancelled", action)
    issues = subject.issues
    if report is not None:
        doubts = report_status(study, report, asked.site, asked.facts)[1]
        issues = (*issues, *doubts, *addendum_parent(study, report)[1])
    made = Rendering(subject, lead, subject.number, row, issues=issues)
    if asked.receiver.addendum == "append" and cause.kind in _SIGNATURES and report is not None:
        return _appended(made, report, cause)
    if asked.receiver.addendum == "new_order":
        if report is None and not cause.sent_before and asked.receiver.send_drafts == "off":
            return MappingIssue("withdrawn-unsent", "information", "/reports", "nothing of the addendum was sent")
        return _own_order(made, report, asked)
    merged = _merged(subject.reports)
    return replace(made, issues=(*issues, *merged)) if merged else made


def _row(asked: _Asked) -> Status | None:
    """The row of the table; None where a study is withdrawn of which nothing was sent."""
    if asked.cause.kind == "withdrawn":
        return STATUS["withdrawn"]
    if is_withdrawn(asked.study, asked.site):
        return STATUS["withdrawn"] if asked.cause.sent_before else None
    return STATUS["restated" if asked.cause.sent_before else "signed"]


def _appended(made: Rendering, report: Report, cause: Cause) -> Rendering:
    """A signature where addenda are appended: alone, but an addendum to what was never sent (D31) with everything."""
    if made.status is STATUS["withdrawn"] or (report.is_addendum and not cause.sent_before):
        return made
    row = STATUS["added"] if cause.sent_before else made.status
    return replace(made, subject=replace(made.subject, reports=(report,)), status=row, is_whole=False)


def _own_order(made: Rendering, report: Report | None, asked: _Asked) -> Rendering:
    """Addenda as orders of their own, below the order of the original if there is just one."""
    if report is not None and not report.is_addendum:
        originals = tuple(one for one in made.subject.reports if not one.is_addendum)
        return replace(made, subject=replace(made.subject, reports=originals))
    return replace(
        made,
        subject=replace(made.subject, reports=(report,) if report is not None else ()),
        number=asked.cause.report_id,
        parent_number=_parent_number(asked.study, made.subject),
        status=made.status if report is not None else STATUS["withdrawn"],
    )


def _draft(asked: _Asked, report: Report) -> Rendering | MappingIssue:
    """What is said of unsigned reports, if anything; never that they are critical (D16)."""
    study, site, place = asked.study, asked.site, f"{report.pointer}/status"
    if study.is_cancelled or asked.receiver.send_drafts == "off" or not is_shown_draft(report, site):
        return MappingIssue("report-not-signed", "information", place, "no draft is sent in v2")
    has_own_order = _is_addendum_apart(report, asked.receiver)
    if asked.cause.sent_before or (study.completed and not has_own_order):
        return MappingIssue("draft-after-final", "information", place, "a signed report was sent: no draft follows it")
    shown = [replace(one, is_critical=None) for one in study.reports if is_shown_draft(one, site)]
    known = subjects(study, (*study.completed, *shown), site, asked.facts.taken_patient_ids)
    subject = known[report.report_id]
    carried = [one for one in shown if not _is_addendum_apart(one, asked.receiver)]
    if has_own_order:
        carried = [one for one in shown if one.report_id == report.report_id]
    if any(known[one.report_id] is not subject for one in carried):
        action = "the study has drafts about several people: none is sent"
        return MappingIssue("draft-patient-unclear", "warning", place, action)
    return Rendering(
        subject=replace(subject, reports=tuple(carried)),
        lead=_newest_original(subject.reports),
        number=report.report_id if has_own_order else subject.number,
        status=STATUS["draft_shown"],
        parent_number=_parent_number(study, subject) if has_own_order else "",
        issues=(*subject.issues, *report_status(study, report, site, asked.facts)[1]),
    )


def _is_addendum_apart(report: Report, receiver: Receiver) -> bool:
    """True for an addendum that has an order of its own."""
    return receiver.addendum == "new_order" and report.is_addendum


def _newest_original(reports: Sequence[Report]) -> Report:
    return next((one for one in reversed(reports) if not one.is_addendum), reports[-1])


def _parent_number(study: Study, subject: Subject) -> str:
    """The number of the order that an addendum adds to, if the study has one signed original (D17)."""
    originals = [one for one in study.completed if not one.is_addendum]
    return subject.number if len(originals) == 1 and originals[0] in subject.reports else ""


def _merged(reports: Sequence[Report]) -> list[MappingIssue]:
    """Addenda that hold the whole text of an original: both are said, since every completed report is (D17, D19)."""
    originals = [one for one in reports if not one.is_addendum]
    return [
        MappingIssue(
            "addendum-merged",
            "information",
            f"{one.pointer}/reportPlainText",
            "the addendum holds its report whole: sent twice",
        )
        for one in reports
        if one.is_addendum and any(is_merged(original.text, one.text) for original in originals)
    ]
