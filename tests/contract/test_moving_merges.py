"""Reports that move since a merge, by themselves or after an operator's act, where the receiver follows none itself.

HL7 v2.5.1 §3.6.2.1 (the old number is never referenced in future transactions), §3.3.40 (A40), decisions D13, D38, D48.
A scenario is what happens, step by step, and what the receiver was told: patient number, OBX-11, and the order if any.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple

import pytest
from fakes.bringing import bringing
from fakes.composed import composing
from fakes.er7_reader import all_of, field
from fakes.fed import assert_all_arrived, bodies, site
from fakes.hospital_source import Hospital, hl7, hospital_source, msh, ordering
from fakes.moving import (
    HELD,
    LAST,
    NEW,
    OLD,
    OTHER,
    PERSON,
    SOMEBODY_ELSE,
    SYSTEM,
    Ward,
    chart,
    matching,
    number,
    pat,
    told,
    ward,
)
from fakes.scale import EITHER_STORE
from fakes.store import rows

from gateway.feed.fate import fate_of, fate_place
from gateway.feed.plan.planner import plan_change
from gateway.ingest import Pipeline
from gateway.ingest.orders.apply_loop import Applying
from gateway.ingest.orders.inbox import source_listener
from gateway.ingest.orders.rekeying import OrderKeys
from gateway.ingest.orders.sources import authority_of
from gateway.ingest.settings_in_force import SettingsInForce
from gateway.routing import Filter, Routes, Scope
from gateway.runtime import clock
from gateway.runtime.loops import alongside
from gateway.store.database.engine import micros
from gateway.store.feed.alerts import WatchedDestination, feed_facts
from gateway.store.feed.ledger import report_records
from gateway.store.feed.order_news import open_news, settle_news
from gateway.store.feed.plans import plan_input
from gateway.store.studies.identities import decide
from mappings.hospital.authorities import Authorities
from mappings.profile import Rule, parse_site
from mappings.profile import receiver as profile
from mappings.profile.rule import place_of

WRONG_SITE = """
[[mapping.facilities]]
name = "General"
name_order = "given_family"
mrn_system = "urn:oid:1.2.11"
mrn_namespace = "SBXGEN"
"""
WATCHED = WatchedDestination("ehr", timedelta(1), timedelta(1))


def never(code):
    """Make a receiver to which no text of this OBX-11 may go."""
    return replace(profile("generic"), rules=(Rule("no", "block", "no", place_of("OBX-11"), "not_be_one_of", (code,)),))


FINALS = replace(Filter(), statuses=frozenset({"final"}))
MOVING = {"merge": "move", "on_conflict": "hold"}
LATE = {"late_match": "withdraw_restate"}
# A report that was merged before `merge = "move"` waits, since its order has come
WAITING = "sign; merge; restart merge=move; order; held merge-move; "

pytestmark = pytest.mark.parametrize("engines", EITHER_STORE, indirect=True)


class Scenario(NamedTuple):
    """A script, the settings of the destination, and all that it was told about each order number."""

    script: str
    told: tuple[str, ...]
    settings: dict[str, object] = MOVING
    is_long: bool = False


SCENARIOS = {
    "five reports move by themselves and six wait for an operator": Scenario(
        "sign old 5; merge; sign last 6; merge last new; held merge-move 6; release",
        ("old F, old W, new C",) * 5 + ("last F, last W, new C",) * 6,
    ),
    "a message that still waits is replaced and nothing goes under the old number": Scenario(
        "pause; sign; merge; messages superseded queued; resume", ("new F",)
    ),
    "a message that waits is replaced where messages add to each other too": Scenario(
        "sign; pause; add; merge; messages delivered superseded queued queued; resume",
        ("old F, old W, new C",),
        {**MOVING, "addendum": "append"},
        is_long=True,
    ),
    "a merge before the first message moves nothing": Scenario("record; sign; refresh", ("new F",)),
    "a merge that was in doubt for a while holds nothing that moved before": Scenario(
        "sign old 6; merge; held merge-move 6; release; doubt; unchanged; settle; unchanged; correct 1",
        ("old F, old W, new C",) * 5 + ("old F, old W, new C, new C corrected",),
    ),
    "a report and its addendum that moved stay where they are after a doubt": Scenario(
        "sign; add; merge; doubt; unchanged; settle; unchanged", ("old F, old C, old W, new C",)
    ),
    "a report and its addendum that were added and moved stay where they are after a doubt": Scenario(
        "sign; add; merge; doubt; unchanged; settle; unchanged",
        ("old F, old F, old W, new C",),
        {**MOVING, "addendum": "append"},
        is_long=True,
    ),
    "a report that was sent under the old number during a doubt moves after it": Scenario(
        "sign; merge; doubt; sign; doubt; settle", ("old F, old W, new C",) * 2
    ),
    "a merge after a merge moves the report once more": Scenario(
        "sign; merge; merge new last", ("old F, old W, new C, new W, last C",)
    ),
    "two merges in a chain that come together move the report once": Scenario(
        "sign; record new last; merge", ("old F, old W, last C",)
    ),
    "autoscribe saying the surviving number too moves nothing a second time": Scenario(
        "sign; record; say new; say old", ("old F, old W, new C",)
    ),
    "autoscribe saying the surviving number after the move moves nothing a second time": Scenario(
        "sign; merge; say new; say old", ("old F, old W, new C",), is_long=True
    ),
    "a merge that is held moves nothing": Scenario("sign; record old new merge-swap; refresh", ("old F",)),
    "a correction that comes with the merge goes after the withdrawal": Scenario(
        "sign; record; correct", ("old F, old W, new C corrected",)
    ),
    "an addendum and its report move together": Scenario("sign; add; merge", ("old F, old C, old W, new C",)),
    "a report of somebody else is withdrawn under the number that the receiver has": Scenario(
        "sign; merge; restart merge=move; say other; held move; release",
        ("old F, old W, other C",),
        {"merge": "follow"},
    ),
    "a moved report of somebody else is withdrawn under the number that the receiver has": Scenario(
        "sign; merge; say other; held move; release",
        ("old F, old W, new C, new W, other C",),
        {"merge": "move"},
        is_long=True,
    ),
    "another spelling of the surviving number moves nothing and holds nothing": Scenario(
        "sign lower; merge; correct; lane", ("lower F, new C corrected",)
    ),
    "nothing goes under the surviving number before the withdrawal is acknowledged": Scenario(
        "sign; refuse; merge; lane refused; accept; release", ("old F, old W, old W, new C",)
    ),
    "a row that says that nobody takes a correction stays where a merge moves nothing": Scenario(
        "sign; merge; held merge-move; release; correct; doubt; settle; outbox rendered rendered unrouted",
        ("old F, old W, new C",),
        {**MOVING, "filter": FINALS},
    ),
    "what was merged before the setting stays until it changes and then waits for an operator": Scenario(
        "sign; merge; restart merge=move; refresh; unchanged; correct; held merge-move; release",
        ("old F, old W, new C corrected",),
        {},
    ),
    "a merge that is known before a restart moves the report after it": Scenario(
        "sign; stop; merge; start", ("old F, old W, new C",), {"merge": "move"}
    ),
    "a report is not withdrawn where it could not be sent again": Scenario(
        "sign; merge; held rule-no; release; held rule-no", ("old F",), {**MOVING, "receiver": never("C")}
    ),
    "where the chart was corrected by hand the report goes without a withdrawal": Scenario(
        "sign; merge; held rule-no; release corrected", ("old F, new C",), {**MOVING, "receiver": never("W")}
    ),
    "a correction that the statuses exclude goes with the move only if an operator says so": Scenario(
        "sign; correct; merge; held merge-move; release",
        ("old F, old W, new C corrected",),
        {**MOVING, "filter": FINALS},
    ),
    "a merge while the destination is off waits for an operator once it is on": Scenario(
        "sign; disable; merge; enable; held merge-move; release", ("old F, old W, new C",), {"merge": "move"}
    ),
    "a correction of a report that waits for an operator waits with it": Scenario(
        "sign old 6; merge; held merge-move 6; correct 1; held merge-move 7; release",
        ("old F, old W, new C",) * 5 + ("old F, old W, new C corrected",),
    ),
    "nothing is sent again where the journal shows that the report moved before a restore": Scenario(
        "sign; restore moved; merge; correct", ("old F, new C corrected",)
    ),
    "a report that the journal has moves by a merge after the restore": Scenario(
        "sign; restore; merge", ("old F, old W, new C",)
    ),
    "a report that the journal has is withdrawn if it moves to somebody else after the restore": Scenario(
        "sign; restore; say other; held move; release", ("old F, old W, other C",), {"merge": "move"}
    ),
    "a report that the journal has is withdrawn from a receiver that follows merges, too": Scenario(
        "sign; restore; say other; held move; release", ("old F, old W, other C",), {"merge": "follow"}
    ),
    "a message that was given up does not move": Scenario("sign; give_up 0; merge; messages dead_letter", ("old F",)),
    "a message that was given up and may have arrived moves": Scenario(
        "sign; give_up 1; merge; messages dead_letter delivered delivered", ("old F, old W, new F",)
    ),
    "nothing waits for a destination that was retired": Scenario(
        "sign; stop; retire; merge; outbox rendered", ("old F",), {"merge": "move"}
    ),
    "a receiver that follows merges is told of the withdrawal under the surviving number": Scenario(
        "sign; merge; order", ("old F, new W, new C PL-7",), LATE
    ),
    "a report that moved by a merge is withdrawn under the surviving number": Scenario(
        "sign; merge; order", ("old F, old W, new C, new W, new C PL-7",), {"merge": "move", **LATE}
    ),
    "what was merged before the setting waits and is withdrawn under the number that was told": Scenario(
        f"{WAITING}release", ("old F, old W, new C PL-7",), LATE
    ),
    "what is released before the setting was taken back is withdrawn without the order": Scenario(
        f"{WAITING}stop; release; set merge=follow; start", ("old F, new W, new C PL-7",), LATE
    ),
    "what is released after the setting was taken back is withdrawn without the order": Scenario(
        f"{WAITING}stop; set merge=follow; release; start", ("old F, new W, new C PL-7",), LATE
    ),
    "an order that was noted before the merge is not in the withdrawal": Scenario(
        "sign; order; merge", ("old F, old W, new C PL-7",), {"merge": "move", "late_match": "note"}
    ),
    "an order that comes while the move waits is sent with it and not in the withdrawal": Scenario(
        "sign; merge; held merge-move; order; held merge-move 2; release",
        ("old F, old W, new C PL-7",),
        {"merge": "move", "filter": FINALS, **LATE},
    ),
    "an addendum that is signed meanwhile waits with its report and is not withdrawn": Scenario(
        f"{WAITING}add; held merge-move 2; release",
        ("new F PL-7", "old F, old W, new C PL-7"),
        {**LATE, "addendum": "new_order"},
    ),
    "an addendum that replaces its report waits with it": Scenario(
        f"{WAITING}add; held merge-move 2; release",
        ("old F, old W, new C PL-7",),
        {**LATE, "addendum": "replace"},
        is_long=True,
    ),
    "where the chart was corrected by hand the report goes with its order and without a withdrawal": Scenario(
        f"{WAITING}release corrected", ("old F, new C PL-7",), LATE
    ),
    "a report that moves to somebody else and waits is withdrawn without the order": Scenario(
        "sign; say other; held move; order; held move former-unknown; release", ("old F, old W, other C PL-7",), LATE
    ),
    "what was sent with the order before another report was sent without is withdrawn with it": Scenario(
        "order; sign; order gone; add; order",
        ("old F PL-7, old W PL-7, old C PL-7", "old F, old W, old C PL-7"),
        {**LATE, "addendum": "new_order"},
    ),
    "what was refused without the order is withdrawn without it": Scenario(
        "refuse; sign; lane refused; order; accept; release; messages superseded delivered delivered",
        ("old F, old W, old W, old F PL-7",),
        LATE,
    ),
}


@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(one, id=name, marks=[pytest.mark.soak] * one.is_long)  # in `make soak`
        for name, one in SCENARIOS.items()
    ],
)
async def test_a_receiver_that_follows_no_merge_is_told_where_each_report_stands(engine, scenario):
    async with ward(engine, **scenario.settings) as one:
        await one.does(scenario.script)
        assert one.lanes() == sorted(scenario.told)


async def test_a_draft_moves_too(engine):
    drafts, settings = replace(profile("generic"), send_drafts="on"), replace(site(), send_drafts=True)
    async with ward(engine, merge="move", receiver=drafts) as one:
        await one.stop()
        feed = one.feed
        feed.restart(settings)
        feed.pipeline = Pipeline(
            engine, settings, UTC, wants_pdf=False, routes=Routes(feed.destinations, draft_wait=0.0)
        )
        study_id = next(each for each, study in feed.account.studies.items() if not feed.account.reports[each])
        report_id = feed.account.start_report(study_id)
        feed.account.change_patient(report_id, {**PERSON, "mrn": OLD})
        feed.account.change_text(report_id, "FINDINGS: so far.")
        async with feed.serving():
            await feed.tell(study_id)
            await feed.until("delivered")
            await one.record()
            await feed.pipeline.refresh(study_id)
            await feed.until(*["delivered"] * 3)
            feed.account.sign(report_id)
            await feed.tell(study_id)
            await feed.until(*["delivered"] * 4)
        assert [mrn for mrn, _ in told(one.receiver)] == [OLD, OLD, NEW, NEW]
        assert [mrn for _, mrn in chart(one.receiver)] == [NEW]


async def test_another_destination_that_follows_gets_nothing_and_plans_nothing_of_it(engine):
    async with ward(engine, merge="move", count=2) as one:
        await one.stop()
        nowhere = Filter(Scope(facilities=frozenset({"Elsewhere"})))
        first, second = one.feed.destinations
        one.feed.destinations = first, replace(second, merge="follow", filter=nowhere)
        await one.start()
        await one.does("sign")
        await one.does("merge")
        assert [len(bodies(each)) for each in one.receivers] == [3, 0]
        everything = replace(one.feed.destinations[1], filter=Filter()).terms
        in_force = (await SettingsInForce(engine).current()).changed(everything, (), clock.now())
        study_id = one.signed[0][0].study_id
        change = await plan_change(engine, await plan_input(engine, "ehr2", study_id), "ehr2", in_force)
        assert (len(change.rows), change.new) == (1, [])


async def test_the_bytes_of_a_merge_move_what_both_groups_of_the_message_name(engine):
    """HL7 v2.5.1 §3.3.40: PATIENT groups of A40 repeat; each is a merge of its own."""
    authority = authority_of("SBXGEN", SYSTEM)
    his = Hospital(engine, hospital_source(authorities=(authority,), bare={}))
    his.applying = Applying(his.source, Authorities(site()), engine, his.metrics)
    pairs = ((OLD, NEW), (LAST, "SBXGEN-4711-2002"))
    groups = [part for old, new in pairs for part in (f"PID|1||{new}^^^SBXGEN^MR", f"MRG|{old}^^^SBXGEN^MR")]
    async with ward(engine, **MOVING) as one:
        await one.does("sign old 2; sign last")
        async with alongside([source_listener(his.source, engine, his.metrics).run()]):
            message = hl7(msh("ADT^A40"), "EVN|A40|20260105120000-0600", *groups)
            async with bringing((his.source.host, his.source.port), None) as sender:
                await sender.bring(message, message)
                assert [(await sender.told()).code for _ in range(2)] == ["AA", "AA"]
        assert [state for state, _ in await his.sends()] == ["applied"]
        assert sorted(await his.asked()) == sorted(signed.study_id for signed, _ in one.signed)
        await one.does("refresh")
        assert sorted(mrn for _, mrn in chart(one.receiver)) == [NEW, NEW, "SBXGEN-4711-2002"]
        await assert_all_arrived(one.feed, one.receiver)


@pytest.mark.parametrize("count", [5, 6])
async def test_a_merge_that_is_read_anew_under_changed_settings_moves_as_if_it_came_now(engine, count):
    """Up to 5 reports by themselves; with more, all wait for an operator."""
    wrong, right = [authority_of("SBXGEN", one) for one in ("urn:oid:1.2.11", SYSTEM)]
    his = Hospital(engine, hospital_source(authorities=(wrong,), bare={}))
    async with ward(engine, **MOVING) as one:
        await one.does(f"sign old {count}")
        merging = f"PID|1||{NEW}^^^SBXGEN^MR", f"MRG|{OLD}^^^SBXGEN^MR"
        message = hl7(msh("ADT^A40"), "EVN|A40|20260105120000-0600", *merging)
        his.applying = Applying(his.source, Authorities(parse_site(WRONG_SITE)), engine, his.metrics)
        await his.sends(ordering(mrn=OLD).replace(b"^^^CITY^MR", b"^^^SBXGEN^MR"), message)
        assert await his.asked() == []
        rules = replace(his.source.rules, authorities=(right,))
        await OrderKeys(engine, Authorities(site()), {"city-his": rules}).once()
        assert set(await his.asked()) == {signed.study_id for signed, _ in one.signed}
        await one.does("refresh; held merge-move 6" if count > 5 else "refresh")
        assert one.lanes() == ["old F" if count > 5 else "old F, old W, new C"] * count


async def test_the_ledger_says_that_a_report_waits_and_later_that_it_arrived(engine):
    async with ward(engine, **MOVING) as one:
        await one.does("sign old 6; merge; held merge-move 6")
        signed = one.signed[0][0]

        async def fate():
            record = (await report_records(engine, [signed.study_id]))[signed.study_id].reports[signed.report_id]
            return fate_of(signed.report_id, record, fate_place(one.feed.destinations[0]))

        assert ((await fate()).kind, (await fate()).detail) == ("held", "merge-move")
        await one.does("release")
        assert (await fate()).kind == "AA"


async def test_a_critical_report_that_waits_for_an_operator_is_known_to_the_alerts(engine):
    async with ward(engine, **MOVING) as one:
        await one.sign(critical=True)
        await one.does("sign old 5; merge; held merge-move 6")
        known = await feed_facts(engine, WATCHED, clock.now())
        assert sorted(known.held_rows.values()) == sorted(signed.study_id for signed, _ in one.signed)
        assert list(known.critical_blocked.values()) == [one.signed[0][0].study_id]


async def test_a_study_that_autoscribe_withdraws_while_its_move_waits_is_withdrawn_where_it_stands(engine):
    async with ward(engine, merge="move") as one:
        await one.stop()
        one.feed.restart(replace(site(), on_cancelled_after_sign="withdraw"))
        await one.start()
        await one.does("sign old 6; merge; held merge-move 6")
        study_id = one.signed[0][0].study_id
        one.feed.account.cancel_study(study_id)
        await one.feed.tell(study_id)
        await one.quiet()
        assert len(await rows(engine, HELD)) == 7
        await one.feed.release(study_id)
        await one.quiet()
        assert one.lanes() == ["old F"] * 5 + ["old F, old W"]


async def test_two_people_whose_numbers_are_merged_stay_where_they_are_until_an_operator_says_that_they_are_one(engine):
    async with ward(engine, **MOVING) as one:
        await one.sign("new")
        await one.sign("old", **{key: value for key, value in SOMEBODY_ELSE.items() if key != "mrn"})
        await one.quiet()
        await one.does("merge; messages delivered delivered")
        assert await decide(
            engine, pat(NEW), one.signed[1][0].study_id, "link", "asked", datetime(2026, 1, 5, tzinfo=UTC)
        )
        await one.does("refresh")
        assert one.lanes() == ["new F", "old F, old W, new C"]


async def test_an_order_that_comes_with_the_merge_is_sent_with_the_move_and_nothing_is_withdrawn_twice(engine):
    async with ward(engine, merge="move", **LATE) as one:
        await one.does("sign; order later; merge")
        assert [outcome for (outcome,) in await rows(engine, "SELECT outcome FROM order_news")] == ["restated"]
        [lane] = one.lanes()
        assert lane.removeprefix("old F, old W, new C PL-7").replace(", new C PL-7", "") == ""
        assert lane.startswith("old F, old W, new C PL-7")


async def test_a_report_that_moved_since_it_was_sent_with_its_order_is_withdrawn_with_it_once_released(engine):
    async with composing(engine, merge="move", **LATE) as here:
        one = Ward(here.feed, None)
        with matching(one):
            await one.sign()
            await made_and_sent(here)
            await one.order("later")
            await one.merge()
            await made_and_sent(here)
            [news] = await open_news(engine, "ehr")
            await engine.do(partial(settle_news, here.lease, news, "withdraw_restate", micros(clock.now())))
            await one.say("other")
            await here.once()
            assert [row for row in await here.outbox() if row[0] == "held"] == [("held", "move")] * 2
            await one.release()
            await here.once()
        assert {state for state, _ in await here.outbox()} <= {"rendered", "merged"}
        sent = [patient_and_placer(body) for body in await here.bodies()]
        assert sent[:4] == [(OLD, "F", ""), (OLD, "W", ""), (NEW, "C", "PL-7"), (NEW, "W", "PL-7")]
        assert set(sent[4:]) == {(OTHER, "C", "PL-7")}


async def made_and_sent(here):
    """Compose what waits, and have all of it delivered."""
    await here.once()
    while heads := await here.claimed():
        await here.settled(heads)


def patient_and_placer(body):
    """Return the patient number of a message, the OBX-11 of its texts, and its placer order number."""
    codes = "".join(sorted({row[11] for row in all_of(body, "OBX")}))
    return number(body), codes, field(body, "OBR-2").partition("^")[0]
