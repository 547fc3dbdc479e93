"""F35, commit acknowledgement first: the application's comes late, is an error, never comes, or comes elsewhere."""

import asyncio
import contextlib

import pytest
from fakes.listening import listening

from gateway.mllp.framing import Decoder, encode
from gateway.runtime.errors import ConfigError
from gateway.sandbox import late_acks
from gateway.sandbox.late_acks import AckAddress, LateAckSender
from gateway.sandbox.manner_plan import MannerPlan, PlanPart
from gateway.sandbox.manners import MANNERS
from mappings.hl7v2.ack import parse


def message(control_id="ID1"):
    return f"MSH|^~\\&|GW|MERCY|EHR|HOSP|20260105||ORU^R01^ORU_R01|{control_id}|P|2.5.1\rPID|1||123\r".encode()


async def codes(sender, number):
    acks = [parse(await sender.answer()) for _ in range(number)]
    return [(ack.code, ack.control_id) for ack in acks]


@contextlib.asynccontextmanager
async def mailbox(port=0, reply=b""):
    """Listener for acknowledgements: (content of the first frame, bytes after its reply) per connection."""
    calls = asyncio.Queue()

    async def take(reader, writer):
        frame = await reader.readuntil(b"\x1c\r")
        writer.write(reply)
        rest = await reader.read()
        calls.put_nowait((Decoder(10_000).feed(frame)[0].payload, rest))
        writer.close()

    async with listening(take, port) as taken:
        yield AckAddress("127.0.0.1", taken), calls


async def test_f35_nothing_follows_the_commit_accept(facing):
    receiver, sender = await facing("ca")
    await sender.say(message())
    assert await codes(sender, 1) == [("CA", "ID1")]
    assert await sender.rest(within=0.1) == (b"", "open")
    assert receiver.messages[0].answer == "CA"


@pytest.mark.parametrize(("ack", "code"), [("ca-aa", "AA"), ("ca-ae", "AE"), ("ca-ar", "AR")])
async def test_f35_the_application_acknowledgement_is_late_and_other_messages_come_between(facing, ack, code):
    _, sender = await facing(f"{ack}:seconds=0.1")
    await sender.say(message("ID1"))
    await sender.say(message("ID2"))
    assert await codes(sender, 4) == [("CA", "ID1"), ("CA", "ID2"), (code, "ID1"), (code, "ID2")]


async def test_f35_the_accept_finds_the_connection_gone_and_waits_for_the_next(facing):
    receiver, sender = await facing("ca-aa:1:seconds=0.05")
    await sender.say(message("ID1"))
    assert await codes(sender, 1) == [("CA", "ID1")]
    sender.socket.close()
    await asyncio.sleep(0.1)
    again = await facing.again(receiver)
    assert await codes(again, 1) == [("AA", "ID1")]
    await again.say(message("ID2"))
    assert await codes(again, 1) == [("AA", "ID2")]


async def test_f35_the_accept_comes_when_the_sender_connects_again_even_after_a_restart_of_the_receiver(facing):
    receiver, sender = await facing("ca-aa-next")
    await sender.say(message("ID1"))
    assert await codes(sender, 1) == [("CA", "ID1")]
    assert await sender.rest() == (b"", "closed")
    await receiver.__aexit__(None, None, None)
    await receiver.__aenter__()
    again = await facing.again(receiver)
    assert await codes(again, 1) == [("AA", "ID1")]
    once = await facing.again(receiver)
    assert await once.rest(within=0.05) == (b"", "open"), "paid once"


async def test_f35_the_accept_comes_over_a_connection_that_the_receiver_opens(facing):
    reply = encode(b"MSH|^~\\&|GW|MERCY|EHR|HOSP|20260105||ACK|C1|P|2.5.1\rMSA|CA|ACK00000002\r")
    async with mailbox(reply=reply) as (address, calls):
        _, sender = await facing("ca-aa-calls:seconds=0.05", reply_to=address)
        await sender.say(message("ID1"))
        assert await codes(sender, 1) == [("CA", "ID1")]
        content, rest = await asyncio.wait_for(calls.get(), 60)
        assert parse(content).control_id == "ID1" and parse(content).code == "AA"
        assert rest == b"", "an answer to the acknowledgement is not answered"
        assert await sender.rest(within=0.05) == (b"", "open"), "the sender's own connection stays, and quiet"


async def test_f35_it_calls_until_the_sender_is_there(facing, monkeypatch):
    monkeypatch.setattr(late_acks, "RETRY_AFTER", 0.02)
    monkeypatch.setattr(late_acks, "ANSWER_WAIT", 0.05)
    async with mailbox() as (address, _):
        pass
    lines = []
    _, sender = await facing("ca-aa-calls:seconds=0", reply_to=address, say=lines.append)
    await sender.say(message("ID1"))
    assert await codes(sender, 1) == [("CA", "ID1")]
    while not lines:
        await asyncio.sleep(0.01)
    assert lines[0] == "late acknowledgement not delivered: Connection refused"
    async with mailbox(address.port) as (_, calls):
        content, _ = await asyncio.wait_for(calls.get(), 60)
        assert parse(content).control_id == "ID1"


async def test_f35_without_an_address_the_receiver_does_not_start_and_a_mixture_waits_for_the_next_connection(facing):
    with pytest.raises(ConfigError, match="--reply-to"):
        await facing("ca-aa-calls")
    mixture = MannerPlan((PlanPart((MANNERS["ca-aa-calls"], MANNERS["ca-aa-calls"])),))
    receiver, sender = await facing(mixture)
    await sender.say(message())
    assert await codes(sender, 1) == [("CA", "ID1")]
    assert await codes(await facing.again(receiver), 1) == [("AA", "ID1")]


async def test_what_is_under_way_ends_with_the_receiver(facing):
    receiver, sender = await facing("ca-aa")
    await sender.say(message())
    assert await codes(sender, 1) == [("CA", "ID1")]
    await receiver.__aexit__(None, None, None)
    assert len(asyncio.all_tasks()) == 1


async def test_a_connection_that_breaks_under_a_late_acknowledgement_leaves_it_owed():
    class Line:
        writable = True
        sent = ()

        async def send(self, frame):
            if not self.sent:
                raise ConnectionResetError(104, "Connection reset by peer")
            self.sent += (frame,)

    lines, line = [], Line()
    late = LateAckSender(None, lines.append)
    late.over(line, b"frame", 0)
    while not lines:
        await asyncio.sleep(0)
    assert lines == ["late acknowledgement not delivered: Connection reset by peer"]
    line.sent = ("something",)
    await late.pay(line)
    assert line.sent == ("something", b"frame")
    await late.pay(line)
    assert len(line.sent) == 2


def test_an_address_is_a_host_and_a_port():
    assert AckAddress.parse("127.0.0.1:2576") == AckAddress("127.0.0.1", 2576)
    assert AckAddress.parse("[::1]:1") == AckAddress("::1", 1)
    for wrong in ("2576", ":2576", "host:", "host:0", "host:65536", "host:x", "host:٣"):
        with pytest.raises(ConfigError, match="Write HOST:PORT"):
            AckAddress.parse(wrong)
