"""Orders under load: answers to AutoScribe and acknowledgements to a hospital beside a million orders; draining.

Run by `make bench`, on both stores. A gateway is a process of its own. Each time counts from the moment at which a
request was due, so a queue in front of the gateway counts, too. `BENCH_ORDERS` and `BENCH_SECONDS` are the sizes.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sqlite3
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from bench import stores
from fakes.bringing import bringing
from fakes.databases import at_once
from fakes.gateway_process import environment, started
from fakes.hospital import AUTHORITIES, order, patient
from fakes.hospital_source import Hospital, ordering
from fakes.inbox import SECRET, body, signed
from fakes.ports import free_address

from gateway.store.database.engine import micros
from gateway.store.database.kept import compressed, encoded
from gateway.store.orders.numbers import keys_of
from gateway.webhooks.endpoint import PATH
from gateway.webhooks.event import ENRICHMENT_REQUESTED

ORDERS = int(os.environ.get("BENCH_ORDERS", "1000000"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "60"))
WEBHOOKS, MESSAGES = 20, 50  # a second
BACKLOG = 5_000
CLINIC = "123e4567-e89b-12d3-a456-426614174000"
SITE = f"""
[mapping]
accession_keys = ["acc"]
[[mapping.facilities]]
name = "City"
clinic_ids = ["{CLINIC}"]
mrn_system = "urn:oid:1.2.1"
mrn_namespace = "CITY"
accession_system = "urn:oid:1.2.2"
accession_namespace = "CITYRIS"
placer_system = "urn:oid:1.2.3"
placer_namespace = "CITYHIS"
[[source]]
name = "city-his"
listen = "127.0.0.1:{{port}}"
may = ["orders", "visits", "merges"]
facility = "City"
time_zone = "America/Chicago"
"""

pytestmark = pytest.mark.timeout(1800)


def rows(count: int) -> Iterator[tuple[tuple[Any, ...], list[tuple[str, int]]]]:
    """Yield orders with their keys, as rows: of each the numbers alone differ."""
    ordered = datetime(2026, 1, 1, tzinfo=UTC)
    made = order(placer="P0000000", accession="A0000000", at=ordered, about=patient("Q0000000"))
    at, text = micros(ordered), encoded(made).decode()
    keys = list(keys_of(made, AUTHORITIES))
    for number in range(1, count + 1):
        name = f"{number:07d}"
        packed = compressed("order", text.replace("0000000", name).encode())
        yield (number, "city-his", 1, at, at, at, packed), [(key.replace("0000000", name), number) for key in keys]


def fill_sqlite(path: Path, count: int) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for some in batches(rows(count)):
            connection.executemany("INSERT INTO hospital_order VALUES (?, ?, ?, ?, ?, ?, ?)", [one for one, _ in some])
            connection.executemany("INSERT INTO order_key VALUES (?, ?)", [key for _, keys in some for key in keys])
            connection.commit()
        connection.execute("ANALYZE")


async def fill_postgres(url: str, count: int) -> None:
    connection = await asyncpg.connect(url)
    try:
        for some in batches(rows(count)):
            await connection.copy_records_to_table("hospital_order", records=[one for one, _ in some])
            await connection.copy_records_to_table("order_key", records=[key for _, keys in some for key in keys])
        await connection.execute("SELECT setval('hospital_order_number_seq', $1)", count)
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


def batches(given: Iterator[Any]) -> Iterator[list[Any]]:
    while some := list(itertools.islice(given, 10_000)):
        yield some


async def paced(every: float, seconds: float, send: Callable[[int], Awaitable[None]]) -> list[float]:
    """Send at a fixed rate, whatever the answers; return the seconds from when each was due to its answer."""
    begun, times, sending = time.perf_counter(), list[float](), set[asyncio.Task[None]]()

    async def one(number: int, due: float) -> None:
        await send(number)
        times.append(time.perf_counter() - due)

    for number in range(int(seconds / every)):
        due = begun + number * every
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        sending.add(asyncio.create_task(one(number, due)))
    await asyncio.gather(*sending)
    return times


def described(times: list[float]) -> str:
    at = statistics.quantiles(times, n=100)
    return f"p50 {at[49] * 1e3:.0f} ms, p99 {at[98] * 1e3:.0f} ms, worst {max(times) * 1e3:.0f} ms"


async def loaded(base: str, address: tuple[str, int]) -> tuple[list[float], list[float], int]:
    """Ask and order at the same time; return the times of both, and how many questions were answered with an order."""
    answered = 0
    lock = asyncio.Lock()
    async with httpx.AsyncClient() as client, bringing(address) as connection:

        async def ask(number: int) -> None:
            nonlocal answered
            name = f"{number * 7919 % ORDERS + 1:07d}"
            content = body(ENRICHMENT_REQUESTED, clinicId=CLINIC, studyInstanceUid=f"1.2.{number}",
                           accessionNumber=f"A{name}", patientId=f"Q{name}")  # fmt: skip
            headers = signed(content, at=datetime.now(UTC), webhook_id=f"msg_{number}")
            answer = await client.post(f"{base}{PATH}", content=content, headers=headers)
            answered += answer.status_code == 200 and answer.json() != {}

        async def send(number: int) -> None:
            name = f"{number * 7919 % ORDERS + 1 if number % 5 else ORDERS + 1 + number:07d}"
            async with lock:  # one message at a time, as interface engines send
                await connection.bring(
                    ordering("XO", f"P{name}", "", f"A{name}", f"Q{name}", control_id=f"{number}", minute=number % 600)
                )
                told = await connection.told()
                assert told is not None
                assert (told.code, told.control_id) == ("AA", f"{number}")

        asked, sent = await asyncio.gather(paced(1 / WEBHOOKS, SECONDS, ask), paced(1 / MESSAGES, SECONDS, send))
    return asked, sent, answered


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_answers_and_acknowledgements_beside_a_million_orders(kind, new_database, tmp_path, say) -> None:
    async def measured(url: str) -> None:
        address, config = free_address(), tmp_path / "gateway.toml"
        config.write_text(SITE.format(port=address[1]))
        env = environment("http://127.0.0.1:9", url, config, AVARA_WEBHOOK_KEY=SECRET, GATEWAY_SERVER__WORKERS="1")
        with started(["serve", "--port", "0", "--roles", "api,sync"], env, tmp_path / "log") as gateway:
            asked, sent, answered = await loaded(await gateway.address(), address)
        say(
            f"{kind}, {ORDERS:,} orders, {WEBHOOKS} questions and {MESSAGES} messages a second for {SECONDS:.0f} s:"
            f" answer to AutoScribe {described(asked)} (to reach: p99 200), {answered / len(asked):.0%} with an order;"
            f" acknowledgement {described(sent)} (to reach: p99 100)"
        )

    with new_database(kind) as place:
        if kind == "sqlite":
            fill_sqlite(place, ORDERS)
        else:
            at_once(fill_postgres(place, ORDERS))
        at_once(measured(f"sqlite:///{place}" if kind == "sqlite" else place))


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_backlog_drains(kind, new_database, say) -> None:
    async def measured(url: str) -> None:
        engine = stores.engine_of(url)
        async with engine.opened():
            hospital = Hospital(engine)
            sent = (
                ordering("NW", placer=f"P{one}", accession=f"A{one}", control_id=f"{one}") for one in range(BACKLOG)
            )
            await hospital.stores(*sent)
            begun, cpu = time.perf_counter(), time.process_time()
            while await hospital.applying.turn():
                pass
            seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
        rate = BACKLOG / seconds
        say(
            f"{kind}: {BACKLOG} stored messages applied at {rate:.0f}/s, {rate / MESSAGES:.1f} x {MESSAGES} a second"
            f" (to reach: 10 x), {cpu / BACKLOG * 1000:.2f} ms CPU each"
        )

    with new_database(kind) as place:
        at_once(measured(f"sqlite:///{place}" if kind == "sqlite" else place))
