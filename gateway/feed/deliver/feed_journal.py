"""Keep the feed journal while messages are sent, and detect by it that an older database was restored.

Carries out no clause of a standard; decision D38. A claim is written after its commit and before its message leaves, an
acknowledgement as soon as it comes. A process that is killed leaves all of them behind; the disk gets them each second,
so a machine that is lost may take the last second with it. A database that lacks a claim of the journal was restored
from a backup: every destination is paused until an operator decides. `serve --hold-feed` starts with all destinations
paused, for a restore that no journal covers: messages that may have been sent since the backup are held, and never sent
again automatically. If the journal cannot be written, an alert is raised and the feed goes on.
Proved by tests/contract/test_journaling.py.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from gateway.feed.deliver.journal_file import JournalFile, account_of, journals
from gateway.feed.deliver.journal_lines import Header, JournalBatch, JournalContents, JournalEntry, encoded, entry_of
from gateway.runtime import clock
from gateway.runtime.errors import StoreError
from gateway.runtime.log import code_of, get_logger
from gateway.runtime.loops import forever
from gateway.runtime.metrics import Metrics
from gateway.store.database import facts
from gateway.store.database.engine import Engine, micros
from gateway.store.feed import restoring
from gateway.store.feed.messages import Head, SendResult
from gateway.store.feed.states import RESTORED

EVERY: Final = 1.0  # seconds
NOT_WRITTEN: Final = "journal-not-written"
_MOST_RECENT: Final = 1_000  # messages, and batches that are read from a journal at the start
_UNWRITTEN: Final = 2**62  # batch number of entries not written yet: later than every batch
_MOST_NOTED: Final = 100_000  # entries that may wait while the disk is full
_REPLAY: Final = ("feed", "resume", "--restored")
_HOLD: Final = ("serve", "--hold-feed", "--restored-from")  # needed if that database was restored or replaces another


class Journal(Protocol):
    """Journal as the senders see it: note each message, and check before a destination is served."""

    def note(self, destination: str, head: Head, result: SendResult | None = None) -> None:
        """Record a message in hand once its claim is committed, and its result as soon as there is one."""

    async def see_that_nothing_is_lost(self) -> None:
        """Pause all destinations if the database is older than the messages sent.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """


class NoJournal:
    """Journal that records nothing, for when none is kept."""

    def note(self, destination: str, head: Head, result: SendResult | None = None) -> None:
        """Do nothing."""

    async def see_that_nothing_is_lost(self) -> None:
        """Do nothing."""


UNKEPT: Final[Journal] = NoJournal()


class FeedJournal:
    """Feed journal of this process in a folder, for the named destinations; `key` is the site key."""

    def __init__(
        self, engine: Engine, folder: Path, destinations: Collection[str], key: bytes, metrics: Metrics
    ) -> None:
        self._engine, self._folder, self._destinations, self._key = engine, folder, destinations, key
        self._metrics = metrics
        self._file: JournalFile | None = None
        self._header = Header("", "", 0, 0)
        self._n = self._flushed = self._confirmed = 0
        self._recorded: dict[str, int] = {}  # by journal, the highest batch that the database has recorded
        self._noted: dict[tuple[str, str], JournalEntry] = {}
        self._recent: dict[str, int] = {}  # the batch of each recent message's entry, by control id
        self._others: dict[str, int] = {}  # the batches of other journals, as last written
        self._is_behind = self._is_failing = False
        self._lock = asyncio.Lock()

    def note(self, destination: str, head: Head, result: SendResult | None = None) -> None:
        """Write the entry of a message in hand, or of its result, to the operating system at once."""
        entry = entry_of(destination, head, micros(clock.now()), self._key, result)
        before = self._noted.pop((destination, head.control_id), None)  # removed so that the entry moves to the end
        if before is not None and entry.committed is None:
            entry = replace(entry, committed=before.committed)
        self._noted[destination, head.control_id] = entry
        self._remember([entry], _UNWRITTEN)
        if not self._is_failing:
            self._write()

    async def see_that_nothing_is_lost(self) -> None:
        """Pause all destinations if the database is older than the messages sent.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        async with self._lock:
            await self._compare()

    async def _compare(self) -> None:
        """Compare journal and database; if the database is older, pause all destinations."""
        if self._file is None:
            await self._open()
        if self._header.epoch and await self._epoch() != self._header.epoch:
            await self._begin_anew()
        recorded = await restoring.recorded_batches(self._engine)
        ids = {one for one, n in self._recent.items() if n > recorded.get(self._header.journal, 0)}
        was_behind, self._is_behind = self._is_behind, self._has_recorded_less(recorded)
        self._is_behind = self._is_behind or bool(ids and await restoring.unclaimed(self._engine, ids))
        if self._is_behind:
            names = {*self._destinations, *await restoring.known_destinations(self._engine)}
            now = micros(clock.now())
            await self._engine.do(partial(restoring.pause_overriding, sorted(names), RESTORED, now))
            if not was_behind:
                get_logger().error("database-restored", code=RESTORED, count=len(names), action=_REPLAY)

    async def accept(self) -> None:
        """Accept the database as it is, whatever the journals say; put this process's journal aside.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        async with self._lock:
            if self._file is None:
                await self._open()
            async with self._other_file():
                await self._engine.do(partial(restoring.record_batches, self._recorded))
                self._recorded, self._is_behind = {}, False
                await self._begin(await self._epoch())

    async def run(self) -> None:
        """Flush the journal and compare it with the database every second, until cancelled."""
        await forever(self.turn, EVERY, not_done="journal-not-compared")

    async def turn(self) -> None:
        """Flush the written entries, and check which batches the database has recorded.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        async with self._lock:
            if self._file is None:  # compare before the database records a newer batch
                await self._compare()
            await self._flush()
            recorded = await restoring.recorded_batches(self._engine)
            if self._is_behind or self._has_recorded_less(recorded):
                await self._compare()
            if not self._is_behind:
                await self._confirm(recorded)

    async def close(self) -> None:
        """Flush the last entries and close the files."""
        try:
            await self._flush()
            if not self._is_behind:
                await self._confirm({})
        except StoreError as error:  # the next start compares again
            get_logger().warning("journal-not-compared", code=code_of(error))
        finally:
            if self._file is not None:
                self._file.close()

    async def _open(self) -> None:
        """Open a journal of the folder and read all journals there; a new one begins with this database."""
        try:
            file = await asyncio.to_thread(JournalFile, self._folder)
            account = await asyncio.to_thread(account_of, file.path, _MOST_RECENT)
            others = [await asyncio.to_thread(account_of, one, 0) for one in journals(self._folder) if one != file.path]
        except OSError as error:
            self._fails(error)
            return
        try:
            await self._go_on(account, others)
        except BaseException:
            file.close()
            raise
        self._file = file

    async def _go_on(self, account: JournalContents, others: Iterable[JournalContents]) -> None:
        """Continue a journal where it ended; begin it if it is new."""
        epoch = await self._epoch()
        self._recorded = {one.journal: one.confirmed for one in others if one.epoch == epoch}
        if not account.journal:
            if await restoring.last_message(self._engine):
                get_logger().warning("feed-journal-missing", action=_HOLD)
            await self._begin(epoch)
            return
        self._header = Header(account.journal, account.epoch, account.begins, 0)
        recorded = (await restoring.recorded_batches(self._engine)).get(account.journal, 0)
        self._n, self._confirmed = max(account.last, recorded), max(account.confirmed, recorded)
        self._remember_batches(account.others)
        for batch in account.batches:
            self._remember(batch.entries, batch.n)
        if account.faults:
            get_logger().warning("feed-journal-damaged", count=account.faults)

    async def _begin(self, epoch: str) -> None:
        """Begin a journal of the current database."""
        self._remember_batches(await restoring.recorded_batches(self._engine))
        self._header = Header(secrets.token_hex(8), epoch, 0, micros(clock.now()), dict(self._recorded))
        self._n = self._flushed = self._confirmed = 0
        self._recent = {}

    async def _begin_anew(self) -> None:
        """Put a journal of another database aside, and begin one of the current database."""
        get_logger().warning("feed-journal-of-another-database", count=self._n, action=_HOLD)
        async with self._other_file():
            self._recorded, self._noted, self._is_behind = {}, {}, False
            await self._begin(await self._epoch())

    @asynccontextmanager
    async def _other_file(self) -> AsyncIterator[None]:
        """Put the file aside and begin another in the block; entries noted meanwhile are written afterwards."""
        file, self._file = self._file, None
        try:
            if file is not None:
                await asyncio.to_thread(file.put_aside)
            yield
        finally:
            self._file = file

    async def _epoch(self) -> str:
        """Return the random id stored in this database; a copy of the database has the same id."""
        return await facts.claimed(self._engine, restoring.EPOCH, secrets.token_hex(16))

    def _remember_batches(self, recorded: Mapping[str, int]) -> None:
        """Remember the highest batch of each journal that the database has recorded."""
        self._recorded |= {name: max(n, self._recorded.get(name, 0)) for name, n in recorded.items()}

    def _has_recorded_less(self, recorded: dict[str, int]) -> bool:
        """True if the database has recorded fewer batches than it had before."""
        known = {**self._recorded, self._header.journal: self._confirmed}
        return any(recorded.get(journal, 0) < n for journal, n in known.items())

    def _write(self) -> bool:
        """Append the noted entries to the file; False if the operating system does not accept them."""
        others = {name: n for name, n in self._recorded.items() if name != self._header.journal}
        if self._file is None or not (self._noted or others != self._others):
            return True
        entries, now = tuple(self._noted.values()), micros(clock.now())
        header = Header(self._header.journal, self._header.epoch, self._n, now, others)
        news = {} if others == self._others else others
        line = JournalBatch(self._n + 1, self._confirmed, now, news, entries) if entries else header
        try:
            self._file.append(encoded(line), header)
        except OSError as error:
            self._fails(error)
            return False
        self._n, self._others = line.n, others
        self._remember(entries, line.n)
        self._noted.clear()
        return True

    async def _flush(self) -> None:
        """Write noted entries and flush them to disk; only then may the database record their batch."""
        if self._file is None or not self._write():
            return
        n = self._n
        try:
            await asyncio.to_thread(self._file.flush)
        except OSError as error:
            self._fails(error)
            return
        self._flushed = n
        if self._is_failing:
            self._is_failing = False
            self._metrics.alerted(NOT_WRITTEN, "", 0)
            get_logger().info("alert-over", code=NOT_WRITTEN)

    async def _confirm(self, recorded: dict[str, int]) -> None:
        """Record the last flushed batch in the database; remember the batches of other journals."""
        self._remember_batches({name: n for name, n in recorded.items() if name != self._header.journal})
        if self._confirmed < (n := self._flushed):
            await self._engine.do(partial(restoring.record_batches, {self._header.journal: n}))
            self._confirmed = n

    def _remember(self, entries: Iterable[JournalEntry], n: int) -> None:
        """Remember the latest messages, to check later that the database has them."""
        for entry in entries:
            self._recent.pop(entry.control_id, None)
            self._recent[entry.control_id] = n
        while len(self._recent) > _MOST_RECENT:
            del self._recent[next(iter(self._recent))]

    def _fails(self, error: OSError) -> None:
        """Alert once that the journal cannot be written; drop the oldest entries if too many wait."""
        if not self._is_failing:
            self._is_failing = True
            self._metrics.alerted(NOT_WRITTEN, "", 1)
            get_logger().error("alert", code=NOT_WRITTEN, destination="", count=1, exc_info=error)
        if len(self._noted) > _MOST_NOTED:
            self._noted = dict(list(self._noted.items())[-_MOST_NOTED:])
            self._n += 1  # leave a gap in the batch numbers, so that the loss can be detected
