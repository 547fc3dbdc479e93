"""The MLLP receiver: what it answers, what it keeps, and that nothing stops it."""

import asyncio
import contextlib
import errno
import os
import re
import signal
import socket
import stat

import hl7
import pytest
from fakes.arrivals import arrived
from hl7.client import MLLPClient

from gateway.mllp.connection import Connection, Endpoint
from gateway.mllp.framing import encode
from gateway.runtime.errors import AckTimeout, ConfigError, ConnectionLost
from gateway.sandbox import inbox as inbox_module
from gateway.sandbox.inbox import ReceiverInbox
from gateway.sandbox.listen import run_listen
from gateway.sandbox.manners import MANNERS
from gateway.sandbox.receiver import MllpReceiver, SandboxFolder
from mappings.hl7v2.ack import AckInvalid, parse


def message(control_id="ID1", text="normal"):
    return (
        f"MSH|^~\\&|GW|MERCY|EHR|HOSP|20260105||ORU^R01^ORU_R01|{control_id}|P|2.5.1\r"
        f"PID|1||123^^^MERCY^MR||DOE^JANE\rOBX|1|TX|18748-4||{text}||||||F\r"
    ).encode()


async def until(holds):
    """Give the loop turns until something is so."""
    for _ in range(1_000_000):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError("never came to be so")


@contextlib.asynccontextmanager
async def connected(ack_timeout=20, **options):
    async with (
        MllpReceiver(port=0, **options) as receiver,
        await Connection.open(Endpoint("127.0.0.1", receiver.port, ack_timeout=ack_timeout)) as connection,
    ):
        yield receiver, connection


@pytest.mark.parametrize(
    ("name", "code", "error"),
    [
        ("aa", "AA", []),
        ("ae", "AE", ["101"]),
        ("ar", "AR", ["207"]),
        ("ca", "CA", []),
        ("ce", "CE", ["100"]),
        ("cr", "CR", ["202"]),
    ],
)
async def test_it_acknowledges_as_told(name, code, error):
    async with connected(ack=name) as (receiver, connection):
        ack = parse(await connection.exchange(message()))
        assert (ack.code, [fault.code for fault in ack.errors]) == (code, error)
        assert ack.control_id == "ID1"
        assert receiver.messages[0].answer == code


async def test_it_can_keep_silent():
    async with connected(ack="none", ack_timeout=0.05) as (receiver, connection):
        with pytest.raises(AckTimeout):
            await connection.exchange(message())
        assert (await arrived(receiver, "ID1")).answer == "no answer"


async def test_it_can_close_without_an_answer():
    async with connected(ack="close") as (_, connection):
        with pytest.raises(ConnectionLost):
            await connection.exchange(message())


async def test_it_can_acknowledge_another_message():
    async with connected(ack="wrong-id") as (_, connection):
        ack = parse(await connection.exchange(message()))
        assert ack.code == "AA"
        assert ack.control_id != "ID1"


async def test_it_can_answer_with_a_frame_that_is_no_acknowledgement():
    async with connected(ack="garbage") as (_, connection):
        with pytest.raises(AckInvalid):
            parse(await connection.exchange(message()))


async def test_it_can_be_slow(monkeypatch):
    waited = []

    async def sleep(seconds):
        waited.append(seconds)

    monkeypatch.setattr("gateway.runtime.clock.sleep", sleep)
    async with connected(ack="slow") as (_, connection):
        assert parse(await connection.exchange(message())).code == "AA"
    assert waited == [MANNERS["slow"].options["seconds"]]


async def test_many_messages_come_over_several_connections_and_each_is_answered_in_order():
    async with MllpReceiver(port=0) as receiver:

        async def send(lane):
            async with await Connection.open(Endpoint("127.0.0.1", receiver.port)) as connection:
                for number in range(20):
                    control_id = f"L{lane}N{number}"
                    assert parse(await connection.exchange(message(control_id))).control_id == control_id

        await asyncio.gather(*(send(lane) for lane in range(5)))
        assert len(receiver.messages) == 100
        assert [found.number for found in receiver.messages] == list(range(1, 101))
        lane = [found.control_id for found in receiver.messages if found.control_id.startswith("L3")]
        assert lane == [f"L3N{number}" for number in range(20)]


async def test_messages_sent_without_waiting_are_answered_one_by_one():
    async with MllpReceiver(port=0) as receiver:
        reader, writer = await asyncio.open_connection("127.0.0.1", receiver.port)
        writer.write(encode(message("A")) + encode(message("B")))
        writer.write_eof()
        acks = (await reader.read()).split(b"\x1c\r")
        assert [parse(ack[1:]).control_id for ack in acks[:-1]] == ["A", "B"]
        writer.close()
        await writer.wait_closed()


async def test_a_message_is_told_before_it_is_acknowledged():
    told = []
    async with connected(on_message=told.append) as (_, connection):
        await connection.exchange(message())
        assert [found.control_id for found in told] == ["ID1"]
        assert told[0].payload == message()


@pytest.mark.parametrize(
    ("payload", "code", "error", "said"),
    [
        (b"", "AR", "100", "not HL7 v2: empty at offset 0"),
        (b"DOE^JANE", "AR", "100", "not HL7 v2: no-msh at offset 0"),
        (b"\xff\x00\xfe", "AR", "100", "not HL7 v2: empty at offset 0"),
        (message(""), "AE", "101", "message without MSH-10"),
    ],
)
async def test_what_is_no_message_is_refused_and_the_next_one_is_taken(payload, code, error, said):
    lines = []
    async with connected(say=lines.append) as (receiver, connection):
        ack = parse(await connection.exchange(payload))
        assert (ack.code, ack.control_id, ack.errors[0].code) == (code, "", error)
        assert parse(await connection.exchange(message())).code == "AA"
        assert [found.answer for found in receiver.messages] == [code, "AA"]
    assert lines == [said]


async def test_a_commit_receiver_refuses_with_a_commit_code():
    async with connected(ack="ca") as (_, connection):
        assert parse(await connection.exchange(b"not HL7")).code == "CR"


async def test_noise_between_frames_is_told_and_answered_with_nothing():
    lines = []
    async with MllpReceiver(port=0, say=lines.append) as receiver:
        reader, writer = await asyncio.open_connection("127.0.0.1", receiver.port)
        writer.write(b"GET / HTTP/1.1\r\n\x0bcut" + encode(message()) + b"\x0bunfinished")
        writer.write_eof()
        assert parse((await reader.read())[1:-2]).control_id == "ID1"
        writer.close()
        await writer.wait_closed()
    assert lines == [
        "bytes-outside-frame at offset 0, 16 bytes",
        "frame-cut at offset 16, 4 bytes",
        f"frame-cut at offset {20 + len(encode(message()))}, 11 bytes",
    ]


async def test_a_frame_over_the_limit_is_refused_and_the_next_one_is_taken():
    async with connected(max_bytes=300) as (receiver, connection):
        ack = parse(await connection.exchange(message(text="x" * 300)))
        assert (ack.code, ack.errors[0].code) == ("AR", "104")
        assert parse(await connection.exchange(message())).code == "AA"
        assert len(receiver.messages) == 1


async def test_a_client_that_resets_does_not_stop_it():
    lines = []
    async with MllpReceiver(port=0, say=lines.append) as receiver:
        reader, writer = await asyncio.open_connection("127.0.0.1", receiver.port)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        writer.write(encode(message()))
        await reader.read(1)
        writer.transport.abort()
        await until(lambda: lines)
        async with await Connection.open(Endpoint("127.0.0.1", receiver.port)) as connection:
            assert parse(await connection.exchange(message())).code == "AA"
    assert lines == ["connection lost: Connection reset by peer"]


async def test_the_same_control_id_again_is_noticed_and_so_is_other_content_under_it():
    async with connected() as (receiver, connection):
        for payload in (message(), message(), message(text="changed"), message("ID2")):
            assert parse(await connection.exchange(payload)).code == "AA"
        assert [found.repeat for found in receiver.messages] == ["", "same", "other", ""]


async def test_each_message_is_a_file_as_it_came_before_it_is_acknowledged(tmp_path):
    folder = tmp_path / "new" / "folder"
    async with connected(out=folder) as (receiver, connection):
        await connection.exchange(message())
        file = receiver.messages[0].file
        assert file == folder / "000001-ID1.hl7"
        assert file.read_bytes() == message()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        await connection.exchange(message("../../etc/x y\u00e9" + "Z" * 60))
        await connection.exchange(b"not HL7")
    names = sorted(path.name for path in folder.iterdir())
    assert names == [
        "000001-ID1.hl7",
        "000002-______etc_x_y_" + "Z" * 26 + ".hl7",
        "000003-no-control-id.hl7",
    ]
    assert SandboxFolder(folder).name("ID4").name == "000004-ID4.hl7"


async def test_a_message_that_cannot_be_written_is_not_accepted_and_leaves_no_part(tmp_path, monkeypatch):
    lines = []

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device", "000001-DOE.part")

    async with connected(out=tmp_path, say=lines.append) as (receiver, connection):
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            ack = parse(await connection.exchange(message()))
        assert (ack.code, ack.errors[0].code) == ("AR", "207")
        assert list(tmp_path.iterdir()) == []
        assert len(receiver.messages) == 0
        assert parse(await connection.exchange(message())).code == "AA"
    assert lines == ["not written, not taken: No space left on device"]


async def test_it_keeps_no_more_than_it_says(monkeypatch):
    monkeypatch.setattr(inbox_module, "KEPT_MESSAGES", 3)
    monkeypatch.setattr(inbox_module, "KEPT_BYTES", 10)
    monkeypatch.setattr(inbox_module, "KNOWN_CONTROL_IDS", 2)
    inbox = ReceiverInbox()
    for payload in (b"1", b"22", b"3", b"4"):
        inbox.take(payload, payload.decode(), answer="AA", file=None)
    assert [found.control_id for found in inbox.messages] == ["22", "3", "4"]
    inbox.take(b"x" * 9, "long", answer="AA", file=None)
    assert [found.control_id for found in inbox.messages] == ["4", "long"]
    inbox.take(b"y" * 50, "longer", answer="AA", file=None)
    assert [found.control_id for found in inbox.messages] == ["longer"]
    assert inbox.take(b"1", "1", answer="AA", file=None).repeat == "", "forgotten"
    assert inbox.take(b"1", "1", answer="AA", file=None).repeat == "same"


async def test_a_patient_is_not_in_the_repr_of_a_message():
    assert "DOE" not in repr(ReceiverInbox().take(message(), "ID1", answer="AA", file=None))


async def test_leaving_it_ends_open_connections():
    faults = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: faults.append(context))
    async with MllpReceiver(port=0) as receiver:
        connection = await Connection.open(Endpoint("127.0.0.1", receiver.port))
        await connection.exchange(message())
    await until(lambda: not connection.usable)
    await connection.close()
    assert faults == []


async def test_a_receiver_that_was_never_entered_can_be_left():
    await MllpReceiver().__aexit__(None, None, None)


async def test_what_it_cannot_start_with_is_named(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    async with MllpReceiver(port=0) as receiver:
        for options, key in (
            ({"port": receiver.port}, f"127.0.0.1:{receiver.port}"),
            ({"port": 0, "ack": "yes"}, "ack"),
            ({"port": 0, "out": file}, "out"),
        ):
            with pytest.raises(ConfigError) as wrong:
                await MllpReceiver(**options).__aenter__()
            assert wrong.value.key == key


async def test_an_independent_client_is_understood_and_understands():
    """python-hl7's MLLPClient: several messages on one connection."""

    def talk(port):
        with MLLPClient("127.0.0.1", port) as client:
            return [client.send_message(hl7.parse(message(f"ID{n}").decode())) for n in range(3)]

    async with MllpReceiver(port=0) as receiver:
        answers = await asyncio.to_thread(talk, receiver.port)
        assert [str(hl7.parse(answer[1:-2].decode())["MSA.F2"]) for answer in answers] == ["ID0", "ID1", "ID2"]
        assert hl7.parse(receiver.messages[0].payload.decode())["PID.F5.R1.C1"] == "DOE"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_listening_shows_each_message_and_a_signal_stops_it_in_good_order(number, tmp_path):
    lines = []
    listening = asyncio.create_task(run_listen(MllpReceiver(port=0, out=tmp_path), lines.append))
    await until(lambda: lines)
    port = int(re.search(r"MLLP on 127\.0\.0\.1:(\d+), answer: application accept", lines[0]).group(1))
    async with await Connection.open(Endpoint("127.0.0.1", port)) as connection:
        for payload in (message(), message(), message(text="two"), message("")):
            await connection.exchange(payload)
        os.kill(os.getpid(), number)
        await listening
    size = len(message())
    heads = [line.split("\n")[0] for line in lines[1:]]
    assert heads == [
        f"--- 1  MSH-10 ID1, {size} bytes, file 000001-ID1.hl7, answer: AA",
        f"--- 2  MSH-10 ID1, {size} bytes, duplicate, file 000002-ID1.hl7, answer: AA",
        f"--- 3  MSH-10 ID1, {size - 3} bytes, duplicate MSH-10 with other bytes, file 000003-ID1.hl7, answer: AA",
        "message without MSH-10",
        f"--- 4  MSH-10 none, {size - 3} bytes, file 000004-no-control-id.hl7, answer: AE",
        "4 messages kept, stopped.",
    ]
    assert "    | normal" in lines[1]
