"""An EHR's launch names the patient by the number that the EHR knows: `system|MRN` (D11, D12, D48).

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from fakes.fhir_studies import SITE, addendum, report, snapshot
from fakes.merging import SYSTEM, knowing, merge
from fakes.taken_in import current, study_id, take

from gateway.auth.launch_patient import LaunchPatients, PatientNumber
from gateway.ingest import Pipeline
from gateway.store.studies import identities
from mappings.patient.identifiers import keyed_patient_id
from mappings.profile import parse_site

AT = datetime(2026, 1, 5, tzinfo=UTC)
MRN, NEW = "MRN-001234", "MRN-9"
UNKNOWN, DISPUTED = ("", "patient-unknown"), ("", "patient-disputed")
SOMEBODY_ELSE = {"patientName": "John Roe", "dateOfBirth": "1950-01-01", "sex": "male"}
HERE, THERE = "City Medical Center", "County Hospital"
# Two facilities whose patients have the numbers of one authority
SHARED = parse_site(
    f"""
[[mapping.facilities]]
name = "{HERE}"
mrn_system = "{SYSTEM}"
mrn_namespace = "CITY"
[[mapping.facilities]]
name = "{THERE}"
mrn_system = "{SYSTEM}"
mrn_namespace = "CITY"
"""
)


@pytest.fixture
def pipeline(engine):
    with knowing(SITE):
        yield Pipeline(engine, SITE, UTC)


async def found(engine, value=MRN, system=SYSTEM, facilities=None):
    return await LaunchPatients(engine, SITE).find(PatientNumber(system, value), facilities)


def pat(number=MRN):
    return keyed_patient_id(SYSTEM, number, SITE)


async def said_of(pipeline, digit="1", **changes):
    await take(pipeline, report(digit, snapshotMetadata=snapshot(**changes)), digit=digit)


async def test_the_number_that_is_the_key_finds_its_patient_and_nothing_that_only_resembles_it_does(engine, pipeline):
    await said_of(pipeline)
    assert await found(engine) == (pat(), "")
    assert f"Patient/{pat()}" in await current(engine, "Patient")
    for value, system in (
        ("mrn-001234", SYSTEM),
        ("MRN-1234", SYSTEM),
        ("MRN-00123", SYSTEM),
        (MRN, ""),
        (MRN, "urn:oid:1.2.4"),
        ("", SYSTEM),
        ("", ""),
    ):
        assert await found(engine, value, system) == UNKNOWN


async def test_a_number_that_is_nobodys_key_finds_nobody_though_patients_have_it(engine, pipeline):
    await said_of(pipeline, mrn="UNKNOWN")
    numbers = [
        (one["system"], one["value"])
        for patient in (await current(engine, "Patient")).values()
        for one in patient["identifier"]
    ]
    assert ("UNKNOWN" in [value for _, value in numbers]) is True
    assert [await found(engine, value, system) for system, value in numbers if value == "UNKNOWN"] == [UNKNOWN]


@pytest.mark.parametrize(("verdict", "after"), [("link", "found"), ("separate", "found"), (None, "disputed")])
async def test_a_number_of_two_people_finds_nobody_until_an_operator_decides(engine, pipeline, verdict, after):
    await said_of(pipeline, "1")
    await said_of(pipeline, "2", **SOMEBODY_ELSE)
    assert await found(engine) == DISPUTED
    if verdict:
        assert await identities.decide(engine, pat(), study_id("2"), verdict, "asked", AT)
        await pipeline.refresh(study_id("2"))
    assert await found(engine) == ((pat(), "") if after == "found" else DISPUTED)


async def test_a_study_whose_reports_describe_two_people_under_the_number_makes_it_nobodys(engine, pipeline):
    other = {**addendum(), "snapshotMetadata": snapshot(**SOMEBODY_ELSE)}
    await take(pipeline, report(), other)
    assert [one.state for one in await identities.every(engine)].count("contradicted") > 0
    assert await found(engine) == DISPUTED


async def test_either_number_of_a_merge_finds_the_survivor(engine, pipeline):
    await said_of(pipeline)
    await merge(engine, MRN, NEW)
    await pipeline.refresh(study_id("1"))
    assert [await found(engine, one) for one in (MRN, NEW)] == [(pat(NEW), "")] * 2
    assert [await found(engine, one, facilities=[HERE]) for one in (MRN, NEW)] == [(pat(NEW), "")] * 2
    assert [await found(engine, one, facilities=[THERE]) for one in (MRN, NEW)] == [UNKNOWN] * 2


async def test_two_people_whose_numbers_were_merged_are_neither(engine, pipeline):
    await said_of(pipeline, "1")
    await said_of(pipeline, "2", mrn=NEW, **SOMEBODY_ELSE)
    assert await found(engine) == (pat(), "")
    await merge(engine, MRN, NEW)
    for digit in "12":
        await pipeline.refresh(study_id(digit))
    assert await found(engine, NEW) == DISPUTED
    assert await found(engine) == UNKNOWN  # no study describes the old Patient any more


async def test_a_client_of_some_facilities_finds_and_loses_nothing_by_the_studies_of_others(engine):
    pipeline = Pipeline(engine, SHARED, UTC)
    await said_of(pipeline, "1", facilityName=THERE)
    assert await found(engine, facilities=[HERE]) == UNKNOWN
    await said_of(pipeline, "2", facilityName=HERE)
    await said_of(pipeline, "3", facilityName=THERE, **SOMEBODY_ELSE)
    assert await found(engine) == DISPUTED
    assert await found(engine, facilities=[HERE]) == (pat(), "")
    assert await found(engine, facilities=[THERE]) == DISPUTED
    assert await found(engine, facilities=[]) == UNKNOWN
