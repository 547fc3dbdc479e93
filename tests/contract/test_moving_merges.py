"""Reports that move by themselves since a merge, where the receiver does not follow merges itself (D13, D48).

HL7 v2.5.1 §3.6.2.1 (the old number is never referenced in future transactions), §3.3.40 (A40)
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC

import pytest
from fakes.bringing import bringing
from fakes.er7_reader import field
from fakes.fed import assert_all_arrived, bodies, fed, site
from fakes.hospital_source import Hospital, hl7, hospital_source, msh, ordering
from fakes.merging import knowing, merge
from fakes.moving import HELD, LAST, NEW, OLD, PERSON, SYSTEM, chart, merged, moving, sent, sign, told
from fakes.scale import EITHER_STORE
from fakes.store import rows

from gateway.feed.plan.planning import plan_change
from gateway.ingest import Pipeline
from gateway.ingest.orders.apply import Applying
from gateway.ingest.orders.inbox import source_listener
from gateway.ingest.orders.rekeying import OrderKeys
from gateway.ingest.orders.sources import authority_of
from gateway.ingest.settings_in_force import SettingsInForce
from gateway.routing import Filter, Routes, Scope
from gateway.runtime import clock
from gateway.runtime.loops import alongside
from gateway.store.feed.plans import reading
from gateway.store.orders.numbers import changes_of, let_go
from mappings.hospital.authorities import Authorities, HospitalNumber
from mappings.patient.identifiers import mrn_key
from mappings.profile import parse_site
from mappings.profile import receiver as profile

OTHER = "SBXGEN-4712-0001"
WRONG_SITE = """
[[mapping.facilities]]
name = "General"
name_order = "given_family"
mrn_system = "urn:oid:1.2.11"
mrn_namespace = "SBXGEN"
"""
SOMEBODY_ELSE = {"mrn": OTHER, "patientName": "Rick Roe", "dateOfBirth": "1931-01-31", "sex": "male"}

pytestmark = pytest.mark.parametrize("engines", EITHER_STORE, indirect=True)


@pytest.fixture(autouse=True)
def knows():
    """Let every ingest know the merges in the store."""
    with knowing(site()):
        yield


@pytest.mark.full
async def test_five_reports_move_by_themselves_and_six_wait_for_an_operator(engine):
    async with moving(engine) as (feed, receiver):
        studies = await sent(feed, 5)
        await merged(feed, studies)
        await feed.until(*["delivered"] * 15)
        assert {mrn for _, mrn in chart(receiver)} == {NEW}
        more = await sent(feed, 6, mrn=LAST)
        before = len(bodies(receiver))
        await merged(feed, more, old=LAST)
        await feed.until_rows(HELD, lambda found: len(found) == 6)
        assert {str(reason) for _, reason in await rows(engine, HELD)} == {"merge-move"}
        assert len(bodies(receiver)) == before
        for one in more:
            await feed.release(one.study_id)
        await feed.all_delivered()
        assert {mrn for _, mrn in chart(receiver)} == {NEW}
        assert len(chart(receiver)) == 11


async def test_a_message_that_still_waits_is_replaced_and_nothing_goes_under_the_old_number(engine):
    async with fed(engine, merge="move") as (feed, receiver):
        await feed.pause()
        async with feed.serving():
            signed = await sign(feed)
            await feed.until("queued")
            await merged(feed, [signed])
            await feed.until("superseded", "queued")
            await feed.resume()
            await feed.until("superseded", "delivered")
        assert told(receiver) == [(NEW, "F")]


@pytest.mark.soak
async def test_a_message_that_waits_is_replaced_where_messages_add_to_each_other_too(engine):
    async with fed(engine, merge="move", addendum="append") as (feed, receiver):
        async with feed.serving():
            [signed] = await sent(feed, 1)
            await feed.pause()
            addendum = feed.account.sign(feed.account.open_addendum(signed.report_id))
            feed.account.change_patient(addendum.report_id, {**PERSON, "mrn": OLD})
            await feed.tell(signed.study_id)
            await feed.until("delivered", "queued")
            await merged(feed, [signed])
            await feed.until("delivered", "superseded", "queued", "queued")
            await feed.resume()
            await feed.all_delivered()
        assert told(receiver) == [(OLD, "F"), (OLD, "W"), (NEW, "C")]
        assert chart(receiver) == [(field(bodies(receiver)[0], "OBR-3"), NEW)]


async def test_a_merge_before_the_first_message_moves_nothing(engine):
    async with moving(engine) as (feed, receiver):
        await merge(engine, OLD, NEW, SYSTEM)
        [signed] = await sent(feed, 1)
        await feed.pipeline.refresh(signed.study_id)
        await feed.until("delivered")
        assert told(receiver) == [(NEW, "F")]


async def doubted(feed, studies):
    """Have a second survivor of the old number held, and then set aside; ingest the studies after each."""
    await merge(feed.engine, OLD, LAST, SYSTEM, held="merge-second-survivor")
    for one in studies:
        await feed.pipeline.refresh(one.study_id)
    numbers = [HospitalNumber("patient", SYSTEM, "MR", mrn_key(OLD))]
    held = [one for one in await changes_of(feed.engine, numbers) if one.held]
    await feed.engine.do(lambda: let_go(held, inbound=0))
    for one in studies:
        await feed.pipeline.refresh(one.study_id)


@pytest.mark.full
async def test_a_merge_that_was_in_doubt_for_a_while_holds_nothing_that_moved_before(engine):
    async with moving(engine) as (feed, receiver):
        studies = await sent(feed, 6)
        await merged(feed, studies)
        await feed.until_rows(HELD, lambda found: len(found) == 6)
        for one in studies:
            await feed.release(one.study_id)
        await feed.until(*["delivered"] * 18)
        before = await rows(engine, "SELECT number FROM outbox")
        await doubted(feed, studies)
        assert await rows(engine, "SELECT number FROM outbox") == before
        feed.account.change_text(studies[0].report_id, "IMPRESSION: Another text.")
        await feed.tell(studies[0].study_id)
        await feed.until(*["delivered"] * 19)
        assert told(receiver)[-1] == (NEW, "C")


@pytest.mark.parametrize("addendum", [pytest.param("append", marks=pytest.mark.soak), "replace"])
async def test_a_report_and_its_addendum_that_moved_stay_where_they_are_after_a_doubt(engine, addendum):
    async with moving(engine, addendum=addendum) as (feed, receiver):
        [signed] = await sent(feed, 1)
        later = feed.account.sign(feed.account.open_addendum(signed.report_id))
        feed.account.change_patient(later.report_id, {**PERSON, "mrn": OLD})
        await feed.tell(signed.study_id)
        await feed.all_delivered()
        await merged(feed, [signed])
        await feed.all_delivered()
        before, count = await rows(engine, "SELECT number FROM outbox"), len(bodies(receiver))
        await doubted(feed, [signed])
        assert await rows(engine, "SELECT number FROM outbox") == before
        assert len(bodies(receiver)) == count


async def test_a_report_that_was_sent_under_the_old_number_during_a_doubt_moves_after_it(engine):
    async with moving(engine) as (feed, receiver):
        [signed] = await sent(feed, 1)
        await merged(feed, [signed])
        await feed.until(*["delivered"] * 3)
        await merge(engine, OLD, LAST, SYSTEM, held="merge-second-survivor")
        [late] = await sent(feed, 1)
        assert told(receiver)[3:] == [(OLD, "F")]
        await doubted(feed, [signed, late])
        await feed.until(*["delivered"] * 6)
        assert told(receiver)[4:] == [(OLD, "W"), (NEW, "C")]


async def test_a_merge_after_a_merge_moves_the_report_once_more(engine):
    async with moving(engine) as (feed, receiver):
        [signed] = await sent(feed, 1)
        await merged(feed, [signed])
        await feed.until(*["delivered"] * 3)
        await merged(feed, [signed], old=NEW, new=LAST)
        await feed.until(*["delivered"] * 5)
        assert told(receiver)[3:] == [(NEW, "W"), (LAST, "C")]
        assert [mrn for _, mrn in chart(receiver)] == [LAST]


async def test_two_merges_in_a_chain_that_come_together_move_the_report_once(engine):
    async with moving(engine) as (feed, receiver):
        [signed] = await sent(feed, 1)
        await merge(engine, NEW, LAST, SYSTEM)
        await merged(feed, [signed])
        await feed.until(*["delivered"] * 3)
        assert told(receiver)[1:] == [(OLD, "W"), (LAST, "C")]


@pytest.mark.parametrize("is_first", [pytest.param(False, marks=pytest.mark.soak), True])
async def test_autoscribe_saying_the_surviving_number_too_moves_nothing_a_second_time(engine, is_first):
    async with moving(engine) as (feed, receiver):
        [signed] = await sent(feed, 1)
        if not is_first:
            await merged(feed, [signed])
            await feed.until(*["delivered"] * 3)
        await merge(engine, OLD, NEW, SYSTEM)
        feed.account.change_patient(signed.report_id, {**PERSON, "mrn": NEW})
        await feed.tell(signed.study_id)
        feed.account.change_patient(signed.report_id, {**PERSON, "mrn": OLD})
        await feed.tell(signed.study_id)
        await feed.until(*["delivered"] * 3)
        assert told(receiver) == [(OLD, "F"), (OLD, "W"), (NEW, "C")]


async def test_a_merge_that_is_held_moves_nothing(engine):
    async with moving(engine) as (feed, _):
        [signed] = await sent(feed, 1)
        await merge(engine, OLD, NEW, SYSTEM, held="merge-swap")
        await feed.pipeline.refresh(signed.study_id)
        await feed.until("delivered")


async def test_a_correction_that_comes_with_the_merge_goes_after_the_withdrawal(engine):
    async with moving(engine) as (feed, receiver):
        [signed] = await sent(feed, 1)
        await merge(engine, OLD, NEW, SYSTEM)
        feed.account.change_text(signed.report_id, "IMPRESSION: Another text.")
        await feed.tell(signed.study_id)
        await feed.until(*["delivered"] * 3)
        assert told(receiver) == [(OLD, "F"), (OLD, "W"), (NEW, "C")]
        assert b"Another text" in bodies(receiver)[2]


async def test_an_addendum_and_its_report_move_together(engine):
    async with moving(engine) as (feed, receiver):
        [signed] = await sent(feed, 1)
        addendum = feed.account.sign(feed.account.open_addendum(signed.report_id))
        feed.account.change_patient(addendum.report_id, {**PERSON, "mrn": OLD})
        await feed.tell(signed.study_id)
        await feed.until("delivered", "delivered")
        await merged(feed, [signed])
        await feed.until(*["delivered"] * 4)
        assert told(receiver)[2:] == [(OLD, "W"), (NEW, "C")]


async def test_a_draft_moves_too(engine):
    drafts, settings = replace(profile("generic"), send_drafts="on"), replace(site(), send_drafts=True)
    async with fed(engine, merge="move", receiver=drafts) as (feed, receiver):
        feed.restart(settings)
        feed.pipeline = Pipeline(
            engine, settings, UTC, wants_pdf=False, routes=Routes(feed.destinations, draft_wait=0.0)
        )
        study_id = next(one for one, study in feed.account.studies.items() if not feed.account.reports[one])
        report_id = feed.account.start_report(study_id)
        feed.account.change_patient(report_id, {**PERSON, "mrn": OLD})
        feed.account.change_text(report_id, "FINDINGS: so far.")
        async with feed.serving():
            await feed.tell(study_id)
            await feed.until("delivered")
            await merge(engine, OLD, NEW, SYSTEM)
            await feed.pipeline.refresh(study_id)
            await feed.until(*["delivered"] * 3)
            feed.account.sign(report_id)
            await feed.tell(study_id)
            await feed.until(*["delivered"] * 4)
        assert [one for one, _ in told(receiver)] == [OLD, OLD, NEW, NEW]
        assert [mrn for _, mrn in chart(receiver)] == [NEW]


@pytest.mark.parametrize("is_later", [pytest.param(False, marks=pytest.mark.soak), True])
async def test_a_report_of_somebody_else_is_withdrawn_under_the_number_that_the_receiver_has(engine, is_later):
    async with fed(engine, merge="follow" if is_later else "move") as (feed, receiver):
        async with feed.serving():
            [signed] = await sent(feed, 1)
            await merged(feed, [signed])
            await feed.all_delivered()
        feed.restart(site(), merge="move")
        async with feed.serving():
            feed.account.change_patient(signed.report_id, SOMEBODY_ELSE)
            await feed.tell(signed.study_id)
            await feed.until_rows(HELD, bool)
            await feed.release(signed.study_id)
            await feed.all_delivered()
        assert told(receiver)[-2:] == [(OLD if is_later else NEW, "W"), (OTHER, "C")]
        assert [mrn for _, mrn in chart(receiver)] == [OTHER]


async def test_another_spelling_of_the_surviving_number_moves_nothing_and_holds_nothing(engine):
    async with moving(engine) as (feed, receiver):
        spelled = NEW.lower()
        [signed] = await sent(feed, 1, mrn=spelled)
        await merged(feed, [signed])
        feed.account.change_text(signed.report_id, "IMPRESSION: Another text.")
        await feed.tell(signed.study_id)
        await feed.until("delivered", "delivered")
        assert told(receiver) == [(spelled, "F"), (NEW, "C")]


async def test_nothing_goes_under_the_surviving_number_before_the_withdrawal_is_acknowledged(engine):
    async with moving(engine) as (feed, receiver):
        [signed] = await sent(feed, 1)
        receiver.ack = "ae"
        await merged(feed, [signed])
        assert await feed.held_lane() == (signed.study_id, "refused")
        assert told(receiver) == [(OLD, "F"), (OLD, "W")]
        receiver.ack = "aa"
        await feed.release(signed.study_id)
        await feed.until(*["delivered"] * 3)
        assert told(receiver)[-1] == (NEW, "C")


async def test_a_row_that_says_that_nobody_takes_a_correction_stays_where_a_merge_moves_nothing(engine):
    finals = replace(Filter(), statuses=frozenset({"final"}))
    async with moving(engine, filter=finals) as (feed, _):
        [signed] = await sent(feed, 1)
        await merged(feed, [signed])
        await feed.until_rows(HELD, lambda found: len(found) == 1)
        await feed.release(signed.study_id)
        await feed.until(*["delivered"] * 3)
        feed.account.change_text(signed.report_id, "IMPRESSION: Another text.")
        await feed.tell(signed.study_id)
        await doubted(feed, [signed])
        [(state,)] = await rows(engine, "SELECT state FROM outbox WHERE destination = ''")
        assert state == "unrouted"


async def test_another_destination_that_follows_gets_nothing_and_plans_nothing_of_it(engine):
    async with fed(engine, merge="move", count=2) as (feed, receivers):
        nowhere = Filter(Scope(facilities=frozenset({"Elsewhere"})))
        feed.destinations = feed.destinations[0], replace(feed.destinations[1], merge="follow", filter=nowhere)
        async with feed.serving():
            [signed] = await sent(feed, 1)
            await merged(feed, [signed])
            await feed.until(*["delivered"] * 3)
        assert [len(bodies(one)) for one in receivers] == [3, 0]
        everything = replace(feed.destinations[1], filter=Filter()).terms
        in_force = (await SettingsInForce(engine).current()).changed(everything, (), clock.now())
        change = await plan_change(engine, await reading(engine, "ehr2", signed.study_id), "ehr2", in_force)
        assert (len(change.rows), change.new) == (1, [])


async def test_the_bytes_of_a_merge_move_what_both_groups_of_the_message_name(engine):
    """HL7 v2.5.1 §3.3.40: PATIENT groups of A40 repeat; each is a merge of its own."""
    authority = authority_of("SBXGEN", SYSTEM)
    his = Hospital(engine, hospital_source(authorities=(authority,), bare={}))
    his.applying = Applying(his.source, Authorities(site()), engine, his.metrics)
    pairs = ((OLD, NEW), (LAST, "SBXGEN-4711-2002"))
    groups = [part for old, new in pairs for part in (f"PID|1||{new}^^^SBXGEN^MR", f"MRG|{old}^^^SBXGEN^MR")]
    async with moving(engine) as (feed, receiver):
        studies = [*await sent(feed, 2), *await sent(feed, 1, mrn=LAST)]
        async with alongside([source_listener(his.source, engine, his.metrics).run()]):
            message = hl7(msh("ADT^A40"), "EVN|A40|20260105120000-0600", *groups)
            async with bringing((his.source.host, his.source.port), None) as sender:
                await sender.bring(message, message)
                assert [(await sender.told()).code for _ in range(2)] == ["AA", "AA"]
        assert [state for state, _ in await his.sends()] == ["applied"]
        assert sorted(await his.asked()) == sorted(one.study_id for one in studies)
        for study_id in await his.asked():
            await feed.pipeline.refresh(study_id)
        await feed.until(*["delivered"] * 9)
        assert sorted(mrn for _, mrn in chart(receiver)) == [NEW, NEW, "SBXGEN-4711-2002"]
        await assert_all_arrived(feed, receiver)


@pytest.mark.full
@pytest.mark.parametrize("count", [5, 6])
async def test_a_merge_that_is_read_anew_under_changed_settings_moves_as_if_it_came_now(engine, count):
    """Up to 5 reports by themselves; with more, all wait for an operator."""
    wrong, right = [authority_of("SBXGEN", one) for one in ("urn:oid:1.2.11", SYSTEM)]
    his = Hospital(engine, hospital_source(authorities=(wrong,), bare={}))
    async with moving(engine) as (feed, receiver):
        studies = await sent(feed, count)
        message = hl7(
            msh("ADT^A40"), "EVN|A40|20260105120000-0600", f"PID|1||{NEW}^^^SBXGEN^MR", f"MRG|{OLD}^^^SBXGEN^MR"
        )
        his.applying = Applying(his.source, Authorities(parse_site(WRONG_SITE)), engine, his.metrics)
        await his.sends(ordering(mrn=OLD).replace(b"^^^CITY^MR", b"^^^SBXGEN^MR"), message)
        assert await his.asked() == []
        rules = replace(his.source.rules, authorities=(right,))
        await OrderKeys(engine, Authorities(site()), {"city-his": rules}).once()
        assert set(await his.asked()) == {one.study_id for one in studies}
        for one in studies:
            await feed.pipeline.refresh(one.study_id)
        if count > 5:
            await feed.until_rows(HELD, lambda found: [str(reason) for _, reason in found] == ["merge-move"] * count)
            assert {mrn for _, mrn in chart(receiver)} == {OLD}
        else:
            await feed.until(*["delivered"] * 15)
            assert {mrn for _, mrn in chart(receiver)} == {NEW}
