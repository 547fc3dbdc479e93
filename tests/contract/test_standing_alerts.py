"""Notifications of an alert outlive a process, and an acknowledgement outlives the round under way (D38)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from gateway.runtime import clock
from gateway.store.database.engine import micros
from gateway.store.feed.alerts import (
    AlertCase,
    StandingAlert,
    acknowledge_alerts,
    past_alerts,
    standing_alerts,
    store_alerts,
)

ONE = StandingAlert(
    "critical-overdue",
    "ehr",
    2,
    {3: AlertCase(100, "stu_1"), 7: AlertCase(200, "stu_2")},
    {"alert_url": frozenset({3}), "15": frozenset()},
    ("stu_1",),
)
OTHER = StandingAlert("critical-overdue", "pacs", 1, {0: AlertCase(50)})


async def acknowledge(engine, code="critical-overdue", destination=None, who="ann@reading-room"):
    return await engine.do(partial(acknowledge_alerts, code, destination, who, 9_000))


async def test_an_alert_is_read_as_it_was_kept(engine):
    await engine.do(partial(store_alerts, [ONE, OTHER]))
    assert await standing_alerts(engine) == [ONE, OTHER]


async def test_one_that_is_over_stays_until_all_who_were_told_have_heard_of_it(engine):
    await engine.do(partial(store_alerts, [ONE]))
    over = StandingAlert("critical-overdue", "ehr", told=ONE.told)
    await engine.do(partial(store_alerts, [over]))
    assert await standing_alerts(engine) == [over]
    await engine.do(partial(store_alerts, [StandingAlert("critical-overdue", "ehr")]))
    assert await standing_alerts(engine) == []


@pytest.mark.parametrize(("destination", "who"), [(None, ["ehr", "pacs"]), ("ehr", ["ehr"]), ("lab", [])])
async def test_what_stands_is_acknowledged_at_one_destination_or_at_all(engine, destination, who):
    await engine.do(partial(store_alerts, [ONE, OTHER]))
    found = await acknowledge(engine, destination=destination)
    assert [one.destination for one in found] == who
    open_cases = {one.destination: set(one.unacknowledged) for one in await standing_alerts(engine)}
    assert open_cases == {one.destination: set() if one.destination in who else set(one.cases) for one in (ONE, OTHER)}


async def test_an_acknowledgement_outlives_a_turn_that_had_begun_and_does_not_hold_for_what_comes_after_it(engine):
    await engine.do(partial(store_alerts, [ONE]))
    await acknowledge(engine)
    grown = StandingAlert("critical-overdue", "ehr", 3, {**ONE.cases, 9: AlertCase(201, "stu_3")}, ONE.told)
    await engine.do(partial(store_alerts, [grown]))
    [alert] = await standing_alerts(engine)
    assert set(alert.unacknowledged) == {9}
    assert (alert.acknowledged_at, alert.acknowledged_by) == (9_000, "ann@reading-room")


async def test_who_acknowledged_first_stays(engine):
    await engine.do(partial(store_alerts, [ONE]))
    await acknowledge(engine)
    await acknowledge(engine, who="bob@reading-room")
    assert (await standing_alerts(engine))[0].acknowledged_by == "ann@reading-room"


async def test_what_is_over_cannot_be_acknowledged(engine):
    await engine.do(partial(store_alerts, [StandingAlert("critical-overdue", "ehr", told=ONE.told)]))
    assert await acknowledge(engine) == []


async def test_the_end_of_an_alert_is_kept_with_its_begin_whoever_acknowledged_it_and_once(engine, monkeypatch):
    now = datetime(2026, 3, 9, tzinfo=UTC)
    monkeypatch.setattr(clock, "now", lambda: now)
    over = StandingAlert("critical-overdue", "ehr", 1, told=ONE.told)
    await engine.do(partial(store_alerts, [ONE, OTHER]))
    await engine.do(partial(store_alerts, [replace(ONE, cases={9: AlertCase(300)})]))  # the first case is over
    await acknowledge(engine, destination="ehr")
    assert await past_alerts(engine, 9) == []
    await engine.do(partial(store_alerts, [over]))
    await engine.do(partial(store_alerts, [replace(over, told={})]))  # all have heard of it
    [past] = await past_alerts(engine, 9)
    assert (past.code, past.destination, past.count) == ("critical-overdue", "ehr", 2)
    assert (past.began, past.ended, past.acknowledged_by) == (100, micros(now), "ann@reading-room")
    now += timedelta(days=1)
    await engine.do(partial(store_alerts, [StandingAlert("critical-overdue", "pacs")]))
    assert [(one.destination, one.acknowledged_by) for one in await past_alerts(engine, 9)] == [
        ("pacs", ""),
        ("ehr", "ann@reading-room"),
    ]
    assert [one.destination for one in await past_alerts(engine, 1)] == ["pacs"]
    now += timedelta(days=89, seconds=1)
    await engine.do(partial(store_alerts, [StandingAlert("lane-held", "ehr")]))
    assert [one.destination for one in await past_alerts(engine, 9)] == ["pacs"]


async def test_an_alert_that_begins_again_before_all_heard_of_its_end_has_its_own_begin_and_no_acknowledgement(engine):
    over = StandingAlert("critical-overdue", "ehr", told=ONE.told)
    again = StandingAlert("critical-overdue", "ehr", 1, {8: AlertCase(20_000)}, ONE.told)
    await engine.do(partial(store_alerts, [ONE]))
    await acknowledge(engine)
    for one in (over, again, over):
        await engine.do(partial(store_alerts, [one]))
    second, first = await past_alerts(engine, 9)
    assert (first.began, first.acknowledged_by) == (100, "ann@reading-room")
    assert (second.began, second.acknowledged_at, second.acknowledged_by) == (20_000, None, "")
