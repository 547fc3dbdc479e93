"""HL7 v2.5.1 §7.3.1: the message of a cause, its segments, and the causes without a message."""

from dataclasses import replace

import pytest
from fakes.er7_reader import all_of, field, segments
from fakes.oru_example import ADDENDUM_ID, SNAPSHOT, UID, addendum, codes, report, send, sent, study

from mappings.hl7v2.judge import judge_message
from mappings.profile import Facility, Site, receiver

SIGNER = "1234567893^SMITH^ALEX^R^^^MD^^NPI^L^^^NPI"
AFTER = f"||||||F|||20260105142000-0500||{SIGNER}"
WHOLE = "18748-4^Diagnostic imaging study^LN|1"
FINDINGS = "59776-5^Procedure findings Narrative^LN|2"
IMPRESSION = "19005-8^Radiology Imaging study [Impression] (narrative)^LN|3"
# Example V1c of the reference without its NM lines, in the form of `generic`: the procedure code comes from the starter
# dictionary, findings have their own OBX-3 and OBX-4 (field map), the display of 19005-8 is LOINC's
V1C = [
    r"MSH|^~\&|AUTOSCRIBE_GW|MERCY_EAST|EHR_RAD|MERCY|20260105113014-0500||ORU^R01^ORU_R01|Js8H5Znu6q8Ibanjv4jC|P|2.5.1"
    r"||||||UNICODE UTF-8",
    "PID|1||00412345^^^MERCY^MR||DOE^JANE^Q^^^^L||19710214|F",
    "PV1|1|U|^^^MERCY_EAST|||||^JONES^ANN^^^DR",
    "ORC|RE||3oSAGvLY3tMWHhsMcmBrT8^AUTOSCRIBE||CM|||||||^JONES^ANN^^^DR",
    r"OBR|1||3oSAGvLY3tMWHhsMcmBrT8^AUTOSCRIBE|24628-0^CT CHEST WITH CONTRAST^LN|S||20260105142000-0500||||||"
    r"Shortness of breath \T\ pleuritic pain; R/O PE.|||^JONES^ANN^^^DR||ACC0098127|||0q7CEKJEfPH4C86NS9l66J"
    r"|20260105113012-0500||CT|F||^^^^^S||||^Shortness of breath \T\ pleuritic pain; R/O PE."
    r"|1234567893&SMITH&ALEX&R&&&MD&&NPI||||||||||||24628-0^CT CHEST WITH CONTRAST^LN",
    "TQ1|1||||||||S^Stat^HL70485",
    f"OBX|1|TX|{WHOLE}|EXAM: CT CHEST WITH CONTRAST{AFTER}",
    f"OBX|2|TX|{WHOLE}| {AFTER}",
    rf"OBX|3|TX|{WHOLE}|CLINICAL INDICATION: Shortness of breath \T\ pleuritic pain; R/O PE.{AFTER}",
    f"OBX|4|TX|{WHOLE}| {AFTER}",
    f"OBX|5|TX|{FINDINGS}|FINDINGS:{AFTER}",
    rf"OBX|6|TX|{FINDINGS}|Filling defect in the right lower lobe segmental artery (series 4 \F\ image 112).{AFTER}",
    rf"OBX|7|TX|{FINDINGS}|Heart size normal. RV/LV ratio \R\ 0.8.{AFTER}",
    f"OBX|8|TX|{FINDINGS}| {AFTER}",
    f"OBX|9|TX|{IMPRESSION}|IMPRESSION:{AFTER}",
    f"OBX|10|TX|{IMPRESSION}|1. Acute segmental pulmonary embolism, right lower lobe.{AFTER}",
    f"OBX|11|TX|{IMPRESSION}|2. No right heart strain.{AFTER}",
    f"ZDS|{UID}^AUTOSCRIBE^Application^DICOM",
]


def test_the_example_message_of_the_reference_is_reproduced_byte_for_byte() -> None:
    mapped = send(accession="ACC0098127")
    assert mapped.output == "".join(f"{line}\r" for line in V1C).encode()
    assert mapped.issues == ()


def test_the_example_message_is_found_good_by_the_judge() -> None:
    assert judge_message(sent(accession="ACC0098127")) == ()


def test_a_draft_sends_nothing_and_says_why() -> None:
    mapped = send(study(report(status="in_progress", signedAt=None)))
    assert mapped.output is None
    assert [issue.code for issue in mapped.issues] == ["report-not-signed"]


def test_a_study_of_an_external_archive_is_never_sent() -> None:
    mapped = send(study(studyType="external"))
    assert mapped.output is None
    assert [issue.code for issue in mapped.issues] == ["study-external"]


def test_a_cause_that_names_a_report_which_is_not_there_sends_nothing() -> None:
    mapped = send(report_id=ADDENDUM_ID)
    assert mapped.output is None
    assert [issue.code for issue in mapped.issues] == ["report-absent"]


def test_an_open_addendum_is_left_out_of_the_message_about_its_report() -> None:
    what = study(report(), addendum(status="in_progress", signedAt=None))
    assert sent(what) == sent()


def test_the_segments_stand_in_the_order_of_the_standard() -> None:
    names = list(dict.fromkeys(row[0] for row in segments(sent())))
    assert names == ["MSH", "PID", "PV1", "ORC", "OBR", "TQ1", "OBX", "ZDS"]


def test_without_a_known_severity_there_is_no_tq1() -> None:
    message = sent(study(severity="sudden"))
    assert all_of(message, "TQ1") == []
    assert field(message, "OBR-5") == field(message, "OBR-27") == ""


def test_a_receiver_that_reads_no_zds_gets_none() -> None:
    assert all_of(sent(to=replace(receiver("generic"), uid="none")), "ZDS") == []


def test_the_same_input_gives_the_same_bytes() -> None:
    assert sent() == sent()


def test_two_signed_reports_are_restated_in_one_message() -> None:
    what = study(report(), addendum())
    for cause in (report()["reportId"], ADDENDUM_ID):
        message = sent(what, report_id=cause)
        texts = [row[5] for row in all_of(message, "OBX")]
        assert texts[0] == "ADDENDUM (05-Jan-2026 12:45 -0500, ALEX R SMITH MD):"
        assert texts[1] == "Comparison CT of 12-Mar-2024 is now available. No embolism was present then."
        assert texts[2:4] == [" ", "REPORT (05-Jan-2026 11:30 -0500, ALEX R SMITH MD):"]
        assert texts[4:] == [row[5] for row in all_of(sent(), "OBX")]
        assert field(message, "OBR-22") == "20260105124500-0500"


def test_each_report_keeps_its_own_time_and_group_numbers_in_a_restatement() -> None:
    later = addendum(snapshot={"studyTime": "15:05"})
    rows = all_of(sent(study(report(), later)), "OBX")
    assert {row[14] for row in rows[:3]} == {"20260105150500-0500"}
    assert {row[14] for row in rows[3:]} == {"20260105142000-0500"}
    assert [row[1] for row in rows] == [str(number + 1) for number in range(len(rows))]
    assert {row[4] for row in rows[:3]} == {"1"}
    assert rows[3][4] == "2"


def test_addenda_come_newest_first_and_originals_as_they_were_signed() -> None:
    second = report(reportId="rep_" + "4" * 32, signedAt="2026-01-05T16:40:00Z", reportPlainText="second")
    later = addendum(reportId="rep_" + "5" * 32, signedAt="2026-01-06T08:00:00Z", reportPlainText="newest")
    what = study(later, second, addendum(reportPlainText="older"), report(reportPlainText="first"))
    texts = [row[5] for row in all_of(sent(what), "OBX")]
    assert [text for text in texts if text in {"first", "second", "older", "newest"}] == [
        "newest",
        "older",
        "first",
        "second",
    ]
    assert [text.split(" ")[0] for text in texts if text.endswith("):")] == ["ADDENDUM", "ADDENDUM", "REPORT", "REPORT"]


def test_without_a_zone_the_header_of_a_restated_report_is_marked_utc() -> None:
    texts = [row[5] for row in all_of(sent(study(report(), addendum()), site=Site()), "OBX")]
    assert texts[0] == "ADDENDUM (05-Jan-2026 17:45 UTC, ALEX R SMITH MD):"


def test_a_header_says_what_is_not_known_of_time_and_signer() -> None:
    what = study(report(), addendum(signedAt=None), users=())
    assert all_of(sent(what), "OBX")[0][5] == "ADDENDUM (time of signing not known):"


def test_a_report_about_another_patient_never_shares_a_message() -> None:
    other = addendum(snapshot={"mrn": "99887766"}, reportPlainText="About somebody else.")
    what = study(report(), other)
    first, second = sent(what), sent(what, report_id=ADDENDUM_ID)
    assert field(first, "PID-3") == "00412345^^^MERCY^MR"
    assert "somebody" not in first.decode()
    assert field(second, "PID-3") == "99887766^^^MERCY^MR"
    assert [row[5] for row in all_of(second, "OBX")][1:] == ["About somebody else."]
    assert codes(what)["identity-conflict"] == "/reports/0/snapshotMetadata"
    assert codes(what, report_id=ADDENDUM_ID)["identity-conflict"] == "/reports/1/snapshotMetadata"


def test_a_report_about_another_patient_overwrites_nobodys_result() -> None:
    what = study(report(), addendum(snapshot={"mrn": "99887766"}))
    numbers = {field(sent(what, report_id=one), "OBR-3") for one in (report()["reportId"], ADDENDUM_ID)}
    assert numbers == {
        "3oSAGvLY3tMWHhsMcmBrT8^AUTOSCRIBE",
        f"{field(sent(what, report_id=ADDENDUM_ID), 'OBR-21')}^AUTOSCRIBE",
    }


@pytest.mark.parametrize("telling", [{"mrn": "4555"}, {"dateOfBirth": "1999-01-01", "sex": "male"}])
def test_without_an_assigned_mrn_whatever_tells_people_apart_keeps_reports_apart(telling: dict[str, str]) -> None:
    what = study(
        report(snapshot={"facilityName": "Elsewhere"}), addendum(snapshot={"facilityName": "Elsewhere", **telling})
    )
    assert len([row for row in all_of(sent(what), "OBX") if "Comparison" in row[5]]) == 0
    assert "identity-conflict" in codes(what)


def test_two_patients_without_any_identifier_have_two_identifiers_of_the_gateway() -> None:
    what = study(report(snapshot={"mrn": None}), addendum(snapshot={"mrn": None, "sex": "male"}))
    first, second = field(sent(what), "PID-3"), field(sent(what, report_id=ADDENDUM_ID), "PID-3")
    assert first != second


def test_an_addendum_that_says_nothing_of_the_patient_goes_with_its_report() -> None:
    nothing = dict.fromkeys(SNAPSHOT)
    what = study(report(), addendum(snapshot=nothing))
    message = sent(what, report_id=ADDENDUM_ID)
    assert field(message, "PID-3") == "00412345^^^MERCY^MR"
    assert "identity-conflict" not in codes(what)


def test_the_patient_is_named_by_a_report_that_knows_him_even_if_a_newer_original_does_not() -> None:
    newer = report(reportId="rep_" + "4" * 32, signedAt="2026-01-06T08:00:00Z", snapshot=dict.fromkeys(SNAPSHOT))
    assert field(sent(study(report(), newer)), "PID-3") == "00412345^^^MERCY^MR"


def test_the_interpreter_is_the_newest_originals_signer() -> None:
    what = study(report(), addendum(userId="usr_" + "9" * 32))
    assert field(sent(what), "OBR-32") == "1234567893&SMITH&ALEX&R&&&MD&&NPI"
    assert codes(what)["user-unknown"] == "/reports/1/userId"


def test_no_issue_is_said_twice() -> None:
    issues = send(
        study(report(snapshot={"referringPhysicianName": "Ann Jones", "facilityName": "X"})), site=Site()
    ).issues
    assert len(issues) == len(set(issues))


def test_heights_and_weights_are_sent_where_a_profile_wants_them() -> None:
    rows = all_of(sent(to=replace(receiver("generic"), vitals="on")), "OBX")
    assert rows[0][1:7] == ["1", "NM", "8302-2^Body height^LN", "", "65", "[in_i]^in^UCUM"]
    assert rows[1][1:7] == ["2", "NM", "29463-7^Body weight^LN", "", "180", "[lb_av]^lb^UCUM"]
    assert rows[0][11:15] == ["F", "", "", "20260105142000-0500"]
    assert rows[2][1:3] == ["3", "TX"]


def test_an_impossible_weight_is_not_sent() -> None:
    what = study(report(snapshot={"weight": {"unit": "kg", "value": 0}}))
    mapped = send(what, to=replace(receiver("generic"), vitals="on"))
    assert [issue.code for issue in mapped.issues] == ["measurement-impossible"]


def test_the_facility_without_a_code_is_named_as_it_is() -> None:
    site = Site(facilities={"Mercy East": Facility("Mercy East")})
    assert field(sent(site=site), "MSH-4") == "Mercy East"
    assert field(sent(site=site), "PV1-3") == "^^^Mercy East"
