"""One key makes one POST, across restarts, several processes of one database, and crashes at any point.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/; AutoScribe has none of its own (D27).
"""

from __future__ import annotations

import asyncio
import json
from functools import partial

import pytest
from fakes.facade import resource_id, sandboxed
from fakes.outcomes import issue, refusal
from fakes.store import rows

from gateway.fhir_api.operations.idempotency import checked, fingerprint
from gateway.runtime.errors import StoreUnavailable
from gateway.store.database.engine import Statement, ask
from gateway.store.studies.idempotency import KeyClaim, Requests

EVERYTHING = "SELECT key, request, sent, answer FROM idempotency"
LATE = Statement("UPDATE idempotency SET held = 1 WHERE held > 0")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request):
    """Return the URL of a fresh migrated database; once for SQLite, once for PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{request.getfixturevalue('sqlite_database')}"
    return request.getfixturevalue("postgres_database")


def posts(sandbox):
    return [one for one in sandbox.requests if one.startswith("POST")]


def addendum(report):
    return f"DiagnosticReport/{resource_id(report)}/$addendum"


def engine_of(stage):
    return stage.app.state.facade.engine


async def test_a_repeat_after_a_restart_is_answered_as_before_and_not_sent_again(database):
    async with sandboxed() as sandbox:
        async with sandbox.gateway(database) as stage:
            report = stage.signed()
            first = await stage.post(addendum(report))
        async with sandbox.gateway(database) as stage:
            again = await stage.post(addendum(report))
            other = await stage.post(f"DiagnosticReport/{resource_id(report)}/$cancel-addendum")
    assert (first.status_code, again.status_code, again.content) == (201, 201, first.content)
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    assert refusal(other) == (422, "error", "business-rule")
    assert len(posts(sandbox)) == 1


async def test_a_refusal_by_autoscribe_outlives_a_restart_too(database):
    answers = []
    async with sandboxed("action_success=false") as sandbox:
        for _ in range(2):
            async with sandbox.gateway(database) as stage:
                answers.append(await stage.post(addendum(stage.signed())))
    assert refusal(answers[0]) == (409, "error", "conflict")
    assert answers[1].content == answers[0].content
    assert len(posts(sandbox)) == 1


async def test_what_is_sure_but_does_not_show_is_looked_for_after_a_restart(database, monkeypatch):
    monkeypatch.setattr("gateway.fhir_api.operations.addendum_operations.READ_BACK", (0.0,))
    async with sandboxed() as sandbox:
        async with sandbox.gateway(database, attempts=1) as stage:
            report = stage.signed()
            await stage.get(f"DiagnosticReport/{resource_id(report)}")
            stage.fail("500:path=/studies:call=2-99")
            assert (await stage.post(addendum(report))).status_code == 202
        async with sandbox.gateway(database, attempts=1) as stage:
            assert (await stage.post(addendum(report))).status_code == 202
            stage.fail()
            assert (await stage.post(addendum(report))).status_code == 201
    assert len(posts(sandbox)) == 1


async def test_two_processes_that_get_the_same_key_at_once_send_once_and_answer_alike(postgres_database):
    async with (
        sandboxed() as sandbox,
        sandbox.gateway(postgres_database) as first,
        sandbox.gateway(postgres_database) as two,
    ):
        report = first.signed()
        answers = await asyncio.gather(*(stage.post(addendum(report)) for stage in (first, two) * 5))
    assert {one.status_code for one in answers} == {201}
    assert len({one.content for one in answers}) == 1
    assert len(posts(sandbox)) == 1


async def died(stage, report, *, sent):
    """Leave the state of a process that died while it carried out a request, and whose claim has expired."""
    report_id, study_id = report["reportId"], report["studyId"]
    claim = await Requests(engine_of(stage)).claim(checked("k1"), fingerprint("$addendum", report_id, body=b""))
    if sent:
        known = [one["reportId"] for one in stage.account.reports[study_id]]
        await claim.send(json.dumps({"study_id": study_id, "report_ids": known, "is_sure": False}))


async def time_is_up(stage):
    """Make every holder of a key count as dead from now on."""
    await engine_of(stage).do(partial(ask, LATE))


async def test_what_a_dead_process_sent_is_looked_for_and_found(database):
    async with sandboxed() as sandbox, sandbox.gateway(database) as stage:
        report = stage.signed()
        await died(stage, report, sent=True)
        stage.account.open_addendum(report["reportId"])
        repeat = asyncio.create_task(stage.post(addendum(report)))
        await asyncio.sleep(0.6)
        assert not repeat.done(), "it may be alive: its time is not up"
        await time_is_up(stage)
        assert (await repeat).status_code == 201
    assert posts(sandbox) == []


async def test_what_a_dead_process_sent_and_does_not_show_stays_unknown_and_is_not_sent_again(database, monkeypatch):
    monkeypatch.setattr("gateway.fhir_api.operations.addendum_operations.READ_BACK", (0.0, 0.0))
    async with sandboxed() as sandbox, sandbox.gateway(database) as stage:
        report = stage.signed()
        await died(stage, report, sent=True)
        await time_is_up(stage)
        for _ in range(2):
            answer = await stage.post(addendum(report))
            assert refusal(answer) == (504, "error", "timeout")
            assert issue(answer)["detail"] == "upstream-ambiguous"
        assert posts(sandbox) == []
        stage.account.open_addendum(report["reportId"])
        assert (await stage.post(addendum(report))).status_code == 201
    assert posts(sandbox) == []


async def test_what_a_dead_process_had_not_sent_is_sent_once(database):
    async with sandboxed() as sandbox, sandbox.gateway(database) as stage:
        report = stage.signed()
        await died(stage, report, sent=False)
        await time_is_up(stage)
        answers = await asyncio.gather(*(stage.post(addendum(report)) for _ in range(5)))
        assert {one.status_code for one in answers} == {201}
    assert len(posts(sandbox)) == 1


async def test_who_is_so_slow_that_its_key_was_taken_over_sends_nothing(database):
    async with sandboxed() as sandbox, sandbox.gateway(database) as stage:
        report = stage.signed()
        stage.fail("lost:seconds=1:path=/studies:call=1")
        slow = asyncio.create_task(stage.post(addendum(report)))
        while not sandbox.requests:
            await asyncio.sleep(0.01)
        await time_is_up(stage)
        heir = await stage.post(addendum(report))
        late = await slow
        again = await stage.post(addendum(report))
    assert {heir.status_code, late.status_code} == {201, 503}
    assert (again.status_code, again.headers["idempotency-replayed"]) == (201, "true")
    assert len(posts(sandbox)) == 1


async def test_nothing_leaves_where_that_cannot_be_written_before(database, monkeypatch):
    async def full(*_):
        raise StoreUnavailable("the disk is full")

    async with sandboxed() as sandbox, sandbox.gateway(database) as stage:
        report = stage.signed()
        with monkeypatch.context() as patch:
            patch.setattr(KeyClaim, "send", full)
            assert refusal(await stage.post(addendum(report))) == (503, "error", "transient")
        assert posts(sandbox) == []
        assert (await stage.post(addendum(report))).status_code == 201


async def test_nothing_that_a_client_typed_stands_in_the_table(database):
    async with sandboxed("action_success=false") as sandbox, sandbox.gateway(database) as stage:
        report = stage.signed()
        body = b'{"resourceType": "Parameters", "id": "CANARY"}'
        headers = {"Content-Type": "application/fhir+json", "If-Match": 'W/"1", W/"CANARY"'}
        answer = await stage.post(addendum(report), key="CANARY", content=body, headers=headers)
        assert answer.status_code == 409
        [row] = await rows(engine_of(stage), EVERYTHING)
    assert "CANARY" not in str(row)
    assert all(len(digest) == 64 for digest in row[:2])
