"""Posting an alert returns if it was taken; a bad address neither fails nor blocks the sender."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest
from fakes.bombs import bombing, memory_stays
from fakes.listening import listening
from pydantic import SecretStr
from structlog.testing import capture_logs

from gateway.feed.alerts import webhook
from gateway.feed.alerts.webhook import AlertHook, hooks
from gateway.settings.feed import Escalation, Feed

URL = SecretStr("https://a.example/CANARY")


def hook(url):
    return AlertHook("alert_url", 0, SecretStr(url), None)


@asynccontextmanager
async def answering(*parts, pause=0.0):
    """Yield the address of a server that answers with these bytes, pausing before each."""

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        with suppress(ConnectionError):  # the client has gone
            for part in parts:
                await asyncio.sleep(pause)
                writer.write(part)
                await writer.drain()
            writer.close()
            await writer.wait_closed()
        done.set()

    done = asyncio.Event()
    async with listening(answer) as port:
        yield f"http://127.0.0.1:{port}/CANARY"
        await done.wait()


@pytest.mark.parametrize("status", [b"204 No Content", b"500 No", b"302 Elsewhere"])
async def test_it_is_taken_where_the_answer_says_so(status):
    async with answering(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n") as url:
        assert await hook(url).post({}) is status.startswith(b"2")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/CANARY", "http://a..CANARY/", "https://xn--/CANARY"])
async def test_where_nobody_is_it_is_not_taken_and_the_log_does_not_say_the_address(url):
    with capture_logs() as lines:
        assert not await hook(url).post({})
    assert [one["event"] for one in lines] == ["alert-not-posted"]
    assert "CANARY" not in repr(lines)


async def test_an_answer_that_comes_drop_by_drop_holds_up_nobody(monkeypatch):
    monkeypatch.setattr(webhook, "_SECONDS", 0.3)
    async with answering(b"HTTP/1.1 200 OK\r\n", *[b"A: b\r\n"] * 100, pause=0.1) as url:
        async with asyncio.timeout(60):
            assert not await hook(url).post({})


def test_who_is_told_at_once_comes_first_and_the_others_after_their_minutes():
    later = tuple(Escalation(minutes=one, url=URL) for one in (7.5, 30))
    addresses = list(hooks(Feed(alert_url=URL, escalate=later)))
    assert [(one.name, one.after) for one in addresses] == [
        ("alert_url", 0),
        ("7.5", 450_000_000),
        ("30", 1_800_000_000),
    ]
    assert [one.name for one in hooks(Feed(escalate=later))] == ["7.5", "30"]
    assert list(hooks(Feed())) == []


async def bombed(bomber):
    with memory_stays():
        return await hook(f"http://127.0.0.1:{bomber.port}/").post({})


async def test_a_gzip_bomb_from_an_alert_hook_is_asked_not_to_come_and_is_not_decoded():
    async with bombing() as bomber:
        assert await bombed(bomber)
    assert b"accept-encoding: identity\r\n" in bomber.asked[0].lower()


async def test_an_answer_of_an_alert_hook_without_end_is_not_read():
    body = bytes(32 * 2**20)
    async with bombing(head=f"Content-Length: {len(body)}", body=body) as bomber:
        assert await bombed(bomber)


async def test_headers_of_an_alert_hook_without_end_are_cut_off():
    async with bombing(head="X: " + "x" * 32 * 2**20) as bomber:
        assert not await bombed(bomber)
