"""Audit journal of one process: an entry is written before the answer, flushed each second, sealed each minute.

https://man7.org/linux/man-pages/man2/write.2.html: what is written survives the end of the process by any signal.
What is lost is at most the last second of entries, in a power loss. An entry that cannot be written is an error, so
that nothing is shown without an entry.
Proved by tests/gateway/audit/test_journal.py.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.audit.audit_entry import AuditEntry, printed_parts
from gateway.audit.segment import hex_of
from gateway.audit.segment_file import SegmentFile, newest_segment
from gateway.runtime import clock
from gateway.runtime.errors import AuditUnavailable
from gateway.runtime.loops import forever
from gateway.runtime.own_file import locked_slot
from gateway.store.database.engine import instant, micros

EVERY: Final = 1.0  # seconds between flushes to disk
SEAL_EVERY: Final = 60_000_000  # microseconds between seals
_LOCK: Final = "audit-{}.lock"
_DAY: Final = "%Y-%m-%d"
_UNFIT: Final = re.compile("[^A-Za-z0-9-]")  # in a host's name, which becomes part of a file's name


class AuditJournal:
    """Audit journal in a folder, sealed with `key`. Only one event loop may call its methods.

    Several processes may share the folder: each has a slot of its own. The first `turn` opens the journal. After a
    failure, entries are refused until a turn succeeds.
    """

    def __init__(self, folder: Path, key: Ed25519PrivateKey) -> None:
        self._folder, self._key = folder, key
        self._lock: int | None = None
        self._name = ""
        self._file: SegmentFile | None = None
        self._left: list[SegmentFile] = []  # complete segments that are not flushed yet
        self._day_ends = self._sealed_at = 0
        self._is_refusing = True  # until a turn succeeds

    @property
    def is_open(self) -> bool:
        """True while the journal accepts entries."""
        return self._file is not None and not self._is_refusing

    def append(self, entry: AuditEntry) -> None:
        """Write an entry, as `write` does."""
        self.write(entry.at, printed_parts(entry))

    def write(self, at: int, parts: Sequence[str]) -> None:
        """Write the parts of a printed entry of the instant `at`, before the answer is sent.

        Raises:
            AuditUnavailable: it is not written whole, so nothing may be shown.
        """
        if self._file is None or self._is_refusing:
            raise AuditUnavailable("the audit journal is not open")
        try:
            file = self._next_day(self._file, at) if at >= self._day_ends else self._file
            for part in parts:
                file.write(file.head.entry(part))
        except (OSError, ValueError) as error:  # ValueError: a text that no line can have
            self._abandon()
            raise AuditUnavailable("the audit journal cannot be written") from error

    async def run(self) -> None:
        """Flush the journal each second, and seal it each minute, until cancelled."""
        await forever(self.turn, EVERY, not_done="audit-journal-not-flushed")

    async def turn(self) -> None:
        """Open the journal if needed, seal it if a minute has passed, and flush it to disk.

        Raises:
            AuditUnavailable: it cannot be written, or not be flushed.
        """
        now = micros(clock.now())
        try:
            if self._file is None:
                self._file = await asyncio.to_thread(self._opened, now)
            file = self._next_day(self._file, now) if now >= self._day_ends else self._file
            if now >= self._sealed_at + SEAL_EVERY:
                self._seal(file, now, is_final=False)
            left = list(self._left)  # an entry may complete another segment meanwhile
            for one in (*left, file):
                await asyncio.to_thread(one.flush)
            for one in left:
                if one in self._left:  # not abandoned meanwhile
                    self._left.remove(one)
                    one.close()
            self._is_refusing = False
        except OSError as error:
            self._abandon()
            raise AuditUnavailable("the audit journal cannot be flushed") from error

    def close(self) -> None:
        """Seal the journal, flush it, and release its slot.

        Raises:
            AuditUnavailable: the last lines may not be on the disk.
        """
        try:
            if self._file is not None:
                self._seal(self._file, micros(clock.now()), is_final=False)
            for file in self._files():
                file.flush()
        except OSError as error:
            raise AuditUnavailable("the audit journal cannot be flushed") from error
        finally:
            self._abandon()
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    def _opened(self, now: int) -> SegmentFile:
        """Continue this process's newest segment; begin one if there is none, or if it has another seal key."""
        if self._lock is None:
            slot, self._lock = locked_slot(self._folder, _LOCK)
            self._name = f"{_UNFIT.sub('_', socket.gethostname())}-{slot}"
        file = newest_segment(self._folder, self._name)
        if file is None or file.head.is_final or file.head.key != hex_of(self._key.public_key()):
            return self._begun(now, file)
        self._sealed_at, self._day_ends = now, _end_of(file.day)
        return file

    def _next_day(self, file: SegmentFile, now: int) -> SegmentFile:
        """Complete a segment and begin the next."""
        self._seal(file, now, is_final=True)
        self._file = self._begun(now, file)
        return self._file

    def _begun(self, now: int, previous: SegmentFile | None) -> SegmentFile:
        """Begin a segment; its day is after that of the one before, even if the clock went back."""
        day = instant(now).strftime(_DAY)
        if previous is not None:
            self._left.append(previous)
            day = max(day, instant(_end_of(previous.day)).strftime(_DAY))
        self._sealed_at, self._day_ends = now, _end_of(day)
        key = hex_of(self._key.public_key())
        return SegmentFile.begun(self._folder, self._name, day, key, previous.head if previous else None)

    def _seal(self, file: SegmentFile, at: int, *, is_final: bool) -> None:
        self._sealed_at = at
        if is_final or file.head.sealed < file.head.sequence:
            file.write(file.head.seal(self._key, at, is_final=is_final))

    def _files(self) -> list[SegmentFile]:
        return [*self._left, *([self._file] if self._file else [])]

    def _abandon(self) -> None:
        """Close the files after an error; the next turn reads how far they go."""
        for file in self._files():
            with suppress(OSError):
                file.close()
        self._left, self._file, self._is_refusing = [], None, True


def _end_of(day: str) -> int:
    """Return the instant, in microseconds, at which a day ends in UTC."""
    return micros(datetime.strptime(day, _DAY).replace(tzinfo=UTC) + timedelta(days=1))
