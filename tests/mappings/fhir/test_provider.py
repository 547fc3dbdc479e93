"""Requester of a study (https://hl7.org/fhir/R4/servicerequest-definitions.html#ServiceRequest.requester)."""

from __future__ import annotations

from typing import Any

import pytest
from fakes.fhir_studies import mapped, one, report, snapshot

from mappings.codes import US_NPI
from mappings.profile import Directory, Provider, Site, exact, parse_site

PROVIDERS = parse_site(
    '[mapping]\nproviders = "p.csv"\nprovider_system = "urn:oid:1.2.5"\nprovider_namespace = "CITY"\n',
    files={
        "providers": "name,family,npi,local_id\nDr. Michael Chen,Chen,1234567893,C12\nDr. No,No,,N1\nDr. Who,Who,,\n"
    },
)


@pytest.mark.parametrize(
    ("name", "requester"),
    [
        (
            "Dr. Michael Chen",
            {
                "type": "Practitioner",
                "identifier": {"system": US_NPI, "value": "1234567893"},
                "display": "Dr. Michael Chen",
            },
        ),
        (
            "Dr. No",
            {"type": "Practitioner", "identifier": {"system": "urn:oid:1.2.5", "value": "N1"}, "display": "Dr. No"},
        ),
        ("Dr. Who", {"display": "Dr. Who"}),
        ("M. Chen", {"display": "M. Chen"}),
    ],
)
def test_the_requester_has_an_identifier_only_where_the_directory_has_that_spelling(name: str, requester: Any) -> None:
    found = mapped(report(snapshotMetadata=snapshot(referringPhysicianName=name)), site=PROVIDERS)
    assert one(found, "ServiceRequest")["requester"] == requester
    assert one(found, "ImagingStudy")["referrer"] == requester


def test_a_local_id_that_no_authority_stands_behind_is_no_identifier() -> None:
    site = Site(providers=Directory({exact("Dr. No"): Provider("No", local_id="N1")}, {}))
    found = mapped(report(snapshotMetadata=snapshot(referringPhysicianName="Dr. No")), site=site)
    assert one(found, "ServiceRequest")["requester"] == {"display": "Dr. No"}
