"""A signed report that AutoScribe cancelled stands as an open item until somebody decides (D21)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from fakes.er7_reader import all_of, field
from fakes.fed import assert_all_arrived, bodies, fed, site
from fakes.store import resource_of, rows

from gateway.ingest.control_queue import ControlWork
from gateway.runtime import clock
from gateway.store.database.facts import Controls
from gateway.store.feed.cancelled_reports import (
    ItemChanged,
    item_of,
    items_of_studies,
    leave_cancelled,
    open_items,
    withdraw_cancelled,
)
from mappings.patient.identifiers import fhir_id

NOW = 1_800_000_000_000_000


async def cancel(feed, signed, *, is_cancelled=True):
    feed.account.cancel_study(signed.study_id, is_cancelled=is_cancelled)
    await feed.tell(signed.study_id)


async def items(feed):
    return [(one.report_id, one.what, one.state, one.is_critical) for one in await open_items(feed.engine, 10)]


async def decide(feed, signed, decision=withdraw_cancelled):
    item = await item_of(feed.engine, signed.report_id)
    if decision is leave_cancelled:
        await feed.engine.do(partial(leave_cancelled, item, "seen", NOW))
        return
    about = [one for one in await items_of_studies(feed.engine, [item.study_id]) if one.what == item.what]
    about = about if item.what == "study" else [item]
    await feed.engine.do(partial(withdraw_cancelled, about, "wrong patient", NOW))
    await work(feed)


async def work(feed):
    """Do what commands asked for, as the service does within a second."""
    controls = Controls(feed.engine)
    await ControlWork(controls, feed.pipeline).work(await controls.open(10))


async def status_of(feed, signed):
    """FHIR status of a report's current version."""
    sql = (
        "SELECT v.body FROM resource r JOIN version v ON v.resource = r.number AND v.version = r.version"
        " WHERE r.address = ?"
    )
    ((body,),) = await rows(feed.engine, sql, f"DiagnosticReport/{fhir_id(signed.report_id)}")
    return resource_of(body)["status"]


async def test_a_study_that_is_cancelled_after_it_was_signed_opens_an_item_and_sends_nothing(engine):
    async with fed(engine) as (feed, receiver), feed.serving():
        signed = await feed.sign(critical=True)
        await feed.until("delivered")
        assert await items(feed) == []
        await cancel(feed, signed)
        assert await items(feed) == [(signed.report_id, "study", "open", True)]
        assert await status_of(feed, signed) == "final"
        await feed.sign(critical=False)
        await feed.until("delivered", "delivered")
        assert [field(one, "OBR-25") for one in bodies(receiver)] == ["F", "F"]


async def test_what_an_operator_withdraws_is_withdrawn_in_fhir_and_at_every_receiver(engine):
    async with fed(engine, count=2) as (feed, receivers), feed.serving():
        signed = await feed.sign(critical=False)
        await feed.until("delivered", "delivered")
        await cancel(feed, signed)
        await decide(feed, signed)
        await feed.until(*["delivered"] * 4)
        assert await status_of(feed, signed) == "entered-in-error"
        assert await items(feed) == []
        for name, receiver in zip(("ehr", "ehr2"), receivers, strict=True):
            assert [field(one, "OBR-25") for one in bodies(receiver)] == ["F", "C"]
            assert {row[11] for row in all_of(bodies(receiver)[1], "OBX")} == {"W"}
            await assert_all_arrived(feed, receiver, name=name)
        await cancel(feed, signed)
        assert await items(feed) == []
        await cancel(feed, signed, is_cancelled=False)
        await feed.until(*["delivered"] * 6)
        assert await status_of(feed, signed) == "final"
        assert {row[11] for row in all_of(bodies(receivers[0])[2], "OBX")} == {"C"}
        await cancel(feed, signed)
        assert [state for _, _, state, _ in await items(feed)] == ["open"]


async def test_a_withdrawal_is_open_until_the_service_has_taken_it_up(engine):
    async with fed(engine) as (feed, _):
        signed = await feed.sign(critical=False)
        await cancel(feed, signed)
        item = await item_of(feed.engine, signed.report_id)
        await feed.engine.do(partial(withdraw_cancelled, [item], "wrong patient", NOW))
        assert [state for _, _, state, _ in await items(feed)] == ["withdrawing"]
        await work(feed)
        assert await items(feed) == []


async def test_what_is_left_stays_left_until_the_report_is_another_version_or_cancelled_anew(engine):
    async with fed(engine) as (feed, receiver), feed.serving():
        signed = await feed.sign(critical=False)
        await feed.until("delivered")
        await cancel(feed, signed)
        await decide(feed, signed, leave_cancelled)
        await cancel(feed, signed)
        assert await items(feed) == []
        feed.account.change_text(signed.report_id, "FINDINGS: Another text.")
        await feed.tell(signed.study_id)
        assert [state for _, _, state, _ in await items(feed)] == ["open"]
        await feed.until("delivered", "delivered")
        await decide(feed, signed, leave_cancelled)
        await cancel(feed, signed, is_cancelled=False)
        assert await item_of(feed.engine, signed.report_id) is None
        await cancel(feed, signed)
        assert [state for _, _, state, _ in await items(feed)] == ["open"]
        assert [field(one, "OBR-25") for one in bodies(receiver)] == ["F", "C"]


async def test_nothing_is_decided_about_a_version_that_nobody_saw(engine):
    async with fed(engine) as (feed, _):
        signed = await feed.sign(critical=False)
        await cancel(feed, signed)
        seen = await item_of(feed.engine, signed.report_id)
        feed.account.change_text(signed.report_id, "FINDINGS: Another text.")
        await feed.tell(signed.study_id)
        for decision in (partial(leave_cancelled, seen), partial(withdraw_cancelled, [seen])):
            with pytest.raises(ItemChanged):
                await feed.engine.do(partial(decision, "seen", NOW))
        assert await rows(feed.engine, "SELECT 1 FROM audit") == []
        assert [state for _, _, state, _ in await items(feed)] == ["open"]


async def gone(feed, signed, addendum, *, is_back=False):
    """AutoScribe lists a study's addendum no longer, or again."""
    before = feed.account.reports[signed.study_id]
    kept = tuple(one for one in before if one["reportId"] != addendum.report_id)
    feed.account.reports[signed.study_id] = feed.hidden if is_back else kept
    feed.hidden = before
    feed.account._put_study(signed.study_id)
    await feed.tell(signed.study_id)


@pytest.mark.parametrize("policy", ["hold", "withdraw"])
async def test_an_addendum_that_is_cancelled_never_revives_its_original_unasked(engine, policy):
    async with fed(engine) as (feed, receiver):
        feed.restart(replace(site(), on_cancelled_after_sign=policy))
        async with feed.serving():
            signed = await feed.sign(critical=False)
            addendum = await feed.add(signed)
            await feed.all_delivered()
            sent = len(bodies(receiver))
            await gone(feed, signed, addendum)
            assert await items(feed) == [(addendum.report_id, "report", "open", False)]
            await feed.sign(critical=False)
            await feed.all_delivered()
            assert len(bodies(receiver)) == sent + 1
            await decide(feed, addendum)
            await feed.all_delivered()
            last = bodies(receiver)[-1]
            assert (field(last, "OBR-25"), len(bodies(receiver))) == ("C", sent + 2)
            assert {row[11] for row in all_of(last, "OBX")} == {"C"}
            assert await status_of(feed, addendum) == "entered-in-error"
            assert await items(feed) == []


async def test_an_addendum_that_is_listed_again_closes_its_item(engine):
    async with fed(engine) as (feed, _):
        signed = await feed.sign(critical=False)
        addendum = await feed.add(signed)
        await gone(feed, signed, addendum)
        assert await items(feed) == [(addendum.report_id, "report", "open", False)]
        await gone(feed, signed, addendum, is_back=True)
        assert await items(feed) == []


async def test_reports_of_which_none_is_listed_are_not_visible_and_not_cancelled(engine):
    async with fed(engine) as (feed, _):
        signed = await feed.sign(critical=False)
        await feed.add(signed)
        feed.account.reports[signed.study_id] = ()
        await feed.tell(signed.study_id)
        assert await items(feed) == []


async def test_an_addendum_signed_to_a_withdrawn_study_is_an_item_of_its_own(engine):
    async with fed(engine) as (feed, receiver), feed.serving():
        signed = await feed.sign(critical=False)
        await cancel(feed, signed)
        await decide(feed, signed)
        await feed.all_delivered()
        sent = len(bodies(receiver))
        addendum = await feed.add(signed)
        assert await items(feed) == [(addendum.report_id, "study", "open", False)]
        await feed.sign(critical=False)
        await feed.all_delivered()
        assert len(bodies(receiver)) == sent + 1


async def test_an_item_stays_open_where_the_site_withdraws_by_itself_from_then_on(engine):
    async with fed(engine) as (feed, receiver), feed.serving():
        signed = await feed.sign(critical=False)
        await feed.until("delivered")
        await cancel(feed, signed)
        feed.restart(replace(site(), on_cancelled_after_sign="withdraw"))
        feed.account.change_study(signed.study_id, studyDescription="Another one")
        await feed.tell(signed.study_id)
        assert await items(feed) == [(signed.report_id, "study", "open", False)]
        other = await feed.sign(critical=False)
        await feed.until("delivered", "delivered")
        await cancel(feed, other)
        assert [report_id for report_id, *_ in await items(feed)] == [signed.report_id]
        await decide(feed, signed)
        await feed.until(*["delivered"] * 4)
        assert await items(feed) == []
        assert [field(one, "OBR-25") for one in bodies(receiver)] == ["F", "F", "C", "C"]


async def test_of_more_than_five_withdrawals_within_an_hour_the_next_one_waits_for_an_operator(engine, monkeypatch):
    async with fed(engine) as (feed, receiver):
        feed.restart(replace(site(), on_cancelled_after_sign="withdraw"))
        async with feed.serving():
            signed = [await feed.sign(critical=False) for _ in range(9)]
            await feed.all_delivered()
            for one in signed[:7]:
                feed.account.cancel_study(one.study_id, is_cancelled=True)
            await asyncio.gather(*(feed.tell(one.study_id) for one in signed[:7]))
            await feed.all_delivered()
            waiting = [report_id for report_id, _, state, _ in await items(feed) if state == "open"]
            assert len(waiting) == 2 and [field(one, "OBR-25") for one in bodies(receiver)[9:]] == ["C"] * 5
            for one in signed[:7]:
                kept = "final" if one.report_id in waiting else "entered-in-error"
                assert await status_of(feed, one) == kept
                feed.account.change_study(one.study_id, studyDescription="Another one")
                await feed.tell(one.study_id)
                assert await status_of(feed, one) == kept
            await decide(feed, next(one for one in signed if one.report_id == waiting[0]))
            await feed.all_delivered()
            assert [one for one, *_ in await items(feed)] == [waiting[1]]
            assert [field(one, "OBR-25") for one in bodies(receiver)[9:]] == ["C"] * 6
            at = clock.now() + timedelta(hours=1)
            monkeypatch.setattr(clock, "now", lambda: at)
            await cancel(feed, signed[7])
            assert await status_of(feed, signed[7]) == "entered-in-error"
            assert [one for one, *_ in await items(feed)] == [waiting[1]]


async def test_a_study_that_was_signed_and_cancelled_when_it_was_first_read_is_no_withdrawal(engine):
    async with fed(engine) as (feed, _):
        feed.restart(replace(site(), on_cancelled_after_sign="withdraw"))
        for _ in range(7):
            signed = feed.account.sign_new(critical=False)
            feed.account.cancel_study(signed.study_id, is_cancelled=True)
            await feed.tell(signed.study_id)
            assert await status_of(feed, signed) == "entered-in-error"
        assert await items(feed) == []
        assert await rows(feed.engine, "SELECT 1 FROM fact WHERE name = 'withdrawals'") == []
