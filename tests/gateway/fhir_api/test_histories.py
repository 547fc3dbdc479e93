"""https://hl7.org/fhir/R4/http.html#history: the history of a type, and of the whole system."""

from __future__ import annotations

import pytest
from fakes.facade import BASE, NEW, resource_id
from fakes.outcomes import issue, refusal

from gateway.index.parameter_lookup import TYPES


async def asked(stage, path):
    response = await stage.get(path)
    assert response.status_code == 200, response.text
    return response.json()


def versions(bundle):
    each = [one["resource"] for one in bundle.get("entry", ())]
    return [(f"{one['resourceType']}/{one['id']}", int(one["meta"]["versionId"])) for one in each]


def instants(bundle):
    return [one["resource"]["meta"]["lastUpdated"] for one in bundle["entry"]]


async def pages(stage, path):
    """Return the contents of successive pages."""
    seen = []
    while path:
        bundle = await asked(stage, path)
        assert (bundle["type"], "total" in bundle) == ("history", False)
        seen.append(versions(bundle))
        links = {one["relation"]: one["url"] for one in bundle["link"]}
        path = links.get("next", "").removeprefix(f"{BASE}/")
    return seen


async def test_the_history_of_a_type_has_all_versions_of_its_resources_newest_first(stage):
    path = await stage.changed(2)
    bundle = await asked(stage, "DiagnosticReport/_history")
    assert versions(bundle) == [(path, 3), (path, 2), (path, 1)]
    assert instants(bundle) == sorted(instants(bundle), reverse=True)
    for one in bundle["entry"]:
        version = one["resource"]["meta"]["versionId"]
        assert one["response"]["etag"] == f'W/"{version}"'
        assert one["request"]["method"] == ("POST" if version == "1" else "PUT")
        assert (await stage.get(f"{path}/_history/{version}")).json() == one["resource"]


async def test_the_history_of_the_system_is_that_of_all_types(stage):
    await stage.changed(1)
    [whole] = await pages(stage, "_history?_count=500")
    by_type = {kind: (await pages(stage, f"{kind}/_history?_count=500"))[0] for kind in TYPES}
    assert {one for one, _ in whole} >= {by_type["DiagnosticReport"][0][0], by_type["Patient"][0][0]}
    for kind, found in by_type.items():
        assert [one for one in whole if one[0].startswith(f"{kind}/")] == found


@pytest.mark.parametrize("path", ["_history?_count=3", "DiagnosticReport/_history?_count=1&_since=2020"])
async def test_every_version_is_on_one_page_and_what_comes_meanwhile_moves_nothing(stage, path):
    await stage.changed(3)
    [whole] = await pages(stage, path.replace("_count=3", "_count=500").replace("_count=1", "_count=500"))
    first = await asked(stage, path)
    stage.account.change_text(stage.signed()["reportId"], "FINDINGS: late.")
    await stage.get(f"DiagnosticReport/{resource_id(stage.signed())}", headers=NEW)
    rest = await pages(stage, next(one["url"] for one in first["link"] if one["relation"] == "next")[len(BASE) + 1 :])
    assert [*versions(first), *(one for page in rest for one in page)] == whole
    assert all(rest)


async def test_since_takes_what_was_stored_then_or_later(stage):
    path = await stage.changed(2)
    newest, second, _ = instants(await asked(stage, "DiagnosticReport/_history"))
    assert versions(await asked(stage, f"DiagnosticReport/_history?_since={second}")) == [(path, 3), (path, 2)]
    assert versions(await asked(stage, f"DiagnosticReport/_history?_since={newest}")) == [(path, 3)]
    assert versions(await asked(stage, "_history?_since=2999")) == []


async def test_a_page_is_of_the_history_that_it_was_given_out_for(stage):
    await stage.changed(1)
    bundle = await asked(stage, "DiagnosticReport/_history?_count=1")
    page = bundle["link"][-1]["url"].rpartition("?")[2]
    for other in ("_history", "Patient/_history", "DiagnosticReport"):
        assert refusal(await stage.get(f"{other}?{page}")) == (400, "error", "invalid")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("_since=yesterday", (400, "error", "invalid")),
        ("_count=0", (400, "error", "invalid")),
        ("_count=many", (400, "error", "invalid")),
        ("_at=2024", (400, "error", "not-supported")),
        ("_list=1", (400, "error", "not-supported")),
    ],
)
async def test_what_cannot_be_asked_of_a_history_is_refused_in_its_place(stage, query, said):
    for path in ("DiagnosticReport/_history", "_history"):
        response = await stage.get(f"{path}?{query}")
        assert refusal(response) == said
        assert issue(response)["expression"] == [f"http.{query.partition('=')[0]}"]


async def test_a_page_says_since_when_it_is_and_a_later_instant_beside_it_holds(stage):
    await stage.changed(2)
    bundle = await asked(stage, "DiagnosticReport/_history?_since=2020&_count=1")
    [following] = [one["url"].removeprefix(f"{BASE}/") for one in bundle["link"] if one["relation"] == "next"]
    assert "?_since=2020&_count=1&_page=" in following
    assert len(versions(await asked(stage, following))) == 1
    assert versions(await asked(stage, following.replace("_since=2020", "_since=2999"))) == []
    assert len(versions(await asked(stage, following.replace("_since=2020&", "")))) == 1


async def test_a_history_is_read_and_not_written(stage):
    for path in ("_history", "DiagnosticReport/_history"):
        assert (await stage.client.delete(f"{BASE}/{path}")).status_code == 405
        assert (await stage.get(path, headers={"Accept": "text/csv"})).status_code == 406
        assert (await stage.get(path, headers={"Accept": "application/fhir+xml"})).text.startswith("<")
