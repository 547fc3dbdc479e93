"""What happened to a study between two looks at it: the causes of v2 messages, and which signed reports changed.

HL7 v2.5.1 table 0123 (why a result is sent again), decisions D13, D16, D20, D21, D22.

| cause | when |
|---|---|
| `signed`, `addendum_signed` | a report is signed for the first time, of a study that is not withdrawn |
| `text_changed` | N(text) of a signed report is another |
| `critical_changed` | a signed report is called critical, or no longer: null and false both assert nothing |
| `patient_changed` | a signed report speaks of its patient otherwise: a field of the patient, or the identity |
| `addendum_cancelled` | an addendum whose draft was let out is gone, or a signed one is known to be cancelled |
| `withdrawn`, `reinstated` | a study with signed reports is cancelled or no longer, where the site withdraws |
| `draft` | an unsigned report that the site lets out has new text or another patient |

A report has one cause a look, the first of these that holds: a message always says all of its report. Nothing else
queues a message: no other field of study or snapshot, no user, no release, no setting (D20).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Final

from mappings.dates import reading_order
from mappings.issues import MappingIssue
from mappings.model import Cause, CauseKind, Report, Study
from mappings.profile import Site
from mappings.status import is_shown_draft, refusal
from mappings.subjects import subjects
from mappings.text import normal_form


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a study beside how it was seen last.

    `corrected` and `version` are those of the look before. `cancelled` are ids of signed addenda that an operator knows
    to be cancelled: only not being listed does not take a signed report back (D21).
    """

    corrected: frozenset[str] = frozenset()
    cancelled: frozenset[str] = frozenset()
    version: str = ""


_NOTHING: Final = Known()


@dataclass(frozen=True, slots=True)
class Change:
    """What a look at a study found.

    `study` is the study to map, and `before` of the next look: what came, with the reports that a look must not take
    back. Those that did not come stand behind the others, also by their pointers. `causes` are in the order in which
    they must be sent, none with `sent_before`: what was sent is the feed's to know. `corrected` is for Facts.corrected.
    `version` is that of the content, other with every cause; `moved` are ids of signed reports whose patient is another
    identity: a move, not a correction (D13).
    """

    study: Study
    causes: tuple[Cause, ...]
    corrected: frozenset[str] = frozenset()
    version: str = ""
    moved: frozenset[str] = frozenset()
    issues: tuple[MappingIssue, ...] = ()

    @property
    def is_move(self) -> bool:
        """True where a signed report has got another patient identity: its lane is held (D13)."""
        return bool(self.moved)


@dataclass(frozen=True, slots=True)
class _Look:
    """The study as it was and as it is to be mapped."""

    before: Study
    study: Study
    site: Site


def changes(before: Study | None, now: Study, site: Site, known: Known = _NOTHING) -> Change:
    """What happened between two looks at one study; `before` is None at the first."""
    before = _in_order(before or replace(now, reports=()))
    study, issues = _kept(before, _in_order(now), known.cancelled)
    old = {report.report_id: report for report in before.reports}
    look = _Look(before, study, site)
    moved = _moved(look)
    found: list[tuple[Report, CauseKind]] = []
    changed: set[str] = set()
    for report in study.reports if refusal(study) is None else ():
        was = old.get(report.report_id)
        is_other = was is not None and (report.report_id in moved or _patient(before, was) != _patient(study, report))
        kind = _changed(was, report, is_other=is_other)
        if was is not None and was.is_completed and kind:
            changed.add(report.report_id)
        kind = _told(look, was, report, kind)
        found += [(report, kind)] if kind else []
    found += [(was, "addendum_cancelled") for was in _gone(look)]
    version = _version(known.version, study) if found else known.version
    ordered = sorted(found, key=lambda pair: reading_order(pair[0]))
    return Change(
        study=study,
        causes=tuple(Cause(report.report_id, kind, version) for report, kind in ordered),
        corrected=known.corrected | changed,
        version=version,
        moved=frozenset(changed & moved),
        issues=tuple(issues),
    )


def _version(before: str, study: Study) -> str:
    """A digest of all that can cause a message, and of the version before: another cause, another MSH-10.

    A text that is changed back and forth has a version of its own each time.
    """
    reports = [
        (one.report_id, one.status, one.is_critical, one.signed_at, one.updated_at, _patient(study, one), one.text)
        for one in study.reports
    ]
    said = repr((before, study.study_id, bool(study.is_cancelled), reports))
    return hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()


def _in_order(study: Study) -> Study:
    """The study with its reports in reading order: who they are about depends on it."""
    ordered = tuple(sorted(study.reports, key=reading_order))
    return study if ordered == study.reports else replace(study, reports=ordered)


def _kept(before: Study, now: Study, cancelled: AbstractSet[str]) -> tuple[Study, list[MappingIssue]]:
    """The study as it came, with each signed report at its last signed version, and with the reports not listed."""
    issues: list[MappingIssue] = []
    old = {report.report_id: report for report in before.reports}
    reports = [_last_signed(old.get(report.report_id), report, issues) for report in now.reports]
    listed = {report.report_id for report in reports}
    for report in before.reports:
        if report.report_id not in listed and not _is_cancelled(report, now, cancelled):
            pointer = f"/reports/{len(reports)}"
            reports.append(replace(report, pointer=pointer))
            issues.append(MappingIssue("report-not-visible", "warning", pointer, "no longer listed: stays as it was"))
    if not issues:
        return now, issues
    signers = {one.user_id for one in reports}
    known = {user_id: user for user_id, user in before.users.items() if user_id in signers}
    return _in_order(replace(now, reports=tuple(reports), users={**known, **now.users})), issues


def _last_signed(was: Report | None, report: Report, issues: list[MappingIssue]) -> Report:
    if was is None or report.is_completed or not was.is_completed:
        return report
    action = "it was signed: stays at its last signed version"
    issues.append(MappingIssue("signed-report-unsigned", "warning", f"{report.pointer}/status", action))
    return replace(was, pointer=report.pointer)


def _is_cancelled(report: Report, now: Study, cancelled: AbstractSet[str]) -> bool:
    """An addendum not listed: an open one is cancelled once the study is no longer `addendum_active`."""
    if report.is_completed:
        return report.is_addendum and report.report_id in cancelled
    return report.is_addendum and now.study_report_status not in ("addendum_active", None)


def _gone(look: _Look) -> Iterator[Report]:
    """The cancelled addenda that somebody may have been told of."""
    listed = {report.report_id for report in look.study.reports}
    for was in look.before.reports:
        if was.report_id not in listed and (was.is_completed or is_shown_draft(was, look.site)):
            yield was


def _changed(was: Report | None, report: Report, *, is_other: bool) -> CauseKind | None:
    """What is new about a report, the most telling first; None if it says what it said."""
    if not report.is_completed:
        is_new = was is None or normal_form(was.text or "") != normal_form(report.text or "")
        return "draft" if is_new or is_other else None
    if was is None or not was.is_completed:
        return "addendum_signed" if report.is_addendum else "signed"
    if normal_form(was.text or "") != normal_form(report.text or ""):
        return "text_changed"
    if (was.is_critical is True) != (report.is_critical is True):
        return "critical_changed"
    return "patient_changed" if is_other else None


def _told(look: _Look, was: Report | None, report: Report, kind: CauseKind | None) -> CauseKind | None:
    """What of it is sent: of a draft, what the site lets out; of a withdrawn study that alone, and once (D21)."""
    if not report.is_completed:
        return kind if is_shown_draft(report, look.site) and not look.study.is_cancelled else None
    if look.site.on_cancelled_after_sign != "withdraw":
        return kind
    is_known = was is not None and was.is_completed
    if look.study.is_cancelled:
        return "withdrawn" if is_known and not look.before.is_cancelled else None
    return "reinstated" if is_known and look.before.is_cancelled else kind


def _patient(study: Study, report: Report) -> tuple[str, ...]:
    """What is said of a report's patient; white space alone makes no other patient (D13)."""
    snapshot = report.snapshot
    fields = snapshot.mrn, snapshot.patient_name, snapshot.date_of_birth, snapshot.sex, study.external_patient_id
    return tuple(" ".join((text or "").split()) for text in fields)


def _moved(look: _Look) -> set[str]:
    """The reports that are about another identity than before, under the site as it is now (D7, D11)."""
    was, now = (subjects(one, one.reports, look.site) for one in (look.before, look.study))
    reports = {report.report_id for report in look.study.reports} & was.keys()
    return {one for one in reports if was[one].identity.patient_id != now[one].identity.patient_id}
