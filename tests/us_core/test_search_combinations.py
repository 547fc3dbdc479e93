"""US Core server CapabilityStatements 6.1.0 and 8.0.0: each search that a server SHALL or SHOULD offer, on its own.

Every test asks in several ways for what some resources of the sandbox have, and holds what is found against what the
resources themselves say: exactly those that must be found, by GET as by POST, each passing the judge.
"""

from __future__ import annotations

import pytest
from fakes.crawled import World, asked_for

pytestmark = pytest.mark.asyncio(loop_scope="session")
COMPARATORS = ("gt", "lt", "ge", "le")


async def found(world: World, resource_type: str, *names: str) -> None:
    """Check that resources are found by these parameters together."""
    hits = 0
    for one in world.some(resource_type):
        values = {name: asked_for(one, name) for name in names}
        if None in values.values():
            continue
        pairs = list(values.items())
        assert one["id"] in await world.check(resource_type, pairs)
        hits += 1
    assert hits, "no resource has a value of each"


async def found_by_date(world: World, resource_type: str, *names: str) -> None:
    """Check parameters that end with a date, with each comparator and as a range."""
    *others, date = names
    hits = 0
    for one in world.some(resource_type, 4):
        values = {name: asked_for(one, name) for name in names}
        if None in values.values():
            continue
        pairs = [(name, values[name]) for name in others]
        for comparator in COMPARATORS:
            hits += len(await world.check(resource_type, [*pairs, (date, f"{comparator}{values[date]}")]))
        between = [(date, f"ge{values[date]}"), (date, f"le{values[date]}")]
        assert one["id"] in await world.check(resource_type, [*pairs, *between])
    assert hits, "no comparator finds anything"


async def finds_nothing(world: World, resource_type: str, name: str, value: str, *names: str) -> None:
    """Check that a search is offered although it finds nothing, since AutoScribe does not know the element."""
    [one] = world.some(resource_type, 1)
    pairs = [(name, value), *((other, asked_for(one, other)) for other in names)]
    assert await world.check(resource_type, pairs) == set()


async def test_diagnostic_report_by_patient(world):
    """US Core 6.1.0 and 8.0.0, DiagnosticReport: patient SHALL."""
    await found(world, "DiagnosticReport", "patient")


async def test_diagnostic_report_by_patient_and_category(world):
    """US Core 6.1.0 and 8.0.0, DiagnosticReport: patient + category SHALL."""
    await found(world, "DiagnosticReport", "patient", "category")


async def test_diagnostic_report_by_patient_category_and_date(world):
    """US Core 6.1.0 and 8.0.0, DiagnosticReport: patient + category + date SHALL."""
    await found_by_date(world, "DiagnosticReport", "patient", "category", "date")


async def test_diagnostic_report_by_patient_and_code(world):
    """US Core 6.1.0 and 8.0.0, DiagnosticReport: patient + code SHALL."""
    await found(world, "DiagnosticReport", "patient", "code")


async def test_diagnostic_report_by_patient_and_status(world):
    """US Core 6.1.0 and 8.0.0, DiagnosticReport: patient + status SHOULD."""
    await found(world, "DiagnosticReport", "patient", "status")


async def test_diagnostic_report_by_patient_code_and_date(world):
    """US Core 6.1.0 and 8.0.0, DiagnosticReport: patient + code + date SHOULD."""
    await found_by_date(world, "DiagnosticReport", "patient", "code", "date")


async def test_diagnostic_report_by_patient_category_and_last_update(world):
    """US Core 8.0.0, DiagnosticReport: patient + category + _lastUpdated SHOULD."""
    await found_by_date(world, "DiagnosticReport", "patient", "category", "_lastUpdated")


async def test_patient_by_id(world):
    """US Core 6.1.0 and 8.0.0, Patient: _id SHALL."""
    await found(world, "Patient", "_id")


async def test_patient_by_identifier(world):
    """US Core 6.1.0 and 8.0.0, Patient: identifier SHALL."""
    await found(world, "Patient", "identifier")


async def test_patient_by_name(world):
    """US Core 6.1.0 and 8.0.0, Patient: name SHALL."""
    await found(world, "Patient", "name")


async def test_patient_by_birth_date_and_name(world):
    """US Core 6.1.0 and 8.0.0, Patient: birthdate + name SHALL."""
    await found(world, "Patient", "birthdate", "name")


async def test_patient_by_gender_and_name(world):
    """US Core 6.1.0, Patient: gender + name SHALL."""
    await found(world, "Patient", "gender", "name")


async def test_patient_by_birth_date_and_family_name(world):
    """US Core 6.1.0 and 8.0.0, Patient: birthdate + family SHOULD."""
    await found(world, "Patient", "birthdate", "family")


async def test_patient_by_family_name_and_gender(world):
    """US Core 6.1.0, Patient: family + gender SHOULD."""
    await found(world, "Patient", "family", "gender")


async def test_patient_by_date_of_death_and_family_name(world):
    """US Core 6.1.0 and 8.0.0, Patient: death-date + family SHOULD. AutoScribe does not say who has died."""
    await finds_nothing(world, "Patient", "death-date", "ge1900", "family")


async def test_practitioner_by_name(world):
    """US Core 6.1.0 and 8.0.0, Practitioner: name SHALL."""
    await found(world, "Practitioner", "name")


async def test_practitioner_by_identifier(world):
    """US Core 6.1.0 and 8.0.0, Practitioner: identifier SHALL."""
    await found(world, "Practitioner", "identifier")


async def test_practitioner_by_id(world):
    """US Core 6.1.0 and 8.0.0, Practitioner: _id SHOULD."""
    await found(world, "Practitioner", "_id")


async def test_practitioner_role_by_practitioner(world):
    """US Core 6.1.0 and 8.0.0, PractitionerRole: practitioner SHALL."""
    await found(world, "PractitionerRole", "practitioner")


async def test_practitioner_role_by_specialty(world):
    """US Core 6.1.0 and 8.0.0, PractitionerRole: specialty SHALL."""
    await found(world, "PractitionerRole", "specialty")


async def test_organization_by_name(world):
    """US Core 6.1.0 and 8.0.0, Organization: name SHALL."""
    await found(world, "Organization", "name")


async def test_organization_by_address(world):
    """US Core 6.1.0 and 8.0.0, Organization: address SHALL. The site's settings say none."""
    await finds_nothing(world, "Organization", "address", "Main")


async def test_document_reference_by_id(world):
    """US Core 6.1.0 and 8.0.0, DocumentReference: _id SHALL."""
    await found(world, "DocumentReference", "_id")


async def test_document_reference_by_patient(world):
    """US Core 6.1.0 and 8.0.0, DocumentReference: patient SHALL."""
    await found(world, "DocumentReference", "patient")


async def test_document_reference_by_patient_and_type(world):
    """US Core 6.1.0 and 8.0.0, DocumentReference: patient + type SHALL."""
    await found(world, "DocumentReference", "patient", "type")


async def test_document_reference_by_patient_and_category(world):
    """US Core 6.1.0 and 8.0.0, DocumentReference: patient + category SHALL."""
    await found(world, "DocumentReference", "patient", "category")


async def test_document_reference_by_patient_category_and_date(world):
    """US Core 6.1.0 and 8.0.0, DocumentReference: patient + category + date SHALL."""
    await found_by_date(world, "DocumentReference", "patient", "category", "date")


async def test_document_reference_by_patient_and_status(world):
    """US Core 6.1.0 and 8.0.0, DocumentReference: patient + status SHOULD."""
    await found(world, "DocumentReference", "patient", "status")


async def test_document_reference_by_patient_type_and_period(world):
    """US Core 6.1.0 and 8.0.0, DocumentReference: patient + type + period SHOULD."""
    await found_by_date(world, "DocumentReference", "patient", "type", "period")


async def test_observation_by_patient_and_category(world):
    """US Core 6.1.0 and 8.0.0, Observation: patient + category SHALL."""
    await found(world, "Observation", "patient", "category")


async def test_observation_by_patient_and_code(world):
    """US Core 6.1.0 and 8.0.0, Observation: patient + code SHALL."""
    await found(world, "Observation", "patient", "code")


async def test_observation_by_patient_category_and_date(world):
    """US Core 6.1.0 and 8.0.0, Observation: patient + category + date SHALL."""
    await found_by_date(world, "Observation", "patient", "category", "date")


async def test_observation_by_patient_category_and_status(world):
    """US Core 6.1.0 and 8.0.0, Observation: patient + category + status SHOULD."""
    await found(world, "Observation", "patient", "category", "status")


async def test_observation_by_patient_code_and_date(world):
    """US Core 6.1.0 and 8.0.0, Observation: patient + code + date SHOULD."""
    await found_by_date(world, "Observation", "patient", "code", "date")


async def test_observation_by_patient_category_and_last_update(world):
    """US Core 8.0.0, Observation: patient + category + _lastUpdated SHOULD."""
    await found_by_date(world, "Observation", "patient", "category", "_lastUpdated")


async def test_service_request_by_id(world):
    """US Core 6.1.0 and 8.0.0, ServiceRequest: _id SHALL."""
    await found(world, "ServiceRequest", "_id")


async def test_service_request_by_patient(world):
    """US Core 6.1.0 and 8.0.0, ServiceRequest: patient SHALL."""
    await found(world, "ServiceRequest", "patient")


async def test_service_request_by_patient_and_category(world):
    """US Core 6.1.0 and 8.0.0, ServiceRequest: patient + category SHALL."""
    await found(world, "ServiceRequest", "patient", "category")


async def test_service_request_by_patient_and_code(world):
    """US Core 6.1.0 and 8.0.0, ServiceRequest: patient + code SHALL."""
    await found(world, "ServiceRequest", "patient", "code")


async def test_service_request_by_patient_and_status(world):
    """US Core 6.1.0 and 8.0.0, ServiceRequest: patient + status SHOULD."""
    await found(world, "ServiceRequest", "patient", "status")


async def test_service_request_by_patient_category_and_authored(world):
    """US Core 6.1.0 and 8.0.0, ServiceRequest: patient + category + authored SHALL. AutoScribe does not say when."""
    await finds_nothing(world, "ServiceRequest", "authored", "ge1900", "patient", "category")


async def test_service_request_by_patient_code_and_authored(world):
    """US Core 6.1.0 and 8.0.0, ServiceRequest: patient + code + authored SHOULD. AutoScribe does not say when."""
    await finds_nothing(world, "ServiceRequest", "authored", "ge1900", "patient", "code")
