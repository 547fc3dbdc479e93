"""Values no longer given, and reports no longer listed, stay as they were (D16, D21)."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fakes.looks import DRAFT, FACILITY, PATIENT, SHOWS, SITE, WITHDRAWS, addendum, codes, kinds, report, seen, study
from fakes.upstream_json import report_json, response_json, study_json

from mappings import decode
from mappings.life.changes import Known, changes
from mappings.model import Study
from mappings.profile.vista import Vista
from mappings.study.newest_word import flags_shown, newest_first
from mappings.values.dates import version_instant


def test_a_signed_report_seen_unsigned_stays_at_its_last_signed_version() -> None:
    first = study(report(), addendum())
    unsigned = report(**DRAFT, reportPlainText="being changed")
    change = changes(first, study(addendum(), unsigned), SITE)
    assert change.causes == ()
    assert codes(change) == [("signed-report-unsigned", "/reports/1/status")]
    kept = change.study.reports[0]
    assert (kept.is_completed, kept.text, kept.pointer) == (True, "IMPRESSION: Normal.", "/reports/1")


def test_it_is_compared_with_its_last_signed_version_when_it_is_signed_again() -> None:
    first = study(report())
    between = changes(first, study(report(**DRAFT, reportPlainText="other")), SITE).study
    assert seen(between, first) == []
    assert seen(between, study(report(reportPlainText="other"))) == [("text_changed", "3")]


def test_a_report_that_is_not_listed_changes_nothing_and_keeps_its_signer() -> None:
    first = study(report(), addendum())
    change = changes(first, decode(study_json(), response_json(addendum(userId="usr_" + "9" * 32))), SITE)
    assert change.causes == ()
    assert codes(change) == [("report-not-visible", "/reports/1")]
    assert [one.report_id[-1] for one in change.study.reports] == ["3", "5"]
    assert change.study.users.keys() == first.users.keys()


def test_a_report_that_is_not_listed_has_a_place_of_its_own_beside_one_that_is_listed_twice() -> None:
    first = study(addendum(), report())
    change = changes(first, study(report(), report(), addendum(reportId="rep_" + "7" * 32)), SITE)
    assert codes(change) == [("report-not-visible", "/reports/3")]
    assert sorted(one.pointer for one in change.study.reports) == ["/reports/0", "/reports/2", "/reports/3"]


ORDERED = replace(SITE, accession_keys=("accession",), number_separator=",")


def test_an_accession_number_that_is_no_longer_said_stays() -> None:
    first = study(report(), metadata={"accession": "A1", "room": "7"})
    change = changes(first, study(report(), metadata={"room": "8"}), ORDERED)
    assert change.study.metadata == {"accession": "A1", "room": "8"}
    assert [(one.code, one.pointer) for one in change.issues] == [("study-value-not-visible", "/metadata")]
    assert changes(first, study(report(), metadata={}), SITE).study.metadata == {}


def test_an_exam_that_is_no_longer_said_stays() -> None:
    site = replace(ORDERED, vista=Vista(exam_keys=("exam",), case_keys=("case",)))
    first = study(report(), metadata={"exam": "7.1-1", "case": "010526-1"})
    assert changes(first, study(report(), metadata={}), site).study.metadata == first.metadata


def test_another_accession_number_in_place_of_one_that_was_sent_is_an_error() -> None:
    first = study(report(), metadata={"accession": "A1,A2"})
    for now, told in (("A1", ["order-not-visible"]), ("A2,A1,A3", [])):
        change = changes(first, study(report(), metadata={"accession": now}), ORDERED)
        assert (change.study.metadata["accession"], [one.code for one in change.issues]) == (now, told)


def test_a_study_without_reports_kept_from_before_is_what_came() -> None:
    now = study(report())
    assert changes(now, now, SITE).study is now
    assert changes(None, replace(now, reports=()), SITE).study.reports == ()


VANISHED = [
    ("reportPlainText", {"reportPlainText": None}),
    ("reportPlainText", {"reportPlainText": " \r\n"}),
    ("isCritical", {"isCritical": None}),
    ("signedAt", {"signedAt": None}),
    *((f"snapshotMetadata/{field}", {"snapshot": {field: None}}) for field in PATIENT),
    ("snapshotMetadata/patientName", {"snapshot": {"patientName": ""}}),
    ("snapshotMetadata/age", {"snapshot": {"age": None}}),
    ("snapshotMetadata/weight", {"snapshot": {"weight": None}}),
]


@pytest.mark.parametrize(("place", "absent"), VANISHED)
def test_a_signed_value_that_is_no_longer_said_stays_and_is_no_change(place: str, absent: dict[str, Any]) -> None:
    said = {"age": "54 years", "weight": {"unit": "kg", "value": 70}}
    first = study(report(isCritical=True, snapshot=said))
    absent = {"isCritical": True, **absent, "snapshot": {**said, **absent.get("snapshot", {})}}
    change = changes(first, study(report(**absent)), SITE)
    assert (kinds(change), change.corrected, change.is_move) == ([], frozenset(), False)
    assert codes(change) == [("signed-value-not-visible", f"/reports/0/{place}")]
    assert change.study.reports == first.reports


def test_all_that_a_report_no_longer_says_is_one_issue_without_a_value() -> None:
    first = study(report(isCritical=True))
    gone = report_json("3", reportPlainText=None, isCritical=None, snapshotMetadata={})
    change = changes(first, study(gone), SITE)
    assert (change.causes, change.study.reports) == ((), first.reports)
    (issue,) = change.issues
    assert (issue.code, issue.pointer) == ("signed-value-not-visible", "/reports/0")
    assert issue.action.endswith(
        ": reportPlainText, isCritical, snapshotMetadata/dateOfBirth, snapshotMetadata/facilityName,"
        " snapshotMetadata/mrn, snapshotMetadata/patientName, snapshotMetadata/sex"
    )


def test_a_value_that_was_not_visible_is_compared_with_when_it_is_said_again() -> None:
    first = study(report())
    between = changes(first, study(report(reportPlainText=None)), SITE).study
    assert seen(between, first) == []
    assert seen(between, study(report(reportPlainText="New."))) == [("text_changed", "3")]


def test_what_is_said_for_the_first_time_after_the_signature_is_a_change() -> None:
    assert seen(study(report(reportPlainText=None)), study(report())) == [("text_changed", "3")]
    assert seen(study(report(snapshot={"sex": None})), study(report())) == [("patient_changed", "3")]


def test_a_signed_report_takes_nothing_from_its_draft() -> None:
    change = changes(study(report(**DRAFT)), study(report(reportPlainText=None)), SITE)
    assert (kinds(change), change.study.reports[0].text, change.issues) == ([("signed", "3")], None, ())


def test_a_draft_that_says_less_is_mapped_as_it_came_and_is_no_cause() -> None:
    first = study(report(**DRAFT))
    for absent in ({"reportPlainText": None}, {"snapshot": {"patientName": None, "mrn": None}}):
        now = study(report(**{**DRAFT, **absent}))
        change = changes(first, now, SHOWS)
        assert (change.causes, change.issues, change.study) == ((), (), now)


@pytest.mark.parametrize(
    "named",
    [{"mrn": "99887766"}, {"patientName": "ROE^RICK", "dateOfBirth": None}, {"facilityName": "Elsewhere", "mrn": None}],
)
def test_what_was_said_of_one_patient_never_fills_up_another(named: dict[str, Any]) -> None:
    """Cases: another number, a name without a common word, or a facility without the patient's number there."""
    now = study(report(snapshot={"sex": None, **named}))
    change = changes(study(report()), now, SITE)
    assert (kinds(change), change.study, change.issues) == ([("patient_changed", "3")], now, ())


def test_a_study_value_that_is_no_longer_said_stays_and_is_no_change() -> None:
    customer = {"expressCustomerId": "C1", "expressCustomerName": "One"}
    first = study(report(), isCancelled=True, externalPatientId="A1", studyType="standard", expressCustomer=customer)
    now = replace(first, is_cancelled=None, external_patient_id=None, study_type=None, express_customer=None)
    change = changes(first, now, WITHDRAWS)
    assert (change.causes, change.study) == ((), first)
    pointers = ["/isCancelled", "/studyType", "/externalPatientId", "/expressCustomer"]
    assert codes(change) == [("study-value-not-visible", pointer) for pointer in pointers]
    other = {"expressCustomerId": "C2", "expressCustomerName": "Two"}
    moved = study(report(), externalPatientId=None, expressCustomer=other, isCancelled=True)
    assert changes(first, moved, WITHDRAWS).study.external_patient_id is None


def text_changes(*versions: dict[str, Any]) -> list[str | None]:
    """Return `text_changed_at` of the report in each version of the study."""
    before: Study | None = None
    found = []
    for each in versions:
        before = changes(before, study(report(**each)), SITE).study
        found.append(before.reports[0].text_changed_at)
    return found


CHANGED = {"reportPlainText": "IMPRESSION: Other.", "updatedAt": "2024-03-17T08:00:00Z"}
LATER_STILL = "2024-03-18T08:00:00Z"


def test_a_changed_text_has_the_time_that_was_first_seen_with_it() -> None:
    """D17: other changes move updatedAt later; a text that changes back has changed again."""
    assert text_changes(
        {},
        CHANGED,
        {**CHANGED, "updatedAt": LATER_STILL},
        {**CHANGED, "updatedAt": None, "isCritical": True},
        {**CHANGED, "reportPlainText": None},
        {**CHANGED, **DRAFT, "reportPlainText": "being changed"},
        {"updatedAt": LATER_STILL},
    ) == [None, *[CHANGED["updatedAt"]] * 5, LATER_STILL]


def test_a_text_that_was_signed_anew_changed_at_that_signature() -> None:
    """D17: a report that was signed again with other words after its addendum stands before it."""
    again = {**CHANGED, "signedAt": "2024-03-17T09:00:00Z"}
    assert text_changes({}, again, {**again, "updatedAt": LATER_STILL}) == [None, *[again["signedAt"]] * 2]
    other = {**again, "reportPlainText": "IMPRESSION: Third.", "updatedAt": None}
    assert text_changes({}, again, {**other, "signedAt": LATER_STILL}) == [None, again["signedAt"], LATER_STILL]
    first = study(report(), addendum(signedAt="2024-03-16T09:00:00Z"))
    now = changes(first, study(report(**again), addendum(signedAt="2024-03-16T09:00:00Z")), SITE).study
    assert newest_first(now.reports)[0].report_id == report()["reportId"]


def test_a_new_signature_white_space_of_n_or_another_change_dates_no_text() -> None:
    again = {**CHANGED, "signedAt": "2024-03-17T09:00:00Z"}
    blanks = {"reportPlainText": "IMPRESSION: Normal.\r\n", "updatedAt": LATER_STILL}
    assert text_changes({"reportPlainText": "IMPRESSION: Normal.\n"}, blanks) == [None, None]
    assert text_changes({}, CHANGED, again) == [None, CHANGED["updatedAt"], CHANGED["updatedAt"]]
    assert text_changes({**DRAFT, "reportPlainText": "draft"}, CHANGED) == [None, None]
    assert text_changes({}, {"isCritical": True, "updatedAt": LATER_STILL}) == [None, None]


NOT_MOVED = {"reportPlainText": "IMPRESSION: Other."}
SIGNED = datetime(2024, 3, 15, 16, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
SEEN = datetime(2024, 3, 20, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize("said", [{}, {"updatedAt": "soon"}, {"updatedAt": "2024-03-14T08:00:00Z"}])
@pytest.mark.parametrize(("at", "stands_in"), [(SEEN, SEEN), (None, SIGNED + SECOND), (SIGNED, SIGNED + SECOND)])
def test_a_text_that_changed_while_updated_at_did_not_move_changed_when_it_was_read_first(
    said: dict[str, Any], at: datetime | None, stands_in: datetime
) -> None:
    """D17: with an issue, for as long as that text stands, and never before a signature that was known by then."""
    now = study(report(**NOT_MOVED, **said))
    change = changes(study(report()), now, SITE, Known(at=at))
    for each in (change, changes(change.study, now, SITE, replace(change.known, at=SEEN + SECOND))):
        assert codes(each) == [("text-change-undated", "/reports/0/updatedAt")]
        assert version_instant(each.study.reports[0]) == stands_in
    dated = study(report(reportPlainText="IMPRESSION: Third.", updatedAt="2024-03-21T08:00:00Z"))
    assert changes(change.study, dated, SITE, change.known).issues == ()


def test_a_report_with_an_undated_change_stands_before_the_addenda_known_by_then_alone() -> None:
    """An addendum that was signed since the last look may be the last word, and shows the flag of its report."""
    added = addendum(signedAt="2024-03-16T09:00:00Z")
    first, changed = study(report(isCritical=True), added), report(**NOT_MOVED, isCritical=True)
    now = changes(first, study(changed, added), SITE, Known(at=SEEN)).study
    assert [one.is_addendum for one in newest_first(now.reports)] == [False, True]
    later = addendum(reportId="rep_" + "6" * 32, signedAt="2024-03-17T09:00:00Z")
    now = changes(first, study(changed, added, later), SITE, Known(at=SEEN)).study
    assert [one.report_id for one in newest_first(now.reports)][:2] == [later["reportId"], changed["reportId"]]
    assert list(flags_shown(now.reports, now.reports)) == [later["reportId"]]


def test_a_report_that_is_not_listed_keeps_when_its_text_changed() -> None:
    changed = changes(study(report(), addendum()), study(report(**CHANGED), addendum()), SITE).study
    assert changes(changed, study(addendum()), SITE).study.reports[0].text_changed_at == CHANGED["updatedAt"]


@pytest.mark.parametrize("mrn", ["0041235", "41235-", "4 1235", "41235^^^MERCY^MR"])
def test_another_spelling_of_a_signed_number_stays_and_moves_nobody(mrn: str) -> None:
    """D12: FHIR and HL7 v2 go on saying what they said, and no patient's key changes."""
    first, again = study(report()), study(report(snapshot={"mrn": mrn}))
    for before, now, stays in ((first, again, "41235"), (again, first, mrn)):
        change = changes(before, now, SITE)
        assert (change.causes, change.is_move) == ((), False)
        assert codes(change) == [("mrn-respelled", "/reports/0/snapshotMetadata/mrn")]
        assert change.study.reports[0].snapshot.mrn == stays


def test_the_spelling_that_the_pattern_of_the_facility_takes_is_a_move_for_an_operator() -> None:
    facility = replace(FACILITY, mrn_pattern=re.compile("[0-9]{7}"))
    site = replace(SITE, facilities={"Mercy": facility})
    change = changes(study(report()), study(report(snapshot={"mrn": "0041235"})), site)
    assert (kinds(change), change.is_move) == ([("patient_changed", "3")], True)
    assert changes(study(report(snapshot={"mrn": "0041235"})), study(report()), site).causes == ()


def test_another_number_facility_or_person_is_no_other_spelling() -> None:
    other = {"patientName": "ROE^RICK", "dateOfBirth": "1950-01-01", "sex": "male"}
    for snapshot in ({"mrn": "412350"}, {"mrn": "0041235", "facilityName": "City"}, {"mrn": "0041235", **other}):
        assert changes(study(report()), study(report(snapshot=snapshot)), SITE).is_move
