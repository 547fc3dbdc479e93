"""TLS of the HTTP server: what is spoken, who is let in, and a certificate that is renewed while it serves."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from structlog.testing import capture_logs

from gateway.runtime import http_connection, server_certificate
from gateway.runtime.errors import ConfigError
from gateway.runtime.http_connection import Connections
from gateway.runtime.server_certificate import ServerCertificate, kept_new
from gateway.runtime.serving import listening_socket, running
from gateway.runtime.tls import TlsSettings

CA = trustme.CA()


async def scheme(scope, receive, send):
    if scope["type"] == "http":
        body = scope["scheme"].encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})


def write(folder: Path, authority: trustme.CA = CA, **more) -> TlsSettings:
    """Write a new certificate and its key."""
    made = authority.issue_cert("127.0.0.1", **more)
    (folder / "cert.pem").write_bytes(b"".join(one.bytes() for one in made.cert_chain_pems))
    (folder / "key.pem").write_bytes(made.private_key_pem.bytes())
    return TlsSettings(certificate_file=folder / "cert.pem", key_file=folder / "key.pem")


def client(**versions) -> ssl.SSLContext:
    context = ssl.create_default_context()
    CA.configure_trust(context)
    for name, value in versions.items():
        setattr(context, name, value)
    return context


@asynccontextmanager
async def serving(files: TlsSettings, **limits):
    refused, expires = Counter(), []
    connections = Connections(refused=lambda reason: refused.update([reason]), **limits)
    with listening_socket("127.0.0.1", 0) as listener:
        async with (
            kept_new(files, "settings", expires.append) as tls,
            running(scheme, listener, connections, tls),
        ):
            yield listener.getsockname()[1], connections, refused, expires


async def ask(port: int, context: ssl.SSLContext | None) -> tuple[bytes, str]:
    """Return the body of an answer, and the serial number of the certificate that was shown."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    shown = writer.get_extra_info("ssl_object").getpeercert()["serialNumber"] if context else ""
    writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer.rpartition(b"\r\n")[2], shown


async def test_a_request_over_tls_is_answered_and_knows_its_scheme(tmp_path):
    async with serving(write(tmp_path)) as (port, _, refused, _):
        body, _ = await ask(port, client())
    assert (body, refused) == (b"https", {})


async def test_without_a_certificate_there_is_no_tls():
    async with serving(TlsSettings()) as (port, _, _, expires):
        assert (await ask(port, None))[0] == b"http"
    assert expires == []


async def test_a_request_without_tls_gets_no_answer(tmp_path):
    async with serving(write(tmp_path)) as (port, _, refused, _):
        assert (await ask(port, None))[0] == b""
        assert refused == {"tls-failed": 1}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "refused_offer",
    [
        {"minimum_version": ssl.TLSVersion.TLSv1, "maximum_version": ssl.TLSVersion.TLSv1_1},
        {"maximum_version": ssl.TLSVersion.TLSv1_2, "ciphers": "ECDHE+AES128+SHA256"},
        {"maximum_version": ssl.TLSVersion.TLSv1_2, "ciphers": "AES256-GCM-SHA384"},
    ],
    ids=["TLS 1.1", "CBC", "no forward secrecy"],
)
async def test_an_old_version_and_a_weak_cipher_are_refused(tmp_path, refused_offer):
    ciphers = refused_offer.get("ciphers", "DEFAULT:@SECLEVEL=0")
    context = client(**{name: value for name, value in refused_offer.items() if name != "ciphers"})
    context.set_ciphers(ciphers)
    async with serving(write(tmp_path)) as (port, *_):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await ask(port, context)
        assert (await ask(port, client(maximum_version=ssl.TLSVersion.TLSv1_2)))[0] == b"https"


async def test_with_authorities_of_clients_only_a_client_with_their_certificate_is_answered(tmp_path):
    clients = trustme.CA()
    clients.cert_pem.write_to_path(tmp_path / "clients.pem")
    files = write(tmp_path)
    files = TlsSettings(tmp_path / "clients.pem", files.certificate_file, files.key_file)
    async with serving(files) as (port, *_):
        for authority, is_known in ((None, False), (trustme.CA(), False), (clients, True)):
            context = client()
            if authority is not None:
                authority.issue_cert("client@example.org").configure_cert(context)
            try:
                body, _ = await ask(port, context)
            except (ssl.SSLError, ConnectionError):
                body = b""
            assert body == (b"https" if is_known else b""), authority


async def test_sockets_that_never_start_a_handshake_give_way_to_requests(tmp_path):
    async with serving(write(tmp_path), most=20) as (port, connections, refused, _):
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(100)]
        async with asyncio.timeout(60):
            assert [(await ask(port, client()))[0] for _ in range(3)] == [b"https"] * 3
        assert connections.number <= 20
        for _, writer in idle:
            writer.close()
    assert refused["tls-failed"] >= 80


async def test_a_connection_that_gives_way_as_its_handshake_ends_is_counted_out_once(tmp_path, monkeypatch):
    monkeypatch.setattr(http_connection, "SHUTDOWN_TIME", 0.05)
    async with serving(write(tmp_path)) as (port, connections, _, _):
        loop = asyncio.get_running_loop()
        real = loop.connect_accepted_socket

        async def cancelled_at_the_end(*arguments, **more):
            transport, _ = await real(*arguments, **more)
            transport.close()
            raise asyncio.CancelledError

        monkeypatch.setattr(loop, "connect_accepted_socket", cancelled_at_the_end)
        assert (await ask(port, client()))[0] == b""
        async with asyncio.timeout(60):
            while connections.number > 0:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        assert connections.number == 0


async def test_a_handshake_that_is_not_made_in_time_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(http_connection, "HANDSHAKE_TIME", 0.1)
    async with serving(write(tmp_path)) as (port, connections, refused, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(60):
            assert await reader.read() == b""
        await asyncio.sleep(0.05)
        assert (connections.number, refused) == (0, {"tls-failed": 1})
        writer.close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [(b"GET / HTTP/1.1\r\nhost: ", b"408"), (b"nonsense\r\n\r\n", b"400"), (b"a: b\r\n" * 9_000, b"400")],
)
async def test_over_tls_a_refused_client_reads_why(tmp_path, sent, status):
    async with serving(write(tmp_path), head_time=0.1) as (port, connections, _, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client())
        writer.write(sent)
        async with asyncio.timeout(60):
            assert (await reader.read()).split(b" ")[1] == status
        writer.close()
        await asyncio.sleep(0.05)
        assert connections.number == 0


async def test_a_client_that_does_not_let_its_connection_end_is_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr(http_connection, "SHUTDOWN_TIME", 0.1)
    async with serving(write(tmp_path)) as (port, connections, _, _):
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client())
        writer.transport.pause_reading()
        writer.write(b"nonsense\r\n\r\n")
        async with asyncio.timeout(60):
            while connections.number:
                await asyncio.sleep(0.02)
        writer.transport.abort()


async def test_a_renewed_certificate_serves_the_next_connection_and_the_open_ones_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(server_certificate, "CHECK_EVERY", 0.02)
    async with serving(write(tmp_path)) as (port, _, _, expires):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client())
        _, first = await ask(port, client())
        write(tmp_path, not_after=datetime.now(UTC) + timedelta(days=7))
        async with asyncio.timeout(60):
            while (await ask(port, client()))[1] == first:
                await asyncio.sleep(0.02)
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        assert (await reader.read()).endswith(b"https")
        writer.close()
    assert [one > datetime.now(UTC) + timedelta(days=8) for one in expires] == [True, False]


@pytest.fixture
def kept(tmp_path):
    return ServerCertificate(write(tmp_path), "settings", lambda _: None)


def nonsense(folder):
    (folder / "cert.pem").write_text("CANARY")


def half(folder):
    key = (folder / "key.pem").read_bytes()
    write(folder)
    (folder / "key.pem").write_bytes(key)


def gone(folder):
    (folder / "key.pem").unlink()


def expired(folder):
    write(folder, not_before=datetime(2020, 1, 1, tzinfo=UTC), not_after=datetime(2021, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("spoil", "code"), [(nonsense, "not-usable"), (half, "not-usable"), (gone, "not-usable"), (expired, "expired")]
)
async def test_broken_new_files_change_nothing_and_the_log_says_so_once(kept, tmp_path, spoil, code):
    before = kept.context()
    spoil(tmp_path)
    with capture_logs() as lines:
        for _ in range(3):
            await kept.renew()
    assert kept.context() is before
    assert lines == [{"event": "certificate-not-renewed", "code": code, "log_level": "error"}]
    write(tmp_path)
    await kept.renew()
    assert kept.context() is not before


async def test_files_that_did_not_change_make_no_new_context(kept):
    before = kept.context()
    await kept.renew()
    assert kept.context() is before


def test_files_that_cannot_serve_are_refused_at_the_start(tmp_path):
    files = write(tmp_path)
    half(tmp_path)
    with pytest.raises(ConfigError):
        ServerCertificate(files, "settings", lambda _: None)


def test_of_a_chain_the_first_certificate_counts(tmp_path):
    files = write(tmp_path)
    until = server_certificate.valid_until(files)
    CA.cert_pem.write_to_path(tmp_path / "cert.pem", append=True)
    assert server_certificate.valid_until(files) == until
    assert until == x509.load_pem_x509_certificate((tmp_path / "cert.pem").read_bytes()).not_valid_after_utc
