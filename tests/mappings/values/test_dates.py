"""Times as far as known: no invented zone, no impossible date, no ambiguous moment (D15)."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from fakes.upstream_json import report_json

from mappings.model import Snapshot
from mappings.profile import Facility, Site
from mappings.study.autoscribe import decode
from mappings.values.dates import (
    When,
    age_issues,
    birth_date,
    dtm_date,
    dtm_instant,
    effective,
    fhir_instant,
    is_too_late,
    parse_date,
    parse_instant,
    read_instant,
    study_date_limit,
    study_dates_after,
)

PLACE = "/reports/0/snapshotMetadata"
LAST = "9999-12-31T23:59:59Z"


def when(zone=None, signed_at="2024-03-15T16:00:00Z", **snapshot):
    facility = Facility("Mercy", time_zone=ZoneInfo(zone) if zone else None)
    (report,) = decode(
        None, [report_json(signedAt=signed_at, snapshotMetadata={"facilityName": "Mercy", **snapshot})]
    ).reports
    said, issues = effective(report, Site(facilities={"Mercy": facility}))
    return said, [(issue.code, issue.pointer) for issue in issues]


@pytest.mark.parametrize(
    ("text", "dtm"),
    [
        ("1985-07-20", "19850720"),
        ("2024-02-29", "20240229"),
        ("2000-02-29", "20000229"),
        ("0001-01-01", "00010101"),
        ("9999-12-31", "99991231"),
        ("1985-07", "198507"),
        ("1985", "1985"),
    ],
)
def test_a_date_that_exists_is_kept_whole_or_partial(text, dtm):
    assert parse_date(text) == text
    assert parse_date(f" {text}\n") == text
    assert dtm_date(text) == dtm


@pytest.mark.parametrize(
    "text",
    [
        *(None, "", " ", "7321-69-10", "2023-02-29", "1900-02-29", "2024-04-31", "2024-00-10", "2024-13", "0000-01-01"),
        *(
            "0000",
            "85-07-20",
            "1985-7-20",
            "19850720",
            "07/20/1985",
            "1985-07-20T00:00:00Z",
            "1985-07-",
            "１９８５-07-20",
        ),
    ],
)
def test_a_date_that_no_calendar_has_is_none(text):
    assert parse_date(text) is None


@pytest.mark.parametrize(
    ("text", "fhir", "dtm"),
    [
        ("2024-03-15T16:00:00Z", "2024-03-15T16:00:00Z", "20240315160000+0000"),
        ("2024-03-15t16:00:00z", "2024-03-15T16:00:00Z", "20240315160000+0000"),
        (" 2024-03-15T16:00:00Z ", "2024-03-15T16:00:00Z", "20240315160000+0000"),
        ("2024-03-15T16:00:00+00:00", "2024-03-15T16:00:00Z", "20240315160000+0000"),
        ("2024-03-15T16:00:00-00:00", "2024-03-15T16:00:00Z", "20240315160000+0000"),
        ("2024-03-15T11:00:00-05:00", "2024-03-15T11:00:00-05:00", "20240315110000-0500"),
        ("2024-03-15T21:30:00+0530", "2024-03-15T21:30:00+05:30", "20240315213000+0530"),
        ("2024-03-16T06:00:00+14:00", "2024-03-16T06:00:00+14:00", "20240316060000+1400"),
        ("2024-03-15T16:00:00.5Z", "2024-03-15T16:00:00.500000Z", "20240315160000+0000"),
        ("2024-03-15T16:00:00.123456789Z", "2024-03-15T16:00:00.123456Z", "20240315160000+0000"),
        ("2024-03-15T16:00:00.000Z", "2024-03-15T16:00:00Z", "20240315160000+0000"),
        ("2024-03-15T16:00:00.00009Z", "2024-03-15T16:00:00.000090Z", "20240315160000+0000"),
        ("2024-02-29T23:59:59Z", "2024-02-29T23:59:59Z", "20240229235959+0000"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "00010101000000+0000"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z", "99991231235959+0000"),
    ],
)
def test_an_instant_is_written_with_its_offset_in_both_languages(text, fhir, dtm):
    moment = parse_instant(text)
    assert (fhir_instant(moment), dtm_instant(moment)) == (fhir, dtm)
    assert parse_instant(fhir) == moment


@pytest.mark.parametrize(
    "text",
    [
        *(None, "", "2024-03-15", "2024-03-15T16:00:00", "2024-03-15T16:00Z", "2024-03-15 16:00:00Z"),
        *("2023-02-29T16:00:00Z", "7321-69-10T16:00:00Z", "2024-03-15T24:00:00Z", "2024-03-15T23:59:60Z"),
        *("2024-03-15T16:00:00+15:00", "2024-03-15T16:00:00+14:30", "2024-03-15T16:00:00+12:60"),
        *("0000-01-01T00:00:00Z", "0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00", "1710518400"),
        *("2024-03-15T16:00:00.Z", "2024-03-15T16:00:00.1234567890Z", "2024-03-15T16:00:00Z\x00"),
    ],
)
def test_without_an_offset_or_a_calendar_date_no_moment_is_known(text):
    assert parse_instant(text) is None


def test_a_dtm_offset_has_four_digits_and_a_short_year_has_four_too():
    assert dtm_instant(datetime(987, 6, 5, 4, 3, 2, tzinfo=timezone(timedelta(hours=-3, minutes=-30)))) == (
        "09870605040302-0330"
    )


def test_a_zone_that_is_at_utc_is_written_as_z():
    assert fhir_instant(datetime(2024, 1, 15, 12, tzinfo=ZoneInfo("Europe/London"))) == "2024-01-15T12:00:00Z"
    assert fhir_instant(datetime(2024, 7, 15, 12, tzinfo=ZoneInfo("Europe/London"))) == "2024-07-15T12:00:00+01:00"


def test_a_date_alone_is_said_as_a_date_alone():
    assert (When("2024-03-15").fhir, When("2024-03-15").dtm) == ("2024-03-15", "20240315")


@pytest.mark.parametrize(
    ("zone", "day", "clock", "fhir", "dtm"),
    [
        ("America/New_York", "2024-03-15", "14:30", "2024-03-15T14:30:00-04:00", "20240315143000-0400"),
        ("America/New_York", "2024-01-15", "14:30", "2024-01-15T14:30:00-05:00", "20240115143000-0500"),
        ("Asia/Kolkata", "2024-03-15", "00:00", "2024-03-15T00:00:00+05:30", "20240315000000+0530"),
        ("UTC", "2024-02-29", "23:59:59", "2024-02-29T23:59:59Z", "20240229235959+0000"),
        ("UTC", "2024-02-29", " 09:05:07.25 ", "2024-02-29T09:05:07.250000Z", "20240229090507+0000"),
        ("UTC", "9999-12-31", "23:59", "9999-12-31T23:59:00Z", "99991231235900+0000"),
        ("UTC", "0001-01-01", "00:00", "0001-01-01T00:00:00Z", "00010101000000+0000"),
    ],
)
def test_date_and_time_of_a_facility_with_a_zone_are_said_with_their_offset(zone, day, clock, fhir, dtm):
    said, issues = when(zone, LAST, studyDate=day, studyTime=clock)
    assert (said.fhir, said.dtm, said.day, issues) == (fhir, dtm, day, [])


def test_without_a_zone_only_the_date_is_said():
    assert when(studyDate="2024-03-15", studyTime="14:30") == (
        When("2024-03-15"),
        [("time-zone-unknown", f"{PLACE}/studyTime")],
    )


def test_a_facility_that_the_site_does_not_know_has_no_zone():
    said, issues = when("UTC", facilityName="Mercy East", studyDate="2024-03-15", studyTime="14:30")
    assert (said, issues) == (When("2024-03-15"), [("time-zone-unknown", f"{PLACE}/studyTime")])


def test_a_date_without_a_time_is_no_issue():
    assert when("UTC", studyDate="2024-03-15") == (When("2024-03-15"), [])


@pytest.mark.parametrize(
    "clock", ["24:00", "25:00", "12:60", "12:00:60", "1430", "2:30", "2:30 PM", "", "noon", "14:30Z"]
)
@pytest.mark.parametrize("zone", [None, "UTC"])
def test_a_time_that_no_clock_shows_leaves_the_date(clock, zone):
    said, issues = when(zone, studyDate="2024-03-15", studyTime=clock)
    assert (said, issues) == (When("2024-03-15"), [("study-time-impossible", f"{PLACE}/studyTime")])


@pytest.mark.parametrize(
    ("zone", "day", "clock"),
    [
        ("America/New_York", "2024-03-10", "02:30"),
        ("America/New_York", "2024-11-03", "01:30"),
        ("Europe/Berlin", "2024-03-31", "02:00"),
        ("Europe/Berlin", "2024-10-27", "02:59"),
        ("Australia/Lord_Howe", "2024-04-07", "01:45"),
        ("Australia/Lord_Howe", "2024-10-06", "02:15"),
        ("America/Sao_Paulo", "2018-11-04", "00:30"),
        ("Pacific/Apia", "2011-12-30", "12:00"),
        ("Asia/Kolkata", "1850-01-01", "12:00"),
        ("Asia/Tokyo", "0001-01-01", "00:00"),
        ("America/New_York", "9999-12-31", "23:00"),
    ],
)
def test_a_time_with_no_or_two_or_no_writable_offset_leaves_the_date(zone, day, clock):
    said, issues = when(zone, LAST, studyDate=day, studyTime=clock)
    assert (said, issues) == (When(day), [("study-time-ambiguous", f"{PLACE}/studyTime")])


@pytest.mark.parametrize(
    ("zone", "day", "clock", "fhir"),
    [
        ("America/New_York", "2024-03-10", "01:59:59", "2024-03-10T01:59:59-05:00"),
        ("America/New_York", "2024-03-10", "03:00", "2024-03-10T03:00:00-04:00"),
        ("America/New_York", "2024-11-03", "00:59", "2024-11-03T00:59:00-04:00"),
        ("America/New_York", "2024-11-03", "02:00", "2024-11-03T02:00:00-05:00"),
        ("Australia/Lord_Howe", "2024-04-07", "02:00", "2024-04-07T02:00:00+10:30"),
    ],
)
def test_the_hours_beside_a_change_of_clocks_are_certain(zone, day, clock, fhir):
    said, issues = when(zone, LAST, studyDate=day, studyTime=clock)
    assert (said.fhir, issues) == (fhir, [])


@pytest.mark.parametrize(
    ("snapshot", "code"),
    [
        ({}, "study-date-absent"),
        ({"studyTime": "14:30"}, "study-date-absent"),
        ({"studyDate": "7321-69-10", "studyTime": "14:30"}, "study-date-impossible"),
        ({"studyDate": "2024-03"}, "study-date-impossible"),
        ({"studyDate": ""}, "study-date-impossible"),
    ],
)
def test_without_a_whole_study_date_the_time_of_signing_stands_for_it_or_nothing(snapshot, code):
    said, issues = when("UTC", **snapshot)
    assert (said.fhir, said.dtm, said.is_of_signature) == ("2024-03-15T16:00:00Z", "20240315", True)
    assert issues == [(code, f"{PLACE}/studyDate")]
    for signed_at in (None, "2024-03-15T16:00:00"):
        assert when("UTC", signed_at, **snapshot) == (None, [(code, f"{PLACE}/studyDate")])


def test_a_report_that_is_not_signed_has_no_time_of_signing_to_stand_for_a_study_date():
    signed = report_json(status="in_progress", signedAt="2024-03-15T16:00:00Z", snapshotMetadata={})
    said, issues = effective(decode(None, [signed]).reports[0], Site())
    assert (said, [issue.code for issue in issues]) == (None, ["study-date-absent"])


@pytest.mark.parametrize(
    ("zone", "signed_at", "dtm"),
    [
        ("America/New_York", "2024-03-15T02:30:00Z", "20240314"),
        ("Pacific/Auckland", "2024-03-15T12:30:00Z", "20240316"),
        (None, "2024-03-15T23:30:00-05:00", "20240316"),
        ("America/New_York", "0001-01-01T00:00:00Z", "00010101"),
    ],
)
def test_a_time_of_signing_stands_in_v2_with_its_day_at_the_facility_or_in_utc(zone, signed_at, dtm):
    """Decision D15: no finer than the day; without a zone MSH-7, whose zone is the default, is in UTC."""
    said, _ = when(zone, signed_at)
    assert (said.dtm, said.moment) == (dtm, parse_instant(signed_at))


@pytest.mark.parametrize(
    ("born", "studied", "day", "said"),
    [
        (None, "2024-03-15", None, []),
        ("1985-07", "2024-03-15", "1985-07", []),
        ("1985-02-30", None, None, ["birth-date-impossible"]),
        ("2031-01-01", "2024-03-15", "2031-01-01", ["birth-date-after-study"]),
    ],
)
def test_a_birth_date_that_no_calendar_has_is_dropped_and_one_after_the_study_kept(born, studied, day, said):
    found, issues = birth_date(Snapshot(date_of_birth=born, study_date=studied), "/s")
    assert found == day
    assert [(issue.code, issue.pointer) for issue in issues] == [(code, "/s/dateOfBirth") for code in said]


def ages(age, born="1985-07-20", studied="2024-03-15"):
    found = age_issues(Snapshot(age=age, date_of_birth=born, study_date=studied), "/s")
    return [(issue.code, issue.pointer) for issue in found]


CONTRADICTED = [("age-contradicts-birth-date", "/s/age")]


@pytest.mark.parametrize(
    ("age", "born"),
    [
        *(
            (age, "1985-07-20")
            for age in ("38 years", "39 years", "38.7 Years", "38,65 yrs", "038Y", "39 y/o", "38yo.")
        ),
        *((age, "1985-07-20") for age in ("464 months", "2017 weeks old", "14118 days")),
        *(("38 years", born) for born in ("1985", "1986", "1985-07", "1987-03-10")),
        *((age, "2024-02-29") for age in ("15 days", "2 weeks", "3 weeks", "0 months", "1 month", "0 years", "1 year")),
        ("100 years", "1923-03-16"),
    ],
)
def test_an_age_rounded_by_one_unit_contradicts_no_birth_date(age, born):
    assert ages(age, born) == []


@pytest.mark.parametrize(
    ("age", "born"),
    [
        *((age, "1985-07-20") for age in ("36 years", "41 years", "3 years", "38 months", "38 days", "083Y")),
        *(("38 years", born) for born in ("1983", "1988", "1995-07", "1942-01-01")),
        *((age, "2024-02-29") for age in ("12 days", "2 months", "2 years", "38 years")),
    ],
)
def test_an_age_that_the_birth_date_contradicts_on_the_study_date_is_an_issue(age, born):
    assert ages(age, born) == CONTRADICTED
    found, issues = birth_date(Snapshot(age=age, date_of_birth=born, study_date="2024-03-15"), "/s")
    assert (found, [(issue.code, issue.pointer) for issue in issues]) == (born, CONTRADICTED)


@pytest.mark.parametrize(
    ("age", "born", "studied"),
    [
        *(
            (age, "1985-07-20", "2024-03-15")
            for age in (None, "", "adult", "1 year 3 months", "38", "3-4 years", "years")
        ),
        *(("3 years", born, "2024-03-15") for born in (None, "", "1985-02-30", "2030-01-01")),
        *(("3 years", "1985-07-20", studied) for studied in (None, "", "2024-02-30")),
    ],
)
def test_what_is_not_said_or_not_understood_of_an_age_contradicts_nothing(age, born, studied):
    assert ages(age, born, studied) == []


@pytest.mark.parametrize(
    ("text", "said"), [(None, []), ("2024-03-15T16:00:00Z", []), ("never", ["instant-unreadable"])]
)
def test_a_moment_that_is_said_but_is_none_is_an_issue(text, said):
    moment, issues = read_instant(text, "/signedAt")
    assert moment == parse_instant(text)
    assert [issue.code for issue in issues] == said


@pytest.mark.parametrize(
    ("day", "is_late"), [("2024-03-15", False), ("2024-03-16", False), ("2024-03-17", True), ("2062-03-15", True)]
)
def test_a_study_of_more_than_a_day_after_its_signature_is_kept_and_said(day, is_late):
    said, issues = when(studyDate=day)
    assert said == When(day)
    assert issues == ([("study-date-too-late", f"{PLACE}/studyDate")] if is_late else [])
    for unsaid in ("not said", None):  # then the report's last update decides
        assert [code for code, _ in when(signed_at=unsaid, studyDate=day)[1]] == ["study-date-too-late"] * is_late


FUTURE = [*({"studyDate": day} for day in ("2099-01-01", "2099", "2024-03-16", "no day")), {}]


def test_a_study_date_that_has_not_been_is_said_whatever_the_report_says_of_when_it_was_signed():
    reports = decode(
        None,
        [
            report_json(digit, signedAt="2099-01-01T00:00:00Z", updatedAt=None, snapshotMetadata=said)
            for digit, said in zip("45678", FUTURE, strict=True)
        ],
    ).reports
    issues = [*study_dates_after(reports, datetime(2024, 3, 15, 16, tzinfo=UTC))]
    assert [(one.code, one.pointer) for one in issues] == [
        ("study-date-too-late", f"/reports/{place}/snapshotMetadata/studyDate") for place in (0, 1)
    ]
    assert [*study_dates_after(reports, datetime(2099, 1, 1, tzinfo=UTC))] == []


def test_an_unsigned_report_is_no_older_than_it_was_changed_last():
    at = {"status": "in_progress", "signedAt": "2024-01-01T00:00:00Z", "createdAt": "2024-03-01T00:00:00Z"}
    for changed, limit in (("2024-03-15T16:00:00Z", 15), (None, 1)):
        (report,) = decode(None, [report_json(**at, updatedAt=changed)]).reports
        assert study_date_limit(report) == datetime(2024, 3, limit, 16 if changed else 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("day", "is_late"), [("2024", False), ("2025", True), ("2024-03", False), ("2024-04", True), ("", False)]
)
def test_a_partial_day_is_too_late_only_as_a_whole(day, is_late):
    assert is_too_late(day, datetime(2024, 3, 15, 16, tzinfo=UTC)) is is_late


def test_no_day_is_too_late_for_the_last_of_the_calendar():
    assert not is_too_late("9999-12-31", datetime.max.replace(tzinfo=UTC))
