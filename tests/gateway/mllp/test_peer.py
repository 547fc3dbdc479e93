"""Texts for a failed connection, TCP's own detection of a lost peer, and the end of a connection."""

import asyncio
import errno
import socket
import ssl

import pytest
from fakes.listening import listening

from gateway.mllp.peer import Peer, keep_alive, reason


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('10.0.0.1', 2575)"), "Connection refused"),
        (
            OSError("Multiple exceptions: [Errno 111] Connect …, [Errno 101] …"),
            "Network is unreachable, Connection refused",
        ),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "the host name is not known"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1)"), "TLS: failed"),
        (ConnectionResetError(), "ConnectionResetError"),
        (RuntimeError("DOE"), "RuntimeError"),
    ],
)
def test_the_reason_of_a_failure_is_said_in_words_of_our_own(error, words):
    assert reason(error) == words


@pytest.mark.parametrize(("idle", "is_on"), [(0, 0), (30, 1)])
def test_a_receiver_says_how_long_a_connection_may_be_idle_until_it_is_probed(idle, is_on):
    with socket.socket() as sock:
        keep_alive(sock, idle)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == is_on
        assert not is_on or sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == idle


def test_a_system_without_the_keep_alive_options_gets_keep_alive_all_the_same(monkeypatch):
    for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"):
        monkeypatch.delattr(socket, name, raising=False)
    with socket.socket() as sock:
        keep_alive(sock)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


async def test_a_connection_that_closed_gracefully_with_its_last_byte_can_still_be_aborted():
    has_ended = asyncio.Event()

    async def read_slowly(reader, writer):
        await asyncio.sleep(0.05)
        while await reader.read(65_536):
            pass
        writer.close()
        await writer.wait_closed()
        has_ended.set()

    async with listening(read_slowly) as port:
        transport, peer = await asyncio.get_running_loop().create_connection(lambda: Peer(65_536), "127.0.0.1", port)
        transport.write(b"x" * 5_000_000)
        peer.close()
        assert transport.get_write_buffer_size(), "all left at once, so that no end had to be waited for"
        await peer.gone.wait()
        peer.abort("closed here")
        await has_ended.wait()
    assert peer.lost == "closed here"
