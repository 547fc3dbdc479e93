"""Organization (https://hl7.org/fhir/R4/organization.html; US Core Organization Profile)."""

from __future__ import annotations

from fakes.fhir_studies import mapped, one, report, snapshot

from mappings.codes import SID_FACILITY


def at(name: str | None):
    return mapped(report(snapshotMetadata=snapshot(facilityName=name)))


def test_a_facility_is_an_active_organization_with_its_name() -> None:
    found = one(at("Elsewhere"), "Organization")
    assert found["active"] is True
    assert found["name"] == "Elsewhere"
    assert found["identifier"] == [{"system": SID_FACILITY, "value": "Elsewhere"}]


def test_an_alias_is_the_same_organization_shown_as_the_report_names_it() -> None:
    alias, name = at("CMC"), at("City Medical Center")
    assert one(alias, "Organization") == one(name, "Organization")
    assert one(alias, "Organization")["alias"] == ["CMC"]
    assert one(alias, "DiagnosticReport")["performer"][0]["display"] == "CMC"


def test_without_a_facility_there_is_none() -> None:
    made = at(None)
    assert not [each for each in made.output if each["resourceType"] == "Organization"]
    assert "managingOrganization" not in one(made, "Patient")


def test_reports_of_two_facilities_have_two_organizations() -> None:
    made = mapped(report(), report("5", snapshotMetadata=snapshot(facilityName="Elsewhere")))
    names = {each["name"] for each in made.output if each["resourceType"] == "Organization"}
    assert names == {"City Medical Center", "Elsewhere"}
