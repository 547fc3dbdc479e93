"""https://hl7.org/fhir/R4/search.html, decision D30: answers of a search that must ask AutoScribe first.

Tests of search semantics and paging, over a complete index, are in tests/search and tests/us_core.
"""

from __future__ import annotations

from datetime import UTC
from urllib.parse import quote

import pytest
from fakes.crawled import entries, ids, issues, links
from fakes.facade import BASE, facade, resource_id
from fakes.outcomes import refusal
from fakes.store import made, write

from gateway.fhir_api.search import interaction, search_query
from gateway.index.extract import rows
from gateway.runtime.computing import computed, workers
from gateway.runtime.errors import StoreTooSlow
from gateway.store.studies import search as store
from gateway.store.studies.search_sql import UPDATED
from mappings.patient.identifiers import fhir_id

NO_ONE = "0" * 32


async def found(stage, query, **more):
    response = await stage.get(f"DiagnosticReport?{query}", **more)
    assert response.status_code == 200, response.text
    return response.json()


def with_addendum(stage):
    return next(stage.reports(status="completed", isAddendum=True))


async def test_a_study_gives_all_its_reports_in_a_searchset(stage):
    addendum = with_addendum(stage)
    study_id = addendum["studyId"]
    bundle = await found(stage, f"study={fhir_id(study_id)}")
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "searchset")
    assert set(ids(bundle)) == {resource_id(one) for one in stage.account.reports[study_id]}
    assert bundle["total"] == len(stage.account.reports[study_id]) == 2
    assert bundle["link"] == [{"relation": "self", "url": f"{BASE}/DiagnosticReport?study={fhir_id(study_id)}"}]
    assert bundle["entry"][0]["fullUrl"] == f"{BASE}/DiagnosticReport/{bundle['entry'][0]['resource']['id']}"


async def test_every_entry_has_a_full_url_of_its_own_the_outcome_too(stage):
    bundle = await found(stage, f"_id={resource_id(stage.signed())}&_include=DiagnosticReport:result&colour=blue")
    urls = [entry["fullUrl"] for entry in bundle["entry"]]
    assert len(set(urls)) == len(urls) > 2
    assert [url.startswith("urn:uuid:") for url in urls] == [False] * (len(urls) - 1) + [True]


@pytest.mark.parametrize(
    "form",
    [
        "study={stu}",
        "study={study_id}",
        "study=urn:autoscribe-gateway:study|{study_id}",
        "imagingStudy={stu}",
        "imagingStudy=ImagingStudy/{stu}",
        "imagingStudy=http://127.0.0.1:8800/fhir/ImagingStudy/{stu}",
        "imagingStudy:ImagingStudy={stu}",
        "imagingStudy:identifier=urn:dicom:uid|urn:oid:{uid}",
        "imagingStudy.identifier=urn:dicom:uid|urn:oid:{uid}",
        "imagingStudy.identifier=urn:dicom:uid|{uid}",
        "imagingStudy.identifier=urn:oid:{uid}",
        "imagingStudy.identifier={uid}",
        "imagingStudy.identifier={study_id}",
        "imagingStudy.identifier=urn:autoscribe-gateway:study|{study_id}",
        "_id={rep}",
        "_id=rep-" + NO_ONE + ",{rep}",
        "_id=,{rep},",
        "result={rep}-s0",
        "study={stu}&_id={rep}",
        "study={stu}&study={study_id}&imagingStudy.identifier={uid}",
    ],
)
async def test_a_report_that_nobody_has_seen_yet_is_found_by_its_study_in_every_form(stage, form):
    report = stage.signed()
    study = stage.account.studies[report["studyId"]]
    known = {
        "rep": resource_id(report),
        "stu": fhir_id(study["studyId"]),
        "study_id": study["studyId"],
        "uid": study["studyInstanceUid"],
    }
    assert ids(await found(stage, form.format(**known))) == [resource_id(report)]


@pytest.mark.parametrize(
    "query",
    [
        f"study=stu-{NO_ONE}",
        f"_id=rep-{NO_ONE}",
        f"_id=stu-{NO_ONE}",
        "_id=unknown",
        "imagingStudy.identifier=urn:oid:1.2.3.4",
        "imagingStudy.identifier=no-oid-at-all",
        "imagingStudy.identifier=urn:other|1.2.3.4",
        "imagingStudy.identifier=|1.2.3.4",
        "imagingStudy.identifier=urn:other|urn:oid:1.2.3.4",
        f"study=urn:other|stu_{NO_ONE}",
    ],
)
async def test_what_nobody_has_is_found_by_nobody(stage, query):
    bundle = await found(stage, query)
    assert (bundle["total"], ids(bundle), [one["detail"] for one in issues(bundle)]) == (0, [], ["index-incomplete"])


@pytest.mark.parametrize(
    ("kind", "name"), [("Observation", "{rep}-s0"), ("DocumentReference", "{rep}-doc"), ("ImagingStudy", "{stu}")]
)
async def test_what_is_made_of_a_report_nobody_has_seen_yet_is_found_by_its_id(stage, kind, name):
    report = stage.signed()
    wanted = name.format(rep=resource_id(report), stu=fhir_id(report["studyId"]))
    assert ids((await stage.get(f"{kind}?_id={wanted}")).json()) == [wanted]


async def test_repeated_parameters_must_all_hold(stage):
    first, second = (one for one, _ in zip(stage.reports(status="completed"), range(2), strict=False))
    assert first["studyId"] != second["studyId"]
    assert ids(await found(stage, f"study={fhir_id(first['studyId'])}&_id={resource_id(second)}")) == []
    either = await found(stage, f"study={fhir_id(first['studyId'])},{fhir_id(second['studyId'])}")
    assert {resource_id(first), resource_id(second)} <= set(ids(either))


async def test_one_of_the_reports_of_a_study_is_found_alone(stage):
    addendum = with_addendum(stage)
    assert ids(await found(stage, f"study={addendum['studyId']}&_id={resource_id(addendum)}")) == [
        resource_id(addendum)
    ]


async def test_an_archived_study_has_no_reports_here(stage):
    archived = next(one for one in stage.account.studies.values() if one["studyType"] == "external")
    assert ids(await found(stage, f"study={archived['studyId']}")) == []


async def test_what_a_report_refers_to_is_included_once_and_not_counted(stage):
    addendum = with_addendum(stage)
    bundle = await found(
        stage,
        f"study={addendum['studyId']}&_include=DiagnosticReport:subject"
        "&_include=DiagnosticReport:patient&_include=DiagnosticReport:performer:Organization"
        "&_include=DiagnosticReport:results-interpreter&_include=DiagnosticReport:result"
        "&_include=DiagnosticReport:imagingStudy&_include=DiagnosticReport:based-on:ServiceRequest",
    )
    included = [(one["resourceType"], one["id"]) for one in entries(bundle, "include")]
    assert len(included) == len(set(included))
    assert {"Patient", "Practitioner", "Observation", "ServiceRequest", "ImagingStudy"} <= {
        kind for kind, _ in included
    }
    assert bundle["total"] == 2
    assert "_include=DiagnosticReport:subject" in bundle["link"][0]["url"]


async def test_a_study_whose_uid_is_no_oid_is_found_by_it(stage):
    report = stage.signed()
    odd = "uid, with | odd\\ parts"
    study = {**stage.account.studies[report["studyId"]], "studyInstanceUid": odd}
    stage.account.studies[report["studyId"]] = study
    stage.account.study_of_uid[odd] = report["studyId"]
    escaped = odd.replace("\\", "\\\\").replace(",", "\\,").replace("|", "\\|")
    for system in ("", "urn:autoscribe-gateway:study-instance-uid:not-an-oid|"):
        bundle = await found(stage, f"imagingStudy.identifier={quote(system + escaped)}")
        assert ids(bundle) == [resource_id(report)]


async def test_head_of_a_search_has_no_body(stage):
    response = await stage.client.head(f"{BASE}/DiagnosticReport?study=stu-{NO_ONE}")
    assert (response.status_code, response.content) == (200, b"")
    assert int(response.headers["content-length"]) > 0


async def test_the_self_link_names_the_host_the_client_used(stage):
    response = await stage.client.get(f"http://localhost:9000/fhir/DiagnosticReport?study=stu-{NO_ONE}")
    assert response.json()["link"][0]["url"].startswith("http://localhost:9000/fhir/DiagnosticReport?")


async def test_a_search_in_a_format_that_is_not_offered_is_refused_before_anybody_is_asked(stage):
    response = await stage.get(f"DiagnosticReport?study=stu-{NO_ONE}", headers={"Accept": "text/turtle"})
    assert (response.status_code, stage.routes_seen()) == (406, [])


async def test_a_study_without_reports_is_an_empty_bundle_whichever_way_autoscribe_says_it():
    for switch in ("no_reports=empty", "no_reports=404"):
        async with facade(switch) as stage:
            bare = next(one for one in stage.account.studies.values() if one["studyReportStatus"] == "unassigned")
            assert (await found(stage, f"study={bare['studyId']}"))["total"] == 0


async def test_a_total_that_takes_too_long_is_left_out_and_that_is_said(stage, monkeypatch):
    """The test simulates a slow count."""
    for report, _ in zip(stage.reports(status="completed"), range(3), strict=False):
        await found(stage, f"study={report['studyId']}")

    async def slow(engine, search):
        raise StoreTooSlow("played")

    monkeypatch.setattr(store, "count", slow)
    bundle = await found(stage, "date=ge2000&_count=1&_total=accurate")
    assert ("total" in bundle, len(ids(bundle))) == (False, 1)
    assert "total-unknown" in [one["detail"] for one in issues(bundle)]
    refused = await stage.get("DiagnosticReport?date=ge2000&_summary=count")
    assert refusal(refused) == (400, "error", "too-costly")


async def test_a_search_of_several_pages_is_counted_for_who_asks_alone(stage, monkeypatch):
    for report, _ in zip(stage.reports(status="completed"), range(3), strict=False):
        await found(stage, f"study={report['studyId']}")
    counted, count = [], store.count

    async def noted(*given):
        counted.append(given)
        return await count(*given)

    monkeypatch.setattr(store, "count", noted)
    assert "total" not in await found(stage, "date=ge2000&_count=1")
    whole = await found(stage, "date=ge2000")
    assert (whole["total"], counted) == (len(ids(whole)), [])  # one page has them all
    for asked in ("accurate", "estimate"):
        assert (await found(stage, f"date=ge2000&_count=1&_total={asked}"))["total"] == whole["total"] > 2
    assert (await found(stage, "date=ge2000&_summary=count"))["total"] > 2


async def store_critical_observations(stage):
    """Store critical Observations of five days, the newest first."""
    codes = [{"coding": [{"code": "AA"}]}]
    for day in (9, 8, 7, 6, 5):
        own = {"resourceType": "Observation", "interpretation": codes, "effectiveDateTime": f"2026-01-0{day}"}
        terms, moments = rows(own, UTC)
        await write(stage.app.state.facade.engine, made(f"Observation/o-{day}", terms=terms, moments=moments))


@pytest.mark.parametrize("asked", ["interpretation=AA&_sort=date", "interpretation=AA&date=ge2026"])
async def test_the_links_of_a_posted_search_keep_its_order(stage, asked):
    await store_critical_observations(stage)
    form = {"content-type": "application/x-www-form-urlencoded"}
    first = (await stage.client.post(f"{BASE}/Observation/_search", content=f"{asked}&_count=2", headers=form)).json()
    again = (await stage.client.get(links(first)["self"])).json()
    second = (await stage.client.get(links(again)["next"])).json()
    from_second = (await stage.client.get(links(second)["first"])).json()
    found = [ids(one) for one in (first, again, second, from_second)]
    assert found == [["o-5", "o-6"], ["o-5", "o-6"], ["o-7", "o-8"], ["o-5", "o-6"]]


async def test_a_walk_that_an_earlier_release_began_goes_on_in_its_order(stage, monkeypatch):
    """Follow the link of a page from before a code with a date beside it was sorted by that date."""
    await store_critical_observations(stage)
    asked = "Observation?interpretation=AA&date=ge2026-01-05&_count=2"
    with monkeypatch.context() as before:
        before.setattr(search_query, "usual_sort", lambda *_: UPDATED)
        first = (await stage.get(asked)).json()
    second = (await stage.client.get(links(first)["next"])).json()
    third = (await stage.client.get(links(second)["next"])).json()
    assert [ids(one) for one in (first, second, third)] == [["o-9", "o-8"], ["o-7", "o-6"], ["o-5"]]
    assert "next" not in links(third)
    assert ids((await stage.get(asked)).json()) == ["o-5", "o-6"]


async def test_a_page_whose_last_match_went_away_is_empty_and_leads_back(stage):
    engine = stage.app.state.facade.engine

    def report(number, day):
        terms, moments = rows({"resourceType": "DiagnosticReport", "effectiveDateTime": day}, UTC)
        return made(f"DiagnosticReport/rep-{number}", day, terms=terms, moments=moments)

    await write(engine, *(report(number, "2026-01-05") for number in range(3)))
    first = await found(stage, "date=2026-01-05&_count=2&_total=accurate")
    explained = await found(stage, "date=2026-01-05&_count=2&_explain=true")
    await write(engine, report(2, "2026-01-06"))
    second = (await stage.client.get(links(first)["next"])).json()
    assert (ids(second), second["total"]) == ([], 3)
    assert "page-emptied" not in [one["detail"] for one in issues(second)]
    emptied = (await stage.client.get(links(explained)["next"])).json()
    assert "page-emptied" in [one["detail"] for one in issues(emptied)]
    assert list(links(second)) == ["self", "first", "previous", "last"]
    assert ids((await stage.client.get(links(second)["previous"])).json()) == ids(first) == ["rep-0", "rep-1"]


@pytest.mark.parametrize("query", ["_summary=true", "_elements=status", "_summary=text"])
async def test_a_large_page_is_reduced_in_a_worker_with_the_same_result(stage, monkeypatch, query):
    study = fhir_id(with_addendum(stage)["studyId"])
    asked = f"study={study}&_include=DiagnosticReport:subject&{query}"
    here = await found(stage, asked)
    computations = []

    async def noted(function, *given):
        computations.append(function)
        return await computed(function, *given)

    monkeypatch.setattr(interaction, "_LARGE", 0)
    monkeypatch.setattr(interaction, "computed", noted)
    async with workers(1, (), ()):
        there = await found(stage, asked)
    assert there["entry"] == here["entry"]
    assert len(computations) == 2
    assert "SUBSETTED" in str(there["entry"][0]["resource"]["meta"]["tag"])


async def test_the_compartment_of_a_patient_is_searched_as_by_the_patient(stage):
    report = (await stage.get(f"DiagnosticReport/{resource_id(stage.signed())}")).json()
    patient = report["subject"]["reference"]
    for kind in (
        "DiagnosticReport",
        "Observation",
        "ImagingStudy",
        "DocumentReference",
        "ServiceRequest",
        "Provenance",
    ):
        bundle = (await stage.get(f"{patient}/{kind}")).json()
        named = (await stage.get(f"{kind}?patient={patient}")).json()
        assert (ids(bundle), bundle["total"], links(bundle)) == (ids(named), named["total"], links(named))
    some = (await stage.get(f"{patient}/DiagnosticReport?status=final&_include=DiagnosticReport:patient")).json()
    assert (ids(some), [one["resourceType"] for one in entries(some, "include")]) == ([report["id"]], ["Patient"])
    assert ids((await stage.get(f"{patient}/DiagnosticReport?status=registered")).json()) == []


async def test_the_compartment_of_nobody_is_empty_and_its_pages_have_addresses_of_their_own(stage):
    bundle = (await stage.get(f"Patient/pat-{NO_ONE}/DiagnosticReport")).json()
    assert (bundle["total"], ids(bundle)) == (0, [])
    assert refusal(await stage.get("Patient/a b/DiagnosticReport")) == (404, "error", "not-found")
    assert refusal(await stage.get("Patient/pat-1/DiagnosticReport?_page=x")) == (400, "error", "invalid")


async def test_a_star_includes_all_that_a_match_refers_to(stage):
    report = resource_id(stage.signed())
    await stage.get(f"DiagnosticReport/{report}")
    every = entries((await stage.get(f"DiagnosticReport?_id={report}&_include=*")).json(), "include")
    assert {one["resourceType"] for one in every} >= {"Patient", "Observation", "ImagingStudy", "Organization"}
    assert len({one["id"] for one in every}) == len(every)
