"""Time of each page of the console beside many reports and a long queue, and the feed's rate while somebody looks.

Run by `make bench`: a gateway with all roles but `sync` on one core. A reader opens every page while the destination is
paused; then the queue is sent to a receiver that acknowledges at once, by turns without and with somebody who opens
four pages a second. BENCH_CONSOLE says how many reports the store has, and BENCH_QUEUED how many messages wait.
"""

from __future__ import annotations

import asyncio
import os
import re
import statistics
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest
from bench import bulk, queued, stores
from bench.machine import ASKING, MEASURED, on_core
from bench.margins import at_least, at_most
from bench.serving import NOBODY
from bench.test_feed import receiver
from fakes.databases import at_once
from fakes.gateway_process import MLLP_TABLE, Running, environment, site_file, started
from fakes.in_force import always_in_force

from gateway.auth.operators import hashed
from gateway.routing import routes_of
from gateway.runtime import clock
from gateway.settings.load import load
from gateway.store.clients import StoredOperator, StoredOperators
from gateway.store.database.engine import Engine, Statement, Steps, ask, ask_each, micros
from gateway.store.database.postgres import Postgres
from gateway.store.database.sqlite import Sqlite

REPORTS = int(os.environ.get("BENCH_CONSOLE", "2000"))
QUEUED = int(os.environ.get("BENCH_QUEUED", str(REPORTS * 3 // 4)))
REAL, VIEWS, ROUNDS, SECONDS, PAUSE = 20, 100, 3, 1.0, 0.25
TO_REACH = 0.1  # seconds, at 99 %
PAGES = ("", "work", "alerts", "certificate", "find", "access")
PASSWORD = "three words and a number"
OPENED = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"}

pytestmark = pytest.mark.timeout(600 + REPORTS // 100)

# One report a minute was signed until now; each 256th is critical
_REPORTS = Statement(
    "INSERT INTO report (report_id, study_id, status, is_addendum, signed, first_seen, first_seen_signed)"
    " SELECT 'rep_' || substr(s.study_id, 5), s.study_id, 'completed', 0, :now - 60000000 * r.number, 1, 1"
    " FROM study s JOIN resource r ON r.owner = s.study_id AND r.type = 'DiagnosticReport'"
    " WHERE NOT EXISTS (SELECT 1 FROM report o WHERE o.study_id = s.study_id)"
)
_OUTBOX = Statement(
    "INSERT INTO outbox (study_id, report_id, kind, content_version, destination, state, is_move, decided, signed,"
    " settled, is_critical) SELECT study_id, report_id, 'signed', 'v', 'ehr', 'rendered', 0, 1, signed, 1,"
    " CASE WHEN report_id LIKE '%00' THEN 1 ELSE 0 END FROM report WHERE status = 'completed'"
)
# The newest reports wait. Of those before them, each was acknowledged
_MESSAGES = Statement(
    "INSERT INTO message (outbox, is_whole, is_draft, is_critical, priority, size, attempts, doubts, due, made, sent,"
    " committed, accepted, closed, signed, destination, study_id, report_id, kind, content_version, control_id,"
    " restates, filler_order_numbers, report_ids, patient_id, state, reason, ack, has_body)"
    " SELECT number, 1, 0, is_critical, 1, :size, 1, 0, 0, signed, signed, signed, signed, signed, signed, destination,"
    " study_id, report_id, kind, content_version, 'D' || number, number || '/', '[]', '[\"' || report_id || '\"]',"
    " 'pat', 'delivered', '', 'AA', 0 FROM outbox WHERE number > :queued"
)
_QUEUED = Statement(
    "INSERT INTO message (outbox, is_whole, is_draft, is_critical, priority, size, attempts, doubts, due, made, signed,"
    " destination, study_id, report_id, kind, content_version, control_id, restates, filler_order_numbers, report_ids,"
    " patient_id, state, reason, ack, has_body)"
    " SELECT number, 1, 0, is_critical, 1, :size, 0, 0, 0, signed, signed, destination, study_id, report_id, kind,"
    " content_version, 'Q' || number, number || '/', '[]', '[\"' || report_id || '\"]', 'pat', 'queued', '', '', 1"
    " FROM outbox WHERE number <= :queued"
)
_OPEN = Statement("SELECT number, control_id FROM message WHERE destination = 'ehr' AND state = 'queued'")
_BODY = Statement("INSERT INTO message_body (number, body) VALUES (:number, :body)")
_PAUSED = Statement("UPDATE destination SET paused = :paused, paused_since = 1 WHERE name = 'ehr'")
_READ = Statement("SELECT report_id, study_id FROM report WHERE status = 'completed' AND first_seen > 1 LIMIT 1")


def ledger() -> Steps[None]:
    """Add to each report what was sent of it, and what waits."""
    yield from ask(_REPORTS, now=micros(clock.now()))
    yield from ask(_OUTBOX)
    for statement in (_MESSAGES, _QUEUED):
        yield from ask(statement, size=queued.SIZE, queued=QUEUED)
    rows = yield from ask(_OPEN)
    yield from ask_each(_BODY, [{"number": number, "body": queued.body(text)} for number, text in rows])


async def filled(kind: str, database: Path | str, other: Path) -> list[str]:
    """Fill a database; return the pages of a report that AutoScribe's documents were kept of."""
    template = Sqlite(other)
    async with template.opened():
        await stores.taken_in(template, stores.studies(10), 1)
        rows = await bulk.template(template)
    if kind == "sqlite":
        bulk.fill_sqlite(Path(database), rows, REPORTS)
    else:
        await bulk.fill_postgres(str(database), rows, REPORTS)
    engine: Engine = Sqlite(Path(database)) if kind == "sqlite" else Postgres(str(database))
    async with engine.opened():
        await stores.taken_in(engine, stores.studies(REAL), 1)
        await engine.do(ledger)
        now = micros(clock.now())
        await StoredOperators(engine).add(StoredOperator("kim", "admin", hashed(PASSWORD), now, now), "")
        [(report_id, study_id), *_] = await engine.fetch(_READ)
        await stores.swept(engine, REPORTS)
    return [f"find?q={study_id}", f"report/{report_id}", f"report/{report_id}/why?field=PID-5"]


@asynccontextmanager
async def gateway(
    engine: Engine, url: str, folder: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Running, str]]:
    """Run a gateway on the measured core; yield it, and its address."""
    config = site_file(folder)
    config.write_text(config.read_text() + MLLP_TABLE.format(port=port))
    own = {"GATEWAY_SERVER__WORKERS": "1", "GATEWAY_SYNC__MAX_INDEX_AGE": "86400"}
    env = environment(NOBODY, url, config, **own)
    with monkeypatch.context() as patched:
        for name, value in env.items():
            patched.setenv(name, value)
        routes = routes_of(load(None))
    async with engine.opened():
        await always_in_force(engine, routes.destinations, routes.ignores)
        await engine.do(partial(ask, _PAUSED, paused="bench"))
    with on_core(MEASURED):
        process = started(["serve", "--roles", "api,console,feed", "--port", "0"], env, folder / "log")
    with process as running:
        yield running, await running.address()


def spent(process: int) -> float:
    """Return the seconds of processor time that a process and those that it started have taken."""
    words = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
    own = (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    started_by = "".join(one.read_text() for one in Path(f"/proc/{process}/task").glob("*/children"))
    return own + sum(spent(int(one)) for one in started_by.split())


async def opened(client: httpx.AsyncClient, page: str) -> float:
    """Open a page; return the seconds."""
    begun = time.perf_counter()
    answer = await client.get(f"/console/{page}")
    assert answer.status_code == 200, (page, answer.status_code, answer.text[-300:])
    return time.perf_counter() - begun


async def sent(engine: Engine, client: httpx.AsyncClient, pages: Sequence[str]) -> float:
    """Return the messages acknowledged a second, while somebody opens these pages by turns, if any."""
    before, begun = await queued.left(engine), time.perf_counter()
    for place in range(int(SECONDS / PAUSE)):
        if pages:
            await opened(client, pages[place % len(pages)])
        await asyncio.sleep(max(0.0, begun + PAUSE * (place + 1) - time.perf_counter()))
    return (before - await queued.left(engine)) / (time.perf_counter() - begun)


async def looked(engine: Engine, running: Running, root: str, pages: Sequence[str], say: Callable[[str], None]) -> None:
    """Open every page by turns while the queue is sent, and say how long each takes."""
    async with httpx.AsyncClient(base_url=root, headers=OPENED, timeout=60) as client, engine.opened():
        given = {"name": "kim", "password": PASSWORD, "to": "/console/"}
        assert (await client.post("/console/sign-in", data=given)).status_code == 303
        worst = 0.0
        for page in pages:
            await opened(client, page)  # its templates are read
            taken, before = [await opened(client, page) for _ in range(VIEWS)], spent(running.process_id)
            taken += [await opened(client, page) for _ in range(VIEWS)]
            cost = (spent(running.process_id) - before) / VIEWS
            p99 = statistics.quantiles(taken, n=100)[98]
            worst = max(worst, p99)
            name = re.sub(r"(?:rep|stu)_\w+", "ID", page) or "overview"
            p50 = statistics.median(taken) * 1e3
            say(f"    {name}: p50 {p50:.0f} ms, p99 {p99 * 1e3:.0f} ms, {cost * 1e3:.0f} ms CPU")
        await engine.do(partial(ask, _PAUSED, paused=""))
        while await queued.left(engine) == QUEUED:
            await asyncio.sleep(0.1)
        rounds = []
        while len(rounds) < ROUNDS and await queued.left(engine):
            rounds.append([await sent(engine, client, one) for one in ((), PAGES)])
        if rounds and not await queued.left(engine):
            rounds.pop()  # it ended in the middle
        assert rounds, "the queue was too short: BENCH_QUEUED makes it longer"
    alone, share = (statistics.median(one) for one in zip(*((one, two / one) for one, two in rounds), strict=True))
    say(f"  slowest page: {worst * 1e3:.0f} ms at 99 % {at_most(worst / TO_REACH, 1)}")
    say(f"  feed beside {1 / PAUSE:.0f} pages a second: {share:.0%} of {alone:.0f} messages/s {at_least(share, 0.95)}")


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_pages_beside_many_reports_and_a_long_queue(kind, new_database, tmp_path, monkeypatch, say) -> None:
    async def run(database: Path | str, other: Path) -> None:
        pages = [*PAGES, *await filled(kind, database, other)]
        engine = Sqlite(Path(database)) if kind == "sqlite" else Postgres(str(database))
        url = f"sqlite:///{database}" if kind == "sqlite" else str(database)
        async with gateway(engine, url, tmp_path, port, monkeypatch) as (running, root):
            await looked(engine, running, root, pages, say)

    say(f"console, {kind}, {REPORTS} reports, {QUEUED} messages that wait:")
    with new_database(kind) as database, new_database("sqlite") as other, receiver() as port, on_core(ASKING):
        at_once(run(database, other))
