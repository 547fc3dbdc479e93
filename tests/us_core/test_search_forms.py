"""US Core 6.1.0 and 8.0.0: the forms in which a server SHALL take a reference, a token and several values at once.

CONF-0053 to CONF-0062; FHIR R4 search (https://hl7.org/fhir/R4/search.html) for `_include` and `_revinclude`.
"""

from __future__ import annotations

import pytest
from fakes.crawled import BASE, PATHS, World, asked_for, entries, escaped, ids

pytestmark = pytest.mark.asyncio(loop_scope="session")
OF_PATIENTS = ("DiagnosticReport", "DocumentReference", "Observation", "ServiceRequest")
# What a server SHALL take several values of, and what it is offered for beside
MULTIPLE = [(kind, name) for kind in OF_PATIENTS for name in ("status", "code", "type") if name in PATHS[kind]]
# Include -> the element that it follows
INCLUDES = {
    "DiagnosticReport:subject": "subject",
    "DiagnosticReport:patient": "subject",
    "DiagnosticReport:performer": "performer",
    "DiagnosticReport:results-interpreter": "resultsInterpreter",
    "DiagnosticReport:result": "result",
    "DiagnosticReport:based-on": "basedOn",
    "DiagnosticReport:imagingStudy": "imagingStudy",
    "Observation:patient": "subject",
    "Observation:performer": "performer",
    "DocumentReference:patient": "subject",
    "DocumentReference:author": "author",
    "ServiceRequest:patient": "subject",
    "ImagingStudy:patient": "subject",
    "ImagingStudy:basedon": "basedOn",
    "Provenance:target": "target",
}


def references(resource, element):
    found = resource.get(element, [])
    return {one["reference"] for one in (found if isinstance(found, list) else [found]) if "reference" in one}


def busiest(world: World, resource_type: str) -> str:
    """Return the patient with the most resources of a type."""
    every = [one["subject"]["reference"] for one in world.resources[resource_type]]
    return max(every, key=every.count)


@pytest.mark.parametrize("resource_type", OF_PATIENTS)
async def test_a_patient_is_named_by_id_by_type_and_id_and_by_address(world, resource_type):
    """US Core 6.1.0 and 8.0.0, CONF-0056 to CONF-0058: references as `id` and `Type/id`; SHALL."""
    patient = busiest(world, resource_type)
    plain = patient.partition("/")[2]
    found = [
        await world.check(resource_type, [(name, value)])
        for name, value in (("patient", plain), ("patient", patient), ("patient", f"{BASE}/{patient}"))
    ]
    other = await world.bundle(f"{resource_type}?patient:Patient={plain}&_count=500")
    assert found[0] == found[1] == found[2] == set(ids(other)) != set()
    foreign = await world.bundle(f"{resource_type}?patient=https://elsewhere.example/fhir/{patient}")
    assert ids(foreign) == []


@pytest.mark.parametrize(("resource_type", "name"), [*MULTIPLE, *((one, "category") for one in OF_PATIENTS)])
async def test_a_code_is_found_with_its_system_and_without(world, resource_type, name):
    """US Core 6.1.0 and 8.0.0, CONF-0053 to CONF-0055: tokens as `code` and `system|code`; SHALL."""
    for one in world.some(resource_type, 3):
        patient = ("patient", one["subject"]["reference"])
        for value in with_codes(one, name):
            system, _, code = value.rpartition("|")
            alike = await world.check(resource_type, [patient, (name, value)])
            assert one["id"] in alike
            assert alike == await world.check(resource_type, [patient, (name, code)])
            if system:
                wrong = await world.check(resource_type, [patient, (name, f"urn:other|{code}")])
                no_system = await world.bundle(f"{resource_type}?patient={patient[1]}&{name}=|{code}")
                whole = await world.bundle(f"{resource_type}?patient={patient[1]}&{name}={system}|&_count=500")
                assert (wrong, ids(no_system)) == (set(), [])
                assert one["id"] in ids(whole)


def with_codes(resource, name):
    """Return every value of a token, with its system if it has one."""
    value = resource[name]
    if isinstance(value, str):
        return [value]
    concepts = value if isinstance(value, list) else [value]
    codings = [coding for concept in concepts for coding in concept.get("coding", ())]
    return [f"{one['system']}|{one['code']}" for one in codings]


@pytest.mark.parametrize(("resource_type", "name"), MULTIPLE)
async def test_any_of_several_values_is_enough(world, resource_type, name):
    """US Core 6.1.0 and 8.0.0: multipleOr SHALL on status, code and type."""
    values = sorted({asked_for(one, name) for one in world.resources[resource_type]} - {None})
    patients = sorted({one["subject"]["reference"] for one in world.resources[resource_type]})[::12]
    for patient in patients:
        await world.check(resource_type, [("patient", patient), (name, ",".join(values[:40]))])
        await world.check(resource_type, [("patient", patient), (name, f"{values[0]},no-such-code")])
    every = await world.check(resource_type, [("patient", ",".join(patients[:5]))])
    assert len(every) > len(await world.check(resource_type, [("patient", patients[0])]))


async def test_values_between_commas_and_repeated_parameters_go_together(world):
    """US Core 6.1.0 and 8.0.0: multipleAnd on date beside multipleOr on status; SHOULD."""
    patient = busiest(world, "DiagnosticReport")
    pairs = [
        ("patient", patient),
        ("status", "final,appended"),
        ("category", "LP29684-5"),
        ("category", "http://terminology.hl7.org/CodeSystem/v2-0074|RAD"),
        ("date", "ge2026-01-01"),
        ("date", "lt2027-01-01"),
    ]
    found = await world.check("DiagnosticReport", pairs)
    assert found
    assert await world.check("DiagnosticReport", [*pairs, ("category", "LP7839-6")]) == set()


@pytest.mark.parametrize("resource_type", [*OF_PATIENTS, "Patient", "Practitioner", "PractitionerRole", "Organization"])
async def test_resources_are_found_by_their_ids(world, resource_type):
    """US Core 6.1.0 and 8.0.0: _id SHALL, with several values, alone and beside what narrows it."""
    wanted = [one["id"] for one in world.some(resource_type, 4)]
    assert await world.check(resource_type, [("_id", ",".join(wanted))]) == set(wanted)
    if resource_type in OF_PATIENTS:
        patient = asked_for(world.by_address[f"{resource_type}/{wanted[0]}"], "patient")
        assert wanted[0] in await world.check(resource_type, [("_id", ",".join(wanted)), ("patient", patient)])


async def test_what_must_not_stand_in_a_value_is_escaped(world):
    """FHIR R4, search, escaping: `\\,` `\\|` and `\\$` stand for the characters themselves; SHALL."""
    odd = [one for one in world.resources["Organization"] if "'" in one["name"] or "&" in one["name"]]
    for one in odd:
        assert await world.check("Organization", [("name", escaped(one["name"]))]) == {one["id"]}
    assert odd


@pytest.mark.parametrize("include", INCLUDES)
async def test_what_matches_refer_to_is_included(world, include):
    """FHIR R4 and IHE IMR RAD-143: _include of what DiagnosticReports and others refer to."""
    resource_type, _, _ = include.partition(":")
    some = world.some(resource_type, 8)
    query = f"{resource_type}?_id={','.join(one['id'] for one in some)}"
    bundle = await world.bundle(f"{query}&_include={include}")
    wanted = set().union(*(references(one, INCLUDES[include]) for one in some))
    included = [f"{one['resourceType']}/{one['id']}" for one in entries(bundle, "include")]
    assert len(set(included)) == len(included)
    assert set(included) == wanted != set()
    assert len(ids(bundle)) == bundle["total"] == len(some)
    for target in {one.partition("/")[0] for one in wanted}:
        narrower = await world.bundle(f"{query}&_include={include}:{target}")
        found = {f"{one['resourceType']}/{one['id']}" for one in entries(narrower, "include")}
        assert found == {one for one in wanted if one.startswith(f"{target}/")}


@pytest.mark.parametrize("resource_type", [*OF_PATIENTS, "Patient"])
async def test_the_provenance_of_matches_is_included(world, resource_type):
    """US Core 6.1.0 and 8.0.0: _revinclude=Provenance:target SHALL. AutoScribe gives none of orders."""
    some = world.some(resource_type, 8)
    addresses = {f"{resource_type}/{one['id']}" for one in some}
    query = f"{resource_type}?_id={','.join(one['id'] for one in some)}&_revinclude=Provenance:target"
    bundle = await world.bundle(query, headers={"Prefer": "handling=strict"})
    wanted = {one["id"] for one in world.resources["Provenance"] if references(one, "target") & addresses}
    assert set(ids(bundle, "include")) == wanted
    assert bool(wanted) == (resource_type != "ServiceRequest")


async def test_the_documents_of_reports_are_included(world):
    """The contract of the facade: _revinclude=DocumentReference:related."""
    some = [one for one in world.some("DiagnosticReport", 8) if one["status"] != "registered"]
    query = f"DiagnosticReport?_id={','.join(one['id'] for one in some)}&_revinclude=DocumentReference:related"
    assert sorted(ids(await world.bundle(query), "include")) == sorted(f"{one['id']}-doc" for one in some)


async def test_one_step_further_is_included(world):
    """FHIR R4, search: `_include:iterate` follows what is included, one step."""
    [report] = [one for one in world.some("DiagnosticReport") if "result" in one][:1]
    query = f"DiagnosticReport?_id={report['id']}&_include=DiagnosticReport:patient"
    once = await world.bundle(f"{query}&_include:iterate=Patient:organization")
    kinds = [one["resourceType"] for one in entries(once, "include")]
    assert sorted(kinds) == ["Organization", "Patient"]
    without = await world.bundle(f"DiagnosticReport?_id={report['id']}&_include:iterate=Patient:organization")
    assert entries(without, "include") == []
