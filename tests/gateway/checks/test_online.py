"""`check-config --online`: faults that only connections to AutoScribe, PDF store, database and destinations show."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import trustme
from fakes.listening import listening
from pydantic import SecretStr

from gateway.checks.online import count_seen, findings
from gateway.ingest.assembly import opened_store
from gateway.runtime.serving import listening_socket, running
from gateway.sandbox.receiver import MllpReceiver
from gateway.sandbox.upstream import SandboxOptions, open_sandbox
from gateway.settings import Configuration, Database, DestinationSettings, Settings, Upstream
from gateway.store.studies.crawling import StoredCursors
from gateway.webhooks.signature_count import NAME
from mappings.profile import Site


@asynccontextmanager
async def online(
    tmp_path, *switches: str, studies: int = 40, faults: tuple[str, ...] = (), **more: Any
) -> AsyncIterator[Configuration]:
    """Build settings for a sandbox, with further changes."""
    with listening_socket("127.0.0.1", 0) as listener:
        options = SandboxOptions(port=listener.getsockname()[1], studies=studies, switches=switches, faults=faults)
        sandbox, _ = open_sandbox(options)
        async with running(sandbox, listener):
            upstream = {"api_key": SecretStr(options.api_key), "base_url": options.base_url}
            settings = Settings.model_construct(
                upstream=Upstream(**{**upstream, **more.pop("upstream", {})}),
                database=Database(url=SecretStr(f"sqlite:///{tmp_path / 'a.db'}")),
                **more,
            )
            yield Configuration(settings, Site(), "gateway.toml")


async def found(configuration: Configuration) -> dict[str, str]:
    return {one.key: str(one) async for one in findings(configuration)}


async def test_nothing_is_said_where_all_answers(tmp_path):
    async with online(tmp_path) as configuration:
        assert await found(configuration) == {}


async def test_a_key_that_sees_only_what_integrations_made_looks_like_scope_self(tmp_path):
    async with online(tmp_path, "key_scope=self") as configuration:
        said = await found(configuration)
    assert set(said) == {"upstream.api_key"}
    assert "looks like Self" in said["upstream.api_key"]
    assert "scope All" in said["upstream.api_key"]


async def test_a_bounded_number_of_studies_is_looked_at_with_the_reports_of_the_signed(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.checks.online._READ", 13)
    async with online(tmp_path) as configuration:
        seen = await count_seen(configuration)
    assert 0 < len(seen.studies) <= 13
    assert seen.names.total() > len(seen.studies) - 3
    assert seen.uncoded


async def test_where_autoscribe_cannot_be_read_nothing_is_looked_at(tmp_path):
    async with online(tmp_path, upstream={"base_url": "http://127.0.0.1:9"}) as configuration:
        assert (await count_seen(configuration)).studies == []


async def test_a_key_that_sees_nothing_is_named(tmp_path):
    async with online(tmp_path, studies=0) as configuration:
        assert "no study at all" in (await found(configuration))["upstream.api_key"]


async def test_a_key_that_is_refused_is_named_with_its_remedy_and_not_shown(tmp_path):
    async with online(tmp_path, upstream={"api_key": SecretStr("wrong-and-secret")}) as configuration:
        said = await found(configuration)
    assert "upstream-key-refused" in said["upstream"]
    assert "AVARA_API_KEY" in said["upstream"]
    assert "wrong-and-secret" not in str(said)


async def test_an_upstream_that_is_not_there_is_named(tmp_path):
    async with online(tmp_path, upstream={"base_url": "http://127.0.0.1:9"}) as configuration:
        assert "upstream-unreachable" in (await found(configuration))["upstream"]


async def test_a_pdf_host_that_is_not_allowed_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.upstream.pdf_stream.AllowedHosts.refusal", lambda *_, **__: "not an allowed host")
    async with online(tmp_path) as configuration:
        assert "not an allowed host" in (await found(configuration))["pdf.allowed_hosts"]


async def test_a_pdf_that_autoscribe_fails_to_link_to_is_no_matter_of_hosts(tmp_path):
    async with online(tmp_path, faults=("500:path=/reports/pdf",)) as configuration:
        said = await found(configuration)
    assert "the PDF of a signed report cannot be had" in said["upstream"]
    assert "pdf.allowed_hosts" not in said


async def test_a_database_that_cannot_be_opened_is_named(tmp_path):
    async with online(tmp_path) as configuration:
        database = Database(url=SecretStr(f"sqlite:///{tmp_path / 'no' / 'such' / 'a.db'}"))
        settings = configuration.settings.model_copy(update={"database": database})
        assert "database.url" in await found(replace(configuration, settings=settings))


async def test_a_database_of_another_site_key_is_named(tmp_path):
    async with online(tmp_path) as configuration:
        async with opened_store(configuration):
            pass
        other = replace(configuration, site=Site(site_key=b"x" * 32))
        assert "not the one of this database" in (await found(other))["mapping.site_key"]


@pytest.mark.parametrize(("refused", "is_said"), [(1, False), (3, True)])
async def test_signatures_that_do_not_hold_point_at_the_webhook_secret(tmp_path, refused, is_said):
    async with online(tmp_path) as configuration:
        async with opened_store(configuration) as engine:
            await StoredCursors(engine).put(NAME, {"refused": refused, "held": ""})
        said = await found(configuration)
    assert ("webhook.key" in said) is is_said
    assert not is_said or "AVARA_WEBHOOK_KEY" in said["webhook.key"]


def to(name: str, **keys: Any) -> DestinationSettings:
    usual = {"kind": "mllp", "host": "127.0.0.1", "port": 9, "facilities": ("*",)}
    if keys.get("kind", "mllp") != "mllp":
        usual = {"facilities": ("*",)}
    start = datetime(2026, 3, 1, tzinfo=UTC)
    return DestinationSettings(**{"name": name, "receiver": "generic", "start": start, **usual, **keys})


async def unreached(tmp_path, *destinations: DestinationSettings) -> dict[str, str]:
    """Return the findings about destinations by key; paths in their tables are relative to the folder."""
    async with online(tmp_path, destination=destinations) as configuration:
        return await found(replace(configuration, source=str(tmp_path / "gateway.toml")))


@pytest.fixture
def pki(tmp_path):
    """A CA with a context of a server, which asks for a certificate, and the files of a client."""
    ca, other = trustme.CA(), trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    other.cert_pem.write_to_path(tmp_path / "other.pem")
    ca.issue_cert("gateway.example").private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("engine.example").configure_cert(context)
    ca.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_destinations_that_can_be_connected_to_are_sent_nothing_and_not_named(tmp_path, pki):
    came: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(await reader.read())
        writer.close()

    async with listening(listen) as port, MllpReceiver(port=0, tls=pki) as secure:
        tls = {"tls": True, "ca_file": "ca.pem", "client_cert": "client.pem", "server_name": "engine.example"}
        said = await unreached(
            tmp_path,
            to("plain", port=port),
            to("secure", port=secure.port, **tls),
            to("web", kind="http", url=f"http://127.0.0.1:{port}/"),
            to("files", kind="file", directory="out"),
            to("off", enabled=False),
        )
    assert (said, came) == ({}, [b"", b""])


async def test_destinations_that_nobody_listens_at_are_named_each_with_what_to_do(tmp_path):
    said = await unreached(
        tmp_path, to("one"), to("two", host="engine.invalid"), to("web", kind="http", url="http://127.0.0.1:9/")
    )
    assert set(said) == {"destination[0].port", "destination[1].host", "destination[2].url"}
    assert "Connection refused. Check that the receiver listens there" in said["destination[0].port"]
    assert "Check the " in said["destination[1].host"]


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        ({"ca_file": "other.pem", "client_cert": "client.pem", "server_name": "engine.example"}, "ca_file"),
        ({"ca_file": "ca.pem", "client_cert": "client.pem"}, "server_name"),
        ({"ca_file": "ca.pem", "server_name": "engine.example"}, "host"),
    ],
)
async def test_what_tls_is_not_agreed_on_for_is_named_by_its_key(tmp_path, pki, keys, key):
    async with MllpReceiver(port=0, tls=pki) as secure:
        said = await unreached(tmp_path, to("secure", port=secure.port, tls=True, **keys))
    assert set(said) == {f"destination[0].{key}"}
    assert "cannot be reached: " in said[f"destination[0].{key}"]
    assert key != "host" or "by client_cert" in said["destination[0].host"]


async def test_who_lets_nobody_in_is_named(tmp_path):
    async def turn_away(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with listening(turn_away) as port:
        said = await unreached(tmp_path, to("closed", port=port))
        secure = await unreached(tmp_path, to("closed", port=port, tls=True))
    assert "closed by the peer; nothing was sent. Check whom the receiver lets in" in said["destination[0].host"]
    assert set(secure) <= {"destination[0].host", "destination[0].client_cert"}


async def test_where_no_tls_is_spoken_that_is_said(tmp_path):
    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async with listening(speak) as port:
        said = await unreached(tmp_path, to("plain", port=port, tls=True))
    assert "No TLS is spoken there" in said["destination[0].tls"]
