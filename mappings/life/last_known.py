"""Keep the last known values of a study when AutoScribe no longer lists a report or no longer gives a value.

AutoScribe REST API (null, blank and absent fields), decisions D16, D17 and D21. Only a different value is a change,
never a missing one: the study to map keeps the last value, with an issue. This holds for the fields of signed reports,
and for study fields that decide what is sent. Unsigned reports are mapped unchanged. A signed report also keeps when
its text changed: at a new signature, else at the first `updatedAt` with the text. If that did not move, the change has
no known time. It came after all that was signed at the last look: the moment at which the gateway read the text first
stands in, with an issue, or the signature of an addendum that was signed since: that one may be the last word, and
stays in front.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import fields, replace
from datetime import datetime
from itertools import count
from typing import Any, Final

from mappings.issues import MappingIssue
from mappings.model import Facts, Report, Snapshot, Study
from mappings.patient.people import contradicts, is_contradicted, said_of
from mappings.profile import Site
from mappings.study.orders import orders
from mappings.values.dates import fhir_instant, parse_instant, reading_order, second_after, version_instant
from mappings.values.text import is_said, normal_form

_NO_FACTS: Final = Facts()


def in_order(study: Study) -> Study:
    """Sort the study's reports in reading order; the choice of their patients depends on it."""
    ordered = tuple(sorted(study.reports, key=reading_order))
    return study if ordered == study.reports else replace(study, reports=ordered)


def kept(
    before: Study, now: Study, site: Site, cancelled: AbstractSet[str], at: datetime | None
) -> tuple[Study, list[MappingIssue]]:
    """Complete a new study from its last version: values of signed reports, and reports no longer listed.

    `at` is when the gateway read the new study.
    """
    vanished = _vanished_of_study(before, now, site)
    action = "no longer said: stays as it was"
    issues = [MappingIssue("study-value-not-visible", "warning", f"/{_key(name)}", action) for name in vanished]
    old = {report.report_id: report for report in before.reports}
    stand_in = _stand_in(before, now, at)
    reports = [_last_signed(old.get(report.report_id), report, site, stand_in, issues) for report in now.reports]
    listed = {report.report_id for report in reports}
    unused = count(1 + max([_index(report) for report in now.reports], default=-1))
    for report in before.reports:
        if report.report_id not in listed and not _is_cancelled(report, now, cancelled):
            pointer = f"/reports/{next(unused)}"
            reports.append(replace(report, pointer=pointer))
            issues.append(MappingIssue("report-not-visible", "warning", pointer, "no longer listed: stays as it was"))
    issues += _left_orders(before, now, site)
    if not issues and all(map(operator.is_, reports, now.reports)):
        return now, issues
    signers = {one.user_id for one in reports}
    known = {user_id: user for user_id, user in before.users.items() if user_id in signers}
    return in_order(replace(now, reports=tuple(reports), users={**known, **now.users}, **vanished)), issues


def _index(report: Report) -> int:
    """Return a report's place in AutoScribe's list, where a report listed twice leaves a gap."""
    return int(report.pointer.rpartition("/")[2])


def _left_orders(before: Study, now: Study, site: Site) -> Iterator[MappingIssue]:
    """Yield an issue if accession numbers changed while a signed report may be filed under an old one."""
    if not before.completed:
        return
    was, stays = (orders(one, site, _NO_FACTS)[0] for one in (before, now))
    numbers = {order.accession_number for order in stays} - {""}
    left = {order.accession_number for order in was} - numbers
    if numbers and left - {""}:
        action = f"{len(left)} accession numbers are no longer said: what was filed under them alone stays as it was"
        yield MappingIssue("order-not-visible", "error", was[0].pointer, action)


def _last_signed(was: Report | None, report: Report, site: Site, stand_in: str, issues: list[MappingIssue]) -> Report:
    """Fill in the missing values of a signed report from its last signed version, and keep the spelling of its MRN."""
    if was is None or not was.is_completed:
        return report
    if not report.is_completed:
        action = "it was signed: stays at its last signed version"
        issues.append(MappingIssue("signed-report-unsigned", "warning", f"{report.pointer}/status", action))
        return replace(was, pointer=report.pointer)
    whole = with_last_said(was, report)
    if whole is not report:
        keys = [_key(name) for name in _REPORT_FIELDS if getattr(whole, name) != getattr(report, name)]
        pairs = [(name, getattr(whole.snapshot, name), getattr(report.snapshot, name)) for name in _SNAPSHOT_FIELDS]
        keys += [f"snapshotMetadata/{_key(name)}" for name, one, other in pairs if one != other]
        pointer = f"{report.pointer}/{keys[0]}" if len(keys) == 1 else report.pointer
        action = f"no longer said, stays as it was signed: {', '.join(keys)}"
        issues.append(MappingIssue("signed-value-not-visible", "warning", pointer, action))
    if _is_respelled(was.snapshot, whole.snapshot, site):
        action = "the same number in another spelling stays as it was, unless mrn_pattern refuses it and takes this one"
        issues.append(MappingIssue("mrn-respelled", "warning", f"{report.snapshot_pointer}/mrn", action))
        whole = replace(whole, snapshot=replace(whole.snapshot, mrn=was.snapshot.mrn))
    whole = _with_text_change(was, whole, stand_in)
    if whole.text_changed_at == "" or not whole.is_change_dated:
        action = "the text changed after the signature, and no newer updatedAt says when: by when it was first read"
        issues.append(MappingIssue("text-change-undated", "warning", f"{report.pointer}/updatedAt", action))
    return whole


def _is_respelled(was: Snapshot, now: Snapshot, site: Site) -> bool:
    """True if only the spelling of one facility's number differs, such as zeros: that moves no patient (D12)."""
    facilities = [site.facility(one.facility_name) or words(one.facility_name) for one in (was, now)]
    if words(was.mrn) == words(now.mrn) or facilities[0] != facilities[1]:
        return False
    before, after = said_of(was, site), said_of(now, site)
    is_better = before.is_doubtful and not after.is_doubtful
    return before.mrn == after.mrn != "" and not is_better and not contradicts(before, after)


def _with_text_change(was: Report, whole: Report, stand_in: str) -> Report:
    """Note when the text of a signed report changed; `stand_in` if nothing dates the change.

    Later values of `updatedAt` than the first may be of other changes. A moment that is no later than what was known of
    the report is not of the new text.
    """
    if text_of(was) == text_of(whole):
        if was.text_changed_at is None:
            return whole
        return replace(whole, text_changed_at=was.text_changed_at, is_change_dated=was.is_change_dated)
    for said, before in ((whole.signed_at, was.signed_at), (whole.updated_at, was.updated_at)):
        moment, known = parse_instant(said), filter(None, (parse_instant(before), version_instant(was)))
        if moment and all(moment > one for one in known):
            return replace(whole, text_changed_at=said)
    return replace(whole, text_changed_at=stand_in, is_change_dated=False)


def _stand_in(before: Study, now: Study, at: datetime | None) -> str:
    """Return an instant in place of the unknown time of a change; empty if no instant is known at all."""
    known = {report.report_id for report in before.completed}
    newest = max(filter(None, map(version_instant, before.completed)), default=None)
    since = [version_instant(one) for one in now.completed if one.is_addendum and one.report_id not in known]
    read = min(filter(None, (at, *since)), default=None)
    stand_in = max(filter(None, (read, newest and second_after(newest))), default=None)
    return fhir_instant(stand_in) if stand_in else ""


_KEYS: Final = {"text": "reportPlainText"}
_REPORT_FIELDS: Final = ("text", "is_critical", "created_at", "signed_at", "updated_at")
_SNAPSHOT_FIELDS: Final = tuple(field.name for field in fields(Snapshot))


def _key(name: str) -> str:
    """Return the wire name of a model field."""
    first, *others = name.split("_")
    return _KEYS.get(name) or first + "".join(map(str.title, others))


def text_of(report: Report) -> str:
    """Return N(text); empty if it is blank."""
    return normal_form(report.text or "") if is_said(report.text) else ""


def words(text: str | None) -> str:
    """Normalize a text for comparison: N(text) with a single blank for any white space."""
    return " ".join(normal_form(text or "").split())


def _is_other(was: str | None, now: str | None) -> bool:
    """True if the text changed; False if either side is blank."""
    return bool(words(was) and words(now)) and words(was) != words(now)


def _vanished(was: object, now: object, names: Iterable[str]) -> dict[str, Any]:
    """Return the fields that had a value before and have none now, with the old values."""
    return {name: getattr(was, name) for name in names if is_said(getattr(was, name)) > is_said(getattr(now, name))}


def _vanished_of_study(before: Study, now: Study, site: Site) -> dict[str, Any]:
    """Return the vanished study fields that decide what is sent, with old values; numbers only with their issuer."""
    names = ["is_cancelled", "study_type"]
    customers = (one.express_customer.express_customer_id if one.express_customer else None for one in (before, now))
    if not _is_other(*customers) and not _is_other(before.external_patient_id, now.external_patient_id):
        names += ["external_patient_id", "express_customer"]
    vanished = _vanished(before, now, names)
    keys = {*site.accession_keys, *site.placer_keys, *site.vista.exam_keys, *site.vista.case_keys}
    numbers = {key: text for key, text in before.metadata.items() if key in keys and is_said(text)}
    metadata = {**numbers, **{key: text for key, text in now.metadata.items() if key not in numbers or is_said(text)}}
    return vanished if metadata == now.metadata else {**vanished, "metadata": metadata}


def with_last_said(was: Report | None, report: Report) -> Report:
    """Fill in a report's missing values from its last version; a signed report takes none from its draft."""
    if was is None or was.is_completed != report.is_completed:
        return report
    gone = _vanished(was, report, _REPORT_FIELDS)
    if "text" in gone:
        gone["sections"] = was.sections
    snapshot = (
        {}
        if _is_somebody_else(was.snapshot, report.snapshot)
        else _vanished(was.snapshot, report.snapshot, _SNAPSHOT_FIELDS)
    )
    if snapshot:
        gone["snapshot"] = replace(report.snapshot, **snapshot)
    return replace(report, **gone) if gone else report


def _is_somebody_else(was: Snapshot, now: Snapshot) -> bool:
    """True if a snapshot names another patient, or another facility without the patient's number there.

    The old values must then not be filled in.
    """
    is_number_gone = not is_said(now.mrn) and _is_other(was.facility_name, now.facility_name)
    return is_number_gone or is_contradicted(was, now)


def _is_cancelled(report: Report, now: Study, cancelled: AbstractSet[str]) -> bool:
    """True for an unlisted addendum that is cancelled: an open one once the study is no longer `addendum_active`."""
    if report.is_completed:
        return report.is_addendum and report.report_id in cancelled
    return report.is_addendum and now.study_report_status not in ("addendum_active", None)
