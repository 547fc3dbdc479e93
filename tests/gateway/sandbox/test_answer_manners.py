"""Receivers that answer badly, late, twice or not at all, as a raw socket sees them; named after their faults."""

import socket
import ssl
import time

import pytest
import trustme
from fakes.arrivals import arrived

from gateway.mllp.connection import Connection, Endpoint
from gateway.mllp.framing import Decoder, Frame
from gateway.runtime.errors import FeedError
from gateway.runtime.tls import TlsSettings
from mappings.hl7v2.ack import AckInvalid, parse


def message(control_id="ID1"):
    return (
        f"MSH|^~\\&|GW|MERCY|EHR|HOSP|20260105||ORU^R01^ORU_R01|{control_id}|P|2.5.1\rPID|1||123^^^MERCY^MR||DOE^JANE\r"
    ).encode()


async def answered(facing, ack, frames=1):
    """Return the bytes that a receiver sends for one message, in so many frames."""
    receiver, sender = await facing(ack)
    await sender.say(message())
    data = await sender.some()
    while frames > 1 and data.count(b"\x1c\r") < frames:
        data += await sender.some()
    rest, state = await sender.rest(within=0.05)
    assert state == "open"
    assert [one.control_id for one in receiver.messages] == ["ID1"]
    return data + rest


async def test_f7_it_resets_after_the_frame_and_before_an_answer(facing):
    receiver, sender = await facing("reset")
    await sender.say(message())
    assert await sender.rest() == (b"", "reset")
    assert [one.control_id for one in receiver.messages] == ["ID1"]


async def test_f7_it_closes_after_the_frame_and_before_an_answer(facing):
    receiver, sender = await facing("close")
    await sender.say(message())
    assert await sender.rest() == (b"", "closed")
    assert [one.control_id for one in receiver.messages] == ["ID1"]


async def test_f8_it_resets_in_the_middle_of_the_answer(facing):
    receiver, sender = await facing("reset-in-ack")
    await sender.say(message())
    came, state = await sender.rest()
    assert state == "reset"
    assert came.startswith(b"\x0bMSH|") and b"\x1c" not in came
    assert [one.control_id for one in receiver.messages] == ["ID1"]


async def test_f9_it_closes_its_half_and_goes_on_reading(facing):
    receiver, sender = await facing("half-close:1")
    await sender.say(message("ID1"))
    assert await sender.rest() == (b"", "closed")
    await sender.say(message("ID2"))
    assert (await arrived(receiver, "ID2")).answer == "AA"
    assert await sender.rest() == (b"", "closed"), "its accept cannot be said any more"


async def test_f10_it_accepts_one_message_and_is_silent_from_then_on(facing):
    receiver, sender = await facing("silent")
    await sender.say(message("ID1"))
    assert parse(await sender.answer()).control_id == "ID1"
    await sender.say(message("ID2"))
    assert await sender.rest(within=0.1) == (b"", "open")
    assert [one.control_id for one in receiver.messages] == ["ID1"]


async def test_f10_the_silence_ends_with_a_reset(facing):
    _, sender = await facing("silent:seconds=0.05")
    await sender.say(message())
    assert (await sender.rest())[1] == "reset"


async def test_f11_it_can_go_away_and_come_back_to_the_same_port(facing):
    receiver, sender = await facing("ar:2")
    await sender.say(message("ID1"))
    assert parse(await sender.answer()).code == "AR"
    await receiver.__aexit__(None, None, None)
    assert (await sender.rest())[0] == b""
    with pytest.raises(ConnectionRefusedError):
        await facing.again(receiver)
    await receiver.__aenter__()
    again = await facing.again(receiver)
    for control_id, code in (("ID1", "AR"), ("ID2", "AA")):
        await again.say(message(control_id))
        assert parse(await again.answer()).code == code
    assert [one.repeat for one in receiver.messages] == ["", "same", ""]


async def test_f12_it_closes_after_every_message(facing):
    receiver, sender = await facing("close-after")
    for control_id in ("ID1", "ID2"):
        await sender.say(message(control_id))
        came, state = await sender.rest()
        assert (parse(came[1:-2]).control_id, state) == (control_id, "closed")
        sender = await facing.again(receiver)


async def test_f16_no_answer_comes(facing):
    receiver, sender = await facing("none")
    await sender.say(message())
    assert await sender.rest(within=0.1) == (b"", "open")
    assert [one.control_id for one in receiver.messages] == ["ID1"]


async def test_f16_the_answer_comes_when_the_sender_has_already_gone_on(facing):
    _, sender = await facing("slow:1:seconds=0.5")
    await sender.say(message("ID1"))
    with pytest.raises(TimeoutError):
        await sender.answer(within=0.05)
    await sender.say(message("ID2"))
    assert parse(await sender.answer()).control_id == "ID1", "the late one, where ID2's is awaited"
    assert parse(await sender.answer()).control_id == "ID2"


async def test_f17_the_answer_comes_a_byte_at_a_time(facing):
    _, sender = await facing("dribble:seconds=0.005")
    began = time.monotonic()
    await sender.say(message())
    reads = []
    while not reads or not reads[-1].endswith(b"\r") or b"\x1c" not in b"".join(reads):
        reads.append(await sender.some())
    frame = b"".join(reads)
    assert parse(frame[1:-2]).control_id == "ID1"
    assert time.monotonic() - began >= 0.005 * (len(frame) - 1)
    assert len(reads) > len(frame) / 2


async def test_f18_several_answers_come_in_one_write(facing):
    _, sender = await facing("together")
    for control_id, before in (("ID1", "NOT-YOUR-MESSAGE"), ("ID2", "ID1")):
        await sender.say(message(control_id))
        events = Decoder(10_000).feed(await sender.some())
        acks = [parse(event.payload) for event in events if isinstance(event, Frame)]
        assert [(ack.code, ack.control_id) for ack in acks] == [
            ("AA", before),
            ("AA", control_id),
            ("AR", "NOT-YOUR-MESSAGE"),
        ]


async def test_f19_each_answer_is_split_a_byte_later_than_the_last_at_every_offset(facing, monkeypatch):
    monkeypatch.setattr("gateway.sandbox.answer_manners.APART", 0.01)
    _, sender = await facing("split")
    offsets, length = [], None
    while length is None or len(offsets) < length:
        await sender.say(message())
        first = await sender.some()
        whole = first
        while not whole.endswith(b"\x1c\r"):
            whole += await sender.some()
        assert parse(whole[1:-2]).control_id == "ID1"
        offsets.append(len(first))
        length = len(whole)
    assert offsets == [*range(1, length), 1]


async def test_f19_the_offset_can_be_told(facing):
    _, sender = await facing("split:at=7")
    for _ in range(2):
        await sender.say(message())
        assert len(await sender.some()) == 7
        await sender.some()


async def test_f21_what_comes_too_soon_is_reset_and_what_comes_later_is_taken(facing, monkeypatch):
    seconds = iter((100.0, 101.9, 102.0))
    monkeypatch.setattr("gateway.runtime.clock.monotonic", lambda: next(seconds))
    receiver, sender = await facing("pause")
    await sender.say(message("ID1"))
    assert parse(await sender.answer()).control_id == "ID1"
    await sender.say(message("ID2"))
    assert await sender.rest() == (b"", "reset")
    again = await facing.again(receiver)
    await again.say(message("ID2"))
    assert parse(await again.answer()).control_id == "ID2"


async def test_f23_the_accept_names_another_message(facing):
    ack = parse((await answered(facing, "wrong-id"))[1:-2])
    assert (ack.code, ack.control_id) == ("AA", "NOT-YOUR-MESSAGE")


async def test_f24_the_accept_names_no_message(facing):
    frame = await answered(facing, "no-id")
    assert frame.endswith(b"\rMSA|AA\r\x1c\r")
    assert parse(frame[1:-2]).control_id != "ID1"


async def test_f25_the_answer_is_an_empty_frame(facing):
    assert await answered(facing, "empty") == b"\x0b\x1c\r"


async def test_f26_the_answer_is_not_hl7(facing):
    frame = await answered(facing, "garbage")
    with pytest.raises(AckInvalid, match="no-msh"):
        parse(frame[1:-2])


async def test_f27_the_frame_has_no_vt(facing):
    data = await answered(facing, "no-vt")
    assert data.startswith(b"MSH|") and data.endswith(b"\rMSA|AA|ID1\r\x1c\r")


async def test_f27_the_frame_has_no_cr_at_its_end(facing):
    data = await answered(facing, "no-cr")
    assert data.startswith(b"\x0bMSH|") and data.endswith(b"\rMSA|AA|ID1\r\x1c")


async def test_f27_lf_stands_between_segments(facing):
    data = await answered(facing, "lf")
    assert data.endswith(b"\nMSA|AA|ID1\n\x1c\r") and data.count(b"\r") == 1


async def test_f27_nuls_stand_around_and_inside_the_frame(facing):
    data = await answered(facing, "nul")
    assert data.startswith(b"\x00\x00\x0bMSH|") and data.endswith(b"\r\x00MSA|AA|ID1\r\x00\x1c\r\x00\x00")


@pytest.mark.parametrize(("name", "error"), [("ae", "101"), ("ae-busy", "206")])
async def test_f28_it_says_ae_for_the_content_and_the_inverted_one_for_a_passing_fault(facing, name, error):
    ack = parse((await answered(facing, name))[1:-2])
    assert (ack.code, ack.control_id, [one.code for one in ack.errors]) == ("AE", "ID1", [error])


@pytest.mark.parametrize(("name", "error"), [("ar", "207"), ("ar-content", "101"), ("ar-type", "200")])
async def test_f29_it_says_ar_for_a_passing_fault_the_inverted_one_for_the_content(facing, name, error):
    ack = parse((await answered(facing, name))[1:-2])
    assert (ack.code, ack.control_id, [one.code for one in ack.errors]) == ("AR", "ID1", [error])


async def test_f30_it_says_ce(facing):
    ack = parse((await answered(facing, "ce"))[1:-2])
    assert (ack.code, ack.control_id, ack.errors[0].code) == ("CE", "ID1", "100")


async def test_f31_it_says_cr(facing):
    ack = parse((await answered(facing, "cr"))[1:-2])
    assert (ack.code, ack.control_id, ack.errors[0].code) == ("CR", "ID1", "202")


async def test_f32_msa_1_is_in_no_table(facing):
    frame = await answered(facing, "unknown-code")
    assert b"\rMSA|OK|ID1\r" in frame
    with pytest.raises(AckInvalid, match="code-not-in-table-0008"):
        parse(frame[1:-2])


async def test_f33_an_accept_comes_with_an_error_segment(facing):
    ack = parse((await answered(facing, "aa-err"))[1:-2])
    assert (ack.code, ack.control_id, ack.errors[0].code, ack.errors[0].severity) == ("AA", "ID1", "103", "W")


async def test_f34_the_answer_has_delimiters_of_its_own(facing):
    frame = await answered(facing, "delimiters")
    assert frame.startswith(b"\x0bMSH#@!%$#EHR#HOSP#GW#MERCY#")
    assert (parse(frame[1:-2]).code, parse(frame[1:-2]).control_id) == ("AA", "ID1")


async def test_f34_the_answer_is_in_iso_8859_1(facing):
    header, msa, _ = (await answered(facing, "latin-1"))[1:-2].split(b"\r")
    assert header.split(b"|")[17] == b"8859/1"
    assert msa == "MSA|AA|ID1|geprüft".encode("latin-1")


async def test_f34_the_answer_is_in_utf_16(facing):
    content = (await answered(facing, "utf-16"))[1:-2]
    header, msa, _ = content.decode("utf-16").split("\r")
    assert header.split("|")[17] == "UNICODE UTF-16"
    assert msa == "MSA|AA|ID1|geprüft"


async def test_f36_the_same_answer_comes_twice(facing):
    frame = await answered(facing, "twice", frames=2)
    half = len(frame) // 2
    assert frame[:half] == frame[half:]
    assert parse(frame[1 : half - 2]).control_id == "ID1"


async def test_f37_a_message_of_another_type_comes_before_the_answer(facing):
    first, second = (await answered(facing, "adt-first", frames=2))[1:-2].split(b"\x1c\r\x0b")
    assert first.split(b"|")[8] == b"ADT^A08^ADT_A01"
    assert first.split(b"\r")[1].startswith(b"EVN||2")
    assert parse(second).control_id == "ID1"
    with pytest.raises(AckInvalid, match="no-msa"):
        parse(first)


async def test_f38_what_it_accepts_is_not_filed(facing, tmp_path):
    receiver, sender = await facing("not-filed:1", out=tmp_path)
    for control_id in ("ID1", "ID2"):
        await sender.say(message(control_id))
        assert parse(await sender.answer()).code == "AA"
    assert [path.name for path in tmp_path.iterdir()] == ["000001-ID2.hl7"]
    assert [one.answer for one in receiver.messages] == ["accept of what is then not filed", "AA"]


@pytest.mark.parametrize("ack", ["wrong-id", "twice", "ca-aa", "ca-aa-next", "ca-aa-calls"])
async def test_what_cannot_be_read_is_refused_whatever_was_told(facing, ack):
    address = {"reply_to": object()} if ack == "ca-aa-calls" else {}
    _, sender = await facing(ack, **address)
    await sender.say(b"not HL7")
    assert parse(await sender.answer()).code == ("CR" if ack.startswith("ca") else "AR")


async def test_an_acknowledgement_is_never_acknowledged(facing):
    lines = []
    receiver, sender = await facing("aa", say=lines.append)
    await sender.say(message().replace(b"ORU^R01^ORU_R01", b"ACK^R01^ACK") + b"MSA|CA|ACK00000001\r")
    await sender.say(message("ID2"))
    assert parse(await sender.answer()).control_id == "ID2"
    assert [one.control_id for one in receiver.messages] == ["ID2"]
    assert lines == ["an acknowledgement came, and was left at that"]


@pytest.mark.parametrize("ack", ["reset", "half-close", "reset-in-frame", "close-at-once"])
async def test_over_tls_the_connection_beneath_is_ended(facing, tmp_path, ack):
    """asyncio has no half-close over TLS (RFC 8446 §6.1), so the receiver closes the connection."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    receiver, _ = await facing(ack, tls=context)
    endpoint = Endpoint("127.0.0.1", receiver.port, tls=TlsSettings(ca_file=tmp_path / "ca.pem"), ack_timeout=5)
    with pytest.raises(FeedError):
        async with await Connection.open(endpoint) as connection:
            await connection.exchange(message())


async def test_a_sender_that_goes_away_does_not_stop_it(facing):
    lines = []
    receiver, sender = await facing("dribble:1:seconds=0.001", say=lines.append)
    await sender.say(message())
    await sender.some()
    sender.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01" + bytes(7))
    sender.socket.close()
    again = await facing.again(receiver)
    await again.say(message("ID2"))
    assert parse(await again.answer()).control_id == "ID2"
