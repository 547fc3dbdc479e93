"""An operator's verdict applies to the persons judged, and to no others (D12)."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial

import pytest
from fakes.er7_reader import field
from fakes.fed import bodies, fed
from fakes.store import rows

from gateway.feed.alerts.monitor import AlertMonitor
from gateway.settings.feed import Feed
from gateway.store.database.engine import Statement, ask
from gateway.store.database.facts import actor
from gateway.store.studies import identities

AT = datetime(2026, 1, 5, tzinfo=UTC)
MRN = "SBXGEN-4711-0815"
JANE = {
    "facilityName": "Sandbox General Hospital",
    "mrn": MRN,
    "patientName": "Jane Doe",
    "dateOfBirth": "1985-07-20",
    "sex": "female",
}
JOAN = {**JANE, "patientName": "Joan Doe"}
ANOTHER_JOAN = {**JOAN, "dateOfBirth": "1931-01-31"}
PETER = {**JANE, "patientName": "Peter Smith", "dateOfBirth": "1950-01-01", "sex": "male"}
HELD = "SELECT report_id, reason FROM outbox WHERE state = 'held' ORDER BY number"
UNJUDGED = Statement("UPDATE verdict SET judged = ''")


async def sign(feed, said, *, critical=False):
    signed = feed.account.sign_new(critical=critical)
    await change(feed, signed, said)
    return signed


async def change(feed, signed, said):
    feed.account.change_patient(signed.report_id, said)
    await feed.tell(signed.study_id)


async def add(feed, signed, said, *, critical=False):
    added = feed.account.sign(feed.account.open_addendum(signed.report_id))
    feed.account.find_report(added.report_id)["isCritical"] = critical
    await change(feed, added, said)
    return added


async def decide(feed, patient_id, study_id, verdict="link"):
    assert await identities.decide(feed.engine, patient_id, study_id, verdict, "asked", AT)
    await feed.pipeline.refresh(study_id)


async def listed(feed, study_id):
    return {(one.patient_id, one.state) for one in await identities.every(feed.engine) if one.study_id == study_id}


async def held(feed, *signed):
    found = await feed.until_rows(HELD, lambda found: len(found) == len(signed))
    assert [one for one, _ in found] == [one.report_id for one in signed]
    return [reason for _, reason in found]


async def alerts(feed):
    said = await AlertMonitor(feed.engine, feed.destinations, Feed(), "one", feed.metrics).once()
    return {alert.code: alert.count for alert in said}


@asynccontextmanager
async def decided(engine, verdict="link"):
    """Send Jane's study, and after a verdict Joan's, which names the same number; return the feed."""
    async with fed(engine, on_conflict="hold") as (feed, receiver), feed.serving():
        first = await sign(feed, JANE)
        await feed.until("delivered")
        second = await sign(feed, JOAN)
        await held(feed, second)
        ((patient_id,),) = await rows(engine, "SELECT patient_id FROM conflict")
        await decide(feed, patient_id, second.study_id, verdict)
        await feed.until("delivered", "delivered")
        yield feed, receiver, first, second, patient_id


async def test_a_verdict_stands_in_the_audit_with_its_reason_and_who_decided(engine):
    async with decided(engine, "separate") as (_, _, _, second, patient_id):
        audit = 'SELECT verb, argument, reason, "user", host FROM audit'
        done = ("identity-separate", f"Patient/{patient_id} {second.study_id}", "asked", *actor())
        assert await rows(engine, audit) == [done]
        assert not await identities.decide(engine, patient_id, "stu_none", "link", "asked", AT)
        assert await rows(engine, audit) == [done]


@pytest.mark.full
@pytest.mark.parametrize("said", [ANOTHER_JOAN, PETER], ids=["birth date", "all"])
@pytest.mark.parametrize("is_judged", [True, False], ids=["judged", "not judged yet"])
async def test_a_linked_study_that_is_about_somebody_else_later_is_held_again(engine, said, is_judged):
    async with decided(engine) as (feed, receiver, _, second, patient_id):
        if not is_judged:
            await engine.do(partial(ask, UNJUDGED))
        await change(feed, second, said)
        await held(feed, second)
        assert await listed(feed, second.study_id) == {
            (patient_id, "held apart"),
            (patient_id, "link no longer counts"),
        }
        assert len(receiver.messages) == 2
        assert (await alerts(feed))["message-held"] == 1


async def test_a_verdict_that_no_longer_counts_can_be_said_anew(engine):
    async with decided(engine) as (feed, receiver, _, second, patient_id):
        await change(feed, second, ANOTHER_JOAN)
        await held(feed, second)
        await decide(feed, patient_id, second.study_id)
        await feed.until("delivered", "delivered", "delivered")
        assert field(bodies(receiver)[2], "PID-3") == f"{MRN}^^^SBXGEN^MR"
        assert await listed(feed, second.study_id) == {(patient_id, "link")}


async def test_it_counts_again_where_the_study_says_again_what_was_judged(engine):
    async with decided(engine) as (feed, _, _, second, patient_id):
        await change(feed, second, ANOTHER_JOAN)
        await held(feed, second)
        await change(feed, second, JOAN)
        await feed.until_rows(HELD, lambda found: not found)
        assert await listed(feed, second.study_id) == {(patient_id, "link")}


@pytest.mark.parametrize("verdict", ["link", "separate"])
async def test_a_verdict_counts_however_the_same_person_is_written(engine, verdict):
    async with decided(engine, verdict) as (feed, receiver, _, second, patient_id):
        await add(feed, second, {**JOAN, "patientName": "DOE^JOAN"})
        await feed.until("delivered", "delivered", "delivered")
        assert field(bodies(receiver)[2], "PID-3") == field(bodies(receiver)[1], "PID-3")
        assert (patient_id, verdict) in await listed(feed, second.study_id)


async def test_a_patient_who_is_somebody_else_than_was_judged_is_held_apart_from_the_linked_study(engine):
    async with decided(engine) as (feed, receiver, first, second, patient_id):
        await change(feed, first, {**JANE, "patientName": "Mary Doe"})
        await held(feed, first)
        assert await listed(feed, first.study_id) == {(patient_id, "held apart")}
        assert await listed(feed, second.study_id) == {(patient_id, "link")}
        assert len(receiver.messages) == 2


async def test_a_link_puts_no_study_in_conflict_that_is_about_the_patient_who_was_judged(engine):
    async with decided(engine) as (feed, receiver, first, _, patient_id):
        await add(feed, first, JANE)
        await sign(feed, JANE)
        await feed.until(*["delivered"] * 4)
        assert {field(body, "PID-3") for body in bodies(receiver)} == {f"{MRN}^^^SBXGEN^MR"}
        assert [one.state for one in await identities.every(engine)] == ["link"]
        third = await sign(feed, PETER)
        await held(feed, third)
        assert await listed(feed, third.study_id) == {(patient_id, "held apart")}


async def test_a_study_kept_apart_that_names_the_patient_later_is_held_and_not_joined(engine):
    async with decided(engine, "separate") as (feed, receiver, _, second, patient_id):
        await change(feed, second, JANE)
        await held(feed, second)
        assert (patient_id, "separate no longer counts") in await listed(feed, second.study_id)
        assert len(receiver.messages) == 2


async def test_a_link_lets_go_of_no_other_patient_of_the_study(engine):
    async with decided(engine) as (feed, receiver, _, second, patient_id):
        addendum = await add(feed, second, PETER, critical=True)
        assert await held(feed, addendum) == ["identity-conflict-held"]
        assert (await alerts(feed))["critical-blocked"] == 1
        ((other, state),) = await listed(feed, second.study_id) - {(patient_id, "link")}
        assert state == "contradicted"
        await decide(feed, other, second.study_id)
        await feed.until_rows(HELD, lambda found: not found)
        await feed.until("delivered", "delivered", "delivered")
        assert field(bodies(receiver)[2], "PID-5").startswith("Peter Smith")
        assert await listed(feed, second.study_id) == {(patient_id, "link"), (other, "link")}


@pytest.mark.parametrize("verdict", ["link", "separate"])
async def test_of_two_patients_of_a_study_in_conflict_with_another_each_is_decided_alone(engine, verdict):
    async with fed(engine, on_conflict="hold") as (feed, receiver), feed.serving():
        await sign(feed, JANE)
        await feed.until("delivered")
        second = await sign(feed, JOAN)
        addendum = await add(feed, second, PETER)
        await held(feed, second, addendum)
        ((patient_id,),) = await rows(engine, "SELECT patient_id FROM conflict")
        before = await listed(feed, second.study_id)
        await decide(feed, patient_id, second.study_id, verdict)
        await held(feed, addendum)
        await feed.until("delivered", "delivered")
        left = {one for one, state in before & await listed(feed, second.study_id) if state == "contradicted"}
        for left_id in left:
            await decide(feed, left_id, second.study_id)
        await feed.until("delivered", "delivered", "delivered")
        assert len({field(body, "PID-3") for body in bodies(receiver)}) == (2 if verdict == "link" else 3)


async def test_a_verdict_that_comes_while_the_study_is_looked_at_is_about_what_was_there_before(engine):
    async with fed(engine, on_conflict="hold") as (feed, receiver), feed.serving():
        await sign(feed, JANE)
        await feed.until("delivered")
        second = await sign(feed, JOAN)
        await held(feed, second)
        ((patient_id,),) = await rows(engine, "SELECT patient_id FROM conflict")
        feed.account.change_patient(second.report_id, ANOTHER_JOAN)
        ingest = feed.pipeline.ingest
        decisions = [partial(identities.decide, engine, patient_id, second.study_id, "link", "asked", AT)]

        async def while_decided(study_id, fetch):
            async def fetching():
                for decision in decisions:
                    assert await decision()
                decisions.clear()
                return await fetch()

            return await ingest(study_id, fetching)

        feed.pipeline.ingest = while_decided
        await feed.tell(second.study_id)
        await held(feed, second, second)
        assert (patient_id, "link no longer counts") in await listed(feed, second.study_id)
        assert len(receiver.messages) == 1
