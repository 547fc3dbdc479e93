"""Connection opened by a receiver: all frames it sent are read in order, whatever it does next (RFC 9293)."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest

from gateway.mllp import caller as caller_module
from gateway.mllp.caller import AHEAD, Caller
from gateway.mllp.connection import MAX_ACK_BYTES
from gateway.mllp.framing import Frame, FramingError, encode

RESET = struct.pack("ii", 1, 0)


@pytest.fixture
async def facing():
    """Yield the caller, and the socket at its other end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
    caller = Caller(MAX_ACK_BYTES)
    await asyncio.get_running_loop().connect_accepted_socket(lambda: caller, accepted)
    with peer:
        yield caller, peer
    await caller.close()


async def brought(caller):
    """Return everything that the caller yields, until it ends."""
    async with asyncio.timeout(60):
        return [one async for one in _events(caller)]


async def _events(caller):
    while (event := await caller.next()) is not None:
        yield event


async def test_what_came_before_a_reset_is_had(facing):
    caller, peer = facing
    peer.sendall(encode(b"one") + encode(b"two") + b"\x0bthr")
    await asyncio.sleep(0.05)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    peer.close()
    events = await brought(caller)
    assert [one.payload for one in events if isinstance(one, Frame)] == [b"one", b"two"]
    assert [one.code for one in events if isinstance(one, FramingError)] == ["frame-cut"]


async def test_who_will_say_no_more_can_still_be_answered(facing):
    caller, peer = facing
    peer.sendall(encode(b"one"))
    peer.shutdown(socket.SHUT_WR)
    assert len(await brought(caller)) == 1
    assert caller.say(b"answer")
    await caller.close()
    assert peer.recv(100) == b"answer"


async def test_no_more_is_read_than_is_taken(facing):
    caller, peer = facing
    frame = encode(b"x" * 1_000)
    stream = memoryview(frame * 50_000)  # more than all buffers in between can hold
    peer.setblocking(False)
    sent = 0
    for _ in range(200):
        try:
            sent += peer.send(stream[sent:])
        except BlockingIOError:
            await asyncio.sleep(0.005)
    assert len(caller._brought) < AHEAD + 300, "one read is 256 kB at most"
    peer.setblocking(True)
    peer.shutdown(socket.SHUT_WR)
    events = await brought(caller)
    assert len([one for one in events if isinstance(one, Frame)]) == sent // len(frame)


async def test_nothing_is_said_to_who_is_gone(facing):
    caller, peer = facing
    peer.close()
    assert await brought(caller) == []
    await caller.close()
    assert not caller.say(b"answer")
    assert not Caller(MAX_ACK_BYTES).say(b"nobody is there")


async def test_who_reads_nothing_of_what_it_was_told_is_not_waited_for(facing, monkeypatch):
    monkeypatch.setattr(caller_module, "CLOSE_WAIT", 0.05)
    caller, _ = facing
    while caller.say(b"x" * 1_000_000):
        await asyncio.sleep(0)
    async with asyncio.timeout(60):
        await caller.close()
        await caller._gone.wait()


async def test_who_never_was_there_is_closed_at_once():
    await Caller(MAX_ACK_BYTES).close()


async def test_it_is_between_messages_until_one_begins_to_come_and_again_once_its_answer_has_left(facing):
    caller, peer = facing
    assert caller.is_between
    peer.sendall(encode(b"one")[:3])
    assert not caller.is_between, "in the socket, not read yet"
    await asyncio.sleep(0.05)
    assert not caller.is_between, "read, not whole"
    peer.sendall(encode(b"one")[3:])
    await asyncio.sleep(0.05)
    assert not caller.is_between, "whole, not taken"
    await caller.next()
    assert caller.is_between
    caller.say(b"x" * 10_000_000)
    assert not caller.is_between, "the peer has not read the answer"
    peer.sendall(b"\x0b" + b"x" * (MAX_ACK_BYTES + 1))
    await asyncio.sleep(0.05)
    assert (await caller.next()).code == "frame-too-large"
    assert not caller.is_between, "its rest is still to come"
