"""What happened to a study between two looks at it: the causes of v2 messages, and which signed reports changed.

HL7 v2.5.1 table 0123 (why a result is sent again), decisions D13, D16, D20, D21, D22.

| cause | when |
|---|---|
| `signed`, `addendum_signed` | a report is signed for the first time, of a study that is not withdrawn |
| `text_changed` | N(text) of a signed report is another |
| `critical_changed` | a signed report is called critical, or no longer; null at the signature asserts nothing |
| `patient_changed` | a signed report speaks of its patient otherwise: a field of the patient, or the identity |
| `addendum_cancelled` | a signed addendum is known to be cancelled |
| `withdrawn`, `reinstated` | a study with signed reports is cancelled or no longer, where the site withdraws |
| `draft` | an unsigned report that the site lets out has new text or another patient, or its study is uncancelled |
| `draft_cancelled` | an addendum that was let out unsigned is gone; a draft's study is cancelled, the site withdraws |

A report has one cause a look, the first of these that holds: a message always says all of its report. Nothing else
queues a message: no other field of study or snapshot, no user, no release, no setting (D20). `draft_cancelled` concerns
only who was sent the draft, and what is there in its place. Where the site holds, a cancelled study says nothing of its
drafts either: what was sent of them stands, unsigned as it is (D21).

Only another value is a change, never that nothing is said: `mappings.last_said` keeps what was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from mappings.dates import reading_order
from mappings.issues import MappingIssue
from mappings.last_said import in_order, kept, with_last_said, words
from mappings.model import Cause, CauseKind, Facts, Report, Study
from mappings.patients import is_of_another
from mappings.profile import Site
from mappings.status import is_shown_draft, is_withdrawn, refusal
from mappings.subjects import Subject, subjects
from mappings.text import is_said, normal_form


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a study beside how it was seen last.

    `cancelled` are ids of signed addenda that an operator knows to be cancelled: only not being listed does not take a
    signed report back (D21). All else is as the look before left it (`Change.known`).
    """

    corrected: frozenset[str] = frozenset()
    cancelled: frozenset[str] = frozenset()
    version: str = ""
    seen: tuple[str, ...] = ()
    gone: tuple[Report, ...] = ()


_NOTHING: Final = Known()
_NO_FACTS: Final = Facts()
_NOWHERE: Final = "/reports/-"  # RFC 6901 §4: no report of the document


@dataclass(frozen=True, slots=True)
class Change:
    """What a look at a study found.

    `study` is the study to map, and `before` of the next look: what came, with the reports and the values that a look
    must not take back. Reports that did not come stand behind the others, also by their pointers. `causes` are in the
    order in which they must be sent, none with `sent_before`: what was sent is the feed's to know. `corrected`, `seen`
    and `gone` are for Facts: `seen` has the ids of all reports ever seen signed, in the order in which they were (of
    one look, in reading order), `gone` the reports that are no longer there, as they were said last. `version` is that
    of the content, other with every cause; `moved` are ids of reports that were told of and whose patient, or number,
    is another: a move, not a correction (D13). So it is where the number is the same, and two fields of the patient
    contradict what was said before.
    """

    study: Study
    causes: tuple[Cause, ...]
    corrected: frozenset[str] = frozenset()
    version: str = ""
    moved: frozenset[str] = frozenset()
    issues: tuple[MappingIssue, ...] = ()
    seen: tuple[str, ...] = ()
    gone: tuple[Report, ...] = ()

    @property
    def known(self) -> Known:
        """What the next look must know of this one."""
        return Known(self.corrected, version=self.version, seen=self.seen, gone=self.gone)

    @property
    def is_move(self) -> bool:
        """True where a signed report has got another patient identity: its lane is held (D13)."""
        return bool(self.moved)


@dataclass(frozen=True, slots=True)
class _Look:
    """The study as it was and as it is to be mapped, with the ids of what was seen signed by then.

    `said` is the study to be mapped with what its unsigned reports said last: what they are compared by.
    """

    before: Study
    study: Study
    said: Study
    facts_before: Facts
    facts: Facts
    site: Site


def changes(before: Study | None, now: Study, site: Site, known: Known = _NOTHING) -> Change:
    """What happened between two looks at one study; `before` is None at the first."""
    before = in_order(before or replace(now, reports=()))
    look, issues = _look(before, now, site, known)
    old = {report.report_id: report for report in before.reports}
    moved = _moved(look)
    found: list[tuple[Report, CauseKind]] = []
    changed: set[str] = set()
    reports = () if refusal(look.study) else zip(look.study.reports, look.said.reports, strict=True)
    for report, said in reports:
        was = old.get(report.report_id)
        is_other = was is not None and (report.report_id in moved or _patient(before, was) != _patient(look.said, said))
        kind = _changed(was, said, is_other=is_other)
        if was is not None and _may_be_sent(was, site) and kind:
            changed.add(report.report_id)
        kind = _told(look, was, report, kind)
        found += [(report, kind)] if kind else []
    found += _gone(look)
    version = _version(known.version, look.study) if found else known.version
    ordered = sorted(found, key=lambda pair: reading_order(pair[0]))
    return Change(
        study=look.study,
        causes=tuple(Cause(report.report_id, kind, version) for report, kind in ordered),
        corrected=known.corrected | {one for one in changed if old[one].is_completed},
        version=version,
        moved=frozenset(changed & moved),
        issues=tuple(issues),
        seen=look.facts.seen,
        gone=look.facts.gone,
    )


def told(study: Study, cause: Cause, report_ids: Iterable[str]) -> str:
    """A digest of what a message tells of its reports, of all that can cause one (D20).

    Two messages under the same number that agree in it tell a receiver the same, whatever was sent before them.
    """
    reports = {one.report_id: one for one in study.reports}
    about = tuple(report_ids)
    found = [reports[one] for one in about if one in reports]
    said = [
        (one.report_id, one.is_completed, one.is_critical is True, _patient(study, one), _text(one)) for one in found
    ]
    which = (cause.part, cause.accession_number, cause.document, "" if about else cause.report_id)
    text = repr((study.study_id, bool(study.is_cancelled), which, said))
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _look(before: Study, now: Study, site: Site, known: Known) -> tuple[_Look, list[MappingIssue]]:
    study, issues = kept(before, in_order(now), site, known.cancelled)
    old = {report.report_id: report for report in before.reports}
    said = tuple(with_last_said(old.get(report.report_id), report) for report in study.reports)
    earlier = _with(known.seen, before.completed)
    listed = {report.report_id for report in study.reports}
    left = [replace(was, pointer=_NOWHERE) for was in before.reports if _may_be_sent(was, site)]
    gone = {report.report_id: report for report in (*known.gone, *left) if report.report_id not in listed}
    look = _Look(
        before=before,
        study=study,
        said=study if said == study.reports else replace(study, reports=said),
        facts_before=Facts(seen=earlier, gone=known.gone),
        facts=Facts(seen=_with(earlier, study.completed), gone=tuple(gone.values())),
        site=site,
    )
    return look, issues


def _with(seen: tuple[str, ...], reports: Iterable[Report]) -> tuple[str, ...]:
    """What was seen signed, with these reports behind it."""
    return tuple(dict.fromkeys((*seen, *(report.report_id for report in reports))))


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


def _gone(look: _Look) -> Iterator[tuple[Report, CauseKind]]:
    """The cancelled addenda that somebody may have been told of, unless they are withdrawn already."""
    if is_withdrawn(look.before, look.site):
        return
    listed = {report.report_id for report in look.study.reports}
    for was in look.before.reports:
        if was.report_id not in listed and _may_be_sent(was, look.site):
            yield was, "addendum_cancelled" if was.is_completed else "draft_cancelled"


def _may_be_sent(was: Report, site: Site) -> bool:
    """True for what somebody may have been told of: what is signed, and a draft, though it says nothing by now."""
    return was.is_completed or (site.send_drafts and was.status == "in_progress")


def _changed(was: Report | None, report: Report, *, is_other: bool) -> CauseKind | None:
    """What is new about a report, the most telling first; None if it says what it said."""
    if not report.is_completed:
        is_new = was is None or _text(was) != _text(report)
        return "draft" if is_new or is_other else None
    if was is None or not was.is_completed:
        return "addendum_signed" if report.is_addendum else "signed"
    if _text(was) != _text(report):
        return "text_changed"
    if (was.is_critical is True) != (report.is_critical is True):
        return "critical_changed"
    return "patient_changed" if is_other else None


def _told(look: _Look, was: Report | None, report: Report, kind: CauseKind | None) -> CauseKind | None:
    """What of it is sent: of a draft, what the site lets out; of a withdrawn study that alone, and once (D21)."""
    site, was_cancelled = look.site, bool(look.before.is_cancelled)
    if is_withdrawn(look.study, site):
        return None if was is None or was_cancelled else _withdrawn(was, site)
    if report.is_completed:
        is_reinstated = was is not None and was.is_completed and is_withdrawn(look.before, site)
        return "reinstated" if is_reinstated else kind
    if look.study.is_cancelled or not is_shown_draft(report, site):
        return None
    return "draft" if was_cancelled else kind


def _withdrawn(was: Report, site: Site) -> CauseKind | None:
    """What is taken back of a report of a study that is cancelled now."""
    if not _may_be_sent(was, site):
        return None
    return "withdrawn" if was.is_completed else "draft_cancelled"


def _text(report: Report) -> str:
    """N(text), empty where it is blank."""
    return normal_form(report.text or "") if is_said(report.text) else ""


def _patient(study: Study, report: Report) -> tuple[str, ...]:
    """What is said of a report's patient; white space alone makes no other patient (D13)."""
    snapshot = report.snapshot
    said = snapshot.mrn, snapshot.patient_name, snapshot.date_of_birth, snapshot.sex, study.external_patient_id
    return tuple(map(words, said))


def _moved(look: _Look) -> set[str]:
    """The reports that are about somebody else than before, under the site as it is now (D7, D11), or renumbered.

    Somebody else is another identity, or under the same one a patient of whom two fields contradict what was said.
    """
    was = subjects(look.before, look.before.reports, look.site, look.facts_before)
    said = in_order(look.said)  # an instant that is no longer said moves nobody
    now = subjects(said, said.reports, look.site, look.facts)
    reports = {report.report_id for report in look.study.reports} & was.keys()
    return {
        one
        for one in reports
        if _is_at(was[one]) != _is_at(now[one]) or is_of_another(was[one].snapshot, now[one].snapshot, look.site)
    }


def _is_at(subject: Subject) -> tuple[str, str]:
    """Under what a patient's reports are filed."""
    return subject.identity.patient_id, subject.number
