"""Hashes identify sent messages after their bytes are deleted, and altered bytes are never sent.

https://csrc.nist.gov/pubs/fips/180-4/upd1/final
"""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from fakes.fed import Fed, bodies, fed
from fakes.store import rows

from gateway.feed.loops import Retention
from gateway.feed.operator.replay import AsSentReplay, queue_again
from gateway.routing import Folder
from gateway.runtime import clock
from gateway.store.database.engine import Statement, ask, micros
from gateway.store.feed.lanes import release_lane
from gateway.store.feed.ledger import dead_letters, stock
from gateway.store.feed.outbox import Resend, queue_replays

ALTER = "UPDATE message_body SET body = :other WHERE number = 1"
LOSE = "DELETE FROM message_body WHERE number = 1 AND body <> :other"
# State of a message before it is altered -> when it was first sent, and its state once its lane is held for that
SENT = {"queued": None, "indeterminate": 1}
HELD = {"queued": "held", "indeterminate": "indeterminate"}
OTHER = b"MSH|altered"


def now() -> int:
    return micros(clock.now())


async def write(engine, sql: str, **values) -> None:
    await engine.do(lambda: ask(Statement(sql), **values))


async def replayed(feed: Fed, signed) -> None:
    """Send a report again as it is."""
    await feed.engine.do(
        partial(queue_replays, "ehr", [Resend(signed.study_id, signed.report_id, "v", False, 1, None)], now())
    )


async def test_the_hash_of_what_was_sent_outlives_its_text(engine):
    async with fed(engine) as (feed, receiver):
        async with feed.serving():
            await feed.sign()
            await feed.until("delivered")
        await write(engine, "UPDATE message SET closed = :then", then=micros(clock.now() - timedelta(days=31)))
        assert await Retention(engine, 30).once() == 1
        [(kept,)] = await rows(engine, "SELECT body_hash FROM message")
        assert kept == hashlib.sha256(bodies(receiver)[0]).hexdigest()


async def test_of_a_file_it_is_what_sha256sum_says(sqlite_engine, tmp_path):
    (folder := tmp_path / "out").mkdir()
    async with fed(sqlite_engine) as (feed, _):
        feed.destinations = (replace(feed.destinations[0], transport=Folder(folder)),)
        async with feed.serving():
            await feed.sign()
            await feed.until("delivered")
    [file] = folder.iterdir()
    output = await asyncio.to_thread(subprocess.check_output, ["sha256sum", file], text=True)
    assert await rows(sqlite_engine, "SELECT body_hash FROM message") == [(output.split()[0],)]


@pytest.mark.parametrize("change", [ALTER, LOSE])
async def test_what_is_not_what_was_made_is_held_and_not_sent_and_other_studies_go_on(engine, change):
    async with fed(engine) as (feed, receiver):
        await feed.queue(2)
        await write(engine, change, other=OTHER)
        async with feed.serving():
            await feed.resume()
            await feed.until("held", "delivered")
        [lane] = (await stock(engine, "ehr", 20)).lanes
        [(study_id, *kept)] = await rows(
            engine, "SELECT study_id, reason, attempts, sent FROM message WHERE state = 'held'"
        )
        assert (lane.study_id, lane.reason, kept) == (study_id, "body-altered", ["body-altered", 0, None])
        assert len(bodies(receiver)) == 1
        assert await rows(engine, "SELECT 1 FROM sent_number WHERE study_id = ?", study_id) == []


async def test_what_is_made_anew_takes_its_place(engine):
    async with fed(engine) as (feed, receiver):
        await feed.pause()
        signed = await feed.sign()
        async with feed.serving():
            await feed.until("queued")
            await write(engine, ALTER, other=OTHER)
            await feed.resume()
            await feed.until("held")
            await replayed(feed, signed)
            await feed.until("superseded", "delivered")
        assert (await stock(engine, "ehr", 20)).lane_count == 0
        assert len(bodies(receiver)) == 1


@pytest.mark.parametrize("state", ["queued", "indeterminate"])
async def test_an_operator_who_lets_its_study_go_on_gives_it_up(engine, state):
    async with fed(engine) as (feed, receiver):
        await feed.queue(1)
        await write(engine, "UPDATE message SET state = :state, sent = :sent", state=state, sent=SENT[state])
        await write(engine, ALTER, other=OTHER)
        async with feed.serving():
            await feed.resume()
            study_id, reason = await feed.held_lane()
            assert (reason, await feed.states()) == ("body-altered", [HELD[state]])
            assert await rows(engine, "SELECT sent FROM message") == [(SENT[state],)]
            assert (await engine.do(partial(release_lane, "ehr", study_id, now()))).given_up == 1
        [letter] = await dead_letters(engine, "ehr")
        assert (letter.reason, bodies(receiver)) == ("body-altered", [])


async def test_it_is_not_sent_again_as_it_was_either(engine):
    async with fed(engine) as (feed, _), feed.serving():
        signed = await feed.sign()
        await feed.until("delivered")
        await write(engine, ALTER, other=OTHER)
        again = AsSentReplay(feed.destinations[0], 1, dead_letters=False, force_old=True)
        assert await engine.do(partial(queue_again, again, signed.study_id, None, now())) == ["body-altered"]


async def test_where_no_hash_was_kept_it_is_sent(engine):
    """Check a message without a hash."""
    async with fed(engine) as (feed, _):
        await feed.queue(1)
        await write(engine, "UPDATE message SET body_hash = ''")
        async with feed.serving():
            await feed.resume()
            await feed.until("delivered")
