"""A process whose settings differ from the holder's only alerts; a disabled destination is owed nothing."""

from __future__ import annotations

from dataclasses import replace

from fakes.fed import Fed, destination, fed
from fakes.store import rows
from pydantic import SecretStr
from structlog.testing import capture_logs

from gateway.feed.alerts.webhook import AlertHook
from gateway.feed.loops import SettingsWatch
from gateway.ingest import Pipeline
from gateway.routing import Routes
from gateway.runtime.metrics import Metrics
from gateway.sandbox.seed import generate
from gateway.sandbox.state import SandboxAccount
from gateway.settings.feed import Escalation, Feed
from gateway.store.feed.leases import Leases

ALERT = {"code": "settings-differ", "destination": "ehr", "count": 1, "event": "alert", "log_level": "error"}
STATES = "SELECT destination, state FROM outbox ORDER BY number"


async def watched(engine, *looks, leases=None, settings=Feed()):  # noqa: B008 (frozen)
    """Return the log lines after each look, with the destinations of that moment."""
    watch = SettingsWatch(engine, Routes(), settings, Metrics(), leases)
    with capture_logs() as logs:
        for destinations in looks:
            watch._routes = Routes(tuple(destinations))
            await watch.once()
    return logs


async def test_other_settings_than_those_in_force_are_told_once_and_when_they_are_over(engine):
    feed = Fed(engine, SandboxAccount(generate(studies=20)), (destination(1),))
    await feed.sign()
    other = replace(feed.destinations[0], is_enabled=True, start=feed.destinations[0].start.replace(year=2021))
    logs = await watched(engine, [other], [other], [other], feed.destinations)
    assert logs == [
        ALERT,
        {"code": "settings-differ", "destination": "ehr", "event": "alert-over", "log_level": "info"},
    ]


async def test_it_is_posted_until_it_is_taken_and_so_is_its_end(engine, monkeypatch):
    posted, answers = [], iter([False, True, True])

    async def post(hook, said):
        posted.append((hook.name, said["alert"], said["destination"], said["state"]))
        return next(answers)

    monkeypatch.setattr(AlertHook, "post", post)
    feed = Fed(engine, SandboxAccount(generate(studies=20)), (destination(1),))
    await feed.sign()
    other = replace(feed.destinations[0], start=feed.destinations[0].start.replace(year=2021))
    url = SecretStr("https://a.example")
    settings = Feed(alert_url=url, escalate=(Escalation(minutes=5, url=url),))
    own = feed.destinations
    await watched(engine, [other], [other], [other], [other], own, own, settings=settings)
    assert posted == [("alert_url", "settings-differ", "ehr", state) for state in ("raised", "raised", "cleared")]


async def test_a_holder_that_starts_with_new_settings_is_no_alert(engine):
    feed = Fed(engine, SandboxAccount(generate(studies=20)), (destination(1),))
    await feed.sign()
    other = replace(feed.destinations[0], start=feed.destinations[0].start.replace(year=2021))
    assert await watched(engine, [other], feed.destinations) == []


async def test_whoever_takes_in_goes_by_the_settings_in_force_and_not_by_its_own(engine):
    async with fed(engine) as (feed, _):
        await feed.tell()
        settings = feed.pipeline.settings
        feed.pipeline = Pipeline(engine, settings.site, settings.zone, wants_pdf=False, routes=Routes())
        signed = feed.account.sign_new()
        await feed.tell(signed.study_id)
        assert [tuple(row) for row in await rows(engine, STATES)] == [("ehr", "waiting")]


async def test_a_destination_that_is_switched_off_is_owed_nothing_from_then_on(engine):
    async with fed(engine) as (feed, _):
        await feed.sign()
        off = replace(feed.destinations[0], is_enabled=False)
        logs = await watched(engine, [off], [off], leases=Leases(engine, "one", 6))
        assert [one["event"] for one in logs] == ["destination-off"]
        feed.destinations = ()
        await feed.sign()
        assert [tuple(row) for row in await rows(engine, STATES)] == [("ehr", "waiting"), ("", "unrouted")]


async def test_a_destination_that_another_process_serves_is_not_switched_off(engine):
    async with fed(engine) as (feed, _):
        await feed.sign()
        await Leases(engine, "other", 6).take("ehr")
        off = replace(feed.destinations[0], is_enabled=False)
        logs = await watched(engine, [off], [off], leases=Leases(engine, "one", 6))
        assert logs == [ALERT]
