"""https://hl7.org/fhir/R4/http.html#history: every content ever served is a version, and none is a delete."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qsl, urlsplit

import fakes.facade
import pytest
from fakes.facade import BASE, NEW, facade, resource_id, site
from fakes.outcomes import issue, refusal

from gateway.runtime import clock
from gateway.store import study_rows
from mappings.issues import MappingIssue


def versions(bundle):
    return [int(one["resource"]["meta"]["versionId"]) for one in bundle.get("entry", ())]


def links(bundle):
    return {one["relation"]: one["url"] for one in bundle["link"]}


async def asked(stage, path):
    response = await stage.get(path)
    assert response.status_code == 200, response.text
    return response.json()


async def test_the_versions_come_newest_first_and_say_how_each_came_about(stage):
    path = await stage.changed(2)
    bundle = await asked(stage, f"{path}/_history")
    assert (bundle["resourceType"], bundle["type"], bundle["total"]) == ("Bundle", "history", 3)
    assert versions(bundle) == [3, 2, 1]
    assert links(bundle) == {"self": f"{BASE}/{path}/_history"}
    assert [one["resource"]["status"] for one in bundle["entry"]] == ["corrected", "corrected", "final"]
    for one in bundle["entry"]:
        meta = one["resource"]["meta"]
        first = meta["versionId"] == "1"
        assert one["fullUrl"] == f"{BASE}/{path}"
        assert one["request"] == {
            "method": "POST" if first else "PUT",
            "url": "DiagnosticReport" if first else path,
        }
        assert one["response"] == {
            "status": "201 Created" if first else "200 OK",
            "etag": f'W/"{meta["versionId"]}"',
            "lastModified": meta["lastUpdated"],
        }
        assert (await stage.get(f"{path}/_history/{meta['versionId']}")).json() == one["resource"]


async def test_every_version_is_on_one_page_and_no_page_is_empty(stage):
    path = await stage.changed(4)
    seen, url = [], f"{path}/_history?_count=2&_since=2020"
    while url:
        bundle = await asked(stage, url)
        assert bundle["total"] == 5
        assert 0 < len(bundle["entry"]) <= 2
        seen += versions(bundle)
        url = links(bundle).get("next", "").removeprefix(f"{BASE}/")
        assert not url or {name for name, _ in parse_qsl(urlsplit(url).query)} == {"_count", "_since", "_page"}
    assert seen == [5, 4, 3, 2, 1]


async def test_a_version_that_comes_between_two_pages_moves_nothing(stage):
    path = await stage.changed(3)
    first = await asked(stage, f"{path}/_history?_count=2")
    stage.account.change_text(stage.signed()["reportId"], "FINDINGS: late.")
    await stage.get(path, headers=NEW)
    assert versions(await asked(stage, links(first)["next"].removeprefix(f"{BASE}/"))) == [2, 1]


async def test_none_at_a_time_counts_only(stage):
    path = await stage.changed(1)
    bundle = await asked(stage, f"{path}/_history?_count=0")
    assert (bundle["total"], "entry" in bundle, list(links(bundle))) == (2, False, ["self"])


async def test_since_takes_what_was_made_then_or_later(stage):
    path = await stage.changed(2)
    made = {
        one["resource"]["meta"]["versionId"]: one["resource"]["meta"]["lastUpdated"]
        for one in (await asked(stage, f"{path}/_history"))["entry"]
    }
    bundle = await asked(stage, f"{path}/_history?_since={made['2']}")
    assert (versions(bundle), bundle["total"]) == ([3, 2], 2)
    assert versions(await asked(stage, f"{path}/_history?_since=2020-01-01")) == [3, 2, 1]
    assert versions(await asked(stage, f"{path}/_history?_since=2999")) == []


async def test_at_takes_what_was_current_at_some_time_in_it(stage):
    path = await stage.changed(2)
    made = {
        one["resource"]["meta"]["versionId"]: one["resource"]["meta"]["lastUpdated"]
        for one in (await asked(stage, f"{path}/_history"))["entry"]
    }
    assert versions(await asked(stage, f"{path}/_history?_at={made['2']}")) == [2]
    assert versions(await asked(stage, f"{path}/_history?_at={made['1']}")) == [1]
    assert versions(await asked(stage, f"{path}/_history?_at={made['1'][:10]}")) == [3, 2, 1]
    assert versions(await asked(stage, f"{path}/_history?_at=2999")) == [3]
    assert versions(await asked(stage, f"{path}/_history?_at=2020")) == []


@pytest.mark.full
@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("_since=yesterday", "http._since"),
        ("_since=gt2020", "http._since"),
        ("_since=2020,2021", "http._since"),
        ("_since=2020-13", "http._since"),
        ("_at=%2C", "http._at"),
        ("_at=2020-01-01T25:00", "http._at"),
        ("_count=-1", "http._count"),
        ("_count=many", "http._count"),
        ("_page=x", None),
    ],
)
async def test_what_is_no_date_or_number_is_refused_in_its_place(stage, query, place):
    path = await stage.changed(0)
    response = await stage.get(f"{path}/_history?{query}")
    assert refusal(response) == (400, "error", "invalid")
    assert place is None or issue(response)["expression"] == [place]
    assert "_lastUpdated" not in response.text


async def test_the_page_of_another_resource_is_refused(stage):
    path = await stage.changed(1)
    page = links(await asked(stage, f"{path}/_history?_count=1"))["next"].rpartition("?")[2]
    other = f"DocumentReference/{path.partition('/')[2]}-doc"
    assert refusal(await stage.get(f"{other}/_history?{page}")) == (400, "error", "invalid")
    assert refusal(await stage.get(f"DiagnosticReport?{page}")) == (400, "error", "invalid")


async def test_a_page_that_was_kept_for_too_long_is_gone(stage, monkeypatch):
    path = await stage.changed(1)
    following = links(await asked(stage, f"{path}/_history?_count=1"))["next"].removeprefix(f"{BASE}/")
    now = clock.now
    monkeypatch.setattr(clock, "now", lambda: now() + timedelta(hours=1))
    assert refusal(await stage.get(following)) == (410, "error", "expired")


@pytest.mark.parametrize("resource_type", ["DiagnosticReport", "Patient", "Organization"])
async def test_what_is_not_stored_has_no_history_and_nothing_is_asked_for(stage, resource_type):
    for resource in (resource_id(stage.signed()), "unknown"):
        response = await stage.get(f"{resource_type}/{resource}/_history")
        assert refusal(response) == (404, "error", "not-found")
    assert stage.requests == []


async def test_what_is_withdrawn_is_a_version_and_no_delete(monkeypatch):
    """CONF-0187 to CONF-0192: the status is `entered-in-error`, and earlier versions can still be read."""
    monkeypatch.setattr(fakes.facade, "site", lambda: replace(site(), on_cancelled_after_sign="withdraw"))
    async with facade() as stage:
        report = stage.signed()
        path = f"DiagnosticReport/{resource_id(report)}"
        first = await asked(stage, path)
        stage.account.change_study(report["studyId"], isCancelled=True, cancelledAt="2026-01-01T00:00:00.000Z")
        withdrawn = await stage.get(path, headers=NEW)
        assert (withdrawn.status_code, withdrawn.json()["status"]) == (200, "entered-in-error")
        bundle = await asked(stage, f"{path}/_history")
        assert versions(bundle) == [2, 1]
        assert [one["request"]["method"] for one in bundle["entry"]] == ["PUT", "POST"]
        assert await asked(stage, f"{path}/_history/1") == first


async def test_a_version_that_its_judge_rejects_is_none_of_them(stage, monkeypatch):
    path = await stage.changed(1)
    fault = MappingIssue("fhir-structure", "error", "/status", "refused as enum")
    with monkeypatch.context() as patched:
        patched.setattr(study_rows, "judge_all", lambda made, *_: [(fault,)] * len(made))
        stage.account.change_text(stage.signed()["reportId"], "FINDINGS: rejected.")
        assert (await stage.get(path, headers=NEW)).status_code == 404
    bundle = await asked(stage, f"{path}/_history")
    assert (versions(bundle), bundle["total"]) == ([2, 1], 2)


async def test_links_keep_all_that_is_asked_for(stage):
    path = await stage.changed(2)
    here = f"{path}/_history?_since=2020&_count=1&_format=json&_pretty=true"
    first = links(await asked(stage, here))
    assert first["self"] == f"{BASE}/{here}"
    assert first["next"].startswith(f"{BASE}/{here}&_page=")
    second = links(await asked(stage, first["next"].removeprefix(f"{BASE}/")))
    assert second["self"] == first["next"]
    assert second["next"].startswith(f"{BASE}/{here}&_page=")


@pytest.mark.full
@pytest.mark.parametrize("place", ["{path}", "DiagnosticReport", ""])
async def test_the_next_page_has_the_format_of_the_first(stage, place):
    here = f"{place.format(path=await stage.changed(2))}/_history".removeprefix("/")
    first = await stage.get(f"{here}?_count=1&_format=xml&_pretty=true")
    fhir = {"f": "http://hl7.org/fhir"}
    [url] = [
        one.find("f:url", fhir).get("value")
        for one in ET.fromstring(first.content).findall("f:link", fhir)
        if one.find("f:relation", fhir).get("value") == "next"
    ]
    second = await stage.get(url.removeprefix(f"{BASE}/"))
    assert second.headers["content-type"] == "application/fhir+xml; charset=utf-8"
    assert second.text.count("\n") > 20


@pytest.mark.full
@pytest.mark.parametrize(
    "query",
    [
        *("patient=pat-x", "_type=Patient", "_summary=count", "_elements=id", "_list=4", "_lastUpdated=gt2020"),
        *("_sort=-date", "patient.name=Doe", "_since:exact=2020", "status:not=final", "_id=rep-1", "colour=blue"),
    ],
)
async def test_what_no_history_takes_is_refused_and_what_it_takes_is_named(stage, query):
    path = await stage.changed(0)
    for place in (f"{path}/_history", "DiagnosticReport/_history", "_history"):
        for headers in ({}, {"Prefer": "handling=lenient"}):
            response = await stage.get(f"{place}?{query}", headers=headers)
            assert refusal(response) == (400, "error", "not-supported")
            said = issue(response)
            assert said["expression"] == [f"http.{re.split('[:=]', query)[0]}"]
            assert "offered: _since, " in said["diagnostics"]
            assert ("_at" in said["diagnostics"].partition("offered: ")[2]) == (place == f"{path}/_history")


async def test_an_instant_is_asked_for_once(stage):
    path = await stage.changed(0)
    for place in (f"{path}/_history", "DiagnosticReport/_history", "_history"):
        assert refusal(await stage.get(f"{place}?_since=2999&_since=2020")) == (400, "error", "invalid")


async def test_it_is_xml_for_who_wants_that_and_other_formats_are_refused(stage):
    path = await stage.changed(1)
    response = await stage.get(f"{path}/_history", headers={"Accept": "application/fhir+xml"})
    assert response.headers["content-type"] == "application/fhir+xml; charset=utf-8"
    fhir = {"f": "http://hl7.org/fhir"}
    assert len(ET.fromstring(response.content).findall("f:entry/f:resource/f:DiagnosticReport", fhir)) == 2
    assert refusal(await stage.get(f"{path}/_history", headers={"Accept": "text/html"}))[0] == 406


async def test_the_history_of_what_several_studies_speak_of_is_kept_too(stage):
    read = await asked(stage, await stage.changed(0))
    bundle = await asked(stage, f"{read['subject']['reference']}/_history")
    assert versions(bundle) == [1]
