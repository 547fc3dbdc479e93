"""A changed setting releases the rows that were held for want of it, and nothing else (D12, D34)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.fed import assert_all_arrived, fed, site
from fakes.store import rows

from gateway.feed.alerts.monitor import AlertMonitor
from gateway.settings.feed import Feed
from mappings.profile.vista import Vista

HELD = "SELECT reason FROM outbox WHERE state = 'held'"
MRN = "00412345"
SAID = {"facilityName": "Sandbox General Hospital", "mrn": MRN}


async def sign(feed, said, *, critical=False):
    signed = feed.account.sign_new(critical=critical)
    feed.account.change_patient(signed.report_id, said)
    await feed.tell(signed.study_id)
    return signed


async def held(feed, reason, count=1):
    found = await feed.until_rows(HELD, lambda found: len(found) == count and {one for (one,) in found} == {reason})
    assert found


async def alerts(feed):
    said = await AlertMonitor(feed.engine, feed.destinations, Feed(), "one", feed.metrics).once()
    return {alert.code for alert in said}


async def test_a_conflict_that_is_held_goes_once_the_destination_sends_conflicts(engine):
    async with fed(engine, on_conflict="hold") as (feed, receiver):
        async with feed.serving():
            await sign(feed, {**SAID, "patientName": "Jane Doe"})
            await feed.until("delivered")
            await sign(feed, {**SAID, "patientName": "Zoe Roe"}, critical=True)
            await held(feed, "identity-conflict-held")
        async with feed.serving():  # same settings
            await feed.until("delivered")
        feed.restart(site(), on_conflict="send")
        for _ in range(2):
            async with feed.serving():
                await feed.until("delivered", "delivered")
        assert await alerts(feed) == set()
        assert len(receiver.messages) == 2
        await assert_all_arrived(feed, receiver)


@pytest.mark.parametrize("is_of_exam", [False, True], ids=["patient", "exam"])
async def test_what_vista_does_not_know_goes_once_the_vista_settings_say_it(engine, is_of_exam):
    switch, reason = ("vista_exam", "exam-missing") if is_of_exam else ("vista_patient", "vista-patient-unknown")
    settings = Vista(exam_keys=("exam",), case_keys=("case",)) if is_of_exam else Vista(dfn_namespace="SBXGEN")
    async with fed(engine) as (feed, receiver):
        changed = replace(feed.destinations[0].receiver, **{switch: "required" if is_of_exam else "dfn"})
        feed.restart(site(), receiver=changed)
        async with feed.serving():
            signed = feed.account.sign_new(critical=False)
            feed.account.find_study(signed.study_id)["metadata"] = {"exam": "6759191.8457-1", "case": "040824-1234"}
            feed.account.change_patient(signed.report_id, {**SAID, "mrn": "412345"})
            await feed.tell(signed.study_id)
            await held(feed, reason)
        feed.restart(replace(site(), vista=settings))
        async with feed.serving():
            await feed.until("delivered")
        assert len(receiver.messages) == 1


async def test_other_settings_leave_what_is_held_alone(engine):
    async with fed(engine, on_conflict="hold") as (feed, _):
        async with feed.serving():
            await sign(feed, {**SAID, "patientName": "Jane Doe"})
            await feed.until("delivered")
            await sign(feed, {**SAID, "patientName": "Zoe Roe"})
            await held(feed, "identity-conflict-held")
        before = await rows(engine, "SELECT reason, settled FROM outbox")
        feed.restart(replace(site(), vista=Vista(dfn_namespace="SBXGEN"), default_facility=None))
        async with feed.serving():
            await feed.until("delivered")
        assert await rows(engine, "SELECT reason, settled FROM outbox") == before


async def test_a_critical_result_that_becomes_a_move_stays_told_as_blocked(engine):
    async with fed(engine) as (feed, _):
        known = replace(site(), default_facility=None)
        facilities = {name: replace(one, mrn=None) for name, one in known.facilities.items()}
        bare = replace(known, facilities=facilities)
        feed.restart(bare, mrn_authority="receiver")
        async with feed.serving():
            signed = await sign(feed, SAID)
            await feed.until("delivered")
        feed.restart(bare, mrn_authority="facility")
        async with feed.serving():
            addendum = feed.account.sign(feed.account.open_addendum(signed.report_id))
            feed.account.find_report(addendum.report_id)["isCritical"] = True
            await feed.tell(signed.study_id)
            await held(feed, "authority-unknown")
            assert "critical-blocked" in await alerts(feed)
        feed.restart(known)
        async with feed.serving():
            await held(feed, "move")
            assert "critical-blocked" in await alerts(feed)
