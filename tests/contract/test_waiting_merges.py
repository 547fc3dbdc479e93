"""Moves since a merge that wait for an operator, or that meet a restore or another setting (D13, D38, D48).

HL7 v2.5.1 §3.6.2.1 (the old number is never referenced in future transactions), §3.3.40 (A40)
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from fakes.fed import bodies, fed, site
from fakes.in_force import always_in_force, plan_applied
from fakes.merging import knowing
from fakes.moving import HELD, NEW, OLD, PERSON, SYSTEM, merged, moving, sent, sign, told
from fakes.scale import EITHER_STORE
from fakes.store import rows

from gateway.feed.fate import fate_of, fate_place
from gateway.feed.operator.pausing import close
from gateway.routing import Filter
from gateway.runtime import clock
from gateway.store.database.engine import Statement, ask
from gateway.store.feed.alerts import WatchedDestination, feed_facts
from gateway.store.feed.ledger import report_records
from gateway.store.feed.restoring import JournaledMessage, restore_lane
from gateway.store.studies.identities import decide
from mappings.patient.identifiers import keyed_patient_id
from mappings.profile import Rule
from mappings.profile import receiver as profile
from mappings.profile.rule import place_of

OTHER = "SBXGEN-4712-0001"
SOMEBODY_ELSE = {"mrn": OTHER, "patientName": "Rick Roe", "dateOfBirth": "1931-01-31", "sex": "male"}
WATCHED = WatchedDestination("ehr", timedelta(1), timedelta(1))

pytestmark = pytest.mark.parametrize("engines", EITHER_STORE, indirect=True)


@pytest.fixture(autouse=True)
def knows():
    """Let every ingest know the merges in the store."""
    with knowing(site()):
        yield


async def test_what_was_merged_before_the_setting_stays_until_it_changes_and_then_waits_for_an_operator(engine):
    async with fed(engine) as (feed, receiver):
        async with feed.serving():
            [signed] = await sent(feed, 1)
            await merged(feed, [signed])
        feed.restart(site(), merge="move")
        async with feed.serving():
            await feed.pipeline.refresh(signed.study_id)
            await feed.until("delivered")
            feed.account.change_text(signed.report_id, "IMPRESSION: Another text.")
            await feed.tell(signed.study_id)
            await feed.until_rows(
                HELD, lambda found: [tuple(one) for one in found] == [(signed.study_id, "merge-move")]
            )
            assert await feed.states() == ["delivered"]
            await feed.release(signed.study_id)
            await feed.until(*["delivered"] * 3)
        assert told(receiver) == [(OLD, "F"), (OLD, "W"), (NEW, "C")]


async def test_nothing_is_sent_again_where_the_journal_shows_that_the_report_moved_before_a_restore(engine):
    async with moving(engine) as (feed, receiver):
        [signed] = await sent(feed, 1)
        await restored(feed, withdrawn=True)
        await merged(feed, [signed])
        await feed.until("delivered", "delivered", "delivered")
        assert told(receiver) == [(OLD, "F")]
        feed.account.change_text(signed.report_id, "IMPRESSION: Another text.")
        await feed.tell(signed.study_id)
        await feed.until(*["delivered"] * 4)
        assert told(receiver)[1:] == [(NEW, "C")]


async def test_a_report_that_the_journal_has_moves_by_a_merge_after_the_restore(engine):
    async with moving(engine) as (feed, receiver):
        [signed] = await sent(feed, 1)
        await restored(feed, withdrawn=False)
        await merged(feed, [signed])
        await feed.until("delivered", "delivered", "delivered")
        assert told(receiver) == [(OLD, "F"), (OLD, "W"), (NEW, "C")]


@pytest.mark.parametrize("merge", ["follow", "move"])
async def test_a_report_that_the_journal_has_is_withdrawn_if_it_moves_to_somebody_else_after_the_restore(engine, merge):
    async with fed(engine, merge=merge) as (feed, receiver), feed.serving():
        [signed] = await sent(feed, 1)
        await restored(feed, withdrawn=False)
        feed.account.change_patient(signed.report_id, SOMEBODY_ELSE)
        await feed.tell(signed.study_id)
        await feed.until_rows(HELD, lambda found: [tuple(one) for one in found] == [(signed.study_id, "move")])
        await feed.release(signed.study_id)
        await feed.until("delivered", "delivered", "delivered")
        assert told(receiver) == [(OLD, "F"), (OLD, "W"), (OTHER, "C")]


async def test_a_merge_that_is_known_before_a_restart_moves_the_report_after_it(engine):
    async with fed(engine, merge="move") as (feed, receiver):
        async with feed.serving():
            [signed] = await sent(feed, 1)
        await merged(feed, [signed])
        feed.restart(site())
        async with feed.serving("two"):
            await feed.until("delivered", "delivered", "delivered")
        assert told(receiver) == [(OLD, "F"), (OLD, "W"), (NEW, "C")]


async def test_the_ledger_says_that_a_report_waits_and_later_that_it_arrived(engine):
    async with moving(engine) as (feed, _):
        studies = await sent(feed, 6)
        await merged(feed, studies)
        await feed.until_rows(HELD, lambda found: len(found) == 6)
        one = studies[0]

        async def state():
            record = (await report_records(engine, [one.study_id]))[one.study_id].reports[one.report_id]
            return fate_of(one.report_id, record, fate_place(feed.destinations[0]))

        assert ((await state()).kind, (await state()).detail) == ("held", "merge-move")
        await feed.release(one.study_id)
        await feed.until(*["delivered"] * 8)
        assert (await state()).kind == "AA"


async def restored(feed, *, withdrawn):
    """Replay the journal of the one message, and of its move if there was one, as after a restore."""
    columns = "control_id, study_id, report_id, patient_id, filler_order_numbers, restates, body_hash, told"
    [(control_id, study_id, report_id, patient_id, numbers, restates, body_hash, digest)] = await rows(
        feed.engine, f"SELECT {columns} FROM message"
    )
    first = JournaledMessage(
        destination="ehr",
        study_id=study_id,
        report_id=report_id,
        kind="signed",
        control_id=control_id,
        report_ids=(report_id,),
        patient_id=patient_id,
        numbers=tuple(json.loads(numbers)),
        restates=restates,
        is_whole=True,
        is_critical=False,
        signed=1,
        body_hash=body_hash,
        told=digest,
        at=10,
        state="delivered",
        reason="",
        ack="AA",
        committed=None,
        accepted=11,
        holds="",
    )
    survivor = keyed_patient_id(SYSTEM, NEW, site())
    away = replace(first, control_id="W", kind="moved", restates=f"{restates}/{patient_id}", told="", at=12)
    again = replace(first, control_id="C", kind="patient_changed", patient_id=survivor, at=14)
    await feed.engine.do(partial(restore_lane, [first, away, again] if withdrawn else [first], 1_000))


async def test_a_report_is_not_withdrawn_where_it_could_not_be_sent_again(engine):
    final = replace(
        profile("generic"), rules=(Rule("no-c", "block", "no C", place_of("OBX-11"), "not_be_one_of", ("C",)),)
    )
    async with moving(engine, receiver=final) as (feed, receiver):
        [signed] = await sent(feed, 1)
        await merged(feed, [signed])
        await feed.until_rows(HELD, lambda found: [tuple(one) for one in found] == [(signed.study_id, "rule-no-c")])
        assert told(receiver) == [(OLD, "F")]
        await feed.release(signed.study_id)
        await feed.until_rows(HELD, lambda found: [tuple(one) for one in found] == [(signed.study_id, "rule-no-c")])
        assert told(receiver) == [(OLD, "F")]


async def test_where_the_chart_was_corrected_by_hand_the_report_goes_without_a_withdrawal(engine):
    void = replace(
        profile("generic"), rules=(Rule("no-w", "block", "no W", place_of("OBX-11"), "not_be_one_of", ("W",)),)
    )
    async with moving(engine, receiver=void) as (feed, receiver):
        [signed] = await sent(feed, 1)
        await merged(feed, [signed])
        await feed.until_rows(HELD, lambda found: [tuple(one) for one in found] == [(signed.study_id, "rule-no-w")])
        await feed.release(signed.study_id, is_corrected=True)
        await feed.until("delivered", "delivered")
        assert told(receiver) == [(OLD, "F"), (NEW, "C")]


async def test_a_correction_that_the_statuses_exclude_does_not_go_with_the_move_unless_an_operator_says_so(engine):
    finals = replace(Filter(), statuses=frozenset({"final"}))
    async with moving(engine, filter=finals) as (feed, receiver):
        [signed] = await sent(feed, 1)
        feed.account.change_text(signed.report_id, "IMPRESSION: Another text.")
        await feed.tell(signed.study_id)
        await merged(feed, [signed])
        await feed.until_rows(HELD, lambda found: [tuple(one) for one in found] == [(signed.study_id, "merge-move")])
        assert told(receiver) == [(OLD, "F")]
        await feed.release(signed.study_id)
        await feed.until(*["delivered"] * 3)
        assert told(receiver) == [(OLD, "F"), (OLD, "W"), (NEW, "C")]


async def test_a_merge_while_the_destination_is_off_waits_for_an_operator_once_it_is_on(engine):
    async with fed(engine, merge="move") as (feed, receiver):
        async with feed.serving():
            [signed] = await sent(feed, 1)
        feed.restart(site(), is_enabled=False)
        await always_in_force(engine, feed.destinations)
        await merged(feed, [signed])
        feed.restart(site(), is_enabled=True)
        await plan_applied(engine, feed.destinations[0])
        async with feed.serving():
            await feed.until_rows(
                HELD, lambda found: [tuple(one) for one in found] == [(signed.study_id, "merge-move")]
            )
            assert told(receiver) == [(OLD, "F")]
            await feed.release(signed.study_id)
            await feed.until(*["delivered"] * 3)
        assert told(receiver) == [(OLD, "F"), (OLD, "W"), (NEW, "C")]


async def test_nothing_waits_for_a_destination_that_was_retired(engine):
    async with fed(engine, merge="move") as (feed, _):
        async with feed.serving():
            [signed] = await sent(feed, 1)
        await close(engine, "ehr", "gone")
        await merged(feed, [signed])
        assert [tuple(one) for one in await rows(engine, "SELECT state FROM outbox")] == [("rendered",)]


@pytest.mark.parametrize("doubts", [0, 1])
async def test_a_message_that_was_given_up_moves_only_if_it_may_have_arrived(engine, doubts):
    given_up = Statement("UPDATE message SET state = 'dead_letter', reason = 'retired-in-doubt', doubts = :doubts")
    async with moving(engine) as (feed, receiver):
        [signed] = await sent(feed, 1)
        await engine.do(lambda: ask(given_up, doubts=doubts))
        await merged(feed, [signed])
        await feed.until("dead_letter", *["delivered"] * 2 * doubts)
        assert told(receiver) == [(OLD, "F"), (OLD, "W"), (NEW, "F")][: 1 + 2 * doubts]


@pytest.mark.full
async def test_a_correction_of_a_report_that_waits_for_an_operator_waits_with_it(engine):
    async with moving(engine) as (feed, receiver):
        studies = [await sign(feed, critical=True), *await sent(feed, 5)]
        await feed.until(*["delivered"] * 6)
        await merged(feed, studies[:1])
        await feed.until_rows(HELD, lambda found: len(found) == 1)
        known = await feed_facts(engine, WATCHED, clock.now())
        assert list(known.held_rows.values()) == list(known.critical_blocked.values()) == [studies[0].study_id]
        feed.account.change_text(studies[0].report_id, "IMPRESSION: Another text.")
        await feed.tell(studies[0].study_id)
        await feed.until_rows(
            HELD, lambda found: {str(reason) for _, reason in found} == {"merge-move"} and len(found) == 2
        )
        assert len(bodies(receiver)) == 6
        await feed.release(studies[0].study_id)
        await feed.until(*["delivered"] * 8)
        assert told(receiver)[6:] == [(OLD, "W"), (NEW, "C")]
        await merged(feed, studies[1:])
        await feed.until_rows(HELD, lambda found: len(found) == 5)


async def test_a_study_that_autoscribe_withdraws_while_its_move_waits_is_withdrawn_where_it_stands(engine):
    withdrawing = replace(site(), on_cancelled_after_sign="withdraw")
    async with fed(engine, merge="move") as (feed, receiver):
        feed.restart(withdrawing)
        async with feed.serving():
            studies = await sent(feed, 6)
            await merged(feed, studies)
            await feed.until_rows(HELD, lambda found: len(found) == 6)
            feed.account.cancel_study(studies[0].study_id)
            await feed.tell(studies[0].study_id)
            await feed.until_rows(HELD, lambda found: len(found) == 7)
            await feed.release(studies[0].study_id)
            await feed.until(*["delivered"] * 7)
        assert told(receiver)[6:] == [(OLD, "W")]


async def test_two_people_whose_numbers_are_merged_stay_where_they_are_until_an_operator_says_that_they_are_one(engine):
    async with moving(engine) as (feed, receiver):
        [other] = await sent(feed, 1, mrn=NEW)
        signed = feed.account.sign_new(critical=False)
        someone = {"patientName": "Rick Roe", "dateOfBirth": "1931-01-31", "sex": "male", "mrn": OLD}
        feed.account.change_patient(signed.report_id, {**PERSON, **someone})
        await feed.tell(signed.study_id)
        await feed.until("delivered", "delivered")
        await merged(feed, [signed, other])
        await feed.until("delivered", "delivered")
        survivor = keyed_patient_id(SYSTEM, NEW, site())
        assert await decide(engine, survivor, signed.study_id, "link", "asked", datetime(2026, 1, 5, tzinfo=UTC))
        await feed.pipeline.refresh(signed.study_id)
        await feed.until(*["delivered"] * 4)
        assert told(receiver)[2:] == [(OLD, "W"), (NEW, "C")]
