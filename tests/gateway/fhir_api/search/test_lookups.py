"""A search asks AutoScribe for the studies and reports that it names: decisions D25 and D26, RFC 9111 §5.2.1."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from fakes.crawled import entries, ids, issues, links
from fakes.facade import resource_id
from fakes.outcomes import issue, refusal

from gateway.fhir_api.search.lookups import MOST
from gateway.runtime import clock
from mappings.patient.identifiers import fhir_id

NO_CACHE = {"Cache-Control": "no-cache"}


async def found(stage, query, kind="DiagnosticReport", **more):
    response = await stage.get(f"{kind}?{query}", **more)
    assert response.status_code == 200, response.text
    return response.json()


def said(bundle):
    return {one["detail"]: one for one in issues(bundle)}


def asked(stage):
    """Return the studies that AutoScribe was asked for since the last call."""
    return [one.rpartition("/")[2] for one in stage.routes_seen() if one.startswith("GET /studies/")]


def several(stage, number):
    reports = {one["studyId"]: one for one in stage.reports(status="completed", isAddendum=False)}
    return list(reports.values())[:number]


async def test_what_is_in_the_index_is_not_asked_for_again(stage):
    report = stage.signed()
    uid = stage.account.studies[report["studyId"]]["studyInstanceUid"]
    await found(stage, f"study={report['studyId']}")
    assert asked(stage) == [report["studyId"]]
    for query in (f"study={report['studyId']}", f"_id={resource_id(report)}", f"imagingStudy.identifier={uid}"):
        assert ids(await found(stage, query)) == [resource_id(report)]
    assert asked(stage) == []


async def test_only_what_is_not_in_the_index_is_asked_for(stage):
    first, second = several(stage, 2)
    await found(stage, f"study={first['studyId']}")
    asked(stage)
    both = await found(stage, f"study={first['studyId']},{second['studyId']}")
    assert {resource_id(first), resource_id(second)} <= set(ids(both))
    assert asked(stage) == [second["studyId"]]


async def test_a_client_that_wants_nothing_stored_has_it_asked_for_anew(stage):
    report = stage.signed()
    query = f"_id={resource_id(report)}"
    assert entries(await found(stage, query))[0]["meta"]["versionId"] == "1"
    report["reportPlainText"] += "\nThe radiologist changed this."
    assert entries(await found(stage, query))[0]["meta"]["versionId"] == "1"
    asked(stage)
    bundle = await found(stage, f"{query}&study={report['studyId']}", headers=NO_CACHE)
    assert entries(bundle)[0]["meta"]["versionId"] == "2"
    assert asked(stage) == [report["studyId"]], "once, however often it is named"


async def test_an_answer_that_autoscribe_gave_before_is_none_for_who_wants_a_newer_one(stage, monkeypatch):
    report = stage.signed()
    query = f"_id={resource_id(report)}"
    await found(stage, query)
    upstream = stage.app.state.facade.upstream
    answered, passed_on, ask = asyncio.Event(), asyncio.Event(), upstream.study

    async def held(study_id):
        answer = await ask(study_id)
        if not answered.is_set():
            answered.set()
            await passed_on.wait()
        return answer

    monkeypatch.setattr(upstream, "study", held)
    earlier = asyncio.create_task(found(stage, query, headers=NO_CACHE))
    await answered.wait()
    await asyncio.sleep(0.05)
    report["reportPlainText"] += "\nThe radiologist changed this."
    later = asyncio.create_task(found(stage, query, headers=NO_CACHE))
    await asyncio.sleep(0.05)
    passed_on.set()
    await earlier
    assert entries(await later)[0]["meta"]["versionId"] == "2"


async def test_a_client_says_how_old_an_answer_may_be(stage, monkeypatch):
    report = stage.signed()
    query = f"study={report['studyId']}"
    await found(stage, query)
    asked(stage)
    await found(stage, query, headers={"Cache-Control": "max-age=60"})
    assert asked(stage) == []
    later = clock.now() + timedelta(seconds=62)
    monkeypatch.setattr(clock, "now", lambda: later)
    await found(stage, query, headers={"Cache-Control": "max-age=60"})
    assert asked(stage) == [report["studyId"]]


@pytest.mark.parametrize("header", ["no-cache", "max-age=0", "max-age=5, no-store"])
async def test_a_client_that_wants_no_answer_of_a_cache_is_told_nothing_that_it_did_not_ask_for(stage, header):
    newest = {"Cache-Control": header}
    assert said(await found(stage, "date=ge2020", headers=newest)).keys() == {"index-incomplete"}
    explained = await found(stage, "date=ge2020&_explain=true", headers=newest)
    assert said(explained)["index-only"]["severity"] == "information"
    assert "index-only" not in said(await found(stage, "date=ge2020&_explain=true"))
    assert asked(stage) == []


async def test_what_autoscribe_does_not_know_or_shows_no_more_is_no_failure(stage):
    report = stage.signed()
    await found(stage, f"study={report['studyId']}")
    del stage.account.studies[report["studyId"]]
    bundle = await found(stage, f"_id={resource_id(report)},rep-{'0' * 32}", headers=NO_CACHE)
    assert ids(bundle) == [resource_id(report)]
    assert all(one["code"] != "incomplete" or one["detail"] == "index-incomplete" for one in issues(bundle))


async def test_when_autoscribe_cannot_be_asked_the_index_answers_and_says_so(stage):
    known, unknown = several(stage, 2)
    await found(stage, f"study={known['studyId']}")
    stage.fail("500")
    bundle = await found(stage, f"study={known['studyId']},{unknown['studyId']}")
    assert resource_id(known) in ids(bundle)
    warning = said(bundle)["upstream-failed"]
    assert (warning["severity"], warning["code"]) == ("warning", "incomplete")
    again = await found(stage, f"study={known['studyId']}", headers=NO_CACHE)
    assert resource_id(known) in ids(again)
    assert "upstream-failed" in said(again)


@pytest.mark.parametrize("extra", ["", "&_summary=count", "&_total=none"])
async def test_when_autoscribe_cannot_be_asked_nothing_found_is_an_error_and_no_empty_bundle(stage, extra):
    stage.fail("500")
    response = await stage.get(f"DiagnosticReport?study={stage.signed()['studyId']}{extra}")
    assert refusal(response) == (502, "error", "transient")


async def test_too_many_things_to_ask_for_are_refused_before_any_is(stage):
    many = ",".join(f"rep-{number:032x}" for number in range(MOST + 1))
    response = await stage.get(f"DiagnosticReport?_id={many}")
    assert refusal(response) == (400, "error", "too-costly")
    assert str(MOST) in issue(response)["diagnostics"]
    assert stage.routes_seen() == []
    assert (await stage.get(f"DiagnosticReport?_id={many[: many.rindex(',')]}")).status_code == 200


async def test_of_what_is_in_the_index_any_number_may_be_named(stage):
    reports = several(stage, MOST + 5)
    studies = [one["studyId"] for one in reports]
    for some in (studies[:MOST], studies[MOST:]):
        await found(stage, f"study={','.join(some)}&_count=1")
    stage.routes_seen()
    bundle = await found(stage, f"study={','.join(studies)}&_count=500")
    assert {resource_id(one) for one in reports} <= set(ids(bundle))
    assert stage.routes_seen() == []
    response = await stage.get(f"DiagnosticReport?study={','.join(studies)}", headers=NO_CACHE)
    assert refusal(response) == (400, "error", "too-costly")


async def test_a_page_asks_for_nothing(stage):
    reports = several(stage, 3)
    query = f"study={','.join(one['studyId'] for one in reports)}&_count=1"
    first = await found(stage, query, headers=NO_CACHE)
    stage.routes_seen()
    second = await stage.client.get(links(first)["next"], headers=NO_CACHE)
    assert (second.status_code, stage.routes_seen()) == (200, [])


async def test_an_explanation_says_for_how_many_autoscribe_was_asked(stage):
    report = stage.signed()
    for number in (1, 0):
        bundle = await found(stage, f"study={fhir_id(report['studyId'])}&_explain=true")
        assert f"asked for {number} of" in said(bundle)["explanation"]["diagnostics"]
