"""Attack on a listening gateway from a process of its own: `python attackers.py KIND PORT` goes on until it is ended.

RFC 9112 §2.2 and §3, decision D40. It prints a line once the attack has begun, and needs no module of the gateway.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress

IDLE, SLOW, LARGE, HEAVY, SEARCHING = 1_500, 200, 3, 10, 100
_ENDLESS = b"GET /fhir/metadata HTTP/1.1\r\nhost: localhost\r\naccept: " + b"a" * 14_000_000
_PATIENT = {"resourceType": "Patient", "extension": [{"url": "urn:x", "valueString": "a" * 40}] * 10_000}
_JSON = "Content-Type: application/fhir+json\r\n"
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _connected(port: int) -> Connection:
    """Connect from an address of the attackers alone."""
    return await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))


async def _idle(port: int) -> None:
    """Open a connection, say nothing, and open another one once the gateway closes it."""
    reader, writer = await _connected(port)
    await reader.read()
    writer.close()
    await asyncio.sleep(1)


async def _half_open(port: int) -> None:
    """Send a head that never ends, a byte a second."""
    reader, writer = await _connected(port)
    writer.write(b"GET /fhir/metadata HTTP/1.1\r\nhost: localhost\r\naccept: ")
    while not reader.at_eof() and not writer.is_closing():
        writer.write(b"a")
        await writer.drain()
        with suppress(TimeoutError):
            await asyncio.wait_for(reader.read(4_096), 1)
    writer.close()


async def _slow_body(port: int) -> None:
    """Send a body of a byte a second."""
    reader, writer = await _connected(port)
    head = f"POST /fhir/Patient/$validate HTTP/1.1\r\nHost: localhost\r\n{_JSON}Content-Length: 9999\r\n\r\n"
    writer.write(head.encode())
    while not reader.at_eof() and not writer.is_closing():
        writer.write(b" ")
        await writer.drain()
        with suppress(TimeoutError):
            await asyncio.wait_for(reader.read(4_096), 1)
    writer.close()


async def _large_head(port: int) -> None:
    """Send a head of 14 MB."""
    reader, writer = await _connected(port)
    writer.write(_ENDLESS)
    await reader.read()
    writer.close()
    await asyncio.sleep(0.3)


async def _validations(port: int) -> None:
    """Have a resource of 700 kB validated, over and over."""
    body = json.dumps(_PATIENT).encode()
    reader, writer = await _connected(port)
    head = f"POST /fhir/Patient/$validate HTTP/1.1\r\nHost: localhost\r\n{_JSON}Content-Length: {len(body)}\r\n\r\n"
    while True:
        writer.write(head.encode() + body)
        said = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(said.partition(b"content-length:")[2].partition(b"\r")[0]))


async def _batches(port: int) -> None:
    """Send a batch of a hundred costly requests, and leave before it is answered."""
    entry = {"request": {"method": "GET", "url": f"DiagnosticReport/rep-{'3' * 32}/$trace"}}
    body = json.dumps({"resourceType": "Bundle", "type": "batch", "entry": [entry] * 100}).encode()
    _, writer = await _connected(port)
    head = f"POST /fhir HTTP/1.1\r\nHost: localhost\r\n{_JSON}Content-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await asyncio.sleep(0.5)
    writer.close()


async def _searches(port: int) -> None:
    """Send the largest search that is taken, with a hundred values of three parameters, over and over."""
    values = [",".join(f"{number}{name}" for number in range(100)) for name in ("a", "b", "c")]
    query = "&".join(f"identifier={one}" for one in values)
    reader, writer = await _connected(port)
    while True:
        writer.write(f"GET /fhir/DiagnosticReport?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        said = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(said.partition(b"content-length:")[2].partition(b"\r")[0]))


_KINDS: dict[str, tuple[int, Callable[[int], Awaitable[None]]]] = {
    "idle": (IDLE, _idle),
    "half-open": (SLOW, _half_open),
    "slow-body": (SLOW, _slow_body),
    "large-head": (LARGE, _large_head),
    "validations": (HEAVY, _validations),
    "batches": (1, _batches),
    "searches": (SEARCHING, _searches),
}
KINDS = tuple(_KINDS)


async def _again(attack: Callable[[int], Awaitable[None]], port: int) -> None:
    while True:
        with suppress(OSError, asyncio.IncompleteReadError):
            await attack(port)


async def _attack(kind: str, port: int) -> None:
    number, attack = _KINDS[kind]
    attacks = [asyncio.create_task(_again(attack, port)) for _ in range(number)]
    await asyncio.sleep(0.5)
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    await asyncio.gather(*attacks)


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(_attack(sys.argv[1], int(sys.argv[2])))
