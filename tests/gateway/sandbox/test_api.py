"""Refusals of the API, and the controls under /sandbox."""

import signal
import subprocess
import sys

import httpx
import pytest

from gateway.runtime import clock
from gateway.runtime.errors import ConfigError
from gateway.runtime.serving import listening_socket
from gateway.sandbox.upstream import SandboxOptions, open_sandbox


@pytest.fixture
async def inside():
    """A sandbox inside the process and a client that has its key."""
    app, state = open_sandbox(SandboxOptions(studies=40))
    headers = {"authorization": f"Bearer {SandboxOptions().api_key}"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8801", headers=headers
    ) as client:
        yield client, state


API = "/v1/autoScribe"
NEW = {"studyInstanceUid": "2.25.9", "studyDescription": "CT", "severity": "normal", "reportMetadata": {}}


@pytest.mark.parametrize("authorization", ["", "Bearer ", "Bearer wrong", "Basic sandbox-key", "bearer sandbox-key"])
async def test_without_the_key_there_is_no_answer_but_401(inside, authorization):
    client, _ = inside
    for path in ("/reports", "/studies", "/users", "/nothing"):
        answer = await client.get(API + path, headers={"authorization": authorization})
        assert answer.status_code == 401


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=many", "limit"),
        ("limit=inf", "limit"),
        ("cursor=%25%25", "cursor"),
        ("cursor=bnVsbA==", "cursor"),
        ("cursor=eyJvZmZzZXQiOi0xfQ==", "cursor"),
        ("severity=elective", "severity"),
        ("studyReportStatus=completed%2Cnonsense", "studyReportStatus"),
        ("isCancelled=yes", "isCancelled"),
    ],
)
async def test_a_query_that_means_nothing_is_unprocessable(inside, query, says):
    client, _ = inside
    answer = await client.get(f"{API}/studies?{query}")
    assert answer.status_code == 422
    assert says in answer.json()["error"]["message"]


async def test_a_limit_may_be_written_as_a_decimal_number(inside):
    client, _ = inside
    assert len((await client.get(f"{API}/studies?limit=3.0")).json()["studies"]) == 3


async def test_repeated_values_of_a_filter_count_as_one_list(inside):
    client, _ = inside
    query = "studyReportStatus=unassigned&studyReportStatus=assigned"
    found = (await client.get(f"{API}/studies?{query}")).json()["studies"]
    assert {study["studyReportStatus"] for study in found} == {"unassigned", "assigned"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "not JSON"),
        (b"[]", "not an object"),
        (b"{}", "missing: reportMetadata, severity, studyDescription, studyInstanceUid"),
        (b'{"severity": 1}', "/severity: expected a string"),
        (b'{"assignedTo": "usr_x"}', "assignedTo is no user"),
    ],
)
async def test_a_study_that_is_none_is_unprocessable(inside, content, says):
    client, state = inside
    answer = await client.post(f"{API}/studies", content=content)
    assert answer.status_code == 422
    assert says in answer.json()["error"]["message"]
    assert len(state.studies) == 40


async def test_a_study_may_be_assigned_as_it_is_sent_in(inside):
    client, state = inside
    user_id = next(iter(state.users))
    study = (await client.post(f"{API}/studies", json={**NEW, "assignedTo": user_id})).json()
    assert (study["studyReportStatus"], study["assignedTo"]["userId"]) == ("assigned", user_id)


async def test_cancelling_nothing_is_unprocessable(inside):
    client, _ = inside
    assert (await client.post(f"{API}/studies/cancel", json={})).status_code == 422


async def test_what_is_not_there_is_not_found(inside):
    client, _ = inside
    for path in ("/studies/stu_1", "/studies/by-uid/1.2", "/users/usr_1", "/reports?studyId=stu_1", "/nothing"):
        assert (await client.get(API + path)).status_code == 404
    assert (await client.post(f"{API}/reports/rep_1/addendum")).status_code == 404
    assert (await client.post(f"{API}/reports/rep_1/cancel-addendum")).status_code == 404
    external = next(one for one in inside[1].world.seeded if one.archived)
    assert (await client.get(f"{API}/reports/text?reportId={external.archived[0]['reportId']}")).status_code == 404


async def test_a_report_of_an_external_study_is_unknown_where_its_study_shows_none():
    app, state = open_sandbox(SandboxOptions(studies=40, switches=("external_reports=empty",)))
    headers = {"authorization": f"Bearer {SandboxOptions().api_key}"}
    external = next(one for one in state.world.seeded if one.archived)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://s", headers=headers) as client:
        answer = await client.get(f"{API}/reports/text?reportId={external.archived[0]['reportId']}")
    assert answer.status_code == 404


async def test_only_the_active_addendum_can_be_cancelled(inside):
    client, state = inside
    one = next(one for one in state.world.seeded if one.study["studyReportStatus"] == "addendum_active")
    state.sign(one.reports[1]["reportId"])
    state.open_addendum(one.reports[0]["reportId"])
    answer = await client.post(f"{API}/reports/{one.reports[1]['reportId']}/cancel-addendum")
    assert answer.status_code == 409


async def test_every_answer_has_a_request_id_of_its_own(inside):
    client, _ = inside
    ids = {(await client.get(f"{API}{path}")).headers["x-request-id"] for path in ("/users", "/nothing", "/studies")}
    assert len(ids) == 3


async def test_the_rate_limit_opens_again_with_the_next_second(monkeypatch):
    app, _ = open_sandbox(SandboxOptions(studies=1, switches=("rate_limit=5",)))
    headers = {"authorization": f"Bearer {SandboxOptions().api_key}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://s", headers=headers) as client:
        for second in (5.0, 6.0):
            monkeypatch.setattr(clock, "monotonic", lambda second=second: second)
            got = [(await client.get(f"{API}/users")).status_code for _ in range(7)]
            assert got == [200] * 5 + [429] * 2


@pytest.mark.parametrize(("critical", "expected"), [("true", True), ("false", False)])
async def test_a_new_report_is_signed_on_request_critical_or_not(inside, critical, expected):
    client, state = inside
    signed = (await client.post(f"/sandbox/sign?critical={critical}")).json()
    body = (await client.get(f"{API}/reports?studyId={signed['studyId']}")).json()
    assert [(one["reportId"], one["isCritical"]) for one in body["reports"]] == [(signed["reportId"], expected)]
    study = (await client.get(f"{API}/studies/by-uid/{signed['studyInstanceUid']}")).json()
    assert (study["studyReportStatus"], study["isCritical"]) == ("completed", expected)
    assert len(state.studies) == 41


async def test_waiting_drafts_are_signed_one_after_another_then_new_studies_come_in(inside):
    client, state = inside
    waiting = sum(len(one.dictated) for one in state.world.seeded)
    assert waiting
    for expected in [40] * waiting + [41]:
        signed = (await client.post("/sandbox/sign?draft=true")).json()
        assert state.find_report(signed["reportId"])["status"] == "completed"
        assert len(state.studies) == expected


async def test_a_draft_that_is_signed_gets_its_whole_text(inside):
    _, state = inside
    one = next(one for one in state.world.seeded if one.study["studyReportStatus"] == "in_progress")
    draft = one.reports[0]
    state.sign(draft["reportId"])
    text = state.find_report(draft["reportId"])["reportPlainText"]
    assert text.startswith(draft["reportPlainText"]) and len(text) > len(draft["reportPlainText"])


async def test_a_signed_report_is_not_signed_again_and_a_reported_study_not_started(inside):
    client, state = inside
    report = next(one.reports[0] for one in state.world.seeded if one.reports)
    assert (await client.post(f"/sandbox/reports/{report['reportId']}/sign")).status_code == 409
    assert (await client.post(f"/sandbox/studies/{report['studyId']}/start")).status_code == 409


async def test_a_text_changes_silently(inside):
    client, state = inside
    report = next(one.reports[0] for one in state.world.seeded if one.reports)
    told = []
    state.listeners.append(lambda *_: told.append(1))
    await client.put(f"/sandbox/reports/{report['reportId']}/text", content="FINDINGS: Other.")
    changed = (await client.get(f"{API}/reports?studyId={report['studyId']}")).json()["reports"][0]
    assert changed["reportPlainText"] == "FINDINGS: Other."
    assert changed["updatedAt"] > changed["signedAt"] == report["signedAt"]
    assert not told


async def test_a_report_speaks_of_somebody_else_and_of_the_rest_as_before(inside):
    client, state = inside
    report = next(one.reports[0] for one in state.world.seeded if one.reports)
    path = f"/sandbox/reports/{report['reportId']}/patient"
    said = {"mrn": "99999999", "patientName": "Other Whoelse", "sex": None}
    assert (await client.put(path, json=said)).status_code == 200
    changed = (await client.get(f"{API}/reports?studyId={report['studyId']}")).json()["reports"][0]
    expected = {**report["snapshotMetadata"], **said}
    assert changed["snapshotMetadata"] == {key: value for key, value in expected.items() if value is not None}


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"procedure": "CT"}'])
async def test_who_a_report_speaks_of_must_be_said(inside, body):
    client, state = inside
    report = next(one.reports[0] for one in state.world.seeded if one.reports)
    refused = await client.put(f"/sandbox/reports/{report['reportId']}/patient", content=body)
    assert (refused.status_code, "patientName" in refused.text) == (422, True)


async def test_the_overview_says_what_there_is(inside):
    client, _ = inside
    body = (await client.get("/sandbox")).json()
    assert (body["seed"], body["studies"], body["faults"]) == (1, 40, [])
    assert body["switches"]["drift"] == "none"


def test_a_port_in_use_is_named_with_the_remedy():
    with listening_socket("127.0.0.1", 0) as taken, pytest.raises(ConfigError, match="choose another port"):
        listening_socket("127.0.0.1", taken.getsockname()[1])


def test_the_sandbox_runs_until_it_is_interrupted_and_ends_quietly():
    with listening_socket("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    code = f"""
import asyncio
from gateway.sandbox.upstream import SandboxOptions, run
asyncio.run(run(SandboxOptions(port={port}, studies=2)))
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    with httpx.Client(transport=httpx.HTTPTransport(retries=8), timeout=20) as client:
        assert client.get(f"http://127.0.0.1:{port}/sandbox").json()["studies"] == 2
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=20)
    told = f"sandbox AutoScribe on http://127.0.0.1:{port}, key sandbox-key. Ctrl-C stops.\n"
    assert (process.returncode, output.decode()) == (0, told)


async def test_a_list_shows_what_was_signed_since_it_was_last_asked_for(inside):
    client, _ = inside
    query = f"{API}/studies?studyReportStatus=completed"
    before = (await client.get(query)).json()["studies"]
    signed = (await client.post("/sandbox/sign")).json()
    after = (await client.get(query)).json()["studies"]
    assert (before[0]["studyId"] == signed["studyId"], after[0]["studyId"] == signed["studyId"]) == (False, True)


async def test_a_page_that_ends_with_the_last_study_is_the_last_page(inside):
    client, _ = inside
    first = (await client.get(f"{API}/studies")).json()
    second = (await client.get(f"{API}/studies", params={"cursor": first["cursor"]})).json()
    assert (first["hasMore"], second["hasMore"], len(second["studies"])) == (True, False, 20)


async def test_a_cancelled_addendum_leaves_nothing_behind(inside):
    client, state = inside
    report = next(one.reports[0] for one in state.world.seeded if one.study["studyReportStatus"] == "completed")
    before = (await client.get("/sandbox")).json()["reports"]
    addendum = state.open_addendum(report["reportId"])
    assert (await client.get("/sandbox")).json()["reports"] == before + 1
    assert (await client.post(f"{API}/reports/{addendum}/cancel-addendum")).json() == {"success": True}
    assert (await client.get("/sandbox")).json()["reports"] == before
    assert (await client.get(f"{API}/reports/text?reportId={addendum}")).status_code == 404
