"""https://hl7.org/fhir/R4/resource.html#Meta: the stored bytes are the resource with its version."""

import json
from datetime import UTC

import pytest
from fakes.fhir_studies import mapped, report
from hypothesis import given
from hypothesis import strategies as st

from gateway.store import study_rows
from gateway.store.study_rows import rendered
from mappings.issues import MappingIssue

STUDY_ID = "stu_" + "1" * 32
SHARED = {"Patient", "Practitioner", "PractitionerRole", "Organization"}
RESOURCES = mapped(report()).output


def made(resources=RESOURCES, **more):
    return rendered(resources, UTC, **{"owner": STUDY_ID, "as_of": {}, "asked": 7, "signed": {}, **more})


@pytest.mark.full
@given(st.integers(1, 10**6), st.integers(0, 4 * 10**15))
def test_the_bytes_are_the_resource_with_its_version_and_instant(version, updated):
    for resource, made_version in zip(RESOURCES, made(), strict=True):
        read = json.loads(made_version.body(version, updated))
        meta = read.pop("meta")
        assert meta.pop("versionId") == str(version)
        assert meta.pop("lastUpdated").endswith("Z")
        assert ({**read, "meta": meta} if meta else read) == resource
        assert made_version.address == f"{resource['resourceType']}/{resource['id']}"


def test_a_resource_with_nothing_in_it_is_one_too():
    [one] = made([{"resourceType": "Patient", "id": "p1"}])
    assert json.loads(one.body(2, 0)) == {
        "resourceType": "Patient",
        "id": "p1",
        "meta": {"versionId": "2", "lastUpdated": "1970-01-01T00:00:00.000000Z"},
    }


def test_what_several_studies_speak_of_belongs_to_none_of_them():
    owners = {one.address.partition("/")[0]: one.owner for one in made()}
    assert {kind for kind, owner in owners.items() if owner == ""} == owners.keys() & SHARED
    assert {owner for kind, owner in owners.items() if kind not in SHARED} == {STUDY_ID}


def test_who_was_asked_for_earlier_is_no_newer_than_that():
    as_of = {one.address: one.as_of for one in made(as_of={"usr-" + "2" * 32: 5})}
    assert as_of.pop("Practitioner/usr-" + "2" * 32) == 5
    assert set(as_of.values()) == {7}


def test_faults_are_kept_as_codes_and_places(monkeypatch):
    fault = MappingIssue("fhir-structure", "error", "/name/0", "refused: Jane Doe")
    monkeypatch.setattr(
        study_rows,
        "judge_all",
        lambda made, *_: [(fault,) if one["resourceType"] == "Patient" else () for one in made],
    )
    faults = {one.address.partition("/")[0]: one.faults for one in made()}
    assert faults.pop("Patient") == '[{"pointer": "/name/0", "code": "fhir-structure"}]'
    assert set(faults.values()) == {None}
