"""A store that takes no writes is alerted once, and once more when it recovers, by each process that sees it (D38)."""

from __future__ import annotations

import pytest
from fakes.inbox import sample
from pydantic import SecretStr
from structlog.testing import capture_logs

from gateway.feed.alerts import webhook
from gateway.feed.alerts.webhook import AlertHook, StoreAlarm
from gateway.runtime import clock
from gateway.runtime.metrics import Metrics
from gateway.settings.feed import Escalation, Feed

URL = SecretStr("https://a.example")
SETTINGS = Feed(alert_url=URL, escalate=(Escalation(minutes=5, url=URL),))


class Stage:
    """A store that may have trouble, a webhook that may be down, and a clock that a test advances."""

    def __init__(self, monkeypatch):
        self.trouble, self.is_up, self.said, self.now = "", True, [], 1000.0
        self.metrics = Metrics()
        monkeypatch.setattr(clock, "monotonic", lambda: self.now)

        async def post(hook, said):
            if self.is_up:
                self.said.append({**said, "to": hook.name})
            return self.is_up

        monkeypatch.setattr(AlertHook, "post", post)
        self.alarm = StoreAlarm(lambda: self.trouble, SETTINGS, self.metrics)

    async def after(self, *seconds):
        """Check after each of these times; return all alerts posted so far."""
        for one in seconds:
            self.now += one
            await self.alarm.turn()
        return [(one["alert"], one["state"]) for one in self.said]


@pytest.fixture
def stage(monkeypatch):
    return Stage(monkeypatch)


async def test_while_all_is_well_nothing_is_told(stage):
    assert await stage.after(1, 100, 1000) == []


async def test_it_is_told_once_that_it_is_so_and_once_that_it_is_over(stage):
    stage.trouble = "store-lost"
    assert await stage.after(0, 9) == []
    assert await stage.after(1, 100, 1000) == [("store-lost", "raised")]
    stage.trouble = ""
    assert await stage.after(0, 9) == [("store-lost", "raised")]
    assert await stage.after(1, 100) == [("store-lost", "raised"), ("store-lost", "cleared")]


async def test_what_comes_and_goes_is_not_told_each_time(stage):
    for trouble in ("store-lost", "", "store-lost", ""):
        stage.trouble = trouble
        await stage.after(0, 4)
    assert await stage.after(100) == []


async def test_what_was_not_taken_is_posted_again_and_logged_once(stage):
    stage.trouble, stage.is_up = "store-full", False
    with capture_logs() as lines:
        await stage.after(0, 10, 1, 1)
    assert [(one["event"], one["code"]) for one in lines] == [("alert", "store-full")]
    stage.is_up = True
    assert await stage.after(1, 1) == [("store-full", "raised")]


async def test_what_is_over_before_anybody_could_be_told_is_told_to_nobody(stage):
    stage.trouble, stage.is_up = "store-full", False
    await stage.after(0, 10)
    stage.trouble, stage.is_up = "", True
    assert await stage.after(0, 10, 10) == []


async def test_one_trouble_that_becomes_another_is_over_and_the_other_begins(stage):
    stage.trouble = "store-full"
    await stage.after(0, 10)
    stage.trouble = "store-lost"
    assert (await stage.after(0, 10))[1:] == [("store-full", "cleared"), ("store-lost", "raised")]


async def test_who_is_told_after_minutes_of_critical_results_is_not_told_of_the_store(stage):
    stage.trouble = "store-lost"
    await stage.after(0, 10, 10_000)
    [said] = stage.said
    assert said["to"] == "alert_url"
    assert (said["change"], said["runbook"]) == ("begins", "docs/runbooks.md#store-lost")
    assert said["process"].rpartition(":")[2].isdigit()


async def test_the_metrics_say_what_holds(stage):
    def shown():
        return [sample(stage.metrics, "feed_alert", code=code, destination="") for code in ("store-full", "store-lost")]

    stage.trouble = "store-full"
    await stage.after(0, 10)
    assert shown() == [1, None]
    stage.trouble = "store-lost"
    await stage.after(0, 10)
    assert shown() == [0, 1]


def test_an_alert_leaves_within_a_minute_of_the_trouble():
    assert webhook._PATIENCE + 2 * webhook.EVERY + 5 < 60
