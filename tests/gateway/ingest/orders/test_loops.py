"""Decision D48: what waits is counted, and a message that was held or failed is an alert."""

from __future__ import annotations

from datetime import timedelta

import pytest
from fakes.hospital import SITE
from fakes.hospital_source import Hospital, merging, ordering

from gateway.feed.alerts.conditions import ROWS
from gateway.ingest.orders.loops import OrderLoops
from gateway.runtime import clock
from gateway.settings import Configuration, Settings
from gateway.store.database.engine import Statement, ask, micros
from gateway.store.orders.hospital import put_left_merges


@pytest.fixture
def his(engine):
    return Hospital(engine)


def loops(his, *tables):
    settings = Settings(source=tables)
    return OrderLoops(Configuration(settings, SITE, "test"), his.engine, his.metrics)


@pytest.fixture
def watch(his):
    return loops(his, {"name": "city-his", "listen": "127.0.0.1:2601", "may": ["orders"], "facility": "City"})


async def test_what_waits_is_counted(his, watch):
    await his.stores(ordering(), ordering(control_id="2"))
    await watch.look()
    assert his.counted("orders_waiting") == 2
    await his.sends()
    await watch.look()
    assert (his.counted("orders_waiting"), watch.trouble) == (0, "")


async def test_a_held_message_is_an_alert_for_a_day(his, watch, monkeypatch):
    await his.sends(merging("7", "7"))
    await watch.look()
    assert watch.trouble == "order-message-held" in ROWS
    now = clock.now
    monkeypatch.setattr(clock, "now", lambda: now() + timedelta(days=1, minutes=1))
    await watch.look()
    assert watch.trouble == ""


async def test_a_failed_message_is_an_alert_as_long_as_it_is_not_applied(his, watch, monkeypatch):
    await his.stores(ordering())
    await his.engine.do(lambda: ask(Statement("UPDATE inbound SET body = :body"), body=b"\x00"))
    await his.sends()
    now = clock.now
    monkeypatch.setattr(clock, "now", lambda: now() + timedelta(days=9))
    await watch.look()
    assert watch.trouble == "order-message-failed" in ROWS


async def test_what_waits_for_a_source_that_is_gone_is_an_alert_until_it_is_applied(his):
    await his.stores(ordering())
    other = loops(his, {"name": "new-his", "listen": "127.0.0.1:2601", "may": ["orders"], "facility": "City"})
    await other.look()
    assert other.trouble == "order-source-gone" in ROWS
    await his.sends()
    await other.look()
    assert other.trouble == ""


async def test_merges_that_could_not_be_read_anew_are_an_alert_for_a_day_beside_any_other(his, monkeypatch):
    watch = loops(his, {"name": "new-his", "listen": "127.0.0.1:2601", "may": ["orders"], "facility": "City"})
    await put_left_merges(his.engine, 2, micros(clock.now()))
    await his.stores(ordering())
    await watch.look()
    assert watch.merge_trouble == "merges-not-read-anew" in ROWS
    assert watch.trouble == "order-source-gone"
    now = clock.now
    monkeypatch.setattr(clock, "now", lambda: now() + timedelta(days=2))
    await watch.look()
    assert watch.merge_trouble == ""


def test_without_a_source_only_the_deletion_runs(his):
    made = loops(his).loops()
    assert len(made) == 1
    for one in made:
        one.close()
