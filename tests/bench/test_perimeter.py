"""Cost of login and audit in a warm read, and of the limits of connections in a read over a new connection.

Run by `make bench`, in CPU time of this process. Contenders run in alternating rounds and the fastest round of each
counts, so that a busy machine slows all.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC
from typing import Any

import pytest
import uvicorn
from bench.margins import at_most
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fakes.pdfs import Library
from fakes.token_site import REGISTERED, token_site

from gateway.audit.audit_entry import values_key
from gateway.audit.journal import AuditJournal
from gateway.fhir_api.application import application
from gateway.fhir_api.audit.trail import AuditTrail
from gateway.fhir_api.facade import Facade
from gateway.fhir_api.search.page_token import Tokens
from gateway.ingest.read_through import ReadThrough
from gateway.runtime import clock
from gateway.runtime.log import UVICORN
from gateway.runtime.metrics import Metrics
from gateway.runtime.serving import listening_socket, running
from gateway.settings import Configuration, Server, Settings
from gateway.settings.auth import Auth
from gateway.store.studies.crawling import SweepRecord
from mappings.profile import Site

ROUNDS, READS, CONNECTIONS = 300, 50, 12  # short rounds: nothing disturbs some of them, on a busy machine, too
TO_REACH = 20  # µs
PATH = f"/fhir/DiagnosticReport/rep-{'3' * 32}"
HELLO = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"


def gateway(engine: Any, **groups: Any) -> Any:
    """Return the application of a gateway on an open database; AutoScribe is not asked."""
    site = Site(site_key=b"a site key of the tests, 32 bytes or more")
    settings = Settings.model_construct(server=Server(public_url="https://gateway.example/fhir"), **groups)
    app = application(Configuration(settings, site, "bench"), Metrics(), None, serves_fhir=True)  # type: ignore[arg-type]
    app.state.facade = Facade(
        upstream=None,  # type: ignore[arg-type]
        engine=engine,
        reads=ReadThrough(None, engine, Library(engine).pipeline, Metrics()),  # type: ignore[arg-type]
        site=site,
        zone=UTC,
        started=clock.now(),
        tokens=Tokens(site.site_key),
        sweep=SweepRecord,
        max_index_age=lambda: 1e9,
    )
    return app


def reader(app: Any, *headers: tuple[bytes, bytes]) -> Callable[[], Awaitable[None]]:
    """Return a function that reads a report, without a socket."""
    own = [(b"host", b"127.0.0.1:8800"), (b"accept", b"application/fhir+json"), *headers]

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def read() -> None:
        statuses: list[int] = []

        async def send(message: Any) -> None:
            statuses.extend([message["status"]] if "status" in message else [])

        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": PATH,
            "raw_path": PATH.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": own,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8800),
        }
        await app(scope, receive, send)
        assert statuses == [200]

    return read


async def fastest(contenders: dict[str, Callable[[], Awaitable[None]]], number: int) -> dict[str, float]:
    """Return for each contender the CPU time of one run in µs, in its fastest round."""
    best = dict.fromkeys(contenders, float("inf"))
    for _ in range(ROUNDS):
        for name, run in contenders.items():
            begun = time.process_time()
            for _ in range(number):
                await run()
            best[name] = min(best[name], (time.process_time() - begun) / number * 1e6)
    return best


@pytest.mark.timeout(300)
async def test_login_and_audit_in_a_warm_read(sqlite_engine, tmp_path, monkeypatch, say) -> None:
    await Library(sqlite_engine).report()
    tokens = await token_site(sqlite_engine, registered=REGISTERED)
    monkeypatch.setattr("gateway.runtime.clock.now", tokens.parts.service.now)
    token = await tokens.token()
    header = (b"authorization", f"Bearer {token}".encode())
    journal = AuditJournal(tmp_path, Ed25519PrivateKey.from_private_bytes(b"k" * 32))
    await journal.turn()
    contenders = {"open": reader(gateway(sqlite_engine))}
    for name, trail in (("closed", None), ("audited", AuditTrail(journal, values_key(b"site")))):
        app = gateway(sqlite_engine, auth=Auth(mode="builtin"))
        app.state.auth, app.state.audit = tokens.parts, trail
        contenders[name] = reader(app, header)
    took = await fastest(contenders, READS)
    journal.close()
    say(
        f"a warm read: {took['open']:.0f} µs CPU, login {took['closed'] - took['open']:.1f} more, audit"
        f" {took['audited'] - took['closed']:.1f} more, both together {took['audited'] - took['open']:.1f}"
        f" {at_most(took['audited'] - took['open'], TO_REACH)} or {took['audited'] / took['open']:.2f} times"
    )


async def hello(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"hello"})


@asynccontextmanager
async def plain(listener: socket.socket) -> AsyncIterator[None]:
    """Serve with uvicorn alone, with the same settings."""
    own = {name: value for name, value in UVICORN.items() if name not in {"http", "loop"}}
    server = uvicorn.Server(uvicorn.Config(hello, http="httptools", lifespan="off", **own))
    server.install_signal_handlers = lambda: None  # type: ignore[method-assign]
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.005)
    yield
    server.should_exit = True
    await task


def connecting(port: int) -> Callable[[], Awaitable[None]]:
    async def read() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HELLO)
        assert (await reader.read()).endswith(b"hello")
        writer.close()

    return read


@pytest.mark.timeout(300)
async def test_a_read_over_a_new_connection(say) -> None:
    with listening_socket("127.0.0.1", 0) as first, listening_socket("127.0.0.1", 0) as second:
        async with running(hello, first), plain(second):
            ports = {"limited": first.getsockname()[1], "plain": second.getsockname()[1]}
            took = await fastest({name: connecting(port) for name, port in ports.items()}, CONNECTIONS)
    say(
        f"a read over a new connection, client and server: {took['limited']:.0f} µs CPU with the limits of connections,"
        f" {took['plain']:.0f} µs with uvicorn alone: {took['limited'] / took['plain']:.2f} times"
    )
