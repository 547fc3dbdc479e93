"""https://hl7.org/fhir/R4/search.html#Warnings: critical results and all else by a new index, before `rerender`."""

import pytest
from fakes.crawled import entries, issues
from fakes.facade import resource_id

from gateway.fhir_api.search import unindexed
from gateway.store.database import facts

CRITICAL = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation|AA"
WINDOW = "_lastUpdated=ge2000"


def warned(bundle):
    return [one["detail"] for one in issues(bundle) if "interpretation" in one["diagnostics"]]


async def all_taken_in(stage):
    """Read every report, so that it is in the index."""
    for report in stage.reports():
        await stage.get(f"DiagnosticReport/{resource_id(report)}")


@pytest.mark.parametrize(
    "query", ["interpretation=AA", f"interpretation={CRITICAL}", f"interpretation:text=critical&{WINDOW}"]
)
async def test_the_observations_of_critical_reports_are_found_by_their_interpretation_alone(stage, query):
    await all_taken_in(stage)
    found = entries((await stage.get(f"Observation?{query}&_count=500")).json())
    reports = entries((await stage.get(f"DiagnosticReport?critical=true&{WINDOW}&_count=500")).json())
    about = {one["id"] for one in found}
    assert reports
    for report in reports:
        assert about & {one["reference"].partition("/")[2] for one in report["result"]}, report["id"]
    listed = {one["reference"].partition("/")[2] for report in reports for one in report["result"]}
    assert about <= listed
    assert all(one["interpretation"][0]["coding"][0]["code"] == "AA" for one in found)


async def test_what_is_not_critical_is_found_by_the_absence_of_an_interpretation_in_a_narrow_search(stage):
    await all_taken_in(stage)
    without = entries((await stage.get(f"Observation?interpretation:missing=true&{WINDOW}&_count=500")).json())
    assert without
    assert not any("interpretation" in one for one in without)
    assert (await stage.get("Observation?interpretation:not=AA")).status_code == 400


@pytest.fixture
def changed(monkeypatch):
    """A release that makes Provenance and indexes interpretations and names of patients otherwise than the one before.

    Returns a function that says which release stored everything: the one before, or this one.
    """
    others = {("Observation", "interpretation"), ("Patient", "name"), ("Patient", "family")}
    monkeypatch.setattr(unindexed, "_CHANGED", frozenset(others))
    monkeypatch.setattr(unindexed, "_NEW_TYPES", frozenset({"Provenance"}))

    async def stored_by(stage, revision):
        await facts.put(stage.app.state.facade.engine, facts.INDEX, revision)

    return stored_by


@pytest.mark.parametrize(("revision", "said"), [("0", ["index-incomplete"]), (facts.INDEX_REVISION, [])])
async def test_a_search_says_if_an_older_release_stored_what_it_does_not_find(stage, changed, revision, said):
    await changed(stage, revision)
    assert warned((await stage.get("Observation?interpretation=AA")).json()) == said
    assert warned((await stage.get(f"Observation?interpretation:missing=true&{WINDOW}")).json()) == said
    assert warned((await stage.get(f"Observation?status=final&{WINDOW}")).json()) == []


@pytest.mark.parametrize(
    "query",
    [
        "Patient?family=Lee",
        "DiagnosticReport?patient.name=Lee",
        "DiagnosticReport?result.interpretation=AA",
        f"DiagnosticReport?{WINDOW}&_revinclude=Provenance:target",
        f"Provenance?{WINDOW}",
    ],
)
async def test_a_search_says_if_what_it_reads_was_indexed_otherwise_or_not_made_by_an_older_release(
    stage, changed, query
):
    await changed(stage, "0")
    before = issues((await stage.get(query)).json())
    await changed(stage, facts.INDEX_REVISION)
    after = issues((await stage.get(query)).json())
    assert [one["detail"] for one in before if one not in after] == ["index-incomplete"]
