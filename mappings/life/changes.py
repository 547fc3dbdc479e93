"""Compare a study with its last ingested version: find changed reports, and the causes of HL7 v2 messages.

HL7 v2.5.1 table 0123 (why a result is sent again), decisions D13, D16, D20, D21, D22.

| cause | when |
|---|---|
| `signed`, `addendum_signed` | a report is signed for the first time, and its study is not withdrawn |
| `text_changed` | N(text) of a signed report differs |
| `critical_changed` | a signed report becomes critical or stops being so; null at the signature asserts nothing |
| | or an addendum has other flagged lines since another report changed |
| `patient_changed` | a patient field of a signed report, or its patient identity, differs |
| `addendum_cancelled` | a signed addendum is known to be cancelled |
| `withdrawn`, `reinstated` | signed reports of a cancelled study are withdrawn, by site or operator; or reinstated |
| `draft` | an unsigned report that the site publishes has new text or another patient, or its study is uncancelled |
| `draft_cancelled` | a published draft addendum is gone; or a draft's study is cancelled, and the site withdraws |

A report has at most one cause per ingest: the first of these that holds, since a message always carries the whole
report. Nothing else queues a message: no other field of study or snapshot, no user, no release, no setting (D20).
`draft_cancelled` concerns only receivers of the draft, and its replacement. Where the site does not withdraw, a
cancelled study sends nothing about its drafts either: drafts already sent stand, unsigned (D21).

Only a different value is a change, never a missing one: `mappings.life.last_known` keeps the last value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal

from mappings.issues import MappingIssue
from mappings.life.last_known import in_order, kept, text_of, with_last_said, words
from mappings.life.status import is_shown_draft, is_withdrawn, refusal
from mappings.model import Cause, CauseKind, Facts, MergedNumber, Report, StatedNumber, Study, Withdrawal
from mappings.patient.merged import given_way, identified, of_other_numbers
from mappings.patient.people import is_of_another
from mappings.patient.subjects import Subject, subjects
from mappings.profile import Site
from mappings.study.conclusion import flagged, passages
from mappings.study.newest_word import flags_shown
from mappings.values.dates import reading_order, version_instant
from mappings.values.text import is_said


@dataclass(frozen=True, slots=True)
class Known:
    """Stored facts about a study, beside its last version.

    `cancelled` are ids of signed addenda that an operator withdrew: a signed report is not withdrawn just because
    it is not listed (D21). `is_withdrawn` is True if an operator withdrew the cancelled study's signed reports,
    `was_withdrawn` if one had at the previous ingest. `withdrawal` is that of `Facts`, now and then. `merged` are the
    numbers that gave way by now, of the patients before and now: a merge is no other patient (D48). `at` is when the
    gateway read the new version. The other fields are those of the previous ingest (`Change.known`).
    """

    corrected: frozenset[str] = frozenset()
    cancelled: frozenset[str] = frozenset()
    version: str = ""
    seen: tuple[str, ...] = ()
    gone: tuple[Report, ...] = ()
    merged: tuple[MergedNumber, ...] = ()
    merged_before: tuple[MergedNumber, ...] = ()
    old_numbers: tuple[StatedNumber, ...] = ()
    is_withdrawn: bool = False
    was_withdrawn: bool = False
    withdrawal: Withdrawal = ""
    withdrawal_before: Withdrawal = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CancelledReport:
    """Signed report that AutoScribe cancelled (D21): its `study`, or the addendum itself (`report`).

    `version` is a digest of what its messages tell: an operator who leaves the report leaves this version.
    """

    report_id: str
    what: Literal["study", "report"]
    version: str
    is_critical: bool


_NOTHING: Final = Known()
_NO_FACTS: Final = Facts()
_NOWHERE: Final = "/reports/-"  # RFC 6901 §4: no report of the document


@dataclass(frozen=True, slots=True)
class Change:
    """Result of comparing a study with its last version.

    `study` is the study to map, and the `before` of the next ingest: the new version with the reports and values that
    must not be lost. Reports that were not listed come last, also by their pointers. `causes` are in the order in which
    they must be sent. None has `sent_before`: only the feed knows what was sent. `corrected`, `seen`, `gone`, `merged`
    and `old_numbers` go into Facts. `seen` has the ids of all reports ever seen signed, in that order (reading order
    within one ingest). `gone` has the reports that are no longer listed, in their last version. `version` is a digest
    of the content and differs with every cause. `moved` are ids of sent reports whose patient or number is another: a
    move, not a correction (D13). A report also moves if the number is the same and two fields of the patient contradict
    the old ones. `cancelled` are the signed reports that AutoScribe cancelled, withdrawn or not; `is_withdrawn` and
    `withdrawal` go into Facts.
    """

    study: Study
    causes: tuple[Cause, ...]
    corrected: frozenset[str] = frozenset()
    version: str = ""
    moved: frozenset[str] = frozenset()
    issues: tuple[MappingIssue, ...] = ()
    seen: tuple[str, ...] = ()
    gone: tuple[Report, ...] = ()
    merged: tuple[MergedNumber, ...] = ()
    old_numbers: tuple[StatedNumber, ...] = ()
    cancelled: tuple[CancelledReport, ...] = ()
    is_withdrawn: bool = False
    withdrawal: Withdrawal = ""

    @property
    def known(self) -> Known:
        """Facts that the next ingest needs; merges of this one stay unless there are newer ones."""
        earlier = Known(self.corrected, version=self.version, seen=self.seen, gone=self.gone)
        earlier = replace(earlier, is_withdrawn=self.is_withdrawn, was_withdrawn=self.is_withdrawn)
        earlier = replace(earlier, withdrawal=self.withdrawal, withdrawal_before=self.withdrawal)
        return replace(earlier, merged=self.merged, merged_before=self.merged, old_numbers=self.old_numbers)

    @property
    def is_move(self) -> bool:
        """True if a signed report has another patient identity: its lane is held (D13)."""
        return bool(self.moved)


@dataclass(frozen=True, slots=True)
class _Look:
    """Study before and after, with the ids of the reports that were seen signed.

    `said` is the study to map, with the last values of its unsigned reports filled in: for comparison only.
    """

    before: Study
    study: Study
    said: Study
    facts_before: Facts
    facts: Facts
    site: Site

    @property
    def was_withdrawn(self) -> bool:
        """True if the earlier study's reports were withdrawn; an operator's decision since then counts as a change."""
        is_new = self.facts.is_withdrawn and not self.facts_before.is_withdrawn
        return not is_new and is_withdrawn(self.before, self.site, self.facts_before)


def changes(before: Study | None, now: Study, site: Site, known: Known = _NOTHING) -> Change:
    """Compare two versions of one study; `before` is None for a new study."""
    before = in_order(before or replace(now, reports=()))
    look, issues = _look(before, now, site, known)
    old = {report.report_id: report for report in before.reports}
    moved = _moved_reports(look)
    pairs: list[tuple[Report, CauseKind]] = []
    changed: set[str] = set()
    reports = () if refusal(look.study) else zip(look.study.reports, look.said.reports, strict=True)
    for report, filled in reports:
        was = old.get(report.report_id)
        is_other = was is not None and (report.report_id in moved or _is_other_patient(look, was, filled))
        kind = _change_of(was, filled, is_other=is_other)
        if was is not None and _may_be_sent(was, site) and kind:
            changed.add(report.report_id)
        kind = _cause_to_send(look, was, report, kind)
        pairs += [(report, kind)] if kind else []
    pairs += _cancelled_addenda(look)
    pairs += _flagged_otherwise(look, {report.report_id for report, _ in pairs})
    version = _version(known.version, look.study) if pairs else known.version
    ordered = sorted(pairs, key=lambda pair: reading_order(pair[0]))
    return Change(
        study=look.study,
        causes=tuple(Cause(report.report_id, kind, version) for report, kind in ordered),
        corrected=known.corrected | {one for one in changed if old[one].is_completed},
        version=version,
        moved=frozenset(changed & moved),
        issues=tuple(issues),
        seen=look.facts.seen,
        gone=look.facts.gone,
        merged=look.facts.merged,
        old_numbers=look.facts.old_numbers,
        cancelled=tuple(_cancelled_reports(look.study, frozenset(report.report_id for report in now.reports))),
        is_withdrawn=look.facts.is_withdrawn,
        withdrawal=look.facts.withdrawal,
    )


def carried_digest(study: Study, cause: Cause, report_ids: Iterable[str], *, is_withdrawn: bool = False) -> str:
    """Return a digest of the facts about these reports that a message carries and whose change causes one (D20).

    Two messages under the same number with the same digest tell a receiver the same. `is_withdrawn` is that of `Facts`:
    a withdrawal never tells the same as a message that was sent while the cancelled study still stood.
    """
    reports = {one.report_id: one for one in study.reports}
    about = tuple(report_ids)
    present = [reports[one] for one in about if one in reports]
    facts = [
        (one.report_id, one.is_completed, one.is_critical is True, _patient(study, one), text_of(one))
        for one in present
    ]
    which = (cause.part, cause.accession_number, cause.document, "" if about else cause.report_id)
    shown = flags_shown(present, study.completed).items()
    others = [(key, one.report_id) for key, flags in shown for one in flags if one.report_id not in about]
    more = (*others, *(["withdrawn"] if is_withdrawn else []))
    text = repr((study.study_id, bool(study.is_cancelled), which, facts, *more))
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _cancelled_reports(study: Study, listed: frozenset[str]) -> Iterator[CancelledReport]:
    """Yield the signed reports of a cancelled study; of any other, the addenda that are no longer listed with it."""
    if refusal(study):
        return
    for report in study.completed:
        is_gone = report.is_addendum and bool(listed) and report.report_id not in listed
        if study.is_cancelled or is_gone:
            said = repr((text_of(report), report.is_critical is True, _patient(study, report)))
            version = hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()
            what: Literal["study", "report"] = "study" if study.is_cancelled else "report"
            yield CancelledReport(report.report_id, what, version, report.is_critical is True)


def _look(before: Study, now: Study, site: Site, known: Known) -> tuple[_Look, list[MappingIssue]]:
    renumbered = _renumbered(before, now, site, Facts(merged=known.merged))
    study, issues = kept(renumbered, in_order(now), site, known.cancelled, known.at)
    old = {report.report_id: report for report in renumbered.reports}
    filled = tuple(with_last_said(old.get(report.report_id), report) for report in study.reports)
    earlier = _ids_with(known.seen, before.completed)
    listed = {report.report_id for report in study.reports}
    left = [replace(was, pointer=_NOWHERE) for was in before.reports if _may_be_sent(was, site)]
    gone = {report.report_id: report for report in (*known.gone, *left) if report.report_id not in listed}
    then = Facts(seen=earlier, gone=known.gone, merged=known.merged_before, old_numbers=known.old_numbers)
    merges = Facts(merged=known.merged, old_numbers=_old_numbers(before, site, then, known))
    withdrawn = known.is_withdrawn and bool(study.is_cancelled)
    facts = replace(merges, seen=_ids_with(earlier, study.completed), gone=tuple(gone.values()), is_withdrawn=withdrawn)
    facts = replace(facts, withdrawal=known.withdrawal if study.is_cancelled else "")
    then = replace(merges, seen=earlier, gone=known.gone, is_withdrawn=known.was_withdrawn)
    look = _Look(
        before=before,
        study=study,
        said=study if filled == study.reports else replace(study, reports=filled),
        facts_before=replace(then, withdrawal=known.withdrawal_before),
        facts=facts,
        site=site,
    )
    return look, issues


def _renumbered(before: Study, now: Study, site: Site, merges: Facts) -> Study:
    """Return the earlier study with the MRNs of the new one, where only a merge changed them."""
    if not merges.merged:
        return before
    new = {report.report_id: report for report in now.reports}

    def renumbered(was: Report) -> Report:
        report = new.get(was.report_id, was)
        if report.snapshot.mrn == was.snapshot.mrn or not is_said(report.snapshot.mrn):
            return was
        is_same = _numbers(before, was, site, merges) == _numbers(before, report, site, merges)
        return replace(was, snapshot=replace(was.snapshot, mrn=report.snapshot.mrn)) if is_same else was

    return replace(before, reports=tuple(map(renumbered, before.reports)))


def _old_numbers(before: Study, site: Site, then: Facts, known: Known) -> tuple[StatedNumber, ...]:
    """Return the patients' stored numbers that were merged since; `then` are the facts of that time."""
    if not known.merged:
        return known.old_numbers
    about = subjects(before, before.reports, site, then).values()
    numbers = (number for subject in dict.fromkeys(about) for number in subject.identity.identifiers)
    return given_way(numbers, Facts(merged=known.merged, old_numbers=known.old_numbers))


def _ids_with(seen: tuple[str, ...], reports: Iterable[Report]) -> tuple[str, ...]:
    """Add the ids of these reports to those seen signed."""
    return tuple(dict.fromkeys((*seen, *(report.report_id for report in reports))))


def _version(before: str, study: Study) -> str:
    """Return a digest of every field that can cause a message, and of the previous version, for MSH-10.

    A text that is changed back and forth gets a new version each time.
    """
    reports = [
        (one.report_id, one.status, one.is_critical, one.signed_at, one.updated_at, _patient(study, one), one.text)
        for one in study.reports
    ]
    content = repr((before, study.study_id, bool(study.is_cancelled), reports))
    return hashlib.sha256(content.encode("utf-8", "replace")).hexdigest()


def _cancelled_addenda(look: _Look) -> Iterator[tuple[Report, CauseKind]]:
    """Yield the cancelled addenda that a receiver may have, except those withdrawn already."""
    if is_withdrawn(look.before, look.site, look.facts_before):
        return
    listed = {report.report_id for report in look.study.reports}
    for was in look.before.reports:
        if was.report_id not in listed and _may_be_sent(was, look.site):
            yield was, "addendum_cancelled" if was.is_completed else "draft_cancelled"


def _flagged_otherwise(look: _Look, caused: AbstractSet[str]) -> Iterator[tuple[Report, CauseKind]]:
    """Yield addenda whose flagged lines changed because another report did: some receivers have them separately."""
    both = (*look.before.completed, *look.study.completed)
    is_silent = refusal(look.study) or is_withdrawn(look.study, look.site, look.facts)
    if is_silent or not any(report.is_critical for report in both) or not any(report.is_addendum for report in both):
        return
    before, now = _flagged(look.before, look.site, look.facts_before), _flagged(look.study, look.site, look.facts)
    for report in look.study.completed:
        is_other = report.report_id in before and before[report.report_id] != now[report.report_id]
        if is_other and report.report_id not in caused:
            yield report, "critical_changed"


def _flagged(study: Study, site: Site, facts: Facts) -> dict[str, tuple[object, ...]]:
    """Return, by report id, the flagged passages of each signed addendum and the reports whose flags it shows."""
    found: dict[str, tuple[object, ...]] = {}
    about = subjects(study, study.completed, site, facts)
    for report in (one for one in study.completed if one.is_addendum):
        peers = about[report.report_id].reports
        shown = flags_shown([report], peers).get(report.report_id, [])
        parts = passages(report, peers) if shown or report.is_critical else ()
        whose = [(one.report_id, version_instant(one)) for one in shown]
        found[report.report_id] = (whose, [parts[place].text for place in sorted(flagged(parts))])
    return found


def _may_be_sent(was: Report, site: Site) -> bool:
    """True for a report that a receiver may have: signed, or a draft even if its text is gone."""
    return was.is_completed or (site.send_drafts and was.status == "in_progress")


def _change_of(was: Report | None, report: Report, *, is_other: bool) -> CauseKind | None:
    """Return the most important change of a report; None if nothing changed."""
    if not report.is_completed:
        is_new = was is None or text_of(was) != text_of(report)
        return "draft" if is_new or is_other else None
    if was is None or not was.is_completed:
        return "addendum_signed" if report.is_addendum else "signed"
    if text_of(was) != text_of(report):
        return "text_changed"
    if (was.is_critical is True) != (report.is_critical is True):
        return "critical_changed"
    return "patient_changed" if is_other else None


def _cause_to_send(look: _Look, was: Report | None, report: Report, kind: CauseKind | None) -> CauseKind | None:
    """Choose the cause to send: drafts only if the site publishes them; each withdrawal once (D21)."""
    site = look.site
    if is_withdrawn(look.study, site, look.facts):
        return None if was is None or look.was_withdrawn else _withdrawn(was, site)
    if report.is_completed:
        is_reinstated = was is not None and was.is_completed and look.was_withdrawn
        return "reinstated" if is_reinstated else kind
    if look.study.is_cancelled or not is_shown_draft(report, site):
        return None
    return "draft" if look.before.is_cancelled else kind


def _withdrawn(was: Report, site: Site) -> CauseKind | None:
    """Cause that withdraws a report of a cancelled study; None for a report that no receiver can have."""
    if not _may_be_sent(was, site):
        return None
    return "withdrawn" if was.is_completed else "draft_cancelled"


def _patient(study: Study, report: Report) -> tuple[str, ...]:
    """Return the patient fields of a report with white space normalized, which makes no other patient (D13)."""
    snapshot = report.snapshot
    fields = snapshot.mrn, snapshot.patient_name, snapshot.date_of_birth, snapshot.sex, study.external_patient_id
    return tuple(map(words, fields))


def _is_other_patient(look: _Look, was: Report, now: Report) -> bool:
    """True if a patient field differs, other than by a merge of numbers (D48)."""
    before, after = _patient(look.before, was), _patient(look.said, now)
    if before == after or not look.facts.merged:
        return before != after
    numbers = [_numbers(*one, look.site, look.facts) for one in ((look.before, was), (look.said, now))]
    return (numbers[0], before[1:-1]) != (numbers[1], after[1:-1])


def _numbers(study: Study, report: Report, site: Site, merges: Facts) -> tuple[str, ...]:
    """Return the numbers of a report's patient, after merges."""
    identity = identified(study, report.snapshot, site, report.snapshot_pointer, merges)
    return tuple([words(one.value) for one in identity.identifiers if one.type and not one.is_old])


def _moved_reports(look: _Look) -> set[str]:
    """Return the reports whose patient or number is another than before, by the present settings (D7, D11).

    Another patient is another identity, or two patient fields that contradict the old ones under the same identity.
    """
    known = {report.report_id for report in (*look.before.reports, *look.facts_before.gone)}
    if known.isdisjoint(report.report_id for report in look.study.reports):
        return set()
    before = subjects(look.before, look.before.reports, look.site, look.facts_before)
    filled = in_order(look.said)  # a missing instant moves no report
    after = subjects(filled, filled.reports, look.site, look.facts)
    reports = {report.report_id for report in look.study.reports} & before.keys()
    return {
        one
        for one in reports
        if _is_at(before[one]) != _is_at(after[one])
        or is_of_another(before[one].snapshot, after[one].snapshot, look.site)
    }


def _is_at(subject: Subject) -> tuple[str, str]:
    """Return the key under which a receiver files a patient's reports: Patient id and number."""
    return subject.identity.patient_id, subject.number


@dataclass(frozen=True, slots=True)
class GaveWay:
    """Reports whose patient's number was merged, with the ids of the replaced and of the surviving Patients.

    A Patient is listed at the first ingest that knows of its merge, and at no later one; but anew once a doubt about
    the merge has passed.
    """

    report_ids: frozenset[str] = frozenset()
    patient_ids: frozenset[str] = frozenset()
    survivor_ids: frozenset[str] = frozenset()


NOBODY: Final = GaveWay()


def gave_way(before: Study, then: Facts, now: Study, facts: Facts, site: Site) -> GaveWay:
    """Return the merges since the study's last ingest, whose facts were `then`."""
    if not facts.merged:
        return NOBODY
    known = {
        one.patient_id
        for subject in subjects(before, before.reports, site, then).values()
        for one in subject.identity.replaced
    }
    about = subjects(now, now.reports, site, facts)
    new = {
        report.report_id: frozenset(one.patient_id for one in of_other_numbers(about[report.report_id].identity))
        - known
        for report in now.reports
    }
    reports = frozenset(report_id for report_id, gone in new.items() if gone)
    survivors = frozenset(about[one].identity.patient_id for one in reports)
    return GaveWay(reports, frozenset[str]().union(*new.values()), survivors)
