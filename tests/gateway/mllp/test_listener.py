"""Listener for connections of others: which one gives way to a new one, and how long a frame may take (D40, D48)."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trustme
from fakes.bringing import ack, bringing
from fakes.ports import free_address
from structlog.testing import capture_logs

from gateway.mllp import listener
from gateway.mllp.framing import Frame, encode
from gateway.mllp.listener import CROWDED, Crowding, ListenAddress, MllpListener
from gateway.runtime import clock
from gateway.runtime.loops import alongside
from gateway.runtime.tls import TlsSettings


class Echo:
    """Host that answers each frame with an acknowledgement, once its gate is open."""

    def __init__(self):
        self.gate = asyncio.Event()
        self.gate.set()
        self.refused, self.begun = 0, 0

    async def take(self, event, caller):
        self.begun += 1
        await self.gate.wait()
        return not isinstance(event, Frame) or caller.say(encode(ack("answer")))

    def turned_away(self):
        self.refused += 1


class Port:
    """A listener, its host, and peers that connect to it."""

    def __init__(self, connections=8, tls=None):
        self.host, self.place = Echo(), free_address()
        self.address = ListenAddress(
            *self.place, (), tls, "source[0]", "listen", "orders", {"source": "his"}, connections=connections
        )

    def listening(self):
        return alongside([MllpListener(self.address, self.host).run()])


@asynccontextmanager
async def peers(port, count, *, tls=None, brings=True):
    """Open connections one after the other, each with a message that is answered."""
    async with AsyncExitStack() as stack:
        opened = []
        for _ in range(count):
            opened.append(await stack.enter_async_context(bringing(port.place, tls)))
            if brings:
                await heard(opened[-1])
        yield opened


async def heard(peer):
    await peer.bring(ack())
    assert (await peer.told()).control_id == "answer"


@pytest.fixture
def crowding(monkeypatch):
    made = Crowding()
    monkeypatch.setattr(listener, "CROWDING", made)
    return made


@pytest.fixture
def later(monkeypatch):
    """Return a function that moves the clock of idleness on."""
    passed = [0.0]
    now = clock.monotonic
    monkeypatch.setattr(clock, "monotonic", lambda: now() + passed[0])
    return lambda seconds: passed.__setitem__(0, passed[0] + seconds)


async def test_the_connection_that_has_been_idle_longest_gives_way_to_a_new_one(crowding):
    port = Port()
    with capture_logs() as logs:
        async with port.listening(), peers(port, 8) as opened:
            await heard(opened[0])
            async with bringing(port.place) as new:
                await heard(new)
                assert await opened[1].told() is None
                for one in (opened[0], *opened[2:]):
                    await heard(one)
    assert (port.host.refused, crowding.trouble) == (0, CROWDED)
    told = [one for one in logs if one["event"] == "orders-connection-gave-way"]
    assert [(one["source"], one["peer"], one["log_level"]) for one in told] == [("his", "127.0.0.1", "warning")]


async def test_connections_that_never_bring_anything_give_way_too(crowding):
    port = Port()
    async with port.listening(), peers(port, 8, brings=False) as opened, bringing(port.place) as new:
        await heard(new)
        assert await opened[0].told() is None


async def test_in_the_middle_of_a_message_or_of_its_answer_none_gives_way(crowding):
    port, whole = Port(connections=3), encode(ack())
    async with port.listening(), peers(port, 3) as (half, waiting, idle):
        await half.write(whole[:20])
        port.host.gate.clear()
        await waiting.bring(ack())
        while port.host.begun < 4:
            await asyncio.sleep(0.01)
        async with bringing(port.place):
            assert await idle.told() is None
            async with bringing(port.place):  # the new one has nothing to say yet
                pass
        port.host.gate.set()
        assert (await waiting.told()).control_id == "answer"
        await half.write(whole[20:])
        assert (await half.told()).control_id == "answer"


async def test_where_all_are_in_the_middle_of_a_message_the_new_one_is_refused_until_one_is_given_up(crowding, later):
    port, whole = Port(connections=2), encode(ack())
    async with port.listening(), peers(port, 2) as opened:
        for one in opened:
            await one.write(whole[:20])
        async with bringing(port.place) as refused:
            assert await refused.told() is None
        assert (port.host.refused, crowding.trouble) == (1, CROWDED)
        later(listener.STALLED)
        await opened[1].write(whole[20:])
        assert (await opened[1].told()).control_id == "answer"
        async with bringing(port.place) as new:
            await heard(new)
            assert await opened[0].told() is None


async def test_of_all_addresses_together_the_one_that_has_been_idle_longest_gives_way(crowding, monkeypatch):
    monkeypatch.setattr(listener, "MOST", 4)
    port, addresses = Port(connections=1), [f"127.0.0.{number}" for number in range(2, 7)]
    async with port.listening(), bringing(port.place) as first, AsyncExitStack() as stack:
        await heard(first)
        opened = []
        for address in addresses[:4]:
            reader, writer = await asyncio.open_connection(*port.place, local_addr=(address, 0))
            stack.callback(writer.close)
            opened.append(reader)
        assert await first.told() is None
        assert not any(one.at_eof() for one in opened)


async def test_silent_handshakes_keep_nobody_out(crowding, tmp_path):
    authority, context = trustme.CA(), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "own.pem")
    authority.configure_trust(context)
    port = Port(connections=2, tls=TlsSettings(certificate_file=tmp_path / "own.pem"))
    async with port.listening(), peers(port, 2, brings=False), bringing(port.place, context) as new:
        await heard(new)


def test_it_is_an_alert_for_an_hour(later):
    crowding = Crowding()
    assert crowding.trouble == ""
    crowding.note("[::1]:2575")
    assert (crowding.trouble, crowding.place) == (CROWDED, "[::1]:2575")
    later(3_601)
    assert crowding.trouble == ""


async def test_a_frame_that_is_not_stored_in_time_ends_the_connection_and_is_not_answered(monkeypatch):
    monkeypatch.setattr(listener, "ANSWER", 0.1)
    port = Port()
    port.host.gate.clear()
    async with port.listening():
        async with bringing(port.place) as peer:
            with capture_logs() as logs:
                await peer.bring(ack())
                assert await peer.told() is None
        port.host.gate.set()
        async with bringing(port.place) as peer:
            await heard(peer)
    told = [(one["event"], one["code"]) for one in logs if one["log_level"] == "error"]
    assert told == [("orders-not-taken", "store-unavailable")]
