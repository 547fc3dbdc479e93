"""Decision D48, HL7 v2.5.1 §2.9: a message is committed before it is acknowledged, whatever its sender does wrong.

HL7 Transport Specification: MLLP, Release 1.
"""

from __future__ import annotations

import asyncio
import sqlite3
import ssl
from contextlib import closing
from ipaddress import ip_network
from urllib.parse import urlsplit

import pytest
import trustme
from fakes.bringing import bringing
from fakes.hospital_source import Hospital, hl7, hospital_source, merging, msh, ordering, visiting
from fakes.relay import Relay
from fakes.store import rows

from gateway.ingest.orders.inbox import MOST_BYTES, source_listener
from gateway.mllp import caller, listener
from gateway.mllp.framing import encode
from gateway.runtime.errors import StoreUnavailable
from gateway.runtime.loops import alongside
from gateway.runtime.tls import TlsSettings
from gateway.store.database.kept import decompressed
from gateway.store.database.migrate import migrate
from gateway.store.database.postgres import Postgres

STORED = "SELECT control_id, structure, state FROM inbound ORDER BY number"


class Desk(Hospital):
    """City's listener, and a sender that connects to it."""

    def __init__(self, engine, **changes):
        super().__init__(engine, hospital_source(**changes))

    def listening(self):
        return alongside([source_listener(self.source, self.engine, self.metrics).run()])

    def calling(self, tls=None):
        return bringing((self.source.host, self.source.port), tls)

    def outcomes(self, outcome):
        return self.counted("orders_received_total", outcome=outcome)


async def answered(sender, *payloads):
    await sender.bring(*payloads)
    return [(one.code, one.control_id) for one in [await sender.told() for _ in payloads] if one]


async def test_what_is_acknowledged_is_in_the_store(engine):
    desk = Desk(engine)
    async with desk.listening(), desk.calling() as sender:
        for number in range(5):
            assert await answered(sender, ordering(control_id=str(number))) == [("AA", str(number))]
            assert len(await rows(engine, STORED)) == number + 1
    assert await rows(engine, STORED) == [(str(number), "ORM^O01", "waiting") for number in range(5)]
    assert desk.outcomes("stored") == 5


async def test_many_messages_at_once_are_answered_and_stored_in_their_order(engine):
    desk = Desk(engine)
    names = [str(number) for number in range(100)]
    async with desk.listening(), desk.calling() as sender:
        sent = await answered(sender, *(ordering(control_id=name) for name in names))
    assert sent == [("AA", name) for name in names]
    assert [name for name, _, _ in await rows(engine, STORED)] == names


async def test_a_duplicate_is_accepted_and_not_stored_and_other_bytes_are_another_message(engine):
    desk = Desk(engine)
    async with desk.listening(), desk.calling() as sender:
        assert await answered(sender, ordering(), ordering(), ordering(minute=1)) == [("AA", "1")] * 3
    assert len(await rows(engine, STORED)) == 2
    assert (desk.outcomes("stored"), desk.outcomes("duplicate")) == (2, 1)


@pytest.mark.parametrize(
    ("changes", "payload", "code", "outcome"),
    [
        ({}, ordering().replace(b"ORM^O01", b"MDM^T02"), "AA", "not-listed"),
        ({"rejects_unlisted": True}, ordering().replace(b"ORM^O01", b"MDM^T02"), "AR", "not-listed"),
        ({"message_types": frozenset({"ORM^O01"})}, visiting(), "AA", "not-listed"),
        ({"sections": frozenset({"RAD"})}, ordering(), "AA", "not-radiology"),
        ({"receiving_applications": frozenset({"RIS"})}, ordering(), "AA", "not-radiology"),
        ({"processing_ids": frozenset({"T"})}, ordering(), "AR", "wrong-processing-id"),
        ({"senders": frozenset({("OTHER", "CITY")})}, ordering(), "AR", "other-sender"),
        ({}, b"GET / HTTP/1.1\r\n", "AE", "unreadable"),
        ({}, b"", "AE", "unreadable"),
        ({}, b"MSH", "AE", "unreadable"),
    ],
)
async def test_what_is_not_taken_is_answered_and_not_stored(sqlite_engine, changes, payload, code, outcome):
    desk = Desk(sqlite_engine, **changes)
    async with desk.listening(), desk.calling() as sender:
        await sender.bring(payload)
        assert (await sender.told()).code == code
        assert await answered(sender, merging(control_id="9").replace(b"ADT^A40", b"MDM^T02"))  # it goes on
    assert await rows(sqlite_engine, STORED) == []
    assert desk.outcomes(outcome) >= 1


async def test_an_acknowledgement_is_not_answered(sqlite_engine):
    desk = Desk(sqlite_engine)
    async with desk.listening(), desk.calling() as sender:
        await sender.bring(b"MSH|^~\\&|A|B|C|D|20260105||ACK|1|P|2.5.1\rMSA|AA|7\r", ordering(control_id="2"))
        assert (await sender.told()).control_id == "2"
    assert desk.outcomes("acknowledgement") == 1


async def test_while_the_store_cannot_be_reached_nothing_is_answered_and_the_connection_is_closed(engine, monkeypatch):
    desk = Desk(engine)

    async def lost(_):
        raise StoreUnavailable("gone")

    async with desk.listening():
        with monkeypatch.context() as patch:
            patch.setattr(engine, "do", lost)
            async with desk.calling() as sender:
                await sender.bring(ordering(), ordering(control_id="2"))
                assert await sender.told() is None
        async with desk.calling() as sender:
            assert await answered(sender, ordering()) == [("AA", "1")]
    assert [name for name, _, _ in await rows(engine, STORED)] == ["1"]


async def test_of_a_message_with_a_laboratory_order_only_radiology_is_in_the_store(engine):
    desk = Desk(engine, sections=frozenset({"RAD"}))
    laboratory = (
        "ORC|NW|L7",
        "OBR|2|L7||HIV^HIV RNA||||||||||||||||||||LAB",
        "NTE|1||HIV known",
        "OBX|1|ST|HIV||positive",
    )
    radiology = ordering().decode().split("\r")[:-1]
    payload = hl7(*radiology[:-1], f"{radiology[-1]}||||||RAD", *laboratory)
    async with desk.listening(), desk.calling() as sender:
        assert await answered(sender, payload, payload) == [("AA", "1")] * 2
        [(body,)] = await rows(engine, "SELECT body FROM inbound")
        assert not any(one in decompressed(body) for one in (b"L7", b"HIV", b"positive", b"LAB"))
        assert await answered(sender, hl7(*radiology[:-2], *laboratory)) == [("AA", "1")]
    assert (desk.outcomes("stored"), desk.outcomes("duplicate"), desk.outcomes("not-radiology")) == (1, 1, 1)
    await desk.applying.turn()
    assert [one.order.placer.value for one in await desk.orders()] == ["P1"]
    assert await desk.states() == [("applied", "order-not-radiology")]


async def ends_unanswered(desk):
    """Bring a message that the database does not take; the connection ends within ten seconds."""
    async with desk.calling() as sender:
        await sender.bring(ordering())
        assert await sender.told(within=10.0) is None


async def is_stored_once(desk):
    async with desk.calling() as sender:
        assert await answered(sender, ordering()) == [("AA", "1")]
    assert [name for name, _, _ in await rows(desk.engine, STORED)] == ["1"]


async def test_a_database_that_accepts_and_never_answers_ends_the_connection_within_ten_seconds(postgres_database):
    parts = urlsplit(postgres_database)
    relay = Relay(parts.port)
    async with relay.running():
        engine = Postgres(postgres_database.replace(f":{parts.port}", f":{relay.port}"))
        async with engine.opened():
            await migrate(engine)
            desk = Desk(engine)
            async with desk.listening():
                relay.freeze()
                await ends_unanswered(desk)
                relay.thaw()
                await is_stored_once(desk)


async def test_a_locked_file_ends_the_connection_within_ten_seconds(sqlite_engine):
    desk = Desk(sqlite_engine)
    async with desk.listening():
        with closing(sqlite3.connect(sqlite_engine.path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            await ends_unanswered(desk)
            other.execute("ROLLBACK")
        await is_stored_once(desk)


# Faults of a sender


async def test_half_a_frame_is_not_stored_and_the_next_connection_is_served(sqlite_engine):
    desk = Desk(sqlite_engine)
    whole = encode(ordering())
    async with desk.listening():
        for cut in (1, len(whole) // 2, len(whole) - 2):
            async with desk.calling() as sender:
                await sender.write(whole[:cut])
        async with desk.calling() as sender:
            await sender.write(whole[: len(whole) // 2] + whole)
            assert (await sender.told()).code == "AA"
    assert len(await rows(sqlite_engine, STORED)) == 1
    assert desk.outcomes("frame-cut") >= 1


async def test_a_frame_that_trickles_in_byte_by_byte_is_read_whole(sqlite_engine):
    desk = Desk(sqlite_engine)
    async with desk.listening(), desk.calling() as sender:
        for byte in encode(ordering()):
            await sender.write(bytes([byte]))
        assert (await sender.told()).code == "AA"


@pytest.mark.full
async def test_a_sender_that_reads_no_answer_is_closed_and_loses_nothing_that_was_acknowledged(
    sqlite_engine, monkeypatch
):
    monkeypatch.setattr(caller, "UNHEARD", 2_000)
    desk = Desk(sqlite_engine)
    async with desk.listening():
        async with desk.calling() as sender:
            sender.writer.transport.pause_reading()
            sender.writer.transport.get_extra_info("socket").setsockopt(1, 8, 2_048)  # SO_RCVBUF
            with pytest.raises((ConnectionError, TimeoutError)):
                async with asyncio.timeout(5):
                    for number in range(100_000):
                        await sender.write(encode(ordering(control_id=str(number))))
        async with desk.calling() as other:
            assert await answered(other, ordering(control_id="x")) == [("AA", "x")]
    names = [name for name, _, _ in await rows(sqlite_engine, STORED) if name != "x"]
    assert names == [str(number) for number in range(len(names))]


TOO_LARGE = f"OBX|1|ED|PDF||^AP^PDF^Base64^{'A' * MOST_BYTES}"


async def test_a_frame_over_the_limit_is_refused_under_its_control_id_and_the_next_message_is_taken(sqlite_engine):
    desk = Desk(sqlite_engine)
    async with desk.listening(), desk.calling() as sender:
        assert await answered(sender, hl7(msh("ORU^R01", "77"), TOO_LARGE), ordering()) == [("AE", "77"), ("AA", "1")]
        assert await answered(sender, hl7(msh("ORU^R01", "78", enhanced="AL|NE"), TOO_LARGE)) == [("CE", "78")]
    assert desk.outcomes("frame-too-large") == 2
    assert [name for name, _, _ in await rows(sqlite_engine, STORED)] == ["1"]


@pytest.mark.parametrize("head", ["", "x", msh() + "x" * 5_000])
async def test_a_frame_over_the_limit_whose_header_cannot_be_read_is_refused_without_a_control_id(sqlite_engine, head):
    desk = Desk(sqlite_engine)
    async with desk.listening(), desk.calling() as sender:
        await sender.write(b"\x0b" + head.encode() + b"x" * (MOST_BYTES + 1))
        assert [(one.code, one.control_id) for one in [await sender.told()]] == [("AE", "")]
        assert await answered(sender, ordering()) == [("AA", "1")]  # VT begins the next frame


async def test_an_acknowledgement_over_the_limit_is_not_answered(sqlite_engine):
    desk = Desk(sqlite_engine)
    async with desk.listening(), desk.calling() as sender:
        await sender.bring(hl7(msh("ACK", "77"), "MSA|AA|7", TOO_LARGE), ordering())
        assert (await sender.told()).control_id == "1"


async def test_a_result_with_a_document_on_a_shared_interface_is_answered_and_not_stored(sqlite_engine):
    desk = Desk(sqlite_engine)
    document = f"OBX|1|ED|PDF||^AP^PDF^Base64^{'QUJD' * 1_000_000}"
    async with desk.listening(), desk.calling() as sender:
        assert await answered(sender, hl7(msh("ORU^R01"), document)) == [("AA", "1")]
        assert await answered(sender, ordering(control_id="2")) == [("AA", "2")]
    assert [name for name, _, _ in await rows(sqlite_engine, STORED)] == ["2"]


@pytest.mark.parametrize(
    "payload",
    [
        ordering().decode().replace("DOE", "DÖÉ").encode("latin-1"),
        ordering().decode().replace("DOE", "土居").encode("shift-jis"),
        ordering().decode().encode("utf-16"),
        b"\xef\xbb\xbf" + ordering(),
        ordering().replace(b"\r", b"\r\n"),
        ordering().replace(b"DOE", b"\xff\xfe\x00\x80"),
    ],
)
async def test_a_wrong_encoding_loses_no_order(engine, payload):
    desk = Desk(engine)
    async with desk.listening(), desk.calling() as sender:
        assert await answered(sender, payload) == [("AA", "1")]
    await desk.applying.turn()
    (stored,) = await desk.orders()
    assert (stored.order.placer.value, stored.order.accession.value) == ("P1", "A1")


async def test_a_flood_over_many_connections_is_stored_whole(engine):
    desk = Desk(engine)

    async def floods(who):
        async with desk.calling() as sender:
            return await answered(sender, *(ordering(control_id=f"{who}-{n}", placer=f"P{who}-{n}") for n in range(25)))

    async with desk.listening():
        answers = await asyncio.gather(*(floods(who) for who in range(listener.MOST_OF_A_PEER)))
    assert sorted(name for told in answers for _, name in told) == sorted(
        name for name, _, _ in await rows(engine, STORED)
    )
    assert len(await rows(engine, STORED)) == 25 * listener.MOST_OF_A_PEER


# Who is let in


async def test_a_stranger_is_turned_away(sqlite_engine):
    desk = Desk(sqlite_engine, peers=(ip_network("10.1.2.3/32"),))
    async with desk.listening(), desk.calling() as sender:
        assert await sender.told() is None
    assert desk.outcomes("turned_away") == 1


async def test_with_authorities_of_clients_only_a_sender_with_their_certificate_is_heard(sqlite_engine, tmp_path):
    authority, own = trustme.CA(), tmp_path / "own.pem"
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(own)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    desk = Desk(sqlite_engine, tls=TlsSettings(tmp_path / "ca.pem", own))
    bare, shown = ssl.create_default_context(), ssl.create_default_context()
    for context in (bare, shown):
        authority.configure_trust(context)
    authority.issue_cert("his@example.org").configure_cert(shown)
    async with desk.listening():
        async with desk.calling(shown) as sender:
            assert await answered(sender, ordering()) == [("AA", "1")]
        with pytest.raises(OSError):
            async with desk.calling(bare) as sender:
                await sender.bring(ordering(control_id="2"))
                if await sender.told() is None:
                    raise ConnectionResetError
    assert [name for name, _, _ in await rows(sqlite_engine, STORED)] == ["1"]
