"""Decisions D7, D25, D29, D33: two gateways crawl into one PostgreSQL while people work; each is killed once.

https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-DEADLOCKS
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest
from fakes.busy_account import BusyAccount
from fakes.gateway_process import FAST, Running, environment, site_file, started
from fakes.scale import STUDIES
from fakes.store_audit import audit, check_against, check_causes, check_versions

from gateway.ingest.assembly import pipeline_of
from gateway.runtime import clock
from gateway.runtime.serving import listening_socket, running
from gateway.sandbox.upstream import SandboxOptions, create_app
from gateway.settings import load
from gateway.store.database.postgres import Postgres
from gateway.store.studies.crawling import StoredCursors, read_record

_COUNT = "SELECT count(*) FROM study"
_NEWER = "SELECT updated FROM version WHERE updated > $1 ORDER BY updated"
_UNTOLD = (
    "SELECT count(*) FROM pdf WHERE (state = 'wanted' AND attempts = 0)"
    " OR (state = 'kept' AND due < 4611686018427387904)"
)
_DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
_PATIENCE = 1_200.0


@dataclass
class Scene:
    """An account that people work in, a store, and gateways between the two."""

    account: BusyAccount
    engine: Postgres
    env: dict[str, str]
    folder: Path
    stack: ExitStack
    gateways: dict[str, Running] = field(default_factory=dict)
    numbers: Any = field(default_factory=count)

    def start(self, name: str) -> None:
        log = self.folder / f"{name}-{next(self.numbers)}.log"
        self.gateways[name] = self.stack.enter_context(
            started(["serve", "--roles", "sync", "--port", "0"], self.env, log)
        )

    def kill_and_restart(self, name: str) -> None:
        assert self.gateways[name].is_alive, self.gateways[name].printed()
        self.gateways[name].kill()
        self.start(name)

    async def stored(self) -> int:
        (row,) = await self.engine.query(_COUNT, [])
        return int(row[0])

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(_PATIENCE):
            while not await holds():
                dead = [one.printed() for one in self.gateways.values() if not one.is_alive]
                assert not dead, dead
                await asyncio.sleep(0.05)

    async def quiet(self) -> None:
        """Wait for the end of a sweep that began after this call."""
        since, cursors = clock.now(), StoredCursors(self.engine)

        async def swept() -> bool:
            finished = (await read_record(cursors)).finished
            return finished is not None and finished.started > since

        await self.until(swept)
        await self.until(self.told)

    async def told(self) -> bool:
        """True if every available PDF is noted in its report; work of a killed gateway is free after 2 minutes."""
        (row,) = await self.engine.query(_UNTOLD, [])
        return int(row[0]) == 0


async def polled(engine: Postgres, seen: list[int]) -> None:
    """Poll for versions newer than all seen before, as a client would (D29)."""
    while True:
        seen += [int(updated) for (updated,) in await engine.query(_NEWER, [seen[-1] if seen else 0])]
        await asyncio.sleep(0.1)


async def worked(scene: Scene, dice: Random) -> None:
    """Change a fifth of the studies while they are ingested, and again afterwards; kill each gateway once."""
    studies = sorted(scene.account.state.studies)
    chosen = dice.sample(studies, len(studies) // 5)
    first, second = dice.uniform(0.15, 0.7), dice.randrange(len(chosen))
    for number, study_id in enumerate(chosen):
        share = number / len(chosen)

        async def so_far(wanted: float = share * len(studies)) -> bool:
            return await scene.stored() >= wanted

        await scene.until(so_far)
        scene.account.act(study_id)
        if first <= share:
            scene.kill_and_restart("one")
            first = 2.0
    for number, study_id in enumerate(dice.sample(chosen, len(chosen))):
        scene.account.act(study_id)
        await asyncio.sleep(0.05)
        if number == second:
            scene.kill_and_restart("two")
    for _ in range(5):
        scene.account.state.sign_new()


@pytest.mark.parametrize(("size", "pdfs"), STUDIES.both())
async def test_two_gateways_that_are_killed_lose_double_and_reorder_nothing(
    size, pdfs, postgres_database, tmp_path, monkeypatch, say
):
    seed = Random().randrange(10_000)
    dice, begun = Random(seed), clock.monotonic()
    account, engine, seen = BusyAccount(size, seed), Postgres(postgres_database), []
    with ExitStack() as stack, listening_socket("127.0.0.1", 0) as listener:
        options = SandboxOptions(port=listener.getsockname()[1])
        own = {**FAST, "GATEWAY_PDF__INGEST": pdfs}
        env = environment(options.base_url, postgres_database, site_file(tmp_path), **own)
        async with running(create_app(account.state, options), listener), engine.opened():
            scene = Scene(account, engine, env, tmp_path, stack)
            scene.start("one")
            scene.start("two")
            polling = asyncio.create_task(polled(engine, seen))
            await worked(scene, dice)
            await scene.quiet()
            took = clock.monotonic() - begun
            for one in scene.gateways.values():
                await one.address()  # a signal before it serves would end it without a clean stop
            assert [await one.stop() for one in scene.gateways.values()] == [0, 0]
            await asyncio.sleep(0.3)
            polling.cancel()
            await asyncio.gather(polling, return_exceptions=True)
            found = await audit(engine)
            say(f"two gateways, {size} studies, seed {seed}, {took:.0f} s: {found.counts}, done: {dict(account.done)}")
            assert next(scene.numbers) == 4, "each was killed and started again"
            check_versions(found)
            check_against(found, account)
            check_causes(found, account)
            assert sorted(seen) == sorted(one.updated for versions in found.versions.values() for one in versions)
            assert [tuple(row) for row in await engine.query(_DEADLOCKS, [])] == [(0,)]
            assert await rendered_anew(engine, account, env, monkeypatch) == 0


async def rendered_anew(engine: Postgres, account: BusyAccount, env: dict[str, str], monkeypatch: Any) -> int:
    """Count the current versions that differ from a new mapping of their stored study."""
    for key, value in env.items():
        monkeypatch.setenv(key, value)
    pipeline = pipeline_of(load(), engine)
    written = 0
    for study_id in account.state.studies:
        ingested = await pipeline.rerender(study_id)
        assert ingested is not None
        written += len(ingested.written)
    return written
