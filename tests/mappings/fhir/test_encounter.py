"""Encounter, and what else a hospital's order changes in FHIR (https://hl7.org/fhir/R4/encounter.html; D12, D48)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fakes.answered import DOCTORS, ORDER, VISIT, order
from fakes.fhir_studies import codes, mapped, one, report, snapshot
from fakes.upstream_json import report_id, study_json

from mappings.fhir.judge import judge
from mappings.model import NO_CODE, AnsweredOrder, Facts, StatedClinician, StatedCode, StatedNumber, StatedVisit

STUDY = study_json(clinicalIndication="Headache", clinicalHistory="Migraine")


def told(*orders: AnsweredOrder, reports: tuple[Any, ...] = (), **facts: Any) -> Any:
    return mapped(*reports, study=STUDY, facts=Facts(orders=orders, **facts))


def with_visit(**changes: Any) -> AnsweredOrder:
    return order(1, visit=replace(VISIT, **changes))


def encounter(**changes: Any) -> dict[str, Any]:
    return one(told(with_visit(**changes)), "Encounter")


def test_an_encounter_is_the_visit_as_it_was_at_the_study() -> None:
    found = encounter()
    assert found["id"].startswith("stu-" + "1" * 32 + "-enc-")
    assert [(one["system"], one["value"]) for one in found["identifier"]] == [("urn:oid:1.2.3.19", "V100")]
    assert found["identifier"][0]["type"]["coding"][0]["code"] == "VN"
    assert found["class"]["code"] == "EMER"
    assert found["subject"]["reference"] == "Patient/" + one(told(ORDER), "Patient")["id"]
    assert found["location"] == [{"location": {"display": "ED, 12, A"}}]
    assert found["period"] == {"start": "2026-01-05T18:00:00Z"}
    assert found["meta"]["profile"] == ["http://hl7.org/fhir/us/core/StructureDefinition/us-core-encounter"]
    assert judge(found) == ()


def test_the_account_is_no_visit_number() -> None:
    assert encounter()["account"][0]["identifier"]["value"] == "AC200"
    assert "account" not in encounter(account=None)
    assert not [one for one in told(with_visit(number=None)).output if one["resourceType"] == "Encounter"]


def test_the_type_of_an_encounter_is_said_to_be_unknown() -> None:
    assert encounter()["type"][0]["coding"][0]["code"] == "unknown"


@pytest.mark.parametrize(
    ("patient_class", "code"), [("I", "IMP"), ("O", "AMB"), ("P", "PRENC"), ("R", "R"), ("", "U"), ("U", "U")]
)
def test_a_patient_class_is_the_code_that_v2_to_fhir_maps_it_to(patient_class: str, code: str) -> None:
    assert encounter(patient_class=patient_class)["class"]["code"] == code


def test_an_encounter_is_finished_only_if_the_hospital_told_its_end() -> None:
    assert encounter()["status"] == "unknown"
    assert encounter(ended="2026-01-06T08:00:00+00:00")["status"] == "finished"
    impossible = encounter(ended="2026-01-04T08:00:00+00:00")
    assert impossible["status"] == "unknown"
    assert "end" not in impossible["period"]
    assert "period" not in encounter(begun="soon")


def test_attending_and_referring_doctors_take_part_in_the_visit() -> None:
    attending, referring = encounter()["participant"]
    assert attending["type"][0]["coding"][0]["code"] == "ATND"
    assert attending["individual"] == {
        "type": "Practitioner",
        "identifier": {"system": DOCTORS, "value": "A7"},
        "display": "Gregory House, MD",
    }
    assert referring["type"][0]["coding"][0]["code"] == "REF"
    named = encounter(attending=(StatedClinician(family="House"), StatedClinician()), referring=())
    assert [one["individual"] for one in named["participant"]] == [{"display": "House"}]


def test_report_study_and_order_refer_to_the_visit() -> None:
    found = told(ORDER)
    address = {"reference": f"Encounter/{one(found, 'Encounter')['id']}"}
    for kind in ("DiagnosticReport", "ServiceRequest", "ImagingStudy"):
        assert one(found, kind)["encounter"] == address


def test_the_id_of_an_encounter_needs_the_authority_of_its_number() -> None:
    same = StatedNumber("V100", "OTHER", "urn:oid:9.9")
    assert encounter()["id"] == encounter(location=())["id"]
    assert encounter()["id"] != encounter(number=same)["id"]


def test_orders_of_two_visits_have_an_encounter_each_and_the_report_none() -> None:
    other = order(2, visit=replace(VISIT, number=StatedNumber("V101", "MERCYVISIT", "urn:oid:1.2.3.19")))
    found = told(order(1), other)
    visits = [one["id"] for one in found.output if one["resourceType"] == "Encounter"]
    asked = [one["encounter"]["reference"] for one in found.output if one["resourceType"] == "ServiceRequest"]
    assert asked == [f"Encounter/{one}" for one in visits]
    assert len(visits) == 2
    assert "encounter" not in one(found, "DiagnosticReport")
    assert "visit-differs" in codes(found)


def test_a_report_about_another_patient_has_no_visit() -> None:
    other = report("4", snapshotMetadata=snapshot(mrn="777", patientName="Roe, Richard", sex="male"))
    found = told(ORDER, reports=(report(), other), seen=(report_id("3"),))
    reports = {one["id"]: one for one in found.output if one["resourceType"] == "DiagnosticReport"}
    assert ["encounter" in reports[f"rep-{digit * 32}"] for digit in "34"] == [True, False]
    patients = [one for one in found.output if one["resourceType"] == "Patient"]
    assert [any(n["value"] == "E900" for n in one["identifier"]) for one in patients] == [True, False]


# ServiceRequest


def test_an_order_has_the_numbers_of_the_hospital_under_their_authorities() -> None:
    found = one(told(ORDER), "ServiceRequest")
    said = {n["type"]["coding"][0]["code"]: (n["system"], n["value"]) for n in found["identifier"]}
    assert said == {
        "ACSN": ("urn:oid:1.2.3.6", "ACC1"),
        "PLAC": ("urn:oid:1.2.3.4", "PL1"),
        "FILL": ("urn:oid:1.2.3.5", "FI1"),
    }


def test_an_order_has_its_own_code_and_the_report_keeps_its_own() -> None:
    found, bare = told(ORDER), told()
    code = one(found, "ServiceRequest")["code"]
    assert code["text"] == "CT Chest W Contrast"
    assert code["coding"][1:] == [
        {"code": "CTCHWC", "display": "CT Chest W Contrast"},
        {"system": "http://loinc.org", "code": "24627-2", "display": "Chest CT"},
    ]
    assert one(found, "DiagnosticReport")["code"] == one(bare, "DiagnosticReport")["code"]
    silent = one(told(order(1, procedure=NO_CODE)), "ServiceRequest")
    assert silent["code"] == one(bare, "ServiceRequest")["code"]
    assert one(told(order(1, procedure=StatedCode(code="X1"))), "ServiceRequest")["code"]["coding"][1] == {"code": "X1"}


def test_an_order_says_who_ordered_it_why_and_when() -> None:
    found = one(told(ORDER), "ServiceRequest")
    assert found["requester"] == {
        "type": "Practitioner",
        "identifier": {"system": "http://hl7.org/fhir/sid/us-npi", "value": "1245319599"},
        "display": "Dr Olga Ordway",
    }
    assert found["reasonCode"] == [{"text": "Headache"}, {"text": "Chest pain"}]
    assert found["note"] == [{"text": "Migraine"}, {"text": "Call 555"}]
    assert found["authoredOn"] == "2026-01-05T17:55:00Z"
    assert one(told(ORDER), "ImagingStudy")["referrer"] == {"display": "Dr. Michael Chen"}
    assert one(told(order(1, ordering=())), "ServiceRequest")["requester"] == {"display": "Dr. Michael Chen"}


def test_a_cancelled_order_is_revoked() -> None:
    assert one(told(ORDER), "ServiceRequest")["status"] == "completed"
    assert one(told(order(1, is_cancelled=True)), "ServiceRequest")["status"] == "revoked"


def test_a_report_is_based_on_each_order_that_it_answers() -> None:
    found = told(order(1), order(2))
    ids = [f"ServiceRequest/stu-{'1' * 32}-req{ending}" for ending in ("", "2")]
    for kind in ("DiagnosticReport", "ImagingStudy"):
        assert [each["reference"] for each in one(found, kind)["basedOn"]] == ids
    numbers = [n["value"] for n in one(found, "DiagnosticReport")["identifier"]]
    assert numbers[-3:] == ["ACC1", "PL1", "PL2"]


# Patient


def test_an_order_only_adds_identifiers_to_the_patient() -> None:
    found, bare = one(told(ORDER), "Patient"), one(told(), "Patient")
    assert found["identifier"][: len(bare["identifier"])] == bare["identifier"]
    assert [one["value"] for one in found["identifier"][len(bare["identifier"]) :]] == ["E900"]
    assert {key: found[key] for key in ("id", "name", "gender", "birthDate")} == {
        key: bare[key] for key in ("id", "name", "gender", "birthDate")
    }


def test_a_number_of_an_issuer_without_a_uri_has_a_system_that_is_one() -> None:
    odd = replace(ORDER, placer=StatedNumber("P1", "", "no uri"), visit=StatedVisit(StatedNumber("V1", "EPIC")))
    for resource in told(odd).output:
        assert judge(resource) == ()
