"""What is said of a connection that failed, and TCP's own watch over it."""

import errno
import socket
import ssl

import pytest

from gateway.feed.peer import keep_alive, reason


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


def test_a_system_without_the_keep_alive_options_gets_keep_alive_all_the_same(monkeypatch):
    for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"):
        monkeypatch.delattr(socket, name, raising=False)
    with socket.socket() as sock:
        keep_alive(sock)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
