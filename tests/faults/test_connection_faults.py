"""Faults of the connection, F1 to F15: a peer that is absent, leaves, stops in the middle, or stops reading.

HL7 v2.5.1 §2.9.2 over HL7 Transport Specification: MLLP, Release 1.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import socket
import ssl
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

import pytest
import trustme
from fakes.fed import assert_all_arrived, bodies, fed, ids, stopped
from fakes.store import rows

from gateway.mllp import connection
from gateway.mllp.connection import Connection
from gateway.routing import Retry
from gateway.runtime.tls import TlsSettings
from gateway.sandbox.receiver import MllpReceiver

DOUBTS = "SELECT doubts FROM message ORDER BY number"
LARGE = "A" * 5_000_000  # more than the kernels of both sides hold together


async def doubts(feed):
    return [int(count) for (count,) in await rows(feed.engine, DOUBTS)]


async def test_f1_a_refused_connection_is_tried_again_until_somebody_listens(engine):
    async with fed(engine) as (feed, receiver), feed.serving():
        async with stopped(receiver):
            await feed.sign()
            await feed.seen("queued", "connect-failed")
        await feed.until("delivered")
        assert await doubts(feed) == [0]
        await assert_all_arrived(feed, receiver)


@contextmanager
def black_hole(port):
    """Make a port whose SYNs get no answer: it has a listener, but the queue of connections is full."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        yield


async def test_f2_a_syn_black_hole_is_given_up_in_time_and_nothing_counts_as_sent(sqlite_engine):
    async with fed(sqlite_engine, connect_timeout=0.2) as (feed, receiver), feed.serving():
        async with stopped(receiver):
            with black_hole(receiver.port):
                await feed.sign()
                await feed.seen("queued", "connect-failed")
        await feed.until("delivered")
        assert await doubts(feed) == [0]
        await assert_all_arrived(feed, receiver)


async def test_f3_a_name_that_fails_and_then_changes_is_looked_up_again(sqlite_engine, monkeypatch):
    address, really = "", socket.getaddrinfo

    def looked_up(host, *more, **named):
        if host != "engine.hospital.test":
            return really(host, *more, **named)
        if not address:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return really(address, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    async with fed(sqlite_engine, host="engine.hospital.test") as (feed, receiver), feed.serving():
        await feed.sign()
        await feed.seen("queued", "connect-failed")
        address = "127.0.0.1"
        await feed.until("delivered")
        address = "127.0.0.2"
        async with MllpReceiver(host=address, port=receiver.port) as moved, stopped(receiver):
            await feed.sign()
            await feed.until("delivered", "delivered")
            assert len(moved.messages) == 1
            await assert_all_arrived(feed, receiver, moved)


@pytest.mark.parametrize("manner", ["close-at-once", "reset-at-once"], ids=["f4", "f5"])
async def test_f4_f5_a_connection_that_ends_as_soon_as_it_is_open_costs_no_message(engine, manner):
    async with fed(engine, f"{manner}:3") as (feed, receiver), feed.serving():
        await feed.sign()
        await feed.until("delivered")
        await assert_all_arrived(feed, receiver)


@pytest.mark.parametrize("text", ["", LARGE], ids=["small", "large"])
async def test_f6_a_reset_in_the_middle_of_a_frame_is_in_doubt_and_sent_again(sqlite_engine, text):
    async with fed(sqlite_engine, "reset-in-frame") as (feed, receiver), feed.serving():
        await feed.sign(text)
        await feed.seen("indeterminate", "send-failed" if text else "connection-lost")
        receiver.ack = "aa"
        await feed.until("delivered")
        await assert_all_arrived(feed, receiver)


@pytest.mark.parametrize("manner", ["reset", "close"])
async def test_f7_a_reset_after_the_frame_and_before_the_ack_sends_the_same_bytes_again(engine, manner):
    async with fed(engine, manner) as (feed, receiver), feed.serving():
        await feed.sign()
        await feed.seen("indeterminate", "connection-lost")
        receiver.ack = "aa"
        await feed.until("delivered")
        assert len(bodies(receiver)) > len(set(bodies(receiver))) == 1
        await assert_all_arrived(feed, receiver, repeats=True)


async def test_f7_a_message_that_is_in_doubt_for_long_holds_its_lane_and_no_other(engine):
    async with fed(engine, "close:6") as (feed, receiver), feed.serving():
        first = await feed.sign()
        assert await feed.held_lane() == (first.study_id, "indeterminate")
        await feed.add(first)
        await feed.sign()
        await feed.until("indeterminate", "held", "delivered")
        assert len(bodies(receiver)) == 7
        await assert_all_arrived(feed, receiver, repeats=True, ends=("indeterminate", "held", "delivered"))


async def test_f7_a_peer_that_never_answers_is_not_sent_one_lane_after_the_other(sqlite_engine):
    async with fed(sqlite_engine, "close") as (feed, receiver):
        for _ in range(20):
            await feed.sign()
        async with feed.serving():
            await feed.seen("indeterminate", "connection-lost")
            await asyncio.sleep(0.8)
            assert len(bodies(receiver)) < 10
            receiver.ack = "aa"
            await feed.until(*["delivered"] * 20)
        await assert_all_arrived(feed, receiver, repeats=True)


async def test_f8_a_reset_in_the_middle_of_the_ack_sends_the_same_bytes_again(engine):
    async with fed(engine, "reset-in-ack") as (feed, receiver), feed.serving():
        await feed.sign()
        await feed.seen("indeterminate", "connection-lost")
        receiver.ack = "aa"
        await feed.until("delivered")
        await assert_all_arrived(feed, receiver, repeats=True)


async def test_f9_a_half_close_by_the_peer_is_noticed_at_once_and_answered_by_a_new_connection(sqlite_engine):
    """Bytes read before the FIN may have been filed: as with a reset (F7), the same bytes come again."""
    async with fed(sqlite_engine, "half-close:1", ack_timeout=60) as (feed, receiver), feed.serving():
        await feed.sign()
        await feed.seen("indeterminate", "connection-lost")
        await feed.until("delivered")
        assert len(bodies(receiver)) == 2
        await assert_all_arrived(feed, receiver, repeats=True)


async def test_f10_a_connection_that_a_firewall_dropped_without_a_word_is_left_after_the_ack_timeout(sqlite_engine):
    async with fed(sqlite_engine, "silent:1", ack_timeout=0.3) as (feed, receiver), feed.serving():
        await feed.sign()
        await feed.until("delivered")
        await feed.sign()
        await feed.seen("indeterminate", "ack-timeout")
        await feed.until("delivered", "delivered")
        await assert_all_arrived(feed, receiver)


async def test_f10_of_a_receiver_that_hangs_one_lane_is_held_and_all_others_arrive_when_it_answers(engine):
    quickly = Retry(first=0.02, cap=0.05, jitter=0.0, indeterminate_resends=1, in_flight=0.0)
    async with fed(engine, "none", ack_timeout=0.1, retry=quickly) as (feed, receiver), feed.serving():
        for _ in range(4):
            await feed.sign()
        await feed.held_lane()
        await feed.until_rows("SELECT sum(attempts) FROM message", lambda found: int(found[0][0]) > 8, 30)
        await feed.held_lane()
        receiver.ack = "aa"
        await feed.until("indeterminate", "delivered", "delivered", "delivered")
        await assert_all_arrived(feed, receiver, repeats=True, ends=("indeterminate", "delivered"))


async def test_f11_a_peer_that_restarts_gets_what_came_meanwhile_once_and_in_order(engine):
    async with fed(engine) as (feed, receiver), feed.serving():
        first = await feed.sign()
        await feed.until("delivered")
        async with stopped(receiver):
            await feed.add(first)
            await feed.sign()
            await feed.seen("queued", "connect-failed")
        await feed.until("delivered", "delivered", "delivered")
        async with stopped(receiver):
            pass
        await feed.sign()
        await feed.until(*["delivered"] * 4)
        assert await doubts(feed) == [0] * 4
        await assert_all_arrived(feed, receiver)


async def test_f12_a_peer_that_closes_after_every_message_costs_no_doubt_and_no_wait(engine):
    async with fed(engine, "close-after") as (feed, receiver), feed.serving():
        for _ in range(8):
            await feed.sign()
        await feed.until(*["delivered"] * 8)
        assert await doubts(feed) == [0] * 8
        assert not [entry for entry in feed.logs if entry["event"] == "message-not-acknowledged"]
        await assert_all_arrived(feed, receiver)


async def test_f12_a_close_that_is_noticed_only_when_the_next_message_is_due_costs_no_wait(sqlite_engine, monkeypatch):
    monkeypatch.setattr(Connection, "usable", True)
    async with fed(sqlite_engine, "close-after", retry=Retry(first=60)) as (feed, receiver), feed.serving():
        for _ in range(4):
            await feed.sign()
        await feed.until(*["delivered"] * 4)
        assert await doubts(feed) == [0] * 4
        await assert_all_arrived(feed, receiver)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    folder, authority = tmp_path_factory.mktemp("pki"), trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    authority.issue_cert("gateway.example").private_key_and_cert_chain_pem.write_to_path(folder / "client.pem")
    return authority, folder / "ca.pem"


def shown(authority, *names, asks=None, **more):
    """Return a server context with a certificate for these names; `asks` demands a client certificate of that CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*(names or ("127.0.0.1",)), **more).configure_cert(context)
    if asks is not None:
        asks.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


REFUSED = {
    "expired": lambda own: shown(own, not_after=datetime(2024, 1, 1, tzinfo=UTC)),
    "wrong host": lambda own: shown(own, "engine.example"),
    "untrusted": lambda own: shown(trustme.CA()),
    "client certificate refused": lambda own: shown(own, asks=own),
    "no TLS": lambda own: None,
}


@pytest.mark.parametrize("fault", REFUSED)
async def test_f13_tls_that_is_not_agreed_sends_nothing_and_puts_nothing_in_doubt(sqlite_engine, authority, fault):
    own, file = authority
    async with (
        fed(sqlite_engine, tls=TlsSettings(ca_file=file), connect_timeout=0.3) as (feed, receiver),
        feed.serving(),
    ):
        async with stopped(receiver):
            receiver.tls = REFUSED[fault](own)
        await feed.sign()
        await feed.seen("queued", "connect-failed")
        async with stopped(receiver):
            receiver.tls = shown(own)
        await feed.until("delivered")
        assert await doubts(feed) == [0]
        await assert_all_arrived(feed, receiver)


async def test_f13_a_tls_connection_that_breaks_in_mid_stream_is_in_doubt(sqlite_engine, authority):
    own, file = authority
    async with fed(sqlite_engine, tls=TlsSettings(ca_file=file)) as (feed, receiver), feed.serving():
        async with stopped(receiver):
            receiver.tls, receiver.ack = shown(own), "reset"
        await feed.sign()
        await feed.seen("indeterminate", "connection-lost")
        receiver.ack = "aa"
        await feed.until("delivered")
        await assert_all_arrived(feed, receiver, repeats=True)


async def test_f13_a_rotated_authority_is_taken_up_with_the_next_connection(sqlite_engine, authority, tmp_path):
    own, file = authority
    trusted, new = shutil.copy(file, tmp_path / "ca.pem"), trustme.CA()
    async with fed(sqlite_engine, tls=TlsSettings(ca_file=trusted)) as (feed, receiver), feed.serving():
        async with stopped(receiver):
            receiver.tls = shown(own)
        await feed.sign()
        await feed.until("delivered")
        async with stopped(receiver):
            receiver.tls = shown(new)
        trusted.unlink()
        await feed.sign()
        await feed.seen("queued", "connect-failed")
        new.cert_pem.write_to_path(trusted)
        await feed.until("delivered", "delivered")
        await assert_all_arrived(feed, receiver)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EADDRNOTAVAIL], ids=os.strerror)
async def test_f14_a_process_out_of_files_or_local_ports_sends_later(sqlite_engine, monkeypatch, number):
    really, opened = connection._connect, []

    async def connect(*asked):
        opened.append(asked)
        if len(opened) < 4:
            raise OSError(number, os.strerror(number))
        await really(*asked)

    monkeypatch.setattr(connection, "_connect", connect)
    async with fed(sqlite_engine) as (feed, receiver), feed.serving():
        for _ in range(5):
            await feed.sign()
        await feed.until(*["delivered"] * 5)
        assert len(opened) == 4, "one connection is kept for all messages"
        assert len(ids(receiver.messages)) == 5
        await assert_all_arrived(feed, receiver)


async def test_f15_a_zero_window_in_the_middle_of_a_large_message_is_left_when_time_is_up(sqlite_engine):
    async with fed(sqlite_engine, "zero-window:1", ack_timeout=1) as (feed, receiver), feed.serving():
        await feed.sign(LARGE)
        await feed.seen("indeterminate", "send-failed")
        await feed.until("delivered")
        await assert_all_arrived(feed, receiver)
