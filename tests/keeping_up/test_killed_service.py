"""Decisions D8, D26: a service on SQLite that is killed while it crawls resumes there; only one may run.

https://sqlite.org/atomiccommit.html, https://man7.org/linux/man-pages/man2/flock.2.html
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from fakes.busy_account import BusyAccount
from fakes.gateway_process import FAST, environment, ran, site_file, started
from fakes.scale import SWEPT
from fakes.store_audit import audit, check_against, check_causes, check_versions

from gateway.runtime import clock
from gateway.runtime.serving import listening_socket, running
from gateway.sandbox.upstream import SandboxOptions, create_app
from gateway.sandbox.webhooks import signature
from gateway.store.database.sqlite import Sqlite
from gateway.store.studies.crawling import StoredCursors, SweepRecord, read_record

KEY = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
_WEBHOOKS = "SELECT state, code FROM webhook"
SERVE = ["serve", "--port", "0"]


@dataclass
class Listings:
    """ASGI wrapper that records the cursors of the pages that sweeps request; empty for the first page."""

    app: Any
    cursors: list[str] = field(default_factory=list)

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http" and scope["path"] == "/v1/autoScribe/studies":
            asked = parse_qs(scope["query_string"].decode())
            if not {"studyReportStatus", "isCancelled"} & asked.keys():
                self.cursors += asked.get("cursor", [""])
        await self.app(scope, receive, send)


async def until(record: Callable[[], Awaitable[SweepRecord]], holds: Callable[[SweepRecord], Any]) -> SweepRecord:
    """Wait until the record of the sweep meets a condition; return it."""
    async with asyncio.timeout(100):
        while not holds(found := await record()):
            await asyncio.sleep(0.02)
        return found


@pytest.mark.soak
@pytest.mark.parametrize(("studies", "longest"), SWEPT.both())
async def test_a_service_that_is_killed_goes_on_at_its_page_and_commands_work_beside_it(
    studies, longest, sqlite_database, tmp_path, say
):
    account, engine = BusyAccount(studies, 1), Sqlite(sqlite_database)
    cursors = StoredCursors(engine)

    async def record() -> SweepRecord:
        return await read_record(cursors)

    with listening_socket("127.0.0.1", 0) as listener:
        options = SandboxOptions(port=listener.getsockname()[1])
        own = {**FAST, "GATEWAY_PDF__INGEST": "link"}
        env = environment(options.base_url, f"sqlite:///{sqlite_database}", site_file(tmp_path), **own)
        listings = Listings(create_app(account.state, options))
        async with running(listings, listener), engine.opened():
            with started(SERVE, env, tmp_path / "first.log") as gateway:
                await until(record, lambda found: found.running and found.running.cursor)
                await asyncio.sleep(Random().uniform(0, longest))
                gateway.kill()
            stood = (await record()).running
            assert stood is not None, "the sweep had ended: nothing was proved"
            listings.cursors.clear()
            with started(SERVE, env, tmp_path / "second.log") as gateway:
                await until(record, lambda _: listings.cursors)
                assert listings.cursors[0] == stood.cursor != ""
                code, printed, problem = await ran(SERVE, env)
                assert (code, printed) == (2, "")
                assert "another gateway serves from this file" in problem
                code, printed, _ = await ran(["identity", "list"], env)
                assert code == 0
                assert "are held apart from a patient" in printed
                code, printed, _ = await ran(["rerender"], env)
                assert code == 0
                assert " 0 new versions; nothing was sent" in printed
                found = await until(record, lambda found: found.sweeps >= 2)
                assert found.finished.studies == studies
                assert gateway.is_alive
                assert gateway.said("control-not-done") == gateway.said("study-not-taken-in") == []
                assert await gateway.stop() == 0
            stored = await audit(engine)
            say(f"killed at page {stood.pages + 1} of {studies // 100 + 1}: {stored.counts}")
            check_versions(stored)
            check_against(stored, account)
            check_causes(stored, account)


async def test_an_event_that_was_answered_outlives_the_kill_that_follows(sqlite_database, tmp_path):
    account, engine = BusyAccount(3, 1), Sqlite(sqlite_database)
    with listening_socket("127.0.0.1", 0) as listener:
        options = SandboxOptions(port=listener.getsockname()[1])
        own = {**FAST, "GATEWAY_PDF__INGEST": "link", "AVARA_WEBHOOK_KEY": KEY}
        env = environment(options.base_url, f"sqlite:///{sqlite_database}", site_file(tmp_path), **own)
        async with running(create_app(account.state, options), listener), engine.opened():
            signed = account.state.sign_new()
            data = {"reportId": signed.report_id, "studyId": signed.study_id}
            body = json.dumps({"id": "whe_1", "type": "report.delivered", "data": data}).encode()
            with started([*SERVE, "--roles", "api"], env, tmp_path / "first.log") as gateway:
                url = f"{await gateway.address()}/webhooks/autoscribe"
                at = int(clock.now().timestamp())
                stamp = {"webhook-id": "msg_1", "webhook-timestamp": str(at)}
                headers = {**stamp, "webhook-signature": signature(KEY, "msg_1", at, body)}
                async with httpx.AsyncClient() as client:
                    answer = await client.post(url, content=body, headers=headers)
                gateway.kill()
            assert answer.json() == {"success": True}
            assert [tuple(row) for row in await engine.query(_WEBHOOKS, [])] == [("waiting", "")]
            with started([*SERVE, "--roles", "sync"], env, tmp_path / "second.log") as gateway:
                async with asyncio.timeout(60):
                    while [tuple(row) for row in await engine.query(_WEBHOOKS, [])] != [("done", "")]:
                        await asyncio.sleep(0.05)
                assert await gateway.stop() == 0
            causes = await engine.query("SELECT kind FROM outbox WHERE report_id = ?", [signed.report_id])
            assert [kind for (kind,) in causes] == ["signed"]
