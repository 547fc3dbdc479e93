"""Delivery journal: entries while messages are sent, and the detection of a restored database (decision D38)."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from fakes.fed import assert_nothing_of_a_patient, fed, site
from fakes.heads import head
from fakes.store import rows

from gateway.feed.deliver import feed_journal
from gateway.feed.deliver.feed_journal import NOT_WRITTEN, FeedJournal
from gateway.feed.deliver.journal_file import JournalFile, account_of, journals
from gateway.feed.deliver.journal_lines import entry_of
from gateway.feed.loops import HoldFeed
from gateway.feed.plan.planner import apply_plan
from gateway.runtime.metrics import Metrics
from gateway.sandbox.seed import generate
from gateway.sandbox.state import SandboxAccount
from gateway.store.database.engine import Statement, ask, micros
from gateway.store.database.facts import claimed
from gateway.store.feed import plans, restoring
from gateway.store.feed.leases import paused
from gateway.store.feed.messages import SendResult

KEY = site().site_key
SET = Statement("UPDATE fact SET value = :value WHERE name LIKE :name")
UNCLAIM = Statement("UPDATE message SET sent = NULL, state = 'queued', due = 0 WHERE sent > :since")
PAUSED = "SELECT name, paused FROM destination WHERE name NOT LIKE '*%' ORDER BY name"


@pytest.fixture(autouse=True)
def _quickly(monkeypatch):
    monkeypatch.setattr(feed_journal, "EVERY", 0.05)


def kept(feed, folder, metrics=None):
    return FeedJournal(feed.engine, folder, [one.name for one in feed.destinations], KEY, metrics or Metrics())


async def served(feed, journal, count=3, *, until=True):
    """Send so many messages, with the journal of a process that starts and ends in order."""
    for _ in range(count):
        await feed.sign(critical=False)
    async with feed.serving(journal=journal):
        await feed.all_delivered()
    await journal.close()


async def put_back(feed, batches=0, since=0):
    """Set the database back to the knowledge that a copy of it would have."""
    await feed.engine.do(lambda: ask(SET, value=str(batches), name="feed-journal:%"))
    await feed.engine.do(lambda: ask(UNCLAIM, since=since))


async def pauses(feed):
    return {str(name): str(reason) for name, reason in await rows(feed.engine, PAUSED)}


def said(feed, event):
    return [one for one in feed.logs if one["event"] == event]


async def test_each_message_is_in_it_with_what_came_of_it_and_nothing_of_a_patient(engine, tmp_path):
    async with fed(engine) as (feed, receiver):
        await served(feed, kept(feed, tmp_path))
        (path,) = journals(tmp_path)
        account = account_of(path)
        last = {one.control_id: one for one in account.since(0)}
        assert {one.control_id for one in receiver.messages} == set(last)
        assert {(one.state, one.ack) for one in last.values()} == {("delivered", "AA")}
        assert await restoring.recorded_batches(engine) == {account.journal: account.last}
        hashes = {str(one) for (one,) in await rows(engine, "SELECT body_hash FROM message")}
        assert {one.body_hash for one in last.values()} == hashes
        assert_nothing_of_a_patient(feed, path.read_text())
        assert not said(feed, "feed-journal-missing") and not said(feed, "database-restored")


@contextlib.contextmanager
def write_locked(path):
    """Hold a write lock on a SQLite file, as another program would, while the block runs."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def test_it_has_an_acknowledgement_before_the_database_has_it_and_at_once(sqlite_engine, tmp_path):
    """Nothing here writes each second: a process that is killed now leaves the acknowledgement behind."""
    async with fed(sqlite_engine, "slow:seconds=0.3") as (feed, receiver):
        journal = kept(feed, tmp_path)
        await feed.sign(critical=True)
        async with feed.serving(journal=journal):
            async with asyncio.timeout(20):
                while not receiver.messages:
                    await asyncio.sleep(0.01)
            (path,) = journals(tmp_path)
            assert [one.state for one in account_of(path).since(0)] == ["sending"], "a claim is there before its bytes"
            with write_locked(sqlite_engine.path):
                async with asyncio.timeout(20):
                    while [one.state for one in account_of(path).since(0)] != ["sending", "delivered"]:
                        await asyncio.sleep(0.01)
                assert await feed.states() == ["sending"]
            await feed.until("delivered")
        await journal.close()


async def test_a_process_that_starts_again_sends_on_and_goes_on_in_its_journal(engine, tmp_path):
    async with fed(engine) as (feed, receiver):
        await served(feed, kept(feed, tmp_path))
        await served(feed, kept(feed, tmp_path))
        assert len(receiver.messages) == 6
        assert not said(feed, "database-restored")
        (path,) = journals(tmp_path)
        account = account_of(path)
        assert not account.gaps and len({one.control_id for one in account.since(0)}) == 6


async def test_a_database_that_is_behind_pauses_all_whatever_they_are_paused_for_and_makes_nothing(engine, tmp_path):
    async with fed(engine, count=2) as (feed, receivers):
        await served(feed, kept(feed, tmp_path), count=1)
        await put_back(feed)
        await engine.do(partial(paused, "ehr2", "an operator", 1))
        await feed.sign(critical=False)
        sent = [len(one.messages) for one in receivers]
        journal = kept(feed, tmp_path)
        async with feed.serving(journal=journal):
            await feed.until_rows(PAUSED, lambda found: {str(one[1]) for one in found} == {"restored"})
            await asyncio.sleep(0.6)
        await journal.close()
        assert [len(one.messages) for one in receivers] == sent
        assert [int(n) for (n,) in await rows(engine, "SELECT count(*) FROM outbox WHERE state = 'waiting'")] == [2]
        assert len(said(feed, "database-restored")) == 1
        assert set((await restoring.recorded_batches(engine)).values()) == {
            0
        }  # it is not updated before the journal is replayed


@pytest.mark.full
@pytest.mark.parametrize("looks_first", ["see_that_nothing_is_lost", "turn"])
@pytest.mark.parametrize("is_claimed", [True, False])
async def test_one_count_or_one_message_that_the_database_does_not_know_is_enough(
    engine, tmp_path, is_claimed, looks_first
):
    async with fed(engine) as (feed, _):
        for _ in range(2):
            await served(feed, kept(feed, tmp_path), count=1)
        (path,) = journals(tmp_path)
        last = account_of(path).last
        await engine.do(lambda: ask(SET, value="0" if is_claimed else str(last - 1), name="feed-journal:%"))
        if not is_claimed:
            await engine.do(lambda: ask(UNCLAIM, since=0))
        journal = kept(feed, tmp_path)
        await getattr(journal, looks_first)()
        await journal.close()
        assert await pauses(feed) == {"ehr": "restored"}


async def test_a_database_put_back_under_a_process_that_runs_is_seen_within_a_second_or_so(engine, tmp_path):
    async with fed(engine) as (feed, receiver):
        journal = kept(feed, tmp_path)
        await feed.sign(critical=False)
        async with feed.serving(journal=journal):
            await feed.all_delivered()
            await journal.turn()
            await engine.do(lambda: ask(SET, value="0", name="feed-journal:%"))
            await journal.turn()
            assert await pauses(feed) == {"ehr": "restored"}
        await journal.close()
        assert len(receiver.messages) == 1


async def test_a_gateway_that_sent_nothing_sees_it_by_what_it_knows_of_the_others(engine, tmp_path):
    async with fed(engine) as (feed, _):
        (tmp_path / "one").mkdir()
        (tmp_path / "two").mkdir()
        await served(feed, kept(feed, tmp_path / "one"), count=1)
        other = kept(feed, tmp_path / "two")
        for _ in range(2):
            await other.turn()
        await other.close()
        await put_back(feed)
        other = kept(feed, tmp_path / "two")
        await other.see_that_nothing_is_lost()
        await other.close()
        assert await pauses(feed) == {"ehr": "restored"}


async def test_a_journal_that_nobody_writes_any_more_counts_too(engine, tmp_path):
    async with fed(engine) as (feed, _):
        idle = kept(feed, tmp_path)
        await idle.turn()
        await served(feed, kept(feed, tmp_path), count=1)
        await served(feed, kept(feed, tmp_path), count=1)
        await idle.close()
        assert len(list(journals(tmp_path))) == 1  # the first process never had anything to write
        await put_back(feed)
        alone = kept(feed, tmp_path)
        await alone.see_that_nothing_is_lost()
        await alone.close()
        assert await pauses(feed) == {"ehr": "restored"}


async def test_another_database_is_no_restore_its_journal_is_put_aside_and_it_is_said(engine, tmp_path):
    async with fed(engine) as (feed, _):
        await served(feed, kept(feed, tmp_path), count=1)
        await engine.do(lambda: ask(SET, value="another", name="feed-epoch"))
        await put_back(feed)
        journal = kept(feed, tmp_path)
        await journal.see_that_nothing_is_lost()
        await journal.close()
        assert await pauses(feed) == {"ehr": ""}
        assert said(feed, "feed-journal-of-another-database")
        assert (tmp_path / "feed-journal-1.log.other").exists()
        await served(feed, kept(feed, tmp_path), count=1)
        assert await pauses(feed) == {"ehr": ""}
        assert len(said(feed, "feed-journal-of-another-database")) == 1


async def test_a_missing_journal_is_said_beside_a_database_with_messages_and_not_beside_an_empty_one(engine, tmp_path):
    async with fed(engine) as (feed, _):
        await served(feed, kept(feed, tmp_path), count=1)
        assert not said(feed, "feed-journal-missing")
        (path,) = journals(tmp_path)
        path.unlink()
        await served(feed, kept(feed, tmp_path), count=1)
        assert len(said(feed, "feed-journal-missing")) == 1
        assert await pauses(feed) == {"ehr": ""}


async def test_a_disk_that_is_full_is_told_of_once_the_feed_goes_on_and_what_waited_is_written_then(
    engine, tmp_path, monkeypatch
):
    async with fed(engine) as (feed, receiver):
        metrics, shown = Metrics(), []
        monkeypatch.setattr(metrics, "alerted", lambda *alert: shown.append(alert))
        journal = kept(feed, tmp_path, metrics)

        def full(*_):
            raise OSError(28, "No space left on device")

        await journal.turn()
        with monkeypatch.context() as patched:
            patched.setattr(JournalFile, "append", full)
            await feed.sign(critical=False)
            async with feed.serving(journal=journal):
                await feed.all_delivered()
                for _ in range(3):
                    await journal.turn()
            assert shown == [(NOT_WRITTEN, "", 1)]
        assert len(receiver.messages) == 1
        await journal.turn()
        assert shown == [(NOT_WRITTEN, "", 1), (NOT_WRITTEN, "", 0)]
        await journal.close()
        (path,) = journals(tmp_path)
        assert [one.state for one in account_of(path).since(0)][-1] == "delivered"
        assert [one["code"] for one in said(feed, "alert")] == [NOT_WRITTEN]


async def test_what_waits_for_a_disk_for_too_long_is_let_go_of_and_known_to_be_lacking(engine, tmp_path, monkeypatch):
    async with fed(engine) as (feed, _):
        monkeypatch.setattr(feed_journal, "_MOST_NOTED", 1)
        journal = kept(feed, tmp_path)
        await journal.turn()

        def full(*_):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(JournalFile, "append", full)
            await feed.sign(critical=False)
            await feed.sign(critical=False)
            async with feed.serving(journal=journal):
                await feed.all_delivered()
                await journal.turn()
        await journal.close()
        (path,) = journals(tmp_path)
        account = account_of(path)
        assert account.lacks(0, account.last) == 1


async def test_without_a_folder_the_feed_goes_on_and_it_is_said(engine, tmp_path):
    async with fed(engine) as (feed, receiver):
        await served(feed, kept(feed, tmp_path / "nowhere"), count=1)
        assert len(receiver.messages) == 1
        assert [one["code"] for one in said(feed, "alert")] == [NOT_WRITTEN]


async def test_held_at_the_start_nothing_is_sent_and_a_copy_that_is_accepted_is_not_called_restored(engine, tmp_path):
    async with fed(engine) as (feed, receiver):
        await served(feed, kept(feed, tmp_path), count=1)
        await put_back(feed)
        journal = kept(feed, tmp_path)
        await HoldFeed(restored_from=1).begin(engine, journal, ["ehr"])
        async with feed.serving(journal=journal):
            await journal.turn()
            await asyncio.sleep(0.5)
            assert await pauses(feed) == {"ehr": "hold-feed"}
            await feed.resume()
            await asyncio.sleep(0.5)
        await journal.close()
        assert len(receiver.messages) == 1
        ((reason,),) = await rows(engine, "SELECT reason FROM lane")
        assert reason == "may-have-been-sent"
        again = kept(feed, tmp_path)
        await again.see_that_nothing_is_lost()
        await again.close()
        assert await pauses(feed) == {"ehr": ""}


@pytest.mark.parametrize("state", ["held", "planned"])
async def test_what_was_open_in_the_copy_may_have_been_sent_whenever_it_was_signed(engine, tmp_path, state):
    async with fed(engine) as (made, receiver):
        world = replace(generate(studies=20), epoch=datetime.now(UTC) - timedelta(days=9))
        feed = replace(made, account=SandboxAccount(world))
        signed = await feed.sign(critical=False)
        copied = Statement("UPDATE outbox SET state = :state, reason = 'authority-unknown'")
        await engine.do(lambda: ask(copied, state=state))
        await claimed(engine, "authorities:ehr", "as in the copy")  # the settings were corrected after the copy
        journal, hour_ago = kept(feed, tmp_path), micros(datetime.now(UTC) - timedelta(hours=1))
        await HoldFeed(restored_from=hour_ago).begin(engine, journal, ["ehr"])
        await feed.resume()
        async with feed.serving(journal=journal):
            await asyncio.sleep(0.5)
            assert not receiver.messages
            if state == "planned":
                await apply_plan(engine, "ehr", await plans.plan_rows(engine, "ehr"))
            await feed.seen("held", "lane")
            assert await feed.held_lane() == (signed.study_id, "may-have-been-sent")
            assert not receiver.messages
            await feed.release(signed.study_id)
            await feed.all_delivered()
        await journal.close()
        assert len(receiver.messages) == 1


async def test_what_was_held_in_the_copy_for_a_while_alone_waits_for_an_operator(engine, tmp_path):
    async with fed(engine, "ae") as (feed, _):
        signed = await feed.sign(critical=False)
        async with feed.serving():
            assert await feed.held_lane() == (signed.study_id, "refused")
        journal = kept(feed, tmp_path)
        await HoldFeed(restored_from=1).begin(engine, journal, ["ehr"])
        await journal.close()
        assert await feed.held_lane() == (signed.study_id, "may-have-been-sent")


async def test_held_at_the_start_with_a_database_that_is_as_it_was_lanes_go_on_with_resume(engine, tmp_path):
    async with fed(engine) as (feed, receiver):
        await feed.sign(critical=False)
        journal = kept(feed, tmp_path)
        await HoldFeed().begin(engine, journal, ["ehr"])
        async with feed.serving(journal=journal):
            await asyncio.sleep(0.5)
            assert not receiver.messages
            await feed.resume()
            await feed.all_delivered()
        await journal.close()
        assert len(receiver.messages) == 1


def test_entries_of_one_message_within_a_second_are_one_and_keep_when_it_was_committed(tmp_path):
    journal = FeedJournal(None, tmp_path, [], KEY, Metrics())
    journal.note("ehr", head(1))
    journal.note("ehr", head(1), SendResult(head(1), "delivered", ack="CA", committed=5))
    journal.note("ehr", head(1), SendResult(head(1), "delivered", ack="AA", accepted=6))
    (entry,) = journal._noted.values()
    assert (entry.ack, entry.committed, entry.accepted) == ("AA", 5, 6)
    assert entry_of("ehr", head(1), entry.at, KEY).state == "sending"
