"""Decision D6: what a field becomes is measured, not declared; https://hl7.org/fhir/R4/operations.html#response."""

import asyncio
import json
import subprocess
import sys
from dataclasses import replace

import pytest
from fakes.facade import facade, resource_id
from fakes.outcomes import issue, refusal
from fhir.resources.R4B.parameters import Parameters

from gateway.fhir_api.operations import trace as module
from gateway.fhir_api.operations import trace_rows
from gateway.store.database.engine import Statement, ask
from gateway.store.database.kept import packed, unpacked
from mappings.profile import receiver
from mappings.trace import trace

TEXT = {"Accept": "text/plain"}
_RECEIVED = Statement("SELECT received FROM study WHERE study_id = :study_id")
_PUT = Statement("UPDATE study SET received = :received WHERE study_id = :study_id")


def fields(response):
    """The fields of Parameters, each as its parts by name."""
    body = response.json()
    Parameters.model_validate(body)
    found = []
    for one in body["parameter"]:
        if one["name"] == "outcome":
            continue
        assert one["name"] == "field"
        parts = {}
        for part in one["part"]:
            [value] = [value for key, value in part.items() if key != "name"]
            parts.setdefault(part["name"], []).append(value)
        found.append(parts)
    return found


def document(stage, report):
    """Return AutoScribe's document of a report's study, as a copy that shares nothing."""
    study_id = report["studyId"]
    reports = stage.account.reports[study_id]
    users = {one["userId"] for one in reports}
    known = [one for one in stage.account.users.values() if one["userId"] in users]
    return json.loads(json.dumps({**stage.account.studies[study_id], "reports": list(reports), "users": known}))


async def test_it_is_what_measuring_the_study_gives(stage):
    report = stage.signed()
    response = await stage.get(f"DiagnosticReport/{resource_id(report)}/$trace")
    assert response.status_code == 200
    serving = stage.app.state.facade
    rows = trace(document(stage, report), serving.site, receiver("generic"))
    expected = {one.pointer: one for one in rows}
    found = {one["pointer"][0]: one for one in fields(response)}
    assert found.keys() == expected.keys()
    for pointer, parts in found.items():
        row = expected[pointer]
        assert parts["class"] == [row.kind]
        assert [tuple(parts.get(name, ())) for name in ("fhir", "hl7v2", "rule", "hiddenBy", "loss")] == [
            row.fhir,
            row.hl7v2,
            row.rules,
            row.hidden_by,
            row.losses,
        ]
    signed = found["/reports/0/signedAt"]
    assert "DiagnosticReport.issued" in signed["fhir"]
    assert "OBR-22" in signed["hl7v2"]


async def test_what_could_not_be_mapped_is_said_of_the_report_and_of_its_study(stage):
    report = next(one for one in stage.reports(status="completed") if not one["snapshotMetadata"].get("mrn"))
    response = await stage.get(f"DiagnosticReport/{resource_id(report)}/$trace")
    [said] = [one["resource"]["issue"] for one in response.json()["parameter"] if one["name"] == "outcome"]
    found = {one["details"]["coding"][0]["code"]: one["diagnostics"] for one in said}
    study = f"ImagingStudy/stu-{report['studyId'][4:]}"
    assert found["mrn-absent"].startswith(f"{study} /reports/0/snapshotMetadata/mrn: ")


async def test_the_table_is_that_of_convert(stage):
    report = stage.signed()
    path = f"DiagnosticReport/{resource_id(report)}/$trace"
    response = await stage.get(path, headers=TEXT)
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    rows = trace(document(stage, report), stage.app.state.facade.site, receiver("generic"))
    listed = {tuple(line.split("\t")) for line in response.text.splitlines()}
    assert listed == {trace_rows.HEAD, *(trace_rows.cells(one, one.pointer) for one in rows)}
    readable = await stage.get(f"{path}?_pretty=true", headers=TEXT)
    assert "/reports/0/signedAt  [" in readable.text
    assert (await stage.get(f"{path}?_format=text/plain")).text == response.text


async def test_no_value_of_the_study_is_shown(stage):
    report = stage.signed()
    answers = [
        (await stage.get(f"DiagnosticReport/{resource_id(report)}/$trace", headers=headers)).text
        for headers in ({}, TEXT, {"Accept": "application/fhir+xml"})
    ]
    snapshot = report["snapshotMetadata"]
    for text in answers:
        for value in (snapshot["patientName"], snapshot["mrn"], report["reportId"], report["reportPlainText"][:30]):
            assert value not in text


async def test_of_several_reports_only_its_own_fields_are_shown(stage):
    report = next(
        one
        for one in stage.reports(status="completed", isAddendum=True)
        if len(stage.account.reports[one["studyId"]]) > 1 and not stage.account.studies[one["studyId"]]["isCancelled"]
    )
    response = await stage.get(f"DiagnosticReport/{resource_id(report)}/$trace")
    pointers = [one["pointer"][0] for one in fields(response)]
    shown = {pointer.split("/")[2] for pointer in pointers if pointer.startswith("/reports/")}
    assert len(shown) == 1
    assert len({pointer.split("/")[2] for pointer in pointers if pointer.startswith("/users/")}) <= 1
    assert "/studyInstanceUid" in pointers


async def test_another_receiver_has_other_fields(stage):
    path = f"DiagnosticReport/{resource_id(stage.signed())}/$trace"
    generic = {one["pointer"][0]: one for one in fields(await stage.get(path))}
    other = {one["pointer"][0]: one for one in fields(await stage.get(f"{path}?receiver=epic-observed"))}
    assert any(generic[pointer].get("hl7v2") != other[pointer].get("hl7v2") for pointer in generic)
    assert all(generic[pointer].get("fhir") == other[pointer].get("fhir") for pointer in generic)


async def test_a_receiver_that_is_not_known_is_refused_and_those_that_are_named(stage):
    response = await stage.get(f"DiagnosticReport/{resource_id(stage.signed())}/$trace?receiver=nobody")
    assert refusal(response) == (400, "error", "not-supported")
    assert "generic" in issue(response)["diagnostics"]
    assert "nobody" not in response.text


async def test_a_report_that_is_not_known_is_a_404(stage):
    response = await stage.get(f"DiagnosticReport/rep-{'0' * 32}/$trace")
    assert refusal(response) == (404, "error", "not-found")


async def test_a_report_that_autoscribe_no_longer_lists_has_nothing_to_trace(stage):
    report = stage.signed()
    path = f"DiagnosticReport/{resource_id(report)}"
    await stage.get(path)
    engine = stage.app.state.facade.engine
    [(received,)] = await engine.fetch(_RECEIVED, study_id=report["studyId"])
    said = unpacked(received)
    said["reports"] = []
    await engine.do(lambda: ask(_PUT, study_id=report["studyId"], received=packed(said)))
    assert refusal(await stage.get(f"{path}/$trace")) == (404, "error", "not-found")


async def test_a_format_that_is_not_offered_is_refused_before_anything_is_asked_for(stage):
    path = f"DiagnosticReport/{resource_id(stage.signed())}/$trace"
    assert refusal(await stage.get(path, headers={"Accept": "image/png"})) == (406, "error", "not-supported")
    assert stage.requests == []


@pytest.mark.full
async def test_one_is_measured_at_a_time(monkeypatch):
    running, most = 0, 0
    measure = trace_rows.trace

    def counted(*given, **asked):
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            return measure(*given, **asked)
        finally:
            running -= 1

    monkeypatch.setattr(trace_rows, "trace", counted)
    async with facade() as stage:
        path = f"DiagnosticReport/{resource_id(stage.signed())}/$trace"
        answers = await asyncio.gather(*(stage.get(path) for _ in range(3)))
    assert {one.status_code for one in answers} == {200}
    assert most == 1


@pytest.mark.full
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
async def test_it_is_asked_for_by_get_and_by_post(stage, method):
    path = f"http://127.0.0.1:8800/fhir/DiagnosticReport/{resource_id(stage.signed())}/$trace"
    response = await stage.client.request(method, path)
    assert response.status_code == 200
    assert bool(response.content) is (method != "HEAD")


async def test_a_trace_is_measured_once_for_what_is_stored_the_site_and_the_receiver(stage, monkeypatch):
    report, measured = stage.signed(), []
    address = f"DiagnosticReport/{resource_id(report)}/$trace"

    async def counted(*arguments):
        measured.append(arguments)
        return []

    monkeypatch.setattr(module, "computed_apart", counted)
    for _ in range(2):
        await stage.get(address)
    assert len(measured) == 1
    await stage.get(f"{address}?receiver=epic-observed")
    assert len(measured) == 2
    serving = stage.app.state.facade
    stage.app.state.facade = replace(serving, site=replace(serving.site, canonical="https://own.example"))
    await stage.get(address)
    assert len(measured) == 3
    engine, study = stage.app.state.facade.engine, {"study_id": report["studyId"]}
    [(stored,)] = await engine.fetch(_RECEIVED, **study)
    changed = unpacked(bytes(stored))
    changed["study"]["clinicalHistory"] = "changed"
    await engine.do(lambda: ask(_PUT, received=packed(changed), **study))
    await stage.get(address)
    assert len(measured) == 4


async def test_only_the_studies_traced_last_are_remembered(stage, monkeypatch):
    monkeypatch.setattr(module, "_MOST_REMEMBERED", 1)
    measured = []

    async def counted(*arguments):
        measured.append(arguments)
        return []

    monkeypatch.setattr(module, "computed_apart", counted)
    address = f"DiagnosticReport/{resource_id(stage.signed())}/$trace"
    for receiver_name in ("generic", "epic-observed", "epic-observed", "generic"):
        await stage.get(f"{address}?receiver={receiver_name}")
    assert len(measured) == 3


@pytest.mark.full
def test_what_traces_in_a_worker_loads_no_web_server():
    loads = "import sys, gateway.fhir_api.operations.trace_rows; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", loads], capture_output=True, text=True, check=True).stdout.split()
    assert "mappings.trace" in loaded
    assert not {"starlette", "fastapi", "fhir"} & set(loaded)
