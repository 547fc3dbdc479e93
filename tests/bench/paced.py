"""Load at a fixed rate: each request has a scheduled time, independent of earlier answers.

RFC 9112 over connections that stay open; what a client waits for that has no say in how busy the server is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import nullcontext
from urllib.parse import urlsplit

from bench.machine import ASKING, on_core

CONNECTIONS = 16


async def _connected(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(host, port)


async def _work(base: str, due: asyncio.Queue[tuple[float, str] | None], late: list[float]) -> None:
    url = urlsplit(base)
    reader, writer = await _connected(str(url.hostname), int(url.port or 80))
    while (item := await due.get()) is not None:
        at, target = item
        head = f"GET {url.path}/{target} HTTP/1.1\r\nHost: {url.netloc}\r\nAccept: application/fhir+json\r\n\r\n"
        writer.write(head.encode())
        answer = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert answer.startswith(b"http/1.1 200"), answer
        await reader.readexactly(int(answer.partition(b"content-length:")[2].partition(b"\r")[0]))
        late.append(time.perf_counter() - at)
    writer.close()


async def latencies(
    base: str,
    targets: Sequence[str],
    rate: float,
    seconds: float,
    *,
    is_pinned: bool = True,
    own: list[float] | None = None,
) -> list[float]:
    """Return the latency of each request in seconds, counted from its scheduled time.

    Unless it `is_pinned` to a core, this client uses every core. `own` gets by how much the client itself was late.
    """
    with on_core(ASKING) if is_pinned else nullcontext():
        due: asyncio.Queue[tuple[float, str] | None] = asyncio.Queue()
        late: list[float] = []
        workers = [asyncio.create_task(_work(base, due, late)) for _ in range(CONNECTIONS)]
        await asyncio.sleep(0.1)
        begun, sent = time.perf_counter(), 0
        while (now := time.perf_counter() - begun) < seconds:
            while sent < now * rate:
                due.put_nowait((begun + sent / rate, targets[sent % len(targets)]))
                if own is not None:
                    own.append(now - sent / rate)
                sent += 1
            await asyncio.sleep(0.0005)
        for _ in workers:
            due.put_nowait(None)
        await asyncio.gather(*workers)
    return late
