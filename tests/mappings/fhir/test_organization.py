"""Organization (https://hl7.org/fhir/R4/organization.html; US Core Organization Profile)."""

from __future__ import annotations

from fakes.fhir_studies import mapped, one, report, snapshot

from mappings.codes import OID, SID_FACILITY, US_NPI
from mappings.fhir.judge import judge
from mappings.profile import parse_site


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


def test_what_the_site_says_of_its_facility_is_shown_and_nothing_else() -> None:
    site = parse_site("""
[[mapping.facilities]]
name = "City Medical Center"
npi = "1234567893"
oid = "1.2.3.4"
phone = "+1 555 010 0100"
address_lines = ["1 Main Street", "Suite 2"]
city = "Tampa"
state = "FL"
postal_code = "33602"
country = "US"
""")
    found = one(mapped(site=site), "Organization")
    assert [(each["system"], each["value"]) for each in found["identifier"]] == [
        (SID_FACILITY, "City Medical Center"),
        (US_NPI, "1234567893"),
        (OID, "urn:oid:1.2.3.4"),
    ]
    assert found["telecom"] == [{"system": "phone", "value": "+1 555 010 0100"}]
    assert found["address"] == [
        {
            "line": ["1 Main Street", "Suite 2"],
            "city": "Tampa",
            "state": "FL",
            "postalCode": "33602",
            "country": "US",
        }
    ]
    assert judge(found) == ()
    assert not {"telecom", "address"} & one(mapped(), "Organization").keys()


def test_without_a_facility_there_is_none() -> None:
    made = at(None)
    assert not [each for each in made.output if each["resourceType"] == "Organization"]
    assert "managingOrganization" not in one(made, "Patient")


def test_reports_of_two_facilities_have_two_organizations() -> None:
    made = mapped(report(), report("5", snapshotMetadata=snapshot(facilityName="Elsewhere")))
    names = {each["name"] for each in made.output if each["resourceType"] == "Organization"}
    assert names == {"City Medical Center", "Elsewhere"}
