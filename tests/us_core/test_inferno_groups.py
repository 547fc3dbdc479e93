"""The groups of the us-core-test-kit for US Core 6.1.0, for all profiles that are served: no test fails.

https://github.com/inferno-framework/us-core-test-kit: re-stated from its public description. Each test passes, or is
skipped for the reason that `docs/reference/us-core.md` gives. A reason that is not needed any more fails here.
"""

from __future__ import annotations

import pytest
from fakes.crawled import asked_for, entries, ids
from generators.inferno import GROUPS, NOT_SERVED, OTHER_TESTS, PASSES, has, values

from gateway.fhir_api.served import RESOURCES
from mappings.fhir.judge import judge

pytestmark = pytest.mark.asyncio(loop_scope="session")
EVERY = pytest.mark.parametrize("group", GROUPS, ids=[one.name for one in GROUPS])
SEARCHES = [(group, names) for group in GROUPS for names in group.searches]


def of(world, group):
    """Return the resources that claim the profile of a group."""
    return [one for one in world.resources[group.resource_type] if group.holds(one)]


def some(world, group, most=4):
    every = of(world, group)
    return every[:: max(1, len(every) // most)][:most]


@pytest.mark.parametrize(("group", "names"), SEARCHES, ids=[f"{one.name}: {'+'.join(by)}" for one, by in SEARCHES])
async def test_a_search_finds_what_has_the_values_asked_for(world, group, names):
    asked = [(one, [(name, asked_for(one, name)) for name in names]) for one in of(world, group)]
    full = [(one, pairs) for one, pairs in asked if all(value for _, value in pairs)]
    assert bool(full) is (group.searches[names] == PASSES)
    for one, pairs in full[:: max(1, len(full) // 3)][:3]:
        assert one["id"] in await world.check(group.resource_type, pairs)
    if not full:
        [one] = some(world, group, 1)
        pairs = [
            (name, asked_for(one, name) or ("2024" if "dat" in name or name == "authored" else "x")) for name in names
        ]
        assert await world.check(group.resource_type, pairs) == set()


@EVERY
async def test_each_is_read_as_it_was_found(world, group):
    for one in some(world, group):
        response = await world.get(f"{group.resource_type}/{one['id']}")
        assert (response.status_code, response.json()) == (200, one)


@pytest.mark.parametrize("group", [one for one in GROUPS if one.provenance is not None], ids=lambda one: one.name)
async def test_each_comes_with_its_provenance(world, group):
    for one in some(world, group):
        bundle = await world.bundle(f"{group.resource_type}?_id={one['id']}&_revinclude=Provenance:target")
        assert ids(bundle) == [one["id"]]
        assert bool(entries(bundle, "include")) is (group.provenance == PASSES)


@EVERY
async def test_each_is_valid(world, group):
    assert of(world, group)
    assert [one["id"] for one in of(world, group) if judge(one)] == []


@EVERY
async def test_every_must_support_element_is_there_or_accounted_for(world, group):
    absent = {element for element in group.elements if not any(has(one, element) for one in of(world, group))}
    assert absent == {element for element, why in group.elements.items() if why}


@EVERY
async def test_every_reference_leads_somewhere(world, group):
    for one in some(world, group):
        for address in sorted(references(one)):
            assert (await world.get(address)).status_code == 200


def references(node):
    """Return every literal reference in a resource."""
    if isinstance(node, list):
        return {found for one in node for found in references(one)}
    if not isinstance(node, dict):
        return set()
    own = {node["reference"]} if isinstance(node.get("reference"), str) else set()
    return own | {found for one in node.values() for found in references(one)}


async def test_the_capability_statement_names_version_format_and_profiles(world):
    statement = (await world.get("metadata")).json()
    assert (statement["fhirVersion"], "application/fhir+json" in statement["format"]) == ("4.0.1", True)
    profiles = {one["type"]: one.get("supportedProfile", []) for one in statement["rest"][0]["resource"]}
    for group in GROUPS:
        assert any(one.endswith(f"us-core-{group.profile}") for one in profiles[group.resource_type])
    assert OTHER_TESTS["Capability Statement", "FHIR 4.0.1, JSON, Patient and another profile"] == PASSES


async def test_absent_data_have_the_extension(world):
    marked = [one for one in world.resources["Patient"] if "valueCode" in str(values(one, "name.extension"))]
    assert bool(marked) is (OTHER_TESTS["Missing Data", "the extension for absent data"] == PASSES)


async def test_what_is_skipped_as_not_served_is_not_served():
    assert {one.resource_type for one in RESOURCES}.isdisjoint(NOT_SERVED)
    assert {one.resource_type for one in GROUPS} <= {one.resource_type for one in RESOURCES}
