"""Patient of each report of a study (D11, D12, D17, D18)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from fakes.fhir_studies import SITE, addendum, report, snapshot
from fakes.upstream_json import STUDY_ID, report_id, response_json, study_json

from mappings import decode
from mappings.life.changes import changes
from mappings.model import Facts, Snapshot, Study
from mappings.patient.subjects import Subject, recency, subject_snapshot, subjects, subjects_as_before
from mappings.profile import parse_site
from mappings.reuse import NO_REUSE, Remembered, Reuse

NOWHERE = {"facilityName": None}
NOW = datetime(2024, 4, 1, tzinfo=UTC)


def study(*reports: dict[str, Any], **changes: Any) -> Study:
    return decode(study_json(**changes), response_json(*reports))


def people(*reports: dict[str, Any], seen: str = "", **changes: Any) -> dict[str, Subject]:
    """Map the subjects by the digit of the report's id, and the study's own as `study`; `seen` are such digits too."""
    what = study(*reports, **changes)
    found = subjects(what, what.reports, SITE, Facts(seen=tuple(report_id(digit) for digit in seen)))
    return {"study" if key == STUDY_ID else key[-1]: one for key, one in found.items()}


def codes(subject: Subject) -> list[tuple[str, str]]:
    return [(issue.code, issue.pointer) for issue in subject.issues]


def test_one_report_is_about_the_patient_it_names() -> None:
    found = people(report())
    assert found["3"] is found["study"]
    assert (found["3"].number, found["3"].pointer) == (STUDY_ID, "/reports/0/snapshotMetadata")
    assert [one.value for one in found["3"].identity.identifiers] == ["MRN-001234"]
    assert found["3"].issues == ()


@pytest.mark.parametrize("reuse", [NO_REUSE, Remembered()])
def test_reports_at_one_place_of_the_study_document_keep_their_own_patients(reuse: Reuse) -> None:
    """Two reports of other people must not be mixed up, whatever else says that they are one."""
    what = study(report(), report("5", snapshotMetadata=snapshot(mrn="777777", patientName="SMITH^JOHN")))
    reports = tuple(replace(one, pointer="/reports/0") for one in what.reports)
    for _ in range(2):
        found = subjects_as_before(what, reports, SITE, Facts(), reuse)
        assert {one.report_id: found[one.report_id].snapshot for one in reports} == {
            one.report_id: one.snapshot for one in reports
        }


def test_a_study_without_reports_speaks_through_its_metadata() -> None:
    found = people(reportMetadata=snapshot())
    assert list(found) == ["study"]
    assert (found["study"].identity.is_linked, found["study"].pointer) == (True, "/reportMetadata")
    assert subject_snapshot(study(), ()) == (Snapshot(), "/reportMetadata")


def test_an_addendum_that_says_nothing_follows_the_studys_patient() -> None:
    found = people(report(), addendum(snapshotMetadata={}))
    assert found["4"] is found["3"]
    assert codes(found["3"]) == [("patient-from-study", "/reports/1/snapshotMetadata")]


def test_an_older_original_that_says_nothing_follows_the_newer_one_and_keeps_the_number() -> None:
    found = people(report(snapshotMetadata={}), report("5", signedAt="2024-04-01T00:00:00Z"))
    assert found["5"] is found["3"] is found["study"]
    assert found["3"].number == STUDY_ID
    assert found["3"].pointer == "/reports/1/snapshotMetadata"


def test_where_originals_name_two_patients_a_report_that_names_none_follows_neither() -> None:
    second = report("5", signedAt="2024-04-01T00:00:00Z", snapshotMetadata=snapshot(mrn="MRN-9"))
    found = people(report(), second, addendum(snapshotMetadata={}))
    assert len({one.identity.patient_id for one in found.values()}) == 3
    assert [found[digit].number for digit in "354"] == [STUDY_ID, report_id("5"), report_id("4")]
    assert all("identity-conflict" in dict(codes(one)) for one in found.values())


ROE = report("5", signedAt="2024-04-01T00:00:00Z", snapshotMetadata=snapshot(mrn="MRN-9"))


def test_the_studys_own_patient_is_the_one_that_has_its_number_whoever_is_named_later() -> None:
    found = people(report(), ROE)
    assert found["study"] is found["3"]
    assert next(iter(found)) == "study"
    assert [found[digit].number for digit in "35"] == [STUDY_ID, report_id("5")]
    assert codes(found["3"]) == [("identity-conflict", "/reports/0/snapshotMetadata")]


def test_a_report_that_comes_late_takes_no_number_from_the_patient_of_one_seen_before() -> None:
    found = people(report(), {**ROE, "signedAt": "2024-01-01T00:00:00Z"}, seen="3")
    assert [found[digit].number for digit in "35"] == [STUDY_ID, report_id("5")]
    assert found["study"] is found["3"]
    again = people(report(signedAt="2024-06-01T00:00:00Z"), ROE, seen="35")
    assert [again[digit].number for digit in "35"] == [STUDY_ID, report_id("5")]


def test_another_patients_number_is_that_of_the_report_first_seen() -> None:
    earlier = report("6", signedAt="2024-03-30T00:00:00Z", snapshotMetadata=snapshot(mrn="MRN-9"))
    late = people(report(), ROE, earlier, seen="35")
    assert late["5"] is late["6"]
    assert late["6"].number == report_id("5")
    assert people(report(), ROE, earlier)["6"].number == report_id("6")


def test_a_report_that_comes_late_takes_no_identity_from_the_patient_of_one_seen_before() -> None:
    other = report(
        "5", signedAt="2024-01-01T00:00:00Z", snapshotMetadata=snapshot(sex="male", dateOfBirth="1950-01-01")
    )
    found = people(report(), other, seen="3")
    assert found["3"].identity == people(report())["3"].identity
    assert not found["5"].identity.is_linked


def test_what_the_study_says_of_a_patient_is_said_of_its_own_alone() -> None:
    for says in ({}, {"mrn": None}):
        second = {**ROE, "snapshotMetadata": snapshot(**{"mrn": "MRN-9", "patientName": "Roe", "sex": "male"} | says)}
        found = people(report(), second, externalPatientId="EXT-77")
        assert ("PI", "EXT-77") in [(one.type, one.value) for one in found["3"].identity.identifiers]
        assert "EXT-77" not in [one.value for one in found["5"].identity.identifiers]
        assert "/externalPatientId" in dict(map(reversed, codes(found["3"])))
        assert "/externalPatientId" not in dict(map(reversed, codes(found["5"])))


def test_an_addendum_without_a_number_is_about_the_patient_whom_the_study_numbers() -> None:
    text = """[[mapping.facilities]]
    name = "City Medical Center"
    mrn_system = "urn:oid:1.2.3"
    mrn_namespace = "CMC"
    external_patient_id_system = "urn:oid:1.2.4"
    external_patient_id_namespace = "EXT"
    """
    what = study(report(), addendum(snapshotMetadata=snapshot(mrn=None)), externalPatientId="EXT-77")
    found = subjects(what, what.reports, parse_site(text))
    assert found[report_id("3")] is found[report_id("4")]
    assert [one.value for one in found[report_id("3")].identity.identifiers] == ["MRN-001234", "EXT-77"]
    unnamed = study(*(one(snapshotMetadata=snapshot(mrn=None)) for one in (report, addendum)), externalPatientId="E7")
    assert subjects(unnamed, unnamed.reports, parse_site(text))[STUDY_ID].identity.is_linked


@pytest.mark.parametrize("telling", [{"mrn": "MRN-9"}, {"dateOfBirth": "1999-01-01", "sex": "male"}])
def test_a_report_that_names_nobody_but_speaks_against_the_patient_is_about_another(telling: dict[str, str]) -> None:
    found = people(report(), addendum(snapshotMetadata=snapshot(**NOWHERE, **telling)))
    assert found["4"] is not found["3"]
    assert not found["4"].identity.is_linked
    assert found["4"].identity.identifiers[0].value == found["4"].number == report_id("4")


def test_unlinked_reports_that_agree_share_a_patient_and_one_that_contradicts_any_of_them_does_not() -> None:
    unsaid = snapshot(**NOWHERE, sex=None, mrn=None)
    found = people(
        report(snapshotMetadata=unsaid),
        addendum("4", snapshotMetadata={**unsaid, "sex": "female"}),
        addendum("5", signedAt="2024-05-01T00:00:00Z", snapshotMetadata={**unsaid, "sex": "male"}),
    )
    assert found["3"] is found["4"]
    assert found["5"] is not found["3"]
    assert [one.value for one in found["3"].identity.identifiers] == [STUDY_ID]
    assert [one.value for one in found["5"].identity.identifiers] == [report_id("5")]


def test_two_more_reports_without_identity_that_agree_share_the_other_patient() -> None:
    other = snapshot(**NOWHERE, sex="male", dateOfBirth="1999-01-01")
    later = addendum("5", signedAt="2024-05-01T00:00:00Z", snapshotMetadata=other)
    found = people(report(), addendum("4", snapshotMetadata=other), later)
    assert found["4"] is found["5"]
    assert found["4"].number == report_id("4")


def test_an_mrn_that_the_speaker_does_not_say_is_shown_with_the_speakers_identifiers() -> None:
    found = people(
        report(snapshotMetadata=snapshot(**NOWHERE, mrn=None)), addendum(snapshotMetadata=snapshot(**NOWHERE))
    )
    assert [one.value for one in found["3"].identity.identifiers] == [STUDY_ID, "MRN-001234"]


@pytest.mark.parametrize(
    "other",
    [
        {"dateOfBirth": "1986-07-20", "sex": "male"},
        {"dateOfBirth": "1986-07-20", "patientName": "DOE^MARY"},
        {"sex": "male", "patientName": "ROE^JANE"},
        {"patientName": "Robert Miller"},
        {"dateOfBirth": None, "patientName": "Robert Miller"},
    ],
)
def test_one_mrn_never_joins_two_people(other: dict) -> None:
    found = people(report(), addendum(snapshotMetadata=snapshot(**other)))
    assert found["4"].identity.patient_id != found["3"].identity.patient_id
    assert (found["3"].identity.is_linked, found["4"].identity.is_linked) == (True, False)
    assert {code for code, _ in codes(found["3"]) + codes(found["4"])} >= {"identity-conflict"}


SAME: list[dict[str, Any]] = [
    {"patientName": "DOE^JANE"},
    {"dateOfBirth": None, "patientName": "Döe, J."},
    {"sex": None},
    {"dateOfBirth": None},
]


@pytest.mark.parametrize("same", SAME)
def test_another_spelling_or_something_not_said_is_no_other_person(same: dict) -> None:
    other = snapshot(**{"patientName": "Jane Doe"} | same)
    found = people(report(snapshotMetadata=snapshot(patientName="Jane Doe")), addendum(snapshotMetadata=other))
    assert found["4"] is found["3"]


CORRECTED: list[tuple[dict[str, Any], str]] = [
    ({"dateOfBirth": "1986-07-20"}, "birth date"),
    ({"sex": "male"}, "sex"),
    ({"patientName": "DOE^JUNE"}, "given name"),
    ({"patientName": "ROE^JANE"}, "family name"),
]


@pytest.mark.parametrize(("other", "field"), CORRECTED)
def test_what_an_addendum_corrects_of_the_patient_does_not_detach_it_and_is_said(other: dict, field: str) -> None:
    found = people(report(), addendum(snapshotMetadata=snapshot(**other)))
    assert found["4"] is found["3"]
    (issue,) = found["3"].issues
    assert (issue.code, issue.severity) == ("patient-differs-in-study", "warning")
    assert issue.pointer == "/reports/1/snapshotMetadata"
    assert issue.action == f"another {field} than what speaks for the patient: taken for one person"


@pytest.mark.parametrize("mrn", ["mrn-001234", "MRN001234", "MRN 1234", "0MRN-001234"])
def test_an_mrn_written_otherwise_in_one_study_is_the_same_and_shown_as_the_original_has_it(mrn: str) -> None:
    found = people(report(), addendum(snapshotMetadata=snapshot(mrn=mrn)))
    assert found["4"] is found["3"]
    assert [one.value for one in found["3"].identity.identifiers] == ["MRN-001234"]
    assert found["3"].identity.patient_id == people(report())["3"].identity.patient_id


@pytest.mark.parametrize(("first", "second"), [("41235", "0041235"), ("0041235", "41235"), ("A-41235", "a41235")])
def test_a_number_written_otherwise_in_a_later_original_moves_no_patient(first: str, second: str) -> None:
    """D11, D12: one person, shown with the number as it was seen first: only an operator changes a key."""
    alone = report(snapshotMetadata=snapshot(mrn=first))
    later = report("5", signedAt="2024-04-01T00:00:00Z", snapshotMetadata=snapshot(mrn=second))
    found, before = people(alone, later), people(alone)
    assert found["3"] is found["5"]
    assert found["3"].identity.patient_id == before["3"].identity.patient_id
    assert [one.value for one in found["3"].identity.identifiers] == [first]
    seen_first = people(alone, later, seen="53")
    assert [one.value for one in seen_first["3"].identity.identifiers] == [second]
    assert not changes(study(alone), study(alone, later), SITE).is_move


@pytest.mark.parametrize("mrn", ["UNKNOWN", "000000", "TEMP 1", "-"])
def test_what_is_typed_for_want_of_a_number_is_no_other_number(mrn: str) -> None:
    found = people(report(), addendum(snapshotMetadata=snapshot(mrn=mrn)))
    assert found["4"] is found["3"]
    apart = people(report(), addendum(snapshotMetadata=snapshot(mrn=mrn, sex="male")))
    assert apart["4"] is not apart["3"]


TWO_FACILITIES = parse_site(
    "".join(
        f"[[mapping.facilities]]\nname = '{name}'\nmrn_system = 'urn:oid:1.{name}'\nmrn_namespace = 'N{name}'\n"
        for name in "12"
    )
)


@pytest.mark.parametrize("says", [{"dateOfBirth": "1986-07-20"}, {"patientName": "ROE^JANE"}, {"patientName": None}])
def test_an_equal_number_of_another_facility_is_another_patients_unless_all_else_is_said_and_agrees(says: dict) -> None:
    first, same, other = (
        one(snapshotMetadata=snapshot(**{"patientName": "Jane Doe", "facilityName": name, **more}))
        for one, name, more in ((report, "1", {}), (addendum, "2", {}), (addendum, "2", says))
    )
    unsaid = addendum("6", snapshotMetadata={})
    for second, is_one in ((same, True), (other, False), ({**same, "isAddendum": False}, True)):
        what = study(first, second, unsaid)
        found = subjects(what, what.reports, TWO_FACILITIES)
        assert (found[report_id("3")] is found[report_id("4")]) is is_one
        assert found[report_id("6")] is found[report_id("3")]
        if is_one:
            shown = [(one.type, one.value) for one in found[report_id("3")].identity.shown]
            assert shown == [("MR", "MRN-001234")]


FIRST_GOOD = {"patientName": "DOE^JANE", "mrn": "00412345"}


@pytest.mark.parametrize("mrn", [None, "UNKNOWN", "12345678", "SEE ORDER", "TRAUMA 3", "PENDING 1"])
def test_an_addendum_that_brings_the_first_good_number_joins_its_originals_patient_who_stays(mrn: str | None) -> None:
    told = people(report(snapshotMetadata=snapshot(mrn=mrn)))["3"].identity
    found = people(report(snapshotMetadata=snapshot(mrn=mrn)), addendum(snapshotMetadata=snapshot(**FIRST_GOOD)))
    assert found["4"] is found["3"]
    identity = found["3"].identity
    assert (identity.patient_id, identity.is_linked) == (told.patient_id, False)
    assert identity.identifiers[:-1] == told.identifiers
    (brought,) = (one for one in identity.shown if one.value == "00412345")
    assert (brought.type, brought.namespace) == ("U", "CITY")
    assert brought.system != "urn:oid:1.2.3"
    assert "identity-conflict" not in dict(codes(found["3"]))
    later = people(
        report(snapshotMetadata=snapshot(mrn=mrn)),
        addendum(snapshotMetadata=snapshot(**FIRST_GOOD)),
        addendum("6", snapshotMetadata=snapshot(mrn="00412346")),
        addendum("7", snapshotMetadata=snapshot(mrn=None)),
    )
    assert (later["4"] is later["3"], later["7"] is later["3"], later["6"] is later["3"]) == (True, True, False)


@pytest.mark.parametrize(
    "says", [{"sex": "male"}, {"dateOfBirth": "1986-07-20"}, {"patientName": "ROE^JANE"}, {"patientName": None}]
)
def test_it_joins_nobody_of_whom_anything_else_is_said_or_no_name(says: dict) -> None:
    found = people(
        report(snapshotMetadata=snapshot(mrn="12345678", patientName="DOE^JANE")),
        addendum(snapshotMetadata=snapshot(**FIRST_GOOD | says)),
    )
    assert found["4"] is not found["3"]


@pytest.mark.parametrize("mrn", ["SEE ORDER", "12345678", "TRAUMA 3", "PENDING 1", "123-45-6789"])
def test_an_original_with_a_good_number_keeps_its_addendum_with_a_doubtful_one(mrn: str) -> None:
    for one, other, joined in ((snapshot(), {}, True), (snapshot(), {"sex": "male"}, False)):
        found = people(report(snapshotMetadata=one), addendum(snapshotMetadata=snapshot(mrn=mrn, **other)))
        assert (found["4"] is found["3"]) is joined
        assert found["3"].identity.is_linked
        assert [each.value for each in found["3"].identity.shown if each.type == "MR"] == ["MRN-001234"]


def test_two_good_numbers_of_one_study_are_two_patients_even_if_all_else_agrees() -> None:
    found = people(report(), addendum(snapshotMetadata=snapshot(mrn="MRN-9")))
    assert found["4"] is not found["3"]


def test_addenda_are_compared_with_their_original_and_with_one_another_only_where_it_says_nothing() -> None:
    typed, married = snapshot(dateOfBirth="1986-07-20"), snapshot(patientName="ROE^JANE")
    original = snapshot(patientName="DOE^JANE")
    for first, second in ((typed, married), (married, typed)):
        for seen in ("345", "543"):
            found = people(
                report(snapshotMetadata=original),
                addendum("4", snapshotMetadata=first),
                addendum("5", signedAt="2024-05-01T00:00:00Z", snapshotMetadata=second),
                seen=seen,
            )
            assert found["3"] is found["4"] is found["5"]
    found = people(
        report(snapshotMetadata=snapshot(patientName=None, dateOfBirth=None, sex=None)),
        addendum("4", snapshotMetadata=original),
        addendum("5", signedAt="2024-05-01T00:00:00Z", snapshotMetadata=snapshot(patientName="Robert Roe", sex="male")),
    )
    assert found["4"] is found["3"]
    assert found["5"] is not found["3"]


def test_reports_of_one_very_mrn_are_about_one_patient_wherever_the_facility_is_named() -> None:
    found = people(report(snapshotMetadata=snapshot(facilityName="")), addendum())
    assert found["4"] is found["3"]
    assert found["3"].identity.is_linked


def test_a_patient_id_that_is_somebody_elses_is_not_used() -> None:
    mine = people(report())["3"].identity
    what = study(report())
    apart = subjects(what, what.reports, SITE, Facts(taken_patient_ids=frozenset({mine.patient_id})))[report_id("3")]
    assert (apart.identity.is_linked, apart.identity.patient_id == mine.patient_id) == (False, False)
    (number,) = apart.identity.identifiers[1:]
    assert (number.type, number.value, number.namespace) == ("MR", "MRN-001234", "CITY")
    assert number.system not in {one.system for one in mine.identifiers}  # else a match by it joins the two
    assert "identity-conflict" in [issue.code for issue in apart.issues]
    both = study(report(), addendum())
    two = subjects(both, both.reports, SITE, Facts(taken_patient_ids=frozenset({mine.patient_id})))
    assert two[report_id("3")] is two[report_id("4")]
    assert two[report_id("3")].identity.patient_id == apart.identity.patient_id
    assert "identity-conflict" in [issue.code for issue in two[report_id("3")].issues]


def test_a_verdict_counts_for_the_patient_that_it_names_and_for_no_other_of_the_study() -> None:
    peter = snapshot(patientName="SMITH^PETER", dateOfBirth="1950-01-01", sex="male")
    what = study(report(), addendum(snapshotMetadata=peter))

    def codes(taken: frozenset[str], *decided: str) -> list[list[str]]:
        facts = Facts(taken_patient_ids=taken, decided_patient_ids=frozenset(decided))
        found = subjects(what, what.reports, SITE, facts)
        return [
            [one.code for one in found[report_id(each)].issues if one.code.startswith("identity-")] for each in "34"
        ]

    first, second = (subjects(what, what.reports, SITE)[report_id(each)].identity.patient_id for each in "34")
    is_open, is_decided = ["identity-conflict"], ["identity-decided"]
    for taken in (frozenset[str](), frozenset({first})):
        assert codes(taken) == [is_open, is_open]
        assert codes(taken, first) == [is_decided, is_open]
        assert codes(taken, second) == [is_open, is_decided]
        assert codes(taken, first, second) == [is_decided, is_decided]


def test_an_addendum_with_an_identity_never_moves_an_original_without_one() -> None:
    found = people(report(snapshotMetadata={}), addendum())
    assert found["3"] is not found["4"]
    assert found["study"] is found["3"]


def test_no_draft_speaks_for_a_signed_report_or_moves_it() -> None:
    draft = report("5", status="in_progress", signedAt=None, createdAt="2024-05-01T00:00:00Z")
    found = people(report(), {**draft, "snapshotMetadata": snapshot(patientName="Jane Draft")})
    assert found["5"] is found["3"]
    assert found["3"].snapshot.patient_name == "Jane Doe"
    named = people(report(snapshotMetadata={}), draft)
    assert not named["3"].identity.is_linked
    assert named["study"] is named["3"]


def test_the_snapshot_of_a_study_is_that_of_its_newest_signed_original_and_no_addendum_moves_it() -> None:
    what = study(
        addendum("4", signedAt="2024-05-01T00:00:00Z", snapshotMetadata={"mrn": "addendum"}),
        report("5", signedAt="2024-04-01T00:00:00Z", snapshotMetadata={"mrn": "newest"}),
        report("3", signedAt="2024-03-01T00:00:00Z", snapshotMetadata={"mrn": "oldest"}),
    )
    assert subject_snapshot(what, what.reports) == (Snapshot(mrn="newest"), "/reports/1/snapshotMetadata")
    alone = study(addendum(snapshotMetadata={"mrn": "addendum"}))
    assert subject_snapshot(alone, alone.reports)[0] == Snapshot(mrn="addendum")


def test_a_report_without_identity_stays_with_the_originals_that_were_there_before_it() -> None:
    other = {"mrn": "99887766", "patientName": "ROE^RICK", "dateOfBirth": "1950-01-01", "sex": "male"}
    unnamed = addendum(snapshotMetadata={})
    reports = (report(), unnamed, report("7", snapshotMetadata={**report()["snapshotMetadata"], **other}))
    for seen, is_with_first in (("347", True), ("374", False)):
        found = people(*reports, seen=seen)
        assert (found["4"] is found["3"]) is is_with_first
        assert found["4"] is not found["7"]


def test_a_patient_whose_reports_name_nobody_any_more_is_the_one_that_a_gone_report_named() -> None:
    what = study(addendum(snapshotMetadata={}))
    gone = study(addendum("5")).reports
    facts = Facts(seen=(report_id("5"), report_id("4")), gone=gone)
    found = subjects(what, what.reports, SITE, facts)
    assert found[report_id("4")].identity.is_linked
    assert found[report_id("4")] is found[report_id("5")]
    assert [one.report_id for one in found[report_id("4")].reports] == [report_id("4")]


def test_the_newer_study_ranks_higher_by_date_then_by_signature() -> None:
    ranks = [
        recency(study(report(status="in_progress", signedAt=None, snapshotMetadata={})), NOW),
        recency(dated("2024-03-15"), NOW),
        recency(dated("2024-03-15", "2024-03-15T13:00:00-05:00"), NOW),
        recency(dated("2024-03-16", "2024-03-15T08:00:00Z"), NOW),
    ]
    assert ranks == sorted(set(ranks))


def dated(day: str, signed: str | None = "2024-03-15T16:00:00Z", **changes: Any) -> Study:
    return study(report(**{"snapshotMetadata": snapshot(studyDate=day), "signedAt": signed, **changes}))


def test_a_study_of_a_day_that_cannot_have_been_is_never_the_newest() -> None:
    before = recency(dated("2020-01-01", "2020-01-01T16:00:00Z"), NOW)
    assert recency(dated("2024-03-16"), NOW)[0] == "2024-03-16"
    for what, at in (
        (dated("2024-03-17"), NOW),
        (dated("2062"), NOW),
        (dated("2024-03-17", "2024-03-20T16:00:00Z"), datetime(2024, 3, 15, tzinfo=UTC)),
        (dated("9999-12-31", status="in_progress", signedAt=None), NOW),
        (dated("2024-06-01", "", status="in_progress", updatedAt="2024-03-15T16:00:00Z"), NOW),
        (study(reportMetadata=snapshot(studyDate="2062-01-01")), NOW),
        (dated("2024-03-17", None), NOW),
        (dated("2099-01-01", "2099-01-01T10:00:00Z", updatedAt="2099-01-01T10:00:00Z"), NOW),
    ):
        assert recency(what, at)[0] == ""
        assert recency(what, at) < before


def test_a_moment_of_signing_that_has_not_been_makes_no_study_the_newest() -> None:
    assert recency(dated("2024-03-15", "2099-01-01T10:00:00Z"), NOW) < recency(dated("2024-03-15"), NOW)
