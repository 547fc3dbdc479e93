"""Connections and file descriptors: idle sockets take nothing away from others; decision D40."""

from __future__ import annotations

import asyncio
import resource
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.runtime import http_connection
from gateway.runtime.http_connection import MOST, SPARED, Connections
from gateway.runtime.serving import listening_socket, running

LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (256, {hard}))
from gateway.runtime.http_connection import most_connections
print(most_connections(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


async def hello(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"hello"})


@pytest.mark.full
@pytest.mark.parametrize(("hard", "most"), [(1_024, 768), (300, SPARED // 4), (10_000, MOST)])
def test_the_limit_of_open_files_is_raised_and_connections_stay_below_it(hard, most):
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < hard:
        pytest.skip(f"needs a hard limit of {hard} open files")
    made = subprocess.run([sys.executable, "-c", LIMITED.format(hard=hard)], capture_output=True, check=True, text=True)
    assert made.stdout.split() == [str(most), str(hard)]


@pytest.mark.full
async def test_a_thousand_idle_sockets_leave_file_descriptors_and_probes_alone():
    refused = Counter()
    connections = Connections(most=50, refused=lambda reason: refused.update([reason]))
    with listening_socket("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        async with running(hello, listener, connections):
            before = open_files()
            idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
            for _ in range(9):
                idle += [await asyncio.to_thread(socket.create_connection, ("127.0.0.1", port)) for _ in range(100)]
                assert await asked(port) == b"hello"
                await asyncio.sleep(0)
                assert connections.number <= 50 + 100
            await asyncio.sleep(0.1)
            assert connections.number <= 50
            assert open_files() - before <= 1_000 + 60
            for one in idle:
                one.close()
    assert refused["crowded"] >= 900


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def asked(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer.rpartition(b"\r\n")[2]


async def test_a_system_that_refuses_connections_is_asked_again_and_the_log_says_so_once(monkeypatch):
    monkeypatch.setattr(http_connection, "_AGAIN", 0.001)
    with listening_socket("127.0.0.1", 0) as listener, capture_logs() as logs:
        async with running(hello, listener):
            real, left = asyncio.get_running_loop().sock_accept, [50]

            async def refusing(sock):
                if left[0]:
                    left[0] -= 1
                    raise OSError(24, "Too many open files")
                return await real(sock)

            monkeypatch.setattr(asyncio.get_running_loop(), "sock_accept", refusing)
            port = listener.getsockname()[1]
            assert [await asked(port), await asked(port)] == [b"hello"] * 2
            assert left == [0]
    assert [line["event"] for line in logs].count("connection-not-accepted") == 1
