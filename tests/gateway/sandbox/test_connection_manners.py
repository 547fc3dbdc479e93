"""Receivers that spoil the connection before a message is read, as a raw socket sees them; named after their faults."""

import asyncio
import socket

import pytest
from fakes.arrivals import arrived

from gateway.mllp.framing import encode
from mappings.hl7v2.ack import parse

MESSAGE = b"MSH|^~\\&|GW|MERCY|EHR|HOSP|20260105||ORU^R01^ORU_R01|ID1|P|2.5.1\rPID|1||123\r"
# More than the sender's kernel takes (net.ipv4.tcp_wmem) where the receiver's takes next to nothing.
LARGE = encode(MESSAGE + b"OBX|1|ED|PDF||" + b"A" * 12 * 1024 * 1024 + b"\r")


async def test_f4_it_closes_as_soon_as_it_is_connected(facing):
    receiver, sender = await facing("close-at-once")
    assert await sender.rest() == (b"", "closed")
    assert not receiver.messages


async def test_f5_it_resets_before_the_first_byte(facing):
    receiver, sender = await facing("reset-at-once")
    assert await sender.rest() == (b"", "reset")
    assert not receiver.messages


async def test_f6_it_resets_while_a_frame_is_being_written(facing):
    receiver, sender = await facing("reset-in-frame:1")
    with pytest.raises(ConnectionError):
        await sender.send(LARGE)
    assert not receiver.messages
    again = await facing.again(receiver)
    await again.say(MESSAGE)
    assert parse(await again.answer()).code == "AA"


async def test_f6_a_frame_in_pieces_is_reset_when_enough_of_it_has_come(facing):
    receiver, sender = await facing("reset-in-frame:bytes=20")
    await sender.send(encode(MESSAGE)[:19])
    assert await sender.rest(within=0.05) == (b"", "open")
    await sender.send(encode(MESSAGE)[19:21])
    assert await sender.rest() == (b"", "reset")
    assert not receiver.messages


async def test_f6_a_frame_shorter_than_that_is_reset_too(facing):
    receiver, sender = await facing("reset-in-frame:bytes=5000")
    await sender.say(MESSAGE)
    assert await sender.rest() == (b"", "reset")
    assert not receiver.messages


async def test_f6_a_frame_that_its_sender_breaks_off_is_no_message(facing):
    receiver, sender = await facing("reset-in-frame")
    await sender.send(encode(MESSAGE)[:19])
    sender.socket.shutdown(socket.SHUT_WR)
    assert await sender.rest() == (b"", "reset")
    assert not receiver.messages


async def test_f15_a_large_frame_cannot_be_written_out_and_nothing_comes_back(facing):
    receiver, sender = await facing("zero-window")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await sender.send(LARGE)
    assert await sender.rest(within=0.05) == (b"", "open")
    assert not receiver.messages


async def test_f15_the_connection_is_reset_in_the_end(facing):
    _, sender = await facing("zero-window:seconds=0.05")
    with pytest.raises(ConnectionError):
        await sender.send(LARGE)


async def test_f20_the_accept_comes_before_the_end_of_the_frame(facing):
    receiver, sender = await facing("early")
    frame = encode(MESSAGE)
    await sender.send(frame[:30])
    assert await sender.rest(within=0.05) == (b"", "open"), "MSH is not there yet"
    await sender.send(frame[30:-10])
    assert parse(await sender.answer()).control_id == "ID1"
    assert not receiver.messages
    await sender.send(frame[-10:])
    assert (await arrived(receiver, "ID1")).payload == MESSAGE
    assert await sender.rest(within=0.05) == (b"", "open"), "one answer, no second"


async def test_f20_a_frame_that_is_cut_has_been_accepted_all_the_same(facing):
    receiver, sender = await facing("early")
    await sender.send(encode(MESSAGE)[:-10] + encode(MESSAGE.replace(b"ID1", b"ID2")))
    assert [parse(await sender.answer()).control_id for _ in range(2)] == ["ID1", "ID2"]
    await arrived(receiver, "ID2")
    assert [message.control_id for message in receiver.messages] == ["ID2"]


async def test_f20_every_message_of_the_connection_is_accepted_so_and_each_once(facing):
    receiver, sender = await facing("early:1")
    for number in range(3):
        await sender.say(MESSAGE.replace(b"ID1", b"ID%d" % number))
        assert parse(await sender.answer()).control_id == f"ID{number}"
    await arrived(receiver, "ID2")
    assert [message.control_id for message in receiver.messages] == ["ID0", "ID1", "ID2"]
