"""Missing patient data that a receiver needs: held, alerted at once, and sent when the data come (D34)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.charts import speak_of
from fakes.er7_reader import field
from fakes.fed import assert_all_arrived, bodies, fed

from gateway.feed.alerts.monitor import AlertMonitor
from gateway.settings.feed import Feed
from mappings.profile import receiver as profile

HELD = "SELECT state, reason FROM outbox WHERE state = 'held'"
YEARS = 1e9  # seconds until a critical result is overdue: an earlier alert has another reason


async def signed_nameless(feed, *, critical):
    made = feed.account.sign_new(critical=critical)
    speak_of(feed, made.report_id, patientName=None)
    await feed.tell(made.study_id)
    return made


async def codes(engine, feed):
    alerts = await AlertMonitor(engine, feed.destinations, Feed(), "one", feed.metrics).once()
    return {alert.code: alert.count for alert in alerts}


async def held(feed, reason, count=1):
    found = await feed.until_rows(HELD, lambda found: len(found) == count)
    assert {tuple(one) for one in found} == {("held", reason)}


@pytest.mark.parametrize(
    ("critical", "alerts"), [(False, {"message-held": 1}), (True, {"message-held": 1, "critical-blocked": 1})]
)
async def test_a_patient_without_a_name_is_held_where_nothing_can_say_so_and_sent_once_named(engine, critical, alerts):
    epic = {"receiver": profile("epic-observed"), "mrn_authority": "receiver"}
    async with fed(engine, **epic, critical_alert=YEARS) as (feed, receiver), feed.serving():
        signed = await signed_nameless(feed, critical=critical)
        await held(feed, "name-absent")
        assert await codes(engine, feed) == alerts
        assert not receiver.messages
        speak_of(feed, signed.report_id, patientName="DOE^JANE")
        await feed.tell(signed.study_id)
        await feed.until("delivered")
        assert await codes(engine, feed) == {}
        assert field(bodies(receiver)[0], "PID-5") == "DOE^JANE"
        await assert_all_arrived(feed, receiver)


async def test_a_receiver_with_name_types_is_told_that_there_is_no_name(engine):
    async with fed(engine) as (feed, receiver), feed.serving():
        await signed_nameless(feed, critical=True)
        await feed.until("delivered")
        assert field(bodies(receiver)[0], "PID-5") == "~^^^^^^U"


async def test_a_critical_result_on_a_patient_whom_vista_cannot_know_is_told_at_once(engine):
    vista = replace(profile("vista-2.3"), vista_exam="off", rules=())
    async with fed(engine, receiver=vista, critical_alert=YEARS) as (feed, receiver), feed.serving():
        await feed.sign(critical=True)
        await held(feed, "vista-patient-unknown")
        assert await codes(engine, feed) == {"message-held": 1, "critical-blocked": 1}
        assert not receiver.messages
