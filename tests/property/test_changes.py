"""Laws of the causes of a v2 message, on anything the upstream may send and on random lives (D7, D16, D20, D21)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, get_args

from fakes.scale import examples
from fakes.wire_strategies import studies
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings import decode
from mappings.life.changes import Change, Known, changes
from mappings.model import CauseKind, ExpressCustomer, Report, Snapshot, Study
from mappings.profile import AssigningAuthority, Facility, OnCancelled, Site
from mappings.sections import cut

LIMITS = settings(max_examples=examples(60))
SITES = st.sampled_from(
    [
        Site(send_drafts=sends, on_cancelled_after_sign=policy, site_key=b"k")
        for sends in (False, True)
        for policy in get_args(OnCancelled)
    ]
)


@st.composite
def two_looks(draw: st.DrawFn) -> tuple[Study, Study]:
    """Draw a study, and a version of it with some reports gone, unsigned or with another study's values."""
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
    known = change.known
    again = changes(change.study, now, site, known)
    assert again == replace(change, causes=(), moved=frozenset())
    kept = changes(change.study, change.study, site, known)
    undated = {one for one in change.issues if one.code == "text-change-undated"}  # said as long as nothing dates it
    assert (kept.causes, kept.study, {*kept.issues}) == ((), change.study, undated)


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


TEXTS = (None, "", " \r\n", "IMPRESSION: Normal.", "IMPRESSION: Embolism.")
SNAPSHOT: dict[str, tuple[str | None, ...]] = {
    "mrn": (None, "1", "2", " 2 "),
    "patient_name": (None, "", "DOE^JANE", "ROE^RICK"),
    "date_of_birth": (None, "1970-01-01", "1950-01-01"),
    "sex": (None, "female", "male"),
    "facility_name": (None, "Mercy", "Elsewhere"),
}
MERCY = Facility("Mercy", mrn=AssigningAuthority("urn:oid:2.999.1", "MERCY"))
CUSTOMERS = {"C1": AssigningAuthority("urn:oid:2.999.2", "C1")}


@st.composite
def looks_of_a_life(draw: st.DrawFn) -> list[Study]:
    """Draw up to five arbitrary versions of a study with up to two originals and two addenda."""
    return [_seen(draw) for _ in range(draw(st.integers(1, 5)))]


def _seen(draw: st.DrawFn) -> Study:
    told = [_report(draw, number) for number in draw(st.sets(st.integers(0, 3)))]
    customer = draw(st.sampled_from((None, "C1", "C2")))
    return Study(
        study_id="stu_" + "1" * 32,
        reports=tuple(told),
        is_cancelled=draw(st.sampled_from((None, False, False, True))),
        external_patient_id=draw(st.sampled_from((None, "A", "B"))),
        express_customer=ExpressCustomer(customer, "Any") if customer else None,
        study_report_status=draw(st.sampled_from((None, "completed", "addendum_active"))),
    )


def _report(draw: st.DrawFn, number: int) -> Report:
    text = draw(st.sampled_from(TEXTS))
    return Report(
        report_id=f"rep_{number:032x}",
        study_id="stu_" + "1" * 32,
        user_id="usr_" + "1" * 32,
        status=draw(st.sampled_from(("completed", "completed", "in_progress"))),
        is_addendum=number > 1,
        is_critical=draw(st.sampled_from((None, False, True))),
        created_at=None,
        signed_at=draw(st.sampled_from((None, "2026-01-05T10:00:00Z", "2026-01-05T11:00:00Z"))),
        updated_at=None,
        snapshot=replace(Snapshot(), **{name: draw(st.sampled_from(said)) for name, said in SNAPSHOT.items()}),
        text=text,
        sections=cut(text or ""),
        pointer=f"/reports/{number}",
    )


LIVES = settings(max_examples=examples(100))
LIFE_SITES = SITES.map(lambda site: replace(site, facilities={"Mercy": MERCY}, express_customers=CUSTOMERS))


def lived(looks: Iterable[Study], site: Site) -> Iterator[tuple[Study | None, Study, Change]]:
    """Yield each version of a life with the one before, as mapped, and the change."""
    before: Study | None = None
    known = Known()
    for now in looks:
        change = changes(before, now, site, known)
        yield before, now, change
        before, known = (
            change.study,
            change.known,
        )


@LIVES
@given(looks_of_a_life(), LIFE_SITES, st.data())
def test_what_is_no_longer_said_causes_nothing_and_stays(looks: list[Study], site: Site, data: st.DataObject) -> None:
    for _, now, change in lived(looks, site):
        known = change.known
        later = changes(change.study, _less(now, data.draw), site, known)
        assert (later.causes, later.corrected, later.moved) == ((), change.corrected, frozenset())
        assert [*map(_said, later.study.completed)] == [*map(_said, change.study.completed)]
        names = ("is_cancelled", "study_type", "external_patient_id", "express_customer")
        assert [getattr(later.study, one) for one in names] == [getattr(change.study, one) for one in names]


def _said(report: Report) -> tuple[object, ...]:
    """Values of a report; blank ones count as missing."""
    said = (report.signed_at, report.is_critical, report.text, *(getattr(report.snapshot, name) for name in SNAPSHOT))
    return tuple((one.strip() or None) if isinstance(one, str) else one for one in said)


def _less(study: Study, draw: Callable[..., Any]) -> Study:
    """Remove some values from the study."""
    reports = [
        replace(
            report,
            snapshot=replace(report.snapshot, **_some(draw, *SNAPSHOT)),
            **_some(draw, "text", "is_critical", "signed_at"),
        )
        for report in study.reports
    ]
    names = "is_cancelled", "external_patient_id", "express_customer", "study_report_status"
    return replace(study, reports=tuple(reports), **_some(draw, *names))


def _some(draw: Callable[..., Any], *names: str) -> dict[str, Any]:
    return {name: None for name in names if draw(st.booleans())}


@LIVES
@given(looks_of_a_life(), LIFE_SITES)
def test_a_cause_has_something_that_was_said(looks: list[Study], site: Site) -> None:
    for before, now, change in lived(looks, site):
        for cause in change.causes:
            report, was = (
                next((one for one in study.reports if one.report_id == cause.report_id), None)
                for study in (now, before or now)
            )
            assert _is_said(cause.kind, report, was, now)


def _is_said(kind: CauseKind, report: Report | None, was: Report | None, now: Study) -> bool:
    """True if the new version has the fact that the cause states."""
    if kind in ("withdrawn", "reinstated"):
        return now.is_cancelled is (kind == "withdrawn")
    if kind == "draft_cancelled":
        return now.study_report_status == "completed" or now.is_cancelled is True
    if kind == "critical_changed" and report is None:  # not listed any more: an addendum also shows the flags of others
        return was is not None and was.is_addendum is True
    if report is None:
        return kind in ("patient_changed", "draft")
    if kind == "text_changed":
        return bool((report.text or "").strip()) and was is not None and was.text != report.text
    if kind == "critical_changed":
        return report.is_critical is not None or report.is_addendum
    if kind in ("signed", "addendum_signed"):
        return report.is_completed
    return True


@LIVES
@given(looks_of_a_life(), LIFE_SITES)
def test_each_look_of_a_life_twice_finds_nothing_new(looks: list[Study], site: Site) -> None:
    for _, now, change in lived(looks, site):
        known = change.known
        assert changes(change.study, now, site, known) == replace(change, causes=(), moved=frozenset())


@LIVES
@given(looks_of_a_life(), LIFE_SITES, st.data())
def test_what_was_seen_signed_first_is_so_whatever_looks_are_repeated(
    looks: list[Study], site: Site, data: st.DataObject
) -> None:
    repeated: list[Study] = []
    for number, now in enumerate(looks):
        repeated += [now, *(looks[one] for one in data.draw(st.lists(st.integers(0, number), max_size=2)))]
    *_, (_, _, last) = lived(looks, site)
    *_, (_, _, again) = lived(repeated, site)
    assert again.seen == last.seen
    assert {one.report_id for look in looks for one in look.completed} == set(last.seen)
