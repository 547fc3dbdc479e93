"""Listener for acknowledgements over the receiver's own connections: its answers, their timing, and its limits.

HL7 v2.5.1 §2.9.3, table 0155 (MSH-15); HL7 Transport Specification: MLLP, Release 1.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import AsyncExitStack, suppress
from ipaddress import ip_network

import pytest
import trustme
from fakes.breakers import breaker
from fakes.bringing import ack, bringing
from fakes.fed import destination
from fakes.lanes import Scene, new
from fakes.ports import free_address
from fakes.store import rows
from structlog.testing import capture_logs

from gateway.feed.compose.hl7v2_payload import HL7V2
from gateway.feed.deliver import late_acks
from gateway.feed.deliver.late_acks import LateAcks
from gateway.mllp import caller, listener
from gateway.mllp.connection import MAX_ACK_BYTES
from gateway.mllp.framing import encode
from gateway.runtime.errors import StoreUnavailable
from gateway.runtime.loops import alongside
from gateway.runtime.metrics import PREFIX, Metrics
from gateway.runtime.tls import TlsSettings
from gateway.settings.feed import Feed
from gateway.store.feed.leases import Leases
from gateway.store.feed.messages import SendResult


class Place:
    """A destination with three committed messages in lanes of their own, and its listener for acknowledgements."""

    def __init__(self, engine, **more):
        self.engine, self.metrics, self.address = engine, Metrics(), free_address()
        self.destination = destination(1, ack_mode="two_phase", ack_listen=self.address, **more)

    async def fill(self):
        scene = Scene(self.engine, await Leases(self.engine, "another", 60.0).take("ehr"))
        for number in (1, 2, 3):
            await scene.add(f"stu_{number}", new(number))
            await scene.deliver()

    def listening(self):
        late = LateAcks(self.engine, self.destination, Feed(), self.metrics, breaker(self.engine))
        return alongside(one.run() for one in late_acks.ack_listener(self.destination, HL7V2, late))

    async def acks(self):
        return [str(one) for (one,) in await rows(self.engine, "SELECT ack FROM message ORDER BY number")]

    def counted(self, outcome):
        labels = {"destination": "ehr", "outcome": outcome}
        return self.metrics.registry.get_sample_value(f"{PREFIX}feed_late_acks_total", labels) or 0


@pytest.fixture
async def place(sqlite_engine):
    made = Place(sqlite_engine)
    await made.fill()
    async with made.listening():
        yield made


async def until(wanted, within=60.0):
    async with asyncio.timeout(within):
        while not await wanted():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("asks", "accepted", "refused"), [("AL", "CA", "CE"), ("SU", "CA", None), ("ER", None, "CE"), ("NE", None, None)]
)
async def test_what_msh_15_asks_for_is_answered_and_nothing_else(place, asks, accepted, refused):
    async with bringing(place.address) as peer:
        await peer.bring(ack(asks=asks), ack("NOBODY", asks=asks), ack("ID2"))
        for code, control_id in ((accepted, "BY-ID1"), (refused, "BY-NOBODY"), ("CA", "BY-ID2")):
            if code is not None:
                told = await peer.told()
                assert (told.code, told.control_id) == (code, control_id)
    assert await place.acks() == ["AA", "AA", "CA"]
    assert place.counted("unmatched") == 1


@pytest.mark.parametrize("asks", ["", "XX"])
async def test_a_peer_of_the_original_mode_is_told_nothing(place, asks):
    async with bringing(place.address) as peer:
        await peer.bring(ack(asks=asks), ack("NOBODY", asks=asks), ack("ID2"))
        assert (await peer.told()).control_id == "BY-ID2"
    assert await place.acks() == ["AA", "AA", "CA"]


async def test_the_answer_names_the_acknowledgement_and_has_an_id_of_its_own(place):
    async with bringing(place.address) as peer:
        await peer.bring(ack(), ack())
        first, again = await peer.told(), await peer.told()
    assert [(one.code, one.control_id, one.errors) for one in (first, again)] == [("CA", "BY-ID1", ())] * 2
    assert place.counted("repeated") == 1


async def test_it_is_answered_after_it_was_written_down_and_not_before(place, monkeypatch):
    gate, do = asyncio.Event(), place.engine.do

    async def gated(work):
        await gate.wait()
        return await do(work)

    monkeypatch.setattr(place.engine, "do", gated)
    async with bringing(place.address) as peer:
        await peer.bring(ack())
        with pytest.raises(TimeoutError):
            await peer.told(within=0.2)
        gate.set()
        assert (await peer.told()).code == "CA"
    assert (await place.acks())[0] == "AA"


async def test_where_it_cannot_be_written_the_connection_ends_and_it_is_brought_again(place, monkeypatch):
    with monkeypatch.context() as broken:

        async def do(_):
            raise StoreUnavailable("full")

        broken.setattr(place.engine, "do", do)
        async with bringing(place.address) as peer:
            await peer.bring(ack())
            assert await peer.told() is None
    assert (await place.acks())[0] == "CA"
    async with bringing(place.address) as peer:
        await peer.bring(ack())
        assert (await peer.told()).code == "CA"
    assert (await place.acks())[0] == "AA"


async def test_one_that_comes_too_early_is_not_answered_and_is_brought_again(place):
    scene = Scene(place.engine, await Leases(place.engine, "another", 60.0).take("ehr"))
    await scene.add("stu_4", new(4))
    (head,) = await scene.heads()
    await scene.step(claims=[head])
    await scene.step([SendResult(head, "indeterminate", "ack-timeout")])
    async with bringing(place.address) as peer:
        await peer.bring(ack("ID4"))
        assert await peer.told() is None
    assert (await place.acks())[3] == ""
    assert place.counted("too_early") == 1


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (b"this is no HL7", None),
        (b"", None),
        (b"MSH|^~\\&|EHR|B|GW|A|1||ADT^A01|X1|P|2.5.1|||AL\rPID|1\r", "CR"),
        (b"MSH|^~\\&|EHR|B|GW|A|1||ACK|X1|P|2.5.1|||ER\rMSA|OK|ID1\r", "CR"),
        (b"MSH|^~\\&|EHR|B|GW|A|1||ADT^A01|X1|P|2.5.1|||SU\rPID|1\r", None),
    ],
)
async def test_what_is_no_acknowledgement_changes_nothing(place, payload, told):
    async with bringing(place.address) as peer:
        await peer.bring(payload, ack("ID2"))
        if told is not None:
            answer = await peer.told()
            assert (answer.code, answer.control_id, answer.errors[0].code) == (told, "X1", "200")
        assert (await peer.told()).control_id == "BY-ID2"
    assert await place.acks() == ["CA", "AA", "CA"]
    assert place.counted("unreadable") == 1


async def test_bytes_that_are_no_frame_are_counted_and_what_follows_is_heard(place):
    async with bringing(place.address) as peer:
        await peer.write(b"hello?" + encode(ack()) + ack("ID2") + b"\x1c\r" + encode(ack("ID3")))
        assert [(await peer.told()).control_id for _ in range(2)] == ["BY-ID1", "BY-ID3"]
    assert await place.acks() == ["AA", "CA", "AA"]
    assert place.counted("unreadable") == 2


async def test_a_frame_that_is_too_large_ends_the_connection(place):
    async with bringing(place.address) as peer:
        await peer.write(b"\x0b" + b"x" * (MAX_ACK_BYTES + 1))
        assert await peer.told() is None
    assert place.counted("unreadable") == 1


async def test_what_is_brought_before_the_peer_goes_is_heard(place):
    async with bringing(place.address) as peer:
        await peer.bring(ack(asks=""), ack("ID2", asks=""), ack("ID3", asks=""))
    await until(lambda: _are(place, ["AA", "AA", "AA"]))


async def _are(place, wanted):
    return await place.acks() == wanted


async def test_many_at_once_are_all_heard(place):
    async with bringing(place.address) as peer:
        await peer.bring(*[ack("NOBODY", asks="")] * (3 * caller.AHEAD), ack())
        assert (await peer.told()).code == "CA"
    assert place.counted("unmatched") == 3 * caller.AHEAD


@pytest.mark.parametrize("limit", ["FIRST", "IDLE"])
async def test_who_brings_no_whole_frame_for_long_is_let_go_though_bytes_come(place, monkeypatch, limit):
    monkeypatch.setattr(listener, limit, 0.2)
    async with bringing(place.address) as peer:
        if limit == "IDLE":
            await peer.bring(ack())
            assert (await peer.told()).code == "CA"
        await peer.write(b"\x0bMSH")
        told = asyncio.create_task(peer.told())
        while not told.done():
            peer.writer.write(b"x")
            await asyncio.sleep(0.01)
        assert told.result() is None


async def test_who_reads_no_answer_is_let_go(place, monkeypatch):
    monkeypatch.setattr(caller, "UNHEARD", -1)
    async with bringing(place.address) as peer:
        await peer.bring(ack(), ack("ID2"))
        assert (await peer.told()).control_id == "BY-ID1"
        assert await peer.told() is None
    assert await place.acks() == ["AA", "CA", "CA"]


async def test_a_process_with_too_many_open_files_goes_on_when_it_has_fewer(place, monkeypatch):
    monkeypatch.setattr(listener, "_MOMENT", 0.01)
    loop = asyncio.get_running_loop()
    accept, refused = loop.sock_accept, []

    async def sock_accept(sock):
        if len(refused) < 2 * listener.MOST + 1:  # a failed accept must not use up a connection slot
            refused.append(sock)
            raise OSError(24, "Too many open files")
        return await accept(sock)

    monkeypatch.setattr(loop, "sock_accept", sock_accept)
    with capture_logs():
        async with bringing(place.address), bringing(place.address) as peer:
            await peer.bring(ack())
            assert (await peer.told()).code == "CA"
    assert len(refused) == 2 * listener.MOST + 1


async def test_an_address_in_use_is_told_of_once_by_its_key_and_had_when_it_is_free(sqlite_engine, monkeypatch):
    monkeypatch.setattr(listener, "BIND_AGAIN", 0.02)
    first, second = Place(sqlite_engine), Place(sqlite_engine)
    second.address, second.destination = first.address, first.destination
    await first.fill()
    with capture_logs() as logs:
        async with AsyncExitStack() as stack:
            async with first.listening(), bringing(first.address):
                await stack.enter_async_context(second.listening())
                await asyncio.sleep(0.2)
            async with bringing(second.address) as peer:
                await peer.bring(ack())
                assert (await peer.told()).code == "CA"
    (failed,) = [one for one in logs if one["event"] == "ack-listen-failed"]
    assert (failed["where"], failed["port"]) == ("destination[ehr].ack_listen", first.address[1])
    assert (failed["code"], failed["log_level"]) == ("EADDRINUSE", "warning")
    assert (first.counted("accepted"), second.counted("accepted")) == (0, 1)


@pytest.mark.parametrize("host", ["192.0.2.1", "nowhere.invalid", "a" * 64])
async def test_an_address_that_is_not_of_this_machine_is_told_of_and_tried_again(sqlite_engine, monkeypatch, host):
    monkeypatch.setattr(listener, "BIND_AGAIN", 0.02)
    place = Place(sqlite_engine)
    here, port = place.address
    place.destination = destination(1, ack_mode="two_phase", ack_listen=(host, port))
    await place.fill()
    with capture_logs() as logs:
        async with place.listening():
            await asyncio.sleep(0.1)
            listening = listener._listening
            monkeypatch.setattr(listener, "_listening", lambda _, port: listening(here, port))
            async with bringing(place.address) as peer:
                await peer.bring(ack())
                assert (await peer.told()).code == "CA"
    assert [one["event"] for one in logs].count("ack-listen-failed") == 1


async def test_without_the_key_nobody_listens(sqlite_engine):
    late = LateAcks(sqlite_engine, destination(1), Feed(), Metrics(), breaker(sqlite_engine))
    assert list(late_acks.ack_listener(destination(1), HL7V2, late)) == []


async def turned_away(place):
    """Connect as a peer that is refused; check that no answer comes, and return the log of refusals."""
    with capture_logs() as logs:
        for _ in range(2):
            async with bringing(place.address) as peer:
                with suppress(ConnectionError):
                    await peer.bring(ack())
                    assert await peer.told() is None
    return [(one["code"], one["peer"]) for one in logs if one["event"] == "ack-connection-refused"]


@pytest.mark.parametrize(
    ("peers", "is_heard"),
    [(["127.0.0.1"], True), (["10.0.0.0/8", "127.0.0.0/30"], True), (["10.0.0.0/8", "::1"], False)],
)
async def test_only_whom_the_settings_name_can_acknowledge(sqlite_engine, peers, is_heard):
    place = Place(sqlite_engine, ack_peers=tuple(map(ip_network, peers)))
    await place.fill()
    async with place.listening():
        if is_heard:
            async with bringing(place.address) as peer:
                await peer.bring(ack())
                assert (await peer.told()).code == "CA"
        else:
            assert await turned_away(place) == [("stranger", "127.0.0.1")], "of each address it is said once"
    assert (await place.acks())[0] == ("AA" if is_heard else "CA")
    assert place.counted("turned_away") == (0 if is_heard else 2)
    assert not await rows(sqlite_engine, "SELECT 1 FROM lane")


async def test_of_eight_idle_connections_of_one_address_the_longest_idle_gives_way_to_a_ninth(place):
    async with AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(bringing(place.address)) for _ in range(listener.MOST_OF_A_PEER)]
        await peers[0].bring(ack())
        assert (await peers[0].told()).code == "CA"
        async with bringing(place.address) as ninth:
            await ninth.bring(ack("ID2"))
            assert (await ninth.told()).code == "CA"
        assert await peers[1].told() is None
        await peers[0].bring(ack("ID3"))
        assert (await peers[0].told()).code == "CA"
    assert place.counted("turned_away") == 0


@pytest.fixture
def pki(tmp_path):
    ca, other = trustme.CA(), trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    ca.issue_cert("gateway.example").private_key_and_cert_chain_pem.write_to_path(tmp_path / "gateway.pem")
    for name, issuer in (("peer", ca), ("stranger", other)):
        issuer.issue_cert("engine.example").private_key_and_cert_chain_pem.write_to_path(tmp_path / f"{name}.pem")
    return tmp_path


def client(pki, certificate=None):
    context = ssl.create_default_context(cafile=pki / "ca.pem")
    context.check_hostname = False
    if certificate:
        context.load_cert_chain(pki / certificate)
    return context


async def over_tls(engine, pki, tls, context):
    """Bring an acknowledgement over TLS and return its answer; None if the connection ends."""
    place = Place(engine, tls=tls)
    await place.fill()
    async with place.listening():
        try:
            async with bringing(place.address, context) as peer:
                await peer.bring(ack())
                return await peer.told()
        except (ssl.SSLError, ConnectionError):
            return None


async def test_the_certificate_that_is_shown_to_the_receiver_is_shown_here(sqlite_engine, pki):
    told = await over_tls(sqlite_engine, pki, TlsSettings(certificate_file=pki / "gateway.pem"), client(pki))
    assert told.code == "CA"


@pytest.mark.full
@pytest.mark.parametrize(("certificate", "is_heard"), [("peer.pem", True), ("stranger.pem", False), (None, False)])
async def test_where_authorities_are_named_who_comes_must_be_of_them(sqlite_engine, pki, certificate, is_heard):
    tls = TlsSettings(ca_file=pki / "ca.pem", certificate_file=pki / "gateway.pem")
    told = await over_tls(sqlite_engine, pki, tls, client(pki, certificate))
    assert (told is not None) is is_heard


async def test_without_a_certificate_to_show_there_is_no_tls(sqlite_engine, pki):
    assert (await over_tls(sqlite_engine, pki, TlsSettings(ca_file=pki / "ca.pem"), None)).code == "CA"


async def test_files_of_tls_that_cannot_be_used_end_the_connection_and_not_the_listener(sqlite_engine, pki):
    (pki / "gateway.pem").rename(pki / "away.pem")
    place = Place(sqlite_engine, tls=TlsSettings(certificate_file=pki / "gateway.pem"))
    await place.fill()
    async with place.listening():
        with pytest.raises((ssl.SSLError, ConnectionError)):
            async with bringing(place.address, client(pki)):
                raise AssertionError
        (pki / "away.pem").rename(pki / "gateway.pem")
        async with bringing(place.address, client(pki)) as peer:
            await peer.bring(ack())
            assert (await peer.told()).code == "CA"
