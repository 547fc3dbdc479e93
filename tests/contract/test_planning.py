"""A change of settings makes a plan for earlier reports; later reports are sent at once (D31, D37)."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from fakes.fed import Fed, bodies, destination, fed
from fakes.store import rows

from gateway.feed.fate import fate_of, fate_place
from gateway.feed.plan import planner as planning
from gateway.feed.plan.counts import PlanCounts, plan_of
from gateway.feed.plan.planner import Planner, apply_plan, leave_plan, preview
from gateway.ingest.settings_in_force import SettingsInForce, wanted
from gateway.routing import Filter, Ignore, Scope
from gateway.sandbox.seed import generate
from gateway.sandbox.state import SandboxAccount
from gateway.settings.feed import Feed
from gateway.store.database.engine import Statement, ask, instant, micros
from gateway.store.feed import plans
from gateway.store.feed.alerts import WatchedDestination, feed_facts, unrouted
from gateway.store.feed.lanes import set_back
from gateway.store.feed.leases import Leases
from gateway.store.feed.ledger import dead_letters, report_records
from gateway.store.feed.plans import begun, in_force_of, plan_made, put_in_force, sent_unasked, unplanned
from gateway.store.feed.restoring import hold_destinations, pause_overriding
from gateway.store.feed.states import HOLD_FEED, RESTORED

STATES = "SELECT destination, state, reason FROM outbox ORDER BY number"
ALL = Filter()
NOWHERE = Filter(Scope(facilities=frozenset({"nowhere"})))
CAREFUL = Feed(unasked_messages=0)
UNASKED = Feed(unasked_hours=8760, unasked_critical=True)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def only_critical():
    return Filter(critical="only")


async def states(engine):
    return sorted(tuple(row) for row in await rows(engine, STATES))


def with_settings(feed, **changes):
    """Return the same feed after its settings were changed."""
    return Fed(feed.engine, feed.account, tuple(replace(one, **changes) for one in feed.destinations), logs=feed.logs)


async def planned(feed, settings=CAREFUL, ignores=()):
    """Put the settings in force, plan the earlier reports, and return the plan."""
    leases = Leases(feed.engine, "planner", 6.0)
    lease = await leases.take("ehr")
    planner = Planner(feed.engine, feed.destinations[0], ignores, settings)
    await planner.begin(lease)
    await planner.look()
    await leases.give_back(lease)
    return plan_of(await plans.plan_rows(feed.engine, "ehr"))


async def apply(feed, *, leaves=False):
    found = await plans.plan_rows(feed.engine, "ehr")
    await (leave_plan if leaves else apply_plan)(feed.engine, "ehr", found)


async def fates(feed, *signed):
    found = await report_records(feed.engine, [one.study_id for one in signed])
    ehr = feed.destinations[0]
    return [fate_of(one.report_id, found[one.study_id].reports.get(one.report_id), fate_place(ehr)) for one in signed]


async def kinds(feed, *signed):
    return [one.kind for one in await fates(feed, *signed)]


def of_later(feed):
    """Return the same feed with the account's clock after the present: reports are signed after any change."""
    world = replace(generate(studies=20, seed=7), epoch=datetime.now(UTC) + DAY)
    return replace(feed, account=SandboxAccount(world))


async def test_a_wider_filter_sends_nothing_by_itself_and_leaves_nothing_excluded(engine):
    async with fed(engine, count=2, filter=NOWHERE) as (feed, (receiver, _)):
        usual, critical = await feed.sign(critical=False), await feed.sign(critical=True)
        assert await kinds(feed, usual, critical) == ["unrouted", "unrouted"]
        other = replace(
            feed, destinations=(feed.destinations[0], replace(feed.destinations[1], filter=only_critical()))
        )
        third = await other.sign(critical=True)
        assert await kinds(feed, third) == ["excluded"]
        wider = with_settings(replace(feed, destinations=feed.destinations[:1]), filter=ALL)
        assert await planned(wider) == PlanCounts(adds=3, critical=2, oldest=(await planned(wider)).oldest)
        assert await kinds(wider, usual, critical, third) == ["planned"] * 3
        assert len(await unrouted(engine)) == 0
        assert bodies(receiver) == []
        await apply(wider)
        async with replace(other, destinations=(wider.destinations[0], other.destinations[1])).serving():
            await wider.until("delivered", "delivered", "delivered", "delivered")
        assert await kinds(wider, usual, critical, third) == ["AA"] * 3


async def test_what_is_signed_after_the_change_flows_at_once_while_the_plan_waits(engine):
    async with fed(engine, filter=NOWHERE) as (feed, receiver):
        before = await feed.sign()
        wider = with_settings(feed, filter=ALL)
        async with wider.serving(settings=CAREFUL):
            await wider.until_rows(STATES, lambda found: ("ehr", "planned", "") in map(tuple, found))
            later = of_later(wider)
            after = later.account.sign_new()
            await later.tell(after.study_id)
            await later.until("delivered")
        assert len(bodies(receiver)) == 1
        assert await kinds(later, before, after) == ["planned", "AA"]


async def test_what_is_taken_in_late_belongs_to_the_plan_unless_it_was_owed_when_it_was_signed(engine):
    async with fed(engine, filter=only_critical()) as (feed, _):
        await feed.tell()
        now = micros(datetime.now(UTC))
        wider = with_settings(feed, filter=ALL)
        await engine.do(partial(put_in_force, None, wanted(wider.destinations[0].terms, ()), now))
        late, critical = await wider.sign(critical=False), await wider.sign(critical=True)
        assert await kinds(wider, late, critical) == ["planned", "queued"]


async def test_before_the_first_lease_nothing_is_in_force_and_what_was_signed_is_the_first_plan(engine):
    feed = Fed(engine, SandboxAccount(generate(studies=20)), ())
    one = await feed.sign()
    served = replace(feed, destinations=(destination(1),))
    assert await kinds(served, one) == ["unrouted"]
    assert (await planned(served)).adds == 1
    assert await states(engine) == [("", "merged", "routed-later"), ("ehr", "planned", "")]


async def started(feed):
    """Start a process that serves the destinations, which is killed before it holds a lease."""
    await begun(feed.engine, [one.name for one in feed.destinations], datetime.now(UTC))


@pytest.mark.parametrize("is_in_force", [False, True])
async def test_what_is_signed_after_the_first_start_is_in_no_plan_however_often_that_start_is_killed(
    engine, is_in_force
):
    """A kill may come before the settings are in force, or between their commit and that of their plan."""
    unserved = Fed(engine, SandboxAccount(generate(studies=20)), ())
    earlier = await unserved.sign()
    served = replace(unserved, destinations=(destination(1),))
    await started(served)
    present = replace(unserved, account=SandboxAccount(generate(studies=20, seed=7), follows_clock=True))
    signed = [await present.sign(critical=is_critical) for is_critical in (False, True)]
    assert await kinds(served, *signed) == ["unrouted", "unrouted"]
    await started(served)
    if is_in_force:
        lease, own = await Leases(engine, "killed", 6.0).take("ehr"), wanted(served.destinations[0].terms, ())
        await engine.do(partial(put_in_force, lease, own, micros(datetime.now(UTC))))
        await Leases(engine, "killed", 6.0).give_back(lease)
        signed.append(await present.sign(critical=True))
    assert (await planned(served)).adds == 1
    assert await kinds(served, earlier) == ["planned"]
    assert set(await kinds(served, *signed)) == {"queued"}


async def test_what_was_signed_before_the_start_stands_in_the_ledger_as_that(engine):
    feed = Fed(engine, SandboxAccount(generate(studies=20)), ())
    await feed.sign()
    late = replace(feed, destinations=(destination(1, start=datetime(2199, 1, 1, tzinfo=UTC)),))
    assert await planned(late) == PlanCounts()
    assert await states(engine) == [("", "merged", "routed-later"), ("ehr", "before_start", "")]
    early = with_settings(late, start=datetime(2020, 1, 1, tzinfo=UTC))
    assert (await planned(early)).adds == 1


async def test_an_ignore_rule_that_is_added_later_clears_what_was_unrouted(engine):
    feed = Fed(engine, SandboxAccount(generate(studies=20)), (destination(1, filter=NOWHERE),))
    signed = await feed.sign()
    assert len(await unrouted(engine)) == 1
    rule = Ignore("tests", "nobody reads them", Scope(facilities=None))
    await planned(feed, ignores=(rule,))
    assert len(await unrouted(engine)) == 0
    assert await kinds(feed, signed) == ["ignored"]
    await planned(feed)
    assert len(await unrouted(engine)) == 1


@pytest.mark.parametrize("is_made", [False, True])
async def test_a_narrower_filter_stops_what_was_never_written_only_once_somebody_says_so(engine, is_made):
    async with fed(engine) as (feed, receiver):
        await feed.pause()
        signed = await feed.sign()
        if is_made:
            async with feed.serving():
                await feed.until("queued")
        narrower = with_settings(feed, filter=NOWHERE)
        await feed.resume()
        assert (await planned(narrower)).stops == 1
        assert (await fates(narrower, signed))[0].detail == "stop"
        assert bodies(receiver) == []
        await apply(narrower)
        assert (len(await unrouted(engine)), await kinds(narrower, signed)) == (1, ["unrouted"])
        assert await dead_letters(engine, "ehr") == []
        wider = with_settings(feed, filter=ALL)
        assert (await planned(wider)).adds == 1
        await apply(wider)
        async with wider.serving():
            await wider.until(*["dead_letter"] * is_made, "delivered")
        assert await kinds(wider, signed) == ["AA"]


@pytest.mark.parametrize("is_made", [False, True])
async def test_what_is_not_to_stop_after_all_goes_as_it_is_by_then(engine, is_made):
    async with fed(engine) as (feed, receiver):
        await feed.pause()
        signed = await feed.sign()
        if is_made:
            async with feed.serving():
                await feed.until("queued")
        narrower = with_settings(feed, filter=NOWHERE)
        assert (await planned(narrower)).stops == 1
        feed.account.change_text(signed.report_id, "FINDINGS: Another text.")
        await narrower.tell(signed.study_id)
        await apply(narrower, leaves=True)
        await feed.resume()
        async with narrower.serving():
            await narrower.until(*["dead_letter"] * is_made, "delivered")
        assert len(bodies(receiver)) == 1
        assert b"Another text." in bodies(receiver)[0]
        assert await dead_letters(engine, "ehr") == []


async def test_settings_that_are_taken_back_take_the_stop_back(engine):
    async with fed(engine) as (feed, receiver):
        await feed.queue(1)
        await planned(with_settings(feed, filter=NOWHERE))
        assert (await planned(with_settings(feed))) == PlanCounts()
        await feed.resume()
        async with feed.serving():
            await feed.until("dead_letter", "delivered")
        assert len(bodies(receiver)) == 1


async def with_messages(feed, **more):
    """Make an original and its addendum, with messages that wait while nothing is sent."""
    await feed.pause()
    original = await feed.sign(**more)
    addendum = await feed.add(original)
    async with feed.serving():
        await feed.until_rows("SELECT count(*) FROM outbox WHERE state = 'waiting'", lambda found: not found[0][0])
    return original, addendum


async def delivered(engine):
    """Return the ids of the reports in the delivered messages, in order."""
    found = await rows(engine, "SELECT report_ids FROM message WHERE state = 'delivered' ORDER BY number")
    return [report_id for (listed,) in found for report_id in json.loads(listed)]


@pytest.mark.full
@pytest.mark.parametrize("addendum", ["replace", "append", "new_order"])
@pytest.mark.parametrize("how", ["apply", "leave", "back"])
async def test_a_stop_gives_up_nothing_of_the_study_that_is_still_owed(engine, addendum, how):
    async with fed(engine, addendum=addendum) as (feed, _):
        original, added = await with_messages(feed, critical=True)
        final = Filter(statuses=frozenset({"final", "corrected"}))
        narrower = with_settings(feed, filter=final)
        is_alone = addendum != "replace"  # otherwise one message has both, and is sent
        assert (await planned(narrower)).stops == int(is_alone)
        assert await kinds(narrower, original, added) == ["queued", "planned" if is_alone else "queued"]
        if how == "back":
            narrower = with_settings(feed)
            assert await planned(narrower) == PlanCounts()
        else:
            await apply(narrower, leaves=how == "leave")
        await feed.resume()
        async with narrower.serving():
            await narrower.all_delivered()
        stays = how == "apply" and is_alone
        assert await kinds(narrower, original, added) == ["AA", "unrouted" if stays else "AA"]
        assert await delivered(engine) == [original.report_id, added.report_id][: 1 if stays else 2]


async def test_what_is_still_owed_of_a_study_is_sent_while_the_stop_waits(engine):
    async with fed(engine, addendum="new_order") as (feed, receiver):
        original, added = await with_messages(feed)
        narrower = with_settings(feed, filter=Filter(statuses=frozenset({"final", "corrected"})))
        await planned(narrower)
        await feed.resume()
        async with narrower.serving(settings=CAREFUL):
            await narrower.until("delivered", "dead_letter")
        assert await kinds(narrower, original, added) == ["AA", "planned"]
        await apply(narrower, leaves=True)
        async with narrower.serving():
            await narrower.until("delivered", "dead_letter", "delivered")
        assert await kinds(narrower, original, added) == ["AA", "AA"]
        assert len(bodies(receiver)) == 2


@pytest.mark.parametrize("addendum", ["replace", "append", "new_order"])
async def test_what_was_to_stop_goes_before_the_critical_addendum_that_they_are_owed(engine, addendum):
    async with fed(engine, addendum=addendum) as (feed, _):
        await feed.pause()
        original = await feed.sign(critical=False)
        async with feed.serving():
            await feed.until("queued")
        narrower = with_settings(feed, filter=only_critical())
        assert (await planned(narrower)).stops == 1
        await feed.resume()
        added = narrower.account.sign(narrower.account.open_addendum(original.report_id))
        narrower.account._put_report({**narrower.account.find_report(added.report_id), "isCritical": True})
        async with narrower.serving(settings=CAREFUL):
            await narrower.tell(original.study_id)
            await narrower.all_delivered()
        assert await kinds(narrower, original, added) == ["AA", "AA"]
        assert await delivered(engine) == [original.report_id, added.report_id]


@pytest.mark.parametrize("addendum", ["replace", "append", "new_order"])
async def test_what_a_filter_left_out_goes_before_the_critical_addendum_that_they_are_owed(engine, addendum):
    async with fed(engine, addendum=addendum, filter=only_critical()) as (feed, _):
        original = await feed.sign(critical=False)
        assert await kinds(feed, original) == ["unrouted"]
        added = feed.account.sign(feed.account.open_addendum(original.report_id))
        feed.account._put_report({**feed.account.find_report(added.report_id), "isCritical": True})
        async with feed.serving():
            await feed.tell(original.study_id)
            await feed.all_delivered()
        assert await kinds(feed, original, added) == ["AA", "AA"]
        assert await delivered(engine) == [original.report_id, added.report_id]
        assert len(await unrouted(engine)) == 0


@pytest.mark.parametrize("addendum", ["replace", "append", "new_order"])
async def test_what_an_addendum_brings_along_is_not_sent_again_with_the_plan_that_had_it(engine, addendum):
    async with fed(engine, addendum=addendum, filter=NOWHERE) as (feed, _):
        original = await feed.sign(critical=False)
        wider = with_settings(feed, filter=ALL)
        assert (await planned(wider)).adds == 1
        later = replace(wider, account=feed.account)
        feed.account.now = lambda: datetime.now(UTC) + DAY
        added = later.account.sign(later.account.open_addendum(original.report_id))
        async with later.serving(settings=CAREFUL):
            await later.tell(original.study_id)
            await later.all_delivered()
        assert await plans.plan_rows(engine, "ehr") == []
        assert await kinds(later, original, added) == ["AA", "AA"]
        assert await delivered(engine) == [original.report_id, added.report_id]


@pytest.mark.parametrize("addendum", ["replace", "append", "new_order"])
async def test_a_plan_that_adds_a_critical_addendum_adds_what_the_filter_leaves_out_before_it(engine, addendum):
    async with fed(engine, addendum=addendum, filter=NOWHERE) as (feed, _):
        original = await feed.sign(critical=False)
        added = feed.account.sign(feed.account.open_addendum(original.report_id))
        feed.account._put_report({**feed.account.find_report(added.report_id), "isCritical": True})
        await feed.tell(original.study_id)
        wider = with_settings(feed, filter=only_critical())
        plan = await planned(wider)
        assert (plan.adds, plan.critical) == (2, 1)
        await apply(wider)
        async with wider.serving():
            await wider.all_delivered()
        assert await kinds(wider, original, added) == ["AA", "AA"]
        assert await delivered(engine) == [original.report_id, added.report_id]


@pytest.mark.full
@pytest.mark.parametrize("addendum", ["replace", "append", "new_order"])
@pytest.mark.parametrize("is_made", [False, True])
async def test_what_was_decided_while_a_stop_waited_goes_with_the_study_that_an_operator_lets_go(
    engine, addendum, is_made
):
    async with fed(engine, addendum=addendum) as (feed, _):
        await feed.pause()
        original = await feed.sign(critical=False)
        if is_made:
            async with feed.serving():
                await feed.until("queued")
        narrower = with_settings(feed, filter=NOWHERE)
        await planned(narrower)
        added = await narrower.add(original)
        await apply(narrower, leaves=True)
        await feed.resume()
        async with narrower.serving():
            await narrower.all_delivered()
        assert await kinds(narrower, original, added) == ["AA", "AA"]
        assert await delivered(engine) == [original.report_id, added.report_id]
        assert len(await unrouted(engine)) == 0


async def test_whoever_was_told_of_a_study_is_told_its_correction_whatever_the_filter_says_by_then(engine):
    async with fed(engine) as (feed, receiver):
        signed = await feed.sign()
        async with feed.serving():
            await feed.until("delivered")
        narrower = with_settings(feed, filter=NOWHERE)
        assert await planned(narrower) == PlanCounts()
        feed.account.change_text(signed.report_id, "FINDINGS: Another text.")
        async with narrower.serving():
            await narrower.tell(signed.study_id)
            await narrower.until("delivered", "delivered")
        assert b"Another text." in bodies(receiver)[-1]


async def test_a_small_plan_is_applied_unasked_and_only_so_many_messages_in_all(engine):
    async with fed(engine, filter=NOWHERE) as (made, receiver):
        world = replace(generate(studies=20), epoch=datetime.now(UTC) - 4 * DAY)
        first = await (feed := replace(made, account=SandboxAccount(world))).sign(critical=False)
        wider = with_settings(feed, filter=ALL)
        limits = Feed(unasked_messages=1, unasked_hours=1000)
        async with wider.serving(settings=limits):
            await wider.until("delivered")
        assert [int(one) for (one,) in await rows(engine, "SELECT unasked FROM in_force ORDER BY number")] == [0, 1]
        second = feed.account.sign_new(critical=False)
        await wider.tell(second.study_id)
        async with wider.serving(settings=limits):
            await wider.until("delivered")
        assert await kinds(wider, first, second) == ["AA", "planned"]
        assert len(bodies(receiver)) == 1


@pytest.mark.parametrize(
    ("plan", "unasked", "limits", "is_small"),
    [
        (PlanCounts(adds=20, oldest=1), 0, Feed(), True),
        (PlanCounts(adds=21, oldest=1), 0, Feed(), False),
        (PlanCounts(adds=20, oldest=1), 1, Feed(), False),
        (PlanCounts(adds=10, stops=10, resends=1, oldest=1), 0, Feed(), False),
        (PlanCounts(adds=1, critical=1, oldest=1), 0, Feed(), False),
        (PlanCounts(stops=1, stopped_critical=1, oldest=1), 0, Feed(), False),
        (PlanCounts(adds=1, critical=1, oldest=1), 0, Feed(unasked_critical=True), True),
        (PlanCounts(adds=1, oldest=0), 0, Feed(), False),
        (PlanCounts(adds=1, oldest=0), 0, Feed(unasked_hours=48), True),
        (PlanCounts(adds=1), 0, Feed(), False),
    ],
)
def test_a_plan_is_small_by_messages_age_and_critical_results(plan, unasked, limits, is_small):
    assert plan.is_small(unasked, limits, 24 * 3_600_000_000 + 1) is is_small


async def test_nothing_is_planned_twice_and_the_same_settings_make_no_plan(engine):
    feed = Fed(engine, SandboxAccount(generate(studies=20)), (destination(1),))
    await feed.sign()
    for _ in range(2):
        assert await planned(feed) == PlanCounts()
    assert len(await rows(engine, "SELECT number FROM in_force")) == 1


async def test_a_preview_says_what_the_plan_would_be_and_writes_nothing(engine):
    async with fed(engine, filter=NOWHERE) as (feed, _):
        await feed.sign(critical=True)
        before = await states(engine)
        wider = with_settings(feed, filter=ALL)
        previewed = await preview(engine, wider.destinations[0], (), 60)
        assert await states(engine) == before
        assert previewed.plan == await planned(wider)


async def test_a_plan_that_waits_is_an_alert_and_of_each_critical_result_a_new_one(engine):
    async with fed(engine, filter=NOWHERE) as (feed, _):
        await feed.sign(critical=True)
        await feed.sign(critical=False)
        wider = with_settings(feed, filter=ALL)
        await planned(wider)
        watched = WatchedDestination("ehr", timedelta(minutes=15), timedelta(minutes=15))
        facts = await feed_facts(engine, watched, datetime.now(UTC))
        assert (len(facts.planned), len(facts.planned_critical)) == (2, 1)


@pytest.mark.full
async def test_a_study_that_cannot_be_read_holds_up_no_other(engine):
    feed = Fed(engine, SandboxAccount(generate(studies=20)), ())
    first, second = await feed.sign(), await feed.sign()
    broken = Statement("UPDATE study SET kept = :kept WHERE study_id = :study_id")
    await engine.do(lambda: ask(broken, kept=b"no zlib", study_id=min(first.study_id, second.study_id)))
    assert (await planned(replace(feed, destinations=(destination(1),)))).adds == 1


async def test_what_is_left_stays_unsent_and_is_no_open_item(engine):
    async with fed(engine, filter=NOWHERE) as (feed, receiver):
        signed = await feed.sign()
        wider = with_settings(feed, filter=ALL)
        await planned(wider)
        await apply(wider, leaves=True)
        outcome = (await fates(wider, signed))[0]
        assert (outcome.kind, outcome.is_open) == ("left", False)
        async with wider.serving():
            later = of_later(wider)
            after = later.account.sign_new()
            await later.tell(after.study_id)
            await later.until("delivered")
        assert len(bodies(receiver)) == 1


@pytest.mark.parametrize("reason", [RESTORED, HOLD_FEED])
async def test_no_plan_is_made_or_applied_while_it_is_not_known_what_was_sent(engine, reason):
    async with fed(engine) as (feed, receiver):
        await feed.queue(1)
        since = None if reason == RESTORED else 1
        await engine.do(partial(hold_destinations, ["ehr"], since, 2))
        await engine.do(lambda: ask(Statement("DELETE FROM lane")))
        await engine.do(partial(pause_overriding, ["ehr"], reason, 3))
        narrower = with_settings(feed, filter=NOWHERE)
        assert await planned(narrower, UNASKED) == PlanCounts()
        assert (await in_force_of(engine, "ehr")).planned is None
        async with narrower.serving(settings=UNASKED):
            await asyncio.sleep(0.5)
        assert await states(engine) == [("ehr", "rendered", "")]
        assert bodies(receiver) == []
        await narrower.resume()
        assert (await planned(narrower)).stops == 1


async def test_a_plan_is_applied_unasked_only_once_an_operator_has_had_the_feed_go_on(engine):
    async with fed(engine, filter=NOWHERE) as (feed, receiver):
        await feed.sign(critical=False)
        await engine.do(partial(hold_destinations, ["ehr"], None, 1))
        wider = with_settings(feed, filter=ALL)
        assert (await planned(wider, UNASKED)).adds == 1  # it is there to be inspected
        await wider.resume()
        async with wider.serving(settings=UNASKED):
            await wider.until("delivered")
        assert len(bodies(receiver)) == 1


async def test_a_plan_that_waits_gets_no_new_quota_by_another_change(engine):
    async with fed(engine, filter=NOWHERE) as (feed, _):
        first, second = await feed.sign(critical=False), await feed.sign(critical=False)
        limits = Feed(unasked_messages=1, unasked_hours=8000)
        assert (await planned(with_settings(feed, filter=ALL), limits)).adds == 2
        standing = await in_force_of(engine, "ehr")
        await engine.do(lambda: sent_unasked(standing.number, 1))
        waiting = await plans.plan_rows(engine, "ehr")
        await apply_plan(engine, "ehr", waiting[:1])
        other = with_settings(feed, filter=Filter(statuses=frozenset({"final", "addendum"})))
        assert (await planned(other, limits)).adds == 1
        assert (await in_force_of(engine, "ehr")).unasked == 1
        assert sorted(await kinds(other, first, second)) == ["planned", "queued"]


async def by_a_clock_that_is_ahead(feed):
    """Put wider settings in force as of an hour in the future; reports are signed at the present."""
    wider, later = with_settings(feed, filter=ALL), micros(datetime.now(UTC) + HOUR)
    standing = await feed.engine.do(partial(put_in_force, None, wanted(wider.destinations[0].terms, ()), later))
    await feed.engine.do(partial(plan_made, None, standing.number, later))
    return replace(wider, account=SandboxAccount(generate(studies=20, seed=7), follows_clock=True))


async def test_settings_of_a_clock_that_was_ahead_hold_up_nothing_after_a_start(engine):
    async with fed(engine, filter=NOWHERE) as (feed, receiver):
        wider = await by_a_clock_that_is_ahead(feed)
        async with wider.serving(settings=CAREFUL):
            await wider.until_rows("SELECT max(since) FROM in_force", is_past)
            await wider.sign(critical=True)
            await wider.until("delivered")
        assert len(bodies(receiver)) == 1


@pytest.mark.parametrize("is_made", [False, True])
async def test_what_may_have_been_sent_is_never_stopped_by_a_plan_and_its_correction_is_owed(engine, is_made):
    async with fed(engine) as (feed, receiver):
        await feed.pause()
        signed = await feed.sign(critical=False)
        if is_made:
            async with feed.serving():
                await feed.until("queued")
        await engine.do(partial(hold_destinations, ["ehr"], 1, 2))
        await feed.resume()
        narrower = with_settings(feed, filter=NOWHERE)
        assert await planned(narrower, UNASKED) == PlanCounts()
        feed.account.change_text(signed.report_id, "FINDINGS: Another text.")
        await narrower.tell(signed.study_id)
        async with narrower.serving(settings=UNASKED):
            await asyncio.sleep(0.5)
            assert bodies(receiver) == []
            await narrower.release(signed.study_id)
            await narrower.all_delivered()
        assert b"Another text." in bodies(receiver)[-1]


async def test_a_stop_that_waited_in_the_copy_is_not_done_while_its_study_may_have_been_sent(engine):
    async with fed(engine) as (feed, _):
        await feed.queue(1)
        narrower = with_settings(feed, filter=NOWHERE)
        assert (await planned(narrower)).stops == 1
        await engine.do(partial(hold_destinations, ["ehr"], 1, 2))
        await feed.resume()
        assert (await planned(narrower, UNASKED)).stops == 1
        assert [one[1] for one in await states(engine)] == ["to_stop"]


async def test_settings_of_a_clock_that_was_ahead_count_as_of_now_before_that_is_mended(engine):
    async with fed(engine, filter=NOWHERE) as (feed, _):
        wider = await by_a_clock_that_is_ahead(feed)
        signed = await wider.sign()  # a moment ahead of this clock
        assert await kinds(wider, signed) == ["queued"]
        before = await replace(wider, account=feed.account).sign()
        assert await kinds(wider, before) == ["planned"]


async def test_settings_of_a_clock_that_is_set_back_are_in_force_since_the_same_instant(engine):
    async with fed(engine, filter=NOWHERE) as (feed, _):
        wider = await by_a_clock_that_is_ahead(feed)
        now, hour = micros(datetime.now(UTC)), HOUR // timedelta(microseconds=1)
        current = SettingsInForce(engine)
        await current.current()
        lease = await Leases(engine, "one", 6.0).take("ehr")
        await engine.do(partial(set_back, lease, hour + 5, now))
        assert is_past(await rows(engine, "SELECT max(since) FROM in_force"))
        assert (await current.current()).since("ehr") == instant((await in_force_of(engine, "ehr")).since)
        signed = await wider.sign()
        assert await kinds(wider, signed) == ["queued"]


def is_past(found):
    return int(found[0][0]) <= micros(datetime.now(UTC))


async def out_of_memory(*_args):
    raise MemoryError


async def test_a_study_that_could_not_be_planned_is_an_alert_and_planned_later(engine, monkeypatch):
    async with fed(engine, count=2, filter=NOWHERE) as (made, _):
        wide = replace(made.destinations[1], filter=ALL)
        feed = replace(made, destinations=(made.destinations[0], wide))
        signed = await feed.sign(critical=True)
        wider = replace(feed, destinations=(replace(feed.destinations[0], filter=ALL), wide))
        watched = WatchedDestination("ehr", timedelta(minutes=15), timedelta(minutes=15))
        with monkeypatch.context() as patched:
            patched.setattr(planning, "plan_change", out_of_memory)
            assert await planned(wider) == PlanCounts()
            assert await unplanned(engine, "ehr") == {signed.study_id}
            assert list((await feed_facts(engine, watched, datetime.now(UTC))).planned.values()) == [signed.study_id]
        assert await kinds(wider, signed) == ["excluded"]
        assert (await planned(wider)).critical == 1  # as after a start with the same settings
        assert await kinds(wider, signed) == ["planned"]
        assert await unplanned(engine, "ehr") == frozenset()


async def test_a_study_that_could_not_be_planned_is_tried_again_without_a_start(engine, monkeypatch):
    async with fed(engine, filter=NOWHERE) as (feed, _):
        await feed.sign(critical=True)
        wider = with_settings(feed, filter=ALL)
        monkeypatch.setattr(planning, "_AGAIN", 0.0)
        lease = await Leases(engine, "planner", 6.0).take("ehr")
        planner = Planner(engine, wider.destinations[0], (), CAREFUL)
        with monkeypatch.context() as patched:
            patched.setattr(planning, "plan_change", out_of_memory)
            await planner.begin(lease)
            await planner.look()
            assert plan_of(await plans.plan_rows(engine, "ehr")) == PlanCounts()
        await planner.look()
        assert plan_of(await plans.plan_rows(engine, "ehr")).critical == 1


async def test_an_addendum_brings_along_the_report_that_an_operator_left(engine):
    async with fed(engine, addendum="new_order") as (feed, _):
        original = await feed.sign(critical=False)
        await engine.do(lambda: ask(Statement("UPDATE outbox SET state = 'left', settled = 1")))
        assert await kinds(feed, original) == ["left"]
        added = await feed.add(original)
        async with feed.serving():
            await feed.all_delivered()
        assert await kinds(feed, original, added) == ["AA", "AA"]
        assert set(await delivered(engine)) == {original.report_id, added.report_id}
