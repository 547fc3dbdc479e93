"""Laws of dates: FHIR and DTM give the original moment, always well formed."""

import re
from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from fakes.upstream_json import report_json
from hypothesis import given
from hypothesis import strategies as st

from mappings.profile import Facility, Site
from mappings.study.autoscribe import decode
from mappings.values.dates import dtm_date, dtm_instant, effective, fhir_instant, parse_date, parse_instant

# https://hl7.org/fhir/R4/datatypes.html: the regular expressions of date, dateTime and instant
YEAR = r"([0-9]([0-9]([0-9][1-9]|[1-9]0)|[1-9]00)|[1-9]000)"
OFFSET = r"(Z|(\+|-)((0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?" + OFFSET
FHIR_INSTANT = re.compile(YEAR + r"-(0[1-9]|1[0-2])-(0[1-9]|[1-2][0-9]|3[0-1])T" + TIME)
FHIR_DATE_TIME = re.compile(YEAR + r"(-(0[1-9]|1[0-2])(-(0[1-9]|[1-2][0-9]|3[0-1])(T" + TIME + r")?)?)?")
# HL7 v2.5.1 §2.A.22
DTM = re.compile(r"[0-9]{4}([0-9]{2}([0-9]{2}([0-9]{6}(\.[0-9]{1,4})?[+-][0-9]{4})?)?)?")

offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
FIRST, LAST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
moments = st.builds(
    lambda since, offset: (FIRST + since).astimezone(offset), st.timedeltas(timedelta(), LAST - FIRST), offsets
)
zones = st.sampled_from(
    ["America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia", "Etc/GMT-14", "UTC"]
).map(ZoneInfo)
date_like = st.one_of(
    st.dates().map(str), st.from_regex(r"[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?", fullmatch=True), st.text()
)
clock_like = st.one_of(st.times().map(str), st.from_regex(r"[0-9]{2}:[0-9]{2}(:[0-9]{2})?", fullmatch=True), st.text())


@given(moments)
def test_an_instant_reads_back_as_itself_and_is_well_formed_in_both_languages(moment):
    read = parse_instant(moment.isoformat())
    assert read == moment
    assert FHIR_INSTANT.fullmatch(fhir_instant(read))
    assert DTM.fullmatch(dtm_instant(read))
    assert parse_instant(fhir_instant(read)) == moment


@given(moments)
def test_a_dtm_says_the_same_moment_to_the_second(moment):
    said = datetime.strptime(dtm_instant(moment), "%Y%m%d%H%M%S%z")
    assert timedelta() <= moment - said < timedelta(seconds=1)


@given(st.dates())
def test_every_date_of_the_calendar_and_its_partial_forms_are_dates(day):
    for text in (day.isoformat(), day.isoformat()[:7], day.isoformat()[:4]):
        assert parse_date(text) == text
        assert FHIR_DATE_TIME.fullmatch(text)
        assert DTM.fullmatch(dtm_date(text))


@given(st.one_of(date_like, st.text()))
def test_any_other_text_is_no_date(text):
    found = parse_date(text)
    if found is not None:
        assert found == text.strip()
        year, month, day = (*map(int, found.split("-")), 1, 1)[:3]
        assert date(year, month, day)


@given(st.text())
def test_any_text_is_an_instant_that_fhir_can_write_or_none(text):
    moment = parse_instant(text)
    assert moment is None or FHIR_INSTANT.fullmatch(fhir_instant(moment))


@given(date_like, clock_like, zones)
def test_a_study_moment_is_well_formed_and_names_one_moment(day, clock, zone):
    snapshot = {"facilityName": "Mercy", "studyDate": day, "studyTime": clock}
    (report,) = decode(None, [report_json(snapshotMetadata=snapshot)]).reports
    said, issues = effective(report, Site(facilities={"Mercy": Facility("Mercy", time_zone=zone)}))
    assert FHIR_DATE_TIME.fullmatch(said.fhir)
    assert DTM.fullmatch(said.dtm)
    if not issues:
        wall = datetime.fromisoformat(said.fhir).replace(tzinfo=zone)
        assert wall.replace(fold=0).astimezone(UTC) == wall.replace(fold=1).astimezone(UTC)
        assert said.fhir.startswith(day.strip())
