"""Messages as files in a directory, and answers over a persistent connection.

rename(2), fsync(2); HL7 v2.5.1 §2.9.2.
"""

from __future__ import annotations

import pytest
from fakes.fed import destination
from fakes.heads import head

from gateway.feed.compose.hl7v2_payload import HL7V2
from gateway.feed.deliver.channel import FolderChannel, MllpChannel
from gateway.mllp.permit import Permit, PermitEnded
from gateway.routing import Folder
from gateway.runtime.errors import ConnectFailed
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
