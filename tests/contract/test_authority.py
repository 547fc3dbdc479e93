"""MRN without an authority in the settings: held, alerted, and sent once the settings name the authority (D11)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.charts import speak_of
from fakes.er7_reader import field
from fakes.fed import assert_all_arrived, bodies, fed, site
from fakes.store import rows

from gateway.feed.alerts.monitor import AlertMonitor
from gateway.routing import Filter
from gateway.routing.filter import Scope, facility_keys
from gateway.settings.feed import Feed
from gateway.store.feed.ledger import stock
from mappings.profile import Site
from mappings.profile import receiver as profile

HELD = "SELECT state, reason FROM outbox WHERE state = 'held'"
# Settings that name the authority later: of each facility, of all facilities without one, or of the receiver
REMEDIES = {
    "mrn_namespace": lambda known: (replace(known, default_facility=None), {}),
    "default_facility": lambda known: (Site(default_facility=next(iter(known.facilities.values()))), {}),
    "mrn_authority": lambda known: (Site(), {"mrn_authority": "receiver"}),
}


async def held(feed, count):
    found = await feed.until_rows(HELD, lambda found: len(found) == count)
    assert {tuple(one) for one in found} == {("held", "authority-unknown")}


async def codes(engine, feed):
    alerts = await AlertMonitor(engine, feed.destinations, Feed(), "one", feed.metrics).once()
    return {alert.code: alert.count for alert in alerts}


@pytest.mark.parametrize("remedy", REMEDIES)
async def test_it_is_held_until_the_settings_say_whose_it_is_and_sent_once(engine, remedy):
    async with fed(engine) as (feed, receiver):
        known = site()
        feed.restart(Site())
        async with feed.serving():
            for _ in range(2):
                await feed.sign(critical=False)
            await held(feed, 2)
            assert await codes(engine, feed) == {"message-held": 2}
            waiting = (await stock(engine, "ehr", 20)).held_rows
            assert {(one.reason, one.is_critical) for one in waiting} == {("authority-unknown", False)}
            assert len({one.study_id for one in waiting}) == 2
            assert (await stock(engine, "ehr", 0)).held_rows == ()
        async with feed.serving():  # same settings
            await feed.until()
        assert not receiver.messages
        settings, changes = REMEDIES[remedy](known)
        feed.restart(settings, **changes)
        for _ in range(2):
            async with feed.serving():
                await feed.until("delivered", "delivered")
        assert await codes(engine, feed) == {}
        assert len(receiver.messages) == 2
        first = [field(body, "PID-3").split("~")[0].split("^") for body in bodies(receiver)]
        assert {one[4] for one in first} == {"MR"}
        assert all(bool(one[3]) is (remedy != "mrn_authority") for one in first)
        await assert_all_arrived(feed, receiver)


async def test_a_critical_result_that_is_held_for_it_is_told_at_once_and_each_new_one(engine):
    async with fed(engine) as (feed, _):
        known = site()
        feed.restart(Site())
        async with feed.serving():
            await feed.sign(critical=False)
            await held(feed, 1)
            assert "critical-blocked" not in await codes(engine, feed)
            watch = AlertMonitor(engine, feed.destinations, Feed(), "one", feed.metrics)
            for count in (1, 2):
                await feed.sign(critical=True)
                await held(feed, 1 + count)
                await watch.once()
        told = [one["count"] for one in feed.logs if (one["event"], one.get("code")) == ("alert", "critical-blocked")]
        assert told == [1, 2]
        feed.restart(known)
        async with feed.serving():
            await feed.until("delivered", "delivered", "delivered")
            await watch.once()
        over = {one["code"] for one in feed.logs if one["event"] == "alert-over"}
        assert over >= {"message-held", "critical-blocked"}


async def test_bare_mrns_of_two_namespaces_are_held_and_go_once_the_destination_takes_those_of_one(engine):
    async with fed(engine) as (feed, receiver):
        known = site()
        here, there = list(dict.fromkeys(known.facilities.values()))[:2]
        feed.restart(known, receiver=profile("epic-observed"))
        for facility in (here, there):
            signed = feed.account.sign_new(critical=False)
            speak_of(feed, signed.report_id, facilityName=facility.name, mrn="00042")
            await feed.tell(signed.study_id)
        async with feed.serving():
            await held(feed, 2)
        assert not receiver.messages
        feed.restart(known, filter=Filter(Scope(facilities=facility_keys([here.name], known))))
        for _ in range(2):
            async with feed.serving():
                await feed.until("delivered")
        [body] = bodies(receiver)
        assert (field(body, "PID-3"), field(body, "MSH-4")) == ("00042", here.name)
        assert [tuple(one) for one in await rows(engine, "SELECT state FROM outbox WHERE state <> 'rendered'")] == [
            ("to_stop",)
        ]
        feed.restart(known, mrn_authority="receiver", filter=Filter())
        async with feed.serving():
            await feed.until("delivered", "delivered")


async def test_what_is_held_for_another_reason_is_not_looked_at_again_by_other_settings(engine):
    async with fed(engine) as (feed, receiver):
        known = site()
        feed.restart(known, receiver=replace(feed.destinations[0].receiver, accession="required"))
        async with feed.serving():
            await feed.sign(critical=False)
            await feed.until_rows("SELECT reason FROM outbox WHERE state = 'held'", bool)
        settled = "SELECT reason, settled FROM outbox"
        before = await rows(engine, settled)
        feed.restart(replace(known, default_facility=next(iter(known.facilities.values()))))
        async with feed.serving():
            await feed.until()
        assert await rows(engine, settled) == before
        assert not receiver.messages
