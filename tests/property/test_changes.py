"""Laws of what causes a v2 message, on anything the upstream may send (D7, D16, D20, D21)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from fakes.wire_strategies import studies
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings import decode
from mappings.changes import Known, changes
from mappings.model import Report, Study
from mappings.profile import Site

LIMITS = settings(max_examples=60, deadline=timedelta(seconds=5))
SITES = st.builds(
    Site,
    send_drafts=st.booleans(),
    on_cancelled_after_sign=st.sampled_from(("hold", "withdraw")),
    site_key=st.just(b"k"),
)


@st.composite
def two_looks(draw: st.DrawFn) -> tuple[Study, Study]:
    """A study, and the same with some of its reports gone, unsigned or with what another study says of them."""
    first = decode(*draw(studies()))
    second = decode(*draw(studies()))
    reports = [report for report in first.reports if draw(st.booleans())]
    known = {report.report_id for report in first.reports}
    changed = [_changed(draw, report, second) for report in reports]
    added = [replace(one, study_id=first.study_id) for one in second.reports if one.report_id not in known]
    now = replace(
        first,
        reports=tuple(sorted((*changed, *added), key=lambda one: (one.is_addendum, one.report_id))),
        is_cancelled=draw(st.sampled_from((True, False, None))),
        external_patient_id=draw(st.sampled_from((first.external_patient_id, second.external_patient_id))),
        study_report_status=draw(st.sampled_from(("completed", "addendum_active", None))),
        users={**first.users, **second.users},
    )
    return first, now


def _changed(draw: st.DrawFn, report: Report, other: Study) -> Report:
    if not other.reports or draw(st.booleans()):
        return report
    source = draw(st.sampled_from(other.reports))
    taken: dict[str, Any] = {
        name: getattr(source, name)
        for name in ("status", "is_critical", "signed_at", "text", "snapshot")
        if draw(st.booleans())
    }
    return replace(report, **taken)


@LIMITS
@given(two_looks(), SITES)
def test_the_same_study_twice_finds_nothing_new(looks: tuple[Study, Study], site: Site) -> None:
    first, now = looks
    change = changes(changes(None, first, site).study, now, site)
    known = Known(change.corrected, version=change.version)
    again = changes(change.study, now, site, known)
    assert again == replace(change, causes=(), moved=frozenset())
    kept = changes(change.study, change.study, site, known)
    assert (kept.causes, kept.study, kept.issues) == ((), change.study, ())


@LIMITS
@given(two_looks(), SITES, st.randoms())
def test_the_order_of_reports_is_of_no_account(looks: tuple[Study, Study], site: Site, random: Any) -> None:
    first, now = looks
    shuffled = [list(study.reports) for study in looks]
    for reports in shuffled:
        random.shuffle(reports)
    mixed = changes(replace(first, reports=tuple(shuffled[0])), replace(now, reports=tuple(shuffled[1])), site)
    change = changes(first, now, site)
    assert mixed.corrected == change.corrected
    assert [(one.kind, one.report_id) for one in mixed.causes] == [(one.kind, one.report_id) for one in change.causes]


@LIMITS
@given(two_looks(), SITES)
def test_a_signed_report_is_never_lost_and_never_unsigned(looks: tuple[Study, Study], site: Site) -> None:
    first, now = looks
    signed = {report.report_id for report in changes(first, now, site).study.completed}
    assert {report.report_id for report in first.completed} <= signed
    assert {report.report_id for report in now.completed} <= signed


@LIMITS
@given(two_looks(), SITES)
def test_causes_name_each_report_once_originals_first(looks: tuple[Study, Study], site: Site) -> None:
    first, now = looks
    causes = changes(first, now, site).causes
    assert len({cause.report_id for cause in causes}) == len(causes)
    known = {one.report_id: one.is_addendum for one in (*first.reports, *now.reports)}
    marks = [known[cause.report_id] for cause in causes]
    assert marks == sorted(marks)
