"""Provenance (https://hl7.org/fhir/R4/provenance.html; US Core Provenance Profile; D29)."""

from __future__ import annotations

import pytest
from fakes.fhir_studies import codes, mapped, one, report, snapshot
from fakes.upstream_json import report_id

from mappings.codes import SID_REPORT


def provenance(**changes):
    return one(mapped(report(**changes)), "Provenance")


def test_the_provenance_names_report_author_gateway_and_source() -> None:
    found = provenance()
    assert [each["type"]["coding"][0]["code"] for each in found["agent"]] == ["author", "transmitter"]
    assert found["agent"][0]["who"]["reference"] == "Practitioner/usr-" + "2" * 32
    assert all(each["onBehalfOf"]["display"] == "City Medical Center" for each in found["agent"])
    assert found["entity"][0]["role"] == "source"
    assert found["entity"][0]["what"]["identifier"] == {"system": SID_REPORT, "value": report_id("3")}
    assert found["occurredPeriod"] == {"start": "2024-03-15T14:30:00Z", "end": "2024-03-15T16:00:00Z"}


def test_the_provenance_is_of_all_that_was_made_of_the_report() -> None:
    made = mapped(report()).output
    start = next(index for index, each in enumerate(made) if each["resourceType"] == "DiagnosticReport")
    assert made[-1]["target"] == [{"reference": f"{each['resourceType']}/{each['id']}"} for each in made[start:-1]]
    assert {each["resourceType"] for each in made[start:-1]} == {"DiagnosticReport", "Observation", "DocumentReference"}


@pytest.mark.parametrize(
    ("changes", "recorded"),
    [
        ({"updatedAt": "2024-03-17T00:00:00Z"}, "2024-03-17T00:00:00Z"),
        ({"updatedAt": None}, "2024-03-15T16:00:00Z"),
        ({"updatedAt": "?", "signedAt": None}, "2024-03-15T14:30:00Z"),
    ],
)
def test_recorded_is_the_first_of_updated_signed_created(changes, recorded) -> None:
    assert provenance(**changes)["recorded"] == recorded


def test_without_any_moment_there_is_none_and_an_issue() -> None:
    made = mapped(report(updatedAt=None, signedAt=None, createdAt=None))
    assert not [each for each in made.output if each["resourceType"] == "Provenance"]
    assert "provenance-undated" in codes(made)


def test_a_period_that_would_end_before_it_starts_is_not_said() -> None:
    assert "occurredPeriod" not in provenance(createdAt="2024-03-16T00:00:00Z")


def test_without_a_facility_the_us_core_profile_is_not_claimed() -> None:
    found = provenance(snapshotMetadata=snapshot(facilityName=None))
    assert "meta" not in found
    assert "onBehalfOf" not in found["agent"][0]
