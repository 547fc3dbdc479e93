"""One MLLP connection against real sockets: each failure is told apart by how much the receiver can have."""

import asyncio
import contextlib
import socket
import socketserver
import struct
import threading

import pytest
from fakes.listening import listening
from fakes.ports import free_port
from hl7apy.mllp import AbstractHandler, MLLPServer

from gateway.mllp import peer as peer_module
from gateway.mllp.connection import Connection, Endpoint
from gateway.mllp.framing import Frame, FramingError, encode
from gateway.mllp.permit import Permit, PermitEnded
from gateway.runtime import clock
from gateway.runtime.errors import AckTimeout, AckUnreadable, ConnectFailed, ConnectionLost, FrameInvalid, SendFailed
from mappings.hl7v2.ack import acknowledge, parse

MESSAGE = b"MSH|^~\\&|GW|SITE|EHR|HOSP|20260105||ORU^R01^ORU_R01|ID1|P|2.5.1\rPID|1||123^^^MERCY^MR||DOE^JANE\r"
ACK = b"MSH|^~\\&|EHR|HOSP|GW|SITE|20260105||ACK^R01^ACK|1|P|2.5.1\rMSA|AA|ID1\r"


@contextlib.asynccontextmanager
async def peer(behaviour, **endpoint):
    """Run a receiver that behaves as the given coroutine function (reader, writer); yield its endpoint."""

    async def serve(reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await behaviour(reader, writer)
        writer.close()

    async with listening(serve) as port:
        yield Endpoint("127.0.0.1", port, **{"ack_timeout": 20.0, **endpoint})


async def until_closed(reader):
    with contextlib.suppress(OSError):
        while await reader.read(65_536):
            pass


async def read_frame(reader):
    return await reader.readuntil(b"\x1c\r")


async def until(holds):
    """Let the loop run until a condition holds."""
    for _ in range(1_000_000):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError("never came to be so")


def reset(writer):
    """Close so that the peer sees a reset (RST), not an end (FIN)."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def answering(*writes, then=until_closed):
    async def behave(reader, writer):
        await read_frame(reader)
        for data in writes:
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(0)
        await then(reader)

    return behave


async def nothing(_):
    return


async def test_a_message_is_sent_and_its_acknowledgement_comes_back():
    seen = []

    async def behave(reader, writer):
        for _ in range(3):
            seen.append(await read_frame(reader))
            writer.write(encode(ACK))

    async with peer(behave) as endpoint, await Connection.open(endpoint) as connection:
        for _ in range(3):
            assert await connection.exchange(MESSAGE) == ACK
        assert connection.take_unasked() == ()
    assert seen == [encode(MESSAGE)] * 3


async def test_a_refused_connection_is_connect_failed_and_says_so():
    port = free_port()
    with pytest.raises(ConnectFailed, match=f"127.0.0.1:{port}: connect-failed, Connection refused"):
        await Connection.open(Endpoint("127.0.0.1", port))


async def test_a_host_with_several_addresses_that_all_refuse_says_so_too(monkeypatch):
    async def refuse(*_, **__):
        raise OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1', 1), [Errno 111] …")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", refuse)
    with pytest.raises(ConnectFailed, match=r"\[::1\]:1: connect-failed, Connection refused$"):
        await Connection.open(Endpoint("::1", 1))


async def test_an_unknown_host_is_connect_failed(monkeypatch):
    async def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", unknown)
    with pytest.raises(ConnectFailed, match="host name is not known"):
        await Connection.open(Endpoint("no-such-host.invalid", 1))


async def test_a_connection_that_nobody_answers_is_given_up(monkeypatch):
    async def black_hole(*_, **__):
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", black_hole)
    with pytest.raises(ConnectFailed, match=r"no connection after 0\.01 s"):
        await Connection.open(Endpoint("127.0.0.1", 1, connect_timeout=0.01))


async def test_a_message_with_a_block_character_is_refused_and_the_connection_stays():
    async with peer(answering(encode(ACK))) as endpoint, await Connection.open(endpoint) as connection:
        with pytest.raises(FrameInvalid, match="offset 3"):
            await connection.exchange(b"MSH\x1c")
        assert await connection.exchange(MESSAGE) == ACK


async def test_a_peer_that_closed_before_costs_no_doubt_because_nothing_is_sent():
    opened = asyncio.Event()

    async def behave(reader, writer):
        await opened.wait()
        writer.close()

    async with peer(behave) as endpoint:
        connection = await Connection.open(endpoint)
        opened.set()
        await until(lambda: not connection.usable)
        with pytest.raises(ConnectFailed, match="closed by the peer; nothing was sent"):
            await connection.exchange(MESSAGE)
        await connection.close()


@pytest.mark.parametrize("end", [reset, lambda writer: writer.close()])
async def test_a_peer_that_ends_the_connection_as_soon_as_it_is_open_is_connect_failed(end):
    async def behave(reader, writer):
        await asyncio.sleep(0)
        end(writer)

    async with peer(behave) as endpoint:
        with pytest.raises(ConnectFailed, match="nothing was sent"):
            await Connection.open(endpoint)


async def test_a_peer_that_closes_after_each_message_is_known_before_the_next_is_sent():
    async with peer(answering(encode(ACK), then=nothing)) as endpoint, await Connection.open(endpoint) as connection:
        assert await connection.exchange(MESSAGE) == ACK
        await until(lambda: not connection.usable)
        with pytest.raises(ConnectFailed):
            await connection.exchange(MESSAGE)


@pytest.mark.parametrize("part", [b"", b"\x0bMSH|^~\\&|MSA|A"])
async def test_a_peer_that_closes_before_or_inside_its_acknowledgement_is_connection_lost(part):
    async with peer(answering(part, then=nothing)) as endpoint, await Connection.open(endpoint) as connection:
        with pytest.raises(ConnectionLost, match="closed by the peer"):
            await connection.exchange(MESSAGE)
        assert not connection.usable
        assert connection.take_unasked() == ((FramingError("frame-cut", 0, len(part)),) if part else ())


async def test_a_reset_after_the_message_is_connection_lost():
    async def behave(reader, writer):
        await read_frame(reader)
        reset(writer)

    async with peer(behave) as endpoint, await Connection.open(endpoint) as connection:
        with pytest.raises(ConnectionLost, match="Connection reset by peer"):
            await connection.exchange(MESSAGE)


async def test_a_reset_in_the_middle_of_a_frame_is_send_failed():
    async def behave(reader, writer):
        await reader.readexactly(1_000)
        reset(writer)

    async with peer(behave) as endpoint, await Connection.open(endpoint) as connection:
        with pytest.raises(SendFailed, match=r"reset|Broken pipe"):
            await connection.exchange(b"x" * 30_000_000)


async def test_a_peer_that_stops_reading_is_send_failed_when_time_runs_out():
    async def behave(reader, writer):
        await asyncio.Event().wait()

    async with peer(behave, ack_timeout=0.2) as endpoint, await Connection.open(endpoint) as connection:
        with pytest.raises(SendFailed, match=r"not written out after 0\.2 s"):
            await connection.exchange(b"x" * 30_000_000)
        assert not connection.usable


async def test_a_peer_that_ends_its_side_while_the_message_is_being_written_is_send_failed_at_once():
    async def behave(reader, writer):
        await reader.readexactly(10)
        writer.write_eof()
        await asyncio.Event().wait()

    async with peer(behave) as endpoint, await Connection.open(endpoint) as connection:
        with pytest.raises(SendFailed, match="closed by the peer"):
            await connection.exchange(b"x" * 30_000_000)


async def test_no_acknowledgement_in_time_closes_the_connection_so_that_a_late_one_meets_nothing():
    late = asyncio.Event()
    gone = asyncio.Event()

    async def behave(reader, writer):
        await read_frame(reader)
        await late.wait()
        writer.write(encode(ACK))
        await until_closed(reader)
        gone.set()

    async with peer(behave, ack_timeout=0.05) as endpoint, await Connection.open(endpoint) as connection:
        with pytest.raises(AckTimeout, match=r"after 0\.05 s$"):
            await connection.exchange(MESSAGE)
        late.set()
        with pytest.raises(ConnectFailed):
            await connection.exchange(MESSAGE)
        await gone.wait()


async def test_an_acknowledgement_that_is_never_finished_times_out_and_its_size_is_told():
    behaviour = answering(b"\x0bMSH|DOE^JANE")
    async with peer(behaviour, ack_timeout=0.2) as endpoint, await Connection.open(endpoint) as connection:
        with pytest.raises(AckTimeout, match="13 bytes of no whole frame had come") as timed_out:
            await connection.exchange(MESSAGE)
    assert "DOE" not in str(timed_out.value)


@pytest.mark.parametrize("cut", range(1, len(encode(ACK)), 7))
async def test_an_acknowledgement_may_come_in_two_pieces_cut_anywhere(cut):
    whole = encode(ACK)
    async with peer(answering(whole[:cut], whole[cut:])) as endpoint, await Connection.open(endpoint) as connection:
        assert await connection.exchange(MESSAGE) == ACK


async def test_of_two_acknowledgements_in_one_read_the_second_never_answers_the_next_message():
    async def behave(reader, writer):
        await read_frame(reader)
        writer.write(encode(b"first") + encode(b"second"))
        await read_frame(reader)
        writer.write(encode(b"third"))
        await until_closed(reader)

    async with peer(behave) as endpoint, await Connection.open(endpoint) as connection:
        assert await connection.exchange(MESSAGE) == b"first"
        assert await connection.exchange(MESSAGE) == b"third"
        assert connection.take_unasked() == (Frame(b"second", 8),)
        assert connection.take_unasked() == ()


async def test_an_end_that_is_here_and_was_not_read_yet_costs_no_doubt_because_nothing_is_sent():
    with socket.create_server(("127.0.0.1", 0)) as server:
        async with await Connection.open(Endpoint(*server.getsockname())) as connection:
            server.accept()[0].close()
            assert connection.usable
            with pytest.raises(ConnectFailed, match="closed by the peer; nothing was sent"):
                await connection.exchange(MESSAGE)


async def test_a_frame_that_is_here_and_was_not_read_yet_is_not_the_answer():
    with socket.create_server(("127.0.0.1", 0)) as server:
        async with await Connection.open(Endpoint(*server.getsockname(), ack_timeout=0.1)) as connection:
            with server.accept()[0] as accepted:
                accepted.sendall(encode(b"hello"))
                with pytest.raises(AckTimeout):
                    await connection.exchange(MESSAGE)
            assert connection.take_unasked() == (Frame(b"hello", 0),)


async def test_a_frame_that_came_before_the_message_is_not_its_answer():
    greeted = asyncio.Event()

    async def behave(reader, writer):
        writer.write(encode(b"hello"))
        await greeted.wait()
        await read_frame(reader)
        writer.write(encode(ACK))
        await until_closed(reader)

    async with peer(behave) as endpoint, await Connection.open(endpoint) as connection:
        unasked = ()
        while not unasked:
            await asyncio.sleep(0)
            unasked = connection.take_unasked()
        greeted.set()
        assert unasked == (Frame(b"hello", 0),)
        assert await connection.exchange(MESSAGE) == ACK


async def test_an_answer_before_the_message_is_written_out_is_not_its_answer():
    async def behave(reader, writer):
        await reader.readexactly(10)
        writer.write(encode(b"too early"))
        await writer.drain()
        await asyncio.sleep(0.05)
        await read_frame(reader)
        writer.write(encode(ACK))
        await until_closed(reader)

    async def wide(reader, writer):
        reader._limit = 64_000_000
        await behave(reader, writer)

    async with peer(wide) as endpoint, await Connection.open(endpoint) as connection:
        assert await connection.exchange(b"x" * 30_000_000) == ACK
        assert [event.payload for event in connection.take_unasked()] == [b"too early"]


async def test_an_answer_that_the_caller_refuses_waits_aside_and_the_right_one_is_taken():
    other = ACK.replace(b"ID1", b"ID0")
    async with peer(answering(encode(other), encode(ACK))) as endpoint, await Connection.open(endpoint) as connection:
        found = await connection.exchange(MESSAGE, answers=lambda payload: parse(payload).control_id == "ID1")
        assert found == ACK
        assert [event.payload for event in connection.take_unasked()] == [other]


async def test_noise_before_an_acknowledgement_is_told_and_does_not_hide_it():
    stream = b"\x00\r\nnoise" + b"\x0bcut" + encode(ACK)
    async with peer(answering(stream)) as endpoint, await Connection.open(endpoint) as connection:
        assert await connection.exchange(MESSAGE) == ACK
        codes = [event.code for event in connection.take_unasked()]
        assert codes == ["bytes-outside-frame", "frame-cut"]


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (ACK + b"\x1c\r", f"frame-not-opened at offset 0, {len(ACK)} bytes"),
        (b"\x0b" + b"x" * 101 + b"\x1c\r", "frame-too-large at offset 0, 102 bytes"),
        (b"\x0b" + b"x" * 500_000, "frame-too-large at offset 0, 102 bytes"),
    ],
)
async def test_an_answer_that_cannot_be_read_is_told_at_once_and_closes_the_connection(answer, detail):
    async with (
        peer(answering(answer), max_ack_bytes=100) as endpoint,
        await Connection.open(endpoint) as connection,
    ):
        with pytest.raises(AckUnreadable, match=f"{detail}$"):
            await connection.exchange(MESSAGE)
        assert not connection.usable


async def test_a_peer_that_floods_is_cut_off():
    opened = asyncio.Event()

    async def behave(reader, writer):
        await opened.wait()
        with contextlib.suppress(OSError):
            while True:
                writer.write(encode(b"spam") * 10)
                await writer.drain()

    async with peer(behave) as endpoint, await Connection.open(endpoint) as connection:
        opened.set()
        await until(lambda: not connection.usable)
        assert len(connection.take_unasked()) == peer_module.UNASKED_LIMIT
        with pytest.raises(ConnectFailed, match="too many frames"):
            await connection.exchange(MESSAGE)


async def test_a_cancelled_exchange_closes_the_connection():
    arrived = asyncio.Event()

    async def behave(reader, writer):
        await read_frame(reader)
        arrived.set()
        await until_closed(reader)

    async with peer(behave) as endpoint, await Connection.open(endpoint) as connection:
        exchange = asyncio.create_task(connection.exchange(MESSAGE))
        await arrived.wait()
        exchange.cancel()
        with pytest.raises(asyncio.CancelledError):
            await exchange
        assert not connection.usable


async def test_two_callers_take_turns():
    async def behave(reader, writer):
        while True:
            frame = await read_frame(reader)
            writer.write(encode(b"answer to " + frame[1:-2]))

    async with peer(behave) as endpoint, await Connection.open(endpoint) as connection:
        both = await asyncio.gather(connection.exchange(b"one"), connection.exchange(b"two"))
    assert both == [b"answer to one", b"answer to two"]


async def test_closing_twice_is_no_fault_and_nothing_is_sent_afterwards():
    async with peer(answering(encode(ACK))) as endpoint:
        connection = await Connection.open(endpoint)
        await connection.close()
        await connection.close()
        with pytest.raises(ConnectFailed, match="closed here; nothing was sent"):
            await connection.exchange(MESSAGE)


async def test_closing_does_not_wait_for_a_peer_that_reads_nothing(monkeypatch):
    monkeypatch.setattr("gateway.mllp.connection.CLOSE_WAIT", 0.05)

    async def behave(reader, writer):
        await asyncio.Event().wait()

    async with peer(behave) as endpoint:
        connection = await Connection.open(endpoint)
        connection._peer.write(b"x" * 30_000_000)
        await connection.close()
        assert not connection.usable


async def test_tcp_watches_an_idle_connection_well_before_networks_drop_it():
    async with peer(answering(encode(ACK))) as endpoint, await Connection.open(endpoint) as connection:
        sock = connection._peer._transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        if hasattr(socket, "TCP_KEEPIDLE"):
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) < 600


async def test_no_failure_repeats_what_was_sent_or_received():
    async with peer(answering(b"\x0bDOE^JANE", then=nothing)) as endpoint:
        connection = await Connection.open(endpoint)
        with pytest.raises(ConnectionLost) as lost:
            await connection.exchange(MESSAGE)
        assert "DOE" not in str(lost.value) + repr(lost.value) + str(vars(lost.value))
        await connection.close()


class Answer(AbstractHandler):
    """Handler on hl7apy's side of the conversation."""

    def reply(self):
        ack = acknowledge(self.incoming_message.encode(), "AA", control_id="7", at="20260105")
        return encode(ack).decode()


async def test_an_independent_receiver_takes_our_frames_and_we_take_its_answer():
    """hl7apy's MLLPServer: one message per connection."""
    with MLLPServer("127.0.0.1", 0, {"ORU^R01^ORU_R01": (Answer,)}) as server:
        assert isinstance(server, socketserver.ThreadingTCPServer)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            async with await Connection.open(Endpoint("127.0.0.1", server.server_address[1])) as connection:
                ack = parse(await connection.exchange(MESSAGE))
        finally:
            await asyncio.to_thread(server.shutdown)
            thread.join()
    assert ack.code == "AA"
    assert ack.control_id == "ID1"


LARGE = b"x" * 30_000_000  # more than the kernels of both sides hold together


async def test_nothing_is_written_when_the_lease_is_over_by_the_time_of_writing():
    seen = []

    async def behave(reader, writer):
        seen.append(await reader.read(1))

    permit = Permit(clock.monotonic() + 60)
    async with peer(behave) as endpoint:
        connection = await Connection.open(endpoint, permit)
        permit.end()
        with pytest.raises(PermitEnded):
            await connection.exchange(MESSAGE)
        assert connection.usable and not connection.is_late
        await connection.close()
        await until(lambda: seen)
    assert seen == [b""]


async def test_connecting_ends_with_the_lease(monkeypatch):
    async def black_hole(*_, **__):
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", black_hole)
    with pytest.raises(PermitEnded):
        await Connection.open(Endpoint("127.0.0.1", 1), Permit(clock.monotonic() + 0.05))


async def test_what_has_not_left_when_the_lease_is_over_is_reset_and_never_whole():
    """Without SO_LINGER the kernel would go on sending its buffered bytes, and end with a FIN."""
    came, ended = bytearray(), []
    goes_on = asyncio.Event()

    async def behave(reader, writer):
        await goes_on.wait()
        try:
            while data := await reader.read(1_000_000):
                came.extend(data)
        except ConnectionResetError:
            ended.append("reset")

    async with peer(behave) as endpoint:
        connection = await Connection.open(endpoint, Permit(clock.monotonic() + 0.3))
        with pytest.raises(SendFailed, match="the lease was over"):
            await connection.exchange(LARGE)
        assert connection.is_late
        goes_on.set()
        await until(lambda: ended)
    assert len(came) < len(LARGE)
    assert b"\x1c" not in came


async def test_an_answer_that_comes_when_the_lease_is_over_is_heard_where_all_had_left_before():
    permit = Permit(clock.monotonic() + 60)

    async def behave(reader, writer):
        await read_frame(reader)
        await asyncio.sleep(0.3)
        permit.end()
        await asyncio.sleep(0.1)
        writer.write(encode(ACK))
        await until_closed(reader)

    async with peer(behave) as endpoint, await Connection.open(endpoint, permit) as connection:
        assert await connection.exchange(MESSAGE) == ACK
        assert not connection.is_late, "the kernel said in time that the peer had it"


async def test_a_process_that_slept_while_it_wrote_says_that_it_may_have_been_late(monkeypatch):
    permit = Permit(clock.monotonic() + 60)
    async with peer(answering(encode(ACK))) as endpoint, await Connection.open(endpoint, permit) as connection:
        write = connection._peer._transport.write

        def slept(data):
            permit.extend(0.0)
            write(data)

        monkeypatch.setattr(connection._peer._transport, "write", slept)
        assert await connection.exchange(MESSAGE) == ACK
        assert connection.is_late


async def test_the_kernel_gives_up_what_is_not_taken_when_the_lease_is_over():
    permit = Permit(clock.monotonic() + 60)
    async with peer(answering(encode(ACK))) as endpoint, await Connection.open(endpoint, permit) as connection:
        await connection.exchange(MESSAGE)
        sock = connection._peer._transport.get_extra_info("socket")
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert 0 < sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) <= 60_000
