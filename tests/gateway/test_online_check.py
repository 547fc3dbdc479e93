"""`check-config --online`: what shows only when AutoScribe, its PDF store and the database are asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from gateway.assembly import opened_store
from gateway.online_check import findings
from gateway.sandbox.upstream import Options, open_sandbox
from gateway.serving import listening_socket, running
from gateway.settings import Configuration, Database, Settings, Upstream
from gateway.store.coverage import StoredCursors
from gateway.sync.signatures import NAME
from mappings.profile import Site


@asynccontextmanager
async def online(
    tmp_path, *switches: str, studies: int = 40, faults: tuple[str, ...] = (), **more: Any
) -> AsyncIterator[Configuration]:
    """Settings that lead to a sandbox, with anything else changed."""
    with listening_socket("127.0.0.1", 0) as listener:
        options = Options(port=listener.getsockname()[1], studies=studies, switches=switches, faults=faults)
        sandbox, _ = open_sandbox(options)
        async with running(sandbox, listener):
            upstream = {"api_key": SecretStr(options.api_key), "base_url": options.base_url, "attempts": 1}
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
    monkeypatch.setattr("gateway.upstream.pdf_link.AllowedHosts.refusal", lambda *_, **__: "not an allowed host")
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
