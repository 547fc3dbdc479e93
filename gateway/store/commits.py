"""Commit several ingested studies together, and run a transaction again that another process was faster than.

Carries out no clause of a standard; decisions D8, D25 and D29. Studies that wait for a commit under way share the next
one: a statement for all of them costs much less than one for each.
Proved by tests/contract/test_shared_commits.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple, TypeVar

from gateway.runtime.errors import StoreUnavailable
from gateway.store.database.engine import Engine, Raced, Work
from gateway.store.intake import Outcome, StudyIntake, store_studies
from gateway.store.studies.versions import WrittenVersion

Result = TypeVar("Result")
MOST_TOGETHER: Final = 8
_MOST_TRIES: Final = 20


async def committed(engine: Engine, work: Work[Result]) -> Result:
    """Run a transaction that writes versions, again if another process wrote one of the resources meanwhile.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    for _ in range(_MOST_TRIES):
        try:
            return await engine.do(work)
        except Raced:
            continue
    raise StoreUnavailable("other processes wrote the same resources again and again")


class _Waiting(NamedTuple):
    """Study that waits for a commit, and the future of its outcome."""

    intake: StudyIntake
    future: asyncio.Future[Outcome]


class StudyCommits:
    """Commits of studies by one pipeline, one after the other: two would write the same radiologists, and race."""

    def __init__(self, engine: Engine, site_key: bytes) -> None:
        self._engine, self._site_key = engine, site_key
        self._waiting: list[_Waiting] = []
        self._committing: asyncio.Task[None] | None = None

    async def store(self, intake: StudyIntake) -> list[WrittenVersion]:
        """Store a study, and return the versions that were written. A study that fails costs no other its commit.

        Raises:
            Outdated: the study must be fetched and mapped again.
            OthersMoved: the claims about its patients, and the settings in force, must be read again.
            StoreUnavailable: the store cannot be reached.
        """
        waiting = _Waiting(intake, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._committing is None or self._committing.done():
            self._committing = asyncio.create_task(self._commit_all())
        outcome = await waiting.future
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def _stored(self, intakes: Sequence[StudyIntake]) -> list[Outcome]:
        return await committed(self._engine, partial(store_studies, intakes, self._site_key))

    async def _commit_all(self) -> None:
        while batch := self._next():
            try:
                await self._commit(batch)
            finally:
                for one in batch:
                    one.future.cancel()

    async def _commit(self, batch: Sequence[_Waiting]) -> None:
        """Commit studies together; each alone if that fails, so that the others are stored."""
        try:
            outcomes = await self._stored([one.intake for one in batch])
        except Exception as error:
            if len(batch) > 1:
                for one in batch:
                    await self._commit([one])
            elif not batch[0].future.done():
                batch[0].future.set_exception(error)
            return
        for one, outcome in zip(batch, outcomes, strict=True):
            if not one.future.done():
                one.future.set_result(outcome)

    def _next(self) -> list[_Waiting]:
        """Take the studies of the next commit: the first that wait, none with a patient of another."""
        batch: list[_Waiting] = []
        rest: list[_Waiting] = []
        locked: set[str] = set()
        for one in self._waiting:
            if one.future.done():
                continue
            if len(batch) < MOST_TOGETHER and locked.isdisjoint(one.intake.locks):
                locked |= one.intake.locks
                batch.append(one)
            else:
                rest.append(one)
        self._waiting = rest
        return batch
