"""Facts stored with each attempt over real connections: the peer, its certificate, and its answer (D39).

RFC 8446, RFC 5280.
"""

from __future__ import annotations

import hashlib
import json
import ssl

import pytest
import trustme
from fakes.fed import assert_nothing_of_a_patient, fed, stopped

from gateway.mllp.link import link, numbered, towards
from gateway.runtime.tls import TlsSettings
from gateway.store.feed.messages import attempts_of, late_answer


async def kept(feed, number=1):
    return [(json.loads(one.attempt.connection), one) for one in await attempts_of(feed.engine, number)]


async def test_over_tls_the_certificate_of_the_receiver_is_named(sqlite_engine, tmp_path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    own = authority.issue_cert("127.0.0.1", common_name="ehr.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.configure_cert(context)
    async with (
        fed(sqlite_engine, tls=TlsSettings(ca_file=tmp_path / "ca.pem"), window=3) as (feed, receiver),
        feed.serving(),
    ):
        async with stopped(receiver):
            receiver.tls = context
        await feed.sign(critical=False)
        await feed.until("delivered")
        *_, (where, one) = await kept(feed)
    der = ssl.PEM_cert_to_DER_cert(own.cert_chain_pems[0].bytes().decode())
    assert (where["peer"], where["tls"]) == (f"127.0.0.1:{receiver.port}", "TLSv1.3")
    assert (where["subject"], where["sha256"]) == ("ehr.example", hashlib.sha256(der).hexdigest())
    assert (where["connection"] in {1, 2, 3}, where["of"]) == (True, 3)
    assert one.attempt.answer.startswith(b"MSH|")
    assert one.attempt.begun <= one.attempt.ended


async def test_the_answer_of_who_refuses_is_kept_as_it_came_and_stands_in_no_log(sqlite_engine):
    async with fed(sqlite_engine, "ae:1") as (feed, receiver), feed.serving():
        await feed.sign(critical=False)
        await feed.until("held")
        [(where, one)] = await kept(feed)
    assert where == {"peer": f"127.0.0.1:{receiver.port}", "connection": 1, "of": 1}
    assert (one.state, one.ack) == ("held", "AE")
    assert b"\rMSA|AE|" in one.attempt.answer
    assert_nothing_of_a_patient(feed, repr(feed.logs))
    assert "MSA" not in repr(feed.logs)


async def test_what_came_and_is_no_answer_to_the_message_is_kept_too(sqlite_engine):
    async with fed(sqlite_engine, "wrong-id:1", ack_timeout=0.2) as (feed, _), feed.serving():
        await feed.sign(critical=False)
        await feed.until("delivered")
        first, second = await kept(feed)
    assert (first[1].state, first[1].ack, second[1].ack) == ("indeterminate", "", "AA")
    assert first[1].attempt.answer.startswith(b"MSH|") and first[1].attempt.answer != second[1].attempt.answer


async def test_where_nobody_listens_it_is_kept_where_the_connection_was_to_go(sqlite_engine):
    async with fed(sqlite_engine) as (feed, receiver), stopped(receiver), feed.serving():
        await feed.sign(critical=False)
        await feed.until_rows("SELECT 1 FROM attempt", bool)
        (where, one), *_ = await kept(feed)
    assert where["to"] == f"mllp 127.0.0.1:{receiver.port}"
    assert (one.state, one.reason, one.attempt.answer) == ("queued", "connect-failed", b"")


@pytest.mark.full
async def test_what_the_application_says_later_is_kept_with_the_connection_that_it_came_over(sqlite_engine):
    async with fed(sqlite_engine, "ca-aa", ack_mode="two_phase") as (feed, receiver), feed.serving():
        await feed.sign(critical=False)
        await feed.until_rows("SELECT place FROM attempt", lambda found: len(found) == 2)
        (_, first), (where, second) = await kept(feed)
    assert (first.ack, second.ack, second.attempt.begun) == ("CA", "AA", None)
    assert (where["peer"], where["when"]) == (f"127.0.0.1:{receiver.port}", "late")


def test_an_address_of_ipv6_stands_in_brackets():
    assert json.loads(link({"peername": ("::1", 2575, 0, 0)}.get)) == {"peer": "[::1]:2575"}
    assert json.loads(link(lambda _: None, by="receiver")) == {"by": "receiver"}


def test_of_a_way_without_connections_its_name_is_kept():
    assert json.loads(numbered(towards("file /out"), 1, 1)) == {"to": "file /out", "connection": 1, "of": 1}
    assert json.loads(late_answer("", b"").connection) == {"when": "late"}
