"""Practitioner (https://hl7.org/fhir/R4/practitioner.html; US Core Practitioner Profile, us-core-16 and us-core-17)."""

from __future__ import annotations

import pytest
from fakes.fhir_studies import codes, extensions, mapped, one, report
from fakes.upstream_json import user_json

from mappings.codes import SID_NPI_UNVERIFIED, SID_USER, US_NPI
from mappings.fhir.practitioner import is_npi
from mappings.profile import parse_site


def practitioner(**changes):
    return one(mapped(users=(user_json(**changes),)), "Practitioner")


def test_a_user_becomes_a_practitioner() -> None:
    found = practitioner(
        middleName="Marie", suffix1="Jr.", suffix2="FACR", npiNumber="1234567893", phoneNumber="5551234567"
    )
    assert found["id"] == "usr-" + "2" * 32
    assert found["name"] == [
        {
            "text": "Sarah Marie Johnson, Jr., FACR",
            "family": "Johnson",
            "given": ["Sarah", "Marie"],
            "suffix": ["Jr.", "FACR"],
        }
    ]
    assert [(each["system"], each["value"]) for each in found["identifier"]] == [
        (SID_USER, "usr_" + "2" * 32),
        (US_NPI, "1234567893"),
    ]
    assert [each["system"] for each in found["telecom"]] == ["email", "phone"]
    assert found["qualification"] == [{"code": {"text": "FACR"}}]
    assert extensions(found)["clinicRole"] == "Radiologist"


def test_a_number_with_a_wrong_check_digit_is_never_called_an_npi() -> None:
    found = mapped(users=(user_json(npiNumber="1234567890"),))
    assert one(found, "Practitioner")["identifier"][1] == {"system": SID_NPI_UNVERIFIED, "value": "1234567890"}
    assert "npi-invalid" in codes(found)


@pytest.mark.parametrize("number", ["1234567893", "1245319599"])
def test_the_check_digit_of_published_examples_is_right(number: str) -> None:
    assert is_npi(number)


@pytest.mark.parametrize("number", ["1234567890", "123456789", "12345678931", "123456789x", "\u0661234567893", ""])
def test_anything_else_is_no_npi(number: str) -> None:
    assert not is_npi(number)


DIRECTORY = parse_site(
    '[mapping]\nproviders = "p.csv"\nprovider_system = "urn:oid:1.2.5"\nprovider_namespace = "CITY"\n',
    files={
        "providers": "user_id,local_id,npi,family,given,middle,suffix,degree\n"
        f"usr_{'2' * 32},J7,1234567893,Johnson,Sarah,Ann,Jr.,MD\n"
    },
)


def test_the_directory_adds_the_numbers_that_autoscribe_does_not_say() -> None:
    def numbers(**changes):
        found = one(mapped(users=(user_json(**changes),), site=DIRECTORY), "Practitioner")
        return [(each["system"], each["value"]) for each in found["identifier"]]

    own, local = (SID_USER, "usr_" + "2" * 32), ("urn:oid:1.2.5", "J7")
    assert numbers() == [own, (US_NPI, "1234567893"), local]
    assert numbers(npiNumber="1245319599") == [own, (US_NPI, "1245319599"), local]
    assert numbers(npiNumber="1") == [own, (SID_NPI_UNVERIFIED, "1"), (US_NPI, "1234567893"), local]


def test_the_name_is_the_directorys_only_where_autoscribe_says_none() -> None:
    unknown = mapped(users=(), site=DIRECTORY)
    assert one(unknown, "Practitioner")["name"][0]["text"] == "Sarah Ann Johnson, Jr., MD"
    assert one(unknown, "DiagnosticReport")["resultsInterpreter"][0]["reference"] == "Practitioner/usr-" + "2" * 32
    assert "user-unknown" not in codes(unknown)
    nameless = mapped(users=(user_json(firstName="", lastName=" "),), site=DIRECTORY)
    assert one(nameless, "Practitioner")["name"] == one(unknown, "Practitioner")["name"]
    named = mapped(users=(user_json(firstName="Sally"),), site=DIRECTORY)
    assert one(named, "Practitioner")["name"][0]["given"] == ["Sally"]


def test_a_user_who_says_little_has_no_empty_elements() -> None:
    found = practitioner(email="", clinicRole="", firstName="")
    assert found["name"] == [{"text": "Johnson", "family": "Johnson"}]
    assert not {"telecom", "qualification", "extension"} & found.keys()


def test_odd_characters_in_a_users_fields_are_reported_at_their_place() -> None:
    found = mapped(users=(user_json(firstName="Sa\x01rah"),))
    assert one(found, "Practitioner")["name"][0]["given"] == ["Sarah"]
    assert [issue.pointer for issue in found.issues if issue.code == "character-removed"] == ["/users/0/firstName"]


def test_a_user_who_signed_twice_is_one_practitioner_and_one_who_signed_nothing_is_none() -> None:
    idle = user_json(userId="usr_" + "9" * 32)
    assert one(mapped(report(), report("5"), users=(user_json(), idle)), "Practitioner")["id"] == "usr-" + "2" * 32
