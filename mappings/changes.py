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

Only another value is a change, never that nothing is said (null, blank or no field): the study to map has what was said
last, with an issue. This goes for the fields of signed reports and for those of the study that decide what is sent.
Unsigned reports are mapped as they came.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from mappings.dates import reading_order
from mappings.issues import MappingIssue
from mappings.model import Cause, CauseKind, Facts, Report, Snapshot, Study
from mappings.orders import orders
from mappings.profile import Site
from mappings.status import is_shown_draft, is_withdrawn, refusal
from mappings.subjects import Person, Subject, are_two_people, subjects
from mappings.text import normal_form


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
    is another: a move, not a correction (D13).
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
    before = _in_order(before or replace(now, reports=()))
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


def _look(before: Study, now: Study, site: Site, known: Known) -> tuple[_Look, list[MappingIssue]]:
    study, issues = _kept(before, _in_order(now), site, known.cancelled)
    old = {report.report_id: report for report in before.reports}
    said = tuple(_with_last_said(old.get(report.report_id), report) for report in study.reports)
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


def _in_order(study: Study) -> Study:
    """The study with its reports in reading order: who they are about depends on it."""
    ordered = tuple(sorted(study.reports, key=reading_order))
    return study if ordered == study.reports else replace(study, reports=ordered)


def _kept(before: Study, now: Study, site: Site, cancelled: AbstractSet[str]) -> tuple[Study, list[MappingIssue]]:
    """The study as it came, with each signed report as it was said last, and with the reports not listed."""
    vanished = _vanished_of_study(before, now, site)
    action = "no longer said: stays as it was"
    issues = [MappingIssue("study-value-not-visible", "warning", f"/{_key(name)}", action) for name in vanished]
    old = {report.report_id: report for report in before.reports}
    reports = [_last_signed(old.get(report.report_id), report, issues) for report in now.reports]
    listed = {report.report_id for report in reports}
    for report in before.reports:
        if report.report_id not in listed and not _is_cancelled(report, now, cancelled):
            pointer = f"/reports/{len(reports)}"
            reports.append(replace(report, pointer=pointer))
            issues.append(MappingIssue("report-not-visible", "warning", pointer, "no longer listed: stays as it was"))
    issues += _left_orders(before, now, site)
    if not issues:
        return now, issues
    signers = {one.user_id for one in reports}
    known = {user_id: user for user_id, user in before.users.items() if user_id in signers}
    return _in_order(replace(now, reports=tuple(reports), users={**known, **now.users}, **vanished)), issues


def _left_orders(before: Study, now: Study, site: Site) -> Iterator[MappingIssue]:
    """An issue where another accession number stands for one under which a signed report may have been filed."""
    was, stays = (orders(one, site, _NO_FACTS)[0] for one in (before, now))
    numbers = {order.accession_number for order in stays} - {""}
    left = {order.accession_number for order in was} - numbers
    if before.completed and numbers and left - {""}:
        action = f"{len(left)} accession numbers are no longer said: what was filed under them alone stays as it was"
        yield MappingIssue("order-not-visible", "error", was[0].pointer, action)


def _last_signed(was: Report | None, report: Report, issues: list[MappingIssue]) -> Report:
    if was is None or not was.is_completed:
        return report
    if not report.is_completed:
        action = "it was signed: stays at its last signed version"
        issues.append(MappingIssue("signed-report-unsigned", "warning", f"{report.pointer}/status", action))
        return replace(was, pointer=report.pointer)
    kept = _with_last_said(was, report)
    if kept is not report:
        keys = [_key(name) for name in _REPORT_FIELDS if getattr(kept, name) != getattr(report, name)]
        pairs = [(name, getattr(kept.snapshot, name), getattr(report.snapshot, name)) for name in _SNAPSHOT_FIELDS]
        keys += [f"snapshotMetadata/{_key(name)}" for name, one, other in pairs if one != other]
        pointer = f"{report.pointer}/{keys[0]}" if len(keys) == 1 else report.pointer
        action = f"no longer said, stays as it was signed: {', '.join(keys)}"
        issues.append(MappingIssue("signed-value-not-visible", "warning", pointer, action))
    return kept


_KEYS: Final = {"text": "reportPlainText"}
_REPORT_FIELDS: Final = ("text", "is_critical", "created_at", "signed_at", "updated_at")
_SNAPSHOT_FIELDS: Final = tuple(field.name for field in fields(Snapshot))


def _key(name: str) -> str:
    """The wire's name of a field of the model."""
    first, *others = name.split("_")
    return _KEYS.get(name) or first + "".join(map(str.title, others))


def _is_said(value: object) -> bool:
    return bool(normal_form(value).strip()) if isinstance(value, str) else value is not None


def _words(text: str | None) -> str:
    return " ".join(normal_form(text or "").split())


def _is_other(was: str | None, now: str | None) -> bool:
    """True for another text than before; false where either says nothing."""
    return bool(_words(was) and _words(now)) and _words(was) != _words(now)


def _vanished(was: object, now: object, names: Iterable[str]) -> dict[str, Any]:
    """What was said under these names and is no longer."""
    return {name: getattr(was, name) for name in names if _is_said(getattr(was, name)) > _is_said(getattr(now, name))}


def _vanished_of_study(before: Study, now: Study, site: Site) -> dict[str, Any]:
    """What is no longer said of the study and decides what is sent; a number only together with whose it is."""
    names = ["is_cancelled", "study_type"]
    customers = (one.express_customer.express_customer_id if one.express_customer else None for one in (before, now))
    if not _is_other(*customers) and not _is_other(before.external_patient_id, now.external_patient_id):
        names += ["external_patient_id", "express_customer"]
    vanished = _vanished(before, now, names)
    keys = {*site.accession_keys, *site.placer_keys}
    numbers = {key: text for key, text in before.metadata.items() if key in keys and _is_said(text)}
    metadata = {**numbers, **{key: text for key, text in now.metadata.items() if key not in numbers or _is_said(text)}}
    return vanished if metadata == now.metadata else {**vanished, "metadata": metadata}


def _with_last_said(was: Report | None, report: Report) -> Report:
    """The report with what it said before and no longer says; a signature makes nothing of a draft its own."""
    if was is None or was.is_completed != report.is_completed:
        return report
    kept = _vanished(was, report, _REPORT_FIELDS)
    if "text" in kept:
        kept["sections"] = was.sections
    snapshot = (
        {}
        if _is_somebody_else(was.snapshot, report.snapshot)
        else _vanished(was.snapshot, report.snapshot, _SNAPSHOT_FIELDS)
    )
    if snapshot:
        kept["snapshot"] = replace(report.snapshot, **snapshot)
    return replace(report, **kept) if kept else report


def _is_somebody_else(was: Snapshot, now: Snapshot) -> bool:
    """True where a snapshot names another patient, or a facility without the patient's number in it.

    What was said before is then nothing to fill it with.
    """
    is_number_gone = not _is_said(now.mrn) and _is_other(was.facility_name, now.facility_name)
    return is_number_gone or _is_other(was.mrn, now.mrn) or are_two_people(_person(was), _person(now))


def _person(snapshot: Snapshot) -> Person:
    return Person(*map(_words, (snapshot.date_of_birth, snapshot.sex, snapshot.patient_name)))


def _is_cancelled(report: Report, now: Study, cancelled: AbstractSet[str]) -> bool:
    """An addendum not listed: an open one is cancelled once the study is no longer `addendum_active`."""
    if report.is_completed:
        return report.is_addendum and report.report_id in cancelled
    return report.is_addendum and now.study_report_status not in ("addendum_active", None)


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
    return normal_form(report.text or "") if _is_said(report.text) else ""


def _patient(study: Study, report: Report) -> tuple[str, ...]:
    """What is said of a report's patient; white space alone makes no other patient (D13)."""
    snapshot = report.snapshot
    said = snapshot.mrn, snapshot.patient_name, snapshot.date_of_birth, snapshot.sex, study.external_patient_id
    return tuple(map(_words, said))


def _moved(look: _Look) -> set[str]:
    """The reports that are about another identity than before, under the site as it is now (D7, D11), or renumbered."""
    was = subjects(look.before, look.before.reports, look.site, look.facts_before)
    now = subjects(look.said, look.said.reports, look.site, look.facts)
    reports = {report.report_id for report in look.study.reports} & was.keys()
    return {one for one in reports if _is_at(was[one]) != _is_at(now[one])}


def _is_at(subject: Subject) -> tuple[str, str]:
    """Under what a patient's reports are filed."""
    return subject.identity.patient_id, subject.number
