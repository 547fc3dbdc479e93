"""PractitionerRole (https://hl7.org/fhir/R4/practitionerrole.html; US Core PractitionerRole Profile, pd-1)."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from avara.types.shared import ClinicRole
from fakes.fhir_studies import addendum, mapped, one, report, snapshot
from fakes.upstream_json import user_json
from hypothesis import given
from hypothesis import strategies as st

from mappings.codes import NUCC, NUCC_SPECIALTY, US_CORE
from mappings.fhir.judge import judge
from mappings.patient.identifiers import fhir_id, long_id, organization_id, role_id
from mappings.profile import parse_site

USER = "usr_" + "2" * 32
HEX = st.text("0123456789abcdef", min_size=32, max_size=32)


def role(**changes: Any) -> dict[str, Any]:
    return one(mapped(users=(user_json(**changes),)), "PractitionerRole")


def roles(found: Any) -> list[dict[str, Any]]:
    return [each for each in found.output if each["resourceType"] == "PractitionerRole"]


def test_a_user_has_a_role_at_the_facility_of_a_report() -> None:
    found = mapped(users=(user_json(phoneNumber="5551234567"),))
    made, organization = one(found, "PractitionerRole"), one(found, "Organization")
    assert made["meta"] == {"profile": [f"{US_CORE}practitionerrole"]}
    assert made["practitioner"] == one(found, "DiagnosticReport")["resultsInterpreter"][0]
    assert made["organization"] == {"reference": f"Organization/{organization['id']}", "display": organization["name"]}
    assert made["code"] == [{"text": "Radiologist"}]
    assert made["telecom"] == one(found, "Practitioner")["telecom"]
    assert [each["system"] for each in made["telecom"]] == ["email", "phone"]
    assert "specialty" not in made
    assert judge(made) == ()


@given(HEX, HEX)
def test_both_ids_come_back_from_the_id_of_a_role(user: str, organization: str) -> None:
    made = role_id(fhir_id(f"usr_{user}"), f"org-{organization}")
    first, _, second = made.rpartition("-")
    assert (first, long_id("usr", second)[4:]) == (f"usr-{user}", organization)
    assert len(made) <= 64


@pytest.mark.parametrize(
    ("said", "code"),
    [("Nuclear Medicine Physician", "207U00000X"), ("Radiation Oncologist", "2085R0001X"), ("Radiologist", None)]
    + [(said, None) for said in ("Other", "Doctor", "PACS Administrator", "nuclear medicine physician")],
)
def test_a_role_has_a_code_only_where_one_means_exactly_that(said: str, code: str | None) -> None:
    found = role(clinicRole=said)
    assert found["code"] == [{"text": said}]
    codings = [coding for each in found.get("specialty", ()) for coding in each["coding"]]
    assert [(each["system"], each["code"]) for each in codings] == ([(NUCC, code)] if code else [])


def test_every_row_of_the_table_is_a_role_that_autoscribe_has_and_no_two_are_one_code() -> None:
    assert NUCC_SPECIALTY.keys() <= set(get_args(ClinicRole))
    assert len({code for code, _ in NUCC_SPECIALTY.values()}) == len(NUCC_SPECIALTY)


def test_the_profile_is_claimed_only_where_there_is_a_way_to_reach_the_user() -> None:
    found = role(email="", clinicRole="")
    assert not {"meta", "telecom", "code", "specialty"} & found.keys()
    assert judge(found) == ()
    claimed = {**found, "meta": {"profile": [f"{US_CORE}practitionerrole"]}}
    assert [each.code for each in judge(claimed)] == ["us-core-pd-1"]


def test_a_user_has_one_role_at_each_facility() -> None:
    elsewhere = addendum(snapshotMetadata=snapshot(facilityName="Lakeside"))
    made = roles(mapped(report(), report("5"), elsewhere))
    assert [each["practitioner"] for each in made] == [made[0]["practitioner"]] * 2
    assert [each["organization"]["display"] for each in made] == [
        snapshot()["facilityName"],
        "Lakeside",
    ]
    assert {each["id"] for each in made} == {
        role_id("usr-" + "2" * 32, each["organization"]["reference"].partition("/")[2]) for each in made
    }


def test_the_names_of_one_facility_are_one_role_whatever_a_report_calls_it() -> None:
    site = parse_site('[[mapping.facilities]]\nname = "City Hospital"\naliases = ["City"]\n')
    made = roles(mapped(report(snapshotMetadata=snapshot(facilityName="City")), site=site))
    assert [each["organization"] for each in made] == [
        {"reference": f"Organization/{organization_id('City Hospital')}", "display": "City Hospital"}
    ]


@pytest.mark.parametrize(
    "found",
    [
        mapped(report(snapshotMetadata=snapshot(facilityName=None))),
        mapped(users=()),
        mapped(users=(user_json(lastName=""),)),
    ],
    ids=["no facility", "user unknown", "no last name"],
)
def test_where_it_is_not_known_who_or_where_there_is_no_role(found: Any) -> None:
    assert roles(found) == []
