"""Old finished rows are deleted, and nothing else."""

from __future__ import annotations

from datetime import timedelta

from fakes.store import rows

from gateway.ingest.housekeeping import KEPT, Tidying
from gateway.runtime import clock
from gateway.store.clients import StoredTokens
from gateway.store.database.engine import micros
from gateway.store.database.facts import Controls
from gateway.store.enrichment import StoredWebhooks


async def test_what_was_done_long_ago_goes_and_what_is_not_done_stays(engine, monkeypatch):
    webhooks, controls = StoredWebhooks(engine), Controls(engine)
    now = clock.now()
    for name in ("old", "open"):
        await webhooks.record(name, name, "report.delivered", {"studyId": "stu_1"}, now)
        await controls.ask("refresh", name)
    await webhooks.done("old")
    await controls.done((await controls.open(1))[0].number)
    tokens = StoredTokens(engine)
    for name, hours in ("over", -1), ("valid", 1):
        await tokens.use(name, micros(now + timedelta(hours=hours)))
    tidying = Tidying(webhooks, controls, tokens)
    await tidying.once()
    assert len(await rows(engine, "SELECT 1 FROM webhook")) == len(await rows(engine, "SELECT 1 FROM control")) == 2
    assert await rows(engine, "SELECT digest FROM used_assertion") == [("valid",)]
    monkeypatch.setattr(clock, "now", lambda: now + KEPT + timedelta(hours=1))
    await tidying.once()
    assert [tuple(one) for one in await rows(engine, "SELECT webhook_id FROM webhook")] == [("open",)]
    assert [tuple(one) for one in await rows(engine, "SELECT argument FROM control")] == [("open",)]
