"""Included resources of a search: https://hl7.org/fhir/R4/search.html#include, #revinclude."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from fakes.store import made, write

from gateway.auth.access import Access
from gateway.auth.scopes import scope_list
from gateway.auth.visibility import EVERYTHING, Visibility
from gateway.fhir_api.search import including
from gateway.fhir_api.search.including import included, page_with_included
from gateway.fhir_api.search.paging import BEGINNING
from gateway.fhir_api.search.result_parameters import include
from gateway.fhir_api.search.search_query import understand
from gateway.index.extract import rows
from gateway.index.search_value import Circumstances
from gateway.store.studies import search as store

REPORT = "DiagnosticReport"


def stored(address, faults=None, **elements):
    kind, _, resource_id = address.partition("/")
    found = rows({"resourceType": kind, "id": resource_id, **elements}, UTC)
    return made(address, str(len(str(elements))), terms=found.terms, moments=found.moments, faults=faults)


def refers(*addresses):
    return [{"reference": one} for one in addresses]


@pytest.fixture
async def engine(sqlite_engine):
    """Two reports of one patient, with performers of two types, a facility, and a Provenance of both."""
    await write(
        sqlite_engine,
        stored(
            "DiagnosticReport/rep-1",
            subject=refers("Patient/pat-1")[0],
            performer=refers("Organization/org-1", "Practitioner/usr-1", "Practitioner/usr-gone"),
        ),
        stored("DiagnosticReport/rep-2", subject=refers("Patient/pat-1")[0], performer=refers("Organization/org-1")),
        stored("Patient/pat-1", managingOrganization=refers("Organization/org-2")[0]),
        stored("Practitioner/usr-1"),
        stored("Organization/org-1"),
        stored("Organization/org-2"),
        stored("Provenance/rep-1-prov", target=refers("DiagnosticReport/rep-1", "DiagnosticReport/rep-2")),
    )
    return sqlite_engine


async def beside(engine, *wanted, of=("DiagnosticReport/rep-1", "DiagnosticReport/rep-2"), sight=EVERYTHING):
    """Return the addresses of included resources, and the issues."""
    matches = [one for one in (await store.current(engine, of)).values() if one is not None]
    asked = [include(REPORT, *one.split("=")) for one in wanted]
    assert None not in asked
    found, issues = await included(engine, asked, matches, sight)
    return [one.address for one in found], [(one.code, one.detail) for one in issues]


async def test_each_is_included_once_whoever_refers_to_it(engine):
    assert await beside(
        engine,
        "_include=DiagnosticReport:patient",
        "_include=DiagnosticReport:subject",
        "_revinclude=Provenance:target",
    ) == (["Patient/pat-1", "Provenance/rep-1-prov"], [])


async def test_what_is_not_there_is_named(engine):
    found, issues = await beside(engine, "_include=DiagnosticReport:performer")
    assert found == ["Organization/org-1", "Practitioner/usr-1"]
    assert issues == [("suppressed", "suppressed")]
    assert (await beside(engine, "_include=DiagnosticReport:performer:Organization"))[1] == []


async def test_what_does_not_pass_the_check_is_named(engine):
    await write(engine, stored("Patient/pat-1", faults="[]"))
    assert await beside(engine, "_include=DiagnosticReport:patient") == ([], [("suppressed", "suppressed")])


async def test_what_refers_to_a_match_and_does_not_pass_the_check_is_named(engine):
    await write(engine, stored("Provenance/rep-1-prov", faults="[]", target=refers("DiagnosticReport/rep-1")))
    assert await beside(engine, "_revinclude=Provenance:target") == ([], [("suppressed", "suppressed")])


async def test_only_the_type_that_is_asked_for_is_included(engine):
    asked = "_include=DiagnosticReport:performer:Practitioner"
    assert (await beside(engine, asked))[0] == ["Practitioner/usr-1"]


async def test_what_is_included_is_followed_one_step(engine):
    iterate = "_include:iterate=Patient:organization"
    assert await beside(engine, iterate, "_include=DiagnosticReport:patient") == (
        ["Patient/pat-1", "Organization/org-2"],
        [],
    )
    assert await beside(engine, iterate) == ([], [])


async def test_a_match_is_not_included_too(engine):
    matches = list((await store.current(engine, ["Provenance/rep-1-prov", "DiagnosticReport/rep-1"])).values())
    found, _ = await included(engine, [include("Provenance", "_include", "Provenance:target")], matches, EVERYTHING)
    assert [one.address for one in found] == ["DiagnosticReport/rep-2"]


async def test_nothing_is_beside_nothing(engine):
    assert await beside(engine, "_include=DiagnosticReport:patient", of=()) == ([], [])


async def test_no_more_is_included_than_there_is_room_for_and_that_is_said(sqlite_engine, monkeypatch):
    monkeypatch.setattr(including, "MOST", 3)
    results = [f"Observation/rep-1-s{number}" for number in range(4)]
    await write(
        sqlite_engine,
        stored("DiagnosticReport/rep-1", result=refers(*results), subject=refers("Patient/pat-1")[0]),
        *(stored(one) for one in (*results, "Patient/pat-1")),
    )
    cut = ("too-costly", "includes-cut")
    one = ("DiagnosticReport/rep-1",)
    assert await beside(sqlite_engine, "_include=DiagnosticReport:result", of=one) == (results[:3], [cut])
    both = ("_include=DiagnosticReport:result", "_include=DiagnosticReport:patient")
    assert await beside(sqlite_engine, *both, of=one) == (results[:3], [cut])
    await write(sqlite_engine, stored("DiagnosticReport/rep-1", result=refers(*results[:3])))
    assert await beside(sqlite_engine, "_include=DiagnosticReport:result", of=one) == (results[:3], [])


async def test_a_page_has_fewer_matches_rather_than_only_some_of_what_they_refer_to(sqlite_engine, monkeypatch):
    monkeypatch.setattr(including, "MOST", 5)
    number = 9
    await write(
        sqlite_engine,
        *(
            stored(
                f"DiagnosticReport/rep-{one}",
                subject=refers("Patient/p")[0],
                result=refers(f"Observation/a-{one}", f"Observation/b-{one}"),
            )
            for one in range(number)
        ),
        *(stored(f"Observation/{letter}-{one}") for one in range(number) for letter in "ab"),
    )
    given = (("patient", "p"), ("_count", "8"), ("_sort", "_id"), ("_include", "DiagnosticReport:result"))
    query = understand(REPORT, given, Circumstances(UTC, datetime(2026, 1, 1, tzinfo=UTC), "http://x"), strict=True)
    place, sizes, seen = BEGINNING, [], []
    while place is not None:
        results, found, issues = await page_with_included(sqlite_engine, query, place)
        assert issues == []
        names = [one.address.rpartition("-")[2] for one in results.versions]
        assert {one.address for one in found} == {f"Observation/{letter}-{one}" for one in names for letter in "ab"}
        sizes.append(len(names))
        seen += names
        place = results.next
    assert seen == [str(one) for one in range(number)]
    assert max(sizes) == 2


async def test_the_many_of_another_type_leave_room_for_the_one_that_is_asked_for(sqlite_engine, monkeypatch):
    monkeypatch.setattr(including, "MOST", 2)
    many = [f"Organization/org-{number}" for number in range(9)]
    await write(
        sqlite_engine,
        stored("DiagnosticReport/rep-1", performer=refers(*many, "Practitioner/usr-1")),
        *(stored(one) for one in (*many, "Practitioner/usr-1")),
    )
    asked = "_include=DiagnosticReport:performer:Practitioner"
    assert await beside(sqlite_engine, asked, of=("DiagnosticReport/rep-1",)) == (["Practitioner/usr-1"], [])


@pytest.mark.parametrize("wanted", ["_include=DiagnosticReport:performer", "_revinclude=Provenance:target"])
async def test_of_a_type_that_the_client_may_not_read_nothing_is_included_and_nothing_said(engine, wanted):
    sight = Visibility(Access("client-a", scope_list("system/Patient.r system/DiagnosticReport.s"), None, 0))
    assert await beside(engine, wanted, sight=sight) == ([], [])


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("_include=DiagnosticReport:performer", ["Practitioner/usr-1"]),
        ("_include=DiagnosticReport:patient", []),
        ("_revinclude=Provenance:target", ["Provenance/rep-1-prov"]),
    ],
)
async def test_only_what_a_limited_client_sees_is_included_and_of_the_rest_nothing_is_said(engine, wanted, found):
    scopes = "system/Practitioner.r?_id=usr-1 system/Patient.r?_id=pat-2 system/Provenance.r?_id=rep-1-prov"
    sight = Visibility(Access("client-a", scope_list(scopes), None, 0))
    assert await beside(engine, wanted, sight=sight) == (found, [])


async def test_resources_that_a_limited_client_does_not_see_take_no_room(engine, monkeypatch):
    monkeypatch.setattr(including, "MOST", 1)
    scopes = "system/Practitioner.r?_id=usr-1 system/Organization.r?_id=org-9"
    sight = Visibility(Access("client-a", scope_list(scopes), None, 0))
    assert await beside(engine, "_include=DiagnosticReport:performer", sight=sight) == (["Practitioner/usr-1"], [])


async def test_no_more_is_read_of_what_refers_to_the_matches_than_there_is_room_for(engine, monkeypatch):
    monkeypatch.setattr(including, "MOST", 3)
    asked = []
    referring = store.referring

    async def counted(engine, key, addresses, most, limits):
        asked.append(most)
        return await referring(engine, key, addresses, most, limits)

    monkeypatch.setattr(store, "referring", counted)
    await beside(engine, "_include=DiagnosticReport:patient", "_revinclude=Provenance:target")
    assert asked == [3]


async def test_nothing_is_read_for_what_there_is_no_room_for(engine, monkeypatch):
    monkeypatch.setattr(including, "MOST", 1)

    async def unwanted(*_):
        pytest.fail("the store is read although nothing more can be included")

    monkeypatch.setattr(store, "referring", unwanted)
    asked = ("_include=DiagnosticReport:performer:Organization", "_include=DiagnosticReport:patient")
    found, issues = await beside(engine, *asked, "_revinclude=Provenance:target")
    assert (found, issues) == (["Organization/org-1"], [("too-costly", "includes-cut")])
