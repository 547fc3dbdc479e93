"""Versions of resources: numbered by content, each at a different instant, in commit order.

https://hl7.org/fhir/R4/resource.html#Meta, https://hl7.org/fhir/R4/http.html#versioning, decisions D7 and D29.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack

import pytest
from fakes.databases import at_once
from fakes.store import addresses, made, resource_of, rows, write

from gateway.store.database import locks
from gateway.store.database.engine import PerDialect, Statement, ask, at_commit, instant_text
from gateway.store.database.kept import served_version
from gateway.store.database.postgres import Postgres
from gateway.store.studies import write_versions
from gateway.store.studies.write_versions import VersionWrite

PATIENT = "Patient/pat-1"
LAST = Statement("SELECT address, updated FROM resource WHERE type = 'Patient' AND updated > :last ORDER BY updated")
INDEX = "SELECT key, value FROM term ORDER BY key, value"
ALL_TIME = {"since": 0, "at_low": -1, "at_high": 2**62}


async def bodies(engine, address=PATIENT):
    found = await engine.fetch(write_versions.HISTORY, address=address, before=2**62, most=100, **ALL_TIME)
    return [(row[0], resource_of(row[2])["said"]) for row in found]


async def test_versions_count_the_contents_of_a_resource_from_1(engine):
    assert addresses(await write(engine, made(PATIENT, "a"))) == [(PATIENT, 1)]
    assert addresses(await write(engine, made(PATIENT, "b"), made("Patient/pat-2", "a"))) == [
        (PATIENT, 2),
        ("Patient/pat-2", 1),
    ]
    assert addresses(await write(engine, made(PATIENT, "a"))) == [(PATIENT, 3)]
    assert await bodies(engine) == [(3, "a"), (2, "b"), (1, "a")]


async def test_two_contents_of_one_resource_in_one_commit_are_two_versions(engine):
    written = await write(engine, made(PATIENT, "a"), made("Patient/pat-2", "a"), made(PATIENT, "b"), now=1_000)
    assert sorted((one.address, one.version) for one in written) == [(PATIENT, 1), (PATIENT, 2), ("Patient/pat-2", 1)]
    assert sorted(one.updated for one in written) == [1_000, 1_001, 1_002]
    assert await bodies(engine) == [(2, "b"), (1, "a")]


async def test_the_same_content_makes_no_version(engine):
    (first,) = await write(engine, made(PATIENT, "a"), now=1_000)
    assert await write(engine, made(PATIENT, "a", as_of=7), now=2_000) == []
    assert await bodies(engine) == [(1, "a")]
    ((version, updated, *_),) = await engine.fetch(write_versions.CURRENT, address=PATIENT)
    assert (version, updated) == (1, first.updated)


async def test_the_body_says_the_version_and_its_instant(engine):
    now = 1_767_622_814_000_001
    (written,) = await write(engine, made(PATIENT, "a"), now=now)
    ((version, updated, *_, body, fetched),) = await engine.fetch(write_versions.CURRENT, address=PATIENT)
    assert resource_of(body, version, updated) == {
        "resourceType": "Patient",
        "id": "pat-1",
        "meta": {"versionId": "1", "lastUpdated": "2026-01-05T14:20:14.000001Z"},
        "said": "a",
    }
    assert written.updated == now
    assert instant_text(now) == "2026-01-05T14:20:14.000001Z"
    assert fetched is None


async def test_every_version_has_an_instant_of_its_own_though_the_clock_stands_still_or_goes_back(engine):
    seen = []
    for now in (5_000, 5_000, 4_000, 5_001, 9_000):
        written = await write(engine, made(PATIENT, str(len(seen))), made("Patient/pat-2", str(len(seen))), now=now)
        seen += [one.updated for one in written]
    assert seen == [5_000, 5_001, 5_002, 5_003, 5_004, 5_005, 5_006, 5_007, 9_000, 9_001]
    ((last,),) = await rows(engine, "SELECT last FROM tick")
    ((number,),) = await rows(engine, "SELECT max(number) FROM resource")
    assert (last, number) == (9_001, 2)


async def test_a_transaction_that_fails_gives_out_no_instant_and_no_number(engine):
    def fails():
        yield from locks.take()
        yield from write_versions.write([VersionWrite([made(PATIENT, "a")])], 1_000)
        raise LookupError

    for _ in range(2):
        with pytest.raises(LookupError):
            await engine.do(fails)
    assert await rows(engine, "SELECT last, resource FROM tick") == [(0, 0)]
    assert await rows(engine, "SELECT count(*) FROM version") == [(0,)]


async def test_an_older_source_takes_nothing_back_from_a_newer_one(engine):
    await write(engine, made(PATIENT, "new", as_of=20))
    assert await write(engine, made(PATIENT, "old", as_of=10)) == []
    assert addresses(await write(engine, made(PATIENT, "as new", as_of=20))) == [(PATIENT, 2)]
    assert await write(engine, made(PATIENT, "as new", as_of=40)) == []
    assert await write(engine, made(PATIENT, "as new", as_of=30)) == []
    assert await write(engine, made(PATIENT, "said before that was confirmed", as_of=39)) == []
    assert await bodies(engine) == [(2, "as new"), (1, "new")]


async def test_a_suppressed_version_is_kept_with_its_faults_and_is_no_part_of_what_is_served(engine):
    await write(engine, made(PATIENT, "a"))
    (written,) = await write(engine, made(PATIENT, "b", faults='[{"pointer":"/x","code":"c"}]'))
    assert (written.version, written.is_suppressed) == (2, True)
    ((version, _, is_suppressed, faults, *_),) = await engine.fetch(write_versions.CURRENT, address=PATIENT)
    assert (version, is_suppressed, faults) == (2, 1, '[{"pointer":"/x","code":"c"}]')
    assert await bodies(engine) == [(1, "a")]
    ((*_, faults, _),) = await engine.fetch(write_versions.ONE_VERSION, address=PATIENT, version=2)
    assert faults
    assert addresses(await write(engine, made(PATIENT, "b"))) == [(PATIENT, 3)]
    assert await write(engine, made(PATIENT, "b")) == []


async def test_one_version_is_read_by_its_number(engine):
    await write(engine, made(PATIENT, "a"))
    await write(engine, made(PATIENT, "b"))
    for version, content in ((1, "a"), (2, "b")):
        ((number, _, _, body),) = await engine.fetch(write_versions.ONE_VERSION, address=PATIENT, version=version)
        assert (number, resource_of(body)["said"]) == (version, content)
    assert not await engine.fetch(write_versions.ONE_VERSION, address=PATIENT, version=3)
    assert not await engine.fetch(write_versions.ONE_VERSION, address="Patient/pat-2", version=1)


async def test_history_is_of_a_window_newest_first_and_page_by_page(engine):
    for number in range(1, 6):
        await write(engine, made(PATIENT, str(number)), now=number * 1_000)

    async def told(most=100, before=2**62, **window):
        within = {"address": PATIENT, **ALL_TIME, **window}
        history = await engine.fetch(write_versions.HISTORY, before=before, most=most, **within)
        ((count,),) = await engine.fetch(write_versions.COUNT_VERSIONS, **within)
        return [row[0] for row in history], count

    assert await told() == ([5, 4, 3, 2, 1], 5)
    assert await told(most=2) == ([5, 4], 5)
    assert await told(most=2, before=4) == ([3, 2], 5)
    assert await told(since=3_000) == ([5, 4, 3], 3)
    assert await told(at_low=2_500, at_high=4_000) == ([3, 2], 2)  # version 4 was not current before 4,000
    assert await engine.fetch(write_versions.HAS_RESOURCE, address=PATIENT)
    assert not await engine.fetch(write_versions.HAS_RESOURCE, address="Patient/pat-2")


async def test_a_new_version_is_found_by_its_own_rows_and_no_longer_by_the_old_ones(engine):
    await write(engine, made(PATIENT, "a", terms={(1, "a"), (2, "x")}, moments={(3, 10, 20)}))
    await write(engine, made(PATIENT, "b", terms={(1, "b")}, moments={(3, 11, 21), (4, 0, 1)}))
    assert await rows(engine, INDEX) == [(1, "b")]
    assert await rows(engine, "SELECT key, low, high FROM moment ORDER BY key") == [(3, 11, 21), (4, 0, 1)]


async def test_rows_are_made_anew_on_request_though_the_content_is_the_same(engine):
    await write(engine, made(PATIENT, "a", terms={(1, "a")}))
    assert await write(engine, made(PATIENT, "a", terms={(1, "b")})) == []
    assert await rows(engine, INDEX) == [(1, "a")]
    assert await write(engine, made(PATIENT, "a", terms={(1, "b")}), reindex=True) == []
    assert await rows(engine, INDEX) == [(1, "b")]


async def test_the_resources_of_an_owner_are_listed(engine):
    await write(engine, made("Observation/o-1", owner="stu_1"), made("Observation/o-2", owner="stu_2"))
    assert [row[0] for row in await engine.fetch(write_versions.OWNED, owner="stu_1")] == ["Observation/o-1"]


async def test_a_poller_beside_two_writers_misses_nothing_and_sees_no_instant_twice(engines):
    """Check a poller that asks for updates after the last instant that it saw, and for no more (D29)."""
    written, seen = [], []
    done = asyncio.Event()

    async def writer(engine, name):
        for number in range(40):
            several = [made(f"Patient/{name}-{number}-{n}", "a") for n in range(3)]
            written.extend((one.address, one.updated) for one in await write(engine, *several, now=number))

    async def poller(engine):
        last, is_last = 0, False
        while True:
            is_last = done.is_set()
            updates = [tuple(row) for row in await engine.fetch(LAST, last=last)]
            seen.extend(updates)
            last = updates[-1][1] if updates else last
            if is_last and not updates:
                return
            await asyncio.sleep(0)

    async with AsyncExitStack() as stack:
        first, other, third = engines(), engines(), engines()
        for engine in (first, other, third):
            await stack.enter_async_context(engine.opened())
        polling = asyncio.create_task(poller(third))
        await asyncio.gather(writer(first, "a"), writer(other, "b"))
        done.set()
        await polling
    assert sorted(seen) == sorted(written)
    instants = [updated for _, updated in seen]
    assert len(set(instants)) == len(instants) == 240
    assert instants == sorted(instants)


async def test_instants_of_postgresql_follow_the_commits_though_a_transaction_that_began_first_ends_last(
    postgres_database, postgres_engine
):
    """Check that the second writer of versions waits for the clock, and gets a later instant."""
    slow, fast = made("Patient/slow", "a"), made("Patient/fast", "a")

    def slowly():
        yield from locks.take()
        yield from write_versions.write([VersionWrite([slow])], 5_000)
        yield from at_commit(PerDialect({"postgresql": Statement("SELECT pg_sleep(0.2)")}))

    other = Postgres(postgres_database)
    async with other.opened():
        first = asyncio.create_task(postgres_engine.do(slowly))
        await asyncio.sleep(0.1)
        (second,) = await write(other, fast, now=1)
        await first
    ((_, earlier, *_),) = await postgres_engine.fetch(write_versions.CURRENT, address=slow.address)
    assert earlier < second.updated


class Deaf(Postgres):
    """PostgreSQL of a process that does nothing else from the moment it sends its commit until `go_on`."""

    def __init__(self, url, go_on):
        super().__init__(url)
        self.sent, self._go_on = threading.Event(), go_on

    async def _drive(self, connection, steps):
        class Connection:
            def __getattr__(_, name):
                return getattr(connection, name)

            async def execute(_, sql, *values):
                sending = asyncio.create_task(connection.execute(sql, *values))
                if sql.endswith("COMMIT"):
                    await asyncio.sleep(0)
                    self.sent.set()
                    assert self._go_on.wait(20)
                return await sending

        return await super()._drive(Connection(), steps)


async def test_a_process_that_is_too_busy_to_hear_of_its_commit_keeps_no_other_waiting(postgres_database):
    go_on = threading.Event()
    busy = Deaf(postgres_database, go_on)

    async def other():
        engine = Postgres(postgres_database)
        async with engine.opened():
            assert busy.sent.wait(20)
            written = await write(engine, made("Patient/other", "a"))
            go_on.set()
            return written

    async with busy.opened():
        beside = asyncio.create_task(asyncio.to_thread(at_once, other()))
        await asyncio.sleep(0)
        (first,) = await write(busy, made(PATIENT, "a"))
        (second,) = await beside
    assert first.updated < second.updated


async def test_a_row_of_an_earlier_release_is_served_as_it_was_and_rerender_shortens_it(engine):
    (written,) = await write(engine, made(PATIENT, "a" * 200))
    plain = made(PATIENT, "a" * 200).body(1, written.updated)
    await engine.do(lambda: ask(Statement("UPDATE version SET body = :plain"), plain=plain))
    ((version, updated, *_, body, _),) = await engine.fetch(write_versions.CURRENT, address=PATIENT)
    assert served_version(body, version, updated) == bytes(body) == plain
    assert await write(engine, made(PATIENT, "a" * 200)) == []
    assert await rows(engine, "SELECT body FROM version") == [(plain,)]
    assert await write(engine, made(PATIENT, "a" * 200), reindex=True) == []
    [(version, updated, row)] = await rows(engine, "SELECT version, updated, body FROM version")
    assert len(row) < len(plain) / 2
    assert served_version(row, version, updated) == plain
