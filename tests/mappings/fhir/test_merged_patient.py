"""Patients of merged numbers (D48): the survivor `replaces`, the old one is inactive and `replaced-by`.

https://hl7.org/fhir/R4/patient.html#merge
"""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any

import pytest
from fakes.fhir_studies import SITE, addendum, report, snapshot
from fakes.upstream_json import response_json, study_json

from mappings import decode, to_fhir
from mappings.fhir.datatypes import json_bytes
from mappings.fhir.judge import judge_all
from mappings.fhir.patient import described, is_replaced
from mappings.model import Facts, MergedNumber
from mappings.patient.identifiers import keyed_patient_id

SYSTEM = "urn:oid:1.2.3"
OLD, NEW = "MRN-001234", "MRN-9"
MERGED = MergedNumber(SYSTEM, "MR", "MRN1234", NEW)


def patient_id(number: str) -> str:
    return keyed_patient_id(SYSTEM, number, SITE)


def made(*reports: Any, merged: tuple[MergedNumber, ...] = (MERGED,)) -> list[dict[str, Any]]:
    study = decode(study_json(), response_json(*reports))
    return list(to_fhir(study, SITE, Facts(merged=merged)).output)


def patients(*reports: Any, **facts: Any) -> list[dict[str, Any]]:
    return [one for one in made(*reports, **facts) if one["resourceType"] == "Patient"]


def numbers(resource: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["value"], one.get("use", "")) for one in resource["identifier"]]


def test_the_reports_are_the_survivors_and_the_old_patient_is_inactive_and_leads_to_it() -> None:
    resources = made(report(), addendum())
    survivor, old = (one for one in resources if one["resourceType"] == "Patient")
    assert (survivor["id"], old["id"]) == (patient_id(NEW), patient_id(OLD))
    assert numbers(survivor) == [(NEW, ""), (OLD, "old")]
    assert "active" not in survivor
    assert survivor["link"] == [{"other": {"reference": f"Patient/{patient_id(OLD)}"}, "type": "replaces"}]
    assert (old["active"], numbers(old), old["name"]) == (False, [(OLD, "old")], survivor["name"])
    assert old["link"] == [{"other": {"reference": f"Patient/{patient_id(NEW)}"}, "type": "replaced-by"}]
    others = [one for one in resources if one["resourceType"] != "Patient"]
    assert f"Patient/{patient_id(NEW)}" in json.dumps(others)
    assert patient_id(OLD) not in json.dumps(others)
    assert judge_all(resources) == [()] * len(resources)


def test_without_a_merge_there_is_one_patient_without_links() -> None:
    (only,) = patients(report(), merged=())
    assert only.keys().isdisjoint({"link", "active"})
    assert patients(report(snapshotMetadata=snapshot(mrn=NEW))) == patients(
        report(snapshotMetadata=snapshot(mrn=NEW)), merged=()
    )


@pytest.mark.parametrize("wrong", ["replaced", "Replaces"])
def test_a_link_of_another_type_is_a_fault(wrong: str) -> None:
    (survivor, _) = patients(report())
    link = [{**survivor["link"][0], "type": wrong}]
    assert judge_all([{**survivor, "link": link}]) != [()]


def packed(**said: Any) -> bytes:
    return json_bytes({"resourceType": "Patient", "id": "pat-1", "identifier": [number("S")], **said})


def number(value: str, **more: str) -> dict[str, str]:
    return {**more, "system": SYSTEM, "value": value}


def link(patient: str, kind: str) -> dict[str, Any]:
    return {"other": {"reference": f"Patient/{patient}"}, "type": kind}


NATIVE = packed(gender="female")
FOLLOWED = [
    packed(identifier=[number("S"), number(old, use="old")], link=[link(f"pat-{old}", "replaces")]) for old in "AB"
]
GONE = packed(active=False, link=[link("pat-9", "replaced-by")])


def test_nobody_is_described_by_no_claim_and_a_claim_without_links_by_its_own_bytes() -> None:
    assert described([]) is None
    assert described([FOLLOWED[0], NATIVE][1:]) is NATIVE


def test_the_newest_description_gets_the_old_numbers_and_links_of_all() -> None:
    results = {described([*before, NATIVE]) for before in permutations(FOLLOWED)}
    (body,) = results
    found = json.loads(body or b"")
    assert numbers(found) == [("S", ""), ("A", "old"), ("B", "old")]
    assert [one["other"]["reference"] for one in found["link"]] == ["Patient/pat-A", "Patient/pat-B"]
    assert found["gender"] == "female"


def test_a_description_that_says_all_of_it_stays_as_it_is() -> None:
    assert described([NATIVE, FOLLOWED[0]]) is FOLLOWED[0]


def test_an_old_patient_is_active_until_no_study_says_so_any_more() -> None:
    for order in permutations([NATIVE, GONE]):
        assert described(order) == NATIVE
    assert described([GONE, GONE]) is GONE
    assert is_replaced(json.loads(GONE))
    assert not is_replaced(json.loads(NATIVE))
