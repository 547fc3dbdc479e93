"""Causes of a v2 message, and changes that cause none (D13, D16, D20, D21, D22; table 0123)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest
from fakes.looks import DRAFT, LATER, SHOWS, SITE, WITHDRAWS, addendum, codes, kinds, report, seen, study
from fakes.upstream_json import report_id, response_json, study_json, user_json

from mappings import decode
from mappings.life.changes import Known, changes
from mappings.model import CauseKind
from mappings.patient.identifiers import message_control_id


def test_a_first_signature_is_a_cause_whether_the_draft_was_seen_or_not() -> None:
    signed = study(report())
    assert kinds(changes(None, signed, SITE)) == [("signed", "3")]
    assert seen(study(report(**DRAFT)), signed) == [("signed", "3")]
    assert seen(study(), signed) == [("signed", "3")]


def test_originals_go_before_addenda_whatever_the_order_in_which_they_came() -> None:
    reports = [addendum("5"), report("4", signedAt=LATER), report("3")]
    for came in (reports, reports[::-1]):
        found = kinds(changes(None, study(*came), SITE))
        assert found == [("signed", "3"), ("signed", "4"), ("addendum_signed", "5")]


def test_a_draft_says_nothing_to_a_site_that_sends_none() -> None:
    assert kinds(changes(None, study(report(**DRAFT)), SITE)) == []


def test_a_draft_with_new_text_is_a_cause_where_the_site_lets_it_out() -> None:
    first = study(report(**DRAFT))
    assert kinds(changes(None, first, SHOWS)) == [("draft", "3")]
    assert seen(first, first, SHOWS) == []
    assert seen(first, study(report(**DRAFT, reportPlainText="IMPRESSION: New.")), SHOWS) == [("draft", "3")]
    assert seen(first, study(report(**DRAFT, snapshot={"patientName": "ROE^JANE"})), SHOWS) == [("draft", "3")]
    assert seen(study(report(**DRAFT, reportPlainText=None)), first, SHOWS) == [("draft", "3")]


@pytest.mark.parametrize("changed", [{"reportPlainText": " \n"}, {"status": "draft"}])
def test_an_unsigned_report_that_is_blank_or_of_a_status_not_known_is_never_let_out(changed: dict[str, Any]) -> None:
    assert kinds(changes(None, study(report(**{**DRAFT, **changed})), SHOWS)) == []


def test_a_draft_of_a_cancelled_study_is_not_let_out() -> None:
    assert kinds(changes(None, study(report(**DRAFT), isCancelled=True), SHOWS)) == []


def test_another_text_is_a_correction_and_stays_one() -> None:
    first, second = study(report()), study(report(reportPlainText="IMPRESSION: Not normal."))
    change = changes(first, second, SITE)
    assert kinds(change) == [("text_changed", "3")]
    assert change.corrected == {report_id("3")}
    again = changes(second, second, SITE, change.known)
    assert (again.causes, again.corrected) == ((), {report_id("3")})


def test_a_text_that_differs_in_line_ends_only_is_the_same() -> None:
    first, second = study(report(reportPlainText="A\nB")), study(report(reportPlainText="A\r\nB"))
    change = changes(first, second, SITE)
    assert (change.causes, change.corrected) == ((), frozenset())


@pytest.mark.parametrize(("before", "after"), [(None, True), (False, True), (True, False)])
def test_what_is_said_of_criticality_is_a_cause(before: bool | None, after: bool | None) -> None:
    first, second = study(report(isCritical=before)), study(report(isCritical=after))
    assert seen(first, second) == [("critical_changed", "3")]


@pytest.mark.parametrize(("before", "after"), [(None, False), (False, None)])
def test_null_and_false_both_assert_nothing(before: bool | None, after: bool | None) -> None:
    change = changes(study(report(isCritical=before)), study(report(isCritical=after)), SITE)
    assert (change.causes, change.corrected) == ((), frozenset())


@pytest.mark.parametrize("field", [{"patientName": "ROE^JANE"}, {"dateOfBirth": "1970-01-02"}, {"sex": "male"}])
def test_another_field_of_the_patient_is_a_correction_and_no_move(field: dict[str, Any]) -> None:
    change = changes(study(report()), study(report(snapshot=field)), SITE)
    assert (kinds(change), change.is_move) == ([("patient_changed", "3")], False)
    assert change.corrected == {report_id("3")}


def test_white_space_alone_makes_no_other_patient() -> None:
    spaced = {"mrn": " 41235", "patientName": "DOE^JANE ", "sex": "female "}
    change = changes(study(report()), study(report(snapshot=spaced)), SITE)
    assert (change.causes, change.is_move) == ((), False)


@pytest.mark.parametrize("field", [{"mrn": "41236"}, {"facilityName": "Elsewhere"}])
def test_another_identity_is_a_move(field: dict[str, Any]) -> None:
    change = changes(study(report()), study(report(snapshot=field)), SITE)
    assert (kinds(change), change.moved) == ([("patient_changed", "3")], {report_id("3")})


@pytest.mark.parametrize(
    "fields",
    [
        {"patientName": "SMITH^PETER", "dateOfBirth": "1950-01-01", "sex": "male"},
        {"dateOfBirth": "1950-01-01", "sex": "male"},
        {"patientName": "ROE^JANE", "sex": "male"},
        {"patientName": "SMITH^PETER"},
    ],
)
def test_two_fields_that_contradict_what_was_said_are_a_move_though_the_number_is_the_same(
    fields: dict[str, Any],
) -> None:
    first = changes(None, study(report(), addendum(snapshot=UNSAID)), SITE)
    change = changes(first.study, study(report(snapshot=fields), addendum(snapshot=UNSAID)), SITE, first.known)
    assert {one[-1] for one in change.moved} == {"3", "5"}
    assert {one.kind for one in change.causes} == {"patient_changed"}
    again = changes(change.study, study(report(snapshot=fields), addendum(snapshot=UNSAID)), SITE, change.known)
    assert (again.causes, again.moved) == ((), frozenset())


@pytest.mark.parametrize("fields", [{"patientName": "Doe, Jane", "sex": "unknown"}, {"patientName": None, "sex": None}])
def test_another_spelling_and_what_is_not_said_are_no_move(fields: dict[str, Any]) -> None:
    assert not changes(study(report()), study(report(snapshot={**fields, "dateOfBirth": "1970-01-02"})), SITE).moved


def test_a_draft_may_change_its_patient_without_a_move() -> None:
    change = changes(study(report(**DRAFT)), study(report(**DRAFT, snapshot={"mrn": "41236"})), SITE)
    assert (change.causes, change.is_move) == ((), False)


def test_another_external_patient_id_concerns_every_signed_report() -> None:
    reports = (report(), addendum())
    found = seen(study(*reports, externalPatientId="A1"), study(*reports, externalPatientId="A2"))
    assert found == [("patient_changed", "3"), ("patient_changed", "5")]


def test_a_report_has_one_cause_a_look() -> None:
    other = report(isCritical=True, reportPlainText="IMPRESSION: New.", snapshot={"patientName": "ROE^JANE"})
    assert seen(study(report()), study(other)) == [("text_changed", "3")]


def test_no_other_field_and_no_user_causes_anything() -> None:
    other = {"age": "50 years", "procedure": "X", "studyDate": "2024-01-01", "height": {"unit": "cm", "value": 170.0}}
    first = study(report())
    second = decode(
        study_json(severity="stat", modality="CT", clinicalIndication="Cough.", studyDescription="New"),
        response_json(report(snapshot=other, userId="usr_" + "9" * 32)),
        [user_json(lastName="Smithson", userId="usr_" + "9" * 32)],
    )
    change = changes(first, second, SITE)
    assert (change.causes, change.corrected, change.study) == ((), frozenset(), second)


def test_an_open_addendum_is_cancelled_once_the_study_says_that_none_is_active() -> None:
    first = study(report(), addendum(**DRAFT), studyReportStatus="addendum_active")
    hidden = changes(first, study(report(), studyReportStatus="addendum_active"), SHOWS)
    assert codes(hidden) == [("report-not-visible", "/reports/1")]
    assert len(hidden.study.reports) == 2
    gone = changes(first, study(report()), SITE)
    assert (gone.causes, gone.issues, len(gone.study.reports)) == ((), (), 1)


def test_a_cancelled_addendum_is_a_cause_of_its_own_kind_where_its_draft_was_let_out() -> None:
    first = study(report(), addendum(**DRAFT), studyReportStatus="addendum_active")
    assert seen(first, study(report()), SHOWS) == [("draft_cancelled", "5")]
    said_nothing = study(report(), addendum(**DRAFT, reportPlainText=None))
    assert seen(said_nothing, study(report()), SHOWS) == [("draft_cancelled", "5")]
    assert seen(first, study(report())) == []


def test_what_is_gone_is_kept_as_it_was_said_last_until_it_is_there_again() -> None:
    first = study(report(), addendum())
    change = changes(first, study(report()), SITE, Known(cancelled=frozenset({report_id("5")})))
    assert [(one.report_id, one.text, one.pointer) for one in change.gone] == [
        (report_id("5"), first.reports[1].text, "/reports/-")
    ]
    again = changes(change.study, study(report()), SITE, change.known)
    assert again.gone == change.gone
    assert changes(again.study, first, SITE, again.known).gone == ()


def test_a_signed_addendum_is_taken_back_only_if_an_operator_knows_that_it_is_cancelled() -> None:
    first = study(report(), addendum())
    assert seen(first, study(report())) == []
    change = changes(first, study(report()), SITE, Known(cancelled=frozenset({report_id("5"), report_id("3")})))
    assert (kinds(change), len(change.study.reports)) == ([("addendum_cancelled", "5")], 1)
    original = changes(first, study(addendum()), SITE, Known(cancelled=frozenset({report_id("3")})))
    assert (original.causes, len(original.study.reports)) == ((), 2)


def test_a_cancelled_study_with_a_signed_report_says_nothing_where_the_site_holds() -> None:
    first = study(report())
    assert seen(first, study(report(), isCancelled=True)) == []
    assert seen(study(report(), isCancelled=True), first) == []


def test_a_cancelled_study_withdraws_what_was_signed_once_and_reinstates_it() -> None:
    first, cancelled = study(report(), addendum()), study(report(), addendum(), isCancelled=True)
    assert seen(first, cancelled, WITHDRAWS) == [("withdrawn", "3"), ("withdrawn", "5")]
    assert seen(cancelled, cancelled, WITHDRAWS) == []
    assert seen(cancelled, first, WITHDRAWS) == [("reinstated", "3"), ("reinstated", "5")]


def test_what_is_signed_in_a_withdrawn_study_is_told_when_it_is_reinstated() -> None:
    draft, cancelled = study(report(**DRAFT), isCancelled=True), study(report(), isCancelled=True)
    assert kinds(changes(None, cancelled, WITHDRAWS)) == seen(draft, cancelled, WITHDRAWS) == []
    assert seen(cancelled, study(report()), WITHDRAWS) == [("reinstated", "3")]


def test_a_correction_in_a_withdrawn_study_is_kept_and_not_told() -> None:
    cancelled = study(report(), isCancelled=True)
    change = changes(cancelled, study(report(reportPlainText="New."), isCancelled=True), WITHDRAWS)
    assert (change.causes, change.corrected) == ((), {report_id("3")})


def test_an_external_study_causes_nothing() -> None:
    assert changes(None, study(report(), studyType="external"), SITE).causes == ()


def test_a_text_changed_back_and_forth_has_another_message_control_id_each_time() -> None:
    one, other = study(report()), study(report(reportPlainText="New."))
    known, before, numbers = Known(), None, []
    for now in (one, other, one, other, one):
        change = changes(before, now, SITE, known)
        numbers += [message_control_id(cause, "x") for cause in change.causes]
        before, known = change.study, change.known
    assert len(set(numbers)) == len(numbers) == 5


def test_the_content_version_stays_while_nothing_causes_a_message() -> None:
    first = changes(None, study(report()), SITE)
    again = changes(first.study, study(report(), severity="stat"), SITE, Known(version=first.version))
    assert again.version == first.version == first.causes[0].content_version


def test_the_same_content_has_the_same_version_in_whatever_order_its_reports_came() -> None:
    versions = {changes(None, study(*came), SITE).version for came in ((report(), addendum()), (addendum(), report()))}
    assert len(versions) == 1


def test_every_kind_of_cause_but_an_operators_replay_is_found() -> None:
    signed, cancelled = study(report(), addendum()), study(report(), addendum(), isCancelled=True)
    opened = study(report(), addendum(**DRAFT))
    looks = [
        (None, signed, WITHDRAWS),
        (opened, study(report()), SHOWS),
        (signed, study(report()), SITE),
        (None, opened, SHOWS),
        (signed, study(report(reportPlainText="New."), addendum(isCritical=True)), SITE),
        (signed, study(report(snapshot={"sex": "male"}), addendum()), SITE),
        (signed, cancelled, WITHDRAWS),
        (cancelled, signed, WITHDRAWS),
    ]
    known = Known(cancelled=frozenset({report_id("5")}))
    found = {cause.kind for before, now, site in looks for cause in changes(before, now, site, known).causes}
    assert found == {*get_args(CauseKind)} - {"replay"}


def test_a_shown_draft_of_a_cancelled_study_is_taken_back_once_where_the_site_withdraws() -> None:
    withdraws = replace(SHOWS, on_cancelled_after_sign="withdraw")
    opened = study(report(**DRAFT), addendum(**DRAFT))
    cancelled = study(report(**DRAFT), addendum(**DRAFT), isCancelled=True)
    assert seen(opened, cancelled, withdraws) == [("draft_cancelled", "3"), ("draft_cancelled", "5")]
    assert seen(cancelled, cancelled, withdraws) == seen(cancelled, study(isCancelled=True), withdraws) == []
    assert seen(opened, cancelled, SHOWS) == seen(opened, cancelled, WITHDRAWS) == []


def test_a_draft_that_is_signed_and_cancelled_between_two_looks_is_taken_back_where_the_site_withdraws() -> None:
    withdraws = replace(SHOWS, on_cancelled_after_sign="withdraw")
    cancelled = study(report(), isCancelled=True)
    assert seen(study(report(**DRAFT)), cancelled, withdraws) == [("draft_cancelled", "3")]


def test_a_shown_draft_is_let_out_again_when_its_study_is_uncancelled() -> None:
    cancelled = study(report(**DRAFT), isCancelled=True)
    assert seen(cancelled, study(report(**DRAFT)), SHOWS) == [("draft", "3")]


def test_reports_are_known_in_the_order_in_which_they_were_first_seen_signed() -> None:
    first = changes(None, study(report("4", signedAt=LATER), report("5", **DRAFT)), SITE)
    assert first.seen == (report_id("4"),)
    now = study(report("4", signedAt=LATER), report("5"), report("3"), addendum("6"))
    second = changes(first.study, now, SITE, Known(seen=first.seen))
    assert second.seen == tuple(map(report_id, "4356"))
    gone = Known(seen=second.seen, cancelled=frozenset({report_id("6")}))
    assert changes(second.study, study(report("3")), SITE, gone).seen == second.seen
    assert changes(first.study, now, SITE).seen == second.seen


UNSAID: dict[str, Any] = {"mrn": None, "patientName": None, "dateOfBirth": None, "sex": None}
ROE = {"mrn": "99887766", "patientName": "ROE^RICK", "dateOfBirth": "1950-01-01", "sex": "male"}


def test_who_gets_another_number_by_somebody_elses_move_is_moved_too() -> None:
    first = changes(None, study(report(), addendum()), SITE)
    other = report(snapshot=ROE)
    change = changes(first.study, study(other, addendum()), SITE, first.known)
    assert {one[-1] for one in change.moved} == {"3", "5"}


def test_a_draft_that_is_signed_about_somebody_else_is_moved() -> None:
    site = replace(SITE, send_drafts=True)
    first = changes(None, study(report(**DRAFT)), site)
    change = changes(first.study, study(report(snapshot=ROE)), site, first.known)
    assert ({one[-1] for one in change.moved}, change.corrected) == ({"3"}, frozenset())


def test_a_late_report_of_another_patient_moves_nobody() -> None:
    """Even if the late report was signed first, the first seen patient keeps the study's number."""
    unlinked = {"mrn": None, "patientName": "DOE^JANE"}
    first = changes(None, study(report("4", signedAt=LATER, snapshot=unlinked)), SITE)
    roe = report("3", snapshot={"mrn": None, "patientName": "ROE^RICK", "dateOfBirth": "1950-01-01", "sex": "male"})
    change = changes(first.study, study(report("4", signedAt=LATER, snapshot=unlinked), roe), SITE)
    assert (kinds(change), change.moved) == ([("signed", "3")], frozenset())


def test_a_draft_whose_instant_is_no_longer_said_moves_no_draft() -> None:
    unsaid = {"mrn": None, "patientName": None, "dateOfBirth": None, "sex": None, "facilityName": None}
    undated: dict[str, Any] = {**DRAFT, "createdAt": None, "updatedAt": None}
    others = (
        report("4", **{**undated, "signedAt": LATER}, snapshot={**unsaid, "mrn": "2"}),
        report("5", **undated, isAddendum=True, snapshot={**unsaid, "mrn": "2", "facilityName": "Mercy"}),
    )
    first = study(report("3", **{**undated, "signedAt": LATER}, snapshot=unsaid), *others)
    later = study(report("3", **undated, snapshot=unsaid), *others)
    assert seen(first, later, replace(SITE, send_drafts=True)) == []


TWO = (report(isCritical=True), addendum())


@pytest.mark.parametrize(
    ("before", "now", "caused"),
    [
        (TWO, (report(), addendum()), [("critical_changed", "3"), ("critical_changed", "5")]),
        (TWO, (report(reportPlainText="None."), addendum()), [("text_changed", "3"), ("critical_changed", "5")]),
        (
            TWO,
            (report(isCritical=True, reportPlainText="Other.", updatedAt="2024-03-20T09:00:00Z"), addendum()),
            [("text_changed", "3"), ("critical_changed", "5")],
        ),
        (
            TWO,
            (*TWO, report("4", signedAt="2024-03-15T18:00:00Z", reportPlainText="Other.")),
            [("signed", "4"), ("critical_changed", "5")],
        ),
        ((report(), addendum()), (report(reportPlainText="None."), addendum()), [("text_changed", "3")]),
    ],
)
def test_an_addendum_is_told_again_if_another_report_changed_what_is_flagged_in_it(
    before: tuple[Any, ...], now: tuple[Any, ...], caused: list[tuple[str, str]]
) -> None:
    """D22: a receiver may have the addendum under an order of its own."""
    change = changes(study(*before), study(*now), SITE)
    assert kinds(change) == caused
    assert not any(one.endswith("5") for one in change.corrected)
