"""ServiceRequest (https://hl7.org/fhir/R4/servicerequest.html; US Core ServiceRequest Profile; D12, D18)."""

from __future__ import annotations

from typing import Any

import pytest
from fakes.fhir_studies import SITE, codes, extensions, mapped, one, report, snapshot
from fakes.upstream_json import STUDY_ID, STUDY_UID, report_id, study_json

from mappings import decode, to_fhir
from mappings.codes import SID_ACCESSION, SID_PLACER_ORDER
from mappings.model import Facts
from mappings.profile import Site, parse_site

ORDERS = parse_site("""[mapping]
accession_keys = ["acc"]
placer_keys = ["order"]
number_separator = ","
""")
DRAFT = {"status": "in_progress", "signedAt": None, "isCritical": None}


def requests(found: Any) -> list[dict[str, Any]]:
    return [each for each in found.output if each["resourceType"] == "ServiceRequest"]


def ordered(metadata: dict[str, str], site: Site = ORDERS, **study: Any) -> Any:
    return mapped(study=study_json(metadata=metadata, **study), site=site)


def test_an_order_says_all_that_is_known_of_it() -> None:
    study = study_json(severity="stat", clinicalIndication="Headache", clinicalHistory="Migraine")
    found = one(mapped(study=study, facts=Facts(accession_number="A1")), "ServiceRequest")
    assert found["id"] == "stu-" + "1" * 32 + "-req"
    assert (found["status"], found["intent"], found["priority"]) == ("completed", "order", "stat")
    assert [each["coding"][0]["code"] for each in found["category"]] == ["LP29684-5", "RAD"]
    assert found["occurrenceDateTime"] == "2024-03-15T14:30:00-04:00"
    assert found["requester"] == {"display": "Dr. Michael Chen"}
    assert found["reasonCode"] == [{"text": "Headache"}]
    assert found["note"] == [{"text": "Migraine"}]
    assert found["identifier"] == [
        {
            "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]},
            "system": SID_ACCESSION,
            "value": "A1",
        }
    ]


def test_when_an_order_was_written_is_never_made_up() -> None:
    assert "authoredOn" not in one(mapped(study=study_json()), "ServiceRequest")


def test_code_and_subject_are_those_of_the_report_that_refers_to_it() -> None:
    found = mapped(study=study_json())
    order, result = one(found, "ServiceRequest"), one(found, "DiagnosticReport")
    assert (order["code"], order["subject"]) == (result["code"], result["subject"])
    assert result["basedOn"] == [{"reference": f"ServiceRequest/{order['id']}"}]
    assert one(found, "ImagingStudy")["basedOn"] == result["basedOn"]


def test_where_nothing_is_known_of_the_order_there_is_none() -> None:
    found = mapped(report(snapshotMetadata=snapshot(referringPhysicianName=None)))
    assert requests(found) == []
    assert "basedOn" not in one(found, "DiagnosticReport")
    assert "basedOn" not in one(found, "ImagingStudy")


@pytest.mark.parametrize(("severity", "priority"), [("normal", "routine"), ("high", "asap"), ("stat", "stat")])
def test_the_priority_is_the_severity_as_table_0485_maps_to_fhir(severity: str, priority: str) -> None:
    assert one(mapped(study=study_json(severity=severity)), "ServiceRequest")["priority"] == priority


def test_a_severity_of_another_name_is_no_priority_and_not_lost() -> None:
    found = mapped(study=study_json(severity="urgent-ish"))
    assert "priority" not in one(found, "ServiceRequest")
    assert extensions(one(found, "ImagingStudy"))["severity"] == "urgent-ish"


def test_each_of_several_orders_is_a_request_and_the_report_answers_all() -> None:
    found = ordered({"acc": "A1,A2", "order": "P1,P2"})
    numbers = [[each["value"] for each in order["identifier"]] for order in requests(found)]
    assert numbers == [["A1", "P1"], ["A2", "P2"]]
    assert [order["id"][-4:] for order in requests(found)] == ["-req", "req2"]
    result = one(found, "DiagnosticReport")
    assert [each["reference"][-4:] for each in result["basedOn"]] == ["-req", "req2"]
    assert [each["value"] for each in result["identifier"][2:]] == ["A1", "A2", "P1", "P2"]
    assert [each["value"] for each in one(found, "ImagingStudy")["identifier"][2:]] == ["A1", "A2"]


def test_one_placer_order_of_several_accession_numbers_is_said_once_by_the_report() -> None:
    found = ordered({"acc": "A1,A2", "order": "P1"})
    placers = [each for each in one(found, "DiagnosticReport")["identifier"] if each["system"] == SID_PLACER_ORDER]
    assert [each["value"] for each in placers] == ["P1"]
    assert all(order["identifier"][1]["value"] == "P1" for order in requests(found))


def test_the_numbers_of_a_facility_s_orders_have_its_systems_else_the_site_s() -> None:
    theirs = """
    accession_system = "urn:oid:1.8"
    accession_namespace = "ACC"
    [[mapping.facilities]]
    name = "City Medical Center"
    placer_system = "urn:oid:1.7"
    placer_namespace = "CITY_HIS"
    """
    site = parse_site('[mapping]\naccession_keys = ["acc"]\nplacer_keys = ["order"]\n' + theirs)
    known = {"acc": "A1", "order": "P1"}
    found = one(ordered(known, site), "ServiceRequest")["identifier"]
    assert [each["system"] for each in found] == ["urn:oid:1.8", "urn:oid:1.7"]
    elsewhere = mapped(report(snapshotMetadata=snapshot(facilityName="X")), study=study_json(metadata=known), site=site)
    systems = [each["system"] for each in one(elsewhere, "ServiceRequest")["identifier"]]
    assert systems == ["urn:oid:1.8", SID_PLACER_ORDER]
    told = {each["system"] for each in one(ordered(known, site), "DiagnosticReport")["identifier"]}
    assert {"urn:oid:1.8", "urn:oid:1.7"} <= told


def test_orders_that_cannot_be_paired_are_an_issue() -> None:
    assert "placer-unpaired" in codes(ordered({"acc": "A1,A2,A3", "order": "P1,P2"}))


def test_odd_characters_of_a_number_are_reported_at_its_key() -> None:
    found = ordered({"acc": "A\x011"})
    assert requests(found)[0]["identifier"][0]["value"] == "A1"
    assert [issue.pointer for issue in found.issues if issue.code == "character-removed"] == ["/metadata/acc"]


@pytest.mark.parametrize(
    ("reports", "study", "policy", "status"),
    [
        ([report()], {}, "hold", "completed"),
        ([report(**DRAFT)], {}, "hold", "active"),
        ([report(), report("5", **DRAFT)], {}, "hold", "completed"),
        ([report(**DRAFT)], {"isCancelled": True}, "hold", "revoked"),
        ([report()], {"isCancelled": True}, "hold", "completed"),
        ([report()], {"isCancelled": True}, "withdraw", "revoked"),
        ([report(status="dictated")], {}, "hold", "unknown"),
    ],
)
def test_the_status_is_that_of_what_answers_it(reports: Any, study: Any, policy: str, status: str) -> None:
    site = parse_site(f'[mapping]\non_cancelled_after_sign = "{policy}"\n')
    assert one(mapped(*reports, study=study_json(**study), site=site), "ServiceRequest")["status"] == status


@pytest.mark.parametrize(("cancelled", "status"), [(False, "active"), (True, "revoked")])
def test_a_study_without_a_report_is_an_order_still_open_or_called_off(cancelled: bool, status: str) -> None:
    study = study_json(isCancelled=cancelled, reportMetadata={"procedure": "CT Head"})
    wire = {"studyId": STUDY_ID, "studyInstanceUid": STUDY_UID, "reports": []}
    found = one(to_fhir(decode(study, wire), SITE), "ServiceRequest")
    assert found["status"] == status
    assert found["code"]["text"] == "CT Head"


def test_the_order_is_that_of_the_patient_who_has_the_studys_number_and_not_of_the_newest_original() -> None:
    other = snapshot(patientName="Bob Roe", mrn="OTHER-1", sex="male", dateOfBirth="1950-01-01")
    second = report("5", signedAt="2024-03-15T18:00:00Z", snapshotMetadata=other)
    alone, both = (mapped(*reports, study=study_json()) for reports in ([report()], [report(), second]))
    for kind in ("ServiceRequest", "ImagingStudy"):
        assert one(both, kind)["subject"] == one(alone, kind)["subject"]
    assert "basedOn" in one(both, "DiagnosticReport", "3")
    assert "basedOn" not in one(both, "DiagnosticReport", "5")


def test_a_report_that_comes_late_though_signed_early_takes_no_order_from_another_patient() -> None:
    other = snapshot(patientName="Bob Roe", mrn="OTHER-1", sex="male", dateOfBirth="1950-01-01")
    late = report("5", signedAt="2024-03-15T12:00:00Z", snapshotMetadata=other)
    facts = Facts(accession_number="A1", seen=(report_id("3"),))
    found = mapped(late, report(), study=study_json(), facts=facts)
    kept, apart = one(found, "DiagnosticReport", "3"), one(found, "DiagnosticReport", "5")
    assert one(found, "ServiceRequest")["subject"] == one(found, "ImagingStudy")["subject"] == kept["subject"]
    assert [each["identifier"][-1]["value"] == "A1" for each in (kept, apart)] == [True, False]
    assert ("basedOn" in kept, "basedOn" in apart) == (True, False)


def test_another_patients_report_does_not_answer_the_order() -> None:
    other = snapshot(patientName="Bob Roe", mrn="OTHER-1", sex="male", dateOfBirth="1950-01-01")
    found = mapped(report(status="dictated"), report("5", snapshotMetadata=other, **DRAFT), study=study_json())
    assert one(found, "ServiceRequest")["subject"] == one(found, "DiagnosticReport", "3")["subject"]
    assert one(found, "ServiceRequest")["status"] == "unknown"


def test_a_report_about_another_patient_is_not_based_on_the_studys_order() -> None:
    other = snapshot(patientName="Bob Roe", mrn="OTHER-1", sex="male", dateOfBirth="1950-01-01")
    found = mapped(report(), report("5", snapshotMetadata=other), study=study_json())
    first, second = (one(found, "DiagnosticReport", digit) for digit in "35")
    assert first["subject"]["reference"] != second["subject"]["reference"]
    assert [("basedOn" in each) for each in (first, second)].count(True) == 1
    based = first if "basedOn" in first else second
    assert based["subject"]["reference"] == one(found, "ServiceRequest")["subject"]["reference"]
