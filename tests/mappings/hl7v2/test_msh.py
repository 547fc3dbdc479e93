"""HL7 v2.5.1 §2.15.9."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from fakes.er7_reader import field
from fakes.oru_example import REPORT_ID, SITE, codes, profile, report, sent, study

from mappings import to_oru
from mappings.model import Cause
from mappings.profile import Site, receiver


def test_a_configured_facility_is_sent_by_its_code() -> None:
    assert field(sent(), "MSH-4") == "MERCY_EAST"


def test_an_unknown_facility_is_sent_as_the_sites_sending_facility() -> None:
    site = Site(sending_facility="CLINIC")
    assert field(sent(site=site), "MSH-4") == "CLINIC"


def test_a_facility_name_stands_for_itself_where_nothing_is_configured() -> None:
    assert field(sent(site=Site()), "MSH-4") == "Mercy East"
    assert field(sent(study(report(snapshot={"facilityName": None})), site=Site()), "MSH-4") == ""


def test_a_facility_name_of_any_length_is_sent_whole() -> None:
    what = study(report(snapshot={"facilityName": "M" * 300}))
    assert field(sent(what, site=Site()), "MSH-4") == "M" * 300
    assert codes(what, site=Site())["length-exceeded"] == "/reports/0/snapshotMetadata/facilityName"


def test_an_oid_goes_into_the_universal_id() -> None:
    assert field(sent(site=replace(SITE, receiving_facility="1.2.840.1")), "MSH-6") == "^1.2.840.1^ISO"


def test_a_receiver_is_addressed_as_its_profile_says_else_as_the_site_does() -> None:
    assert [field(sent(), "MSH-5"), field(sent(), "MSH-6")] == ["EHR_RAD", "MERCY"]
    own = sent(to=profile(receiving_application="ARC|1", receiving_facility="1.2.840.1"))
    assert [field(own, "MSH-5"), field(own, "MSH-6")] == [r"ARC\F\1", "^1.2.840.1^ISO"]
    half = sent(to=profile(receiving_facility="CITY"))
    assert [field(half, "MSH-5"), field(half, "MSH-6")] == ["EHR_RAD", "CITY"]


def test_a_configured_value_cannot_break_the_message() -> None:
    assert field(sent(site=replace(SITE, sending_application="A|B\rC")), "MSH-3") == r"A\F\B C"


def test_the_time_of_the_message_has_its_offset() -> None:
    at = datetime(2026, 1, 5, 11, 30, 14, tzinfo=timezone(timedelta(hours=-5)))
    mapped = to_oru(study(), Cause(REPORT_ID), SITE, receiver("generic"), control_id="1", at=at)
    assert mapped.output is not None
    assert field(mapped.output, "MSH-7") == "20260105113014-0500"
    assert at.astimezone(UTC).hour == 16


def test_processing_id_version_and_charset_come_from_site_and_receiver() -> None:
    message = sent(site=replace(SITE, processing_id="T"))
    assert [field(message, f"MSH-{number}") for number in (9, 11, 12, 18)] == [
        "ORU^R01^ORU_R01",
        "T",
        "2.5.1",
        "UNICODE UTF-8",
    ]


def test_a_receiver_that_wants_no_message_structure_gets_none() -> None:
    assert field(sent(to=profile(msh9_3="off")), "MSH-9") == "ORU^R01"


@pytest.mark.parametrize(
    ("mode", "asked"), [("original", ["", ""]), ("commit", ["AL", "NE"]), ("two_phase", ["AL", "AL"])]
)
def test_the_acknowledgements_asked_for_are_of_table_0155(mode: str, asked: list[str]) -> None:
    message = sent(to=profile(ack_mode=mode))
    assert [field(message, "MSH-15"), field(message, "MSH-16")] == asked


@pytest.mark.parametrize("charset", ["UNICODE UTF-8", "8859/1", "ASCII"])
def test_the_character_set_is_always_said(charset: str) -> None:
    assert field(sent(to=profile(charset=charset)), "MSH-18") == charset


@pytest.mark.parametrize(
    ("form", "signed", "examined"),
    [
        ("offset", "20260105163012+0000", "20260105142000-0500"),
        ("local", "20260105113012-0500", "20260105142000-0500"),
        ("utc", "20260105163012+0000", "20260105192000+0000"),
        ("no_offset", "20260105113012", "20260105142000"),
    ],
)
def test_every_time_of_a_message_has_the_form_of_its_receiver(form: str, signed: str, examined: str) -> None:
    message = sent(to=profile(dtm=form))
    assert field(message, "OBR-22") == signed
    assert field(message, "OBR-7") == field(message, "OBX-14") == examined
    assert field(message, "MSH-7")[14:] == signed[14:]


@pytest.mark.parametrize("form", ["offset", "local", "utc", "no_offset"])
def test_a_date_alone_stays_a_date_in_every_form(form: str) -> None:
    what = study(report(snapshot={"studyTime": None}))
    assert field(sent(what, to=profile(dtm=form)), "OBR-7") == "20260105"


def test_without_a_known_zone_no_time_is_said_as_if_it_were_local() -> None:
    assert field(sent(site=Site(), to=profile(dtm="no_offset")), "OBR-22") == "20260105"
    assert field(sent(site=Site(), to=profile(dtm="local")), "OBR-22") == "20260105163012+0000"
    assert field(sent(site=Site(), to=profile(dtm="utc")), "OBR-22") == "20260105163012+0000"
    assert "time-zone-unknown" in codes(site=Site(), to=profile(dtm="no_offset"))
