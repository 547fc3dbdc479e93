"""`feed resume --restored` as typed: messages sent since a backup are recorded, or the command says why not (D38)."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from fakes.er7_reader import field
from fakes.feed_site import destination
from fakes.heads import head

from gateway.cli.resume_restored import lacking_of, lanes_of, written
from gateway.feed.deliver.journal_lines import Header, JournalBatch, JournalContents, encoded, entry_of, read, seal
from gateway.runtime import clock
from gateway.store.database.engine import Statement, ask, instant, micros
from gateway.store.database.sqlite import Sqlite
from gateway.store.feed.messages import SendResult
from gateway.store.feed.restoring import hold_destinations
from gateway.store.orders.inbound import NewInbound, add_message
from mappings.patient.identifiers import short_id
from mappings.profile import Site

KEY = b"k" * 32
STUDY, REPORT = "stu_" + "1" * 32, "rep_" + "2" * 32
PAUSED = "SELECT name, paused FROM destination WHERE paused <> '' ORDER BY name"
ENTRIES = "SELECT state, reason, ack, remarks FROM message ORDER BY number"


def copied(here):
    with closing(sqlite3.connect(here.here.database)) as now, closing(sqlite3.connect(here.folder / "copy.db")) as copy:
        now.backup(copy)


def put_back(here):
    for suffix in ("-wal", "-shm"):
        here.folder.joinpath(f"gateway.db{suffix}").unlink(missing_ok=True)
    shutil.copy(here.folder / "copy.db", here.here.database)


async def served(here, *, journal=True):
    await here.sync()
    async with here.serving(journal=journal):
        pending, until = 1, time.monotonic() + 20
        while pending:
            assert time.monotonic() < until
            await asyncio.sleep(0.05)
            ((pending,),) = await here.query(
                "SELECT (SELECT count(*) FROM outbox WHERE state = 'waiting') + (SELECT count(*) FROM message"
                " WHERE state IN ('queued', 'sending'))"
            )


async def restored(here, sign):
    """Restore a site's database from a backup, after further messages were sent; return the result of `sign`."""
    await served(here)
    copied(here)
    signed = sign(here.here.account)
    await served(here)
    put_back(here)
    await here.sync()
    async with here.serving(journal=True):
        while await here.query("SELECT paused FROM destination WHERE name = 'ehr'") != [("restored",)]:
            await asyncio.sleep(0.05)
    return signed


def new(account):
    return account.sign_new(critical=False)


async def test_what_was_sent_is_written_down_and_a_correction_of_it_is_one_under_the_same_number(site):
    async with site(on_conflict='"send"') as here:
        signed = await restored(here, new)
        sent = len(here.receiver.messages)
        code, said, _ = await here.feed("resume", "ehr")
        assert code == 1 and "paused as restored" in said[0]
        code, said, _ = await here.feed("apply", "ehr")
        assert code == 1 and "what was sent since is not known: `feed resume` first" in said[0]
        code, said, err = await here.feed("resume", "ehr", "--restored")
        assert (code, said[-1]) == (0, "sent to again: ehr"), err
        assert "of 1 study since the copy" in said[0]
        await served(here)
        assert len(here.receiver.messages) == sent
        assert ("delivered", "", "AA", "restored") in await here.query(ENTRIES)
        here.here.account.change_text(signed.report_id, "IMPRESSION: another one.")
        await served(here)
        first, last = (here.receiver.messages[one].payload for one in (sent - 1, -1))
        assert field(last, "OBR-25") == "C" and field(last, "OBR-3") == field(first, "OBR-3")
        code, _, _ = await here.feed("resume", "--restored")
        assert code == 0


async def heard(here, name, minute):
    """Store a message of a hospital, as its source does."""
    new = NewInbound("city-his", ("HIS", "CITY"), name, "ORM^O01", name.encode())
    received = micros(clock.now() - timedelta(minutes=minute))
    engine = Sqlite(here.here.database)
    async with engine.opened():
        await engine.do(partial(add_message, new, received))
    return instant(received).isoformat(timespec="seconds")


async def test_of_each_source_of_orders_it_is_said_since_when_the_copy_lacks_its_messages(site):
    async with site(on_conflict='"send"') as here:
        await here.sync()
        await heard(here, "1", 9)
        last = await heard(here, "2", 5)
        await restored(here, new)
        await heard(here, "4", 0)  # after the restore
        code, said, err = await here.feed("resume", "ehr", "--restored")
        assert code == 0, err
        (line,) = (one for one in said if one.startswith("source "))
        assert line.startswith(f"source city-his: the last message in the copy came {last}; what came since is lost")
        code, said, _ = await here.feed("resume", "--restored")
        assert code == 0 and not [one for one in said if one.startswith("source ")]


async def test_messages_that_the_copy_knows_do_not_put_its_last_order_before_them(site):
    """A copy made right after a message was sent knows the message, and not yet the batch of its journal."""
    async with site(on_conflict='"send"') as here:
        await served(here)
        last = await heard(here, "1", 0)
        await restored(here, new)
        database = Sqlite(here.here.database)
        async with database.opened():
            await database.do(lambda: ask(Statement("UPDATE fact SET value = '0' WHERE name LIKE 'feed-journal:%'")))
        code, said, err = await here.feed("resume", "ehr", "--restored")
        assert code == 0, err
        assert any(line.startswith(f"source city-his: the last message in the copy came {last};") for line in said), (
            said
        )


async def test_what_was_paused_by_hand_stays_so_until_it_is_resumed_by_name(site):
    async with site() as here:
        both = {"shares_address": "true", "on_conflict": '"send"'}
        here.settings(*(destination(here.receiver.port, name, **both) for name in ("ehr", "his")))

        def sign(account):
            with closing(sqlite3.connect(here.folder / "copy.db")) as copy, copy:
                copy.execute("UPDATE destination SET paused = 'nothing before Monday' WHERE name = 'his'")
            return new(account)

        await restored(here, sign)
        assert await here.query(PAUSED) == [("ehr", "restored"), ("his", "restored")]
        code, said, err = await here.feed("resume", "--restored")
        assert code == 0, err
        assert await here.query(PAUSED) == [("his", "nothing before Monday")]
        assert said[-2] == "sent to again: ehr"
        assert said[-1].startswith("his stays paused, as it was before: nothing before Monday; `feed resume his`")
        code, said, _ = await here.feed("resume", "his", "--yes")
        assert (code, said) == (0, ["his is sent to again"])
        assert await here.query(PAUSED) == []


async def test_what_was_paused_before_or_under_hold_feed_stays_so_at_the_first_resume(site):
    async with site(on_conflict='"send"') as here:
        await here.feed("pause", "ehr", "--reason", "nothing before Monday")
        async with here.here.store() as engine:
            for since in (None, 1):
                await engine.do(partial(hold_destinations, ["ehr"], since, 2))
        code, said, _ = await here.feed("pause", "ehr", "--reason", "they move")
        assert code == 0 and said == ["ehr is paused as hold-feed, and stays paused for your reason after that"]
        for left in ("they move", "nothing before Monday"):
            code, said, _ = await here.feed("resume", "ehr")
            assert code == 0 and f"stays paused, as it was before: {left}" in said[0]
            assert await here.query(PAUSED) == [("ehr", left)]
        code, said, _ = await here.feed("resume", "ehr")
        assert (code, said) == (0, ["ehr is sent to again"])
        assert await here.query(PAUSED) == []


async def test_a_message_of_which_nobody_knows_whether_it_arrived_holds_its_study(site):
    async with site(on_conflict='"send"') as here:
        signed = await restored(here, new)
        journal = here.folder / "feed-journal-1.log"
        lines = journal.read_bytes().splitlines(keepends=True)
        account = read(lines)
        header = Header(account.journal, account.epoch, 0, 0)
        batches = [
            replace(one, entries=tuple(replace(entry, state="sending", ack="", accepted=None) for entry in one.entries))
            if one.n == account.last
            else one
            for one in account.batches
        ]
        journal.write_bytes(b"".join(map(encoded, [header, *batches])))
        code, said, _ = await here.feed("resume", "--restored")
        assert code == 0 and "held at ehr: 1 study; `feed status` names them" in said
        sent = len(here.receiver.messages)
        await served(here)
        assert len(here.receiver.messages) == sent
        assert await here.query("SELECT study_id, reason FROM lane") == [(signed.study_id, "restored")]
        code, said, err = await here.feed("resume", "ehr", "--held", "restored", "--yes")
        assert code == 0, err
        await served(here)
        assert len(here.receiver.messages) == sent + 1


async def test_where_the_journals_lack_something_nothing_is_sent_and_it_is_said_whose_it_is(site):
    async with site(on_conflict='"send"') as here:
        await restored(here, new)
        journal = here.folder / "feed-journal-1.log"
        account = read(journal.read_bytes().splitlines())
        other = Header(account.journal, account.epoch, 0, 0, {"another": 3})
        with journal.open("ab") as file:
            file.write(encoded(other))
        code, said, _ = await here.feed("resume", "--restored")
        assert code == 1 and "lack 3 entries of what was sent: nothing is sent" in "\n".join(said)
        assert "  3 of journal another" in said
        assert await here.query("SELECT paused FROM destination WHERE name = 'ehr'") == [("restored",)]
        third = here.folder / "from-elsewhere.log"
        batches = [JournalBatch(n, n - 1, 0) for n in (1, 2, 3)]
        third.write_bytes(b"".join(map(encoded, [Header("another", account.epoch, 0, 0), *batches])))
        code, said, _ = await here.feed("resume", "--restored", "--journal", str(third))
        assert (code, said[-1]) == (0, "sent to again: ehr")


async def test_a_journal_of_another_database_is_not_read_and_none_is_said(site):
    async with site(on_conflict='"send"') as here:
        await restored(here, new)
        journal = here.folder / "feed-journal-1.log"
        account = read(journal.read_bytes().splitlines())
        journal.write_bytes(encoded(Header(account.journal, "another", 0, 0)))
        code, said, err = await here.feed("resume", "--restored")
        assert code == 2 and "1 journal of another database: not read" in said
        assert "--restored: no journal of this database" in err
        code, _, err = await here.feed("resume", "--restored", "--journal", str(here.folder))
        assert code == 2 and "--journal" in err and "cannot be read" in err


async def test_where_autoscribe_cannot_be_asked_nothing_is_done(site):
    async with site(on_conflict='"send"') as here:
        await restored(here, new)
        before = await here.query(ENTRIES)
        code, _, _ = await here.here.run("feed", "resume", "--restored", AVARA_BASE_URL="http://127.0.0.1:9")
        assert code == 1
        assert await here.query(ENTRIES) == before
        assert await here.query("SELECT paused FROM destination WHERE name = 'ehr'") == [("restored",)]


@pytest.mark.parametrize("option", ["--dry-run", "--yes"])
async def test_a_replay_of_the_journal_that_is_to_be_tried_or_agreed_to_does_nothing_and_says_so(site, option):
    async with site(on_conflict='"send"') as here:
        await restored(here, new)
        before = await here.query(ENTRIES)
        code, said, err = await here.feed("resume", "ehr", "--restored", option)
        assert (code, said) == (2, []) and f"{option}: with --restored" in err
        assert await here.query(ENTRIES) == before
        assert await here.query(PAUSED) == [("ehr", "restored")]


@pytest.mark.parametrize(
    "arguments", [(), ("--journal", "x"), ("ehr", "--restored", "--study", "stu_1"), ("--held", "refused")]
)
async def test_what_does_not_go_together_is_said(site, arguments):
    async with site() as here:
        code, _, err = await here.feed("resume", *arguments)
        assert code == 2 and "NAME" in err


def entry(n=1, at=1, **more):
    result = more.pop("result", None)
    usual = {"study_id": STUDY, "restates": f"{short_id(STUDY)}/", "filler_order_numbers": (short_id(STUDY),)}
    made = entry_of("ehr", head(n, report_ids=(REPORT,), told="t", **{**usual, **more}), at, KEY, result)
    return replace(made, report_id=REPORT)


def test_a_message_stands_where_it_was_sent_first_with_what_came_of_it_last():
    heads = head(1, study_id=STUDY)
    taken = SendResult(heads, "delivered", ack="CA", committed=5)
    accepted = SendResult(heads, "delivered", ack="AA", accepted=6)
    batches = [
        JournalBatch(1, 0, 0, entries=(entry(1, 1),)),
        JournalBatch(2, 0, 0, entries=(entry(1, 2, result=taken), entry(2, 3))),
        JournalBatch(3, 0, 0, entries=(entry(1, 4, result=accepted),)),
    ]
    account = read(map(encoded, [Header("one", "e", 0, 0), *batches]))
    (lane,) = lanes_of([account], {"one": 0}).values()
    assert [(one.number, one.state, one.ack, one.committed, one.accepted) for one in lane] == [
        (1, "delivered", "AA", 5, 6),
        (2, "sending", "", None, None),
    ]
    assert not lanes_of([account], {"one": 3})
    ((name, _),) = lanes_of([account], {"one": 0}, {"ehr": "his"})
    assert name == "his"  # it was renamed since


def test_what_nobody_has_is_counted_by_journal():
    one = JournalContents(journal="one", begins=2, last=5, others={"two": 4, "three": 1}, gaps={4})
    two = JournalContents(journal="two", begins=0, last=3)
    assert lacking_of({"one": one, "two": two}, {"one": 1, "two": 1, "three": 1}) == {"one": 2, "two": 1}
    assert not lacking_of({"one": one}, {"one": 5, "two": 4, "three": 1})


def test_numbers_that_the_gateway_made_are_known_again_and_others_from_the_study_alone():
    (known,) = written([entry()], None, Site(), KEY)
    assert known.numbers == (short_id(STUDY),) and known.restates == f"{short_id(STUDY)}/" and known.told == "t"
    strange = entry(filler_order_numbers=("ACC-1",), restates=f"{short_id(STUDY)}/ACC-1")
    (unknown,) = written([strange], None, Site(), KEY)
    assert unknown.numbers is None and not unknown.told and unknown.restates == seal(KEY, f"{short_id(STUDY)}/ACC-1")
    assert json.dumps(strange.numbers).count("ACC") == 0
