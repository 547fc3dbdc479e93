"""Messages as files in a directory, and answers over a persistent connection.

rename(2), fsync(2); HL7 v2.5.1 §2.9.2.
"""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.fed import destination
from fakes.heads import head

from gateway.feed.compose.hl7v2_payload import HL7V2
from gateway.feed.deliver.channel import FolderChannel, MllpChannel, channel
from gateway.feed.deliver.http_channel import HttpChannel
from gateway.mllp.permit import Permit, PermitEnded
from gateway.routing import Folder, Http
from gateway.runtime import clock
from gateway.runtime.errors import AckTimeout, ConnectFailed, ConnectionLost, SendFailed
from gateway.sandbox.receiver import MllpReceiver


async def test_a_message_is_a_whole_file_under_a_name_that_sorts_by_its_number(tmp_path):
    channel = FolderChannel(Folder(tmp_path), HL7V2, Permit())
    assert await channel.exchange(head(2, b"two")) is None
    assert await channel.exchange(head(10, b"ten")) is None
    files = sorted(tmp_path.iterdir())
    assert [(one.name, one.read_bytes()) for one in files] == [
        ("000000000002-ID2.hl7", b"two"),
        ("000000000010-ID10.hl7", b"ten"),
    ]


async def test_the_same_message_again_is_the_same_file(tmp_path):
    channel = FolderChannel(Folder(tmp_path), HL7V2, Permit())
    for _ in range(2):
        await channel.exchange(head(1, b"one"))
    assert [one.read_bytes() for one in tmp_path.iterdir()] == [b"one"]


@pytest.mark.parametrize(("given", "mode"), [({}, 0o600), ({"file_mode": 0o660}, 0o660)])
async def test_a_file_has_the_set_permissions_whatever_the_umask_is(tmp_path, given, mode):
    was = os.umask(0o027)
    try:
        await FolderChannel(Folder(tmp_path, **given), HL7V2, Permit()).exchange(head(1, b"one"))
    finally:
        os.umask(was)
    assert [stat.S_IMODE(one.stat().st_mode) for one in tmp_path.iterdir()] == [mode]


async def test_a_link_that_somebody_laid_in_the_way_of_a_file_is_not_followed(tmp_path):
    (tmp_path / "other").write_bytes(b"other")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / ".000000000001-ID1.hl7.part").symlink_to(tmp_path / "other")
    await FolderChannel(Folder(folder), HL7V2, Permit()).exchange(head(1, b"one"))
    assert (tmp_path / "other").read_bytes() == b"other"
    assert [(one.name, one.is_symlink(), one.read_bytes()) for one in folder.iterdir()] == [
        ("000000000001-ID1.hl7", False, b"one")
    ]


async def test_a_directory_that_is_gone_took_nothing(tmp_path):
    with pytest.raises(ConnectFailed):
        await FolderChannel(Folder(tmp_path / "none"), HL7V2, Permit()).exchange(head(1, b"one"))


async def test_a_connection_is_kept_open_and_the_answer_is_that_of_the_message():
    async with MllpReceiver(port=0) as receiver:
        one = destination(receiver.port)
        channel = MllpChannel(one.transport, one.receiver, HL7V2, lambda *_: None, Permit())
        answers = [await channel.exchange(head(number)) for number in (1, 2)]
        await channel.close()
    assert [(one.code, one.control_id) for one in answers] == [("AA", "ID1"), ("AA", "ID2")]


async def test_an_acknowledgement_that_comes_late_is_handed_on():
    late = []
    async with MllpReceiver(port=0, ack="twice") as receiver:
        ehr = destination(receiver.port)
        channel = MllpChannel(ehr.transport, ehr.receiver, HL7V2, lambda ack, _: late.append(ack), Permit())
        for number in (1, 2):
            await channel.exchange(head(number))
        await channel.close()
    assert [one.control_id for one in late][:1] == ["ID1"]


def over():
    permit = Permit()
    permit.end()
    return permit


async def test_no_file_gets_its_name_when_the_lease_is_over(tmp_path):
    with pytest.raises(PermitEnded):
        await FolderChannel(Folder(tmp_path), HL7V2, over()).exchange(head(1, b"one"))
    assert list(tmp_path.iterdir()) == []


async def test_no_connection_is_opened_when_the_lease_is_over():
    async with MllpReceiver(port=0) as receiver:
        ehr = destination(receiver.port)
        channel = MllpChannel(ehr.transport, ehr.receiver, HL7V2, lambda _: None, over())
        with pytest.raises(PermitEnded):
            await channel.exchange(head(1))
        assert not channel.is_late
        assert not receiver.messages


def opened(to, late=lambda *_: None, permit=None):
    return channel(to, HL7V2, late, permit or Permit())


async def test_a_destination_gets_the_channel_of_its_transport(tmp_path):
    ehr = destination(1)
    assert isinstance(opened(ehr), MllpChannel)
    assert isinstance(opened(replace(ehr, transport=Folder(tmp_path))), FolderChannel)
    posted = opened(replace(ehr, transport=Http("http://127.0.0.1:1/")))
    assert isinstance(posted, HttpChannel)
    await posted.close()


async def test_a_connection_that_was_idle_for_too_long_is_closed_before_the_next_message(monkeypatch):
    async with MllpReceiver(port=0) as receiver:
        ehr = destination(receiver.port)
        to = opened(replace(ehr, receiver=replace(ehr.receiver, idle_close=60)))
        used = []
        for number, later in ((1, 0), (2, 59), (3, 61), (4, 0)):
            real = clock.monotonic()
            with monkeypatch.context() as patch:
                patch.setattr(clock, "monotonic", lambda at=real + later: at)
                await to.exchange(head(number))
            used.append(to._connection)
            to._used = clock.monotonic()
        assert used[0] is used[1] is not used[2] is used[3]
        await to.close()


async def test_a_rest_closes_only_what_was_idle_for_too_long(monkeypatch):
    async with MllpReceiver(port=0) as receiver:
        ehr = destination(receiver.port)
        for limit, later, is_kept in ((60, 59, True), (60, 61, False), (0, 10_000, True)):
            to = opened(replace(ehr, receiver=replace(ehr.receiver, idle_close=limit)))
            await to.rest()
            await to.exchange(head(1))
            real = clock.monotonic()
            with monkeypatch.context() as patch:
                patch.setattr(clock, "monotonic", lambda at=real + later: at)
                await to.rest()
            assert (to._connection is not None) is is_kept
            await to.close()
            assert to._connection is None


async def test_a_connection_is_closed_after_each_message_if_the_receiver_wants_it():
    async with MllpReceiver(port=0) as receiver:
        to = opened(destination(receiver.port, close_after_each=True))
        assert (await to.exchange(head(1))).code == "AA"
        assert to._connection is None
        assert (await to.exchange(head(2))).code == "AA"


@asynccontextmanager
async def answering(most: list[int]) -> AsyncIterator[tuple[int, list[int]]]:
    """Run a receiver that answers so many messages on each connection, and closes it when it has read one more.

    Yields its port, and how many messages came on each connection.
    """
    came: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        place, answered = len(came), most[min(len(came), len(most) - 1)]
        came.append(0)
        with suppress(asyncio.IncompleteReadError):
            while came[place] <= answered:
                frame = await reader.readuntil(b"\x1c\r")
                came[place] += 1
                if came[place] <= answered:
                    number = frame.split(b"|")[9].decode()
                    writer.write(f"\x0bMSH|^~\\&|||||1||ACK|A{number}|P|2.5.1\rMSA|AA|{number}\r\x1c\r".encode())
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1") as server:
        yield server.sockets[0].getsockname()[1], came


async def sent_until_answered(to: MllpChannel, count: int) -> int:
    """Send so many messages, each until it is answered; return how many were lost."""
    lost = 0
    for number in range(count):
        while True:
            try:
                await to.exchange(head(number))
            except ConnectionLost:
                lost += 1
            else:
                break
    return lost


async def test_each_message_has_its_own_connection_once_a_receiver_closed_after_one_twice_in_a_row():
    async with answering([1]) as (port, came):
        to = opened(destination(port))
        assert await sent_until_answered(to, 6) == 2
        assert came == [2, 2, 1, 1, 1, 1]
        await to.close()


async def test_a_receiver_that_answers_again_on_a_kept_connection_keeps_it():
    async with answering([1, 2, 2, 99]) as (port, came):
        to = opened(destination(port))
        assert await sent_until_answered(to, 9) == 3
        assert came == [2, 3, 3, 4]
        await to.close()


async def test_where_a_message_went_and_what_was_heard_is_told_of_each():
    async with MllpReceiver(port=0) as receiver:
        to = opened(destination(receiver.port))
        assert json.loads(to.where) == {"to": f"mllp 127.0.0.1:{receiver.port}"} and to.received == b""
        await to.exchange(head(1))
        assert json.loads(to.where)["peer"] == f"127.0.0.1:{receiver.port}"
        assert b"MSA|AA|ID1" in to.received and not to.is_late
        await to.close()
        receiver.ack = "none"
        quick = opened(destination(receiver.port, ack_timeout=0.2))
        with pytest.raises(AckTimeout):
            await quick.exchange(head(2))
        assert quick.received == b"" and "peer" in json.loads(quick.where)
        await quick.close()
    with pytest.raises(ConnectFailed):
        await to.exchange(head(3))
    assert json.loads(to.where) == {"to": f"mllp 127.0.0.1:{receiver.port}"} and to.received == b""


async def test_a_message_goes_over_a_new_connection_if_the_receiver_has_closed_the_kept_one():
    async with MllpReceiver(port=0) as receiver:
        to = opened(destination(receiver.port))
        await to.exchange(head(1))
        await receiver.__aexit__(None, None, None)
        await receiver.__aenter__()
        assert (await to.exchange(head(2))).control_id == "ID2"
        await to.close()


async def test_late_acknowledgements_are_told_by_rest_and_by_close_each_once():
    late = []
    async with MllpReceiver(port=0, ack="twice") as receiver:
        to = opened(destination(receiver.port), lambda ack, where: late.append((ack.control_id, where)))
        await to.exchange(head(1))
        async with asyncio.timeout(60):
            while not late:
                await asyncio.sleep(0.01)
                await to.rest()
        assert [control_id for control_id, _ in late] == ["ID1"] and "peer" in late[0][1]
        await to.exchange(head(2))
        await asyncio.sleep(0.1)
        await to.close()
        await to.close()
    assert [control_id for control_id, _ in late] == ["ID1", "ID2"]


async def test_a_file_that_got_its_name_when_the_lease_was_over_is_late(tmp_path, monkeypatch):
    permit = Permit()
    to = opened(replace(destination(1), transport=Folder(tmp_path)), permit=permit)
    await to.exchange(head(1, b"one"))
    assert not to.is_late
    replaced = Path.replace

    def slow(part, target):
        permit.extend(0.0)
        return replaced(part, target)

    monkeypatch.setattr(Path, "replace", slow)
    await to.exchange(head(2, b"two"))
    assert to.is_late
    assert json.loads(to.where) == {"to": f"file {tmp_path}"}


async def test_a_file_that_cannot_get_its_name_may_have_been_read(tmp_path, monkeypatch):
    to = opened(replace(destination(1), transport=Folder(tmp_path)))

    def failing(*_):
        raise OSError(5, "failed")

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(SendFailed):
        await to.exchange(head(1, b"one"))
