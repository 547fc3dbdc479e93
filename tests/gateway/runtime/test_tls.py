"""TLS of a destination: trusted authorities, shown certificates, and error texts (CAs made by trustme)."""

import asyncio
import contextlib
import ssl
from dataclasses import replace

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from gateway.mllp.connection import Connection, Endpoint
from gateway.runtime import tls
from gateway.runtime.errors import ConfigError, ConnectFailed, ConnectionLost, FeedError
from gateway.runtime.tls import TlsSettings, tls_context
from gateway.sandbox.receiver import MllpReceiver
from mappings.hl7v2.ack import parse

MESSAGE = b"MSH|^~\\&|GW|SITE|EHR|HOSP|20260105||ORU^R01^ORU_R01|ID1|P|2.5.1\r"


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pki")
    ca, other = trustme.CA(), trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    other.cert_pem.write_to_path(folder / "other.pem")
    client = ca.issue_cert("gateway.example")
    client.private_key_and_cert_chain_pem.write_to_path(folder / "client.pem")
    client.private_key_pem.write_to_path(folder / "client-key.pem")
    client.cert_chain_pems[0].write_to_path(folder / "client-cert.pem")
    key = serialization.load_pem_private_key(client.private_key_pem.bytes(), password=None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"sesame"),
    )
    (folder / "locked-key.pem").write_bytes(locked)
    (folder / "nonsense.pem").write_text("no PEM at all")
    return ca, folder


def server_context(ca, *names, client_ca=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*names).configure_cert(context)
    if client_ca is not None:
        client_ca.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@contextlib.asynccontextmanager
async def receiver(context, **tls):
    async with MllpReceiver(port=0, tls=context) as listening:
        yield Endpoint("127.0.0.1", listening.port, tls=TlsSettings(**tls))


async def test_a_receiver_with_a_certificate_of_the_trusted_ca_is_spoken_to(pki):
    ca, folder = pki
    async with (
        receiver(server_context(ca, "127.0.0.1"), ca_file=folder / "ca.pem") as endpoint,
        await Connection.open(endpoint) as connection,
    ):
        for _ in range(2):
            assert parse(await connection.exchange(MESSAGE)).control_id == "ID1"


async def test_a_large_message_is_written_out_over_tls(pki):
    ca, folder = pki
    async with (
        receiver(server_context(ca, "127.0.0.1"), ca_file=folder / "ca.pem") as endpoint,
        await Connection.open(endpoint) as connection,
    ):
        assert parse(await connection.exchange(MESSAGE + b"OBX|1|ED|" + b"A" * 5_000_000)).control_id == "ID1"


async def test_the_certificate_may_name_another_host_if_the_settings_say_which(pki):
    ca, folder = pki
    context = server_context(ca, "engine.example")
    async with receiver(context, ca_file=folder / "ca.pem", server_hostname="engine.example") as endpoint:
        connection = await Connection.open(endpoint)
        await connection.close()


async def test_a_certificate_for_another_host_is_refused(pki):
    ca, folder = pki
    async with receiver(server_context(ca, "engine.example"), ca_file=folder / "ca.pem") as endpoint:
        with pytest.raises(ConnectFailed, match="TLS: IP address mismatch"):
            await Connection.open(endpoint)


@pytest.mark.parametrize("trust", ["other.pem", None])
async def test_a_certificate_of_a_ca_that_is_not_trusted_is_refused(pki, trust):
    ca, folder = pki
    async with receiver(server_context(ca, "127.0.0.1"), ca_file=folder / trust if trust else None) as endpoint:
        with pytest.raises(ConnectFailed, match=r"TLS: .*certificate"):
            await Connection.open(endpoint)


async def test_a_receiver_without_tls_is_refused(pki):
    _, folder = pki
    async with receiver(None, ca_file=folder / "ca.pem") as endpoint:
        with pytest.raises(ConnectFailed):
            async with asyncio.timeout(20):
                await Connection.open(Endpoint("127.0.0.1", endpoint.port, endpoint.tls, connect_timeout=0.5))


@pytest.mark.parametrize(
    "files", [{"certificate_file": "client.pem"}, {"certificate_file": "client-cert.pem", "key_file": "client-key.pem"}]
)
async def test_a_client_certificate_is_shown_to_a_receiver_that_asks_for_one(pki, files):
    ca, folder = pki
    context = server_context(ca, "127.0.0.1", client_ca=ca)
    named = {key: folder / name for key, name in files.items()}
    async with (
        receiver(context, ca_file=folder / "ca.pem", **named) as endpoint,
        await Connection.open(endpoint) as connection,
    ):
        assert parse(await connection.exchange(MESSAGE)).control_id == "ID1"


async def test_without_the_client_certificate_the_receiver_refuses_and_the_alert_is_named(pki):
    """In TLS 1.3 the refusal comes after the client's side of the handshake is done, so it meets the first message."""
    ca, folder = pki
    context = server_context(ca, "127.0.0.1", client_ca=ca)
    async with receiver(context, ca_file=folder / "ca.pem") as endpoint:
        with pytest.raises(FeedError, match=r"(?i)certificate.required|closed by the peer|reset") as refused:
            async with await Connection.open(endpoint) as connection:
                await connection.exchange(MESSAGE)
    assert isinstance(refused.value, ConnectFailed | ConnectionLost)


def test_tls_before_1_2_is_not_offered_and_names_are_checked(pki):
    context = tls_context(TlsSettings(), "destination ehr")
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize(
    ("files", "key", "problem"),
    [
        ({"ca_file": "missing.pem"}, "tls.ca_file", "cannot be read"),
        ({"ca_file": "nonsense.pem"}, "tls.ca_file", "not PEM"),
        ({"certificate_file": "missing.pem"}, "tls.certificate_file", "cannot be read"),
        ({"certificate_file": "ca.pem"}, "tls.certificate_file", "not PEM"),
        ({"certificate_file": "ca.pem", "key_file": "client-key.pem"}, "tls.certificate_file", "belong together"),
        ({"key_file": "client-key.pem"}, "tls.certificate_file", "missing"),
    ],
)
def test_a_wrong_file_is_named_by_its_setting(pki, files, key, problem):
    _, folder = pki
    settings = TlsSettings(**{name: folder / file for name, file in files.items()})
    with pytest.raises(ConfigError, match=problem) as wrong:
        tls_context(settings, "destination ehr")
    assert (wrong.value.source, wrong.value.key) == ("destination ehr", key)


def test_a_server_shows_the_same_certificate_and_asks_for_one_where_authorities_are_named(pki):
    _, folder = pki
    shown = TlsSettings(certificate_file=folder / "client.pem")
    for settings, mode in (
        (shown, ssl.CERT_NONE),
        (replace(shown, ca_file=folder / "ca.pem"), ssl.CERT_REQUIRED),
    ):
        context = tls.server_context(settings, "destination ehr")
        assert (context.verify_mode, context.minimum_version) == (mode, ssl.TLSVersion.TLSv1_2)
    with pytest.raises(ConfigError, match="missing"):
        tls.server_context(TlsSettings(), "destination ehr")


def test_an_encrypted_key_is_opened_with_its_password(pki):
    _, folder = pki
    files = {"certificate_file": folder / "client-cert.pem", "key_file": folder / "locked-key.pem"}
    assert tls_context(TlsSettings(**files, key_password="sesame"), "destination ehr")


@pytest.mark.parametrize("password", [None, "", "wrong"])
def test_an_encrypted_key_without_its_password_is_a_wrong_setting_and_nobody_is_asked(pki, password):
    _, folder = pki
    files = {"certificate_file": folder / "client-cert.pem", "key_file": folder / "locked-key.pem"}
    with pytest.raises(ConfigError, match="password do not belong together"):
        tls_context(TlsSettings(**files, key_password=password), "destination ehr")


def test_the_key_password_is_not_in_repr():
    assert "sesame" not in repr(TlsSettings(key_password="sesame"))
