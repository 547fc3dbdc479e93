"""`convert`: every form of input, every fault in it, and no output after a fault."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.cli.convert import Request, convert
from mappings.issues import WireError
from mappings.profile import AssigningAuthority, Facility, Site, receiver

GOLDEN = Path(__file__).parents[2] / "golden"
AT = datetime(2026, 1, 5, 20, 30, 14, tzinfo=UTC)
BASE = "http://127.0.0.1:8800/fhir"
CITY = Facility("City Medical Center", mrn=AssigningAuthority("urn:oid:2.999.7", "CITY"))
SITE = Site(facilities={CITY.name: CITY}, on_conflict="send")


def golden(case: str) -> dict:
    return json.loads((GOLDEN / case / "wire.json").read_text())


def asked(to: str, **more) -> Request:
    return Request(to, SITE, BASE, receiver("generic"), AT, **more)


def resources(text: bytes, kind: str, **more) -> list[dict]:
    bundle = json.loads(convert(text, asked("fhir", **more)).output)
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "collection")
    return [entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == kind]


def messages(text: bytes) -> list[bytes]:
    output = convert(text, asked("hl7v2")).output
    return [b"MSH" + rest for rest in output.split(b"MSH|")[1:]]


def forms() -> dict[str, bytes]:
    """The same study in every form that is read."""
    study = golden("final-ct")
    head = {key: value for key, value in study.items() if key not in ("reports", "users")}
    response = {"studyId": study["studyId"], "studyInstanceUid": study["studyInstanceUid"], "reports": study["reports"]}
    lines = [json.dumps(head), *(json.dumps(report) for report in study["reports"])]
    return {
        "a study with its reports": json.dumps(study).encode(),
        "a GET /reports response": json.dumps(response).encode(),
        "one Report": json.dumps(study["reports"][0]).encode(),
        "an array": json.dumps([study]).encode(),
        "an indented document": json.dumps(study, indent=2).encode(),
        "NDJSON of a Study and its Reports": "\n".join(lines).encode() + b"\n\n",
        "NDJSON of one study a line": (json.dumps(study) + "\r\n" + json.dumps(golden("critical"))).encode(),
    }


def test_without_settings_an_equal_mrn_of_two_facilities_is_under_two_authorities_and_no_record_number() -> None:
    both = b"\n".join(json.dumps(golden(case)).encode() for case in ("final-ct", "unknown-facility"))
    bare = replace(asked("hl7v2"), site=Site())
    made = convert(both, bare).output.split(b"MSH|")[1:]
    numbers = [next(line for line in one.split(b"\r") if line.startswith(b"PID|")).split(b"|")[3] for one in made]
    named = [number.split(b"~")[1].split(b"^") for number in numbers]
    assert [one[0] for one in named] == [b"00412345", b"00412345"]
    assert len({one[3] for one in named}) == 2
    assert {one[4] for one in named} == {b"U"}


@pytest.mark.parametrize("form", forms())
def test_every_form_of_input_gives_the_report_in_fhir_and_in_hl7(form: str) -> None:
    text = forms()[form]
    report_id = golden("final-ct")["reports"][0]["reportId"].replace("_", "-")
    assert report_id in [resource["id"] for resource in resources(text, "DiagnosticReport")]
    assert messages(text)


def test_reports_of_one_study_belong_together_wherever_they_stand() -> None:
    study = golden("addendum")
    apart = "\n".join(json.dumps(report) for report in study["reports"]).encode()
    original = next(one for one in resources(apart, "DiagnosticReport") if one["status"] == "appended")
    assert len(original["presentedForm"]) >= 2
    assert len(messages(apart)) == 1


@pytest.mark.parametrize(("how", "codes"), [("replace", ["F"]), ("append", ["F", "A"]), ("new_order", ["F", "F"])])
def test_a_receiver_that_appends_or_takes_new_orders_gets_the_addendum_after_its_report(
    how: str, codes: list[str]
) -> None:
    to = replace(receiver("generic"), addendum=how)
    request = Request("hl7v2", SITE, BASE, to, AT)
    output = convert(json.dumps(golden("addendum")).encode(), request).output
    rows = [row.split(b"|") for row in output.split(b"\r")]
    assert [row[25].decode() for row in rows if row[0] == b"OBR"] == codes
    assert len({row[9] for row in rows if row[0] == b"MSH"}) == len(codes)


def test_a_withdrawn_study_makes_no_message_and_says_why() -> None:
    site = replace(SITE, on_cancelled_after_sign="withdraw")
    request = Request("hl7v2", site, BASE, receiver("generic"), AT)
    conversion = convert(json.dumps(golden("cancelled-after-sign")).encode(), request)
    assert conversion.output == b""
    assert "withdrawn-unsent" in [issue.code for issue in conversion.issues]


def test_the_same_study_twice_is_sent_once() -> None:
    study = golden("final-ct")
    assert len(messages(json.dumps([study, study]).encode())) == 1


def test_a_draft_makes_no_message_and_says_why() -> None:
    conversion = convert(json.dumps(golden("draft")).encode(), asked("hl7v2"))
    assert conversion.output == b""
    assert [issue.severity for issue in conversion.issues if issue.code == "report-not-signed"]


def test_pretty_hl7_has_a_line_per_segment_and_plain_hl7_ends_each_with_cr() -> None:
    text = json.dumps(golden("final-ct")).encode()
    plain, pretty = convert(text, asked("hl7v2")).output, convert(text, asked("hl7v2", pretty=True)).output
    assert b"\n" not in plain and plain.endswith(b"\r")
    assert pretty == plain.replace(b"\r", b"\n")


def test_the_newest_study_speaks_for_a_patient_of_several_studies() -> None:
    old, new = golden("final-ct"), golden("metric")
    new["reports"][0]["snapshotMetadata"] |= {"studyDate": "2026-01-06", "patientName": "Roe, Jane"}
    for order in ([old, new], [new, old]):
        patients = resources(json.dumps(order).encode(), "Patient")
        assert [patient["name"][0]["text"] for patient in patients] == ["Roe, Jane"]


def test_two_people_under_one_mrn_never_share_a_patient() -> None:
    old, new = golden("final-ct"), golden("metric")
    new["reports"][0]["snapshotMetadata"] |= {"dateOfBirth": "1950-01-01", "studyDate": "2026-01-06"}
    for order in ([old, new], [new, old]):
        text = json.dumps(order).encode()
        patients = {patient["id"]: patient["birthDate"] for patient in resources(text, "Patient")}
        reports = {report["id"]: report["subject"]["reference"] for report in resources(text, "DiagnosticReport")}
        born = {key: patients[subject.removeprefix("Patient/")] for key, subject in reports.items()}
        assert sorted(born.values()) == ["1950-01-01", "1971-02-14"]
        for to in ("fhir", "hl7v2"):
            issues = convert(text, asked(to)).issues
            assert [issue.severity for issue in issues if issue.code == "identity-conflict"] == ["error"]
        numbers = [message.split(b"\r")[1].split(b"|")[3] for message in messages(text)]
        assert sorted(number.count(b"AUTOSCRIBE_PATIENT^U~") for number in numbers) == [0, 1]


def test_issues_point_into_the_input() -> None:
    study = golden("no-mrn")
    listed = convert(json.dumps([golden("final-ct"), study]).encode(), asked("fhir")).issues
    assert "/1/reports/0/snapshotMetadata/mrn" in [issue.pointer for issue in listed if issue.code == "mrn-absent"]
    single = convert(json.dumps(study["reports"][0]).encode(), asked("fhir")).issues
    assert "/snapshotMetadata/mrn" in [issue.pointer for issue in single if issue.code == "mrn-absent"]


def broken(change) -> bytes:
    study = golden("final-ct")
    change(study)
    return json.dumps(study).encode()


BAD: dict[str, tuple[bytes, str]] = {
    "no JSON": (b"reports, please", "/: expected JSON, found something else at line 1, column 1"),
    "JSON that is cut off": (json.dumps(golden("final-ct")).encode()[:-9], "/: expected JSON"),
    "lines that are no JSON": (b"reports,\nplease", "/: expected JSON, found something else at line 1, column 1"),
    "bytes that are no UTF-8": (b'{"a": "\xff"}', "/: expected JSON in UTF-8"),
    "nothing at all": (b" \n", "found nothing: the input is empty"),
    "a number": (b"7", "found a number"),
    "an empty object": (b"{}", "found an object that is none of them"),
    "an item of /reports/text": (
        b'{"reportId": "rep_1234567890abcdef1234567890abcdef", "plainText": ""}',
        "which has no status",
    ),
    "a required key that is missing": (
        broken(lambda study: study["reports"][0].pop("userId")),
        "/reports/0/userId: expected an id",
    ),
    "a value of the wrong kind": (
        broken(lambda study: study["reports"][0].update(isAddendum="no")),
        "/reports/0/isAddendum: expected true or false, found a string",
    ),
    "reports that are no array": (
        broken(lambda study: study.update(reports={})),
        "/reports: expected an array, found an object",
    ),
    "users that are no array": (
        broken(lambda study: study.update(users=7)),
        "/users: expected an array, found a number",
    ),
    "a report of another study": (
        broken(lambda study: study["reports"][0].update(studyId="stu_" + "0" * 32)),
        "/reports/0/studyId: expected the studyId of the study it came with",
    ),
    "the third line of NDJSON": (
        b"\n".join([json.dumps(golden("final-ct")).encode(), b"", b'{"reports": ']),
        "line 3: expected JSON",
    ),
    "two accounts of one study": (
        json.dumps([golden("final-ct"), golden("final-ct") | {"isCancelled": True}]).encode(),
        "/1: expected each study once, found two different accounts of one study",
    ),
    "NaN": (b'[{"studyId": NaN}]', "NaN, which JSON does not have"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("to", ["fhir", "hl7v2"])
def test_bad_input_names_the_place_and_what_was_expected(case: str, to: str) -> None:
    text, message = BAD[case]
    with pytest.raises(WireError) as raised:
        convert(text, asked(to))
    assert message in str(raised.value)


def test_validate_reports_no_fault_of_a_good_study_in_either_language() -> None:
    text = json.dumps(golden("final-ct")).encode()
    for to in ("fhir", "hl7v2"):
        assert convert(text, asked(to, validate=True)).faults == ()


def test_what_is_made_is_counted_as_resources_or_messages() -> None:
    text = json.dumps([golden("final-ct"), golden("draft"), golden("critical")]).encode()
    assert convert(text, asked("hl7v2")).made == len(messages(text)) == 2
    fhir = convert(text, asked("fhir"))
    assert fhir.made == len(json.loads(fhir.output)["entry"])
    assert convert(json.dumps(golden("draft")).encode(), asked("hl7v2")).made == 0


def test_the_same_input_gives_the_same_bytes() -> None:
    text = json.dumps(golden("delimiters")).encode()
    for to in ("fhir", "hl7v2"):
        assert convert(text, asked(to)).output == convert(text, asked(to)).output


def test_a_message_that_its_receivers_rule_blocks_is_shown_with_an_error_and_a_number_of_its_own() -> None:
    text = json.dumps(golden("final-ct")).encode()
    archive = replace(receiver("rad128"), accession="optional")
    found = {to.name: convert(text, replace(asked("hl7v2"), receiver=to)) for to in (receiver("generic"), archive)}
    blocked = [issue for issue in found["rad128"].issues if issue.code == "rule-obr-18-valued"]
    assert [(issue.severity, issue.action.endswith(": not sent")) for issue in blocked] == [("error", True)]
    assert (found["rad128"].faults, found["rad128"].made) == ((), 1)
    numbers = {one.output.split(b"|")[9] for one in found.values()}
    assert len(numbers) == 2


def test_a_patient_whom_another_study_calls_otherwise_is_one_person_and_that_is_said() -> None:
    old, new = golden("final-ct"), golden("metric")
    new["reports"][0]["snapshotMetadata"] |= {"studyDate": "2026-01-06", "patientName": "Roe, Jane"}
    issues = convert(json.dumps([old, new]).encode(), asked("fhir")).issues
    assert [issue.severity for issue in issues if issue.code == "patient-renamed"] == ["information"]
