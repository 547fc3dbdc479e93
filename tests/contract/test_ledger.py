"""Commands of operators read and write the ledger of the feed, on both engines (D8, D31, D32, D35)."""

from __future__ import annotations

import json
import os
import pwd
import socket
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from fakes.charts import generic
from fakes.fed import Fed, bodies, fed, ids
from fakes.inbox import sample
from fakes.store import rows

from gateway.feed.loops import Retention
from gateway.feed.operator.replay import AsSentReplay, queue_again
from gateway.routing import Retry
from gateway.runtime import clock
from gateway.store.database.engine import Statement, ask, micros
from gateway.store.database.facts import noted
from gateway.store.feed import leases
from gateway.store.feed.lanes import FreedLane, release_lane
from gateway.store.feed.leases import Leases
from gateway.store.feed.ledger import dead_letters, report_records, stock
from gateway.store.feed.messages import NEVER
from gateway.store.feed.outbox import (
    BackloadSpan,
    Resend,
    accepted_reports,
    queue_backload,
    queue_replays,
    signed_within,
    study_of,
    undated,
)
from mappings.profile import Rule
from mappings.profile.rule import place_of

LATER = datetime(2040, 1, 1, tzinfo=UTC)
DOUBTFUL = Retry(first=0.05, cap=0.1, jitter=0.0, indeterminate_resends=1, in_flight=0.0)


def now() -> int:
    return micros(clock.now())


async def write(engine, sql: str, **values) -> None:
    await engine.do(lambda: ask(Statement(sql), **values))


async def replayed(feed: Fed, signed, priority: int = 1) -> None:
    """Send a report again as it is."""
    one = Resend(signed.study_id, signed.report_id, "v", False, priority, None)
    await feed.engine.do(partial(queue_replays, "ehr", [one], now()))


async def test_a_refused_message_is_sent_again_with_the_same_bytes_when_its_study_is_let_go(engine):
    async with fed(engine, "ae:1") as (feed, receiver), feed.serving():
        signed = await feed.sign()
        await feed.until("held")
        [lane] = (await stock(engine, "ehr", 20)).lanes
        assert (lane.study_id, lane.reason) == (signed.study_id, "refused")
        freed = await engine.do(partial(release_lane, "ehr", signed.study_id, now()))
        assert freed == FreedLane(1, 0, 0, 0, 0)
        await feed.until("delivered")
        assert len(set(bodies(receiver))) == 1
        assert (await stock(engine, "ehr", 20)).lane_count == 0


async def test_what_is_settled_is_not_counted_where_only_the_open_is_asked_for(engine):
    async with fed(engine, "ae:1") as (feed, _), feed.serving():
        signed = await feed.sign()
        await feed.until("held")
        for is_brief in (True, False):
            found = await stock(engine, "ehr", 20, is_brief=is_brief)
            assert (found.messages, found.rows) == ({"held": 1}, {} if is_brief else {"rendered": 1})
        await engine.do(partial(release_lane, "ehr", signed.study_id, now()))
        await feed.until("delivered")
        await write(engine, "UPDATE outbox SET state = 'waiting', reason = 'renamed', due = 9000000000000000")
        for is_brief in (True, False):
            found = await stock(engine, "ehr", 20, is_brief=is_brief)
            assert (found.messages, found.rows) == ({} if is_brief else {"delivered": 1}, {"waiting": 1})


async def test_what_is_in_doubt_is_sent_again_counted_anew(engine):
    async with fed(engine, "close:2", retry=DOUBTFUL) as (feed, receiver), feed.serving():
        signed = await feed.sign()
        await feed.until("indeterminate")
        while not (await stock(engine, "ehr", 20)).lane_count:
            await clock.sleep(0.02)
        assert (await stock(engine, "ehr", 20)).lanes[0].reason == "indeterminate"
        freed = await engine.do(partial(release_lane, "ehr", signed.study_id, now()))
        assert freed == FreedLane(0, 1, 0, 0, 0)
        await feed.until("delivered")
        assert await rows(engine, "SELECT doubts FROM message") == [(0,)]
        assert len(set(ids(receiver.messages))) == 1


async def test_a_message_that_a_newer_one_has_overtaken_is_not_sent_after_it(engine):
    """Check a refusal that comes late, when the newer message exists already (two-phase)."""
    async with fed(engine) as (feed, receiver):
        async with feed.serving():
            signed = await feed.sign()
            await feed.until("delivered")
            await replayed(feed, signed)
            await feed.until("delivered", "delivered")
        await write(engine, "UPDATE message SET state = 'held', closed = NULL WHERE number = 1")
        assert (await engine.do(partial(release_lane, "ehr", signed.study_id, now()))).superseded == 1
        assert await feed.states() == ["superseded", "delivered"]
        assert await rows(engine, "SELECT superseded_by FROM message WHERE number = 1") == [(2,)]
        assert len(bodies(receiver)) == 2


async def test_a_message_without_its_text_cannot_go_on_and_is_given_up(engine):
    async with fed(engine, "ae") as (feed, _):
        async with feed.serving():
            signed = await feed.sign()
            await feed.until("held")
        await write(engine, "UPDATE message SET has_body = 0")
        await write(engine, "DELETE FROM message_body")
        assert (await engine.do(partial(release_lane, "ehr", signed.study_id, now()))).given_up == 1
        [letter] = await dead_letters(engine, "ehr")
        assert (letter.reason, letter.study_id) == ("text-purged", signed.study_id)


async def test_what_may_have_arrived_about_another_patient_is_not_sent_a_second_time(engine):
    async with fed(engine) as (feed, receiver):
        async with feed.serving():
            signed = await feed.sign()
            await feed.until("delivered")
        await write(engine, "UPDATE message SET state = 'indeterminate', due = :never, closed = NULL", never=NEVER)
        hold = "INSERT INTO lane (destination, study_id, reason, since) VALUES ('ehr', :study_id, 'move', 1)"
        await write(engine, hold, study_id=signed.study_id)
        freed = await engine.do(partial(release_lane, "ehr", signed.study_id, now()))
        assert (freed.sent_again, freed.given_up) == (0, 1)
        assert await rows(engine, "SELECT state, reason FROM message") == [("dead_letter", "move")]
        assert len(bodies(receiver)) == 1


async def test_rows_of_which_no_message_was_made_wait_again(engine):
    async with fed(engine) as (feed, _):
        signed = await feed.sign()
        await write(engine, "UPDATE outbox SET state = 'held', reason = 'move', is_move = 1, settled = 1")
        assert (await stock(engine, "ehr", 20)).held_for == {"move": 1}
        assert (await engine.do(partial(release_lane, "ehr", signed.study_id, now()))).waiting == 1
        assert await rows(engine, "SELECT state, reason, is_move, settled FROM outbox") == [("waiting", "", 2, None)]


async def test_where_nothing_is_held_nothing_is_let_go(engine):
    async with fed(engine) as (feed, _):
        async with feed.serving():
            signed = await feed.sign()
            await feed.until("delivered")
        assert (await engine.do(partial(release_lane, "ehr", signed.study_id, now()))).is_nothing
        assert await feed.states() == ["delivered"]


async def test_a_destination_that_nobody_served_yet_can_be_paused_and_says_since_when(engine):
    assert await engine.do(partial(leases.paused, "ehr", "maintenance", 5)) is True
    assert await engine.do(partial(leases.paused, "ehr", "again", 6)) is False
    [row] = await leases.lease_standings(engine)
    assert (row.name, row.holder, row.paused, row.paused_since) == ("ehr", "", "maintenance", 5)
    assert await engine.do(partial(leases.resumed, "ehr")) is True
    assert await engine.do(partial(leases.resumed, "ehr")) is False
    await Leases(engine, "one", 60).take("ehr")
    [row] = await leases.lease_standings(engine)
    assert (row.holder, row.paused, row.paused_since) == ("one", "", None)


async def test_the_ledger_counts_by_state_and_knows_the_oldest_that_is_open(engine):
    async with fed(engine, "ae") as (feed, _), feed.serving():
        await feed.sign()
        await feed.until("held")
        counted = await stock(engine, "ehr", 20)
        assert (counted.messages, counted.rows) == ({"held": 1}, {"rendered": 1})
        [(made,)] = await rows(engine, "SELECT made FROM message")
        assert counted.oldest == made
        assert (await stock(engine, "other", 20)).oldest is None
        assert (await stock(engine, "ehr", 0)).lanes == ()


@pytest.mark.parametrize(
    ("level", "stands"),
    [("warn", ("delivered", "", "rule-short-id")), ("block", ("dead_letter", "rule-short-id", ""))],
)
async def test_a_rule_that_only_warns_is_remarked_on_the_message_that_is_sent(engine, level, stands):
    rule = Rule("short-id", level, "https://example.org", place_of("MSH-10"), "be_at_most", ("1",))
    async with fed(engine, receiver=generic(rules=(rule,))) as (feed, _), feed.serving():
        await feed.sign()
        await feed.until(stands[0])
        assert await rows(engine, "SELECT state, reason, remarks FROM message") == [stands]
        counted = sample(feed.metrics, "feed_remarks_total", destination="ehr", code="rule-short-id")
        assert counted == (1 if level == "warn" else None)


async def test_a_dead_letter_is_listed_until_a_newer_message_says_it(engine):
    async with fed(engine) as (feed, _), feed.serving():
        signed = await feed.sign()
        await feed.until("delivered")
        await write(engine, "UPDATE message SET state = 'dead_letter', reason = 'AR-207', is_critical = 1")
        [letter] = await dead_letters(engine, "ehr")
        assert (letter.report_id, letter.reason, letter.is_critical) == (signed.report_id, "AR-207", True)
        await replayed(feed, signed)
        await feed.until("dead_letter", "delivered")
        assert await dead_letters(engine, "ehr") == []


async def test_each_replay_of_a_report_has_a_number_and_an_msh_10_of_its_own(engine):
    async with fed(engine) as (feed, receiver), feed.serving():
        signed = await feed.sign()
        await feed.until("delivered")
        for count in (2, 3):
            await replayed(feed, signed)
            await feed.until(*["delivered"] * count)
        assert await rows(engine, "SELECT kind, replay FROM outbox WHERE replay > 0 ORDER BY number") == [
            ("replay", 1),
            ("replay", 2),
        ]
        assert len(set(ids(receiver.messages))) == 3
        assert await accepted_reports(engine, "ehr", signed.study_id) == {signed.report_id}


async def test_a_report_that_nobody_took_is_no_open_item_once_it_is_sent(engine):
    async with fed(engine) as (feed, _):
        signed = await feed.sign()
        await write(engine, "UPDATE outbox SET state = 'unrouted', destination = ''")
        assert (await stock(engine, "", 20)).rows == {"unrouted": 1}
        await replayed(feed, signed)
        assert (await stock(engine, "", 20)).rows == {"merged": 1}
        assert (await stock(engine, "ehr", 20)).rows == {"waiting": 1}


async def test_history_is_spread_over_time_behind_all_that_is_new_and_the_next_goes_on_behind_it(engine):
    async with fed(engine, start=LATER) as (feed, _):
        first, second = await feed.sign(critical=True), await feed.sign()
        assert (await stock(engine, "ehr", 20)).rows == {"before_start": 2}
        at = now()
        span = BackloadSpan("ehr", 0, micros(LATER), 500_000)
        assert await engine.do(partial(queue_backload, span, at, 1)) == (1, 1)
        assert await engine.do(partial(queue_backload, span, at, 5)) == (1, 1)
        assert await engine.do(partial(queue_backload, span, at, 5)) == (0, 0)
        queue = await rows(engine, "SELECT study_id, state, priority, is_critical, due FROM outbox ORDER BY due")
        assert queue == [
            (first.study_id, "waiting", 2, 0, at),
            (second.study_id, "waiting", 2, 0, at + 500_000),
        ]
        assert await undated(engine, "ehr") == 0


async def test_history_of_another_span_or_destination_stays_where_it_is(engine):
    async with fed(engine, count=2, start=LATER) as (feed, _):
        await feed.sign()
        [(signed,)] = await rows(engine, "SELECT DISTINCT signed FROM outbox")
        assert await engine.do(partial(queue_backload, BackloadSpan("ehr", 0, signed, 1), now(), 5)) == (0, 0)
        assert await engine.do(partial(queue_backload, BackloadSpan("ehr", signed, signed + 1, 1), now(), 5)) == (1, 1)
        assert (await stock(engine, "ehr2", 20)).rows == {"before_start": 1}


async def test_reports_are_found_by_when_they_were_signed_page_by_page(engine, monkeypatch):
    monkeypatch.setattr("gateway.store.feed.outbox._AT_A_TIME", 2)
    async with fed(engine) as (feed, _):
        signed = [await feed.sign() for _ in range(5)]
        reports = [one async for one in signed_within(engine, 0, micros(LATER))]
        assert sorted(reports) == sorted((one.report_id, one.study_id) for one in signed)
        in_order = await rows(engine, "SELECT report_id, study_id FROM report ORDER BY signed, report_id")
        assert reports == in_order
        assert await study_of(engine, signed[0].report_id) == signed[0].study_id
        assert await study_of(engine, "rep_none") is None


def again(feed: Fed, *, force_old: bool = False, dead_letters: bool = False) -> AsSentReplay:
    return AsSentReplay(feed.destinations[0], 1, dead_letters, force_old)


async def test_what_is_sent_as_it_was_differs_in_msh_10_alone(engine):
    async with fed(engine) as (feed, receiver), feed.serving():
        signed = await feed.sign()
        await feed.until("delivered")
        assert await engine.do(partial(queue_again, again(feed), signed.study_id, None, now())) == ["sent"]
        await feed.until("delivered", "delivered")
        first, second = bodies(receiver)
        assert first != second
        old, new = ids(receiver.messages)
        assert first.replace(old.encode(), new.encode()) == second


async def test_an_old_version_is_refused_unless_it_is_forced_and_then_takes_the_place_of_nothing(engine):
    async with fed(engine) as (feed, receiver), feed.serving():
        signed = await feed.sign()
        await feed.until("delivered")
        feed.account.change_text(signed.report_id, "Another text.")
        await feed.tell(signed.study_id)
        await feed.until("delivered", "delivered")
        await write(engine, "UPDATE message SET report_id = 'rep_old' WHERE number = 1")
        old = frozenset({"rep_old"})
        assert await engine.do(partial(queue_again, again(feed), signed.study_id, old, now())) == ["newer-sent"]
        forced = again(feed, force_old=True)
        assert await engine.do(partial(queue_again, forced, signed.study_id, old, now())) == ["sent"]
        await feed.until("delivered", "delivered", "delivered")
        assert bodies(receiver)[2].count(b"Another text.") == 0
        assert await rows(engine, "SELECT is_whole FROM message WHERE number = 3") == [(0,)]


async def test_what_is_about_to_be_told_anew_is_not_sent_as_it_was(engine):
    async with fed(engine) as (feed, _):
        async with feed.serving():
            signed = await feed.sign()
            await feed.until("delivered")
        await replayed(feed, signed)
        refusals = await engine.do(partial(queue_again, again(feed), signed.study_id, None, now()))
        assert refusals == ["newer-waits"]


async def test_a_study_of_which_nothing_was_sent_has_nothing_to_be_sent_as_it_was(engine):
    async with fed(engine) as (feed, _):
        signed = await feed.sign()
        found = await engine.do(partial(queue_again, again(feed), signed.study_id, None, now()))
        assert found == ["nothing-sent"]


async def test_a_text_that_was_let_go_of_cannot_be_sent_again(engine):
    async with fed(engine) as (feed, _):
        async with feed.serving():
            signed = await feed.sign()
            await feed.until("delivered")
        await write(engine, "UPDATE message SET has_body = 0")
        await write(engine, "DELETE FROM message_body")
        refusals = await engine.do(partial(queue_again, again(feed), signed.study_id, None, now()))
        assert refusals == ["text-purged"]


async def test_a_dead_letter_is_sent_as_it_was_and_no_longer_listed(engine):
    async with fed(engine) as (feed, _), feed.serving():
        signed = await feed.sign()
        await feed.until("delivered")
        await write(engine, "UPDATE message SET state = 'dead_letter', reason = 'AE-207'")
        only = again(feed, dead_letters=True)
        assert await engine.do(partial(queue_again, only, signed.study_id, None, now())) == ["sent"]
        await feed.until("dead_letter", "delivered")
        assert await dead_letters(engine, "ehr") == []
        assert await engine.do(partial(queue_again, only, signed.study_id, None, now())) == ["nothing-sent"]


@pytest.mark.parametrize("state", ["delivered", "superseded", "recorded"])
async def test_the_text_of_what_is_settled_is_let_go_of_after_its_days_and_the_ledger_stays(engine, state):
    async with fed(engine) as (feed, _):
        async with feed.serving():
            for _ in range(3):
                await feed.sign()
            await feed.until(*["delivered"] * 3)
        long_ago = micros(clock.now() - timedelta(days=31))
        await write(
            engine, "UPDATE message SET state = :state, closed = :closed WHERE number < 3", state=state, closed=long_ago
        )
        retention = Retention(engine, 30, batch=1)
        assert (await retention.once(), await retention.once()) == (2, 0)
        assert await rows(engine, "SELECT has_body = 0, size > 0 FROM message ORDER BY number") == [
            (True, True),
            (True, True),
            (False, True),
        ]


@pytest.mark.parametrize("state", ["queued", "held", "indeterminate", "dead_letter"])
async def test_the_text_of_what_is_open_or_given_up_is_kept(engine, state):
    async with fed(engine) as (feed, _):
        async with feed.serving():
            await feed.sign()
            await feed.until("delivered")
        await write(engine, "UPDATE message SET state = :state, closed = 1", state=state)
        assert await Retention(engine, 1).once() == 0


async def test_what_an_operator_did_is_kept_with_who_when_and_why(engine):
    await engine.do(partial(noted, "feed-pause", "ehr", "maintenance", 7))
    who = pwd.getpwuid(os.getuid()).pw_name, socket.gethostname()
    assert await rows(engine, 'SELECT at, verb, argument, reason, "user", host FROM audit') == [
        (7, "feed-pause", "ehr", "maintenance", *who)
    ]


async def test_of_studies_the_ledger_gives_reports_rows_and_messages_each_where_its_report_is(engine):
    async with fed(engine) as (feed, _):
        async with feed.serving():
            signed = await feed.sign()
            await feed.until("delivered")
        records = await report_records(engine, [signed.study_id, "stu_none"])
        assert list(records) == [signed.study_id]
        record = records[signed.study_id].reports[signed.report_id]
        assert [row.state for row in record.rows] == ["rendered"]
        [message] = record.messages
        assert (message.destination, message.state, message.ack) == ("ehr", "delivered", "AA")
        [(numbers,)] = await rows(engine, "SELECT filler_order_numbers FROM message")
        assert list(message.filler_order_numbers) == json.loads(numbers)
