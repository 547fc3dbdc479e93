"""Decisions D18, D25: AutoScribe's events over sockets, from the signature in the sandbox to FHIR search results.

Standard Webhooks 1.0 (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx
import pytest
from fakes.facade import Counted, resource_id, site
from pydantic import SecretStr

from gateway.app import create_app
from gateway.runtime import clock
from gateway.runtime.serving import listening_socket, running
from gateway.sandbox.upstream import SandboxOptions, open_sandbox
from gateway.sandbox.webhooks import WebhookTarget, signature
from gateway.settings import Configuration, Database, Pdf, Server, Settings, Sync, Upstream, Webhook
from gateway.store.database.sqlite import Sqlite

KEY = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
WRONG = "whsec_d3JvbmctMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmM="
ACCESSION = "ACC-98765"
DOOR = "/webhooks/autoscribe"
_WEBHOOKS = "SELECT count(*) FROM webhook"
_CAUSES = "SELECT kind FROM outbox WHERE report_id = ?"


@dataclass
class Stage:
    """A served gateway whose crawl has swept once and will not again, the account behind it, and a client of it."""

    account: Any
    sandbox: Any
    requests: list[str]
    client: httpx.AsyncClient
    engine: Sqlite
    numbers: Any = field(default_factory=count)

    async def post(self, event: dict[str, Any], key: str = KEY, webhook_id: str = "") -> httpx.Response:
        """Send an event as AutoScribe would."""
        body = json.dumps(event).encode()
        webhook_id, at = webhook_id or f"msg_{next(self.numbers)}", int(clock.now().timestamp())
        headers = {
            "content-type": "application/json",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(at),
            "webhook-signature": signature(key, webhook_id, at, body),
        }
        return await self.client.post(DOOR, content=body, headers=headers)

    async def found(self, search: str) -> list[dict[str, Any]]:
        """Return the resources that a search finds in the index."""
        answer = await self.client.get(f"/fhir/{search}")
        assert answer.status_code == 200, answer.text
        return [one["resource"] for one in answer.json().get("entry", ()) if one["search"]["mode"] == "match"]

    async def number(self, sql: str, *values: Any) -> int:
        (row,) = await self.engine.query(sql, values)
        return int(row[0])

    async def causes(self, report_id: str) -> list[str]:
        return [str(kind) for (kind,) in await self.engine.query(_CAUSES, [report_id])]


async def soon(ask: Callable[[], Awaitable[Any]], seconds: float = 30) -> Any:
    """Wait for the first answer that is not empty, and return it."""
    async with asyncio.timeout(seconds):
        while not (answer := await ask()):
            await asyncio.sleep(0.01)
        return answer


@asynccontextmanager
async def stage(sqlite_engine: Sqlite, *switches: str, key: str = KEY, wait: float = 0.1) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        upstream = stack.enter_context(listening_socket("127.0.0.1", 0))
        gateway = stack.enter_context(listening_socket("127.0.0.1", 0))
        base = f"http://127.0.0.1:{gateway.getsockname()[1]}"
        target = WebhookTarget(f"{base}{DOOR}", key, wait)
        options = SandboxOptions(port=upstream.getsockname()[1], studies=40, switches=switches, webhook=target)
        sandbox, account = open_sandbox(options)
        counted = Counted(sandbox)
        await stack.enter_async_context(running(counted, upstream))
        settings = Settings.model_construct(
            upstream=Upstream(api_key=SecretStr(options.api_key), base_url=options.base_url),
            server=Server(),
            pdf=Pdf(ingest="link"),
            webhook=Webhook(key=SecretStr(KEY)),
            database=Database(url=SecretStr(f"sqlite:///{sqlite_engine.path}")),
            sync=Sync(open_interval=3_600, cancelled_interval=3_600, sweep_interval=3_600),
        )
        app = create_app(Configuration(settings, site(), "test"), ("api", "sync"))
        await stack.enter_async_context(running(app, gateway))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=base))
        at = Stage(account, sandbox, counted.requests, client, sqlite_engine)

        async def is_complete() -> bool:
            return bool((await client.get("/readyz")).json()["index"]["complete"])

        await soon(is_complete)
        counted.requests.clear()
        yield at


async def test_a_report_is_in_the_index_within_a_second_of_its_event(sqlite_engine, say):
    waits = []
    async with stage(sqlite_engine) as at:
        for _ in range(9):
            began = clock.monotonic()
            signed = at.account.sign_new()
            search = f"DiagnosticReport?_lastUpdated=gt2000&identifier={signed.report_id}"
            (report,) = await soon(lambda search=search: at.found(search))
            waits.append(clock.monotonic() - began)
            assert report["id"] == resource_id({"reportId": signed.report_id})
            assert await at.causes(signed.report_id) == ["signed"]
            assert at.requests.count(f"GET /studies/{signed.study_id}") == 1
        await at.sandbox.state.sender.settled()
        assert len(at.sandbox.state.sender.delivered) == 9
    say(f"reports found {min(waits) * 1e3:.0f} to {max(waits) * 1e3:.0f} ms after their signature, by an event")
    assert sorted(waits)[len(waits) // 2] <= 1


@pytest.mark.parametrize("switch", ["webhook_id=body_id", "webhook_id=other"])
async def test_an_event_that_comes_twice_has_one_effect(switch, sqlite_engine):
    async with stage(sqlite_engine, switch, "webhook_copies=twice") as at:
        signed = at.account.sign_new()
        await at.sandbox.state.sender.settled()
        await soon(lambda: at.causes(signed.report_id))
        data = {"reportId": signed.report_id, "studyId": signed.study_id}
        event = {"id": "whe_" + "7" * 32, "type": "report.delivered", "data": data}
        for webhook_id in ("msg_a", "msg_a", "msg_b"):
            assert (await at.post(event, webhook_id=webhook_id)).json() == {"success": True}
        assert await at.number(_WEBHOOKS) == 2
        await soon(lambda: at.number(f"{_WEBHOOKS} HAVING min(state) = 'done'"))
        assert await at.causes(signed.report_id) == ["signed"]
        assert at.requests.count(f"GET /studies/{signed.study_id}") == 2
        (report,) = await at.found(f"DiagnosticReport?identifier={signed.report_id}")
        assert report["meta"]["versionId"] == "1"


async def test_an_event_with_a_wrong_signature_is_refused_and_nothing_is_read(sqlite_engine):
    async with stage(sqlite_engine, "webhook_attempts=1", key=WRONG) as at:
        signed = at.account.sign_new()
        await at.sandbox.state.sender.settled()
        assert at.sandbox.state.sender.given_up
        data = {"reportId": signed.report_id, "studyId": signed.study_id}
        event = {"id": "whe_" + "8" * 32, "type": "report.delivered", "data": data}
        answer = await at.post(event, key=WRONG)
        assert (answer.status_code, answer.json()) == (401, {"success": False, "error": "unauthorized"})
        await asyncio.sleep(1.5)
        assert await at.number(_WEBHOOKS) == 0
        assert at.requests == []
        assert await at.found(f"DiagnosticReport?_lastUpdated=gt2000&identifier={signed.report_id}") == []


def enrichment(study_instance_uid: str) -> dict[str, Any]:
    data = {
        "clinicId": "123e4567-e89b-12d3-a456-426614174000",
        "studyInstanceUid": study_instance_uid,
        "accessionNumber": ACCESSION,
    }
    return {"id": "whe_" + "9" * 32, "type": "patient_study.enrichment_requested", "data": data}


async def of_accession(at: Stage, kind: str) -> list[dict[str, Any]]:
    return await at.found(f"{kind}?identifier={ACCESSION}")


async def test_an_accession_number_of_a_stored_study_is_answered_and_found_by(sqlite_engine):
    async with stage(sqlite_engine) as at:
        signed = at.account.sign_new()
        await soon(lambda: at.causes(signed.report_id))
        at.requests.clear()
        answer = await at.post(enrichment(signed.study_instance_uid))
        assert (answer.status_code, answer.json()) == (200, {})
        for kind in ("ServiceRequest", "ImagingStudy"):
            (resource,) = await soon(lambda kind=kind: of_accession(at, kind))
            assert resource["meta"]["versionId"] == "2"
        (report,) = await at.found(f"DiagnosticReport?based-on.identifier={ACCESSION}")
        assert report["id"] == resource_id({"reportId": signed.report_id})
        assert await at.causes(signed.report_id) == ["signed"]
        assert f"GET /studies/{signed.study_id}" not in at.requests


async def test_an_accession_number_that_comes_before_its_study_waits_for_it(sqlite_engine):
    async with stage(sqlite_engine) as at:
        uid = "1.2.840.99999.7"
        assert (await at.post(enrichment(uid))).json() == {}
        known = next(iter(at.account.studies.values()))
        values = {key: known[key] for key in ("reportMetadata", "severity", "studyDescription", "modality")}
        study = at.account.add_study({**values, "studyInstanceUid": uid})
        report_id = at.account.start_report(study["studyId"])
        at.account.sign(report_id)
        for kind in ("ServiceRequest", "ImagingStudy"):
            (resource,) = await soon(lambda kind=kind: of_accession(at, kind))
            assert resource["meta"]["versionId"] == "1"
        assert await at.causes(report_id) == ["signed"]
