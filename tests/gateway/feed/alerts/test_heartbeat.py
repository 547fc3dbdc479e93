"""A process that works beats; one that is frozen, dead or without a disk is silent, which alerts (D38)."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from fakes.facade import site
from fakes.listening import listening
from fakes.store import rows
from pydantic import SecretStr, ValidationError
from standardwebhooks import Webhook

from gateway.app import create_app
from gateway.feed.alerts.webhook import heartbeats
from gateway.runtime import clock
from gateway.runtime.command_words import API, FEED, SYNC
from gateway.runtime.errors import StoreUnavailable
from gateway.settings import Configuration, Database, Settings, Upstream
from gateway.settings.feed import Feed
from gateway.store.database.probe import StoreProbe

KEY = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@asynccontextmanager
async def switch():
    """Yield a dead man's switch: its address, and the headers and body of each beat."""
    beats = []

    async def take(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = {
            name.lower(): value for name, value in (line.split(": ", 1) for line in head.splitlines()[1:] if line)
        }
        beats.append((headers, await reader.readexactly(int(headers["content-length"]))))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.close()

    async with listening(take) as port:
        yield f"http://127.0.0.1:{port}/ping/CANARY", beats


async def test_it_beats_while_the_process_is_well_and_is_silent_while_it_is_not(monkeypatch):
    is_well, now = False, 1_000.0
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    async with switch() as (url, beats):
        settings = Feed(heartbeat_url=SecretStr(url), alert_key=SecretStr(KEY))
        (heartbeat,) = heartbeats(settings, lambda: is_well)
        await heartbeat.turn()
        assert beats == []
        is_well = True
        await heartbeat.turn()
        ((headers, body),) = beats
        said = Webhook(KEY).verify(body, headers)
        assert said["type"] == "feed.heartbeat" and set(said["data"]) == {"process", "seconds"}
        now += 59
        await heartbeat.turn()
        assert len(beats) == 1
        is_well, now = False, now + 100
        await heartbeat.turn()
        assert len(beats) == 1
        is_well = True
        await heartbeat.turn()
        assert len(beats) == 2


def test_without_an_address_there_is_none_and_a_wrong_one_is_refused():
    assert list(heartbeats(Feed(), lambda: True)) == []
    with pytest.raises(ValidationError, match="heartbeat_url"):
        Feed(heartbeat_url=SecretStr("ftp://switch.example"))


async def test_a_process_is_well_once_it_has_written_and_only_while_it_can(sqlite_engine, monkeypatch):
    probe = StoreProbe(sqlite_engine, "one")
    assert not probe.is_well
    await probe.once()
    assert probe.is_well
    monkeypatch.setattr(StoreProbe, "silent", 31.0)  # the loop is stuck
    assert not probe.is_well
    monkeypatch.undo()

    async def full(_):
        raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(sqlite_engine, "do", full)
    await probe.once()
    assert not probe.is_well
    monkeypatch.undo()
    await probe.once()
    assert probe.is_well and await rows(sqlite_engine, "SELECT 1") == [(1,)]


@pytest.mark.full
@pytest.mark.parametrize(("roles", "beats_at_all"), [((FEED,), True), ((SYNC, FEED), True), ((API,), False)])
async def test_only_the_process_that_feeds_beats(tmp_path, roles, beats_at_all):
    async with switch() as (url, beats):
        settings = Settings.model_construct(
            upstream=Upstream(api_key=SecretStr("key"), base_url="http://127.0.0.1:1"),
            database=Database(url=SecretStr(f"sqlite:///{tmp_path / 'gateway.db'}")),
            feed=Feed(heartbeat_url=SecretStr(url)),
        )
        app = create_app(Configuration(settings, replace(site(), site_key=b"k" * 32), "test"), roles)
        async with app.router.lifespan_context(app):
            if beats_at_all:
                async with asyncio.timeout(20):
                    while not beats:
                        await asyncio.sleep(0.05)
                assert json.loads(beats[0][1])["type"] == "feed.heartbeat"
            else:
                await asyncio.sleep(1)
                assert not beats
