"""Warnings of a search: https://hl7.org/fhir/R4/search.html#Warnings, decisions D2, D4, D12, D26."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta

import pytest
from fakes.crawled import entries, ids, issues, links
from fakes.facade import resource_id
from fakes.store import made, write

from gateway.index.extract import rows
from gateway.runtime import clock
from gateway.runtime.errors import StoreTooSlow
from gateway.store.database.engine import Statement, ask
from gateway.store.studies import search as store
from gateway.store.studies.crawling import Finished, SweepRecord

DISPUTED = Statement(
    "INSERT INTO issue (study_id, place, code, severity, pointer, action)"
    " VALUES (:study_id, :place, :code, :severity, :pointer, :action)"
)
REMARKED = Statement("UPDATE study SET has_warnings = 1 WHERE study_id = :study_id")
HELD = Statement("INSERT INTO conflict (patient_id, study_id, since) VALUES (:patient_id, :study_id, 1)")


async def found(stage, query, kind="DiagnosticReport"):
    response = await stage.get(f"{kind}?{query}")
    assert response.status_code == 200, response.text
    return response


def said(response):
    return {one["detail"]: one for one in issues(response.json())}


def swept(stage, ago, *, limit=3600):
    """Let the last full sweep be so many seconds old."""
    state = stage.app.state
    at = clock.now() - timedelta(seconds=ago)
    record = SweepRecord(sweeps=1, finished=Finished(at - timedelta(seconds=5), at, 150))
    state.facade = replace(state.facade, sweep=lambda: record, max_index_age=lambda: limit)


async def test_until_all_was_looked_at_once_every_answer_says_that_it_may_be_incomplete(stage):
    response = await found(stage, "date=ge2000")
    warning = said(response)["index-incomplete"]
    assert (warning["severity"], warning["code"]) == ("warning", "incomplete")
    assert "age" not in response.headers


async def test_an_index_that_is_current_says_how_old_it_is_and_no_more(stage):
    swept(stage, 100)
    response = await found(stage, "date=ge2000")
    assert said(response) == {}
    assert 105 <= int(response.headers["age"]) <= 110
    assert "entry" not in response.json()


async def test_an_index_that_is_too_old_says_so(stage):
    swept(stage, 100, limit=60)
    response = await found(stage, "date=ge2000")
    assert "100 s ago" in said(response)["index-incomplete"]["diagnostics"]
    assert int(response.headers["age"]) >= 105


async def suppressed(stage, report_id):
    resource = {"resourceType": "DiagnosticReport", "status": "final", "effectiveDateTime": "2026-01-05"}
    terms, moments = rows(resource, stage.app.state.facade.zone)
    address = f"DiagnosticReport/{report_id}"
    faults = '[{"pointer": "/code", "code": "fhir-mandatory"}]'
    await write(stage.app.state.facade.engine, made(address, terms=terms, moments=moments, faults=faults))
    return address


async def test_what_does_not_pass_the_check_is_named_and_not_counted(stage):
    address = await suppressed(stage, "rep-1")
    response = await found(stage, "date=2026-01-05")
    warning = said(response)["suppressed"]
    assert (response.json()["total"], ids(response.json())) == (0, [])
    assert (warning["severity"], warning["code"]) == ("warning", "suppressed")
    assert warning["diagnostics"].startswith(f"{address} is not served")
    assert "suppressed" not in said(await found(stage, "date=2026-01-05&status=appended"))
    assert "suppressed" not in said(await found(stage, "date=2026-01-05", "Observation"))


async def test_of_many_that_do_not_pass_some_are_named(stage):
    for number in range(8):
        await suppressed(stage, f"rep-{number}")
    every = issues((await found(stage, "date=2026-01-05")).json())
    assert len([one for one in every if one["detail"] == "suppressed"]) == 5


@pytest.mark.parametrize(
    ("kind", "query"),
    [
        ("DiagnosticReport", "patient={patient}"),
        ("DiagnosticReport", "subject=Patient/{patient}&status=cancelled"),
        ("DiagnosticReport", "patient.identifier={mrn}"),
        ("DiagnosticReport", "patient:identifier={mrn}&status=cancelled"),
        ("Observation", "patient={patient}&category=imaging"),
        ("Patient", "_id={patient}"),
        ("Patient", "identifier={mrn}"),
    ],
)
async def test_who_asks_for_a_patient_learns_that_reports_are_held_apart(stage, kind, query):
    report = stage.signed()
    [one] = entries((await found(stage, f"_id={resource_id(report)}")).json())
    patient = one["subject"]["reference"].partition("/")[2]
    asked = query.format(patient=patient, mrn=report["snapshotMetadata"]["mrn"])
    assert "identity-conflict" not in said(await found(stage, asked, kind))
    engine = stage.app.state.facade.engine
    for study_id in ("stu_1", "stu_2"):
        await engine.do(lambda study_id=study_id: ask(HELD, patient_id=patient, study_id=study_id))
    warning = said(await found(stage, asked, kind))["identity-conflict"]
    assert (warning["severity"], warning["code"]) == ("warning", "conflict")
    assert warning["diagnostics"].startswith(f"Patient/{patient}: 2 studies")
    assert "identity-conflict" not in said(await found(stage, f"{asked.split('&')[0]}x", kind))


async def test_what_could_not_be_mapped_is_said_with_the_study_it_is_of_to_who_asks_for_an_explanation(stage):
    report = next(one for one in stage.reports(status="completed") if not one["snapshotMetadata"].get("mrn"))
    swept(stage, 100)
    assert said(await found(stage, f"study={report['studyId']}")) == {}
    response = await found(stage, f"study={report['studyId']}&_explain=true")
    warning = said(response)["mrn-absent"]
    assert (warning["severity"], warning["code"]) == ("warning", "processing")
    assert warning["diagnostics"].startswith(f"ImagingStudy/{report['studyId'].replace('_', '-')} /")
    assert {one["detail"] for one in issues(response.json()) if one["severity"] == "information"} == {"explanation"}


@pytest.mark.parametrize(
    ("asked", "how"),
    [
        ("DiagnosticReport?date=ge2000", "among the first in its order, read apart"),
        ("Patient?family=doe", "starting from a clause of kind Starts, read apart"),
        ("Patient?family=nobody", "starting from a clause of kind Starts, read apart"),
        ("Patient?_id=a", "starting from a clause of kind At, read at once"),
        ("Patient?family=doe&_summary=count", "starting from a clause of kind Starts, read apart"),
    ],
)
async def test_an_explanation_tells_which_way_was_gone(stage, asked, how):
    content = {"resourceType": "Patient", "name": [{"family": "Doe"}]}
    await write(stage.app.state.facade.engine, made("Patient/a", terms=rows(content, UTC)[0]))
    kind, _, query = asked.partition("?")
    explained = said(await found(stage, f"{query}&_explain=true", kind))["explanation"]["diagnostics"]
    assert f"found in the index, {how}" in explained
    assert ": SELECT" in explained


async def test_an_explanation_goes_on_from_page_to_page_and_is_known_to_who_is_strict(stage):
    reports = [one for one in stage.reports(status="completed") if not one["snapshotMetadata"].get("mrn")][:2]
    asked = f"study={','.join(one['studyId'] for one in reports)}&_count=1&_explain=true"
    first = await stage.get(f"DiagnosticReport?{asked}", headers={"Prefer": "handling=strict"})
    second = await stage.client.get(links(first.json())["next"])
    for response in (first, second):
        assert {"mrn-absent", "explanation"} <= said(response).keys()
    assert "_explain=true" in links(first.json())["self"]
    assert said(second)["mrn-absent"] != said(first)["mrn-absent"]


async def test_what_was_found_is_answered_though_the_patients_of_its_chain_are_too_many_to_look_up(stage, monkeypatch):
    report, real = stage.signed(), store.page
    await found(stage, f"_id={resource_id(report)}")

    async def too_many(engine, search):
        if search.most == 20:  # what the warnings look up
            raise StoreTooSlow("played")
        return await real(engine, search)

    monkeypatch.setattr(store, "page", too_many)
    response = await found(stage, f"patient.identifier={report['snapshotMetadata']['mrn']}")
    assert resource_id(report) in ids(response.json())
    assert (said(response)["conflicts-unknown"]["severity"], "identity-conflict" in said(response)) == (
        "warning",
        False,
    )


async def test_a_report_whose_own_study_is_in_dispute_is_found_with_a_warning(stage):
    report = stage.signed()
    await found(stage, f"study={report['studyId']}")
    engine = stage.app.state.facade.engine
    values = {"study_id": report["studyId"], "place": 900, "severity": "error", "pointer": "/reports/0"}
    await engine.do(lambda: ask(DISPUTED, **values, code="identity-conflict", action="a Patient of its own"))
    await engine.do(lambda: ask(REMARKED, study_id=report["studyId"]))
    asked = {"DiagnosticReport": f"study={report['studyId']}", "ImagingStudy": f"_id=stu-{report['studyId'][4:]}"}
    for kind, query in asked.items():
        warning = said(await found(stage, query, kind))["identity-conflict"]
        assert (warning["severity"], warning["code"]) == ("warning", "conflict")
        assert warning["diagnostics"].endswith("/reports/0: a Patient of its own")
