"""A study in conflict about its patient is held, alerted if critical, and sent once an operator decides (D12)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from fakes.er7_reader import field
from fakes.fed import bodies, fed
from fakes.store import rows

from gateway.feed.alerts.monitor import AlertMonitor
from gateway.settings.feed import Feed
from gateway.store.studies import identities

AT = datetime(2026, 1, 5, tzinfo=UTC)
HELD = "SELECT state, reason FROM outbox WHERE state = 'held'"
FIRST = {"facilityName": "Sandbox General Hospital", "mrn": "SBXGEN-4711-0815"}
OTHER = {**FIRST, "patientName": "Somebody Else", "dateOfBirth": "1931-01-31"}


async def sign_of(feed, said, *, critical=False):
    """Sign a report of a new study with this patient, and ingest it."""
    signed = feed.account.sign_new(critical=critical)
    feed.account.change_patient(signed.report_id, said)
    await feed.tell(signed.study_id)
    return signed


async def codes(engine, feed):
    alerts = await AlertMonitor(engine, feed.destinations, Feed(), "one", feed.metrics).once()
    return {alert.code: alert.count for alert in alerts}


async def contested(engine):
    [(patient_id,)] = await rows(engine, "SELECT patient_id FROM conflict")
    return patient_id


@pytest.mark.parametrize("verdict", ["link", "separate"])
async def test_a_study_in_conflict_is_held_until_an_operator_says_whose_it_is(engine, verdict):
    async with fed(engine, on_conflict="hold") as (feed, receiver), feed.serving():
        await sign_of(feed, FIRST)
        await feed.until("delivered")
        second = await sign_of(feed, OTHER)
        assert await feed.until_rows(HELD, bool) == [("held", "identity-conflict-held")]
        assert await codes(engine, feed) == {"message-held": 1}
        patient_id = await contested(engine)
        assert await identities.decide(engine, patient_id, second.study_id, verdict, "asked", AT)
        await feed.pipeline.refresh(second.study_id)
        await feed.until("delivered", "delivered")
        numbers = [field(body, "PID-3") for body in bodies(receiver)]
        assert numbers[0] == "SBXGEN-4711-0815^^^SBXGEN^MR"
        assert (numbers[0] == numbers[1]) is (verdict == "link")
        assert await codes(engine, feed) == {}


async def test_a_critical_result_in_conflict_is_told_at_once_and_each_new_one(engine):
    async with fed(engine, on_conflict="hold") as (feed, _), feed.serving():
        await sign_of(feed, FIRST)
        await sign_of(feed, OTHER)
        await feed.until_rows(HELD, lambda found: len(found) == 1)
        assert "critical-blocked" not in await codes(engine, feed)
        watch = AlertMonitor(engine, feed.destinations, Feed(), "one", feed.metrics)
        for count in (1, 2):
            await sign_of(feed, OTHER, critical=True)
            await feed.until_rows(HELD, lambda found, count=count: len(found) == 1 + count)
            await watch.once()
        told = [one["count"] for one in feed.logs if (one["event"], one.get("code")) == ("alert", "critical-blocked")]
        assert told == [1, 2]


async def test_where_the_destination_says_so_a_study_in_conflict_is_sent_as_another_patients(engine):
    async with fed(engine, on_conflict="send") as (feed, receiver), feed.serving():
        await sign_of(feed, FIRST)
        await sign_of(feed, OTHER)
        await feed.until("delivered", "delivered")
        numbers = [field(body, "PID-3") for body in bodies(receiver)]
        assert sorted(one.startswith("SBXGEN-4711-0815^^^SBXGEN^MR") for one in numbers) == [False, True]


async def test_a_study_about_several_people_is_listed_and_sent_once_somebody_has_seen_it(engine):
    async with fed(engine, on_conflict="hold") as (feed, receiver), feed.serving():
        signed = await sign_of(feed, FIRST)
        await feed.until("delivered")
        addendum = feed.account.sign(feed.account.open_addendum(signed.report_id))
        feed.account.change_patient(addendum.report_id, {**OTHER, "sex": "other"})
        await feed.tell(signed.study_id)
        await feed.until_rows(HELD, bool)
        listed = [one for one in await identities.every(engine) if one.state == "contradicted"]
        assert {one.study_id for one in listed} == {signed.study_id}
        assert len({one.patient_id for one in listed}) == 2
        for conflict in listed:
            assert await identities.decide(engine, conflict.patient_id, conflict.study_id, "link", "seen", AT)
        await feed.pipeline.refresh(signed.study_id)
        await feed.until("delivered", "delivered")
        assert len({field(body, "OBR-3") for body in bodies(receiver)}) == 2
        assert {one.state for one in await identities.every(engine)} == {"link"}


async def test_a_report_that_is_about_somebody_else_under_the_number_it_was_told_of_is_held_and_is_no_correction(
    engine,
):
    async with fed(engine, on_conflict="send") as (feed, receiver), feed.serving():
        signed = await sign_of(feed, FIRST)
        await feed.until("delivered")
        feed.account.change_patient(signed.report_id, {**OTHER, "sex": "other"})
        await feed.tell(signed.study_id)
        assert await feed.until_rows(HELD, bool) == [("held", "move")]
        assert await codes(engine, feed) == {"message-held": 1, "lane-held": 1}
        await feed.release(signed.study_id)
        await feed.until("delivered", "delivered")
        told = [(field(body, "OBR-25"), field(body, "PID-5")) for body in bodies(receiver)]
        assert [status for status, _ in told] == ["F", "C"]
        assert "Else" in told[1][1]


async def test_one_field_of_the_patient_that_is_corrected_is_told_as_a_correction(engine):
    async with fed(engine, on_conflict="hold") as (feed, receiver), feed.serving():
        signed = await sign_of(feed, {**FIRST, "dateOfBirth": "1970-02-28"})
        await feed.until("delivered")
        feed.account.change_patient(signed.report_id, {**FIRST, "dateOfBirth": "1970-03-28"})
        await feed.tell(signed.study_id)
        await feed.until("delivered", "delivered")
        assert [field(body, "OBR-25") for body in bodies(receiver)] == ["F", "C"]
