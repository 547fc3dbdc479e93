"""HL7 v2.5.1 §7.4.2, decision D24: height and weight."""

from dataclasses import replace

from fakes.er7_reader import all_of, field
from fakes.oru_example import codes, report, sent, study

from mappings.profile import receiver

WITH_VITALS = replace(receiver("generic"), vitals="on")


def numbers(**snapshot: object) -> list[list[str]]:
    what = study(report(snapshot=snapshot))
    return [row for row in all_of(sent(what, to=WITH_VITALS), "OBX") if row[2] == "NM"]


def test_height_and_weight_stand_before_the_report_as_in_the_reference() -> None:
    rows = all_of(sent(to=replace(WITH_VITALS, uid="obx113014")), "OBX")
    assert ["|".join(row) for row in rows[1:3]] == [
        "OBX|2|NM|8302-2^Body height^LN||65|[in_i]^in^UCUM|||||F|||20260105142000-0500",
        "OBX|3|NM|29463-7^Body weight^LN||180|[lb_av]^lb^UCUM|||||F|||20260105142000-0500",
    ]
    assert rows[3][1] == "4"


def test_a_receiver_that_takes_no_numbers_gets_none() -> None:
    assert {row[2] for row in all_of(sent(), "OBX")} == {"TX"}


def test_what_cannot_be_a_height_is_left_out_and_reported() -> None:
    unlikely = {"unit": "cm", "value": 9999}
    assert [row[3] for row in numbers(height=unlikely)] == ["29463-7^Body weight^LN"]
    issues = codes(study(report(snapshot={"height": unlikely})), to=WITH_VITALS)
    assert issues["measurement-impossible"] == "/reports/0/snapshotMetadata/height/value"


def test_a_measurement_has_the_time_of_the_examination() -> None:
    what = study(report(snapshot={"studyTime": None}))
    message = sent(what, to=WITH_VITALS)
    assert {row[14] for row in all_of(message, "OBX") if row[2] == "NM"} == {field(message, "OBR-7")} == {"20260105"}


def test_without_any_day_a_measurement_has_no_time() -> None:
    what = study(report(snapshot={"studyDate": None}, signedAt=None))
    rows = [row for row in all_of(sent(what, to=WITH_VITALS), "OBX") if row[2] == "NM"]
    assert [row[11:] for row in rows] == [["F"], ["F"]]
