"""Connections to AutoScribe are used again, one for each request at one time, and carry nothing to the next request."""

import asyncio

import pytest
from fakes import documents
from fakes.documents import STUDY_ID
from fakes.scripted_server import Reply

from gateway.runtime import errors
from gateway.upstream import connections


async def three_at_one_time(server, client):
    """Send three requests, of which none is answered before all have come."""
    gate = asyncio.Event()
    server.script = [Reply.of(documents.study(), gate=gate)]
    asked = asyncio.gather(*(client.study(STUDY_ID) for _ in range(3)))
    async with server.arrived:
        await server.arrived.wait_for(lambda: server.open == 3)
    gate.set()
    await asked


async def test_requests_one_after_the_other_share_a_connection(server, connected):
    server.script = [Reply.of(documents.study(), headers={"Set-Cookie": "route=1"})]
    async with connected(server.url) as client:
        for _ in range(3):
            await client.study(STUDY_ID)
    assert (server.connections, len(server.requests)) == (1, 3)
    assert not any("cookie" in one.headers for one in server.requests)


async def test_requests_at_one_time_have_a_connection_each_and_leave_it_to_later_ones(server, connected):
    async with connected(server.url) as client:
        await three_at_one_time(server, client)
        await asyncio.gather(*(client.study(STUDY_ID) for _ in range(3)))
    assert (server.connections, len(server.requests)) == (3, 6)


async def test_connections_that_nobody_needs_any_more_are_closed(server, connected, monkeypatch):
    async with connected(server.url) as client:
        await three_at_one_time(server, client)
        assert server.connected == 3
        monkeypatch.setattr(connections, "_EXPIRY", -1.0)
        await client.study(STUDY_ID)
        async with asyncio.timeout(60):
            while server.connected > 1:
                await asyncio.sleep(0.01)


async def test_nothing_is_asked_after_the_end(server, connected):
    async with connected(server.url) as client:
        pass
    with pytest.raises(RuntimeError):
        await client.study(STUDY_ID)
    assert server.connections == 0


async def test_a_connection_that_broke_is_opened_again(server, connected):
    server.script = [Reply(manner="silent"), Reply.of(documents.study())]
    async with connected(server.url, attempts=1) as client:
        with pytest.raises(errors.UpstreamUnreachable):
            await client.study(STUDY_ID)
        await client.study(STUDY_ID)
    assert server.connections == 2
