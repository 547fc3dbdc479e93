"""Faults of a lease, F69 to F72: a holder that freezes while it connects or writes, or whose database freezes.

Decision D33. Real processes, TLS and PostgreSQL; tests/simulation runs thousands of such schedules in virtual time.
"""

from __future__ import annotations

import asyncio
import re
import signal
import ssl
import time
from contextlib import asynccontextmanager

import pytest
import trustme
from fakes.fed import destination, fed
from fakes.feed_process import feeding, place_of
from fakes.relay import Relay
from fakes.store import rows

from gateway.runtime.tls import TlsSettings
from gateway.settings.feed import Feed

LEASE = Feed(lease=1)
TIMES = {"connect_timeout": 4.0, "ack_timeout": 2.0}
OVER = LEASE.lease + TIMES["connect_timeout"] + TIMES["ack_timeout"]
CLOSES = "close-after"
OLD, NEW = "OLD TEXT", "NEW TEXT"
STALE = "SELECT number FROM message WHERE stale_until IS NOT NULL"
HOLDER = "SELECT holder FROM destination"


async def until(holds, seconds=60):
    """Wait until a condition holds."""
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def shut_away(engine, tmp_path, **more):
    """Run a holder in its own process, over TLS; its paths to the receiver and to the database can be frozen."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    tls = {"tls": TlsSettings(ca_file=tmp_path / "ca.pem"), **TIMES}
    async with fed(engine, CLOSES, **tls) as (feed, receiver):
        await receiver.__aexit__(None, None, None)
        receiver.tls = context
        await receiver.__aenter__()
        url = place_of(engine)
        port = int(re.search(r":(\d+)/", url)[1])
        wire, store = Relay(receiver.port), Relay(port)
        async with wire.running(), store.running():
            way = {"port": wire.port, "place": url.replace(f":{port}/", f":{store.port}/"), "lease": LEASE.lease, **tls}
            with feeding(feed, tmp_path / "log", **way) as process:
                feed.destinations = (destination(receiver.port, **tls),)
                await feed.until_rows(HOLDER, bool)
                yield feed, receiver, process, wire, store


def said(receiver):
    """Return the text of each received message, in order of arrival."""
    return [OLD if OLD.encode() in one.payload else NEW for one in receiver.messages]


async def corrected(feed, signed):
    """Change the text of a report."""
    feed.account.change_text(signed.report_id, NEW)
    await feed.tell(signed.study_id)


async def repaired(feed):
    """Wait until no message is in doubt."""
    await feed.until_rows(STALE, lambda found: not found, seconds=3 * OVER)
    await feed.all_delivered()


@pytest.mark.parametrize("fault", ["f69_stopped", "f70_database_frozen"])
async def test_f69_f70_a_holder_that_stands_still_while_it_connects_writes_nothing(postgres_engine, tmp_path, fault):
    async with shut_away(postgres_engine, tmp_path) as (feed, receiver, process, wire, store):
        wire.freeze()
        signed = await feed.sign(OLD, critical=False)
        await feed.seen("sending")
        if fault == "f69_stopped":
            process.signal(signal.SIGSTOP)
        else:
            store.freeze()
        async with feed.serving("two", LEASE):
            await until(lambda: said(receiver) == [OLD])
            await corrected(feed, signed)
            await until(lambda: said(receiver) == [OLD, NEW])
            wire.thaw()
            process.signal(signal.SIGCONT)
            await asyncio.sleep(TIMES["connect_timeout"])
            assert said(receiver)[:2] == [OLD, NEW]
            assert OLD not in said(receiver)[2:]
            store.thaw()
            await repaired(feed)
        assert said(receiver) == [OLD, NEW, NEW], "and what an old copy may have come behind is said again"


async def test_f71_an_answer_that_comes_when_the_database_is_frozen_is_written_down_and_nothing_goes_twice(
    postgres_engine, tmp_path
):
    async with shut_away(postgres_engine, tmp_path) as (feed, receiver, process, _, store):
        receiver.ack = "slow:seconds=1.5"
        await feed.sign(OLD, critical=False)
        await until(lambda: receiver.messages)
        store.freeze()
        await until(lambda: "lease-lost" in process.logged() or "feed-interrupted" in process.logged())
        store.thaw()
        await feed.until("delivered")
        assert [tuple(one) for one in await rows(feed.engine, "SELECT attempts, ack FROM message")] == [(1, "AA")]
        assert said(receiver) == [OLD]


@pytest.mark.soak
async def test_f72_what_a_holder_wrote_that_slept_while_it_wrote_is_put_right(postgres_engine, tmp_path):
    """The bytes cannot be stopped: they are in the kernel of the holder's machine, and the network is slow."""
    async with shut_away(postgres_engine, tmp_path) as (feed, receiver, process, wire, _):
        first = await feed.sign(OLD, critical=False)
        await feed.until("delivered")
        receiver.ack = "aa"
        await feed.sign(OLD, critical=False)
        await feed.until("delivered", "delivered")
        wire.freeze()  # the connection stays open: bytes written now stay on their way
        await corrected(feed, first)
        await feed.seen("sending")
        await asyncio.sleep(0.3)
        process.signal(signal.SIGSTOP)
        async with feed.serving("two", LEASE):
            begun = time.monotonic()
            await until(lambda: said(receiver) == [OLD, OLD, NEW])
            feed.account.change_text(first.report_id, "NEWEST TEXT")
            await feed.tell(first.study_id)
            await until(lambda: b"NEWEST" in receiver.messages[-1].payload)
            wire.thaw()
            process.signal(signal.SIGCONT)
            await until(lambda: b"NEWEST" not in receiver.messages[-1].payload or time.monotonic() > begun + OVER)
            await repaired(feed)
        assert b"NEWEST" in receiver.messages[-1].payload
