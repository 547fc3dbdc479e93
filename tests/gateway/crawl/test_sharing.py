"""Several processes share one crawl through PostgreSQL: each study is read once, and limits hold for all together.

Decision D26.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from fakes.crawl import Account, Index, crawl_of, study, study_id
from fakes.store import rows

from gateway.crawl import sharing
from gateway.crawl.crawler import crawl_forever
from gateway.crawl.sharing import Sharing
from gateway.runtime.errors import UpstreamThrottled
from gateway.store.database.postgres import Postgres
from gateway.store.studies.crawling import Settled, StoredCursors, ToRead, read_record
from gateway.upstream.pace import Pace

pytestmark = pytest.mark.timeout(60)
LEASE = 1.0  # seconds; short, for the tests in which a process is gone
LONG = 60.0


class Process:
    """A process that takes part in the crawl: its ingests, and the pace of its requests."""

    def __init__(self, engine, account, index, lease=LEASE, **settings):
        self.pace = Pace(settings.get("concurrency", 8))
        self.read, self.engine = [], engine
        self.goes_on = asyncio.Event()  # unless it is set, studies stay under way
        self.goes_on.set()

        async def ingest(study_id, *, listed):
            self.read.append(study_id)
            await self.goes_on.wait()
            await index(study_id, listed=listed)

        made = crawl_of(account, index, cursors=StoredCursors(engine), open_interval=1, sweep_interval=1, **settings)
        self.sharing = Sharing(engine, self.pace, lease)
        self.crawl = replace(made, ingest=ingest, sharing=self.sharing)

    @asynccontextmanager
    async def running(self):
        task = asyncio.create_task(crawl_forever(self.crawl))
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.wait([task])


async def until(condition, seconds=60.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(sharing, "BEAT", 0.2)


@pytest.fixture
async def two(postgres_database):
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(opened(postgres_database)) for _ in range(2)]


@asynccontextmanager
async def opened(url):
    engine = Postgres(url)
    async with engine.opened():
        yield engine


async def test_two_processes_read_each_study_once_and_both_take_part(two):
    account = Account(*(study(number) for number in range(300)), latency=0.005)
    index = Index(account)
    # What a process claimed is read again once it is silent for a lease, and two that join in one instant may both list
    first, second = (Process(engine, account, index, lease=LONG, concurrency=2) for engine in two)
    first.goes_on.clear()
    async with first.running():
        await until(first.sharing.is_first.is_set)
        async with second.running():
            await until(lambda: second.sharing.has_joined.is_set() and second.sharing.is_other.is_set())
            first.goes_on.set()
            await until(lambda: len(index.stored) == 300)
            assert first.sharing.is_first.is_set() and not second.sharing.is_first.is_set()
            while await rows(two[0], "SELECT count(*) FROM to_read") != [(0,)]:
                await asyncio.sleep(0.02)
    assert Counter(first.read + second.read) == Counter(study_id(number) for number in range(300))
    assert min(len(first.read), len(second.read)) > 60


async def test_another_process_lists_once_the_first_is_gone(two):
    account = Account(study(1))
    index = Index(account)
    first, second = (Process(engine, account, index) for engine in two)
    async with second.running():
        async with first.running():
            await until(lambda: len(index.stored) == 1)
        await until(second.sharing.is_first.is_set)
        account.change(2)
        await until(lambda: len(index.stored) == 2)


async def test_the_claims_of_a_process_that_was_killed_are_read_by_another(two, monkeypatch):
    index = Index(Account(study(1)))
    killed = ToRead(two[1], "killed", 0.5)
    await killed.add("sweep", [(study_id(1), None)])
    assert [one.study_id for one in await killed.turn([], [], 5)] == [study_id(1)]
    assert await ToRead(two[0], "another", LEASE).turn([], [], 5) == []
    process = Process(two[0], Account(), index)  # no loop lists it
    async with process.running():
        await until(lambda: process.read == [study_id(1)])


# Joins first, claims a study, and stops with the claim locked in an open transaction
FREEZES = """
import asyncio, os, signal, sys
from gateway.crawl.sharing import Sharing
from gateway.store.database.postgres import Postgres
from gateway.store.database.engine import Statement, ask
from gateway.upstream.pace import Pace

async def freeze(url, study_id, lease):
    engine = Postgres(url, idle=lease)
    async with engine.opened():
        sharing = Sharing(engine, Pace(8), lease)
        await sharing.to_read.add("sweep", [(study_id, None)])
        await sharing.beat()
        await sharing.to_read.turn([], [], 5)

        def work():
            yield from ask(Statement("SELECT study_id FROM to_read FOR UPDATE"))
            os.kill(os.getpid(), signal.SIGSTOP)

        await engine.do(work)

asyncio.run(freeze(sys.argv[1], sys.argv[2], float(sys.argv[3])))
"""


async def test_a_process_that_is_frozen_in_a_transaction_is_followed_within_the_lease_and_three_seconds(two):
    index = Index(Account(study(1)))
    command = [sys.executable, "-c", FREEZES, two[0]._url, study_id(1), str(LEASE)]
    with subprocess.Popen(command) as frozen:  # noqa: ASYNC220 (it ends by a signal)
        try:
            stat = Path(f"/proc/{frozen.pid}/stat")
            await until(lambda: stat.read_text().rpartition(") ")[2].startswith("T"))
            process = Process(two[0], Account(), index)
            async with process.running():
                await until(lambda: process.read == [study_id(1)] and process.sharing.is_first.is_set(), LEASE + 3)
        finally:
            frozen.kill()


async def test_a_study_asked_for_again_while_it_is_read_is_read_once_more(two):
    mine, other = (ToRead(engine, name, LEASE) for engine, name in zip(two, ("mine", "other"), strict=True))
    await mine.add("sweep", [(study_id(1), {"old": 1})])
    (claim,) = await mine.turn([], [], 5)
    await other.add("open_set", [(study_id(1), None)])
    assert await other.turn([], [], 5) == []
    assert await mine.turn([Settled(claim)], [], 0) == []
    ((again),) = await other.turn([], [], 5)
    assert (again.study_id, again.listed) == (study_id(1), None)
    await other.turn([Settled(again)], [], 0)
    assert await rows(two[0], "SELECT count(*) FROM to_read") == [(0,)]


async def test_a_study_that_failed_is_tried_again_later_and_counts_as_settled(two):
    mine = ToRead(two[0], "mine", LEASE)
    await mine.add("sweep", [(study_id(1), None)])
    (claim,) = await mine.turn([], [], 5)
    assert await mine.unread([study_id(1)]) == 1
    assert await mine.turn([Settled(claim, wait=0.3)], [], 5) == []
    assert await mine.unread([study_id(1)]) == 0
    await asyncio.sleep(timedelta(seconds=0.4).total_seconds())
    ((again),) = await mine.turn([], [], 5)
    assert again.attempts == 1


async def test_all_processes_together_send_no_more_requests_than_the_limit(two):
    account = Account()
    first, second = (Process(engine, account, Index(account), concurrency=8) for engine in two)
    async with first.running():
        await until(first.sharing.is_first.is_set)
        assert await most_at_once(first.pace) == 8
        async with second.running():
            await until(lambda: first.pace.processes == second.pace.processes == 2)
            assert await most_at_once(first.pace) == await most_at_once(second.pace) == 4
        await until(lambda: first.pace.processes == 1)


async def most_at_once(pace):
    """Return how many requests get their turn while none ends."""
    async with AsyncExitStack() as stack:
        for count in range(100):
            try:
                async with asyncio.timeout(0.05):
                    await stack.enter_async_context(pace.turn())
            except TimeoutError:
                return count
    return None


async def test_a_process_claims_no_more_studies_than_its_share_of_the_requests_can_read(two):
    account = Account()
    first, second = (Process(engine, account, Index(account), concurrency=8) for engine in two)
    for one in (first, second):
        one.goes_on.clear()
    async with first.running(), second.running():
        await until(lambda: first.pace.processes == second.pace.processes == 2)
        for number in range(50):
            account.change(number)
        await until(lambda: len(first.read) == len(second.read) == 8)
        await asyncio.sleep(0.3)
        claimed = await rows(two[0], "SELECT count(*) FROM to_read WHERE holder <> '' GROUP BY holder")
        assert claimed == [(8,), (8,)]


async def test_a_study_that_takes_long_does_not_keep_the_processes_from_the_next_pages(two):
    account = Account(*(study(number) for number in range(450)))
    process, slow = Process(two[0], account, Index(account)), asyncio.Event()
    others = process.crawl.ingest

    async def ingest(study_id_, *, listed):
        if study_id_ == study_id(0):
            await slow.wait()
        await others(study_id_, listed=listed)

    process.crawl = replace(process.crawl, ingest=ingest)
    async with process.running():
        await until(lambda: len(process.read) == 449)
        record = await read_record(StoredCursors(two[0]))
        assert record.running.pages == 0  # a sweep that breaks off here begins with the page of that study
        slow.set()
        await until(lambda: len(process.read) == 450)


async def test_a_request_to_wait_holds_for_all_processes(two):
    account = Account()
    first, second = (Process(engine, account, Index(account)) for engine in two)
    async with first.running(), second.running():
        await until(lambda: first.pace.processes == second.pace.processes == 2)
        first.pace.answered(0, UpstreamThrottled("GET /studies", status=429, retry_after=30))
        await until(lambda: second.pace.closed_for > 20)


@pytest.mark.parametrize("what", ["settle", "renew", "release"])
async def test_a_process_that_changes_its_claims_and_one_that_asks_for_the_same_studies_do_not_deadlock(
    two, postgres_database, what
):
    first, middle, last = (study_id(number) for number in range(3))
    mine, other = (ToRead(engine, name, LEASE) for engine, name in zip(two, ("mine", "other"), strict=True))
    for one in (last, middle, first):  # the order in which PostgreSQL reads a small table
        await mine.add("sweep", [(one, None)])
    claims = {one.study_id: one for one in await mine.turn([], [], 5)}
    settled = [Settled(claims[first], wait=1.0), Settled(claims[last])]
    changes = {"settle": lambda: mine.turn(settled, [], 0), "renew": lambda: mine.turn([], list(claims), 0)}
    connection = await asyncpg.connect(postgres_database)
    try:
        async with connection.transaction():
            await connection.fetch("SELECT 1 FROM to_read WHERE study_id = $1 FOR UPDATE", middle)
            adding = asyncio.create_task(other.add("sweep", [(one, None) for one in (first, middle, last)]))
            await asyncio.sleep(0.3)
            changing = asyncio.create_task(changes.get(what, mine.release)())
            await asyncio.sleep(0.3)
        await asyncio.wait_for(asyncio.gather(adding, changing), 60)
        await asyncio.sleep(0.2)
        deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        assert await connection.fetchval(deadlocks) == 0
    finally:
        await connection.close()
