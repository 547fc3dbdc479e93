"""Faults of queued messages, F45 to F50: another schema, settings or keys, a poison message, a large backlog, replay.

Decisions D7, D11, D31, D32, D35: a queued message is bytes, and these never change.
"""

from __future__ import annotations

import asyncio
import shutil
import ssl
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import pytest
import trustme
from fakes.charts import accounted_for, generic
from fakes.er7_reader import field
from fakes.fed import Fed, assert_all_arrived, bodies, destination, fed, ids, site
from fakes.feed_process import feeding
from fakes.next_release import upgraded
from fakes.scale import BACKLOG
from fakes.store import rows
from pydantic import SecretStr

from gateway.feed.compose import compose
from gateway.feed.operator.replay import Replay
from gateway.ingest.assembly import opened_store
from gateway.routing import Filter
from gateway.routing.filter import Scope
from gateway.runtime import clock
from gateway.runtime.errors import ConfigError
from gateway.runtime.tls import TlsSettings
from gateway.sandbox.receiver import MllpReceiver
from gateway.settings import Configuration, Database, Settings
from gateway.settings.feed import Feed
from gateway.store.database.engine import micros
from gateway.store.database.migrate import migrate
from gateway.store.database.sqlite import Sqlite
from gateway.store.feed.outbox import USUAL, NewMessage, add_message
from mappings.hl7v2.oru_r01 import oru_of
from mappings.patient.identifiers import short_id

BODIES = "SELECT control_id, body FROM message JOIN message_body USING (number) ORDER BY number"


@asynccontextmanager
async def queued(feed, count):
    """Compose so many messages and hold them back while the block runs."""
    await feed.queue(count)
    yield
    await feed.resume()


async def test_f45_what_waits_while_the_next_release_migrates_and_this_one_comes_back_is_sent_once(engine, tmp_path):
    async with fed(engine) as (feed, receiver):
        async with feed.serving():
            await feed.sign(critical=False)
            await feed.until("delivered")
        await feed.pause()
        async with feed.serving():
            await feed.sign(critical=False)
            await feed.until("delivered", "queued")
        await feed.sign(critical=False)
        with upgraded(tmp_path / "next"):
            before, after = await migrate(engine)
            assert await migrate(engine, before) == (after, before) != (before, after)
        await feed.resume()
        async with feed.serving():
            await feed.until(*["delivered"] * 3)
        assert len(set(ids(receiver.messages))) == len(receiver.messages) == 3
        await assert_all_arrived(feed, receiver)


@pytest.mark.parametrize("change", ["profile", "receiver"])
async def test_f46_what_is_queued_leaves_as_it_was_made_whatever_the_settings_say_by_now(engine, change):
    async with fed(engine) as (feed, receiver), MllpReceiver(port=0) as other:
        changed = {"profile": {"receiver": generic(text="ft", uid="obx113014")}, "receiver": {}}
        async with queued(feed, 3):
            made = [bytes(body) for (body,) in await rows(engine, "SELECT body FROM message_body ORDER BY number")]
        port = other.port if change == "receiver" else receiver.port
        after = Fed(engine, feed.account, (destination(port, **changed[change]),), logs=feed.logs)
        at = other if change == "receiver" else receiver
        async with after.serving():
            await after.until(*["delivered"] * 3)
            assert bodies(at) == made
            await after.sign(critical=False)
            await after.until(*["delivered"] * 4)
        assert (b"|FT|" in bodies(at)[-1]) is (change == "profile")
        await accounted_for(after, at)


async def test_f46_what_is_queued_and_left_out_by_a_new_filter_waits_for_an_operator(engine):
    async with fed(engine) as (feed, receiver):
        async with queued(feed, 3):
            pass
        nowhere = Filter(Scope(modalities=frozenset({"XX"})))
        after = Fed(engine, feed.account, (destination(receiver.port, filter=nowhere),), logs=feed.logs)
        receiver.ack = "slow:seconds=1"  # messages in hand while the plan is made are still sent
        async with after.serving(settings=Feed(unasked_messages=0)):
            await after.until_rows("SELECT state FROM outbox", lambda found: ("to_stop",) in found)
        assert len(bodies(receiver)) < 3


async def test_f46_what_is_queued_for_a_destination_that_is_gone_waits_for_it(engine):
    async with fed(engine) as (feed, receiver):
        async with queued(feed, 2):
            pass
        without = Fed(engine, feed.account, (), logs=feed.logs)
        async with without.serving():
            await without.sign(critical=False)
            await asyncio.sleep(0.3)
        assert await feed.states() == ["queued", "queued"]
        assert not bodies(receiver)
        async with feed.serving():
            await feed.until(*["delivered"] * 3)
        await accounted_for(feed, receiver)


def configured(engine, key):
    """Return the settings of a site with that key."""
    url = f"sqlite:///{engine.path}" if isinstance(engine, Sqlite) else engine._url
    settings = Settings.model_construct(database=Database(url=SecretStr(url)))
    return Configuration(settings, replace(site(), site_key=key), "test")


async def test_f47_another_site_key_is_refused_and_the_queue_stays_as_it_is(engines):
    engine = engines()
    async with engine.opened(), fed(engine) as (feed, receiver):
        async with queued(feed, 2):
            pass
        before = await rows(engine, BODIES)
        async with opened_store(configured(engine, b"k" * 32)):
            pass
        with pytest.raises(ConfigError, match="site_key"):
            async with opened_store(configured(engine, b"l" * 32)):
                pass
        assert await rows(engine, BODIES) == before
        async with feed.serving():
            await feed.until("delivered", "delivered")
        assert [(one.control_id, one.payload) for one in receiver.messages] == [(str(a), bytes(b)) for a, b in before]
        await assert_all_arrived(feed, receiver)


def shown(authority, asks):
    """Return a server context that demands a client certificate of that authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    asks.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_f47_a_client_certificate_that_is_swapped_is_shown_with_the_next_connection(sqlite_engine, tmp_path):
    server, old, new = trustme.CA(), trustme.CA(), trustme.CA()
    server.cert_pem.write_to_path(tmp_path / "ca.pem")
    for name, authority in (("old", old), ("new", new)):
        authority.issue_cert("gateway.example").private_key_and_cert_chain_pem.write_to_path(tmp_path / f"{name}.pem")
    mine = shutil.copyfile(tmp_path / "old.pem", tmp_path / "client.pem")
    async with fed(sqlite_engine, tls=TlsSettings(tmp_path / "ca.pem", mine)) as (feed, receiver):
        async with queued(feed, 3):
            await receiver.__aexit__(None, None, None)
            receiver.tls = shown(server, new)
            await receiver.__aenter__()
        async with feed.serving():
            await feed.seen("queued", "connect-failed")
            shutil.copyfile(tmp_path / "new.pem", mine)
            await feed.until(*["delivered"] * 3)
        await assert_all_arrived(feed, receiver)


@pytest.mark.parametrize(("manner", "state"), [("close", "indeterminate"), ("ae", "held")])
async def test_f48_a_message_that_no_receiver_survives_holds_its_own_lane_alone(engine, manner, state):
    async with fed(engine) as (feed, receiver), feed.serving():
        poison = feed.account.sign_new(critical=False)
        receiver.ack = f"{manner}:OBR-3={short_id(poison.study_id)}"
        await feed.tell(poison.study_id)
        others = [await feed.sign(critical=False) for _ in range(5)]
        assert (await feed.held_lane())[0] == poison.study_id
        await feed.until(state, *["delivered"] * 5)
        await feed.add(others[0])
        await feed.until(state, *["delivered"] * 6)
        assert len([one for one in receiver.messages if one.answer == "AA"]) == 6
        await accounted_for(feed, receiver, ends=(state, "delivered"), repeats=True)


async def test_f48_a_study_of_which_no_message_can_be_made_holds_up_no_other(engine, monkeypatch):
    async with fed(engine) as (feed, receiver), feed.serving():
        poison = feed.account.sign_new(critical=False)

        def fails(made, asked, **named):
            if asked.study.study_id == poison.study_id:
                raise ZeroDivisionError(asked.study.completed[0].text)
            return oru_of(made, asked, **named)

        monkeypatch.setattr(compose, "oru_of", fails)
        await feed.tell(poison.study_id)
        for _ in range(3):
            await feed.sign(critical=False)
        await feed.until(*["delivered"] * 3)
        assert [
            tuple(one) for one in await rows(engine, "SELECT state, reason FROM outbox ORDER BY number LIMIT 1")
        ] == [("held", "not-made")]
        assert [one["study_id"] for one in feed.logs if one["event"] == "message-not-made"] == [poison.study_id]
        assert not [one for one in feed.logs if one["event"] == "feed-interrupted"]
        monkeypatch.undo()
        feed.account.change_text(poison.report_id, "FINDINGS: another text.")
        await feed.tell(poison.study_id)
        await feed.until(*["delivered"] * 4)
        feed.logs[:] = [
            {**one, "exc_info": None} for one in feed.logs
        ]  # gateway/runtime/log.py writes only the exception's type
        await assert_all_arrived(feed, receiver)


def copy(template, number, size):
    """Return a copy of a message, enlarged by `size` bytes, with its own MSH-10, for one of many studies."""
    control_id = f"B{number:019d}"
    body = (
        template.replace(field(template, "MSH-10").encode(), control_id.encode()).rstrip(b"\r")
        + b"\rNTE|1||"
        + b"x" * size
        + b"\r"
    )
    study_id, report_id = f"stu_{number % 997:032x}", f"rep_{number:032x}"
    return study_id, NewMessage(
        number, report_id, "signed", "v", control_id, report_id, (short_id(report_id),), (report_id,), "pat-1",
        is_whole=False, is_draft=False, is_critical=False, priority=1, signed=None, body=body,
    )  # fmt: skip


def all_added(template, numbers, size):
    """Add copies to the queue."""
    for number in numbers:
        study_id, one = copy(template, number, size)
        yield from add_message("ehr", study_id, one, number)


@pytest.mark.parametrize(("count", "size"), BACKLOG.both())
async def test_f49_a_backlog_leaves_in_its_order_and_is_not_held_in_memory(sqlite_engine, count, size, tmp_path, say):
    came = []
    async with fed(sqlite_engine) as (feed, receiver):
        async with feed.serving():
            await feed.sign(critical=False)
            await feed.until("delivered")
        (template,) = bodies(receiver)
        receiver.on_message = lambda message: came.append(message.control_id)
        with feeding(feed, tmp_path / "log") as process:
            async with asyncio.timeout(20):
                while "feed-serves" not in process.logged():
                    await asyncio.sleep(0.02)
            before, grown, began = process.memory, 0, clock.monotonic()
            for start in range(0, count, 500):
                numbers = range(start, min(start + 500, count))
                await sqlite_engine.do(partial(all_added, template, numbers, size))
            async with asyncio.timeout(1_500):
                while len(came) < count:
                    grown = max(grown, process.memory - before)
                    await asyncio.sleep(0.05)
            seconds = clock.monotonic() - began
            await feed.all_delivered()
        assert came == [f"B{number:019d}" for number in range(count)]
        say(f"{count} messages of {size // 1000} kB in order in {seconds:.1f} s; memory grew by {grown >> 20} MiB")
        assert grown < 24 << 20 < count * size


async def test_f50_what_an_operator_sends_again_follows_what_is_on_its_way_under_an_id_of_its_own(engine):
    async with fed(engine, "slow:seconds=0.2") as (feed, receiver), feed.serving():
        signed = await feed.sign(critical=False)
        async with asyncio.timeout(60):
            while not receiver.messages:
                await asyncio.sleep(0.01)
        again = Replay(engine, feed.destinations[0], USUAL)
        await again.add(signed.study_id, None, micros(clock.now()))
        await again.flush(micros(clock.now()))
        await feed.add(signed)
        await feed.sign(critical=False)
        await feed.all_delivered()
        assert len(set(ids(receiver.messages))) == len(receiver.messages)
        own = [one for one in receiver.messages if field(one.payload, "OBR-3").startswith(short_id(signed.study_id))]
        assert [field(one.payload, "OBR-25") for one in own] == ["F", *["C"] * (len(own) - 1)]
        assert len(own) >= 2
        await assert_all_arrived(feed, receiver, ends={*await feed.states()})
