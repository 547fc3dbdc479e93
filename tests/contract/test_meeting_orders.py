"""A study meets its orders: HL7 v2.5.1 §4.5.3.2 (OBR-2), decisions D12, D20, D41, D48."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta

import pytest
from fakes.hospital import AUTHORITIES, MERCY, ORDERED, SITE, order, patient
from fakes.hospital_source import Hospital, ordering, visiting
from fakes.met import (
    MESSAGE,
    STUDY,
    VISIT_NUMBER,
    carry_out,
    decide,
    facts,
    issues,
    mark_sent,
    match_of,
    matching,
    merge,
    placers,
    read,
    send,
    visit,
)
from fakes.store import rows
from fakes.taken_in import current, outbox, study_id

from gateway.ingest import Pipeline
from gateway.store.database.engine import Statement, ask, micros
from gateway.store.enrichment import StoredEnrichments
from mappings.hospital.events import Visit
from mappings.model import HospitalMessageName

ONE = order(placer="P1", filler="F1", accession="A1")
TWO = order(placer="P2", filler="F2", accession="A1")
OTHER = order(placer="P3", filler="F3", accession="A2")
CANCELLED = replace(ONE, ended="cancelled", ended_at=ORDERED + timedelta(hours=1))
# All messages were made long before the present match
LATER = Statement("UPDATE message SET made = made - 7200000000")


async def test_a_study_answers_the_order_that_came_before_it(engine):
    stored = await send(engine, ONE)
    await read(matching(engine))
    assert await match_of(engine) == ("matched", "", [stored])
    found = await facts(engine)
    assert found.order_reason == ""
    assert [(one.order_number, one.placer.value, one.placer.system) for one in found.orders] == [
        (stored, "P1", "urn:oid:1.2.3")
    ]


async def test_a_study_answers_the_order_that_comes_after_it_and_no_message_is_queued_by_that(engine):
    pipeline = matching(engine)
    await read(pipeline)
    assert await match_of(engine) == ("none", "no-order", [])
    assert ((await facts(engine)).order_reason, await issues(engine)) == ("no-order", [])
    before = await outbox(engine)
    stored = await send(engine, ONE)
    assert await carry_out(engine, pipeline) == [STUDY]
    assert await match_of(engine) == ("matched", "", [stored])
    assert await outbox(engine) == before


async def test_a_study_answers_all_orders_of_a_group_also_those_of_its_other_numbers(engine):
    for one in (ONE, TWO, OTHER):
        await send(engine, one)
    await read(matching(engine), "A1,A2")
    assert await placers(engine) == ["P1", "P2", "P3"]


async def test_a_study_whose_only_number_is_the_placers_answers_the_whole_group(engine):
    for one in (ONE, TWO, OTHER):
        await send(engine, one)
    pipeline = matching(engine)
    await read(pipeline, "", text="IMPRESSION: by accession.")
    assert await match_of(engine) == ("none", "no-number", [])
    await StoredEnrichments(engine).keep("1.2.840.113619.2.55.3.1234567890", "A1", None, ORDERED)
    await pipeline.refresh(STUDY)
    assert await placers(engine) == ["P1", "P2"]


async def test_a_match_is_held_with_its_reason_which_is_an_issue_too(engine):
    await send(engine, order(placer="P1", accession="A1", about=patient("5001")))
    await read(matching(engine))
    assert await match_of(engine) == ("held", "patient-number-differs", [])
    assert (await facts(engine)).order_reason == "patient-number-differs"
    assert await issues(engine) == ["order-patient-number-differs"]


async def test_the_verdict_has_begun_when_it_was_first_given(engine):
    pipeline = matching(engine)
    await read(pipeline)
    ((since,),) = await rows(engine, "SELECT since FROM order_match")
    await pipeline.refresh(STUDY)
    assert await rows(engine, "SELECT since FROM order_match") == [(since,)]
    await send(engine, ONE)
    await carry_out(engine, pipeline)
    ((later,),) = await rows(engine, "SELECT since FROM order_match")
    assert later > since


async def test_an_order_that_is_cancelled_stays_the_studys(engine):
    stored, pipeline = await send(engine, ONE), matching(engine)
    await read(pipeline)
    await send(engine, CANCELLED, stored)
    await carry_out(engine, pipeline)
    assert await match_of(engine) == ("matched", "", [stored])
    assert [one.is_cancelled for one in (await facts(engine)).orders] == [True]


async def test_after_a_message_a_study_goes_over_to_no_other_order(engine):
    stored, pipeline = await send(engine, ONE), matching(engine)
    await send(engine, OTHER)
    await read(pipeline)
    await mark_sent(engine)
    await read(pipeline, "A2", text="IMPRESSION: two.")
    assert await match_of(engine) == ("held", "order-match-changed", [stored])
    for text in ("IMPRESSION: three.", "IMPRESSION: four."):
        await read(pipeline, "A2", text=text)
        assert (await placers(engine), (await facts(engine)).order_reason) == (["P1"], "")
        assert await issues(engine) == ["order-match-changed"]


async def test_a_hold_that_passes_lets_a_study_that_was_sent_go_over_to_no_other_order(engine):
    stored, pipeline = await send(engine, ONE), matching(engine)
    await send(engine, OTHER)
    await read(pipeline)
    await mark_sent(engine)
    await merge(engine, "4711", "5000", held="swap")
    await carry_out(engine, pipeline)
    assert await match_of(engine) == ("held", "merge-held", [])
    await engine.do(lambda: ask(LATER))
    await merge(engine, "4711", "5000")
    await carry_out(engine, pipeline)
    assert await match_of(engine) == ("matched", "", [stored])
    await read(pipeline, "A2", text="IMPRESSION: two.")
    assert await match_of(engine) == ("held", "order-match-changed", [stored])


async def test_a_study_whose_order_became_another_patients_after_it_was_sent_waits_for_a_decision(engine):
    stored, pipeline = await send(engine, ONE), matching(engine)
    await read(pipeline)
    await mark_sent(engine)
    await send(engine, replace(ONE, patient=patient("9999", family="ROE", given="MARY", born="19500101")), stored)
    await carry_out(engine, pipeline)
    assert await match_of(engine) == ("held", "patient-conflict", [])
    await engine.do(lambda: ask(LATER))
    other = await send(engine, OTHER)
    await read(pipeline, "A2", text="IMPRESSION: two.")
    assert await match_of(engine) == ("held", "order-match-changed", [])
    assert await issues(engine) == ["order-match-changed"]
    await decide(engine, "match", other)
    await pipeline.refresh(STUDY)
    assert await match_of(engine) == ("matched", "", [other])


async def test_a_message_made_before_the_study_had_its_order_ties_it_to_none(engine):
    other, pipeline = await send(engine, OTHER), matching(engine)
    await send(engine, ONE)
    await read(pipeline)
    await mark_sent(engine, timedelta(minutes=5))
    await read(pipeline, "A2", text="IMPRESSION: two.")
    assert await match_of(engine) == ("matched", "", [other])


async def test_after_a_move_to_another_patient_nothing_of_the_match_is_kept(engine):
    pipeline = matching(engine)
    await send(engine, ONE)
    await read(pipeline)
    await mark_sent(engine)
    await read(pipeline, "A2", mrn="7777001", patientName="Mary Roe", dateOfBirth="1950-01-01")
    assert await match_of(engine) == ("none", "no-order", [])
    assert await placers(engine) == []


async def test_an_operator_lets_a_study_go_or_gives_it_another_order(engine):
    await send(engine, ONE)
    other, pipeline = await send(engine, OTHER), matching(engine)
    await read(pipeline)
    await decide(engine, "match", other)
    await pipeline.refresh(STUDY)
    assert (await match_of(engine), await placers(engine)) == (("matched", "", [other]), ["P3"])
    await engine.do(lambda: ask(Statement("UPDATE order_verdict SET verdict = 'release', orders = '[]'")))
    await pipeline.refresh(STUDY)
    assert (await match_of(engine), await placers(engine)) == (("none", "released", []), [])


async def test_an_order_that_an_operator_chose_is_followed_when_it_changes(engine):
    other, pipeline = await send(engine, OTHER), matching(engine)
    await read(pipeline)
    await decide(engine, "match", other)
    await pipeline.refresh(STUDY)
    await send(engine, replace(OTHER, priority="S"), other)
    assert await carry_out(engine, pipeline) == [STUDY]
    assert [one.priority for one in (await facts(engine)).orders] == ["S"]


async def test_a_patient_number_that_gave_way_makes_study_and_order_meet(engine):
    pipeline = matching(engine)
    await send(engine, order(placer="P1", accession="A1", about=patient("5001")))
    await read(pipeline)
    await merge(engine, "5001", "4711")
    assert await carry_out(engine, pipeline) == [STUDY]
    assert await placers(engine) == ["P1"]
    assert [(one.prior, one.surviving) for one in (await facts(engine)).merged] == [("5001", "4711")]


async def test_a_merge_is_a_fact_of_a_study_without_an_order_also_the_next_link_of_its_chain(engine):
    pipeline = matching(engine)
    await read(pipeline, "")
    await merge(engine, "4711", "4712")
    assert await carry_out(engine, pipeline) == [STUDY]
    await merge(engine, "4712", "4713")
    assert await carry_out(engine, pipeline) == [STUDY]
    wanted = [("4711", "4713", "M4711"), ("4712", "4713", "M4712")]
    merged = (await facts(engine)).merged
    assert [(one.prior, one.surviving, one.message.control_id) for one in merged] == wanted
    assert {(one.system, one.type_code) for one in merged} == {("urn:oid:1.2.1", "MR")}


async def test_nothing_is_matched_by_a_number_of_a_merge_that_is_held(engine):
    pipeline = matching(engine)
    await send(engine, ONE)
    await read(pipeline)
    await merge(engine, "4711", "4712", held="swap")
    await carry_out(engine, pipeline)
    assert await match_of(engine) == ("held", "merge-held", [])
    assert (await facts(engine)).merged == ()


async def test_a_number_that_shall_give_way_to_itself_is_in_no_doubt(engine):
    stored = await send(engine, ONE)
    await merge(engine, "4711", "4711", held="same-number")
    await read(matching(engine))
    assert await match_of(engine) == ("matched", "", [stored])


async def test_the_visit_of_the_order_is_stated_as_of_the_study(engine):
    pipeline, own = matching(engine), Visit(patient_class="E", number=VISIT_NUMBER, state="open")
    await send(engine, replace(ONE, visit=own))
    await read(pipeline)
    (found,) = (await facts(engine)).orders
    assert (found.visit.patient_class, found.visit.message) == ("E", HospitalMessageName("city-his", "1"))
    later = micros(ORDERED + timedelta(hours=5))
    await visit(engine, replace(own, patient_class="I", location=("WARD",)), later)
    await visit(engine, replace(own, location=("HOME",)), micros(ORDERED + timedelta(days=9)), 2)
    assert await carry_out(engine, pipeline) == [STUDY, STUDY]
    (found,) = (await facts(engine)).orders
    assert (found.visit.patient_class, found.visit.location, found.visit.message) == ("I", ("WARD",), MESSAGE)


async def test_a_transfer_that_was_told_after_the_order_stands_though_it_was_before_it(engine):
    pipeline, his = matching(engine), Hospital(engine)
    transfer = visiting("A02", control_id="2", minute=40)  # EVN-2, then EVN-6
    told = transfer.replace(b"20260105120000-0600\r", b"20260105104000-0600||||20260105100500-0600\r")
    await his.sends(ordering(), told, ordering("XO", control_id="3", minute=30))
    await read(pipeline)
    (found,) = (await facts(engine)).orders
    assert (found.visit.location, found.visit.message.control_id) == (("ICU",), "2")
    await his.sends(ordering("XO", control_id="4", minute=50))
    await carry_out(engine, pipeline)
    (found,) = (await facts(engine)).orders
    assert (found.visit.location, found.visit.message.control_id) == (("ED", "12"), "4")


async def test_an_order_of_the_other_hospital_with_equal_numbers_changes_nothing_of_a_study(engine):
    pipeline = matching(engine)
    await read(pipeline)
    before = (await current(engine), await facts(engine), await rows(engine, "SELECT revision FROM study"))
    theirs = order(placer="P1", filler="F1", accession="A1", source=MERCY, about=patient("4711"))
    await send(engine, theirs)
    assert await carry_out(engine, pipeline) == []
    await read(pipeline)
    assert before == (await current(engine), await facts(engine), await rows(engine, "SELECT revision FROM study"))
    await read(pipeline, digit="2", facilityName="Mercy")
    assert (await placers(engine, study_id("2")), await placers(engine)) == (["P1"], [])


async def test_an_order_about_which_a_study_is_silent_changes_nothing_of_it(engine):
    pipeline = matching(engine)
    await send(engine, ONE)
    await read(pipeline)
    await send(engine, order(placer="P9", accession="A9", about=patient("6001")))
    assert await carry_out(engine, pipeline) == []


async def test_a_study_that_did_not_change_is_written_again_only_if_its_orders_did(engine):
    pipeline = matching(engine)
    stored = await send(engine, ONE)
    assert (await read(pipeline)).change is not None
    assert (await read(pipeline)).change is None
    await send(engine, replace(ONE, priority="S"), stored)
    assert (await read(pipeline)).change is not None
    assert (await read(pipeline)).change is None
    await merge(engine, "4711", "4712")
    assert (await read(pipeline)).change is not None
    assert (await read(pipeline)).change is None
    await decide(engine, "release")
    assert (await read(pipeline)).change is not None
    assert (await read(pipeline)).change is None


async def test_a_number_longer_than_a_key_can_be_is_looked_for_once(engine):
    pipeline, long = matching(engine), "A" * 400
    await send(engine, order(placer="P1", accession=long))
    assert (await read(pipeline, long, mrn="7" * 300)).change is not None
    assert (await read(pipeline, long, mrn="7" * 300)).change is None
    assert (await match_of(engine))[0] == "matched"


async def test_rendering_a_study_again_keeps_its_match(engine):
    stored, pipeline = await send(engine, ONE), matching(engine)
    await read(pipeline)
    await pipeline.rerender(STUDY)
    assert (await match_of(engine), await placers(engine)) == (("matched", "", [stored]), ["P1"])


async def test_without_a_source_nothing_is_read_or_written_of_orders_and_nothing_is_said(engine):
    await send(engine, ONE)
    await read(Pipeline(engine, SITE, UTC))
    found = await facts(engine)
    assert (found.orders, found.order_reason, found.merged) == ((), "", ())
    for table in ("study_key", "order_match"):
        assert await rows(engine, f"SELECT study_id FROM {table}") == []


async def test_an_order_too_long_before_the_study_is_of_another_time_as_the_settings_say(engine):
    await send(engine, replace(ONE, ended="completed", ended_at=ORDERED - timedelta(days=30)))
    await read(matching(engine, order_days={ONE.source.name: 20}))
    assert await match_of(engine) == ("refused", "accession-reused", [])
    assert await issues(engine) == ["order-accession-reused"]
    await read(matching(engine), text="IMPRESSION: two.")
    assert await placers(engine) == ["P1"]


def test_the_site_of_these_tests_is_that_of_its_authorities():
    assert AUTHORITIES.site is SITE


@pytest.mark.parametrize("named", [{"accession": ""}, {"placer": ""}])
async def test_a_cancel_that_another_source_sends_later_ends_the_order_of_a_study(engine, named):
    pipeline = matching(engine)
    await read(pipeline)
    his = Hospital(engine)
    await his.sends(ordering())
    await carry_out(engine, pipeline)
    assert (await match_of(engine))[0] == "matched"
    renamed = Hospital(engine, replace(his.source, order_source=replace(his.source.order_source, name="city-ris")))
    await renamed.sends(ordering("CA", control_id="2", minute=9, **named))
    await carry_out(engine, pipeline)
    assert [one.is_cancelled for one in (await facts(engine)).orders] == [True]
